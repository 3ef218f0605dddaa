// SPDX-License-Identifier: GPL-2.0
/*
 * Generations: end an epoch of a region while others go on allocating.
 */

/**
 * DOC: generation
 *
 * A rotate takes the blocks in use out of the region, as a sealed generation,
 * and gives it other ones. Allocations go on in every context meanwhile, and
 * the fast path knows nothing of it. The scheme is that of the Go execution
 * tracer, whose generations replace each other while the program runs.
 *
 * The switch
 * ==========
 *
 * An allocation that begins after another one has ended is never in an earlier
 * generation. So the current blocks of all CPUs cannot be replaced one after
 * the other: the object of a CPU that has its new block may be followed by one
 * of a CPU that still has its old one. A rotate goes through these states::
 *
 *	        prepare          close            switch           open
 *	open ------------> open --------> closed --------> closed --------> open
 *	old   ^            old    A       old               new    B        new
 *	      |                            |
 *	      +----------------------------+
 *	               reopen
 *
 * prepare
 *	Take a block for each CPU that has one, a standby block for each that has
 *	one, and a reserve, from the spare blocks or the page allocator. No other
 *	code sees them. A failure puts them back.
 *
 * close (A)
 *	Replace the current block of each CPU by a gate, an empty block, under
 *	the lock. The fast path finds no room. The slow path finds the gate, and
 *	takes from the block that it replaced (kregion_cpu.closed). New current
 *	blocks are installed there.
 *
 * reopen
 *	A CPU that was not prepared for has got a block meanwhile, or the promise
 *	of the reserve has grown. Replace each gate by the block of
 *	kregion_cpu.closed, wait for a grace period, and prepare what is missing.
 *	A nofill call may be about to install a block there, without the lock: a
 *	bit in the pointer makes its compare-and-exchange fail, and it replaces
 *	the gate itself.
 *
 * switch
 *	When all are closed, increment the epoch, in the critical section that
 *	found so. That selects the other standby blocks and the other queue of the
 *	reserve, region_slot(), and the chains are replaced by prepared ones. A
 *	call that finds a gate of the previous epoch continues with the new
 *	block of its CPU (kregion_cpu.next).
 *
 * open (B)
 *	Replace each gate by the new block. A call of that CPU may be first. A
 *	CPU that had none keeps its gate until the grace period has ended.
 *
 * A grace period follows, and what was allocated before the switch is collected
 * from the old chains. A single mode region is switched at once, without gates
 * and without a grace period, as its caller serializes.
 *
 * The order of objects follows: a call that takes from an old block has loaded
 * its address, or the epoch, before the switch, so it began before any object
 * of the new generation existed. Whoever sees such an object (through any chain
 * of release and acquire) sees all gates.
 *
 * Late calls
 * ==========
 *
 * A call may have the address of an old block when that is closed, and take
 * from it after the switch. It began before, and so belongs to the old
 * generation. The grace period waits for it: preemption is disabled in a
 * per-CPU region and in all of kregion_alloc_nofill(), and the client of a
 * shared region holds rcu_read_lock(), as it owes that for the writes to its
 * object anyway. A task that is preempted between the load of a cursor and its
 * compare-and-exchange therefore cannot meet a block that was freed or reused.
 * Nothing else takes from an old block after the grace period: the current
 * blocks, the standby blocks, the queue of the reserve and the chains are new.
 *
 * A late call may have taken an old standby block before the switch. It makes
 * that current by compare-and-exchange, which fails as the gate has replaced
 * the value that it loaded: a block, the sentinel, or the gate of the previous
 * rotate. None of them comes back before the grace period has ended. That is
 * why there are two gates, and why the sentinel does not replace a gate before.
 *
 * Collecting
 * ==========
 *
 * A block records the one that it replaces as the current block of its CPU,
 * which gives the order of use of a CPU's blocks. Two blocks may have replaced
 * the same one: that of a call with the lock, and that of a nofill call that
 * interrupted it after it had looked. The latter was closed by the former, so
 * it comes first. Late calls add blocks that were never current, and have one
 * object each. Blocks that hold no object become spare.
 *
 * A generation keeps its region and the ancestors of that in memory after
 * kregion_destroy(), as its blocks are charged to them.
 *
 * Invariants
 * ==========
 *
 * 13. Every object is in exactly one generation, and one whose allocation began
 *    after that of another one had ended is in no earlier generation.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/limits.h>
#include <linux/list_sort.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "internal.h"

#include <trace/events/kregion.h>

struct kregion_gen {
	struct kregion_priv *rg;
	struct list_head list;		/* in gens */
	struct list_head blocks;	/* by CPU, then those of none */
	struct list_head large;
	struct kregion_action *actions;	/* objects of the generation */
	size_t held;			/* bytes of all blocks */
};

