// SPDX-License-Identifier: GPL-2.0
/*
 * kregion_alloc_nofill() and the reserve behind it.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/smp.h>
#include <linux/spinlock.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(all, MODES_ALL);
MODE_PARAM(base, MODES_BASE);

static DEFINE_RAW_SPINLOCK(taker_lock);

/*
 * Allocate up to @n objects with interrupts off, which keeps the refill away.
 */
static unsigned long take(struct kregion *r, size_t size, unsigned long n)
{
	unsigned long irq, got = 0;

	raw_spin_lock_irqsave(&taker_lock, irq);
	while (got < n && kregion_alloc_nofill(r, size))
		got++;
	raw_spin_unlock_irqrestore(&taker_lock, irq);
	return got;
}

static struct kregion *region_with_reserve(struct kunit *test, const struct mode *mode,
					   size_t reserve)
{
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = reserve,
	};

	return region_make(test, &attr);
}

/*
 * Use up the region, and at most two blocks on top: the refill may run on
 * another CPU meanwhile.
 */
static unsigned long spend(struct kregion *r, size_t size, size_t block)
{
	return take(r, size, (room_of(r) + 2 * block) / size);
}

/* ---- without a reserve --------------------------------------------------- */

static void without_a_block_there_is_nothing(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);

	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 8));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, hidden(1)));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 2UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
}

static void the_current_block_serves_to_its_last_byte(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);

	leave_room(test, r, capacity, 80);
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, hidden(81)));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, hidden(72)));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 16));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 8));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 1));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 3UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	/* The block is not closed. */
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_lost, 0UL);
}

static void more_than_an_eighth_is_too_large(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t eighth = block_of(mode) / 8;
	struct kregion *r = region_with_reserve(test, mode, eighth);

	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, hidden(eighth + 1)));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, block_of(mode)));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, KREGION_MAX_ALLOC + 1));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, 3UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, eighth));
}

/* ---- the promise --------------------------------------------------------- */

/* The size of all calls; 0: the largest that nofill serves. */
struct call_size {
	const char *what;
	enum weight weight;
	size_t size;
};

static const struct call_size call_sizes[] = {
	{ "size 1", QUICK, 1 },
	{ "size 7", NORMAL, 7 },
	{ "size 8", NORMAL, 8 },
	{ "size 9", QUICK, 9 },
	{ "size 64", NORMAL, 64 },
	{ "size 100", NORMAL, 100 },
	{ "an eighth", QUICK, 0 },
};

PAIR_PARAM(promise, MODES_PROMISE, call_sizes);

static size_t size_of_calls(const struct pair *p)
{
	const struct call_size *row = p->row;

	return row->size ?: block_of(p->mode) / 8;
}

/* Some blocks, but not too many calls. */
static size_t promised(const struct pair *p)
{
	const size_t size = size_of_calls(p);

	return size < 500 ? SZ_2K : 4 * size;
}

static void reserve_serves_what_was_promised(struct kunit *test)
{
	const struct pair *p = test->param_value;
	const size_t size = size_of_calls(p);
	struct kregion *r = region_with_reserve(test, p->mode, promised(p));
	const unsigned long n = promised(p) / ALIGN(size, 8);
	struct kregion_stats before = stats_of(r), after;
	unsigned long irq, got = 0;

	raw_spin_lock_irqsave(&taker_lock, irq);
	while (got < n && kregion_alloc_nofill(r, size))
		got++;
	kregion_stats(r, &after);
	raw_spin_unlock_irqrestore(&taker_lock, irq);
	KUNIT_EXPECT_EQ(test, got, n);
	KUNIT_EXPECT_EQ(test, after.fills, before.fills);
	KUNIT_EXPECT_EQ(test, after.bytes_held, before.bytes_held);
	KUNIT_EXPECT_EQ(test, after.failed_nofill, 0UL);
	if (!(p->mode->flags & KREGION_F_DEBUG))
		KUNIT_EXPECT_EQ(test, after.bytes_used, n * ALIGN(size, 8));
	expect_sane(test, r);
}

