// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the suites: regions and buffers that end with their case, counts
 * of WARNs, probes of trace events, and debugfs files.
 */

#include <linux/completion.h>
#include <linux/ctype.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <trace/events/error_report.h>

#include "../kmod/internal.h"
#include "test.h"

unsigned int scale = 1;
module_param(scale, uint, 0444);
MODULE_PARM_DESC(scale, "how many times longer the random and concurrent cases are; over 1 also all parameters");

bool quick;
module_param(quick, bool, 0444);
MODULE_PARM_DESC(quick, "fewer parameters: most backings and block sizes are left out");

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "of the random cases; 0, the default, takes a new one each time");

bool fresh = true;
module_param(fresh, bool, 0444);
MODULE_PARM_DESC(fresh, "kregion.ko was loaded just before, so no WARN_ONCE() has triggered yet");

static unsigned long announced_warnings;
module_param(announced_warnings, ulong, 0444);
MODULE_PARM_DESC(announced_warnings, "WARNs that the cases announced");

static atomic_long_t seen_warnings;
static int seen_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&seen_warnings));
}

static const struct kernel_param_ops seen_ops = { .get = seen_get };
module_param_cb(seen_warnings, &seen_ops, NULL, 0444);
MODULE_PARM_DESC(seen_warnings, "WARNs that came while suites ran");

/* ---- modes --------------------------------------------------------------- */

enum {
	PERCPU = KREGION_F_PERCPU, SINGLE = KREGION_F_SINGLE, PAGES = KREGION_F_PAGES,
	VMALLOC = KREGION_F_VMALLOC, NODE = KREGION_F_NODE, ACCOUNT = KREGION_F_ACCOUNT,
	DEBUG = KREGION_F_DEBUG,
};