static DEFINE_MUTEX(gens_lock);
static LIST_HEAD(gens);

/* ---- prepare ------------------------------------------------------------- */

/* A rotate in progress. */
struct rotate {
	struct kregion_priv *rg;
	unsigned long epoch;		/* that ends */
	size_t promised;		/* the promise that the new reserve is ready for */
	unsigned int nr, nr_fresh;	/* prepared blocks, and those never in the region */
	struct kregion_bucket bucket[KREGION_BUCKETS];	/* prepared blocks; then the old ones */
	struct kregion_block *large;	/* the old ones */
	struct kregion_action *actions;	/* ditto */
};

static void rotate_init(struct rotate *rot, struct kregion_priv *rg)
{
	int i;

	*rot = (struct rotate){ .rg = rg, .epoch = READ_ONCE(rg->epoch) };
	for (i = 0; i < KREGION_BUCKETS; i++)
		rot->bucket[i].spare = &rot->bucket[i].blocks;
}

/* A spare block with room for @room bytes, or a new one of @size bytes. */
static struct kregion_block *rotate_block(struct rotate *rot, int cpu, size_t size, size_t room,
					  size_t least)
{
	struct kregion_spare_scan scan = { .unlink = true };
	struct kregion_priv *rg = rot->rg;
	struct kregion_block *b;
	unsigned long flags;

	do {
		region_lock(rg, flags);
		b = kregion_take_spare(rg, cpu, room, &scan);
		if (b)
			WRITE_ONCE(rg->nr_blocks, rg->nr_blocks - 1);
		region_unlock(rg, flags);
	} while (!b && scan.more);
	if (b) {
		b->fresh = false;
	} else {
		do {
			b = kregion_block_get(rg, size, least, GFP_KERNEL | __GFP_NOWARN,
					      READ_ONCE(rg->fills_ended));
		} while (b == ERR_PTR(-EAGAIN));
		if (IS_ERR(b))
			return NULL;
		kregion_block_done(rg);
		b->fresh = true;
		rot->nr_fresh++;
	}
	b->cpu = cpu;
	b->epoch = rot->epoch + 1;
	b->replaced = 0;
	rot->nr++;
	kregion_bucket_insert(&rot->bucket[cpu_bucket(cpu)], b, false);
	return b;
}

/* A block like @old for @c. */
static struct kregion_block *rotate_block_like(struct rotate *rot, struct kregion_cpu *c,
					       const struct kregion_block *old)
{
	const size_t least = region_bytes(rot->rg, region_small_max(rot->rg), KREGION_ALIGN);

	return rotate_block(rot, c->cpu, block_held(old), block_room(old), least);
}

static struct kregion_cpu *first_active(struct kregion_priv *rg)
{
	struct kregion_cpu *c;
	unsigned long flags;

	region_lock(rg, flags);
	c = rg->active;
	region_unlock(rg, flags);
	return c;
}

/*
 * Blocks for the CPUs that have one. The fields of a CPU change meanwhile, but
 * no block is freed.
 */
