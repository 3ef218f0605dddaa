// SPDX-License-Identifier: GPL-2.0
/*
 * Regions that end with the driver of a device.
 */

#include <linux/device.h>
#include <linux/err.h>
#include <linux/kregion.h>

static void destroy_action(void *r)
{
	kregion_destroy(r);
}

/**
 * kregion_devm_create_owned - create a region for a device
 * @dev: The device; its region is destroyed when the driver is unbound.
 * @name: As for kregion_create_owned().
 * @attr: As for kregion_create_owned().
 * @owner: As for kregion_create_owned().
 *
 * Context: Process context, may sleep.
 * Return: As kregion_create_owned().
 */
struct kregion *kregion_devm_create_owned(struct device *dev, const char *name,
					  const struct kregion_attr *attr, struct module *owner)
{
	struct kregion *r = kregion_create_owned(name, attr, owner);
	int err;

	if (IS_ERR(r))
		return r;
	err = devm_add_action_or_reset(dev, destroy_action, r);
	return err ? ERR_PTR(err) : r;
}
EXPORT_SYMBOL_GPL(kregion_devm_create_owned);
