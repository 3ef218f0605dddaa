// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a region, and the slow path of an allocation. The fast path is
 * kregion_fast() in <linux/kregion.h>, inlined into the callers.
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
 * A block ends with its header, &struct kregion_block, and the header begins
 * with one word, &struct kregion_bump: minus the bytes left. The next object
 * starts at "address of the word plus its value", and there is room for n
 * bytes exactly if value + n <= 0. One load tells all three: the block, the
 * place and the room. An interrupt that puts another block in place between
 * the load of the pointer and the add does no harm, as pointer and offset
 * cannot be of two different blocks. The header has a cache line to itself, so
 * that the hot word shares none with an object.
 *
 * The fast path
 * =============
 *
 * Three modes, told apart by one compare of &kregion.percpu_max:
 *
 * per-CPU
 *	Preemption off, load this CPU's current block, add to its word with an
 *	instruction that is atomic against interrupts and NMIs of this CPU but
 *	carries no lock prefix (local_add_return(), an unlocked xadd on x86),
 *	preemption on. The add comes first and is looked at afterwards: a result
 *	over zero is an overshoot, which the slow path takes back on the same
 *	CPU before preemption goes on again. Overshoots nest as interrupts do, so
 *	the inner one is taken back before the outer one goes on, and meanwhile
 *	everybody else sees a block without room. Thus the word is exact again
 *	each time the last of them has left, and it can never run away, however
 *	many requests fail. A CPU without a block has a word of its own that is
 *	zero for ever (&kregion_cell.none), so no pointer needs a test.
 *
 * shared
 *	One current block. Its word is advanced with compare-and-exchange and
 *	only if there is room. An unconditional add would need taking back, and
 *	with several CPUs that is wrong: another CPU's success may lie between
 *	the add and the subtraction, and its bytes would be handed out twice.
 *
 * single
 *	The caller serializes, so the two words that a plain bump allocator
 *	keeps, next free byte and end, live in the region itself. The block's own
 *	word is brought up to date when the slow path runs.
 *
 * The fast path counts nothing. What was handed out is the sum of what the
 * blocks' words say.
 *
 * The slow path
 * =============
 *
 * Look at the current block again under the region's lock (somebody may have
 * been quicker); take a spare block; else charge a block to the limit, drop the
 * lock, ask the system, take the lock and look again. A block that turns out
 * not to be needed is kept as spare. The new block serves the request before it
 * is made current, so nobody else can use it up first.
 *
 * An object over an eighth of the block size gets a block of its own and never
 * touches the current one.
 *
 * Spare and used blocks are filed in &region.bucket by the CPU that filled them
 * last, so after a reset a CPU gets its own memory back; other buckets are
 * looked at before the system is asked.
 *
 * Drop and reset
 * ==============
 *
 * The caller keeps the region quiet. Both count up &region.epoch: a block whose
 * own epoch is older holds no object, whatever else its header says. A reset is
 * therefore one splice a bucket and a look at each CPU that had a block; it
 * touches only the large blocks, which it frees, and those that the reserve takes
 * back. A drop is a reset that then gives back all that the
 * reserve does not need.
 *
 * Somebody who allocates meanwhile finds no room on the fast path (per-CPU:
 * percpu_max is zero, else the current block is the empty one) and comes to the
 * slow path, where REGION_BUSY refuses with a warning.
 *
 * Invariants
 * ==========
 *
 * 1. No byte is handed out twice in one epoch, and no header ever. A word is
 *    only advanced, by add or compare-and-exchange; only an overshoot is taken
 *    back, by whom it belongs to.
 * 2. A per-CPU current block's word is written by its CPU only, preemption off,
 *    as long as the region is not quiet.
 * 3. A word is never more than (contexts that can nest on a CPU) x (an eighth of
 *    a block) over zero, so it cannot wrap, with 32 bits either.
 * 4. A block is on &region.blocks or &region.large from the moment it is seen by
 *    others until a drop, reset or destroy; chains only grow at their heads
 *    within an epoch. Readers that find the epoch unchanged under the lock may
 *    go on from where they were.
 * 5. Every block but the large ones is on exactly one list through its link: a
 *    bucket's spare or used list, or the reserve; or in the hands of who took it
 *    from the system or a bucket to file it.
 * 6. &region.held never exceeds the limit; it is charged before the system is
 *    asked.
 * 7. Nothing allocates, frees, wakes or prints under the region's lock.
 * 8. The reserve serves at least what was promised; see reserve.c.
 *
 * Memory ordering
 * ===============
 *
 *	A  block_install(): xchg of the current pointer (full barrier) after the
 *	   block's header was written; pairs with the address dependency of the
 *	   READ_ONCE() of &kregion.cur in kregion_fast(). Per-CPU, both sides are
 *	   the same CPU and program order is enough.
 *	B  reserve_append(): smp_store_release() of the link or head after the
 *	   block's header was written; pairs with smp_load_acquire() in
 *	   reserve_take().
 *	C  region_quiet_end(): clear_bit_unlock(); pairs with test_and_set_bit() in
 *	   region_quiet_begin(). Allocators are ordered by the caller, who keeps
 *	   the region quiet.
 *	D  xchg of &cell.spare in reserve.c, both sides: full barriers.
 *	E  reserve_collect(): smp_mb() after the head of the reserve was seen to have
 *	   moved on and before a link of a passed block is used for a bucket; pairs
 *	   with smp_load_acquire() of the link, before the second look at the head,
 *	   in reserve_take().
 *	F  region_link(): smp_store_release() of a chain's head after the block's
 *	   header was written; pairs with the address dependency of the READ_ONCE()
 *	   in debug.c, the only walk without the lock.
 *
 * All the rest is under the lock or relaxed.
 *
 * The choice in figures
 * =====================
 *
 * Instructions of an allocation that finds room, as gcc 12 compiles it into a
 * client on x86-64 with Debian's 6.12 headers, entry and return not counted:
 *
 *	per-CPU, size a constant		12
 *	per-CPU, size known at run time		18
 *	shared, size a constant			12
 *	single, size a constant			 8
 *
 * kunit_tests/fastpath.py checks the first two, and that there is neither a
 * lock prefix nor a call among them.
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
 * would take milliseconds.
 */

