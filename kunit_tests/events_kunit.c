// SPDX-License-Identifier: GPL-2.0
/*
 * Trace events and their values, and the gfp flags of requests to the page
 * allocator.
 */

#include <linux/mm.h>
#include <linux/nodemask.h>
#include <trace/events/kregion_enums.h>

#include "test.h"

MODE_PARAM(base, MODES_BASE)

/* ---- events -------------------------------------------------------------- */

enum kind { CREATE, DESTROY, DROP, RESET, BLOCK_ALLOC, BLOCK_FREE, FAIL };

struct event {
	enum kind kind;
	u64 id;
	char name[KREGION_NAME_MAX + 1];
	unsigned long value;	/* held, bytes or size */
	int what;		/* backing or reason; 0: none */
};

#define EVENTS	64

static struct event seen[EVENTS];
static int nr_seen;

static void see(enum kind kind, u64 id, const char *name, unsigned long value, int what)
{
	struct event *e;

	/* Ignore regions of other cases. */
	if (nr_seen == EVENTS || strncmp(name, "kunit-seen", 10))
		return;
	e = &seen[nr_seen++];
	e->kind = kind;
	e->id = id;
	strscpy(e->name, name, sizeof(e->name));
	e->value = value;
	e->what = what;
}

#define REGION_PROBE(fn, kind)								\
static void fn(void *data, u64 id, const char *name, unsigned long held)		\
{											\
	see(kind, id, name, held, 0);							\
}

#define VALUE_PROBE(fn, kind)								\
static void fn(void *data, u64 id, const char *name, unsigned long value, int what)	\
{											\
	see(kind, id, name, value, what);						\
}

REGION_PROBE(see_create, CREATE)
REGION_PROBE(see_destroy, DESTROY)
REGION_PROBE(see_drop, DROP)
REGION_PROBE(see_reset, RESET)
VALUE_PROBE(see_block_alloc, BLOCK_ALLOC)
VALUE_PROBE(see_block_free, BLOCK_FREE)
VALUE_PROBE(see_fail, FAIL)

static struct probe event_probes[] = {
	{ "kregion_create", see_create },
	{ "kregion_destroy", see_destroy },
	{ "kregion_drop", see_drop },
	{ "kregion_reset", see_reset },
	{ "kregion_block_alloc", see_block_alloc },
	{ "kregion_block_free", see_block_free },
	{ "kregion_alloc_fail", see_fail },
};

static int events_init(struct kunit_suite *suite)
{
	int err = suite_init(suite);

	if (err)
		return err;
	err = probes_on(event_probes, ARRAY_SIZE(event_probes));
	if (err)
		suite_exit(suite);
	return err;
}

static void events_exit(struct kunit_suite *suite)
{
	probes_off(event_probes, ARRAY_SIZE(event_probes));
	suite_exit(suite);
}

/* Compare the next event with the expected one. */
static void expect_event(struct kunit *test, int *at, enum kind kind, u64 id, unsigned long value,
			 int what)
{
	const struct event *e = &seen[*at];

	KUNIT_ASSERT_LT(test, *at, nr_seen);
	KUNIT_EXPECT_EQ_MSG(test, (int)e->kind, (int)kind, "event %d", *at);
	KUNIT_EXPECT_EQ_MSG(test, e->id, id, "event %d", *at);
	KUNIT_EXPECT_STREQ(test, e->name, "kunit-seen");
	KUNIT_EXPECT_EQ_MSG(test, e->value, value, "event %d", *at);
	KUNIT_EXPECT_EQ_MSG(test, e->what, what, "event %d", *at);
	++*at;
}

static void events_have_the_expected_values(struct kunit *test)
{
	static const unsigned int backings[] = {
		[KREGION_BACKING_PAGES] = KREGION_F_PAGES,
		[KREGION_BACKING_VMALLOC] = KREGION_F_VMALLOC,
	};
	const struct mode *mode = test->param_value;
	const size_t large = 3 * PAGE_SIZE;
	struct kregion_attr attr = { .block_size = PAGE_SIZE, .limit = 5 * PAGE_SIZE };
	int backing, at;
	struct kregion *r;
	u64 id;

	for (backing = 0; backing < ARRAY_SIZE(backings); backing++) {
		attr.flags = mode->flags | backings[backing];
		nr_seen = 0;
		at = 0;
		r = region_named(test, "kunit-seen", &attr);
		id = region_number(test, "kunit-seen");
		expect_event(test, &at, CREATE, id, 0, 0);

		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
		expect_event(test, &at, BLOCK_ALLOC, id, PAGE_SIZE, backing);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, large, GFP_KERNEL));
		expect_event(test, &at, BLOCK_ALLOC, id, large + PAGE_SIZE, backing);

		/* Every failure has an event with its reason. */
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, large, GFP_KERNEL));
		expect_event(test, &at, FAIL, id, large, KREGION_FAIL_LIMIT);
		KUNIT_EXPECT_NULL(test, kregion_alloc(r, SIZE_MAX - 3, GFP_KERNEL));
		expect_event(test, &at, FAIL, id, SIZE_MAX - 3, KREGION_FAIL_SIZE);
		while (kregion_alloc_nofill(r, 64))
			;
		expect_event(test, &at, FAIL, id, 64, KREGION_FAIL_NOFILL);
		if (backing == KREGION_BACKING_VMALLOC) {
			kregion_reset(r);
			expect_event(test, &at, RESET, id, large + 2 * PAGE_SIZE, 0);
			expect_event(test, &at, BLOCK_FREE, id, large + PAGE_SIZE, backing);
			KUNIT_EXPECT_NULL(test, kregion_alloc(r, large - 8, GFP_ATOMIC));
			expect_event(test, &at, FAIL, id, large - 8, KREGION_FAIL_NOMEM);
			kregion_drop(r);
			expect_event(test, &at, DROP, id, PAGE_SIZE, 0);
		} else {
			kregion_drop(r);
			expect_event(test, &at, DROP, id, large + 2 * PAGE_SIZE, 0);
			expect_event(test, &at, BLOCK_FREE, id, large + PAGE_SIZE, backing);
		}
		expect_event(test, &at, BLOCK_FREE, id, PAGE_SIZE, backing);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
		expect_event(test, &at, BLOCK_ALLOC, id, PAGE_SIZE, backing);
		region_destroy(r);
		expect_event(test, &at, DESTROY, id, PAGE_SIZE, 0);
		expect_event(test, &at, BLOCK_FREE, id, PAGE_SIZE, backing);
		KUNIT_EXPECT_EQ(test, at, nr_seen);
	}
}

