// SPDX-License-Identifier: GPL-2.0
/*
 * Lifetime of a region: create, drop, reset, rewind, destroy. The fast path of
 * an allocation is __kregion_alloc() in <linux/kregion_inline.h>, the slow path
 * is in alloc.c.
 */

/**
 * DOC: design
 *
 * Overview
 * ========
 *
 * A region holds blocks. An allocation takes the next bytes of the current
 * block. A block without enough room is closed, and another one becomes
 * current. All objects are freed at once. The scheme (large blocks, an add as
 * the fast path, a lock and a new block as the slow path, drop at the end) is
 * that of traceRegionAlloc in the Go runtime.
 *
 * A block ends with its header, struct kregion_block, and the header begins
 * with the cursor, struct __kregion_cursor: the address of the next free byte.
 * The cursor is stored where the free bytes end, so its own address is their
 * end: there is room for n bytes if and only if value + n <= address. One
 * pointer gives the block, the position and the room. An interrupt that
 * replaces the current block between the load of the pointer and the add is
 * harmless, as position and end always belong to the same block. The header has
 * a cache line of its own, so the cursor never shares one with an object.
 *
 * The fast path
 * =============
 *
 * One compare of &kregion.mode selects one of three modes. For a size that is
 * not a compile-time constant, compares of &kregion.percpu_max,
 * &kregion.shared_max and &kregion.single_max select the mode and check the
 * size.
 *
 * per-CPU
 *	Disable preemption, load the current block of this CPU, add to its
 *	cursor, enable preemption. The add is atomic against interrupts and NMIs
 *	of this CPU but carries no lock prefix (local_add_return(), an unlocked
 *	xadd on x86) and no barrier (where local_t is an atomic_long_t, the
 *	relaxed add). It precedes the check: a result beyond the end of the
 *	block is an overshoot, which the slow path subtracts on the same CPU
 *	before it enables preemption. Overshoots nest as interrupts do: the
 *	inner one is undone before the outer one continues, and the block
 *	appears full to all others meanwhile. The cursor is exact again after
 *	the outermost one, and cannot run away however many requests fail. A CPU
 *	without a block uses a cursor that points at itself, an empty block
 *	(__kregion_cpu.sentinel), so no pointer needs a test.
 *
 * shared
 *	One current block. Compare-and-exchange advances its cursor, only if
 *	there is room. A caller that loses a race enters the slow path and backs
 *	off before it retries. An unconditional add would have to be undone,
 *	which is wrong with several CPUs: an allocation of another CPU may
 *	succeed between the add and the subtraction, and its bytes would be
 *	handed out twice.
 *
 * single
 *	The caller serializes, so the region itself keeps the two words of a
 *	plain bump allocator: next free byte and end. The slow path writes them
 *	back to the cursor of the block.
 *
 * The fast path has no counter: the cursors tell how much is allocated. The
 * state of a block (current, full, spare) is not stored either: stats.c derives
 * it from the epoch, the cursor, and the pointers to the block.
 *
 * NMIs
 * ====
 *
 * kregion_alloc_nofill() advances cursors with local_t and cmpxchg, which are
 * atomic against interrupts everywhere, but not against NMIs: some
 * architectures implement cmpxchg by masking interrupts or with a lock, as the
 * absence of CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG tells, and 64-bit Book3S PowerPC
 * so implements local_t. There a call in NMI fails before it looks at a
 * cursor, and only the failure is counted (__KREGION_NMI_SAFE). asm-generic's
 * local_t is an atomic_long_t, and as safe as cmpxchg.
 * CONFIG_ARCH_HAS_NMI_SAFE_THIS_CPU_OPS does not matter: this_cpu operations
 * only read, but for the count of nested failures, which an NMI leaves as it
 * was.
 *
 * The slow path
 * =============
 *
 * Retry the current block under the region's lock, as another call may have
 * replaced it; take a spare block; else drop the lock, charge a block to the
 * limit, call the page allocator, take the lock and retry. A new block that
 * turns out not to be needed becomes spare. A block serves the request before
 * it becomes current, so no other call can exhaust it first. The overshoot
 * tells a per-CPU region that its block is full. Its refill takes the lock
 * once: for a spare block, or after the page allocator was called if there is
 * none. See percpu_refill().
 *
 * A critical section visits KREGION_HOLD_MAX blocks at most, however long the
 * chains are. The search for a spare block, the refill of the reserve and the
 * walk of a reader drop the lock and continue. kregion_priv.spare_miss records
 * the size of a search that failed.
 *
 * Near the limit, the size of the next block is halved until it fits. A request
 * fails for the limit only while no block is being allocated: such a block may
 * have room for it, or may fail and return its charge. A caller that may sleep
 * and enter file systems waits for it. The limits of ancestors count, too, see
 * tree.c.
 *
 * The first block of a region has the full size. The first block of each
 * further CPU is a page, and the sizes of the next ones double up to the full
 * size.
 *
 * An object over an eighth of the block size gets a block of its own and does
 * not affect the current one.
 *
 * Blocks are filed in kregion_priv.bucket by the CPU that they were allocated
 * for. A bucket is one chain, the blocks in use before the spare ones, with a
 * pointer to the first spare one. Taking a spare block advances the pointer, a
 * reset sets it back to the head of the chain. So each CPU reuses its own
 * memory after a reset, in the same order; other buckets are searched before
 * the page allocator is called.
 *
 * Drop and reset
 * ==============
 *
 * The caller excludes allocations. Drop and reset increment kregion_priv.epoch:
 * a block of an older epoch holds no object, regardless of the rest of its
 * header. A reset therefore is one store per bucket, and a visit to each CPU
 * that had a block since the last drop. The only blocks that it writes to are
 * the large ones, which it frees, and those that it returns to the reserve. A
 * drop is a reset that then frees all blocks but those of the reserve.
 *
 * An allocation that races with them finds no room on the fast path (per-CPU:
 * mode and percpu_max are zero, otherwise the current block is the sentinel)
 * and enters the slow path, where KREGION_BUSY makes it fail with a warning.
 * kregion_priv.users counts the calls in the slow path. A drop or destroy that
 * finds one warns and waits for it. A reset, which may not sleep, spins for a
 * bounded time and then gives up. So the slow path never accesses a freed block
 * or region. The fast path is not counted: a call that loaded the pointer to
 * the current block before the drop, and advances its cursor after the drop
 * freed the block, writes to freed memory. The window is a few instructions,
 * with preemption disabled in a per-CPU region.
 *
 * A rewind, of a single mode region only, is a reset that ends at a mark: see
 * scratch.c.
 *
 * Invariants
 * ==========
 *
 * 1. No byte is handed out twice in one epoch, and no header ever. A cursor is
 *    only advanced, by add or compare-and-exchange. Only an overshoot is
 *    undone, by the call that made it, and the end of the last object moved
 *    back by kregion_resize(), with compare-and-exchange.
 * 2. Only its own CPU writes the cursor of a per-CPU current block, with
 *    preemption disabled, while the region is not quiesced.
 * 3. A cursor never exceeds the end of its block by more than (contexts that
 *    nest on a CPU) x (an eighth of a block), however many requests fail. On 32
 *    bits that may wrap, so the signed distance is compared there.
 * 4. A block is in the chain of a bucket, or of the large blocks, from its
 *    publication until a drop, reset, rotate or destroy. Within an epoch only
 *    spare blocks move, and only those that a rotate prepares leave, and large
 *    ones that a rewind frees. A reader that finds kregion_priv.unlink_seq
 *    unchanged under the lock may continue at its position.
 * 5. A spare block is in the second part of the chain of its bucket, and
 *    kregion_priv.nr_spare counts it. A block that is current, standby, full or
 *    in the reserve is in the first part.
 * 6. kregion_priv.charged never exceeds the limit: a block is charged before
 *    the page allocator is called.
 * 7. Critical sections of the region's lock do not allocate, free, wake or
 *    print, and visit KREGION_HOLD_MAX blocks at most.
 * 8. The reserve serves at least the promised bytes, in any mix of sizes; see
 *    reserve.c.
 *
 * Memory ordering
 * ===============
 *
 * Accesses that order memory are labelled LMM(function:letter), at both ends of
 * a pair. The name behind a pair is that of its litmus test, in
 * Documentation/litmus-tests, which labels the same accesses:
 *
 * current_install:A / __kregion_alloc_shared:A : block-publish
 *	Write the header of a block, then make it current. The reader depends on
 *	the address.
 *
 * current_install:A / alloc_shared:A, kregion_take_current:A : block-publish
 *	The same in the slow path. In a per-CPU region both ends are the same
 *	CPU.
 *
 * kregion_standby_install:B / kregion_take_current:A : standby-install
 *	Write the header of a block, then make it current, without the lock.
 *
 * bucket_insert:A, region_link_large:A, switch_chains:A / region_chain:A : chain-publish
 *	Write the header of a block, then link it. Readers without the lock
 *	depend on the address.
 *
 * bucket_insert:A / offset_in_block:A : chain-publish
 *	The same for a block behind the first one of a chain.
 *
 * reserve_get:B / reserve_get:A, reserve_take:A : reserve-get
 *	Initialize the reserve, then publish it.
 *
 * reserve_get:B / refill_request:A, block_current:A : reserve-get
 *	The same.
 *
 * kregion_reserve_append:A / reserve_take:C : reserve-append
 *	Write the header of a block, then append it to the queue.
 *
 * kregion_reserve_append:B / reserve_take:B : reserve-append
 *	Write the header of a block, then make it the head of the queue.
 *
 * reserve_take:D / reserve_take:B : reserve-advance
 *	The same for the next block of the queue, which another CPU appended.
 *
 * standby_fill:A / kregion_nofill_slow:A : standby-fill
 *	Write the header of a block, then make it the standby block.
 *
 * standby_fill:A / region_invalidate:A : standby-drop
 *	Make a block the standby block, then take it away. The order is that of
 *	the lock, under which standby_fill() looks for KREGION_BUSY.
 *
 * standbys_fill:A / kregion_nofill_slow:A : refill-pending
 *	Clear refill_pending, then read the standby block; take the standby
 *	block, then read refill_pending in refill_request(). Either that call
 *	lists its CPU or this one sees that there is no block.
 *
 * reserve_promise:A / kregion_cursor_take:A : reserve-promise
 *	Publish the promise, then read what is ready; advance the cursor, then
 *	read the promise in refill_request(). Either that call queues a refill
 *	or this one sees what it took.
 *
 * region_quiesce:B / region_users_inc:A : region-enter
 *	Set KREGION_BUSY, then read the count of calls; count the call, then
 *	read KREGION_BUSY. Either the call is refused or it is waited for.
 *
 * region_leave:A / region_quiesce:C : region-leave
 *	Access the region in the slow path, then decrement the count.
 *
 * region_unquiesce:A / region_quiesce:A : region-unquiesce
 *	Finish a drop or reset, then allow the next one. Allocations need no
 *	barrier, as the caller excludes them.
 *
 * cpu_close:A / closed_current:B : rotate-close
 *	Write kregion_cpu.closed, then replace the current block by a gate; find
 *	the gate, then read that.
 *
 * region_switch:A / closed_current:A, kregion_nofill_slow:B : rotate-switch, rotate-cut
 *	Prepare the new blocks and replace all current ones by gates, then change
 *	the epoch. Who finds the new epoch, or an object allocated in it, finds
 *	these.
 *
 * rotate_open:A / kregion_standby_install:A : rotate-open
 *	Change the epoch, then replace a gate; find the new block, then read the
 *	epoch.
 *
 * kregion_block_done_limited:A / charge_limited:A : fills-ended
 *	Count the end of a fill, then check for waiters; become a waiter, then
 *	read the count.
 *
 * kregion_unpin:A / kregion_registry_del:A : registry-pins
 *	Read a region, then allow its destruction.
 *
 * map_add:C / map_add:B, map_follow:A : map-publish
 *	Write a node, then claim a slot with it. Contexts that complete the
 *	insertion, and those that find the node where they have linked it,
 *	depend on the address.
 *
 * map_complete:A / map_follow:A : map-publish
 *	The same for the link, which another context may set.
 *
 * map_complete:B / map_add:A : map-complete
 *	Link a node, or find that it is linked, then advance the count; read the
 *	count, then search the trie. Two nodes with equal bytes are never in
 *	slots.
 *
 * map_complete:A / kregion_map_item:A, kregion_map_count:A : map-count
 *	Claim a slot, then link its node; find the node, then read the slot.
 *
 * map_chunk_add:A / map_slot:A : map-chunk
 *	Clear a chunk, then publish it. The reader depends on the address.
 *
 * All other accesses are under the lock (install-recheck, spare-handover) or
 * relaxed (cursor-bump). Relaxed ones are right for one of these reasons; a
 * comment at the access tells any other:
 *
 * - The caller orders them. The fast path has no barrier: whatever excludes
 *   allocations from a drop, reset or destroy (a lock, a grace period, a flag
 *   with acquire and release) also orders them, whatever publishes the pointer
 *   to a region (rcu_assign_pointer(), smp_store_release()) publishes the
 *   region, and whatever hands an object to another CPU hands over its bytes.
 * - One CPU reads what only that CPU writes: the cursor and the pointer to the
 *   current block of a per-CPU region.
 * - A compare-and-exchange, or a check under the lock, confirms the value: the
 *   cursor, kregion_cpu.last_size, kregion_priv.nr_spare, nr_blocks and
 *   fills_ended. An old value costs a retry or another block size.
 * - Statistics, events and debugfs are snapshots, exact only while the caller
 *   keeps the region idle. They follow pointers only under the lock, and use
 *   other values only after a check of their range.
 *
 * Instruction counts
 * ==================
 *
 * Instructions of an allocation that finds room, compiled by gcc 12 into a
 * client on x86-64 with Debian's 6.12 headers, without entry and return::
 *
 *			constant size		variable size
 *	per-CPU			12			15
 *	shared			11			16
 *	single			 8			14
 *
 * The first line by architecture, compiled by gcc 12 on x86 and gcc 14
 * elsewhere, with headers of Debian's kernels, not all of which count
 * preemption::
 *
 *	                add         preempt   constant  variable
 *	x86-64          xadd        counted         12        15
 *	i386            xadd        counted         18        25
 *	arm64, LSE      ldadd       no              14        16
 *	                            counted         27        29
 *	arm64, no LSE   ldxr, stxr  no              17        20
 *	                            counted         30        33
 *	s390x, z10      csg         no              17        22
 *
 * All other architectures, and s390x with laag or counted preemption, are not
 * counted. Those with a local_t of their own (alpha, loongarch, mips, powerpc)
 * use its local_add_return(), all others atomic_long_add_return_relaxed().
 *
 * kunit_tests/fastpath.py checks this table, and that the path has no call, no
 * lock prefix, no barrier, and no access that acquires or releases.
 * kunit_tests/bench/ counts all modes at run time, next to the alternatives:
 * Documentation/benchmarks.rst.
 *
 * Alternatives considered
 * =======================
 *
 * this_cpu_cmpxchg on one word that holds the address: the end of the block
 * then follows from its alignment only, which vmalloc does not provide. Address
 * and count packed into one word by sign extension: breaks with 5-level paging.
 * A check before the add of the per-CPU path: two instructions more, to save
 * the slow path a subtraction. A counter of allocations: one more word to
 * write, for what the cursors tell. A header at the front of a block: one more
 * load, of the end. Freeing after a grace period: create and destroy would take
 * milliseconds. The number of free bytes instead of the address in the cursor:
 * one instruction more, to compute the address.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/kregion.h>

/* ---- drop and reset ------------------------------------------------------ */