#include <linux/bitops.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched/mm.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/kregion.h>

/* ---- words and cells ---------------------------------------------------- */

/* The exact bump of the slow paths: takes @bytes at @align, or nothing. */
void *bump_take(struct kregion_bump *bump, size_t bytes, size_t align, bool percpu)
{
	long old = atomic_long_read(&bump->shared), new, seen;
	size_t pad;

	for (;;) {
		if (old >= 0)
			return NULL;
		pad = -((unsigned long)bump + old) & (align - 1);
		if (bytes + pad > -(unsigned long)old)
			return NULL;
		new = old + pad + bytes;
		seen = percpu ? local_cmpxchg(&bump->local, old, new) :
				atomic_long_cmpxchg(&bump->shared, old, new);
		if (seen == old)
			return (char *)bump + old + pad;
		old = seen;
	}
}

/* The cell of this CPU (interrupts or preemption off), or the region's only one. */
struct cell *region_cell(struct region *rg)
{
	if (rg->attr_flags & KREGION_F_PERCPU)
		return (struct cell *)raw_cpu_ptr(rg->hot.cells);
	return &rg->cell;
}

/* Does the inlined fast path keep the next byte of @rg in the region itself? */
static bool region_plain(const struct region *rg)
{
	return (rg->attr_flags & KREGION_F_SINGLE) && !region_debug(rg);
}

/* Where the current block of @cell is written down. */
static struct kregion_bump **cell_slot(struct region *rg, struct cell *cell)
{
	if (rg->attr_flags & (KREGION_F_PERCPU | KREGION_F_SINGLE | KREGION_F_DEBUG))
		return &cell->hot.cur;
	return &rg->hot.cur;
}

/* Let the block's own word say what the single mode's pointers say. */
static void region_sync_plain(struct region *rg)
{
	struct kregion_bump *bump = rg->cell.hot.cur;

	if (region_plain(rg) && bump != &rg->cell.hot.none)
		atomic_long_set(&bump->shared, rg->hot.ptr - rg->hot.end);
}

