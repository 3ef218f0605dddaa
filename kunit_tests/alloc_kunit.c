// SPDX-License-Identifier: GPL-2.0
/*
 * Allocation: sizes, alignment, clearing, and the blocks behind it.
 */

#include <linux/bug.h>
#include <linux/spinlock.h>

#include "test.h"

MODE_PARAM(all, MODES_ALL);
MODE_PARAM(base, MODES_BASE);

static bool aligned(const void *p, size_t align)
{
	return p && !((unsigned long)p & (align - 1));
}

/* ---- alignment ----------------------------------------------------------- */

static void every_size_is_aligned_to_8(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	unsigned long used = 0;
	size_t size;

	for (size = 1; size <= 520; size += size < 80 ? 1 : 11) {
		KUNIT_EXPECT_TRUE_MSG(test, aligned(kregion_alloc(r, hidden(size), GFP_KERNEL), 8),
				      "size=%zu", size);
		used += ALIGN(size, 8);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, used);
	expect_sane(test, r);
}

/* Constant sizes take a shorter path than others. */
static void constant_sizes(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	unsigned long used = 0;
	struct object o[15];
	int i = 0;

#define TAKE(size)										\
do {											\
	const size_t n = (size);							\
	void *p = kregion_alloc(r, n, GFP_KERNEL);					\
											\
	KUNIT_ASSERT_NOT_NULL(test, p);							\
	KUNIT_EXPECT_TRUE(test, aligned(p, 8));						\
	object_write(&o[i], p, n, 1000 + i);						\
	used += ALIGN(n, 8);								\
	i++;										\
} while (0)
	TAKE(1);
	TAKE(7);
	TAKE(8);
	TAKE(9);
	TAKE(15);
	TAKE(16);
	TAKE(64);
	TAKE(100);
	TAKE(PAGE_SIZE / 8 - 1);
	TAKE(PAGE_SIZE / 8);
	TAKE(PAGE_SIZE / 8 + 1);
	TAKE(PAGE_SIZE);
	TAKE(SZ_64K / 8);
	TAKE(SZ_64K);
	TAKE(SZ_1M);
#undef TAKE
	expect_intact(test, o, i);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, used);
}

static void aligned_to_each_power_of_two(struct kunit *test)
{
	static const size_t sizes[] = { 1, 8, 24, 100, 4000, SZ_64K + 8 };
	struct kregion *r = region_of_mode(test, test->param_value);
	struct object *o = buffer(test, ARRAY_SIZE(sizes) * (PAGE_SHIFT + 1) * sizeof(*o));
	size_t align;
	int i, n = 0;
	void *p;

	for (align = 1; align <= PAGE_SIZE; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			p = kregion_alloc_aligned(r, sizes[i], align, GFP_KERNEL);
			KUNIT_EXPECT_TRUE_MSG(test, aligned(p, max_t(size_t, align, 8)),
					      "align=%zu size=%zu", align, sizes[i]);
			KUNIT_ASSERT_NOT_NULL(test, p);
			object_write(&o[n], p, sizes[i], 77 + n);
			n++;
			/* The next address is not aligned by itself. */
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
		}
	}
	expect_intact(test, o, n);
	expect_sane(test, r);
}

/*
 * Object and padding fit into the end of the block, or the object starts a new
 * one.
 */
