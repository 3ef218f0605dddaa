/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Region allocator: bump-pointer allocation out of large blocks, and one call
 * that frees everything.
 *
 * For objects that are born over a while and die together: the records of a
 * trace, the nodes of a parse, what one request or one transaction needs.
 * Not for objects with lives of their own: there is no free of one object,
 * and kfree() of region memory is a bug.
 *
 * Who may run together with whom, on one region:
 *
 *			alloc	nofill	reserve	stats	drop	destroy
 *				       contains	debugfs	reset
 *	alloc		yes	yes	yes	yes	NO	NO
 *	alloc_nofill	yes	yes	yes	yes	NO	NO
 *	reserve		yes	yes	yes	yes	NO	NO
 *	stats, contains	yes	yes	yes	yes	yes	NO
 *	debugfs		yes	yes	yes	yes	yes	yes
 *	drop, reset	NO	NO	NO	yes	NO	NO
 *
 * With KREGION_F_SINGLE every NO and yes of the first three rows becomes "the
 * caller serializes". What may be called from where is said by each function.
 */
#ifndef _LINUX_KREGION_H
#define _LINUX_KREGION_H

#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stdarg.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/local.h>

/* Every pointer handed out is a multiple of this. */
#define KREGION_ALIGN		8UL
/* The longest name, without its terminating zero. */
#define KREGION_NAME_MAX	31
/* The block size that attr->block_size = 0 asks for, in bytes. */
#define KREGION_BLOCK_SIZE	ALIGN((size_t)SZ_64K, PAGE_SIZE)
/* The largest block size, in bytes. */
#define KREGION_BLOCK_SIZE_MAX	((size_t)SZ_16M)
/* The largest object, in bytes. */
#define KREGION_MAX_ALLOC	((size_t)SZ_64M)

/**
 * enum kregion_flags - what a region is made for
 * @KREGION_F_PERCPU: Thread-safe, a current block for each CPU that allocates.
 * @KREGION_F_SINGLE: The caller serializes every call on the region.
 * @KREGION_F_PAGES: Blocks from the page allocator only.
 * @KREGION_F_VMALLOC: Blocks from vmalloc only; a fill needs a caller that may
 *	sleep.
 * @KREGION_F_NODE: Blocks from the node in &kregion_attr.node. Without it pages for a
 *	per-CPU region are taken from the CPU's own node, and all other memory from where
 *	the task's memory policy wants it.
 * @KREGION_F_ACCOUNT: Blocks are charged to the memory cgroup of the task that
 *	makes them; those of the background refill and of interrupts to the cgroup of
 *	the region's creator.
 * @KREGION_F_DEBUG: Guard bytes behind each object and poison in free memory,
 *	checked at drop, reset and destroy.
 *
 * None of them: thread-safe, one current block shared by all CPUs, blocks of
 * pages first and of vmalloc where the caller may sleep and pages are short.
 */
enum kregion_flags {
	KREGION_F_PERCPU	= 1U << 0,
	KREGION_F_SINGLE	= 1U << 1,
	KREGION_F_PAGES		= 1U << 2,
	KREGION_F_VMALLOC	= 1U << 3,
	KREGION_F_NODE		= 1U << 4,
	KREGION_F_ACCOUNT	= 1U << 5,
	KREGION_F_DEBUG		= 1U << 6,
};

/**
 * struct kregion_attr - how a region is made; zeroed fields are the defaults
 * @flags: KREGION_F_*, or 0.
 * @block_size: Bytes of a block: a power of two, PAGE_SIZE to
 *	KREGION_BLOCK_SIZE_MAX; 0 stands for KREGION_BLOCK_SIZE. With
 *	KREGION_F_PERCPU the blocks of all CPUs but the first to allocate begin with
 *	PAGE_SIZE and double up to it.
 * @limit: Most bytes of blocks that the region may hold, 0 for no limit.
 * @reserve: Bytes kept ready for kregion_alloc_nofill(), each size rounded up to 8; 0
 *	for none. See kregion_reserve() for the promise and its cost.
 * @node: The memory node; read only with KREGION_F_NODE.
 */
struct kregion_attr {
	unsigned int flags;
	size_t block_size;
	size_t limit;
	size_t reserve;
	int node;
};

