/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Region allocator: bump allocation from large blocks, freed all at once.
 *
 * For objects that are created over time and die together: the records of a
 * trace, the nodes of a parse tree, the memory of one request or transaction.
 * Not for objects with individual lifetimes: there is no free of one object,
 * and kfree() of region memory is a bug.
 *
 * Calls that may run concurrently on one region:
 *
 *			alloc	nofill	reserve	stats,	debugfs	drop,	destroy
 *						contains	reset
 *	alloc		yes	yes	yes	yes	yes	NO	NO
 *	alloc_nofill	yes	yes	yes	yes	yes	NO	NO
 *	reserve		yes	yes	yes	yes	yes	NO	NO
 *	stats, contains	yes	yes	yes	yes	yes	yes	NO
 *	debugfs		yes	yes	yes	yes	yes	yes	yes
 *	drop, reset	NO	NO	NO	yes	yes	NO	NO
 *	destroy		NO	NO	NO	NO	yes	NO	NO
 *
 * kregion_resize() and kregion_add_action() are allocations, and so is
 * kregion_create_child() for the parent, but in any mode. A child is a region
 * of its own: calls on it run along with calls on its parent, other than a
 * drop, reset or destroy, which destroy the child.
 *
 * With KREGION_F_SINGLE, "the caller serializes" replaces each entry of the
 * first three rows. kregion_mark(), only in this mode, is serialized, too, and
 * kregion_rewind() is like a reset. The contexts of each call are in its
 * kernel-doc. A nofill call may interrupt any other one of the same CPU; in
 * NMI, some architectures refuse it.
 */
#ifndef _LINUX_KREGION_H
#define _LINUX_KREGION_H

#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/err.h>
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
#ifdef __has_include
#if __has_include("linux/cleanup.h")
#include <linux/cleanup.h>
#endif
#endif

struct device;
struct kregion;

/* Alignment of all objects. */
#define KREGION_ALIGN		8UL
/* Maximum length of a name, without the terminating NUL. */
#define KREGION_NAME_MAX	31
/* Default block size, in bytes. */
#define KREGION_BLOCK_SIZE	ALIGN((size_t)SZ_64K, PAGE_SIZE)
/* Maximum block size, in bytes. */
#define KREGION_BLOCK_SIZE_MAX	((size_t)SZ_16M)
/* Maximum size of an object, in bytes. */
#define KREGION_MAX_ALLOC	((size_t)SZ_64M)
/* Maximum length of an item of a map, in bytes. */
#define KREGION_MAP_ITEM_MAX	((size_t)SZ_64K)

/**
 * enum kregion_flags - mode, backing and options of a region
 * @KREGION_F_PERCPU: Thread-safe, a current block for each CPU that allocates.
 * @KREGION_F_SINGLE: The caller serializes every call on the region.
 * @KREGION_F_PAGES: Blocks from the page allocator only.
 * @KREGION_F_VMALLOC: Blocks from vmalloc only; only callers that may sleep can
 *	get a new one.
 * @KREGION_F_NODE: Blocks from the node in &kregion_attr.node. Without it,
 *	pages of a per-CPU region come from the CPU's own node, and all other
 *	memory from where the memory policy of the task places it.
 * @KREGION_F_ACCOUNT: Blocks are charged to the memory cgroup of the task that
 *	allocates them; those of the background refill and of interrupts to the
 *	cgroup of the region's creator.
 * @KREGION_F_DEBUG: Redzones around each object and poison in free memory,
 *	checked at drop, reset and destroy. Memory that drop and destroy free
 *	stays poisoned for a while and is checked again, see
 *	kregion_debug_flush(); a call on a destroyed region fails with a WARN.
 *
 * Without flags: thread-safe, one current block shared by all CPUs, blocks of
 * pages, or of vmalloc where the caller may sleep and pages are short.
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
 * struct kregion_attr - attributes of a region; zeroed fields are the defaults
 * @flags: KREGION_F_*, or 0.
 * @block_size: Bytes of a block: a power of two, PAGE_SIZE to
 *	KREGION_BLOCK_SIZE_MAX; 0 means KREGION_BLOCK_SIZE. With
 *	KREGION_F_PERCPU, the blocks of all CPUs but the first one to allocate
 *	start at PAGE_SIZE and double up to it.
 * @limit: Maximum bytes of blocks that the region and all its descendants hold,
 *	0 for no limit.
 * @reserve: Bytes kept ready for kregion_alloc_nofill(), each size rounded up
 *	to 8; 0 for none. See kregion_reserve() for the guarantee and its cost.
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
 * struct kregion_stats - memory and event counters of a region
 * @blocks_current: Blocks that serve small objects now.
 * @blocks_full: Blocks closed for lack of room.
 * @blocks_large: Blocks that hold one large object each.
 * @blocks_spare: Blocks that hold no object: kept by a reset, or the reserve.
 * @blocks_peak: Maximum number of blocks held at once.
 * @bytes_held: All memory held.
 * @bytes_used: Allocated memory, rounding and alignment included.
 * @bytes_lost: Unused tails of full blocks.
 * @fills: Blocks allocated from the page allocator or vmalloc so far.
 * @failed_nomem: Requests that failed for lack of memory.
 * @failed_limit: Requests that failed because of &kregion_attr.limit.
 * @failed_size: Requests that failed for their size or alignment.
 * @failed_nofill: kregion_alloc_nofill() calls that found no room.
 * @drops: Calls of kregion_drop().
 * @resets: Calls of kregion_reset().
 * @generations: Sealed generations that are not freed yet.
 * @bytes_sealed: Memory of their blocks, which the other fields do not count.
 *
 * Exact while the region is idle, otherwise an inconsistent snapshot.
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
	unsigned long generations;
	unsigned long bytes_sealed;
};

/*
 * Name and offset of all fields of struct kregion_stats, in the order of the
 * struct and debugfs.
 */