static void aligned_keeps_within_its_block(struct kunit *test)
{
	static const size_t sizes[] = { 8, 40, 64 };
	const struct mode *mode = test->param_value;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);
	const size_t most = min_t(size_t, 200, block_of(mode) / 8);
	struct object before, o;
	size_t left, align, pad;
	char *first;
	int i;

	for (left = 8; left <= most; left += 16) {
		for (align = 16; align <= 64; align *= 2) {
			i = (left + align) / 16 % ARRAY_SIZE(sizes);
			first = kregion_alloc(r, 8, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, first);
			leave_room(test, r, capacity - 8, left + 8);
			object_write(&before, kregion_alloc(r, 8, GFP_KERNEL), 8, left);
			pad = -(unsigned long)(first + capacity - left) & (align - 1);
			object_write(&o, kregion_alloc_aligned(r, sizes[i], align, GFP_KERNEL),
				     sizes[i], align);
			KUNIT_EXPECT_TRUE(test, aligned(o.p, align));
			if (pad + sizes[i] <= left)
				KUNIT_EXPECT_PTR_EQ(test, o.p, first + capacity - left + pad);
			KUNIT_EXPECT_EQ_MSG(test, stats_of(r).blocks_full,
					    pad + sizes[i] <= left ? 0UL : 1UL,
					    "left=%zu align=%zu size=%zu", left, align, sizes[i]);
			KUNIT_EXPECT_TRUE(test, kregion_contains(r, o.p + sizes[i] - 1));
			KUNIT_EXPECT_TRUE(test, object_intact(&before));
			KUNIT_EXPECT_TRUE(test, object_intact(&o));
			expect_sane(test, r);
			kregion_reset(r);
		}
	}
}

static void aligned_is_cleared_if_asked(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *p;
	int i;

	for (i = 0; i < 20; i++) {
		p = kregion_alloc(r, 500, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		memset(p, 0xee, 500);
	}
	kregion_reset(r);
	for (i = 0; i < 20; i++) {
		p = kregion_alloc_aligned(r, 300, 64, GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, aligned(p, 64) && !memchr_inv(p, 0, 300));
	}
}

static void impossible_alignment_is_refused(struct kunit *test)
{
	static const size_t bad[] = {
		0, 3, 6, 7, 9, 12, 24, PAGE_SIZE - 1, PAGE_SIZE + 1, PAGE_SIZE + 8,
		2 * PAGE_SIZE, SZ_1M, (size_t)LONG_MAX + 1, SIZE_MAX,
	};
	struct kregion *r = region_of_mode(test, test->param_value);
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_NULL_MSG(test, kregion_alloc_aligned(r, 8, bad[i], GFP_KERNEL),
				      "align=%zu", bad[i]);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, (unsigned long)ARRAY_SIZE(bad));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
}

/* ---- sizes of zero, and too large ones ----------------------------------- */

static void zero_size(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	int round;

	/* Without a block, and with one. */
	for (round = 0; round < 2; round++) {
		KUNIT_EXPECT_PTR_EQ(test, kregion_alloc(r, 0, GFP_KERNEL), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_alloc(r, hidden(0), GFP_KERNEL), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_zalloc(r, 0, GFP_KERNEL), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_zalloc(r, hidden(0), GFP_KERNEL), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_calloc(r, 0, 8, GFP_KERNEL), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_calloc(r, hidden(8), 0, GFP_KERNEL),
				    ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_alloc_nofill(r, 0), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_alloc_nofill(r, hidden(0)), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_nofill_refuse(r, 0), ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_alloc_aligned(r, 0, 1, GFP_KERNEL),
				    ZERO_SIZE_PTR);
		KUNIT_EXPECT_PTR_EQ(test, kregion_alloc_aligned(r, 0, 64, GFP_KERNEL | __GFP_ZERO),
				    ZERO_SIZE_PTR);
		KUNIT_EXPECT_EQ(test, stats_of(r).fills, (unsigned long)round);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8UL * round);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	}
}