static bool prepare_cpus(struct rotate *rot)
{
	const unsigned int new = region_slot(rot->epoch + 1), old = region_slot(rot->epoch);
	struct kregion_priv *rg = rot->rg;
	struct kregion_block *b, *standby;
	struct __kregion_cursor *cur;
	struct kregion_cpu *c;

	for (c = first_active(rg); c; c = c->active) {
		cur = READ_ONCE(*region_current(rg, c));
		if (cur != &c->fast.sentinel && !c->next) {
			b = rotate_block_like(rot, c, container_of(cur, struct kregion_block,
								   cursor));
			if (!b)
				return false;
			WRITE_ONCE(c->next, &b->cursor);
		}
		standby = READ_ONCE(c->standby[old]);
		if (standby && !c->standby[new]) {
			b = rotate_block_like(rot, c, standby);
			if (!b)
				return false;
			WRITE_ONCE(c->standby[new], b);
		}
		cond_resched();
	}
	return true;
}

/* A reserve for the promise of now. */
static bool prepare_reserve(struct rotate *rot)
{
	struct kregion_priv *rg = rot->rg;
	const size_t bytes = kregion_reserve_promised(rg);
	struct kregion_queue *q;
	struct kregion_block *b;
	size_t missing, least;

	rot->promised = bytes;
	if (!bytes)
		return true;
	q = &rg->reserve->queue[region_slot(rot->epoch + 1)];
	least = kregion_reserve_least(rg, bytes);
	while ((missing = kregion_reserve_missing(rg, q, bytes))) {
		b = rotate_block(rot, -1, kregion_reserve_block_size(rg, missing, least), least,
				 least);
		if (!b)
			return false;
		kregion_reserve_append(rg, q, b, rot->epoch + 1);
		cond_resched();
	}
	return true;
}

/* Make @b, which is in no chain, a spare block of the region; false: busy. */
static bool put_spare(struct kregion_priv *rg, struct kregion_block *b)
{
	unsigned long flags;
	bool busy;

	block_set_used(b, 0);
	b->epoch = 0;
	region_lock(rg, flags);
	busy = test_bit(KREGION_BUSY, &rg->flags);
	if (!busy)
		kregion_link_spare(rg, b);
	region_unlock(rg, flags);
	return !busy;
}

/* Free @b, which is in no chain; with @spare, make it a spare block if possible. */
static void block_put(struct kregion_priv *rg, struct kregion_block *b, bool spare)
{
	if (spare && put_spare(rg, b))
		return;
	b->chain = NULL;
	region_put(rg, b);
}

/* Undo a rotate that has not switched. */
static void rotate_undo(struct rotate *rot)
{
	const unsigned int new = region_slot(rot->epoch + 1);
	struct kregion_priv *rg = rot->rg;
	struct kregion_block *b, *next;
	struct kregion_cpu *c;
	int i;

	for (c = first_active(rg); c; c = c->active) {
		WRITE_ONCE(c->next, NULL);
		WRITE_ONCE(c->standby[new], NULL);
	}
	if (rg->reserve)
		rg->reserve->queue[new] = (struct kregion_queue){};
	/* A report may look for its block in what was spare, and go on from there. */
	if (region_debug(rg))
		synchronize_rcu();
	for (i = 0; i < KREGION_BUCKETS; i++) {
		for (b = rot->bucket[i].blocks; b; b = next) {
			next = b->chain;
			block_put(rg, b, !b->fresh);
			cond_resched();
		}
	}
}

/* ---- switch -------------------------------------------------------------- */

/* CPUs closed or opened in one critical section. */
#define ROTATE_BATCH	(KREGION_HOLD_MAX / 2)

