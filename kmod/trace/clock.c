// SPDX-License-Identifier: GPL-2.0
/*
 * Time of a trace: ticks in the records, nanoseconds in the stream.
 *
 * Trace time is the NMI-safe CLOCK_MONOTONIC. Reading it costs as much as the
 * rest of a record, so where the clock source is the CPU's cycle counter (the
 * TSC, for example), records hold cycles. Start, stop and the ends of generations
 * read both clocks, and the reader interpolates between two readings. The last
 * records of a generation may be later than the first ones of the next, so
 * both use the same readings for the same time.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/math64.h>
#include <linux/printk.h>

#include "../compat.h"
#include "trace.h"

/* State that must not change between start and stop. */
struct clock_source {
	bool cycles;		/* it is the cycle counter */
	u8 changes;		/* number of changes since boot */
	s64 suspended_ns;	/* time in suspend since boot */
};

struct krtrace_clock krtrace_clock __read_mostly;
DEFINE_STATIC_KEY_FALSE(krtrace_cycles);

static struct clock_source start_source;	/* D */

/*
 * A clock source that returns the value of get_cycles() is the cycle counter,
 * and synchronized between CPUs. x86-64 only: elsewhere mul_u64_u64_div_u64()
 * of some kernels is not exact.
 */
static struct clock_source clock_source_read(void)
{
	struct system_time_snapshot snapshot;
	const u64 before = get_cycles();
	u64 after;

	rmb();		/* order the first get_cycles() before the clock ... */
	ktime_get_snapshot_id(CLOCK_MONOTONIC, &snapshot);
	rmb();		/* ... and the clock before the second one */
	after = get_cycles();
	return (struct clock_source) {
		.cycles = IS_ENABLED(CONFIG_X86_64) && snapshot.cycles - before <= after - before,
		.changes = snapshot.cs_was_changed_seq,
		/* One value: two clocks are read at different times. */
		.suspended_ns = ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT)),
	};
}

/* Read both clocks; the shortest of five attempts is free of interrupts. */
static void clock_read(u64 *ticks, u64 *ns)
{
	u64 before, now, took, least = U64_MAX;
	int i;

	if (!static_key_enabled(&krtrace_cycles)) {
		*ns = ktime_get_mono_fast_ns();
		*ticks = *ns;
		return;
	}
	for (i = 0; i < 5; i++) {
		before = get_cycles();
		now = ktime_get_mono_fast_ns();
		took = get_cycles() - before;
		if (took < least) {
			least = took;
			*ticks = before + took / 2;
			*ns = now;
		}
	}
}

void krtrace_clock_start(void)
{
	struct krtrace_clock *clock = &krtrace_clock;

	start_source = clock_source_read();
	if (start_source.cycles)
		static_branch_enable(&krtrace_cycles);
	else
		static_branch_disable(&krtrace_cycles);
	clock_read(&clock->start, &clock->start_ns);
	clock->start_real_ns = ktime_get_real_ns() - (ktime_get_mono_fast_ns() - clock->start_ns);
}

/* Both clocks, from the start. They do not step back from the @last reading. */
struct krtrace_time krtrace_clock_now(const struct krtrace_time *last)
{
	struct krtrace_time now;

	clock_read(&now.ticks, &now.ns);
	now.ticks = max_t(s64, now.ticks - krtrace_clock.start, last->ticks);
	now.ns = max_t(s64, now.ns - krtrace_clock.start_ns, last->ns);
	return now;
}

void krtrace_clock_stop(const struct krtrace_time *last)
{
	struct clock_source source;

	krtrace_clock.stop = krtrace_clock_now(last);
	if (!static_key_enabled(&krtrace_cycles))
		return;
	source = clock_source_read();
	if (!source.cycles || source.changes != start_source.changes)
		pr_warn("the clock source has changed, times in this trace are not exact\n");
	else if (abs(source.suspended_ns - start_source.suspended_ns) > NSEC_PER_MSEC)
		pr_warn("the machine was suspended, times in this trace are not exact\n");
}

/* Interpolate between the readings around @ticks, or the next ones. */
u64 krtrace_ticks_to_ns(const struct krtrace_time times[3], u64 ticks)
{
	const struct krtrace_time *from = ticks < times[1].ticks ? times : times + 1;
	const struct krtrace_time *to = from + 1;

	if (!static_key_enabled(&krtrace_cycles))
		return ticks;
	if (ticks < from->ticks || from->ticks == to->ticks)
		return from->ns;
	return from->ns + mul_u64_u64_div_u64(ticks - from->ticks, to->ns - from->ns,
					      to->ticks - from->ticks);
}