static void region_load_plain(struct region *rg)
{
	struct kregion_bump *bump = rg->cell.hot.cur;

	if (!region_plain(rg) || bump == &rg->cell.hot.none)
		return;
	WRITE_ONCE(rg->hot.end, (char *)bump);
	WRITE_ONCE(rg->hot.ptr, (char *)bump + atomic_long_read(&bump->shared));
}

/*
 * Take from what is current for @cell. Preemption is off; the lock may or may
 * not be held.
 */
void *region_bump_current(struct region *rg, struct cell *cell, size_t bytes, size_t align)
{
	void *p;

	region_sync_plain(rg);
	p = bump_take(READ_ONCE(*cell_slot(rg, cell)), bytes, align,
		      rg->attr_flags & KREGION_F_PERCPU);
	region_load_plain(rg);
	return p;
}

/*
 * Take @bytes from @b, which nobody else sees yet, and make it current for
 * @cell. Preemption is off; called with the lock held or, by nofill, without.
 * What was current is closed. (A promotion by nofill between the caller's look
 * at the current block and the exchange here closes an almost empty block; its
 * rest is counted as lost.)
 */
void *block_install(struct region *rg, struct cell *cell, struct kregion_block *b,
		    size_t bytes, size_t align)
{
	struct kregion_bump *old;
	void *p;

	WRITE_ONCE(b->cpu, cell->cpu);
	WRITE_ONCE(b->kind, BLOCK_CURRENT);
	WRITE_ONCE(b->epoch, READ_ONCE(rg->epoch));
	p = bump_take(&b->bump, bytes, align, false);

	region_sync_plain(rg);
	old = xchg(cell_slot(rg, cell), &b->bump);	/* A */
	region_load_plain(rg);
	if (old != &rg->cell.hot.none && old != &cell->hot.none)
		WRITE_ONCE(to_block(old)->kind, BLOCK_FULL);
	return p;
}

/* ---- lists -------------------------------------------------------------- */

static struct bucket *region_bucket(struct region *rg, int cpu)
{
	return &rg->bucket[cpu < 0 ? 0 : cpu % KREGION_BUCKETS];
}

/* A block has come from the system: count it and let readers find it. */
void region_link(struct region *rg, struct kregion_block *b)
{
	lockdep_assert_held(&rg->lock);
	if (b->kind == BLOCK_LARGE) {
		b->chain = rg->large;
		smp_store_release(&rg->large, b);	/* F */
	} else {
		b->chain = rg->blocks;
		smp_store_release(&rg->blocks, b);	/* F */
	}
	rg->fills++;
	rg->nr_blocks++;
	rg->peak = max(rg->peak, rg->nr_blocks);
}

void region_file_spare(struct region *rg, struct kregion_block *b)
{
	struct bucket *bucket = region_bucket(rg, b->cpu);

	lockdep_assert_held(&rg->lock);
	WRITE_ONCE(b->kind, BLOCK_SPARE);
	b->link = bucket->spare;
	bucket->spare = b;
}

void region_file_used(struct region *rg, struct kregion_block *b)
{
	struct bucket *bucket = region_bucket(rg, b->cpu);

	lockdep_assert_held(&rg->lock);
	b->link = bucket->used;
	if (!bucket->used)
		bucket->used_tail = b;
	bucket->used = b;
}

static struct kregion_block *bucket_take(struct bucket *bucket, size_t min)
{
	struct kregion_block **at, *b;

	for (at = &bucket->spare; (b = *at); at = &b->link) {
		if (b->size >= min) {
			*at = b->link;
			atomic_long_set(&b->bump.shared, -(long)b->size);
			return b;
		}
	}
	return NULL;
}

/* A spare block of at least @min bytes, empty; this CPU's own if there is one. */
struct kregion_block *region_take_spare(struct region *rg, int cpu, size_t min)
{
	struct kregion_block *b;
	int i;

	lockdep_assert_held(&rg->lock);
	b = bucket_take(region_bucket(rg, cpu), min);
	for (i = 0; !b && i < KREGION_BUCKETS; i++)
		b = bucket_take(&rg->bucket[i], min);
	return b;
}

