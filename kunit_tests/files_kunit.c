// SPDX-License-Identifier: GPL-2.0
/* Files in /sys/kernel/debug/kregion/. */

#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/timex.h>

#include "test.h"

static const struct {
	const char *name;
	size_t offset;		/* of an unsigned long */
} fields[] = __KREGION_STATS;

#define NR_FIELDS	ARRAY_SIZE(fields)
#define REGION_COLUMNS	4	/* in front of the fields */
#define ALL_COLUMNS	(REGION_COLUMNS + (int)NR_FIELDS + 1)	/* and the parent */

static int columns_of(const char *line)
{
	char text[64];
	int n = 0;

	for (;;) {
		column_text(line, n, text, sizeof(text));
		if (!text[0] || (n && text[0] == '\n'))
			return n;
		n++;
	}
}

static const char *line_of(const char *text, u64 number)
{
	while (text && column(text, 0) != number)
		text = next_line(text);
	return text;
}

static void expect_column(struct kunit *test, const char *line, int i, const char *text)
{
	char got[64];

	column_text(line, i, got, sizeof(got));
	KUNIT_EXPECT_STREQ(test, got, text);
}

/* A region with blocks of several kinds, and with failures. */
static struct kregion *busy_region(struct kunit *test, const char *name, unsigned int flags)
{
	const struct kregion_attr attr = {
		.flags = flags, .block_size = PAGE_SIZE, .reserve = 100, .limit = 256 * PAGE_SIZE,
	};
	struct kregion *r = region_named(test, name, &attr);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	kregion_reset(r);
	kregion_drop(r);
	for (i = 0; i < 20; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 8 - 8, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 3 * PAGE_SIZE, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, attr.limit, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kregion_alloc(r, SIZE_MAX, GFP_KERNEL));
	return r;
}

static void files_are_read_only(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, file_mode(test, "regions"), 0444U);
	KUNIT_EXPECT_EQ(test, file_mode(test, "blocks"), 0444U);
	KUNIT_EXPECT_EQ(test, file_mode(test, "totals"), 0444U);
}

static void regions_has_a_version_and_a_header(struct kunit *test)
{
	const char *text = file_text(test, "regions"), *header;
	int i;

	KUNIT_EXPECT_TRUE(test, !strncmp(text, "# kregion regions 1\n", 20));
	header = next_line(text);
	KUNIT_ASSERT_NOT_NULL(test, header);
	expect_column(test, header, 0, "id");
	expect_column(test, header, 1, "name");
	expect_column(test, header, 2, "owner");
	expect_column(test, header, 3, "mode");
	for (i = 0; i < NR_FIELDS; i++) {
		KUNIT_EXPECT_EQ(test, fields[i].offset, i * sizeof(unsigned long));
		expect_column(test, header, REGION_COLUMNS + i, fields[i].name);
	}
	expect_column(test, header, ALL_COLUMNS - 1, "parent");
}

MODE_PARAM(mode, MODES_BASE)

static void regions_line_matches_the_statistics(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = busy_region(test, "kunit-listed", mode->flags);
	const u64 number = region_number(test, "kunit-listed");
	const struct kregion_stats st = stats_of(r);
	const unsigned long *value = (const unsigned long *)&st;
	const char *line;
	int i;

	KUNIT_ASSERT_GT(test, number, 0ULL);
	line = line_of(file_text(test, "regions"), number);
	KUNIT_ASSERT_NOT_NULL(test, line);
	expect_column(test, line, 1, "kunit-listed");
	expect_column(test, line, 2, OWNER);
	expect_column(test, line, 3, mode->name);
	for (i = 0; i < NR_FIELDS; i++)
		KUNIT_EXPECT_EQ_MSG(test, column(line, REGION_COLUMNS + i), (u64)value[i], "%s",
				    fields[i].name);
	KUNIT_EXPECT_GT(test, st.failed_limit + st.failed_size + st.drops + st.resets, 3UL);
}

