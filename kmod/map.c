// SPDX-License-Identifier: GPL-2.0
/*
 * The intern map: equal bytes become one item with a small number.
 */

/**
 * DOC: map
 *
 * A map has two structures over the same nodes, both of memory of the region:
 *
 * - The trie finds bytes. Each node is an item with eight links to children.
 *   The path of some bytes starts at one of the links in &kregion_map.root, and
 *   each further link is chosen by the next three bits of their hash. The node
 *   of the bytes is the one that ends their path: no path is ever rebuilt.
 * - The table finds ids: slot n has the node with the id n + 1. It is a row of
 *   trees of chunks, each one level higher than the one before it, as the block
 *   map of an inode. A chunk is at most an eighth of the smallest block, so
 *   kregion_alloc_nofill() can provide it.
 *
 * A slot or a link changes once, from NULL, and nothing else of a node or chunk
 * is written once it is reachable. A lookup only reads.
 *
 * Insertion
 * =========
 *
 * &kregion_map.linked counts the slots whose nodes are known to be in the trie.
 * An insertion repeats the following until its bytes have a node:
 *
 * 1. Read the count n, then search the bytes, from the link where the lookup has
 *    ended: the path to a link never changes. If they are there, another
 *    insertion has added them.
 * 2. If slot n is free, write the id n + 1 to the new node, which no one else
 *    knows, and claim the slot with it.
 * 3. Link the node in the slot, its own or another one, into the trie. Advance
 *    the count from n to n + 1.
 *
 * Any context completes the insertion of any other one in the third step, so no
 * context waits, whatever it has interrupted. A search that succeeds and a claim
 * that fails both mean that another insertion has made progress.
 *
 * Invariants
 * ==========
 *
 * 1. The slots in use are the first ones: slot n is claimed only after the
 *    count is n, and the count exceeds n only after slot n is claimed.
 * 2. Of the nodes in slots, only the last one may be missing in the trie.
 * 3. No two nodes have equal bytes. A successful claim of slot n means that no
 *    slot was claimed since the count n was read, and the search after that
 *    read sees all nodes of the slots before n.
 * 4. A node has one link. All contexts that link it follow the same path to its
 *    first NULL. No other node is linked until the count is advanced, so this
 *    link is NULL or has the node already: a late context finds the node, or
 *    stores the same pointer again. So a plain store with release is enough,
 *    at the link where the search of the third invariant has ended, too.
 * 5. A claim is the last step that may fail, and it needs no memory. A failed
 *    insertion leaves no id unused and no node in the map.
 *
 * A lost race for a slot costs nothing, as the next attempt uses the same node.
 * The node is lost if another context inserts the same bytes meanwhile, and so
 * is a chunk that two contexts add at once.
 *
 * Hashes
 * ======
 *
 * A path begins with the 64 bits of a fast hash: two words at a time, masked
 * with secret random numbers, are multiplied, and the product is folded into
 * the next two. A longer path continues with siphash() of the same bytes, 64
 * bits for each key, and the keys never end. So the speed of a lookup does not
 * depend on the strength of the fast hash: bytes that were chosen to break it
 * share the nodes of one path, as many as its bits select, and the keyed
 * siphash() spreads them from there on. Architectures without a product of 128
 * bits use siphash() only.
 *
 * Nodes keep the 64 bits of their first hash, so a lookup compares the bytes of
 * few other nodes.
 *
 * Memory ordering
 * ===============
 *
 * Slots, chunks and the count change by compare-and-exchange, a full barrier.
 * A node is written before its slot is claimed, and the slot is claimed before
 * the node is linked; readers depend on the address, and kregion_map_item()
 * and kregion_map_count() have a barrier behind the walk that has found the
 * node. A node is linked before the count is advanced, by any context, and an
 * insertion reads the count, with acquire, before it searches. The pairs and
 * their litmus tests are in the table of core.c.
 *
 * &kregion_map.last_slot is a hint, and relaxed: a node that is found through it
 * says which slot it is in, and chunks are clear in all CPUs before they are
 * published, by a full barrier.
 *
 * Costs
 * =====
 *
 * On 64 bits, a map has some 2 KiB, and a node has 80 bytes besides its data,
 * rounded up to 8. A chunk of the table has 512 bytes, and holds 64 ids. On 32
 * bits, these are 1 KiB, 48 and 256 bytes.
 */

