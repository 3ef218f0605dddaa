// SPDX-License-Identifier: GPL-2.0
#include <linux/kregion.h>

static struct kregion *region;

static int __init client_init(void)
{
	region = kregion_create("client", NULL);
	if (IS_ERR(region))
		return PTR_ERR(region);
	pr_info("client: %s\n", kregion_strdup(region, "hello", GFP_KERNEL) ?: "no memory");
	return 0;
}
module_init(client_init);

static void __exit client_exit(void)
{
	kregion_destroy(region);	/* and with it all that was allocated */
}
module_exit(client_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("The smallest client of kregion");
