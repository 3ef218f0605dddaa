// SPDX-License-Identifier: GPL-2.0
/*
 * Marks and rewinds of single mode regions, and objects that change size.
 */

#include <linux/completion.h>
#include <linux/spinlock.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(base, MODES_BASE);
MODE_PARAM(all, MODES_ALL);
MODE_PARAM(smp, MODES_SMP);
MODE_PARAM(debug, MODES_DEBUG);

/* ---- marks --------------------------------------------------------------- */

static const struct mode singles[] = {
	{ "single", KREGION_F_SINGLE, 0 },
	{ "single vmalloc", KREGION_F_SINGLE | KREGION_F_VMALLOC, 0 },
	{ "single page", KREGION_F_SINGLE, PAGE_SIZE },
	{ "single debug", KREGION_F_SINGLE | KREGION_F_DEBUG, 0 },
	{ "single debug page", KREGION_F_SINGLE | KREGION_F_DEBUG, PAGE_SIZE },
};

static void single_desc(const struct mode *mode, char *desc)
{
	strscpy(desc, mode->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(single, singles, single_desc)

/* Without KREGION_F_DEBUG, whose objects have no exact size. */
static const struct mode plains[] = {
	{ "single", KREGION_F_SINGLE, 0 },
	{ "single page", KREGION_F_SINGLE, PAGE_SIZE },
};

KUNIT_ARRAY_PARAM(plain, plains, single_desc)

static struct kregion *debug_named(struct kunit *test, unsigned int flags)
{
	return region_named(test, "kunit-scratch", &(struct kregion_attr){ .flags = flags });
}

/* All that a rewind restores. */
static void expect_same(struct kunit *test, const struct kregion_stats *a,
			const struct kregion_stats *b)
{
	KUNIT_EXPECT_EQ(test, a->blocks_current, b->blocks_current);
	KUNIT_EXPECT_EQ(test, a->blocks_full, b->blocks_full);
	KUNIT_EXPECT_EQ(test, a->blocks_large, b->blocks_large);
	KUNIT_EXPECT_EQ(test, a->bytes_used, b->bytes_used);
	KUNIT_EXPECT_EQ(test, a->bytes_lost, b->bytes_lost);
}

/* Objects of many sizes, over some blocks, and two large ones. */
static void use(struct kunit *test, struct kregion *r, size_t block)
{
	struct object o;
	size_t size;
	int i;

	for (i = 0; i < 40; i++) {
		size = i % 3 ? block / 8 - 8 * i : 1 + i;
		object_write(&o, kregion_alloc(r, size, GFP_KERNEL), size, i);
		KUNIT_ASSERT_NOT_NULL(test, o.p);
	}
	object_write(&o, kregion_alloc(r, block / 2, GFP_KERNEL), block / 2, i);
	KUNIT_ASSERT_NOT_NULL(test, o.p);
	object_write(&o, kregion_alloc_aligned(r, 2 * block, 64, GFP_KERNEL), 2 * block, i);
	KUNIT_ASSERT_NOT_NULL(test, o.p);
}

static void rewind_forgets_what_came_since(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats before, after;
	unsigned long fills = 0;
	struct object o[20];
	struct kregion_mark m;
	long outstanding;
	int i, round;
	void *p;

	for (i = 0; i < ARRAY_SIZE(o); i++)
		object_write(&o[i], kregion_alloc(r, block / 10, GFP_KERNEL), block / 10, i);
	object_write(&o[3], kregion_alloc(r, block, GFP_KERNEL), block, 3);
	before = stats_of(r);
	m = kregion_mark(r);
	after = stats_of(r);
	KUNIT_EXPECT_TRUE(test, !memcmp(&before, &after, sizeof(after)));
	outstanding = bytes_outstanding();
	for (round = 0; round < 4; round++) {
		p = kregion_alloc(r, 8, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, kregion_contains(r, p));
		use(test, r, block);
		kregion_rewind(r, m);
		after = stats_of(r);
		expect_same(test, &after, &before);
		expect_sane(test, r);
		KUNIT_EXPECT_FALSE(test, kregion_contains(r, p));
		/* Only ordinary blocks are kept. */
		KUNIT_EXPECT_EQ(test, bytes_outstanding() - outstanding,
				(long)(after.bytes_held - before.bytes_held));
		KUNIT_EXPECT_EQ(test, blocks_of(&after) - after.blocks_spare,
				blocks_of(&before));
		/* All but the two large ones are used again. */
		KUNIT_EXPECT_TRUE(test, !round || after.fills == fills + 2);
		fills = after.fills;
		expect_intact(test, o, ARRAY_SIZE(o));
	}
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
}

static void the_position_is_that_of_the_mark(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_mark m;
	void *p;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 24, GFP_KERNEL));
	m = kregion_mark(r);
	p = kregion_alloc(r, 8, GFP_KERNEL);
	use(test, r, block_of(mode));
	kregion_rewind(r, m);
	KUNIT_EXPECT_PTR_EQ(test, kregion_alloc(r, 8, GFP_KERNEL), p);
}

