// SPDX-License-Identifier: GPL-2.0
/*
 * kregion_alloc_nofill() behind its fast path: the reserve and its refill.
 */

/**
 * DOC: reserve
 *
 * The reserve is a queue of blocks through their links. Anybody, NMIs included,
 * takes objects from the block at its head with compare-and-exchange, and moves
 * the head on to the next block when an object does not fit. The head is moved
 * forward only and the last block stays, so a block is never at the head twice
 * in an epoch. New blocks are appended, and those that were passed are filed as
 * used, under the region's lock. Because all CPUs take from the same blocks,
 * what was promised holds whatever CPUs the calls come from.
 *
 * That would make a tracer's every record an atomic on a shared line. So each
 * cell has a slot for one spare block that is not part of the promise; a nofill
 * call that finds no room takes it and makes it current, and from then on the
 * fast path serves. Emptying the slot, and touching the reserve, queue an
 * irq_work, which queues a work item, which tops up the reserve and then fills
 * the slots of the cells that asked.
 *
 * The promise is in bytes asked for, so it is kept for the worst case: calls of
 * one byte, each of which takes KREGION_ALIGN bytes, and every block left with
 * almost the largest object's room at its end. The allowance for small calls may
 * not take more than half of a limit.
 */

#include <linux/jiffies.h>
#include <linux/mm.h>

#include "internal.h"

#include <trace/events/kregion.h>

/* How long a refill that found no memory is not tried again. */
#define RETRY_AFTER	(HZ / 10)

static size_t object_bytes(const struct region *rg, size_t size)
{
	return region_bytes(rg, size, KREGION_ALIGN);
}

/* Most bytes that can be promised. */
size_t reserve_max(void)
{
	const size_t half = min_t(u64, (u64)totalram_pages() * (PAGE_SIZE / 2), SIZE_MAX);

	return half / debug_bytes(1, KREGION_ALIGN);
}

/* ---- taking: no lock, any context ---------------------------------------- */

static void *reserve_take(struct region *rg, size_t bytes)
{
	struct kregion_block *b, *next;
	void *p;

	for (;;) {
		b = smp_load_acquire(&rg->reserve);		/* B */
		if (!b)
			return NULL;
		p = bump_take(&b->bump, bytes, KREGION_ALIGN, false);
		if (p)
			return p;
		next = smp_load_acquire(&b->link);		/* B, E */
		if (READ_ONCE(rg->reserve) != b)
			continue;	/* passed meanwhile; the link may be a bucket's now */
		if (!next)
			return NULL;
		if (cmpxchg(&rg->reserve, b, next) == b)
			WRITE_ONCE(b->kind, BLOCK_FULL);
	}
}

/* Ask for a refill; @cell wants its slot filled. */
static void reserve_kick(struct region *rg, struct cell *cell)
{
	if (!READ_ONCE(rg->reserve_bytes))
		return;
	/* Unsigned: only what is in the near future counts, however old it is. */
	if (READ_ONCE(rg->retry_at) - jiffies - 1 < RETRY_AFTER)
		return;
	if (!READ_ONCE(cell->wanted) && !xchg(&cell->wanted, 1))
		llist_add(&cell->want, &rg->want);
	if (!test_bit(REGION_KICKED, &rg->flags))
		set_bit(REGION_KICKED, &rg->flags);
	/* Once queued, the worker will see all this before it runs. */
	if (!work_pending(&rg->refill))
		irq_work_queue(&rg->kick);
}

/* The fast path of kregion_alloc_nofill() found no room. */
void *kregion_nofill_slow(struct kregion *r, size_t size)
{
	struct region *rg = to_region(r);
	struct kregion_block *b;
	struct cell *cell;
	size_t bytes;
	void *p;

	if (!size)
		return ZERO_SIZE_PTR;
	if (size > rg->hot.small_max)
		return region_fail(rg, size, FAIL_SIZE);
	if (region_refuse_busy(rg))
		return NULL;
	bytes = object_bytes(rg, size);

	preempt_disable_notrace();
	cell = region_cell(rg);
	p = region_bump_current(rg, cell, bytes, KREGION_ALIGN);
	if (!p) {
		b = xchg(&cell->spare, NULL);			/* D */
		p = b ? block_install(rg, cell, b, bytes, KREGION_ALIGN) :
			reserve_take(rg, bytes);
		reserve_kick(rg, cell);
	}
	preempt_enable_notrace();

	if (!p)
		return region_fail(rg, size, FAIL_NOFILL);
	return region_debug(rg) ? debug_object(rg, p, size, KREGION_ALIGN) : p;
}
EXPORT_SYMBOL_GPL(kregion_nofill_slow);