/* Initial state: no block, the current one is the sentinel, which is full. */
static void region_cpu_init(struct kregion_cpu *c, int cpu)
{
	atomic_long_set(&c->fast.sentinel.shared, (long)&c->fast.sentinel);
	c->fast.cur = &c->fast.sentinel;
	c->bucket = &kregion_no_bucket;
	c->cpu = cpu;
}

/*
 * Send all allocations to the slow path. The caller excludes allocations, so
 * the stores need no order. A call that races with a drop of a per-CPU region
 * loads mode (or percpu_max) and the current block of its CPU in either order:
 *
 * - mode is 0: the slow path, where KREGION_BUSY is checked.
 * - mode is old, or that of region_fast_on(), and the current block is the
 *   sentinel of region_invalidate(): an overshoot, so the slow path.
 * - the same, and the current block is the one of before the drop: the race
 *   that kregion_drop() documents. A CPU that reorders the loads adds no other
 *   case: the call loaded the block before the drop and advances its cursor
 *   after it. The loads precede the add by control and address dependency, so
 *   the window ends there.
 */
static void region_fast_off(struct kregion_priv *rg)
{
	if (rg->attr_flags & KREGION_F_PERCPU) {
		WRITE_ONCE(rg->fast.mode, 0);
		WRITE_ONCE(rg->fast.percpu_max, 0);
	}
	kregion_sync_single(rg);
	WRITE_ONCE(rg->fast.ptr, NULL);
	WRITE_ONCE(rg->fast.end, NULL);
	WRITE_ONCE(rg->fast.cur, &rg->cpu.fast.sentinel);
	WRITE_ONCE(rg->cpu.fast.cur, &rg->cpu.fast.sentinel);
}

