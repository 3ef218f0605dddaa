// SPDX-License-Identifier: GPL-2.0
/*
 * KREGION_F_DEBUG. The damage is done by a function that no sanitizer looks
 * at, as it is the module that has to find it.
 */

#include "test.h"

static const struct mode debug_modes[] = {
	{ "shared", KREGION_F_DEBUG, 0 },
	{ "shared vmalloc", KREGION_F_DEBUG | KREGION_F_VMALLOC, 0 },
	{ "percpu", KREGION_F_DEBUG | KREGION_F_PERCPU, 0 },
	{ "percpu 4K", KREGION_F_DEBUG | KREGION_F_PERCPU, PAGE_SIZE },
	{ "single", KREGION_F_DEBUG | KREGION_F_SINGLE, 0 },
};

KUNIT_ARRAY_PARAM(mode, debug_modes, mode_desc);

static noinline __no_sanitize_address void poke(char *p, long at, char value)
{
	WRITE_ONCE(p[at], value);
}

static noinline __no_sanitize_address char peek(const char *p, long at)
{
	return READ_ONCE(p[at]);
}

enum ending { DROP, RESET, DESTROY };

static const char * const ending_name[] = { "drop", "reset", "destroy" };

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

/* ---- no damage, no word -------------------------------------------------------------- */

static void clean_use_is_silent(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = mode->block ?: KREGION_BLOCK_SIZE;
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

/* ---- damage ----------------------------------------------------------------------------- */

struct damage {
	const char *what;
	size_t size;		/* of the object; 0: an eighth of the block, 1 << 20: large */
	long at;		/* byte written, from its end if not negative */
};

static const struct damage damages[] = {
	{ "1 byte behind 1", 1, 0 },
	{ "1 byte behind 5", 5, 0 },
	{ "1 byte behind 7", 7, 0 },
	{ "1 byte behind 8", 8, 0 },
	{ "1 byte behind 13", 13, 0 },
	{ "1 byte behind 64", 64, 0 },
	{ "1 byte behind 100", 100, 0 },
	{ "8th byte behind 8", 8, 7 },
	{ "8th byte behind 13", 13, 7 },
	{ "1 byte behind a large one", SZ_1M, 0 },
	{ "1 byte in front of 1", 1, -1 },
	{ "1 byte in front of 64", 64, -1 },
	{ "1 byte in front of a large one", SZ_1M, -1 },
};

struct damage_param {
	const struct mode *mode;
	const struct damage *damage;
	enum ending ending;
};

/*
 * Every damage in every mode, found by one of the endings; by each if scale > 1; in
 * one mode only if quick.
 */
static const void *damage_gen_params(const void *prev, char *desc)
{
	static struct damage_param param;
	const int n = ARRAY_SIZE(damages), m = ARRAY_SIZE(debug_modes);
	static int i;

	i = prev ? i + 1 : 0;
	if (i >= (quick ? n : n * m * (scale > 1 ? 3 : 1)))
		return NULL;
	param.damage = &damages[i % n];
	param.mode = &debug_modes[(quick ? i : i / n) % m];
	param.ending = scale > 1 ? i / n / m : i % 3;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s: %s, %s", param.mode->name, param.damage->what,
		 ending_name[param.ending]);
	return &param;
}

static void damage_is_reported_once(struct kunit *test)
{
	const struct damage_param *p = test->param_value;
	const size_t size = p->damage->size;
	struct kregion *r = debug_region(test, p->mode);
	char *object, *before, *after;

	before = kregion_alloc(r, 24, GFP_KERNEL);
	object = kregion_alloc(r, size, GFP_KERNEL);
	after = kregion_alloc(r, 24, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, before && object && after);
	memset(object, 0x11, size);
	poke(object, p->damage->at < 0 ? p->damage->at : (long)size + p->damage->at, 0x11);
	KUNIT_EXPECT_STREQ(test, logged(), "");
	expect_warnings(test, 1);
	end(r, p->ending);
	KUNIT_EXPECT_TRUE(test, strstr(logged(), "kunit-damaged"));
	KUNIT_EXPECT_TRUE(test, no_address_in(logged()));
	/* Said once: the next end, in test_exit() at the latest, is silent. */
	if (p->ending != DESTROY) {
		const unsigned long warnings = warnings_seen();

		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, size, GFP_KERNEL));
		kregion_drop(r);
		KUNIT_EXPECT_EQ(test, warnings_seen(), warnings);
	}
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

/* A stale reader sees neither the old object nor anything sensible. */
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

static void guards_are_counted_as_used(struct kunit *test)
{
	struct kregion *r = debug_region(test, test->param_value);

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_GE(test, stats_of(r).bytes_used, 16UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used % 8, 0UL);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(clean_use_is_silent, mode_gen_params),
	KUNIT_CASE_PARAM(exact_fit_is_silent, mode_gen_params),
	KUNIT_CASE_PARAM(damage_is_reported_once, damage_gen_params),
	KUNIT_CASE_PARAM(each_damaged_object_is_reported, mode_gen_params),
	KUNIT_CASE_PARAM(write_behind_what_was_handed_out_is_reported, mode_gen_params),
	KUNIT_CASE_PARAM(write_after_reset_is_reported_at_the_end, mode_gen_params),
	KUNIT_CASE_PARAM(write_after_reset_is_reported_when_handed_out_again, mode_gen_params),
	KUNIT_CASE_PARAM(forgotten_objects_are_poisoned, mode_gen_params),
	KUNIT_CASE_PARAM(guards_are_counted_as_used, mode_gen_params),
	{}
};

KREGION_SUITE(debug, cases);
