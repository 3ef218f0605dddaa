// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a region: create, drop, reset, destroy. The fast path of an allocation is
 * __kregion_alloc() in <linux/kregion.h>, inlined into the callers, the slow path alloc.c.
 */

/**
 * DOC: design
 *
 * The idea
 * ========
 *
 * A region holds blocks. An allocation takes the next bytes of the current
 * block; when they do not suffice, the block is closed and another one becomes
 * current. Nothing is freed until everything is. The shape (large blocks, an
 * add as the fast path, a lock and a new block as the slow path, drop at the
 * end) is that of traceRegionAlloc in the Go runtime.
 *
 * A block ends with its header, struct kregion_block, and the header begins
 * with one word, struct __kregion_cursor: the address of the next free byte. As the
 * word stands where the bytes end, its own address is the limit: there is room
 * for n bytes exactly if value + n <= address of the word. One pointer tells all
 * three: the block, the place and the room. An interrupt that puts another block
 * in place between the load of the pointer and the add does no harm, as place
 * and limit cannot be of two different blocks. The header has a cache line to
 * itself, so that the hot word shares none with an object.
 *
 * The fast path
 * =============
 *
 * Three modes, told apart by one compare of &kregion.mode (or, for a size not known
 * at compile time, by one of &kregion.percpu_max, and then &kregion.shared_max and
 * &kregion.single_max, which settle the size too):
 *
 * per-CPU
 *	Preemption off, load this CPU's current block, add to its word with an
 *	instruction that is atomic against interrupts and NMIs of this CPU but
 *	carries no lock prefix (local_add_return(), an unlocked xadd on x86),
 *	preemption on. The add comes first and is looked at afterwards: a result
 *	over the limit is an overshoot, which the slow path takes back on the same
 *	CPU before preemption goes on again. Overshoots nest as interrupts do, so
 *	the inner one is taken back before the outer one goes on, and meanwhile
 *	everybody else sees a block without room. Thus the word is exact again
 *	each time the last of them has left, and it can never run away, however
 *	many requests fail. A CPU without a block has a word of its own that
 *	points at itself, a block of no bytes (__kregion_cpu.sentinel), so no pointer
 *	needs a test.
 *
 * shared
 *	One current block. Its word is advanced with compare-and-exchange and
 *	only if there is room; who finds the word changed goes to the slow path,
 *	which lets the others go on for a while before it tries again. An
 *	unconditional add would need taking back, and with several CPUs that is
 *	wrong: another CPU's success may lie between the add and the subtraction,
 *	and its bytes would be handed out twice.
 *
 * single
 *	The caller serializes, so the two words that a plain bump allocator
 *	keeps, next free byte and end, live in the region itself. The block's own
 *	word is brought up to date when the slow path runs.
 *
 * The fast path counts nothing. What was handed out is the sum of what the
 * blocks' words say. Whether a block is current, full or spare is not stored either:
 * stats.c derives it from its epoch, its word and the pointers to it.
 *
 * The slow path
 * =============
 *
 * Look at the current block again under the region's lock (another call may have
 * been quicker); take a spare block; else drop the lock, charge a block to the limit,
 * ask the page allocator, take the lock and look again. A block that turns out
 * not to be needed is kept as spare. The new block serves the request before it
 * is made current, so nobody else can use it up first. A per-CPU region knows from
 * the overshoot that the block is full, and goes the short way of percpu_refill():
 * if any block is spare, one hold of the lock; if none is, the page allocator first,
 * and then one hold of the lock.
 *
 * A hold of the lock looks at KREGION_HOLD_MAX blocks at most, whatever the chains are like: a
 * search for a spare block that is large enough, the refill of the reserve and the
 * walk of a reader let go of the lock and go on. When no spare block has so much room,
 * kregion_priv.spare_miss remembers it.
 *
 * Near the limit the next block is halved until it fits. A request is refused for the
 * limit only if no block is being made: one that is may have room for it, or may fail
 * and give its charge back, and a caller that may sleep and enter file systems waits
 * for that.
 *
 * The first block of a region has the full size. The first of each further CPU is
 * a page, and those that a CPU asks for double up to the full size.
 *
 * An object over an eighth of the block size gets a block of its own and never
 * touches the current one.
 *
 * Blocks are filed in kregion_priv.bucket by the CPU they were made for. A bucket is one
 * chain, the blocks in use before the spare ones, and a pointer to where these
 * begin: taking a spare block moves the pointer on, a reset moves it back to the
 * chain's head. So after a reset a CPU gets its own memory back, in the same order;
 * other buckets are searched before the page allocator is asked.
 *
 * Drop and reset
 * ==============
 *
 * The caller keeps the region quiet. Both count up kregion_priv.epoch: a block whose
 * own epoch is older holds no object, whatever else its header says. A reset is
 * therefore one store a bucket and a look at each CPU that had a block since the last
 * drop; it touches only the large blocks, which it frees, and those that the reserve
 * takes back. A drop is a reset that then gives back all that the reserve does not
 * need.
 *
 * An allocation that comes meanwhile finds no room on the fast path (per-CPU: mode
 * and percpu_max are zero, else the current block is the empty one) and comes to
 * the slow path, where KREGION_BUSY refuses with a warning. Calls in the slow path are
 * counted, in kregion_priv.users, and a drop or destroy that finds one reports and waits for
 * it; a reset, which may not sleep, waits for a while and then does nothing. So the slow
 * path never touches a block, or a region, that is gone. The fast path is not
 * counted: a call that has read the current block's pointer before the drop began and
 * adds to its word, or exchanges it, after the drop freed the block writes to freed
 * memory. That is a few instructions, on the per-CPU path with preemption off.
 *
 * Invariants
 * ==========
 *
 * 1. No byte is handed out twice in one epoch, and no header ever. A word is
 *    only advanced, by add or compare-and-exchange; only an overshoot is undone,
 *    by the call that made it.
 * 2. A per-CPU current block's word is written by its CPU only, preemption off,
 *    as long as the region is not quiet.
 * 3. A word is never more than (contexts that can nest on a CPU) x (an eighth of
 *    a block) over its limit, however many requests fail. With 32 bits that may wrap
 *    around the end of memory, so there the signed distance is looked at.
 * 4. A block is in a bucket's chain or among the large ones from the moment it is
 *    seen by others until a drop, reset or destroy. Within an epoch none leaves, and
 *    only spare ones change their place. Readers that find kregion_priv.unlink_seq
 *    unchanged under the lock may go on from where they were.
 * 5. A spare block stands in the second part of its bucket's chain, and kregion_priv.nr_spare
 *    counts them; one that is current, standby, full or in the reserve stands in
 *    the first.
 * 6. kregion_priv.held never exceeds the limit; a block is charged before the page
 *    allocator is asked for it.
 * 7. Nothing allocates, frees, wakes or prints under the region's lock, and nothing is
 *    done under it more than KREGION_HOLD_MAX times.
 * 8. The reserve serves at least what was promised, whatever the sizes; see reserve.c.
 *
 * Memory ordering
 * ===============
 *
 * Accesses that order memory are labelled LMM(function:letter), at both ends of
 * a pair:
 *
 * current_install:A / __kregion_alloc_shared:A
 *	Write the header of a block, then make it current. The reader depends on
 *	the address.
 *
 * current_install:A / alloc_shared:A, kregion_take_current:A
 *	The same in the slow path. In a per-CPU region both ends are the same CPU.
 *
 * bucket_insert:A, region_link_large:A / region_chain:A
 *	Write the header of a block, then link it. Readers without the lock
 *	depend on the address.
 *
 * bucket_insert:A / offset_in_block:A
 *	The same for a block behind the first one of a chain.
 *
 * reserve_get:B / reserve_get:A, reserve_take:A
 *	Initialize the reserve, then publish it.
 *
 * reserve_get:B / refill_request:A, block_current:A
 *	The same.
 *
 * reserve_append:A / reserve_take:C
 *	Write the header of a block, then append it to the queue.
 *
 * reserve_append:B, reserve_take:D / reserve_take:B
 *	Write the header of a block, then make it the head of the queue.
 *
 * standby_fill:A / kregion_nofill_slow:A, region_invalidate:A
 *	Write the header of a block, then offer it as standby.
 *
 * reserve_promise:A / kregion_cursor_take:A
 *	Publish the promise, then read what is ready; advance the cursor, then
 *	read the promise in refill_request(). Either that call queues a refill or
 *	this one sees what it took.
 *
 * region_quiesce:B / region_enter:A
 *	Set KREGION_BUSY, then read the count of calls; count the call, then
 *	read KREGION_BUSY. Either the call is refused or it is waited for.
 *
 * region_leave:A / region_quiesce:C
 *	Access the region in the slow path, then leave the count.
 *
 * region_unquiesce:A / region_quiesce:A
 *	Finish a drop or reset, then allow the next one. The caller orders
 *	allocations, by keeping them out.
 *
 * kregion_block_done_limited:A / charge_limited:A
 *	Count the end of a fill, then check for waiters; become a waiter, then
 *	read the count.
 *
 * kregion_unpin:A / kregion_registry_del:A
 *	Read a region, then allow its destruction.
 *
 * All other accesses are under the lock or relaxed.
 *
 * The choice in figures
 * =====================
 *
 * Instructions of an allocation that finds room, as gcc 12 compiles it into a
 * client on x86-64 with Debian's 6.12 headers, entry and return not counted::
 *
 *			size a constant		known at run time
 *	per-CPU			12			15
 *	shared			11			16
 *	single			 8			14
 *
 * kunit_tests/fastpath.py checks the first line, and that there is neither a lock prefix
 * nor a call in it; kunit_tests/bench/ counts all of them as they run, beside what else a
 * module could use: Documentation/benchmarks.rst.
 *
 * Decided against
 * ===============
 *
 * this_cpu_cmpxchg on one word that carries the address: the end of the block is
 * then known only from an alignment, which vmalloc does not give. Address and
 * count packed into one word by sign extension: breaks with 5-level paging. A
 * room test before the add of the per-CPU path: two instructions more, for what
 * taking back does on the slow path. A counter of allocations: one more word to
 * write, for what the blocks tell. A header at the front of a block: the end
 * would have to be loaded too. Freeing after a grace period: create and destroy
 * would take milliseconds. The bytes left instead of the address in the word: one
 * instruction more, to make an address of it.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/kregion.h>

/* ---- drop and reset ----------------------------------------------------- */

