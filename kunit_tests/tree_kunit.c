// SPDX-License-Identifier: GPL-2.0
/*
 * Trees of regions: limits of ancestors, the end of children, actions.
 */

#include <linux/spinlock.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(base, MODES_BASE);
MODE_PARAM(all, MODES_ALL);
MODE_PARAM(smp, MODES_SMP);

/* The end of its parent destroys it, as no case registers it. */
static struct kregion *child_make(struct kunit *test, struct kregion *parent, const char *name,
				  const struct kregion_attr *attr)
{
	struct kregion *r = kregion_create_child(parent, name, attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, r);
	return r;
}

/* A page per block, so that limits are counted in pages. */
static struct kregion_attr pages_attr(const struct mode *mode, unsigned int limit)
{
	return (struct kregion_attr){
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = limit * PAGE_SIZE,
	};
}

/* Pages that @r gets until it is refused. */
static unsigned long exhaust(struct kunit *test, struct kregion *r)
{
	const struct kregion_stats before = stats_of(r);
	struct kregion_stats after;

	while (kregion_alloc(r, PAGE_SIZE / 8, GFP_KERNEL))
		;
	after = stats_of(r);
	KUNIT_EXPECT_EQ(test, after.failed_limit, before.failed_limit + 1);
	return (after.bytes_held - before.bytes_held) / PAGE_SIZE;
}

static unsigned long charged(struct kregion *r)
{
	return atomic_long_read(&to_priv(r)->charged);
}

/* ---- limits -------------------------------------------------------------- */

static void a_child_counts_against_its_parent(struct kunit *test)
{
	const struct kregion_attr attr = pages_attr(test->param_value, 8);
	const struct kregion_attr none = pages_attr(test->param_value, 0);
	struct kregion *parent = region_make(test, &attr);
	struct kregion *child = child_make(test, parent, "kunit-child", &none);

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(parent, 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, exhaust(test, child), 7UL);
	KUNIT_EXPECT_EQ(test, charged(parent), attr.limit);
	/* Its own statistics do not have the memory of children. */
	KUNIT_EXPECT_EQ(test, stats_of(parent).bytes_held, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, stats_of(parent).failed_limit, 0UL);
	KUNIT_EXPECT_NULL(test, kregion_alloc(parent, PAGE_SIZE, GFP_KERNEL));
	kregion_drop(child);
	KUNIT_EXPECT_EQ(test, charged(parent), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, exhaust(test, child), 7UL);
	kregion_destroy(child);
	KUNIT_EXPECT_EQ(test, charged(parent), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, exhaust(test, parent), 7UL);
}

/* Root 12, one without a limit, child 4, another child. */
static void all_ancestors_limit(struct kunit *test)
{
	const struct kregion_attr none = pages_attr(test->param_value, 0);
	const struct kregion_attr four = pages_attr(test->param_value, 4);
	const struct kregion_attr twelve = pages_attr(test->param_value, 12);
	struct kregion *root = region_make(test, &twelve);
	struct kregion *mid = child_make(test, root, "kunit-mid", &none);
	struct kregion *a = child_make(test, mid, "kunit-a", &four);
	struct kregion *below = child_make(test, a, "kunit-below", &none);
	struct kregion *b = child_make(test, mid, "kunit-b", &none);

	KUNIT_EXPECT_EQ(test, exhaust(test, below), 4UL);
	KUNIT_EXPECT_EQ(test, exhaust(test, a), 0UL);
	KUNIT_EXPECT_EQ(test, exhaust(test, b), 8UL);
	KUNIT_EXPECT_EQ(test, exhaust(test, mid), 0UL);
	KUNIT_EXPECT_EQ(test, exhaust(test, root), 0UL);
	KUNIT_EXPECT_EQ(test, charged(root), twelve.limit);
	kregion_destroy(a);
	KUNIT_EXPECT_EQ(test, charged(root), 8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, exhaust(test, mid), 4UL);
}

/* Block sizes are halved until they fit all limits. */
static void the_last_block_fits_all_limits(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr parent_attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 11 * PAGE_SIZE,
	};
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = 8 * PAGE_SIZE, .limit = 32 * PAGE_SIZE,
	};
	struct kregion *parent = region_make(test, &parent_attr);
	struct kregion *child = child_make(test, parent, "kunit-child", &attr);

	KUNIT_EXPECT_EQ(test, exhaust(test, child), 11UL);
	KUNIT_EXPECT_EQ(test, charged(parent), parent_attr.limit);
	KUNIT_EXPECT_EQ(test, charged(child), parent_attr.limit);
}

