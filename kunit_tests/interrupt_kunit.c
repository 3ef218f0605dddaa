// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that a softirq of their CPU interrupts at any point, and that uses their
 * region, too.
 */

#include <linux/completion.h>
#include <linux/hrtimer.h>

#include "../kmod/internal.h"
#include "test.h"

/* With PREEMPT_RT, a softirq is a thread. */
#ifndef CONFIG_PREEMPT_RT
MODE_PARAM(base, MODES_BASE);
MODE_PARAM(smp, MODES_SMP);

struct interrupted;

struct steps {
	void (*begin)(struct interrupted *in);
	void (*call)(struct interrupted *in);
	void (*irq)(struct interrupted *in);	/* at most once in a call */
	void (*check)(struct kunit *test, struct interrupted *in);
};

struct interrupted {
	const struct steps *steps;
	struct kregion *r;
	struct object object, other;	/* of the call, of the interrupt */
	void *p;
	bool calling, inside;		/* an interrupt hit the call */
	struct hrtimer timer;
	struct rnd_state rnd;
};

static enum hrtimer_restart interrupt(struct hrtimer *timer)
{
	struct interrupted *in = container_of(timer, struct interrupted, timer);
	const u32 ns = 20000 + prandom_u32_state(&in->rnd) % 20000;

	if (READ_ONCE(in->calling) && !in->inside) {
		in->inside = true;
		in->steps->irq(in);
	}
	hrtimer_forward_now(timer, ns_to_ktime(ns));
	return HRTIMER_RESTART;
}

/* Take the steps again and again, until @wanted calls were interrupted. */
static void run_interrupted(struct kunit *test, const struct steps *steps, struct kregion *r,
			    unsigned int wanted)
{
	struct interrupted *in = buffer(test, sizeof(*in));
	const u64 end = ktime_get_mono_fast_ns() + 20ULL * NSEC_PER_SEC;
	unsigned int calls, hit = 0;

	in->steps = steps;
	in->r = r;
	random_begin(test, &in->rnd);
	hrtimer_setup(&in->timer, interrupt, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_SOFT);
	migrate_disable();
	hrtimer_start(&in->timer, ns_to_ktime(20000), HRTIMER_MODE_REL_PINNED_SOFT);
	for (calls = 0; hit < wanted && ktime_get_mono_fast_ns() < end; calls++) {
		steps->begin(in);
		in->inside = false;
		WRITE_ONCE(in->calling, true);
		steps->call(in);
		WRITE_ONCE(in->calling, false);
		steps->check(test, in);
		hit += in->inside;
		cond_resched();
	}
	hrtimer_cancel(&in->timer);
	migrate_enable();
	KUNIT_EXPECT_EQ(test, hit, wanted);
	kunit_info(test, "%u of %u calls were interrupted\n", hit, calls);
}

/* ---- the only block that the limit allows -------------------------------- */

static void drop_all(struct interrupted *in)
{
	kregion_drop(in->r);
}

static void take_eight(struct interrupted *in)
{
	in->p = kregion_alloc(in->r, hidden(8), GFP_KERNEL);
}

static void take_eight_in_irq(struct interrupted *in)
{
	kregion_alloc(in->r, hidden(8), GFP_ATOMIC | __GFP_NOWARN);
}

static void expect_served(struct kunit *test, struct interrupted *in)
{
	KUNIT_EXPECT_NOT_NULL(test, in->p);
}

static const struct steps last_block = {
	.begin = drop_all, .call = take_eight, .irq = take_eight_in_irq, .check = expect_served,
};

/* A block that the interrupt allocates serves the call, too. */
static void a_block_of_an_interrupt_serves(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);

	run_interrupted(test, &last_block, r, 300 * scale);
	expect_sane(test, r);
}

/* ---- a block in flight --------------------------------------------------- */

struct hit_call {
	struct other_call call;
	struct hrtimer timer;
	u32 ns;				/* from the begin of the call */
};

static void hit_later(struct other_call *call)
{
	struct hit_call *hit = container_of(call, struct hit_call, call);

	hrtimer_start(&hit->timer, ns_to_ktime(hit->ns), HRTIMER_MODE_REL_PINNED_SOFT);
}

/* As much as a block has, and no more. */
static enum hrtimer_restart take_block(struct hrtimer *timer)
{
	struct hit_call *hit = container_of(timer, struct hit_call, timer);
	const size_t capacity = PAGE_SIZE - sizeof(struct kregion_block);
	size_t left = capacity, size;

