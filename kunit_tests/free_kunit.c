// SPDX-License-Identifier: GPL-2.0
/*
 * Drop and reset, and violations of their rules.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(all, MODES_ALL);
MODE_PARAM(base, MODES_BASE);

/* A few blocks of small objects, and two large ones. */
static void use(struct kunit *test, struct kregion *r, size_t block)
{
	int i;

	for (i = 0; i < 30; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, block / 8, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, block / 2, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, block, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 1, GFP_KERNEL));
}

static void drop_gives_everything_back(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	const long before = bytes_outstanding();
	struct kregion_stats st;

	use(test, r, block_of(mode));
	KUNIT_EXPECT_EQ(test, bytes_outstanding() - before, (long)stats_of(r).bytes_held);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), 0UL);
	KUNIT_EXPECT_EQ(test, st.bytes_held + st.bytes_used + st.bytes_lost, 0UL);
	KUNIT_EXPECT_EQ(test, st.drops, 1UL);
	KUNIT_EXPECT_EQ(test, st.resets, 0UL);
	expect_sane(test, r);
}

static void region_is_as_new_after_drop(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats first, second;

	use(test, r, block_of(mode));
	first = stats_of(r);
	kregion_drop(r);
	use(test, r, block_of(mode));
	second = stats_of(r);
	KUNIT_EXPECT_EQ(test, second.blocks_current, first.blocks_current);
	KUNIT_EXPECT_EQ(test, second.blocks_full, first.blocks_full);
	KUNIT_EXPECT_EQ(test, second.blocks_large, first.blocks_large);
	KUNIT_EXPECT_EQ(test, second.blocks_spare, first.blocks_spare);
	KUNIT_EXPECT_EQ(test, second.bytes_held, first.bytes_held);
	KUNIT_EXPECT_EQ(test, second.bytes_used, first.bytes_used);
	KUNIT_EXPECT_EQ(test, second.bytes_lost, first.bytes_lost);
	KUNIT_EXPECT_EQ(test, second.fills, 2 * first.fills);
	KUNIT_EXPECT_EQ(test, second.blocks_peak, first.blocks_peak);
}

static void reset_keeps_ordinary_blocks_only(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats before, after;

	use(test, r, block_of(mode));
	before = stats_of(r);
	kregion_reset(r);
	after = stats_of(r);
	KUNIT_EXPECT_EQ(test, after.blocks_spare, before.blocks_current + before.blocks_full);
	KUNIT_EXPECT_EQ(test, blocks_of(&after), after.blocks_spare);
	KUNIT_EXPECT_EQ(test, after.bytes_used + after.bytes_lost, 0UL);
	KUNIT_EXPECT_EQ(test, after.bytes_held, after.blocks_spare * block_of(mode));
	KUNIT_EXPECT_EQ(test, after.fills, before.fills);
	KUNIT_EXPECT_EQ(test, after.resets, 1UL);
	KUNIT_EXPECT_EQ(test, after.drops, 0UL);
	expect_sane(test, r);
}

static void no_block_is_asked_for_after_reset(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	struct kregion *r = region_of_mode(test, mode);
	unsigned long fills = 0;
	int round, i;

	for (round = 0; round < 5; round++) {
		struct object o[40];

		for (i = 0; i < ARRAY_SIZE(o); i++)
			object_write(&o[i], kregion_alloc(r, block / 8, GFP_KERNEL), block / 8,
				     round * 100 + i);
		expect_intact(test, o, ARRAY_SIZE(o));
		fills = fills ?: stats_of(r).fills;
		KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 5 * block);
		expect_sane(test, r);
		kregion_reset(r);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).resets, 5UL);
}

static void drop_and_reset_of_an_unused_region(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);

	kregion_reset(r);
	kregion_drop(r);
	kregion_drop(r);
	kregion_reset(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).drops, 2UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).resets, 2UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8UL);
}

static void drop_after_reset_gives_the_spares_back(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);

	use(test, r, block_of(mode));
	kregion_reset(r);
	KUNIT_EXPECT_GT(test, stats_of(r).bytes_held, 0UL);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
}

static void limit_holds_across_drop_and_reset(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 3 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	unsigned long got, first = 0;
	int round;

	for (round = 0; round < 4; round++) {
		for (got = 0; kregion_alloc(r, 500, GFP_KERNEL); got++)
			;
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 3 * PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, round + 1UL);
		first = first ?: got;
		KUNIT_EXPECT_EQ(test, got, first);
		if (round % 2)
			kregion_drop(r);
		else
			kregion_reset(r);
	}
	KUNIT_EXPECT_GT(test, first, 3UL);
}