/* Enable the fast path of the mode; KREGION_F_DEBUG has none. */
static void region_fast_on(struct kregion_priv *rg)
{
	if (region_debug(rg))
		return;
	if (rg->attr_flags & KREGION_F_PERCPU) {
		WRITE_ONCE(rg->fast.percpu_max, region_small_max(rg));
		WRITE_ONCE(rg->fast.mode, region_small_max(rg));
	} else if (rg->attr_flags & KREGION_F_SINGLE) {
		WRITE_ONCE(rg->fast.single_max, region_small_max(rg));
		WRITE_ONCE(rg->fast.mode, LONG_MIN);
	} else {
		WRITE_ONCE(rg->fast.shared_max, region_small_max(rg));
	}
}

static void region_unquiesce(struct kregion_priv *rg)
{
	region_fast_on(rg);
	/* LMM(region_unquiesce:A) pairs with LMM(region_quiesce:A) */
	clear_bit_unlock(KREGION_BUSY, &rg->flags);
}

/* Spins of a reset that finds a call in the slow path, until it gives up. */
#define QUIESCE_SPINS	100000

/*
 * Exclude allocations: start of a drop, reset or destroy. Calls still in the
 * slow path are reported and waited for; without @sleep (reset), for a bounded
 * time. Returns false if the caller must give up. @force: wait for another drop
 * or reset instead.
 */
