// SPDX-License-Identifier: GPL-2.0
/*
 * A client that never destroys its region and a child of it, which are reported
 * when it unloads, or when its init function fails. It may leave a generation of
 * another region behind, too. The actions go with the module, so they must not
 * run.
 */

#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kregion.h>

static unsigned long bytes = 100;
module_param(bytes, ulong, 0);

static unsigned int flags;
module_param(flags, uint, 0);

static bool nofill;
module_param(nofill, bool, 0);
MODULE_PARM_DESC(nofill, "use up what the refill brings, for two seconds at most");

static bool sealed;
module_param(sealed, bool, 0);
MODULE_PARM_DESC(sealed, "leave a generation behind, too");

static bool fail;
module_param(fail, bool, 0);
MODULE_PARM_DESC(fail, "fail to load");

static void never(void *arg)
{
	pr_err("the action of a module that has unloaded runs\n");
}

static int add_child(struct kregion *r)
{
	struct kregion *child = kregion_create_child(r, "forgotten-child", NULL);

	return PTR_ERR_OR_ZERO(child) ?: kregion_add_action(child, never, NULL, GFP_KERNEL);
}

static int seal(void)
{
	struct kregion *r = kregion_create("forgotten-sealed", NULL);
	int err;

	if (IS_ERR(r))
		return PTR_ERR(r);
	err = kregion_add_action(r, never, NULL, GFP_KERNEL) ?:
	      PTR_ERR_OR_ZERO(kregion_rotate(r));
	kregion_destroy(r);
	return err;
}

static int __init forgetful_init(void)
{
	const struct kregion_attr attr = { .flags = flags, .reserve = nofill ? SZ_64K : 0 };
	const unsigned long deadline = jiffies + 2 * HZ;
	struct kregion *r = kregion_create("forgotten", &attr);
	size_t size;

	if (IS_ERR(r))
		return PTR_ERR(r);
	while (nofill && bytes && time_before(jiffies, deadline)) {
		if (kregion_alloc_nofill(r, 1024))
			bytes -= min(bytes, 1024UL);
		else
			usleep_range(1000, 2000);
	}
	for (; bytes && !nofill; bytes -= size) {
		size = min(bytes, PAGE_SIZE);
		if (!kregion_alloc(r, size, GFP_KERNEL))
			return -ENOMEM;
	}
	return add_child(r) ?: sealed ? seal() : fail ? -ECANCELED : 0;
}

static void __exit forgetful_exit(void)
{
}

module_init(forgetful_init);
module_exit(forgetful_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A kregion client that leaves its region behind");
