// SPDX-License-Identifier: GPL-2.0
/*
 * Slow path of allocation: the current block, buckets of blocks, refill, large
 * and aligned objects. The DOC block of core.c has the design.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "internal.h"

#include <trace/events/kregion.h>

/* ---- cursors ------------------------------------------------------------- */

/* Bump allocation without overshoot: @bytes at @align, or NULL. */
void *kregion_cursor_take(struct __kregion_cursor *cursor, size_t bytes, size_t align, bool percpu)
{
	long old = atomic_long_read(&cursor->shared), left, new, seen;
	size_t pad;

	for (;;) {
		left = (long)cursor - old;
		pad = -old & (align - 1);
		if (left <= 0 || bytes + pad > left)
			return NULL;
		new = old + pad + bytes;
		/*
		 * LMM(kregion_cursor_take:A) pairs with LMM(reserve_promise:A)
		 */
		seen = percpu ? local_cmpxchg(&cursor->local, old, new) :
				atomic_long_cmpxchg(&cursor->shared, old, new);
		if (seen == old)
			return (void *)(old + pad);
		old = seen;
	}
}

/*
 * The cursor of the current block, if the fast path keeps its position in the
 * region itself; or NULL. In other modes, another CPU may write the pointer.
 */
static struct __kregion_cursor *single_cursor(const struct kregion_priv *rg)
{
	if (!(rg->attr_flags & KREGION_F_SINGLE) || region_debug(rg) ||
	    rg->cpu.fast.cur == &rg->cpu.fast.sentinel)
		return NULL;
	return rg->cpu.fast.cur;
}

/* Write the position of a single mode region back to the cursor. */
void kregion_sync_single(struct kregion_priv *rg)
{
	struct __kregion_cursor *cursor = single_cursor(rg);

	if (cursor)
		atomic_long_set(&cursor->shared, (long)rg->fast.ptr);
}

/* The reverse: the fast path continues from the cursor. */
void kregion_load_single(struct kregion_priv *rg)
{
	struct __kregion_cursor *cursor = single_cursor(rg);

	if (!cursor)
		return;
	WRITE_ONCE(rg->fast.end, (char *)cursor);
	WRITE_ONCE(rg->fast.ptr, (char *)atomic_long_read(&cursor->shared));
}

/*
 * A rotate replaced the current block of @c by @gate: what serves instead. A
 * new current block replaces that in @slot.
 */
static noinline struct __kregion_cursor *closed_current(struct kregion_priv *rg,
							struct kregion_cpu *c,
							struct __kregion_cursor *gate,
							struct __kregion_cursor ***slot)
{
	struct __kregion_cursor *next, *seen;

	*slot = region_current(rg, c);
	/* LMM(closed_current:B) pairs with LMM(cpu_close:A) */
	smp_rmb();
	/* LMM(closed_current:A) pairs with LMM(region_switch:A) */
	if (gate == region_gate(c, smp_load_acquire(&rg->epoch))) {
		next = READ_ONCE(c->closed);
		if (likely(!cursor_reopened(next))) {
			*slot = &c->closed;
			return next;
		}
		next = cursor_reopen(next, false);
	} else {
		next = READ_ONCE(c->next);
		if (!next)
			return gate;
	}
	seen = cmpxchg(*slot, gate, next);
	return seen == gate ? next : seen;
}

/*
 * Take from the current block of @c, with preemption disabled, with or without
 * the lock.
 */
void *kregion_take_current(struct kregion_priv *rg, struct kregion_cpu *c, size_t bytes,
			   size_t align)
{
	struct __kregion_cursor *cursor, **slot;
	void *p;

	kregion_sync_single(rg);
	/*
	 * LMM(kregion_take_current:A) pairs with LMM(current_install:A) and
	 * LMM(kregion_standby_install:B)
	 */
	cursor = READ_ONCE(*region_current(rg, c));
	if (unlikely(cursor_is_gate(c, cursor)))
		cursor = closed_current(rg, c, cursor, &slot);
	p = kregion_cursor_take(cursor, bytes, align, rg->attr_flags & KREGION_F_PERCPU);
	kregion_load_single(rg);
	return p;
}

