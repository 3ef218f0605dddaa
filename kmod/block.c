// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: from the page allocator or vmalloc, and back.
 */

#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "internal.h"

/* A CPU's own blocks are of its own node; the task's memory policy places others. */
static struct page *pages_alloc(const struct region *rg, unsigned int order, gfp_t gfp)
{
	int node = rg->node;

	if ((PAGE_SIZE << order) > KMALLOC_MAX_SIZE)
		return NULL;
	if (node == NUMA_NO_NODE) {
		if (!(rg->attr_flags & KREGION_F_PERCPU))
			return alloc_pages(gfp, order);
		node = numa_mem_id();
	}
	return __alloc_pages(gfp, order, node, NULL);
}

/* An order gives more than a large block may need; what is over goes back at once. */
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
	if (b->order != NO_ORDER)
		free_pages((unsigned long)p, b->order);
	else
		free_pages_exact(p, block_held(b));
}

/* No exported vmalloc takes both a node and a gfp: map pages of our own. */
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
		/* vfree() puts the pages and the array, and tells kmemleak. */
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

	/* A huge page is far cheaper to map, but vmalloc_huge() takes nothing less. */
	if (node == NUMA_NO_NODE)
		return IS_ALIGNED(size, PMD_SIZE) ? vmalloc_huge(size, gfp) : __vmalloc(size, gfp);
	/* vmap() takes no gfp: tell it what the caller may do by scope. */
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

static struct kregion_block *block_make(const struct region *rg, char *p, size_t size,
					enum block_backing backing, unsigned int order)
{
	struct kregion_block *b = (struct kregion_block *)(p + size) - 1;

	b->start = p;
	b->epoch = 0;
	b->cpu = -1;
	b->backing = backing;
	b->order = order;
	block_set_used(b, 0);
	if (region_debug(rg))
		debug_fresh(b);
	return b;
}

static struct kregion_block *block_try(const struct region *rg, size_t size, size_t min, gfp_t gfp)
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
		order--;
	}
	if (likely(page)) {
		p = page_address(page);
		if (unlikely(size != PAGE_SIZE << order)) {
			pages_trim(page, order, size);
			order = NO_ORDER;
		}
		kmemleak_alloc(p, size, 1, gfp);
		return block_make(rg, p, size, BACKING_PAGES, order);
	}
	p = vmalloc ? vmalloc_alloc(size, rg->node, gfp) : NULL;
	return p ? block_make(rg, p, size, BACKING_VMALLOC, NO_ORDER) : NULL;
}

/*
 * An empty block of @size bytes in all, for @rg. Where vmalloc is no way out,
 * it may be smaller, but it has room for @min bytes.
 */
struct kregion_block *block_alloc(const struct region *rg, size_t size, size_t min, gfp_t gfp)
{
	struct mem_cgroup *old;
	struct kregion_block *b;

	if (likely(!(rg->attr_flags & KREGION_F_ACCOUNT)))
		return block_try(rg, size, min, gfp);
	gfp |= __GFP_ACCOUNT;
	if (in_task())
		return block_try(rg, size, min, gfp);
	/* An interrupt has no cgroup of its own: the region's creator is charged. */
	old = set_active_memcg(rg->memcg);
	b = block_try(rg, size, min, gfp);
	set_active_memcg(old);
	return b;
}

void block_free(struct kregion_block *b)
{
	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		debug_release(b);
	if (b->backing == BACKING_VMALLOC)
		vfree(b->start);
	else
		pages_free(b);
}

int block_node(const struct kregion_block *b)
{
	return page_to_nid(b->backing == BACKING_VMALLOC ? vmalloc_to_page(b) : virt_to_page(b));
}

/* ---- frees from callers that may not sleep ------------------------------- */

static LLIST_HEAD(late_blocks);

/* The first bytes of a dead block hold its place in the list. */
struct late_block {
	struct llist_node node;
	struct kregion_block *block;
};

static void late_free(struct work_struct *work)
{
	struct late_block *late, *next;

	llist_for_each_entry_safe(late, next, llist_del_all(&late_blocks), node)
		block_free(late->block);
}

static DECLARE_WORK(late_work, late_free);

/* As block_free(), from any context but NMI: vfree() sleeps, pages do not. */
void block_free_atomic(struct kregion_block *b)
{
	struct late_block *late;

	if (b->backing == BACKING_PAGES) {
		block_free(b);
		return;
	}
	debug_release(b);
	late = (struct late_block *)b->start;
	late->block = b;
	if (llist_add(&late->node, &late_blocks))
		queue_work(kregion_wq, &late_work);
}

/* ---- the workqueue ------------------------------------------------------------ */

/* Unbound, so that no CPU that is busy in the kernel delays a refill or a free. */
struct workqueue_struct *kregion_wq;

int block_init(void)
{
	kregion_wq = alloc_workqueue("kregion", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return kregion_wq ? 0 : -ENOMEM;
}

void block_exit(void)
{
	destroy_workqueue(kregion_wq);
}