/* Replace the current block of @c by a gate. Returns whether all is ready for it. */
static bool cpu_close(struct rotate *rot, struct kregion_cpu *c)
{
	const unsigned int old = region_slot(rot->epoch), new = region_slot(rot->epoch + 1);
	struct __kregion_cursor **slot = region_current(rot->rg, c);
	struct __kregion_cursor *gate = region_gate(c, rot->epoch), *cur;

	region_step();
	/* Once: a call may be at an overshoot of it, which it then undoes. */
	if (!atomic_long_read(&gate->shared))
		atomic_long_set(&gate->shared, (long)gate);
	do {
		cur = READ_ONCE(*slot);
		WRITE_ONCE(c->closed, cur);
		/* LMM(cpu_close:A) pairs with LMM(closed_current:B) */
	} while (cmpxchg(slot, cur, gate) != cur);
	return (c->next || cur == &c->fast.sentinel) &&
	       (READ_ONCE(c->standby[new]) || !READ_ONCE(c->standby[old]));
}

/* The reverse, for a rotate that does not switch. */
static void cpu_reopen(struct rotate *rot, struct kregion_cpu *c)
{
	struct __kregion_cursor **slot = region_current(rot->rg, c);
	struct __kregion_cursor *gate = region_gate(c, rot->epoch), *cur;

	/* Active since. */
	if (READ_ONCE(*slot) != gate)
		return;
	do {
		cur = READ_ONCE(c->closed);
	} while (cmpxchg(&c->closed, cur, cursor_reopen(cur, true)) != cur);
	(void)cmpxchg(slot, gate, cur);
}

/* Replace the chains by the prepared ones, and keep the old ones instead. */
static void switch_chains(struct rotate *rot)
{
	struct kregion_priv *rg = rot->rg;
	unsigned int i;

	for (i = 0; i < region_buckets(rg); i++) {
		struct kregion_bucket *bucket = &rg->bucket[i], *new = &rot->bucket[i];
		struct kregion_block *old = bucket->blocks, *spare = *bucket->spare;

		/* No block in use: the chain begins with the spare ones. */
		if (bucket->spare == &bucket->blocks)
			old = NULL;
		else
			WRITE_ONCE(*bucket->spare, NULL);
		WRITE_ONCE(*new->spare, spare);
		/* LMM(switch_chains:A) pairs with LMM(region_chain:A) */
		smp_store_release(&bucket->blocks, new->blocks);
		bucket->spare = new->spare == &new->blocks ? &bucket->blocks : new->spare;
		new->blocks = old;
	}
	rot->large = rg->large;
	WRITE_ONCE(rg->large, NULL);
	rg->unlink_seq++;
	rg->spare_seq++;
	region_count_blocks(rg, rg->nr_spare + rot->nr);
	WRITE_ONCE(rg->fills, rg->fills + rot->nr_fresh);
}

static void region_switch(struct rotate *rot)
{
	lockdep_assert_held(&rot->rg->lock);
	switch_chains(rot);
	rot->actions = rot->rg->actions;
	rot->rg->actions = NULL;
	/*
	 * LMM(region_switch:A) pairs with LMM(closed_current:A) and
	 * LMM(kregion_nofill_slow:B)
	 */
	smp_store_release(&rot->rg->epoch, rot->epoch + 1);
}

/* End of the closed state: the new blocks, or the old ones, become current. */
static void rotate_open(struct rotate *rot, bool switched)
{
	struct kregion_priv *rg = rot->rg;
	struct kregion_cpu *c;
	unsigned long flags;
	unsigned int n = 0;

	region_lock(rg, flags);
	for (c = rg->active; c; c = c->active) {
		region_step();
		if (!switched)
			cpu_reopen(rot, c);
		else if (c->next)
			/* LMM(rotate_open:A) pairs with LMM(kregion_standby_install:A) */
			(void)cmpxchg(region_current(rg, c), region_gate(c, rot->epoch), c->next);
		if (++n % ROTATE_BATCH)
			continue;
		region_unlock(rg, flags);
		cpu_relax();
		region_lock(rg, flags);
	}
	clear_bit(KREGION_CLOSED, &rg->flags);
	region_unlock(rg, flags);
}

