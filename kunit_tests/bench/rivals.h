/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rivals of bench.c, the module, and of native.c, the program: a plain bump
 * allocator, the same under a spinlock, and the scheme of the Go runtime's
 * traceRegionAlloc.
 *
 * The includer defines struct rival_pages with a member size, the bytes of a
 * block, rival_get_pages() and rival_free_pages(), which ignores NULL, and
 * GO_BLOCK, the bytes of a block of a Go region.
 */
#ifndef _KREGION_RIVALS_H
#define _KREGION_RIVALS_H

#include <linux/kregion.h>
#include <linux/spinlock.h>

/* ---- a plain bump with a limit check: the floor -------------------------- */

struct bump_block {
	struct bump_block *next;
};

struct bump {
	char *ptr, *end;
	struct bump_block *blocks;
	struct rival_pages pages;
};

static noinline void *bump_slow(struct bump *bump, size_t bytes)
{
	struct bump_block *b = rival_get_pages(&bump->pages, GFP_KERNEL | __GFP_NOWARN);

	if (!b)
		return NULL;
	b->next = bump->blocks;
	bump->blocks = b;
	bump->ptr = (char *)(b + 1) + bytes;
	bump->end = (char *)b + bump->pages.size;
	return b + 1;
}

static __always_inline void *bump_alloc(struct bump *bump, size_t size)
{
	const size_t bytes = ALIGN(size, 8);
	char *p = bump->ptr;

	if (unlikely(p + bytes > bump->end))
		return bump_slow(bump, bytes);
	bump->ptr = p + bytes;
	return p;
}

static __always_inline void bump_release(struct bump *bump)
{
	struct bump_block *b, *next;

	for (b = bump->blocks; b; b = next) {
		next = b->next;
		rival_free_pages(&bump->pages, b);
	}
	bump->blocks = NULL;
	bump->ptr = NULL;
	bump->end = NULL;
}

/* ---- a bump under a spinlock --------------------------------------------- */

struct locked_bump {
	struct bump bump;
	spinlock_t lock;	/* bump */
};

static __always_inline void *locked_alloc(struct locked_bump *l, size_t size)
{
	void *p;

	spin_lock(&l->lock);
	p = bump_alloc(&l->bump, size);
	spin_unlock(&l->lock);
	return p;
}

/* ---- Go's scheme, ported: an atomic add, the result checked afterwards --- */

struct go_block {
	struct go_block *next;
	atomic_long_t off;
	char data[];
};

struct go_region {
	spinlock_t lock;	/* full, and changes of current_block */
	bool dropping;
	struct go_block *current_block, *full;
	size_t room;		/* of a block */
	struct rival_pages pages;
};

static noinline void *go_slow(struct go_region *a, size_t n)
{
	struct go_block *b;
	unsigned long off;

	spin_lock(&a->lock);
	b = a->current_block;
	if (b) {
		off = atomic_long_add_return(n, &b->off);
		if (off <= a->room) {
			spin_unlock(&a->lock);
			return &b->data[off - n];
		}
		b->next = a->full;
		a->full = b;
		WRITE_ONCE(a->current_block, NULL);
	}
	b = rival_get_pages(&a->pages, GFP_ATOMIC | __GFP_NOWARN);
	if (b) {
		atomic_long_set(&b->off, n);
		/* Pairs with the address dependency in go_alloc(). */
		smp_store_release(&a->current_block, b);
	}
	spin_unlock(&a->lock);
	return b ? b->data : NULL;
}

static __always_inline void *go_alloc(struct go_region *a, size_t size)
{
	const size_t n = ALIGN(size, 8);
	struct go_block *b;
	unsigned long off;

	if (WARN_ON_ONCE(n > GO_BLOCK - sizeof(*b)))
		return NULL;
	if (WARN_ON_ONCE(READ_ONCE(a->dropping)))
		return NULL;
	b = READ_ONCE(a->current_block);
	if (likely(b)) {
		off = atomic_long_add_return(n, &b->off);
		if (likely(off <= GO_BLOCK - sizeof(*b)))
			return &b->data[off - n];
	}
	return go_slow(a, n);
}

static inline void go_setup(struct go_region *a, size_t block)
{
	spin_lock_init(&a->lock);
	a->pages.size = block;
	a->room = block - sizeof(struct go_block);
}

static __always_inline void go_release(struct go_region *a)
{
	struct go_block *b;

	WRITE_ONCE(a->dropping, true);
	while ((b = a->full)) {
		a->full = b->next;
		rival_free_pages(&a->pages, b);
	}
	rival_free_pages(&a->pages, a->current_block);
	a->current_block = NULL;
	WRITE_ONCE(a->dropping, false);
}

#endif /* _KREGION_RIVALS_H */
