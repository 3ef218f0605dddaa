// SPDX-License-Identifier: GPL-2.0
/*
 * The intern map: equal bytes become one item with a small number.
 */

/**
 * DOC: map
 *
 * A map has two structures over the same nodes, both of memory of the region:
 *
 * - The trie finds bytes. Each node is an item with four links to children. The
 *   path of some bytes starts at one of the links in &kregion_map.root, and
 *   each further link is chosen by the next two bits of their hash. The node of
 *   the bytes is the one that ends their path: no path is ever rebuilt.
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
 * 1. Read the count n, then search the bytes. If they are there, another
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
 * A path begins with the 64 bits of a fast hash: a chain of multiplications by
 * secret random numbers, whose products are folded. A longer path continues
 * with siphash() of the same bytes, 64 bits for each key, and the keys never
 * end. So the speed of a lookup does not depend on the strength of the fast
 * hash: bytes that were chosen to break it share the nodes of one path, as many
 * as its bits select, and the keyed siphash() spreads them from there on.
 * Architectures without a product of 128 bits use siphash() only.
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
 * Costs
 * =====
 *
 * On 64 bits, a node has 48 bytes besides its data, rounded up to 8. A chunk of
 * the table has 512 bytes, and holds 64 ids. On 32 bits, these are 32 and 256.
 */

#include <linux/bitops.h>
#include <linux/kregion.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/string.h>

#include "internal.h"

#define MAP_ROOT_BITS	6
#define MAP_LINK_BITS	2

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

/* One per call that inserts: where its memory comes from. */
struct map_source {
	gfp_t gfp;
	bool nofill;
};

struct kregion_map {
	struct kregion *r;		/* I */
	unsigned long epoch;		/* I: of the region */
	u64 secret[3];			/* I: of the fast hash */
	siphash_key_t key;		/* I */
	unsigned long linked;		/* A: first slots, whose nodes are in the trie */
	void *table[MAP_TREES];		/* A */
	struct map_node *root[1 << MAP_ROOT_BITS];	/* A */
};

