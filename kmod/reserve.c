// SPDX-License-Identifier: GPL-2.0
/*
 * Slow path of kregion_alloc_nofill(): the reserve and its refill.
 */

/**
 * DOC: reserve
 *
 * The reserve is a queue of blocks, which stay in the chains of their buckets.
 * Any context, NMI included, takes objects from the block at the head with
 * compare-and-exchange, and advances the head to the next block when an object
 * does not fit. The head only advances and the last block stays, so a block is
 * at the head once per epoch at most. New blocks are appended under the
 * region's lock. All CPUs take from the same blocks, so the promise holds
 * whatever CPUs the calls come from.
 *
 * With the reserve alone, each record of a tracer would be an atomic on a
 * shared cache line. So each CPU has a standby block, which is not part of the
 * promise. A nofill call that finds no room makes it current, and the fast path
 * serves the calls after that. Using the standby block or the reserve queues an
 * irq_work, which queues a work item, which refills the reserve and then the
 * standby blocks.
 *
 * The promise counts sizes rounded up to KREGION_ALIGN. A block may be left
 * behind when the largest object just does not fit, so each block but the last
 * one guarantees its room less that tail. The last one guarantees all of its
 * room, since nothing is lost before the first call that fails. With
 * KREGION_F_DEBUG the worst case is objects of KREGION_ALIGN bytes, each with
 * its metadata and redzones.
 */

#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "internal.h"

#include <trace/events/kregion.h>

/* Delay before the retry of a failed refill, in jiffies. */
#define REFILL_RETRY_DELAY	(HZ / 10)

static size_t object_bytes(const struct kregion_priv *rg, size_t size)
{
	return region_bytes(rg, size, KREGION_ALIGN);
}

/* Largest promise: as many bytes as fit into half of the machine's memory. */
static size_t reserve_max(const struct kregion_priv *rg)
{
	const size_t half = min_t(u64, (u64)totalram_pages() * (PAGE_SIZE / 2), SIZE_MAX);

	return half / object_bytes(rg, KREGION_ALIGN) * KREGION_ALIGN;
}

/* ---- allocation: without the lock, in any context ------------------------ */

static void *reserve_take(struct kregion_priv *rg, unsigned long epoch, size_t bytes)
{
	/* LMM(reserve_take:A) pairs with LMM(reserve_get:B) */
	struct kregion_reserve *rv = smp_load_acquire(&rg->reserve);
	struct kregion_block *b, *next;
	struct kregion_queue *q;
	void *p;

	if (!rv)
		return NULL;
	q = &rv->queue[region_slot(epoch)];
	for (;;) {
		/*
		 * LMM(reserve_take:B) pairs with LMM(kregion_reserve_append:B) and
		 * LMM(reserve_take:D)
		 */
		b = smp_load_acquire(&q->head);
		if (!b)
			return NULL;
		p = kregion_cursor_take(&b->cursor, bytes, KREGION_ALIGN, false);
		if (p)
			return p;
		/* LMM(reserve_take:C) pairs with LMM(kregion_reserve_append:A) */
		next = smp_load_acquire(&b->queue);
		if (!next)
			return NULL;
		/* LMM(reserve_take:D) pairs with LMM(reserve_take:B) */
		(void)cmpxchg(&q->head, b, next);
	}
}

/* Queue a refill of the reserve and of the standby block of @c. */
static void refill_request(struct kregion_priv *rg, struct kregion_cpu *c)
{
	/* LMM(refill_request:A) pairs with LMM(reserve_get:B) */
	struct kregion_reserve *rv = smp_load_acquire(&rg->reserve);

	/* Read after the cursor, by LMM(kregion_cursor_take:A). */
	if (!rv || !READ_ONCE(rv->bytes))
		return;
	/* Read after standby, by LMM(kregion_nofill_slow:A). */
	if (!READ_ONCE(c->refill_pending) && !xchg(&c->refill_pending, 1))
		llist_add(&c->refill_node, &rv->refill_list);
	/*
	 * Pending work sees all of this when it runs: the xchg() and cmpxchg()
	 * that took memory, or added the entry to the list, are full barriers,
	 * and a worker clears the bit before a full barrier. It is pending
	 * during its retry delay, too.
	 */
	if (!delayed_work_pending(&rv->refill))
		irq_work_queue(&rv->refill_irq_work);
}

