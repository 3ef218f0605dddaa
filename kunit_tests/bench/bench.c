// SPDX-License-Identifier: GPL-2.0
/*
 * Cost of allocations from regions and from their rivals, the other allocators
 * of the kernel and some schemes of others, chosen by name.
 *
 * Costs are differences of get_cycles(). In a VM whose clock counts
 * instructions (bench.py) they are instructions, and exact; anywhere else they
 * are cycles of the time stamp counter. Each figure is the median of a number
 * of batches, less that of the same loop with nothing in it. One line a result
 * goes to the log.
 *
 * The module does all its work while it is loaded.
 */

#include <linux/genalloc.h>
#include <linux/kprobes.h>	/* for objpool.h, where the kernel has it */
#include <linux/kregion.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/ring_buffer.h>
#include <linux/sched.h>
#include <linux/sort.h>
#include <linux/stackdepot.h>
#include <linux/timex.h>
#include <linux/tracepoint.h>
#include <linux/vmalloc.h>

#include "../../kmod/compat.h"
#include "bench.h"

static char *rivals = "all";
module_param(rivals, charp, 0444);
MODULE_PARM_DESC(rivals, "names, separated by commas, or all");

static bool sweep;
module_param(sweep, bool, 0444);
MODULE_PARM_DESC(sweep, "also over object sizes, block sizes, numbers of objects, regions and blocks");

static char *record;
module_param(record, charp, 0444);
MODULE_PARM_DESC(record, "measure the probes of sched_switch instead, and call them so");

static unsigned int maps;
module_param(maps, uint, 0444);
MODULE_PARM_DESC(maps, "measure maps of as many items instead; with sweep, of all sizes");

char *bench_unit = "cycles";
module_param_named(unit, bench_unit, charp, 0444);
MODULE_PARM_DESC(unit, "what a tick of get_cycles() is");

char *bench_view = "cycles";
module_param_named(view, bench_view, charp, 0444);
MODULE_PARM_DESC(view, "what to call the results");

#define OBJECT	64		/* bytes of an object, where it is a constant */
#define LIVES	5		/* lives of many objects a figure */
#define LIFE	20000		/* objects of a life */

/* What rivals.h leaves to its includer. */
struct rival_pages {
	size_t size;
};

static __always_inline void *rival_get_pages(struct rival_pages *pages, gfp_t gfp)
{
	return (void *)__get_free_pages(gfp, get_order(pages->size));
}

static __always_inline void rival_free_pages(struct rival_pages *pages, void *p)
{
	free_pages((unsigned long)p, get_order(pages->size));
}

#define GO_BLOCK	SZ_64K

#include "rivals.h"

/* One measurement: its parameters, and the private data of the rival. */
struct run {
	size_t size, block;
	unsigned int objects;
	union {
		void *on;
		struct kregion *r;
		struct bump *bump;
		struct go_region *go;
		struct locked_bump *locked;
		struct kmem_cache *cache;
		struct page_frag_cache *frag;
		struct gen_pool *pool;
		struct objpool_head *objpool;
		mempool_t *mempool;
		struct trace_buffer *trace;
	};
};

typedef void (*loop_fn)(struct run *u, void **keep, unsigned int n);

struct rival {
	const char *name;
	int (*begin)(struct run *u);
	void (*end)(struct run *u);
	loop_fn fixed;		/* objects of OBJECT bytes, known to the compiler */
	loop_fn sized;		/* of u->size */
	loop_fn pair;		/* each freed before the next */
	loop_fn free;		/* each by itself ... */
	void (*drop)(struct run *u);	/* ... or all at once, memory given back */
	void (*reset)(struct run *u);	/* the same, memory kept; for regions only */
};

/*
 * The pointer to the allocator is loaded before the loop, as fast clients do.
 */
#define LOOP(rival, loop, bytes, body)							\
static noinline __maybe_unused								\
void rival##_##loop(struct run *u, void **keep, unsigned int n)				\
{											\
	const size_t size = (bytes);							\
	void *on = u->on;								\
	unsigned int i;									\
											\
	for (i = 0; i < n; i++) {							\
		void *p;								\
											\
		body;									\
		barrier();								\
	}										\
	(void)size;									\
	(void)on;									\
}

