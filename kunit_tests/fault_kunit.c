// SPDX-License-Identifier: GPL-2.0
/*
 * Allocation failures, one by one: the n-th request of a call for memory fails,
 * for n = 1, 2 and so on until the call makes fewer requests.
 *
 * Needs CONFIG_FAULT_INJECTION with FAILSLAB and FAIL_PAGE_ALLOC, and in
 * debugfs failslab/ignore-gfp-wait and fail_page_alloc/ignore-gfp-wait set to N
 * and fail_page_alloc/min-order to 0.
 */

#include <linux/cpumask.h>
#include <linux/nodemask.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "../kmod/internal.h"
#include "test.h"

#define NTH_MAX	400

#ifdef CONFIG_FAULT_INJECTION
static void fault_arm(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/* Returns whether the fault was injected. */
static bool fault_disarm(void)
{
	const bool hit = !READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return hit;
}
#else
static void fault_arm(unsigned int nth)
{
}

static bool fault_disarm(void)
{
	return false;
}
#endif

static void need_faults(struct kunit *test)
{
	void *slab;
	struct page *page;
	bool hit;

	if (!IS_ENABLED(CONFIG_FAILSLAB) || !IS_ENABLED(CONFIG_FAIL_PAGE_ALLOC))
		kunit_skip(test, "no fault injection in this kernel");
	fault_arm(1);
	slab = kmalloc(32, GFP_KERNEL);
	hit = fault_disarm();
	kfree(slab);
	fault_arm(1);
	page = alloc_pages(GFP_KERNEL, 0);
	hit &= fault_disarm();
	if (page)
		__free_pages(page, 0);
	if (!hit)
		kunit_skip(test, "failslab or fail_page_alloc is not set up in debugfs");
}

MODE_PARAM(mode, MODES_FAULT);
MODE_PARAM(halved, MODES_HALVED);

/* Blocks of one page from the page allocator have no fallback. */
static bool one_way(const struct mode *mode)
{
	return mode->flags & KREGION_F_PAGES && mode->block == PAGE_SIZE;
}

static void create_fails_at_each_allocation(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 3000,
	};
	const long before = bytes_outstanding();
	unsigned int n, failures = 0;
	struct kregion *r;
	bool hit = true;

	need_faults(test);
	for (n = 1; hit && n < NTH_MAX; n++) {
		fault_arm(n);
		r = kregion_create("kunit", &attr);
		hit = fault_disarm();
		if (IS_ERR(r)) {
			KUNIT_EXPECT_TRUE(test, hit);
			KUNIT_EXPECT_EQ(test, PTR_ERR(r), (long)-ENOMEM);
			failures++;
		} else {
			KUNIT_EXPECT_NOT_NULL(test, r);
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
			kregion_destroy(r);
		}
		KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
	}
	KUNIT_EXPECT_FALSE(test, hit);
	KUNIT_EXPECT_GT(test, failures, 0U);
	kunit_info(test, "%u faults, %u failures\n", n - 2, failures);
}

#define CACHED	64		/* regions, at most, whose per-CPU memory is kept */
#define HOG	8192

/* Take the per-CPU memory that needs no page. */
static unsigned int hog_percpu(void __percpu **p)
{
	const size_t sizes[] = { PAGE_SIZE, sizeof(struct kregion_cpu) };
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		do {
			fault_arm(1);
			p[n] = __alloc_percpu_gfp(sizes[i], __alignof__(struct kregion_cpu),
						  GFP_KERNEL | __GFP_NOWARN);
			fault_disarm();
		} while (p[n] && ++n < HOG);
	}
	return n;
}

/* The first allocation of create is the region, a later one is its per-CPU memory. */
static void create_fails_without_percpu_memory(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	void __percpu **hog = buffer(test, HOG * sizeof(*hog));
	struct kregion *r, *cached[CACHED];
	unsigned int i, n, nr, failures = 0;
	bool hit = true;
	long before;

	need_faults(test);
	for (n = 1; hit && n < NTH_MAX; n++) {
		for (i = 0; i < CACHED; i++)
			cached[i] = kregion_create("kunit", &attr);
		before = bytes_outstanding();
		/* Before the worker that adds pages runs. */
		sched_set_fifo(current);
		nr = hog_percpu(hog);
		fault_arm(n);
		r = kregion_create("kunit", &attr);
		hit = fault_disarm();
		sched_set_normal(current, 0);
		if (IS_ERR(r)) {
			KUNIT_EXPECT_TRUE(test, hit);
			KUNIT_EXPECT_EQ(test, PTR_ERR(r), (long)-ENOMEM);
			failures++;
		} else {
			kregion_destroy(r);
		}
		KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
		KUNIT_EXPECT_LT(test, nr, (unsigned int)HOG);
		while (nr)
			free_percpu(hog[--nr]);
		for (i = 0; i < CACHED; i++)
			kregion_destroy(cached[i]);
	}
	KUNIT_EXPECT_FALSE(test, hit);
	KUNIT_EXPECT_GE(test, failures, 2U);
	kunit_info(test, "%u faults, %u failures\n", n - 2, failures);
}