/* The lines of "blocks" of a region sum up to its statistics. */
static void blocks_lines_sum_up_to_the_statistics(struct kunit *test)
{
	static const unsigned int backings[] = { KREGION_F_PAGES, KREGION_F_VMALLOC };
	const struct mode *mode = test->param_value;
	unsigned long current_, full, large, spare, held, used;
	struct kregion_stats st;
	struct kregion *r;
	const char *text, *line;
	char name[32], kind[16], cpu[16];
	u64 number;
	int i;

	for (i = 0; i < ARRAY_SIZE(backings); i++) {
		current_ = 0, full = 0, large = 0, spare = 0, held = 0, used = 0;
		snprintf(name, sizeof(name), "kunit-blocks-%d", i);
		r = busy_region(test, name, mode->flags | backings[i]);
		number = region_number(test, name);
		KUNIT_ASSERT_GT(test, number, 0ULL);
		text = file_text(test, "blocks");
		st = stats_of(r);
		KUNIT_EXPECT_TRUE(test, !strncmp(text, "# kregion blocks 1\n", 19));
		line = next_line(text);
		KUNIT_ASSERT_NOT_NULL(test, line);
		for (line = next_line(line); line; line = next_line(line)) {
			if (column(line, 0) != number)
				continue;
			column_text(line, 1, kind, sizeof(kind));
			current_ += !strcmp(kind, "current");
			full += !strcmp(kind, "full");
			large += !strcmp(kind, "large");
			spare += !strcmp(kind, "spare");
			column_text(line, 2, cpu, sizeof(cpu));
			KUNIT_EXPECT_TRUE(test, !strcmp(cpu, "-") || column(line, 2) < nr_cpu_ids);
			if (!(mode->flags & KREGION_F_PERCPU))
				KUNIT_EXPECT_STREQ(test, cpu, "-");
			else if (!strcmp(kind, "current"))
				KUNIT_EXPECT_EQ(test, column(line, 2), (u64)raw_smp_processor_id());
			expect_column(test, line, 3, i ? "vmalloc" : "pages");
			KUNIT_EXPECT_LT(test, column(line, 4), (u64)MAX_NUMNODES);
			held += column(line, 5);
			used += column(line, 6);
			KUNIT_EXPECT_LE(test, column(line, 6), column(line, 5));
		}
		KUNIT_EXPECT_EQ(test, current_, st.blocks_current);
		KUNIT_EXPECT_EQ(test, full, st.blocks_full);
		KUNIT_EXPECT_EQ(test, large, st.blocks_large);
		KUNIT_EXPECT_EQ(test, spare, st.blocks_spare);
		KUNIT_EXPECT_EQ(test, held, st.bytes_held);
		KUNIT_EXPECT_EQ(test, used, st.bytes_used);
		KUNIT_EXPECT_GT(test, large * full, 0UL);
	}
}

struct first_cpu {
	struct kregion *r;
	struct completion done;
};

static int take_thread(void *data)
{
	struct first_cpu *first = data;

	kregion_alloc(first->r, 8, GFP_KERNEL);
	complete(&first->done);
	return 0;
}

static void a_block_of_cpu_0_has_its_number(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	struct first_cpu *first = buffer(test, sizeof(*first));
	struct task_struct *task;
	const char *line;

	first->r = region_named(test, "kunit-first", &attr);
	init_completion(&first->done);
	task = thread_make(test, take_thread, first, 0);
	wake_up_process(task);
	wait_for_completion(&first->done);
	thread_stop(task);
	line = line_of(file_text(test, "blocks"), region_number(test, "kunit-first"));
	KUNIT_ASSERT_NOT_NULL(test, line);
	expect_column(test, line, 1, "current");
	expect_column(test, line, 2, "0");
}

