// SPDX-License-Identifier: GPL-2.0
/*
 * Time of a trace: ticks in the records, nanoseconds in the stream.
 *
 * Trace time is the NMI-safe CLOCK_MONOTONIC. Reading it costs as much as the
 * rest of a record, so where the clock source is the CPU's cycle counter (the
 * TSC, for example), records hold cycles. Start and stop read both clocks, and
 * stop interpolates between the two readings.
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
		.suspended_ns = ktime_get_boot_fast_ns() - ktime_get_mono_fast_ns(),
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

void krtrace_clock_stop(void)
{
	struct krtrace_clock *clock = &krtrace_clock;
	struct clock_source source;
	u64 ticks, ns;

	clock_read(&ticks, &ns);
	clock->ticks = ticks - clock->start;
	clock->ns = ns - clock->start_ns;
	if (!static_key_enabled(&krtrace_cycles))
		return;
	source = clock_source_read();
	if (!source.cycles || source.changes != start_source.changes)
		pr_warn("the clock source has changed, times in this trace are not exact\n");
	else if (abs(source.suspended_ns - start_source.suspended_ns) > NSEC_PER_MSEC)
		pr_warn("the machine was suspended, times in this trace are not exact\n");
}

/* Needs a stopped trace; @ticks count from its start. */
u64 krtrace_ticks_to_ns(u64 ticks)
{
	const struct krtrace_clock *clock = &krtrace_clock;

	if (!static_key_enabled(&krtrace_cycles) || !clock->ticks)
		return ticks;
	return mul_u64_u64_div_u64(ticks, clock->ns, clock->ticks);
}