/**
 * struct kregion_stats - what a region holds and what befell it
 * @blocks_current: Blocks that small objects are now taken from.
 * @blocks_full: Blocks closed for want of room.
 * @blocks_large: Blocks that hold one large object each.
 * @blocks_spare: Blocks that hold no object: kept by a reset, or the reserve.
 * @blocks_peak: Most blocks ever held at once.
 * @bytes_held: All memory held.
 * @bytes_used: Memory handed out, rounding and alignment included.
 * @bytes_lost: Tails of closed blocks.
 * @fills: Blocks ever taken from the system.
 * @failed_nomem: Requests refused because the system had no memory.
 * @failed_limit: Requests refused because of &kregion_attr.limit.
 * @failed_size: Requests refused for their size or alignment.
 * @failed_nofill: kregion_alloc_nofill() calls that found no room.
 * @drops: Calls of kregion_drop().
 * @resets: Calls of kregion_reset().
 *
 * Exact while nobody allocates; otherwise a reading of a moving thing.
 */
struct kregion_stats {
	unsigned long blocks_current;
	unsigned long blocks_full;
	unsigned long blocks_large;
	unsigned long blocks_spare;
	unsigned long blocks_peak;
	unsigned long bytes_held;
	unsigned long bytes_used;
	unsigned long bytes_lost;
	unsigned long fills;
	unsigned long failed_nomem;
	unsigned long failed_limit;
	unsigned long failed_size;
	unsigned long failed_nofill;
	unsigned long drops;
	unsigned long resets;
};

/*
 * Private from here to the functions: the words that the inlined fast path
 * touches, and nothing else. What they mean is told in the DOC block of core.c.
 */

/*
 * private: the address of the next free byte. The word stands right behind the bytes
 * that it hands out, so its own address is their end.
 */
struct kregion_bump {
	union {
		local_t local;
		atomic_long_t shared;
	};
};

/* private: where one CPU (or the whole region) is allocating now. */
struct kregion_cell {
	struct kregion_bump *cur;
	struct kregion_bump none;	/* full: what cur is without a block */
};

/* private: the fast path's part of a region; one cache line. */
struct kregion {
	long mode;		/* > 0: per-CPU, and the next; < 0: single; 0: shared */
	size_t percpu_max;	/* the largest object of the per-CPU path, 0 if it is not on ... */
	size_t shared_max;	/* ... of the shared one ... */
	size_t single_max;	/* ... and of the single one */
	struct kregion_cell __percpu *cells;
	struct kregion_bump *cur;	/* shared */
	char *ptr;			/* single: next free byte ... */
	char *end;			/* ... and the first one behind the block */
};

struct kregion *kregion_create_owned(const char *name, const struct kregion_attr *attr,
				     struct module *owner);
/**
 * kregion_create - make a region
 * @name: 1 to 31 printable characters, no white space, no '/', not "." or "..";
 *	copied, need not be unique.
 * @attr: How the region is to be; NULL for all defaults. May be a compound literal.
 *
 * See kregion_create_owned(), which this calls with THIS_MODULE.
 */
#define kregion_create(name, attr...) kregion_create_owned(name, attr, THIS_MODULE)
void kregion_destroy(struct kregion *r);

void kregion_drop(struct kregion *r);
void kregion_reset(struct kregion *r);
int kregion_reserve(struct kregion *r, size_t bytes, gfp_t gfp);

bool kregion_contains(struct kregion *r, const void *p);
void kregion_stats(struct kregion *r, struct kregion_stats *out);

void *kregion_alloc_aligned(struct kregion *r, size_t size, size_t align, gfp_t gfp) __malloc;
void *kregion_memdup(struct kregion *r, const void *src, size_t len, gfp_t gfp);
char *kregion_strdup(struct kregion *r, const char *s, gfp_t gfp);
char *kregion_strndup(struct kregion *r, const char *s, size_t max, gfp_t gfp);
__printf(3, 4)
char *kregion_asprintf(struct kregion *r, gfp_t gfp, const char *fmt, ...);
__printf(3, 0)
char *kregion_vasprintf(struct kregion *r, gfp_t gfp, const char *fmt, va_list ap);