/* Remember that @cell has something that a drop or reset must put back. */
void region_activate(struct region *rg, struct cell *cell)
{
	lockdep_assert_held(&rg->lock);
	if (cell->is_active)
		return;
	cell->is_active = true;
	cell->active = rg->active;
	rg->active = cell;
}

/* ---- limit -------------------------------------------------------------- */

/* Before the system is asked: does the limit allow @bytes more? */
bool region_charge(struct region *rg, size_t bytes)
{
	lockdep_assert_held(&rg->lock);
	if (rg->limit && (bytes > rg->limit || rg->held > rg->limit - bytes))
		return false;
	rg->held += bytes;
	return true;
}

/* Afterwards: @b came, which may be smaller than @bytes, or NULL. */
void region_settle(struct region *rg, struct kregion_block *b, size_t bytes)
{
	lockdep_assert_held(&rg->lock);
	rg->held -= bytes - (b ? block_held(b) : 0);
}

/* ---- refusals ----------------------------------------------------------- */

static DEFINE_PER_CPU(unsigned int, failing);

void *region_fail(struct region *rg, size_t size, enum region_failure why)
{
	atomic_long_inc(&rg->failed[why]);
	/* A probe of this event may allocate and fail too: no event within the event. */
	preempt_disable_notrace();
	if (__this_cpu_inc_return(failing) == 1)
		trace_kregion_alloc_fail(rg->id, rg->name, size, why);
	__this_cpu_dec(failing);
	preempt_enable_notrace();
	return NULL;
}

static void region_warn_busy(struct region *rg, const char *what)
{
	if (!test_and_set_bit(REGION_MISUSED, &rg->flags))
		WARN(1, "kregion: %s: %s while a drop or reset is under way\n", rg->name, what);
}

bool region_refuse_busy(struct region *rg)
{
	if (likely(!test_bit(REGION_BUSY, &rg->flags)))
		return false;
	region_warn_busy(rg, "allocation");
	return true;
}

gfp_t region_gfp(struct region *rg, gfp_t gfp)
{
	WARN_ONCE(gfp & KREGION_GFP_BAD, "kregion: %s: gfp bits %#x mean nothing here\n",
		  rg->name, (__force unsigned int)(gfp & KREGION_GFP_BAD));
	return gfp & ~(KREGION_GFP_BAD | __GFP_ZERO);
}

/* ---- allocation --------------------------------------------------------- */

static void *alloc_small(struct region *rg, size_t size, size_t bytes, size_t align, gfp_t gfp)
{
	const size_t min = bytes + align - KREGION_ALIGN;
	struct kregion_block *fresh = NULL, *b;
	enum region_failure why;
	bool asked = false;
	unsigned long irq;
	struct cell *cell;
	void *p;

	for (;;) {
		raw_spin_lock_irqsave(&rg->lock, irq);
		if (unlikely(test_bit(REGION_BUSY, &rg->flags))) {
			if (asked)
				region_settle(rg, NULL, rg->block_size);
			raw_spin_unlock_irqrestore(&rg->lock, irq);
			region_refuse_busy(rg);
			if (fresh)
				block_free_atomic(fresh);
			return NULL;
		}
		if (asked)
			region_settle(rg, fresh, rg->block_size);
		if (fresh)
			region_link(rg, fresh);

		cell = region_cell(rg);
		p = region_bump_current(rg, cell, bytes, align);
		if (p) {
			if (fresh)
				region_file_spare(rg, fresh);
			break;
		}
		b = fresh ?: region_take_spare(rg, cell->cpu, min);
		if (b) {
			p = block_install(rg, cell, b, bytes, align);
			region_file_used(rg, b);
			region_activate(rg, cell);
			break;
		}
		if (asked)
			why = FAIL_NOMEM;
		else if (!region_charge(rg, rg->block_size))
			why = FAIL_LIMIT;
		else
			why = NR_FAILURES;
		raw_spin_unlock_irqrestore(&rg->lock, irq);
		if (why != NR_FAILURES)
			return region_fail(rg, size, why);

		fresh = block_alloc(rg, rg->block_size, min, gfp);
		asked = true;
	}
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	if (fresh)
		trace_kregion_block_alloc(rg->id, rg->name, block_held(fresh), fresh->backing);
	return p;
}