/* Without a block: the cursor is the sentinel, which is full. */
static void region_cpu_init(struct kregion_cpu *c, int cpu)
{
	atomic_long_set(&c->fast.sentinel.shared, (long)&c->fast.sentinel);
	c->fast.cur = &c->fast.sentinel;
	c->bucket = &kregion_no_bucket;
	c->cpu = cpu;
}

/* Point the fast path at nothing; it comes to the slow path from now on. */
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
	rg->cpu.fast.cur = &rg->cpu.fast.sentinel;
}

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

/* A call that may not run beside a reset is given this many rounds to end. */
#define QUIESCE_SPINS	100000

/*
 * Keep allocations out: a drop, reset or destroy begins. Calls that began before are
 * reported and waited for, by a reset, which may not sleep, for a while only. False if
 * it must not go on; @force waits for another drop or reset to end, too.
 */
static bool region_quiesce(struct kregion_priv *rg, const char *what, bool sleep, bool force)
{
	unsigned int i;

	/* LMM(region_quiesce:A) pairs with LMM(region_unquiesce:A) */
	while (test_and_set_bit(KREGION_BUSY, &rg->flags)) {
		kregion_warn(rg, what);
		if (!force)
			return false;
		schedule_timeout_uninterruptible(1);
	}
	/* Here, not at the end: a call that was late to notice the end may set it once more. */
	clear_bit(KREGION_MISUSED, &rg->flags);
	region_fast_off(rg);
	/* LMM(region_quiesce:B) pairs with LMM(region_enter:A) */
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
	return true;
}

