// SPDX-License-Identifier: GPL-2.0
/*
 * Threads, hard interrupts, irq_work, tasklets and timers of every CPU allocate
 * from one region. Each object carries a tag of its own; in the end no object
 * has changed, and the sums are exact.
 */

#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/timer.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(base, MODES_BASE);
MODE_PARAM(smp, MODES_SMP);

enum context { THREAD, HARDIRQ, IRQ_WORK, TASKLET, TIMER, NR_CONTEXTS };

/*
 * Only contexts that PREEMPT_RT turns into threads take new blocks here, as the
 * locks of the page allocator sleep there; without PREEMPT_RT all but tasklets
 * and timers run in hard interrupts. nofill_kunit.c has the other contexts.
 */

/* Objects of one context of one CPU. */
struct taker {
	struct object *o;
	int n, max;
	unsigned long bytes;	/* rounded up */
	unsigned long nulls;
	struct rnd_state rnd;
	u32 salt;
};

struct cpu_load {
	struct load *load;
	struct taker taker[NR_CONTEXTS];
	struct task_struct *task;
	struct completion done;
	struct hrtimer hrtimer;
	struct irq_work irq_work;
	struct tasklet_struct tasklet;
	struct timer_list timer;
	bool stop;
};

struct load {
	struct kregion *r;
	size_t eighth;
	bool vmalloc;		/* new blocks only where sleeping is allowed */
	bool wander;		/* threads are moved from CPU to CPU */
	int nr;
	struct cpu_load cpu[];
};

#define THREAD_LEAST	600
#define THREAD_MOST	6000
#define IRQ_LEAST	20
#define IRQ_MOST	600

static void take(struct load *load, struct taker *t, gfp_t gfp)
{
	const u32 dice = prandom_u32_state(&t->rnd);
	size_t size = 1 + (dice >> 8) % 150;
	const int n = t->n;
	void *p;

	if (n == t->max)
		return;
	switch (dice % 64) {
	case 0:
		size = load->eighth - (dice >> 8) % 16;
		break;
	case 1:
		size = load->eighth + 1 + (dice >> 8) % 1000;
		break;
	}
	if (load->vmalloc && !gfpflags_allow_blocking(gfp)) {
		size = min(size, load->eighth);
		p = kregion_alloc_nofill(load->r, size);
	} else if (dice & 64 && size <= load->eighth) {
		p = kregion_alloc_nofill(load->r, size);
	} else {
		p = kregion_alloc(load->r, size, gfp | __GFP_NOWARN);
	}
	if (!p) {
		t->nulls++;
		return;
	}
	t->bytes += ALIGN(size, 8);
	object_write(&t->o[n], p, size, (u64)t->salt << 32 | n);
	WRITE_ONCE(t->n, n + 1);
}

static enum hrtimer_restart on_hrtimer(struct hrtimer *timer)
{
	struct cpu_load *c = container_of(timer, struct cpu_load, hrtimer);

