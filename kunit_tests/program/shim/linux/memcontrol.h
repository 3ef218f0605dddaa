/* SPDX-License-Identifier: GPL-2.0 */
/* No cgroups. */
#include <linux/kernel.h>

struct mem_cgroup;

#define get_mem_cgroup_from_mm(mm)	((struct mem_cgroup *)(mm))
#define mem_cgroup_put(memcg)		((void)(memcg))
