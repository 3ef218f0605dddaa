/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of kregion.ko share. The design stands in the DOC block of
 * core.c; read that first.
 */
#ifndef _KREGION_INTERNAL_H
#define _KREGION_INTERNAL_H

#include <linux/irq_work.h>
#include <linux/kregion.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

/* Blocks are filed by CPU modulo this. */
#define KREGION_BUCKETS		16

enum block_backing {
	BACKING_PAGES,
	BACKING_VMALLOC,
};

#define NO_ORDER	0xff

/*
 * Letters of the fields below, who may touch them and how:
 *
 * I: set before the struct is seen by others, then read only.
 * L: region->lock.
 * A: atomic or READ_ONCE()/WRITE_ONCE(), by anybody.
 * C: written by the fast path of one CPU with preemption off, or anywhere with
 *    an atomic where the region is not per-CPU.
 * Q: only while the caller keeps the region quiet (drop, reset, destroy).
 * G: registry_lock.
 */

/*
 * A block's header, at the end of its memory: what is handed out starts at the
 * block's first byte, so that one word tells, by its value and by where it stands,
 * where the next object goes and how much room is left.
 */
struct kregion_block {
	struct __kregion_cursor cursor;	/* C: next free byte; first, see __kregion_alloc() */
	struct kregion_block *chain;	/* L: next in the bucket, or of the large ones */
	struct kregion_block *queue;	/* A: next of the reserve */
	char *start;			/* I: first byte that it hands out */
	unsigned long epoch;		/* A: of region->epoch when it was last taken into use */
	size_t sure_end;		/* L: reserve->sure when it was appended to the reserve */
	int cpu;			/* A: that filled it, -1 for no one's */
	u8 backing;			/* I: enum block_backing */
	u8 order;			/* I: of pages; NO_ORDER if they are not a power of two */
} ____cacheline_aligned;

/* Where the slow path of one CPU, or of a whole region, stands. */
struct kregion_cpu {
	struct __kregion_cpu fast;	/* C: first, see the fast path */
	struct kregion_bucket *bucket;	/* L: where its blocks are; an empty one if not active */
	struct kregion_block *standby;	/* A: xchg() only; next current block for nofill */
	struct llist_node refill_node;	/* A: in reserve->refill_list while refill_pending */
	struct kregion_cpu *active;	/* L: next one that has had a block since the last drop */
	size_t grown;			/* L, A to read: bytes of the last block made for it */
	unsigned int refill_pending;	/* A: on the refill list, or about to be */
	int cpu;			/* I: -1 if the region is not per-CPU */
};

/* A chain of blocks, those in use first; a reset makes all of them spare by one store. */
struct kregion_bucket {
	struct kregion_block *blocks;	/* L */
	struct kregion_block **spare;	/* L: the pointer to the first spare one */
};

enum region_bits {
	REGION_BUSY,		/* a drop, reset or destroy is under way */
	REGION_MISUSED,		/* ... and a call that must not run beside it was reported */
};

enum region_failure {
	FAIL_NOMEM,
	FAIL_LIMIT,
	FAIL_SIZE,
	FAIL_NOFILL,
	NR_FAILURES
};

struct kregion_priv {
	struct kregion fast;		/* first, see to_priv() */

	/* cache line of its own: all that the slow path writes */
	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	atomic_t pins;			/* A: readers that keep it from being freed */
	atomic_t users;			/* A: calls in the slow path, see region_enter() */
	unsigned int filling;		/* L: blocks being made, if there is a limit */
	unsigned int ended;		/* L, A to read: how many of these have been */
	unsigned int too_large;		/* L: no spare block has this much room; 0: not known */
	unsigned int unlinked;		/* L: changes when blocks leave their chains */
	unsigned long flags;		/* A: bits of enum region_bits */
	unsigned long epoch;		/* L, A to read: one more with each drop and reset */
	struct kregion_block *large;	/* L: chain of the large ones */
	struct kregion_cpu *active;	/* L: all that have had a block since the last drop */
	atomic_long_t held;		/* A: bytes of blocks, those being made included */
	unsigned long nr_blocks;	/* L, A to read */
	unsigned long nr_spare;		/* L, A to read: in buckets, not in use */
	unsigned long peak;		/* L */
	unsigned long fills;		/* L */
	unsigned long drops;		/* Q */
	unsigned long resets;		/* Q */

