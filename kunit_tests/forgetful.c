// SPDX-License-Identifier: GPL-2.0
/*
 * A client that never destroys its region, for the test that such a region is
 * reported when kregion.ko goes.
 */

#include <linux/kregion.h>

static unsigned long bytes = 100;
module_param(bytes, ulong, 0);

static unsigned int flags;
module_param(flags, uint, 0);

static int __init forgetful_init(void)
{
	const struct kregion_attr attr = { .flags = flags };
	struct kregion *r = kregion_create("forgotten", &attr);
	size_t size;

	if (IS_ERR(r))
		return PTR_ERR(r);
	for (; bytes; bytes -= size) {
		size = min(bytes, PAGE_SIZE);
		if (!kregion_alloc(r, size, GFP_KERNEL))
			return -ENOMEM;
	}
	return 0;
}

static void __exit forgetful_exit(void)
{
}

module_init(forgetful_init);
module_exit(forgetful_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A kregion client that leaves its region behind");