/*
 * Close all CPUs, then switch. Others become active meanwhile: they are in
 * front of those that were. Returns false if they, or a promise that has grown,
 * need more than what is ready.
 */
static bool rotate_switch(struct rotate *rot)
{
	struct kregion_cpu *first, *stop = NULL, *c;
	struct kregion_priv *rg = rot->rg;
	unsigned long flags;
	bool switched = true;
	unsigned int n = 0;

	region_lock(rg, flags);
	set_bit(KREGION_CLOSED, &rg->flags);
	first = rg->active;
	for (c = first; c != stop || first != rg->active;) {
		if (c == stop) {
			stop = first;
			first = rg->active;
			c = first;
			continue;
		}
		switched &= cpu_close(rot, c);
		c = c->active;
		if (++n % ROTATE_BATCH)
			continue;
		region_unlock(rg, flags);
		cpu_relax();
		region_lock(rg, flags);
	}
	switched &= kregion_reserve_promised(rg) == rot->promised;
	if (switched)
		region_switch(rot);
	region_unlock(rg, flags);
	rotate_open(rot, switched);
	/* Before the same gates replace the same blocks again. */
	if (!switched)
		synchronize_rcu();
	return switched;
}

/* Of a single mode region, whose caller serializes. */
static bool rotate_switch_single(struct rotate *rot)
{
	struct kregion_priv *rg = rot->rg;
	struct kregion_cpu *c = &rg->cpu;
	unsigned long flags;

	kregion_marks_forget(rg);
	region_lock(rg, flags);
	kregion_sync_single(rg);
	region_switch(rot);
	WRITE_ONCE(c->fast.cur, c->next ?: &c->fast.sentinel);
	if (c->next) {
		kregion_load_single(rg);
	} else {
		WRITE_ONCE(rg->fast.ptr, NULL);
		WRITE_ONCE(rg->fast.end, NULL);
	}
	region_unlock(rg, flags);
	return true;
}

/* ---- collect ------------------------------------------------------------- */

/*
 * The block that @b replaced as the current one of its CPU; NULL if it was the
 * first one of the generation.
 */
static struct kregion_block *block_replaced(const struct kregion_priv *rg,
					    const struct kregion_block *b)
{
	const struct kregion_cpu *c = (struct kregion_cpu *)per_cpu_ptr(rg->fast.pcpu, b->cpu);
	struct __kregion_cursor *cursor = (struct __kregion_cursor *)(b->replaced & ~1UL);

	if (!cursor || cursor == &c->fast.sentinel || cursor_is_gate(c, cursor))
		return NULL;
	return container_of(cursor, struct kregion_block, cursor);
}

static int block_cmp(void *priv, const struct list_head *a, const struct list_head *b)
{
	const unsigned int cpu_a = list_entry(a, struct kregion_block, list)->cpu;
	const unsigned int cpu_b = list_entry(b, struct kregion_block, list)->cpu;

	cond_resched();
	/* -1 is the largest one. */
	return cpu_a > cpu_b;
}

static void gen_add(struct kregion_gen *g, struct kregion_block *b, struct list_head *list)
{
	g->held += block_held(b);
	list_add_tail(&b->list, list);
}

/* Push the blocks of @list on @stack. */
static struct kregion_block *blocks_push(struct kregion_block *stack, struct kregion_block *list)
{
	struct kregion_block *b, *next;

	for (b = list; b; b = next) {
		next = b->chain;
		b->chain = stack;
		stack = b;
	}
	return stack;
}

/*
 * Give the blocks of @chain, of all buckets, to @g in the order of use: from
 * each one to those that replaced it, and to those that replaced these. A block
 * was replaced once under the lock, and possibly before by nofill calls that
 * interrupted that one: what these installed comes first.
 */
