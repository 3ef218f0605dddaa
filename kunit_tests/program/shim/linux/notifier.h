/* SPDX-License-Identifier: GPL-2.0 */
/* No module ever goes. */
struct notifier_block {
	int (*notifier_call)(struct notifier_block *nb, unsigned long state, void *data);
};

#define NOTIFY_DONE			0
#define register_module_notifier(nb)	((void)(nb), 0)
#define unregister_module_notifier(nb)	((void)(nb))
