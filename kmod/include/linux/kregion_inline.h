/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fast path of kregion_alloc() and kregion_alloc_nofill(). Do not include
 * this directly; all of it is private. The DOC block of kmod/core.c has the
 * design.
 */
#ifndef _LINUX_KREGION_INLINE_H
#define _LINUX_KREGION_INLINE_H

#ifndef _LINUX_KREGION_H
#error "Include <linux/kregion.h> instead."
#endif

/*
 * The address of the next free byte. The cursor is stored right behind the
 * bytes of the block, so its own address is their end.
 */
struct __kregion_cursor {
	union {
		local_t local;
		atomic_long_t shared;
	};
};

/* The current block of one CPU, or of the whole region. */
struct __kregion_cpu {
	struct __kregion_cursor *cur;
	struct __kregion_cursor sentinel;	/* an empty block: current if there is none */
};

/* The part of a region that the fast path uses; one cache line. */
struct kregion {
	long mode;		/* largest constant size per CPU; 0: shared; LONG_MIN: single */
	size_t percpu_max;	/* largest size per CPU; 0: not this mode, or disabled */
	size_t shared_max;	/* the same from the shared block */
	size_t single_max;	/* the same without atomics */
	struct __kregion_cpu __percpu *pcpu;
	struct __kregion_cursor *cur;	/* shared */
	char *ptr;			/* single: next free byte */
	char *end;			/* single: end of the block */
};

/* The slow paths. */
void *kregion_alloc_slow(struct kregion *r, size_t size, gfp_t gfp);
void *kregion_alloc_undo(struct kregion *r, size_t size, gfp_t gfp,
			 struct __kregion_cursor *cursor);
void *kregion_nofill_slow(struct kregion *r, size_t size);
void *kregion_nofill_refuse(struct kregion *r, size_t size);
void *kregion_nofill_undo(struct kregion *r, size_t size, struct __kregion_cursor *cursor);

/* Unsupported bits of a gfp. */
#define __KREGION_GFP_BAD \
	(GFP_ZONEMASK | __GFP_NOFAIL | __GFP_COMP | __GFP_RECLAIMABLE | __GFP_WRITE)

/*
 * Whether cmpxchg and local_t are atomic against NMIs. Not where they mask
 * interrupts, as local_t does on Book3S-64.
 */
#ifndef __KREGION_NMI_SAFE
#define __KREGION_NMI_SAFE	(IS_ENABLED(CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG) && \
				 !IS_ENABLED(CONFIG_PPC_BOOK3S_64))
#endif

/*
 * Debug kernels check the context of each call, not only of those that need a
 * block. Other kernels skip might_alloc(), which is a call with
 * CONFIG_PREEMPT_VOLUNTARY.
 */
static __always_inline void __kregion_might_alloc(gfp_t gfp)
{
	if (IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || IS_ENABLED(CONFIG_PROVE_LOCKING))
		might_alloc(gfp);
}

/* A constant size that is small with any block size. */
static __always_inline bool __kregion_always_small(const size_t size)
{
	return __builtin_constant_p(size) && size > 0 && size <= PAGE_SIZE / 8;
}

/*
 * Does @next exceed @limit, the end of a block? On 32 bits an overshoot may
 * wrap, but the signed distance is correct.
 */
static __always_inline bool __kregion_over(unsigned long next, const void *limit)
{
	const unsigned long end = (unsigned long)limit;

	return IS_ENABLED(CONFIG_64BIT) ? next > end : (long)(next - end) > 0;
}

/*
 * Advance the cursor of this CPU. Only this CPU and its interrupts write it, so
 * it needs no order with other accesses: a CPU sees its own in program order,
 * and a task that migrates takes the order of the scheduler with it.
 * asm-generic's local_t is an atomic_long_t whose local_add_return() is fully
 * ordered, as on arm64: use the relaxed form there.
 */
static __always_inline unsigned long __kregion_cursor_add(struct __kregion_cursor *cursor,
							  size_t bytes)
{
#ifdef _ASM_GENERIC_LOCAL_H
	return atomic_long_add_return_relaxed(bytes, &cursor->shared);
#else
	return local_add_return(bytes, &cursor->local);
#endif
}