#include <linux/bitops.h>
#include <linux/kregion.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/string.h>

#include "internal.h"

#define MAP_ROOT_BITS	8
#define MAP_LINK_BITS	3

#define MAP_CHUNK_BITS	6
#define MAP_CHUNK_SLOTS	BIT(MAP_CHUNK_BITS)
/* The last tree is the one that has room for all ids. */
#define MAP_TREES	6
#define MAP_SHIFT_MAX	((MAP_TREES - 1) * MAP_CHUNK_BITS)

struct map_node {
	struct map_node *child[1 << MAP_LINK_BITS];	/* A */
	u64 hash;			/* I: map_hash() */
	struct kregion_item item;	/* I; last */
};

struct map_chunk {
	void *slot[MAP_CHUNK_SLOTS];	/* A: chunks, or nodes in the lowest level */
};

/* In the place of flags for kregion_alloc(). */
#define MAP_NOFILL	((__force gfp_t)~0U)	/* kregion_alloc_nofill() */
#define MAP_NONE	((__force gfp_t)~1U)	/* nothing is allocated */

struct kregion_map {
	struct map_node *root[1 << MAP_ROOT_BITS];	/* A; first, for shorter code */
	struct kregion *r;		/* I */
	unsigned long epoch;		/* I: of the region */
	u64 secret[2];			/* I: of the fast hash */
	siphash_key_t key;		/* I */
	unsigned long linked;		/* A: first slots, whose nodes are in the trie */
	void *table[MAP_TREES];		/* A */
	void **last_slot;		/* A: one of the last that were claimed; NULL at first */
};

/* ---- hashes -------------------------------------------------------------- */

#if IS_ENABLED(CONFIG_KUNIT)
/* A test makes this many hashes, the first ones, the same for all bytes. */
unsigned int kregion_map_weak;
EXPORT_SYMBOL_GPL(kregion_map_weak);

static bool map_weak(unsigned int round)
{
	return round < READ_ONCE(kregion_map_weak);
}
#else
static bool map_weak(unsigned int round)
{
	return false;
}
#endif

