// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: charge, allocation from the page allocator or vmalloc, free.
 */

#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "internal.h"

#include <trace/events/kregion.h>

const char * const kregion_backing_names[] = {
	[KREGION_BACKING_PAGES] = "pages", [KREGION_BACKING_VMALLOC] = "vmalloc",
};

/* ---- limits -------------------------------------------------------------- */

/*
 * Each charge of a region counts in all its ancestors with a limit, and in the
 * region itself.
 */
static struct kregion_priv *charge_parent(const struct kregion_priv *rg)
{
	return rg->parent ? rg->parent->charge : NULL;
}

/* The farthest one. */
static struct kregion_priv *charge_root(const struct kregion_priv *rg)
{
	struct kregion_priv *root = NULL, *c;

	for (c = rg->charge; c; c = charge_parent(c))
		root = c;
	return root;
}

static noinline void uncharge_limited(struct kregion_priv *rg, size_t size)
{
	struct kregion_priv *c;

	for (c = rg; c; c = charge_parent(c))
		atomic_long_sub(size, &c->charged);
}

static __always_inline void uncharge(struct kregion_priv *rg, size_t size)
{
	atomic_long_sub(size, &rg->held);
	if (unlikely(rg->charge))
		uncharge_limited(rg, size);
}

/* ---- memory -------------------------------------------------------------- */

/* Blocks of a CPU come from its node; memory policy applies to all others. */
static struct page *pages_alloc(const struct kregion_priv *rg, unsigned int order, gfp_t gfp)
{
	int node = rg->node;

	if ((PAGE_SIZE << order) > KMALLOC_MAX_SIZE)
		return NULL;
	if (node == NUMA_NO_NODE) {
		if (!(rg->attr_flags & KREGION_F_PERCPU))
			return alloc_pages(gfp, order);
		node = numa_mem_id();
	}
	return compat_alloc_pages(gfp, order, node);
}

/* Free the pages of an order that exceed the size of a large block. */
static void pages_trim(struct page *page, unsigned int order, size_t size)
{
	const unsigned long p = (unsigned long)page_address(page);

	split_page(page, order);
	for (; size < PAGE_SIZE << order; size += PAGE_SIZE)
		free_page(p + size);
}

static void pages_free(struct kregion_block *b)
{
	char *p = b->start;

	kmemleak_free(p);
	if (b->order != KREGION_ORDER_NONE)
		free_pages((unsigned long)p, b->order);
	else
		free_pages_exact(p, block_held(b));
}