/* The promise starts in the middle of a block, behind ordinary objects. */
static void reserve_by_call_serves_what_was_promised(struct kunit *test)
{
	const struct pair *p = test->param_value;
	const size_t size = size_of_calls(p);
	struct kregion *r = region_of_mode(test, p->mode);
	const unsigned long n = promised(p) / ALIGN(size, 8);
	const size_t step = block_of(p->mode) / 16 + 8;
	int i;

	for (i = 0; i < 20; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, step, GFP_KERNEL));
	KUNIT_ASSERT_EQ(test, kregion_reserve(r, promised(p), GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, take(r, size, n), n);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
	expect_sane(test, r);
}

/* Large and small calls at random. */
static void sizes_may_be_mixed(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t eighth = block_of(mode) / 8;
	struct kregion *r = region_with_reserve(test, mode, 4 * eighth);
	struct object *o = buffer(test, 1000 * sizeof(*o));
	size_t size, left = 4 * eighth;
	struct rnd_state rnd;
	unsigned long irq;
	void *p;
	int n = 0;

	random_begin(test, &rnd);
	raw_spin_lock_irqsave(&taker_lock, irq);
	while (left && n < 1000) {
		size = prandom_u32_state(&rnd) % 4 ? 1 + prandom_u32_state(&rnd) % 50 :
		       1 + prandom_u32_state(&rnd) % eighth;
		size = min(size, left);
		p = kregion_alloc_nofill(r, size);
		if (!p)
			break;
		object_write(&o[n++], p, size, prandom_u32_state(&rnd));
		left -= ALIGN(size, 8);
	}
	raw_spin_unlock_irqrestore(&taker_lock, irq);
	KUNIT_EXPECT_TRUE_MSG(test, !left || n == 1000, "object %d, %zu bytes left", n, left);
	expect_intact(test, o, n);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
}

struct remote_take {
	struct kregion *r;
	size_t size;
	unsigned long n, got;
};

static void take_here(void *data)
{
	struct remote_take *t = data;

	t->got += take(t->r, t->size, t->n);
}

/* The promise holds on all CPUs while the refill runs. */
static void the_promise_holds_whatever_cpus_call(struct kunit *test)
{
	const struct pair *p = test->param_value;
	const size_t size = size_of_calls(p);
	struct kregion *r = region_with_reserve(test, p->mode, promised(p));
	struct remote_take t = { .r = r, .size = size };
	unsigned long left = promised(p) / ALIGN(size, 8), calls = 0;
	int cpu;

	while (left && calls < 1000) {
		for_each_online_cpu(cpu) {
			t.n = clamp(left / 8, 1UL, left);
			left -= t.n;
			t.got = 0;
			/* In a hard interrupt on other CPUs. */
			smp_call_function_single(cpu, take_here, &t, 1);
			calls++;
			KUNIT_EXPECT_EQ(test, t.got, t.n);
			if (!left)
				break;
		}
	}
	KUNIT_EXPECT_EQ(test, left, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
}

/* ---- spent, and refilled ------------------------------------------------- */

static void a_spent_reserve_is_refilled(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_with_reserve(test, mode, 2000);
	unsigned long fills;
	int round;

	for (round = 1; round <= 3; round++) {
		fills = stats_of(r).fills;
		KUNIT_EXPECT_GE(test, spend(r, 40, block_of(mode)), 2000UL / 40);
		KUNIT_ASSERT_TRUE(test, wait_until(take(r, 40, 2000 / 40) == 2000 / 40));
		/* The standby block's, if the reserve had a block in flight. */
		KUNIT_EXPECT_TRUE(test, wait_until(stats_of(r).fills > fills));
		refill_finish(r);
	}
	expect_sane(test, r);
}

/*
 * Half of a block is taken, and the refill makes up for it; the standby block
 * of that CPU serves no other.
 */
static void a_reserve_spent_by_half_is_refilled(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU, .block_size = PAGE_SIZE, .reserve = PAGE_SIZE * 7 / 8,
	};
	struct kregion *r = region_make(test, &attr);
	struct remote_take t = { .r = r, .size = 8, .n = attr.reserve / 16 };
	const unsigned long fills = stats_of(r).fills;

	need_two_cpus(test);
	smp_call_function_single(cpumask_first(cpu_online_mask), take_here, &t, 1);
	KUNIT_EXPECT_EQ(test, t.got, t.n);
	KUNIT_EXPECT_TRUE(test, wait_until(stats_of(r).fills >= fills + 2));
	t.n = attr.reserve / 8;
	t.got = 0;
	smp_call_function_single(cpumask_last(cpu_online_mask), take_here, &t, 1);
	KUNIT_EXPECT_EQ(test, t.got, t.n);
}