/* At any alignment. */
static __always_inline u64 map_load(const u8 *p)
{
	u64 word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The hash of the @round that follows map_hash(), from 1. */
static noinline u64 map_rehash(const struct kregion_map *m, const void *data, size_t len,
			       unsigned int round)
{
	siphash_key_t key = m->key;

	if (map_weak(round))
		return 0;
	key.key[1] ^= round;
	return siphash(data, len, &key);
}

#if defined(CONFIG_ARCH_SUPPORTS_INT128) && defined(__SIZEOF_INT128__)
#ifdef CONFIG_X86_64
/* For a variable of 128 bits, gcc aligns the stack. */
static __always_inline u64 map_fold(u64 a, u64 b)
{
	u64 high;

	asm("mulq %2" : "+a" (a), "=d" (high) : "r" (b) : "cc");
	return a ^ high;
}
#else
static __always_inline u64 map_fold(u64 a, u64 b)
{
	const unsigned __int128 product = (unsigned __int128)a * b;

	return (u64)product ^ (u64)(product >> 64);
}
#endif

/* Two words. */
static __always_inline u64 map_mix(u64 hash, u64 secret, const u8 *p)
{
	return map_fold(hash ^ map_load(p), secret ^ map_load(p + 8));
}

/* The last bytes may overlap those before them. */
static __always_inline u64 map_hash(const struct kregion_map *m, const u8 *p, size_t len)
{
	const u64 secret = m->secret[0];
	u64 hash = m->secret[1] ^ len, a = 0, b = 0;
	const u8 *last = p + len - 32;

	if (map_weak(0))
		return 0;
	if (likely(len >= 32)) {
		for (; p < last; p += 32) {
			hash = map_mix(hash, secret, p);
			hash = map_mix(hash, secret, p + 16);
		}
		hash = map_mix(hash, secret, last);
		return map_mix(hash, secret, last + 16);
	}
	if (len >= 16) {
		hash = map_mix(hash, secret, p);
		return map_mix(hash, secret, last + 16);
	}
	if (len >= 8) {
		a = map_load(p);
		b = map_load(p + len - 8);
	} else if (len >= 4) {
		memcpy(&a, p, 4);
		memcpy(&b, p + len - 4, 4);
	} else if (len) {
		a = p[0] | p[len / 2] << 8 | p[len - 1] << 16;
	}
	return map_fold(hash ^ a, secret ^ b);
}
#else
static u64 map_hash(const struct kregion_map *m, const u8 *p, size_t len)
{
	return map_rehash(m, p, len, 0);
}
#endif

/* ---- the trie ------------------------------------------------------------ */

/* Two words. */
static __always_inline bool map_same(const u8 *a, const u8 *b)
{
	return map_load(a) == map_load(b) && map_load(a + 8) == map_load(b + 8);
}

/*
 * Without a call, so that a lookup needs little stack. The last bytes may
 * overlap those before them.
 */
static __always_inline bool map_equal(const u8 *a, const u8 *b, size_t len)
{
	const u8 *last = b + len - 32;

	if (likely(len >= 32)) {
		for (; b < last; a += 32, b += 32)
			if (!map_same(a, b) || !map_same(a + 16, b + 16))
				return false;
		a -= b - last;
		return map_same(a, last) && map_same(a + 16, last + 16);
	}
	if (len >= 16)
		return map_same(a, b) && map_same(a + len - 16, last + 16);
	while (len--)
		if (a[len] != b[len])
			return false;
	return true;
}

static __always_inline bool map_node_is(const struct map_node *node, u64 hash, const void *data,
					size_t len)
{
	return node->hash == hash && node->item.len == (u32)len &&
	       map_equal(node->item.data, data, len);
}

/* The link that the topmost bits select. */
static __always_inline struct map_node **map_root_link(struct kregion_map *m, u64 bits)
{
	return &m->root[bits >> (64 - MAP_ROOT_BITS)];
}

static __always_inline struct map_node **map_child_link(struct map_node *node, u64 bits)
{
	return &node->child[bits >> (64 - MAP_LINK_BITS)];
}

static __always_inline struct map_node *map_follow(struct map_node **link)
{
	/* LMM(map_follow:A) pairs with LMM(map_complete:A) and LMM(map_add:C) */
	return READ_ONCE(*link);
}

/*
 * The node of the bytes, or NULL at the @link where they are missing. A hash ends
 * with the last bit that is set.
 */
static noinline struct map_node *map_walk(struct kregion_map *m, const void *data, size_t len,
					  u64 hash, struct map_node ***link)
{
	u64 bits = hash << MAP_ROOT_BITS;
	unsigned int round = 0;
	struct map_node *node;

	*link = map_root_link(m, hash);
	while ((node = map_follow(*link)) && !map_node_is(node, hash, data, len)) {
		if (unlikely(!bits))
			bits = map_rehash(m, data, len, ++round) | 1;
		*link = map_child_link(node, bits);
		bits <<= MAP_LINK_BITS;
	}
	return node;
}

/*
 * The same by the first hash only, with all variables in registers. NULL
 * without @link if it cannot tell: at the end of the hash, from where it has
 * followed the first links, or at another node with the same hash.
 */
static __always_inline struct map_node *map_lookup(struct kregion_map *m, const void *data,
						   size_t len, u64 hash, struct map_node ***link)
{
	u64 bits = hash << MAP_ROOT_BITS;
	struct map_node *node;

	*link = map_root_link(m, hash);
	while ((node = map_follow(*link)) && node->hash != hash) {
		*link = map_child_link(node, bits);
		bits <<= MAP_LINK_BITS;
	}
	if (likely(node && node->item.len == (u32)len && map_equal(node->item.data, data, len)))
		return node;
	if (node || !bits)
		*link = NULL;
	return NULL;
}

/* ---- memory -------------------------------------------------------------- */

/* Is the memory of @m still that of its region? */
static bool map_current(const struct kregion_map *m)
{
	return READ_ONCE(to_priv(m->r)->epoch) == m->epoch;
}

/* What a map allocates lives as long as the map itself. */
static void *map_alloc(const struct kregion_map *m, size_t size, gfp_t gfp)
{
	void *p;

	if (!map_current(m))
		return NULL;
	p = gfp == MAP_NOFILL ? kregion_alloc_nofill(m->r, size) :
				kregion_alloc(m->r, size, gfp & ~__GFP_ZERO);
	return map_current(m) ? p : NULL;
}

/* ---- the table ----------------------------------------------------------- */

static struct map_chunk *map_chunk_add(const struct kregion_map *m, void **link,
				       gfp_t gfp)
{
	struct map_chunk *chunk = map_alloc(m, sizeof(*chunk), gfp), *other;

	if (!chunk)
		return NULL;
	memset(chunk, 0, sizeof(*chunk));
	/* LMM(map_chunk_add:A) pairs with LMM(map_slot:A) */
	other = cmpxchg(link, NULL, chunk);
	return other ?: chunk;
}

/*
 * Slot @n, or NULL if its chunk does not exist, and with @gfp cannot be added.
 */
static void **map_slot(struct kregion_map *m, u32 n, gfp_t gfp)
{
	unsigned int shift = 0, tree = 0;
	struct map_chunk *chunk;
	void **link;

	for (; shift < MAP_SHIFT_MAX && n >> shift >> MAP_CHUNK_BITS; tree++) {
		n -= MAP_CHUNK_SLOTS << shift;
		shift += MAP_CHUNK_BITS;
	}
	for (link = &m->table[tree];; shift -= MAP_CHUNK_BITS) {
		/* LMM(map_slot:A) pairs with LMM(map_chunk_add:A) */
		chunk = READ_ONCE(*link);
		if (!chunk && gfp != MAP_NONE)
			chunk = map_chunk_add(m, link, gfp);
		if (!chunk)
			return NULL;
		link = &chunk->slot[(n >> shift) % MAP_CHUNK_SLOTS];
		if (!shift)
			return link;
	}
}

/* Slot @n, which is mostly the one after the last that was claimed. */
static void **map_next_slot(struct kregion_map *m, u32 n, gfp_t gfp)
{
	void **slot = READ_ONCE(m->last_slot);
	struct map_node *node = slot ? READ_ONCE(*slot) : NULL;

	if (node && node->item.id == n && n % MAP_CHUNK_SLOTS)
		return slot + 1;
	return map_slot(m, n, gfp);
}

/* As map_equal(). */
static __always_inline void map_copy(u8 *to, const u8 *from, size_t len)
{
	const u8 *last = from + len - 32;

	if (unlikely(len < 32)) {
		memcpy(to, from, len);
		return;
	}
	for (; from < last; to += 32, from += 32)
		memcpy(to, from, 32);
	memcpy(to - (from - last), last, 32);
}

/* ---- insertion ----------------------------------------------------------- */

static struct map_node *map_node_new(const struct kregion_map *m, const void *data, size_t len,
				     u64 hash, gfp_t gfp)
{
	struct map_node *node = map_alloc(m, sizeof(*node) + len, gfp);
	unsigned int i;

	if (!node)
		return NULL;
	/* As stores, not as a string instruction. */
	for (i = 0; i < ARRAY_SIZE(node->child); i += 4)
		memset(&node->child[i], 0, 4 * sizeof(node->child[0]));
	node->hash = hash;
	node->item.len = len;
	map_copy((u8 *)node->item.data, data, len);
	return node;
}

/* Put @node, of @slot @n, into the trie at its link, and advance the count. */
static void map_complete(struct kregion_map *m, unsigned long n, void **slot,
			 struct map_node *node, struct map_node **link)
{
	WRITE_ONCE(m->last_slot, slot);
	/*
	 * LMM(map_complete:A) pairs with LMM(map_follow:A),
	 * LMM(kregion_map_item:A) and LMM(kregion_map_count:A)
	 */
	smp_store_release(link, node);
	/* LMM(map_complete:B) pairs with LMM(map_add:A) */
	cmpxchg(&m->linked, n, n + 1);
}

/* The same for a node that another insertion has put into the slot. */
static noinline void map_complete_other(struct kregion_map *m, unsigned long n, void **slot,
					struct map_node *node)
{
	struct map_node **link;

	map_walk(m, node->item.data, node->item.len, node->hash, &link);
	map_complete(m, n, slot, node, link);
}

/*
 * The item of bytes that a lookup has not found, at @link; NULL without memory.
 */
static noinline const struct kregion_item *map_add(struct kregion_map *m, const void *data,
						   size_t len, u64 hash, struct map_node **link,
						   gfp_t gfp)
{
	struct map_node *node = NULL, *found;
	unsigned long n;
	void **slot;

	for (;;) {
		/* LMM(map_add:A) pairs with LMM(map_complete:B) */
		n = smp_load_acquire(&m->linked);
		/* The path to the link is the same as before. */
		if (unlikely(!link || map_follow(link))) {
			found = map_walk(m, data, len, hash, &link);
			if (found)
				return &found->item;
		}
		/* Where an NMI may not allocate, it may not claim or link, either. */
		if (!__KREGION_NMI_SAFE && gfp == MAP_NOFILL && in_nmi()) {
			kregion_nofill_refuse(m->r, struct_size(node, item.data, len));
			return NULL;
		}
		if (n == U32_MAX)
			return NULL;
		slot = map_next_slot(m, n, gfp);
		if (!slot)
			return NULL;
		/* LMM(map_add:B) pairs with LMM(map_add:C) */
		found = READ_ONCE(*slot);
		if (!found) {
			if (!node)
				node = map_node_new(m, data, len, hash, gfp);
			if (!node)
				return NULL;
			node->item.id = n + 1;
			/*
			 * LMM(map_add:C) pairs with LMM(map_add:B) and
			 * LMM(map_follow:A)
			 */
			found = cmpxchg(slot, NULL, node);
			if (!found) {
				map_complete(m, n, slot, node, link);
				return &node->item;
			}
		}
		map_complete_other(m, n, slot, found);
	}
}

static __always_inline const struct kregion_item *map_put(struct kregion_map *m, const void *data,
							  size_t len, gfp_t gfp)
{
	struct map_node *node, **link;
	u64 hash;

	if (unlikely(len > KREGION_MAP_ITEM_MAX))
		return NULL;
	hash = map_hash(m, data, len);
	node = map_lookup(m, data, len, hash, &link);
	return likely(node) ? &node->item : map_add(m, data, len, hash, link, gfp);
}

/* ---- calls --------------------------------------------------------------- */

/**
 * kregion_map_create - create an intern map in a region
 * @r: The region.
 * @gfp: As for kregion_alloc().
 *
 * The map and its items are objects of the region, and end with them: at a drop,
 * reset or destroy. There is no call that frees a map.
 *
 * Context: As allowed by @gfp; not NMI.
 * Return: The map, or NULL as kregion_alloc().
 */
struct kregion_map *kregion_map_create(struct kregion *r, gfp_t gfp)
{
	struct kregion_map *m;
	unsigned long epoch;

	do {
		epoch = READ_ONCE(to_priv(r)->epoch);
		m = kregion_zalloc(r, sizeof(*m), gfp);
		if (!m)
			return NULL;
		m->r = r;
		m->epoch = epoch;
	} while (!map_current(m));
	get_random_bytes(m->secret, sizeof(m->secret));
	get_random_bytes(&m->key, sizeof(m->key));
	return m;
}
EXPORT_SYMBOL_GPL(kregion_map_create);

/**
 * kregion_map_put - get the item of some bytes, which is added if it is missing
 * @m: The map.
 * @data: The bytes, at any alignment; they do not change during the call.
 * @len: Their number, 0 to KREGION_MAP_ITEM_MAX.
 * @gfp: As for kregion_alloc(), if the item is added.
 *
 * All calls with equal bytes return the same item, and calls with different
 * bytes return different ones. The ids of items are 1, 2, 3 and so on, without a
 * gap. An item neither moves nor changes as long as the map exists. A call that
 * finds the item writes nothing. No call waits for another one.
 *
 * Context: As allowed by @gfp; not NMI. In a region with KREGION_F_SINGLE, the
 * caller serializes all calls that add items with all other calls on the map.
 * Return: The item. NULL if it is missing and @len is over
 * KREGION_MAP_ITEM_MAX, or kregion_alloc() fails, or the map is full (U32_MAX
 * items), or its memory is no longer that of the region. A failed call leaves
 * the map as it was.
 */
const struct kregion_item *kregion_map_put(struct kregion_map *m, const void *data, size_t len,
					   gfp_t gfp)
{
	__kregion_might_alloc(gfp);
	return map_put(m, data, len, gfp);
}
EXPORT_SYMBOL_GPL(kregion_map_put);

/**
 * kregion_map_put_nofill - the same without calling the page allocator
 * @m: The map.
 * @data: The bytes, as for kregion_map_put().
 * @len: Their number. A missing item has to fit in an eighth of a block, with
 *	the header of its node (80 bytes on 64 bits).
 *
 * Adds the item with kregion_alloc_nofill(), up to twice in a call and rarely
 * more often: besides the item, the table of ids needs 512 bytes for every 64
 * items (256 on 32 bits).
 *
 * Context: Any: NMI, under the run-queue lock, in any tracepoint. In NMI, calls
 * with a missing item fail where those of kregion_alloc_nofill() do.
 * Return: The item, or NULL as kregion_map_put() and kregion_alloc_nofill().
 */
const struct kregion_item *kregion_map_put_nofill(struct kregion_map *m, const void *data,
						  size_t len)
{
	return map_put(m, data, len, MAP_NOFILL);
}
EXPORT_SYMBOL_GPL(kregion_map_put_nofill);

/**
 * kregion_map_find - get the item of some bytes
 * @m: The map.
 * @data: The bytes, as for kregion_map_put().
 * @len: Their number.
 *
 * Context: Any.
 * Return: The item, or NULL if there is none.
 */
const struct kregion_item *kregion_map_find(struct kregion_map *m, const void *data, size_t len)
{
	struct map_node *node, **link;
	u64 hash;

	if (unlikely(len > KREGION_MAP_ITEM_MAX))
		return NULL;
	hash = map_hash(m, data, len);
	node = map_lookup(m, data, len, hash, &link);
	if (unlikely(!node && !link))
		node = map_walk(m, data, len, hash, &link);
	return node ? &node->item : NULL;
}
EXPORT_SYMBOL_GPL(kregion_map_find);

/**
 * kregion_map_item - get the item with some id
 * @m: The map.
 * @id: The id; any number.
 *
 * Context: Any.
 * Return: The item, or NULL if there is none.
 */
const struct kregion_item *kregion_map_item(struct kregion_map *m, u32 id)
{
	struct map_node *node;
	void **slot;

	/* LMM(kregion_map_item:A) pairs with LMM(map_complete:A) */
	smp_rmb();
	slot = id ? map_slot(m, id - 1, MAP_NONE) : NULL;
	node = slot ? READ_ONCE(*slot) : NULL;
	return node ? &node->item : NULL;
}
EXPORT_SYMBOL_GPL(kregion_map_item);

/**
 * kregion_map_count - count the items of a map
 * @m: The map.
 *
 * Includes each item that the caller has got from the map. While other contexts
 * add items, the number may be out of date at once.
 *
 * Context: Any.
 * Return: The number of items, which is also the last id.
 */
u32 kregion_map_count(struct kregion_map *m)
{
	unsigned long n;
	void **slot;

	/* LMM(kregion_map_count:A) pairs with LMM(map_complete:A) */
	smp_rmb();
	n = READ_ONCE(m->linked);
	slot = n < U32_MAX ? map_slot(m, n, MAP_NONE) : NULL;
	return n + (slot && READ_ONCE(*slot));
}
EXPORT_SYMBOL_GPL(kregion_map_count);