static void *alloc_large(struct region *rg, size_t size, size_t bytes, gfp_t gfp)
{
	const size_t held = PAGE_ALIGN(bytes + sizeof(struct kregion_block));
	struct kregion_block *b;
	bool charged, busy;
	unsigned long irq;

	raw_spin_lock_irqsave(&rg->lock, irq);
	charged = region_charge(rg, held);
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	if (!charged)
		return region_fail(rg, size, FAIL_LIMIT);

	b = block_alloc(rg, held, held - sizeof(*b), gfp);
	if (b) {
		b->kind = BLOCK_LARGE;
		atomic_long_set(&b->bump.shared, (long)bytes - (long)b->size);
	}
	raw_spin_lock_irqsave(&rg->lock, irq);
	busy = test_bit(REGION_BUSY, &rg->flags);
	region_settle(rg, busy ? NULL : b, held);
	if (b && !busy) {
		b->epoch = rg->epoch;
		region_link(rg, b);
	}
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	if (!b)
		return region_fail(rg, size, FAIL_NOMEM);
	if (unlikely(busy)) {
		region_refuse_busy(rg);
		block_free_atomic(b);
		return NULL;
	}
	trace_kregion_block_alloc(rg->id, rg->name, block_held(b), b->backing);
	return block_start(b);
}

static void *alloc_any(struct region *rg, size_t size, size_t align, gfp_t gfp)
{
	size_t bytes;
	void *p;

	if (!size)
		return ZERO_SIZE_PTR;
	if (size > KREGION_MAX_ALLOC)
		return region_fail(rg, size, FAIL_SIZE);
	gfp = region_gfp(rg, gfp);
	might_alloc(gfp);
	if (region_refuse_busy(rg))
		return NULL;

	align = max_t(size_t, align, KREGION_ALIGN);
	bytes = region_bytes(rg, size, align);
	if (size + align - KREGION_ALIGN > rg->hot.small_max)
		p = alloc_large(rg, size, bytes, gfp);
	else
		p = alloc_small(rg, size, bytes, align, gfp);
	if (p && region_debug(rg))
		p = debug_object(rg, p, size, align);
	return p;
}

/* The fast path found no room, or found that it is not the one to decide. */
void *kregion_alloc_slow(struct kregion *r, size_t size, gfp_t gfp)
{
	return alloc_any(to_region(r), size, KREGION_ALIGN, gfp);
}
EXPORT_SYMBOL_GPL(kregion_alloc_slow);

/*
 * The same, after the per-CPU fast path went over the end of @bump's block:
 * take that back, while preemption is still off, and only then go on.
 */
void *kregion_alloc_overshot(struct kregion *r, size_t size, gfp_t gfp, struct kregion_bump *bump)
{
	local_sub(ALIGN(size, KREGION_ALIGN), &bump->local);
	preempt_enable_notrace();
	return kregion_alloc_slow(r, size, gfp);
}
EXPORT_SYMBOL_GPL(kregion_alloc_overshot);

/**
 * kregion_alloc_aligned - allocate with an alignment
 * @r: The region.
 * @size: Bytes, as for kregion_alloc(); an object that is over an eighth of the
 *	block size with its alignment counted gets a block of its own.
 * @align: A power of two up to PAGE_SIZE; under 8 stands for 8.
 * @gfp: As for kregion_alloc().
 *
 * Context: As @gfp says; not NMI.
 * Return: As kregion_alloc(); NULL, counted as failed_size, for an alignment
 * that cannot be.
 */
void *kregion_alloc_aligned(struct kregion *r, size_t size, size_t align, gfp_t gfp)
{
	struct region *rg = to_region(r);
	struct cell *cell;
	void *p = NULL;

	if (!is_power_of_2(align) || align > PAGE_SIZE)
		return region_fail(rg, size, FAIL_SIZE);
	if (align <= KREGION_ALIGN)
		return kregion_alloc(r, size, gfp);

	if (size && !region_debug(rg) && !region_refuse_busy(rg) &&
	    size <= rg->hot.small_max && size + align - KREGION_ALIGN <= rg->hot.small_max) {
		preempt_disable();
		cell = region_cell(rg);
		p = region_bump_current(rg, cell, ALIGN(size, KREGION_ALIGN), align);
		preempt_enable();
	}
	if (!p)
		p = alloc_any(rg, size, align, gfp);
	if ((gfp & __GFP_ZERO) && p && size)
		memset(p, 0, size);
	return p;
}
EXPORT_SYMBOL_GPL(kregion_alloc_aligned);