#define LOOPS(rival, alloc, free_it)							\
LOOP(rival, fixed, OBJECT, p = (alloc); keep[i] = p)					\
LOOP(rival, sized, READ_ONCE(u->size), p = (alloc); keep[i] = p)			\
LOOP(rival, pair, OBJECT, p = (alloc); keep[i] = p; barrier(); free_it)			\
LOOP(rival, free, READ_ONCE(u->size), p = keep[i]; OPTIMIZER_HIDE_VAR(p); free_it)

#define LOOPS_OF(rival)	.fixed = rival##_fixed, .sized = rival##_sized, .pair = rival##_pair

/* ---- nothing: the cost of the loops -------------------------------------- */

LOOPS(empty, on, (void)0)

static const struct rival empty = { .name = "empty", LOOPS_OF(empty), .free = empty_free };

/* ---- a plain bump with a limit check: the floor -------------------------- */

LOOPS(bump, bump_alloc(on, size), (void)p)

static int bump_begin(struct run *u)
{
	u->bump = kzalloc(sizeof(*u->bump), GFP_KERNEL);
	if (u->bump)
		u->bump->pages.size = u->block;
	return u->bump ? 0 : -ENOMEM;
}

static void bump_drop(struct run *u)
{
	bump_release(u->bump);
}

/* Enough for batches: the newest block again. */
static void bump_reset(struct run *u)
{
	if (u->bump->blocks)
		u->bump->ptr = (char *)(u->bump->blocks + 1);
}

static void bump_end(struct run *u)
{
	bump_drop(u);
	kfree(u->bump);
}

/* ---- regions: each mode inline and as a call ----------------------------- */

static int region_begin(struct run *u, unsigned int flags)
{
	u->r = kregion_create("bench", &(struct kregion_attr){
		.flags = flags, .block_size = u->block });
	return PTR_ERR_OR_ZERO(u->r);
}

static int shared_begin(struct run *u)
{
	return region_begin(u, 0);
}

static int percpu_begin(struct run *u)
{
	return region_begin(u, KREGION_F_PERCPU);
}

static int vmalloc_begin(struct run *u)
{
	return region_begin(u, KREGION_F_PERCPU | KREGION_F_VMALLOC);
}

static int single_begin(struct run *u)
{
	return region_begin(u, KREGION_F_SINGLE);
}

static void region_end(struct run *u)
{
	kregion_destroy(u->r);
}

static void region_drop(struct run *u)
{
	kregion_drop(u->r);
}

static void region_reset(struct run *u)
{
	kregion_reset(u->r);
}

static noinline void *region_call(struct kregion *r, size_t size)
{
	return kregion_alloc(r, size, GFP);
}

/* Nofill starts no block: an ordinary object does that before each batch. */
static int nofill_begin(struct run *u)
{
	return percpu_begin(u) ?: kregion_alloc(u->r, 8, GFP) ? 0 : -ENOMEM;
}

static void nofill_reset(struct run *u)
{
	kregion_reset(u->r);
	kregion_alloc(u->r, 8, GFP);
}

LOOPS(region, kregion_alloc(on, size, GFP), (void)p)
LOOPS(call, region_call(on, size), (void)p)
LOOPS(nofill, kregion_alloc_nofill(on, size), (void)p)

/* ---- Go's scheme, ported ------------------------------------------------- */

LOOPS(go, go_alloc(on, size), (void)p)

/* The size of its blocks is a constant. */
static int go_begin(struct run *u)
{
	if (u->block != SZ_64K)
		return -EOPNOTSUPP;
	u->go = kzalloc(sizeof(*u->go), GFP_KERNEL);
	if (!u->go)
		return -ENOMEM;
	go_setup(u->go, SZ_64K);
	return 0;
}

static void go_drop(struct run *u)
{
	go_release(u->go);
}

static void go_reset(struct run *u)
{
	if (u->go->current_block)
		atomic_long_set(&u->go->current_block->off, 0);
}

static void go_end(struct run *u)
{
	go_drop(u);
	kfree(u->go);
}

/* ---- a bump under a spinlock --------------------------------------------- */

LOOPS(locked, locked_alloc(on, size), (void)p)

