/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private interface of kregion_trace.ko. device.c controls a trace, record.c
 * writes its records, generation.c seals them in generations, stream.c reads
 * these, clock.c is the common clock.
 */
#ifndef _KREGION_TRACE_H
#define _KREGION_TRACE_H

#include <linux/jump_label.h>
#include <linux/kregion.h>
#include <linux/percpu.h>
#include <linux/poll.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>

#include <uapi/linux/kregion_trace.h>

/*
 * Locking of the variables below:
 *
 * D: protected by trace.lock in device.c. Callers of the functions below hold
 *    it, except for krtrace_ticks(), krtrace_record_init(), the functions that
 *    are called by records, and those that say so.
 * G: protected by generations.lock in generation.c, which nests in trace.lock.
 * P: written under D while no probe is registered, read by probes.
 * C: accessed by their CPU with interrupts off while probes are registered,
 *    under D otherwise. No NMI hits the tracepoints in use.
 * A: accessed atomically or by READ_ONCE() and WRITE_ONCE().
 */

/* ---- clock.c ------------------------------------------------------------ */

/* A reading of both clocks, from the start of the trace. */
struct krtrace_time {
	u64 ticks;
	u64 ns;
};

struct krtrace_clock {
	u64 start;			/* P: ticks at the start */
	u64 start_ns;			/* D: fast monotonic clock at the start */
	u64 start_real_ns;		/* D: real-time clock at the start */
	struct krtrace_time stop;	/* D: duration of the stopped trace */
};

extern struct krtrace_clock krtrace_clock;

/* P: a tick is a cycle if enabled, otherwise a nanosecond */
DECLARE_STATIC_KEY_FALSE(krtrace_cycles);

static __always_inline u64 krtrace_ticks(void)
{
	return static_branch_likely(&krtrace_cycles) ? get_cycles() : ktime_get_mono_fast_ns();
}

void krtrace_clock_start(void);
struct krtrace_time krtrace_clock_now(const struct krtrace_time *last);
void krtrace_clock_stop(const struct krtrace_time *last);
u64 krtrace_ticks_to_ns(const struct krtrace_time times[3], u64 ticks);

/* ---- record.c ----------------------------------------------------------- */

/* Entries in the cache of named pids of a CPU; a power of two. */
#define KRTRACE_NAMED		256

/* Generations in memory, at most. */
#define KRTRACE_GENERATIONS	8

/* Header of a run; its records follow it without gaps. */
struct krtrace_run {
	struct krtrace_run *next;	/* C */
	char *end;			/* C: of the last record */
};

/* Records of a CPU in a generation that has ended; belongs to that. */
struct krtrace_part {
	struct krtrace_run *first;
	u64 records;
	u64 lost;
	u64 unreported;			/* part of lost that no lost record accounts for */
	u64 since;			/* time of the first of these */
	struct kregion_trace_cpu section; /* size 0: no section */
};

/* Where records and names are. */
struct krtrace_memory {
	struct kregion *region;
	struct kregion_map *names;	/* NULL: all names are recorded */
};

struct krtrace_cpu {
	struct kregion *region;		/* C: of the records; no memory before start */
	struct kregion_map *names;	/* C: those that the generation has; NULL before start */
	struct krtrace_run *run;	/* C: current run */
	s64 last;			/* C: time of the last event, in ticks from the start */
	u64 records;			/* C: lockless read by krtrace_record_counts() */
	u64 lost;			/* C: ditto */
	u64 lost_reported;		/* C: part of lost that is accounted for */
	u64 lost_since;			/* C: time of the first unreported loss */
	u64 records_before;		/* C: part of records in earlier generations */
	u64 lost_before;		/* C: part of lost in earlier generations */
	struct krtrace_run *first;	/* C */
	struct krtrace_run **link;	/* C: &next of the last run, or &first */
	u32 named[KRTRACE_NAMED];	/* C: named pids, indexed by their low bits */
	struct krtrace_part part[KRTRACE_GENERATIONS]; /* by krtrace_generation.slot; last */
};

DECLARE_PER_CPU(struct krtrace_cpu, krtrace_cpu);

int krtrace_record_init(void);
int krtrace_record_start(struct kregion *region, bool live);
void krtrace_record_stop(void);
void krtrace_record_turn(unsigned int slot, const struct krtrace_memory *memory);
void krtrace_record_close(unsigned int slot);
void krtrace_record_counts(u64 *records, u64 *lost);

/* ---- generation.c ------------------------------------------------------- */

enum krtrace_generation_state {
	KRTRACE_FREE,
	KRTRACE_OPEN,			/* CPUs write records */
	KRTRACE_SEALED,
	KRTRACE_READING,		/* belongs to the reader, D */
	KRTRACE_DONE,			/* but its memory has records of the one before */
};

struct krtrace_generation {
	enum krtrace_generation_state state; /* G */
	unsigned int slot;		/* of krtrace_cpu.part */
	u64 number;			/* G: from 0 */
	struct kregion_gen *memory;	/* G: NULL: the region */
	struct krtrace_time times[3];	/* G: before the one before, before and after this one */
	u64 since;			/* G: no record is earlier; nanoseconds */
	bool last;			/* G: ended by the stop */
	bool prepared;			/* D: the parts have sections */
	u32 nr_cpus;			/* D: number of sections */
	u64 bytes;			/* D: of the sections */
};

/* Adjacent generations that are lost. */
struct krtrace_lost {
	u64 generations;
	u64 records, lost;		/* in them */
	u64 since, until;
};

extern atomic_long_t krtrace_filled;	/* A: bytes of complete runs and names, open generation */
extern unsigned long krtrace_share;	/* A: the same when it is to be sealed; 0: never */
extern unsigned long krtrace_most;	/* A: the same at most, until it is sealed */
extern struct wait_queue_head krtrace_wait;	/* for a generation, or the stop */

int krtrace_generations_init(void);
void krtrace_generations_exit(void);
void krtrace_generations_start(u64 budget, bool live);
void krtrace_generations_run(struct kregion *region);
int krtrace_generations_turn(void);
struct krtrace_generation *krtrace_generations_stop(void);
void krtrace_generations_drop(void);
void krtrace_generations_counts(struct kregion_trace_generations *counts);
/* The next one to be read, and what was lost before it; NULL: none. */
struct krtrace_generation *krtrace_generation_next(struct krtrace_lost *lost);
void krtrace_generation_done(struct krtrace_generation *g);
/* Lockless. */
bool krtrace_generation_ready(void);
void krtrace_generation_request(void);

/* Called by records, with interrupts off, when they find no memory. */
static inline void krtrace_exhausted(void)
{
	if (READ_ONCE(krtrace_share))
		krtrace_generation_request();
}

/*
 * Called by records, with interrupts off, as they fill a generation. Returns
 * false if it is overfull.
 */
static inline bool krtrace_fill(size_t bytes)
{
	const unsigned long share = READ_ONCE(krtrace_share);
	unsigned long filled;

	if (!share)
		return true;
	filled = atomic_long_add_return(bytes, &krtrace_filled);
	if (filled >= share)
		krtrace_generation_request();
	return filled < READ_ONCE(krtrace_most);
}

/* ---- stream.c ----------------------------------------------------------- */

void krtrace_stream_start(size_t block_size, u64 budget, bool live);
void krtrace_stream_stop(struct kregion *region, struct krtrace_generation *last);
u64 krtrace_stream_size(void);
ssize_t krtrace_stream_read(char __user *buf, size_t len);
/* Lockless: a read would not wait. */
bool krtrace_stream_ready(void);

#endif /* _KREGION_TRACE_H */