/* No room on the fast path, or a case that it does not handle. */
void *kregion_nofill_slow(struct kregion *r, size_t size)
{
	struct kregion_priv *rg = to_priv(r);
	struct kregion_block *b;
	struct kregion_cpu *c;
	unsigned long epoch;
	size_t bytes;
	void *p;

	if (!size)
		return ZERO_SIZE_PTR;
	if (size > region_small_max(rg))
		return kregion_fail(rg, size, KREGION_FAIL_SIZE);
	if (!region_enter(rg))
		return NULL;
	bytes = object_bytes(rg, size);

	preempt_disable_notrace();
	c = region_this_cpu(rg);
	p = kregion_take_current(rg, c, bytes, KREGION_ALIGN);
	if (!p) {
		/* LMM(kregion_nofill_slow:B) pairs with LMM(region_switch:A) */
		epoch = smp_load_acquire(&rg->epoch);
		/*
		 * LMM(kregion_nofill_slow:A) pairs with LMM(standby_fill:A) and
		 * LMM(standbys_fill:A)
		 */
		b = xchg(&c->standby[region_slot(epoch)], NULL);
		p = b ? kregion_standby_install(rg, c, b, epoch, bytes) :
			reserve_take(rg, epoch, bytes);
		refill_request(rg, c);
	}
	preempt_enable_notrace();

	if (!p)
		kregion_fail(rg, size, KREGION_FAIL_NOFILL);
	else if (region_debug(rg))
		p = kregion_debug_object(rg, p, size, KREGION_ALIGN);
	region_leave(rg);
	return p;
}
EXPORT_SYMBOL_GPL(kregion_nofill_slow);

/* See kregion_alloc_undo(). */
void *kregion_nofill_undo(struct kregion *r, size_t size, struct __kregion_cursor *cursor)
{
	local_sub(ALIGN(size, KREGION_ALIGN), &cursor->local);
	preempt_enable_notrace();
	return kregion_nofill_slow(r, size);
}
EXPORT_SYMBOL_GPL(kregion_nofill_undo);

/* Refuse an NMI without __KREGION_NMI_SAFE: only count the failure. */
void *kregion_nofill_refuse(struct kregion *r, size_t size)
{
	return size ? kregion_fail(to_priv(r), size, KREGION_FAIL_NOFILL) : ZERO_SIZE_PTR;
}
EXPORT_SYMBOL_GPL(kregion_nofill_refuse);

/* ---- refill: under the region's lock ------------------------------------- */

/* Bytes that may stay unused at the end of a block. */
static size_t reserve_tail(const struct kregion_priv *rg)
{
	return object_bytes(rg, region_small_max(rg)) - KREGION_ALIGN;
}

/* Bytes that a block other than the last one guarantees. */
static size_t reserve_guaranteed(const struct kregion_priv *rg, size_t room)
{
	const size_t tail = reserve_tail(rg);

	return room > tail ? room - tail : 0;
}

/* Least room of a block that contributes to @need. */
static size_t reserve_min(const struct kregion_priv *rg, size_t need)
{
	return min(reserve_tail(rg) + KREGION_ALIGN, need);
}

/* The queue that serves; the lock keeps the epoch. */
static struct kregion_queue *reserve_queue(const struct kregion_priv *rg)
{
	lockdep_assert_held(&rg->lock);
	return &READ_ONCE(rg->reserve)->queue[region_slot(rg->epoch)];
}

/* Append @b to @q, which serves in @epoch. */
void kregion_reserve_append(struct kregion_priv *rg, struct kregion_queue *q,
			    struct kregion_block *b, unsigned long epoch)
{
	q->guaranteed += reserve_guaranteed(rg, block_room(b));
	b->guaranteed_end = q->guaranteed;
	WRITE_ONCE(b->queue, NULL);
	b->cpu = -1;
	WRITE_ONCE(b->epoch, epoch);
	if (READ_ONCE(q->head)) {
		/* LMM(kregion_reserve_append:A) pairs with LMM(reserve_take:C) */
		smp_store_release(&q->last->queue, b);
	} else {
		/* LMM(kregion_reserve_append:B) pairs with LMM(reserve_take:B) */
		smp_store_release(&q->head, b);
	}
	q->last = b;
}

/* Empty the reserve of a quiesced region, whose blocks become spare. */
void kregion_reserve_empty(struct kregion_priv *rg)
{
	lockdep_assert_held(&rg->lock);
	if (rg->reserve)
		memset(rg->reserve->queue, 0, sizeof(rg->reserve->queue));
}

/*
 * Bytes that are ready once another block is appended, without that block. The
 * head and its cursor may advance at any time, also between here and
 * queue_ready(), which is then too large: the call that advances them
 * requests a refill itself, see LMM(reserve_promise:A).
 */