static void a_refused_charge_changes_no_counter(struct kunit *test)
{
	const struct kregion_attr six = pages_attr(test->param_value, 6);
	struct kregion *root = region_make(test, &six);
	struct kregion *mid = child_make(test, root, "kunit-mid", &six);
	struct kregion *child = child_make(test, mid, "kunit-child", &six);
	struct kregion *other = child_make(test, root, "kunit-other", &six);
	int i;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(child, 8, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, exhaust(test, other), 5UL);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_NULL(test, kregion_alloc(child, PAGE_SIZE, GFP_KERNEL));
		KUNIT_EXPECT_NULL(test, kregion_alloc(child, PAGE_SIZE, GFP_ATOMIC));
		KUNIT_EXPECT_EQ(test, charged(child), PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, charged(mid), PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, charged(root), six.limit);
		KUNIT_EXPECT_EQ(test, to_priv(child)->fills_in_flight, 0U);
		KUNIT_EXPECT_EQ(test, to_priv(root)->fills_in_flight, 0U);
	}
	KUNIT_EXPECT_EQ(test, stats_of(child).failed_limit, 6UL);
	kregion_destroy(other);
	KUNIT_EXPECT_EQ(test, exhaust(test, child), 5UL);
}

struct fight {
	struct kregion *root, *r[8];
	int nr;
	bool exceeded;
};

/* Each drops all it has now and then, and ends full. */
static void fight_for_blocks(void *data, int me)
{
	struct fight *f = data;
	int round;

	for (round = 0; round < 20; round++) {
		while (kregion_alloc(f->r[me], hidden(500), GFP_KERNEL))
			if (charged(f->root) > to_priv(f->root)->limit)
				WRITE_ONCE(f->exceeded, true);
		if (round < 19 && round % f->nr == me)
			kregion_drop(f->r[me]);
	}
}

/* The sum never exceeds the limit of the root, and all of that can be used. */
static void the_sum_is_exact_with_all_cpus_at_it(struct kunit *test)
{
	const int nr = min_t(int, 2 * num_online_cpus(), 8);
	const struct kregion_attr attr = pages_attr(test->param_value, 4 * nr + 1);
	const struct kregion_attr some = pages_attr(test->param_value, 3 * nr);
	struct fight *f = buffer(test, sizeof(*f));
	struct kregion *mid;
	unsigned long held = 0;
	int i;

	f->root = region_make(test, &attr);
	mid = child_make(test, f->root, "kunit-mid", NULL);
	f->nr = nr;
	for (i = 0; i < nr; i++)
		f->r[i] = child_make(test, i % 2 ? mid : f->root, "kunit-fighter", &some);
	threads_run(test, nr, fight_for_blocks, f);
	for (i = 0; i < nr; i++) {
		exhaust(test, f->r[i]);
		held += stats_of(f->r[i]).bytes_held;
		KUNIT_EXPECT_EQ(test, stats_of(f->r[i]).bytes_held, charged(f->r[i]));
		expect_sane(test, f->r[i]);
	}
	KUNIT_EXPECT_FALSE(test, f->exceeded);
	KUNIT_EXPECT_EQ(test, held, attr.limit);
	KUNIT_EXPECT_EQ(test, charged(f->root), attr.limit);
}

/* A request that the parent refuses waits for the block of a sibling. */
static void a_block_of_a_sibling_is_waited_for(struct kunit *test)
{
	const struct kregion_attr attr = { .limit = KREGION_BLOCK_SIZE };
	struct kregion *parent = region_make(test, &attr);
	struct kregion *sibling = child_make(test, parent, "kunit-sibling", NULL);
	struct other_call call = {
		.r = child_make(test, parent, "kunit-child", NULL), .gfp = GFP_KERNEL,
		.patience = 30,
	};

	call_during(test, sibling, &call);
	KUNIT_EXPECT_TRUE(test, call.woken);
	KUNIT_EXPECT_FALSE(test, call.in_time);
	KUNIT_EXPECT_NULL(test, call.p);
	KUNIT_EXPECT_EQ(test, stats_of(call.r).failed_limit, 1UL);
}

