// SPDX-License-Identifier: GPL-2.0
/*
 * Cost of interning: the map of a region beside stackdepot, and beside a
 * rhashtable and an xarray of objects from kmalloc().
 *
 * A hit puts bytes that are there, a miss other ones. All rivals get arrays of
 * random words, the same ones, which are made before the clock runs.
 */

#include <linux/completion.h>
#include <linux/jhash.h>
#include <linux/kregion.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/stackdepot.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include "bench.h"

#define KEYS	(2 * BATCH)	/* between two looks at the clock */
#define TOGETHER 10000		/* items that two CPUs put at once */

/* The items of one size. */
struct maps_run {
	size_t size;
	unsigned int items;	/* that are there */
	u64 salt;		/* of the bytes */
	long pages;		/* that hold them */
	u32 seed;
	bool failed;
	union {
		void *on;
		struct kregion_map *map;
		struct rhashtable *table;
		struct xarray *array;
	};
	struct kregion *r;
};

typedef void (*maps_loop)(struct maps_run *u, const void *key, unsigned int n);

struct maps_rival {
	const char *name;
	int (*begin)(struct maps_run *u);
	void (*end)(struct maps_run *u);
	maps_loop loop;
	unsigned int (*most)(size_t size);	/* items */
};

/* As the loops of bench.c: what the calls need is loaded before. */
#define LOOP(rival, put)								\
static noinline void rival##_loop(struct maps_run *u, const void *key, unsigned int n)	\
{											\
	const size_t size = u->size;							\
	void *on = u->on;								\
											\
	for (; n; n--, key += size) {							\
		const void *item = (put);						\
											\
		OPTIMIZER_HIDE_VAR(item);						\
		if (unlikely(!item))							\
			u->failed = true;						\
	}										\
	(void)on;									\
}

/* ---- nothing: the cost of the loop --------------------------------------- */

LOOP(empty, key)

/* ---- the map of a region ------------------------------------------------- */

static int map_begin(struct maps_run *u)
{
	u->r = kregion_create("bench", NULL);
	if (IS_ERR(u->r))
		return PTR_ERR(u->r);
	u->map = kregion_map_create(u->r, GFP);
	if (u->map)
		return 0;
	kregion_destroy(u->r);
	return -ENOMEM;
}

static void map_end(struct maps_run *u)
{
	kregion_destroy(u->r);
}

LOOP(map, kregion_map_put(on, key, size, GFP))

/* ---- stackdepot: one for all, which keeps what it is given --------------- */

#if IS_ENABLED(CONFIG_STACKDEPOT)
static int depot_begin(struct maps_run *u)
{
	return stack_depot_init();
}

static void depot_end(struct maps_run *u)
{
}

/* It holds 128 MiB, with 32 bytes besides each record. */
static unsigned int depot_most(size_t size)
{
	return size == 64 ? 1000000 : size < 64 ? 100000 : 10000;
}

LOOP(depot, (void *)(unsigned long)stack_depot_save((unsigned long *)key,
						    size / sizeof(long), GFP))
#endif

/* ---- objects of kmalloc() in a rhashtable -------------------------------- */

struct table_key {
	const void *data;
	u32 len;
};

struct table_item {
	struct rhash_head node;
	u32 len;
	u8 data[];
};

static u32 table_hash_key(const void *data, u32 unused, u32 seed)
{
	const struct table_key *key = data;

	return jhash(key->data, key->len, seed);
}

static u32 table_hash_item(const void *data, u32 unused, u32 seed)
{
	const struct table_item *item = data;

	return jhash(item->data, item->len, seed);
}

static int table_differs(struct rhashtable_compare_arg *arg, const void *object)
{
	const struct table_key *key = arg->key;
	const struct table_item *item = object;

	return item->len != key->len || memcmp(item->data, key->data, key->len);
}

static const struct rhashtable_params table_params = {
	.head_offset = offsetof(struct table_item, node),
	.key_len = sizeof(struct table_key),
	.hashfn = table_hash_key,
	.obj_hashfn = table_hash_item,
	.obj_cmpfn = table_differs,
};

static int table_begin(struct maps_run *u)
{
	int err;

	u->table = kzalloc(sizeof(*u->table), GFP);
	if (!u->table)
		return -ENOMEM;
	err = rhashtable_init(u->table, &table_params);
	if (err)
		kfree(u->table);
	return err;
}

static void table_free(void *item, void *unused)
{
	kfree(item);
}

static void table_end(struct maps_run *u)
{
	rhashtable_free_and_destroy(u->table, table_free, NULL);
	kfree(u->table);
}

static __always_inline const void *table_put(struct rhashtable *table, const void *data, u32 len)
{
	const struct table_key key = { .data = data, .len = len };
	struct table_item *item, *old;

	item = rhashtable_lookup_fast(table, &key, table_params);
	if (item)
		return item;
	item = kmalloc(struct_size(item, data, len), GFP);
	if (!item)
		return NULL;
	item->len = len;
	memcpy(item->data, data, len);
	old = rhashtable_lookup_get_insert_key(table, &key, &item->node, table_params);
	if (!old)
		return item;
	kfree(item);
	return IS_ERR(old) ? NULL : old;
}