static void blocks_are_on_the_requested_node(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_NODE, .node = first_online_node,
	};
	struct kregion *r = region_named(test, "kunit-node", &attr);
	const char *line;
	u64 number;

	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, SZ_1M, GFP_KERNEL));
	number = region_number(test, "kunit-node");
	KUNIT_ASSERT_GT(test, number, 0ULL);
	line = line_of(file_text(test, "blocks"), number);
	KUNIT_ASSERT_NOT_NULL(test, line);
	KUNIT_EXPECT_EQ(test, column(line, 4), (u64)attr.node);
	line = line_of(next_line(line), number);
	KUNIT_ASSERT_NOT_NULL(test, line);
	KUNIT_EXPECT_EQ(test, column(line, 4), (u64)attr.node);
}

static u64 total(const char *text, const char *key)
{
	const size_t len = strlen(key);

	for (; text; text = next_line(text))
		if (!strncmp(text, key, len) && text[len] == ':')
			return column(text, 1);
	return U64_MAX;
}

static void totals_are_the_sums_of_all_regions(struct kunit *test)
{
	const char *text, *totals, *line;
	u64 sum[NR_FIELDS] = {}, n = 0;
	int i;

	busy_region(test, "kunit-one", 0);
	busy_region(test, "kunit-two", KREGION_F_PERCPU);
	busy_region(test, "kunit-three", KREGION_F_SINGLE);
	text = file_text(test, "regions");
	totals = file_text(test, "totals");
	KUNIT_EXPECT_TRUE(test, !strncmp(totals, "regions: ", 9));
	line = next_line(text);
	KUNIT_ASSERT_NOT_NULL(test, line);
	for (line = next_line(line); line; line = next_line(line), n++)
		for (i = 0; i < NR_FIELDS; i++)
			sum[i] += column(line, REGION_COLUMNS + i);
	KUNIT_EXPECT_GE(test, n, 3ULL);
	KUNIT_EXPECT_EQ(test, total(totals, "regions"), n);
	for (i = 0; i < NR_FIELDS; i++)
		KUNIT_EXPECT_EQ_MSG(test, total(totals, fields[i].name), sum[i], "%s",
				    fields[i].name);
}

static void no_file_shows_an_address(struct kunit *test)
{
	static const char * const files[] = { "regions", "blocks", "totals" };
	const char *text;
	int i;

	busy_region(test, "kunit-one", 0);
	busy_region(test, "kunit-two", KREGION_F_PERCPU | KREGION_F_VMALLOC);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		text = file_text(test, files[i]);
		KUNIT_EXPECT_TRUE(test, no_address_in(text));
		KUNIT_EXPECT_NULL(test, strstr(text, "0x"));
		KUNIT_EXPECT_NULL(test, strstr(text, "ptrval"));
	}
}

static void more_regions_than_fit_a_page(struct kunit *test)
{
	u64 number, last = 0;
	const char *line;
	char name[32];
	int n = 0, i;

	for (i = 0; i < 150; i++)
		region_named(test, "kunit-one-of-many", NULL);
	line = next_line(file_text(test, "regions"));
	KUNIT_ASSERT_NOT_NULL(test, line);
	for (line = next_line(line); line; line = next_line(line)) {
		number = column(line, 0);
		KUNIT_EXPECT_GT(test, number, last);
		last = number;
		KUNIT_EXPECT_EQ(test, columns_of(line), ALL_COLUMNS);
		column_text(line, 1, name, sizeof(name));
		n += !strcmp(name, "kunit-one-of-many");
	}
	KUNIT_EXPECT_EQ(test, n, 150);
}

static void more_blocks_than_fit_a_page(struct kunit *test)
{
	const struct kregion_attr attr = { .block_size = PAGE_SIZE };
	struct kregion *r = region_named(test, "kunit-blocks", &attr);
	const char *line;
	u64 number;
	int n = 0, i;

	for (i = 0; i < 300; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 8, GFP_KERNEL));
	for (i = 0; i < 200; i++)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, PAGE_SIZE / 2, GFP_KERNEL));
	number = region_number(test, "kunit-blocks");
	for (line = file_text(test, "blocks"); line; line = next_line(line))
		n += column(line, 0) == number;
	KUNIT_EXPECT_EQ(test, n, (int)stats_of(r).fills);
	KUNIT_EXPECT_GT(test, n, 200);
}

