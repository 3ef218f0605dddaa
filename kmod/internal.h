/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Definitions shared by the files of kregion.ko. The DOC block of core.c has
 * the design; read that first.
 */
#ifndef _KREGION_INTERNAL_H
#define _KREGION_INTERNAL_H

#include <linux/irq_work.h>
#include <linux/kregion.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <trace/events/kregion_enums.h>

/* Buckets of a per-CPU region; blocks are filed by CPU modulo this. */
#define KREGION_BUCKETS		16

#define KREGION_ORDER_NONE	0xff

/*
 * Locking of the fields below:
 *
 * I: Set during initialization and read-only thereafter.
 * L: region->lock protected.
 * A: Accessed atomically or by READ_ONCE() and WRITE_ONCE(), without a lock.
 * C: Modified by the fast path: of one CPU with preemption disabled, or by any
 *    CPU with an atomic operation if the region is not per-CPU.
 * Q: Modified only while the region is quiesced (drop, reset, destroy).
 * R: lock of charge_root() protected.
 * S: Serialized by the caller, in a region with KREGION_F_SINGLE.
 * T: tree_lock protected.
 * G: registry_lock protected.
 * D: quarantine_lock protected.
 */

/*
 * The header of a block, at the end of its memory. Objects start at the first
 * byte of the block, so the value and the address of the cursor delimit the
 * free bytes.
 */
struct kregion_block {
	struct __kregion_cursor cursor;	/* C: next free byte; first, see __kregion_alloc() */
	union {
		struct {
			struct kregion_block *chain;	/* L: next in the bucket, or next large */
			union {
				struct kregion_block *queue;	/* A: next of the reserve */
				/* A: current before; bit 0: installed without the lock */
				unsigned long replaced;
			};
		};
		struct list_head list;	/* D: in the quarantine; or of one generation */
	};
	char *start;			/* I: first byte for objects */
	union {
		unsigned long epoch;	/* A: region->epoch when last taken into use */
		struct kregion_block *after;	/* sealed: those that replaced this with the lock */
	};
	union {
		size_t guaranteed_end;	/* L: reserve->guaranteed after this was appended */
		struct kregion_priv *region;	/* D: that freed it */
		struct kregion_block *nested;	/* sealed: ... without the lock */
	};
	int cpu;			/* A: owner, -1: none */
	u8 backing;			/* I: enum kregion_backing */
	u8 order;			/* I: of the pages; KREGION_ORDER_NONE: exact pages */
	bool fresh;			/* allocated by the rotate in progress */
} ____cacheline_aligned;

/* Allocation state of one CPU, or of a whole region. */
struct kregion_cpu {
	struct __kregion_cpu fast;	/* C: first, see the fast path */
	struct kregion_bucket *bucket;	/* L: of its blocks; kregion_no_bucket if inactive */
	/* A: xchg() only; next current block for nofill; by region_slot() */
	struct kregion_block *standby[2];
	struct llist_node refill_node;	/* A: in reserve->refill_list while refill_pending */
	struct kregion_cpu *active;	/* L: next in region->active */
	size_t last_size;		/* L, A to read: bytes of the last block allocated for it */
	unsigned int refill_pending;	/* A: the refill worker will provide a standby block */
	int cpu;			/* I: -1 if the region is not per-CPU */
	/* For a rotate, see generation.c. */
	struct __kregion_cursor gate[2];	/* C: empty blocks: current while closed */
	struct __kregion_cursor *closed;	/* A: current before that; see cursor_reopened() */
	struct __kregion_cursor *next;	/* A: current after the switch */
};

/* Called before the objects of the region go; an object itself. */
struct kregion_action {
	struct kregion_action *next;	/* I: added before this one */
	void (*fn)(void *arg);		/* I */
	void *arg;			/* I */
};

/* A chain of blocks: those in use, then the spare ones. */
struct kregion_bucket {
	struct kregion_block *blocks;	/* L */
	struct kregion_block **spare;	/* L: the link to the first spare block */
};