static void a_mark_of_an_empty_region(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	const struct kregion_mark m = kregion_mark(r);
	struct kregion_stats st;
	int round;

	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	for (round = 0; round < 3; round++) {
		use(test, r, block_of(mode));
		kregion_rewind(r, m);
		st = stats_of(r);
		KUNIT_EXPECT_EQ(test, st.bytes_used + st.bytes_lost, 0UL);
		KUNIT_EXPECT_EQ(test, st.blocks_spare, blocks_of(&st));
		expect_sane(test, r);
	}
	kregion_rewind(r, m);
	kregion_reset(r);
	use(test, r, block_of(mode));
}

static void marks_nest(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_stats st[4], now;
	struct kregion_mark m[4];
	int i, n, round;

	for (n = 4; n > 0; n--) {
		for (i = 0; i < n; i++) {
			st[i] = stats_of(r);
			m[i] = kregion_mark(r);
			use(test, r, block_of(mode));
		}
		/* Each twice, from the innermost one outwards. */
		for (i = n; i--; )
			for (round = 0; round < 2; round++) {
				use(test, r, block_of(mode));
				kregion_rewind(r, m[i]);
				now = stats_of(r);
				expect_same(test, &now, &st[i]);
			}
	}
}

enum staleness { OLDER_REWIND, REGROWN, AFTER_DROP, AFTER_RESET, OTHER_REGION, ZEROED };

static const struct {
	const char *what;
	enum staleness how;
	unsigned int flags;
} stales[] = {
	{ "older rewind", OLDER_REWIND },
	{ "older rewind, debug", OLDER_REWIND, KREGION_F_DEBUG },
	{ "the region grew past it again", REGROWN },
	{ "drop", AFTER_DROP },
	{ "reset", AFTER_RESET },
	{ "reset, debug", AFTER_RESET, KREGION_F_DEBUG },
	{ "mark of another region", OTHER_REGION },
	{ "no mark", ZEROED },
};

ROW_PARAM(stale, stales);

static void a_stale_mark_warns_once_and_changes_nothing(struct kunit *test)
{
	const typeof(stales[0]) *p = test->param_value;
	struct kregion *r = debug_named(test, KREGION_F_SINGLE | p->flags);
	struct kregion *other = debug_named(test, KREGION_F_SINGLE);
	struct kregion_mark older = kregion_mark(r), m;
	struct kregion_stats before, after;
	struct object o;
	int i;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	m = kregion_mark(r);
	switch (p->how) {
	case OLDER_REWIND:
	case REGROWN:
		kregion_rewind(r, older);
		break;
	case AFTER_DROP:
		kregion_drop(r);
		break;
	case AFTER_RESET:
		kregion_reset(r);
		break;
	case OTHER_REGION:
		/* With the same serial number. */
		for (i = 0; i < 2; i++)
			m = kregion_mark(other);
		break;
	case ZEROED:
		m = (struct kregion_mark){};
	}
	if (p->how == REGROWN) {
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
		kregion_mark(r);
	}
	object_write(&o, kregion_alloc(r, 300, GFP_KERNEL), 300, 1);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, SZ_128K, GFP_KERNEL));
	before = stats_of(r);
	expect_warnings(test, 1);
	for (i = 0; i < 3; i++)
		kregion_rewind(r, m);
	after = stats_of(r);
	KUNIT_EXPECT_TRUE(test, !memcmp(&before, &after, sizeof(after)));
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-scratch: the mark is not valid any more"));
}

