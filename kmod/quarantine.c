// SPDX-License-Identifier: GPL-2.0
/*
 * Quarantine of KREGION_F_DEBUG: blocks that a drop or destroy freed, and
 * destroyed regions.
 *
 * A block in the quarantine belongs to no region any more: it is uncharged, and
 * counts in no statistics. It stays poisoned until newer ones displace it; then
 * a write since it was freed is reported, and its memory goes back to the
 * system. A region stays until the last of its blocks has gone, so that the
 * report names it, and its flags make any call on it fail with a warning.
 *
 * Blocks charged to a memory cgroup are freed at once, as pages are uncharged
 * when they are freed.
 */

#include <linux/mutex.h>

#include "internal.h"

/* Bounds; the oldest blocks and regions make room for new ones. */
#define QUARANTINE_BYTES	SZ_1M
#define QUARANTINE_REGIONS	64

static DEFINE_MUTEX(quarantine_lock);
static LIST_HEAD(blocks);		/* D: oldest first */
static LIST_HEAD(regions);		/* D: oldest first */
static size_t nr_bytes;			/* D: of the blocks */
static unsigned int nr_regions;		/* D */

static void block_evict(void)
{
	struct kregion_block *b = list_first_entry(&blocks, struct kregion_block, list);

	list_del(&b->list);
	nr_bytes -= block_held(b);
	b->region->nr_quarantined--;
	kregion_debug_check_freed(b->region, b);
	kregion_block_free(b);
}

static void region_evict(void)
{
	struct kregion_priv *rg = list_first_entry(&regions, struct kregion_priv, registry);

	while (rg->nr_quarantined)
		block_evict();
	list_del(&rg->registry);
	nr_regions--;
	kfree(rg);
}

/*
 * Uncharge a chain of blocks, which are poisoned, and free them later; returns
 * their number. May sleep.
 */
unsigned int kregion_quarantine_blocks(struct kregion_priv *rg, struct kregion_block *chain)
{
	struct kregion_block *b;
	unsigned int nr = 0;

	if (rg->attr_flags & KREGION_F_ACCOUNT)
		return kregion_blocks_put(rg, chain);
	mutex_lock(&quarantine_lock);
	for (; (b = chain); nr++) {
		chain = b->chain;
		kregion_block_uncharge(rg, b);
		b->region = rg;
		rg->nr_quarantined++;
		list_add_tail(&b->list, &blocks);
		nr_bytes += block_held(b);
		while (nr_bytes > QUARANTINE_BYTES)
			block_evict();
		cond_resched();
	}
	mutex_unlock(&quarantine_lock);
	return nr;
}

/* Free @rg, which is unlisted and holds no block, later. */
void kregion_quarantine_region(struct kregion_priv *rg)
{
	set_bit(KREGION_DESTROYED, &rg->flags);
	mutex_lock(&quarantine_lock);
	list_add_tail(&rg->registry, &regions);
	if (++nr_regions > QUARANTINE_REGIONS)
		region_evict();
	mutex_unlock(&quarantine_lock);
}

/**
 * kregion_debug_flush - check and free the memory of destroyed debug regions
 *
 * A drop or destroy of a region with KREGION_F_DEBUG keeps the freed blocks
 * poisoned for a while, up to 1 MiB of all regions, and the last 64 destroyed
 * regions. A write to them is reported, with the name of the region, when they
 * are freed: when newer ones displace them, when kregion.ko unloads, or now.
 *
 * Context: Process context, may sleep.
 */
void kregion_debug_flush(void)
{
	mutex_lock(&quarantine_lock);
	while (!list_empty(&blocks))
		block_evict();
	while (!list_empty(&regions))
		region_evict();
	mutex_unlock(&quarantine_lock);
}
EXPORT_SYMBOL_GPL(kregion_debug_flush);
