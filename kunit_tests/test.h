/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers of the suites, which suites.c lists. KREGION_SUITE() makes every case
 * check at its end that it caused exactly the WARNs that it announced and that
 * all memory went back to the page allocator.
 */
#ifndef _KREGION_TEST_H
#define _KREGION_TEST_H

#include <kunit/test.h>
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/kregion.h>
#include <linux/kthread.h>
#include <linux/prandom.h>

#include "../kmod/compat.h"

/* Module parameters. */
extern unsigned int scale;
extern bool quick;
extern bool fresh;

/* The owner of the regions of the cases, as reports and debugfs have it. */
#ifdef MODULE
#define OWNER		KBUILD_MODNAME
#else
#define OWNER		"kernel"
#endif

/* ---- parameters of cases ------------------------------------------------- */

/*
 * A quick run takes the parameters that are QUICK, one with scale > 1 takes
 * all.
 */
enum weight { QUICK = 1, NORMAL, FULL };

/* The greatest weight in this run. */
enum weight weight_limit(void);

/* Which cases take a mode; the table of modes is in test.c. */
enum mode_set {
	MODES_ALL,		/* mode x backing x block size */
	MODES_BASE,		/* each mode, all else by default */
	MODES_SMP,		/* those whose callers need no serialization */
	MODES_PROMISE,
	MODES_MIX,
	MODES_MISUSE,
	MODES_DEBUG,
	MODES_DAMAGE,
	MODES_METADATA,
	MODES_FAULT,
	MODES_HALVED,
	NR_MODE_SETS
};

struct mode {
	const char *name;
	unsigned int flags;
	size_t block;			/* 0: KREGION_BLOCK_SIZE */
	u8 weight[NR_MODE_SETS];	/* 0: not in this set */
};

/*
 * The mode of @set after @mode, or the first; NULL after the last one of this
 * run.
 */
const struct mode *mode_next(const struct mode *mode, enum mode_set set);
void mode_desc(const struct mode *mode, char *desc);

/* label_gen_params(): the modes of @set. */
#define MODE_PARAM(label, set)							\
static const void *label##_gen_params COMPAT_GENERATOR_ARGS			\
{										\
	const struct mode *mode = mode_next(prev, set);				\
										\
	if (mode)								\
		mode_desc(mode, desc);						\
	return mode;								\
}

/*
 * label_gen_params(): @rows of a suite's own table, described by their member
 * what.
 */
#define ROW_PARAM(label, rows)							\
static void label##_desc(typeof(rows[0]) *row, char *desc)			\
{										\
	strscpy(desc, row->what, KUNIT_PARAM_DESC_SIZE);			\
}										\
KUNIT_ARRAY_PARAM(label, rows, label##_desc)

/*
 * The row after @prev, or the first, that has no more than the weight of this
 * run.
 */
#define __NEXT_ROW(label, rows)							\
static const void *label##_next(const void *prev)				\
{										\
	typeof(rows[0]) *row = prev, *first = rows;				\
	const void *end = (const void *)first + sizeof(rows);			\
										\
	for (row = row ? row + 1 : first; (const void *)row < end; row++)	\
		if (row->weight <= weight_limit())				\
			return row;						\
	return NULL;								\
}

/*
 * label_gen_params(): the same, as far as their member weight is in this run.
 */
#define WEIGHTED_PARAM(label, rows)						\
__NEXT_ROW(label, rows)								\
										\
static const void *label##_gen_params COMPAT_GENERATOR_ARGS			\
{										\
	typeof(rows[0]) *row = label##_next(prev);				\
										\
	if (row)								\
		strscpy(desc, row->what, KUNIT_PARAM_DESC_SIZE);		\
	return row;								\
}

struct pair {
	const struct mode *mode;
	const void *row;
};

/* label_gen_params(): each mode of @set with each of @rows, both by weight. */
#define PAIR_PARAM(label, set, rows)						\
__NEXT_ROW(label, rows)								\
										\
static const void *label##_gen_params COMPAT_GENERATOR_ARGS			\
{										\
	typeof(rows[0]) *row = NULL;						\
	static struct pair p;							\
										\
	if (prev)								\
		row = label##_next(p.row);					\
	if (!row) {								\
		p.mode = mode_next(prev ? p.mode : NULL, set);			\
		row = label##_next(NULL);					\
	}									\
	p.row = row;								\
	if (!p.mode)								\
		return NULL;							\
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s: %s", p.mode->name, row->what); \
	return &p;								\
}

/* ---- suites -------------------------------------------------------------- */

int test_init(struct kunit *test);
void test_exit(struct kunit *test);
int suite_init(struct kunit_suite *suite);
void suite_exit(struct kunit_suite *suite);

struct probe_list {
	struct probe *probes;
	int n;
};

int suite_init_probes(struct kunit_suite *suite, const struct probe_list *list);
void suite_exit_probes(struct kunit_suite *suite, const struct probe_list *list);

#define __KREGION_SUITE(label, cases, begin, end)				\
	struct kunit_suite suite_##label = {					\
		.name = "kregion_" #label, .suite_init = begin, .suite_exit = end, \
		.init = test_init, .exit = test_exit, .test_cases = cases,	\
	}

#define KREGION_SUITE(label, cases) __KREGION_SUITE(label, cases, suite_init, suite_exit)

/* The same with an array of probes attached as long as the suite runs. */
#define KREGION_SUITE_PROBES(label, cases, array)				\
static const struct probe_list label##_list = {					\
	.probes = array, .n = sizeof(array) / sizeof(struct probe),		\
};										\
										\