static void sizes_near_the_end_of_numbers(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	static const size_t ends[] = {
		SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 20, U32_MAX, (size_t)S32_MAX + 20,
		/* Not where it is 19. */
		U32_MAX + (IS_ENABLED(CONFIG_64BIT) ? 20UL : 0),
	};
	unsigned long refused = 0;
	size_t size;
	int i, n;
	void *p;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		for (n = 0; n < 20; n++) {
			size = ends[i] - n;
			KUNIT_EXPECT_NULL_MSG(test, kregion_alloc(r, hidden(size), GFP_KERNEL),
					      "size=%zu", size);
			KUNIT_EXPECT_NULL_MSG(test, kregion_zalloc(r, hidden(size), GFP_KERNEL),
					      "size=%zu", size);
			KUNIT_EXPECT_NULL_MSG(test, kregion_alloc_nofill(r, hidden(size)),
					      "size=%zu", size);
			p = kregion_alloc_aligned(r, size, PAGE_SIZE, GFP_KERNEL);
			KUNIT_EXPECT_NULL_MSG(test, p, "size=%zu", size);
			refused += 4;
		}
	}
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, SIZE_MAX - 7, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, (size_t)LONG_MAX + 1, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, KREGION_MAX_ALLOC + 1, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, hidden(KREGION_MAX_ALLOC + 1), GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc_aligned(r, KREGION_MAX_ALLOC + 1, 64, GFP_KERNEL));
	refused += 6;
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, refused);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);

	/* The same with a current block, which does not change. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	for (n = 0; n < 20; n++)
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, hidden(SIZE_MAX - n), GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_full, 0UL);
}

static void calloc_overflow(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);

	KUNIT_EXPECT_NULL(test, kregion_calloc(r, SIZE_MAX, 2, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_calloc(r, hidden(2), hidden(SIZE_MAX), GFP_KERNEL));
	/* Products that wrap to 0, 8 and 16. */
	KUNIT_EXPECT_NULL(test, kregion_calloc(r, hidden(SIZE_MAX / 2 + 1), 2, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_calloc(r, hidden(SIZE_MAX / 8 + 2), 8, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_calloc(r, SIZE_MAX / 16 + 2, 16, GFP_KERNEL));
	/* No overflow, but too large. */
	KUNIT_EXPECT_NULL(test, kregion_calloc(r, 8, KREGION_MAX_ALLOC / 8 + 1, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, 6UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
}

static void sixteen_megabytes(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);
	char *p = kregion_alloc(r, SZ_16M, GFP_KERNEL);

	KUNIT_EXPECT_GE(test, KREGION_MAX_ALLOC, (size_t)SZ_16M);
	KUNIT_ASSERT_NOT_NULL(test, p);
	p[0] = 1;
	p[SZ_16M - 1] = 2;
	KUNIT_EXPECT_TRUE(test, aligned(p, 8));
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, p + SZ_16M - 1));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, (unsigned long)SZ_16M);
}

/* ---- clearing ------------------------------------------------------------ */

static void dirty(struct kunit *test, struct kregion *r, size_t size)
{
	int i;

	for (i = 0; i < 24; i++) {
		char *p = kregion_alloc(r, size, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		memset(p, 0xdd, size);
	}
	kregion_reset(r);
}

static void cleared_if_asked(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	const size_t sizes[] = { 1, 8, 13, 64, block / 8 - 5, block / 8, block / 8 + 1, block };
	struct kregion *r = region_of_mode(test, mode);
	char *p;
	int i;

	dirty(test, r, block / 8);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kregion_zalloc(r, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, !memchr_inv(p, 0, sizes[i]));
		p = kregion_alloc(r, sizes[i], GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, !memchr_inv(p, 0, sizes[i]));
		p = kregion_calloc(r, 3, hidden(sizes[i]), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, !memchr_inv(p, 0, 3 * sizes[i]));
	}
	p = kregion_zalloc(r, 40, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, p && !memchr_inv(p, 0, 40));
}

/* ---- blocks -------------------------------------------------------------- */

static void exact_fit_then_new_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st;

	leave_room(test, r, capacity, 8);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(8), GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.fills, 1UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, capacity);
	KUNIT_EXPECT_EQ(test, st.bytes_lost, 0UL);

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 1, GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.fills, 2UL);
	KUNIT_EXPECT_EQ(test, st.blocks_full, 1UL);
	KUNIT_EXPECT_EQ(test, st.blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, capacity + 8);
	KUNIT_EXPECT_EQ(test, st.bytes_lost, 0UL);
	expect_sane(test, r);
}

static void one_byte_more_than_fits(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st;

	leave_room(test, r, capacity, 24);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(25), GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.fills, 2UL);
	KUNIT_EXPECT_EQ(test, st.blocks_full, 1UL);
	KUNIT_EXPECT_EQ(test, st.bytes_lost, 24UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, capacity - 24 + 32);
	expect_sane(test, r);
}

