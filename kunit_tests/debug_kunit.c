// SPDX-License-Identifier: GPL-2.0
/*
 * KREGION_F_DEBUG. Functions that no sanitizer instruments do the damage, as
 * the module has to find it.
 */

#include <linux/ctype.h>
#include <linux/kasan.h>

#include "test.h"

MODE_PARAM(mode, MODES_DEBUG);

static noinline __no_sanitize_address char peek(const char *p, long at)
{
	return READ_ONCE(p[at]);
}

enum ending { DROP, RESET, DESTROY };

static void end(struct kregion *r, enum ending ending)
{
	switch (ending) {
	case DROP:
		kregion_drop(r);
		break;
	case RESET:
		kregion_reset(r);
		break;
	case DESTROY:
		region_destroy(r);
		break;
	}
}

static struct kregion *debug_region(struct kunit *test, const struct mode *mode)
{
	const struct kregion_attr attr = { .flags = mode->flags, .block_size = mode->block };

	return region_named(test, "kunit-damaged", &attr);
}

/* ---- no damage, no report ------------------------------------------------ */

static void clean_use_is_silent(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	struct kregion *r = debug_region(test, mode);
	size_t size, align;
	struct object o;
	void *p;
	int round;

	for (round = 0; round < 3; round++) {
		for (size = 1; size <= 100; size++) {
			p = kregion_alloc(r, size, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_EQ(test, (unsigned long)p % 8, 0UL);
			object_write(&o, p, size, size);
		}
		for (align = 16; align <= PAGE_SIZE; align *= 2) {
			p = kregion_alloc_aligned(r, align + 3, align, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_EQ(test, (unsigned long)p & (align - 1), 0UL);
			object_write(&o, p, align + 3, align);
		}
		for (size = block / 8 - 20; size <= block / 8 + 20; size += 5) {
			p = kregion_zalloc(r, size, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_TRUE(test, !memchr_inv(p, 0, size));
			object_write(&o, p, size, size);
		}
		p = kregion_alloc(r, 3 * block + 1, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		object_write(&o, p, 3 * block + 1, size);
		p = kregion_alloc_nofill(r, 1);
		if (p)
			object_write(&o, p, 1, size);
		KUNIT_EXPECT_STREQ(test, kregion_strdup(r, "text", GFP_KERNEL), "text");
		expect_sane(test, r);
		end(r, round);
		if (round < DESTROY)
			KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
	}
	KUNIT_EXPECT_STREQ(test, logged(), "");
}

static void exact_fit_is_silent(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = debug_region(test, mode);
	unsigned long n = 0;
	struct object o;

	/* Objects behind each other through several blocks. */
	while (stats_of(r).blocks_full < 3) {
		object_write(&o, kregion_alloc(r, 488, GFP_KERNEL), 488, n++);
		KUNIT_EXPECT_TRUE(test, object_intact(&o));
	}
	KUNIT_EXPECT_GT(test, n, 3UL);
	kregion_drop(r);
	KUNIT_EXPECT_STREQ(test, logged(), "");
}

/* ---- damage -------------------------------------------------------------- */

struct damage {
	const char *what;
	enum weight weight;
	size_t size;		/* of the object */
	long at;		/* byte written, from its end if not negative */
	enum ending ending;	/* which finds it */
};

#define DAMAGE(what, weight, size, at, ending)	{ what ", " #ending, weight, size, at, ending }

/* Each ending finds each damage; one of the three will do in most runs. */
static const struct damage damages[] = {
	DAMAGE("1 byte behind 1", QUICK, 1, 0, DROP),
	DAMAGE("1 byte behind 1", FULL, 1, 0, RESET),
	DAMAGE("1 byte behind 1", FULL, 1, 0, DESTROY),
	DAMAGE("1 byte behind 5", FULL, 5, 0, DROP),
	DAMAGE("1 byte behind 5", QUICK, 5, 0, RESET),
	DAMAGE("1 byte behind 5", FULL, 5, 0, DESTROY),
	DAMAGE("1 byte behind 7", FULL, 7, 0, DROP),
	DAMAGE("1 byte behind 7", FULL, 7, 0, RESET),
	DAMAGE("1 byte behind 7", QUICK, 7, 0, DESTROY),
	DAMAGE("1 byte behind 8", QUICK, 8, 0, DROP),
	DAMAGE("1 byte behind 8", FULL, 8, 0, RESET),
	DAMAGE("1 byte behind 8", FULL, 8, 0, DESTROY),
	DAMAGE("1 byte behind 13", FULL, 13, 0, DROP),
	DAMAGE("1 byte behind 13", QUICK, 13, 0, RESET),
	DAMAGE("1 byte behind 13", FULL, 13, 0, DESTROY),
	DAMAGE("1 byte behind 64", FULL, 64, 0, DROP),
	DAMAGE("1 byte behind 64", FULL, 64, 0, RESET),
	DAMAGE("1 byte behind 64", QUICK, 64, 0, DESTROY),
	DAMAGE("1 byte behind 100", QUICK, 100, 0, DROP),
	DAMAGE("1 byte behind 100", FULL, 100, 0, RESET),
	DAMAGE("1 byte behind 100", FULL, 100, 0, DESTROY),
	DAMAGE("8th byte behind 8", FULL, 8, 7, DROP),
	DAMAGE("8th byte behind 8", QUICK, 8, 7, RESET),
	DAMAGE("8th byte behind 8", FULL, 8, 7, DESTROY),
	DAMAGE("8th byte behind 13", FULL, 13, 7, DROP),
	DAMAGE("8th byte behind 13", FULL, 13, 7, RESET),
	DAMAGE("8th byte behind 13", QUICK, 13, 7, DESTROY),
	DAMAGE("1 byte behind a large one", QUICK, SZ_1M, 0, DROP),
	DAMAGE("1 byte behind a large one", FULL, SZ_1M, 0, RESET),
	DAMAGE("1 byte behind a large one", FULL, SZ_1M, 0, DESTROY),
	DAMAGE("1 byte in front of 1", FULL, 1, -1, DROP),
	DAMAGE("1 byte in front of 1", QUICK, 1, -1, RESET),
	DAMAGE("1 byte in front of 1", FULL, 1, -1, DESTROY),
	DAMAGE("1 byte in front of 64", FULL, 64, -1, DROP),
	DAMAGE("1 byte in front of 64", FULL, 64, -1, RESET),
	DAMAGE("1 byte in front of 64", QUICK, 64, -1, DESTROY),
	DAMAGE("1 byte in front of a large one", QUICK, SZ_1M, -1, DROP),
	DAMAGE("1 byte in front of a large one", FULL, SZ_1M, -1, RESET),
	DAMAGE("1 byte in front of a large one", FULL, SZ_1M, -1, DESTROY),
};

PAIR_PARAM(damage, MODES_DAMAGE, damages);

static void damage_is_reported_once(struct kunit *test)
{
	const struct pair *pair = test->param_value;
	const struct damage *p = pair->row;
	const size_t size = p->size;
	struct kregion *r = debug_region(test, pair->mode);
	char *object, *before, *after;

	before = kregion_alloc(r, 24, GFP_KERNEL);
	object = kregion_alloc(r, size, GFP_KERNEL);
	after = kregion_alloc(r, 24, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, before && object && after);
	memset(object, 0x11, size);
	poke(object, p->at < 0 ? p->at : (long)size + p->at, 0x11);
	KUNIT_EXPECT_STREQ(test, logged(), "");
	expect_warnings(test, 1);
	end(r, p->ending);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-damaged"));
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
	/* Reported once: the next drop is silent. */
	if (p->ending != DESTROY) {
		const unsigned long warnings = warnings_seen();

		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, size, GFP_KERNEL));
		kregion_drop(r);
		KUNIT_EXPECT_EQ(test, warnings_seen(), warnings);
	}
}

/* ---- every byte in front of an object ------------------------------------ */

#define HEAD_BYTES	8

#define IN_FRONT	"memory in front of an object was written"
#define BEHIND		"memory behind an object was written"

/* Ways to overwrite a byte: flip some bits, or store a value. */
static const struct overwrite {
	u8 keep, flip;
} overwrites[] = {
	{ 0xff, 0x01 }, { 0xff, 0x02 }, { 0xff, 0x08 }, { 0xff, 0x40 }, { 0xff, 0x80 },
	{ 0xff, 0xff }, { 0x00, 0x00 }, { 0x00, 0x11 }, { 0x00, 0x6b }, { 0x00, 0xa5 },
};

/* Apply @o to a byte in front of @p; returns whether the byte has changed. */
static bool overwrite(char *p, long at, const struct overwrite *o)
{
	const u8 old = peek(p, at), new = (old & o->keep) ^ o->flip;

	poke(p, at, new);
	return new != old;
}

/*
 * Returns whether a report has this object and byte, by offsets in their block.
 */
static bool reported(const char *what, size_t size, size_t object, u8 byte, size_t at)
{
	const char *text = logged();
	char end[160];

	snprintf(end, sizeof(end),
		 "%s: object of %zu bytes at offset %zu of its block, byte %#x at offset %zu",
		 what, size, object, byte, at);
	while ((text = strstr(text, end))) {
		text += strlen(end);
		if (!isdigit(*text))
			return true;
	}
	return false;
}

struct overwritten {
	const char *what;
	enum weight weight;
	size_t size;
	enum ending ending;
};

static const struct overwritten overwritten[] = {
	{ "size 1, drop", QUICK, 1, DROP },
	{ "size 7, reset", QUICK, 7, RESET },
	{ "size 8, destroy", QUICK, 8, DESTROY },
	{ "size 13, drop", QUICK, 13, DROP },
	{ "size 200, reset", QUICK, 200, RESET },
	{ "size 256, destroy", QUICK, 256, DESTROY },
	{ "size 300, drop", QUICK, 300, DROP },
	{ "size 20000, reset", QUICK, 20000, RESET },
};

PAIR_PARAM(metadata, MODES_METADATA, overwritten);

/*
 * One object for each byte of the metadata and each value: as many reports, all
 * of damage in front of an object, none of the objects in between.
 */
static void each_byte_in_front_is_protected(struct kunit *test)
{
	const struct pair *pair = test->param_value;
	const struct overwritten *p = pair->row;
	struct kregion *r = debug_region(test, pair->mode);
	unsigned long seen = warnings_seen();
	int i, n = 0;
	char *object;

	for (i = 0; i < HEAD_BYTES * (int)ARRAY_SIZE(overwrites); i++) {
		object = kregion_alloc(r, p->size, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, object && kregion_alloc(r, 24, GFP_KERNEL));
		memset(object, i, p->size);
		n += overwrite(object, -1 - i % HEAD_BYTES, &overwrites[i / HEAD_BYTES]);
	}
	expect_warnings(test, n);
	end(r, p->ending);
	KUNIT_EXPECT_EQ(test, warnings_seen() - seen, (unsigned long)n);
	KUNIT_EXPECT_EQ(test, times_in(logged(), IN_FRONT), n);
	KUNIT_EXPECT_GT(test, n, 60);
}

/*
 * One byte at a time, in a new block: the report names the byte and the object.
 */
static void the_byte_in_front_is_named(struct kunit *test)
{
	static const size_t sizes[] = { 1, 100, 255, 256, 400 };
	struct kregion *r = debug_region(test, test->param_value);
	size_t offset, size;
	char *base, *p;
	int i, at;
	u8 byte;

	for (i = 0; i < HEAD_BYTES * (quick ? 1 : (int)ARRAY_SIZE(sizes)); i++) {
		size = sizes[i % ARRAY_SIZE(sizes)];
		base = kregion_alloc(r, 24, GFP_KERNEL);
		p = kregion_alloc(r, size, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, base && p && kregion_alloc(r, size, GFP_KERNEL));
		offset = p - base + HEAD_BYTES;
		at = -1 - i % HEAD_BYTES;
		overwrite(p, at, &overwrites[0]);
		byte = peek(p, at);
		expect_warnings(test, 1);
		kregion_drop(r);
		KUNIT_EXPECT_TRUE_MSG(test, reported(IN_FRONT, size, offset, byte, offset + at),
				      "%s", logged());
	}
}

/*
 * All metadata of an object is lost, and the next one is padded for its
 * alignment: the damage is that of the first, whose size nobody knows.
 */
static void lost_metadata_is_not_the_padding_of_the_next(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *p = kregion_alloc(r, 8, GFP_KERNEL);
	const char *text;
	int i;

	KUNIT_ASSERT_TRUE(test, p && kregion_alloc_aligned(r, 24, 512, GFP_KERNEL));
	for (i = 1; i <= HEAD_BYTES; i++)
		poke(p, -i, 0x11);
	expect_warnings(test, 1);
	kregion_drop(r);
	text = logged();
	KUNIT_EXPECT_TRUE_MSG(test, strstr(text, IN_FRONT ": byte 0x11 at offset 0 of its block"),
			      "%s", text);
}

/*
 * All runs of bytes that end within the metadata, with values that it may have.
 */
static void a_run_in_front_is_reported(struct kunit *test)
{
	static const u8 values[] = { 0x00, 0x6b, 0xa5, 0xff };
	struct kregion *r = debug_region(test, test->param_value);
	int first, last, i, n, k;
	bool changed;
	char *p;

	for (k = 0; k < ARRAY_SIZE(values); k++) {
		n = 0;
		for (first = -HEAD_BYTES; first < 0; first++) {
			for (last = first + 1; last < 0; last += quick ? 2 : 1) {
				p = kregion_alloc(r, 256, GFP_KERNEL);
				KUNIT_ASSERT_TRUE(test, p && kregion_alloc(r, 24, GFP_KERNEL));
				memset(p, 0x11, 256);
				changed = false;
				for (i = first; i <= last; i++) {
					changed |= (u8)peek(p, i) != values[k];
					poke(p, i, values[k]);
				}
				n += changed;
			}
		}
		expect_warnings(test, n);
		kregion_reset(r);
		KUNIT_EXPECT_GT(test, n, 10);
		KUNIT_EXPECT_EQ(test, times_in(logged(), BEHIND), 0);
	}
}

/* Padding belongs to the aligned object behind it, however large it is. */
static void padding_in_front_is_protected(struct kunit *test)
{
	static const size_t aligns[] = { 16, 64, 512, 4096 };
	const struct mode *mode = test->param_value;
	struct kregion *r = debug_region(test, mode);
	char *base, *p;
	size_t offset;
	int i;

	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		base = kregion_alloc(r, 8, GFP_KERNEL);
		p = kregion_alloc_aligned(r, 40, aligns[i], GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, base && p && kregion_alloc(r, 8, GFP_KERNEL));
		offset = p - base + HEAD_BYTES;
		poke(p, -HEAD_BYTES - 3, 0x22);
		expect_warnings(test, 1);
		kregion_drop(r);
		KUNIT_EXPECT_EQ(test, times_in(logged(), IN_FRONT), i + 1);
		/* With small blocks, some of the objects are large. */
		if (!mode->block)
			KUNIT_EXPECT_TRUE_MSG(test, reported(IN_FRONT, 40, offset, 0x22,
							     offset - HEAD_BYTES - 3),
					      "%s", logged());
	}
}

/* Damaged metadata does not end the check of the objects behind it. */
static void checks_go_on_behind_damage(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	size_t offset;
	char *p[3];
	int i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kregion_alloc(r, 40, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		memset(p[i], 0x11, 40);
	}
	for (i = 1; i <= HEAD_BYTES; i++)
		poke(p[0], -i, 16 * i + i);
	poke(p[2], 40, 0x22);
	offset = p[2] - p[0] + HEAD_BYTES;
	expect_warnings(test, 2);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, times_in(logged(), IN_FRONT), 1);
	KUNIT_EXPECT_EQ(test, times_in(logged(), BEHIND), 1);
	KUNIT_EXPECT_TRUE_MSG(test, reported(BEHIND, 40, offset, 0x22, offset + 40), "%s",
			      logged());
}