/* A limit that the block in flight does not count against is final. */
static void a_block_elsewhere_is_not_waited_for(struct kunit *test)
{
	const struct kregion_attr attr = { .limit = SZ_16M };
	const struct kregion_attr small = { .limit = PAGE_SIZE, .block_size = PAGE_SIZE };
	struct kregion *parent = region_make(test, &attr);
	struct kregion *sibling = child_make(test, parent, "kunit-sibling", NULL);
	struct other_call call = {
		.r = child_make(test, parent, "kunit-child", &small), .gfp = GFP_KERNEL,
	};

	exhaust(test, call.r);
	while (kregion_alloc(call.r, 8, GFP_KERNEL))
		;
	call_during(test, sibling, &call);
	KUNIT_EXPECT_TRUE(test, call.in_time);
	KUNIT_EXPECT_NULL(test, call.p);
}

/* ---- the end of children ------------------------------------------------- */

enum ending { DROP, RESET, DESTROY };

static const struct {
	const char *what;
	enum ending how;
} endings[] = { { "drop", DROP }, { "reset", RESET }, { "destroy", DESTROY } };

ROW_PARAM(ending, endings);

static void end(struct kregion *r, enum ending how)
{
	if (how == DROP)
		kregion_drop(r);
	else if (how == RESET)
		kregion_reset(r);
	else
		region_destroy(r);
}

static void children_end_with_their_parent(struct kunit *test)
{
	const typeof(endings[0]) *ending = test->param_value;
	static const char * const names[] = { "kunit-1", "kunit-11", "kunit-12", "kunit-121" };
	struct kregion *root = region_named(test, "kunit-0", NULL);
	const long before = bytes_outstanding();
	const struct mode *mode = NULL;
	struct kregion *r[4];
	int i;

	r[0] = child_make(test, root, names[0], NULL);
	for (i = 1; i < 4; i++) {
		struct kregion_attr attr = { .reserve = 1000 };

		mode = mode_next(mode, MODES_BASE) ?: mode_next(NULL, MODES_BASE);
		attr.flags = mode->flags | (i == 2 ? KREGION_F_DEBUG : 0);
		r[i] = child_make(test, i < 3 ? r[0] : r[2], names[i], &attr);
	}
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r[i], 1000, GFP_KERNEL));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r[i], SZ_128K, GFP_KERNEL));
		KUNIT_EXPECT_NE(test, region_number(test, names[i]), 0ULL);
	}
	end(root, ending->how);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, region_number(test, names[i]), 0ULL);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-0") != 0, ending->how != DESTROY);
	kregion_debug_flush();
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
	if (ending->how != DESTROY) {
		/* It may have others. */
		child_make(test, root, "kunit-again", NULL);
		KUNIT_EXPECT_NE(test, region_number(test, "kunit-again"), 0ULL);
	}
}

static void a_child_may_end_on_its_own(struct kunit *test)
{
	struct kregion *parent = region_named(test, "kunit-parent", NULL);
	struct kregion *r[3];
	char name[16];
	int i, j;

	/* The first, the last, and the one in the middle. */
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++) {
			snprintf(name, sizeof(name), "kunit-%d", j);
			r[j] = child_make(test, parent, name, NULL);
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r[j], 8, GFP_KERNEL));
		}
		snprintf(name, sizeof(name), "kunit-%d", i);
		kregion_destroy(r[i]);
		KUNIT_EXPECT_EQ(test, region_number(test, name), 0ULL);
		for (j = 0; j < 3; j++) {
			snprintf(name, sizeof(name), "kunit-%d", j);
			KUNIT_EXPECT_EQ(test, region_number(test, name) != 0, i != j);
		}
		kregion_drop(parent);
	}
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), 0L);
}

#define LEVELS	10000

static void a_deep_tree_ends(struct kunit *test)
{
	struct kregion *root = region_named(test, "kunit-root", NULL), *r = root;
	struct kregion_priv *rg;
	int i;

	for (i = 0; i < LEVELS; i++)
		r = child_make(test, r, "kunit-deep", NULL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	for (i = 0, rg = to_priv(r); rg->parent; rg = rg->parent)
		i++;
	KUNIT_EXPECT_EQ(test, i, LEVELS);
	kregion_drop(root);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-deep"), 0ULL);
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), 0L);
}