	take(c->load, &c->taker[HARDIRQ], GFP_ATOMIC);
	if (READ_ONCE(c->stop))
		return HRTIMER_NORESTART;
	irq_work_queue(&c->irq_work);
	tasklet_schedule(&c->tasklet);
	hrtimer_forward_now(timer, ns_to_ktime(150 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static void on_irq_work(struct irq_work *work)
{
	struct cpu_load *c = container_of(work, struct cpu_load, irq_work);

	take(c->load, &c->taker[IRQ_WORK], GFP_NOWAIT);
}

static void on_tasklet(struct tasklet_struct *tasklet)
{
	struct cpu_load *c = container_of(tasklet, struct cpu_load, tasklet);

	take(c->load, &c->taker[TASKLET], GFP_ATOMIC);
}

static void on_timer(struct timer_list *timer)
{
	struct cpu_load *c = container_of(timer, struct cpu_load, timer);

	take(c->load, &c->taker[TIMER], GFP_NOWAIT);
	if (!READ_ONCE(c->stop))
		mod_timer(timer, jiffies + 1);
}

static bool irqs_had_enough(struct cpu_load *c)
{
	int i;

	for (i = HARDIRQ; i < TIMER; i++)
		if (READ_ONCE(c->taker[i].n) < IRQ_LEAST * scale)
			return false;
	return READ_ONCE(c->taker[TIMER].n) > 0;
}

static int load_thread(void *data)
{
	struct cpu_load *c = data;
	struct taker *t = &c->taker[THREAD];
	int i, cpu = raw_smp_processor_id();

	hrtimer_start(&c->hrtimer, ns_to_ktime(150 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED);
	c->timer.expires = jiffies + 1;
	add_timer_on(&c->timer, cpu);
	for (i = 0; t->n < t->max && t->n + t->nulls < 10 * t->max; i++) {
		take(c->load, t, GFP_KERNEL);
		if (t->n >= THREAD_LEAST * scale && i % 16 == 0 && irqs_had_enough(c))
			break;
		if (c->load->wander && i % 32 == 0) {
			cpu = cpumask_next(cpu, cpu_online_mask);
			if (cpu >= nr_cpu_ids)
				cpu = cpumask_first(cpu_online_mask);
			set_cpus_allowed_ptr(current, cpumask_of(cpu));
		}
	}
	(void)wait_until(irqs_had_enough(c));
	WRITE_ONCE(c->stop, true);
	complete(&c->done);
	return 0;
}

static struct load *load_make(struct kunit *test, struct kregion *r, size_t block)
{
	struct load *load = buffer(test, struct_size(load, cpu, num_online_cpus()));
	struct rnd_state rnd;
	int cpu, i;

	random_begin(test, &rnd);
	load->r = r;
	load->eighth = block / 8;
	for_each_online_cpu(cpu) {
		struct cpu_load *c = &load->cpu[load->nr++];

		c->load = load;
		init_completion(&c->done);
		hrtimer_setup(&c->hrtimer, on_hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
		init_irq_work(&c->irq_work, on_irq_work);
		tasklet_setup(&c->tasklet, on_tasklet);
		timer_setup(&c->timer, on_timer, TIMER_PINNED);
		for (i = 0; i < NR_CONTEXTS; i++) {
			struct taker *t = &c->taker[i];

			t->max = (i == THREAD ? THREAD_MOST : IRQ_MOST) * scale;
			t->o = buffer(test, t->max * sizeof(*t->o));
			t->salt = cpu << 8 | i;
			prandom_seed_state(&t->rnd, prandom_u32_state(&rnd));
		}
		c->task = thread_make(test, load_thread, c, cpu);
	}
	return load;
}

static void load_run(struct load *load)
{
	int i;

	for (i = 0; i < load->nr; i++)
		wake_up_process(load->cpu[i].task);
	for (i = 0; i < load->nr; i++)
		wait_for_completion(&load->cpu[i].done);
	for (i = 0; i < load->nr; i++) {
		struct cpu_load *c = &load->cpu[i];

		hrtimer_cancel(&c->hrtimer);
		irq_work_sync(&c->irq_work);
		tasklet_kill(&c->tasklet);
		timer_delete_sync(&c->timer);
	}
}

/* Every object is intact, every context has run, the statistics are exact. */
static void load_check(struct kunit *test, struct load *load)
{
	const struct kregion_stats st = stats_of(load->r);
	unsigned long bytes = 0, nulls = 0, damaged = 0;
	int i, j, k;

	for (i = 0; i < load->nr; i++) {
		for (j = 0; j < NR_CONTEXTS; j++) {
			const struct taker *t = &load->cpu[i].taker[j];

			for (k = 0; k < t->n; k++)
				damaged += !object_intact(&t->o[k]);
			bytes += t->bytes;
			nulls += t->nulls;
			KUNIT_EXPECT_TRUE_MSG(test, t->n > 0, "context %d of thread %d", j, i);
		}
		KUNIT_EXPECT_GE(test, load->cpu[i].taker[THREAD].n, THREAD_LEAST * (int)scale);
	}
	KUNIT_EXPECT_EQ(test, damaged, 0UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, bytes);
	KUNIT_EXPECT_EQ(test, st.failed_nofill + st.failed_nomem + st.failed_limit, nulls);
	KUNIT_EXPECT_EQ(test, st.failed_size, 0UL);
	expect_sane(test, load->r);
}

struct crowd {
	const char *what;
	enum weight weight;	/* of the longer cases */
	unsigned int flags;
	size_t block;
	bool wander;
};

static const struct crowd crowds[] = {
	{ "shared 4K", QUICK, 0, PAGE_SIZE, false },
	{ "shared vmalloc 64K", QUICK, KREGION_F_VMALLOC, SZ_64K, false },
	{ "percpu 64K", QUICK, KREGION_F_PERCPU, SZ_64K, false },
	{ "percpu 4K, threads wander", QUICK, KREGION_F_PERCPU | KREGION_F_PAGES, PAGE_SIZE, true },
	{ "shared 64K", FULL, 0, SZ_64K, false },
	{ "shared 4K, threads wander", FULL, KREGION_F_PAGES, PAGE_SIZE, true },
	{ "percpu 4K", FULL, KREGION_F_PERCPU, PAGE_SIZE, false },
	{ "percpu vmalloc 64K", FULL, KREGION_F_PERCPU | KREGION_F_VMALLOC, SZ_64K, false },
	{ "percpu 64K, threads wander", FULL, KREGION_F_PERCPU, SZ_64K, true },
};

ROW_PARAM(crowd, crowds);
WEIGHTED_PARAM(some, crowds);

static struct load *load_of_crowd(struct kunit *test, const struct crowd *p)
{
	const struct kregion_attr attr = {
		.flags = p->flags, .block_size = p->block, .reserve = SZ_4K,
	};
	struct load *load = load_make(test, region_make(test, &attr), p->block);

	load->wander = p->wander;
	load->vmalloc = p->flags & KREGION_F_VMALLOC;
	return load;
}

static void all_contexts_at_once(struct kunit *test)
{
	struct load *load = load_of_crowd(test, test->param_value);

	load_run(load);
	load_check(test, load);
}

static void all_contexts_at_once_after_reset(struct kunit *test)
{
	const struct crowd *p = test->param_value;
	struct load *load = load_of_crowd(test, p), *again;
	struct kregion_stats st;

	load_run(load);
	kregion_reset(load->r);
	st = stats_of(load->r);
	KUNIT_EXPECT_EQ(test, st.bytes_used, 0UL);
	KUNIT_EXPECT_EQ(test, st.blocks_large, 0UL);
	KUNIT_EXPECT_EQ(test, st.blocks_spare, blocks_of(&st));

	/* Failures of the first run stay counted. */
	kregion_drop(load->r);
	again = load_make(test, load->r, p->block);
	again->wander = p->wander;
	again->vmalloc = load->vmalloc;
	again->cpu[0].taker[0].nulls = st.failed_nofill + st.failed_nomem + st.failed_limit;
	load_run(again);
	load_check(test, again);
}

/* ---- readers ------------------------------------------------------------- */

struct reader {
	struct kregion *r;
	const char *known;
	unsigned long wrong;
	struct completion begun;
};

static int reader_thread(void *data)
{
	struct reader *reader = data;
	struct kregion_stats st;

	do {
		kregion_stats(reader->r, &st);
		reader->wrong += st.bytes_used > st.bytes_held || !st.bytes_used;
		reader->wrong += !kregion_contains(reader->r, reader->known);
		reader->wrong += kregion_contains(reader->r, reader);
		complete(&reader->begun);
		cond_resched();
	} while (!kthread_should_stop());
	return 0;
}

static void readers_disturb_nobody(struct kunit *test)
{
	struct load *load = load_of_crowd(test, test->param_value);
	struct reader *reader = buffer(test, sizeof(*reader));
	struct task_struct *task;
	char *known;

	known = kregion_alloc(load->r, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, known);
	load->cpu[0].taker[THREAD].bytes = 64;
	reader->r = load->r;
	reader->known = known + 63;
	init_completion(&reader->begun);
	task = thread_make(test, reader_thread, reader, -1);
	wake_up_process(task);
	wait_for_completion(&reader->begun);
	load_run(load);
	thread_stop(task);
	KUNIT_EXPECT_EQ(test, reader->wrong, 0UL);
	load_check(test, load);
}

/* Allocate, drop and reset as fast as possible. */
static int restless_thread(void *data)
{
	struct reader *reader = data;
	unsigned int round, i;

	for (round = 0; !kthread_should_stop(); round++) {
		/* More blocks than a reader walks in one hold of the lock. */
		for (i = 0; i < 150; i++)
			reader->wrong += !kregion_alloc(reader->r, PAGE_SIZE / 2, GFP_KERNEL);
		for (i = 0; i < 30; i++)
			reader->wrong += !kregion_alloc(reader->r, PAGE_SIZE / 8, GFP_KERNEL);
		if (round % 3)
			kregion_drop(reader->r);
		else
			kregion_reset(reader->r);
		complete(&reader->begun);
	}
	return 0;
}

static void readers_meet_drops(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = { .flags = mode->flags, .block_size = PAGE_SIZE };
	struct reader *reader = buffer(test, sizeof(*reader));
	struct kregion *r = region_named(test, "kunit-restless", &attr);
	struct kregion_stats st;
	unsigned long wrong = 0;
	unsigned int i;

	reader->r = r;
	init_completion(&reader->begun);
	wake_up_process(thread_make(test, restless_thread, reader, -1));
	wait_for_completion(&reader->begun);
	for (i = 0; i < 400 * scale; i++) {
		kregion_stats(r, &st);
		wrong += st.bytes_used > st.bytes_held || st.bytes_held % PAGE_SIZE;
		wrong += kregion_contains(r, reader);
		if (i % 50 == 0)
			file_text(test, i % 100 ? "blocks" : "totals");
		cond_resched();
	}
	/* The other thread went on meanwhile. */
	for (i = 0; i < 3; i++)
		wait_for_completion(&reader->begun);
	KUNIT_EXPECT_EQ(test, wrong, 0UL);
	KUNIT_EXPECT_EQ(test, reader->wrong, 0UL);
}

#define WALK_ROUNDS	20
#define WALK_BLOCKS	200

struct walk {
	struct kregion *r;
	void (*end)(struct kregion *r);
	struct hrtimer timer;
	struct completion begun, ended;
};

static enum hrtimer_restart wake_ender(struct hrtimer *timer)
{
	complete(&container_of(timer, struct walk, timer)->begun);
	return HRTIMER_NORESTART;
}

static int ender_thread(void *data)
{
	struct walk *walk = data;
	int i;

	for (i = 0; i < WALK_ROUNDS; i++) {
		wait_for_completion(&walk->begun);
		walk->end(walk->r);
		complete(&walk->ended);
	}
	return 0;
}

static const struct walk_param {
	const char *what;
	void (*end)(struct kregion *r);
	size_t size;
	unsigned int number;		/* that fit into a block */
} walk_params[] = {
	{ "drop, ordinary blocks", kregion_drop, PAGE_SIZE / 8, 7 },
	{ "reset, large blocks", kregion_reset, PAGE_SIZE / 2, 1 },
	{ "destroy", kregion_destroy, PAGE_SIZE / 2, 1 },
};

ROW_PARAM(walk, walk_params);

/*
 * The timer expires while the walk holds the lock. When it drops that, a thread
 * of a higher priority, on this CPU, frees the blocks, or waits for the reader.
 */
static void drop_reset_and_destroy_interrupt_a_walk(struct kunit *test)
{
	const struct walk_param *p = test->param_value;
	const struct kregion_attr attr = { .flags = KREGION_F_PAGES, .block_size = PAGE_SIZE };
	struct walk *walk = buffer(test, sizeof(*walk));
	char *text = buffer(test, SZ_64K);
	struct task_struct *task;
	struct file *file;
	unsigned int i, k;

	walk->end = p->end;
	init_completion(&walk->begun);
	init_completion(&walk->ended);
	hrtimer_setup(&walk->timer, wake_ender, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	migrate_disable();
	task = thread_make(test, ender_thread, walk, raw_smp_processor_id());
	sched_set_fifo(task);
	wake_up_process(task);
	for (i = 0; i < WALK_ROUNDS; i++) {
		walk->r = kregion_create("kunit-walk", &attr);
		for (k = 0; k < p->number * WALK_BLOCKS; k++)
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(walk->r, p->size, GFP_KERNEL));
		if (p->end == kregion_destroy) {
			file = file_open(test, "blocks");
			hrtimer_start(&walk->timer, i * 20 * NSEC_PER_USEC,
				      HRTIMER_MODE_REL_PINNED_HARD);
			file_read(file, text, SZ_64K);
			filp_close(file, NULL);
		} else {
			hrtimer_start(&walk->timer, i * 2 * NSEC_PER_USEC,
				      HRTIMER_MODE_REL_PINNED_HARD);
			KUNIT_EXPECT_FALSE(test, kregion_contains(walk->r, walk));
		}
		KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&walk->ended, 10 * HZ), 0UL);
		if (p->end == kregion_destroy)
			continue;
		KUNIT_EXPECT_EQ(test, stats_of(walk->r).bytes_held, 0UL);
		kregion_destroy(walk->r);
	}
	migrate_enable();
	thread_stop(task);
}

/* ---- at the limit -------------------------------------------------------- */

/* All CPUs race for the last bytes; the sum is exact. */
struct fight {
	struct kregion *r;
	atomic_long_t got;
};

static void fight_for_bytes(void *data, int i)
{
	struct fight *f = data;
	unsigned long got = 0;
	unsigned long tries;

	/* 8 and 200 bytes in turn: many times the limit. */
	for (tries = 0; tries < PAGE_SIZE / 2; tries++)
		got += !!kregion_alloc(f->r, hidden(tries % 2 ? 200 : 8), GFP_KERNEL) *
		       (tries % 2 ? 200 : 8);
	atomic_long_add(got, &f->got);
}

static void the_limit_is_exact_with_all_cpus_at_it(struct kunit *test)
{
	const unsigned long blocks = 4 * num_online_cpus();
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = blocks * PAGE_SIZE,
	};
	struct fight *f = buffer(test, sizeof(*f));
	struct kregion_stats st;

	f->r = region_make(test, &attr);
	threads_run(test, num_online_cpus(), fight_for_bytes, f);
	st = stats_of(f->r);
	KUNIT_EXPECT_EQ(test, st.bytes_used, atomic_long_read(&f->got));
	KUNIT_EXPECT_EQ(test, st.bytes_held, attr.limit);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), blocks);
	KUNIT_EXPECT_GT(test, st.failed_limit, 0UL);
	expect_sane(test, f->r);
}