/*
 * Make @b current for @c, by a store to @slot, with the lock held. No other CPU
 * knows @b yet, and it is allocated up to @end. The previous current block is
 * closed. (If that is not @replaced, but one that a nofill call installed after
 * the caller's check, an almost empty block is closed, and its rest counts as
 * lost.)
 */
static __always_inline void current_install(struct kregion_priv *rg, struct kregion_cpu *c,
					    struct __kregion_cursor **slot,
					    struct __kregion_cursor *replaced,
					    struct kregion_block *b, char *end)
{
	WRITE_ONCE(b->replaced, (unsigned long)replaced);
	WRITE_ONCE(b->cpu, c->cpu);
	WRITE_ONCE(b->epoch, READ_ONCE(rg->epoch));
	atomic_long_set(&b->cursor.shared, (long)end);
	/*
	 * LMM(current_install:A) pairs with LMM(__kregion_alloc_shared:A),
	 * LMM(alloc_shared:A) and LMM(kregion_take_current:A)
	 */
	smp_store_release(slot, &b->cursor);
}

/* Serve an object from @b, and make it current, with the lock held. */
static void *block_install(struct kregion_priv *rg, struct kregion_cpu *c,
			   struct kregion_block *b, size_t bytes, size_t align)
{
	struct __kregion_cursor **slot = region_current(rg, c);
	char *p = PTR_ALIGN(b->start, align);

	lockdep_assert_held(&rg->lock);
	if (unlikely(READ_ONCE(*slot) == region_gate(c, rg->epoch)))
		slot = &c->closed;
	kregion_sync_single(rg);
	current_install(rg, c, slot, READ_ONCE(*slot), b, p + bytes);
	kregion_load_single(rg);
	return p;
}

/*
 * Serve an object from @b, the standby block of @c in @epoch, and make it
 * current, with preemption disabled but without the lock. A drop or reset waits
 * for the call before it changes the epoch, a rotate does not: then @b serves
 * this object only.
 */
void *kregion_standby_install(struct kregion_priv *rg, struct kregion_cpu *c,
			      struct kregion_block *b, unsigned long epoch, size_t bytes)
{
	struct __kregion_cursor **slot, *cur;
	char *p = b->start;
	bool late;

	kregion_sync_single(rg);
	WRITE_ONCE(b->cpu, c->cpu);
	WRITE_ONCE(b->epoch, epoch);
	atomic_long_set(&b->cursor.shared, (long)p + bytes);
	do {
		slot = region_current(rg, c);
		/* LMM(kregion_standby_install:A) pairs with LMM(rotate_open:A) */
		cur = smp_load_acquire(slot);
		if (unlikely(cursor_is_gate(c, cur)))
			cur = closed_current(rg, c, cur, &slot);
		late = READ_ONCE(rg->epoch) != epoch;
		if (unlikely(late))
			cur = READ_ONCE(c->closed);
		WRITE_ONCE(b->replaced, (unsigned long)cur | 1);
		/* LMM(kregion_standby_install:B) pairs with LMM(kregion_take_current:A) */
	} while (!late && cmpxchg(slot, cur, &b->cursor) != cur);
	kregion_load_single(rg);
	return p;
}

/* ---- chains -------------------------------------------------------------- */

/* Insert @b between the blocks in use and the spare ones. */
static void bucket_insert(struct kregion_bucket *bucket, struct kregion_block *b, bool spare)
{
	WRITE_ONCE(b->chain, *bucket->spare);
	/*
	 * LMM(bucket_insert:A) pairs with LMM(region_chain:A) and
	 * LMM(offset_in_block:A)
	 */
	smp_store_release(bucket->spare, b);
	if (!spare)
		bucket->spare = &b->chain;
}

void kregion_bucket_insert(struct kregion_bucket *bucket, struct kregion_block *b, bool spare)
{
	bucket_insert(bucket, b, spare);
}

/* Account for a new block; kregion_stats() reads the counts without the lock. */
static void region_count(struct kregion_priv *rg)
{
	WRITE_ONCE(rg->fills, rg->fills + 1);
	region_count_blocks(rg, rg->nr_blocks + 1);
}