/* The marks that an older rewind leaves valid. */
static void only_newer_marks_become_stale(struct kunit *test)
{
	struct kregion *r = debug_named(test, KREGION_F_SINGLE);
	struct kregion_mark a = kregion_mark(r), b, c;
	unsigned long used_b;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	b = kregion_mark(r);
	used_b = stats_of(r).bytes_used;
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	c = kregion_mark(r);
	kregion_rewind(r, b);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 800, GFP_KERNEL));
	kregion_mark(r);
	kregion_rewind(r, b);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, used_b);
	kregion_rewind(r, a);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	expect_warnings(test, 1);
	kregion_rewind(r, c);
}

static void only_single_mode_has_marks(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct kregion_mark m;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	expect_warnings(test, 1);
	m = kregion_mark(r);
	kregion_rewind(r, m);
	m = kregion_mark(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8UL);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "marks need KREGION_F_SINGLE"));
}

static void rewind_frees_large_objects(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	static DEFINE_SPINLOCK(lock);
	struct kregion_mark m;
	struct object o;
	unsigned long irq, peak;
	long before;
	int i;

	object_write(&o, kregion_alloc(r, SZ_64K, GFP_KERNEL), SZ_64K, 1);
	m = kregion_mark(r);
	before = bytes_outstanding();
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, SZ_64K * i + 1, GFP_KERNEL));
	KUNIT_EXPECT_GT(test, bytes_outstanding() - before, 10L * SZ_64K);
	spin_lock_irqsave(&lock, irq);
	kregion_rewind(r, m);
	spin_unlock_irqrestore(&lock, irq);
	KUNIT_EXPECT_LE(test, bytes_outstanding() - before, (long)block_of(mode));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 1UL);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	expect_sane(test, r);
	/* They do not count towards the peak any more. */
	peak = stats_of(r).blocks_peak;
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, SZ_64K * i + 1, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_peak, peak);
}

/* Blocks of a rewind count as spare, so the limit is all there again. */
static void the_limit_is_there_again(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_SINGLE, .block_size = PAGE_SIZE, .limit = 12 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	unsigned long got, first = 0;
	struct kregion_mark m;
	int round;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	m = kregion_mark(r);
	for (round = 0; round < 4; round++) {
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 3 * PAGE_SIZE - 100, GFP_KERNEL));
		for (got = 0; kregion_alloc(r, 500, GFP_KERNEL); got++)
			;
		first = first ?: got;
		KUNIT_EXPECT_EQ(test, got, first);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, attr.limit);
		kregion_rewind(r, m);
	}
	KUNIT_EXPECT_GE(test, first, 8 * 7UL);
}

static struct {
	char order[16];
	unsigned int nr;
	struct kregion *r;
	struct object object;
	bool intact;
	struct kregion_mark m;
} ran;

static void note(void *arg)
{
	if (ran.nr < sizeof(ran.order) - 1)
		ran.order[ran.nr] = (char)(long)arg;
	ran.nr++;
	if (ran.object.p)
		ran.intact &= object_intact(&ran.object);
}

static void note_actions(struct kunit *test, struct kregion *r, const char *letters)
{
	for (; *letters; letters++)
		KUNIT_ASSERT_EQ(test, kregion_add_action(r, note, (void *)(long)*letters,
							 GFP_KERNEL), 0);
}

static void rewind_runs_the_actions_since(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_mark m, inner;

	memset(&ran, 0, sizeof(ran));
	ran.intact = true;
	note_actions(test, r, "ab");
	m = kregion_mark(r);
	note_actions(test, r, "cd");
	object_write(&ran.object, kregion_alloc(r, block_of(mode), GFP_KERNEL), block_of(mode), 5);
	inner = kregion_mark(r);
	note_actions(test, r, "e");
	kregion_rewind(r, inner);
	KUNIT_EXPECT_STREQ(test, ran.order, "e");
	kregion_rewind(r, inner);
	kregion_rewind(r, m);
	KUNIT_EXPECT_STREQ(test, ran.order, "edc");
	KUNIT_EXPECT_TRUE(test, ran.intact);
	memset(&ran.object, 0, sizeof(ran.object));
	note_actions(test, r, "f");
	kregion_drop(r);
	KUNIT_EXPECT_STREQ(test, ran.order, "edcfba");
}

static void mark_again(void *arg)
{
	ran.m = kregion_mark(ran.r);
	kregion_rewind(ran.r, ran.m);
	ran.nr++;
}