/* See kregion_alloc_overshot(). */
void *kregion_nofill_overshot(struct kregion *r, size_t size, struct kregion_bump *bump)
{
	local_sub(ALIGN(size, KREGION_ALIGN), &bump->local);
	preempt_enable_notrace();
	return kregion_nofill_slow(r, size);
}
EXPORT_SYMBOL_GPL(kregion_nofill_overshot);

/* ---- filling: under the region's lock ------------------------------------ */

static void reserve_append(struct region *rg, struct kregion_block *b)
{
	lockdep_assert_held(&rg->lock);
	b->link = NULL;
	b->cpu = -1;
	WRITE_ONCE(b->epoch, rg->epoch);
	WRITE_ONCE(b->kind, BLOCK_SPARE);
	if (rg->reserve_last)
		smp_store_release(&rg->reserve_last->link, b);	/* B */
	else
		smp_store_release(&rg->reserve, b);		/* B */
	if (!rg->reserve_first)
		rg->reserve_first = b;
	rg->reserve_last = b;
}

/* File blocks of the reserve as used: those passed, or, region quiet, @all. */
void reserve_collect(struct region *rg, bool all)
{
	struct kregion_block *head = all ? NULL : READ_ONCE(rg->reserve), *b, *next;

	lockdep_assert_held(&rg->lock);
	smp_mb();	/* E: the head was seen to have moved before any link is changed */
	for (b = rg->reserve_first; b != head; b = next) {
		next = b->link;
		region_file_used(rg, b);
	}
	rg->reserve_first = head;
	if (all) {
		rg->reserve = NULL;
		rg->reserve_last = NULL;
	}
}

/* What may be left unused at a block's end: a little less than the largest object. */
static size_t reserve_tail(const struct region *rg)
{
	return object_bytes(rg, rg->hot.small_max);
}

/* A block for the reserve must have room for more than its unsure tail. */
static size_t reserve_min(const struct region *rg)
{
	return 2 * reserve_tail(rg);
}

/* Bytes that any sequence of calls is sure to get from the reserve. */
static size_t reserve_ready(struct region *rg)
{
	const size_t tail = reserve_tail(rg);
	struct kregion_block *b;
	size_t ready = 0;

	lockdep_assert_held(&rg->lock);
	for (b = READ_ONCE(rg->reserve); b; b = b->link) {
		const size_t left = b->size - block_used(b);

		if (left > tail)
			ready += left - tail;
	}
	return ready;
}

/*
 * What must be ready so that calls adding up to @bytes succeed: if they are of one
 * byte each, or, where that were more than half of the limit, of eight.
 */
static size_t reserve_need(const struct region *rg, size_t bytes)
{
	const size_t block = rg->block_size - sizeof(struct kregion_block) - reserve_tail(rg);
	const size_t worst = bytes * object_bytes(rg, 1);
	const size_t least = DIV_ROUND_UP(bytes, KREGION_ALIGN) * object_bytes(rg, KREGION_ALIGN);

	if (!rg->limit)
		return worst;
	return max(least, min(worst, rg->limit / 2 / rg->block_size * block));
}

/* After a drop or reset: make the reserve what it was, out of spare blocks. */
void reserve_requeue(struct region *rg)
{
	const size_t need = reserve_need(rg, rg->reserve_bytes);
	struct kregion_block *b;
	size_t ready = 0;

	lockdep_assert_held(&rg->lock);
	while (ready < need) {
		b = region_take_spare(rg, -1, reserve_min(rg));
		if (!b)
			return;
		reserve_append(rg, b);
		ready += b->size - reserve_tail(rg);
	}
}

/* A block, spare or new, that is on no list until the caller files it. */
static int reserve_get(struct region *rg, gfp_t gfp, struct kregion_block **block)
{
	struct kregion_block *b;
	unsigned long irq;
	bool charged;

	raw_spin_lock_irqsave(&rg->lock, irq);
	b = region_take_spare(rg, region_cell(rg)->cpu, reserve_min(rg));
	charged = !b && region_charge(rg, rg->block_size);
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	*block = b;
	if (b)
		return 0;
	if (!charged)
		return -ENOSPC;

	b = block_alloc(rg, rg->block_size, reserve_min(rg), gfp);
	raw_spin_lock_irqsave(&rg->lock, irq);
	region_settle(rg, b, rg->block_size);
	if (b)
		region_link(rg, b);
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	if (!b)
		return -ENOMEM;
	trace_kregion_block_alloc(rg->id, rg->name, block_held(b), b->backing);
	*block = b;
	return 0;
}