/* ---- drop and reset ----------------------------------------------------- */

static bool region_quiet_begin(struct region *rg, const char *what)
{
	if (test_and_set_bit(REGION_BUSY, &rg->flags)) {
		region_warn_busy(rg, what);
		return false;
	}
	return true;
}

static void region_quiet_end(struct region *rg)
{
	clear_bit(REGION_MISUSED, &rg->flags);
	clear_bit_unlock(REGION_BUSY, &rg->flags);	/* C */
}

/* Point the fast path at nothing; it comes to the slow path from now on. */
static void region_fast_off(struct region *rg)
{
	if (rg->attr_flags & KREGION_F_PERCPU)
		WRITE_ONCE(rg->hot.percpu_max, 0);
	region_sync_plain(rg);
	WRITE_ONCE(rg->hot.ptr, NULL);
	WRITE_ONCE(rg->hot.end, NULL);
	WRITE_ONCE(rg->hot.cur, &rg->cell.hot.none);
	rg->cell.hot.cur = &rg->cell.hot.none;
}

static void region_fast_on(struct region *rg)
{
	long max = 0;

	if (rg->attr_flags & KREGION_F_PERCPU)
		max = rg->hot.small_max;
	else if (rg->attr_flags & KREGION_F_SINGLE)
		max = LONG_MIN;
	WRITE_ONCE(rg->hot.percpu_max, region_debug(rg) ? 0 : max);
}

/*
 * Forget every object. All blocks but the large ones become spare, except what
 * the reserve needs; the large ones are returned, taken off the books.
 */
static struct kregion_block *region_forget(struct region *rg)
{
	struct kregion_block *large, *b;
	struct cell *cell, *next;
	unsigned long irq;
	int i;

	raw_spin_lock_irqsave(&rg->lock, irq);
	rg->epoch++;
	for (cell = rg->active; cell; cell = next) {
		next = cell->active;
		cell->hot.cur = &cell->hot.none;
		cell->is_active = false;
		xchg(&cell->spare, NULL);
	}
	rg->active = NULL;
	reserve_collect(rg, true);
	for (i = 0; i < KREGION_BUCKETS; i++) {
		struct bucket *bucket = &rg->bucket[i];

		if (!bucket->used)
			continue;
		bucket->used_tail->link = bucket->spare;
		bucket->spare = bucket->used;
		bucket->used = NULL;
	}
	large = rg->large;
	rg->large = NULL;
	for (b = large; b; b = b->chain) {
		rg->held -= block_held(b);
		rg->nr_blocks--;
	}
	reserve_requeue(rg);
	raw_spin_unlock_irqrestore(&rg->lock, irq);
	return large;
}

/* Give back the large blocks and all spare ones. */
static void region_release(struct region *rg, struct kregion_block *large)
{
	struct kregion_block *b, *next, *spare[KREGION_BUCKETS];
	size_t freed = 0, nr = 0;
	unsigned long irq;
	int i;

	/* Only the reserve stays: off with all the other blocks, in a new epoch. */
	raw_spin_lock_irqsave(&rg->lock, irq);
	rg->epoch++;
	for (i = 0; i < KREGION_BUCKETS; i++) {
		spare[i] = rg->bucket[i].spare;
		rg->bucket[i].spare = NULL;
	}
	rg->blocks = NULL;
	for (b = rg->reserve; b; b = b->link) {
		b->chain = rg->blocks;
		b->epoch = rg->epoch;
		rg->blocks = b;
	}
	raw_spin_unlock_irqrestore(&rg->lock, irq);

	for (b = large; b; b = next) {
		next = b->chain;
		trace_kregion_block_free(rg->id, rg->name, block_held(b), b->backing);
		block_free(b);
	}
	for (i = 0; i < KREGION_BUCKETS; i++) {
		for (b = spare[i]; b; b = next) {
			next = b->link;
			trace_kregion_block_free(rg->id, rg->name, block_held(b), b->backing);
			freed += block_held(b);
			nr++;
			block_free(b);
			cond_resched();
		}
	}

	/* What somebody is making just now, against the rules, stays charged. */
	raw_spin_lock_irqsave(&rg->lock, irq);
	rg->held -= freed;
	rg->nr_blocks -= nr;
	raw_spin_unlock_irqrestore(&rg->lock, irq);
}