/* Per-CPU: add first, then check; the slow path undoes an overshoot. */
static __always_inline void *__kregion_alloc_percpu(struct kregion *r, size_t size, size_t bytes,
						    gfp_t gfp, bool nofill)
{
	struct __kregion_cursor *cursor;
	unsigned long next;

	preempt_disable_notrace();
	cursor = __this_cpu_read(r->pcpu->cur);
	next = __kregion_cursor_add(cursor, bytes);
	if (unlikely(__kregion_over(next, cursor))) {
		return nofill ? kregion_nofill_undo(r, size, cursor) :
				kregion_alloc_undo(r, size, gfp, cursor);
	}
	preempt_enable_notrace();
	return (void *)(next - bytes);
}

/* Shared: false if there is no room, or another CPU advanced the cursor. */
static __always_inline bool __kregion_alloc_shared(struct kregion *r, size_t bytes, void **p)
{
	/* LMM(__kregion_alloc_shared:A) pairs with LMM(current_install:A) */
	struct __kregion_cursor *cursor = READ_ONCE(r->cur);
	long old = atomic_long_read(&cursor->shared);
	unsigned long next = old + bytes;

	if (unlikely(__kregion_over(next, cursor)))
		return false;
	if (unlikely(!atomic_long_try_cmpxchg_relaxed(&cursor->shared, &old, next)))
		return false;
	/* Hidden, or the compiler keeps a copy of old across the cmpxchg. */
	OPTIMIZER_HIDE_VAR(next);
	*p = (void *)(next - bytes);
	return true;
}

/*
 * Single: the caller serializes; false if there is no room. The store is marked
 * as kregion_stats() reads ptr at any time.
 */
static __always_inline bool __kregion_alloc_single(struct kregion *r, size_t bytes, void **p)
{
	char *ptr = r->ptr;

	if (unlikely(__kregion_over((unsigned long)ptr + bytes, r->end)))
		return false;
	WRITE_ONCE(r->ptr, ptr + bytes);
	*p = ptr;
	return true;
}

/*
 * The first compare handles the per-CPU mode, a drop in progress (mode 0 and a
 * full block) and, for a variable size, 0 and large objects. The next ones
 * select between the other modes.
 *
 * Only a per-CPU region changes mode and percpu_max, when a drop begins and
 * ends. Its loads need no order, and may differ: for all other modes, such a
 * region has a full cur, and ptr and end are NULL, from create to destroy. See
 * region_fast_off() for the current block of the CPU.
 */
static __always_inline void *__kregion_alloc(struct kregion *r, size_t size, gfp_t gfp, bool nofill)
{
	const bool small = __kregion_always_small(size);
	const size_t bytes = (size + KREGION_ALIGN - 1) & ~(KREGION_ALIGN - 1);
	void *p;

	if (__builtin_constant_p(size) && !size)
		return ZERO_SIZE_PTR;
	if (!nofill && __builtin_constant_p(gfp) && (gfp & __KREGION_GFP_BAD))
		return kregion_alloc_slow(r, size, gfp);

	/*
	 * data_race(), as READ_ONCE() would keep the load out of the compare. A
	 * word is not torn, and each load may see either value.
	 */
	if (likely(small ? (long)bytes <= data_race(r->mode) : size - 1 < data_race(r->percpu_max)))
		return __kregion_alloc_percpu(r, size, bytes, gfp, nofill);

	/* data_race(): as above. shared_max and single_max never change. */
	if (small ? bytes > (unsigned long)data_race(r->mode) : size - 1 < r->shared_max) {
		if (__kregion_alloc_shared(r, bytes, &p))
			return p;
	} else if (small || size - 1 < r->single_max) {
		if (__kregion_alloc_single(r, bytes, &p))
			return p;
	}
	return nofill ? kregion_nofill_slow(r, size) : kregion_alloc_slow(r, size, gfp);
}

#endif /* _LINUX_KREGION_INLINE_H */
