/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_MM_H
#define _SHIM_MM_H

#include <linux/slab.h>

#define alloc_pages_node(node, gfp, order)	alloc_pages(gfp, order)
#define __alloc_pages(gfp, order, node, mask)	alloc_pages(gfp, order)
#define __alloc_pages_node(node, gfp, order)	alloc_pages(gfp, order)
#define numa_mem_id()				0
#define page_address(page)			((void *)(page))
#define virt_to_page(p)				((struct page *)(p))
#define page_to_nid(page)			((void)(page), 0)
#define __free_page(page)			free_pages((unsigned long)(page), 0)
#define free_page(p)				free_pages(p, 0)
#define free_pages_exact(p, size)		shim_free_exact((unsigned long)(p), size)

static inline void shim_free_exact(unsigned long p, size_t size)
{
	for (; size; size -= PAGE_SIZE, p += PAGE_SIZE)
		free_page(p);
}

#endif