static void null_when_limit_and_reserve_are_spent(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 8 * PAGE_SIZE,
		.reserve = 1000,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_stats st;
	unsigned long failed;
	int i;

	for (i = 0; i < 1000 && stats_of(r).bytes_held < attr.limit; i++) {
		take(r, 8, PAGE_SIZE);
		usleep_range(1000, 2000);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, attr.limit);
	/* A refill may not have published its last block yet. */
	for (i = 0; i < 20; i++) {
		take(r, 8, attr.limit);
		usleep_range(1000, 2000);
	}
	failed = stats_of(r).failed_nofill;
	for (i = 0; i < 100; i++)
		KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 8));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.failed_nofill, failed + 100);
	KUNIT_EXPECT_EQ(test, st.bytes_held, attr.limit);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), 8UL);
	KUNIT_EXPECT_EQ(test, st.bytes_lost, 0UL);
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));

	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, take(r, 8, 1000 / 8), 1000UL / 8);
}

static void reserve_is_restored_by_drop_and_reset(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_with_reserve(test, mode, 3000);
	const unsigned long room = room_of(r);
	const unsigned long held = stats_of(r).bytes_held;
	struct kregion_stats st;
	int round;

	for (round = 0; round < 6; round++) {
		KUNIT_EXPECT_EQ(test, take(r, 30, 93), 93UL);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 500, GFP_KERNEL));
		if (round == 3) {
			/*
			 * Let the refill bring larger blocks than those of the
			 * reserve.
			 */
			take(r, 64, 2 * room);
			usleep_range(5000, 6000);
		}
		if (round % 2) {
			/* The blocks are reused, none is allocated. */
			kregion_drop(r);
			KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, held);
		} else {
			kregion_reset(r);
			KUNIT_EXPECT_GE(test, stats_of(r).bytes_held, held);
		}
		st = stats_of(r);
		KUNIT_EXPECT_EQ(test, st.bytes_used, 0UL);
		KUNIT_EXPECT_EQ(test, st.blocks_spare, blocks_of(&st));
		KUNIT_EXPECT_GE(test, room_of(r), room);
	}
	KUNIT_EXPECT_EQ(test, take(r, 30, 93), 93UL);
}

static void the_reserve_being_served_from_is_current(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_with_reserve(test, mode, 64);
	struct kregion_stats st = stats_of(r);

	KUNIT_EXPECT_EQ(test, st.blocks_spare, st.fills);
	/* No CPU has a current block yet. */
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc_nofill(r, 8));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, st.blocks_full, 0UL);
	KUNIT_EXPECT_EQ(test, st.bytes_lost, 0UL);
}

/* Ordinary objects leave the reserve alone. */
static void ordinary_objects_leave_the_reserve_alone(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = block, .limit = 24 * block,
		.reserve = block / 4,
	};
	struct kregion *r = region_make(test, &attr);
	unsigned long n = 0;

	while (kregion_alloc(r, hidden(block / 8), GFP_KERNEL))
		n++;
	KUNIT_EXPECT_GT(test, n, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 1UL);
	KUNIT_EXPECT_EQ(test, take(r, 8, block / 4 / 8), block / 4 / 8);
}

/* ---- a CPU that stays in the kernel -------------------------------------- */

struct spinner {
	struct kregion *r;
	size_t block;
	struct completion spinning;
	bool stop, over;
};

/* Trigger a refill and keep the CPU busy, for ten seconds at most. */
static int spin_in_the_kernel(void *data)
{
	const unsigned long deadline = jiffies + 10 * HZ;
	struct spinner *s = data;

	preempt_disable();
	spend(s->r, 40, s->block);
	complete(&s->spinning);
	while (!READ_ONCE(s->stop) && time_before(jiffies, deadline))
		cpu_relax();
	preempt_enable();
	WRITE_ONCE(s->over, true);
	return 0;
}

