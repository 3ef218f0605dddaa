/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private interface of kregion_trace.ko. device.c controls a trace, record.c
 * writes its records, stream.c reads them, clock.c is their common clock.
 */
#ifndef _KREGION_TRACE_H
#define _KREGION_TRACE_H

#include <linux/jump_label.h>
#include <linux/kregion.h>
#include <linux/percpu.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>

#include <uapi/linux/kregion_trace.h>

/*
 * Locking of the variables below:
 *
 * D: protected by trace.lock in device.c. Callers of the functions below hold
 *    it, except for krtrace_ticks() and krtrace_record_init().
 * P: written under D while no probe is registered, read by probes.
 * C: accessed by their CPU with interrupts off while probes are registered,
 *    under D otherwise. No NMI hits the tracepoints in use.
 */

/* Entries in the cache of named pids of a CPU; a power of two. */
#define KRTRACE_NAMED	256

/* Header of a run; its records follow it without gaps. */
struct krtrace_run {
	struct krtrace_run *next;	/* C */
	char *end;			/* C: of the last record */
};

/* Where records and names are. */
struct krtrace_memory {
	struct kregion *region;
	struct kregion_map *names;	/* NULL: all names are recorded */
};

struct krtrace_cpu {
	struct kregion *region;		/* C: of the records; no memory before start */
	struct kregion_map *names;	/* C: the names that the trace has; NULL before start */
	struct krtrace_run *run;	/* C: current run */
	s64 last;			/* C: time of the last event, in ticks from the start */
	u64 records;			/* C: lockless read by krtrace_record_counts() */
	u64 lost;			/* C: ditto */
	u64 lost_reported;		/* C: part of lost that lost records account for */
	u64 lost_since;			/* C: time of the first unreported loss */
	struct krtrace_run *first;	/* C */
	struct krtrace_run **link;	/* C: &next of the last run, or &first */
	struct kregion_trace_cpu section; /* D: header; size 0: no section */
	u32 named[KRTRACE_NAMED];	/* C: named pids, indexed by their low bits */
};

DECLARE_PER_CPU(struct krtrace_cpu, krtrace_cpu);

/* ---- clock.c ------------------------------------------------------------ */

struct krtrace_clock {
	u64 start;			/* P: ticks at the start */
	u64 start_ns;			/* D: fast monotonic clock at the start */
	u64 start_real_ns;		/* D: real-time clock at the start */
	u64 ticks;			/* D: duration of the stopped trace in ticks ... */
	u64 ns;				/* D: ... and in nanoseconds */
};

extern struct krtrace_clock krtrace_clock;

/* P: a tick is a cycle if enabled, otherwise a nanosecond */
DECLARE_STATIC_KEY_FALSE(krtrace_cycles);

static __always_inline u64 krtrace_ticks(void)
{
	return static_branch_likely(&krtrace_cycles) ? get_cycles() : ktime_get_mono_fast_ns();
}

void krtrace_clock_start(void);
void krtrace_clock_stop(void);
u64 krtrace_ticks_to_ns(u64 ticks);

/* ---- record.c ----------------------------------------------------------- */

int krtrace_record_init(void);
int krtrace_record_start(struct kregion *region);
void krtrace_record_stop(void);
void krtrace_record_counts(u64 *records, u64 *lost);

/* ---- stream.c ----------------------------------------------------------- */

void krtrace_stream_prepare(struct kregion *region, size_t block_size, u64 budget);
u64 krtrace_stream_size(void);
ssize_t krtrace_stream_read(char __user *buf, size_t len);

#endif /* _KREGION_TRACE_H */
