// SPDX-License-Identifier: GPL-2.0
/*
 * KREGION_F_DEBUG: redzones around each object and poison everywhere else,
 * checked when objects are freed.
 *
 * A chunk of a debug region, with the object at the alignment asked for:
 *
 *	| poison ... | metadata (8) | object | right redzone (8 to 15) |
 *	 <- left redzone: max(align, 8) ->
 *
 * Memory outside of chunks is poisoned, spare blocks included: when a block is
 * allocated, and again when its objects are freed. An allocation checks that
 * the memory it takes is still poisoned, so a write after free is reported at
 * the latest when its memory is allocated again.
 *
 * Generic KASAN poisons everything but the objects in its shadow, too.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hash.h>
#include <linux/kasan.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/poison.h>

#include "internal.h"

/* Free memory and padding hold POISON_FREE, right redzones POISON_END. */
#define WORD_OF(byte)	((byte) * 0x0101010101010101ULL)

/* The size twice: each copy validates the other one. */
struct debug_meta {
	u32 check;	/* size ^ meta_key() */
	u32 size;	/* of the object, in bytes */
};

static_assert(sizeof(struct debug_meta) == KREGION_ALIGN);
static_assert(KREGION_MAX_ALLOC <= U32_MAX);

/* ---- KASAN's shadow ------------------------------------------------------ */

#define SHADOW_REDZONE	0xfc	/* KASAN_SLAB_REDZONE */

static void shadow_set(const void *p, size_t bytes, u8 value)
{
	/*
	 * Without CONFIG_KASAN_VMALLOC the shadow of vmalloc memory is one
	 * read-only page.
	 */
#ifdef CONFIG_KASAN_GENERIC
	if (IS_ENABLED(CONFIG_KASAN_VMALLOC) || !is_vmalloc_addr(p))
		kasan_poison(p, bytes, value, false);
#endif
}

static void shadow_poison(const void *p, size_t bytes)
{
	shadow_set(p, bytes, SHADOW_REDZONE);
}

static void shadow_unpoison(const void *p, size_t bytes)
{
	shadow_set(p, bytes, 0);
}

/* ---- reports ------------------------------------------------------------- */

/*
 * Walks the chains without the lock, as callers run in any context: no block is
 * freed while allocations are allowed.
 */
static size_t offset_in_block(struct kregion_priv *rg, const char *p)
{
	const struct kregion_block *b;
	unsigned int i;

	/* LMM(offset_in_block:A) pairs with LMM(bucket_insert:A) */
	for (i = 0; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = READ_ONCE(b->chain))
			if (p >= b->start && p < (const char *)b)
				return p - b->start;
	return 0;
}

/* @size is 0 for damage that belongs to no object, or to an unknown one. */
static noinline __cold void report(struct kregion_priv *rg, const char *what, size_t object,
				   size_t size, size_t at, u8 found)
{
	if (size)
		region_WARN(rg, "%s: object of %zu bytes at offset %zu of its block, byte %#x at offset %zu\n",
			    what, size, object, found, at);
	else
		region_WARN(rg, "%s: byte %#x at offset %zu of its block\n", what, found, at);
}

/* ---- objects ------------------------------------------------------------- */

static size_t left_redzone(size_t align)
{
	return max_t(size_t, align, sizeof(struct debug_meta));
}

/* An object with its right redzone. */
static size_t redzoned_size(size_t size)
{
	return ALIGN(size, KREGION_ALIGN) + KREGION_ALIGN;
}

/* Bytes of the chunk of an object. */
size_t kregion_debug_bytes(size_t size, size_t align)
{
	return left_redzone(align) + redzoned_size(size);
}

/*
 * The key depends on the address, so a copy of metadata is not valid elsewhere.
 * No byte of it is 0, so a fill with one value over both words is never valid.
 */
static u32 meta_key(const struct debug_meta *meta)
{
	return hash_32((unsigned long)meta / sizeof(*meta), 32) | 0x01010101;
}

static struct debug_meta meta_of(const struct debug_meta *place, u32 size)
{
	return (struct debug_meta){ .check = size ^ meta_key(place), .size = size };
}

/*
 * Poison @b at offset @from and behind: the block is new, or its objects are
 * freed.
 */