/* Publish a block that is not new, as a spare one. */
void kregion_link_spare(struct kregion_priv *rg, struct kregion_block *b)
{
	lockdep_assert_held(&rg->lock);
	bucket_insert(&rg->bucket[cpu_bucket(b->cpu)], b, true);
	WRITE_ONCE(rg->nr_spare, rg->nr_spare + 1);
	rg->spare_miss = 0;
	region_count_blocks(rg, rg->nr_blocks + 1);
}

/* Publish a new block. */
void kregion_link(struct kregion_priv *rg, struct kregion_block *b, bool spare)
{
	lockdep_assert_held(&rg->lock);
	if (spare) {
		WRITE_ONCE(rg->fills, rg->fills + 1);
		kregion_link_spare(rg, b);
	} else {
		bucket_insert(&rg->bucket[cpu_bucket(b->cpu)], b, false);
		region_count(rg);
	}
}

static void region_link_large(struct kregion_priv *rg, struct kregion_block *b)
{
	lockdep_assert_held(&rg->lock);
	b->chain = rg->large;
	/* LMM(region_link_large:A) pairs with LMM(region_chain:A) */
	smp_store_release(&rg->large, b);
	region_count(rg);
}

/*
 * Take a spare block of @bucket with room for @min bytes, after those that
 * @scan has visited. Between two critical sections, blocks are taken into use
 * but none leaves its chain (unlink_seq tells), so the scan continues behind
 * the block that it visited last, wherever that is now, and skips those in use.
 */
static struct kregion_block *bucket_take(struct kregion_priv *rg, struct kregion_bucket *bucket,
					 size_t min, struct kregion_spare_scan *scan,
					 unsigned int *budget)
{
	struct kregion_block **at = scan->last ? &scan->last->chain : bucket->spare, *b;

	for (; (b = *at); at = &b->chain) {
		if (!*budget) {
			scan->more = true;
			return NULL;
		}
		--*budget;
		region_step();
		scan->last = b;
		if (unlikely(READ_ONCE(b->epoch) == rg->epoch) || block_room(b) < min)
			continue;
		if (unlikely(scan->max) && block_room(b) > scan->max)
			continue;
		if (unlikely(scan->unlink)) {
			WRITE_ONCE(*at, b->chain);
			rg->unlink_seq++;
			rg->spare_seq++;
		} else if (at == bucket->spare) {
			bucket->spare = &b->chain;
		} else {
			WRITE_ONCE(*at, b->chain);
			bucket_insert(bucket, b, false);
		}
		return b;
	}
	return NULL;
}

/*
 * Take a spare block with room for @min bytes, preferably from the bucket of
 * @cpu. NULL with @scan->more: none found so far.
 */
struct kregion_block *kregion_take_spare(struct kregion_priv *rg, int cpu, size_t min,
					 struct kregion_spare_scan *scan)
{
	struct kregion_bucket *own = &rg->bucket[cpu_bucket(cpu)], *bucket;
	unsigned int budget = KREGION_HOLD_MAX / 2;
	struct kregion_block *b;

	lockdep_assert_held(&rg->lock);
	if (!scan->more || scan->seq != rg->spare_seq)
		*scan = (struct kregion_spare_scan){
			.seq = rg->spare_seq, .fills = rg->fills, .max = scan->max,
			.unlink = scan->unlink,
		};
	scan->more = false;
	if (!rg->nr_spare || (rg->spare_miss && min >= rg->spare_miss))
		return NULL;
	for (; scan->nr <= region_buckets(rg); scan->nr++, scan->last = NULL) {
		bucket = scan->nr ? &rg->bucket[scan->nr - 1] : own;
		if (scan->nr && bucket == own)
			continue;
		b = bucket_take(rg, bucket, min, scan, &budget);
		if (b) {
			rg->nr_spare--;
			block_set_used(b, 0);
			return b;
		}
		if (scan->more)
			return NULL;
	}
	/* Remember the miss, unless a block was added during the scan. */
	if (scan->fills == rg->fills && !scan->max)
		rg->spare_miss = min;
	return NULL;
}

/* Bucket of a kregion_cpu that had no block since create or drop. */
struct kregion_bucket kregion_no_bucket = { .spare = &kregion_no_bucket.blocks };

