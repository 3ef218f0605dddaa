/* SPDX-License-Identifier: GPL-2.0 */
/* Included first in those sources of SELinux that are built. */
#ifndef _KREGION_POLICY_H
#define _KREGION_POLICY_H

#include <linux/kregion.h>

#undef CONFIG_NETLABEL
#ifndef CONFIG_SECURITY_SELINUX
#define CONFIG_SECURITY_SELINUX_SIDTAB_HASH_BITS 9
#define CONFIG_SECURITY_SELINUX_SID2STR_CACHE_SIZE 256
#endif

/* Of other sources; nothing calls them here. */
#pragma weak security_get_initial_sid_context
#pragma weak services_compute_xperms_decision
#pragma weak services_compute_xperms_drivers
#pragma weak sidtab_destroy
#pragma weak sidtab_init
#pragma weak sidtab_search_entry
#pragma weak sidtab_set_initial

/* NULL in the module that policy.cocci leaves alone. */
extern struct kregion *policy_region;

#endif /* _KREGION_POLICY_H */
