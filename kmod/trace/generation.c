// SPDX-License-Identifier: GPL-2.0
/*
 * Generations of a live trace: sealed while CPUs go on recording, read one after
 * the other, and reused.
 */

/**
 * DOC: live traces
 *
 * A trace is one generation from start to stop, or live: then a generation is
 * sealed whenever records have filled a share of the budget. The reader gets
 * sealed generations while CPUs write the next one, so the budget bounds the
 * memory and not the length of a trace. A reader that is too slow loses whole
 * generations, the oldest ones first.
 *
 * The turn
 * ========
 *
 * 1. kregion_rotate() takes the memory of the open generation out of the region.
 * 2. A new map for names is created in the region.
 * 3. An IPI ends the generation of each CPU: it detaches the list of runs, and
 *    begins an empty one, with the new map and an empty cache of named pids. The
 *    first record of a CPU in a generation is its current task, with its name.
 * 4. Both clocks are read. The old generation is sealed, and the reader woken.
 *
 * A record thus belongs to the generation of the list that it is in, and each
 * generation has the names of all tasks that run in it: names are recorded once
 * a generation. Between the rotate and the IPI, records go to the new memory but
 * to the old list. So the memory of a generation may end with records of the
 * one before it, and is reused when both are done with.
 *
 * States
 * ======
 *
 * ::
 *
 *	        turn, stop             read                read to its end
 *	OPEN -----------------> SEALED -----> READING -----------------------> DONE
 *	  ^                        |                                            ^ |
 *	  |                        |  too much sealed, or no memory to turn     | |
 *	  |                        '--------------------------------------------' |
 *	  |  begins                           the one before is done, too         |
 *	  '--------------------- FREE <-------------------------------------------'
 *
 * The oldest sealed generation is lost if all sealed ones hold more than five
 * eighths of the budget and it is not the newest one; if kregion_rotate() finds
 * no memory; or if no entry is free. The one that is being read is never lost,
 * and pins the next one. A mark with the number and time of the lost ones
 * precedes the next generation in the stream. The last one, which the stop ends,
 * is never lost.
 *
 * Who wakes whom
 * ==============
 *
 * - A probe counts the bytes of a run when it begins the next one, and those of
 *   a name in the map. At an eighth of the budget, or when it finds no memory, it
 *   raises an irq_work, the only thing that may be done under the run-queue lock;
 *   that queues the work, which turns. While the turn waits for a grace period,
 *   the generation grows. A CPU that finds it overfull records nothing until the
 *   turn: its records are lost one by one and counted. With nothing sealed, that
 *   is at a half.
 * - A turn that fails is retried by the same work, and when the reader is done
 *   with a generation, until it succeeds.
 * - The work and the stop wake the reader, in read() or poll(). A reader that
 *   waits holds no lock. KREGION_TRACE_ROTATE turns in the context of the caller.
 * - Nothing waits for the reader. What it keeps from being reused is the
 *   generation that it reads and the next one.
 *
 * Invariant
 * =========
 *
 * A turn finds memory once the reader is done with what it reads, as no more
 * than a half of the budget is counted in the open generation, and what is not
 * counted there, with what the turn takes, fits in the other half. For that, all
 * that CPUs take is counted, from their first record on, also between the
 * rotate and the IPI, but for one run of each CPU.
 *
 * The end
 * =======
 *
 * The stop waits for a turn in progress, and forbids further ones; unregisters
 * the probes; and seals the open generation, which stays in the region, as there
 * may be no memory for a rotate. What is sealed can be read from then on.
 * The drop frees all generations and the region. close() stops and drops, also
 * when the reader is killed; an open device pins the module, so that its exit
 * meets no trace.
 *
 * In the steady state, blocks of a generation that has been read serve again.
 * The page allocator is not called, but for a page for the map if blocks are
 * smaller than 32 KiB.
 */

#include <linux/irq_work.h>
#include <linux/mutex.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "trace.h"

#define TURN_RETRY_DELAY	max(HZ / 10, 1)

static void turn_queue(struct irq_work *work);
static void turn_work(struct work_struct *work);

static struct {
	struct mutex lock;		/* G; excludes turns, nests in trace.lock */
	struct kregion *region;		/* G: NULL: no turns */
	size_t share;			/* G: an eighth of the budget */
	struct krtrace_generation *open; /* G */
	struct krtrace_generation all[KRTRACE_GENERATIONS];
	struct krtrace_lost mark;	/* G: lost since the last one that was read */
	struct kregion_trace_generations counts; /* G; waiting: A */
	atomic_t pending;		/* A: a turn is requested */
	struct irq_work irq_work;
	struct delayed_work work;
	struct workqueue_struct *wq;
} generations = {
	.lock = __MUTEX_INITIALIZER(generations.lock),
	/* Hard: a FIFO task may starve the irq_work thread of PREEMPT_RT. */
	.irq_work = IRQ_WORK_INIT_HARD(turn_queue),
	.work = __DELAYED_WORK_INITIALIZER(generations.work, turn_work, 0),
};