#define LEFT	300		/* children of a thread */

struct nursery {
	struct kregion *parent;
	int failed;
};

static void come_and_go(void *data, int me)
{
	struct nursery *n = data;
	const struct kregion_attr attr = { .block_size = PAGE_SIZE };
	struct kregion *r;
	int i;

	/* Every other one is left to the parent, so that none is lost unseen. */
	for (i = 0; i < 2 * LEFT; i++) {
		r = kregion_create_child(n->parent, "kunit-born", &attr);
		if (IS_ERR(r) || !kregion_alloc(r, 100, GFP_KERNEL))
			WRITE_ONCE(n->failed, 1);
		if (i % 2)
			kregion_destroy(r);
	}
}

static void children_come_and_go_at_once(struct kunit *test)
{
	const struct kregion_attr attr = { .limit = SZ_16M };
	struct nursery *n = buffer(test, sizeof(*n));
	const int nr = 2 * num_online_cpus();
	int left = 0;
	const char *line;
	char name[32];

	n->parent = region_make(test, &attr);
	threads_run(test, nr, come_and_go, n);
	KUNIT_EXPECT_EQ(test, n->failed, 0);
	for (line = file_text(test, "regions"); line; line = next_line(line)) {
		column_text(line, 1, name, sizeof(name));
		left += !strcmp(name, "kunit-born");
	}
	KUNIT_EXPECT_EQ(test, left, LEFT * nr);
	KUNIT_EXPECT_EQ(test, charged(n->parent), nr * LEFT * PAGE_SIZE);
	kregion_drop(n->parent);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-born"), 0ULL);
	KUNIT_EXPECT_EQ(test, charged(n->parent), 0UL);
}

static void no_parent_is_no_child(struct kunit *test)
{
	struct kregion *none = kregion_create_child(NULL, "kunit", NULL);
	struct kregion *error = kregion_create_child(ERR_PTR(-ENOMEM), "kunit", NULL);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(none), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(error), -EINVAL);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "refused: no parent"));
}

static void a_child_is_checked_like_any_region(struct kunit *test)
{
	struct kregion *parent = region_make(test, &(struct kregion_attr){ .limit = SZ_128K });
	struct kregion_attr attr = { .block_size = 12345 };

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kregion_create_child(parent, "a b", NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kregion_create_child(parent, "kunit", &attr)),
			-EINVAL);
	/* A reserve that the limit of the parent does not allow. */
	attr = (struct kregion_attr){ .reserve = SZ_256K };
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kregion_create_child(parent, "kunit-big", &attr)),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-big"), 0ULL);
	KUNIT_EXPECT_EQ(test, charged(parent), 0UL);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&to_priv(parent)->children));
}

/* Each region outlives its reader, and so does the id of its parent. */
static void debugfs_has_the_parent(struct kunit *test)
{
	struct kregion *parent = region_named(test, "kunit-parent", NULL);
	const char *line, *text;
	char name[32], parent_id[32], expected[32];
	int last = 0;

	child_make(test, parent, "kunit-child", NULL);
	text = file_text(test, "regions");
	line = next_line(text);
	do
		column_text(line, ++last, name, sizeof(name));
	while (name[0]);
	column_text(line, --last, name, sizeof(name));
	KUNIT_EXPECT_STREQ(test, name, "parent");
	for (; line; line = next_line(line)) {
		column_text(line, 1, name, sizeof(name));
		column_text(line, last, parent_id, sizeof(parent_id));
		if (!strcmp(name, "kunit-parent"))
			KUNIT_EXPECT_STREQ(test, parent_id, "-");
		if (strcmp(name, "kunit-child"))
			continue;
		snprintf(expected, sizeof(expected), "%llu", region_number(test, "kunit-parent"));
		KUNIT_EXPECT_STREQ(test, parent_id, expected);
		return;
	}
	KUNIT_FAIL(test, "no line of the child");
}

/* ---- actions ------------------------------------------------------------- */

/* What the actions of a case did, in their order. */
static struct {
	char order[64];
	unsigned int nr;
	struct kregion *r;	/* to be used by an action */
	struct object object;
	bool intact;
	void *got;
	long err;
} ran;