/* "page" is a block of one page; without a size, it is the default. */
static const struct mode modes[] = {
	{ "shared", 0, 0,
	  { [MODES_ALL] = QUICK, [MODES_BASE] = QUICK, [MODES_SMP] = QUICK, [MODES_MISUSE] = QUICK,
	    [MODES_FAULT] = NORMAL } },
	{ "percpu", PERCPU, 0,
	  { [MODES_ALL] = QUICK, [MODES_BASE] = QUICK, [MODES_SMP] = QUICK, [MODES_MISUSE] = QUICK,
	    [MODES_PROMISE] = QUICK, [MODES_MIX] = QUICK } },
	{ "single", SINGLE, 0,
	  { [MODES_ALL] = QUICK, [MODES_BASE] = QUICK, [MODES_MISUSE] = QUICK,
	    [MODES_PROMISE] = QUICK } },
	{ "shared vmalloc", VMALLOC, 0, { [MODES_ALL] = NORMAL, [MODES_PROMISE] = QUICK } },
	{ "percpu vmalloc", PERCPU | VMALLOC, 0, { [MODES_ALL] = NORMAL } },
	{ "single vmalloc", SINGLE | VMALLOC, 0, { [MODES_ALL] = NORMAL } },
	{ "shared pages", PAGES, 0, { [MODES_ALL] = FULL } },
	{ "percpu pages", PERCPU | PAGES, 0, { [MODES_ALL] = FULL, [MODES_FAULT] = NORMAL } },
	{ "single pages", SINGLE | PAGES, 0, { [MODES_ALL] = FULL } },
	{ "shared page", 0, PAGE_SIZE,
	  { [MODES_ALL] = FULL, [MODES_PROMISE] = QUICK, [MODES_MIX] = QUICK,
	    [MODES_FAULT] = NORMAL } },
	{ "percpu page", PERCPU, PAGE_SIZE, { [MODES_ALL] = FULL, [MODES_PROMISE] = QUICK } },
	{ "single page", SINGLE, PAGE_SIZE,
	  { [MODES_ALL] = FULL, [MODES_PROMISE] = QUICK, [MODES_FAULT] = NORMAL } },
	{ "shared vmalloc page", VMALLOC, PAGE_SIZE,
	  { [MODES_ALL] = FULL, [MODES_FAULT] = NORMAL } },
	{ "percpu vmalloc page", PERCPU | VMALLOC, PAGE_SIZE,
	  { [MODES_ALL] = FULL, [MODES_FAULT] = NORMAL } },
	{ "single vmalloc page", SINGLE | VMALLOC, PAGE_SIZE,
	  { [MODES_ALL] = FULL, [MODES_MIX] = QUICK } },
	{ "shared pages page", PAGES, PAGE_SIZE, { [MODES_ALL] = NORMAL, [MODES_FAULT] = QUICK } },
	{ "percpu pages page", PERCPU | PAGES, PAGE_SIZE,
	  { [MODES_ALL] = NORMAL, [MODES_FAULT] = QUICK } },
	{ "single pages page", SINGLE | PAGES, PAGE_SIZE,
	  { [MODES_ALL] = NORMAL, [MODES_FAULT] = QUICK } },
	{ "shared 1M", 0, SZ_1M, { [MODES_ALL] = FULL, [MODES_MIX] = QUICK } },
	{ "percpu 1M", PERCPU, SZ_1M, { [MODES_ALL] = FULL } },
	{ "single 1M", SINGLE, SZ_1M, { [MODES_ALL] = FULL } },
	{ "shared vmalloc 1M", VMALLOC, SZ_1M, { [MODES_ALL] = FULL } },
	{ "percpu vmalloc 1M", PERCPU | VMALLOC, SZ_1M, { [MODES_ALL] = FULL } },
	{ "single vmalloc 1M", SINGLE | VMALLOC, SZ_1M, { [MODES_ALL] = FULL } },
	{ "shared pages 1M", PAGES, SZ_1M, { [MODES_ALL] = FULL } },
	{ "percpu pages 1M", PERCPU | PAGES, SZ_1M, { [MODES_ALL] = FULL } },
	{ "single pages 1M", SINGLE | PAGES, SZ_1M, { [MODES_ALL] = FULL } },
	{ "shared pages, 16 pages", PAGES, 16 * PAGE_SIZE, { [MODES_HALVED] = QUICK } },
	{ "percpu pages, 16 pages", PERCPU | PAGES, 16 * PAGE_SIZE, { [MODES_HALVED] = QUICK } },
	{ "single pages, 256 pages", SINGLE | PAGES, 256 * PAGE_SIZE, { [MODES_HALVED] = QUICK } },
	{ "node page", NODE, PAGE_SIZE, { [MODES_FAULT] = NORMAL } },
	{ "node vmalloc page", NODE | VMALLOC, PAGE_SIZE, { [MODES_FAULT] = QUICK } },
	{ "account page", ACCOUNT, PAGE_SIZE, { [MODES_FAULT] = NORMAL } },
	{ "debug", DEBUG, 0,
	  { [MODES_DEBUG] = QUICK, [MODES_DAMAGE] = QUICK, [MODES_METADATA] = QUICK,
	    [MODES_MISUSE] = QUICK } },
	{ "debug vmalloc", DEBUG | VMALLOC, 0,
	  { [MODES_DEBUG] = QUICK, [MODES_DAMAGE] = NORMAL, [MODES_METADATA] = FULL } },
	{ "debug page", DEBUG, PAGE_SIZE, { [MODES_FAULT] = QUICK } },
	{ "percpu debug", PERCPU | DEBUG, 0,
	  { [MODES_DEBUG] = QUICK, [MODES_DAMAGE] = NORMAL, [MODES_METADATA] = FULL,
	    [MODES_PROMISE] = QUICK } },
	{ "percpu debug page", PERCPU | DEBUG, PAGE_SIZE,
	  { [MODES_DEBUG] = QUICK, [MODES_DAMAGE] = QUICK, [MODES_METADATA] = NORMAL,
	    [MODES_MIX] = QUICK } },
	{ "percpu debug vmalloc", PERCPU | DEBUG | VMALLOC, 0, { [MODES_MIX] = QUICK } },
	{ "single debug", SINGLE | DEBUG, 0,
	  { [MODES_DEBUG] = QUICK, [MODES_DAMAGE] = NORMAL, [MODES_METADATA] = FULL,
	    [MODES_MIX] = QUICK } },
	{ "single debug page", SINGLE | DEBUG, PAGE_SIZE, { [MODES_PROMISE] = QUICK } },
};