/* ---- on the move --------------------------------------------------------- */

/* A task that migrates while the page allocator serves it. */
struct move {
	struct task_struct *task;
	int to;
	struct completion asked;
	bool done;
};

static int mover_thread(void *data)
{
	struct move *move = data;

	while (!kthread_should_stop()) {
		if (try_wait_for_completion(&move->asked))
			set_cpus_allowed_ptr(move->task, cpumask_of(move->to));
		usleep_range(20, 50);
	}
	return 0;
}

/*
 * Preemption is off: the task migrates once it is on again, if the migration
 * thread has been woken by then.
 */
static void move_me(void *arg)
{
	struct move *move = arg;

	if (move->done)
		return;
	move->done = true;
	complete(&move->asked);
	(void)spin_until(!cpumask_test_cpu(smp_processor_id(), current->cpus_ptr) &&
			 need_resched());
}

struct way {
	const char *what;
	unsigned int flags;
	size_t align;
};

static const struct way ways[] = {
	{ "pages", KREGION_F_PAGES, 8 },
	{ "pages, aligned", KREGION_F_PAGES, 64 },
	{ "vmalloc", KREGION_F_VMALLOC, 8 },
	{ "debug", KREGION_F_DEBUG, 8 },
};

ROW_PARAM(way, ways);