/* A position on the path of some bytes. */
struct map_path {
	const void *data;
	size_t len;
	u64 hash;			/* map_hash() */
	u64 bits;			/* of the present hash, the next ones on top, then a one */
	unsigned int round;		/* number of the present hash */
	struct map_node **link;
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
static __always_inline u64 map_fold(u64 a, u64 b)
{
	const unsigned __int128 product = (unsigned __int128)a * b;

	return (u64)product ^ (u64)(product >> 64);
}

/* Two words at a time; the last ones may overlap those before them. */
static __always_inline u64 map_hash(const struct kregion_map *m, const u8 *p, size_t len)
{
	const u64 secret = m->secret[0];
	u64 hash = m->secret[1] ^ len, a = 0, b = 0;
	const u8 *last = p + len - 16;

	if (map_weak(0))
		return 0;
	if (likely(len >= 16)) {
		for (; p < last; p += 16)
			hash = map_fold(hash ^ map_load(p), secret ^ map_load(p + 8));
		a = map_load(last);
		b = map_load(last + 8);
	} else if (len >= 8) {
		a = map_load(p);
		b = map_load(p + len - 8);
	} else if (len >= 4) {
		memcpy(&a, p, 4);
		memcpy(&b, p + len - 4, 4);
	} else if (len) {
		a = p[0] | p[len / 2] << 8 | p[len - 1] << 16;
	}
	return map_fold(map_fold(hash ^ a, secret ^ b), m->secret[2]);
}
#else
static u64 map_hash(const struct kregion_map *m, const u8 *p, size_t len)
{
	return map_rehash(m, p, len, 0);
}
#endif

/* ---- the trie ------------------------------------------------------------ */

/*
 * Without a call, so that a lookup needs no stack. The last bytes may overlap
 * those before them.
 */
static __always_inline bool map_equal(const u8 *a, const u8 *b, size_t len)
{
	const u8 *last = a + len - 16;

	if (unlikely(len < 16)) {
		while (len--)
			if (a[len] != b[len])
				return false;
		return true;
	}
	for (; a < last; a += 16, b += 16)
		if (map_load(a) != map_load(b) || map_load(a + 8) != map_load(b + 8))
			return false;
	b -= a - last;
	return map_load(last) == map_load(b) && map_load(last + 8) == map_load(b + 8);
}

static __always_inline bool map_node_is(const struct map_node *node, u64 hash, const void *data,
					size_t len)
{
	return node->hash == hash && node->item.len == len && map_equal(node->item.data, data, len);
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

static __always_inline void map_path_init(struct map_path *path, struct kregion_map *m,
					  const void *data, size_t len, u64 hash)
{
	path->data = data;
	path->len = len;
	path->hash = hash;
	path->bits = hash << MAP_ROOT_BITS | BIT(MAP_ROOT_BITS - 1);
	path->round = 0;
	path->link = map_root_link(m, hash);
}

/*
 * The node of the bytes, or NULL at the link where it is missing. Continues
 * where the last walk ended.
 */
static noinline struct map_node *map_walk(const struct kregion_map *m, struct map_path *path)
{
	struct map_node *node;

	while ((node = map_follow(path->link)) &&
	       !map_node_is(node, path->hash, path->data, path->len)) {
		if (unlikely(!(path->bits << MAP_LINK_BITS)))
			path->bits = map_rehash(m, path->data, path->len, ++path->round) | 1;
		path->link = map_child_link(node, path->bits);
		path->bits <<= MAP_LINK_BITS;
	}
	return node;
}

/*
 * A walk by the first hash only, all of whose variables are in registers. NULL
 * without bits left says nothing, as the walk has followed the first links from
 * there on.
 */
static __always_inline struct map_node *map_lookup(struct map_path *path)
{
	struct map_node *node = map_follow(path->link);

	while (node && !map_node_is(node, path->hash, path->data, path->len)) {
		node = map_follow(map_child_link(node, path->bits));
		path->bits <<= MAP_LINK_BITS;
	}
	return node;
}

static noinline struct map_node *map_lookup_deep(struct kregion_map *m, const void *data,
						 size_t len, u64 hash)
{
	struct map_path path;

	map_path_init(&path, m, data, len, hash);
	return map_walk(m, &path);
}

/* ---- memory -------------------------------------------------------------- */

/* Is the memory of @m still that of its region? */
static bool map_current(const struct kregion_map *m)
{
	return READ_ONCE(to_priv(m->r)->epoch) == m->epoch;
}

/* What a map allocates lives as long as the map itself. */
static void *map_alloc(const struct kregion_map *m, size_t size, const struct map_source *source)
{
	void *p;

	if (!map_current(m))
		return NULL;
	p = source->nofill ? kregion_alloc_nofill(m->r, size) :
			     kregion_alloc(m->r, size, source->gfp & ~__GFP_ZERO);
	return map_current(m) ? p : NULL;
}

/* ---- the table ----------------------------------------------------------- */

static struct map_chunk *map_chunk_add(const struct kregion_map *m, void **link,
				       const struct map_source *source)
{
	struct map_chunk *chunk = map_alloc(m, sizeof(*chunk), source), *other;

	if (!chunk)
		return NULL;
	memset(chunk, 0, sizeof(*chunk));
	/* LMM(map_chunk_add:A) pairs with LMM(map_slot:A) */
	other = cmpxchg(link, NULL, chunk);
	return other ?: chunk;
}

/*
 * Slot @n, or NULL if its chunk does not exist; with a @source, if it cannot be
 * added.
 */
static void **map_slot(struct kregion_map *m, u32 n, const struct map_source *source)
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
		if (!chunk && source)
			chunk = map_chunk_add(m, link, source);
		if (!chunk)
			return NULL;
		link = &chunk->slot[(n >> shift) % MAP_CHUNK_SLOTS];
		if (!shift)
			return link;
	}
}

/* ---- insertion ----------------------------------------------------------- */