/* Have drop and reset visit @c. */
void kregion_activate(struct kregion_priv *rg, struct kregion_cpu *c)
{
	lockdep_assert_held(&rg->lock);
	if (c->bucket != &kregion_no_bucket)
		return;
	c->bucket = &rg->bucket[cpu_bucket(c->cpu)];
	c->active = rg->active;
	rg->active = c;
}

/* ---- new blocks ---------------------------------------------------------- */

/*
 * Size of the next block of this CPU. The first block of the region has the
 * full size, so that a region used on one CPU pays nothing. The first block of
 * each further CPU is a page, and the next ones double. A result for another
 * CPU, after a migration, is fine.
 */
static __always_inline size_t percpu_next_size(const struct kregion_priv *rg, size_t min)
{
	const struct kregion_cpu *c = (struct kregion_cpu *)raw_cpu_ptr(rg->fast.pcpu);
	size_t size = 2 * READ_ONCE(c->last_size);

	if (likely(size >= rg->block_size) || !READ_ONCE(rg->nr_blocks))
		return rg->block_size;
	size = max3(size, PAGE_SIZE, roundup_pow_of_two(min + sizeof(struct kregion_block)));
	return min(size, rg->block_size);
}

static size_t region_next_size(const struct kregion_priv *rg, size_t min)
{
	return rg->attr_flags & KREGION_F_PERCPU ? percpu_next_size(rg, min) : rg->block_size;
}

/* ---- refusals ------------------------------------------------------------ */

const char * const kregion_failure_names[] = {
	[KREGION_FAIL_NOMEM] = "nomem", [KREGION_FAIL_LIMIT] = "limit",
	[KREGION_FAIL_SIZE] = "size", [KREGION_FAIL_NOFILL] = "nofill",
};

static DEFINE_PER_CPU(unsigned int, failing);

void *kregion_fail(struct kregion_priv *rg, size_t size, enum kregion_failure reason)
{
	atomic_long_inc(&rg->failed[reason]);
	/* Do not recurse: a probe of this event may allocate and fail, too. */
	preempt_disable_notrace();
	if (__this_cpu_inc_return(failing) == 1)
		trace_kregion_alloc_fail(rg->id, rg->name, size, reason);
	__this_cpu_dec(failing);
	preempt_enable_notrace();
	return NULL;
}

/* Warn, once per drop, reset or destroy. */
noinline __cold void kregion_warn(struct kregion_priv *rg, const char *msg)
{
	if (!test_and_set_bit(KREGION_MISUSED, &rg->flags))
		region_WARN(rg, "%s\n", msg);
}

/* The same, of a @call that KREGION_BUSY refuses. */
noinline __cold void kregion_warn_busy(struct kregion_priv *rg, const char *call)
{
	if (test_and_set_bit(KREGION_MISUSED, &rg->flags))
		return;
	region_WARN(rg, "%s %s\n", call, test_bit(KREGION_DESTROYED, &rg->flags) ?
		    "after kregion_destroy()" : "while a drop or reset is under way");
}

bool kregion_refuse(struct kregion_priv *rg)
{
	kregion_warn_busy(rg, "allocation");
	return true;
}

/* noinline: since 7.2, each inlined copy of a WARN_ONCE() warns once. */
static noinline __cold void region_warn_gfp(struct kregion_priv *rg, gfp_t bad)
{
	region_WARN_ONCE(rg, "gfp bits %#x are not supported\n", (__force unsigned int)bad);
}

gfp_t kregion_gfp(struct kregion_priv *rg, gfp_t gfp)
{
	if (unlikely(gfp & __KREGION_GFP_BAD))
		region_warn_gfp(rg, gfp & __KREGION_GFP_BAD);
	return gfp & ~(__KREGION_GFP_BAD | __GFP_ZERO);
}

/* ---- allocation ---------------------------------------------------------- */

/*
 * Contention backoff of a shared region, in rounds of cpu_relax(). The cache
 * line of a cursor that two CPUs use at once moves with each object; while the
 * loser backs off, the winner allocates many objects. Documentation/design.rst
 * has the measurements.
 */
#define SHARED_BACKOFF		32