static void rotate_fails_at_each_allocation(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 3000,
	};
	const struct kregion_attr debug = {
		.flags = KREGION_F_DEBUG | KREGION_F_PAGES, .block_size = PAGE_SIZE,
	};
	struct kregion *r[] = { region_make(test, &attr), region_make(test, &debug) };
	unsigned int i, n, failures = 0;
	struct kregion_gen *g;
	struct object o;
	bool hit;

	need_faults(test);
	for (i = 0; i < ARRAY_SIZE(r); i++) {
		for (n = 1, hit = true; hit && n < NTH_MAX; n++) {
			object_write(&o, kregion_alloc(r[i], 100, GFP_KERNEL), 100, n);
			fault_arm(n);
			g = kregion_rotate(r[i]);
			hit = fault_disarm();
			if (IS_ERR(g)) {
				KUNIT_EXPECT_TRUE(test, hit);
				KUNIT_EXPECT_EQ(test, PTR_ERR(g), (long)-ENOMEM);
				KUNIT_EXPECT_TRUE(test, kregion_contains(r[i], o.p));
				failures++;
			}
			KUNIT_EXPECT_TRUE(test, object_intact(&o));
			kregion_gen_free(g);
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r[i], 8));
			expect_sane(test, r[i]);
		}
		KUNIT_EXPECT_FALSE(test, hit);
		KUNIT_EXPECT_GT(test, failures, i);
	}
}

/* Kinds of requests. */
struct request {
	const char *what;
	void *(*make)(struct kregion *r, size_t block);
};

static void *make_first(struct kregion *r, size_t block)
{
	return kregion_alloc(r, 24, GFP_KERNEL);
}

static void *make_atomic(struct kregion *r, size_t block)
{
	return kregion_alloc(r, 24, GFP_ATOMIC);
}

static void *make_zeroed(struct kregion *r, size_t block)
{
	return kregion_zalloc(r, hidden(100), GFP_KERNEL);
}

static void *make_aligned(struct kregion *r, size_t block)
{
	return kregion_alloc_aligned(r, 24, 64, GFP_KERNEL);
}

static void *make_large(struct kregion *r, size_t block)
{
	return kregion_alloc(r, block, GFP_KERNEL);
}

static void *make_memdup(struct kregion *r, size_t block)
{
	return kregion_memdup(r, "0123456789", 10, GFP_KERNEL);
}

static void *make_strdup(struct kregion *r, size_t block)
{
	return kregion_strdup(r, "text", GFP_KERNEL);
}

static void *make_asprintf(struct kregion *r, size_t block)
{
	return kregion_asprintf(r, GFP_KERNEL, "%zu", block);
}

static const struct request requests[] = {
	{ "alloc", make_first },
	{ "atomic", make_atomic },
	{ "zalloc", make_zeroed },
	{ "aligned", make_aligned },
	{ "large", make_large },
	{ "memdup", make_memdup },
	{ "strdup", make_strdup },
	{ "asprintf", make_asprintf },
};

/*
 * @r is empty: each fault on the path of @request gives NULL or a valid object.
 */
static unsigned int walk(struct kunit *test, struct kregion *r, const struct mode *mode,
			 const struct request *request)
{
	const size_t block = block_of(mode);
	unsigned int n, failures = 0;
	struct kregion_stats before, after;
	bool hit = true;
	void *p;

	for (n = 1; hit && n < NTH_MAX; n++) {
		before = stats_of(r);
		fault_arm(n);
		p = request->make(r, block);
		hit = fault_disarm();
		after = stats_of(r);
		if (p) {
			KUNIT_EXPECT_EQ(test, after.failed_nomem, before.failed_nomem);
			KUNIT_EXPECT_TRUE(test, kregion_contains(r, p));
			/* The next fault finds the region empty again. */
			kregion_drop(r);
			continue;
		}
		failures++;
		KUNIT_EXPECT_EQ_MSG(test, after.failed_nomem, before.failed_nomem + 1, "%s",
				    request->what);
		KUNIT_EXPECT_EQ(test, after.bytes_held, before.bytes_held);
		KUNIT_EXPECT_EQ(test, after.bytes_used, before.bytes_used);
		KUNIT_EXPECT_EQ(test, after.fills, before.fills);
	}
	KUNIT_EXPECT_FALSE(test, hit && n == NTH_MAX);
	return failures;
}