/**
 * kregion_drop - free every object and give all memory back to the system
 * @r: The region, or NULL.
 *
 * The region is as new afterwards: same name, limit and reserve. The caller
 * guarantees that nobody allocates and nobody uses its objects meanwhile; an
 * allocation or a second drop that comes in between is refused with a WARN.
 *
 * Context: Process context, may sleep.
 */
void kregion_drop(struct kregion *r)
{
	struct region *rg = to_region(r);

	if (IS_ERR_OR_NULL(r))
		return;
	might_sleep();
	if (!region_quiet_begin(rg, "drop"))
		return;
	region_fast_off(rg);
	reserve_stop(rg);
	trace_kregion_drop(rg->id, rg->name, rg->held);
	if (region_debug(rg))
		debug_check(rg);
	region_release(rg, region_forget(rg));
	rg->drops++;
	region_fast_on(rg);
	region_quiet_end(rg);
}
EXPORT_SYMBOL_GPL(kregion_drop);

/**
 * kregion_reset - free every object and keep the blocks for reuse
 * @r: The region, or NULL.
 *
 * Large blocks are given back; ordinary ones stay, as spares, and are handed out
 * again without being cleared. What the caller guarantees is as for
 * kregion_drop().
 *
 * Context: Wherever the page allocator may be called. Its cost does not depend on
 * the number of ordinary blocks, but for those of the reserve and for
 * KREGION_F_DEBUG.
 */
void kregion_reset(struct kregion *r)
{
	struct kregion_block *b, *next;
	struct region *rg = to_region(r);

	if (IS_ERR_OR_NULL(r))
		return;
	if (!region_quiet_begin(rg, "reset"))
		return;
	region_fast_off(rg);
	trace_kregion_reset(rg->id, rg->name, rg->held);
	if (region_debug(rg))
		debug_check(rg);
	for (b = region_forget(rg); b; b = next) {
		next = b->chain;
		trace_kregion_block_free(rg->id, rg->name, block_held(b), b->backing);
		block_free_atomic(b);
	}
	rg->resets++;
	region_fast_on(rg);
	region_quiet_end(rg);
}
EXPORT_SYMBOL_GPL(kregion_reset);

/* ---- per-CPU cells ------------------------------------------------------ */

/*
 * The percpu allocator walks all possible CPUs for each allocation, so cells are
 * kept for the next region: a drop leaves them as they were made. A kept set
 * costs sizeof(struct cell) a possible CPU; 64 KiB of them are kept at most, and
 * never fewer than four sets.
 */
#define CELLS_KEPT	64

static DEFINE_SPINLOCK(cells_lock);
static struct cell __percpu *cells_kept[CELLS_KEPT];
static unsigned int nr_cells_kept;

static unsigned int cells_most(void)
{
	return clamp_t(unsigned int, SZ_64K / (sizeof(struct cell) * num_possible_cpus()),
		       4, CELLS_KEPT);
}

static struct cell __percpu *cells_get(void)
{
	struct cell __percpu *cells = NULL;
	int cpu;

	spin_lock(&cells_lock);
	if (nr_cells_kept)
		cells = cells_kept[--nr_cells_kept];
	spin_unlock(&cells_lock);
	if (cells)
		return cells;

	cells = alloc_percpu(struct cell);
	if (!cells)
		return NULL;
	for_each_possible_cpu(cpu) {
		struct cell *cell = per_cpu_ptr(cells, cpu);

		cell->hot.cur = &cell->hot.none;
		cell->cpu = cpu;
	}
	return cells;
}

