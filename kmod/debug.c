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

#include <linux/kasan.h>
#include <linux/limits.h>
#include <linux/mm.h>

#include "internal.h"

#define POISON_BYTE	0x6b
#define POISON_WORD	0x6b6b6b6b6b6b6b6bULL
#define GUARD_BYTE	0xa5
#define HEAD_MAGIC	0x6b5e910aU

struct head {
	u32 magic;
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
static size_t offset_in_block(struct region *rg, const char *p)
{
	const struct kregion_block *b;
	unsigned int i;

	for (i = 0; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = READ_ONCE(b->chain))
			if (p >= b->start && p < (const char *)b)
				return p - b->start;
	return 0;
}

static void report(struct region *rg, const char *what, size_t object, size_t size, size_t at,
		   u8 found)
{
	WARN(1, "kregion: %s: %s: object of %zu bytes at offset %zu of its block, byte %#x at offset %zu\n",
	     rg->name, what, size, object, found, at);
}

/* ---- making -------------------------------------------------------------- */

static size_t lead_bytes(size_t align)
{
	return max_t(size_t, align, sizeof(struct head));
}

/* What an object takes in all. */
size_t debug_bytes(size_t size, size_t align)
{
	return lead_bytes(align) + ALIGN(size, KREGION_ALIGN) + KREGION_ALIGN;
}

/* A block has come from the system. */
void debug_fresh(struct kregion_block *b)
{
	memset(b->start, POISON_BYTE, block_room(b));
	shadow(b->start, block_room(b), SHADOW_CLOSED);
}

/* A block goes back. */
void debug_release(struct kregion_block *b)
{
	shadow(b->start, block_room(b), SHADOW_OPEN);
}

/* Make an object of @size in @chunk, which has debug_bytes(@size, @align). */
void *debug_object(struct region *rg, char *chunk, size_t size, size_t align)
{
	const size_t bytes = debug_bytes(size, align);
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
	head->magic = HEAD_MAGIC;
	head->size = size;
	memset(p + size, GUARD_BYTE, chunk + bytes - (p + size));
	shadow(chunk, p - chunk, SHADOW_CLOSED);
	shadow(end, chunk + bytes - end, SHADOW_CLOSED);
	return p;
}

/* ---- checking ------------------------------------------------------------ */

/* Look at every object of @b; the region is quiet. */
static void check_objects(struct region *rg, struct kregion_block *b, size_t used)
{
	const char *start = b->start, *p = start, *bad;
	const struct head *head;
	size_t guard;

	while (p < start + used) {
		if (*(const u64 *)p == POISON_WORD) {	/* alignment */
			p += sizeof(u64);
			continue;
		}
		head = (const struct head *)p;
		p += sizeof(*head);
		if (head->magic != HEAD_MAGIC || head->size > start + used - p) {
			report(rg, "memory in front of an object was written", p - start, 0,
			       (const char *)head - start, *(const u8 *)head);
			return;		/* where the next one begins is not known */
		}
		guard = ALIGN(head->size, KREGION_ALIGN) + KREGION_ALIGN - head->size;
		bad = memchr_inv(p + head->size, GUARD_BYTE, guard);
		if (bad)
			report(rg, "memory behind an object was written", p - start, head->size,
			       bad - start, *bad);
		p += head->size + guard;
	}
}

static void check_free(struct region *rg, struct kregion_block *b, size_t used)
{
	const char *start = b->start, *bad;

	bad = memchr_inv(start + used, POISON_BYTE, block_room(b) - used);
	if (bad)
		report(rg, "free memory was written", bad - start, 0, bad - start, *bad);
}

static void check_block(struct region *rg, struct kregion_block *b)
{
	const size_t used = b->epoch == rg->epoch ? block_used(b) : 0;

	shadow(b->start, block_room(b), SHADOW_OPEN);
	check_objects(rg, b, used);
	check_free(rg, b, used);
	debug_fresh(b);
}

/* The objects of @rg are about to be forgotten: check them and poison all. */
void debug_check(struct region *rg)
{
	struct kregion_block *b;
	unsigned int i;

	for (i = 0; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = READ_ONCE(b->chain))
			check_block(rg, b);
}