/* What an action may not do leaves the rewind alone. */
static void no_mark_in_an_action(struct kunit *test)
{
	struct kregion *r = debug_named(test, KREGION_F_SINGLE);
	const struct kregion_mark m = kregion_mark(r);

	memset(&ran, 0, sizeof(ran));
	ran.r = r;
	KUNIT_ASSERT_EQ(test, kregion_add_action(r, mark_again, NULL, GFP_KERNEL), 0);
	/* The allocation that a mark counts as, and the mark itself. */
	expect_warnings(test, 2);
	kregion_rewind(r, m);
	KUNIT_EXPECT_EQ(test, ran.nr, 1U);
	KUNIT_EXPECT_EQ(test, ran.m.serial, 0ULL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	kregion_rewind(r, m);
}

/* The promise of the reserve holds at once, without the worker. */
static void the_reserve_is_as_full_as_at_the_mark(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 3000,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_stats before, after;
	struct kregion_mark m;
	int round, i;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	/* Some of it was used before. */
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 40));
	KUNIT_ASSERT_EQ(test, kregion_reserve(r, 3000, GFP_KERNEL), 0);
	before = stats_of(r);
	m = kregion_mark(r);
	for (round = 0; round < 6; round++) {
		for (i = 0; i < 3000 / 40; i++)
			KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 40));
		if (round % 2)
			msleep(20);	/* for the refill */
		while (round % 3 == 2 && kregion_alloc_nofill(r, 40))
			;
		kregion_rewind(r, m);
		after = stats_of(r);
		KUNIT_EXPECT_EQ(test, after.bytes_used, before.bytes_used);
		expect_sane(test, r);
	}
}

/*
 * With interrupts off, no refill begins, so nofill calls take from the reserve.
 * Blocks that a refill has added since the mark are not in it any more.
 */
static unsigned int spend(struct kregion *r, void **p, unsigned int max)
{
	static DEFINE_RAW_SPINLOCK(lock);
	unsigned long irq;
	unsigned int n;

	raw_spin_lock_irqsave(&lock, irq);
	for (n = 0; n < max && (p[n] = kregion_alloc_nofill(r, 40)); n++)
		;
	raw_spin_unlock_irqrestore(&lock, irq);
	return n;
}

static void the_reserve_is_that_of_the_mark(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = { .flags = mode->flags, .block_size = mode->block };
	const unsigned int max = 4000, promised = 3000 / 40;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_make(test, &attr);
	void **p = buffer(test, max * sizeof(*p));
	struct kregion_stats before, after;
	unsigned int n, i, round;
	struct kregion_mark m;
	unsigned long fills;

	leave_room(test, r, capacity, 0);
	KUNIT_ASSERT_EQ(test, kregion_reserve(r, 3000, GFP_KERNEL), 0);
	before = stats_of(r);
	m = kregion_mark(r);
	for (round = 0; round < 4; round++) {
		fills = stats_of(r).fills;
		KUNIT_EXPECT_EQ(test, spend(r, p, promised), promised);
		/* The refill adds to the queue. */
		KUNIT_EXPECT_TRUE(test, round || wait_until(stats_of(r).fills > fills));
		msleep(20);
		kregion_rewind(r, m);
		after = stats_of(r);
		expect_same(test, &after, &before);
		n = spend(r, p, max);
		KUNIT_EXPECT_GE(test, n, promised);
		KUNIT_EXPECT_LT(test, n, max);
		for (i = 0; i < n; i++)
			KUNIT_EXPECT_TRUE(test, kregion_contains(r, p[i]));
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, before.bytes_used + n * 40UL);
		kregion_rewind(r, m);
	}
}

static struct kregion_block *standby_of(struct kregion *r)
{
	const struct kregion_priv *rg = to_priv(r);

	return READ_ONCE(rg->cpu.standby[region_slot(rg->epoch)]);
}

/* Empty, as it was at the mark. */
static void rewind_returns_the_standby_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 1000,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_block *standby;
	struct kregion_mark m;
	struct object o;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc_nofill(r, hidden(100)));
	refill_finish(r);
	standby = standby_of(r);
	KUNIT_ASSERT_NOT_NULL(test, standby);
	m = kregion_mark(r);
	for (i = 0; i < 2; i++) {
		do {
			object_write(&o, kregion_alloc_nofill(r, hidden(100)), 100, i);
			KUNIT_ASSERT_TRUE(test, object_intact(&o));
		} while (standby_of(r) == standby);
		if (!region_debug(to_priv(r)))
			KUNIT_EXPECT_PTR_EQ(test, o.p, standby->start);
		refill_finish(r);
		kregion_rewind(r, m);
		KUNIT_EXPECT_PTR_EQ(test, standby_of(r), standby);
		expect_sane(test, r);
	}
}