enum weight weight_limit(void)
{
	return scale > 1 ? FULL : quick ? QUICK : NORMAL;
}

const struct mode *mode_next(const struct mode *mode, enum mode_set set)
{
	const struct mode *end = modes + ARRAY_SIZE(modes);

	for (mode = mode ? mode + 1 : modes; mode < end; mode++)
		if (mode->weight[set] && mode->weight[set] <= weight_limit())
			return mode;
	return NULL;
}

void mode_desc(const struct mode *mode, char *desc)
{
	strscpy(desc, mode->name, KUNIT_PARAM_DESC_SIZE);
}

/* ---- one case at a time -------------------------------------------------- */

#define LOG_SIZE	SZ_32K

static struct {
	struct list_head undo;
	unsigned long announced, warnings, others;
	char log[LOG_SIZE];
	size_t log_len;
} now;

static DEFINE_RAW_SPINLOCK(log_lock);
static atomic_long_t other_reports;

int test_init(struct kunit *test)
{
	memset(&now, 0, sizeof(now));
	INIT_LIST_HEAD(&now.undo);
	now.warnings = warnings_seen();
	now.others = atomic_long_read(&other_reports);
	ledger_begin();
	/* Counts of a per-CPU region are those of one CPU. */
	return set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
}

/* ---- undoing ------------------------------------------------------------- */

struct undo {
	struct list_head list;
	void (*fn)(void *arg);
	void *arg;
};

void undo_later(struct kunit *test, void (*fn)(void *arg), void *arg)
{
	struct undo *u = kmalloc(sizeof(*u), GFP_KERNEL);

	if (!u)
		fn(arg);
	KUNIT_ASSERT_NOT_NULL(test, u);
	u->fn = fn;
	u->arg = arg;
	list_add(&u->list, &now.undo);
}

static void undo(struct undo *u)
{
	list_del(&u->list);
	u->fn(u->arg);
	kfree(u);
}

void undo_now(void (*fn)(void *arg), void *arg)
{
	struct undo *u;

	list_for_each_entry(u, &now.undo, list) {
		if (u->fn == fn && u->arg == arg) {
			undo(u);
			return;
		}
	}
}

void undo_forget(void (*fn)(void *arg), void *arg)
{
	struct undo *u;

	list_for_each_entry(u, &now.undo, list) {
		if (u->fn == fn && u->arg == arg) {
			list_del(&u->list);
			kfree(u);
			return;
		}
	}
}

static void undo_thread(void *task)
{
	kthread_stop(task);
	put_task_struct(task);
}

struct task_struct *thread_make(struct kunit *test, int (*fn)(void *arg), void *arg, int cpu)
{
	struct task_struct *task = kthread_create(fn, arg, "kunit/%d", cpu);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	/* It may end by itself. */
	get_task_struct(task);
	undo_later(test, undo_thread, task);
	if (cpu >= 0)
		set_cpus_allowed_ptr(task, cpumask_of(cpu));
	return task;
}

void thread_stop(struct task_struct *task)
{
	undo_now(undo_thread, task);
}

struct team {
	void (*fn)(void *arg, int i);
	void *arg;
	int nr;
	atomic_t started, running;
	struct completion done;
};

static int team_thread(void *data)
{
	struct team *team = data;
	const int i = atomic_inc_return(&team->started) - 1;

	while (atomic_read(&team->started) < team->nr)
		cond_resched();
	team->fn(team->arg, i);
	if (atomic_dec_and_test(&team->running))
		complete(&team->done);
	return 0;
}

int next_online_cpu(int cpu)
{
	cpu = cpumask_next(cpu, cpu_online_mask);
	return cpu < nr_cpu_ids ? cpu : cpumask_first(cpu_online_mask);
}