/* The metadata of one object is invalid in front of another one. */
static void copied_metadata_is_reported(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *small = kregion_alloc(r, 24, GFP_KERNEL), *p = kregion_alloc(r, 56, GFP_KERNEL);
	int i;

	KUNIT_ASSERT_TRUE(test, small && p);
	memset(p, 0x11, 56);
	for (i = 1; i <= HEAD_BYTES; i++)
		poke(p, -i, peek(small, -i));
	expect_warnings(test, 1);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, times_in(logged(), IN_FRONT), 1);
}

static void each_damaged_object_is_reported(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *p;
	int i;

	for (i = 0; i < 5; i++) {
		p = kregion_alloc(r, 40, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		if (i % 2)
			poke(p, 40, 0x22);
	}
	expect_warnings(test, 2);
	kregion_drop(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-damaged"));
}

static void write_behind_what_was_handed_out_is_reported(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *p = kregion_alloc(r, 40, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	poke(p, 1000, 0x33);
	expect_warnings(test, 1);
	kregion_drop(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-damaged"));
}

static void write_after_reset_is_reported_at_the_end(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *p = kregion_alloc(r, 40, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kregion_reset(r);
	poke(p, 3, 0x44);
	expect_warnings(test, 1);
	kregion_drop(r);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-damaged"));
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
}

static void write_after_reset_is_reported_when_handed_out_again(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *p = kregion_alloc(r, 40, GFP_KERNEL), *again;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kregion_reset(r);
	poke(p, 3, 0x44);
	expect_warnings(test, 1);
	again = kregion_alloc(r, 40, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, again, p);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-damaged"));
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
}

/* A stale reader sees poison. */
static void forgotten_objects_are_poisoned(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	char *p = kregion_alloc(r, 64, GFP_KERNEL);
	int i, same = 0;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < 64; i++)
		p[i] = i;
	kregion_reset(r);
	for (i = 0; i < 64; i++)
		same += peek(p, i) == peek(p, 0);
	KUNIT_EXPECT_EQ(test, same, 64);
	KUNIT_EXPECT_NE(test, peek(p, 0), 0);
}

#ifdef CONFIG_KASAN_GENERIC
static noinline __no_sanitize_address u8 shadow_of(const char *p)
{
	return READ_ONCE(*(const u8 *)kasan_mem_to_shadow(p));
}

/* KASAN allows accesses to objects only. */
static void kasan_knows_the_objects(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);
	const size_t sizes[] = { 40, 24, KREGION_BLOCK_SIZE };
	char *p[ARRAY_SIZE(sizes)];
	unsigned long open = 0;
	size_t at;
	int i;

	if (!IS_ENABLED(CONFIG_KASAN_VMALLOC))
		kunit_skip(test, "vmalloc memory has no shadow in this kernel");
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kregion_alloc(r, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		for (at = 0; at < sizes[i]; at += 8)
			open += !shadow_of(p[i] + at);
		KUNIT_EXPECT_EQ(test, open, sizes[i] / 8);
		open = 0;
		KUNIT_EXPECT_NE(test, shadow_of(p[i] - 1), 0);
		KUNIT_EXPECT_NE(test, shadow_of(p[i] + sizes[i]), 0);
	}
	KUNIT_EXPECT_NE(test, shadow_of(p[1] + 100), 0);
	kregion_reset(r);
	KUNIT_EXPECT_NE(test, shadow_of(p[0]), 0);
	KUNIT_EXPECT_NE(test, shadow_of(p[1] + 100), 0);
}
#else
static void kasan_knows_the_objects(struct kunit *test)
{
	kunit_skip(test, "no KASAN in this kernel");
}
#endif

static void guards_are_counted_as_used(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_GE(test, stats_of(r).bytes_used, 16UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used % 8, 0UL);
}

/* ---- after a drop or destroy: the quarantine ----------------------------- */

#define WRITTEN		"kunit-damaged: free memory was written"
#define QUARANTINE	SZ_1M
#define QUARANTINED	64		/* regions */

static bool late_alloc(struct kregion *r)
{
	return !kregion_alloc(r, 40, GFP_KERNEL);
}

static bool late_large(struct kregion *r)
{
	return !kregion_alloc(r, SZ_1M, GFP_KERNEL);
}

static bool late_aligned(struct kregion *r)
{
	return !kregion_alloc_aligned(r, 40, 64, GFP_KERNEL);
}

static bool late_nofill(struct kregion *r)
{
	return !kregion_alloc_nofill(r, 8);
}

static bool late_reserve(struct kregion *r)
{
	return kregion_reserve(r, 8, GFP_KERNEL) == -ENOMEM;
}

static bool late_contains(struct kregion *r)
{
	return !kregion_contains(r, r);
}

static bool late_stats(struct kregion *r)
{
	const struct kregion_stats st = stats_of(r);

	return !blocks_of(&st) && !st.bytes_held;
}

static bool late_drop(struct kregion *r)
{
	kregion_drop(r);
	return true;
}

static bool late_reset(struct kregion *r)
{
	kregion_reset(r);
	return true;
}

static bool late_destroy(struct kregion *r)
{
	kregion_destroy(r);
	return true;
}

static const struct late_call {
	const char *what;
	bool (*refused)(struct kregion *r);
} late_calls[] = {
	{ "allocation", late_alloc }, { "allocation", late_large },
	{ "allocation", late_aligned }, { "allocation", late_nofill },
	{ "allocation", late_reserve }, { "query", late_contains }, { "query", late_stats },
	{ "drop", late_drop }, { "reset", late_reset }, { "destroy", late_destroy },
};

/*
 * One WARN for each destroyed region, whatever is called on it and how often.
 */
static void call_after_destroy_is_reported_once(struct kunit *test)
{
	struct kregion *r;
	char text[80];
	int i, k;

	for (i = 0; i < ARRAY_SIZE(late_calls); i++) {
		r = debug_region(test, test->param_value);
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 40, GFP_KERNEL));
		region_destroy(r);
		snprintf(text, sizeof(text), "kunit-damaged: %s after kregion_destroy()",
			 late_calls[i].what);
		k = times_in(logged(), text);
		expect_warnings(test, 1);
		KUNIT_EXPECT_TRUE_MSG(test, late_calls[i].refused(r), "%s", late_calls[i].what);
		KUNIT_EXPECT_EQ_MSG(test, times_in(logged(), text), k + 1, "%s", text);
		for (k = 0; k < ARRAY_SIZE(late_calls); k++)
			KUNIT_EXPECT_TRUE(test, late_calls[k].refused(r));
	}
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
}

static void write_after_free_is_reported(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r;
	char *p, *large;
	int i;

	for (i = 0; i < 2; i++) {
		r = debug_region(test, mode);
		p = kregion_alloc(r, 40, GFP_KERNEL);
		large = kregion_alloc(r, 2 * block_of(mode), GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, p && large);
		end(r, i ? DESTROY : DROP);
		poke(p, 3, 0x44);
		poke(large, 100, 0x45);
		KUNIT_EXPECT_EQ(test, times_in(logged(), WRITTEN), 2 * i);
		expect_warnings(test, 2);
		kregion_debug_flush();
		KUNIT_EXPECT_EQ(test, times_in(logged(), WRITTEN ": byte 0x44"), i + 1);
		KUNIT_EXPECT_EQ(test, times_in(logged(), WRITTEN ": byte 0x45"), i + 1);
	}
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
}

/*
 * Of many regions, one block of each; the first one was written to after its
 * end.
 */
static void quarantine_is_bounded(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_DEBUG | KREGION_F_PAGES };
	const long objects = objects_outstanding();
	const int n = 4 * QUARANTINED;
	struct kregion *r;
	char *p;
	int i;

	for (i = 0; i < n; i++) {
		r = debug_region(test, &mode);
		p = kregion_alloc(r, 40, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		region_destroy(r);
		KUNIT_EXPECT_LE(test, pages_outstanding() * PAGE_SIZE, (size_t)QUARANTINE);
		KUNIT_EXPECT_LE(test, objects_outstanding() - objects, (long)QUARANTINED);
		if (!i) {
			poke(p, 3, 0x44);
			expect_warnings(test, 1);
		}
	}
	KUNIT_EXPECT_EQ(test, times_in(logged(), WRITTEN), 1);
	KUNIT_EXPECT_EQ(test, pages_outstanding() * PAGE_SIZE, (size_t)QUARANTINE);
	KUNIT_EXPECT_EQ(test, objects_outstanding() - objects, (long)QUARANTINED);
	r = debug_region(test, &mode);
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, QUARANTINE, GFP_KERNEL));
	region_destroy(r);
	KUNIT_EXPECT_EQ(test, pages_outstanding(), 0UL);
	kregion_debug_flush();
	KUNIT_EXPECT_EQ(test, objects_outstanding(), objects);
}

