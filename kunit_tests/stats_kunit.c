// SPDX-License-Identifier: GPL-2.0
/*
 * kregion_stats() and kregion_contains().
 */

#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "test.h"

MODE_PARAM(all, MODES_ALL);
MODE_PARAM(base, MODES_BASE);

/* ---- statistics ---------------------------------------------------------- */

static void each_failure_has_its_own_count(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags | KREGION_F_VMALLOC, .block_size = PAGE_SIZE,
		.limit = 2 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_stats st;

	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 8));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.failed_nofill, 1UL);
	KUNIT_EXPECT_EQ(test, st.failed_nomem + st.failed_limit + st.failed_size, 0UL);

	/* vmalloc needs to sleep. */
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, 8, GFP_NOWAIT));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, PAGE_SIZE, GFP_ATOMIC));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.failed_nomem, 2UL);
	KUNIT_EXPECT_EQ(test, st.failed_nofill + st.failed_limit + st.failed_size, 1UL);

	KUNIT_EXPECT_NULL(test, kregion_alloc(r, 2 * PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_zalloc(r, 2 * PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc_aligned(r, 2 * PAGE_SIZE, 64, GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.failed_limit, 3UL);
	KUNIT_EXPECT_EQ(test, st.failed_nofill + st.failed_nomem + st.failed_size, 3UL);

	KUNIT_EXPECT_NULL(test, kregion_alloc(r, SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_calloc(r, SIZE_MAX, SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc_aligned(r, 8, 3, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, PAGE_SIZE));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.failed_size, 4UL);
	KUNIT_EXPECT_EQ(test, st.failed_nofill + st.failed_nomem + st.failed_limit, 6UL);

	KUNIT_EXPECT_EQ(test, st.fills + st.bytes_held + st.bytes_used, 0UL);

	/* Drop and reset are counted and keep the counts of failures. */
	kregion_drop(r);
	kregion_reset(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, 4UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 3UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).drops, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).resets, 1UL);
}

static void used_lost_and_held_add_up(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), capacity = capacity_of(test, mode);
	const unsigned long header = block - capacity;
	struct kregion *r = region_of_mode(test, mode);
	unsigned long used = 0;
	struct rnd_state rnd;
	struct kregion_stats st;
	size_t size;
	int i;

	random_begin(test, &rnd);
	for (i = 0; i < 200; i++) {
		size = 1 + prandom_u32_state(&rnd) % (block / 8);
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, size, GFP_KERNEL));
		used += ALIGN(size, 8);
		if (i % 16)
			continue;
		st = stats_of(r);
		KUNIT_EXPECT_EQ(test, st.bytes_used, used);
		KUNIT_EXPECT_EQ(test, blocks_of(&st), st.fills);
		KUNIT_EXPECT_EQ(test, st.bytes_held, st.fills * block);
		/* All blocks but the current one are used or lost. */
		KUNIT_EXPECT_LE(test, st.bytes_used + st.bytes_lost, st.fills * capacity);
		KUNIT_EXPECT_GE(test, st.bytes_used + st.bytes_lost, st.blocks_full * capacity);
		KUNIT_EXPECT_LT(test, st.bytes_lost, st.blocks_full * (block / 8) + 1);
	}
	KUNIT_EXPECT_GT(test, header, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_current, 1UL);
}

static void large_objects_are_counted_as_such(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, block + 1, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, block / 2, GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_large, 2UL);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), 2UL);
	KUNIT_EXPECT_EQ(test, st.fills, 2UL);
	KUNIT_EXPECT_EQ(test, st.blocks_peak, 2UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, block + 8 + block / 2);
	/* Rounded up to pages. */
	KUNIT_EXPECT_LE(test, st.bytes_held, block + block / 2 + 4 * PAGE_SIZE);
	expect_sane(test, r);
}

/*
 * A guard page follows each vmalloc area: all that is mapped before it is
 * counted.
 */
static void all_memory_taken_is_counted(struct kunit *test)
{
	static const size_t sizes[] = { SZ_64K, SZ_2M - SZ_4K, SZ_2M, SZ_4M, SZ_4M + 5, SZ_16M };
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = { .flags = mode->flags | KREGION_F_VMALLOC };
	struct kregion *r = region_make(test, &attr);
	unsigned long before, held;
	char *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		before = stats_of(r).bytes_held;
		p = kregion_alloc(r, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		held = stats_of(r).bytes_held - before;
		KUNIT_EXPECT_TRUE(test, vmalloc_to_page(p + held - 1));
		KUNIT_EXPECT_FALSE_MSG(test, vmalloc_to_page(p + held), "size=%zu held=%lu",
				       sizes[i], held);
		KUNIT_EXPECT_LE(test, held, sizes[i] / 3 * 4);
	}
}