/* private: the slow paths behind the inlined fast path */
void *kregion_alloc_slow(struct kregion *r, size_t size, gfp_t gfp);
void *kregion_alloc_overshot(struct kregion *r, size_t size, gfp_t gfp,
			     struct kregion_bump *bump);
void *kregion_nofill_slow(struct kregion *r, size_t size);
void *kregion_nofill_refuse(struct kregion *r, size_t size);
void *kregion_nofill_overshot(struct kregion *r, size_t size, struct kregion_bump *bump);

/* private: bits of a gfp that mean nothing to a region */
#define KREGION_GFP_BAD	(GFP_ZONEMASK | __GFP_NOFAIL | __GFP_COMP | __GFP_RECLAIMABLE | __GFP_WRITE)

/*
 * private: are cmpxchg and local_t atomic against NMIs? Not where they mask interrupts,
 * as local_t does on Book3S-64.
 */
#ifndef KREGION_NMI_SAFE
#define KREGION_NMI_SAFE	(IS_ENABLED(CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG) && \
				 !IS_ENABLED(CONFIG_PPC_BOOK3S_64))
#endif

/*
 * private: kernels that check contexts check each call, not only those that need a block.
 * Not might_alloc() alone: with CONFIG_PREEMPT_VOLUNTARY it is a call.
 */
static __always_inline void kregion_might_alloc(gfp_t gfp)
{
	if (IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || IS_ENABLED(CONFIG_PROVE_LOCKING))
		might_alloc(gfp);
}

/* private: is it known at compile time that no block size makes this large? */
static __always_inline bool kregion_always_small(const size_t size)
{
	return __builtin_constant_p(size) && size > 0 && size <= PAGE_SIZE / 8;
}

/*
 * private: does what goes up to @next go over @limit, the end of a block? With 32 bits
 * an overshoot may wrap, but the distance is right all the same.
 */
static __always_inline bool kregion_over(unsigned long next, const void *limit)
{
	const unsigned long end = (unsigned long)limit;

	return IS_ENABLED(CONFIG_64BIT) ? next > end : (long)(next - end) > 0;
}

/*
 * private: the fast path, one for kregion_alloc() and kregion_alloc_nofill(). The
 * first compare settles the mode, a drop under way (0 and a full block) and, for a
 * size not known at compile time, zero and too large; the next ones tell the other modes.
 */
static __always_inline void *kregion_fast(struct kregion *r, size_t size, gfp_t gfp, bool nofill)
{
	const bool small = kregion_always_small(size);
	const size_t bytes = (size + KREGION_ALIGN - 1) & ~(KREGION_ALIGN - 1);
	struct kregion_bump *bump;
	unsigned long next;
	bool percpu, shared;
	long old;

	if (__builtin_constant_p(size) && !size)
		return ZERO_SIZE_PTR;
	if (!nofill && __builtin_constant_p(gfp) && (gfp & KREGION_GFP_BAD))
		goto slow;

	/* data_race(), as READ_ONCE() would keep the load out of the compare. */
	percpu = small ? (long)bytes <= data_race(r->mode) : size - 1 < data_race(r->percpu_max);
	if (likely(percpu)) {
		preempt_disable_notrace();
		bump = __this_cpu_read(r->cells->cur);
		next = local_add_return(bytes, &bump->local);
		if (unlikely(kregion_over(next, bump))) {
			/* Preemption stays off: the overshoot is taken back first. */
			return nofill ? kregion_nofill_overshot(r, size, bump) :
					kregion_alloc_overshot(r, size, gfp, bump);
		}
		preempt_enable_notrace();
		return (void *)(next - bytes);
	}

	/* data_race(): as above. If a drop of a per-CPU region made it 0, cur is full. */
	shared = small ? bytes > (unsigned long)data_race(r->mode) : size - 1 < r->shared_max;
	if (shared) {
		/* Pairs with the release that made the block current in slot_install(). */
		bump = READ_ONCE(r->cur);
		old = atomic_long_read(&bump->shared);
		next = old + bytes;
		if (unlikely(kregion_over(next, bump)))
			goto slow;
		/* Others at the same word are dealt with in alloc_shared(). */
		if (unlikely(!atomic_long_try_cmpxchg_relaxed(&bump->shared, &old, next)))
			goto slow;
		/* Hidden, or the compiler keeps a copy of old beside what cmpxchg may change. */
		OPTIMIZER_HIDE_VAR(next);
		return (void *)(next - bytes);
	}

	if (small || size - 1 < r->single_max) {
		char *p = r->ptr;

		if (likely(!kregion_over((unsigned long)p + bytes, r->end))) {
			r->ptr = p + bytes;
			return p;
		}
	}

slow:
	return nofill ? kregion_nofill_slow(r, size) : kregion_alloc_slow(r, size, gfp);
}

