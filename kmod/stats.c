// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of a live region: statistics and kregion_contains().
 */

#include "internal.h"

/* Restarts of a walk, as blocks were freed meanwhile, until it gives up. */
#define WALK_RESTARTS	8

/*
 * As block_used(), but the region has the position of a single mode block. The
 * two loads are not ordered: a pointer that is not into @b is of another block.
 */
static size_t single_used(const struct kregion_priv *rg, const struct kregion_block *b)
{
	const char *end = READ_ONCE(rg->fast.end), *ptr = READ_ONCE(rg->fast.ptr);

	if (end != (const char *)b || ptr < b->start || ptr > end)
		return block_used(b);
	return ptr - b->start;
}

/* Does @b serve small objects, of a CPU or of the reserve? */
static bool block_current(struct kregion_priv *rg, const struct kregion_block *b)
{
	/* LMM(block_current:A) pairs with LMM(reserve_get:B) */
	struct kregion_reserve *rv = smp_load_acquire(&rg->reserve);
	const int cpu = READ_ONCE(b->cpu);
	struct kregion_cpu *c = &rg->cpu;

	if (rv && b == READ_ONCE(rv->queue[region_slot(READ_ONCE(rg->epoch))].head))
		return true;
	if (rg->attr_flags & KREGION_F_PERCPU) {
		if (cpu < 0)
			return false;
		c = (struct kregion_cpu *)per_cpu_ptr(rg->fast.pcpu, cpu);
	}
	return READ_ONCE(*region_current(rg, c)) == &b->cursor;
}

static void block_describe(struct kregion_priv *rg, const struct kregion_block *b, bool large,
			   struct kregion_block_info *info)
{
	info->start = b->start;
	info->held = block_held(b);
	info->used = READ_ONCE(b->epoch) == rg->epoch ? single_used(rg, b) : 0;
	if (large)
		info->kind = KREGION_BLOCK_LARGE;
	else if (!info->used)
		info->kind = KREGION_BLOCK_SPARE;
	else
		info->kind = block_current(rg, b) ? KREGION_BLOCK_CURRENT : KREGION_BLOCK_FULL;
}

/*
 * Call @fn for each block, under the lock, until it returns false. The walk
 * drops the lock now and then and continues at its position, unless blocks were
 * freed meanwhile: then it calls @restart and starts over. Returns false if it
 * gave that up.
 */
bool kregion_walk(struct kregion_priv *rg, void (*restart)(void *ctx), kregion_block_fn fn,
		  void *ctx)
{
	unsigned int i, unlink_seq, n = 0, restarts = 0;
	bool complete = false;
	struct kregion_block_info info;
	struct kregion_block *b;
	unsigned long flags;

	if (unlikely(test_bit(KREGION_DESTROYED, &rg->flags)))
		kregion_warn_busy(rg, "query");
	region_lock(rg, flags);
again:
	restart(ctx);
	unlink_seq = rg->unlink_seq;
	for (i = 0; i <= region_buckets(rg); i++) {
		for (b = region_chain(rg, i); b; b = b->chain) {
			block_describe(rg, b, !i, &info);
			complete = !fn(rg, b, &info, ctx);
			if (complete)
				goto out;
			region_step();
			if (++n % KREGION_HOLD_MAX)
				continue;
			region_unlock(rg, flags);
			cpu_relax();
			region_lock(rg, flags);
			if (rg->unlink_seq == unlink_seq)
				continue;
			if (restarts++ == WALK_RESTARTS)
				goto out;
			goto again;
		}
	}
	complete = true;
out:
	region_unlock(rg, flags);
	return complete;
}

#if IS_ENABLED(CONFIG_KUNIT)
DEFINE_PER_CPU(struct kregion_hold, kregion_hold);
EXPORT_PER_CPU_SYMBOL_GPL(kregion_hold);
#endif

/* ---- statistics ---------------------------------------------------------- */

static void stats_restart(void *ctx)
{
	memset(ctx, 0, sizeof(struct kregion_stats));
}

static bool stats_fn(struct kregion_priv *rg, const struct kregion_block *b,
		     const struct kregion_block_info *info, void *ctx)
{
	struct kregion_stats *st = ctx;

	switch (info->kind) {
	case KREGION_BLOCK_CURRENT:
		st->blocks_current++;
		break;
	case KREGION_BLOCK_FULL:
		st->blocks_full++;
		st->bytes_lost += block_room(b) - info->used;
		break;
	case KREGION_BLOCK_LARGE:
		st->blocks_large++;
		break;
	case KREGION_BLOCK_SPARE:
		st->blocks_spare++;
		break;
	}
	st->bytes_held += info->held;
	st->bytes_used += info->used;
	return true;
}

/**
 * kregion_stats - read the memory and event counters of a region
 * @r: The region.
 * @out: The result.
 *
 * Derived from the blocks, as the fast path has no counters; exact while the
 * region is idle. The time is proportional to the number of blocks, but the
 * lock is held for a bounded number of them at a time.
 *
 * Context: Any but NMI.
 */
void kregion_stats(struct kregion *r, struct kregion_stats *out)
{
	struct kregion_priv *rg = to_priv(r);

	kregion_walk(rg, stats_restart, stats_fn, out);
	out->blocks_peak = READ_ONCE(rg->peak);
	out->fills = READ_ONCE(rg->fills);
	out->failed_nomem = atomic_long_read(&rg->failed[KREGION_FAIL_NOMEM]);
	out->failed_limit = atomic_long_read(&rg->failed[KREGION_FAIL_LIMIT]);
	out->failed_size = atomic_long_read(&rg->failed[KREGION_FAIL_SIZE]);
	out->failed_nofill = atomic_long_read(&rg->failed[KREGION_FAIL_NOFILL]);
	out->drops = READ_ONCE(rg->drops);
	out->resets = READ_ONCE(rg->resets);
	out->generations = READ_ONCE(rg->generations);
	out->bytes_sealed = READ_ONCE(rg->sealed);
}
EXPORT_SYMBOL_GPL(kregion_stats);

/* ---- contains ------------------------------------------------------------ */

struct contains_ctx {
	const char *p;
	bool found;
};

static void contains_restart(void *ctx)
{
}

static bool contains_fn(struct kregion_priv *rg, const struct kregion_block *b,
			const struct kregion_block_info *info, void *ctx)
{
	struct contains_ctx *c = ctx;

	c->found = c->p >= info->start && c->p < info->start + info->used;
	return !c->found;
}

/**
 * kregion_contains - does a pointer point into an object area of a region?
 * @r: The region.
 * @p: Any value; it is not dereferenced.
 *
 * Context: Process context, may sleep. The time is proportional to the number
 * of blocks.
 * Return: true if @p is in memory that @r handed out since its last drop or
 * reset.
 */
bool kregion_contains(struct kregion *r, const void *p)
{
	struct contains_ctx c = { .p = p };

	might_sleep();
	while (!kregion_walk(to_priv(r), contains_restart, contains_fn, &c))
		cond_resched();
	return c.found;
}
EXPORT_SYMBOL_GPL(kregion_contains);