static void alignment_is_counted_as_used(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	unsigned long before, after;
	char *p, *q;

	p = kregion_alloc(r, 8, GFP_KERNEL);
	before = stats_of(r).bytes_used;
	q = kregion_alloc_aligned(r, 8, 128, GFP_KERNEL);
	after = stats_of(r).bytes_used;
	KUNIT_ASSERT_TRUE(test, p && q);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_EQ(test, after - before, (unsigned long)(q - p));
}

/* A reader on another CPU may look before the overshoot is undone. */
static void an_overshoot_is_no_more_than_the_block(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	struct kregion *r = region_make(test, &attr);
	struct __kregion_cursor *cursor;
	struct kregion_stats st;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	migrate_disable();
	cursor = raw_cpu_ptr(r->pcpu)->cur;
	local_add(KREGION_BLOCK_SIZE, &cursor->local);
	st = stats_of(r);
	local_sub(KREGION_BLOCK_SIZE, &cursor->local);
	migrate_enable();
	KUNIT_EXPECT_LT(test, st.bytes_used, st.bytes_held);
}

/* ---- contains ------------------------------------------------------------ */

static void contains_knows_its_objects(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion *other = region_of_mode(test, mode);
	const size_t sizes[] = { 8, 104, block_of(mode) / 8, block_of(mode) };
	char *p;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(other, 8, GFP_KERNEL));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kregion_alloc(r, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, kregion_contains(r, p));
		KUNIT_EXPECT_TRUE(test, kregion_contains(r, p + sizes[i] / 2));
		KUNIT_EXPECT_TRUE(test, kregion_contains(r, p + sizes[i] - 1));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, p + sizes[i]));
		KUNIT_EXPECT_FALSE(test, kregion_contains(other, p));
		KUNIT_EXPECT_FALSE(test, kregion_contains(other, p + sizes[i] - 1));
	}
}

static void contains_no_header_and_no_free_room(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);
	char *first = kregion_alloc(r, 8, GFP_KERNEL), *p;
	size_t done = 8, step;

	KUNIT_ASSERT_NOT_NULL(test, first);
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, first - 1));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, first + 8));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, first + capacity - 1));
	/* The bytes around the objects of a full block. */
	for (; done < capacity; done += step) {
		step = min(capacity - done, block / 8);
		p = kregion_alloc(r, step, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		first = min(first, p);
	}
	KUNIT_ASSERT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, first));
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, first + capacity - 1));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, first - 1));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, first + capacity));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, first + block - 1));
}

static void contains_nothing_that_was_forgotten(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	char *p = kregion_alloc(r, 64, GFP_KERNEL);
	char *large = kregion_alloc(r, block_of(mode), GFP_KERNEL);

	KUNIT_ASSERT_TRUE(test, p && large);
	kregion_reset(r);
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, p));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, large));
	p = kregion_alloc(r, 64, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, p));
	kregion_drop(r);
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, p));
}

static void contains_may_be_asked_of_any_value(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	int round, on_stack;

	for (round = 0; round < 2; round++) {
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, NULL));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, ZERO_SIZE_PTR));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, ERR_PTR(-ENOMEM)));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, (void *)1));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, (void *)ULONG_MAX));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, r));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, &on_stack));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(each_failure_has_its_own_count, base_gen_params),
	KUNIT_CASE_PARAM(used_lost_and_held_add_up, all_gen_params),
	KUNIT_CASE_PARAM(large_objects_are_counted_as_such, all_gen_params),
	KUNIT_CASE_PARAM(all_memory_taken_is_counted, base_gen_params),
	KUNIT_CASE_PARAM(alignment_is_counted_as_used, all_gen_params),
	KUNIT_CASE(an_overshoot_is_no_more_than_the_block),
	KUNIT_CASE_PARAM(contains_knows_its_objects, all_gen_params),
	KUNIT_CASE_PARAM(contains_no_header_and_no_free_room, all_gen_params),
	KUNIT_CASE_PARAM(contains_nothing_that_was_forgotten, all_gen_params),
	KUNIT_CASE_PARAM(contains_may_be_asked_of_any_value, base_gen_params),
	{}
};

KREGION_SUITE(stats, cases);
