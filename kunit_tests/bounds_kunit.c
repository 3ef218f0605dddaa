// SPDX-License-Identifier: GPL-2.0
/*
 * The longest hold of the region's lock does not grow with the number of
 * blocks. At the limit a smaller block or one that another CPU allocates still
 * serves.
 */

#include <linux/kthread.h>
#include <linux/percpu.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(base, MODES_BASE);

/* Small objects of such a block, an eighth, do not fit into one of a page. */
#define BIG	(16 * PAGE_SIZE)

/* ---- the longest hold of the lock ---------------------------------------- */

#if IS_ENABLED(CONFIG_KUNIT)
static unsigned int longest_hold(void)
{
	unsigned int most = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		most = max(most, READ_ONCE(per_cpu(kregion_hold, cpu).max));
	return most;
}

static void forget_holds(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu(kregion_hold, cpu).max, 0);
}
#else
static unsigned int longest_hold(void)
{
	return 0;
}

static void forget_holds(void)
{
}
#endif

/* Blocks of a page each; the full number is for one mode only. */
static unsigned int many(struct kunit *test)
{
	const struct mode *mode = test->param_value;

	return scale > 1 && !mode->flags ? 60000 : 3000;
}

static struct kregion *begin_holds(struct kunit *test, const struct mode *mode)
{
	const struct kregion_attr attr = {
		.flags = mode->flags | KREGION_F_PAGES, .block_size = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);

	if (!IS_ENABLED(CONFIG_KUNIT))
		kunit_skip(test, "holds are measured on kernels with KUnit only");
	forget_holds();
	return r;
}

/* Each in a block of its own. */
static void make_large(struct kunit *test, struct kregion *r)
{
	unsigned int i;

	for (i = 0; i < many(test); i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 2, GFP_KERNEL));
	KUNIT_ASSERT_EQ(test, stats_of(r).blocks_large, (unsigned long)many(test));
}

/* Seven objects a block. */
static void make_full(struct kunit *test, struct kregion *r)
{
	unsigned int i;

	for (i = 0; i < 7 * many(test); i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 8, GFP_KERNEL));
	KUNIT_ASSERT_EQ(test, stats_of(r).blocks_full, many(test) - 1UL);
}

static void expect_short_holds(struct kunit *test, const char *what)
{
	KUNIT_EXPECT_LE_MSG(test, longest_hold(), KREGION_HOLD_MAX, "%s", what);
	forget_holds();
}

static void holds_over_large_blocks(struct kunit *test)
{
	struct kregion *r = begin_holds(test, test->param_value);

	make_large(test, r);
	expect_short_holds(test, "filling");
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, r));
	KUNIT_EXPECT_EQ(test, longest_hold(), KREGION_HOLD_MAX);
	expect_short_holds(test, "walk");
	kregion_reset(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	expect_short_holds(test, "reset");
	make_large(test, r);
	kregion_drop(r);
	expect_short_holds(test, "drop");
}

static void holds_over_ordinary_blocks(struct kunit *test)
{
	struct kregion *r = begin_holds(test, test->param_value);
	struct kregion_priv *rg = to_priv(r);
	unsigned long fills;
	int i;

	make_full(test, r);
	kregion_reset(r);
	expect_short_holds(test, "filling and reset");
	/* The spare blocks are enough. */
	fills = stats_of(r).fills;
	KUNIT_EXPECT_EQ(test, kregion_reserve(r, many(test) * PAGE_SIZE / 2, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
	expect_short_holds(test, "reserve");
	kregion_reset(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
	expect_short_holds(test, "reset with a reserve");
	kregion_drop(r);
	expect_short_holds(test, "drop with a reserve");

	/* All are too small for the request, as after a shortage of pages. */
	make_full(test, r);
	kregion_reset(r);
	forget_holds();
	fills = stats_of(r).fills;
	rg->block_size = BIG;
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, BIG / 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills + 1);
	KUNIT_EXPECT_GT(test, longest_hold(), 0U);
	expect_short_holds(test, "search for a spare block");
	/* The region remembers that there is none. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, BIG / 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, longest_hold(), 0U);
	rg->block_size = PAGE_SIZE;
	/* Smaller requests use them still, behind the rest of the large one. */
	fills = stats_of(r).fills;
	for (i = 0; i < 2 * BIG / (PAGE_SIZE / 8); i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
}

/* The only block that fits is behind many that do not. */
static void a_spare_block_is_found_behind_smaller_ones(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = { .flags = mode->flags, .block_size = PAGE_SIZE };
	struct kregion *r = region_make(test, &attr);
	struct kregion_priv *rg = to_priv(r);
	unsigned long fills;
	int i;

	rg->block_size = BIG;
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, BIG / 8, GFP_KERNEL));
	rg->block_size = PAGE_SIZE;
	/* New blocks are put in front of the current one. */
	while (stats_of(r).fills < 200)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 8, GFP_KERNEL));
	kregion_reset(r);
	fills = stats_of(r).fills;
	rg->block_size = BIG;
	for (i = 0; i < 7; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, BIG / 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, BIG / 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills + 1);
	rg->block_size = PAGE_SIZE;
	expect_sane(test, r);
}

