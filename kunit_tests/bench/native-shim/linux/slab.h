/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_SLAB_H
#define _SHIM_SLAB_H

#include <linux/gfp.h>
#include <linux/string.h>

#define kzalloc(size, gfp)		shim_zalloc(size)
#define kmalloc(size, gfp)		shim_zalloc(size)
#define kfree(p)			free(p)
#define kvmalloc_array(n, size, gfp)	calloc(n, size)
#define kvfree(p)			free(p)
#define ZERO_OR_NULL_PTR(p)		((unsigned long)(p) <= 16)

/* calloc() knows nothing of the cache line that the type asks for. */
static inline void *shim_zalloc(size_t size)
{
	void *p = aligned_alloc(64, ALIGN(size, 64));

	return p ? memset(p, 0, size) : NULL;
}

#endif