enum kregion_bits {
	KREGION_BUSY,		/* a drop, reset or destroy is in progress */
	KREGION_MISUSED,	/* ... and a call that raced with it was reported */
	KREGION_DESTROYED,	/* in the quarantine, and KREGION_BUSY forever */
	KREGION_MISMARKED,	/* a mark that is not valid was reported */
	KREGION_ROTATING,	/* a rotate is in progress */
	KREGION_CLOSED,		/* ... and a current block may be a gate */
};

struct kregion_priv {
	struct kregion fast;		/* first, see to_priv() */

	/* Written by the slow path, on cache lines of its own. */
	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	atomic_t pins;			/* A: readers that defer destruction */
	atomic_t users;			/* A: calls in the slow path, see region_enter() */
	unsigned int fills_in_flight;	/* R: charged blocks being allocated */
	unsigned int fills_ended;	/* R, A to read: counts the ends of these */
	unsigned int spare_miss;	/* L: no spare block has this much room; 0: unknown */
	unsigned int unlink_seq;	/* L: incremented when blocks leave their chains */
	unsigned int spare_seq;		/* L: incremented when blocks become spare, or leave */
	unsigned long flags;		/* A: bits of enum kregion_bits */
	unsigned long epoch;		/* L, A to read: incremented by drop, reset and rotate */
	struct kregion_block *large;	/* L: chain of large blocks */
	struct kregion_cpu *active;	/* L: those that had a block since the last drop */
	struct kregion_action *actions;	/* L: added last; Q to take */
	struct kregion_mark_record *marks; /* S: valid marks, newest first */
	atomic_long_t held;		/* A: bytes of blocks, also of those being allocated */
	atomic_long_t charged;		/* R, A to subtract: held, descendants included */
	unsigned long nr_blocks;	/* L, A to read */
	unsigned long nr_spare;		/* L, A to read: spare blocks in buckets */
	unsigned long peak;		/* L, A to read */
	unsigned long fills;		/* L, A to read */
	unsigned long drops;		/* Q, A to read */
	unsigned long resets;		/* Q, A to read */
	unsigned long generations;	/* L, A to read: that are not freed */
	unsigned long sealed;		/* L, A to read: bytes of their blocks */
	atomic_t refs;			/* A: generations, less one if the region is destroyed */

	struct kregion_reserve *reserve;	/* A: NULL until the first kregion_reserve() */

	struct kregion_cpu cpu;		/* of a region that is not per-CPU */
	atomic_long_t failed[KREGION_NR_FAILURES];

	struct mem_cgroup *memcg;	/* I: of the creator, with KREGION_F_ACCOUNT */
	u64 mark_serial;		/* S: of the last mark */
	unsigned int nr_quarantined;	/* D: blocks in the quarantine */

	/* The tree. */
	struct kregion_priv *parent;	/* I: NULL: none */
	struct kregion_priv *lingers;	/* Q: the parent, kept for the generations */
	struct kregion_priv *charge;	/* I: nearest with a limit, from here up; or NULL */
	struct hlist_head children;	/* T: newest first */

	/* Attributes; from here on, region_create() does not clear. */
	unsigned int attr_flags;	/* I */
	int node;			/* I */
	size_t block_size;		/* I: header included */
	size_t limit;			/* I: 0: none */
	u64 id;				/* I */
	struct list_head registry;	/* G; D in the quarantine */
	struct hlist_node sibling;	/* T: in parent->children, if there is one */
	const struct module *module;	/* A: the owner, until its unload is reported */
	char name[KREGION_NAME_MAX + 1]; /* I */
	char owner[MODULE_NAME_LEN];	/* I */

	struct kregion_bucket bucket[];	/* region_buckets(); of all blocks but large ones */
};

/* The blocks of a reserve. */
struct kregion_queue {
	struct kregion_block *head;	/* A: serves now; others follow by @queue */
	struct kregion_block *last;	/* L: tail of the queue */
	size_t guaranteed;		/* L: sum of reserve_guaranteed() of appended blocks */
};