void kregion_debug_poison(struct kregion_block *b, size_t from)
{
	memset(b->start + from, POISON_FREE, block_room(b) - from);
	shadow_poison(b->start + from, block_room(b) - from);
}

/* Allow access to @b, which is about to be freed. */
void kregion_debug_unpoison(struct kregion_block *b)
{
	shadow_unpoison(b->start, block_room(b));
}

/* Place an object in @chunk, which has kregion_debug_bytes(@size, @align). */
void *kregion_debug_object(struct kregion_priv *rg, char *chunk, size_t size, size_t align)
{
	const size_t bytes = kregion_debug_bytes(size, align);
	char *p = chunk + left_redzone(align);
	struct debug_meta *meta = (struct debug_meta *)p - 1;
	char *end = p + ALIGN(size, KREGION_ALIGN);
	const char *bad;

	shadow_unpoison(chunk, bytes);
	bad = memchr_inv(chunk, POISON_FREE, bytes);
	if (bad) {
		const size_t at = offset_in_block(rg, chunk);

		report(rg, "free memory was written", at + (p - chunk), size,
		       at + (bad - chunk), *bad);
		memset(chunk, POISON_FREE, bytes);
	}
	*meta = meta_of(meta, size);
	memset(p + size, POISON_END, redzoned_size(size) - size);
	shadow_poison(chunk, p - chunk);
	shadow_poison(end, chunk + bytes - end);
	return p;
}

/* ---- checking ------------------------------------------------------------ */

/* Does an object of @size fit between @meta and @end? */
static bool meta_fits(const struct debug_meta *meta, size_t size, const char *end)
{
	const size_t left = end - (const char *)(meta + 1);

	return size && size <= left && redzoned_size(size) <= left;
}

static bool meta_valid(const struct debug_meta *meta, const char *end)
{
	return meta->check == meta_of(meta, meta->size).check && meta_fits(meta, meta->size, end);
}

static const char *redzone_damage(const char *object, size_t size)
{
	return memchr_inv(object + size, POISON_END, redzoned_size(size) - size);
}

/*
 * Shrink the object at @p to @size, 0 for none. What it leaves looks like
 * padding of the next one. A damaged object stays as it is, for the check that
 * reports it.
 */
void kregion_debug_shrink(char *p, size_t size)
{
	struct debug_meta *meta = (struct debug_meta *)p - 1;
	char *start = size ? p + size : (char *)meta, *end;
	size_t old;

	shadow_unpoison(meta, sizeof(*meta));
	old = meta->size;
	end = p + redzoned_size(old);
	if (meta->check == meta_of(meta, old).check && size <= old) {
		shadow_unpoison(p, end - p);
		if (!redzone_damage(p, old)) {
			memset(start, POISON_FREE, end - start);
			if (size) {
				*meta = meta_of(meta, size);
				memset(start, POISON_END, redzoned_size(size) - size);
				start = p + ALIGN(size, KREGION_ALIGN);
			}
		} else {
			start = p + ALIGN(old, KREGION_ALIGN);
		}
		shadow_poison(start, end - start);
	}
	shadow_poison(meta, sizeof(*meta));
}

/*
 * The size of the object behind a damaged @meta: that of its two copies which
 * an intact right redzone confirms, or 0. The smaller one comes first: if both
 * end in the same word, its redzone includes that of the larger one.
 */
static size_t meta_recover(const struct debug_meta *meta, const char *end)
{
	const u32 other = meta->check ^ meta_key(meta);
	const u32 sizes[] = { min(meta->size, other), max(meta->size, other) };
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (meta_fits(meta, sizes[i], end) &&
		    !redzone_damage((const char *)(meta + 1), sizes[i]))
			return sizes[i];
	return 0;
}

static bool word_is(const char *p, u8 byte)
{
	return *(const u64 *)p == WORD_OF(byte);
}

/*
 * @p holds neither poison nor valid metadata. Reports the damage and returns
 * the address to go on from, at most that of the next valid metadata.
 */
