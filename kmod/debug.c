// SPDX-License-Identifier: GPL-2.0
/*
 * KREGION_F_DEBUG: what is behind, in front of and between objects is known, and
 * looked at before it is forgotten.
 *
 * A chunk of a debug region, at the alignment asked for:
 *
 *	| poison ... | head (8) | object | guard (8 to 15) |
 *	 <- lead: max(align, 8) ->
 *
 * All memory that is in no chunk is poison, in spare blocks too; a fresh block
 * is filled with it, and so is a block when its objects are forgotten. An
 * allocation looks whether what it takes is still poison, so a write through a
 * stale pointer is found at the latest when the place is handed out again.
 *
 * With generic KASAN all but the objects is poisoned in the shadow too.
 */

#include <linux/hash.h>
#include <linux/kasan.h>
#include <linux/limits.h>
#include <linux/mm.h>

#include "internal.h"

#define POISON_BYTE	0x6b
#define POISON_WORD	0x6b6b6b6b6b6b6b6bULL
#define GUARD_BYTE	0xa5
#define GUARD_WORD	0xa5a5a5a5a5a5a5a5ULL

/* The size twice, so that neither is taken for valid if the other one disagrees. */
struct head {
	u32 check;	/* size ^ head_key() */
	u32 size;	/* of the object, in bytes */
};

static_assert(sizeof(struct head) == KREGION_ALIGN);
static_assert(KREGION_MAX_ALLOC <= U32_MAX);

/* ---- KASAN's shadow ------------------------------------------------------ */

#define SHADOW_OPEN	0x00
#define SHADOW_CLOSED	0xfc	/* reported as a redzone */

/* Without CONFIG_KASAN_VMALLOC the shadow of vmalloc memory is one page, read only. */
static void shadow(const void *p, size_t bytes, u8 value)
{
#ifdef CONFIG_KASAN_GENERIC
	if (IS_ENABLED(CONFIG_KASAN_VMALLOC) || !is_vmalloc_addr(p))
		kasan_poison(p, bytes, value, false);
#endif
}

/* ---- reports ------------------------------------------------------------- */

/*
 * Without the lock, for callers in any context: no block goes away as long as
 * allocations are allowed.
 */
static size_t offset_in_block(struct kregion_priv *rg, const char *p)
{
	const struct kregion_block *b;
	unsigned int i;

	for (i = 0; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = READ_ONCE(b->chain))
			if (p >= b->start && p < (const char *)b)
				return p - b->start;
	return 0;
}

/* @size is 0 if there is no object, or none that is known. */
static noinline __cold void report(struct kregion_priv *rg, const char *what, size_t object,
				   size_t size, size_t at, u8 found)
{
	if (size)
		WARN(1, "kregion: %s: %s: object of %zu bytes at offset %zu of its block, byte %#x at offset %zu\n",
		     rg->name, what, size, object, found, at);
	else
		WARN(1, "kregion: %s: %s: byte %#x at offset %zu of its block\n",
		     rg->name, what, found, at);
}

/* ---- making -------------------------------------------------------------- */

static size_t lead_bytes(size_t align)
{
	return max_t(size_t, align, sizeof(struct head));
}

/* From the first byte of an object to the end of its chunk. */
static size_t tail_bytes(size_t size)
{
	return ALIGN(size, KREGION_ALIGN) + KREGION_ALIGN;
}

/* What an object takes in all. */
size_t kregion_debug_bytes(size_t size, size_t align)
{
	return lead_bytes(align) + tail_bytes(size);
}

/*
 * A head is valid at its own place only, not where it was copied to. No byte of the
 * key is 0, so a run of one value over both words never makes a valid head.
 */
static u32 head_key(const struct head *head)
{
	return hash_32((unsigned long)head / sizeof(*head), 32) | 0x01010101;
}

static struct head head_of(const struct head *place, u32 size)
{
	return (struct head){ .check = size ^ head_key(place), .size = size };
}

/* A block has come from the system. */
void kregion_debug_fresh(struct kregion_block *b)
{
	memset(b->start, POISON_BYTE, block_room(b));
	shadow(b->start, block_room(b), SHADOW_CLOSED);
}

/* A block goes back. */
void kregion_debug_release(struct kregion_block *b)
{
	shadow(b->start, block_room(b), SHADOW_OPEN);
}

