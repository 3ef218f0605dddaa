// SPDX-License-Identifier: GPL-2.0
/*
 * Scratch memory: marks of a single mode region, and objects that change size.
 */

/**
 * DOC: scratch
 *
 * A mark is where a single mode region stands: the position in the current
 * block, and the end of each list that only grows at one end: blocks in use,
 * large blocks, actions, the queue of the reserve. Blocks are taken into use in
 * the order of the chain, at kregion_bucket.spare, so those taken since a mark
 * are between the pointer of the mark and the present one. A rewind makes them
 * spare, as a reset does for all blocks, and then sets the pointer back.
 *
 * Validity must be exact: a position alone looks valid again once the region
 * has grown past it. So the region keeps a record per valid mark, on a stack. A
 * rewind pops those in front of its own, and drop, reset, rotate and destroy
 * pop all of them. struct kregion_mark names its record by a serial number that
 * is never used twice, and the id of the region. A search pops nothing, and
 * passes only records that are newer than the mark. The records are slab
 * objects, not objects of the region: a mark takes nothing from the region,
 * statistics included, and works where the region may not get a block.
 *
 * kregion_resize() moves the cursor of the current block over the last object,
 * by compare-and-exchange from the end of the object to its new end. That
 * fails, and the object is copied, unless the object still ends where the free
 * bytes begin; then no other object is behind it. An object in front of the
 * newest mark is copied, as a rewind would take the new bytes away.
 *
 * Invariants
 * ==========
 *
 * 11. After a rewind, the objects, the cursors and the actions are those of the
 *    mark. Blocks and large objects from before the mark do not move.
 * 12. A mark is valid from kregion_mark() to the first drop, reset, rotate, or
 *    rewind to an older one, and never again.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>

#include "internal.h"

/* ---- marks --------------------------------------------------------------- */

struct kregion_mark_record {
	struct kregion_mark_record *older;
	u64 serial;
	struct __kregion_cursor *cursor;	/* of the current block, or the sentinel */
	long pos;				/* its value */
	struct kregion_block **spare;		/* link to the blocks in use since */
	struct kregion_block *large;		/* newest large block */
	struct kregion_action *actions;		/* newest action */
	struct kregion_reserve_state reserve;
};

/* Once per region. noinline: a WARN() is larger than its callers. */
static noinline __cold void mark_warn(struct kregion_priv *rg, const char *msg)
{
	if (!test_and_set_bit(KREGION_MISMARKED, &rg->flags))
		region_WARN(rg, "%s\n", msg);
}

static bool mark_supported(struct kregion_priv *rg)
{
	if (likely(rg->attr_flags & KREGION_F_SINGLE))
		return true;
	mark_warn(rg, "marks need KREGION_F_SINGLE");
	return false;
}

static struct kregion_mark_record *mark_find(struct kregion_priv *rg, struct kregion_mark m)
{
	struct kregion_mark_record *record = rg->marks;

	if (m.region != rg->id)
		return NULL;
	while (record && record->serial > m.serial)
		record = record->older;
	return record && record->serial == m.serial ? record : NULL;
}

/* Pop the records in front of @until. */
static void marks_pop(struct kregion_priv *rg, struct kregion_mark_record *until)
{
	struct kregion_mark_record *record;

	while ((record = rg->marks) != until) {
		rg->marks = record->older;
		kfree(record);
	}
}

/* No mark is valid any more. */
void kregion_marks_forget(struct kregion_priv *rg)
{
	marks_pop(rg, NULL);
}

bool kregion_mark_valid(struct kregion_priv *rg, struct kregion_mark m)
{
	if (!mark_supported(rg))
		return false;
	if (mark_find(rg, m))
		return true;
	/* The client of a mark without a record made no mistake. */
	if (m.region == rg->id && !m.serial)
		return false;
	mark_warn(rg, "the mark is not valid any more");
	return false;
}

/**
 * kregion_mark - remember where a region stands, for kregion_rewind()
 * @r: The region, with KREGION_F_SINGLE; otherwise the call warns, once per
 *	region, and the mark is invalid.
 *
 * Takes no memory of the region. Marks nest: one stays valid until a rewind to
 * an older one, a drop, a reset, a rotate or a destroy. Each valid mark costs a
 * small slab object, which is freed when the mark becomes invalid. No call on
 * the region may run at the same time, as with any call in this mode.
 *
 * Context: Wherever the page allocator may be called.
 * Return: The mark. An invalid one, counted as failed_nomem, if the slab has no
 * memory: kregion_rewind() leaves the objects then, without a WARN. An invalid
 * one, with a WARN, during a drop, reset or rewind.
 */