static bool region_quiesce(struct kregion_priv *rg, const char *call, bool sleep, bool force)
{
	unsigned int i;

	/* LMM(region_quiesce:A) pairs with LMM(region_unquiesce:A) */
	while (test_and_set_bit(KREGION_BUSY, &rg->flags)) {
		kregion_warn_busy(rg, call);
		if (!force || test_bit(KREGION_DESTROYED, &rg->flags))
			return false;
		schedule_timeout_uninterruptible(1);
	}
	/* Not in region_unquiesce(): a late call may still set it there. */
	clear_bit(KREGION_MISUSED, &rg->flags);
	region_fast_off(rg);
	/* LMM(region_quiesce:B) pairs with LMM(region_users_inc:A) */
	smp_mb();
	for (i = 0; atomic_read(&rg->users); i++) {
		kregion_warn(rg, "drop or reset while an allocation is under way");
		if (sleep) {
			schedule_timeout_uninterruptible(1);
		} else if (i < QUIESCE_SPINS) {
			cpu_relax();
		} else {
			region_unquiesce(rg);
			return false;
		}
	}
	/* LMM(region_quiesce:C) pairs with LMM(region_leave:A) */
	smp_rmb();
	/* Both are the sentinel, unless a call that was waited for has set one. */
	if (unlikely(rg->fast.cur != rg->cpu.fast.cur))
		region_fast_off(rg);
	return true;
}

/* Make all blocks spare but the large ones, which are returned. */
static struct kregion_block *region_new_epoch(struct kregion_priv *rg)
{
	const unsigned int nr_buckets = region_buckets(rg);
	struct kregion_block *large;
	unsigned long flags;
	unsigned int i;

	region_lock(rg, flags);
	WRITE_ONCE(rg->epoch, rg->epoch + 1);
	rg->spare_seq++;
	kregion_reserve_empty(rg);
	for (i = 0; i < nr_buckets; i++)
		rg->bucket[i].spare = &rg->bucket[i].blocks;
	rg->spare_miss = 0;
	large = rg->large;
	if (large)
		rg->unlink_seq++;
	WRITE_ONCE(rg->large, NULL);
	region_unlock(rg, flags);
	return large;
}

/* Uncount @nr blocks, which are spare; or others, and all the rest is spare. */
static void region_uncount(struct kregion_priv *rg, unsigned int nr, bool spare)
{
	unsigned long flags;

	region_lock(rg, flags);
	WRITE_ONCE(rg->nr_blocks, rg->nr_blocks - nr);
	WRITE_ONCE(rg->nr_spare, spare ? rg->nr_spare - nr : rg->nr_blocks);
	region_unlock(rg, flags);
}

/*
 * Invalidate all objects. All blocks become spare but the large ones, which are
 * uncounted and returned. @as_new: block sizes of CPUs grow from the start
 * again. KREGION_BUSY protects the state that changes without the lock, from
 * the refill worker too.
 */