static void cells_put(struct cell __percpu *cells)
{
	if (!cells)
		return;
	spin_lock(&cells_lock);
	if (nr_cells_kept < cells_most()) {
		cells_kept[nr_cells_kept++] = cells;
		cells = NULL;
	}
	spin_unlock(&cells_lock);
	free_percpu(cells);
}

static void cells_exit(void)
{
	while (nr_cells_kept)
		free_percpu(cells_kept[--nr_cells_kept]);
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
	if (attr->limit && (attr->limit < block || attr->reserve > attr->limit))
		return false;
	return attr->reserve <= reserve_max();
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
	struct region *rg;
	int err;

	might_sleep();
	if (attr)
		a = *attr;
	if (!a.block_size)
		a.block_size = KREGION_BLOCK_SIZE;
	if (!name_valid(name) || !attr_valid(&a))
		return ERR_PTR(-EINVAL);

	rg = kzalloc(sizeof(*rg), GFP_KERNEL);
	if (!rg)
		return ERR_PTR(-ENOMEM);
	if (a.flags & KREGION_F_PERCPU) {
		struct cell __percpu *cells = cells_get();

		if (!cells) {
			kfree(rg);
			return ERR_PTR(-ENOMEM);
		}
		rg->hot.cells = (__force struct kregion_cell __percpu *)cells;
	}
	raw_spin_lock_init(&rg->lock);
	rg->attr_flags = a.flags;
	rg->node = a.flags & KREGION_F_NODE ? a.node : NUMA_NO_NODE;
	rg->block_size = a.block_size;
	rg->limit = a.limit;
	rg->hot.small_max = a.block_size / 8;
	rg->cell.cpu = -1;
	rg->cell.hot.cur = &rg->cell.hot.none;
	strscpy(rg->name, name, sizeof(rg->name));
	strscpy(rg->owner, owner ? module_name(owner) : "kernel", sizeof(rg->owner));
	reserve_init(rg);
	region_fast_off(rg);
	region_fast_on(rg);

	registry_add(rg);
	trace_kregion_create(rg->id, rg->name, 0);
	if (a.reserve) {
		err = kregion_reserve(&rg->hot, a.reserve, GFP_KERNEL);
		if (err) {
			kregion_destroy(&rg->hot);
			return ERR_PTR(err == -ENOSPC ? -EINVAL : err);
		}
	}
	return &rg->hot;
}
EXPORT_SYMBOL_GPL(kregion_create_owned);

/**
 * kregion_destroy - free a region with all its objects
 * @r: The region; NULL and ERR_PTR are no-ops.
 *
 * The caller guarantees that nobody uses the region or its objects any more. A
 * client that allocates from probes or interrupts stops them first:
 * tracepoint_synchronize_unregister(), irq_work_sync(), cancel_work_sync().
 *
 * Context: Process context, may sleep.
 */
void kregion_destroy(struct kregion *r)
{
	struct region *rg = to_region(r);

	if (IS_ERR_OR_NULL(r))
		return;
	might_sleep();
	if (!region_quiet_begin(rg, "destroy"))
		return;
	region_fast_off(rg);
	reserve_stop(rg);
	registry_del(rg);
	trace_kregion_destroy(rg->id, rg->name, rg->held);
	if (region_debug(rg))
		debug_check(rg);
	rg->reserve_bytes = 0;
	region_release(rg, region_forget(rg));
	cells_put((struct cell __percpu *)rg->hot.cells);
	kfree(rg);
}
EXPORT_SYMBOL_GPL(kregion_destroy);

/* ---- module ------------------------------------------------------------- */

static int __init kregion_init(void)
{
	BUILD_BUG_ON(offsetof(struct region, hot));
	BUILD_BUG_ON(offsetof(struct kregion_block, bump));
	BUILD_BUG_ON(offsetof(struct cell, hot));
	BUILD_BUG_ON(sizeof(struct kregion_block) % KREGION_ALIGN);
	registry_init();
	return 0;
}

static void __exit kregion_exit(void)
{
	registry_exit();
	cells_exit();
	block_exit();
}

module_init(kregion_init);
module_exit(kregion_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Region allocator: bump allocation from large blocks, freed all at once");