/* Spare blocks count against the limit, freed blocks do not. */
static void reset_makes_room_for_small_objects(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 8 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 6 * PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, 6 * PAGE_SIZE, GFP_KERNEL));
	kregion_reset(r);
	/* The large block is gone, so there is room for one again. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 6 * PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_LE(test, stats_of(r).bytes_held, 8 * PAGE_SIZE);
}

static void reset_in_atomic_context(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	static DEFINE_SPINLOCK(lock);
	unsigned long irq;

	use(test, r, block_of(mode));
	spin_lock_irqsave(&lock, irq);
	kregion_reset(r);
	spin_unlock_irqrestore(&lock, irq);
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	use(test, r, block_of(mode));
	expect_sane(test, r);
}

static void peak_is_the_most_ever_held(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st;

	use(test, r, block_of(mode));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_peak, blocks_of(&st));
	kregion_drop(r);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_peak, st.blocks_peak);
}

/* ---- misuse -------------------------------------------------------------- */

/* Calls from a probe while @r is being dropped or reset. */
struct intruder {
	int allocs, nofills, resets;	/* how often to try */
	bool middle;			/* in the middle, not at the start */
	struct kregion *r;
	int refused, tried;
	/* for a second drop */
	bool linger;
	struct completion inside;
	bool leave;
};

static struct intruder *intruding;

static void intrude(struct intruder *in)
{
	int i;

	for (i = 0; i < in->allocs; i++) {
		in->refused += !kregion_alloc(in->r, hidden(8 + 8 * i), GFP_ATOMIC);
		in->refused += !kregion_alloc_aligned(in->r, 8, 64, GFP_ATOMIC);
		in->refused += !kregion_alloc(in->r, SZ_256K, GFP_ATOMIC);
		in->tried += 3;
	}
	for (i = 0; i < in->nofills; i++, in->tried++)
		in->refused += !kregion_alloc_nofill(in->r, 8);
	for (i = 0; i < in->resets; i++)
		kregion_reset(in->r);
}

static void probe_start(void *data, u64 id, const char *name, unsigned long held)
{
	struct intruder *in = READ_ONCE(intruding);

	if (!in || in->middle)
		return;
	if (!in->linger) {
		intrude(in);
		return;
	}
	/* Stay in the first drop until the second one has returned. */
	complete(&in->inside);
	(void)spin_until(READ_ONCE(in->leave));
}

/* Runs where a large block is freed. */
static void probe_middle(void *data, u64 id, const char *name, unsigned long bytes, int backing)
{
	struct intruder *in = READ_ONCE(intruding);

	if (in && in->middle)
		intrude(in);
}

static struct probe misuse_probes[] = {
	{ "kregion_drop", probe_start },
	{ "kregion_reset", probe_start },
	{ "kregion_block_free", probe_middle },
};

struct misuse {
	const char *what;
	enum weight weight;
	bool drop;
	struct intruder in;
};

/* At the start of a drop or reset, and in the middle of it. */
static const struct misuse misuses[] = {
	{ "alloc during drop", QUICK, true, { .allocs = 1 } },
	{ "alloc during reset", QUICK, false, { .allocs = 10 } },
	{ "nofill during drop", QUICK, true, { .nofills = 3 } },
	{ "nofill during reset", QUICK, false, { .nofills = 1 } },
	{ "reset during drop", QUICK, true, { .resets = 1 } },
	{ "reset during reset", QUICK, false, { .resets = 2 } },
	{ "all during drop", QUICK, true, { .allocs = 2, .nofills = 2, .resets = 2 } },
	{ "alloc during drop, in the middle", QUICK, true, { .middle = true, .allocs = 1 } },
	{ "alloc during reset, in the middle", QUICK, false, { .middle = true, .allocs = 10 } },
	{ "nofill during drop, in the middle", QUICK, true, { .middle = true, .nofills = 3 } },
	{ "nofill during reset, in the middle", QUICK, false, { .middle = true, .nofills = 1 } },
	{ "reset during drop, in the middle", QUICK, true, { .middle = true, .resets = 1 } },
	{ "reset during reset, in the middle", QUICK, false, { .middle = true, .resets = 2 } },
	{ "all during drop, in the middle", QUICK, true,
	  { .middle = true, .allocs = 2, .nofills = 2, .resets = 2 } },
};

PAIR_PARAM(misuse, MODES_MISUSE, misuses);

