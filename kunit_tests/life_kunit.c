// SPDX-License-Identifier: GPL-2.0
/*
 * Creation and destruction of regions.
 */

#include <linux/device.h>
#include <linux/nodemask.h>

#include "test.h"

MODE_PARAM(all, MODES_ALL);

/* ---- names --------------------------------------------------------------- */

struct name_param {
	const char *what;
	const char *name;
	bool valid;
};

static const struct name_param name_params[] = {
	{ "null", NULL, false },
	{ "empty", "", false },
	{ "one character", "a", true },
	{ "31 characters", "0123456789012345678901234567890", true },
	{ "32 characters", "01234567890123456789012345678901", false },
	{ "punctuation", "!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~", true },
	{ "slash", "a/b", false },
	{ "slash alone", "/", false },
	{ "space", "a b", false },
	{ "space first", " a", false },
	{ "space last", "a ", false },
	{ "tab", "a\tb", false },
	{ "newline", "a\n", false },
	{ "escape", "\033[1m", false },
	{ "delete", "a\177", false },
	{ "latin 1", "caf\351", false },
	{ "utf-8", "caf\303\251", false },
	{ "dot", ".", false },
	{ "two dots", "..", false },
	{ "three dots", "...", true },
	{ "format", "%s%n%p", true },
};

ROW_PARAM(name, name_params);

static void name_is_checked(struct kunit *test)
{
	const struct name_param *p = test->param_value;
	struct kregion *r = kregion_create(p->name, NULL);

	if (p->valid)
		KUNIT_EXPECT_FALSE(test, IS_ERR_OR_NULL(r));
	else
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r), -EINVAL);
	kregion_destroy(r);
}

static void name_is_copied(struct kunit *test)
{
	char name[] = "kunit-copied";

	region_named(test, name, NULL);
	memset(name, 'x', sizeof(name) - 1);
	KUNIT_EXPECT_NE(test, region_number(test, "kunit-copied"), 0ULL);
	KUNIT_EXPECT_EQ(test, region_number(test, name), 0ULL);
}

static void name_need_not_be_unique(struct kunit *test)
{
	const char *line;
	char name[64];
	int n = 0;

	region_named(test, "kunit-twin", NULL);
	region_named(test, "kunit-twin", NULL);
	for (line = file_text(test, "regions"); line; line = next_line(line)) {
		column_text(line, 1, name, sizeof(name));
		n += !strcmp(name, "kunit-twin");
	}
	KUNIT_EXPECT_EQ(test, n, 2);
}

static void number_is_never_used_twice(struct kunit *test)
{
	u64 number, last = 0;
	struct kregion *r;
	char name[32];
	int i;

	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "kunit-number-%d", i);
		r = region_named(test, name, NULL);
		number = region_number(test, name);
		KUNIT_EXPECT_GT(test, number, last);
		last = number;
		region_destroy(r);
	}
}

static void expect_owner(struct kunit *test, const char *region, const char *owner)
{
	const char *line;
	char text[64];
	u64 number;

	number = region_number(test, region);
	KUNIT_ASSERT_GT(test, number, 0ULL);
	line = file_text(test, "regions");
	while (line && column(line, 0) != number)
		line = next_line(line);
	KUNIT_ASSERT_NOT_NULL(test, line);
	column_text(line, 2, text, sizeof(text));
	KUNIT_EXPECT_STREQ(test, text, owner);
}

static void owner_is_whoever_made_it(struct kunit *test)
{
	region_named(test, "kunit-owned", NULL);
	expect_owner(test, "kunit-owned", OWNER);
}

/* ---- flags --------------------------------------------------------------- */

/*
 * Every set of flags is refused if it contradicts itself, and works otherwise.
 */