static void gen_order(struct kregion_gen *g, struct kregion_block *chain)
{
	struct kregion_block root = {}, *b, *p, *next, **list, *stack = NULL;

	for (b = chain; b; b = next) {
		next = b->chain;
		p = b->cpu < 0 ? NULL : block_replaced(g->rg, b);
		if (!p)
			p = &root;
		list = b->replaced & 1 ? &p->nested : &p->after;
		b->chain = *list;
		*list = b;
		cond_resched();
	}
	for (b = &root; b; b = stack) {
		if (b != &root) {
			stack = b->chain;
			gen_add(g, b, &g->blocks);
		}
		stack = blocks_push(stack, b->after);
		stack = blocks_push(stack, b->nested);
		cond_resched();
	}
	list_sort(NULL, &g->blocks, block_cmp);
}

/* Nothing uses the old blocks but the objects. */
static void rotate_collect(struct rotate *rot, struct kregion_gen *g)
{
	const unsigned int old = region_slot(rot->epoch);
	struct kregion_block *b, *next, *all = NULL;
	struct kregion_priv *rg = rot->rg;
	struct kregion_cpu *c;
	unsigned long flags;
	int i;

	for (c = first_active(rg); c; c = c->active) {
		/* The gate is an empty block, too, but for the next rotate it is not. */
		(void)cmpxchg(region_current(rg, c), region_gate(c, rot->epoch), &c->fast.sentinel);
		xchg(&c->standby[old], NULL);
		WRITE_ONCE(c->next, NULL);
		WRITE_ONCE(c->closed, NULL);
	}
	if (rg->reserve)
		rg->reserve->queue[old] = (struct kregion_queue){};
	for (i = 0; i < KREGION_BUCKETS; i++) {
		for (b = rot->bucket[i].blocks; b; b = next) {
			next = b->chain;
			b->nested = NULL;
			b->after = NULL;
			b->chain = all;
			all = b;
			cond_resched();
		}
	}
	g->actions = rot->actions;
	gen_order(g, all);
	list_for_each_entry_safe(b, next, &g->blocks, list) {
		/* Ready, but not used. */
		if (!block_used(b)) {
			list_del(&b->list);
			g->held -= block_held(b);
			block_put(rg, b, true);
		}
		cond_resched();
	}
	for (b = rot->large; b; b = next) {
		next = b->chain;
		b->cpu = -1;
		gen_add(g, b, &g->large);
	}
	region_lock(rg, flags);
	WRITE_ONCE(rg->generations, rg->generations + 1);
	WRITE_ONCE(rg->sealed, rg->sealed + g->held);
	region_unlock(rg, flags);
}

/* ---- rotate -------------------------------------------------------------- */

static struct kregion_gen *rotate(struct kregion_priv *rg, struct kregion_gen *g)
{
	const bool single = rg->attr_flags & KREGION_F_SINGLE;
	struct rotate rot;

	rotate_init(&rot, rg);
	do {
		if (!prepare_cpus(&rot) || !prepare_reserve(&rot)) {
			rotate_undo(&rot);
			return ERR_PTR(-ENOMEM);
		}
	} while (!(single ? rotate_switch_single(&rot) : rotate_switch(&rot)));
	if (!single)
		synchronize_rcu();
	rotate_collect(&rot, g);
	return g;
}

/**
 * kregion_rotate - seal what is allocated, while others go on allocating
 * @r: The region.
 *
 * Takes all objects so far out of the region, as a sealed generation. The
 * region goes on at once, empty, with the same limit and reserve, and no
 * allocation fails because of that, in any context. Every object is in exactly
 * one generation, and an allocation that begins after another one has ended is
 * never in an earlier one.
 *
 * A client of a region that is rotated allocates and writes each object in one
 * RCU read-side critical section, or with preemption, bottom halves or
 * interrupts disabled: when this returns, nobody writes to the generation.
 * With KREGION_F_SINGLE the caller serializes instead, and there is no grace
 * period.
 *
 * Until the generation is freed, its memory counts towards the limit. It takes
 * the actions along; children stay with the region, and marks are not valid any
 * more. The idea is that of the generations of Go's execution tracer.
 *
 * Context: Process context, may sleep.
 * Return: The generation. ERR_PTR(-EBUSY) during another rotate, a drop or a
 * reset; ERR_PTR(-ENOMEM), for lack of memory or because of the limit, and all
 * is as before; ERR_PTR(-EINVAL) for NULL or an ERR_PTR.
 */