/* Make an object of @size in @chunk, which has kregion_debug_bytes(@size, @align). */
void *kregion_debug_object(struct kregion_priv *rg, char *chunk, size_t size, size_t align)
{
	const size_t bytes = kregion_debug_bytes(size, align);
	char *p = chunk + lead_bytes(align);
	struct head *head = (struct head *)p - 1;
	char *end = p + ALIGN(size, KREGION_ALIGN);
	const char *bad;

	shadow(chunk, bytes, SHADOW_OPEN);
	bad = memchr_inv(chunk, POISON_BYTE, bytes);
	if (bad) {
		const size_t at = offset_in_block(rg, chunk);

		report(rg, "free memory was written", at + (p - chunk), size,
		       at + (bad - chunk), *bad);
		memset(chunk, POISON_BYTE, bytes);
	}
	*head = head_of(head, size);
	memset(p + size, GUARD_BYTE, tail_bytes(size) - size);
	shadow(chunk, p - chunk, SHADOW_CLOSED);
	shadow(end, chunk + bytes - end, SHADOW_CLOSED);
	return p;
}

/* ---- checking ------------------------------------------------------------ */

/* Is there room for an object of @size between @head and @end? */
static bool head_fits(const struct head *head, size_t size, const char *end)
{
	const size_t left = end - (const char *)(head + 1);

	return size && size <= left && tail_bytes(size) <= left;
}

static bool head_intact(const struct head *head, const char *end)
{
	return head->check == head_of(head, head->size).check && head_fits(head, head->size, end);
}

static const char *guard_damage(const char *object, size_t size)
{
	return memchr_inv(object + size, GUARD_BYTE, tail_bytes(size) - size);
}

/*
 * The size that one of the two words of a damaged @head says and the guard confirms;
 * 0 if none. Of two in the same word of memory, the guard confirms the larger one too.
 */
static size_t head_recover(const struct head *head, const char *end)
{
	const u32 other = head->check ^ head_key(head);
	const u32 sizes[] = { min(head->size, other), max(head->size, other) };
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (head_fits(head, sizes[i], end) &&
		    !guard_damage((const char *)(head + 1), sizes[i]))
			return sizes[i];
	return 0;
}

static bool is_word(const char *p, u64 word)
{
	return *(const u64 *)p == word;
}

/*
 * What stands at @p is neither poison nor an intact head: report that, and return where
 * to go on, which is the next intact head at the latest.
 */
static const char *check_front(struct kregion_priv *rg, const char *start, const char *p,
			       const char *end)
{
	static const char what[] = "memory in front of an object was written";
	const struct head *head = (const struct head *)p, *next = head + 1;
	size_t at = 0, size = head_recover(head, end);
	const char *q;

	if (size) {
		const struct head good = head_of(head, size);

		while (p[at] == ((const char *)&good)[at])
			at++;
		report(rg, what, (const char *)next - start, size, p + at - start, p[at]);
		return (const char *)next + tail_bytes(size);
	}
	while ((const char *)next < end && !head_intact(next, end))
		next++;
	/* The end of a guard in between says that @p is a head; else it is padding of @next. */
	q = (const char *)next;
	while (q - sizeof(u64) > p && is_word(q - sizeof(u64), POISON_WORD))
		q -= sizeof(u64);
	if ((const char *)next == end ||
	    (q - sizeof(u64) > p && is_word(q - sizeof(u64), GUARD_WORD))) {
		report(rg, what, 0, 0, p - start, *p);
	} else {
		q = memchr_inv(p, POISON_BYTE, sizeof(u64));
		report(rg, what, (const char *)(next + 1) - start, next->size, q - start, *q);
	}
	return (const char *)next;
}

/* Look at every object of @b; the region is quiet. */
static void check_objects(struct kregion_priv *rg, struct kregion_block *b, size_t used)
{
	const char *start = b->start, *end = start + used, *p = start, *bad;
	size_t size;

	while (p < end) {
		if (is_word(p, POISON_WORD)) {	/* alignment */
			p += sizeof(u64);
			continue;
		}
		if (!head_intact((const struct head *)p, end)) {
			p = check_front(rg, start, p, end);
			continue;
		}
		size = ((const struct head *)p)->size;
		p += sizeof(struct head);
		bad = guard_damage(p, size);
		if (bad)
			report(rg, "memory behind an object was written", p - start, size,
			       bad - start, *bad);
		p += tail_bytes(size);
	}
}

static void check_free(struct kregion_priv *rg, struct kregion_block *b, size_t used)
{
	const char *start = b->start, *bad;

	bad = memchr_inv(start + used, POISON_BYTE, block_room(b) - used);
	if (bad)
		report(rg, "free memory was written", bad - start, 0, bad - start, *bad);
}

static void check_block(struct kregion_priv *rg, struct kregion_block *b)
{
	const size_t used = b->epoch == rg->epoch ? block_used(b) : 0;

	shadow(b->start, block_room(b), SHADOW_OPEN);
	check_objects(rg, b, used);
	check_free(rg, b, used);
	kregion_debug_fresh(b);
}

/* The objects of @rg are about to be forgotten: check them and poison all. */
void kregion_debug_check(struct kregion_priv *rg)
{
	struct kregion_block *b;
	unsigned int i;

	for (i = 0; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = READ_ONCE(b->chain))
			check_block(rg, b);
}