static int locked_begin(struct run *u)
{
	u->locked = kzalloc(sizeof(*u->locked), GFP_KERNEL);
	if (!u->locked)
		return -ENOMEM;
	spin_lock_init(&u->locked->lock);
	u->locked->bump.pages.size = u->block;
	return 0;
}

/* ---- the kernel's own ---------------------------------------------------- */

LOOPS(kmalloc, kmalloc(size, GFP), kfree(p))

static int cache_begin(struct run *u)
{
	u->cache = kmem_cache_create("kregion_bench", u->size, 8, 0, NULL);
	return u->cache ? 0 : -ENOMEM;
}

static void cache_end(struct run *u)
{
	kmem_cache_destroy(u->cache);
}

LOOPS(cache, kmem_cache_alloc(on, GFP), kmem_cache_free(on, p))

static void bulk_alloc(struct run *u, void **keep, unsigned int n)
{
	unsigned int i, some;

	for (i = 0; i < n; i += some) {
		some = min_t(unsigned int, n - i, BATCH);
		if (!kmem_cache_alloc_bulk(u->cache, GFP, some, keep + i))
			memset(keep + i, 0, some * sizeof(*keep));
	}
}

static void bulk_free(struct run *u, void **keep, unsigned int n)
{
	unsigned int i, some;

	for (i = 0; i < n; i += some) {
		some = min_t(unsigned int, n - i, BATCH);
		kmem_cache_free_bulk(u->cache, some, keep + i);
	}
}

static int frag_begin(struct run *u)
{
	u->frag = kzalloc(sizeof(*u->frag), GFP_KERNEL);
	return u->frag ? 0 : -ENOMEM;
}

static void frag_end(struct run *u)
{
	page_frag_cache_drain(u->frag);
	kfree(u->frag);
}

LOOPS(frag, page_frag_alloc(on, size, GFP), page_frag_free(p))

#if IS_ENABLED(CONFIG_GENERIC_ALLOCATOR)
/* Twice the live objects, so that it does not search for room. */
static int pool_begin(struct run *u)
{
	const size_t bytes = PAGE_ALIGN(2 * u->size * max(u->objects, 2 * BATCH));
	void *memory = vmalloc(bytes);

	u->pool = memory ? gen_pool_create(3, NUMA_NO_NODE) : NULL;
	if (u->pool && !gen_pool_add(u->pool, (unsigned long)memory, bytes, NUMA_NO_NODE))
		return 0;
	if (u->pool)
		gen_pool_destroy(u->pool);
	vfree(memory);
	return -ENOMEM;
}

static void pool_end(struct run *u)
{
	struct gen_pool_chunk *chunk = list_first_entry(&u->pool->chunks,
							struct gen_pool_chunk, next_chunk);
	void *memory = (void *)chunk->start_addr;

	gen_pool_destroy(u->pool);
	vfree(memory);
}

LOOPS(pool, (void *)gen_pool_alloc(on, size), gen_pool_free(on, (unsigned long)p, size))
#endif

static int mempool_begin(struct run *u)
{
	u->mempool = mempool_create_kmalloc_pool(BATCH, u->size);
	return u->mempool ? 0 : -ENOMEM;
}

static void mempool_end(struct run *u)
{
	mempool_destroy(u->mempool);
}

LOOPS(mp, mempool_alloc(on, GFP), mempool_free(p, on))

#ifdef _LINUX_OBJPOOL_H
static int objpool_nothing(void *object, void *context)
{
	return 0;
}

static int objpool_release(struct objpool_head *head, void *context)
{
	return 0;
}

/* Allocates all its objects before the clock runs. */
static int objpool_begin(struct run *u)
{
	int err;

	u->objpool = kzalloc(sizeof(*u->objpool), GFP_KERNEL);
	if (!u->objpool)
		return -ENOMEM;
	err = objpool_init(u->objpool, max(u->objects, 2 * BATCH), u->size, GFP, NULL,
			   objpool_nothing, objpool_release);
	if (err)
		kfree(u->objpool);
	return err;
}

static void objpool_end(struct run *u)
{
	objpool_free(u->objpool);
	kfree(u->objpool);
}