/* Their blocks are small: the oldest region leaves with its block. */
static void quarantine_holds_few_regions(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_DEBUG | KREGION_F_PAGES, PAGE_SIZE };
	const long objects = objects_outstanding();
	struct kregion *r;
	int i;

	for (i = 0; i < 2 * QUARANTINED; i++) {
		r = debug_region(test, &mode);
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 40, GFP_KERNEL));
		region_destroy(r);
		KUNIT_EXPECT_LE(test, pages_outstanding(), (unsigned long)QUARANTINED);
		KUNIT_EXPECT_LE(test, objects_outstanding() - objects, (long)QUARANTINED);
	}
	kregion_debug_flush();
	KUNIT_EXPECT_EQ(test, objects_outstanding(), objects);
}

/*
 * The quarantine is nobody's: no limit, no statistics, no line, no event counts
 * it.
 */
static void quarantine_is_uncharged(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_DEBUG | KREGION_F_PAGES, .limit = 2 * KREGION_BLOCK_SIZE,
	};
	const char *totals = file_text(test, "totals");
	const long before = bytes_outstanding();
	struct kregion *r = region_named(test, "kunit-uncharged", &attr);
	struct kregion_stats st;
	int i;

	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, KREGION_BLOCK_SIZE / 2, GFP_KERNEL));
		kregion_drop(r);
		st = stats_of(r);
		KUNIT_EXPECT_EQ(test, blocks_of(&st) + st.bytes_held, 0UL);
		KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
	}
	KUNIT_EXPECT_GT(test, pages_outstanding(), 0UL);
	region_destroy(r);
	KUNIT_EXPECT_STREQ(test, file_text(test, "totals"), totals);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-uncharged"), 0ULL);
}

