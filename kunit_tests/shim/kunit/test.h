/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of KUnit that the suites use, for kernels without it. Suites run
 * when the module is loaded; /sys/kernel/debug/kunit/<suite>/results has the
 * results as KTAP, as with KUnit.
 */
#ifndef _KUNIT_TEST_H
#define _KUNIT_TEST_H

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/types.h>

#define KUNIT_PARAM_DESC_SIZE	128

enum kunit_status {
	KUNIT_SUCCESS,
	KUNIT_FAILURE,
	KUNIT_SKIPPED,
};

struct kunit_suite;

struct kunit {
	void *priv;
	const void *param_value;
	int param_index;

	/* private: */
	enum kunit_status status;
	char comment[256];
	struct kunit_shim *shim;
	const struct kunit_suite *suite;
	void (*step)(struct kunit *test);
	struct completion over;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
	const void *(*generate_params)(const void *prev, char *desc);
};

struct kunit_suite {
	const char name[256];
	int (*suite_init)(struct kunit_suite *suite);
	void (*suite_exit)(struct kunit_suite *suite);
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(fn)			{ .run_case = fn, .name = #fn }
#define KUNIT_CASE_PARAM(fn, gen)	{ .run_case = fn, .name = #fn, .generate_params = gen }

#define KUNIT_ARRAY_PARAM(label, params, get_desc)						\
	static const void *label##_gen_params(const void *prev, char *desc)			\
	{											\
		const __auto_type all = &(params);						\
		typeof(&(*all)[0]) next = prev;							\
												\
		next = next ? next + 1 : &(*all)[0];						\
		if (next == &(*all)[ARRAY_SIZE(*all)])						\
			return NULL;								\
		(get_desc)(next, desc);								\
		return next;									\
	}

__printf(2, 3)
void kunit_shim_say(struct kunit *test, const char *fmt, ...);
__printf(4, 5)
void kunit_shim_failed(struct kunit *test, const char *file, int line, const char *fmt, ...);
__printf(2, 3)
void kunit_shim_skipped(struct kunit *test, const char *fmt, ...);
extern struct kunit_suite * const kunit_shim_suites[];

/* In place, as objtool knows this function to be one that does not return. */
#define kunit_shim_abort(test)	kthread_complete_and_exit(&(test)->over, 0)

#define kunit_skip(t, fmt, ...)									\
do {												\
	struct kunit *__test = (t);								\
												\
	kunit_shim_skipped(__test, fmt, ##__VA_ARGS__);						\
	kunit_shim_abort(__test);								\
} while (0)

#define kunit_info(test, fmt, ...) kunit_shim_say(test, fmt, ##__VA_ARGS__)

#define KUNIT_SHIM_CHECK(t, fatal, ok, fmt, ...)						\
do {												\
	struct kunit *__test = (t);								\
												\
	if (!(ok)) {										\
		kunit_shim_failed(__test, __FILE__, __LINE__, fmt, ##__VA_ARGS__);		\
		if (fatal)									\
			kunit_shim_abort(__test);						\
	}											\
} while (0)

#define KUNIT_SHIM_BINARY(t, fatal, l, op, r, fmt, ...)						\
do {												\
	const typeof(l) __l = (l);								\
	const typeof(r) __r = (r);								\
												\
	KUNIT_SHIM_CHECK(t, fatal, __l op __r, "%s %s %s: %lld against %lld" fmt,		\
			 #l, #op, #r, (long long)__l, (long long)__r, ##__VA_ARGS__);		\
} while (0)

#define KUNIT_SHIM_STREQ(t, fatal, l, r)							\
do {												\
	const char *__l = (l), *__r = (r);							\
												\
	KUNIT_SHIM_CHECK(t, fatal, __l && __r && !strcmp(__l, __r), "\"%s\" against \"%s\"",	\
			 __l, __r);								\
} while (0)

#define KUNIT_FAIL(t, fmt, ...) KUNIT_SHIM_CHECK(t, false, false, fmt, ##__VA_ARGS__)

#define KUNIT_EXPECT_TRUE(t, x) KUNIT_SHIM_CHECK(t, false, x, "%s", #x)
#define KUNIT_EXPECT_FALSE(t, x) KUNIT_SHIM_CHECK(t, false, !(x), "not %s", #x)
#define KUNIT_EXPECT_NULL(t, p) KUNIT_SHIM_CHECK(t, false, !(p), "%s is null", #p)
#define KUNIT_EXPECT_NOT_NULL(t, p) KUNIT_SHIM_CHECK(t, false, p, "%s is not null", #p)
#define KUNIT_EXPECT_NOT_ERR_OR_NULL(t, p) \
	KUNIT_SHIM_CHECK(t, false, !IS_ERR_OR_NULL(p), "%s", #p)
#define KUNIT_EXPECT_STREQ(t, l, r) KUNIT_SHIM_STREQ(t, false, l, r)
#define KUNIT_EXPECT_EQ(t, l, r) KUNIT_SHIM_BINARY(t, false, l, ==, r, "")
#define KUNIT_EXPECT_NE(t, l, r) KUNIT_SHIM_BINARY(t, false, l, !=, r, "")
#define KUNIT_EXPECT_LT(t, l, r) KUNIT_SHIM_BINARY(t, false, l, <, r, "")
#define KUNIT_EXPECT_LE(t, l, r) KUNIT_SHIM_BINARY(t, false, l, <=, r, "")
#define KUNIT_EXPECT_GT(t, l, r) KUNIT_SHIM_BINARY(t, false, l, >, r, "")
#define KUNIT_EXPECT_GE(t, l, r) KUNIT_SHIM_BINARY(t, false, l, >=, r, "")
#define KUNIT_EXPECT_PTR_EQ(t, l, r) KUNIT_SHIM_CHECK(t, false, (l) == (r), "%s == %s", #l, #r)
#define KUNIT_EXPECT_PTR_NE(t, l, r) KUNIT_SHIM_CHECK(t, false, (l) != (r), "%s != %s", #l, #r)

#define KUNIT_ASSERT_TRUE(t, x) KUNIT_SHIM_CHECK(t, true, x, "%s", #x)
#define KUNIT_ASSERT_FALSE(t, x) KUNIT_SHIM_CHECK(t, true, !(x), "not %s", #x)
#define KUNIT_ASSERT_NULL(t, p) KUNIT_SHIM_CHECK(t, true, !(p), "%s is null", #p)
#define KUNIT_ASSERT_NOT_NULL(t, p) KUNIT_SHIM_CHECK(t, true, p, "%s is not null", #p)
#define KUNIT_ASSERT_NOT_ERR_OR_NULL(t, p) KUNIT_SHIM_CHECK(t, true, !IS_ERR_OR_NULL(p), "%s", #p)
#define KUNIT_ASSERT_STREQ(t, l, r) KUNIT_SHIM_STREQ(t, true, l, r)
#define KUNIT_ASSERT_EQ(t, l, r) KUNIT_SHIM_BINARY(t, true, l, ==, r, "")
#define KUNIT_ASSERT_NE(t, l, r) KUNIT_SHIM_BINARY(t, true, l, !=, r, "")
#define KUNIT_ASSERT_LT(t, l, r) KUNIT_SHIM_BINARY(t, true, l, <, r, "")
#define KUNIT_ASSERT_LE(t, l, r) KUNIT_SHIM_BINARY(t, true, l, <=, r, "")
#define KUNIT_ASSERT_GT(t, l, r) KUNIT_SHIM_BINARY(t, true, l, >, r, "")
#define KUNIT_ASSERT_GE(t, l, r) KUNIT_SHIM_BINARY(t, true, l, >=, r, "")
#define KUNIT_ASSERT_PTR_EQ(t, l, r) KUNIT_SHIM_CHECK(t, true, (l) == (r), "%s == %s", #l, #r)
#define KUNIT_ASSERT_PTR_NE(t, l, r) KUNIT_SHIM_CHECK(t, true, (l) != (r), "%s != %s", #l, #r)

#define KUNIT_EXPECT_TRUE_MSG(t, x, fmt, ...) \
	KUNIT_SHIM_CHECK(t, false, x, "%s; " fmt, #x, ##__VA_ARGS__)
#define KUNIT_EXPECT_FALSE_MSG(t, x, fmt, ...) \
	KUNIT_SHIM_CHECK(t, false, !(x), "not %s; " fmt, #x, ##__VA_ARGS__)
#define KUNIT_EXPECT_NULL_MSG(t, p, fmt, ...) \
	KUNIT_SHIM_CHECK(t, false, !(p), "%s is null; " fmt, #p, ##__VA_ARGS__)
#define KUNIT_EXPECT_LE_MSG(t, l, r, fmt, ...) \
	KUNIT_SHIM_BINARY(t, false, l, <=, r, "; " fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_EQ_MSG(t, l, r, fmt, ...) \
	KUNIT_SHIM_BINARY(t, false, l, ==, r, "; " fmt, ##__VA_ARGS__)

/* Once a module. */
#define kunit_test_suites(suites...) \
	struct kunit_suite * const kunit_shim_suites[] = { suites, NULL }

#endif /* _KUNIT_TEST_H */