#define __KREGION_STAT(f)	{ #f, offsetof(struct kregion_stats, f) }
#define __KREGION_STATS {							\
	__KREGION_STAT(blocks_current), __KREGION_STAT(blocks_full),		\
	__KREGION_STAT(blocks_large), __KREGION_STAT(blocks_spare),		\
	__KREGION_STAT(blocks_peak), __KREGION_STAT(bytes_held),		\
	__KREGION_STAT(bytes_used), __KREGION_STAT(bytes_lost),			\
	__KREGION_STAT(fills), __KREGION_STAT(failed_nomem),			\
	__KREGION_STAT(failed_limit), __KREGION_STAT(failed_size),		\
	__KREGION_STAT(failed_nofill), __KREGION_STAT(drops),			\
	__KREGION_STAT(resets), __KREGION_STAT(generations),			\
	__KREGION_STAT(bytes_sealed),						\
}

/**
 * struct kregion_item - bytes in an intern map; never written
 * @id: Number in the map, from 1.
 * @len: Number of bytes.
 * @data: The bytes, aligned to 8.
 */
struct kregion_item {
	u32 id;
	u32 len;
	const u8 data[] __aligned(8);
};

struct kregion_map;

struct kregion *kregion_create_owned(const char *name, const struct kregion_attr *attr,
				     struct module *owner);
/**
 * kregion_create - create a region
 * @name: 1 to 31 printable characters, no white space, no '/', not "." or "..";
 *	copied, need not be unique.
 * @attr: Attributes; NULL for all defaults. May be a compound literal.
 *
 * Calls kregion_create_owned() with THIS_MODULE.
 */
#define kregion_create(name, attr...) kregion_create_owned(name, attr, THIS_MODULE)
void kregion_destroy(struct kregion *r);

struct kregion *kregion_create_child_owned(struct kregion *parent, const char *name,
					   const struct kregion_attr *attr, struct module *owner);
/**
 * kregion_create_child - create a region inside another one
 * @parent: The region that the new one belongs to.
 * @name: As for kregion_create().
 * @attr: As for kregion_create().
 *
 * Calls kregion_create_child_owned() with THIS_MODULE.
 */
#define kregion_create_child(parent, name, attr...) \
	kregion_create_child_owned(parent, name, attr, THIS_MODULE)

struct kregion *kregion_devm_create_owned(struct device *dev, const char *name,
					  const struct kregion_attr *attr, struct module *owner);
/**
 * devm_kregion_create - create a region for a device
 * @dev: The device; its region is destroyed when the driver is unbound.
 * @name: As for kregion_create().
 * @attr: As for kregion_create().
 *
 * Calls kregion_devm_create_owned() with THIS_MODULE.
 */
#define devm_kregion_create(dev, name, attr...) \
	kregion_devm_create_owned(dev, name, attr, THIS_MODULE)

/* __free(kregion_destroy) destroys a region at the end of its scope. */
#ifdef DEFINE_FREE
DEFINE_FREE(kregion_destroy, struct kregion *, IS_ERR_OR_NULL(_T) ? (void)0 : kregion_destroy(_T))
#endif