static void flags_are_checked(struct kunit *test)
{
	const unsigned int both = KREGION_F_PERCPU | KREGION_F_SINGLE;
	const unsigned int backings = KREGION_F_PAGES | KREGION_F_VMALLOC;
	unsigned int flags;
	struct kregion *r;

	for (flags = 0; flags < 2 * KREGION_F_DEBUG; flags++) {
		const struct kregion_attr attr = {
			.flags = flags, .block_size = PAGE_SIZE, .node = first_online_node,
		};

		r = kregion_create("kunit", &attr);
		if ((flags & both) == both || (flags & backings) == backings) {
			KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(r), -EINVAL, "flags=%#x", flags);
			kregion_destroy(r);
			continue;
		}
		KUNIT_EXPECT_FALSE_MSG(test, IS_ERR_OR_NULL(r), "flags=%#x", flags);
		if (IS_ERR_OR_NULL(r))
			continue;
		KUNIT_EXPECT_TRUE_MSG(test, kregion_alloc(r, 100, GFP_KERNEL), "flags=%#x", flags);
		KUNIT_EXPECT_TRUE_MSG(test, kregion_alloc(r, PAGE_SIZE, GFP_KERNEL),
				      "flags=%#x", flags);
		expect_sane(test, r);
		kregion_destroy(r);
	}
}

static void unknown_flags_are_refused(struct kunit *test)
{
	struct kregion_attr attr = {};
	struct kregion *r;
	int bit;

	for (bit = ilog2(KREGION_F_DEBUG) + 1; bit < 32; bit++) {
		attr.flags = 1U << bit;
		r = kregion_create("kunit", &attr);
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(r), -EINVAL, "bit=%d", bit);
		kregion_destroy(r);
	}
}

struct node_param {
	const char *what;
	int node;
	bool asked;
	bool valid;
};

static const struct node_param node_params[] = {
	{ "0", 0, true, true },
	{ "-1", -1, true, false },
	{ "INT_MIN", INT_MIN, true, false },
	{ "INT_MAX", INT_MAX, true, false },
	{ "MAX_NUMNODES", MAX_NUMNODES, true, false },
	{ "INT_MAX but not asked for", INT_MAX, false, true },
	{ "-1 but not asked for", -1, false, true },
};

ROW_PARAM(node, node_params);

static void node_is_checked(struct kunit *test)
{
	const struct node_param *p = test->param_value;
	const struct kregion_attr attr = {
		.flags = p->asked ? KREGION_F_NODE : 0, .node = p->node,
	};
	struct kregion *r = kregion_create("kunit", &attr);

	if (p->valid)
		KUNIT_EXPECT_FALSE(test, IS_ERR_OR_NULL(r));
	else
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r), -EINVAL);
	kregion_destroy(r);
}

static void a_node_that_is_not_online_is_refused(struct kunit *test)
{
	struct kregion_attr attr = { .flags = KREGION_F_NODE };

	while (attr.node < MAX_NUMNODES && node_online(attr.node))
		attr.node++;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kregion_create("kunit", &attr)), -EINVAL);
}

/* ---- sizes --------------------------------------------------------------- */

struct size_param {
	const char *what;
	struct kregion_attr attr;
	bool valid;
};

#define BLOCK(size, ok)		{ "block " #size, { .block_size = (size) }, ok }
#define LIMIT(size, ok)		{ "limit " #size, { .limit = (size) }, ok }
#define RESERVE(l, size, ok) \
	{ "limit " #l " reserve " #size, { .limit = (l), .reserve = (size) }, ok }

static const struct size_param size_params[] = {
	BLOCK(0, true),
	BLOCK(1, false),
	BLOCK(8, false),
	BLOCK(PAGE_SIZE / 2, false),
	BLOCK(PAGE_SIZE - 1, false),
	BLOCK(PAGE_SIZE, true),
	BLOCK(PAGE_SIZE + 1, false),
	BLOCK(2 * PAGE_SIZE, true),
	BLOCK(3 * PAGE_SIZE, false),
	BLOCK(KREGION_BLOCK_SIZE - 1, false),
	BLOCK(KREGION_BLOCK_SIZE, true),
	BLOCK(SZ_1M, true),
	BLOCK(SZ_1M + PAGE_SIZE, false),
	BLOCK(SZ_4M, true),
	BLOCK(KREGION_BLOCK_SIZE_MAX, true),
	BLOCK(KREGION_BLOCK_SIZE_MAX + PAGE_SIZE, false),
	BLOCK(2 * KREGION_BLOCK_SIZE_MAX, false),
	BLOCK((size_t)LONG_MAX + 1, false),
	BLOCK(SIZE_MAX, false),
	LIMIT(1, false),
	LIMIT(KREGION_BLOCK_SIZE - 1, false),
	LIMIT(KREGION_BLOCK_SIZE, true),
	LIMIT(KREGION_BLOCK_SIZE + 1, true),
	LIMIT(SIZE_MAX, true),
	RESERVE(0, 1, true),
	RESERVE(0, SZ_64K, true),
	RESERVE(0, SIZE_MAX, false),
	RESERVE(0, LONG_MAX, false),
	RESERVE(SZ_64K, 1024, true),
	RESERVE(SZ_64K, SZ_64K, false),
	RESERVE(SZ_64K, SZ_64K + 1, false),
	RESERVE(SZ_1M, SZ_1M, false),
	RESERVE(SZ_1M, SZ_64K, true),
	RESERVE(SZ_64K, SIZE_MAX, false),
};

ROW_PARAM(size, size_params);

static void sizes_are_checked(struct kunit *test)
{
	const struct size_param *p = test->param_value;
	struct kregion *r = kregion_create("kunit", &p->attr);

	if (p->valid)
		KUNIT_EXPECT_FALSE(test, IS_ERR_OR_NULL(r));
	else
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r), -EINVAL);
	kregion_destroy(r);
}