LOOPS(op, objpool_pop(on), objpool_push(p, on))
#endif

#if IS_ENABLED(CONFIG_STACKDEPOT)
/* Keeps each distinct record for ever: every object here is a new one. */
static noinline void *depot_save(size_t size)
{
	static unsigned long serial;
	unsigned long entries[16];
	const unsigned int n = min(size / sizeof(*entries), ARRAY_SIZE(entries));
	unsigned int i;

	entries[0] = ++serial;
	for (i = 1; i < n; i++)
		entries[i] = i;
	return (void *)(unsigned long)stack_depot_save(entries, n, GFP_NOWAIT);
}

static int depot_begin(struct run *u)
{
	return stack_depot_init();
}

static void depot_end(struct run *u)
{
}

LOOPS(depot, depot_save(size), (void)p)
#endif

#if IS_ENABLED(CONFIG_RING_BUFFER)
/* Writes an event of that size; a full buffer overwrites the oldest. */
static noinline void *trace_write(struct trace_buffer *trace, size_t size)
{
	static char payload[PAGE_SIZE / 2];

	return ring_buffer_write(trace, size, payload) ? NULL : trace;
}

static int trace_begin(struct run *u)
{
	if (u->size > 2000)
		return -EOPNOTSUPP;
	u->trace = ring_buffer_alloc(SZ_1M, RB_FL_OVERWRITE);
	return u->trace ? 0 : -ENOMEM;
}

static void trace_end(struct run *u)
{
	ring_buffer_free(u->trace);
}

LOOPS(trace, trace_write(on, size), (void)p)
#endif

/* ---- all of them --------------------------------------------------------- */

#define REGION(mode) .begin = mode##_begin, .end = region_end, .drop = region_drop, \
		     .reset = region_reset

static const struct rival all[] = {
	{ .name = "bump", .begin = bump_begin, .end = bump_end, .drop = bump_drop,
	  .reset = bump_reset, LOOPS_OF(bump) },
	{ .name = "percpu", REGION(percpu), LOOPS_OF(region) },
	{ .name = "percpu-call", REGION(percpu), LOOPS_OF(call) },
	{ .name = "percpu-vmalloc", REGION(vmalloc), LOOPS_OF(region) },
	{ .name = "shared", REGION(shared), LOOPS_OF(region) },
	{ .name = "shared-call", REGION(shared), LOOPS_OF(call) },
	{ .name = "single", REGION(single), LOOPS_OF(region) },
	{ .name = "single-call", REGION(single), LOOPS_OF(call) },
	{ .name = "nofill", .begin = nofill_begin, .end = region_end, .reset = nofill_reset,
	  LOOPS_OF(nofill) },
	{ .name = "go", .begin = go_begin, .end = go_end, .drop = go_drop, .reset = go_reset,
	  LOOPS_OF(go) },
	{ .name = "spinlock", .begin = locked_begin, .end = bump_end, .drop = bump_drop,
	  .reset = bump_reset, LOOPS_OF(locked) },
	{ .name = "kmalloc", LOOPS_OF(kmalloc), .free = kmalloc_free },
	{ .name = "kmem_cache", .begin = cache_begin, .end = cache_end, LOOPS_OF(cache),
	  .free = cache_free },
	{ .name = "kmem_cache_bulk", .begin = cache_begin, .end = cache_end,
	  .fixed = bulk_alloc, .sized = bulk_alloc, .free = bulk_free },
	{ .name = "page_frag", .begin = frag_begin, .end = frag_end, LOOPS_OF(frag),
	  .free = frag_free },
#ifdef _LINUX_OBJPOOL_H
	{ .name = "objpool", .begin = objpool_begin, .end = objpool_end, LOOPS_OF(op),
	  .free = op_free },
#endif
#if IS_ENABLED(CONFIG_GENERIC_ALLOCATOR)
	{ .name = "gen_pool", .begin = pool_begin, .end = pool_end, LOOPS_OF(pool),
	  .free = pool_free },
#endif
	{ .name = "mempool", .begin = mempool_begin, .end = mempool_end, LOOPS_OF(mp),
	  .free = mp_free },
#if IS_ENABLED(CONFIG_STACKDEPOT)
	{ .name = "stackdepot", .begin = depot_begin, .end = depot_end, LOOPS_OF(depot) },
#endif
#if IS_ENABLED(CONFIG_RING_BUFFER)
	{ .name = "ring_buffer", .begin = trace_begin, .end = trace_end, LOOPS_OF(trace) },
#endif
};