	for (; left; left -= size) {
		size = left >= capacity / 8 ? ALIGN_DOWN(capacity / 8, KREGION_ALIGN) :
					      KREGION_ALIGN;
		kregion_alloc(hit->call.r, hidden(size), GFP_ATOMIC | __GFP_NOWARN);
	}
	return HRTIMER_NORESTART;
}

/* Of the two blocks that the limit allows, the interrupt takes the other one. */
static void a_block_in_flight_is_waited_for(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_PAGES, .block_size = PAGE_SIZE, .limit = 2 * PAGE_SIZE,
	};
	struct hit_call *hit = buffer(test, sizeof(*hit));
	struct kregion *r = region_make(test, &attr);
	unsigned int i, waits = 0, refused = 0;
	struct rnd_state rnd;

	random_begin(test, &rnd);
	hrtimer_setup(&hit->timer, take_block, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_SOFT);
	for (i = 0; i < 400 * scale; i++) {
		hit->call = (struct other_call){
			.r = r, .gfp = GFP_KERNEL, .patience = 2, .begin = hit_later,
		};
		hit->ns = prandom_u32_state(&rnd) % 30000;
		call_during(test, r, &hit->call);
		hrtimer_cancel(&hit->timer);
		waits += !hit->call.in_time;
		refused += !hit->call.p;
		kregion_drop(r);
	}
	KUNIT_EXPECT_EQ(test, refused, 0U);
	KUNIT_EXPECT_GT(test, waits, 0U);
	kunit_info(test, "%u of %u calls waited\n", waits, i);
}

/* ---- a search for a spare block ------------------------------------------ */

/* Small objects of such a block, an eighth, do not fit into one of a page. */
#define BIG	(16 * PAGE_SIZE)
#define SMALL	100			/* spare blocks of a page in front */

static void all_spare(struct interrupted *in)
{
	kregion_reset(in->r);
}

/* As a search for a big one has put it in front. */
static void small_ones_first(struct interrupted *in)
{
	struct kregion_priv *rg = to_priv(in->r);
	struct kregion_block *b, *big, **at;
	unsigned int i;

	all_spare(in);
	for (i = 0; i < region_buckets(rg); i++) {
		big = NULL;
		at = &rg->bucket[i].blocks;
		while ((b = *at)) {
			if (block_room(b) < BIG / 8) {
				at = &b->chain;
				continue;
			}
			*at = b->chain;
			b->chain = big;
			big = b;
		}
		*at = big;
	}
}

static void take_big(struct interrupted *in)
{
	object_write(&in->object, kregion_alloc(in->r, BIG / 8, GFP_KERNEL), BIG / 8, 1);
}

/* Half of the small blocks, and all of the first big one. */
static void take_blocks_in_irq(struct interrupted *in)
{
	int i;

	for (i = 0; i < 7 * SMALL / 2; i++)
		kregion_alloc(in->r, PAGE_SIZE / 8, GFP_ATOMIC);
	/* The first of them. */
	object_write(&in->other, kregion_alloc(in->r, BIG / 8, GFP_ATOMIC), BIG / 8, 2);
	for (i = 1; i < 7; i++)
		kregion_alloc(in->r, BIG / 8, GFP_ATOMIC);
}

static void expect_apart(struct kunit *test, struct interrupted *in)
{
	KUNIT_EXPECT_TRUE(test, in->object.p && object_intact(&in->object));
	if (in->inside)
		KUNIT_EXPECT_TRUE(test, in->other.p && object_intact(&in->other));
}

static const struct steps search = {
	.begin = small_ones_first, .call = take_big, .irq = take_blocks_in_irq,
	.check = expect_apart,
};

/* The search goes on behind blocks that the interrupt took into use. */
static void a_search_skips_blocks_taken_meanwhile(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags | KREGION_F_PAGES, .block_size = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	int i;

	/* New blocks are put in front of the current one. */
	to_priv(r)->block_size = BIG;
	for (i = 0; i < 3 * 7; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, BIG / 8, GFP_KERNEL));
	to_priv(r)->block_size = PAGE_SIZE;
	while (stats_of(r).fills < SMALL + 3)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 8, GFP_KERNEL));
	to_priv(r)->block_size = BIG;
	run_interrupted(test, &search, r, 50 * scale);
	to_priv(r)->block_size = PAGE_SIZE;
}

