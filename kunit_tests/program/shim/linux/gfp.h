/* SPDX-License-Identifier: GPL-2.0 */
/* The page allocator. A page is its address. */
#ifndef _SHIM_GFP_H
#define _SHIM_GFP_H

#include <linux/kernel.h>

enum { GFP_ZONEMASK = 15, __GFP_RECLAIMABLE = 16, __GFP_IO = 64, __GFP_FS = 128, __GFP_ZERO = 256,
	__GFP_DIRECT_RECLAIM = 1024, __GFP_NOWARN = 1 << 13, __GFP_WRITE = 1 << 12,
	__GFP_NOFAIL = 1 << 15, __GFP_NORETRY = 1 << 16,
	__GFP_RETRY_MAYFAIL = 1 << 14, __GFP_COMP = 1 << 18,
	__GFP_ACCOUNT = 1 << 22, GFP_ATOMIC = 2080, GFP_NOWAIT = 2048,
	GFP_NOIO = 3072, GFP_KERNEL = GFP_NOIO | __GFP_IO | __GFP_FS };
#define gfpflags_allow_blocking(gfp)	(!!((gfp) & __GFP_DIRECT_RECLAIM))

#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define PAGE_ALIGN(x)		ALIGN(x, PAGE_SIZE)
#define PAGE_ALIGNED(p)		(!((unsigned long)(p) & (PAGE_SIZE - 1)))
#define KMALLOC_MAX_SIZE	(4UL << 20)
#define ZERO_SIZE_PTR		((void *)16)
#define totalram_pages()	(1UL << 14)
#define get_order(size)		((size) <= PAGE_SIZE ? 0U : BITS_PER_LONG - 12U - __builtin_clzl((size) - 1))

struct page;
struct page *alloc_pages(gfp_t gfp, unsigned int order);
void split_page(struct page *page, unsigned int order);
void free_pages(unsigned long p, unsigned int order);

#endif