static void intruder_is_refused_with_one_warning(struct kunit *test)
{
	const struct pair *pair = test->param_value;
	const struct misuse *p = pair->row;
	const struct kregion_attr attr = { .flags = pair->mode->flags, .reserve = 100 };
	struct kregion *r = region_named(test, "kunit-misused", &attr);
	struct intruder in = p->in;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 1000, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, KREGION_BLOCK_SIZE, GFP_KERNEL));
	in.r = r;
	expect_warnings(test, 1);
	WRITE_ONCE(intruding, &in);
	if (p->drop)
		kregion_drop(r);
	else
		kregion_reset(r);
	WRITE_ONCE(intruding, NULL);
	KUNIT_EXPECT_EQ(test, in.refused, in.tried);
	KUNIT_EXPECT_GT(test, in.tried + in.resets, 0);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).drops, p->drop ? 1UL : 0);
	KUNIT_EXPECT_EQ(test, stats_of(r).resets, p->drop ? 0 : 1UL);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-misused"));
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
	/* The region works. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 8));
	expect_sane(test, r);
}

/* The next drop or reset has a warning of its own. */
static void each_drop_warns_for_itself(struct kunit *test)
{
	struct kregion *r = region_named(test, "kunit-misused", NULL);
	struct intruder in = { .r = r, .allocs = 3, .middle = true };
	unsigned long warnings;
	int round;

	for (round = 1; round <= 4; round++) {
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, KREGION_BLOCK_SIZE, GFP_KERNEL));
		warnings = warnings_seen();
		expect_warnings(test, 1);
		WRITE_ONCE(intruding, &in);
		if (round % 2)
			kregion_drop(r);
		else
			kregion_reset(r);
		WRITE_ONCE(intruding, NULL);
		KUNIT_EXPECT_EQ(test, warnings_seen() - warnings, 1UL);
		KUNIT_EXPECT_EQ(test, in.refused, 9 * round);
	}
}

static int drop_in_thread(void *data)
{
	kregion_drop(data);
	return 0;
}

static void two_drops_at_once(struct kunit *test)
{
	struct kregion *r = region_named(test, "kunit-dropped", NULL);
	const int cpu = another_cpu(test);
	struct intruder in = { .r = r, .linger = true };
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 1000, GFP_KERNEL));
	init_completion(&in.inside);
	task = thread_make(test, drop_in_thread, r, cpu);
	expect_warnings(test, 1);
	WRITE_ONCE(intruding, &in);
	wake_up_process(task);
	wait_for_completion(&in.inside);
	WRITE_ONCE(intruding, NULL);
	kregion_drop(r);
	WRITE_ONCE(in.leave, true);
	thread_stop(task);
	KUNIT_EXPECT_EQ(test, stats_of(r).drops, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-dropped"));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
}

/* A report that is too late for its drop does not silence the next one. */
static void a_late_report_silences_nobody(struct kunit *test)
{
	struct kregion *r = region_named(test, "kunit-misused", NULL);
	struct intruder in = { .r = r, .allocs = 1 };

	set_bit(KREGION_MISUSED, &to_priv(r)->flags);
	expect_warnings(test, 1);
	WRITE_ONCE(intruding, &in);
	kregion_drop(r);
	WRITE_ONCE(intruding, NULL);
	KUNIT_EXPECT_EQ(test, in.refused, in.tried);
}

struct leaver {
	struct intruder in;
	struct delayed_work work;
};

static void let_leave(struct work_struct *work)
{
	WRITE_ONCE(container_of(to_delayed_work(work), struct leaver, work)->in.leave, true);
}

/* A destroy that races with a drop waits for it and leaks nothing. */
static void destroy_waits_for_a_drop(struct kunit *test)
{
	struct kregion *r = region_named(test, "kunit-destroyed", NULL);
	const int cpu = another_cpu(test);
	struct leaver *leaver = buffer(test, sizeof(*leaver));
	struct task_struct *task;

	task = thread_make(test, drop_in_thread, r, cpu);
	leaver->in.r = r;
	leaver->in.linger = true;
	init_completion(&leaver->in.inside);
	INIT_DELAYED_WORK(&leaver->work, let_leave);
	expect_warnings(test, 1);
	WRITE_ONCE(intruding, &leaver->in);
	wake_up_process(task);
	wait_for_completion(&leaver->in.inside);
	WRITE_ONCE(intruding, NULL);
	queue_delayed_work(system_unbound_wq, &leaver->work, HZ / 50);
	region_destroy(r);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(leaver->in.leave));
	flush_delayed_work(&leaver->work);
	thread_stop(task);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-destroyed"), 0ULL);
}