void threads_run(struct kunit *test, int nr, void (*fn)(void *arg, int i), void *arg)
{
	struct task_struct **tasks = buffer(test, nr * sizeof(*tasks));
	struct team team = {
		.fn = fn, .arg = arg, .nr = nr, .running = ATOMIC_INIT(nr),
		.done = COMPLETION_INITIALIZER_ONSTACK(team.done),
	};
	int cpu = -1, i;

	/* None is woken before all are there: those wait for one another. */
	for (i = 0; i < nr; i++) {
		cpu = next_online_cpu(cpu);
		tasks[i] = thread_make(test, team_thread, &team, cpu);
	}
	for (i = 0; i < nr; i++)
		wake_up_process(tasks[i]);
	wait_for_completion(&team.done);
	for (i = 0; i < nr; i++)
		thread_stop(tasks[i]);
}

void need_two_cpus(struct kunit *test)
{
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
}

int another_cpu(struct kunit *test)
{
	need_two_cpus(test);
	return cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
}

void test_exit(struct kunit *test)
{
	pages_hook(NULL, NULL);
	while (!list_empty(&now.undo))
		undo(list_first_entry(&now.undo, struct undo, list));
	kregion_debug_flush();
	KUNIT_EXPECT_EQ(test, warnings_seen() - now.warnings, now.announced);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&other_reports), now.others);
	ledger_check(test);
}

static void undo_region(void *r)
{
	kregion_destroy(r);
}

struct kregion *region_named(struct kunit *test, const char *name,
			     const struct kregion_attr *attr)
{
	struct kregion *r = kregion_create(name, attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, r);
	undo_later(test, undo_region, r);
	return r;
}

struct kregion *region_make(struct kunit *test, const struct kregion_attr *attr)
{
	return region_named(test, "kunit", attr);
}

struct kregion *region_of_mode(struct kunit *test, const struct mode *mode)
{
	const struct kregion_attr attr = { .flags = mode->flags, .block_size = mode->block };

	return region_make(test, &attr);
}

void region_destroy(struct kregion *r)
{
	undo_now(undo_region, r);
}

static void undo_buffer(void *p)
{
	vfree(p);
}

void *buffer(struct kunit *test, size_t bytes)
{
	void *p = vzalloc(bytes);

	KUNIT_ASSERT_NOT_NULL(test, p);
	undo_later(test, undo_buffer, p);
	return p;
}

struct kregion_stats stats_of(struct kregion *r)
{
	struct kregion_stats st;

	/* A field that is not filled in shows up as nonsense. */
	memset(&st, 0x5a, sizeof(st));
	kregion_stats(r, &st);
	return st;
}

size_t span_bytes(struct kregion_gen *g)
{
	struct kregion_span span = {};
	size_t bytes = 0;

	while (kregion_gen_next(g, &span))
		bytes += span.bytes;
	return bytes;
}

unsigned long blocks_of(const struct kregion_stats *st)
{
	return st->blocks_current + st->blocks_full + st->blocks_large + st->blocks_spare;
}

unsigned long room_of(struct kregion *r)
{
	const struct kregion_stats st = stats_of(r);

	return st.bytes_held - st.bytes_used - st.bytes_lost;
}

void expect_sane(struct kunit *test, struct kregion *r)
{
	const struct kregion_stats st = stats_of(r);

	KUNIT_EXPECT_LE(test, st.bytes_used + st.bytes_lost, st.bytes_held);
	KUNIT_EXPECT_EQ(test, st.bytes_used % KREGION_ALIGN, 0UL);
	KUNIT_EXPECT_EQ(test, st.bytes_held % PAGE_SIZE, 0UL);
	KUNIT_EXPECT_GE(test, st.bytes_held, blocks_of(&st) * PAGE_SIZE);
	KUNIT_EXPECT_LE(test, blocks_of(&st), st.blocks_peak);
	KUNIT_EXPECT_LE(test, st.blocks_peak, st.fills);
	if (!blocks_of(&st))
		KUNIT_EXPECT_EQ(test, st.bytes_held, 0UL);
	if (!st.blocks_full)
		KUNIT_EXPECT_EQ(test, st.bytes_lost, 0UL);
	if (blocks_of(&st) == st.blocks_spare)
		KUNIT_EXPECT_EQ(test, st.bytes_used, 0UL);
}

