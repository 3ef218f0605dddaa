// SPDX-License-Identifier: GPL-2.0
/*
 * Copies of memory and strings.
 */

#include "test.h"

MODE_PARAM(all, MODES_ALL);

static void memdup_copies(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char src[300], *p;
	size_t len;

	for (len = 0; len < sizeof(src); len++)
		src[len] = len;
	for (len = 1; len <= sizeof(src); len += 13) {
		p = kregion_memdup(r, src, len, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, p != src && !memcmp(p, src, len));
		KUNIT_EXPECT_TRUE(test, kregion_contains(r, p));
		KUNIT_EXPECT_EQ(test, (unsigned long)p % KREGION_ALIGN, 0UL);
	}
}

static void memdup_of_large(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t len = 2 * block_of(mode) + 1;
	struct kregion *r = region_of_mode(test, mode);
	char *src = buffer(test, len), *p;

	memset(src, 0x3c, len);
	p = kregion_memdup(r, src, len, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, !memcmp(p, src, len));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 1UL);
}

static void memdup_of_nothing(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);

	KUNIT_EXPECT_PTR_EQ(test, kregion_memdup(r, "x", 0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
}

static void memdup_too_large_reads_nothing(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);

	/* The source is one byte: reading on crashes, or KASAN reports it. */
	KUNIT_EXPECT_NULL(test, kregion_memdup(r, "", SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_memdup(r, "", KREGION_MAX_ALLOC + 1, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, 2UL);
}

static void strdup_copies(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char src[] = "only a copy stays", *p;

	p = kregion_strdup(r, src, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	src[0] = 'O';
	KUNIT_EXPECT_STREQ(test, p, "only a copy stays");
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, (unsigned long)ALIGN(sizeof(src), 8));
	p = kregion_strdup(r, "", GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_STREQ(test, p, "");
}

static void strndup_copies_so_many(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	const char unterminated[4] = { 'a', 'b', 'c', 'd' };
	char *p;

	KUNIT_EXPECT_STREQ(test, kregion_strndup(r, "abc", 0, GFP_KERNEL), "");
	KUNIT_EXPECT_STREQ(test, kregion_strndup(r, "abc", 2, GFP_KERNEL), "ab");
	KUNIT_EXPECT_STREQ(test, kregion_strndup(r, "abc", 3, GFP_KERNEL), "abc");
	KUNIT_EXPECT_STREQ(test, kregion_strndup(r, "abc", 100, GFP_KERNEL), "abc");
	KUNIT_EXPECT_STREQ(test, kregion_strndup(r, "abc", SIZE_MAX, GFP_KERNEL), "abc");
	p = kregion_strndup(r, unterminated, sizeof(unterminated), GFP_KERNEL);
	KUNIT_EXPECT_STREQ(test, p, "abcd");
}

/* Copies of every length with objects right behind them. */
static void no_copy_reaches_into_its_neighbour(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct object neighbour[5];
	char text[48], *copy[5];
	size_t len;
	int i;

	for (len = 1; len < sizeof(text) - 8; len++) {
		memset(text, 'a' + len % 26, sizeof(text));
		for (i = 0; i < 5; i++) {
			text[len] = i == 1 ? 'z' : '\0';
			switch (i) {
			case 0:
				copy[i] = kregion_strdup(r, text, GFP_KERNEL);
				break;
			case 1:
				copy[i] = kregion_strndup(r, text, len, GFP_KERNEL);
				break;
			case 2:
				copy[i] = kregion_strndup(r, text, len + 3, GFP_KERNEL);
				break;
			case 3:
				copy[i] = kregion_asprintf(r, GFP_KERNEL, "%s", text);
				break;
			case 4:
				copy[i] = kregion_memdup(r, text, len + 1, GFP_KERNEL);
				break;
			}
			KUNIT_ASSERT_NOT_NULL(test, copy[i]);
			object_write(&neighbour[i], kregion_alloc(r, 8, GFP_KERNEL), 8, ~0ULL);
		}
		for (i = 0; i < 5; i++) {
			KUNIT_EXPECT_STREQ(test, copy[i], text);
			KUNIT_EXPECT_TRUE(test, object_intact(&neighbour[i]));
		}
	}
}

static void null_gives_null(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);

	KUNIT_EXPECT_NULL(test, kregion_strdup(r, NULL, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_strndup(r, NULL, 5, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
}

static void asprintf_formats(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	const size_t used = stats_of(r).bytes_used;

	KUNIT_EXPECT_STREQ(test, kregion_asprintf(r, GFP_KERNEL, "plain"), "plain");
	KUNIT_EXPECT_STREQ(test, kregion_asprintf(r, GFP_KERNEL, "%d-%s-%#x", -3, "x", 255),
			   "-3-x-0xff");
	KUNIT_EXPECT_STREQ(test, kregion_asprintf(r, GFP_KERNEL, "%s", ""), "");
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used - used, 8UL + 16 + 8);
}

static void asprintf_of_large(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *p = kregion_asprintf(r, GFP_KERNEL, "%*d", (int)SZ_256K, 7);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, strlen(p), (size_t)SZ_256K);
	KUNIT_EXPECT_EQ(test, p[SZ_256K - 1], '7');
}

/* The text has grown between measuring and writing. */
static void asprintf_keeps_to_what_it_measured(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *stale = kregion_zalloc(r, 64, GFP_KERNEL), *p;

	KUNIT_ASSERT_NOT_NULL(test, stale);
	kregion_reset(r);
	/* The result overwrites its own source. */
	strscpy(stale, "abc", 64);
	stale[5] = '!';
	p = kregion_asprintf(r, GFP_KERNEL, "x%s", stale);
	KUNIT_ASSERT_PTR_EQ(test, p, stale);
	KUNIT_EXPECT_STREQ(test, p, "xxxx");
	KUNIT_EXPECT_EQ(test, p[5], '!');
}

/* The output of @fmt, doubled @times times and once more, and 511 spaces. */
static __printf(3, 4) char *asprintf_doubled(struct kregion *r, int times, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list ap;
	char *p;

	va_start(ap, fmt);
	vaf.va = &ap;
	p = times ? asprintf_doubled(r, times - 1, "%pV%pV", &vaf, &vaf) :
		    kregion_asprintf(r, GFP_KERNEL, "%pV%pV%511s", &vaf, &vaf, "");
	va_end(ap);
	return p;
}

/*
 * More than vsnprintf() can return: it returns -1, and a large negative number.
 */
static void asprintf_of_gigabytes_is_refused(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);
	const unsigned long warnings = warnings_seen();

	KUNIT_EXPECT_NULL(test, asprintf_doubled(r, 8, "%8388607s", ""));
	KUNIT_EXPECT_NULL(test, asprintf_doubled(r, 8, "%4194304s", ""));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_size, 2UL);
	/* Since 7.2, vsnprintf() warns of it, once. */
	KUNIT_EXPECT_LE(test, warnings_seen() - warnings, 1UL);
	expect_warnings(test, warnings_seen() - warnings);
}

static __printf(3, 4) char *vasprintf_twice(struct kregion *r, char **again, const char *fmt, ...)
{
	va_list ap, copy;
	char *p;

	va_start(ap, fmt);
	va_copy(copy, ap);
	p = kregion_vasprintf(r, GFP_KERNEL, fmt, ap);
	*again = kregion_vasprintf(r, GFP_KERNEL, fmt, copy);
	va_end(copy);
	va_end(ap);
	return p;
}

static void vasprintf_formats(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	char *again, *p = vasprintf_twice(r, &again, "%s %lu %c", "one", 2UL, '3');

	KUNIT_EXPECT_STREQ(test, p, "one 2 3");
	KUNIT_EXPECT_STREQ(test, again, "one 2 3");
	KUNIT_EXPECT_PTR_NE(test, p, again);
}

/* The limit allows one block, which is full. */
static void null_at_the_limit(struct kunit *test)
{
	const struct kregion_attr attr = { .block_size = PAGE_SIZE, .limit = PAGE_SIZE };
	struct kregion *r = region_make(test, &attr);
	char src[64] = "x";

	while (kregion_alloc(r, 8, GFP_KERNEL))
		;
	KUNIT_ASSERT_EQ(test, stats_of(r).failed_limit, 1UL);
	KUNIT_EXPECT_NULL(test, kregion_memdup(r, src, sizeof(src), GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_strdup(r, "some text", GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_strndup(r, "some text", 4, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_asprintf(r, GFP_KERNEL, "%d", 12345));
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, 5UL);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(memdup_copies, all_gen_params),
	KUNIT_CASE_PARAM(memdup_of_large, all_gen_params),
	KUNIT_CASE(memdup_of_nothing),
	KUNIT_CASE(memdup_too_large_reads_nothing),
	KUNIT_CASE_PARAM(strdup_copies, all_gen_params),
	KUNIT_CASE_PARAM(strndup_copies_so_many, all_gen_params),
	KUNIT_CASE_PARAM(no_copy_reaches_into_its_neighbour, all_gen_params),
	KUNIT_CASE(null_gives_null),
	KUNIT_CASE_PARAM(asprintf_formats, all_gen_params),
	KUNIT_CASE_PARAM(asprintf_of_large, all_gen_params),
	KUNIT_CASE_PARAM(asprintf_keeps_to_what_it_measured, all_gen_params),
	KUNIT_CASE(asprintf_of_gigabytes_is_refused),
	KUNIT_CASE_PARAM(vasprintf_formats, all_gen_params),
	KUNIT_CASE(null_at_the_limit),
	{}
};

KREGION_SUITE(strings, cases);