/* Serves kregion_alloc_nofill() when the current block has no room. */
struct kregion_reserve {
	struct kregion_queue queue[2];	/* by region_slot() */
	size_t bytes;			/* L, A to read: promised by kregion_reserve() */
	struct llist_head refill_list;	/* A: kregion_cpu in need of a standby block */
	struct kregion_priv *region;	/* I */
	struct irq_work refill_irq_work;
	struct delayed_work refill;
};

/* What an epoch has to itself alternates, as a rotate prepares the next one. */
static inline unsigned int region_slot(unsigned long epoch)
{
	return epoch & 1;
}

static inline struct kregion_priv *to_priv(struct kregion *r)
{
	return container_of(r, struct kregion_priv, fast);
}

/* Bytes of @b for objects. */
static inline size_t block_room(const struct kregion_block *b)
{
	return (char *)b - b->start;
}

/* All bytes of @b, header included. */
static inline size_t block_held(const struct kregion_block *b)
{
	return block_room(b) + sizeof(*b);
}

/* Mark the first @used bytes of @b as allocated. */
static inline void block_set_used(struct kregion_block *b, size_t used)
{
	atomic_long_set(&b->cursor.shared, (long)(b->start + used));
}

/* Allocated bytes of @b; all of them during an overshoot. */
static inline size_t block_used(const struct kregion_block *b)
{
	return min(block_room(b), atomic_long_read(&b->cursor.shared) - (size_t)b->start);
}

/* Bytes of @b that the present epoch of @rg has allocated. */
static inline size_t block_used_in(const struct kregion_priv *rg, const struct kregion_block *b)
{
	return READ_ONCE(b->epoch) == rg->epoch ? block_used(b) : 0;
}

/* Larger objects get blocks of their own. */
static inline size_t region_small_max(const struct kregion_priv *rg)
{
	return rg->block_size / 8;
}

static inline unsigned int region_buckets(const struct kregion_priv *rg)
{
	return rg->attr_flags & KREGION_F_PERCPU ? KREGION_BUCKETS : 1;
}

/* The bucket for blocks of @cpu. */
static inline unsigned int cpu_bucket(int cpu)
{
	return cpu < 0 ? 0 : cpu % KREGION_BUCKETS;
}

/* Chain @i of all blocks: 0 has the large ones, the others are the buckets'. */
static inline struct kregion_block *region_chain(const struct kregion_priv *rg, unsigned int i)
{
	/*
	 * LMM(region_chain:A) pairs with LMM(bucket_insert:A),
	 * LMM(region_link_large:A) and LMM(switch_chains:A)
	 */
	return i ? READ_ONCE(rg->bucket[i - 1].blocks) : READ_ONCE(rg->large);
}

static inline const char *region_mode(const struct kregion_priv *rg)
{
	return rg->attr_flags & KREGION_F_PERCPU ? "percpu" :
	       rg->attr_flags & KREGION_F_SINGLE ? "single" : "shared";
}

/* The state of this CPU (preemption disabled), or of the whole region. */
static inline struct kregion_cpu *region_this_cpu(struct kregion_priv *rg)
{
	if (rg->attr_flags & KREGION_F_PERCPU)
		return (struct kregion_cpu *)raw_cpu_ptr(rg->fast.pcpu);
	return &rg->cpu;
}

/* The pointer to the cursor of the current block of @c. */
static inline struct __kregion_cursor **region_current(struct kregion_priv *rg,
						       struct kregion_cpu *c)
{
	if (rg->attr_flags & (KREGION_F_PERCPU | KREGION_F_SINGLE | KREGION_F_DEBUG))
		return &c->fast.cur;
	return &rg->fast.cur;
}

/* The cursor that a rotate makes current for @c when it ends @epoch. */
static inline struct __kregion_cursor *region_gate(struct kregion_cpu *c, unsigned long epoch)
{
	return &c->gate[region_slot(epoch)];
}

static inline bool cursor_is_gate(const struct kregion_cpu *c,
				  const struct __kregion_cursor *cursor)
{
	return cursor >= c->gate && cursor < c->gate + ARRAY_SIZE(c->gate);
}

/*
 * Bit 0 of kregion_cpu.closed: the rotate does not switch. The block becomes
 * current again, and no other one replaces it in kregion_cpu.closed.
 */