static void note(void *arg)
{
	if (ran.nr < sizeof(ran.order) - 1)
		ran.order[ran.nr] = (char)(long)arg;
	ran.nr++;
}

static void note_actions(struct kunit *test, struct kregion *r, const char *letters)
{
	for (; *letters; letters++)
		KUNIT_ASSERT_EQ(test, kregion_add_action(r, note, (void *)(long)*letters,
							 GFP_KERNEL), 0);
}

static void actions_run_newest_first(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	int round;

	for (round = DROP; round <= DESTROY; round++) {
		memset(&ran, 0, sizeof(ran));
		note_actions(test, r, "abc");
		KUNIT_EXPECT_EQ(test, ran.nr, 0U);
		end(r, round);
		KUNIT_EXPECT_STREQ(test, ran.order, "cba");
		/* Each runs once. */
		if (round != DESTROY)
			end(r, round);
		KUNIT_EXPECT_EQ(test, ran.nr, 3U);
	}
}

static void actions_of_children_come_first(struct kunit *test)
{
	const typeof(endings[0]) *ending = test->param_value;
	struct kregion *root = region_make(test, NULL), *a, *b;

	memset(&ran, 0, sizeof(ran));
	note_actions(test, root, "r");
	a = child_make(test, root, "kunit-a", NULL);
	note_actions(test, a, "aA");
	b = child_make(test, root, "kunit-b", NULL);
	note_actions(test, child_make(test, a, "kunit-c", NULL), "c");
	note_actions(test, b, "b");
	note_actions(test, root, "R");
	end(root, ending->how);
	KUNIT_EXPECT_STREQ(test, ran.order, "bcAaRr");
}

static void use_objects(void *arg)
{
	ran.intact = object_intact(&ran.object) && kregion_contains(ran.r, ran.object.p);
	memset(ran.object.p, 0x77, ran.object.size);
	note(arg);
}

static void actions_may_use_objects(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);

	memset(&ran, 0, sizeof(ran));
	object_write(&ran.object, kregion_alloc(r, block_of(mode) / 8, GFP_KERNEL),
		     block_of(mode) / 8, 7);
	KUNIT_ASSERT_EQ(test, kregion_add_action(r, use_objects, NULL, GFP_KERNEL), 0);
	ran.r = r;
	kregion_drop(r);
	KUNIT_EXPECT_TRUE(test, ran.intact);
	KUNIT_EXPECT_EQ(test, ran.nr, 1U);
}

MODE_PARAM(debug, MODES_DEBUG);

static void write_behind(void *arg)
{
	poke(arg, 13, 'X');
}

/* The objects are checked after the actions have used them. */
static void damage_by_an_action_is_found(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *p = kregion_alloc(r, 13, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_EQ(test, kregion_add_action(r, write_behind, p, GFP_KERNEL), 0);
	expect_warnings(test, 1);
	kregion_reset(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "memory behind an object was written"));
}

static void allocate(void *arg)
{
	ran.got = kregion_alloc(ran.r, hidden(8), GFP_ATOMIC);
	ran.got = ran.got ?: kregion_alloc(ran.r, 8, GFP_ATOMIC);
	ran.err = kregion_add_action(ran.r, note, NULL, GFP_ATOMIC);
	note(arg);
}

static void an_action_may_not_allocate(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	int round;

	for (round = DROP; round <= RESET; round++) {
		memset(&ran, 0, sizeof(ran));
		ran.r = r;
		KUNIT_ASSERT_EQ(test, kregion_add_action(r, allocate, NULL, GFP_KERNEL), 0);
		expect_warnings(test, 1);
		end(r, round);
		KUNIT_EXPECT_NULL(test, ran.got);
		KUNIT_EXPECT_EQ(test, ran.err, (long)-ENOMEM);
		KUNIT_EXPECT_EQ(test, ran.nr, 1U);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	}
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
}

static void add_child(void *arg)
{
	ran.err = PTR_ERR_OR_ZERO(kregion_create_child(ran.r, "kunit-late", NULL));
}