/* ---- reasons of refusals ------------------------------------------------- */

struct refusal {
	const char *name;
	struct kregion_attr attr;
	const char *text;
};

static const struct refusal refusals[] = {
	{ NULL, {}, "\"(null)\" of " OWNER " refused: no name" },
	{ "", {}, "\"\" of " OWNER " refused: no name" },
	{ "..", {}, "\"..\" of " OWNER " refused: the name is \".\" or \"..\"" },
	{ "a/b", {}, "\"a/b\" of " OWNER " refused: the name has white space" },
	{ "a\nb", {}, "\"a\\nb\" of " OWNER " refused: the name has white space" },
	{ "01234567890123456789012345678901234", {},
	  "\"01234567890123456789012345678901\" of " OWNER
	  " refused: the name is longer than 31 characters" },
	{ "flags", { .flags = BIT(30) }, "unknown flags (flags 0x40000000, block_size" },
	{ "modes", { .flags = KREGION_F_PERCPU | KREGION_F_SINGLE },
	  "KREGION_F_PERCPU contradicts KREGION_F_SINGLE (flags 0x3," },
	{ "backings", { .flags = KREGION_F_PAGES | KREGION_F_VMALLOC },
	  "KREGION_F_PAGES contradicts KREGION_F_VMALLOC" },
	{ "node", { .flags = KREGION_F_NODE, .node = -7 }, "node is not online" },
	{ "block", { .block_size = 12345 },
	  "block_size is not a power of two (flags 0x0, block_size 12345, limit 0," },
	{ "block", { .block_size = 512 }, "block_size is not within PAGE_SIZE and" },
	{ "block", { .flags = KREGION_F_PAGES, .block_size = KREGION_BLOCK_SIZE_MAX },
	  "block_size is too large for KREGION_F_PAGES" },
	{ "limit", { .limit = 1000 }, "limit is less than block_size" },
	{ "reserve", { .limit = SZ_1M, .reserve = SZ_2M },
	  "reserve is more than limit (flags 0x0, block_size 65536, limit 1048576, reserve" },
	{ "reserve", { .reserve = SIZE_MAX }, "reserve does not fit" },
};

/* One line each, with name, owner, reason and attributes. */
static void refusal_is_logged(struct kunit *test)
{
	const char *line;
	int i;

	/* Each of them is within the budget of the next second. */
	schedule_timeout_uninterruptible(HZ + 2);
	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *p = &refusals[i];
		struct kregion *r;

		line = logged() + strlen(logged());
		r = kregion_create(p->name, &p->attr);
		if (p->attr.block_size == KREGION_BLOCK_SIZE_MAX && !IS_ERR(r)) {
			kregion_destroy(r);	/* the page allocator has such pages */
			continue;
		}
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r), -EINVAL);
		KUNIT_EXPECT_TRUE_MSG(test, strstr(line, p->text), "%s: %s", p->text, line);
		KUNIT_EXPECT_EQ(test, times_in(line, "of " OWNER " refused"), 1);
	}
}

static void refusals_are_limited(struct kunit *test)
{
	int i;

	for (i = 0; i < 200; i++)
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kregion_create("a b", NULL)), -EINVAL);
	KUNIT_EXPECT_LT(test, times_in(logged(), "refused"), 100);
}

/* ---- new and gone -------------------------------------------------------- */