	struct kregion_reserve *reserve;	/* A: made with the first promise, or NULL */

	struct kregion_cpu cpu;		/* of a region that is not per-CPU */
	atomic_long_t failed[NR_FAILURES];

	/* what it is */
	struct mem_cgroup *memcg;	/* I: of the creator, with KREGION_F_ACCOUNT */
	unsigned int attr_flags;	/* I */
	int node;			/* I */
	size_t block_size;		/* I: header included */
	size_t limit;			/* I: 0 for none */
	u64 id;				/* I */
	struct list_head registry;	/* G */
	char name[KREGION_NAME_MAX + 1]; /* I */
	char owner[MODULE_NAME_LEN];	/* I */

	struct kregion_bucket bucket[];	/* region_buckets(); all blocks but the large ones */
};

/* What kregion_alloc_nofill() is served from when the current block has no room. */
struct kregion_reserve {
	struct kregion_block *head;	/* A: block that is served from; others follow in @queue */
	struct kregion_block *last;	/* L: where new ones are appended */
	size_t bytes;			/* L, A to read: what kregion_reserve() promised */
	size_t sure;			/* L: sum of reserve_sure() of the blocks appended */
	struct llist_head refill_list;	/* A: kregion_cpu that lack a standby block */
	struct kregion_priv *region;	/* I */
	struct irq_work refill_irq_work;
	struct delayed_work refill;
};

static inline struct kregion_priv *to_priv(struct kregion *r)
{
	return container_of(r, struct kregion_priv, fast);
}

/* Bytes that @b has for objects. */
static inline size_t block_room(const struct kregion_block *b)
{
	return (char *)b - b->start;
}

/* All the memory of @b, in bytes. */
static inline size_t block_held(const struct kregion_block *b)
{
	return block_room(b) + sizeof(*b);
}

/* Nothing of @b is handed out, or its first @used bytes are. */
static inline void block_set_used(struct kregion_block *b, size_t used)
{
	atomic_long_set(&b->cursor.shared, (long)(b->start + used));
}

/* Bytes of @b handed out; an overshoot not yet taken back counts as all. */
static inline size_t block_used(const struct kregion_block *b)
{
	return min(block_room(b), atomic_long_read(&b->cursor.shared) - (size_t)b->start);
}

/* An object over this is large. */
static inline size_t region_small_max(const struct kregion_priv *rg)
{
	return rg->block_size / 8;
}

static inline unsigned int region_buckets(const struct kregion_priv *rg)
{
	return rg->attr_flags & KREGION_F_PERCPU ? KREGION_BUCKETS : 1;
}

/* The chains that hold all blocks: of the large ones, and one a bucket. */
static inline struct kregion_block *region_chain(const struct kregion_priv *rg, unsigned int i)
{
	return i ? READ_ONCE(rg->bucket[i - 1].blocks) : READ_ONCE(rg->large);
}

static inline const char *region_mode(const struct kregion_priv *rg)
{
	return rg->attr_flags & KREGION_F_PERCPU ? "percpu" :
	       rg->attr_flags & KREGION_F_SINGLE ? "single" : "shared";
}

/* The state of this CPU (interrupts or preemption off), or the only one. */
static inline struct kregion_cpu *region_this_cpu(struct kregion_priv *rg)
{
	if (rg->attr_flags & KREGION_F_PERCPU)
		return (struct kregion_cpu *)raw_cpu_ptr(rg->fast.pcpu);
	return &rg->cpu;
}