static struct kregion_block *region_invalidate(struct kregion_priv *rg, bool as_new)
{
	struct kregion_block *large = region_new_epoch(rg), *b;
	const unsigned int old = region_slot(rg->epoch - 1);
	struct kregion_cpu *c, *next;
	unsigned int nr = 0;

	for (c = rg->active; c; c = next) {
		next = c->active;
		WRITE_ONCE(c->fast.cur, &c->fast.sentinel);
		/* LMM(region_invalidate:A) pairs with LMM(standby_fill:A) */
		xchg(&c->standby[old], NULL);
		if (as_new) {
			WRITE_ONCE(c->last_size, 0);
			c->bucket = &kregion_no_bucket;
		}
	}
	if (as_new)
		rg->active = NULL;
	for (b = large; b; b = b->chain)
		nr++;
	region_uncount(rg, nr, false);
	return large;
}

/* Free the large blocks and all spare ones. */
static void region_release(struct kregion_priv *rg, struct kregion_block *large)
{
	const unsigned int nr_buckets = region_buckets(rg);
	struct kregion_block *spare[KREGION_BUCKETS];
	unsigned int i, nr = 0;
	unsigned long flags;

	/* Blocks of the reserve are in front of the spare ones, and stay. */
	region_lock(rg, flags);
	rg->unlink_seq++;
	for (i = 0; i < nr_buckets; i++) {
		spare[i] = *rg->bucket[i].spare;
		WRITE_ONCE(*rg->bucket[i].spare, NULL);
	}
	region_unlock(rg, flags);

	region_put(rg, large);
	for (i = 0; i < nr_buckets; i++)
		nr += region_put(rg, spare[i]);
	region_uncount(rg, nr, true);
}

static void region_free_children(struct kregion_priv *rg);

/*
 * What comes before the objects of a quiesced region go. The actions run, then
 * a debug region is checked: they may use the objects.
 */
static __always_inline void region_finish(struct kregion_priv *rg)
{
	struct kregion_action *actions = rg->actions;

	if (unlikely(actions)) {
		rg->actions = NULL;
		kregion_actions_run(actions, NULL);
	}
	if (unlikely(rg->marks))
		kregion_marks_forget(rg);
	if (region_debug(rg))
		kregion_debug_check(rg);
}

/**
 * kregion_drop - free every object and all memory of a region
 * @r: The region, or NULL.
 *
 * The region is as new afterwards, with the same name, limit and reserve. The
 * caller guarantees that no call allocates from the region and nothing uses its
 * objects meanwhile. Before the objects go, the children are destroyed and the
 * actions run. A racing allocation or second drop fails with a WARN. A
 * call that is still in the slow path when the drop begins is waited for, with
 * a WARN. One that is still on the fast path goes unnoticed: it may return an
 * object of a freed block, and write to the header of that block.
 *
 * Context: Process context, may sleep.
 */
void kregion_drop(struct kregion *r)
{
	struct kregion_priv *rg = to_priv(r);
	struct kregion_block *large;

	if (IS_ERR_OR_NULL(r))
		return;
	might_sleep();
	if (!region_quiesce(rg, "drop", true, false))
		return;
	kregion_reserve_stop(rg);
	trace_kregion_drop(rg->id, rg->name, atomic_long_read(&rg->held));
	if (!hlist_empty(&rg->children))
		region_free_children(rg);
	region_finish(rg);
	large = region_invalidate(rg, true);
	kregion_reserve_restore(rg);
	region_release(rg, large);
	/* Marked, as kregion_stats() reads it at any time; ditto resets. */
	WRITE_ONCE(rg->drops, rg->drops + 1);
	region_unquiesce(rg);
	kregion_reserve_resume(rg);
}
EXPORT_SYMBOL_GPL(kregion_drop);

/**
 * kregion_reset - free every object and keep the blocks for reuse
 * @r: The region, or NULL.
 *
 * Large blocks are freed. All others become spare and are reused without being
 * cleared. The children are destroyed and the actions run first. The caller's
 * guarantee is that of kregion_drop(). If a call in the slow path does not end
 * soon, the reset warns and does nothing.
 *
 * Context: Wherever the page allocator may be called, and where the actions of
 * the region may run; process context, may sleep, if it has children. The cost
 * does not depend on the number of ordinary blocks, except for those of the
 * reserve and with KREGION_F_DEBUG.
 */
void kregion_reset(struct kregion *r)
{
	struct kregion_priv *rg = to_priv(r);

	if (IS_ERR_OR_NULL(r))
		return;
	if (!hlist_empty(&rg->children))
		might_sleep();
	if (!region_quiesce(rg, "reset", false, false))
		return;
	trace_kregion_reset(rg->id, rg->name, atomic_long_read(&rg->held));
	if (!hlist_empty(&rg->children))
		region_free_children(rg);
	region_finish(rg);
	kregion_blocks_put_atomic(rg, region_invalidate(rg, false));
	kregion_reserve_restore(rg);
	WRITE_ONCE(rg->resets, rg->resets + 1);
	region_unquiesce(rg);
	kregion_reserve_resume(rg);
}
EXPORT_SYMBOL_GPL(kregion_reset);