/* The capacity of a full block is in bytes_used and bytes_lost. */
size_t capacity_of(struct kunit *test, const struct mode *mode)
{
	struct kregion *r = region_of_mode(test, mode);
	const size_t step = block_of(mode) / 8;
	struct kregion_stats st;
	int i;

	for (i = 0; i < 9; i++) {
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, step, GFP_KERNEL));
		st = stats_of(r);
		if (st.blocks_full)
			break;
	}
	KUNIT_ASSERT_EQ(test, st.blocks_full, 1UL);
	region_destroy(r);
	return st.bytes_used - step + st.bytes_lost;
}

void leave_room(struct kunit *test, struct kregion *r, size_t capacity, size_t left)
{
	const struct kregion_stats before = stats_of(r);
	struct kregion_stats after;
	size_t todo = capacity - left;
	size_t step;

	while (todo) {
		/* No step is over an eighth of the block. */
		step = min_t(size_t, todo, (capacity / 8) & ~(KREGION_ALIGN - 1));
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, step, GFP_KERNEL));
		todo -= step;
	}
	after = stats_of(r);
	KUNIT_ASSERT_LE(test, after.fills + after.resets - before.fills - before.resets, 1UL);
	KUNIT_ASSERT_EQ(test, after.bytes_used - before.bytes_used, capacity - left);
}

void refill_finish(struct kregion *r)
{
	struct kregion_reserve *rv = to_priv(r)->reserve;

	do {
		irq_work_sync(&rv->refill_irq_work);
		flush_delayed_work(&rv->refill);
	} while (delayed_work_pending(&rv->refill));
}

static int other_call_thread(void *data)
{
	struct other_call *call = data;

	if (call->begin)
		call->begin(call);
	call->p = kregion_alloc(call->r, hidden(8), call->gfp);
	WRITE_ONCE(call->ended, true);
	return 0;
}

static void other_call_wake(void *arg)
{
	struct other_call *call = arg;
	const u64 end = ktime_get_mono_fast_ns() + call->patience * NSEC_PER_MSEC;

	if (call->woken)
		return;
	call->woken = true;
	wake_up_process(call->task);
	(void)spin_until(READ_ONCE(call->ended) ||
			 (call->patience && ktime_get_mono_fast_ns() > end));
	call->in_time = READ_ONCE(call->ended);
}

void other_call_begin(struct kunit *test, struct other_call *call)
{
	call->task = thread_make(test, other_call_thread, call, another_cpu(test));
	pages_hook(other_call_wake, call);
}

void other_call_end(struct kunit *test, struct other_call *call)
{
	pages_hook(NULL, NULL);
	/* Stopped before it has begun, it would not run at all. */
	KUNIT_EXPECT_TRUE(test, wait_until(READ_ONCE(call->ended)));
	thread_stop(call->task);
}

void call_during(struct kunit *test, struct kregion *r, struct other_call *call)
{
	other_call_begin(test, call);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(8), GFP_KERNEL));
	other_call_end(test, call);
}

/* ---- objects ------------------------------------------------------------- */

void object_write(struct object *o, void *p, size_t size, u64 tag)
{
	o->p = p;
	o->size = p ? size : 0;
	o->tag = tag;
	if (!p)
		return;
	memset(p, tag & 0xff, size);
	memcpy(p, &tag, min(size, sizeof(tag)));
}

bool object_intact(const struct object *o)
{
	const size_t head = min(o->size, sizeof(o->tag));

	return o->p && !memcmp(o->p, &o->tag, head) &&
	       !memchr_inv(o->p + head, o->tag & 0xff, o->size - head);
}

noinline __no_sanitize_address void poke(char *p, long at, char value)
{
	WRITE_ONCE(p[at], value);
}

void expect_intact(struct kunit *test, const struct object *o, int n)
{
	int i;

	for (i = 0; i < n; i++)
		KUNIT_EXPECT_TRUE_MSG(test, object_intact(&o[i]), "object %d", i);
}

void random_begin(struct kunit *test, struct rnd_state *rnd)
{
	const u64 s = seed ?: get_random_u32() + 1ULL;

	kunit_info(test, "seed=%llu\n", s);
	prandom_seed_state(rnd, s);
}