static void a_parent_that_ends_gets_no_child(struct kunit *test)
{
	const typeof(endings[0]) *ending = test->param_value;
	struct kregion *r = region_make(test, NULL);

	memset(&ran, 0, sizeof(ran));
	ran.r = r;
	KUNIT_ASSERT_EQ(test, kregion_add_action(r, add_child, NULL, GFP_KERNEL), 0);
	expect_warnings(test, 1);
	end(r, ending->how);
	KUNIT_EXPECT_EQ(test, ran.err, (long)-EBUSY);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-late"), 0ULL);
}

static void a_refused_action_does_not_run(struct kunit *test)
{
	const struct kregion_attr attr = pages_attr(test->param_value, 2);
	struct kregion *r = region_make(test, &attr);
	unsigned int nr = 0;
	int err;

	memset(&ran, 0, sizeof(ran));
	while (!(err = kregion_add_action(r, note, NULL, GFP_KERNEL)))
		nr++;
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used,
			nr * ALIGN(sizeof(struct kregion_action), KREGION_ALIGN));
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, ran.nr, nr);
}

static void reset_with_actions_in_atomic_context(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	static DEFINE_SPINLOCK(lock);
	unsigned long irq;

	memset(&ran, 0, sizeof(ran));
	note_actions(test, r, "ab");
	spin_lock_irqsave(&lock, irq);
	kregion_reset(r);
	spin_unlock_irqrestore(&lock, irq);
	KUNIT_EXPECT_STREQ(test, ran.order, "ba");
}

struct adders {
	struct kregion *r;
	atomic_t added;
	atomic_t ran[8];
};

static void count_one(void *arg)
{
	atomic_inc(arg);
}

static void add_actions(void *data, int me)
{
	struct adders *a = data;
	int i;

	for (i = 0; i < 3000; i++)
		if (!kregion_add_action(a->r, count_one, &a->ran[me], GFP_KERNEL))
			atomic_inc(&a->added);
}

static void actions_of_all_cpus_at_once(struct kunit *test)
{
	struct adders *a = buffer(test, sizeof(*a));
	const int nr = min_t(int, 2 * num_online_cpus(), ARRAY_SIZE(a->ran));
	int i;

	a->r = region_of_mode(test, test->param_value);
	threads_run(test, nr, add_actions, a);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->added), 3000 * nr);
	kregion_drop(a->r);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, atomic_read(&a->ran[i]), 3000);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(a_child_counts_against_its_parent, base_gen_params),
	KUNIT_CASE_PARAM(all_ancestors_limit, base_gen_params),
	KUNIT_CASE_PARAM(the_last_block_fits_all_limits, base_gen_params),
	KUNIT_CASE_PARAM(a_refused_charge_changes_no_counter, base_gen_params),
	KUNIT_CASE_PARAM(the_sum_is_exact_with_all_cpus_at_it, base_gen_params),
	KUNIT_CASE(a_block_of_a_sibling_is_waited_for),
	KUNIT_CASE(a_block_elsewhere_is_not_waited_for),
	KUNIT_CASE_PARAM(children_end_with_their_parent, ending_gen_params),
	KUNIT_CASE(a_child_may_end_on_its_own),
	KUNIT_CASE(a_deep_tree_ends),
	KUNIT_CASE(children_come_and_go_at_once),
	KUNIT_CASE(no_parent_is_no_child),
	KUNIT_CASE(a_child_is_checked_like_any_region),
	KUNIT_CASE(debugfs_has_the_parent),
	KUNIT_CASE_PARAM(actions_run_newest_first, all_gen_params),
	KUNIT_CASE_PARAM(actions_of_children_come_first, ending_gen_params),
	KUNIT_CASE_PARAM(actions_may_use_objects, all_gen_params),
	KUNIT_CASE_PARAM(damage_by_an_action_is_found, debug_gen_params),
	KUNIT_CASE_PARAM(an_action_may_not_allocate, base_gen_params),
	KUNIT_CASE_PARAM(a_parent_that_ends_gets_no_child, ending_gen_params),
	KUNIT_CASE_PARAM(a_refused_action_does_not_run, base_gen_params),
	KUNIT_CASE_PARAM(reset_with_actions_in_atomic_context, base_gen_params),
	KUNIT_CASE_PARAM(actions_of_all_cpus_at_once, smp_gen_params),
	{}
};

KREGION_SUITE(tree, cases);