/* Only a free uncharges pages from a memory cgroup. */
static void accounted_blocks_are_freed_at_once(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_DEBUG | KREGION_F_PAGES | KREGION_F_ACCOUNT };
	struct kregion *r = debug_region(test, &mode);

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_GT(test, pages_outstanding(), 0UL);
	region_destroy(r);
	KUNIT_EXPECT_EQ(test, pages_outstanding(), 0UL);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(clean_use_is_silent, mode_gen_params),
	KUNIT_CASE_PARAM(exact_fit_is_silent, mode_gen_params),
	KUNIT_CASE_PARAM(damage_is_reported_once, damage_gen_params),
	KUNIT_CASE_PARAM(each_byte_in_front_is_protected, metadata_gen_params),
	KUNIT_CASE_PARAM(the_byte_in_front_is_named, mode_gen_params),
	KUNIT_CASE_PARAM(lost_metadata_is_not_the_padding_of_the_next, mode_gen_params),
	KUNIT_CASE_PARAM(a_run_in_front_is_reported, mode_gen_params),
	KUNIT_CASE_PARAM(padding_in_front_is_protected, mode_gen_params),
	KUNIT_CASE_PARAM(checks_go_on_behind_damage, mode_gen_params),
	KUNIT_CASE_PARAM(copied_metadata_is_reported, mode_gen_params),
	KUNIT_CASE_PARAM(each_damaged_object_is_reported, mode_gen_params),
	KUNIT_CASE_PARAM(write_behind_what_was_handed_out_is_reported, mode_gen_params),
	KUNIT_CASE_PARAM(write_after_reset_is_reported_at_the_end, mode_gen_params),
	KUNIT_CASE_PARAM(write_after_reset_is_reported_when_handed_out_again, mode_gen_params),
	KUNIT_CASE_PARAM(forgotten_objects_are_poisoned, mode_gen_params),
	KUNIT_CASE_PARAM(kasan_knows_the_objects, mode_gen_params),
	KUNIT_CASE_PARAM(guards_are_counted_as_used, mode_gen_params),
	KUNIT_CASE_PARAM(call_after_destroy_is_reported_once, mode_gen_params),
	KUNIT_CASE_PARAM(write_after_free_is_reported, mode_gen_params),
	KUNIT_CASE(quarantine_is_bounded),
	KUNIT_CASE(quarantine_holds_few_regions),
	KUNIT_CASE(quarantine_is_uncharged),
	KUNIT_CASE(accounted_blocks_are_freed_at_once),
	{}
};

KREGION_SUITE(debug, cases);