/**
 * kregion_rewind - forget what was allocated since a mark
 * @r: The region, with KREGION_F_SINGLE.
 * @m: From kregion_mark().
 *
 * The actions added since run, newest first. Then each large object made since
 * is freed, and ordinary blocks taken into use since become spare. The block
 * that was current at the mark is current again, at the position of the mark,
 * and the reserve is as full as it was, or fuller. What kregion_resize() did in
 * place to older large objects stays. Children are not affected.
 *
 * @m stays valid; marks made after it do not. With one that is not valid, the
 * call does nothing, and warns, once per region, unless kregion_mark() had no
 * memory. The scheme of a mark that all later allocations are undone to is that
 * of obstack_free().
 *
 * Context: As kregion_reset(); children do not matter. The cost is proportional
 * to the blocks taken into use since the mark, and to those of the reserve.
 */
void kregion_rewind(struct kregion *r, struct kregion_mark m)
{
	struct kregion_priv *rg = to_priv(r);

	if (!kregion_mark_valid(rg, m))
		return;
	if (!region_quiesce(rg, "rewind", false, false))
		return;
	kregion_blocks_put_atomic(rg, kregion_marks_rewind(rg, m));
	kregion_reserve_restore(rg);
	region_unquiesce(rg);
	kregion_reserve_resume(rg);
}
EXPORT_SYMBOL_GPL(kregion_rewind);

/* ---- per-CPU state ------------------------------------------------------- */

/*
 * alloc_percpu() walks all possible CPUs, so the per-CPU state of destroyed
 * regions is cached, in its initial state. The cache is limited to 64 KiB or
 * four regions, whichever is more.
 */
#define PCPU_CACHE_MAX	64

static DEFINE_SPINLOCK(pcpu_cache_lock);
static struct kregion_cpu __percpu *pcpu_cache[PCPU_CACHE_MAX];
static unsigned int nr_pcpu_cached;

static unsigned int pcpu_cache_max(void)
{
	return clamp_t(unsigned int, SZ_64K / (sizeof(struct kregion_cpu) * num_possible_cpus()),
		       4, PCPU_CACHE_MAX);
}

static struct kregion_cpu __percpu *pcpu_get(void)
{
	struct kregion_cpu __percpu *pcpu = NULL;
	int cpu;

	spin_lock(&pcpu_cache_lock);
	if (nr_pcpu_cached)
		pcpu = pcpu_cache[--nr_pcpu_cached];
	spin_unlock(&pcpu_cache_lock);
	if (pcpu)
		return pcpu;

	pcpu = alloc_percpu(struct kregion_cpu);
	if (!pcpu)
		return NULL;
	for_each_possible_cpu(cpu)
		region_cpu_init(per_cpu_ptr(pcpu, cpu), cpu);
	return pcpu;
}

static void pcpu_put(struct kregion_cpu __percpu *pcpu)
{
	if (!pcpu)
		return;
	spin_lock(&pcpu_cache_lock);
	if (nr_pcpu_cached < pcpu_cache_max()) {
		pcpu_cache[nr_pcpu_cached++] = pcpu;
		pcpu = NULL;
	}
	spin_unlock(&pcpu_cache_lock);
	free_percpu(pcpu);
}

static void pcpu_cache_exit(void)
{
	while (nr_pcpu_cached)
		free_percpu(pcpu_cache[--nr_pcpu_cached]);
}

/* ---- create and destroy -------------------------------------------------- */

static const char *owner_name(struct module *owner)
{
	return owner ? module_name(owner) : "kernel";
}

/* The reason why kregion_create() refuses @name, or NULL. */
static const char *name_error(const char *name)
{
	size_t i;

	if (!name || !*name)
		return "no name";
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return "the name is \".\" or \"..\"";
	for (i = 0; name[i]; i++) {
		if (i == KREGION_NAME_MAX)
			return "the name is longer than 31 characters";
		if (!isascii(name[i]) || !isgraph(name[i]) || name[i] == '/')
			return "the name has white space, a '/' or an unprintable character";
	}
	return NULL;
}

#define FLAGS_ALL	(KREGION_F_PERCPU | KREGION_F_SINGLE | KREGION_F_PAGES | \
			 KREGION_F_VMALLOC | KREGION_F_NODE | KREGION_F_ACCOUNT | KREGION_F_DEBUG)

/* The reason why kregion_create() refuses @attr, or NULL. */
static const char *attr_error(const struct kregion_attr *attr)
{
	const unsigned int f = attr->flags;
	const size_t block = attr->block_size;

	if (f & ~FLAGS_ALL)
		return "unknown flags";
	if ((f & KREGION_F_PERCPU) && (f & KREGION_F_SINGLE))
		return "KREGION_F_PERCPU contradicts KREGION_F_SINGLE";
	if ((f & KREGION_F_PAGES) && (f & KREGION_F_VMALLOC))
		return "KREGION_F_PAGES contradicts KREGION_F_VMALLOC";
	if ((f & KREGION_F_NODE) &&
	    (attr->node < 0 || attr->node >= MAX_NUMNODES || !node_online(attr->node)))
		return "node is not online";
	if (!is_power_of_2(block))
		return "block_size is not a power of two";
	if (block < PAGE_SIZE || block > KREGION_BLOCK_SIZE_MAX)
		return "block_size is not within PAGE_SIZE and KREGION_BLOCK_SIZE_MAX";
	/* KMALLOC_MAX_SIZE is also the limit of the page allocator. */
	if ((f & KREGION_F_PAGES) && block > KMALLOC_MAX_SIZE)
		return "block_size is too large for KREGION_F_PAGES";
	if (attr->limit && attr->limit < block)
		return "limit is less than block_size";
	if (attr->limit && attr->reserve > attr->limit)
		return "reserve is more than limit";
	return NULL;
}