static size_t queue_base(const struct kregion_priv *rg, const struct kregion_queue *q)
{
	const struct kregion_block *b = READ_ONCE(q->head);

	if (!b)
		return 0;
	return reserve_guaranteed(rg, block_room(b) - block_used(b)) +
	       q->guaranteed - b->guaranteed_end;
}

/* Bytes that the reserve guarantees to any sequence of calls. */
static size_t queue_ready(const struct kregion_priv *rg, const struct kregion_queue *q)
{
	const struct kregion_block *b = READ_ONCE(q->head);
	size_t left;

	if (!b)
		return 0;
	left = b == q->last ? block_room(b) - block_used(b) : block_room(q->last);
	return queue_base(rg, q) + min(left, reserve_tail(rg));
}

static size_t reserve_ready(const struct kregion_priv *rg)
{
	return queue_ready(rg, reserve_queue(rg));
}

/* What a block appended to @q must provide for @need; 0: nothing is missing. */
static size_t queue_missing(const struct kregion_priv *rg, const struct kregion_queue *q,
			    size_t need)
{
	return queue_ready(rg, q) < need ? need - queue_base(rg, q) : 0;
}

/* Bytes that must be ready for a promise of @bytes. */
static size_t reserve_need(const struct kregion_priv *rg, size_t bytes)
{
	return DIV_ROUND_UP(bytes, KREGION_ALIGN) * object_bytes(rg, KREGION_ALIGN);
}

/* Size of a new block for @want more bytes of the reserve. */
size_t kregion_reserve_block_size(const struct kregion_priv *rg, size_t want, size_t min)
{
	const size_t bytes = max(want, min);
	size_t size = rg->block_size;

	if (bytes < size - sizeof(struct kregion_block)) {
		size = roundup_pow_of_two(bytes + sizeof(struct kregion_block));
		size = max(size, PAGE_SIZE);
	}
	return size;
}

/*
 * Move spare blocks to the reserve until @need is ready, and return the bytes
 * that are still missing. During a drop or reset (@resetting) blocks of the
 * size of new ones are preferred, as a drop keeps what the reserve holds. Any
 * other caller stops for a drop or reset.
 */
static size_t reserve_requeue(struct kregion_priv *rg, size_t need, bool resetting)
{
	const size_t min = reserve_min(rg, need);
	struct kregion_spare_scan scan = {};
	bool any = !resetting, again;
	struct kregion_block *b;
	size_t missing;
	unsigned long flags;
	unsigned int n;

	do {
		again = false;
		region_lock(rg, flags);
		for (n = 0; n < KREGION_HOLD_MAX / 2; n++) {
			missing = queue_missing(rg, reserve_queue(rg), need);
			if (!missing || (!resetting && test_bit(KREGION_BUSY, &rg->flags)))
				break;
			scan.max = any ? 0 : kregion_reserve_block_size(rg, missing, min);
			b = kregion_take_spare(rg, -1, min, &scan);
			if (b)
				kregion_reserve_append(rg, reserve_queue(rg), b, rg->epoch);
			again = scan.more || n == KREGION_HOLD_MAX / 2 - 1;
			if (scan.more)
				break;
			if (!b) {
				again = !any;
				any = true;
				break;
			}
		}
		region_unlock(rg, flags);
	} while (missing && again);
	return missing;
}

/* Allocate a spare block of about @want bytes. */
static struct kregion_block *reserve_grow(struct kregion_priv *rg, size_t want, size_t min,
					  gfp_t gfp)
{
	const size_t size = kregion_reserve_block_size(rg, want, min);
	struct kregion_block *b;
	unsigned long flags;

	do {
		b = kregion_block_get(rg, size, min, gfp, READ_ONCE(rg->fills_ended));
	} while (b == ERR_PTR(-EAGAIN));
	if (IS_ERR(b))
		return b;
	region_lock(rg, flags);
	b->cpu = region_this_cpu(rg)->cpu;
	kregion_link(rg, b, true);
	region_unlock(rg, flags);
	kregion_block_done(rg);
	return b;
}

/* Bytes that spare blocks can add to the reserve. */
struct prepare_ctx {
	size_t base, have, need;
};

static void spare_restart(void *ctx)
{
	struct prepare_ctx *s = ctx;

	s->have = s->base;
}