static const char *check_left_redzone(struct kregion_priv *rg, const char *start,
				      const char *p, const char *end)
{
	static const char what[] = "memory in front of an object was written";
	const struct debug_meta *meta = (const struct debug_meta *)p, *next = meta + 1;
	size_t at = 0, size = meta_recover(meta, end);
	const char *q;

	if (size) {
		const struct debug_meta good = meta_of(meta, size);

		while (p[at] == ((const char *)&good)[at])
			at++;
		report(rg, what, (const char *)next - start, size, p + at - start, p[at]);
		return (const char *)next + redzoned_size(size);
	}
	while ((const char *)next < end && !meta_valid(next, end))
		next++;
	/*
	 * A right redzone before @next: @p was metadata. None: padding of
	 * @next.
	 */
	q = (const char *)next;
	while (q - sizeof(u64) > p && word_is(q - sizeof(u64), POISON_FREE))
		q -= sizeof(u64);
	if ((const char *)next == end ||
	    (q - sizeof(u64) > p && word_is(q - sizeof(u64), POISON_END))) {
		report(rg, what, 0, 0, p - start, *p);
	} else {
		q = memchr_inv(p, POISON_FREE, sizeof(u64));
		report(rg, what, (const char *)(next + 1) - start, next->size, q - start, *q);
	}
	return (const char *)next;
}

/* Check the objects of @b between two offsets; the region is quiesced. */
static void check_objects(struct kregion_priv *rg, struct kregion_block *b, size_t from,
			  size_t used)
{
	const char *start = b->start, *end = start + used, *p = start + from, *bad;
	size_t size;

	while (p < end) {
		if (word_is(p, POISON_FREE)) {	/* alignment */
			p += sizeof(u64);
			continue;
		}
		if (!meta_valid((const struct debug_meta *)p, end)) {
			p = check_left_redzone(rg, start, p, end);
			continue;
		}
		size = ((const struct debug_meta *)p)->size;
		p += sizeof(struct debug_meta);
		bad = redzone_damage(p, size);
		if (bad)
			report(rg, "memory behind an object was written", p - start, size,
			       bad - start, *bad);
		p += redzoned_size(size);
	}
}

static void check_free(struct kregion_priv *rg, struct kregion_block *b, size_t used)
{
	const char *start = b->start, *bad;

	bad = memchr_inv(start + used, POISON_FREE, block_room(b) - used);
	if (bad)
		report(rg, "free memory was written", bad - start, 0, bad - start, *bad);
}

/*
 * Check the objects of @b at offset @from and behind, up to @used, which are
 * about to be freed, and poison the block from there on.
 */
void kregion_debug_check_block(struct kregion_priv *rg, struct kregion_block *b, size_t from,
			       size_t used)
{
	shadow_unpoison(b->start + from, block_room(b) - from);
	check_objects(rg, b, from, used);
	check_free(rg, b, used);
	kregion_debug_poison(b, from);
}

/* Check that nothing wrote to @b since it was poisoned and freed. */
void kregion_debug_check_freed(struct kregion_priv *rg, struct kregion_block *b)
{
	shadow_unpoison(b->start, block_room(b));
	check_free(rg, b, 0);
}

/*
 * Check all objects of @rg, which are about to be freed, and poison their
 * blocks.
 */
void kregion_debug_check(struct kregion_priv *rg)
{
	struct kregion_block *b;
	unsigned int i;

	for (i = 0; i <= region_buckets(rg); i++)
		for (b = region_chain(rg, i); b; b = READ_ONCE(b->chain))
			kregion_debug_check_block(rg, b, 0, block_used_in(rg, b));
}

/* What is at @p, whatever KASAN's shadow says. */
static struct debug_meta meta_read(const char *p)
{
	union {
		unsigned long word[sizeof(struct debug_meta) / sizeof(long)];
		struct debug_meta meta;
	} u;
	int i;

	for (i = 0; i < ARRAY_SIZE(u.word); i++)
		u.word[i] = READ_ONCE_NOCHECK(((const unsigned long *)p)[i]);
	return u.meta;
}

/*
 * The size of the next object of @b, which is at offset @at then; 0 if there is
 * none. Others may use the objects.
 */
size_t kregion_debug_next(const struct kregion_block *b, size_t *at)
{
	const char *end = b->start + block_used(b), *p;

	for (p = b->start + *at; p < end; p += sizeof(struct debug_meta)) {
		const struct debug_meta *place = (const struct debug_meta *)p;
		const struct debug_meta meta = meta_read(p);

		if (meta.check != meta_of(place, meta.size).check ||
		    !meta_fits(place, meta.size, end))
			continue;
		*at = (const char *)(place + 1) - b->start;
		return meta.size;
	}
	return 0;
}