/* Is a reserve refilled while @cpu, which asked for it, is busy? */
static bool refilled_meanwhile(struct kunit *test, const struct mode *mode, int cpu)
{
	struct spinner *s = buffer(test, sizeof(*s));
	struct task_struct *task;
	bool refilled = false;
	int i;

	s->r = region_with_reserve(test, mode, 2000);
	s->block = block_of(mode);
	init_completion(&s->spinning);
	task = thread_make(test, spin_in_the_kernel, s, cpu);
	wake_up_process(task);
	wait_for_completion(&s->spinning);
	for (i = 0; i < 250 && !refilled; i++) {
		usleep_range(1000, 2000);
		refilled = kregion_alloc_nofill(s->r, 40);
	}
	refilled = refilled && !READ_ONCE(s->over);
	WRITE_ONCE(s->stop, true);
	thread_stop(task);
	return refilled;
}

static void a_busy_cpu_stops_no_refill(struct kunit *test)
{
	const int cpu = another_cpu(test);
	int left = 10;

	/*
	 * A worker that wakes up on that CPU all the same waits for the load
	 * balancer, for tens of seconds on a busy host.
	 */
	while (left && !refilled_meanwhile(test, test->param_value, cpu))
		left--;
	KUNIT_EXPECT_GT(test, left, 0);
}

/* ---- a refill that fails ------------------------------------------------- */

/* No nofill call follows that could trigger it. */
static void a_failed_refill_is_tried_again(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .limit = SZ_16M, .reserve = 2000,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_priv *rg = to_priv(r);
	unsigned long fills;

	/* The limit allows no further block for now. */
	WRITE_ONCE(rg->limit, stats_of(r).bytes_held);
	spend(r, 40, block_of(mode));
	fills = stats_of(r).fills;
	usleep_range(20000, 25000);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
	WRITE_ONCE(rg->limit, attr.limit);
	KUNIT_EXPECT_TRUE(test, wait_until(stats_of(r).fills > fills));
	KUNIT_EXPECT_TRUE(test, wait_until(take(r, 40, 50)));
}

struct thief {
	struct hrtimer timer;
	struct kregion *r;
	unsigned long taken;
};

/* Use up a reserve as soon as it is filled, once. */
static enum hrtimer_restart steal(struct hrtimer *timer)
{
	struct thief *t = container_of(timer, struct thief, timer);
	struct kregion *r = READ_ONCE(t->r);
	int left = 32 * PAGE_SIZE / 512;

	if (r && kregion_alloc_nofill(r, 512)) {
		WRITE_ONCE(t->r, NULL);
		do {
			t->taken++;
		} while (left-- && kregion_alloc_nofill(r, 512));
	}
	hrtimer_forward_now(timer, ns_to_ktime(100 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

/*
 * A reserve that is used up before kregion_reserve() returns is refilled all
 * the same.
 */
static void a_reserve_spent_at_once_is_refilled(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PAGES, .block_size = PAGE_SIZE };
	struct thief *t = buffer(test, sizeof(*t));
	const size_t reserve = 16 * PAGE_SIZE;
	int i, err = 0, stolen = 0, missing = 0;
	struct kregion *r;

	hrtimer_setup(&t->timer, steal, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_start(&t->timer, ns_to_ktime(0), HRTIMER_MODE_REL_PINNED_HARD);
	for (i = 0; i < 30 * (int)scale && !missing; i++) {
		r = region_make(test, &attr);
		WRITE_ONCE(t->r, r);
		err |= kregion_reserve(r, reserve, GFP_KERNEL);
		stolen += !xchg(&t->r, NULL);
		missing += !wait_until(room_of(r) >= reserve);
		region_destroy(r);
	}
	hrtimer_cancel(&t->timer);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, missing, 0);
	kunit_info(test, "%d of %d reserves spent, %lu objects\n", stolen, i, t->taken);
}

/* ---- kregion_reserve() --------------------------------------------------- */

static void reserve_over_the_limit_is_enospc(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 8 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);

	KUNIT_EXPECT_EQ(test, kregion_reserve(r, 9 * PAGE_SIZE, GFP_KERNEL), -ENOSPC);
	KUNIT_EXPECT_EQ(test, kregion_reserve(r, 8 * PAGE_SIZE, GFP_KERNEL), -ENOSPC);
	KUNIT_EXPECT_EQ(test, kregion_reserve(r, SIZE_MAX, GFP_KERNEL), -ENOSPC);
	KUNIT_EXPECT_LE(test, stats_of(r).bytes_held, 8 * PAGE_SIZE);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, kregion_reserve(r, PAGE_SIZE, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, take(r, 64, PAGE_SIZE / 64), PAGE_SIZE / 64);
}

/* The largest promise that the limit allows, with calls that waste the most. */
static void a_promise_cut_by_the_limit_is_kept(struct kunit *test)
{
	static const size_t sizes[] = { 8, 24, PAGE_SIZE / 16 + 8, PAGE_SIZE / 8 };
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 8 * PAGE_SIZE,
	};
	struct kregion *r;
	size_t bytes;
	int i, err;