/* ---- the clock ----------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	const u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

u64 bench_median(u64 *t, unsigned int n)
{
	sort(t, n, sizeof(*t), by_value, NULL);
	return t[n / 2];
}

/* Not inlined, so that it costs the same everywhere. */
static noinline u64 timed(loop_fn loop, struct run *u, void **keep, unsigned int n)
{
	const u64 start = get_cycles();

	loop(u, keep, n);
	return get_cycles() - start;
}

/* The same of a loop that does nothing else. */
static u64 idle(loop_fn loop, struct run *u, void **keep, unsigned int n)
{
	u64 t[LIVES];
	unsigned int i;

	for (i = 0; i < LIVES; i++)
		t[i] = timed(loop, u, keep, n);
	return bench_median(t, LIVES);
}

/* Ten thousandths of a quotient, its whole part left out. */
u32 bench_fraction(u64 dividend, u64 divisor)
{
	u32 rest;

	div_u64_rem(div64_u64(dividend * 10000, divisor), 10000, &rest);
	return rest;
}

static void say(const char *rival, const char *what, const struct run *u, const char *key,
		unsigned long n, s64 ticks, unsigned long work)
{
	pr_info("view=%s rival=%s what=%s size=%zu block=%zu %s=%lu value=%llu.%04u unit=%s\n",
		bench_view, rival, what, u->size, u->block, key, n, PER(ticks, work), bench_unit);
}

/* ---- one figure each ----------------------------------------------------- */

/* Many batches of @n objects, freed after each, less the empty loop. */
static s64 batches_of(unsigned int n, const struct rival *v, struct run *u, loop_fn loop,
		      loop_fn nothing, void **keep)
{
	u64 t[RUNS], idle[RUNS];
	unsigned int i;

	for (i = 0; i < RUNS; i++) {
		/*
		 * Start a block after a reset, so that the batch has no refill.
		 */
		if (v->reset)
			v->fixed(u, keep, 1);
		if (loop == v->free)
			v->fixed(u, keep, n);
		t[i] = timed(loop, u, keep, n);
		if (v->reset)
			v->reset(u);
		else if (v->free && loop != v->free && loop != v->pair)
			v->free(u, keep, n);
		idle[i] = timed(nothing, u, keep, n);
		cond_resched();
	}
	return (s64)(bench_median(t, RUNS) - bench_median(idle, RUNS));
}

/*
 * The difference of twice as many: without entry and return of the loop's
 * function.
 */
static s64 batches(const struct rival *v, struct run *u, loop_fn loop, loop_fn nothing,
		   void **keep)
{
	return batches_of(2 * BATCH, v, u, loop, nothing, keep) -
	       batches_of(BATCH, v, u, loop, nothing, keep);
}

static void bench_hot(const struct rival *v, struct run *u, void **keep)
{
	say(v->name, "alloc", u, "batch", BATCH,
	    batches(v, u, v->fixed, empty.fixed, keep), BATCH);
	say(v->name, "alloc_runtime", u, "batch", BATCH,
	    batches(v, u, v->sized, empty.sized, keep), BATCH);
	if (v->free)
		say(v->name, "free", u, "batch", BATCH,
		    batches(v, u, v->free, empty.free, keep), BATCH);
	if (v->pair)
		say(v->name, "pair", u, "batch", BATCH,
		    batches(v, u, v->pair, v->free ? empty.pair : empty.fixed, keep), BATCH);
}

static bool all_made(void **keep, unsigned int n)
{
	while (n--)
		if (!keep[n])
			return false;
	return true;
}