/* No exported vmalloc function takes both node and gfp: vmap() the pages. */
static void *node_vmalloc(size_t size, int node, gfp_t gfp)
{
	const unsigned int nr = size >> PAGE_SHIFT;
	struct page **pages;
	unsigned int i;
	void *p = NULL;

	pages = kvmalloc_array(nr, sizeof(*pages), gfp & ~__GFP_ACCOUNT);
	if (!pages)
		return NULL;
	for (i = 0; i < nr; i++) {
		pages[i] = alloc_pages_node(node, gfp, 0);
		if (!pages[i])
			break;
	}
	if (i == nr)
		p = vmap(pages, nr, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (p) {
		/* vfree() frees pages and array, and calls kmemleak_free(). */
		kmemleak_alloc(p, size, 1, gfp);
		return p;
	}
	while (i--)
		__free_page(pages[i]);
	kvfree(pages);
	return NULL;
}

static void *vmalloc_alloc(size_t size, int node, gfp_t gfp)
{
	unsigned int scope;
	void *p;

	/* Huge pages map faster, but vmalloc_huge() rounds up to them. */
	if (node == NUMA_NO_NODE)
		return IS_ALIGNED(size, PMD_SIZE) ? vmalloc_huge(size, gfp) : __vmalloc(size, gfp);
	/* vmap() takes no gfp: set the scope. */
	if (!(gfp & __GFP_IO)) {
		scope = memalloc_noio_save();
		p = node_vmalloc(size, node, gfp);
		memalloc_noio_restore(scope);
	} else if (!(gfp & __GFP_FS)) {
		scope = memalloc_nofs_save();
		p = node_vmalloc(size, node, gfp);
		memalloc_nofs_restore(scope);
	} else {
		p = node_vmalloc(size, node, gfp);
	}
	return p;
}

static struct kregion_block *block_make(const struct kregion_priv *rg, char *p, size_t size,
					enum kregion_backing backing, unsigned int order)
{
	struct kregion_block *b = (struct kregion_block *)(p + size) - 1;

	b->start = p;
	b->epoch = 0;
	b->cpu = -1;
	b->backing = backing;
	b->order = order;
	block_set_used(b, 0);
	if (region_debug(rg))
		kregion_debug_poison(b, 0);
	return b;
}

/*
 * Allocate a block of @size charged bytes. Where vmalloc is no fallback, the
 * block may be smaller, with room for @min bytes; the difference is uncharged.
 * Inlined: each call in a refill counts.
 */
static __always_inline struct kregion_block *block_try(struct kregion_priv *rg, size_t size,
						       size_t min, gfp_t gfp)
{
	const bool vmalloc = !(rg->attr_flags & KREGION_F_PAGES) && gfpflags_allow_blocking(gfp);
	const size_t least = min + sizeof(struct kregion_block);
	unsigned int order = get_order(size);
	struct page *page = NULL;
	char *p;

	while (!(rg->attr_flags & KREGION_F_VMALLOC)) {
		const bool last = !vmalloc && (!order || size / 2 < least);

		page = pages_alloc(rg, order, last ? gfp : gfp | __GFP_NORETRY | __GFP_NOWARN);
		if (likely(page) || last || vmalloc)
			break;
		size /= 2;
		uncharge(rg, size);
		order--;
	}
	if (likely(page)) {
		p = page_address(page);
		if (unlikely(size != PAGE_SIZE << order)) {
			pages_trim(page, order, size);
			order = KREGION_ORDER_NONE;
		}
		kmemleak_alloc(p, size, 1, gfp);
		return block_make(rg, p, size, KREGION_BACKING_PAGES, order);
	}
	p = vmalloc ? vmalloc_alloc(size, rg->node, gfp) : NULL;
	if (p)
		return block_make(rg, p, size, KREGION_BACKING_VMALLOC, KREGION_ORDER_NONE);
	uncharge(rg, size);
	return NULL;
}

/* Interrupts have no cgroup of their own: charge the region's creator. */
static noinline struct kregion_block *block_try_accounted(struct kregion_priv *rg, size_t size,
							  size_t min, gfp_t gfp)
{
	const bool remote = !in_task();
	struct mem_cgroup *old = remote ? set_active_memcg(rg->memcg) : NULL;
	struct kregion_block *b = block_try(rg, size, min, gfp | __GFP_ACCOUNT);

	if (remote)
		set_active_memcg(old);
	return b;
}

void kregion_block_free(struct kregion_block *b)
{
	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		kregion_debug_unpoison(b);
	if (b->backing == KREGION_BACKING_VMALLOC)
		vfree(b->start);
	else
		pages_free(b);
}

int kregion_block_node(const struct kregion_block *b)
{
	return page_to_nid(b->backing == KREGION_BACKING_VMALLOC ? vmalloc_to_page(b) :
							  virt_to_page(b));
}

/* ---- deferred frees, for callers that may not sleep ---------------------- */

static LLIST_HEAD(deferred_blocks);

/* The list entry is in the first bytes of the block. */
struct deferred_block {
	struct llist_node node;
	struct kregion_block *block;
};

static void deferred_free(struct work_struct *work)
{
	struct deferred_block *d, *next;

	llist_for_each_entry_safe(d, next, llist_del_all(&deferred_blocks), node) {
		kregion_block_free(d->block);
		cond_resched();
	}
}

static DECLARE_WORK(deferred_work, deferred_free);

/* kregion_block_free() for any context but NMI: vfree() may sleep. */
static void block_free_atomic(struct kregion_block *b)
{
	struct deferred_block *d;

	if (b->backing == KREGION_BACKING_PAGES) {
		kregion_block_free(b);
		return;
	}
	kregion_debug_unpoison(b);
	d = (struct deferred_block *)b->start;
	d->block = b;
	if (llist_add(&d->node, &deferred_blocks))
		queue_work(kregion_wq, &deferred_work);
}

/* ---- allocation: charge, block, event ------------------------------------ */

/* Bytes that @c and its descendants may still charge. */
static size_t charge_room(const struct kregion_priv *c)
{
	const size_t charged = atomic_long_read(&c->charged);

	if (!c->limit)
		return SIZE_MAX;
	return c->limit > charged ? c->limit - charged : 0;
}

/*
 * Charge @size bytes to the limit of the region and of all its ancestors, or
 * @size halved until it fits, but at least @least. The charge counts as a block
 * in flight until kregion_block_done(). The lock of the farthest ancestor with
 * a limit makes the charges of a tree one step: none is visible that another
 * limit refuses.
 *
 * A request fails for a limit only if no block of the subtree that the limit is
 * of is in flight: such a block may fail and return its charge. A caller that
 * may sleep and enter file systems waits for it; any other caller may hold what
 * reclaim for that block waits for. A block of the region itself may also have
 * room for the request, so it must not have ended since the caller last
 * searched (@seen, of region->fills_ended) either.
 *
 * Return: bytes charged; -EAGAIN if the caller must search again; -ENOSPC.
 */
static noinline ssize_t charge_limited(struct kregion_priv *rg, size_t size, size_t least,
				       gfp_t gfp, unsigned int seen)
{
	struct kregion_priv *const root = charge_root(rg);
	struct kregion_priv *c, *full = NULL;
	size_t room = SIZE_MAX;
	ssize_t charged = -ENOSPC;
	unsigned long flags;

	region_lock(root, flags);
	/*
	 * Without the lock only subtracted from, and before fills_ended
	 * changes.
	 */
	for (c = rg; c; c = charge_parent(c))
		room = min(room, charge_room(c));
	while (size > room && size / 2 >= least)
		size /= 2;
	if (size <= room) {
		for (c = rg; c; c = charge_parent(c)) {
			atomic_long_add(size, &c->charged);
			c->fills_in_flight++;
		}
		atomic_long_add(size, &rg->held);
		charged = size;
	} else if (rg->fills_ended != seen) {
		charged = -EAGAIN;
	} else if (gfpflags_allow_blocking(gfp) && (current_gfp_context(gfp) & __GFP_FS)) {
		/* A full limit without a block in flight decides. */
		charged = -EAGAIN;
		for (c = rg; c; c = charge_parent(c)) {
			if (charge_room(c) >= size)
				continue;
			full = c->fills_in_flight ? c : NULL;
			seen = c->fills_ended;
			if (!full) {
				charged = -ENOSPC;
				break;
			}
		}
	}
	region_unlock(root, flags);
	if (!full)
		return charged;
	/* LMM(charge_limited:A) pairs with LMM(kregion_block_done_limited:A) */
	wait_var_event(&full->fills_ended, READ_ONCE(full->fills_ended) != seen);
	return charged;
}

/* See kregion_block_done(). */
void kregion_block_done_limited(struct kregion_priv *rg)
{
	struct kregion_priv *const root = charge_root(rg);
	struct kregion_priv *c;
	unsigned long flags;

	region_lock(root, flags);
	for (c = rg; c; c = charge_parent(c)) {
		c->fills_in_flight--;
		WRITE_ONCE(c->fills_ended, c->fills_ended + 1);
	}
	region_unlock(root, flags);
	/*
	 * wake_up_var() checks for waiters without a barrier.
	 * LMM(kregion_block_done_limited:A) pairs with LMM(charge_limited:A)
	 */
	smp_mb();
	for (c = rg; c; c = charge_parent(c))
		wake_up_var(&c->fills_ended);
}

/*
 * Get a new block of @size bytes, header included, or a smaller one with room
 * for @min if memory or the limit is short. It is charged and traced, but not
 * linked: the caller links it and then calls kregion_block_done().
 *
 * Return: The block; ERR_PTR(-ENOMEM); ERR_PTR(-ENOSPC); ERR_PTR(-EAGAIN) if
 * another caller's block was finished meanwhile: search again, and pass the
 * region->fills_ended of that search as @seen.
 */
struct kregion_block *kregion_block_get(struct kregion_priv *rg, size_t size, size_t min, gfp_t gfp,
					unsigned int seen)
{
	struct kregion_block *b;
	ssize_t charged;

	if (likely(!rg->charge)) {
		atomic_long_add(size, &rg->held);
	} else {
		charged = charge_limited(rg, size, max(min + sizeof(*b), PAGE_SIZE), gfp, seen);
		if (charged < 0)
			return ERR_PTR(charged);
		size = charged;
	}
	if (unlikely(rg->attr_flags & KREGION_F_ACCOUNT))
		b = block_try_accounted(rg, size, min, gfp);
	else
		b = block_try(rg, size, min, gfp);
	if (unlikely(!b)) {
		kregion_block_done(rg);
		return ERR_PTR(-ENOMEM);
	}
	trace_kregion_block_alloc(rg->id, rg->name, block_held(b), b->backing);
	return b;
}

/* ---- free: event, uncharge, memory --------------------------------------- */

/* Blocks freed between two calls of cond_resched(). */
#define PUT_BATCH	32

/* The event of a free; returns the bytes to uncharge. */
static size_t block_freed(const struct kregion_priv *rg, const struct kregion_block *b)
{
	trace_kregion_block_free(rg->id, rg->name, block_held(b), b->backing);
	return block_held(b);
}

/* Free a chain of blocks and return their number; may sleep. */
unsigned int kregion_blocks_put(struct kregion_priv *rg, struct kregion_block *chain)
{
	struct kregion_block *b;
	unsigned int nr = 0;
	size_t bytes = 0;

	while ((b = chain)) {
		chain = b->chain;
		bytes += block_freed(rg, b);
		kregion_block_free(b);
		if (!(++nr % PUT_BATCH))
			cond_resched();
	}
	uncharge(rg, bytes);
	return nr;
}

/* The event of a free and the uncharge, without the free itself. */
void kregion_block_uncharge(struct kregion_priv *rg, struct kregion_block *b)
{
	uncharge(rg, block_freed(rg, b));
}

/* kregion_blocks_put() for any context but NMI. */
void kregion_blocks_put_atomic(struct kregion_priv *rg, struct kregion_block *chain)
{
	struct kregion_block *b;
	size_t bytes = 0;

	while ((b = chain)) {
		chain = b->chain;
		bytes += block_freed(rg, b);
		block_free_atomic(b);
	}
	uncharge(rg, bytes);
}

/* ---- workqueue ----------------------------------------------------------- */

/* Unbound: a CPU that is busy in the kernel delays neither refill nor free. */
struct workqueue_struct *kregion_wq;

int kregion_block_init(void)
{
	kregion_wq = alloc_workqueue("kregion", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return kregion_wq ? 0 : -ENOMEM;
}

void kregion_block_exit(void)
{
	destroy_workqueue(kregion_wq);
}