static void constant_size_at_the_end_of_a_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);

	leave_room(test, r, capacity, 64);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 64, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 64, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity + 64);
}

static void an_eighth_is_small_and_more_is_large(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t eighth = block_of(mode) / 8;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(eighth), GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(eighth + 1), GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_large, 1UL);
	KUNIT_EXPECT_EQ(test, st.blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, st.fills, 2UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, eighth + eighth + 8);

	/* The padding counts, too. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_aligned(r, eighth - 56, 64, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 1UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_aligned(r, eighth - 48, 64, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 2UL);
}

static void large_does_not_close_the_current_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st;
	int i;

	leave_room(test, r, capacity, 160);
	for (i = 0; i < 10; i++) {
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, block / 8 + 8, GFP_KERNEL));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_aligned(r, block / 4, 64, GFP_KERNEL));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 16, GFP_KERNEL));
	}
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_large, 20UL);
	KUNIT_EXPECT_EQ(test, st.blocks_current + st.blocks_full, 1UL);
	KUNIT_EXPECT_EQ(test, st.fills, 21UL);
	KUNIT_EXPECT_EQ(test, st.bytes_lost, 0UL);
	expect_sane(test, r);
}

/*
 * The limit allows one block: a request that does not fit leaves the tail
 * alone.
 */
static void failed_request_leaves_its_room_to_smaller_ones(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), capacity = capacity_of(test, mode);
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = block, .limit = block,
	};
	struct kregion *r = region_make(test, &attr);
	unsigned long failed = 0;
	size_t left;

	leave_room(test, r, capacity, 104);
	for (left = 104; left; left -= 8) {
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, hidden(left + 1), GFP_KERNEL));
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, 112, GFP_KERNEL));
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, hidden(block / 8), GFP_NOWAIT));
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, block, GFP_KERNEL));
		KUNIT_EXPECT_NULL(test, kregion_alloc_aligned(r, 112, PAGE_SIZE / 16, GFP_KERNEL));
		failed += 5;
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity - left);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	}
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, 1, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, failed + 1);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, block);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
}

/* Thousands of failures do not move the cursor of the current block. */
static void many_failures_change_nothing(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), capacity = capacity_of(test, mode);
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = block, .limit = block,
	};
	struct kregion *r = region_make(test, &attr);
	unsigned long i, got = 0;
	const unsigned long n = 8000UL * scale;

	leave_room(test, r, capacity, 16);
	for (i = 0; i < n; i++) {
		got += !!kregion_alloc(r, hidden(block / 8), GFP_NOWAIT);
		got += !!kregion_alloc_nofill(r, 64);
	}
	KUNIT_EXPECT_EQ(test, got, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity - 16);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, n);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, n);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 8));
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 8));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity);
}

/* ---- overlap ------------------------------------------------------------- */

static void random_objects_do_not_overlap(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	const int n = 600 * scale;
	struct kregion *r = region_of_mode(test, mode);
	struct object *o = buffer(test, n * sizeof(*o));
	unsigned long least = 0;
	struct rnd_state rnd;
	size_t size, align;
	void *p;
	int i;

	random_begin(test, &rnd);
	for (i = 0; i < n; i++) {
		size = 1 + prandom_u32_state(&rnd) % 200;
		align = 8;
		switch (prandom_u32_state(&rnd) % 16) {
		case 0:
			size = 1 + prandom_u32_state(&rnd) % min_t(size_t, block / 8, SZ_8K);
			fallthrough;
		case 1:
			align <<= prandom_u32_state(&rnd) % 6;
			p = kregion_alloc_aligned(r, size, align, GFP_KERNEL);
			break;
		case 2:
			p = kregion_alloc_nofill(r, size);
			if (p)
				break;
			fallthrough;
		default:
			if (!(prandom_u32_state(&rnd) % 128))
				size += block / 8;
			p = kregion_alloc(r, size, GFP_KERNEL);
		}
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, aligned(p, align));
		least += ALIGN(size, 8);
		object_write(&o[i], p, size, prandom_u32_state(&rnd));
	}
	expect_intact(test, o, n);
	KUNIT_EXPECT_GE(test, stats_of(r).bytes_used, least);
	expect_sane(test, r);
}

