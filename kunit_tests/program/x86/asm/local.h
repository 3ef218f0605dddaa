/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is atomic on its own CPU only: one instruction, without the lock prefix.
 */
#ifndef _SHIM_LOCAL_H
#define _SHIM_LOCAL_H

#include <linux/kernel.h>

typedef struct { atomic_long_t a; } local_t;

static __always_inline long local_add_return(long n, local_t *l)
{
	long old = n;

	asm volatile("xaddq %0, %1" : "+r" (old), "+m" (l->a.counter) : : "memory", "cc");
	return old + n;
}

static __always_inline void local_sub(long n, local_t *l)
{
	asm volatile("subq %1, %0" : "+m" (l->a.counter) : "er" (n) : "memory", "cc");
}

static __always_inline long local_cmpxchg(local_t *l, long old, long new)
{
	asm volatile("cmpxchgq %2, %1"
		     : "+a" (old), "+m" (l->a.counter) : "r" (new) : "memory", "cc");
	return old;
}

#endif