/* Allocate many, then free all, from the first fill to the last page freed. */
static void bench_life(const struct rival *v, struct run *u, void **keep)
{
	const loop_fn loop = u->size == OBJECT ? v->fixed : v->sized;
	const unsigned int n = u->objects;
	u64 made[LIVES], freed[LIVES], start;
	s64 fill, drop;
	unsigned int i;

	if (!v->drop && !v->free)
		return;
	for (i = 0; i < LIVES; i++) {
		made[i] = timed(loop, u, keep, n);
		if (!all_made(keep, n)) {
			pr_err("%s: no memory for %u objects\n", v->name, n);
			return;
		}
		if (v->drop) {
			start = get_cycles();
			v->drop(u);
			freed[i] = get_cycles() - start;
		} else {
			freed[i] = timed(v->free, u, keep, n);
		}
		cond_resched();
	}
	fill = (s64)(bench_median(made, LIVES) - idle(empty.fixed, u, keep, n));
	drop = (s64)(bench_median(freed, LIVES) - (v->drop ? 0 : idle(empty.free, u, keep, n)));
	say(v->name, "fill", u, "objects", n, fill, n);
	say(v->name, "drop", u, "objects", n, drop, n);
	say(v->name, "life", u, "objects", n, fill + drop, n);
}

/*
 * Calls that take another block, which an object that does not follow the last
 * one shows: their cost over the other calls, plus the cost of any allocation.
 */
static s64 refill(const struct rival *v, struct run *u, void **keep, s64 hot)
{
	u64 miss[16], hit[ARRAY_SIZE(miss)], took;
	unsigned int hits = 0, n = 0;
	void *last = NULL;

	while (n < ARRAY_SIZE(miss)) {
		took = timed(v->fixed, u, keep, 1);
		if (!keep[0])
			return 0;
		if (last && keep[0] != last + OBJECT)
			miss[n++] = took;
		else if (last)
			hit[hits++ % ARRAY_SIZE(hit)] = took;
		last = keep[0];
	}
	return (s64)(bench_median(miss, n) - bench_median(hit, ARRAY_SIZE(hit))) + hot;
}

static bool is_region(const struct rival *v)
{
	return v->fixed == region_fixed;
}

static void fill_blocks(const struct rival *v, struct run *u, void **keep, unsigned int blocks)
{
	while (blocks--)
		v->fixed(u, keep, u->block / OBJECT);
}

static void bench_refill(const struct rival *v, struct run *u, void **keep)
{
	s64 hot;

	if (!v->drop)
		return;
	hot = batches(v, u, v->fixed, empty.fixed, keep) / BATCH;
	/*
	 * A system that has just booted has few pageblocks of unmovable memory,
	 * so the first requests of this order take the slow path of the page
	 * allocator.
	 */
	fill_blocks(v, u, keep, 256);
	v->drop(u);
	say(v->name, "refill_pages", u, "objects", 1, refill(v, u, keep, hot), 1);
	if (!is_region(v))
		return;
	v->reset(u);
	say(v->name, "refill_spare", u, "objects", 1, refill(v, u, keep, hot), 1);
}

/* Cost of freeing or resetting so many blocks at once. */
static u64 forget_blocks(const struct rival *v, struct run *u, void **keep, unsigned int blocks,
			 void (*forget)(struct run *u))
{
	u64 t[LIVES], start;
	unsigned int i;

	for (i = 0; i < LIVES; i++) {
		fill_blocks(v, u, keep, blocks);
		start = get_cycles();
		forget(u);
		t[i] = get_cycles() - start;
		cond_resched();
	}
	return bench_median(t, LIVES);
}

static void bench_reset(const struct rival *v, struct run *u, void **keep)
{
	const unsigned int blocks = 1000;

	if (is_region(v))
		say(v->name, "reset_block", u, "blocks", blocks,
		    forget_blocks(v, u, keep, blocks, v->reset), blocks);
}

/* Without a drop, as many objects as such blocks hold are freed one by one. */
static void bench_drop(const struct rival *v, struct run *u, void **keep, unsigned int blocks)
{
	const unsigned int n = blocks * (u->block / OBJECT);
	u64 t[LIVES];
	unsigned int i;

	if (v->drop) {
		say(v->name, "drop_all", u, "blocks", blocks,
		    forget_blocks(v, u, keep, blocks, v->drop), 1);
		return;
	}
	for (i = 0; i < LIVES; i++) {
		v->fixed(u, keep, n);
		t[i] = timed(v->free, u, keep, n);
		cond_resched();
	}
	say(v->name, "drop_all", u, "blocks", blocks,
	    (s64)(bench_median(t, LIVES) - idle(empty.free, u, keep, n)), 1);
}