/* Spare all blocks but the large ones, which the caller gets: none is in use any more. */
static struct kregion_block *region_new_epoch(struct kregion_priv *rg)
{
	const unsigned int nr_buckets = region_buckets(rg);
	struct kregion_block *large;
	unsigned long irq;
	unsigned int i;

	region_lock(rg, irq);
	WRITE_ONCE(rg->epoch, rg->epoch + 1);
	kregion_reserve_empty(rg);
	for (i = 0; i < nr_buckets; i++)
		rg->bucket[i].spare = &rg->bucket[i].blocks;
	rg->spare_miss = 0;
	large = rg->large;
	if (large)
		rg->unlink_seq++;
	WRITE_ONCE(rg->large, NULL);
	region_unlock(rg, irq);
	return large;
}

/* The books when @nr blocks, large ones if so said, have left. */
static void region_uncount(struct kregion_priv *rg, unsigned int nr, bool spare)
{
	unsigned long irq;

	region_lock(rg, irq);
	WRITE_ONCE(rg->nr_blocks, rg->nr_blocks - nr);
	WRITE_ONCE(rg->nr_spare, spare ? rg->nr_blocks : 0);
	region_unlock(rg, irq);
}

/*
 * Forget every object. All blocks but the large ones become spare; the large ones are
 * returned, taken off the books. With @as_new the CPUs' blocks grow from the start
 * again. KREGION_BUSY keeps all others, the refill worker included, from what is not
 * done under the lock.
 */