struct kregion_gen *kregion_rotate(struct kregion *r)
{
	struct kregion_gen *g, *sealed = ERR_PTR(-EBUSY);
	struct kregion_priv *rg = to_priv(r);

	if (IS_ERR_OR_NULL(r))
		return ERR_PTR(-EINVAL);
	might_sleep();
	g = kzalloc(sizeof(*g), GFP_KERNEL);
	if (!g)
		return ERR_PTR(-ENOMEM);
	g->rg = rg;
	INIT_LIST_HEAD(&g->blocks);
	INIT_LIST_HEAD(&g->large);
	/* As region_enter(), without the warning. */
	region_users_inc(rg);
	if (!test_bit(KREGION_BUSY, &rg->flags) &&
	    !test_and_set_bit(KREGION_ROTATING, &rg->flags)) {
		trace_kregion_rotate(rg->id, rg->name, atomic_long_read(&rg->held));
		sealed = rotate(rg, g);
		clear_bit_unlock(KREGION_ROTATING, &rg->flags);
	}
	if (IS_ERR(sealed)) {
		kfree(g);
	} else {
		atomic_inc(&rg->refs);
		mutex_lock(&gens_lock);
		list_add_tail(&g->list, &gens);
		mutex_unlock(&gens_lock);
	}
	region_leave(rg);
	return sealed;
}
EXPORT_SYMBOL_GPL(kregion_rotate);

/* ---- reading ------------------------------------------------------------- */

/* The block after @b, or the first one for NULL; large ones come last. */
static struct kregion_block *gen_block(struct kregion_gen *g, const struct kregion_block *b)
{
	struct list_head *next = b ? b->list.next : g->blocks.next;

	if (next == &g->blocks)
		next = g->large.next;
	return next == &g->large ? NULL : list_entry(next, struct kregion_block, list);
}

/**
 * kregion_gen_next - the next bytes of a sealed generation
 * @g: The generation.
 * @span: The last span, or all zero for the first one; the next one.
 *
 * Spans have exactly the bytes handed out, with the padding of alignments, each
 * byte once: CPU by CPU in rising order, those of a CPU in the order of
 * allocation, and at last those of no CPU, of shared and single mode, of the
 * reserve and of large objects. With KREGION_F_DEBUG each object is a span.
 *
 * Context: Any.
 * Return: false, and @span is unchanged, if there are no more.
 */
bool kregion_gen_next(struct kregion_gen *g, struct kregion_span *span)
{
	const bool debug = region_debug(g->rg);
	const struct kregion_block *b = span->block;
	size_t at = span->at, size;

	if (!b || !debug)
		b = gen_block(g, b);
	for (; b; b = gen_block(g, b), at = 0) {
		size = debug ? kregion_debug_next(b, &at) : block_used(b);
		if (!size)
			continue;
		*span = (struct kregion_span){
			.start = b->start + at, .bytes = ALIGN(size, KREGION_ALIGN), .cpu = b->cpu,
			.block = b, .at = debug ? at + ALIGN(size, KREGION_ALIGN) : 0,
		};
		return true;
	}
	return false;
}
EXPORT_SYMBOL_GPL(kregion_gen_next);

/**
 * kregion_gen_stats - read the memory counters of a sealed generation
 * @g: The generation.
 * @out: The result: blocks, and bytes held, used and lost; all else is 0.
 *
 * Context: Any.
 */