struct kregion_mark kregion_mark(struct kregion *r)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	struct kregion_priv *rg = to_priv(r);
	struct kregion_mark_record *record;
	unsigned long flags;

	if (!mark_supported(rg) || region_refuse_busy(rg))
		return (struct kregion_mark){};
	if (rg->attr_flags & KREGION_F_ACCOUNT)
		gfp |= __GFP_ACCOUNT;
	record = kmalloc(sizeof(*record), gfp);
	if (!record) {
		kregion_fail(rg, sizeof(*record), KREGION_FAIL_NOMEM);
		return (struct kregion_mark){ .region = rg->id };
	}
	kregion_sync_single(rg);
	record->cursor = rg->cpu.fast.cur;
	record->pos = atomic_long_read(&record->cursor->shared);
	/* The lock: blocks of the refill worker come and go. */
	region_lock(rg, flags);
	record->spare = rg->bucket[0].spare;
	record->large = rg->large;
	record->actions = rg->actions;
	kregion_reserve_mark(rg, &record->reserve);
	region_unlock(rg, flags);
	record->serial = ++rg->mark_serial;
	record->older = rg->marks;
	rg->marks = record;
	return (struct kregion_mark){ .region = rg->id, .serial = record->serial };
}
EXPORT_SYMBOL_GPL(kregion_mark);

/* Forget the objects in blocks taken into use since; returns their number. */
static unsigned long record_forget(struct kregion_priv *rg,
				   const struct kregion_mark_record *record)
{
	struct kregion_block **at, **end, *b;
	unsigned long flags, nr = 0;

	/* The refill worker takes no block after this, as the region is busy. */
	region_lock(rg, flags);
	end = rg->bucket[0].spare;
	region_unlock(rg, flags);
	for (at = record->spare; at != end; at = &b->chain, nr++) {
		b = *at;
		if (region_debug(rg))
			kregion_debug_check_block(rg, b, 0, block_used_in(rg, b));
		WRITE_ONCE(b->epoch, 0);
	}
	if (region_debug(rg))
		for (b = rg->large; b != record->large; b = b->chain)
			kregion_debug_check_block(rg, b, 0, block_used_in(rg, b));
	return nr;
}

/* The current block is that of the mark, and ends where it ended then. */
static void record_current(struct kregion_priv *rg, const struct kregion_mark_record *record)
{
	struct kregion_block *b = container_of(record->cursor, struct kregion_block, cursor);

	if (record->cursor == &rg->cpu.fast.sentinel)
		return;
	if (region_debug(rg))
		kregion_debug_check_block(rg, b, (char *)record->pos - b->start,
					  block_used_in(rg, b));
	atomic_long_set(&record->cursor->shared, record->pos);
	WRITE_ONCE(rg->cpu.fast.cur, record->cursor);
	if (region_debug(rg))
		return;
	WRITE_ONCE(rg->fast.end, (char *)record->cursor);
	WRITE_ONCE(rg->fast.ptr, (char *)record->pos);
}

/* Cut the large blocks in front of @until off @chain, and return their number. */
static unsigned long large_cut(struct kregion_block **chain, const struct kregion_block *until)
{
	unsigned long nr = 0;

	for (; *chain != until; nr++)
		chain = &(*chain)->chain;
	*chain = NULL;
	return nr;
}

/*
 * Forget what was allocated since the valid mark @m, in a quiesced region;
 * returns the large blocks, which the caller frees.
 */
struct kregion_block *kregion_marks_rewind(struct kregion_priv *rg, struct kregion_mark m)
{
	struct kregion_mark_record *record = mark_find(rg, m);
	struct kregion_block *large;
	unsigned long flags, nr;

	kregion_actions_run(rg->actions, record->actions);
	rg->actions = record->actions;
	marks_pop(rg, record);

	nr = record_forget(rg, record);
	kregion_reserve_forget(rg, &record->reserve);
	record_current(rg, record);

	region_lock(rg, flags);
	rg->bucket[0].spare = record->spare;
	WRITE_ONCE(rg->nr_spare, rg->nr_spare + nr);
	rg->spare_miss = 0;
	rg->spare_seq++;
	kregion_reserve_rewind(rg, &record->reserve);
	large = rg->large;
	rg->unlink_seq += large != record->large;
	WRITE_ONCE(rg->large, record->large);
	region_unlock(rg, flags);

	/* No reader is at the large blocks any more. */
	nr = large_cut(&large, record->large);
	region_lock(rg, flags);
	WRITE_ONCE(rg->nr_blocks, rg->nr_blocks - nr);
	region_unlock(rg, flags);
	return large;
}

/* ---- resize -------------------------------------------------------------- */

/* Is the object at @p older than the newest mark, and in the block of that? */
static bool before_mark(const struct kregion_priv *rg, const char *p)
{
	const struct kregion_mark_record *record = rg->marks;

	return record && record->cursor == rg->cpu.fast.cur && p < (const char *)record->pos;
}