/* Log a refusal of kregion_create(), of a name that may be anything. */
static noinline __cold struct kregion *create_refuse(const char *name,
						     const struct kregion_attr *attr,
						     struct module *owner, const char *why)
{
	static DEFINE_RATELIMIT_STATE(ratelimit, HZ, 16);

	if (__ratelimit(&ratelimit))
		pr_err("region \"%*pE\" of %s refused: %s (flags %#x, block_size %zu, limit %zu, reserve %zu, node %d)\n",
		       name ? (int)strnlen(name, KREGION_NAME_MAX + 1) : 1, name,
		       owner_name(owner), why, attr->flags, attr->block_size, attr->limit,
		       attr->reserve, attr->node);
	return ERR_PTR(-EINVAL);
}

static struct kregion *region_create(const char *name, const struct kregion_attr *attr,
				     struct module *owner, struct kregion_priv *parent)
{
	struct kregion_attr a = {};
	unsigned int nr_buckets, i;
	struct kregion_priv *rg;
	const char *why;
	size_t size;
	int err;

	might_sleep();
	if (attr)
		a = *attr;
	if (!a.block_size)
		a.block_size = KREGION_BLOCK_SIZE;
	why = name_error(name) ?: attr_error(&a);
	if (why)
		return create_refuse(name, &a, owner, why);

	/* Not struct_size(): the first bucket is in the struct's padding. */
	size = offsetof(struct kregion_priv,
			bucket[a.flags & KREGION_F_PERCPU ? KREGION_BUCKETS : 1]);
	rg = kmalloc(max(size, sizeof(*rg)), GFP_KERNEL);
	if (!rg)
		return ERR_PTR(-ENOMEM);
	/* Not kzalloc(): the compiler clears words, and only the first ones. */
	memset(rg, 0, offsetof(struct kregion_priv, attr_flags));
	rg->attr_flags = a.flags;
	nr_buckets = region_buckets(rg);
	for (i = 0; i < nr_buckets; i++) {
		rg->bucket[i].blocks = NULL;
		rg->bucket[i].spare = &rg->bucket[i].blocks;
	}
	if (a.flags & KREGION_F_PERCPU) {
		struct kregion_cpu __percpu *pcpu = pcpu_get();

		if (!pcpu) {
			kfree(rg);
			return ERR_PTR(-ENOMEM);
		}
		rg->fast.pcpu = (__force struct __kregion_cpu __percpu *)pcpu;
	}
	raw_spin_lock_init(&rg->lock);
	rg->epoch = 1;		/* new blocks have 0: not in use */
	rg->node = a.flags & KREGION_F_NODE ? a.node : NUMA_NO_NODE;
	rg->block_size = a.block_size;
	rg->limit = a.limit;
	if (a.flags & KREGION_F_ACCOUNT)
		rg->memcg = get_mem_cgroup_from_mm(NULL);
	region_cpu_init(&rg->cpu, -1);
	strscpy(rg->name, name, sizeof(rg->name));
	strscpy(rg->owner, owner_name(owner), sizeof(rg->owner));
	rg->module = owner;
	rg->fast.cur = &rg->cpu.fast.sentinel;
	region_fast_on(rg);

	if (a.limit)
		rg->charge = rg;
	if (parent)
		kregion_tree_link(rg, parent);
	kregion_registry_add(rg);
	trace_kregion_create(rg->id, rg->name, 0);
	if (a.reserve) {
		err = kregion_reserve(&rg->fast, a.reserve, GFP_KERNEL);
		if (err) {
			kregion_destroy(&rg->fast);
			if (err == -ENOSPC)
				return create_refuse(name, &a, owner, "reserve does not fit");
			return ERR_PTR(err);
		}
	}
	return &rg->fast;
}

/**
 * kregion_create_owned - create a region
 * @name: 1 to 31 printable characters, no white space, no '/', not "." or "..";
 *	copied, need not be unique.
 * @attr: Attributes; NULL for all defaults.
 * @owner: The module shown as owner in debugfs and reports.
 *
 * The region holds no block until the first allocation, unless it has a
 * reserve. Cheap enough for a region per request. The idea is that of
 * traceRegionAlloc in the Go runtime.
 *
 * Context: Process context, may sleep.
 * Return: The region. ERR_PTR(-EINVAL) for a name that is NULL, empty, too long
 * or path-like, for unknown or contradictory flags, for a node that is not
 * online, and for an invalid block size, limit or reserve; the log says which.
 * ERR_PTR(-ENOMEM).
 */
struct kregion *kregion_create_owned(const char *name, const struct kregion_attr *attr,
				     struct module *owner)
{
	return region_create(name, attr, owner, NULL);
}
EXPORT_SYMBOL_GPL(kregion_create_owned);

/**
 * kregion_create_child_owned - create a region inside another one
 * @parent: The region that the new one belongs to, of any mode.
 * @name: As for kregion_create_owned().
 * @attr: As for kregion_create_owned(); nothing is inherited.
 * @owner: As for kregion_create_owned().
 *
 * The blocks of the child count against the limits of all its ancestors, too: a
 * new block costs a few instructions per ancestor with a limit, under a lock. A
 * drop, reset or destroy of @parent destroys it; it may also be destroyed
 * before, even while siblings are created and destroyed. Trees of regions that
 * die with their parent are the idea of talloc and of the pools of APR.
 *
 * Context: Process context, may sleep. Not while @parent is dropped, reset or
 * destroyed, as with an allocation.
 * Return: As kregion_create_owned(). ERR_PTR(-EINVAL) for a @parent that is
 * NULL or an ERR_PTR, and for a reserve that does not fit the limit of an
 * ancestor. ERR_PTR(-EBUSY), with a WARN, if @parent is being dropped, reset or
 * destroyed.
 */