/* Current blocks of @cpu, according to debugfs. */
static int current_blocks(struct kunit *test, const char *name, int cpu)
{
	const u64 number = region_number(test, name);
	const char *line = file_text(test, "blocks");
	char text[16];
	int n = 0;

	for (; line; line = next_line(line)) {
		column_text(line, 1, text, sizeof(text));
		if (column(line, 0) != number || strcmp(text, "current"))
			continue;
		column_text(line, 2, text, sizeof(text));
		n += text[0] != '-' && column(line, 2) == cpu;
	}
	return n;
}

/* Returns whether the task migrated before it got the block. */
static bool moved_in_time(struct kunit *test, struct move *move, const struct way *p, int from)
{
	enum { OBJECTS = 80 };
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU | p->flags, .block_size = PAGE_SIZE,
	};
	struct kregion *r = region_named(test, "kunit-moved", &attr);
	struct object *o = buffer(test, OBJECTS * sizeof(*o));
	const size_t size = PAGE_SIZE / 16 - 8;	/* leaves room in a block */
	unsigned int n = 0;
	bool moved;

	move->done = false;
	set_cpus_allowed_ptr(current, cpumask_of(from));
	/* The first block is allocated on @from. */
	while (!move->done && n < 30) {
		if (n == 1)
			pages_hook(move_me, move);
		object_write(&o[n], kregion_alloc_aligned(r, size, p->align, GFP_KERNEL), size, n);
		n++;
	}
	pages_hook(NULL, NULL);
	moved = current_blocks(test, "kunit-moved", move->to);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2UL);
	if (moved) {
		KUNIT_EXPECT_EQ(test, current_blocks(test, "kunit-moved", from), 1);
		KUNIT_EXPECT_EQ(test, stats_of(r).blocks_full, 0UL);
		/* The block of @from is still in use. */
		set_cpus_allowed_ptr(current, cpumask_of(from));
		object_write(&o[n], kregion_alloc(r, 8, GFP_KERNEL), 8, n);
		n++;
		KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2UL);
	}
	for (; n < OBJECTS; n++) {
		set_cpus_allowed_ptr(current, cpumask_of(n % 2 ? from : move->to));
		object_write(&o[n], kregion_alloc(r, size, GFP_KERNEL), size, n);
	}
	expect_intact(test, o, n);
	expect_sane(test, r);
	region_destroy(r);
	return moved;
}

