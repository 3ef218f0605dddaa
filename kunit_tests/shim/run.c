// SPDX-License-Identifier: GPL-2.0
/*
 * The runner of shim/kunit/test.h. Each case runs in a thread of its own, which
 * a failed assertion can end anywhere.
 */

#include <kunit/test.h>
#include <linux/debugfs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

/* The results of one suite, as text. */
struct kunit_shim {
	char *text;
	size_t len, size;
	bool truncated;
};

static struct dentry *results_dir;
static struct kunit_shim *results;
static int nr_results;

static __printf(2, 0) void vsay(struct kunit_shim *shim, const char *fmt, va_list ap)
{
	va_list again;
	size_t len, size;
	char *text;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (shim->len + len + 1 > shim->size) {
		size = max(2 * shim->size, shim->len + len + PAGE_SIZE);
		text = kvmalloc(size, GFP_KERNEL);
		if (!text) {
			shim->truncated = true;
			return;
		}
		if (shim->text)
			memcpy(text, shim->text, shim->len);
		kvfree(shim->text);
		shim->text = text;
		shim->size = size;
	}
	shim->len += vsnprintf(shim->text + shim->len, len + 1, fmt, ap);
}

static __printf(2, 3) void say(struct kunit_shim *shim, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(shim, fmt, ap);
	va_end(ap);
}

void kunit_shim_say(struct kunit *test, const char *fmt, ...)
{
	va_list ap;

	say(test->shim, "    # ");
	va_start(ap, fmt);
	vsay(test->shim, fmt, ap);
	/* As with KUnit, a message need not end its line. */
	if (*fmt && fmt[strlen(fmt) - 1] != '\n')
		say(test->shim, "\n");
	va_end(ap);
}

void kunit_shim_failed(struct kunit *test, const char *file, int line, const char *fmt, ...)
{
	struct va_format vaf;
	va_list ap;

	test->status = KUNIT_FAILURE;
	va_start(ap, fmt);
	vaf.fmt = fmt;
	vaf.va = &ap;
	say(test->shim, "    # FAILED at %s:%d: %pV\n", file, line, &vaf);
	pr_err("kunit: FAILED at %s:%d: %pV\n", file, line, &vaf);
	va_end(ap);
}

void kunit_shim_skipped(struct kunit *test, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(test->comment, sizeof(test->comment), fmt, ap);
	va_end(ap);
	if (test->status == KUNIT_SUCCESS)
		test->status = KUNIT_SKIPPED;
}

static int run_case(void *data)
{
	struct kunit *test = data;

	if (test->suite->init && test->suite->init(test))
		kunit_shim_failed(test, __FILE__, __LINE__, "init");
	else
		test->step(test);
	kunit_shim_abort(test);
}

static int run_exit(void *data)
{
	struct kunit *test = data;

	test->suite->exit(test);
	kunit_shim_abort(test);
}

static void run_in_thread(struct kunit *test, int (*fn)(void *data))
{
	struct task_struct *task;

	init_completion(&test->over);
	task = kthread_run(fn, test, "kunit_shim");
	if (IS_ERR(task))
		kunit_shim_failed(test, __FILE__, __LINE__, "no thread: %ld", PTR_ERR(task));
	else
		wait_for_completion(&test->over);
}

static enum kunit_status run_once(struct kunit *test, const struct kunit_suite *suite,
				  const struct kunit_case *c)
{
	test->status = KUNIT_SUCCESS;
	test->comment[0] = '\0';
	test->priv = NULL;
	test->suite = suite;
	test->step = c->run_case;
	run_in_thread(test, run_case);
	if (suite->exit)
		run_in_thread(test, run_exit);
	return test->status;
}

static void say_result(struct kunit_shim *shim, const char *indent, enum kunit_status status,
		       int nr, const char *name, const char *comment)
{
	say(shim, "%s%s %d %s", indent, status == KUNIT_FAILURE ? "not ok" : "ok", nr, name);
	if (status == KUNIT_SKIPPED)
		say(shim, " # SKIP %s", comment);
	say(shim, "\n");
}

/* As with KUnit, a case is skipped if it is skipped with all its parameters. */
static enum kunit_status run_params(struct kunit *test, const struct kunit_suite *suite,
				    const struct kunit_case *c)
{
	enum kunit_status all = KUNIT_SKIPPED, one;
	char desc[KUNIT_PARAM_DESC_SIZE];

	say(test->shim, "        KTAP version 1\n        # Subtest: %s\n", c->name);
	test->param_index = 0;
	desc[0] = '\0';
	test->param_value = c->generate_params(NULL, desc);
	while (test->param_value) {
		one = run_once(test, suite, c);
		say_result(test->shim, "        ", one, test->param_index + 1, desc, test->comment);
		if (one == KUNIT_FAILURE || (one == KUNIT_SUCCESS && all == KUNIT_SKIPPED))
			all = one;
		test->param_index++;
		desc[0] = '\0';
		test->param_value = c->generate_params(test->param_value, desc);
	}
	return all;
}

static void run_suite(struct kunit_suite *suite, struct kunit_shim *shim)
{
	const struct kunit_case *c;
	struct kunit test = { .shim = shim };
	enum kunit_status status;
	bool failed = false;
	int n = 0;

	for (c = suite->test_cases; c->run_case; c++)
		n++;
	say(shim, "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: %s\n    1..%d\n",
	    suite->name, n);
	if (suite->suite_init && suite->suite_init(suite)) {
		say(shim, "not ok 1 %s # suite_init\n", suite->name);
		return;
	}
	for (c = suite->test_cases, n = 1; c->run_case; c++, n++) {
		test.param_value = NULL;
		if (c->generate_params)
			status = run_params(&test, suite, c);
		else
			status = run_once(&test, suite, c);
		failed |= status == KUNIT_FAILURE;
		say_result(shim, "    ", status, n, c->name, test.comment);
	}
	if (suite->suite_exit)
		suite->suite_exit(suite);
	say(shim, "%sok 1 %s\n", failed || shim->truncated ? "not " : "", suite->name);
}

static int results_show(struct seq_file *m, void *v)
{
	const struct kunit_shim *shim = m->private;

	seq_write(m, shim->text, shim->len);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(results);

static int __init kunit_shim_init(void)
{
	struct kunit_suite * const *suites = kunit_shim_suites;
	struct dentry *dir;
	int i;

	while (suites[nr_results])
		nr_results++;
	results = kcalloc(nr_results, sizeof(*results), GFP_KERNEL);
	if (!results)
		return -ENOMEM;
	for (i = 0; i < nr_results; i++)
		run_suite(suites[i], &results[i]);

	results_dir = debugfs_create_dir("kunit", NULL);
	for (i = 0; i < nr_results; i++) {
		dir = debugfs_create_dir(suites[i]->name, results_dir);
		debugfs_create_file("results", 0444, dir, &results[i], &results_fops);
	}
	return 0;
}

static void __exit kunit_shim_exit(void)
{
	debugfs_remove_recursive(results_dir);
	while (nr_results)
		kvfree(results[--nr_results].text);
	kfree(results);
}

module_init(kunit_shim_init);
module_exit(kunit_shim_exit);
