/* SPDX-License-Identifier: GPL-2.0 */
/* Types, arithmetic and misuse reports; what most headers stand in for. */
#ifndef _SHIM_KERNEL_H
#define _SHIM_KERNEL_H

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

typedef int8_t s8;
typedef uint8_t u8;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef unsigned int gfp_t;
#define BITS_PER_LONG			__LONG_WIDTH__

/* The message is optional. */
#undef static_assert
#define static_assert(x, ...)		_Static_assert(x, "" __VA_ARGS__)

#include <linux/compiler_types.h>
#include <linux/minmax.h>
#include <linux/atomic.h>
#include <linux/list.h>

#define jiffies				0UL
#define HZ				250
#define MAX_NUMNODES			1
#define NUMA_NO_NODE			(-1)
#define node_online(node)		(!(node))
#define ERR_PTR(err)			((void *)(long)(err))
#define PTR_ERR(p)			((long)(p))
#define IS_ERR(p)			((unsigned long)(p) >= -4095UL)
#define IS_ERR_OR_NULL(p)		((unsigned long)(p) - 1 >= -4096UL)
int sched_yield(void);
#define schedule_timeout_uninterruptible(timeout) sched_yield()
#define kmemleak_alloc(p, size, refs, gfp) do { } while (0)
#define kmemleak_free(p)		do { } while (0)

#endif
