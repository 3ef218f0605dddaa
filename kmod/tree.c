// SPDX-License-Identifier: GPL-2.0
/*
 * Trees of regions, and actions that run before the objects of a region go.
 */

/**
 * DOC: tree
 *
 * A region may have a parent, from create to destroy. It pins nothing: a drop,
 * reset or destroy of the parent destroys the children before it goes on. The
 * links between them are under one mutex, as create and destroy may sleep, and
 * only they change links. kregion_create_child_owned() counts as a call in the
 * slow path of the parent, so a parent that is quiesced gets no further child,
 * and its children only become fewer. The walk that destroys them goes down to
 * a region without children, destroys it, and goes on at its parent, so it
 * takes no stack, and each region is visited twice at most.
 *
 * A region with a limit counts the blocks of all its descendants, in
 * kregion_priv.charged. kregion_priv.charge is the nearest region with a limit,
 * from the region itself upwards, and NULL in most regions: their refill tests
 * that pointer instead of the limit. The lock of the farthest one makes a charge
 * to all of them one step. See charge_limited() in block.c.
 *
 * An action is a record in the memory of the region, so it costs nothing to
 * free and goes with the objects that it is about. The list has the newest one
 * first, which is the order that they run in. They run while the region is
 * quiesced, where an allocation fails with a warning, and before the check of a
 * debug region, as they may use objects. A module that unloads takes its
 * functions along, so the actions of regions that it left behind never run.
 *
 * Invariants
 * ==========
 *
 * 9. The blocks that a region with a limit and all its descendants hold, and
 *    those that are being allocated for them, never exceed its limit. A charge
 *    that one limit refuses is in no counter at any time.
 * 10. A region outlives its children and their readers. When its memory goes,
 *    it has no child, and none of its actions is left to run.
 */

#include <linux/mutex.h>

#include "internal.h"

static DEFINE_MUTEX(tree_lock);	/* one for all trees */

/* ---- children ------------------------------------------------------------ */

/* Make the new region @rg, which no other call knows yet, a child. */
void kregion_tree_link(struct kregion_priv *rg, struct kregion_priv *parent)
{
	rg->parent = parent;
	rg->charge = rg->charge ?: parent->charge;
	mutex_lock(&tree_lock);
	hlist_add_head(&rg->sibling, &parent->children);
	mutex_unlock(&tree_lock);
}

void kregion_tree_unlink(struct kregion_priv *rg)
{
	mutex_lock(&tree_lock);
	hlist_del(&rg->sibling);
	mutex_unlock(&tree_lock);
}

/* The youngest child of @rg, which is quiesced, or NULL. */
struct kregion_priv *kregion_tree_child(struct kregion_priv *rg)
{
	struct kregion_priv *child;

	if (hlist_empty(&rg->children))
		return NULL;
	mutex_lock(&tree_lock);
	child = hlist_entry_safe(rg->children.first, struct kregion_priv, sibling);
	mutex_unlock(&tree_lock);
	return child;
}

/* ---- actions ------------------------------------------------------------- */

/* Run the actions of @list in front of @until; the region is quiesced. */
void kregion_actions_run(struct kregion_action *list, struct kregion_action *until)
{
	struct kregion_action *next;

	for (; list != until; list = next) {
		next = list->next;
		list->fn(list->arg);
	}
}

/**
 * kregion_add_action - have a function called before the objects of a region go
 * @r: The region.
 * @fn: Called with @arg, in the context of the drop, reset, destroy or rewind.
 *	May use the objects of the region, and may not allocate from it.
 * @arg: Any value.
 * @gfp: As for kregion_alloc().
 *
 * Actions run once, in the reverse order of being added: before a drop, reset
 * or destroy, and before a kregion_rewind() to a mark that is older than they
 * are. Those of children run before those of their parent. A region with
 * actions is reset and rewound where its actions may run. The idea is that of
 * the cleanups of APR pools.
 *
 * The record of an action is an object of the region. When the module that owns
 * the region unloads without destroying it, its actions do not run any more.
 *
 * Context: As allowed by @gfp; not NMI. Several CPUs at once, unless the region
 * is KREGION_F_SINGLE.
 * Return: 0; -ENOMEM, counted as by kregion_alloc(): the action will not run.
 */
int kregion_add_action(struct kregion *r, void (*fn)(void *arg), void *arg, gfp_t gfp)
{
	struct kregion_priv *rg = to_priv(r);
	unsigned long flags, epoch;
	struct kregion_action *a;
	bool added;

	/* A rotate may seal the record before it is in the list: another one. */
	do {
		epoch = READ_ONCE(rg->epoch);
		a = kregion_alloc(r, sizeof(*a), gfp & ~__GFP_ZERO);
		if (!a)
			return -ENOMEM;
		region_lock(rg, flags);
		added = rg->epoch == epoch;
		if (added) {
			*a = (struct kregion_action){
				.next = rg->actions, .fn = fn, .arg = arg,
			};
			rg->actions = a;
		}
		region_unlock(rg, flags);
	} while (!added);
	return 0;
}
EXPORT_SYMBOL_GPL(kregion_add_action);