LOOP(table, table_put(on, key, size))

/* ---- objects of kmalloc() in an xarray, by hash -------------------------- */

struct array_item {
	struct array_item *next;	/* with the same hash */
	u32 len;
	u8 data[];
};

static int array_begin(struct maps_run *u)
{
	u->array = kzalloc(sizeof(*u->array), GFP);
	if (!u->array)
		return -ENOMEM;
	xa_init(u->array);
	get_random_bytes(&u->seed, sizeof(u->seed));
	return 0;
}

static void array_end(struct maps_run *u)
{
	struct array_item *item, *next;
	unsigned long index;

	xa_for_each(u->array, index, item)
		for (; item; item = next) {
			next = item->next;
			kfree(item);
		}
	xa_destroy(u->array);
	kfree(u->array);
}

/* Hashes are sparse: most items have nodes of 576 bytes of their own. */
static unsigned int array_most(size_t size)
{
	return 100000;
}

static __always_inline const void *array_put(struct xarray *array, const void *data, u32 len,
					     u32 seed)
{
	const u32 hash = jhash(data, len, seed);
	struct array_item *item, *first, *new = NULL;

	for (;;) {
		first = xa_load(array, hash);
		for (item = first; item; item = item->next)
			if (item->len == len && !memcmp(item->data, data, len))
				break;
		if (item) {
			kfree(new);
			return item;
		}
		if (!new)
			new = kmalloc(struct_size(new, data, len), GFP);
		if (!new)
			return NULL;
		new->next = first;
		new->len = len;
		memcpy(new->data, data, len);
		item = xa_cmpxchg(array, hash, first, new, GFP);
		if (item == first)
			return new;
		if (xa_is_err(item)) {
			kfree(new);
			return NULL;
		}
	}
}

LOOP(array, array_put(on, key, size, u->seed))

/* ---- all of them --------------------------------------------------------- */

static const struct maps_rival all[] = {
	{ "kregion_map", map_begin, map_end, map_loop },
#if IS_ENABLED(CONFIG_STACKDEPOT)
	{ "stackdepot", depot_begin, depot_end, depot_loop, depot_most },
#endif
	{ "rhashtable", table_begin, table_end, table_loop },
	{ "xarray", array_begin, array_end, array_loop, array_most },
};

/* ---- keys ---------------------------------------------------------------- */