/* ---- a walk ------------------------------------------------------------- */

static void make_large(struct interrupted *in)
{
	int i;

	if (in->p && !in->inside)
		return;		/* They are all there. */
	in->p = in;
	for (i = 0; i < 3 * KREGION_HOLD_MAX; i++)
		if (!kregion_alloc(in->r, PAGE_SIZE / 2, GFP_KERNEL))
			in->p = NULL;
}

static void walk_blocks(struct interrupted *in)
{
	if (kregion_contains(in->r, in))
		in->p = NULL;
}

static void expect_not_found(struct kunit *test, struct interrupted *in)
{
	KUNIT_EXPECT_NOT_NULL(test, in->p);
}

static const struct steps walk = {
	.begin = make_large, .call = walk_blocks, .irq = all_spare, .check = expect_not_found,
};

/* It begins again, as the blocks at its position have been freed. */
static void a_walk_survives_a_reset(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags | KREGION_F_PAGES, .block_size = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);

	run_interrupted(test, &walk, r, 20 * scale);
}

/* ---- a promise ----------------------------------------------------------- */

#define PROMISE	2000

static void make_without_promise(struct interrupted *in)
{
	in->r = kregion_create("kunit-promise", &(struct kregion_attr){ .block_size = PAGE_SIZE });
	kregion_alloc(in->r, 8, GFP_KERNEL);
}

static void promise(struct interrupted *in)
{
	in->p = kregion_reserve(in->r, PROMISE, GFP_KERNEL) ? NULL : in;
}

/* As much as fits, and then a part of what is being reserved. */
static void spend_in_irq(struct interrupted *in)
{
	while (kregion_alloc_nofill(in->r, 400))
		;
}

static void expect_promise(struct kunit *test, struct interrupted *in)
{
	int i;

	KUNIT_EXPECT_NOT_NULL(test, in->p);
	refill_finish(in->r);
	for (i = 0; i < PROMISE / 8; i++)
		if (!kregion_alloc_nofill(in->r, 8))
			break;
	KUNIT_EXPECT_EQ(test, i, PROMISE / 8);
	kregion_destroy(in->r);
}

static const struct steps reservation = {
	.begin = make_without_promise, .call = promise, .irq = spend_in_irq,
	.check = expect_promise,
};

/* What the interrupt took is made up for, as it saw no promise yet. */
static void a_promise_is_kept_when_spent_at_once(struct kunit *test)
{
	run_interrupted(test, &reservation, NULL, 60 * scale);
}

/* ---- a rotate ------------------------------------------------------------ */

#define PIECE	480			/* a block of a page has room for eight */

static struct {
	struct kregion *r;
	struct kregion_gen *sealed;
	bool go;
	struct completion done;
} rotation;

/* Rotates on another CPU when the interrupt says so. */
static int rotation_thread(void *unused)
{
	while (!kthread_should_stop()) {
		if (READ_ONCE(rotation.go)) {
			WRITE_ONCE(rotation.go, false);
			rotation.sealed = kregion_rotate(rotation.r);
			complete(&rotation.done);
		}
		cond_resched();
		cpu_relax();
	}
	return 0;
}

/* Of the current block of this CPU. */
static long current_room(struct kregion_priv *rg)
{
	const struct __kregion_cursor *cur = *region_current(rg, region_this_cpu(rg));

	return (long)cur - atomic_long_read(&cur->shared);
}

/* The next call takes the standby block. */
static void leave_no_room(struct interrupted *in)
{
	refill_finish(in->r);
	while (current_room(to_priv(in->r)) >= PIECE)
		if (!kregion_alloc(in->r, PIECE, GFP_KERNEL))
			break;
	reinit_completion(&rotation.done);
}

static void take_standby(struct interrupted *in)
{
	in->p = kregion_alloc_nofill(in->r, hidden(PIECE));
}

/* Until the generation of the call has been replaced. */
static void rotate_in_irq(struct interrupted *in)
{
	const unsigned long epoch = READ_ONCE(to_priv(in->r)->epoch);

	WRITE_ONCE(rotation.go, true);
	(void)spin_until(READ_ONCE(to_priv(in->r)->epoch) != epoch);
}