static struct kregion_block *region_invalidate(struct kregion_priv *rg, bool as_new)
{
	struct kregion_block *large = region_new_epoch(rg), *b;
	struct kregion_cpu *c, *next;
	unsigned int nr = 0;

	for (c = rg->active; c; c = next) {
		next = c->active;
		WRITE_ONCE(c->fast.cur, &c->fast.sentinel);
		/* LMM(region_invalidate:A) pairs with LMM(standby_fill:A) */
		xchg(&c->standby, NULL);
		if (as_new) {
			c->last_size = 0;
			c->bucket = &kregion_no_bucket;
		}
	}
	if (as_new)
		rg->active = NULL;
	for (b = large; b; b = b->chain)
		nr++;
	region_uncount(rg, nr, true);
	return large;
}

/* Give back the large blocks and all spare ones. */
static void region_release(struct kregion_priv *rg, struct kregion_block *large)
{
	const unsigned int nr_buckets = region_buckets(rg);
	struct kregion_block *spare[KREGION_BUCKETS];
	unsigned int i, nr = 0;
	unsigned long irq;

	/* Only the reserve stays, which stands in front of what is cut off here. */
	region_lock(rg, irq);
	rg->unlink_seq++;
	for (i = 0; i < nr_buckets; i++) {
		spare[i] = *rg->bucket[i].spare;
		WRITE_ONCE(*rg->bucket[i].spare, NULL);
	}
	region_unlock(rg, irq);

	kregion_blocks_put(rg, large);
	for (i = 0; i < nr_buckets; i++)
		nr += kregion_blocks_put(rg, spare[i]);
	region_uncount(rg, nr, false);
}

/**
 * kregion_drop - free every object and give all memory back to the system
 * @r: The region, or NULL.
 *
 * The region is as new afterwards: same name, limit and reserve. The caller
 * guarantees that no call allocates from the region and nothing uses its objects
 * meanwhile. An allocation or a second drop that comes in between is refused with a
 * WARN, and one in the slow path that began before is waited for with a WARN. An
 * allocation that began before and is still on the fast path is not noticed: it may
 * return an object of a freed block, and write the header of that block.
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
	if (!region_quiesce(rg, "drop while a drop or reset is under way", true, false))
		return;
	kregion_reserve_stop(rg);
	trace_kregion_drop(rg->id, rg->name, atomic_long_read(&rg->held));
	if (region_debug(rg))
		kregion_debug_check(rg);
	large = region_invalidate(rg, true);
	kregion_reserve_restore(rg);
	region_release(rg, large);
	rg->drops++;
	region_unquiesce(rg);
	kregion_reserve_resume(rg);
}
EXPORT_SYMBOL_GPL(kregion_drop);

/**
 * kregion_reset - free every object and keep the blocks for reuse
 * @r: The region, or NULL.
 *
 * Large blocks are given back; ordinary ones stay, as spares, and are handed out
 * again without being cleared. What the caller guarantees is as for
 * kregion_drop(). If a call in the slow path does not end soon, the reset does
 * nothing but warn.
 *
 * Context: Wherever the page allocator may be called. Its cost does not depend on
 * the number of ordinary blocks, but for those of the reserve and for
 * KREGION_F_DEBUG.
 */