/* The fast path of a shared region lost a race, or the block is full. */
static void *alloc_shared(struct kregion_priv *rg, size_t bytes)
{
	struct __kregion_cursor *cursor;
	unsigned long next;
	unsigned int i;
	long old;

	for (;;) {
		/* LMM(alloc_shared:A) pairs with LMM(current_install:A) */
		cursor = READ_ONCE(rg->fast.cur);
		next = atomic_long_read(&cursor->shared) + bytes;
		if (__kregion_over(next, cursor))
			return NULL;
		for (i = 0; i < SHARED_BACKOFF; i++)
			cpu_relax();
		old = atomic_long_read(&cursor->shared);
		next = old + bytes;
		if (!__kregion_over(next, cursor) &&
		    atomic_long_try_cmpxchg_relaxed(&cursor->shared, &old, next))
			return (void *)(next - bytes);
	}
}

/* An allocation request in the slow path. */
struct alloc_request {
	size_t size;			/* of the object */
	size_t bytes;			/* taken from the block, redzones included */
	size_t align;
	gfp_t gfp;
	struct kregion_block *fresh;	/* from kregion_block_get(), not linked yet */
	int err;			/* of kregion_block_get() */
};

static void *request_fail(struct kregion_priv *rg, const struct alloc_request *req)
{
	return kregion_fail(rg, req->size, req->err == -ENOSPC ? KREGION_FAIL_LIMIT :
							  KREGION_FAIL_NOMEM);
}

static void request_get(struct kregion_priv *rg, struct alloc_request *req, size_t held,
			size_t min, unsigned int seen)
{
	struct kregion_block *b = kregion_block_get(rg, held, min, req->gfp, seen);

	if (!IS_ERR(b))
		req->fresh = b;
	else if (b != ERR_PTR(-EAGAIN))
		req->err = PTR_ERR(b);
}

/* Free the new block, if any: the region is being dropped. */
static void request_put(struct kregion_priv *rg, struct alloc_request *req)
{
	if (!req->fresh)
		return;
	req->fresh->chain = NULL;
	kregion_blocks_put_atomic(rg, req->fresh);
	kregion_block_done(rg);
}

static void *alloc_small(struct kregion_priv *rg, struct alloc_request *req)
{
	const size_t min = req->bytes + req->align - KREGION_ALIGN;
	struct kregion_spare_scan scan = {};
	struct kregion_block *b;
	unsigned long flags;
	unsigned int seen;
	struct kregion_cpu *c;
	void *p;

	for (;;) {
		region_lock(rg, flags);
		if (unlikely(test_bit(KREGION_BUSY, &rg->flags))) {
			region_unlock(rg, flags);
			region_refuse_busy(rg);
			request_put(rg, req);
			return NULL;
		}
		seen = READ_ONCE(rg->fills_ended);
		c = region_this_cpu(rg);
		p = kregion_take_current(rg, c, req->bytes, req->align);
		if (req->fresh) {
			req->fresh->cpu = c->cpu;
			WRITE_ONCE(c->last_size, block_held(req->fresh));
			kregion_activate(rg, c);
			kregion_link(rg, req->fresh, p);
		}
		if (!p) {
			b = req->fresh ?: kregion_take_spare(rg, c->cpu, min, &scan);
			if (b) {
				p = block_install(rg, c, b, req->bytes, req->align);
				kregion_activate(rg, c);
			}
		}
		region_unlock(rg, flags);
		if (req->fresh)
			kregion_block_done(rg);
		if (p)
			return p;
		if (scan.more)
			continue;
		if (req->err)
			return request_fail(rg, req);
		request_get(rg, req, region_next_size(rg, min), min, seen);
	}
}

static void *alloc_large(struct kregion_priv *rg, struct alloc_request *req)
{
	const size_t held = PAGE_ALIGN(req->bytes + sizeof(struct kregion_block));
	struct kregion_block *b;
	unsigned long flags;

	do {
		request_get(rg, req, held, held - sizeof(*b), READ_ONCE(rg->fills_ended));
		if (req->err)
			return request_fail(rg, req);
	} while (!req->fresh);
	b = req->fresh;
	block_set_used(b, req->bytes);

	region_lock(rg, flags);
	if (unlikely(test_bit(KREGION_BUSY, &rg->flags))) {
		region_unlock(rg, flags);
		region_refuse_busy(rg);
		request_put(rg, req);
		return NULL;
	}
	b->epoch = rg->epoch;
	region_link_large(rg, b);
	region_unlock(rg, flags);
	kregion_block_done(rg);
	return b->start;
}

