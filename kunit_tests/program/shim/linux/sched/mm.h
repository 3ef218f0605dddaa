/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_SCHED_MM_H
#define _SHIM_SCHED_MM_H

#include <linux/memcontrol.h>

#define in_task()			true
#define current_gfp_context(gfp)	(gfp)

static inline struct mem_cgroup *set_active_memcg(struct mem_cgroup *memcg)
{
	return memcg;
}

#endif