	for (bytes = attr.limit; bytes; bytes -= 256) {
		r = region_make(test, &attr);
		err = kregion_reserve(r, bytes, GFP_KERNEL);
		region_destroy(r);
		if (!err)
			break;
		KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	}
	KUNIT_ASSERT_GT(test, bytes, attr.limit / 2);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		r = region_make(test, &attr);
		KUNIT_EXPECT_EQ(test, kregion_reserve(r, bytes, GFP_KERNEL), 0);
		KUNIT_EXPECT_EQ(test, take(r, sizes[i], bytes / sizes[i]), bytes / sizes[i]);
	}
}

/* ---- every mix of sizes, with and without a limit ------------------------ */

/* The sizes of a run of calls; @i counts the calls. */
struct mix {
	const char *what;
	size_t (*size)(size_t eighth, unsigned int i, struct rnd_state *rnd);
};

static size_t mix_bytes(size_t eighth, unsigned int i, struct rnd_state *rnd)
{
	return 1;
}

static size_t mix_odd(size_t eighth, unsigned int i, struct rnd_state *rnd)
{
	return 1 + i * 7 % 60;
}

static size_t mix_eighths(size_t eighth, unsigned int i, struct rnd_state *rnd)
{
	return eighth;
}

/* The largest size just does not fit behind smaller ones. */
static size_t mix_tails(size_t eighth, unsigned int i, struct rnd_state *rnd)
{
	return i % 9 ? eighth - 8 : eighth;
}

static size_t mix_uneven(size_t eighth, unsigned int i, struct rnd_state *rnd)
{
	return i % 2 ? eighth / 2 + 8 : eighth - 16;
}

static size_t mix_random(size_t eighth, unsigned int i, struct rnd_state *rnd)
{
	const u32 dice = prandom_u32_state(rnd);

	return 1 + (dice >> 4) % (dice % 3 ? 60 : eighth);
}

static const struct mix mixes[] = {
	{ "single bytes", mix_bytes },
	{ "odd sizes", mix_odd },
	{ "eighths", mix_eighths },
	{ "tails", mix_tails },
	{ "uneven pairs", mix_uneven },
	{ "random", mix_random },
};

/* Bytes, rounded up, of the calls of @mix until one fails. */
static size_t take_mix(struct kregion *r, const struct mix *mix, size_t eighth, size_t most,
		       struct rnd_state *rnd)
{
	unsigned long irq;
	unsigned int i = 0;
	size_t got = 0, size;

	raw_spin_lock_irqsave(&taker_lock, irq);
	while (got < most) {
		size = min(mix->size(eighth, i++, rnd), most - got);
		if (!kregion_alloc_nofill(r, size))
			break;
		got += ALIGN(size, 8);
	}
	raw_spin_unlock_irqrestore(&taker_lock, irq);
	return got;
}

MODE_PARAM(mix, MODES_MIX);