void kregion_gen_stats(struct kregion_gen *g, struct kregion_stats *out)
{
	const struct kregion_block *b;

	*out = (struct kregion_stats){};
	for (b = gen_block(g, NULL); b; b = gen_block(g, b)) {
		out->bytes_held += block_held(b);
		out->bytes_used += block_used(b);
	}
	list_for_each_entry(b, &g->blocks, list) {
		out->blocks_full++;
		out->bytes_lost += block_room(b) - block_used(b);
	}
	list_for_each_entry(b, &g->large, list)
		out->blocks_large++;
	out->blocks_peak = out->blocks_full + out->blocks_large;
}
EXPORT_SYMBOL_GPL(kregion_gen_stats);

/* ---- end ----------------------------------------------------------------- */

/* @rg is destroyed, or one of its generations, or a child's last one, is freed. */
void kregion_ref_put(struct kregion_priv *rg)
{
	struct kregion_priv *parent;

	for (; rg && atomic_dec_return(&rg->refs) < 0; rg = parent) {
		parent = rg->lingers;
		region_forget(rg);
	}
}

/* The objects of the blocks of @list go. */
static void blocks_end(struct kregion_priv *rg, struct list_head *list, bool recycle)
{
	struct kregion_block *b, *next;

	list_for_each_entry_safe(b, next, list, list) {
		if (region_debug(rg))
			kregion_debug_check_block(rg, b, 0, block_used(b));
		block_put(rg, b, recycle);
		cond_resched();
	}
}

/* Free the blocks of @g, or give them back to the region if that lives. */
static void gen_end(struct kregion_gen *g, bool recycle)
{
	struct kregion_priv *rg = g->rg;
	unsigned long flags;

	mutex_lock(&gens_lock);
	list_del(&g->list);
	mutex_unlock(&gens_lock);
	kregion_actions_run(g->actions, NULL);
	region_lock(rg, flags);
	WRITE_ONCE(rg->generations, rg->generations - 1);
	WRITE_ONCE(rg->sealed, rg->sealed - g->held);
	region_unlock(rg, flags);
	blocks_end(rg, &g->blocks, recycle);
	blocks_end(rg, &g->large, false);
	kregion_ref_put(rg);
	kfree(g);
}

/**
 * kregion_gen_free - free a sealed generation with all its objects
 * @g: The generation; NULL and ERR_PTR are no-ops.
 *
 * The actions that were added before the rotate run first. The region may be
 * destroyed already.
 *
 * Context: Process context, may sleep.
 */
void kregion_gen_free(struct kregion_gen *g)
{
	might_sleep();
	if (!IS_ERR_OR_NULL(g))
		gen_end(g, false);
}
EXPORT_SYMBOL_GPL(kregion_gen_free);

/**
 * kregion_gen_recycle - free the objects of a generation and keep its blocks
 * @g: The generation; NULL and ERR_PTR are no-ops.
 *
 * The actions run first. Ordinary blocks become spare blocks of the region,
 * large ones are freed. All are freed if the region is destroyed, or being
 * dropped or reset.
 *
 * Context: Process context, may sleep.
 */
void kregion_gen_recycle(struct kregion_gen *g)
{
	might_sleep();
	if (!IS_ERR_OR_NULL(g))
		gen_end(g, true);
}
EXPORT_SYMBOL_GPL(kregion_gen_recycle);

/* All clients are gone, and all regions destroyed. */
void kregion_gen_exit(void)
{
	struct kregion_gen *g, *next;

	list_for_each_entry_safe(g, next, &gens, list) {
		pr_warn("a generation of region %llu \"%s\" of %s, never freed, is freed: %zu bytes held\n",
			g->rg->id, g->rg->name, g->rg->owner, g->held);
		g->actions = NULL;	/* as the functions are gone */
		gen_end(g, false);
	}
}