static bool spare_fn(struct kregion_priv *rg, const struct kregion_block *b,
		     const struct kregion_block_info *info, void *ctx)
{
	struct prepare_ctx *s = ctx;

	if (info->kind == KREGION_BLOCK_LARGE || READ_ONCE(b->epoch) == rg->epoch)
		return true;
	if (block_room(b) >= s->need - s->have)
		s->have = s->need;
	else
		s->have += reserve_guaranteed(rg, block_room(b));
	return s->have < s->need;
}

/* Allocate the spare blocks missing for @need, without using any yet. */
static int reserve_prepare(struct kregion_priv *rg, size_t need, gfp_t gfp)
{
	struct prepare_ctx s = { .need = need };
	struct kregion_block *b;
	unsigned long flags;
	bool ready;

	region_lock(rg, flags);
	ready = reserve_ready(rg) >= need;
	s.base = min(queue_base(rg, reserve_queue(rg)), need);
	region_unlock(rg, flags);
	if (ready)
		return 0;
	kregion_walk(rg, spare_restart, spare_fn, &s);
	while (s.have < need) {
		b = reserve_grow(rg, need - s.have, reserve_min(rg, need), gfp);
		if (IS_ERR(b))
			return PTR_ERR(b);
		if (block_room(b) >= need - s.have)
			break;
		s.have += reserve_guaranteed(rg, block_room(b));
	}
	return 0;
}

/* Fill the reserve for a promise of @bytes, as far as there is memory. */
static int reserve_fill(struct kregion_priv *rg, size_t bytes, gfp_t gfp)
{
	const size_t need = reserve_need(rg, bytes);
	struct kregion_block *b;
	size_t missing;

	while ((missing = reserve_requeue(rg, need, false))) {
		if (test_bit(KREGION_BUSY, &rg->flags))
			return -EBUSY;
		b = reserve_grow(rg, missing, reserve_min(rg, need), gfp);
		if (IS_ERR(b))
			return PTR_ERR(b);
	}
	return 0;
}

/* All blocks are spare after a drop or reset: restore the reserve. */
void kregion_reserve_restore(struct kregion_priv *rg)
{
	if (rg->reserve)
		reserve_requeue(rg, reserve_need(rg, rg->reserve->bytes), true);
}

/* ---- refill: in the background ------------------------------------------- */

/*
 * A drop waits for the worker, and reclaim may wait for the caller of the drop.
 * No OOM kill: the refill is retried.
 */
#define REFILL_GFP	(GFP_NOIO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* Give @c a standby block. */
static int standby_fill(struct kregion_priv *rg, struct kregion_cpu *c)
{
	const size_t min = object_bytes(rg, region_small_max(rg));
	struct kregion_spare_scan scan = {};
	struct kregion_block *b;
	unsigned long flags;

	while (!READ_ONCE(c->standby[region_slot(READ_ONCE(rg->epoch))])) {
		region_lock(rg, flags);
		if (test_bit(KREGION_BUSY, &rg->flags)) {
			region_unlock(rg, flags);
			return -EBUSY;
		}
		/* A rotate may have provided one. */
		if (READ_ONCE(c->standby[region_slot(rg->epoch)])) {
			region_unlock(rg, flags);
			break;
		}
		b = kregion_take_spare(rg, c->cpu, min, &scan);
		if (b) {
			WRITE_ONCE(b->cpu, c->cpu);
			WRITE_ONCE(b->epoch, rg->epoch);
			WRITE_ONCE(b->replaced, 0);
			kregion_activate(rg, c);
			/*
			 * LMM(standby_fill:A) pairs with
			 * LMM(kregion_nofill_slow:A) and
			 * LMM(region_invalidate:A)
			 */
			xchg(&c->standby[region_slot(rg->epoch)], b);
		}
		region_unlock(rg, flags);
		if (b || scan.more)
			continue;
		b = reserve_grow(rg, SIZE_MAX, min, REFILL_GFP);
		if (IS_ERR(b))
			return PTR_ERR(b);
	}
	return 0;
}

/* Provide the standby blocks on the refill list; failed ones stay listed. */
static int standbys_fill(struct kregion_reserve *rv)
{
	struct llist_node *node, *next;
	int err = 0;

	for (node = llist_del_all(&rv->refill_list); node; node = next) {
		struct kregion_cpu *c = container_of(node, struct kregion_cpu, refill_node);

		next = node->next;
		if (!err) {
			/*
			 * LMM(standbys_fill:A) pairs with
			 * LMM(kregion_nofill_slow:A)
			 */
			xchg(&c->refill_pending, 0);
			err = standby_fill(rv->region, c);
			if (!err || xchg(&c->refill_pending, 1))
				continue;
		}
		llist_add(node, &rv->refill_list);
	}
	return err;
}