static struct map_node *map_node_new(const struct kregion_map *m, const struct map_path *path,
				     const struct map_source *source)
{
	struct map_node *node = map_alloc(m, struct_size(node, item.data, path->len), source);

	if (!node)
		return NULL;
	memset(node->child, 0, sizeof(node->child));
	node->hash = path->hash;
	node->item.len = path->len;
	memcpy((u8 *)node->item.data, path->data, path->len);
	return node;
}

/* Put @node, of slot @n, into the trie at its link, and advance the count. */
static void map_complete(struct kregion_map *m, unsigned long n, struct map_node *node,
			 struct map_node **link)
{
	/*
	 * LMM(map_complete:A) pairs with LMM(map_follow:A),
	 * LMM(kregion_map_item:A) and LMM(kregion_map_count:A)
	 */
	smp_store_release(link, node);
	/* LMM(map_complete:B) pairs with LMM(map_add:A) */
	cmpxchg(&m->linked, n, n + 1);
}

/* The item of bytes that a lookup has not found; NULL without memory. */
static noinline const struct kregion_item *map_add(struct kregion_map *m, const void *data,
						   size_t len, u64 hash, struct map_source source)
{
	struct map_node *node = NULL, *found;
	struct map_path path, other;
	unsigned long n;
	void **slot;

	map_path_init(&path, m, data, len, hash);
	for (;;) {
		/* LMM(map_add:A) pairs with LMM(map_complete:B) */
		n = smp_load_acquire(&m->linked);
		found = map_walk(m, &path);
		if (found)
			return &found->item;
		/* Where an NMI may not allocate, it may not claim or link, either. */
		if (!__KREGION_NMI_SAFE && source.nofill && in_nmi()) {
			kregion_nofill_refuse(m->r, struct_size(node, item.data, len));
			return NULL;
		}
		if (n == U32_MAX)
			return NULL;
		slot = map_slot(m, n, &source);
		if (!slot)
			return NULL;
		/* LMM(map_add:B) pairs with LMM(map_add:C) */
		found = READ_ONCE(*slot);
		if (!found) {
			if (!node)
				node = map_node_new(m, &path, &source);
			if (!node)
				return NULL;
			node->item.id = n + 1;
			/*
			 * LMM(map_add:C) pairs with LMM(map_add:B) and
			 * LMM(map_follow:A)
			 */
			found = cmpxchg(slot, NULL, node);
			if (!found) {
				map_complete(m, n, node, path.link);
				return &node->item;
			}
		}
		map_path_init(&other, m, found->item.data, found->item.len, found->hash);
		map_walk(m, &other);
		map_complete(m, n, found, other.link);
	}
}

static __always_inline const struct kregion_item *map_put(struct kregion_map *m, const void *data,
							  size_t len, struct map_source source)
{
	struct map_node *node;
	struct map_path path;

	if (unlikely(len > KREGION_MAP_ITEM_MAX))
		return NULL;
	map_path_init(&path, m, data, len, map_hash(m, data, len));
	node = map_lookup(&path);
	return likely(node) ? &node->item : map_add(m, data, len, path.hash, source);
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
	return map_put(m, data, len, (struct map_source){ .gfp = gfp });
}
EXPORT_SYMBOL_GPL(kregion_map_put);

/**
 * kregion_map_put_nofill - the same without calling the page allocator
 * @m: The map.
 * @data: The bytes, as for kregion_map_put().
 * @len: Their number. A missing item has to fit in an eighth of a block, with
 *	the header of its node (48 bytes on 64 bits).
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
	return map_put(m, data, len, (struct map_source){ .nofill = true });
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
	struct map_node *node;
	struct map_path path;

	if (unlikely(len > KREGION_MAP_ITEM_MAX))
		return NULL;
	map_path_init(&path, m, data, len, map_hash(m, data, len));
	node = map_lookup(&path);
	if (unlikely(!node && !path.bits))
		node = map_lookup_deep(m, data, len, path.hash);
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
	slot = id ? map_slot(m, id - 1, NULL) : NULL;
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
	slot = n < U32_MAX ? map_slot(m, n, NULL) : NULL;
	return n + (slot && READ_ONCE(*slot));
}
EXPORT_SYMBOL_GPL(kregion_map_count);