/* Have @bytes ready. If that fails, @partial says whether what came is kept in the reserve. */
static int reserve_fill(struct region *rg, size_t bytes, gfp_t gfp, bool partial)
{
	const size_t need = reserve_need(rg, bytes);
	struct kregion_block *got = NULL, *b;
	unsigned long irq;
	size_t ready;
	int err = 0;

	raw_spin_lock_irqsave(&rg->lock, irq);
	reserve_collect(rg, false);
	ready = reserve_ready(rg);
	raw_spin_unlock_irqrestore(&rg->lock, irq);

	while (ready < need) {
		err = reserve_get(rg, gfp, &b);
		if (err)
			break;
		b->link = got;
		got = b;
		ready += b->size - reserve_tail(rg);
	}

	raw_spin_lock_irqsave(&rg->lock, irq);
	while ((b = got)) {
		got = b->link;
		if (!err || partial)
			reserve_append(rg, b);
		else
			region_file_spare(rg, b);
	}
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	return err;
}

/**
 * kregion_reserve - keep memory ready for kregion_alloc_nofill()
 * @r: The region.
 * @bytes: What nofill calls may add up to.
 * @gfp: As for kregion_alloc().
 *
 * After success, kregion_alloc_nofill() calls whose sizes add up to @bytes
 * succeed, from whatever CPUs and contexts, with no other allocation in between.
 * The largest amount ever promised is kept ready from then on: what is used is
 * refilled in the background, and drop and reset restore it.
 *
 * The promise is sized for calls of one byte, each of which takes eight, so a
 * little more than nine times @bytes is held, and one block at the least. Where
 * that were more than half of &kregion_attr.limit, calls count as their size
 * rounded up to 8 instead.
 *
 * Context: As @gfp says; not NMI.
 * Return: 0; -ENOMEM; -ENOSPC if the limit, or the memory of the machine, does
 * not allow it.
 */
int kregion_reserve(struct kregion *r, size_t bytes, gfp_t gfp)
{
	struct region *rg = to_region(r);
	unsigned long irq;
	int err;

	if (bytes > reserve_max() || (rg->limit && bytes > rg->limit))
		return -ENOSPC;
	gfp = region_gfp(rg, gfp);
	might_alloc(gfp);
	if (region_refuse_busy(rg))
		return -ENOMEM;
	err = reserve_fill(rg, bytes, gfp, false);
	if (err)
		return err;
	raw_spin_lock_irqsave(&rg->lock, irq);
	WRITE_ONCE(rg->reserve_bytes, max(rg->reserve_bytes, bytes));
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	return 0;
}
EXPORT_SYMBOL_GPL(kregion_reserve);

/* ---- refill in the background -------------------------------------------- */

/* A drop waits for the worker, and its caller may be where reclaim would wait for it. */
#define REFILL_GFP	(GFP_NOIO | __GFP_NOWARN)

/* Put a block where nofill calls of @cell find it first. */
static int slot_fill(struct region *rg, struct cell *cell)
{
	struct kregion_block *b;
	unsigned long irq;
	int err;

	if (READ_ONCE(cell->spare))
		return 0;
	err = reserve_get(rg, REFILL_GFP, &b);
	if (err)
		return err;
	raw_spin_lock_irqsave(&rg->lock, irq);
	WRITE_ONCE(b->cpu, cell->cpu);
	WRITE_ONCE(b->kind, BLOCK_SPARE);
	WRITE_ONCE(b->epoch, rg->epoch);
	region_file_used(rg, b);
	region_activate(rg, cell);
	xchg(&cell->spare, b);					/* D */
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	return 0;
}

static void refill_work(struct work_struct *work)
{
	struct region *rg = container_of(work, struct region, refill);
	struct llist_node *node, *next;
	int err;

	err = reserve_fill(rg, READ_ONCE(rg->reserve_bytes), REFILL_GFP, true);
	for (node = llist_del_all(&rg->want); node; node = next) {
		struct cell *cell = container_of(node, struct cell, want);

		next = node->next;
		xchg(&cell->wanted, 0);
		if (!err)
			err = slot_fill(rg, cell);
	}
	if (err)
		WRITE_ONCE(rg->retry_at, jiffies + RETRY_AFTER);
}

static void refill_kick(struct irq_work *kick)
{
	schedule_work(&container_of(kick, struct region, kick)->refill);
}

void reserve_init(struct region *rg)
{
	init_irq_work(&rg->kick, refill_kick);
	INIT_WORK(&rg->refill, refill_work);
	init_llist_head(&rg->want);
	rg->retry_at = jiffies;
}

/* No refill is running or will run; the region is quiet. */
void reserve_stop(struct region *rg)
{
	struct llist_node *node, *next;

	if (!test_bit(REGION_KICKED, &rg->flags))
		return;
	irq_work_sync(&rg->kick);
	cancel_work_sync(&rg->refill);
	for (node = llist_del_all(&rg->want); node; node = next) {
		next = node->next;
		container_of(node, struct cell, want)->wanted = 0;
	}
	rg->retry_at = jiffies;
	clear_bit(REGION_KICKED, &rg->flags);
}