static void a_busy_region_is_not_rewound(struct kunit *test)
{
	struct kregion *r = region_make(test, &(struct kregion_attr){ .flags = KREGION_F_SINGLE });
	struct kregion_mark m = kregion_mark(r);

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	set_bit(KREGION_BUSY, &to_priv(r)->flags);
	expect_warnings(test, 1);
	kregion_rewind(r, m);
	clear_bit(KREGION_BUSY, &to_priv(r)->flags);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 104UL);
	kregion_rewind(r, m);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
}

static void an_accounted_region_is_rewound(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_SINGLE | KREGION_F_ACCOUNT };
	struct kregion *r = region_make(test, &attr);
	struct kregion_mark m = kregion_mark(r);

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	kregion_rewind(r, m);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
}

static void rewind_checks_what_it_forgets(struct kunit *test)
{
	struct kregion *r = debug_named(test, KREGION_F_SINGLE | KREGION_F_DEBUG);
	char *old = kregion_alloc(r, 13, GFP_KERNEL), *p;
	const struct kregion_mark m = kregion_mark(r);

	KUNIT_ASSERT_NOT_NULL(test, old);
	p = kregion_alloc(r, 20, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	poke(p, 20, 'X');
	expect_warnings(test, 1);
	kregion_rewind(r, m);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "behind an object was written: object of 20 "));
	/* The memory of p is poisoned, so a write to it is found, too. */
	poke(p, 3, 'X');
	expect_warnings(test, 1);
	p = kregion_alloc(r, 20, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "free memory was written"));
	/* A large one, and a block that is spare then. */
	p = kregion_alloc(r, SZ_128K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	poke(p, SZ_128K, 'X');
	expect_warnings(test, 1);
	kregion_rewind(r, m);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "object of 131072"));
	poke(old, 13, 'X');
	kregion_rewind(r, m);
	expect_warnings(test, 1);
	kregion_drop(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "object of 13 bytes"));
}

static void many_marks(struct kunit *test)
{
	struct kregion *r = debug_named(test, KREGION_F_SINGLE);
	const struct kregion_mark first = kregion_mark(r);
	int i;

	for (i = 0; i < 10000; i++) {
		KUNIT_ASSERT_NE(test, kregion_mark(r).serial, 0ULL);
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 16, GFP_KERNEL));
	}
	kregion_rewind(r, first);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	for (i = 0; i < 100; i++)
		kregion_mark(r);
}

/* ---- resize -------------------------------------------------------------- */

static void the_last_object_changes_in_place(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	static const size_t sizes[] = { 1, 8, 9, 100, 101, 400, 3, 50, 49, 16, 17, 24 };
	struct object o;
	size_t old = 8;
	char *p, *next;
	int i;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	p = kregion_alloc(r, old, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		object_write(&o, p, old, 7 * i);
		o.size = min(old, sizes[i]);
		KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, old, sizes[i], GFP_KERNEL),
				    p);
		KUNIT_EXPECT_TRUE(test, object_intact(&o));
		old = sizes[i];
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8 + ALIGN(old, 8));
		expect_sane(test, r);
	}
	/* The next one is right behind it. */
	next = kregion_alloc(r, 8, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, next, p + ALIGN(old, 8));
}

static void any_other_object_is_copied(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *p = kregion_alloc(r, 50, GFP_KERNEL), *q;
	struct object o, next;

	object_write(&o, p, 50, 1);
	object_write(&next, kregion_alloc(r, 24, GFP_KERNEL), 24, 2);
	/* It shrinks where it is, and keeps its bytes. */
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 50, 40, GFP_KERNEL), p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 56 + 24UL);
	q = kregion_resize(r, p, 50, 60, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_PTR_NE(test, p, q);
	KUNIT_EXPECT_TRUE(test, !memcmp(p, q, 50));
	object_write(&o, q, 60, 3);
	KUNIT_EXPECT_TRUE(test, object_intact(&next));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 56 + 24 + 64UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
}

/* Up to the last byte of the block, and one more. */
static void the_block_bounds_the_object(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t capacity = capacity_of(test, mode);
	struct kregion *r = region_of_mode(test, mode);
	struct object o;
	char *p, *q;

	leave_room(test, r, capacity, 256);
	p = kregion_alloc(r, 8, GFP_KERNEL);
	object_write(&o, p, 8, 1);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 8, 256, GFP_KERNEL), p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, capacity);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	q = kregion_resize(r, p, 256, 257, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_PTR_NE(test, p, q);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2UL);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	o.p = q;
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	expect_sane(test, r);
}

