/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernel versions, and no other file has them. By feature;
 * by version only where a kernel offers nothing to ask for, as with functions.
 */
#ifndef _KREGION_COMPAT_H
#define _KREGION_COMPAT_H

#include <linux/bug.h>
#include <linux/version.h>

/*
 * Since 7.2, the arguments of a WARN() are in the bug table on some
 * architectures.
 */
#ifndef BUGFLAG_ARGS
#define BUGFLAG_ARGS	0
#endif

/* A generator of parameters of KUnit, which takes the test since 6.18. */
#ifdef KUNIT_CASE_PARAM_WITH_INIT
#define COMPAT_GENERATOR_ARGS	(struct kunit *test, const void *prev, char *desc)
#else
#define COMPAT_GENERATOR_ARGS	(const void *prev, char *desc)
#endif

/*
 * The probe of sched_process_exit, which has a third argument since 6.16: the
 * one of two functions that fits the tracepoint.
 */
#define compat_probe_exit(probe, probe_group)					\
	__builtin_choose_expr(							\
		__builtin_types_compatible_p(					\
			typeof(check_trace_callback_type_sched_process_exit),	\
			void (void (*)(void *, struct task_struct *, bool))),	\
		probe_group, probe)

/* On a node that is online, so without the checks of alloc_pages_node(). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 3, 0)
#define compat_alloc_pages(gfp, order, node)	__alloc_pages(gfp, order, node, NULL)
#else
#define compat_alloc_pages(gfp, order, node)	alloc_pages_node(node, gfp, order)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#define ktime_get_snapshot_id(clock, snapshot)	ktime_get_snapshot(snapshot)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define page_frag_cache_drain(frag)						\
do {										\
	struct page_frag_cache *__frag = (frag);				\
										\
	if (__frag->va)								\
		__page_frag_cache_drain(virt_to_page(__frag->va),		\
					__frag->pagecnt_bias);			\
} while (0)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define hrtimer_setup(timer, fn, clock, mode)					\
do {										\
	struct hrtimer *__timer = (timer);					\
										\
	hrtimer_init(__timer, clock, mode);					\
	__timer->function = (fn);						\
} while (0)
#else
#include <linux/page_frag_cache.h>
#endif

#endif /* _KREGION_COMPAT_H */