void kregion_drop(struct kregion *r);
void kregion_reset(struct kregion *r);
int kregion_reserve(struct kregion *r, size_t bytes, gfp_t gfp);
int kregion_add_action(struct kregion *r, void (*fn)(void *arg), void *arg, gfp_t gfp);

/**
 * struct kregion_mark - where a region stood, from kregion_mark()
 *
 * A value: to be copied at will, and to be forgotten without a call. All zeros
 * are an invalid mark. The members are private.
 */
struct kregion_mark {
	/* private: */
	u64 region;
	u64 serial;
};

struct kregion_mark kregion_mark(struct kregion *r);
void kregion_rewind(struct kregion *r, struct kregion_mark m);

struct kregion_gen;

/**
 * struct kregion_span - bytes of a sealed generation
 * @start: The first byte.
 * @bytes: Number of bytes.
 * @cpu: The CPU that allocated them, or -1.
 */
struct kregion_span {
	const void *start;
	size_t bytes;
	int cpu;
	/* private: */
	const void *block;
	size_t at;
};

struct kregion_gen *kregion_rotate(struct kregion *r);
bool kregion_gen_next(struct kregion_gen *g, struct kregion_span *span);
void kregion_gen_stats(struct kregion_gen *g, struct kregion_stats *out);
void kregion_gen_free(struct kregion_gen *g);
void kregion_gen_recycle(struct kregion_gen *g);

bool kregion_contains(struct kregion *r, const void *p);
void kregion_stats(struct kregion *r, struct kregion_stats *out);

void kregion_debug_flush(void);

void *kregion_alloc_aligned(struct kregion *r, size_t size, size_t align, gfp_t gfp) __malloc;
void *kregion_resize(struct kregion *r, void *p, size_t old, size_t new, gfp_t gfp);
void *kregion_memdup(struct kregion *r, const void *src, size_t len, gfp_t gfp);
char *kregion_strdup(struct kregion *r, const char *s, gfp_t gfp);
char *kregion_strndup(struct kregion *r, const char *s, size_t max, gfp_t gfp);
__printf(3, 4)
char *kregion_asprintf(struct kregion *r, gfp_t gfp, const char *fmt, ...);
__printf(3, 0)
char *kregion_vasprintf(struct kregion *r, gfp_t gfp, const char *fmt, va_list ap);

struct kregion_map *kregion_map_create(struct kregion *r, gfp_t gfp);
const struct kregion_item *kregion_map_put(struct kregion_map *m, const void *data, size_t len,
					   gfp_t gfp);
const struct kregion_item *kregion_map_put_nofill(struct kregion_map *m, const void *data,
						  size_t len);
const struct kregion_item *kregion_map_find(struct kregion_map *m, const void *data, size_t len);
const struct kregion_item *kregion_map_item(struct kregion_map *m, u32 id);
u32 kregion_map_count(struct kregion_map *m);

/* The fast path, inlined into the caller. */
#include <linux/kregion_inline.h>

/**
 * kregion_alloc - allocate from a region
 * @r: The region.
 * @size: Bytes; 0 gives ZERO_SIZE_PTR, over KREGION_MAX_ALLOC gives NULL. An
 *	object over an eighth of the block size gets a block of its own.
 * @gfp: Constraints of a call that needs a block: it may sleep with direct
 *	reclaim, and without it works wherever the page allocator may be called.
 *	__GFP_ZERO clears the object. Zone bits, __GFP_NOFAIL, __GFP_COMP,
 *	__GFP_RECLAIMABLE and __GFP_WRITE warn once and are ignored.
 *
 * The object is aligned to 8 bytes, is not cleared unless requested, and lives
 * until the region is dropped, reset or destroyed.
 *
 * Context: As allowed by @gfp; not NMI (see kregion_alloc_nofill()).
 * Return: The object; ZERO_SIZE_PTR; or NULL, with the reason counted in
 * &struct kregion_stats: no memory, limit or size. NULL and a WARN during a
 * drop or reset; see kregion_drop() for the race that goes unnoticed.
 */
