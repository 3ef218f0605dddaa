/* SPDX-License-Identifier: GPL-2.0 */
/* Atomic on its own CPU only; sanitizers see a relaxed atomic. */
#ifndef _SHIM_LOCAL_H
#define _SHIM_LOCAL_H

#include <linux/kernel.h>

typedef struct { atomic_long_t a; } local_t;

#define local_add_return(n, l)		__atomic_add_fetch(&(l)->a.counter, n, __ATOMIC_RELAXED)
#define local_sub(n, l)			((void)local_add_return(-(long)(n), l))
#define local_cmpxchg(l, old, new)	atomic_long_cmpxchg(&(l)->a, old, new)

#endif