/* ---- gfp ----------------------------------------------------------------- */

static void atomic_requests_work_under_a_spinlock(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	const bool pages = !(mode->flags & KREGION_F_VMALLOC);
	static DEFINE_SPINLOCK(lock);
	unsigned long irq;
	void *p, *large;

	spin_lock_irqsave(&lock, irq);
	p = kregion_alloc(r, 100, GFP_ATOMIC);
	large = kregion_alloc(r, block_of(mode) / 4, GFP_NOWAIT);
	spin_unlock_irqrestore(&lock, irq);
	KUNIT_EXPECT_EQ(test, !!p, pages);
	KUNIT_EXPECT_EQ(test, !!large, pages);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, pages ? 0UL : 2UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, pages ? 2UL : 0UL);
}

/*
 * All these bits share one WARN_ONCE(): only the first run after loading
 * kregion.ko triggers it.
 */
static void bits_without_a_meaning_warn_once_and_are_ignored(struct kunit *test)
{
	static const gfp_t bad[] = {
		__GFP_NOFAIL, __GFP_COMP, __GFP_DMA, __GFP_DMA32, __GFP_HIGHMEM, __GFP_MOVABLE,
	};
	const struct kregion_attr attr = { .block_size = PAGE_SIZE };
	const struct kregion_attr percpu = { .flags = KREGION_F_PERCPU };
	const unsigned long warnings = warnings_seen();
	struct kregion *r;
	static bool ran;
	int i, had;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		r = region_make(test, &attr);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(8), GFP_KERNEL | bad[i]));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE, GFP_KERNEL | bad[i]));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_aligned(r, 8, 64, GFP_KERNEL | bad[i]));
		KUNIT_EXPECT_NOT_NULL(test, kregion_strdup(r, "x", GFP_KERNEL | bad[i]));
		KUNIT_EXPECT_EQ(test, kregion_reserve(r, 8, GFP_KERNEL | bad[i]), 0);
		region_destroy(r);
		/* The refill of a CPU that has no block. */
		r = region_make(test, &percpu);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL | READ_ONCE(bad[i])));
		region_destroy(r);
	}
	r = region_make(test, &attr);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL | __GFP_COMP));
	KUNIT_EXPECT_NOT_NULL(test, kregion_zalloc(r, 8, GFP_KERNEL | __GFP_NOFAIL));

	had = warnings_seen() - warnings;
	if (fresh && !ran) {
		KUNIT_EXPECT_EQ(test, had, 1);
		KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit"));
		KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
		expect_warnings(test, 1);
	} else {
		KUNIT_EXPECT_LE(test, had, 1);
		expect_warnings(test, had);
	}
	ran = true;
}

/*
 * Since 7.2, a WARN_ONCE() in an inlined function triggers once per copy. The
 * bug table has an entry for each copy.
 */
#if defined(CONFIG_GENERIC_BUG) && defined(CONFIG_DEBUG_BUGVERBOSE)
static const char *bug_file(const struct bug_entry *bug)
{
#ifdef CONFIG_GENERIC_BUG_RELATIVE_POINTERS
	return (const char *)&bug->file_disp + bug->file_disp;
#else
	return bug->file;
#endif
}

/* The bug table of kregion, or that of the kernel which it is built into. */
static void bug_table(struct kunit *test, const struct bug_entry **first,
		      const struct bug_entry **end)
{
#ifdef MODULE
	const struct module *mod = kregion_module();

	if (!mod)
		kunit_skip(test, "kregion is built in, this is not");
	*first = mod->bug_table;
	*end = mod->bug_table + mod->num_bugs;
#else
	*first = __start___bug_table;
	*end = __stop___bug_table;
#endif
}