/* A drop waits for calls in the slow path. */
static void drop_waits_for_calls_that_began_before(struct kunit *test)
{
	struct kregion *r = region_named(test, "kunit-late", NULL);
	struct kregion_priv *rg = to_priv(r);
	const int cpu = another_cpu(test);
	struct task_struct *task;
	unsigned long drops;
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	task = thread_make(test, drop_in_thread, r, cpu);
	expect_warnings(test, 2);
	/* A reset may not sleep: it returns without any effect. */
	atomic_inc(&rg->users);
	kregion_reset(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).resets, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8UL);
	p = kregion_alloc(r, 8, GFP_KERNEL);
	wake_up_process(task);
	msleep(50);
	drops = stats_of(r).drops;
	atomic_dec(&rg->users);
	thread_stop(task);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, drops, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).drops, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-late"));
}

struct late_drop {
	struct kregion *r;
	struct completion go;
	bool begun;
};

static int drop_on_demand(void *data)
{
	struct late_drop *late = data;

	while (!kthread_should_stop()) {
		if (try_wait_for_completion(&late->go))
			kregion_drop(late->r);
		usleep_range(20, 50);
	}
	return 0;
}

/* The task has the pages of a block; it goes on in the middle of a drop. */
static void wait_for_the_drop(void *arg)
{
	struct late_drop *late = arg;

	if (late->begun)
		return;
	complete(&late->go);
	late->begun = spin_until(test_bit(KREGION_BUSY, &to_priv(late->r)->flags));
}

struct late_param {
	const char *what;
	unsigned int flags;
	size_t size;
};

static const struct late_param late_params[] = {
	{ "shared", KREGION_F_PAGES, 64 },
	{ "shared, large", KREGION_F_PAGES, SZ_64K },
	{ "percpu", KREGION_F_PAGES | KREGION_F_PERCPU, 64 },
	{ "percpu, large", KREGION_F_PAGES | KREGION_F_PERCPU, SZ_64K },
};

ROW_PARAM(late, late_params);

/* The call fails, and its block is freed and uncharged. */
static void a_drop_begins_while_a_block_is_made(struct kunit *test)
{
	const struct late_param *p = test->param_value;
	const struct kregion_attr attr = { .flags = p->flags, .limit = 2 * KREGION_BLOCK_SIZE };
	struct kregion *r = region_named(test, "kunit-dropped", &attr);
	const int cpu = another_cpu(test);
	struct late_drop *late = buffer(test, sizeof(*late));
	struct task_struct *task;
	unsigned int order;

	late->r = r;
	init_completion(&late->go);
	task = thread_make(test, drop_on_demand, late, cpu);
	wake_up_process(task);
	expect_warnings(test, 1);
	pages_forget();
	pages_hook(wait_for_the_drop, late);
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, hidden(p->size), GFP_KERNEL));
	pages_hook(NULL, NULL);
	KUNIT_EXPECT_TRUE(test, late->begun);
	/* Wait for the drop to end. */
	thread_stop(task);
	for (order = 3; order < 8; order++)
		KUNIT_EXPECT_EQ(test, pages_taken(order), 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).drops, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	/* All of the limit is there. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, attr.limit - PAGE_SIZE, GFP_KERNEL));
}

static struct kunit_case free_cases[] = {
	KUNIT_CASE_PARAM(drop_gives_everything_back, all_gen_params),
	KUNIT_CASE_PARAM(region_is_as_new_after_drop, all_gen_params),
	KUNIT_CASE_PARAM(reset_keeps_ordinary_blocks_only, all_gen_params),
	KUNIT_CASE_PARAM(no_block_is_asked_for_after_reset, all_gen_params),
	KUNIT_CASE_PARAM(drop_and_reset_of_an_unused_region, base_gen_params),
	KUNIT_CASE_PARAM(drop_after_reset_gives_the_spares_back, all_gen_params),
	KUNIT_CASE_PARAM(limit_holds_across_drop_and_reset, base_gen_params),
	KUNIT_CASE_PARAM(reset_makes_room_for_small_objects, base_gen_params),
	KUNIT_CASE_PARAM(reset_in_atomic_context, all_gen_params),
	KUNIT_CASE_PARAM(peak_is_the_most_ever_held, base_gen_params),
	{}
};

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE_PARAM(intruder_is_refused_with_one_warning, misuse_gen_params),
	KUNIT_CASE(each_drop_warns_for_itself),
	KUNIT_CASE(two_drops_at_once),
	KUNIT_CASE(a_late_report_silences_nobody),
	KUNIT_CASE(destroy_waits_for_a_drop),
	KUNIT_CASE(drop_waits_for_calls_that_began_before),
	KUNIT_CASE_PARAM(a_drop_begins_while_a_block_is_made, late_gen_params),
	{}
};

KREGION_SUITE(free, free_cases);
KREGION_SUITE_PROBES(misuse, misuse_cases, misuse_probes);