atomic_long_t krtrace_filled;
unsigned long krtrace_share;
unsigned long krtrace_most;
DECLARE_WAIT_QUEUE_HEAD(krtrace_wait);

/* ---- the end of a generation --------------------------------------------- */

/* The oldest one in @state. */
static struct krtrace_generation *generation_find(enum krtrace_generation_state state)
{
	struct krtrace_generation *g, *oldest = NULL;

	for (g = generations.all; g < generations.all + KRTRACE_GENERATIONS; g++) {
		if (g->state == state && (!oldest || g->number < oldest->number))
			oldest = g;
	}
	return oldest;
}

/* Is the one before @g still needed? */
static bool generation_pinned(const struct krtrace_generation *g)
{
	const struct krtrace_generation *before;

	for (before = generations.all; before < generations.all + KRTRACE_GENERATIONS; before++) {
		if ((before->state == KRTRACE_SEALED || before->state == KRTRACE_READING) &&
		    before->number + 1 == g->number)
			return true;
	}
	return false;
}

/* Reuse the memory of all that are done and not pinned. */
static void generations_release(void)
{
	struct krtrace_generation *g;

	lockdep_assert_held(&generations.lock);
	for (g = generations.all; g < generations.all + KRTRACE_GENERATIONS; g++) {
		if (g->state != KRTRACE_DONE || generation_pinned(g))
			continue;
		kregion_gen_recycle(g->memory);
		g->memory = NULL;
		g->state = KRTRACE_FREE;
	}
}

static void generation_seal(struct krtrace_generation *g, struct krtrace_time end, bool last)
{
	struct kregion_trace_generations *counts = &generations.counts;

	g->times[2] = end;
	g->last = last;
	g->state = KRTRACE_SEALED;
	counts->sealed++;
	WRITE_ONCE(counts->waiting, counts->waiting + 1);
}

/* Lose the oldest generation that nobody has begun to read. */
static bool generation_lose(void)
{
	struct krtrace_generation *g = generation_find(KRTRACE_SEALED);
	struct kregion_trace_generations *counts = &generations.counts;
	struct krtrace_lost *mark = &generations.mark;
	u64 records = 0;
	int cpu;

	if (!g)
		return false;
	for_each_possible_cpu(cpu) {
		const struct krtrace_part *part = &per_cpu_ptr(&krtrace_cpu, cpu)->part[g->slot];

		records += part->records;
		mark->lost += part->lost;
	}
	if (!mark->generations++)
		mark->since = g->since;
	mark->until = g->times[2].ns;
	mark->records += records;
	counts->lost++;
	counts->lost_records += records;
	WRITE_ONCE(counts->waiting, counts->waiting - 1);
	g->state = KRTRACE_DONE;
	generations_release();
	return true;
}

/* ---- the turn ------------------------------------------------------------ */

static void generation_begin(struct krtrace_generation *g, u64 number)
{
	*g = (struct krtrace_generation){
		.state = KRTRACE_OPEN, .slot = g - generations.all, .number = number,
	};
	generations.open = g;
}

static struct kregion_stats memory_stats(void)
{
	struct kregion_stats stats;

	kregion_stats(generations.region, &stats);
	return stats;
}

/* Count what is in the new memory, instead of what was in the old one. */
static void generation_count(void)
{
	const long counted = atomic_long_read(&krtrace_filled);

	/* A run that ends meanwhile counts twice. */
	atomic_long_add(memory_stats().bytes_used - counted, &krtrace_filled);
}

/*
 * The records of a generation may take what the sealed ones leave of four
 * shares. Four more are for what is not counted, and for a turn: the current
 * and standby blocks of all CPUs (a share, with the runs in them), and the
 * reserve (two thirds of a share), of two generations; and headers and tails of
 * blocks. A turn takes smaller blocks if need be. A share and a half is left in
 * any case, as sealed generations can be lost.
 */
static void generation_limit(void)
{
	const size_t share = generations.share;
	const size_t sealed = min_t(size_t, memory_stats().bytes_sealed, 4 * share);

	WRITE_ONCE(krtrace_most, max(4 * share - sealed, share + share / 2));
}

static int turn(void)
{
	struct krtrace_generation *old = generations.open, *new;
	struct krtrace_memory next = { .region = generations.region };
	struct krtrace_time begin, end;
	struct kregion_gen *memory;

	lockdep_assert_held(&generations.lock);
	if (!generations.region)
		return -EINVAL;
	while (!(new = generation_find(KRTRACE_FREE))) {
		if (!generation_lose())
			return -ENOMEM;
	}
	do {
		memory = kregion_rotate(generations.region);
	} while (memory == ERR_PTR(-ENOMEM) && generation_lose());
	if (IS_ERR(memory))
		return PTR_ERR(memory);
	next.names = kregion_map_create(generations.region, GFP_KERNEL | __GFP_NOWARN);
	generation_count();

	begin = krtrace_clock_now(&old->times[1]);
	krtrace_record_turn(old->slot, &next);
	end = krtrace_clock_now(&begin);

	old->memory = memory;
	generation_seal(old, end, false);
	generation_begin(new, old->number + 1);
	new->times[0] = old->times[1];
	new->times[1] = end;
	new->times[2] = end;
	new->since = krtrace_ticks_to_ns(old->times, begin.ticks);
	while (memory_stats().bytes_sealed > 5 * generations.share &&
	       generation_find(KRTRACE_SEALED) != old)
		generation_lose();
	generation_limit();
	return 0;
}