static int label##_init(struct kunit_suite *suite)				\
{										\
	return suite_init_probes(suite, &label##_list);				\
}										\
										\
static void label##_exit(struct kunit_suite *suite)				\
{										\
	suite_exit_probes(suite, &label##_list);				\
}										\
										\
__KREGION_SUITE(label, cases, label##_init, label##_exit)

extern struct kunit_suite suite_life, suite_alloc, suite_strings, suite_shared, suite_percpu;
extern struct kunit_suite suite_single, suite_concurrent, suite_nofill, suite_free, suite_misuse;
extern struct kunit_suite suite_bounds, suite_interrupt, suite_map;
extern struct kunit_suite suite_debug, suite_stats, suite_debugfs, suite_events, suite_fault;
extern struct kunit_suite suite_nmi, suite_tree, suite_scratch, suite_trace, suite_generations;

/* ---- undoing ------------------------------------------------------------- */

/*
 * A failed assertion ends a case at once, so anything that outlives the stack
 * frame of the case is registered here when it is created. The end of the case
 * calls @fn, last registered first: earlier registrations are still valid then.
 */
void undo_later(struct kunit *test, void (*fn)(void *arg), void *arg);
void undo_now(void (*fn)(void *arg), void *arg);
void undo_forget(void (*fn)(void *arg), void *arg);

/* A thread bound to @cpu (-1: any), not yet woken; kthread_stop() undoes it. */
struct task_struct *thread_make(struct kunit *test, int (*fn)(void *arg), void *arg, int cpu);
void thread_stop(struct task_struct *task);

/* The online CPU after @cpu, or the first one. */
int next_online_cpu(int cpu);

/*
 * Call @fn with 0 to @nr - 1 in a thread each, on the online CPUs in turn. They
 * start together; returns when all have ended.
 */
void threads_run(struct kunit *test, int nr, void (*fn)(void *arg, int i), void *arg);

/* Skips the case on a machine with one CPU. */
void need_two_cpus(struct kunit *test);

/* An online CPU other than this one; skips the case if there is none. */
int another_cpu(struct kunit *test);

/* Poll @cond for ten seconds or more; false if it stays false. */
#define wait_until(cond)							\
({										\
	int __i;								\
										\
	for (__i = 0; __i < 10000 && !(cond); __i++)				\
		usleep_range(1000, 2000);					\
	__i < 10000;								\
})

/* Spin until @cond, for five seconds at most; false if it stays false. */
#define spin_until(cond)							\
({										\
	const u64 __end = ktime_get_mono_fast_ns() + 5ULL * NSEC_PER_SEC;	\
	bool __met;								\
										\
	while (!(__met = (cond)) && ktime_get_mono_fast_ns() < __end)		\
		cpu_relax();							\
	__met;									\
})

/* ---- regions ------------------------------------------------------------- */

/*
 * Creates a region or ends the case; the end of the case destroys what is left.
 */
struct kregion *region_named(struct kunit *test, const char *name,
			     const struct kregion_attr *attr);
struct kregion *region_make(struct kunit *test, const struct kregion_attr *attr);
struct kregion *region_of_mode(struct kunit *test, const struct mode *mode);
void region_destroy(struct kregion *r);

/* Zeroed memory that lives as long as the case. */
void *buffer(struct kunit *test, size_t bytes);

struct kregion_stats stats_of(struct kregion *r);

/* Bytes of all spans of a generation. */
size_t span_bytes(struct kregion_gen *g);
unsigned long blocks_of(const struct kregion_stats *st);

/* Invariants of the statistics of an idle region. */
void expect_sane(struct kunit *test, struct kregion *r);

/*
 * Bytes of the blocks that are neither used nor lost; block headers are among
 * them.
 */
unsigned long room_of(struct kregion *r);

/* Bytes of a block of @mode, and those of them that can be allocated. */
static inline size_t block_of(const struct mode *mode)
{
	return mode->block ?: KREGION_BLOCK_SIZE;
}

size_t capacity_of(struct kunit *test, const struct mode *mode);

/* Let the refill of the reserve that was asked for end. */
void refill_finish(struct kregion *r);

/* Fill the current block, which is empty or not there, up to @left bytes. */
void leave_room(struct kunit *test, struct kregion *r, size_t capacity, size_t left);

/* A size that is no compile-time constant. */
static inline size_t hidden(size_t size)
{
	OPTIMIZER_HIDE_VAR(size);
	return size;
}

/* kregion_alloc_nofill(), as compiled where NMIs are refused. */
void *nofill_nmi_unsafe(struct kregion *r, size_t size);

/* An allocation of eight bytes on another CPU. */
struct other_call {
	struct kregion *r;
	gfp_t gfp;
	unsigned int patience;		/* ms; 0: as long as it takes */
	void (*begin)(struct other_call *call);	/* called before it, there; or NULL */
	struct task_struct *task;
	void *p;
	bool woken, ended, in_time;
};

/*
 * Let @call run when the case's task gets its next page, until it ends or the
 * patience is over.
 */
void other_call_begin(struct kunit *test, struct other_call *call);
void other_call_end(struct kunit *test, struct other_call *call);

/* The same while a block of @r is in flight, for an object. */
void call_during(struct kunit *test, struct kregion *r, struct other_call *call);

/* ---- objects ------------------------------------------------------------- */

struct object {
	char *p;
	size_t size;
	u64 tag;
};

/* Write a whole object, and check later that it is unchanged; NULL is not. */
void object_write(struct object *o, void *p, size_t size, u64 tag);
bool object_intact(const struct object *o);

/* Write where the case may not: KASAN does not see it. */
void poke(char *p, long at, char value);

/* All @n objects are unchanged. */
void expect_intact(struct kunit *test, const struct object *o, int n);

/* Seed the random numbers of a case; its output has the seed. */
void random_begin(struct kunit *test, struct rnd_state *rnd);

/* ---- warnings ------------------------------------------------------------ */

/* This case is going to cause @n WARNs more. */
void expect_warnings(struct kunit *test, unsigned long n);
unsigned long warnings_seen(void);

/* Text of this case in the kernel's log that starts with "kregion: ". */
const char *logged(void);

/* How often @what is in @text. */
int times_in(const char *text, const char *what);

/* @text has nothing that looks like a kernel address. */
bool no_address_in(const char *text);

/* ---- trace events of the module and of the kernel ------------------------ */

struct probe {
	const char *event;
	void *fn;
	struct tracepoint *tp;
};

/* Attaches all or none. After probes_off() none is running any more. */
int probes_on(struct probe *probes, int n);
void probes_off(const struct probe *probes, int n);

#ifdef CONFIG_GENERIC_BUG
/* That of the kernel, by the linker script. */
extern struct bug_entry __start___bug_table[], __stop___bug_table[];
#endif

/* kregion.ko, which this module pins; NULL if it is built in. */
struct module *kregion_module(void);

/* ---- the ledger of pages, slab and per-CPU memory, see ledger.c ---------- */

int ledger_open(void);
void ledger_close(void);
void ledger_begin(void);
void ledger_check(struct kunit *test);

/* Bytes of all blocks, by the events of their allocation and free. */
long bytes_outstanding(void);

/* Pages of blocks, and slab objects of kregion.ko, that are not free. */
unsigned long pages_outstanding(void);
long objects_outstanding(void);

/* Objects of this size that others allocate for the module count, too. */
void objects_watch(size_t asked);

/*
 * Pages that the case's task has got since its last block, of @order, neither
 * free nor slab.
 */
unsigned long pages_taken(unsigned int order);
void pages_forget(void);

/*
 * Count the requests of @order by the case's task from now on, with the gfp
 * bits of any and all.
 */
void pages_watch(unsigned int order);
unsigned int pages_watched(gfp_t *any, gfp_t *all);

/* Call @fn with preemption off whenever the case's task gets pages. */
void pages_hook(void (*fn)(void *arg), void *arg);

/* Allocations of per-CPU memory by kregion.ko. */
unsigned long percpu_requests(void);

/* Frees of per-CPU memory by the case's task. */
unsigned long percpu_freed(void);

/* ---- files --------------------------------------------------------------- */

/* The text of kregion/@name in debugfs; skips the case if there is no debugfs. */
char *file_text(struct kunit *test, const char *name);

/*
 * The same in pieces; a read starts where the last one ended. Close with
 * filp_close().
 */
struct file *file_open(struct kunit *test, const char *name);
ssize_t file_read(struct file *file, char *text, size_t size);
unsigned int file_mode(struct kunit *test, const char *name);

/* The id of the region called @name in "regions"; 0 if there is none. */
u64 region_number(struct kunit *test, const char *name);

/* Column @i, from 0, of the line at @line, as a number or as text. */
u64 column(const char *line, int i);
void column_text(const char *line, int i, char *out, size_t size);
const char *next_line(const char *line);

#endif /* _KREGION_TEST_H */