/* ---- requests ------------------------------------------------------------ */

struct page_request {
	const char *what;
	enum weight weight;
	unsigned int flags;
	gfp_t gfp;
	gfp_t must, must_not;
};

#define MODIFIERS	(__GFP_NORETRY | __GFP_NOWARN)
#define MEANINGLESS	(GFP_ZONEMASK | __GFP_NOFAIL | __GFP_COMP | __GFP_ZERO)

static const struct page_request requests[] = {
	{ "kernel", QUICK, 0, GFP_KERNEL, GFP_KERNEL, MEANINGLESS | __GFP_ACCOUNT },
	{ "kernel, zeroed", QUICK, 0, GFP_KERNEL | __GFP_ZERO, GFP_KERNEL,
	  MEANINGLESS | __GFP_ACCOUNT },
	{ "pages alone", QUICK, KREGION_F_PAGES, GFP_KERNEL, GFP_KERNEL,
	  MEANINGLESS | __GFP_ACCOUNT },
	{ "atomic", QUICK, 0, GFP_ATOMIC, GFP_ATOMIC, MEANINGLESS | __GFP_DIRECT_RECLAIM },
	{ "noio", QUICK, 0, GFP_NOIO, GFP_NOIO, MEANINGLESS | __GFP_IO | __GFP_FS },
	{ "accounted", QUICK, KREGION_F_ACCOUNT, GFP_KERNEL, GFP_KERNEL_ACCOUNT, MEANINGLESS },
};

PAIR_PARAM(request, MODES_BASE, requests)

/* Blocks for small and large objects, the first one and a later one. */
static void block_requests_follow_the_gfp_of_the_caller(struct kunit *test)
{
	const struct pair *p = test->param_value;
	const struct page_request *req = p->row;
	const struct kregion_attr attr = {
		.flags = p->mode->flags | req->flags, .block_size = 8 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	const size_t sizes[] = { 64, 7 * PAGE_SIZE };
	gfp_t any, all, must, must_not;
	int i, n;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		must = req->must;
		must_not = req->must_not;
		/* No fallback, smaller or vmalloc, for a large object here. */
		if (i && (req->flags & KREGION_F_PAGES || !gfpflags_allow_blocking(req->gfp)))
			must_not |= MODIFIERS;
		else
			must |= MODIFIERS;
		for (n = 0; n < 2; n++) {
			pages_watch(get_order(attr.block_size));
			while (!pages_watched(&any, &all))
				KUNIT_ASSERT_NOT_NULL(test,
						      kregion_alloc(r, hidden(sizes[i]), req->gfp));
			KUNIT_EXPECT_EQ_MSG(test, (__force unsigned int)(must & ~all), 0U,
					    "size=%zu", sizes[i]);
			KUNIT_EXPECT_EQ_MSG(test, (__force unsigned int)(must_not & any), 0U,
					    "size=%zu", sizes[i]);
		}
	}
}

/* Requests of vmap() for a block on a node do not exceed the caller's gfp. */
static void vmalloc_on_a_node_keeps_the_scope_of_the_caller(struct kunit *test)
{
	static const struct { gfp_t gfp, must_not; } asks[] = {
		{ GFP_NOIO, __GFP_IO | __GFP_FS }, { GFP_NOFS, __GFP_FS },
	};
	const struct kregion_attr attr = {
		.flags = KREGION_F_NODE | KREGION_F_VMALLOC, .node = first_online_node,
	};
	struct kregion *r = region_make(test, &attr);
	gfp_t any, all;
	int i, n;

	for (i = 0; i < ARRAY_SIZE(asks); i++) {
		pages_watch(0);
		for (n = 0; n < 20; n++)
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, SZ_256K, asks[i].gfp));
		KUNIT_EXPECT_GE(test, pages_watched(&any, &all) * PAGE_SIZE, 20UL * SZ_256K);
		KUNIT_EXPECT_EQ(test, (__force unsigned int)(any & asks[i].must_not), 0U);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(events_have_the_expected_values, base_gen_params),
	KUNIT_CASE_PARAM(block_requests_follow_the_gfp_of_the_caller, request_gen_params),
	KUNIT_CASE(vmalloc_on_a_node_keeps_the_scope_of_the_caller),
	{}
};

struct kunit_suite suite_events = {
	.name = "kregion_events",
	.suite_init = events_init,
	.suite_exit = events_exit,
	.init = test_init,
	.exit = test_exit,
	.test_cases = cases,
};