static void each_request_survives_a_fault_at_each_allocation(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r;
	unsigned int failures;
	int i;

	need_faults(test);
	r = region_of_mode(test, mode);
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		if (mode->flags & KREGION_F_VMALLOC && requests[i].make == make_atomic)
			continue;
		failures = walk(test, r, mode, &requests[i]);
		if (one_way(mode))
			KUNIT_EXPECT_GT(test, failures, 0U);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	}
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	expect_sane(test, r);
}

/* The n-th block fails; the objects stay, and the next call succeeds. */
static void the_nth_block_fails(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t eighth = block_of(mode) / 8;
	struct object *o = buffer(test, 100 * sizeof(*o));
	unsigned int nth, failures = 0;
	struct kregion *r;
	void *p;
	int n;

	need_faults(test);
	/* Requests of kmemleak in between may be the ones that fail. */
	for (nth = 1; nth <= (one_way(mode) && failures < 5 ? 20 : 5); nth++) {
		r = region_of_mode(test, mode);
		fault_arm(nth);
		for (n = 0; n < 100; n++) {
			p = kregion_alloc(r, eighth, GFP_KERNEL);
			if (!p) {
				failures++;
				KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, 1UL);
				p = kregion_alloc(r, eighth, GFP_KERNEL);
			}
			KUNIT_ASSERT_NOT_NULL(test, p);
			object_write(&o[n], p, eighth, nth * 1000 + n);
		}
		KUNIT_EXPECT_TRUE(test, fault_disarm());
		expect_intact(test, o, n);
		expect_sane(test, r);
		region_destroy(r);
	}
	if (one_way(mode))
		KUNIT_EXPECT_EQ(test, failures, 5U);
}

/* No block can be allocated. */
static void every_block_fails(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	unsigned int i, failed = 0, got = 0;
	struct kregion *r;

	need_faults(test);
	r = region_of_mode(test, mode);
	for (i = 0; i < 100; i++) {
		fault_arm(1);
		if (kregion_alloc(r, i % 2 ? 24 : PAGE_SIZE, GFP_NOWAIT))
			got++;
		else
			failed++;
		fault_disarm();
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, (unsigned long)failed);
	if (one_way(mode)) {
		KUNIT_EXPECT_EQ(test, got, 0U);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
		KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
	}
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 24, GFP_KERNEL));
	expect_sane(test, r);
}

/* If the next block fails, the tail of the current one still serves. */
static void a_failed_block_leaves_the_current_one_open(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_PAGES, PAGE_SIZE };
	struct kregion *r;
	size_t capacity;

	need_faults(test);
	capacity = capacity_of(test, &mode);
	r = region_of_mode(test, &mode);
	leave_room(test, r, capacity, 64);
	fault_arm(1);
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, 65, GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, fault_disarm());
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 64, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, 1UL);
}

/* The objects stay until the next end, and that is no mistake of the client. */
static void a_mark_without_memory_rewinds_nothing(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_SINGLE };
	struct kregion_mark none, m;
	struct kregion *r;
	struct object o;

	need_faults(test);
	r = region_make(test, &attr);
	fault_arm(1);
	none = kregion_mark(r);
	KUNIT_EXPECT_TRUE(test, fault_disarm());
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, 1UL);
	object_write(&o, kregion_alloc(r, 100, GFP_KERNEL), 100, 1);
	kregion_rewind(r, none);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 104UL);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	/* An older mark still takes all back. */
	m = kregion_mark(r);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	kregion_rewind(r, none);
	kregion_rewind(r, m);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 104UL);
}

/* Without contiguous pages and without vmalloc, half a block serves. */
static void a_block_is_halved_where_pages_are_short(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const long before = bytes_outstanding();
	const size_t block = block_of(mode);
	struct kregion *r;
	char *p;

	need_faults(test);
	r = region_of_mode(test, mode);
	fault_arm(1);
	p = kregion_alloc(r, 64, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, fault_disarm());
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, block / 2);
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), before + (long)block / 2);
	/* All of it is used before the next block is allocated. */
	while (stats_of(r).bytes_held - stats_of(r).bytes_used > 256) {
		memset(p, 0x5a, 64);
		p = kregion_alloc(r, 64, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
}

/* The n-th page of a vmalloc block on a node fails: the others are freed. */
static void a_block_of_single_pages_is_all_or_nothing(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_NODE | KREGION_F_VMALLOC, .block_size = 16 * PAGE_SIZE,
		.node = first_online_node,
	};
	struct kregion *r;
	unsigned int n;

	need_faults(test);
	r = region_make(test, &attr);
	objects_watch(attr.block_size / PAGE_SIZE * sizeof(struct page *));
	/*
	 * The first requests are for the array of pages, and sometimes for its
	 * slab.
	 */
	for (n = 4; n < 12; n++) {
		pages_forget();
		fault_arm(n);
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
		KUNIT_EXPECT_TRUE(test, fault_disarm());
		KUNIT_EXPECT_EQ(test, pages_taken(0), 0UL);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
}

/* Half a block is too small for the object and the header of the block. */
static void a_half_is_large_enough_for_the_object(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU | KREGION_F_PAGES, .block_size = 16 * PAGE_SIZE,
	};
	const unsigned int first = cpumask_first(cpu_online_mask);
	const unsigned int last = cpumask_last(cpu_online_mask);
	const size_t size = attr.block_size / 8;
	struct object o, next;
	struct kregion *r;

	need_faults(test);
	need_two_cpus(test);
	r = region_make(test, &attr);
	set_cpus_allowed_ptr(current, cpumask_of(first));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	/* The first block of a further CPU is just large enough. */
	set_cpus_allowed_ptr(current, cpumask_of(last));
	fault_arm(1);
	object_write(&o, kregion_alloc(r, size, GFP_KERNEL), size, 1);
	KUNIT_EXPECT_TRUE(test, fault_disarm());
	KUNIT_EXPECT_NULL(test, o.p);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nomem, 1UL);
	object_write(&o, kregion_alloc(r, size, GFP_KERNEL), size, 2);
	object_write(&next, kregion_alloc(r, size, GFP_KERNEL), size, 3);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_TRUE(test, object_intact(&next));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8 + 2 * size);
	expect_sane(test, r);
}