static void *alloc_any(struct kregion_priv *rg, size_t size, size_t align, gfp_t gfp)
{
	struct alloc_request req = { .size = size, .align = max_t(size_t, align, KREGION_ALIGN) };
	void *p;

	if (!size)
		return ZERO_SIZE_PTR;
	if (size > KREGION_MAX_ALLOC)
		return kregion_fail(rg, size, KREGION_FAIL_SIZE);
	req.gfp = kregion_gfp(rg, gfp);
	if (region_refuse_busy(rg))
		return NULL;

	req.bytes = region_bytes(rg, size, req.align);
	if (req.align == KREGION_ALIGN && size <= rg->fast.shared_max) {
		p = alloc_shared(rg, req.bytes);
		if (p)
			return p;
	}
	if (!region_enter(rg))
		return NULL;
	if (size + req.align - KREGION_ALIGN > region_small_max(rg))
		p = alloc_large(rg, &req);
	else
		p = alloc_small(rg, &req);
	if (p && region_debug(rg))
		p = kregion_debug_object(rg, p, size, req.align);
	region_leave(rg);
	return p;
}

/* No room on the fast path, or a case that it does not handle. */
void *kregion_alloc_slow(struct kregion *r, size_t size, gfp_t gfp)
{
	return alloc_any(to_priv(r), size, KREGION_ALIGN, gfp);
}
EXPORT_SYMBOL_GPL(kregion_alloc_slow);

/*
 * Common refill of a per-CPU region: the exhausted block of @cursor is still
 * current, and @fresh, or a spare block of this CPU's bucket, replaces it and
 * provides the object @p. Returns false in all other cases, leaving @fresh
 * alone.
 */
static __always_inline bool percpu_refill(struct kregion_priv *rg, size_t size,
					  struct kregion_block *fresh,
					  struct __kregion_cursor *cursor, void **p)
{
	struct kregion_cpu *c = (struct kregion_cpu *)raw_cpu_ptr(rg->fast.pcpu);
	struct kregion_block *b = fresh ?: *c->bucket->spare;
	char *end;

	lockdep_assert_held(&rg->lock);
	if (unlikely(!b))
		return false;
	end = b->start + ALIGN(size, KREGION_ALIGN);
	if (unlikely(end > (char *)b))
		return false;
	/*
	 * data_race(): an NMI may install a block after this, see
	 * current_install().
	 */
	if (unlikely(data_race(c->fast.cur) != cursor))
		return false;
	/*
	 * data_race(), not READ_ONCE(): one instruction tests the bit. A drop
	 * that sets it after this waits for the lock in region_new_epoch(), and
	 * a rotate sets KREGION_CLOSED under the lock.
	 */
	if (unlikely(data_race(rg->flags) & (BIT(KREGION_BUSY) | BIT(KREGION_CLOSED))))
		return false;
	if (fresh) {
		WRITE_ONCE(c->last_size, block_held(b));
		kregion_activate(rg, c);
		bucket_insert(c->bucket, b, false);
		region_count(rg);
	} else {
		c->bucket->spare = &b->chain;
		rg->nr_spare--;
	}
	current_install(rg, c, &c->fast.cur, cursor, b, end);
	*p = b->start;
	return true;
}

/* Not a common refill: continue with @fresh, a block or an error. */
static noinline void *alloc_with(struct kregion_priv *rg, size_t size, gfp_t gfp,
				 struct kregion_block *fresh)
{
	struct alloc_request req = {
		.size = size, .bytes = ALIGN(size, KREGION_ALIGN), .align = KREGION_ALIGN,
		.gfp = gfp,
	};

	if (!IS_ERR(fresh))
		req.fresh = fresh;
	else if (fresh == ERR_PTR(-ENOMEM))
		req.err = -ENOMEM;
	return alloc_small(rg, &req);
}