/* ---- warnings ------------------------------------------------------------ */

void expect_warnings(struct kunit *test, unsigned long n)
{
	now.announced += n;
	announced_warnings += n;
}

unsigned long warnings_seen(void)
{
	return atomic_long_read(&seen_warnings);
}

static void probe_report(void *data, enum error_detector detector, unsigned long id)
{
	if (detector == ERROR_DETECTOR_WARN)
		atomic_long_inc(&seen_warnings);
	else
		atomic_long_inc(&other_reports);
}

/* Runs for each line of the log, in any context; keeps those of kregion.ko. */
static void probe_console(void *data, const char *text, size_t len)
{
	unsigned long irq;

	if (len < 9 || memcmp(text, "kregion: ", 9))
		return;
	raw_spin_lock_irqsave(&log_lock, irq);
	len = min(len, LOG_SIZE - 1 - now.log_len);
	memcpy(now.log + now.log_len, text, len);
	now.log_len += len;
	raw_spin_unlock_irqrestore(&log_lock, irq);
}

const char *logged(void)
{
	return now.log;
}

int times_in(const char *text, const char *what)
{
	int n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

bool no_address_in(const char *text)
{
	size_t run;

	/*
	 * A hexadecimal number with letters, as long as the upper half of an
	 * address.
	 */
	for (; *text; text += run ?: 1) {
		bool letters = false, digits = false;

		for (run = 0; isxdigit(text[run]); run++) {
			letters |= isalpha(text[run]);
			digits |= isdigit(text[run]);
		}
		if (run >= 8 && letters)
			return false;
		if (run >= 16 || (digits && run >= 4 && !strncasecmp(text, "ffff", 4)))
			return false;
	}
	return true;
}

/* ---- trace events -------------------------------------------------------- */

struct event_search {
	struct notifier_block nb;
	const char *name;
	struct tracepoint *found;
	struct module *mod;
};

#ifdef CONFIG_MODULES
/* Registering a notifier calls it for the modules that are there. */
static int event_in_module(struct notifier_block *nb, unsigned long action, void *data)
{
	struct event_search *search = container_of(nb, struct event_search, nb);
	const struct tp_module *tm = data;
	struct tracepoint *tp;
	unsigned int i;

	if (strcmp(module_name(tm->mod), "kregion"))
		return NOTIFY_OK;
	search->mod = tm->mod;
	for (i = 0; i < tm->mod->num_tracepoints; i++) {
		tp = tracepoint_ptr_deref(&tm->mod->tracepoints_ptrs[i]);
		if (!strcmp(tp->name, search->name))
			search->found = tp;
	}
	return NOTIFY_OK;
}

static void search_module(struct event_search *search)
{
	search->nb.notifier_call = event_in_module;
	if (!register_tracepoint_module_notifier(&search->nb))
		unregister_tracepoint_module_notifier(&search->nb);
}
#else
static void search_module(struct event_search *search)
{
}
#endif

struct module *kregion_module(void)
{
	struct event_search search = { .name = "" };

	search_module(&search);
	return search.mod;
}

static void event_in_kernel(struct tracepoint *tp, void *data)
{
	struct event_search *search = data;

	if (!strcmp(tp->name, search->name))
		search->found = tp;
}

static struct tracepoint *event_find(const char *name)
{
	struct event_search search = { .name = name };

	search_module(&search);
	if (!search.found)
		for_each_kernel_tracepoint(event_in_kernel, &search);
	return search.found;
}

void probes_off(const struct probe *probes, int n)
{
	while (n--)
		tracepoint_probe_unregister(probes[n].tp, probes[n].fn, NULL);
	tracepoint_synchronize_unregister();
}

int probes_on(struct probe *probes, int n)
{
	int i, err;

	for (i = 0; i < n; i++) {
		struct probe *p = &probes[i];

		p->tp = event_find(p->event);
		err = p->tp ? tracepoint_probe_register(p->tp, p->fn, NULL) : -ENOENT;
		if (err) {
			pr_info("kregion_kunit: no probe of %s: %d\n", p->event, err);
			probes_off(probes, i);
			return err;
		}
	}
	return 0;
}

static struct probe probes[] = {
	{ "error_report_end", probe_report },
	{ "console", probe_console },
};

int suite_init(struct kunit_suite *suite)
{
	int err = probes_on(probes, ARRAY_SIZE(probes));

	if (err)
		return err;
	err = ledger_open();
	if (err)
		probes_off(probes, ARRAY_SIZE(probes));
	return err;
}

void suite_exit(struct kunit_suite *suite)
{
	ledger_close();
	probes_off(probes, ARRAY_SIZE(probes));
}

int suite_init_probes(struct kunit_suite *suite, const struct probe_list *list)
{
	int err = suite_init(suite);

	if (err)
		return err;
	err = probes_on(list->probes, list->n);
	if (err)
		suite_exit(suite);
	return err;
}

void suite_exit_probes(struct kunit_suite *suite, const struct probe_list *list)
{
	probes_off(list->probes, list->n);
	suite_exit(suite);
}

/* ---- files --------------------------------------------------------------- */

#define FILE_SIZE_MAX	SZ_256K

/* Kernel threads may see no mounts, and at boot there are none. */
struct file *file_open(struct kunit *test, const char *name)
{
	struct file_system_type *type = get_fs_type("debugfs");
	struct vfsmount *mnt = NULL;
	struct file *file;
	char path[64];
	int pins = 0;

	if (!type)
		kunit_skip(test, "no debugfs");
	KUNIT_ASSERT_EQ(test, simple_pin_fs(type, &mnt, &pins), 0);
	snprintf(path, sizeof(path), "kregion/%s", name);
	file = file_open_root_mnt(mnt, path, O_RDONLY, 0);
	simple_release_fs(&mnt, &pins);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	return file;
}

/*
 * kernel_read() refuses files without read_iter, which debugfs does not offer.
 */
ssize_t file_read(struct file *file, char *text, size_t size)
{
	struct kvec vec = { .iov_base = text, .iov_len = size };
	struct iov_iter iter;
	struct kiocb kiocb;
	ssize_t got;

	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = file->f_pos;
	iov_iter_kvec(&iter, READ, &vec, 1, vec.iov_len);
	got = seq_read_iter(&kiocb, &iter);
	if (got > 0)
		file->f_pos += got;
	return got;
}

char *file_text(struct kunit *test, const char *name)
{
	char *text = buffer(test, FILE_SIZE_MAX);
	struct file *file = file_open(test, name);
	size_t len = 0;
	ssize_t got;

	do {
		got = file_read(file, text + len, FILE_SIZE_MAX - 1 - len);
		if (got > 0)
			len += got;
	} while (got > 0 && len < FILE_SIZE_MAX - 1);
	filp_close(file, NULL);
	KUNIT_ASSERT_EQ(test, got, 0);
	return text;
}

unsigned int file_mode(struct kunit *test, const char *name)
{
	struct file *file = file_open(test, name);
	const unsigned int mode = file_inode(file)->i_mode;

	filp_close(file, NULL);
	return mode & 07777;
}

const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end && end[1] ? end + 1 : NULL;
}

static const char *column_start(const char *line, int i)
{
	while (i--) {
		while (*line && !isspace(*line))
			line++;
		while (*line == ' ' || *line == '\t')
			line++;
	}
	return line;
}

void column_text(const char *line, int i, char *out, size_t size)
{
	line = column_start(line, i);
	while (*line && !isspace(*line) && size > 1) {
		*out++ = *line++;
		size--;
	}
	*out = '\0';
}

u64 column(const char *line, int i)
{
	u64 n = 0;

	for (line = column_start(line, i); isdigit(*line); line++)
		n = 10 * n + *line - '0';
	return n;
}

u64 region_number(struct kunit *test, const char *name)
{
	const char *line = file_text(test, "regions");
	char found[64];

	for (; line; line = next_line(line)) {
		column_text(line, 1, found, sizeof(found));
		if (!strcmp(found, name))
			return column(line, 0);
	}
	return 0;
}