static bool resize_single(struct kregion_priv *rg, char *p, size_t bytes, size_t next)
{
	if (rg->fast.ptr != p + bytes || (size_t)(rg->fast.end - p) < next || before_mark(rg, p))
		return false;
	WRITE_ONCE(rg->fast.ptr, p + next);
	return true;
}

/*
 * The last object of the current block changes its size from @bytes to @next.
 * Preemption is disabled; a block of another CPU is not current here.
 */
static bool resize_current(struct kregion_priv *rg, char *p, size_t bytes, size_t next)
{
	struct __kregion_cursor *cursor = READ_ONCE(*region_current(rg, region_this_cpu(rg)));
	const long old = (long)(p + bytes), new = (long)(p + next);

	/* A wrong room, of a @p that is not in this block, is not used. */
	if ((size_t)((char *)cursor - p) < next)
		return false;
	if (rg->attr_flags & KREGION_F_PERCPU)
		return local_cmpxchg(&cursor->local, old, new) == old;
	/*
	 * Fully ordered: all accesses to the bytes given up come before those
	 * of the next owner, which depend on the address that it reads here.
	 */
	return atomic_long_cmpxchg(&cursor->shared, old, new) == old;
}

struct large_resize {
	const char *p;
	size_t next;
	bool done;
};

static void large_restart(void *ctx)
{
}

static bool large_fn(struct kregion_priv *rg, const struct kregion_block *b,
		     const struct kregion_block_info *info, void *ctx)
{
	struct large_resize *resize = ctx;

	/* Large blocks come first. */
	if (info->kind != KREGION_BLOCK_LARGE)
		return false;
	if (b->start != resize->p)
		return true;
	resize->done = block_room(b) >= resize->next;
	if (resize->done)
		block_set_used((struct kregion_block *)b, resize->next);
	return false;
}

/* A large object has its block to itself, and starts at a page. */
static bool resize_large(struct kregion_priv *rg, char *p, size_t next)
{
	struct large_resize resize = { .p = p, .next = next };

	if (PAGE_ALIGNED(p))
		kregion_walk(rg, large_restart, large_fn, &resize);
	return resize.done;
}

static bool resize_in_place(struct kregion_priv *rg, char *p, size_t old, size_t new)
{
	const size_t bytes = ALIGN(old, KREGION_ALIGN), next = ALIGN(new, KREGION_ALIGN);
	bool done;

	if (next == bytes)
		return true;
	if (rg->attr_flags & KREGION_F_SINGLE) {
		done = resize_single(rg, p, bytes, next);
	} else {
		preempt_disable();
		done = resize_current(rg, p, bytes, next);
		preempt_enable();
	}
	return done || resize_large(rg, p, next);
}

/**
 * kregion_resize - change the size of an object
 * @r: The region.
 * @p: The object; NULL or ZERO_SIZE_PTR allocates.
 * @old: Its size: that of the allocation, or of the last resize.
 * @new: The size to be; 0 gives ZERO_SIZE_PTR.
 * @gfp: As for kregion_alloc(). __GFP_ZERO clears the bytes from @old to @new.
 *
 * The last object of the current block grows and shrinks in place, as far as
 * the block has room; in a per-CPU region, where the current block of this CPU
 * is that of the object. So does a large object, within the memory of its
 * block. Otherwise an object grows by being copied, and the old one stays as it
 * is until the region is dropped, reset or destroyed; and shrinks without
 * giving bytes back. A copy is aligned to 8 bytes. With KREGION_F_DEBUG an object is
 * never grown in place. The idea is that of the growing object of an obstack.
 *
 * An object in front of the newest mark does not grow in place, so a rewind
 * leaves it as it was.
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The object; ZERO_SIZE_PTR; or NULL as kregion_alloc(), with the
 * object at @p unchanged. A smaller size fails only with a WARN, during a drop
 * or reset.
 */
void *kregion_resize(struct kregion *r, void *p, size_t old, size_t new, gfp_t gfp)
{
	struct kregion_priv *rg = to_priv(r);
	void *q = p;

	if (ZERO_OR_NULL_PTR(p) || !old)
		return kregion_alloc(r, new, gfp);
	if (new > KREGION_MAX_ALLOC)
		return kregion_fail(rg, new, KREGION_FAIL_SIZE);
	if (region_refuse_busy(rg))
		return NULL;
	if (new <= old) {
		if (region_debug(rg))
			kregion_debug_shrink(p, new);
		else
			resize_in_place(rg, p, old, new);
		return new ? p : ZERO_SIZE_PTR;
	}

	__kregion_might_alloc(gfp);
	if (region_debug(rg) || !resize_in_place(rg, p, old, new)) {
		q = kregion_alloc(r, new, gfp & ~__GFP_ZERO);
		if (!q)
			return NULL;
		memcpy(q, p, old);
	}
	if (gfp & __GFP_ZERO)
		memset(q + old, 0, new - old);
	return q;
}
EXPORT_SYMBOL_GPL(kregion_resize);