/* The pointer to the current cursor of @c. */
static inline struct __kregion_cursor **current_of(struct kregion_priv *rg, struct kregion_cpu *c)
{
	if (rg->attr_flags & (KREGION_F_PERCPU | KREGION_F_SINGLE | KREGION_F_DEBUG))
		return &c->fast.cur;
	return &rg->fast.cur;
}

/*
 * The region's lock. Nothing is done under it more than HOLD_MOST times; kernels with
 * KUnit count, so that a test sees the longest hold.
 */
#define HOLD_MOST	64

#if IS_ENABLED(CONFIG_KUNIT)
struct kregion_hold {
	unsigned int steps;	/* blocks looked at since the lock was taken */
	unsigned int most;
};

DECLARE_PER_CPU(struct kregion_hold, kregion_hold);

static inline void region_step(void)
{
	__this_cpu_inc(kregion_hold.steps);
}

static inline void region_hold_begin(void)
{
	__this_cpu_write(kregion_hold.steps, 0);
}

static inline void region_hold_end(void)
{
	const unsigned int steps = __this_cpu_read(kregion_hold.steps);

	if (steps > __this_cpu_read(kregion_hold.most))
		__this_cpu_write(kregion_hold.most, steps);
}
#else
static inline void region_step(void) { }
static inline void region_hold_begin(void) { }
static inline void region_hold_end(void) { }
#endif

#define region_lock(rg, irq)				\
do {							\
	raw_spin_lock_irqsave(&(rg)->lock, irq);	\
	region_hold_begin();				\
} while (0)

#define region_unlock(rg, irq)				\
do {							\
	region_hold_end();				\
	raw_spin_unlock_irqrestore(&(rg)->lock, irq);	\
} while (0)

/* A search for a spare block, so many blocks a hold of the lock; zeroed to begin. */
struct spare_scan {
	struct kregion_block *last;	/* looked at last, in that bucket */
	unsigned int nr;		/* buckets done */
	bool more;			/* not done: let go of the lock and go on */
	size_t max;			/* most room that the block may have; 0: any */
	unsigned long epoch, fills;	/* of the region when it began */
};

/* alloc.c: what the slow paths share */
extern struct kregion_bucket kregion_no_bucket;
void kregion_sync_single(struct kregion_priv *rg);
void kregion_warn(struct kregion_priv *rg, const char *what);
void *kregion_cursor_take(struct __kregion_cursor *cursor, size_t bytes, size_t align, bool percpu);
void *kregion_take_current(struct kregion_priv *rg, struct kregion_cpu *c, size_t bytes,
			   size_t align);
void *kregion_block_install(struct kregion_priv *rg, struct kregion_cpu *c,
			    struct kregion_block *b, size_t bytes, size_t align);
void kregion_link(struct kregion_priv *rg, struct kregion_block *b, bool spare);
struct kregion_block *kregion_take_spare(struct kregion_priv *rg, int cpu, size_t min,
					 struct spare_scan *scan);
void kregion_activate(struct kregion_priv *rg, struct kregion_cpu *c);
void *kregion_fail(struct kregion_priv *rg, size_t size, enum region_failure why);
gfp_t kregion_gfp(struct kregion_priv *rg, gfp_t gfp);

bool kregion_refuse(struct kregion_priv *rg);

static inline bool region_refuse_busy(struct kregion_priv *rg)
{
	return unlikely(test_bit(REGION_BUSY, &rg->flags)) && kregion_refuse(rg);
}

static inline void region_leave(struct kregion_priv *rg)
{
	smp_mb__before_atomic();	/* what the call did, before it is seen to be over */
	atomic_dec(&rg->users);
}

/*
 * A call that uses the region outside its lock begins, in any context. False, with a
 * warning, if a drop or reset is under way; otherwise these wait for region_leave().
 */
static inline bool region_enter(struct kregion_priv *rg)
{
	atomic_inc(&rg->users);
	smp_mb__after_atomic();						/* H */
	if (likely(!region_refuse_busy(rg)))
		return true;
	region_leave(rg);
	return false;
}