/* Skip assertions of lockdep and of headers. */
static bool bug_is_ours(const struct bug_entry *bug)
{
	const char *file = bug_file(bug);

	return bug->flags & (BUGFLAG_ONCE | BUGFLAG_NO_CUT_HERE | BUGFLAG_ARGS) &&
	       !strcmp(strrchr(file, '.') ?: "", ".c") &&
	       (__is_defined(MODULE) || strstr(file, "lib/kregion/"));
}

static void each_warning_stands_at_one_place(struct kunit *test)
{
	const struct bug_entry *first, *end, *bug, *other;
	int n = 0;

	bug_table(test, &first, &end);
	for (bug = first; bug < end; bug++) {
		if (!bug_is_ours(bug))
			continue;
		for (other = first; other < bug; other++)
			if (other->line == bug->line && !strcmp(bug_file(other), bug_file(bug)))
				KUNIT_FAIL(test, "two copies of %s:%u", bug_file(bug), bug->line);
		n++;
	}
	KUNIT_EXPECT_GT(test, n, 2);
}
#else
static void each_warning_stands_at_one_place(struct kunit *test)
{
	kunit_skip(test, "no bug table");
}
#endif

/* A __GFP_NOFAIL request fails at the limit, without a panic. */
static void nofail_fails_at_the_limit(struct kunit *test)
{
	const struct kregion_attr attr = { .block_size = PAGE_SIZE, .limit = PAGE_SIZE };
	const unsigned long warnings = warnings_seen();
	struct kregion *r = region_make(test, &attr);

	KUNIT_EXPECT_NULL(test, kregion_alloc(r, PAGE_SIZE, GFP_KERNEL | __GFP_NOFAIL));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 1UL);
	/*
	 * The previous case has triggered the WARN_ONCE(), unless this one runs
	 * alone.
	 */
	expect_warnings(test, warnings_seen() - warnings);
	KUNIT_EXPECT_LE(test, warnings_seen() - warnings, 1UL);
}

static void pages_too_large_for_the_page_allocator(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PAGES };
	struct kregion *r = region_make(test, &attr);

	/* The header makes it too large; the limit depends on the page size. */
	if (KMALLOC_MAX_SIZE > KREGION_MAX_ALLOC)
		kunit_skip(test, "the page allocator serves every size");
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, KMALLOC_MAX_SIZE, GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
}

/* ---- typed forms --------------------------------------------------------- */

struct typed {
	u32 a;
	u16 b;
	u16 tail[];
};

struct wide {
	u8 a;
} __aligned(64);

#define SAME_TYPE(p, type) __builtin_types_compatible_p(typeof(p), type)

/* Their argument is a type or an object, and is not evaluated. */
static void typed_forms_have_the_type(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct typed *p = NULL;
	unsigned long used = 0;
	struct wide *w = NULL;
	size_t n = 3;

	BUILD_BUG_ON(!SAME_TYPE(kregion_alloc_obj(r, *p, 0), struct typed *));
	BUILD_BUG_ON(!SAME_TYPE(kregion_alloc_objs(r, int, 1, 0), int *));
	BUILD_BUG_ON(!SAME_TYPE(kregion_alloc_flex(r, *p, tail, 1, 0), struct typed *));
	BUILD_BUG_ON(!SAME_TYPE(kregion_zalloc_obj(r, struct wide, 0), struct wide *));

	p = kregion_alloc_obj(r, *p, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	used += 8;
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, used);
	p = kregion_alloc_objs(r, *p++, hidden(n), GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	used += 24;
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, used);
	p = kregion_alloc_flex(r, struct typed, tail, n++, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, n, 4UL);
	used += 16;
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, used);

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_obj(r, char, GFP_KERNEL));
	w = kregion_alloc_obj(r, *w, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, aligned(w, 64));
	w = kregion_alloc_objs(r, *w, 3, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, aligned(w, 64));
}