struct kregion *kregion_create_child_owned(struct kregion *parent, const char *name,
					   const struct kregion_attr *attr, struct module *owner)
{
	struct kregion *r;

	might_sleep();
	if (IS_ERR_OR_NULL(parent))
		return create_refuse(name, attr ?: &(struct kregion_attr){}, owner, "no parent");
	if (!region_enter(to_priv(parent)))
		return ERR_PTR(-EBUSY);
	r = region_create(name, attr, owner, to_priv(parent));
	region_leave(to_priv(parent));
	return r;
}
EXPORT_SYMBOL_GPL(kregion_create_child_owned);

/* Free @rg, which is quiesced and has no children any more. */
static void region_free(struct kregion_priv *rg)
{
	bool sealed;

	kregion_reserve_stop(rg);
	kregion_registry_del(rg);
	if (rg->parent)
		kregion_tree_unlink(rg);
	trace_kregion_destroy(rg->id, rg->name, atomic_long_read(&rg->held));
	region_finish(rg);
	/* Until then, blocks may come from kregion_gen_recycle(). */
	sealed = atomic_read_acquire(&rg->refs);
	if (sealed || rg->nr_blocks)
		region_release(rg, region_invalidate(rg, true));
	if (rg->reserve)
		kregion_reserve_free(rg);
	if (rg->memcg)
		mem_cgroup_put(rg->memcg);
	pcpu_put((struct kregion_cpu __percpu *)rg->fast.pcpu);
	if (likely(!sealed)) {
		region_forget(rg);
		return;
	}
	/* The blocks of generations are charged to the ancestors. */
	set_bit(KREGION_DESTROYED, &rg->flags);
	rg->lingers = rg->parent;
	if (rg->parent)
		atomic_inc(&rg->parent->refs);
	kregion_ref_put(rg);
}

/*
 * Destroy all descendants of @rg, which is quiesced, children before their
 * parent. A tree may be deep: do not recurse. None gets a new child once it is
 * quiesced.
 */
static noinline void region_free_children(struct kregion_priv *rg)
{
	struct kregion_priv *at = rg, *child, *parent;

	for (;;) {
		child = kregion_tree_child(at);
		if (child) {
			region_quiesce(child, "destroy", true, true);
			at = child;
		} else if (at != rg) {
			parent = at->parent;
			region_free(at);
			at = parent;
			cond_resched();
		} else {
			return;
		}
	}
}

/**
 * kregion_destroy - free a region with all its objects
 * @r: The region; NULL and ERR_PTR are no-ops.
 *
 * The children are destroyed first, with all that is below them, the youngest
 * ones first; then the actions run. The caller guarantees that nothing uses the
 * regions or their objects any more, other than the actions. A client that
 * allocates from probes or interrupts stops them first:
 * tracepoint_synchronize_unregister(), irq_work_sync(), cancel_work_sync(). A
 * racing drop, reset or allocation in the slow path is waited for, with a WARN.
 * A second destroy of a region with KREGION_F_DEBUG is reported and does
 * nothing, as long as the quarantine holds the region.
 *
 * Context: Process context, may sleep.
 */
void kregion_destroy(struct kregion *r)
{
	struct kregion_priv *rg = to_priv(r);

	if (IS_ERR_OR_NULL(r))
		return;
	might_sleep();
	if (!region_quiesce(rg, "destroy", true, true))
		return;
	if (!hlist_empty(&rg->children))
		region_free_children(rg);
	region_free(rg);
}
EXPORT_SYMBOL_GPL(kregion_destroy);

/* ---- module -------------------------------------------------------------- */

static int __init kregion_init(void)
{
	int err;

	BUILD_BUG_ON(offsetof(struct kregion_priv, fast));
	BUILD_BUG_ON(offsetof(struct kregion_block, cursor));
	BUILD_BUG_ON(offsetof(struct kregion_cpu, fast));
	BUILD_BUG_ON(sizeof(struct kregion_block) % KREGION_ALIGN);
	err = kregion_block_init();
	if (err)
		return err;
	err = kregion_registry_init();
	if (err) {
		kregion_block_exit();
		return err;
	}
	kregion_debugfs_init();
	return 0;
}

/*
 * All clients are gone, and so are the functions of actions: free the regions
 * that they left behind.
 */
static void __exit regions_free(void)
{
	struct kregion_priv *rg;

	while ((rg = kregion_registry_last())) {
		kregion_report(rg, ", never destroyed, is freed");
		rg->actions = NULL;
		kregion_destroy(&rg->fast);
	}
}

static void __exit kregion_exit(void)
{
	kregion_debugfs_exit();
	kregion_registry_exit();
	regions_free();
	kregion_gen_exit();
	kregion_debug_flush();
	pcpu_cache_exit();
	kregion_block_exit();
}

subsys_initcall(kregion_init);
module_exit(kregion_exit);
MODULE_AUTHOR("The kregion maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0.0");
MODULE_DESCRIPTION("Region allocator: bump allocation from large blocks, freed all at once");