/* block.c: the only way to memory and back */
struct kregion_block *kregion_block_get(struct kregion_priv *rg, size_t size, size_t min, gfp_t gfp,
					unsigned int seen);
void kregion_block_done_limited(struct kregion_priv *rg);
unsigned int kregion_blocks_put(struct kregion_priv *rg, struct kregion_block *chain);
void kregion_blocks_put_atomic(struct kregion_priv *rg, struct kregion_block *chain);
int kregion_block_node(const struct kregion_block *b);
int kregion_block_init(void);
void kregion_block_exit(void);

extern struct workqueue_struct *kregion_wq;	/* unbound, has a rescuer */

/* A block that was charged is linked, or there is none: callers may wait for that. */
static inline void kregion_block_done(struct kregion_priv *rg)
{
	if (unlikely(rg->limit))
		kregion_block_done_limited(rg);
}

/* reserve.c: what nofill callers are served from */
void kregion_reserve_free(struct kregion_priv *rg);
void kregion_reserve_stop(struct kregion_priv *rg);
void kregion_reserve_empty(struct kregion_priv *rg);
void kregion_reserve_restore(struct kregion_priv *rg);
void kregion_reserve_resume(struct kregion_priv *rg);

/* debug.c: KREGION_F_DEBUG */
size_t kregion_debug_bytes(size_t size, size_t align);
void *kregion_debug_object(struct kregion_priv *rg, char *chunk, size_t size, size_t align);
void kregion_debug_poison(struct kregion_block *b);
void kregion_debug_unpoison(struct kregion_block *b);
void kregion_debug_check(struct kregion_priv *rg);

#ifdef CONFIG_KASAN_GENERIC
/* Exported to modules, but declared in mm/kasan/kasan.h only. */
void kasan_poison(const void *addr, size_t size, u8 value, bool init);
#endif

static inline bool region_debug(const struct kregion_priv *rg)
{
	return rg->attr_flags & KREGION_F_DEBUG;
}

/* Bytes of a block that an object of @size takes. */
static inline size_t region_bytes(const struct kregion_priv *rg, size_t size, size_t align)
{
	return region_debug(rg) ? kregion_debug_bytes(size, align) : ALIGN(size, KREGION_ALIGN);
}

/* stats.c: reading a region without stopping it */
enum block_kind {
	BLOCK_SPARE,		/* holds no object */
	BLOCK_CURRENT,		/* small objects are taken from it */
	BLOCK_FULL,		/* closed for want of room */
	BLOCK_LARGE,		/* one object of its own */
};

struct block_info {
	enum block_kind kind;
	const char *start;
	size_t held;
	size_t used;
};

typedef bool (*block_fn)(struct kregion_priv *rg, const struct kregion_block *b,
			 const struct block_info *info, void *ctx);
void kregion_walk(struct kregion_priv *rg, void (*restart)(void *ctx), block_fn fn, void *ctx);

/* registry.c: all regions */

/* The place of a reader in the list of regions, which it keeps while regions come and go. */
struct kregion_reader {
	struct list_head list;		/* G: in the list of readers */
	struct list_head *at;		/* G: of the region behind which to go on */
};

void kregion_registry_add(struct kregion_priv *rg);
void kregion_registry_del(struct kregion_priv *rg);
struct kregion_priv *kregion_registry_first(void);
void kregion_reader_add(struct kregion_reader *reader);
void kregion_reader_del(struct kregion_reader *reader);
void kregion_registry_rewind(struct kregion_reader *reader);
struct kregion_priv *kregion_registry_next(struct kregion_reader *reader, u64 id);
void kregion_unpin(struct kregion_priv *rg);

/* debugfs.c: the files */
void kregion_debugfs_init(void);
void kregion_debugfs_exit(void);

#endif /* _KREGION_INTERNAL_H */
