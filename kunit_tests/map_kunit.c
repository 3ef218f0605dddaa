// SPDX-License-Identifier: GPL-2.0
/*
 * The intern map: equal bytes get the same item, whoever asks.
 */

#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/spinlock.h>

#include "../kmod/internal.h"
#include "test.h"

MODE_PARAM(base, MODES_BASE);
MODE_PARAM(all, MODES_ALL);
MODE_PARAM(debug, MODES_DEBUG);
MODE_PARAM(smp, MODES_SMP);

static struct kregion_map *map_make(struct kunit *test, struct kregion *r)
{
	struct kregion_map *m = kregion_map_create(r, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	return m;
}

static struct kregion_map *map_of_mode(struct kunit *test, const struct mode *mode)
{
	return map_make(test, region_of_mode(test, mode));
}

/* Key @i of many: 4 to 103 bytes, equal but for their number. */
#define KEY_MAX		104

static size_t key_make(u32 i, u8 *key)
{
	const size_t len = sizeof(i) + i % 100;

	memset(key, 0x5a, len);
	memcpy(key + len - sizeof(i), &i, sizeof(i));
	return len;
}

static bool item_is(const struct kregion_item *item, const void *data, size_t len)
{
	return item && item->len == len && !memcmp(item->data, data, len) &&
	       IS_ALIGNED((unsigned long)item->data, 8);
}

/* Item @id is that of the key; nobody has seen its id. */
static bool key_found(struct kregion_map *m, u32 i, unsigned long *seen, u32 count)
{
	const struct kregion_item *item;
	u8 key[KEY_MAX];
	size_t len;

	len = key_make(i, key);
	item = kregion_map_find(m, key, len);
	return item_is(item, key, len) && item->id && item->id <= count &&
	       !__test_and_set_bit(item->id, seen) && kregion_map_item(m, item->id) == item;
}

/* The map has the keys from 0 to @n, each with an id of its own from 1 to @n. */
static void expect_keys(struct kunit *test, struct kregion_map *m, u32 n)
{
	unsigned long *seen = buffer(test, BITS_TO_LONGS(n + 1) * sizeof(long));
	u32 i, wrong = 0;

	KUNIT_EXPECT_EQ(test, kregion_map_count(m), n);
	for (i = 0; i < n; i++)
		wrong += !key_found(m, i, seen, n);
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_NULL(test, kregion_map_item(m, 0));
	KUNIT_EXPECT_NULL(test, kregion_map_item(m, n + 1));
	KUNIT_EXPECT_NULL(test, kregion_map_item(m, U32_MAX));
}

static const struct kregion_item *put_key(struct kregion_map *m, u32 i)
{
	u8 key[KEY_MAX];
	size_t len = key_make(i, key);

	return kregion_map_put(m, key, len, GFP_KERNEL);
}

static const struct kregion_item *put_key_nofill(struct kregion_map *m, u32 i)
{
	u8 key[KEY_MAX];
	size_t len = key_make(i, key);

	return kregion_map_put_nofill(m, key, len);
}

/* ---- items --------------------------------------------------------------- */

static void an_empty_map_has_nothing(struct kunit *test)
{
	struct kregion_map *m = map_of_mode(test, test->param_value);

	KUNIT_EXPECT_EQ(test, kregion_map_count(m), 0U);
	KUNIT_EXPECT_NULL(test, kregion_map_find(m, "", 0));
	KUNIT_EXPECT_NULL(test, kregion_map_find(m, "x", 1));
	expect_keys(test, m, 0);
}

static void equal_bytes_are_one_item(struct kunit *test)
{
	struct kregion_map *m = map_of_mode(test, test->param_value);
	const struct kregion_item *item, *other;
	u8 src[80];
	size_t len, at;

	for (len = 0; len <= 64; len++) {
		memset(src, 0x11, sizeof(src));
		KUNIT_EXPECT_NULL(test, kregion_map_find(m, src, len));
		item = kregion_map_put(m, src, len, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, item_is(item, src, len));
		KUNIT_EXPECT_EQ(test, item->id, (u32)len + 1);
		KUNIT_EXPECT_TRUE(test, (const u8 *)item != src);
		/* At any alignment, whatever is around. */
		for (at = 1; at < 9; at++) {
			memset(src, at, sizeof(src));
			memset(src + at, 0x11, len);
			other = kregion_map_put(m, src + at, len, GFP_KERNEL);
			KUNIT_EXPECT_PTR_EQ(test, other, item);
			KUNIT_EXPECT_PTR_EQ(test, kregion_map_find(m, src + at, len), item);
			KUNIT_EXPECT_PTR_EQ(test, kregion_map_put_nofill(m, src + at, len), item);
		}
	}
	KUNIT_EXPECT_EQ(test, kregion_map_count(m), 65U);
}

/* Each byte counts, and so does the length. */
static void different_bytes_are_different_items(struct kunit *test)
{
	struct kregion_map *m = map_of_mode(test, test->param_value);
	u8 src[70] = {};
	u32 id = 0, wrong = 0;
	size_t len, at;

	for (len = 0; len < sizeof(src); len++) {
		wrong += kregion_map_put(m, src, len, GFP_KERNEL)->id != ++id;
		for (at = 0; at < len; at++) {
			src[at] = 1;
			wrong += !!kregion_map_find(m, src, len);
			wrong += kregion_map_put(m, src, len, GFP_KERNEL)->id != ++id;
			src[at] = 0;
		}
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_EQ(test, kregion_map_count(m), id);
}

static void items_up_to_64k(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct kregion_map *m = map_make(test, r);
	const struct kregion_item *item, *less;
	u8 *src = buffer(test, SZ_64K + 1);
	struct kregion_stats st;

	memset(src, 0x21, SZ_64K + 1);
	item = kregion_map_put(m, src, SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, item_is(item, src, SZ_64K));
	less = kregion_map_put(m, src, SZ_64K - 1, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, item_is(less, src, SZ_64K - 1));
	src[SZ_64K - 1]++;
	KUNIT_EXPECT_NULL(test, kregion_map_find(m, src, SZ_64K));
	KUNIT_EXPECT_PTR_EQ(test, kregion_map_put(m, src, SZ_64K - 1, GFP_KERNEL), less);

	st = stats_of(r);
	KUNIT_EXPECT_NULL(test, kregion_map_put(m, src, SZ_64K + 1, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_map_put(m, src, SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_map_put_nofill(m, src, SZ_64K + 1));
	KUNIT_EXPECT_NULL(test, kregion_map_find(m, src, SIZE_MAX));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, st.bytes_used);
	KUNIT_EXPECT_EQ(test, kregion_map_count(m), 2U);
}

static void many_items_are_found_again(struct kunit *test)
{
	const u32 n = scale > 1 ? 100000 : 5000;
	struct kregion_map *m = map_of_mode(test, test->param_value);
	u32 i, wrong = 0;

	for (i = 0; i < n; i++) {
		const struct kregion_item *item = put_key(m, i);

		KUNIT_ASSERT_NOT_NULL(test, item);
		wrong += item->id != i + 1 || kregion_map_count(m) != i + 1;
		if (i % 1024 == 0)
			cond_resched();
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	expect_keys(test, m, n);
}

static void a_put_that_finds_writes_nothing(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct kregion_map *m = map_make(test, r);
	struct kregion_stats before, after;
	u32 i, wrong = 0;

	for (i = 0; i < 200; i++)
		KUNIT_ASSERT_NOT_NULL(test, put_key(m, i));
	before = stats_of(r);
	for (i = 0; i < 200; i++) {
		wrong += put_key(m, i)->id != i + 1;
		wrong += put_key_nofill(m, i)->id != i + 1;
	}
	after = stats_of(r);
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_TRUE(test, !memcmp(&before, &after, sizeof(before)));
}

static void maps_are_apart(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct kregion_map *m = map_make(test, r), *other = map_make(test, r);
	u32 i, wrong = 0;

	for (i = 0; i < 100; i++) {
		wrong += put_key(m, i) == put_key(other, 99 - i);
		wrong += put_key(m, i) == put_key(other, i);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	expect_keys(test, m, 100);
	expect_keys(test, other, 100);
}

/* ---- hashes -------------------------------------------------------------- */

#if IS_ENABLED(CONFIG_KUNIT)
static void undo_weak(void *unused)
{
	WRITE_ONCE(kregion_map_weak, 0);
}

static void hashes_weaken(struct kunit *test, unsigned int rounds)
{
	undo_later(test, undo_weak, NULL);
	WRITE_ONCE(kregion_map_weak, rounds);
}
#else
static void hashes_weaken(struct kunit *test, unsigned int rounds)
{
	kunit_skip(test, "needs CONFIG_KUNIT");
}
#endif

struct weakness {
	const char *what;
	unsigned int rounds;
	u32 keys;
};

static const struct weakness weaknesses[] = {
	{ "the first hash is the same", 1, 2000 },
	{ "two hashes are the same", 2, 1000 },
	{ "all hashes are the same", UINT_MAX, 300 },
};

ROW_PARAM(weakness, weaknesses);

static void equal_hashes_are_different_items(struct kunit *test)
{
	const struct weakness *p = test->param_value;
	struct kregion_map *m;
	static const u8 zeroes[40];
	u32 i, wrong = 0;
	u8 other[40];

	hashes_weaken(test, p->rounds);
	m = map_make(test, region_make(test, NULL));
	/* From the longest, which begins with all others. */
	for (i = 0; i < sizeof(zeroes); i++)
		wrong += kregion_map_put(m, zeroes, sizeof(zeroes) - i, GFP_KERNEL)->id != i + 1;
	/* Each of their bytes is compared. */
	for (i = 0; i < sizeof(zeroes); i++) {
		memset(other, 0, sizeof(other));
		other[i] = 1;
		wrong += !!kregion_map_find(m, other, sizeof(other));
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	m = map_make(test, region_make(test, NULL));
	for (i = 0; i < p->keys; i++) {
		const struct kregion_item *item = put_key(m, i);

		wrong += !item || item->id != i + 1 || put_key(m, i) != item;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	expect_keys(test, m, p->keys);
}

/* ---- no memory ----------------------------------------------------------- */

/* Whichever allocation fails, the next id is that of the next item. */
static void a_failed_put_leaves_no_gap(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = 16 * PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_map *m = map_make(test, r);
	const struct kregion_item *item;
	u32 n = 0, failed = 0, wrong = 0;
	u8 key[KEY_MAX];
	size_t len;

	while (failed < 300) {
		len = key_make(n, key);
		item = failed % 2 ? kregion_map_put_nofill(m, key, len) :
				    kregion_map_put(m, key, len, GFP_KERNEL | __GFP_NOWARN);
		if (!item) {
			failed++;
			wrong += !!kregion_map_find(m, key, len);
			wrong += kregion_map_count(m) != n;
			/* Room for one more block at times. */
			if (failed % 3 == 0)
				WRITE_ONCE(to_priv(r)->limit, to_priv(r)->limit + PAGE_SIZE);
			continue;
		}
		wrong += item->id != ++n;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_GT(test, n, 64U);
	expect_keys(test, m, n);
}

static void nofill_puts_live_on_the_reserve(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .reserve = SZ_32K,
	};
	static DEFINE_RAW_SPINLOCK(lock);
	const size_t eighth = PAGE_SIZE / 8;
	u8 *large = buffer(test, eighth);
	struct kregion_map *m;
	unsigned long irq;
	u32 n = 0;

	m = map_make(test, region_make(test, &attr));
	raw_spin_lock_irqsave(&lock, irq);
	while (n < 100 && put_key_nofill(m, n))
		n++;
	raw_spin_unlock_irqrestore(&lock, irq);
	KUNIT_EXPECT_EQ(test, n, 100U);
	expect_keys(test, m, n);
	/* A node that is larger than an eighth of the block. */
	KUNIT_EXPECT_NULL(test, kregion_map_put_nofill(m, large, eighth));
	KUNIT_EXPECT_EQ(test, kregion_map_count(m), n);
	KUNIT_EXPECT_NOT_NULL(test, kregion_map_put(m, large, eighth, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_map_put_nofill(m, large, eighth));
}

/* The memory of the map is that of an older epoch. */
static void a_map_ends_with_its_epoch(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);
	struct kregion_map *m = map_make(test, r);
	struct kregion_priv *rg = to_priv(r);

	KUNIT_EXPECT_NOT_NULL(test, put_key(m, 0));
	WRITE_ONCE(rg->epoch, rg->epoch + 1);
	KUNIT_EXPECT_NULL(test, put_key(m, 1));
	KUNIT_EXPECT_NULL(test, put_key_nofill(m, 1));
	KUNIT_EXPECT_NOT_NULL(test, put_key(m, 0));
	KUNIT_EXPECT_EQ(test, kregion_map_count(m), 1U);
	WRITE_ONCE(rg->epoch, rg->epoch - 1);
	expect_keys(test, m, 1);
}

/* ---- all contexts at once ------------------------------------------------ */

struct crowd;

/* What one context of one CPU has got. */
struct putter {
	struct crowd *crowd;
	const struct kregion_item **got;
	u32 next;			/* key of the thread, or number of keys */
	u32 wrong, nulls;
	struct rnd_state rnd;
	struct hrtimer timer;
};

struct crowd {
	struct kregion_map *m;
	u32 keys;
	bool stop;
	struct putter thread[8], irq[8];
};

static void put_one(struct putter *p, u32 i, bool nofill)
{
	struct kregion_map *m = p->crowd->m;
	const struct kregion_item *item, *found;
	u8 key[KEY_MAX];
	size_t len;

	len = key_make(i, key);
	found = kregion_map_find(m, key, len);
	/* Never half of an item. */
	p->wrong += found && !item_is(found, key, len);
	item = nofill ? kregion_map_put_nofill(m, key, len) :
			kregion_map_put(m, key, len, GFP_KERNEL);
	if (!item) {
		p->nulls++;
		p->wrong += found || p->got[i];
		return;
	}
	p->wrong += !item_is(item, key, len) || (found && found != item) ||
		    (p->got[i] && p->got[i] != item) ||
		    kregion_map_item(m, item->id) != item || kregion_map_count(m) < item->id;
	p->got[i] = item;
}

/* The key of the thread and those before and behind it. */
static enum hrtimer_restart put_in_irq(struct hrtimer *timer)
{
	struct putter *p = container_of(timer, struct putter, timer);
	const struct putter *thread = p - p->crowd->irq + p->crowd->thread;
	const u32 keys = p->crowd->keys, key = READ_ONCE(thread->next) + keys;
	int i;

	for (i = -1; i < 3; i++)
		put_one(p, (key + i) % keys, true);
	WRITE_ONCE(p->next, p->next + i);
	if (READ_ONCE(p->crowd->stop))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(200 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

/* All threads put nearly the same keys at nearly the same time. */
static void put_in_thread(void *data, int me)
{
	struct crowd *crowd = data;
	struct putter *p = &crowd->thread[me], *irq = &crowd->irq[me];
	u32 i;

	hrtimer_start(&irq->timer, ns_to_ktime(200 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
	for (i = 0; i < crowd->keys; i++) {
		WRITE_ONCE(p->next, i);
		put_one(p, i, false);
		/* A few keys for each interrupt. */
		if (i % 64 == 0)
			(void)spin_until(READ_ONCE(irq->next) > i / 4);
		put_one(p, prandom_u32_state(&p->rnd) % crowd->keys, i % 2);
		if (i % 256 == 0)
			cond_resched();
	}
}

static void all_contexts_get_the_same_items(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = { .flags = mode->flags, .reserve = SZ_64K };
	struct crowd *crowd = buffer(test, sizeof(*crowd));
	u32 i, k, n, wrong = 0, nulls = 0, irqs = 0;
	struct rnd_state rnd;
	struct putter *p;

	random_begin(test, &rnd);
	crowd->m = map_make(test, region_make(test, &attr));
	crowd->keys = 3000 * scale;
	for (n = 0; n < min_t(u32, num_online_cpus(), ARRAY_SIZE(crowd->thread)); n++) {
		for (i = 0; i < 2; i++) {
			p = i ? &crowd->irq[n] : &crowd->thread[n];
			p->crowd = crowd;
			p->got = buffer(test, crowd->keys * sizeof(*p->got));
			prandom_seed_state(&p->rnd, prandom_u32_state(&rnd));
		}
		hrtimer_setup(&p->timer, put_in_irq, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	}
	threads_run(test, n, put_in_thread, crowd);
	WRITE_ONCE(crowd->stop, true);
	for (i = 0; i < n; i++)
		hrtimer_cancel(&crowd->irq[i].timer);

	for (i = 0; i < 2 * n; i++) {
		p = i < n ? &crowd->thread[i] : &crowd->irq[i - n];
		wrong += p->wrong;
		nulls += p->nulls;
		if (i >= n)
			irqs += p->next;
		for (k = 0; k < crowd->keys; k++)
			wrong += p->got[k] && p->got[k] != crowd->thread[0].got[k];
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_GT(test, irqs, 0U);
	expect_keys(test, crowd->m, crowd->keys);
	kunit_info(test, "%u keys, %u puts in interrupts, %u without memory\n", crowd->keys, irqs,
		   nulls);
}

/* ---- insertions that interrupt one another ------------------------------- */

/* The locks of the page allocator sleep on PREEMPT_RT. */
#ifndef CONFIG_PREEMPT_RT
struct interruption {
	struct kregion_map *m;
	u32 key;
	unsigned int times;
	bool inside;
	u32 wrong;
};

/* Whenever the map gets a block: in the middle of an insertion. */
static void put_meanwhile(void *arg)
{
	struct interruption *in = arg;
	const struct kregion_item *item;

	if (in->inside)
		return;
	in->inside = true;
	in->times++;
	/* The key of the interrupted call. */
	item = put_key_nofill(in->m, in->key);
	if (item)
		in->wrong += item->id != in->key + 1;
	in->inside = false;
}

static void an_insertion_is_interrupted_by_another_one(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .reserve = SZ_16K,
	};
	struct interruption in = { .m = map_make(test, region_make(test, &attr)) };
	const struct kregion_item *item;

	pages_hook(put_meanwhile, &in);
	for (in.key = 0; in.key < 1000; in.key++) {
		item = put_key(in.m, in.key);
		in.wrong += !item || item->id != in.key + 1;
	}
	pages_hook(NULL, NULL);
	KUNIT_EXPECT_GT(test, in.times, 10U);
	KUNIT_EXPECT_EQ(test, in.wrong, 0U);
	expect_keys(test, in.m, 1000);
}
#endif

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(an_empty_map_has_nothing, base_gen_params),
	KUNIT_CASE_PARAM(equal_bytes_are_one_item, all_gen_params),
	KUNIT_CASE_PARAM(equal_bytes_are_one_item, debug_gen_params),
	KUNIT_CASE_PARAM(different_bytes_are_different_items, base_gen_params),
	KUNIT_CASE_PARAM(items_up_to_64k, all_gen_params),
	KUNIT_CASE_PARAM(items_up_to_64k, debug_gen_params),
	KUNIT_CASE_PARAM(many_items_are_found_again, base_gen_params),
	KUNIT_CASE_PARAM(many_items_are_found_again, debug_gen_params),
	KUNIT_CASE_PARAM(a_put_that_finds_writes_nothing, base_gen_params),
	KUNIT_CASE_PARAM(maps_are_apart, base_gen_params),
	KUNIT_CASE_PARAM(equal_hashes_are_different_items, weakness_gen_params),
	KUNIT_CASE_PARAM(a_failed_put_leaves_no_gap, base_gen_params),
	KUNIT_CASE_PARAM(nofill_puts_live_on_the_reserve, base_gen_params),
	KUNIT_CASE(a_map_ends_with_its_epoch),
	KUNIT_CASE_PARAM(all_contexts_get_the_same_items, smp_gen_params),
#ifndef CONFIG_PREEMPT_RT
	KUNIT_CASE_PARAM(an_insertion_is_interrupted_by_another_one, smp_gen_params),
#endif
	{}
};

KREGION_SUITE(map, cases);