static void nothing_and_from_nothing(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *p;

	KUNIT_EXPECT_PTR_EQ(test, kregion_resize(r, NULL, 0, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kregion_resize(r, ZERO_SIZE_PTR, 0, 0, GFP_KERNEL),
			    ZERO_SIZE_PTR);
	p = kregion_resize(r, NULL, 0, 40, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, !memchr_inv(p, 0, 40));
	KUNIT_EXPECT_PTR_EQ(test, kregion_resize(r, p, 40, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, ZERO_SIZE_PTR, 0, 16, GFP_KERNEL), p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 16UL);
	KUNIT_EXPECT_PTR_NE(test, (char *)kregion_resize(r, p, 0, 16, GFP_KERNEL), p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 32UL);
}

static void only_the_grown_part_is_cleared(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO;
	char *p = kregion_alloc(r, 2000, GFP_KERNEL), *q;
	struct object o;

	/* The memory that it grows into is not clear. */
	memset(p, 0xee, 2000);
	p = kregion_resize(r, p, 2000, 13, GFP_KERNEL);
	object_write(&o, p, 13, 1);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 13, 15, gfp), p);
	KUNIT_EXPECT_TRUE(test, object_intact(&o) && !p[13] && !p[14]);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 15, 200, gfp), p);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_TRUE(test, !memchr_inv(p + 13, 0, 187));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	q = kregion_resize(r, p, 13, 300, gfp);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_PTR_NE(test, p, q);
	o.p = q;
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_TRUE(test, !memchr_inv(q + 13, 0, 287));
}

static void a_refused_resize_leaves_the_object(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_stats before, after;
	struct object o;

	object_write(&o, kregion_alloc(r, 100, GFP_KERNEL), 100, 1);
	before = stats_of(r);
	KUNIT_EXPECT_NULL(test, kregion_resize(r, o.p, 100, 2 * PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_resize(r, o.p, 100, KREGION_MAX_ALLOC + 1, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_resize(r, o.p, 100, SIZE_MAX, GFP_KERNEL));
	after = stats_of(r);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_EQ(test, after.bytes_used, before.bytes_used);
	KUNIT_EXPECT_EQ(test, after.failed_limit, 1UL);
	KUNIT_EXPECT_EQ(test, after.failed_size, 2UL);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, o.p, 100, 200, GFP_KERNEL), o.p);
}

static void a_large_object_changes_within_its_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode), size = 2 * block + 1;
	struct kregion *r = region_of_mode(test, mode);
	unsigned long held;
	struct object o;
	size_t room;
	char *p;

	object_write(&o, kregion_alloc(r, size, GFP_KERNEL), size, 1);
	/* It need not be the last large one. */
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 2 * block, GFP_KERNEL));
	held = stats_of(r).bytes_held;
	/* The header of a block takes less than two cache lines. */
	room = ALIGN(size, PAGE_SIZE) - 2 * SMP_CACHE_BYTES;
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, o.p, size, room, GFP_KERNEL), o.p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, room + 2 * block);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, o.p, room, 24, GFP_KERNEL), o.p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 24 + 2 * block);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, o.p, 24, size, GFP_KERNEL), o.p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, held);
	object_write(&o, o.p, size, 2);
	p = kregion_resize(r, o.p, size, size + PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_PTR_NE(test, p, o.p);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	o.p = p;
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 3UL);
	expect_sane(test, r);
}

struct elsewhere {
	struct kregion *r;
	char *p, *q;
	struct completion done;
};

static int resize_thread(void *data)
{
	struct elsewhere *e = data;

	e->q = kregion_resize(e->r, e->p, 100, 200, GFP_KERNEL);
	complete(&e->done);
	return 0;
}