static inline bool cursor_reopened(const struct __kregion_cursor *closed)
{
	return (unsigned long)closed & 1;
}

static inline struct __kregion_cursor *cursor_reopen(const struct __kregion_cursor *closed,
						     bool reopened)
{
	return (struct __kregion_cursor *)(((unsigned long)closed & ~1UL) | reopened);
}

/*
 * Most blocks visited in one critical section of region->lock. Kernels with
 * KUnit count them, for a test of the longest one.
 */
#define KREGION_HOLD_MAX	64

#if IS_ENABLED(CONFIG_KUNIT)
struct kregion_hold {
	unsigned int steps;	/* blocks visited since the lock was taken */
	unsigned int max;
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

	if (steps > __this_cpu_read(kregion_hold.max))
		__this_cpu_write(kregion_hold.max, steps);
}
#else
static inline void region_step(void) { }
static inline void region_hold_begin(void) { }
static inline void region_hold_end(void) { }
#endif

#define region_lock(rg, flags)				\
do {							\
	raw_spin_lock_irqsave(&(rg)->lock, flags);	\
	region_hold_begin();				\
} while (0)

#define region_unlock(rg, flags)			\
do {							\
	region_hold_end();				\
	raw_spin_unlock_irqrestore(&(rg)->lock, flags);	\
} while (0)

/* A search for a spare block, which may drop the lock; starts zeroed. */
struct kregion_spare_scan {
	struct kregion_block *last;	/* visited last in the present bucket */
	unsigned int nr;		/* buckets searched */
	bool more;			/* incomplete: drop the lock and call again */
	bool unlink;			/* take the block out of its chain */
	size_t max;			/* most room of the block; 0: any */
	unsigned int seq;		/* region->spare_seq at the start */
	unsigned long fills;		/* of the region at the start */
};