/**
 * kregion_alloc - allocate from a region
 * @r: The region.
 * @size: Bytes; 0 gives ZERO_SIZE_PTR, over KREGION_MAX_ALLOC gives NULL. Over
 *	an eighth of the block size the object gets a block of its own.
 * @gfp: What the call may do when a block is needed: with direct reclaim it
 *	may sleep, without it goes where the page allocator may be called.
 *	__GFP_ZERO clears the object. Zone bits, __GFP_NOFAIL, __GFP_COMP,
 *	__GFP_RECLAIMABLE and __GFP_WRITE warn once and are ignored.
 *
 * The object is aligned to 8 bytes, is not cleared unless asked for, and lives
 * until the region is dropped, reset or destroyed.
 *
 * Context: As @gfp says; not NMI (see kregion_alloc_nofill()).
 * Return: The object; ZERO_SIZE_PTR; or NULL, with the reason counted in
 * &struct kregion_stats: no memory, limit or size. NULL and a WARN if a drop or
 * reset is under way; see kregion_drop() for what is not noticed.
 */
static __always_inline void *kregion_alloc(struct kregion *r, size_t size, gfp_t gfp)
{
	void *p;

	kregion_might_alloc(gfp);
	p = kregion_fast(r, size, gfp, false);
	if ((gfp & __GFP_ZERO) && p && size)
		memset(p, 0, size);
	return p;
}

/**
 * kregion_zalloc - allocate cleared memory from a region
 * @r: The region.
 * @size: Bytes, as for kregion_alloc().
 * @gfp: As for kregion_alloc().
 *
 * Context: As @gfp says; not NMI.
 * Return: As kregion_alloc().
 */
static __always_inline void *kregion_zalloc(struct kregion *r, size_t size, gfp_t gfp)
{
	return kregion_alloc(r, size, gfp | __GFP_ZERO);
}

/**
 * kregion_calloc - allocate a cleared array from a region
 * @r: The region.
 * @n: Number of elements.
 * @size: Bytes of one element.
 * @gfp: As for kregion_alloc().
 *
 * Context: As @gfp says; not NMI.
 * Return: As kregion_alloc(); NULL, counted as failed_size, if @n times @size
 * overflows.
 */
static __always_inline void *kregion_calloc(struct kregion *r, size_t n, size_t size, gfp_t gfp)
{
	return kregion_alloc(r, size_mul(n, size), gfp | __GFP_ZERO);
}

/**
 * kregion_alloc_nofill - allocate without ever asking the system for memory
 * @r: The region.
 * @size: Bytes, at most an eighth of the block size; 0 gives ZERO_SIZE_PTR.
 *
 * Serves from the current block and the reserve. Allocates no pages, takes no
 * lock and wakes nobody; what was used of the reserve is refilled in the
 * background. The object is not cleared.
 *
 * Context: Any: NMI, under the run-queue lock, in any tracepoint. In NMI, every
 * call is refused on an architecture without CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG and
 * on 64-bit Book3S PowerPC, as atomic operations are not atomic against NMIs there.
 * Return: The object; ZERO_SIZE_PTR; NULL, counted as failed_nofill, when the
 * current block and the reserve are spent, or when the NMI is refused; NULL,
 * counted as failed_size, for a size over an eighth of the block size.
 */
static __always_inline void *kregion_alloc_nofill(struct kregion *r, size_t size)
{
	if (!KREGION_NMI_SAFE && in_nmi())
		return kregion_nofill_refuse(r, size);
	return kregion_fast(r, size, 0, true);
}

#endif /* _LINUX_KREGION_H */
