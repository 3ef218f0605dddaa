/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel's side of a program has for its other side. */
#ifndef _PROGRAM_KERNEL_H
#define _PROGRAM_KERNEL_H

#include <linux/mm.h>
#include <linux/percpu.h>

#define SHIM_DIRT	0xd1		/* in memory that nobody has cleared */

extern int shim_warnings;		/* WARN()s so far */
extern long shim_blocks, shim_bytes;	/* of blocks that kmod/block.c holds */
extern long shim_fills;			/* blocks that it got so far */

/* Of each program: shall this call of an allocator fail? It has no memory. */
bool shim_fail(void);
void shim_short(void);

unsigned int shim_pages_used(void);
long shim_vmalloc_used(void);

#endif