/* The current block of another CPU is not touched, a shared one is. */
static void another_cpu_resizes(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct elsewhere *e = buffer(test, sizeof(*e));
	struct object o;

	e->r = region_of_mode(test, mode);
	e->p = kregion_alloc(e->r, 100, GFP_KERNEL);
	object_write(&o, e->p, 100, 1);
	init_completion(&e->done);
	wake_up_process(thread_make(test, resize_thread, e, another_cpu(test)));
	wait_for_completion(&e->done);
	KUNIT_ASSERT_NOT_NULL(test, e->q);
	if (mode->flags & KREGION_F_PERCPU) {
		KUNIT_EXPECT_PTR_NE(test, e->p, e->q);
		KUNIT_EXPECT_EQ(test, stats_of(e->r).bytes_used, 104 + 200UL);
	} else {
		KUNIT_EXPECT_PTR_EQ(test, e->p, e->q);
		KUNIT_EXPECT_EQ(test, stats_of(e->r).bytes_used, 200UL);
	}
	o.p = e->q;
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	/* Here it is the last one, if it was not copied. */
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(e->r, e->p, mode->flags ? 100 : 200, 300,
							 GFP_KERNEL), e->p);
}

struct growers {
	struct kregion *r;
	atomic_t damaged;
};

/* An object that grows and shrinks while others allocate. */
static void grow_and_shrink(void *data, int me)
{
	struct growers *g = data;
	size_t size = 0, next;
	struct object o = {}, small;
	int i;

	for (i = 0; i < 3000; i++) {
		next = 1 + (size + 37 * me + i) % 600;
		o.p = kregion_resize(g->r, o.p, size, next, GFP_KERNEL);
		o.size = min(size, next);
		if (!o.p || (size && !object_intact(&o)))
			atomic_inc(&g->damaged);
		if (!o.p)
			break;
		size = next;
		object_write(&o, o.p, size, 1000 * me + i);
		object_write(&small, kregion_alloc(g->r, 8 * (1 + i % 5), GFP_KERNEL),
			     8 * (1 + i % 5), i);
		if (!(i % 3))
			cond_resched();
		if (!object_intact(&o) || !object_intact(&small))
			atomic_inc(&g->damaged);
	}
}

static void all_cpus_resize_at_once(struct kunit *test)
{
	struct growers *g = buffer(test, sizeof(*g));

	g->r = region_of_mode(test, test->param_value);
	threads_run(test, 2 * num_online_cpus(), grow_and_shrink, g);
	KUNIT_EXPECT_EQ(test, atomic_read(&g->damaged), 0);
	expect_sane(test, g->r);
}

/* A rewind would take the new bytes of an older object away. */
static void an_object_in_front_of_a_mark_is_copied(struct kunit *test)
{
	struct kregion *r = debug_named(test, KREGION_F_SINGLE);
	struct kregion_mark m;
	struct object o;
	char *p;

	object_write(&o, kregion_alloc(r, 100, GFP_KERNEL), 100, 1);
	m = kregion_mark(r);
	p = kregion_resize(r, o.p, 100, 50, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, p, o.p);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 104UL);
	p = kregion_resize(r, o.p, 100, 200, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_PTR_NE(test, p, o.p);
	/* The copy is behind the mark. */
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 200, 300, GFP_KERNEL), p);
	memset(p, 0xff, 300);
	kregion_rewind(r, m);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 104UL);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
}

static void debug_objects_change_size(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct object o, next;
	size_t size;
	char *p;
	int i;

	for (i = 0; i < 3; i++) {
		for (size = 60; size > 50; size--) {
			object_write(&o, kregion_alloc_aligned(r, size, 8 << i, GFP_KERNEL), size,
				     size);
			object_write(&next, kregion_alloc(r, 20, GFP_KERNEL), 20, 1);
			p = o.p;
			for (; o.size; o.size -= min_t(size_t, o.size, 7)) {
				if (o.size != size)
					p = kregion_resize(r, o.p, o.size + 7, o.size, GFP_KERNEL);
				KUNIT_EXPECT_PTR_EQ(test, p, o.p);
				KUNIT_EXPECT_TRUE(test, object_intact(&o));
			}
			KUNIT_EXPECT_TRUE(test, object_intact(&next));
		}
		object_write(&o, kregion_alloc(r, 10, GFP_KERNEL), 10, 1);
		p = kregion_resize(r, o.p, 10, 1000, GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_PTR_NE(test, p, o.p);
		KUNIT_EXPECT_TRUE(test, object_intact(&o));
		o.p = p;
		KUNIT_EXPECT_TRUE(test, object_intact(&o) && !memchr_inv(p + 10, 0, 990));
		KUNIT_EXPECT_PTR_EQ(test, kregion_resize(r, p, 1000, 0, GFP_KERNEL), ZERO_SIZE_PTR);
		if (i % 2)
			kregion_drop(r);
		else
			kregion_reset(r);
	}
	KUNIT_EXPECT_STREQ(test, logged(), "");
}

static void damage_of_resized_objects_is_found(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *p = kregion_alloc(r, 40, GFP_KERNEL);

	/* Behind the new end. */
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 40, 21, GFP_KERNEL), p);
	poke(p, 21, 'X');
	expect_warnings(test, 1);
	kregion_reset(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "behind an object was written: object of 21 "));
	/* Where it used to be. */
	p = kregion_alloc(r, 40, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 40, 5, GFP_KERNEL), p);
	poke(p, 30, 'X');
	expect_warnings(test, 1);
	kregion_reset(r);
	/* A shrink does not cover the damage up. */
	p = kregion_alloc(r, 40, GFP_KERNEL);
	poke(p, 40, 'X');
	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_resize(r, p, 40, 21, GFP_KERNEL), p);
	expect_warnings(test, 1);
	kregion_reset(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "behind an object was written: object of 40 "));
}