/* On a busy machine the migration may be late, but not every time. */
static void a_block_is_that_of_the_cpu_where_it_arrives(struct kunit *test)
{
	const int from = cpumask_first(cpu_online_mask), to = cpumask_last(cpu_online_mask);
	struct move *move = buffer(test, sizeof(*move));
	bool moved = false;
	int i;

	need_two_cpus(test);
	move->task = current;
	move->to = to;
	init_completion(&move->asked);
	wake_up_process(thread_make(test, mover_thread, move, to));
	for (i = 0; i < 20 && !moved; i++)
		moved = moved_in_time(test, move, test->param_value, from);
	if (!moved && !preempt_model_preemptible())
		kunit_skip(test, "the kernel preempts no task in the kernel");
	KUNIT_EXPECT_TRUE(test, moved);
}

/* ---- a block that is made current meanwhile ------------------------------ */

/* The locks of the page allocator sleep on PREEMPT_RT. */
#ifndef CONFIG_PREEMPT_RT
struct meanwhile {
	struct kregion *r;
	void *p;
	bool done;
};

static void allocate_once(void *arg)
{
	struct meanwhile *m = arg;

	if (m->done)
		return;
	m->done = true;
	m->p = kregion_alloc(m->r, 8, GFP_NOWAIT);
}