/* A failed refill is retried until the promise holds again. */
static void refill_work(struct work_struct *work)
{
	struct kregion_reserve *rv = container_of(to_delayed_work(work), struct kregion_reserve,
						  refill);
	struct mem_cgroup *old = set_active_memcg(rv->region->memcg);

	if (reserve_fill(rv->region, READ_ONCE(rv->bytes), REFILL_GFP) || standbys_fill(rv))
		queue_delayed_work(kregion_wq, &rv->refill, REFILL_RETRY_DELAY);
	set_active_memcg(old);
}

static void refill_queue(struct irq_work *work)
{
	struct kregion_reserve *rv = container_of(work, struct kregion_reserve, refill_irq_work);

	queue_delayed_work(kregion_wq, &rv->refill, 0);
}

/* ---- setup and teardown -------------------------------------------------- */

/* Get the reserve of @rg; the first promise allocates it. */
static struct kregion_reserve *reserve_get(struct kregion_priv *rg, gfp_t gfp)
{
	/* LMM(reserve_get:A) pairs with LMM(reserve_get:B) */
	struct kregion_reserve *rv = smp_load_acquire(&rg->reserve), *other;

	if (rv)
		return rv;
	rv = kzalloc(sizeof(*rv), gfp);
	if (!rv)
		return NULL;
	rv->region = rg;
	/* Hard: a FIFO task may starve the irq_work thread of PREEMPT_RT. */
	rv->refill_irq_work = IRQ_WORK_INIT_HARD(refill_queue);
	INIT_DELAYED_WORK(&rv->refill, refill_work);
	init_llist_head(&rv->refill_list);
	/*
	 * LMM(reserve_get:B) pairs with LMM(reserve_get:A),
	 * LMM(reserve_take:A), LMM(refill_request:A) and LMM(block_current:A)
	 */
	other = cmpxchg(&rg->reserve, NULL, rv);
	if (!other)
		return rv;
	kfree(rv);
	return other;
}

static int reserve_promise(struct kregion_priv *rg, size_t bytes, gfp_t gfp)
{
	const size_t need = reserve_need(rg, bytes);
	struct kregion_reserve *rv = reserve_get(rg, gfp);
	unsigned long flags, epoch;
	bool ready;
	int err;

	if (!rv)
		return -ENOMEM;
again:
	epoch = READ_ONCE(rg->epoch);
	err = reserve_prepare(rg, need, gfp) ?: reserve_fill(rg, bytes, gfp);
	if (err)
		return err;
	region_lock(rg, flags);
	if (unlikely(rg->epoch != epoch)) {
		/* A rotate took what was filled. */
		region_unlock(rg, flags);
		goto again;
	}
	WRITE_ONCE(rv->bytes, max(rv->bytes, bytes));
	/*
	 * A nofill call that did not see the promise queued no refill, so look
	 * at what it took.
	 * LMM(reserve_promise:A) pairs with LMM(kregion_cursor_take:A)
	 */
	smp_mb();
	ready = reserve_ready(rg) >= need;
	region_unlock(rg, flags);
	if (!ready)
		queue_delayed_work(kregion_wq, &rv->refill, 0);
	return 0;
}

/**
 * kregion_reserve - keep memory ready for kregion_alloc_nofill()
 * @r: The region.
 * @bytes: Total of the nofill sizes, each rounded up to 8.
 * @gfp: As for kregion_alloc().
 *
 * After success, kregion_alloc_nofill() calls whose sizes, each rounded up to
 * 8, add up to @bytes succeed, from any CPUs and contexts, with no other
 * allocation in between. The largest promise so far stays in force: used
 * reserve is refilled in the background, and drop and reset restore it.
 *
 * A reserve holds a seventh more than @bytes, rounded up to blocks, or with
 * KREGION_F_DEBUG at least three times @bytes. A CPU whose nofill calls find no
 * room also gets a standby block.
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: 0; -ENOMEM; -ENOSPC if the limit, or half of the memory of the
 * machine, is too small. An error leaves the promise unchanged.
 */
int kregion_reserve(struct kregion *r, size_t bytes, gfp_t gfp)
{
	struct kregion_priv *rg = to_priv(r);
	int err;

	gfp = kregion_gfp(rg, gfp);
	might_alloc(gfp);
	if (!bytes)
		return 0;
	if (bytes > reserve_max(rg) || (rg->limit && bytes > rg->limit))
		return -ENOSPC;
	if (!region_enter(rg))
		return -ENOMEM;
	err = reserve_promise(rg, bytes, gfp);
	region_leave(rg);
	return err == -EBUSY ? -ENOMEM : err;
}
EXPORT_SYMBOL_GPL(kregion_reserve);