/* ---- concurrent create and destroy -------------------------------------- */

struct churn {
	int failed;
	struct completion begun;
};

static int churn_thread(void *data)
{
	struct kregion_attr attr = { .block_size = PAGE_SIZE };
	struct churn *churn = data;
	struct kregion *r[8] = {};
	int i = 0;

	while (!kthread_should_stop()) {
		kregion_destroy(r[i % 8]);
		attr.flags = i % 2 ? KREGION_F_PERCPU : 0;
		r[i % 8] = kregion_create("kunit-churn", &attr);
		if (IS_ERR(r[i % 8]) || !kregion_alloc(r[i % 8], 400, GFP_KERNEL) ||
		    !kregion_alloc(r[i % 8], 2000, GFP_KERNEL))
			churn->failed++;
		if (i % 3 == 0 && !IS_ERR(r[i % 8]))
			kregion_drop(r[i % 8]);
		i++;
		complete(&churn->begun);
		cond_resched();
	}
	for (i = 0; i < 8; i++)
		kregion_destroy(r[i]);
	return 0;
}

static void reading_while_regions_come_and_go(struct kunit *test)
{
	struct churn *churn = buffer(test, sizeof(*churn));
	char *text[3 * 8];
	struct task_struct *task;
	const char *line;
	u64 last;
	int i;

	init_completion(&churn->begun);
	task = thread_make(test, churn_thread, churn, -1);
	wake_up_process(task);
	wait_for_completion(&churn->begun);
	for (i = 0; i < ARRAY_SIZE(text); i += 3) {
		text[i] = file_text(test, "regions");
		text[i + 1] = file_text(test, "blocks");
		text[i + 2] = file_text(test, "totals");
		cond_resched();
	}
	thread_stop(task);
	KUNIT_EXPECT_EQ(test, churn->failed, 0);
	for (i = 0; i < ARRAY_SIZE(text); i += 3) {
		last = 0;
		line = next_line(next_line(text[i]));
		for (; line; line = next_line(line)) {
			KUNIT_EXPECT_GT(test, column(line, 0), last);
			last = column(line, 0);
			KUNIT_EXPECT_EQ(test, columns_of(line), ALL_COLUMNS);
		}
		line = next_line(next_line(text[i + 1]));
		for (; line; line = next_line(line))
			KUNIT_EXPECT_EQ(test, columns_of(line), 7);
		KUNIT_EXPECT_NE(test, total(text[i + 2], "regions"), U64_MAX);
		KUNIT_EXPECT_NE(test, total(text[i + 2], "resets"), U64_MAX);
	}
}

/* ---- position of a reader ----------------------------------------------- */

static struct kregion *numbered_region(int i)
{
	char name[KREGION_NAME_MAX + 1];
	struct kregion *r;

	snprintf(name, sizeof(name), "kunit-position-%d", i);
	r = kregion_create(name, NULL);
	return IS_ERR(r) ? NULL : r;
}

/* Number in the name of the region on @line, or -1. */
static int number_in_name(const char *line)
{
	char name[64];
	int i;

	column_text(line, 1, name, sizeof(name));
	return sscanf(name, "kunit-position-%d", &i) == 1 ? i : -1;
}

/* The last complete line of @text. */
static const char *last_line(const char *text)
{
	const char *line = text, *next;

	while ((next = strchr(line, '\n')) && strchr(next + 1, '\n'))
		line = next + 1;
	return line;
}

/*
 * Reads the file line by line while regions around the position are destroyed
 * and new ones created: regions that exist until the end appear once, others at
 * most once.
 */