/* The block that was on its way is kept for later. */
static void a_block_made_current_meanwhile_serves(struct kunit *test)
{
	struct meanwhile m = { .r = region_of_mode(test, test->param_value) };
	struct kregion_stats st;

	migrate_disable();
	pages_hook(allocate_once, &m);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(m.r, 8, GFP_KERNEL));
	pages_hook(NULL, NULL);
	migrate_enable();
	KUNIT_EXPECT_NOT_NULL(test, m.p);
	st = stats_of(m.r);
	KUNIT_EXPECT_EQ(test, st.bytes_used, 16UL);
	KUNIT_EXPECT_EQ(test, st.blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, st.blocks_spare, 1UL);
	expect_sane(test, m.r);
}

#endif

/* ---- the end of a block that all CPUs use -------------------------------- */

static void look_at_ends(void *data, int me)
{
	struct fight *f = data;
	unsigned long outside = 0, p;
	const size_t end = PAGE_SIZE - sizeof(struct kregion_block);
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		p = (unsigned long)kregion_alloc(f->r, PAGE_SIZE / 8, GFP_KERNEL);
		outside += !p || offset_in_page(p) + PAGE_SIZE / 8 > end;
	}
	atomic_long_add(outside, &f->got);
}

static void no_object_reaches_beyond_its_block(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PAGES, .block_size = PAGE_SIZE };
	struct fight *f = buffer(test, sizeof(*f));

	f->r = region_make(test, &attr);
	threads_run(test, num_online_cpus(), look_at_ends, f);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&f->got), 0L);
	expect_sane(test, f->r);
}