/*
 * Refill without a spare block: call the page allocator before taking the lock.
 * Called with preemption disabled, returns with preemption enabled.
 */
static noinline void *percpu_refill_fresh(struct kregion_priv *rg, size_t size, gfp_t gfp,
					  struct __kregion_cursor *cursor)
{
	const size_t bytes = ALIGN(size, KREGION_ALIGN);
	const size_t held = percpu_next_size(rg, bytes);
	struct kregion_block *fresh;
	unsigned long flags;
	bool done;
	void *p;

	preempt_enable_notrace();
	if (unlikely(gfp & (__KREGION_GFP_BAD | __GFP_ZERO)))
		gfp = kregion_gfp(rg, gfp);
	if (unlikely(!region_enter(rg)))
		return NULL;
	/* Any @seen will do: alloc_with() handles refusals of the limit. */
	fresh = kregion_block_get(rg, held, bytes, gfp, 0);
	/* Never NULL: the check removes the one in percpu_refill(). */
	done = false;
	if (!IS_ERR_OR_NULL(fresh)) {
		region_lock(rg, flags);
		done = percpu_refill(rg, size, fresh, cursor, &p);
		region_unlock(rg, flags);
	}
	if (likely(done))
		kregion_block_done(rg);
	else
		p = alloc_with(rg, size, gfp, fresh);
	region_leave(rg);
	return p;
}

/*
 * Undo an overshoot of the per-CPU fast path, with preemption still disabled,
 * and refill. The object is small, and the region is not KREGION_F_DEBUG.
 */
void *kregion_alloc_undo(struct kregion *r, size_t size, gfp_t gfp, struct __kregion_cursor *cursor)
{
	struct kregion_priv *rg = to_priv(r);
	unsigned long flags;
	void *p;

	local_sub(ALIGN(size, KREGION_ALIGN), &cursor->local);
	/* data_race(): only a hint, checked again under the lock. */
	if (!data_race(rg->nr_spare))
		return percpu_refill_fresh(rg, size, gfp, cursor);

	region_lock(rg, flags);
	/* Hidden, or the compiler keeps derived values in registers as well. */
	OPTIMIZER_HIDE_VAR(size);
	OPTIMIZER_HIDE_VAR(rg);
	if (likely(percpu_refill(rg, size, NULL, cursor, &p))) {
		region_unlock(rg, flags);
		preempt_enable_notrace();
		return p;
	}
	region_unlock(rg, flags);
	preempt_enable_notrace();
	return kregion_alloc_slow(&rg->fast, size, gfp);
}
EXPORT_SYMBOL_GPL(kregion_alloc_undo);

/**
 * kregion_alloc_aligned - allocate with an alignment
 * @r: The region.
 * @size: Bytes, as for kregion_alloc(). An object over an eighth of the block
 *	size, alignment included, gets a block of its own.
 * @align: A power of two up to PAGE_SIZE; less than 8 means 8.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc(); NULL, counted as failed_size, for an invalid
 * alignment.
 */
void *kregion_alloc_aligned(struct kregion *r, size_t size, size_t align, gfp_t gfp)
{
	struct kregion_priv *rg = to_priv(r);
	struct kregion_cpu *c;
	void *p = NULL;

	if (!is_power_of_2(align) || align > PAGE_SIZE)
		return kregion_fail(rg, size, KREGION_FAIL_SIZE);
	if (align <= KREGION_ALIGN)
		return kregion_alloc(r, size, gfp);

	__kregion_might_alloc(gfp);
	if (size && !region_debug(rg) && !region_refuse_busy(rg) &&
	    size <= region_small_max(rg) && size + align - KREGION_ALIGN <= region_small_max(rg)) {
		preempt_disable();
		c = region_this_cpu(rg);
		p = kregion_take_current(rg, c, ALIGN(size, KREGION_ALIGN), align);
		preempt_enable();
	}
	if (!p)
		p = alloc_any(rg, size, align, gfp);
	if ((gfp & __GFP_ZERO) && p && size)
		memset(p, 0, size);
	return p;
}
EXPORT_SYMBOL_GPL(kregion_alloc_aligned);