static void new_region_holds_nothing(struct kunit *test)
{
	const struct kregion_stats st = stats_of(region_of_mode(test, test->param_value));

	KUNIT_EXPECT_TRUE(test, !memchr_inv(&st, 0, sizeof(st)));
}

static void no_attr_is_all_defaults(struct kunit *test)
{
	struct kregion *a = region_make(test, NULL);
	struct kregion *b = region_make(test, &(struct kregion_attr){});
	struct kregion_stats sa, sb;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(a, 8, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(b, 8, GFP_KERNEL));
	sa = stats_of(a);
	sb = stats_of(b);
	KUNIT_EXPECT_TRUE(test, !memcmp(&sa, &sb, sizeof(sa)));
	KUNIT_EXPECT_EQ(test, sa.bytes_held, (unsigned long)KREGION_BLOCK_SIZE);
}

static void attr_is_only_read_by_create(struct kunit *test)
{
	struct kregion_attr attr = { .limit = KREGION_BLOCK_SIZE }, was = attr;
	struct kregion *r = region_make(test, &attr);

	KUNIT_EXPECT_TRUE(test, !memcmp(&attr, &was, sizeof(attr)));
	attr.limit = 0;
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, KREGION_BLOCK_SIZE, GFP_KERNEL));
}

static void reserve_is_there_from_the_start(struct kunit *test)
{
	struct kregion *r = region_make(test, &(struct kregion_attr){ .reserve = 1000 });
	const struct kregion_stats st = stats_of(r);

	KUNIT_EXPECT_GE(test, st.bytes_held, 1000UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, 0UL);
	KUNIT_EXPECT_EQ(test, st.blocks_spare, blocks_of(&st));
	KUNIT_EXPECT_EQ(test, st.fills, blocks_of(&st));
}

/* A reserve of a power of two needs more than that, for the header. */
static void reserve_of_each_power_of_two(struct kunit *test)
{
	struct kregion_stats st;
	struct kregion *r;
	size_t bytes;

	for (bytes = 8; bytes <= 2 * KREGION_BLOCK_SIZE; bytes *= 2) {
		r = region_make(test, &(struct kregion_attr){ .reserve = bytes });
		st = stats_of(r);
		KUNIT_EXPECT_GT(test, st.bytes_held, bytes);
		KUNIT_EXPECT_LE(test, st.bytes_held, 2 * bytes + 2 * KREGION_BLOCK_SIZE);
		KUNIT_EXPECT_LE(test, st.fills, bytes / KREGION_BLOCK_SIZE + 2);
		region_destroy(r);
	}
}

static void the_kernel_owns_what_nobody_does(struct kunit *test)
{
	struct kregion *r = kregion_create_owned("kunit-unowned", NULL, NULL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, r);
	expect_owner(test, "kunit-unowned", "kernel");
	kregion_destroy(r);
}

static void freeing_nothing_does_nothing(struct kunit *test)
{
	const unsigned long warnings = warnings_seen();

	kregion_drop(NULL);
	kregion_reset(NULL);
	kregion_drop(ERR_PTR(-ENOMEM));
	kregion_reset(ERR_PTR(-ENOMEM));
	kregion_destroy(NULL);
	kregion_destroy(ERR_PTR(-EINVAL));
	kregion_destroy(ERR_PTR(-ENOMEM));
	kregion_destroy(ERR_PTR(-MAX_ERRNO));
	KUNIT_EXPECT_EQ(test, warnings_seen(), warnings);
}

static void destroy_frees_all(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const long before = bytes_outstanding();
	struct kregion *r = region_of_mode(test, mode);
	const size_t block = block_of(mode);
	int i;

	for (i = 0; i < 20; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, block / 8, GFP_KERNEL));
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, block, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, bytes_outstanding() - before, (long)stats_of(r).bytes_held);
	region_destroy(r);
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), before);
}

/* Regions reuse the per-CPU memory of those before them. */
static void regions_in_turn_share_their_percpu_memory(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_PERCPU, 0 };
	unsigned long requests = percpu_requests();
	struct kregion *r;
	int i;

	for (i = 0; i < 10; i++) {
		r = region_of_mode(test, &mode);
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
		region_destroy(r);
	}
	KUNIT_EXPECT_LE(test, percpu_requests() - requests, 1UL);
}

