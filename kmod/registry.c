// SPDX-License-Identifier: GPL-2.0
/*
 * The list of all regions.
 *
 * A reader pins the region that it shows and takes its lock for a few blocks at
 * a time. So neither allocations nor the creation of other regions wait for it;
 * only the destruction of that region does. Between two regions it keeps its
 * position in the list, so a step costs the same with any number of regions.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/wait_bit.h>

#include "internal.h"

static DEFINE_SPINLOCK(registry_lock);
static LIST_HEAD(registry);		/* G: by id, ascending */
static LIST_HEAD(readers);		/* G */
static u64 last_id;			/* G */

void kregion_registry_add(struct kregion_priv *rg)
{
	spin_lock(&registry_lock);
	rg->id = ++last_id;
	list_add_tail(&rg->registry, &registry);
	spin_unlock(&registry_lock);
}

/* Unlist @rg and wait for its readers. */
void kregion_registry_del(struct kregion_priv *rg)
{
	struct kregion_reader *reader;

	spin_lock(&registry_lock);
	list_for_each_entry(reader, &readers, list)
		if (reader->pos == &rg->registry)
			reader->pos = rg->registry.prev;
	list_del(&rg->registry);
	spin_unlock(&registry_lock);
	/* LMM(kregion_registry_del:A) pairs with LMM(kregion_unpin:A) */
	wait_var_event(&rg->pins, !atomic_read(&rg->pins));
}

/*
 * The newest region, which has no children, or NULL; the module is unloading
 * and the list has no other user.
 */
struct kregion_priv *kregion_registry_last(void)
{
	if (list_empty(&registry))
		return NULL;
	return list_last_entry(&registry, struct kregion_priv, registry);
}

void kregion_reader_add(struct kregion_reader *reader)
{
	reader->pos = &registry;
	spin_lock(&registry_lock);
	list_add(&reader->list, &readers);
	spin_unlock(&registry_lock);
}

void kregion_reader_del(struct kregion_reader *reader)
{
	spin_lock(&registry_lock);
	list_del(&reader->list);
	spin_unlock(&registry_lock);
}

void kregion_registry_rewind(struct kregion_reader *reader)
{
	spin_lock(&registry_lock);
	reader->pos = &registry;
	spin_unlock(&registry_lock);
}

/*
 * Pin and return the first region with an id greater than @id, or NULL. That is
 * the region of the last call or its successor, so one region is skipped at
 * most.
 */
struct kregion_priv *kregion_registry_next(struct kregion_reader *reader, u64 id)
{
	struct kregion_priv *found = NULL, *rg;

	spin_lock(&registry_lock);
	rg = list_entry(reader->pos, struct kregion_priv, registry);
	list_for_each_entry_continue(rg, &registry, registry) {
		if (rg->id > id) {
			found = rg;
			atomic_inc(&rg->pins);
			break;
		}
		reader->pos = &rg->registry;
	}
	spin_unlock(&registry_lock);
	return found;
}

void kregion_unpin(struct kregion_priv *rg)
{
	/*
	 * The region may be freed once the count is 0: use its address only.
	 * LMM(kregion_unpin:A) pairs with LMM(kregion_registry_del:A)
	 */
	if (rg && atomic_dec_and_test(&rg->pins))
		wake_up_var(&rg->pins);
}

/* ---- regions that outlive their owner ------------------------------------ */

void kregion_report(struct kregion_priv *rg, const char *what)
{
	struct kregion_stats st;

	kregion_stats(&rg->fast, &st);
	pr_warn("region %llu \"%s\" of %s%s: %lu blocks, %lu bytes held, %lu used\n",
		rg->id, rg->name, rg->owner, what,
		st.blocks_current + st.blocks_full + st.blocks_large + st.blocks_spare,
		st.bytes_held, st.bytes_used);
}

#ifdef CONFIG_MODULES
/*
 * A module unloads, or failed to load, and its exit or init function has
 * returned: report the regions that it left behind. A region holds no pointer
 * into its owner but @module, which is only compared.
 */
static int owner_going(struct notifier_block *nb, unsigned long state, void *data)
{
	struct kregion_priv *rg, *next;
	struct kregion_reader reader;

	if (state != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	kregion_reader_add(&reader);
	for (rg = kregion_registry_next(&reader, 0); rg; rg = next) {
		if (READ_ONCE(rg->module) == data) {
			/*
			 * Another module may get the address. The functions of
			 * actions go with the module.
			 */
			WRITE_ONCE(rg->module, NULL);
			WRITE_ONCE(rg->actions, NULL);
			kregion_report(rg, " was never destroyed");
		}
		next = kregion_registry_next(&reader, rg->id);
		kregion_unpin(rg);
	}
	kregion_reader_del(&reader);
	return NOTIFY_OK;
}
#else
static int owner_going(struct notifier_block *nb, unsigned long state, void *data)
{
	return NOTIFY_DONE;
}
#endif

static struct notifier_block owner_notifier = { .notifier_call = owner_going };

int __init kregion_registry_init(void)
{
	return register_module_notifier(&owner_notifier);
}

void kregion_registry_exit(void)
{
	unregister_module_notifier(&owner_notifier);
}