static void typed_forms_are_cleared(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct typed *p;
	struct wide *w;
	int i;

	for (i = 0; i < 2; i++) {
		p = kregion_zalloc_obj(r, *p, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, p && !memchr_inv(p, 0, 8));
		p = kregion_zalloc_objs(r, *p, 20, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, p && !memchr_inv(p, 0, 160));
		p = kregion_zalloc_flex(r, *p, tail, 20, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, p && !memchr_inv(p, 0, 48));
		w = kregion_zalloc_objs(r, *w, 4, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, w && !memchr_inv(w, 0, 256));
		kregion_reset(r);
		p = kregion_alloc(r, 2000, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		memset(p, 0xee, 2000);
		kregion_reset(r);
	}
}

static void typed_forms_check_their_size(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	size_t n;

	for (n = SIZE_MAX; n > SIZE_MAX - 3; n--) {
		KUNIT_EXPECT_NULL(test, kregion_alloc_objs(r, u64, n, GFP_KERNEL));
		KUNIT_EXPECT_NULL(test, kregion_alloc_objs(r, struct wide, n / 8, GFP_KERNEL));
		KUNIT_EXPECT_NULL(test, kregion_alloc_flex(r, struct typed, tail, n, GFP_KERNEL));
		/* Times two, and the rest of the struct: 4, 6 or 8. */
		KUNIT_EXPECT_NULL(test, kregion_zalloc_flex(r, struct typed, tail, n / 2,
							    GFP_KERNEL));
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, 12UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_PTR_EQ(test, (void *)kregion_alloc_objs(r, u64, 0, GFP_KERNEL),
			    ZERO_SIZE_PTR);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(every_size_is_aligned_to_8, all_gen_params),
	KUNIT_CASE_PARAM(constant_sizes, all_gen_params),
	KUNIT_CASE_PARAM(aligned_to_each_power_of_two, all_gen_params),
	KUNIT_CASE_PARAM(aligned_keeps_within_its_block, all_gen_params),
	KUNIT_CASE_PARAM(aligned_is_cleared_if_asked, all_gen_params),
	KUNIT_CASE_PARAM(impossible_alignment_is_refused, base_gen_params),
	KUNIT_CASE_PARAM(zero_size, all_gen_params),
	KUNIT_CASE_PARAM(sizes_near_the_end_of_numbers, base_gen_params),
	KUNIT_CASE_PARAM(calloc_overflow, base_gen_params),
	KUNIT_CASE(sixteen_megabytes),
	KUNIT_CASE_PARAM(cleared_if_asked, all_gen_params),
	KUNIT_CASE_PARAM(exact_fit_then_new_block, all_gen_params),
	KUNIT_CASE_PARAM(one_byte_more_than_fits, all_gen_params),
	KUNIT_CASE_PARAM(constant_size_at_the_end_of_a_block, all_gen_params),
	KUNIT_CASE_PARAM(an_eighth_is_small_and_more_is_large, all_gen_params),
	KUNIT_CASE_PARAM(large_does_not_close_the_current_block, all_gen_params),
	KUNIT_CASE_PARAM(failed_request_leaves_its_room_to_smaller_ones, all_gen_params),
	KUNIT_CASE_PARAM(many_failures_change_nothing, base_gen_params),
	KUNIT_CASE_PARAM(random_objects_do_not_overlap, all_gen_params),
	KUNIT_CASE_PARAM(atomic_requests_work_under_a_spinlock, all_gen_params),
	KUNIT_CASE(bits_without_a_meaning_warn_once_and_are_ignored),
	KUNIT_CASE(each_warning_stands_at_one_place),
	KUNIT_CASE(nofail_fails_at_the_limit),
	KUNIT_CASE(pages_too_large_for_the_page_allocator),
	KUNIT_CASE_PARAM(typed_forms_have_the_type, base_gen_params),
	KUNIT_CASE_PARAM(typed_forms_are_cleared, base_gen_params),
	KUNIT_CASE_PARAM(typed_forms_check_their_size, base_gen_params),
	{}
};

KREGION_SUITE(alloc, cases);