/* The cache keeps that of 64 regions at most. */
static void regions_at_once_free_their_percpu_memory(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	struct kregion *r[100];
	int i;

	for (i = 0; i < ARRAY_SIZE(r); i++)
		r[i] = region_make(test, &attr);
	for (i = 0; i < ARRAY_SIZE(r); i++)
		region_destroy(r[i]);
	KUNIT_EXPECT_GE(test, percpu_freed(), ARRAY_SIZE(r) - 64);
}

static void many_regions_at_once(struct kunit *test)
{
	const struct mode *mode = NULL;
	const int n = 100;
	struct kregion **r = buffer(test, n * sizeof(*r));
	struct object *o = buffer(test, n * sizeof(*o));
	int i;

	for (i = 0; i < n; i++) {
		mode = mode_next(mode, MODES_BASE) ?: mode_next(NULL, MODES_BASE);
		r[i] = region_of_mode(test, mode);
		object_write(&o[i], kregion_alloc(r[i], 100, GFP_KERNEL), 100, i);
	}
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_TRUE(test, object_intact(&o[i]));
		KUNIT_EXPECT_TRUE(test, kregion_contains(r[i], o[i].p));
		KUNIT_EXPECT_FALSE(test, kregion_contains(r[(i + 1) % n], o[i].p));
	}
}

/* ---- owners that end ----------------------------------------------------- */

static void undo_device(void *dev)
{
	root_device_unregister(dev);
}

static void a_device_takes_its_region_along(struct kunit *test)
{
	struct device *dev = root_device_register("kunit-kregion");
	struct kregion *r;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	undo_later(test, undo_device, dev);
	r = devm_kregion_create(dev, "kunit-device", &(struct kregion_attr){ .reserve = 100 });
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, r);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	expect_owner(test, "kunit-device", OWNER);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(devm_kregion_create(dev, "a b", NULL)), -EINVAL);
	undo_now(undo_device, dev);
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-device"), 0ULL);
}

#ifdef DEFINE_FREE
static void use_scope(struct kunit *test, const char *name)
{
	struct kregion *none __free(kregion_destroy) = NULL;
	struct kregion *r __free(kregion_destroy) = kregion_create(name, NULL);

	KUNIT_EXPECT_NULL(test, none);
	if (!IS_ERR(r))
		KUNIT_EXPECT_NE(test, region_number(test, name), 0ULL);
}

static void a_scope_takes_its_region_along(struct kunit *test)
{
	use_scope(test, "kunit-scope");
	KUNIT_EXPECT_EQ(test, region_number(test, "kunit-scope"), 0ULL);
	use_scope(test, "not a name");
}
#else
static void a_scope_takes_its_region_along(struct kunit *test)
{
	kunit_skip(test, "this kernel has no __free()");
}
#endif

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(name_is_checked, name_gen_params),
	KUNIT_CASE(name_is_copied),
	KUNIT_CASE(name_need_not_be_unique),
	KUNIT_CASE(number_is_never_used_twice),
	KUNIT_CASE(owner_is_whoever_made_it),
	KUNIT_CASE(flags_are_checked),
	KUNIT_CASE(unknown_flags_are_refused),
	KUNIT_CASE_PARAM(node_is_checked, node_gen_params),
	KUNIT_CASE(a_node_that_is_not_online_is_refused),
	KUNIT_CASE_PARAM(sizes_are_checked, size_gen_params),
	KUNIT_CASE(refusal_is_logged),
	KUNIT_CASE(refusals_are_limited),
	KUNIT_CASE_PARAM(new_region_holds_nothing, all_gen_params),
	KUNIT_CASE(no_attr_is_all_defaults),
	KUNIT_CASE(attr_is_only_read_by_create),
	KUNIT_CASE(reserve_is_there_from_the_start),
	KUNIT_CASE(reserve_of_each_power_of_two),
	KUNIT_CASE(the_kernel_owns_what_nobody_does),
	KUNIT_CASE(freeing_nothing_does_nothing),
	KUNIT_CASE_PARAM(destroy_frees_all, all_gen_params),
	KUNIT_CASE(regions_in_turn_share_their_percpu_memory),
	KUNIT_CASE(regions_at_once_free_their_percpu_memory),
	KUNIT_CASE(many_regions_at_once),
	KUNIT_CASE(a_device_takes_its_region_along),
	KUNIT_CASE(a_scope_takes_its_region_along),
	{}
};

KREGION_SUITE(life, cases);