static void bench_create(const struct rival *v, struct run *u)
{
	u64 t[RUNS], start;
	unsigned int i;

	if (!is_region(v))
		return;
	for (i = 0; i < RUNS; i++) {
		start = get_cycles();
		if (v->begin(u))
			return;
		v->end(u);
		t[i] = get_cycles() - start;
	}
	say(v->name, "create_destroy", u, "cpus", num_possible_cpus(), bench_median(t, RUNS), 1);
}

/* Bytes held per byte allocated. */
static void bench_memory(const struct rival *v, struct run *u, void **keep)
{
	const unsigned int n = u->objects;
	const u64 out = (u64)n * u->size;
	struct kregion_stats st;
	unsigned long held;

	held = global_node_page_state(NR_SLAB_UNRECLAIMABLE_B) +
	       global_node_page_state(NR_SLAB_RECLAIMABLE_B);
	v->sized(u, keep, n);
	if (is_region(v)) {
		kregion_stats(u->r, &st);
		held = st.bytes_held;
		v->drop(u);
	} else {
		held = (global_node_page_state(NR_SLAB_UNRECLAIMABLE_B) +
			global_node_page_state(NR_SLAB_RECLAIMABLE_B) - held) * PAGE_SIZE;
		v->free(u, keep, n);
	}
	pr_info("view=%s rival=%s what=memory size=%zu block=%zu objects=%u value=%llu.%04u unit=ratio\n",
		bench_view, v->name, u->size, u->block, n, QUOTIENT(held, out));
}

/* One object of each region in turn. */
static void bench_regions(const struct rival *v, struct run *u, void **keep, unsigned int n)
{
	struct run *each = kvcalloc(n, sizeof(*each), GFP_KERNEL);
	loop_fn nothing = empty.fixed;
	u64 t[LIVES], none[LIVES], start;
	unsigned int i, k, made;

	if (!each)
		return;
	OPTIMIZER_HIDE_VAR(nothing);	/* called as the rival is: through a pointer */
	for (made = 0; made < n; made++) {
		each[made] = *u;
		if (v->begin(&each[made]))
			goto out;
	}
	for (k = 0; k < LIVES; k++) {
		start = get_cycles();
		for (i = 0; i < SZ_4K; i++)
			v->fixed(&each[i % n], keep, 1);
		t[k] = get_cycles() - start;
		start = get_cycles();
		for (i = 0; i < SZ_4K; i++)
			nothing(&each[i % n], keep, 1);
		none[k] = get_cycles() - start;
		cond_resched();
	}
	/* The median has a first fill only with as many regions as objects. */
	say(v->name, "alloc", u, "regions", n, bench_median(t, LIVES) - bench_median(none, LIVES),
	    SZ_4K);
out:
	while (made--)
		v->end(&each[made]);
	kvfree(each);
}

/* ---- a trace record ------------------------------------------------------ */

typedef void (*switch_fn)(void *data, bool preempt, struct task_struct *prev,
			  struct task_struct *next, unsigned int prev_state);

static void find_switch(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "sched_switch"))
		*(struct tracepoint **)found = tp;
}

static noinline void no_probe(void *data, bool preempt, struct task_struct *prev,
			      struct task_struct *next, unsigned int prev_state)
{
}

/* Call all that is attached to sched_switch, as the scheduler does. */
static u64 probe_batch(const struct tracepoint_func *fn)
{
	const struct tracepoint_func *it;
	const u64 start = get_cycles();
	unsigned int k;

	for (k = 0; k < BATCH; k++)
		for (it = fn; it->func; it++)
			((switch_fn)it->func)(it->data, false, current, current, 0);
	return get_cycles() - start;
}