/* ---- the refill of a reserve --------------------------------------------- */

static void drops_meet_refills(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .reserve = 500,
	};
	struct kregion *r = region_make(test, &attr);
	int i, n;

	for (i = 0; i < 60; i++) {
		for (n = 0; kregion_alloc_nofill(r, PAGE_SIZE / 16) && n < 1000; n++)
			if (i % 4 == 3)
				kregion_reset(r);
		KUNIT_EXPECT_GT(test, n, 0);
		if (i % 3) {
			kregion_drop(r);
		} else {
			region_destroy(r);
			r = region_make(test, &attr);
		}
		expect_sane(test, r);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(all_contexts_at_once, crowd_gen_params),
	KUNIT_CASE_PARAM(all_contexts_at_once_after_reset, some_gen_params),
	KUNIT_CASE_PARAM(readers_disturb_nobody, some_gen_params),
	KUNIT_CASE_PARAM(readers_meet_drops, base_gen_params),
	KUNIT_CASE_PARAM(drop_reset_and_destroy_interrupt_a_walk, walk_gen_params),
	KUNIT_CASE_PARAM(the_limit_is_exact_with_all_cpus_at_it, smp_gen_params),
	KUNIT_CASE_PARAM(a_block_is_that_of_the_cpu_where_it_arrives, way_gen_params),
#ifndef CONFIG_PREEMPT_RT
	KUNIT_CASE_PARAM(a_block_made_current_meanwhile_serves, smp_gen_params),
#endif
	KUNIT_CASE(no_object_reaches_beyond_its_block),
	KUNIT_CASE_PARAM(drops_meet_refills, base_gen_params),
	{}
};

KREGION_SUITE(concurrent, cases);