void kregion_reset(struct kregion *r)
{
	struct kregion_priv *rg = to_priv(r);

	if (IS_ERR_OR_NULL(r))
		return;
	if (!region_quiesce(rg, "reset while a drop or reset is under way", false, false))
		return;
	trace_kregion_reset(rg->id, rg->name, atomic_long_read(&rg->held));
	if (region_debug(rg))
		kregion_debug_check(rg);
	kregion_blocks_put_atomic(rg, region_invalidate(rg, false));
	kregion_reserve_restore(rg);
	rg->resets++;
	region_unquiesce(rg);
	kregion_reserve_resume(rg);
}
EXPORT_SYMBOL_GPL(kregion_reset);

/* ---- per-CPU state ------------------------------------------------------ */

/*
 * The percpu allocator walks all possible CPUs for each allocation, so the state
 * of destroyed regions is cached: a drop leaves it as region_cpu_init() did. The
 * cache is bounded by 64 KiB of it, but holds that of four regions at least.
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

/* ---- create and destroy ------------------------------------------------- */

static bool name_valid(const char *name)
{
	size_t i;

	if (!name || !*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (i = 0; name[i]; i++)
		if (i == KREGION_NAME_MAX || !isascii(name[i]) || !isgraph(name[i]) ||
		    name[i] == '/')
			return false;
	return true;
}

#define FLAGS_ALL	(KREGION_F_PERCPU | KREGION_F_SINGLE | KREGION_F_PAGES | \
			 KREGION_F_VMALLOC | KREGION_F_NODE | KREGION_F_ACCOUNT | KREGION_F_DEBUG)

static bool attr_valid(const struct kregion_attr *attr)
{
	const unsigned int f = attr->flags;
	const size_t block = attr->block_size;

	if (f & ~FLAGS_ALL)
		return false;
	if ((f & KREGION_F_PERCPU) && (f & KREGION_F_SINGLE))
		return false;
	if ((f & KREGION_F_PAGES) && (f & KREGION_F_VMALLOC))
		return false;
	if ((f & KREGION_F_NODE) &&
	    (attr->node < 0 || attr->node >= MAX_NUMNODES || !node_online(attr->node)))
		return false;
	if (!is_power_of_2(block) || block < PAGE_SIZE || block > KREGION_BLOCK_SIZE_MAX)
		return false;
	/* KMALLOC_MAX_SIZE is also the most that the page allocator gives. */
	if ((f & KREGION_F_PAGES) && block > KMALLOC_MAX_SIZE)
		return false;
	return !attr->limit || (attr->limit >= block && attr->reserve <= attr->limit);
}

/**
 * kregion_create_owned - make a region
 * @name: 1 to 31 printable characters, no white space, no '/', not "." or "..";
 *	copied, need not be unique.
 * @attr: How the region is to be; NULL for all defaults.
 * @owner: The module in whose name it is made, for debugfs and reports.
 *
 * Holds no block until the first allocation, unless there is a reserve. Cheap
 * enough for a region a request. The idea is that of traceRegionAlloc in the Go
 * runtime.
 *
 * Context: Process context, may sleep.
 * Return: The region. ERR_PTR(-EINVAL) for a name that is NULL, empty, over-long
 * or path-like, for flags that are unknown or contradict each other, for a node
 * that is not there, and for a block size, limit or reserve that cannot be;
 * ERR_PTR(-ENOMEM).
 */
struct kregion *kregion_create_owned(const char *name, const struct kregion_attr *attr,
				     struct module *owner)
{
	struct kregion_attr a = {};
	unsigned int nr_buckets, i;
	struct kregion_priv *rg;
	size_t size;
	int err;

	might_sleep();
	if (attr)
		a = *attr;
	if (!a.block_size)
		a.block_size = KREGION_BLOCK_SIZE;
	if (!name_valid(name) || !attr_valid(&a))
		return ERR_PTR(-EINVAL);

