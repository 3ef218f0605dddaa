// SPDX-License-Identifier: GPL-2.0
/*
 * The list of all regions.
 *
 * A reader pins the region it is at and takes its lock for a few blocks at a time, so
 * neither allocations nor the creation of other regions wait for it; only the
 * destruction of that very region does. Between two regions it keeps its place in the
 * list, so that a step costs the same however many regions there are.
 */

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

/* Unlist @rg and wait until no reader looks at it. */
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

/* Any region, or NULL; the module is unloading and nothing else uses the list. */
struct kregion_priv *kregion_registry_first(void)
{
	return list_first_entry_or_null(&registry, struct kregion_priv, registry);
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
 * The first region with an id over @id, pinned, or NULL: the one of the last call or its
 * successor, so that no more than one region is passed.
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