static __always_inline void *kregion_alloc(struct kregion *r, size_t size, gfp_t gfp)
{
	void *p;

	__kregion_might_alloc(gfp);
	p = __kregion_alloc(r, size, gfp, false);
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
 * Context: As allowed by @gfp; not NMI.
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
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc(); NULL, counted as failed_size, if @n times @size
 * overflows.
 */
static __always_inline void *kregion_calloc(struct kregion *r, size_t n, size_t size, gfp_t gfp)
{
	return kregion_alloc(r, size_mul(n, size), gfp | __GFP_ZERO);
}

/* The constant @align selects one of two calls. */
static __always_inline void *__kregion_alloc_type(struct kregion *r, size_t size, size_t align,
						  gfp_t gfp)
{
	return align <= KREGION_ALIGN ? kregion_alloc(r, size, gfp) :
					kregion_alloc_aligned(r, size, align, gfp);
}

#define __kregion_alloc_objs(r, type, size, gfp) \
	((type *)__kregion_alloc_type(r, size, __alignof__(type), gfp))

/**
 * kregion_alloc_obj - allocate an object of a type
 * @r: The region.
 * @obj: The type, or an object of it, such as ``*p``; not evaluated.
 * @gfp: As for kregion_alloc().
 *
 * The object has the alignment of its type. These forms are those of
 * kmalloc_obj(), kmalloc_objs() and kmalloc_flex().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc(), a pointer to the type.
 */
#define kregion_alloc_obj(r, obj, gfp) \
	__kregion_alloc_objs(r, typeof(obj), sizeof(typeof(obj)), gfp)

/**
 * kregion_alloc_objs - allocate an array of a type
 * @r: The region.
 * @obj: The type of an element, or an object of it; not evaluated.
 * @n: Number of elements.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc(), a pointer to the type; NULL, counted as
 * failed_size, if the size overflows.
 */
#define kregion_alloc_objs(r, obj, n, gfp) \
	__kregion_alloc_objs(r, typeof(obj), size_mul(n, sizeof(typeof(obj))), gfp)

/**
 * kregion_alloc_flex - allocate a struct with a flexible array
 * @r: The region.
 * @obj: The struct, or an object of it; not evaluated.
 * @member: The flexible array.
 * @n: Number of its elements.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc(), a pointer to the struct; NULL, counted as
 * failed_size, if the size overflows.
 */
#define kregion_alloc_flex(r, obj, member, n, gfp) \
	__kregion_alloc_objs(r, typeof(obj), struct_size((typeof(obj) *)NULL, member, n), gfp)

/**
 * kregion_zalloc_obj - allocate a cleared object of a type
 * @r: The region.
 * @obj: As for kregion_alloc_obj().
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc_obj().
 */
#define kregion_zalloc_obj(r, obj, gfp) \
	kregion_alloc_obj(r, obj, (gfp) | __GFP_ZERO)

/**
 * kregion_zalloc_objs - allocate a cleared array of a type
 * @r: The region.
 * @obj: As for kregion_alloc_objs().
 * @n: Number of elements.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc_objs().
 */
#define kregion_zalloc_objs(r, obj, n, gfp) \
	kregion_alloc_objs(r, obj, n, (gfp) | __GFP_ZERO)

/**
 * kregion_zalloc_flex - allocate a cleared struct with a flexible array
 * @r: The region.
 * @obj: As for kregion_alloc_flex().
 * @member: The flexible array.
 * @n: Number of its elements.
 * @gfp: As for kregion_alloc().
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: As kregion_alloc_flex().
 */
#define kregion_zalloc_flex(r, obj, member, n, gfp) \
	kregion_alloc_flex(r, obj, member, n, (gfp) | __GFP_ZERO)

/**
 * kregion_alloc_nofill - allocate without calling the page allocator
 * @r: The region.
 * @size: Bytes, at most an eighth of the block size; 0 gives ZERO_SIZE_PTR.
 *
 * Serves from the current block and the reserve. Allocates no pages, takes no
 * lock and wakes no task. Used reserve is refilled in the background. The
 * object is not cleared.
 *
 * Context: Any: NMI, under the run-queue lock, in any tracepoint. In NMI, every
 * call fails on an architecture without CONFIG_ARCH_HAVE_NMI_SAFE_CMPXCHG and
 * on 64-bit Book3S PowerPC, as cmpxchg or local_t is not atomic against NMIs
 * there.
 * Return: The object; ZERO_SIZE_PTR; NULL, counted as failed_nofill, when the
 * current block and the reserve are exhausted, or the NMI is refused; NULL,
 * counted as failed_size, for a size over an eighth of the block size.
 */
static __always_inline void *kregion_alloc_nofill(struct kregion *r, size_t size)
{
	if (!__KREGION_NMI_SAFE && in_nmi())
		return kregion_nofill_refuse(r, size);
	return __kregion_alloc(r, size, 0, true);
}

#endif /* _LINUX_KREGION_H */