	/* Not struct_size(): the first bucket lies in what sizeof() pads. */
	size = offsetof(struct kregion_priv,
			bucket[a.flags & KREGION_F_PERCPU ? KREGION_BUCKETS : 1]);
	rg = kmalloc(max(size, sizeof(*rg)), GFP_KERNEL);
	if (!rg)
		return ERR_PTR(-ENOMEM);
	/* Not kzalloc(): cleared a word at a time, this is a good part of a region's life. */
	*rg = (struct kregion_priv){ .attr_flags = a.flags };
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
	rg->epoch = 1;		/* no block is in use that has none */
	rg->node = a.flags & KREGION_F_NODE ? a.node : NUMA_NO_NODE;
	rg->block_size = a.block_size;
	rg->limit = a.limit;
	if (a.flags & KREGION_F_ACCOUNT)
		rg->memcg = get_mem_cgroup_from_mm(NULL);
	region_cpu_init(&rg->cpu, -1);
	strscpy(rg->name, name, sizeof(rg->name));
	strscpy(rg->owner, owner ? module_name(owner) : "kernel", sizeof(rg->owner));
	region_fast_off(rg);
	region_fast_on(rg);

	kregion_registry_add(rg);
	trace_kregion_create(rg->id, rg->name, 0);
	if (a.reserve) {
		err = kregion_reserve(&rg->fast, a.reserve, GFP_KERNEL);
		if (err) {
			kregion_destroy(&rg->fast);
			return ERR_PTR(err == -ENOSPC ? -EINVAL : err);
		}
	}
	return &rg->fast;
}
EXPORT_SYMBOL_GPL(kregion_create_owned);

/**
 * kregion_destroy - free a region with all its objects
 * @r: The region; NULL and ERR_PTR are no-ops.
 *
 * The caller guarantees that nobody uses the region or its objects any more. A
 * client that allocates from probes or interrupts stops them first:
 * tracepoint_synchronize_unregister(), irq_work_sync(), cancel_work_sync(). A drop,
 * a reset or an allocation in the slow path that is under way all the same is
 * waited for, with a WARN.
 *
 * Context: Process context, may sleep.
 */
void kregion_destroy(struct kregion *r)
{
	struct kregion_priv *rg = to_priv(r);

	if (IS_ERR_OR_NULL(r))
		return;
	might_sleep();
	region_quiesce(rg, "destroy while a drop or reset is under way", true, true);
	kregion_reserve_stop(rg);
	kregion_registry_del(rg);
	trace_kregion_destroy(rg->id, rg->name, atomic_long_read(&rg->held));
	if (region_debug(rg))
		kregion_debug_check(rg);
	if (rg->nr_blocks)
		region_release(rg, region_invalidate(rg, true));
	kregion_reserve_free(rg);
	if (rg->memcg)
		mem_cgroup_put(rg->memcg);
	pcpu_put((struct kregion_cpu __percpu *)rg->fast.pcpu);
	kfree(rg);
}
EXPORT_SYMBOL_GPL(kregion_destroy);

/* ---- module ------------------------------------------------------------- */

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
	kregion_debugfs_init();
	return 0;
}

/* No client is left that could use a region: report those that were never destroyed. */
static void __exit regions_report(void)
{
	struct kregion_stats st;
	struct kregion_priv *rg;

	while ((rg = kregion_registry_first())) {
		kregion_stats(&rg->fast, &st);
		pr_warn("region %llu \"%s\" of %s was never destroyed: %lu blocks, %lu bytes held, %lu used; freeing it\n",
			rg->id, rg->name, rg->owner,
			st.blocks_current + st.blocks_full + st.blocks_large + st.blocks_spare,
			st.bytes_held, st.bytes_used);
		kregion_destroy(&rg->fast);
	}
}

static void __exit kregion_exit(void)
{
	kregion_debugfs_exit();
	regions_report();
	pcpu_cache_exit();
	kregion_block_exit();
}

module_init(kregion_init);
module_exit(kregion_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Region allocator: bump allocation from large blocks, freed all at once");
