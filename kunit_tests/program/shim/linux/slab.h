/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_SLAB_H
#define _SHIM_SLAB_H

#include <linux/gfp.h>
#include <linux/string.h>

void *kmalloc(size_t size, gfp_t gfp);
void *kzalloc(size_t size, gfp_t gfp);
#define kfree(p)			free(p)
#define kvmalloc_array(n, size, gfp)	kmalloc((n) * (size), gfp)
#define kvfree(p)			free(p)
#define ZERO_OR_NULL_PTR(p)		((unsigned long)(p) <= 16)

#endif