static void rotation_finish(struct kunit *test)
{
	KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&rotation.done, 10 * HZ), 0UL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rotation.sealed));
}

/* Nothing more is allocated from what is sealed. */
static void expect_sealed(struct kunit *test, struct interrupted *in)
{
	struct object o[3] = {};
	size_t bytes, i;

	KUNIT_EXPECT_NOT_NULL(test, in->p);
	if (!in->inside)
		return;
	rotation_finish(test);
	bytes = span_bytes(rotation.sealed);
	for (i = 0; i < ARRAY_SIZE(o); i++)
		object_write(&o[i], kregion_alloc(in->r, 100, GFP_KERNEL), 100, i);
	KUNIT_EXPECT_EQ(test, span_bytes(rotation.sealed), bytes);
	kregion_gen_free(rotation.sealed);
	expect_intact(test, o, ARRAY_SIZE(o));
}

static const struct steps standby = {
	.begin = leave_no_room, .call = take_standby, .irq = rotate_in_irq,
	.check = expect_sealed,
};

static void begin_rotation(struct interrupted *in)
{
	reinit_completion(&rotation.done);
}

static void promise_more(struct interrupted *in)
{
	in->p = kregion_reserve(in->r, PROMISE, GFP_KERNEL) ? NULL : in;
}

/* What it filled may be sealed: then it fills again. */
static void expect_promised(struct kunit *test, struct interrupted *in)
{
	int i;

	KUNIT_EXPECT_NOT_NULL(test, in->p);
	if (in->inside)
		rotation_finish(test);
	for (i = 0; i < PROMISE / 8; i++)
		if (!kregion_alloc_nofill(in->r, 8))
			break;
	KUNIT_EXPECT_EQ(test, i, PROMISE / 8);
	if (in->inside)
		kregion_gen_free(rotation.sealed);
	refill_finish(in->r);
}

static const struct steps promises = {
	.begin = begin_rotation, .call = promise_more, .irq = rotate_in_irq,
	.check = expect_promised,
};

static unsigned int actions_run;

static void count_action(void *arg)
{
	actions_run++;
}

static void add_action(struct interrupted *in)
{
	in->p = kregion_add_action(in->r, count_action, NULL, GFP_KERNEL) ? NULL : in;
}

/* It runs once: with the generation that has its record. */
static void expect_one_action(struct kunit *test, struct interrupted *in)
{
	actions_run = 0;
	KUNIT_EXPECT_NOT_NULL(test, in->p);
	if (in->inside) {
		rotation_finish(test);
		kregion_gen_free(rotation.sealed);
	}
	kregion_drop(in->r);
	KUNIT_EXPECT_EQ(test, actions_run, 1U);
}

static const struct steps action = {
	.begin = begin_rotation, .call = add_action, .irq = rotate_in_irq,
	.check = expect_one_action,
};

static const struct {
	const char *what;
	const struct steps *steps;
	size_t reserve;
} rotated[] = {
	{ "the use of a standby block", &standby, PROMISE },
	{ "a promise", &promises, 8 },
	{ "an action", &action, 0 },
};

ROW_PARAM(rotated, rotated);

/* On another CPU, at any point of the call. */
static void a_call_meets_a_rotate(struct kunit *test)
{
	const typeof(rotated[0]) *row = test->param_value;
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU | KREGION_F_PAGES, .block_size = PAGE_SIZE,
		.reserve = row->reserve,
	};
	struct task_struct *task;

	rotation.r = region_make(test, &attr);
	rotation.go = false;
	init_completion(&rotation.done);
	task = thread_make(test, rotation_thread, NULL, another_cpu(test));
	wake_up_process(task);
	run_interrupted(test, row->steps, rotation.r, 30 * scale);
	thread_stop(task);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(a_block_of_an_interrupt_serves, smp_gen_params),
	KUNIT_CASE(a_block_in_flight_is_waited_for),
	KUNIT_CASE_PARAM(a_search_skips_blocks_taken_meanwhile, smp_gen_params),
	KUNIT_CASE_PARAM(a_walk_survives_a_reset, base_gen_params),
	KUNIT_CASE(a_promise_is_kept_when_spent_at_once),
	KUNIT_CASE_PARAM(a_call_meets_a_rotate, rotated_gen_params),
	{}
};
#else
static struct kunit_case cases[] = { {} };
#endif

KREGION_SUITE(interrupt, cases);