/* The same where the limit leaves half a block. */
static void what_the_limit_leaves_is_large_enough_for_the_object(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t size = mode->block / 8;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .limit = mode->block + size,
	};
	struct kregion *r = region_make(test, &attr);
	struct object o[8];
	int i;

	/* Seven fill the block; the limit leaves no room for another header. */
	for (i = 0; i < ARRAY_SIZE(o); i++)
		object_write(&o[i], kregion_alloc(r, size, GFP_KERNEL), size, i);
	KUNIT_EXPECT_NULL(test, o[7].p);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 1UL);
	expect_intact(test, o, 7);
	expect_sane(test, r);
}

/* The charge for the other half is returned. */
static void the_limit_is_whole_after_a_halved_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .limit = 2 * mode->block,
	};
	struct kregion *r;
	int i;

	need_faults(test);
	r = region_make(test, &attr);
	for (i = 0; i < 3; i++) {
		fault_arm(1);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 64, GFP_KERNEL));
		KUNIT_EXPECT_TRUE(test, fault_disarm());
		kregion_drop(r);
	}
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 2 * mode->block - PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, attr.limit);
}

static void reserve_fails_at_each_allocation(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	unsigned int n, failures = 0, i;
	struct kregion *r;
	bool hit = true;
	int err;

	need_faults(test);
	for (n = 1; hit && n < NTH_MAX; n++) {
		r = region_of_mode(test, mode);
		fault_arm(n);
		err = kregion_reserve(r, 3000, GFP_KERNEL);
		hit = fault_disarm();
		if (err) {
			KUNIT_EXPECT_EQ(test, err, -ENOMEM);
			KUNIT_EXPECT_TRUE(test, hit);
			failures++;
			err = kregion_reserve(r, 3000, GFP_KERNEL);
		}
		KUNIT_EXPECT_EQ(test, err, 0);
		for (i = 0; i < 3000 / 100; i++)
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 100));
		expect_sane(test, r);
		region_destroy(r);
	}
	KUNIT_EXPECT_FALSE(test, hit);
	if (one_way(mode))
		KUNIT_EXPECT_GT(test, failures, 0U);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(create_fails_at_each_allocation, mode_gen_params),
	KUNIT_CASE(create_fails_without_percpu_memory),
	KUNIT_CASE_PARAM(rotate_fails_at_each_allocation, mode_gen_params),
	KUNIT_CASE_PARAM(each_request_survives_a_fault_at_each_allocation, mode_gen_params),
	KUNIT_CASE_PARAM(the_nth_block_fails, mode_gen_params),
	KUNIT_CASE_PARAM(every_block_fails, mode_gen_params),
	KUNIT_CASE(a_failed_block_leaves_the_current_one_open),
	KUNIT_CASE(a_mark_without_memory_rewinds_nothing),
	KUNIT_CASE_PARAM(a_block_is_halved_where_pages_are_short, halved_gen_params),
	KUNIT_CASE(a_block_of_single_pages_is_all_or_nothing),
	KUNIT_CASE(a_half_is_large_enough_for_the_object),
	KUNIT_CASE_PARAM(what_the_limit_leaves_is_large_enough_for_the_object, halved_gen_params),
	KUNIT_CASE_PARAM(the_limit_is_whole_after_a_halved_block, halved_gen_params),
	KUNIT_CASE_PARAM(reserve_fails_at_each_allocation, mode_gen_params),
	{}
};

KREGION_SUITE(fault, cases);