static void a_reader_keeps_its_position(struct kunit *test)
{
	enum { FIRST = 60, MOST = 100 };
	struct kregion **r = buffer(test, MOST * sizeof(*r));
	int *shown = buffer(test, MOST * sizeof(*shown));
	char *text = buffer(test, SZ_64K);
	struct file *file = file_open(test, "regions");
	int n, i, at, round = 0, gone = 0;
	const char *line;
	size_t len = 0;
	u64 last = 0;
	ssize_t got;

	for (n = 0; n < FIRST; n++)
		r[n] = numbered_region(n);
	while ((got = file_read(file, text + len, 100)) > 0 && len + 300 < SZ_64K) {
		len += got;
		at = number_in_name(last_line(text));
		for (i = at; at >= 0 && i < min(at + 3, n); i++) {
			if (!(++round % 3))
				continue;
			gone += !!r[i];
			kregion_destroy(r[i]);
			r[i] = NULL;
		}
		if (n < MOST) {
			r[n] = numbered_region(n);
			n++;
		}
	}
	filp_close(file, NULL);
	KUNIT_EXPECT_EQ(test, got, 0);
	for (line = next_line(next_line(text)); line; line = next_line(line)) {
		KUNIT_EXPECT_GT(test, column(line, 0), last);
		last = column(line, 0);
		at = number_in_name(line);
		if (at >= 0)
			shown[at]++;
	}
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_LE(test, shown[i], 1);
		if (r[i])
			KUNIT_EXPECT_EQ_MSG(test, shown[i], 1, "region %d", i);
		kregion_destroy(r[i]);
	}
	KUNIT_EXPECT_EQ(test, n, MOST);
	KUNIT_EXPECT_GT(test, gone, FIRST / 2);
}

/* Minimum of cycles for a read of a few lines. */
static u64 fastest_read(struct file *file, char *text)
{
	u64 best = U64_MAX;
	cycles_t start;
	int i;

	for (i = 0; i < 40; i++) {
		start = get_cycles();
		if (file_read(file, text, 256) <= 0)
			break;
		best = min_t(u64, best, get_cycles() - start);
		cond_resched();
	}
	return best;
}

/* The cost of a read does not depend on its position. */
static void a_reader_finds_its_position_in_constant_time(struct kunit *test)
{
	const int n = 16000;
	struct kregion **r = buffer(test, n * sizeof(*r));
	char *text = buffer(test, SZ_64K);
	struct file *file;
	u64 front, back;
	ssize_t got;
	int i;

	if (!get_cycles())
		kunit_skip(test, "no cycle counter");
	file = file_open(test, "regions");
	for (i = 0; i < n; i++)
		r[i] = numbered_region(i);
	front = fastest_read(file, text);
	/* Stop early enough to leave lines for the second measurement. */
	do {
		got = file_read(file, text, SZ_4K);
		text[max_t(ssize_t, got, 0)] = '\0';
	} while (got > 0 && number_in_name(last_line(text)) < n - 400);
	back = fastest_read(file, text);
	filp_close(file, NULL);
	for (i = 0; i < n; i++)
		kregion_destroy(r[i]);
	kunit_info(test, "%llu cycles at the begin, %llu after %d regions", front, back, n);
	KUNIT_EXPECT_LT(test, back, 3 * front);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(files_are_read_only),
	KUNIT_CASE(regions_has_a_version_and_a_header),
	KUNIT_CASE_PARAM(regions_line_matches_the_statistics, mode_gen_params),
	KUNIT_CASE_PARAM(blocks_lines_sum_up_to_the_statistics, mode_gen_params),
	KUNIT_CASE(a_block_of_cpu_0_has_its_number),
	KUNIT_CASE(blocks_are_on_the_requested_node),
	KUNIT_CASE(totals_are_the_sums_of_all_regions),
	KUNIT_CASE(no_file_shows_an_address),
	KUNIT_CASE(more_regions_than_fit_a_page),
	KUNIT_CASE(more_blocks_than_fit_a_page),
	KUNIT_CASE(reading_while_regions_come_and_go),
	KUNIT_CASE(a_reader_keeps_its_position),
	KUNIT_CASE(a_reader_finds_its_position_in_constant_time),
	{}
};

KREGION_SUITE(debugfs, cases);