static void turn_work(struct work_struct *work)
{
	int err;

	mutex_lock(&generations.lock);
	err = turn();
	if (err && err != -EINVAL)
		queue_delayed_work(generations.wq, &generations.work, TURN_RETRY_DELAY);
	else
		atomic_set(&generations.pending, 0);
	mutex_unlock(&generations.lock);
	wake_up_interruptible(&krtrace_wait);
}

static void turn_queue(struct irq_work *work)
{
	queue_delayed_work(generations.wq, &generations.work, 0);
}

void krtrace_generation_request(void)
{
	if (!atomic_read(&generations.pending) && !atomic_xchg(&generations.pending, 1))
		irq_work_queue(&generations.irq_work);
}

int krtrace_generations_turn(void)
{
	int err;

	mutex_lock(&generations.lock);
	err = turn();
	mutex_unlock(&generations.lock);
	wake_up_interruptible(&krtrace_wait);
	return err;
}

/* ---- the reader ---------------------------------------------------------- */

bool krtrace_generation_ready(void)
{
	return READ_ONCE(generations.counts.waiting);
}

struct krtrace_generation *krtrace_generation_next(struct krtrace_lost *lost)
{
	struct kregion_trace_generations *counts = &generations.counts;
	struct krtrace_generation *g;

	mutex_lock(&generations.lock);
	g = generation_find(KRTRACE_SEALED);
	if (g) {
		g->state = KRTRACE_READING;
		WRITE_ONCE(counts->waiting, counts->waiting - 1);
		*lost = generations.mark;
		generations.mark = (struct krtrace_lost){};
	}
	mutex_unlock(&generations.lock);
	return g;
}

void krtrace_generation_done(struct krtrace_generation *g)
{
	mutex_lock(&generations.lock);
	g->state = KRTRACE_DONE;
	generations_release();
	/* A turn that is to be retried may find memory now. */
	if (delayed_work_pending(&generations.work))
		mod_delayed_work(generations.wq, &generations.work, 0);
	mutex_unlock(&generations.lock);
}

void krtrace_generations_counts(struct kregion_trace_generations *counts)
{
	mutex_lock(&generations.lock);
	*counts = generations.counts;
	mutex_unlock(&generations.lock);
}

/* ---- start and stop ------------------------------------------------------ */

/* The first generation, before any record. Records are counted, but request no turn. */
void krtrace_generations_start(u64 budget, bool live)
{
	mutex_lock(&generations.lock);
	generation_begin(&generations.all[0], 0);
	generations.share = budget / 8;
	generations.mark = (struct krtrace_lost){};
	generations.counts = (struct kregion_trace_generations){};
	atomic_set(&generations.pending, 1);
	atomic_long_set(&krtrace_filled, 0);
	WRITE_ONCE(krtrace_most, 4 * generations.share);
	WRITE_ONCE(krtrace_share, live ? generations.share : 0);
	mutex_unlock(&generations.lock);
}

/* All CPUs record: turns may begin. */
void krtrace_generations_run(struct kregion *region)
{
	mutex_lock(&generations.lock);
	generations.region = region;
	atomic_set(&generations.pending, 0);
	mutex_unlock(&generations.lock);
}

/* Stop the trace; returns its last generation. The caller wakes the reader. */
struct krtrace_generation *krtrace_generations_stop(void)
{
	struct krtrace_generation *g;

	mutex_lock(&generations.lock);
	generations.region = NULL;
	WRITE_ONCE(krtrace_share, 0);
	g = generations.open;
	mutex_unlock(&generations.lock);
	krtrace_clock_stop(&g->times[1]);
	krtrace_record_stop();
	irq_work_sync(&generations.irq_work);
	cancel_delayed_work_sync(&generations.work);
	krtrace_record_close(g->slot);
	mutex_lock(&generations.lock);
	generation_seal(g, krtrace_clock.stop, true);
	mutex_unlock(&generations.lock);
	return g;
}

/* Free all generations; the region is the caller's. */
void krtrace_generations_drop(void)
{
	struct krtrace_generation *g;

	mutex_lock(&generations.lock);
	for (g = generations.all; g < generations.all + KRTRACE_GENERATIONS; g++) {
		kregion_gen_free(g->memory);
		*g = (struct krtrace_generation){};
	}
	generations.counts = (struct kregion_trace_generations){};
	mutex_unlock(&generations.lock);
}

int krtrace_generations_init(void)
{
	generations.wq = alloc_workqueue("kregion_trace", WQ_UNBOUND | WQ_HIGHPRI, 1);
	return generations.wq ? 0 : -ENOMEM;
}

void krtrace_generations_exit(void)
{
	destroy_workqueue(generations.wq);
}