/* An accepted reserve serves every mix, and again after drop and reset. */
static void an_accepted_promise_is_kept(struct kunit *test)
{
	static const size_t reserves[] = { 8, 100, 4000, 32768, 65536, 100000 };
	static const int limits[] = { 0, 1, 2, 4, 8 };	/* of the reserve; 0: none */
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), eighth = block / 8;
	struct kregion_attr attr = { .flags = mode->flags, .block_size = block };
	unsigned int i, accepted = 0, refused = 0;
	struct rnd_state rnd;
	size_t got, enough;
	struct kregion *r;
	int k, m;

	random_begin(test, &rnd);
	for (i = 0; i < ARRAY_SIZE(reserves) * ARRAY_SIZE(limits); i++) {
		attr.reserve = reserves[i % ARRAY_SIZE(reserves)];
		k = limits[i / ARRAY_SIZE(reserves)];
		attr.limit = k ? max(k * attr.reserve, block) : 0;
		/* Twice the reserve and a block, six times with guards. */
		enough = block + (mode->flags & KREGION_F_DEBUG ? 6 : 2) * attr.reserve;
		r = kregion_create("kunit", &attr);
		if (IS_ERR(r)) {
			KUNIT_EXPECT_EQ(test, PTR_ERR(r), (long)-EINVAL);
			KUNIT_EXPECT_TRUE_MSG(test, attr.limit && attr.limit < enough,
					      "reserve=%zu limit=%zu", attr.reserve, attr.limit);
			refused++;
			continue;
		}
		for (m = 0; m < ARRAY_SIZE(mixes); m++) {
			got = take_mix(r, &mixes[m], eighth, attr.reserve, &rnd);
			KUNIT_EXPECT_EQ_MSG(test, got, ALIGN(attr.reserve, 8),
					    "%s, reserve=%zu limit=%zu", mixes[m].what,
					    attr.reserve, attr.limit);
			if (m % 2)
				kregion_drop(r);
			else
				kregion_reset(r);
		}
		KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
		accepted++;
		kregion_destroy(r);
	}
	KUNIT_EXPECT_GT(test, accepted, 0U);
	kunit_info(test, "%u accepted, %u refused\n", accepted, refused);
}

/* A reserve of 64 KiB or more holds no more than twice itself. */
static void a_reserve_holds_no_more_than_twice_itself(struct kunit *test)
{
	static const size_t reserves[] = { 65536, 65537, 80000, 131072, 200000, SZ_1M };
	const struct mode *mode = test->param_value;
	const int guards = mode->flags & KREGION_F_DEBUG ? 3 : 1;
	struct kregion_attr attr = { .flags = mode->flags, .block_size = mode->block };
	struct kregion_stats st;
	struct kregion *r;
	int i;

	for (i = 0; i < ARRAY_SIZE(reserves); i++) {
		attr.reserve = reserves[i];
		r = region_make(test, &attr);
		st = stats_of(r);
		KUNIT_EXPECT_GE(test, st.bytes_held, attr.reserve);
		KUNIT_EXPECT_LE_MSG(test, st.bytes_held, 2 * guards * attr.reserve, "reserve=%zu",
				    attr.reserve);
		/*
		 * In use: a current block and a standby block of this CPU on
		 * top.
		 */
		KUNIT_EXPECT_GT(test, take(r, 8, 100), 0UL);
		KUNIT_EXPECT_TRUE(test, wait_until(stats_of(r).fills > st.fills));
		usleep_range(1000, 2000);
		KUNIT_EXPECT_LE(test, stats_of(r).bytes_held,
				2 * guards * attr.reserve + 2 * block_of(mode));
		region_destroy(r);
	}
}

static void reserve_that_no_machine_has_is_enospc(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);

	KUNIT_EXPECT_EQ(test, kregion_reserve(r, SIZE_MAX, GFP_KERNEL), -ENOSPC);
	KUNIT_EXPECT_EQ(test, kregion_reserve(r, SIZE_MAX - 7, GFP_KERNEL), -ENOSPC);
	KUNIT_EXPECT_EQ(test, kregion_reserve(r, LONG_MAX, GFP_KERNEL), -ENOSPC);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
}

static void reserve_of_nothing_holds_nothing(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);

	KUNIT_EXPECT_EQ(test, kregion_reserve(r, 0, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
}

static void reserve_again_makes_up_for_what_was_used(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	int i;

	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, kregion_reserve(r, 4000, GFP_KERNEL), 0);
		KUNIT_EXPECT_EQ(test, take(r, 1, 500), 500UL);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
}

static void reserve_in_atomic_context(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	static DEFINE_SPINLOCK(lock);
	unsigned long irq;
	int err;

	spin_lock_irqsave(&lock, irq);
	err = kregion_reserve(r, 100, GFP_NOWAIT);
	spin_unlock_irqrestore(&lock, irq);
	KUNIT_EXPECT_EQ(test, err, mode->flags & KREGION_F_VMALLOC ? -ENOMEM : 0);
	KUNIT_EXPECT_EQ(test, take(r, 10, 6), err ? 0UL : 6UL);
}