/* Warnings that name the region. */
#define region_WARN(rg, fmt, ...) \
	WARN(1, pr_fmt("%s: " fmt), (rg)->name, ##__VA_ARGS__)
#define region_WARN_ONCE(rg, fmt, ...) \
	WARN_ONCE(1, pr_fmt("%s: " fmt), (rg)->name, ##__VA_ARGS__)

/* Under the lock; kregion_stats() reads them without it. */
static inline void region_count_blocks(struct kregion_priv *rg, unsigned int nr)
{
	WRITE_ONCE(rg->nr_blocks, nr);
	if (nr > rg->peak)
		WRITE_ONCE(rg->peak, nr);
}

/* alloc.c: shared by the slow paths */
extern struct kregion_bucket kregion_no_bucket;
void kregion_sync_single(struct kregion_priv *rg);
void kregion_load_single(struct kregion_priv *rg);
void kregion_warn(struct kregion_priv *rg, const char *msg);
void kregion_warn_busy(struct kregion_priv *rg, const char *call);
void *kregion_cursor_take(struct __kregion_cursor *cursor, size_t bytes, size_t align, bool percpu);
void *kregion_take_current(struct kregion_priv *rg, struct kregion_cpu *c, size_t bytes,
			   size_t align);
void *kregion_standby_install(struct kregion_priv *rg, struct kregion_cpu *c,
			      struct kregion_block *b, unsigned long epoch, size_t bytes);
void kregion_bucket_insert(struct kregion_bucket *bucket, struct kregion_block *b, bool spare);
void kregion_link(struct kregion_priv *rg, struct kregion_block *b, bool spare);
void kregion_link_spare(struct kregion_priv *rg, struct kregion_block *b);
struct kregion_block *kregion_take_spare(struct kregion_priv *rg, int cpu, size_t min,
					 struct kregion_spare_scan *scan);
void kregion_activate(struct kregion_priv *rg, struct kregion_cpu *c);
void *kregion_fail(struct kregion_priv *rg, size_t size, enum kregion_failure reason);
gfp_t kregion_gfp(struct kregion_priv *rg, gfp_t gfp);

bool kregion_refuse(struct kregion_priv *rg);

static inline bool region_refuse_busy(struct kregion_priv *rg)
{
	return unlikely(test_bit(KREGION_BUSY, &rg->flags)) && kregion_refuse(rg);
}

static inline void region_leave(struct kregion_priv *rg)
{
	/* LMM(region_leave:A) pairs with LMM(region_quiesce:C) */
	smp_mb__before_atomic();
	atomic_dec(&rg->users);
}

/* Count a call, before it reads KREGION_BUSY. */
static inline void region_users_inc(struct kregion_priv *rg)
{
	atomic_inc(&rg->users);
	/* LMM(region_users_inc:A) pairs with LMM(region_quiesce:B) */
	smp_mb__after_atomic();
}

/*
 * Start of a call that uses the region without its lock, in any context.
 * Returns false, with a warning, during a drop or reset; otherwise these wait
 * for region_leave().
 */
static inline bool region_enter(struct kregion_priv *rg)
{
	region_users_inc(rg);
	if (likely(!region_refuse_busy(rg)))
		return true;
	region_leave(rg);
	return false;
}

/* block.c: the only caller of the page allocator and vmalloc */
struct kregion_block *kregion_block_get(struct kregion_priv *rg, size_t size, size_t min, gfp_t gfp,
					unsigned int seen);
void kregion_block_done_limited(struct kregion_priv *rg);
void kregion_block_free(struct kregion_block *b);
void kregion_block_uncharge(struct kregion_priv *rg, struct kregion_block *b);
unsigned int kregion_blocks_put(struct kregion_priv *rg, struct kregion_block *chain);
void kregion_blocks_put_atomic(struct kregion_priv *rg, struct kregion_block *chain);
int kregion_block_node(const struct kregion_block *b);
int kregion_block_init(void);
void kregion_block_exit(void);

extern struct workqueue_struct *kregion_wq;

/* A charged block was linked, or its allocation failed: wake the waiters. */
static inline void kregion_block_done(struct kregion_priv *rg)
{
	if (unlikely(rg->charge))
		kregion_block_done_limited(rg);
}

/* reserve.c: the reserve of kregion_alloc_nofill() */
void kregion_reserve_free(struct kregion_priv *rg);
void kregion_reserve_stop(struct kregion_priv *rg);
void kregion_reserve_empty(struct kregion_priv *rg);
void kregion_reserve_restore(struct kregion_priv *rg);
void kregion_reserve_resume(struct kregion_priv *rg);
size_t kregion_reserve_promised(struct kregion_priv *rg);
size_t kregion_reserve_missing(struct kregion_priv *rg, const struct kregion_queue *q,
			       size_t bytes);
size_t kregion_reserve_least(const struct kregion_priv *rg, size_t bytes);
size_t kregion_reserve_block_size(const struct kregion_priv *rg, size_t want, size_t min);
void kregion_reserve_append(struct kregion_priv *rg, struct kregion_queue *q,
			    struct kregion_block *b, unsigned long epoch);

/* The reserve and the standby block at a mark. */
struct kregion_reserve_state {
	struct kregion_block *standby;
	struct kregion_block *head, *last;
	size_t head_used;
	size_t guaranteed;
};

void kregion_reserve_mark(struct kregion_priv *rg, struct kregion_reserve_state *state);
void kregion_reserve_forget(struct kregion_priv *rg, const struct kregion_reserve_state *state);
void kregion_reserve_rewind(struct kregion_priv *rg, const struct kregion_reserve_state *state);

/* tree.c: children and actions */
void kregion_tree_link(struct kregion_priv *rg, struct kregion_priv *parent);
void kregion_tree_unlink(struct kregion_priv *rg);
struct kregion_priv *kregion_tree_child(struct kregion_priv *rg);
void kregion_actions_run(struct kregion_action *list, struct kregion_action *until);

/* scratch.c: marks */
bool kregion_mark_valid(struct kregion_priv *rg, struct kregion_mark m);
struct kregion_block *kregion_marks_rewind(struct kregion_priv *rg, struct kregion_mark m);
void kregion_marks_forget(struct kregion_priv *rg);

/* debug.c: KREGION_F_DEBUG */
size_t kregion_debug_bytes(size_t size, size_t align);
void *kregion_debug_object(struct kregion_priv *rg, char *chunk, size_t size, size_t align);
void kregion_debug_poison(struct kregion_block *b, size_t from);
void kregion_debug_unpoison(struct kregion_block *b);
void kregion_debug_check(struct kregion_priv *rg);
void kregion_debug_check_block(struct kregion_priv *rg, struct kregion_block *b, size_t from,
			       size_t used);
void kregion_debug_shrink(char *p, size_t size);
size_t kregion_debug_next(const struct kregion_block *b, size_t *at);
void kregion_debug_check_freed(struct kregion_priv *rg, struct kregion_block *b);

#ifdef CONFIG_KASAN_GENERIC
/* Exported to modules, but declared in mm/kasan/kasan.h only. */
void kasan_poison(const void *addr, size_t size, u8 value, bool init);
#endif

static inline bool region_debug(const struct kregion_priv *rg)
{
	return rg->attr_flags & KREGION_F_DEBUG;
}

/* Bytes that an object of @size takes in a block. */
static inline size_t region_bytes(const struct kregion_priv *rg, size_t size, size_t align)
{
	return region_debug(rg) ? kregion_debug_bytes(size, align) : ALIGN(size, KREGION_ALIGN);
}

/* quarantine.c: what debug regions freed */
unsigned int kregion_quarantine_blocks(struct kregion_priv *rg, struct kregion_block *chain);
void kregion_quarantine_region(struct kregion_priv *rg);

/* Free a chain of blocks and return their number. */
static inline unsigned int region_put(struct kregion_priv *rg, struct kregion_block *chain)
{
	return unlikely(region_debug(rg)) ? kregion_quarantine_blocks(rg, chain) :
					    kregion_blocks_put(rg, chain);
}

/* Free @rg itself. */
static inline void region_forget(struct kregion_priv *rg)
{
	if (unlikely(region_debug(rg)))
		kregion_quarantine_region(rg);
	else
		kfree(rg);
}

/* generation.c: sealed generations */
void kregion_gen_exit(void);
void kregion_ref_put(struct kregion_priv *rg);

/* stats.c: readers of a live region */
enum kregion_block_kind {
	KREGION_BLOCK_SPARE,		/* holds no object */
	KREGION_BLOCK_CURRENT,		/* serves small objects */
	KREGION_BLOCK_FULL,		/* closed for lack of room */
	KREGION_BLOCK_LARGE,		/* holds one large object */
};

struct kregion_block_info {
	enum kregion_block_kind kind;
	const char *start;
	size_t held;
	size_t used;
};

typedef bool (*kregion_block_fn)(struct kregion_priv *rg, const struct kregion_block *b,
				 const struct kregion_block_info *info, void *ctx);
bool kregion_walk(struct kregion_priv *rg, void (*restart)(void *ctx), kregion_block_fn fn,
		  void *ctx);

/* registry.c: the list of all regions */

/*
 * The position of a reader in the list, stable against additions and removals.
 */
struct kregion_reader {
	struct list_head list;		/* G: entry in the list of readers */
	struct list_head *pos;		/* G: of the region to continue after */
};

int kregion_registry_init(void);
void kregion_registry_exit(void);
struct kregion_priv *kregion_registry_last(void);
void kregion_report(struct kregion_priv *rg, const char *what);
void kregion_registry_add(struct kregion_priv *rg);
void kregion_registry_del(struct kregion_priv *rg);
void kregion_reader_add(struct kregion_reader *reader);
void kregion_reader_del(struct kregion_reader *reader);
void kregion_registry_rewind(struct kregion_reader *reader);
struct kregion_priv *kregion_registry_next(struct kregion_reader *reader, u64 id);
void kregion_unpin(struct kregion_priv *rg);

#if IS_ENABLED(CONFIG_KUNIT)
/* map.c: a test makes this many hashes, the first ones, the same for all bytes */
extern unsigned int kregion_map_weak;
#endif

/* debugfs.c: the files */
void kregion_debugfs_init(void);
void kregion_debugfs_exit(void);

#endif /* _KREGION_INTERNAL_H */