/* ---- at the limit -------------------------------------------------------- */

static const size_t header = sizeof(struct kregion_block);

/* The limit leaves less than a block, but more than the object needs. */
static void the_last_block_is_a_smaller_one(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags | KREGION_F_PAGES, .block_size = 4 * PAGE_SIZE,
		.limit = 7 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_stats st;
	unsigned long n = 0;

	while (kregion_alloc(r, 200, GFP_KERNEL))
		n++;
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.bytes_held, attr.limit);
	KUNIT_EXPECT_EQ(test, st.fills, 3UL);
	KUNIT_EXPECT_EQ(test, st.failed_limit, 1UL);
	/* All but the headers and a tail a block. */
	KUNIT_EXPECT_GE(test, n * 200, attr.limit - 3 * (200 + header));
	expect_sane(test, r);
}

/*
 * A request that needs more than the limit leaves fails, a smaller one is
 * served.
 */
static void no_block_is_made_too_small(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = 16 * PAGE_SIZE, .limit = 17 * PAGE_SIZE,
	};
	const size_t eighth = 2 * PAGE_SIZE;
	struct kregion *r = region_make(test, &attr);
	int i;

	for (i = 0; i < 7; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, eighth, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, eighth, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, eighth - header, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 2, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, attr.limit);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 1UL);
}

struct racers {
	struct kregion *r;
	size_t size;
	atomic_t at_start, refused;
};

static int take_one(void *data)
{
	struct racers *p = data;

	atomic_inc(&p->at_start);
	while (atomic_read(&p->at_start) < 2)
		cpu_relax();
	if (!kregion_alloc(p->r, p->size, GFP_KERNEL))
		atomic_inc(&p->refused);
	return 0;
}

/*
 * Two CPUs that need a block at once share the only one that the limit allows.
 */
static void a_block_on_its_way_is_waited_for(struct kunit *test)
{
	const struct kregion_attr attr = { .block_size = SZ_1M, .limit = SZ_1M };
	struct racers *p = buffer(test, sizeof(*p));
	const int cpu = another_cpu(test);
	struct task_struct *task;
	int i, refused = 0;

	p->size = 8;
	for (i = 0; i < 100 * (int)scale && !refused; i++) {
		p->r = region_make(test, &attr);
		atomic_set(&p->at_start, 0);
		task = thread_make(test, take_one, p, cpu);
		wake_up_process(task);
		take_one(p);
		thread_stop(task);
		refused = atomic_read(&p->refused);
		region_destroy(p->r);
	}
	KUNIT_EXPECT_EQ(test, refused, 0);
	kunit_info(test, "%d rounds\n", i);
}

/* It may hold what reclaim for that block waits for. */
static void a_block_on_its_way_is_not_waited_for_without_fs(struct kunit *test)
{
	const struct kregion_attr attr = { .limit = KREGION_BLOCK_SIZE };
	struct other_call call = { .r = region_make(test, &attr), .gfp = GFP_NOFS };

	call_during(test, call.r, &call);
	KUNIT_EXPECT_TRUE(test, call.in_time);
	KUNIT_EXPECT_NULL(test, call.p);
	KUNIT_EXPECT_EQ(test, stats_of(call.r).failed_limit, 1UL);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(holds_over_large_blocks, base_gen_params),
	KUNIT_CASE_PARAM(holds_over_ordinary_blocks, base_gen_params),
	KUNIT_CASE_PARAM(a_spare_block_is_found_behind_smaller_ones, base_gen_params),
	KUNIT_CASE_PARAM(the_last_block_is_a_smaller_one, base_gen_params),
	KUNIT_CASE_PARAM(no_block_is_made_too_small, base_gen_params),
	KUNIT_CASE(a_block_on_its_way_is_waited_for),
	KUNIT_CASE(a_block_on_its_way_is_not_waited_for_without_fs),
	{}
};

KREGION_SUITE(bounds, cases);