static int bench_record(void)
{
	const struct tracepoint_func none[] = { { .func = no_probe }, {} };
	struct run u = { .size = OBJECT };
	struct tracepoint *tp = NULL;
	struct tracepoint_func *fn;
	u64 t[RUNS], idle[RUNS];
	unsigned int i;

	for_each_kernel_tracepoint(find_switch, &tp);
	if (!tp)
		return -ENOENT;
	for (i = 0; i < RUNS; i++) {
		preempt_disable_notrace();
		fn = rcu_dereference_sched(tp->funcs);
		if (!fn) {
			preempt_enable_notrace();
			pr_err("nothing is attached to sched_switch\n");
			return -ENOENT;
		}
		t[i] = probe_batch(fn);
		preempt_enable_notrace();
		idle[i] = probe_batch(none);
	}
	say(record, "trace_record", &u, "batch", BATCH,
	    (s64)(bench_median(t, RUNS) - bench_median(idle, RUNS)), BATCH);
	return 0;
}

/* ---- plan ---------------------------------------------------------------- */

#define MOST_OBJECTS	10000000

typedef void (*figure_fn)(const struct rival *v, struct run *u, void **keep);

static void figure(const struct rival *v, figure_fn fn, void **keep, struct run u)
{
	if (v->begin && v->begin(&u)) {
		pr_info("%s: cannot do size=%zu block=%zu objects=%u\n", v->name, u.size, u.block,
			u.objects);
		return;
	}
	fn(v, &u, keep);
	if (v->end)
		v->end(&u);
}

static void bench_targets(const struct rival *v, void **keep)
{
	const struct run usual = { .size = OBJECT, .block = SZ_64K, .objects = LIFE };
	struct run u = usual;

	figure(v, bench_hot, keep, usual);
	figure(v, bench_life, keep, usual);
	figure(v, bench_refill, keep, usual);
	figure(v, bench_reset, keep, usual);
	bench_create(v, &u);
	if (is_region(v) || v->fixed == kmalloc_fixed || v->fixed == cache_fixed)
		figure(v, bench_memory, keep,
		       (struct run){ .size = 72, .block = SZ_64K, .objects = 1000000 });
}

static void bench_sweeps(const struct rival *v, void **keep)
{
	struct run u = { .block = SZ_64K, .objects = LIFE };
	unsigned int n;

	/* bench_targets() has the usual size and block. */
	for (u.size = 8; u.size <= 4096; u.size *= 2)
		if (u.size != OBJECT)
			figure(v, bench_life, keep, u);
	u.size = OBJECT;
	if (v->drop)
		for (u.block = PAGE_SIZE; u.block <= SZ_2M; u.block *= 2)
			if (u.block != SZ_64K)
				figure(v, bench_life, keep, u);
	u.block = SZ_64K;
	if (v->drop || v->fixed == kmalloc_fixed || v->fixed == cache_fixed)
		for (u.objects = 1000; u.objects <= (v->drop ? MOST_OBJECTS : 1000000);
		     u.objects *= 10)
			figure(v, bench_life, keep, u);
	u.objects = LIFE;
	if (v->drop || v->fixed == kmalloc_fixed || v->fixed == cache_fixed)
		for (n = 1; n <= (v->drop ? 4096 : 1024); n *= 4) {
			struct run each = u;

			if (v->drop)
				bench_regions(v, &each, keep, n);
			if (v->begin && v->begin(&each))
				continue;
			bench_drop(v, &each, keep, n);
			if (v->end)
				v->end(&each);
		}
}

static bool refill_pending(const char *name)
{
	const size_t len = strlen(name);
	const char *at = rivals;

	if (!strcmp(rivals, "all"))
		return true;
	while ((at = strstr(at, name))) {
		if ((at == rivals || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
		at += len;
	}
	return false;
}

static int __init bench_init(void)
{
	void **keep;
	int i, n = 0;

	if (record)
		return bench_record();
	if (maps)
		return bench_maps(maps, sweep);
	keep = vmalloc(array_size(MOST_OBJECTS, sizeof(*keep)));
	if (!keep)
		return -ENOMEM;
	memset(keep, 0, MOST_OBJECTS * sizeof(*keep));
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		if (!refill_pending(all[i].name))
			continue;
		n++;
		bench_targets(&all[i], keep);
		if (sweep)
			bench_sweeps(&all[i], keep);
	}
	vfree(keep);
	return n ? 0 : -EINVAL;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
}
module_exit(bench_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Cost of allocations from regions and from their rivals");