static void resize_again(void *arg)
{
	ran.intact = !kregion_resize(ran.r, arg, 40, 20, GFP_ATOMIC) &&
		     !kregion_resize(ran.r, arg, 40, 60, GFP_ATOMIC);
}

static void no_resize_in_an_action(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);

	memset(&ran, 0, sizeof(ran));
	ran.r = r;
	KUNIT_ASSERT_EQ(test, kregion_add_action(r, resize_again,
						 kregion_alloc(r, 40, GFP_KERNEL), GFP_KERNEL), 0);
	expect_warnings(test, 1);
	kregion_reset(r);
	KUNIT_EXPECT_TRUE(test, ran.intact);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(rewind_forgets_what_came_since, single_gen_params),
	KUNIT_CASE_PARAM(the_position_is_that_of_the_mark, single_gen_params),
	KUNIT_CASE_PARAM(a_mark_of_an_empty_region, single_gen_params),
	KUNIT_CASE_PARAM(marks_nest, single_gen_params),
	KUNIT_CASE_PARAM(a_stale_mark_warns_once_and_changes_nothing, stale_gen_params),
	KUNIT_CASE(only_newer_marks_become_stale),
	KUNIT_CASE_PARAM(only_single_mode_has_marks, smp_gen_params),
	KUNIT_CASE_PARAM(rewind_frees_large_objects, single_gen_params),
	KUNIT_CASE(the_limit_is_there_again),
	KUNIT_CASE_PARAM(rewind_runs_the_actions_since, single_gen_params),
	KUNIT_CASE(no_mark_in_an_action),
	KUNIT_CASE_PARAM(the_reserve_is_as_full_as_at_the_mark, single_gen_params),
	KUNIT_CASE_PARAM(the_reserve_is_that_of_the_mark, plain_gen_params),
	KUNIT_CASE_PARAM(rewind_returns_the_standby_block, single_gen_params),
	KUNIT_CASE(a_busy_region_is_not_rewound),
	KUNIT_CASE(an_accounted_region_is_rewound),
	KUNIT_CASE(rewind_checks_what_it_forgets),
	KUNIT_CASE(many_marks),
	KUNIT_CASE_PARAM(the_last_object_changes_in_place, all_gen_params),
	KUNIT_CASE_PARAM(any_other_object_is_copied, all_gen_params),
	KUNIT_CASE_PARAM(the_block_bounds_the_object, all_gen_params),
	KUNIT_CASE_PARAM(nothing_and_from_nothing, all_gen_params),
	KUNIT_CASE_PARAM(only_the_grown_part_is_cleared, base_gen_params),
	KUNIT_CASE_PARAM(a_refused_resize_leaves_the_object, base_gen_params),
	KUNIT_CASE_PARAM(a_large_object_changes_within_its_block, all_gen_params),
	KUNIT_CASE_PARAM(another_cpu_resizes, smp_gen_params),
	KUNIT_CASE_PARAM(all_cpus_resize_at_once, smp_gen_params),
	KUNIT_CASE(an_object_in_front_of_a_mark_is_copied),
	KUNIT_CASE_PARAM(debug_objects_change_size, debug_gen_params),
	KUNIT_CASE_PARAM(damage_of_resized_objects_is_found, debug_gen_params),
	KUNIT_CASE_PARAM(no_resize_in_an_action, base_gen_params),
	{}
};

KREGION_SUITE(scratch, cases);