static u64 scramble(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* Key @i. */
static void key_make(const struct maps_run *u, unsigned int i, u64 *key)
{
	unsigned int word;

	for (word = 0; word < u->size / sizeof(*key); word++)
		key[word] = scramble(u->salt + i * 64ULL + word);
}

static void *key_at(const struct maps_run *u, void *keys, unsigned int i)
{
	return keys + i * u->size;
}

/* ---- one CPU ------------------------------------------------------------- */

/* As in bench.c: not inlined. */
static noinline u64 timed(maps_loop loop, struct maps_run *u, const void *keys, unsigned int n)
{
	const u64 start = get_cycles();

	loop(u, keys, n);
	return get_cycles() - start;
}

/* Pages in use, of all zones. */
static long pages_used(void)
{
	long pages = 0;
	struct zone *z;
	int node, cpu;

	/* What the last growth of a table has replaced. */
	rcu_barrier();
	for_each_online_node(node)
		for (z = NODE_DATA(node)->node_zones;
		     z < NODE_DATA(node)->node_zones + MAX_NR_ZONES; z++) {
			if (!populated_zone(z))
				continue;
			pages -= zone_page_state_snapshot(z, NR_FREE_PAGES);
			for_each_online_cpu(cpu)
				pages -= READ_ONCE(per_cpu_ptr(z->per_cpu_pageset, cpu)->count);
		}
	return pages;
}

static void say(const struct maps_rival *v, const char *what, const struct maps_run *u,
		s64 sum, unsigned long n, const char *unit)
{
	pr_info("view=%s rival=%s what=%s size=%zu items=%u cpus=%u value=%llu.%04u unit=%s\n",
		bench_view, v->name, what, u->size, u->items, num_online_cpus(), PER(sum, n), unit);
}

/* Insertions of all further items, with whatever grows meanwhile. */
static void maps_miss(const struct maps_rival *v, struct maps_run *u, void *keys,
		      unsigned int items)
{
	const unsigned int before = u->items;
	const long pages = pages_used();
	unsigned int i, n;
	s64 sum = 0;

	for (; u->items < items; u->items += n) {
		n = min_t(unsigned int, items - u->items, KEYS);
		for (i = 0; i < n; i++)
			key_make(u, u->items + i, key_at(u, keys, i));
		sum += timed(v->loop, u, keys, n);
		sum -= timed(empty_loop, u, keys, n);
		cond_resched();
	}
	u->pages += pages_used() - pages;
	say(v, "miss", u, sum, items - before, bench_unit);
	if (items >= 10000)
		say(v, "held", u, u->pages * PAGE_SIZE, items, "bytes");
}

static void maps_hit(const struct maps_rival *v, struct maps_run *u, void *keys)
{
	u64 once[RUNS], twice[RUNS];
	unsigned int i, k;
	u32 which;

	for (k = 0; k < RUNS; k++) {
		for (i = 0; i < KEYS; i++) {
			which = scramble((k + 1) * KEYS + i);
			key_make(u, which % u->items, key_at(u, keys, i));
		}
		twice[k] = timed(v->loop, u, keys, KEYS) - timed(empty_loop, u, keys, KEYS);
		once[k] = timed(v->loop, u, keys, BATCH) - timed(empty_loop, u, keys, BATCH);
		cond_resched();
	}
	say(v, "hit", u, bench_median(twice, RUNS) - bench_median(once, RUNS), BATCH, bench_unit);
}

/* ---- two CPUs ------------------------------------------------------------ */

struct maps_pair {
	const struct maps_rival *v;
	struct maps_run *u;
	const void *keys;
	atomic_t waiting, running;
	u64 start, end;			/* of the last one that is ready, or through */
	struct completion done;
};

static int pair_main(void *data)
{
	struct maps_pair *pair = data;

	pair->start = get_cycles();
	atomic_dec(&pair->waiting);
	while (atomic_read(&pair->waiting))
		cpu_relax();
	pair->v->loop(pair->u, pair->keys, TOGETHER);
	if (atomic_dec_and_test(&pair->running)) {
		pair->end = get_cycles();
		complete(&pair->done);
	}
	return 0;
}

/*
 * All keys by both CPUs at once, in the same order. The clock counts the
 * instructions of both.
 */
static s64 pair_ticks(const struct maps_rival *v, struct maps_run *u, const void *keys)
{
	struct maps_pair pair = { .v = v, .u = u, .keys = keys };
	struct task_struct *task[2];
	int i;

	atomic_set(&pair.waiting, 2);
	atomic_set(&pair.running, 2);
	init_completion(&pair.done);
	for (i = 0; i < 2; i++) {
		task[i] = kthread_create(pair_main, &pair, "bench/%d", i);
		if (IS_ERR(task[i]))
			break;
		kthread_bind(task[i], i);
	}
	if (i < 2) {
		if (i)
			kthread_stop(task[0]);
		return PTR_ERR(task[i]);
	}
	for (i = 0; i < 2; i++)
		wake_up_process(task[i]);
	wait_for_completion(&pair.done);
	return pair.end - pair.start;
}

/* ---- plan ---------------------------------------------------------------- */

static const size_t sizes[] = { 64, 16, 512 };

/* All keys twice by this CPU. */
static s64 twice_ticks(const struct maps_rival *v, struct maps_run *u, const void *keys)
{
	return timed(v->loop, u, keys, TOGETHER) + timed(v->loop, u, keys, TOGETHER);
}

static int maps_together(const struct maps_rival *v)
{
	struct maps_run u = { .size = sizes[0], .items = TOGETHER };
	void *keys = vmalloc(TOGETHER * u.size);
	unsigned int i, both;
	s64 ticks = keys ? 0 : -ENOMEM;

	for (both = 0; ticks >= 0 && both < 2; both++) {
		u.salt = (u64)(both + 3) << 56;
		for (i = 0; i < TOGETHER; i++)
			key_make(&u, i, key_at(&u, keys, i));
		ticks = v->begin(&u);
		if (ticks)
			break;
		ticks = both ? pair_ticks(v, &u, keys) : twice_ticks(v, &u, keys);
		if (ticks > 0)
			say(v, both ? "put_both" : "put_twice", &u, ticks, 2 * TOGETHER,
			    bench_unit);
		v->end(&u);
	}
	vfree(keys);
	return u.failed ? -ENOMEM : min_t(s64, ticks, 0);
}

static int maps_alone(const struct maps_rival *v, unsigned int most, unsigned int nr_sizes)
{
	struct maps_run runs[ARRAY_SIZE(sizes)] = {}, *u;
	void *keys = vmalloc(KEYS * 512);
	unsigned int items, nr = 0;
	int err = keys ? 0 : -ENOMEM;

	while (!err && nr < nr_sizes) {
		u = &runs[nr];
		u->size = sizes[nr];
		u->salt = (u64)nr << 56;
		err = v->begin(u);
		nr += !err;
	}
	/* All sizes of one number before the next one, for what stackdepot keeps. */
	for (items = 100; !err && items <= most; items *= 10)
		for (u = runs; u < runs + nr; u++) {
			if (v->most && items > v->most(u->size))
				continue;
			maps_miss(v, u, keys, items);
			maps_hit(v, u, keys);
			if (u->failed)
				err = -ENOMEM;
		}
	while (nr--)
		v->end(&runs[nr]);
	vfree(keys);
	return err;
}

/* Up to @most items of 64 bytes, or @sweep: of all sizes. */
int bench_maps(unsigned int most, bool sweep)
{
	int i, err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(all); i++)
		err = num_online_cpus() > 1 ? maps_together(&all[i]) :
		      maps_alone(&all[i], most, sweep ? ARRAY_SIZE(sizes) : 1);
	return err;
}