/* ---- hard interrupts ----------------------------------------------------- */

struct tick {
	struct hrtimer timer;
	struct kregion *r;
	struct object o[200];
	int n;
	int failed;
};

static enum hrtimer_restart tick_fn(struct hrtimer *timer)
{
	struct tick *tick = container_of(timer, struct tick, timer);
	void *p = kregion_alloc_nofill(tick->r, 32);

	if (!p) {
		tick->failed++;
		return HRTIMER_NORESTART;
	}
	object_write(&tick->o[tick->n], p, 32, 0x1234 + tick->n);
	if (++tick->n == ARRAY_SIZE(tick->o))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(100 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static void a_timer_interrupt_is_served(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct tick *tick = buffer(test, sizeof(*tick));

	tick->r = region_with_reserve(test, mode, 32 * 200);
	hrtimer_setup(&tick->timer, tick_fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_start(&tick->timer, ns_to_ktime(100 * NSEC_PER_USEC), HRTIMER_MODE_REL_HARD);
	KUNIT_EXPECT_TRUE(test, wait_until(!hrtimer_active(&tick->timer)));
	hrtimer_cancel(&tick->timer);
	KUNIT_EXPECT_EQ(test, tick->n, (int)ARRAY_SIZE(tick->o));
	KUNIT_EXPECT_EQ(test, tick->failed, 0);
	expect_intact(test, tick->o, tick->n);
	KUNIT_EXPECT_EQ(test, stats_of(tick->r).bytes_used, 32UL * tick->n);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(without_a_block_there_is_nothing, base_gen_params),
	KUNIT_CASE_PARAM(the_current_block_serves_to_its_last_byte, all_gen_params),
	KUNIT_CASE_PARAM(more_than_an_eighth_is_too_large, all_gen_params),
	KUNIT_CASE_PARAM(reserve_serves_what_was_promised, promise_gen_params),
	KUNIT_CASE_PARAM(reserve_by_call_serves_what_was_promised, promise_gen_params),
	KUNIT_CASE_PARAM(sizes_may_be_mixed, all_gen_params),
	KUNIT_CASE_PARAM(the_promise_holds_whatever_cpus_call, promise_gen_params),
	KUNIT_CASE_PARAM(a_spent_reserve_is_refilled, all_gen_params),
	KUNIT_CASE(a_reserve_spent_by_half_is_refilled),
	KUNIT_CASE_PARAM(a_busy_cpu_stops_no_refill, base_gen_params),
	KUNIT_CASE_PARAM(a_failed_refill_is_tried_again, base_gen_params),
	KUNIT_CASE(a_reserve_spent_at_once_is_refilled),
	KUNIT_CASE_PARAM(null_when_limit_and_reserve_are_spent, base_gen_params),
	KUNIT_CASE_PARAM(reserve_is_restored_by_drop_and_reset, all_gen_params),
	KUNIT_CASE_PARAM(the_reserve_being_served_from_is_current, all_gen_params),
	KUNIT_CASE_PARAM(ordinary_objects_leave_the_reserve_alone, all_gen_params),
	KUNIT_CASE_PARAM(reserve_over_the_limit_is_enospc, base_gen_params),
	KUNIT_CASE_PARAM(a_promise_cut_by_the_limit_is_kept, base_gen_params),
	KUNIT_CASE_PARAM(an_accepted_promise_is_kept, mix_gen_params),
	KUNIT_CASE_PARAM(a_reserve_holds_no_more_than_twice_itself, mix_gen_params),
	KUNIT_CASE_PARAM(reserve_that_no_machine_has_is_enospc, base_gen_params),
	KUNIT_CASE_PARAM(reserve_of_nothing_holds_nothing, base_gen_params),
	KUNIT_CASE_PARAM(reserve_again_makes_up_for_what_was_used, all_gen_params),
	KUNIT_CASE_PARAM(reserve_in_atomic_context, all_gen_params),
	KUNIT_CASE_PARAM(a_timer_interrupt_is_served, base_gen_params),
	{}
};

KREGION_SUITE(nofill, cases);