/* Stop the refill; the region is quiesced. */
void kregion_reserve_stop(struct kregion_priv *rg)
{
	struct kregion_reserve *rv = rg->reserve;
	struct llist_node *node, *next;

	if (!rv)
		return;
	irq_work_sync(&rv->refill_irq_work);
	cancel_delayed_work_sync(&rv->refill);
	for (node = llist_del_all(&rv->refill_list); node; node = next) {
		next = node->next;
		container_of(node, struct kregion_cpu, refill_node)->refill_pending = 0;
	}
}

/* End of a drop or reset: resume the refill. */
void kregion_reserve_resume(struct kregion_priv *rg)
{
	struct kregion_reserve *rv = rg->reserve;
	bool ready;
	unsigned long flags;

	if (!rv)
		return;
	region_lock(rg, flags);
	ready = reserve_ready(rg) >= reserve_need(rg, rv->bytes);
	region_unlock(rg, flags);
	if (!ready || !llist_empty(&rv->refill_list))
		queue_delayed_work(kregion_wq, &rv->refill, 0);
}

/* ---- marks of a single mode region --------------------------------------- */

/* What serves nofill calls at a mark. */
void kregion_reserve_mark(struct kregion_priv *rg, struct kregion_reserve_state *state)
{
	const struct kregion_queue *q;

	lockdep_assert_held(&rg->lock);
	*state = (struct kregion_reserve_state){
		.standby = READ_ONCE(rg->cpu.standby[region_slot(rg->epoch)]),
	};
	if (!READ_ONCE(rg->reserve))
		return;
	q = reserve_queue(rg);
	if (!READ_ONCE(q->head))
		return;
	state->head = READ_ONCE(q->head);
	state->head_used = block_used(state->head);
	state->last = q->last;
	state->guaranteed = q->guaranteed;
}

/* Forget the objects of nofill calls since the mark; the region is quiesced. */
void kregion_reserve_forget(struct kregion_priv *rg, const struct kregion_reserve_state *state)
{
	struct kregion_block *b = state->head;
	size_t used = state->head_used;

	if (region_debug(rg) && state->standby)
		kregion_debug_check_block(rg, state->standby, 0, block_used_in(rg, state->standby));
	if (state->standby)
		block_set_used(state->standby, 0);
	for (; b; b = b == state->last ? NULL : READ_ONCE(b->queue)) {
		if (region_debug(rg))
			kregion_debug_check_block(rg, b, used, block_used_in(rg, b));
		block_set_used(b, used);
		used = 0;
	}
}

/* Serve from the blocks of the mark again; those added since become spare. */
void kregion_reserve_rewind(struct kregion_priv *rg, const struct kregion_reserve_state *state)
{
	struct kregion_queue *q;

	lockdep_assert_held(&rg->lock);
	WRITE_ONCE(rg->cpu.standby[region_slot(rg->epoch)], state->standby);
	if (!rg->reserve)
		return;
	q = reserve_queue(rg);
	WRITE_ONCE(q->head, state->head);
	q->last = state->last;
	q->guaranteed = state->guaranteed;
	if (state->last)
		WRITE_ONCE(state->last->queue, NULL);
}

/* ---- for a rotate -------------------------------------------------------- */

/* The promise, for which a new generation must be ready. */
size_t kregion_reserve_promised(struct kregion_priv *rg)
{
	const struct kregion_reserve *rv = READ_ONCE(rg->reserve);

	return rv ? READ_ONCE(rv->bytes) : 0;
}

/* What a block appended to @q must provide for a promise of @bytes, or 0. */
size_t kregion_reserve_missing(struct kregion_priv *rg, const struct kregion_queue *q,
			       size_t bytes)
{
	return queue_missing(rg, q, reserve_need(rg, bytes));
}

/* Least room of a block that contributes to a promise of @bytes. */
size_t kregion_reserve_least(const struct kregion_priv *rg, size_t bytes)
{
	return reserve_min(rg, reserve_need(rg, bytes));
}

/* ---- teardown ------------------------------------------------------------ */

/* Called after kregion_reserve_stop(). */
void kregion_reserve_free(struct kregion_priv *rg)
{
	kfree(rg->reserve);
}
