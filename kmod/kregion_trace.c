// SPDX-License-Identifier: GPL-2.0
/*
 * A scheduler tracer whose records live in a region.
 *
 * Probes on the sched tracepoints write one record an event with
 * kregion_alloc_nofill() into a per-CPU region. There is no index: successive
 * objects of a CPU are adjacent as long as its block lasts, so a CPU's records
 * form runs, and only runs are linked. A run begins with its head, which is
 * allocated together with its first record. The end of a run stands in its own head
 * and moves only over an object that begins there, so a run never reaches beyond what
 * the region handed out for it.
 *
 * The state of a CPU (struct trace_cpu) is touched by that CPU with interrupts
 * off while probes are registered, and by the user of the device under
 * trace.lock otherwise. No NMI passes through these tracepoints.
 *
 * Everything that probes use is set before they are registered, but for the region:
 * a CPU gets it when all probes are in place, and until then has one without memory.
 * When they are gone, tracepoint_synchronize_unregister() makes sure that none is
 * running.
 *
 * Times are of the fast monotonic clock. To read it takes as long as all the rest of
 * a record, so where the kernel's clock is nothing but a counter of the CPU (the time
 * stamp counter, say), a record gets the counter's value. The clock is read when the
 * trace starts and when it stops, and what lies between is computed then.
 */

#include <linux/capability.h>
#include <linux/cpu.h>
#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/jump_label.h>
#include <linux/kregion.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/threads.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>

#include <trace/events/sched.h>
#include <trace/events/task.h>

#include <uapi/linux/kregion_trace.h>

static_assert(PID_MAX_LIMIT <= KREGION_TRACE_PID_MASK);
static_assert(sizeof_field(struct kregion_trace_name, comm) == TASK_COMM_LEN);

/* Pids a CPU remembers to have named; a power of two. */
#define NAMED		256

/* The head of a run; the records follow at once. */
struct trace_run {
	struct trace_run *next;
	char *end;		/* behind the last record */
};

/* What no record continues: it ends at no address, and not at NULL either. */
static struct trace_run no_run = { .end = (char *)1 };

struct trace_cpu {
	struct kregion *region;	/* of the records; one without memory until the trace begins */
	struct trace_run *run;	/* that the next record may continue, or &no_run */
	s64 last;		/* time of the last event, since trace_origin */
	u64 records;
	u64 lost;
	u64 lost_told;		/* how many of them a lost record tells of */
	u64 lost_since;		/* time of the first one that none tells of */
	struct trace_run *first;
	struct trace_run **link; /* where the next run is linked */
	struct kregion_trace_cpu head;	/* of the section, once stopped */
	u32 named[NAMED];	/* pids, by their low bits */
};

static DEFINE_PER_CPU(struct trace_cpu, trace_cpu);

/* ---- the types ------------------------------------------------------------ */

#define TYPE(_id, _nr, _struct, _name)	\
	{ KREGION_TRACE_##_id, sizeof(struct _struct), _nr, 0, _name }

static const struct kregion_trace_type trace_types[] = {
	TYPE(RUNNING_TASK, 4, kregion_trace_event, "running_task"),
	TYPE(SWITCH, 6, kregion_trace_event, "switch"),
	TYPE(WAKEUP, 5, kregion_trace_event, "wakeup"),
	TYPE(WAKEUP_NEW, 5, kregion_trace_event, "wakeup_new"),
	TYPE(FORK, 5, kregion_trace_event, "fork"),
	TYPE(EXEC, 5, kregion_trace_event, "exec"),
	TYPE(EXIT, 4, kregion_trace_event, "exit"),
	TYPE(NAME, 5, kregion_trace_name, "name"),
	TYPE(LOST, 4, kregion_trace_lost, "lost"),
};

/* The words of all records are of 8 bytes; only the comm is not made of words. */
#define WORD(_word, _shift, _bits, _name) \
	{ KREGION_TRACE_UINT, (_word) * 8, 8, _shift, _bits, { 0 }, _name }
#define CHARS(_word, _width, _name) \
	{ KREGION_TRACE_CHARS, (_word) * 8, _width, 0, 0, { 0 }, _name }
#define TIME		WORD(0, 0, KREGION_TRACE_TIME_BITS, "time")
#define ID		WORD(0, KREGION_TRACE_TIME_BITS, 8, "type")
#define FIRST(_name)	WORD(1, KREGION_TRACE_FIRST_SHIFT, KREGION_TRACE_PID_BITS, _name)
#define PRIO(_name)	WORD(1, KREGION_TRACE_PRIO_SHIFT, 8, _name)
#define SECOND(_name)	WORD(1, KREGION_TRACE_SECOND_SHIFT, KREGION_TRACE_PID_BITS, _name)
#define STATE(_name)	WORD(1, KREGION_TRACE_STATE_SHIFT, 8, _name)

/* In the order of trace_types, as many of each as said there. */
static const struct kregion_trace_field trace_fields[] = {
	TIME, ID, FIRST("pid"), PRIO("prio"),
	TIME, ID, FIRST("next_pid"), PRIO("next_prio"), SECOND("prev_pid"), STATE("prev_state"),
	TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("target_cpu"),
	TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("target_cpu"),
	TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("parent_pid"),
	TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("old_pid"),
	TIME, ID, FIRST("pid"), PRIO("prio"),
	TIME, ID, WORD(1, 0, 32, "pid"), WORD(1, 32, 32, "tgid"), CHARS(2, TASK_COMM_LEN, "comm"),
	TIME, ID, WORD(1, 0, 64, "since"), WORD(2, 0, 64, "count"),
};

static_assert(ARRAY_SIZE(trace_fields) == 4 + 6 + 5 + 5 + 5 + 5 + 4 + 5 + 4);

#define VALUE(_name)	{ #_name, offsetof(struct kregion_stats, _name) }

static const struct {
	const char *name;
	size_t offset;		/* of an unsigned long */
} trace_stats[] = {
	VALUE(blocks_current), VALUE(blocks_full), VALUE(blocks_large), VALUE(blocks_spare),
	VALUE(blocks_peak), VALUE(bytes_held), VALUE(bytes_used), VALUE(bytes_lost),
	VALUE(fills), VALUE(failed_nomem), VALUE(failed_limit), VALUE(failed_size),
	VALUE(failed_nofill),
};

/* ---- the trace ------------------------------------------------------------ */

/* The start, of record_clock(); constant while probes run. */
static u64 trace_origin __read_mostly;

static DEFINE_STATIC_KEY_FALSE(counting);	/* record_clock() is the CPU's counter */

/* A moment. */
struct trace_clock {
	u64 ticks;			/* of record_clock() */
	u64 ns;				/* of the fast monotonic clock */
	s64 suspended_ns;		/* what that has missed so far */
	u8 changes;			/* of the clock source, so far */
};

enum piece {				/* of the stream, in its order */
	PIECE_HEADER,
	PIECE_TYPES,
	PIECE_FIELDS,
	PIECE_CPU,
	PIECE_RUN,
	PIECE_END,
	PIECE_VALUES,
	PIECE_NONE,
};

static struct {
	struct mutex lock;		/* all below; also what the device does */
	enum kregion_trace_state state;
	struct kregion *region;
	struct kregion_trace_header header;
	struct kregion_trace_end end;
	struct kregion_trace_value values[ARRAY_SIZE(trace_stats)];

	size_t block_size;		/* no run is longer */
	struct trace_clock start;
	u64 ticks;			/* of record_clock() from start to stop ... */
	u64 ns;				/* ... and nanoseconds */

	/* Where the reader is: the piece after this one, and the rest of this one. */
	enum piece next;
	int cpu;
	struct trace_run *run;
	const char *rest;
	size_t rest_len;
} trace = { .lock = __MUTEX_INITIALIZER(trace.lock) };

static atomic_t trace_opened = ATOMIC_INIT(0);

/* ---- time ------------------------------------------------------------------ */

/* What a record is stamped with: ticks, or nanoseconds where there is no counter to use. */
static __always_inline u64 record_clock(void)
{
	return static_branch_likely(&counting) ? get_cycles() : ktime_get_mono_fast_ns();
}

/*
 * Does the kernel tell the time by the CPU's counter just now? Then that is in step on
 * all CPUs. (Elsewhere than on x86-64, mul_u64_u64_div_u64() is not exact in all kernels.)
 */
static bool clock_is_counter(struct trace_clock *now)
{
	const u64 before = get_cycles();
	struct system_time_snapshot snapshot;

	rmb();		/* the counter is read before the clock, ... */
	ktime_get_snapshot(&snapshot);
	rmb();		/* ... and again after it */
	now->changes = snapshot.cs_was_changed_seq;
	now->suspended_ns = ktime_get_boot_fast_ns() - ktime_get_mono_fast_ns();
	return IS_ENABLED(CONFIG_X86_64) && snapshot.cycles - before <= get_cycles() - before;
}

/* Both clocks at one moment: the closest of a few looks, as one may be interrupted. */
static void trace_clock_read(struct trace_clock *now)
{
	u64 before, ns, took, least = U64_MAX;
	int i;

	if (!static_key_enabled(&counting)) {
		now->ns = ktime_get_mono_fast_ns();
		now->ticks = now->ns;
		return;
	}
	for (i = 0; i < 5; i++) {
		before = get_cycles();
		ns = ktime_get_mono_fast_ns();
		took = get_cycles() - before;
		if (took < least) {
			least = took;
			now->ticks = before + took / 2;
			now->ns = ns;
		}
	}
}

static void trace_clock_start(void)
{
	if (clock_is_counter(&trace.start))
		static_branch_enable(&counting);
	else
		static_branch_disable(&counting);
	trace_clock_read(&trace.start);
	trace_origin = trace.start.ticks;
}

static void trace_clock_stop(void)
{
	struct trace_clock now;
	bool counter;

	trace_clock_read(&now);
	trace.ticks = now.ticks - trace.start.ticks;
	trace.ns = now.ns - trace.start.ns;
	if (!static_key_enabled(&counting))
		return;
	counter = clock_is_counter(&now);
	if (!counter || now.changes != trace.start.changes)
		pr_warn("kregion_trace: the clock source was changed, the times in this trace are not exact\n");
	else if (abs(now.suspended_ns - trace.start.suspended_ns) > NSEC_PER_MSEC)
		pr_warn("kregion_trace: the machine was suspended, the times in this trace are not exact\n");
}

/* A time since the start, as records have it, in nanoseconds. */
static u64 trace_ns(u64 time)
{
	if (!static_key_enabled(&counting) || !trace.ticks)
		return time;
	return mul_u64_u64_div_u64(time, trace.ns, trace.ticks);
}

/* ---- records: interrupts off ---------------------------------------------- */

/*
 * @p, of @size bytes, does not continue the current run, or is NULL. Start a run with
 * room for a record of @size bytes at its end. @p is given up: head and records must be
 * adjacent.
 */
static noinline __cold struct trace_run *trace_run_start(void *p, size_t size)
{
	struct trace_cpu *c = this_cpu_ptr(&trace_cpu);
	const bool tell = c->lost != c->lost_told;
	struct kregion_trace_lost *lost;
	struct trace_run *run = NULL;

	c->run = &no_run;
	if (p)
		run = kregion_alloc_nofill(c->region, sizeof(*run) + size +
					   (tell ? sizeof(*lost) : 0));
	if (!run) {
		if (!tell)
			c->lost_since = c->last;
		c->lost++;
		return NULL;
	}

	run->next = NULL;
	run->end = (char *)(run + 1);
	*c->link = run;
	c->link = &run->next;
	c->run = run;
	if (!tell)
		return run;

	lost = (struct kregion_trace_lost *)run->end;
	lost->head = (u64)KREGION_TRACE_LOST << KREGION_TRACE_TIME_BITS | c->last;
	lost->since = c->lost_since;
	lost->count = c->lost - c->lost_told;
	run->end += sizeof(*lost);
	c->lost_told = c->lost;
	c->records++;
	return run;
}

/*
 * A record of @size bytes with its first two words written; NULL if it was lost.
 * The clock may step back across an update of the timekeeper; the records of a
 * CPU do not. The time is read back at the end, and the state not through
 * a pointer, so that little has to be saved across the calls.
 */
static __always_inline void *trace_record(u64 type, u64 ids, size_t size)
{
	s64 time = record_clock() - trace_origin;
	struct trace_run *run;
	u64 *rec;

	lockdep_assert_irqs_disabled();
	__this_cpu_write(trace_cpu.last, max(time, __this_cpu_read(trace_cpu.last)));
	rec = kregion_alloc_nofill(__this_cpu_read(trace_cpu.region), size);
	run = __this_cpu_read(trace_cpu.run);
	if (unlikely((char *)rec != run->end)) {
		run = trace_run_start(rec, size);
		if (!run)
			return NULL;
		rec = (u64 *)run->end;
	}
	/* Hidden, so that the compiler adds to it in place. */
	OPTIMIZER_HIDE_VAR(run);
	run->end += size;
	__this_cpu_inc(trace_cpu.records);
	rec[0] = type << KREGION_TRACE_TIME_BITS | __this_cpu_read(trace_cpu.last);
	rec[1] = ids;
	return rec;
}

/* The second word of an event, in one register before the clock is read. */
static __always_inline u64 trace_ids(u32 first, u32 prio, u32 second, u32 state)
{
	const u32 low = first | prio << KREGION_TRACE_PRIO_SHIFT;
	const u32 high = second | state << (KREGION_TRACE_STATE_SHIFT - KREGION_TRACE_SECOND_SHIFT);
	u64 ids = (u64)high << KREGION_TRACE_SECOND_SHIFT | low;

	OPTIMIZER_HIDE_VAR(ids);
	return ids;
}

/*
 * A record has room for the low bits of a state, and 0 stands for a runnable task. One
 * that sleeps by none of them, as it is frozen or waits for a lock of PREEMPT_RT, is
 * recorded as uninterruptible.
 */
static __always_inline u32 trace_state(u32 state)
{
	if (unlikely(state > U8_MAX) && !(u8)state)
		return TASK_UNINTERRUPTIBLE;
	return state;
}

static __always_inline void trace_event(u64 type, u64 ids)
{
	trace_record(type, ids, sizeof(struct kregion_trace_event));
}

/* As trace_event(), with interrupts on or off. */
static __always_inline void trace_event_irqsave(u64 type, u64 ids)
{
	unsigned long flags;

	local_irq_save(flags);
	trace_event(type, ids);
	local_irq_restore(flags);
}

/* @comm is what @p is called, or will be at once. */
static noinline void trace_name(const struct task_struct *p, const char *comm)
{
	struct kregion_trace_name *name;

	if (!p->pid)
		return;		/* an idle task: it has none */
	name = trace_record(KREGION_TRACE_NAME, (u64)(u32)p->tgid << 32 | (u32)p->pid,
			    sizeof(*name));
	__this_cpu_write(trace_cpu.named[p->pid % NAMED], name ? p->pid : 0);
	if (!name)
		return;
	/* @p->comm may be changing; its last byte is always a zero. */
	strscpy_pad(name->comm, comm, sizeof(name->comm));
}

/* ---- probes --------------------------------------------------------------- */

/*
 * The contexts in which the kernel calls them, in 6.1 as in 6.12:
 *
 * sched_switch		__schedule(): the run-queue lock of this CPU, interrupts off
 * sched_wakeup		try_to_wake_up(), sched_ttwu_pending(): the run-queue lock of
 *			the task's CPU, which may be this one, and mostly the task's
 *			pi_lock, interrupts off; but a task that wakes itself holds no
 *			lock, only preemption off, and interrupts come in between
 * sched_wakeup_new	wake_up_new_task(): as sched_wakeup of another task
 * sched_process_fork	kernel_clone(), in the parent: no lock, interrupts on
 * sched_process_exec	exec_binprm(), in the task: no spinlock, interrupts on
 * sched_process_exit	do_exit(), in the task: no lock, interrupts on
 * task_rename		__set_task_comm(), before the change, in any task: the renamed
 *			task's alloc_lock, interrupts on
 *
 * So only probe_switch() takes it from its caller that interrupts are off: they are
 * wherever a run-queue lock is held.
 */

static void probe_switch(void *data, bool preempt, struct task_struct *prev,
			 struct task_struct *next, unsigned int prev_state)
{
	const u64 ids = trace_ids(next->pid, next->prio, prev->pid,
				  preempt ? 0 : trace_state(prev_state));
	const u32 pid = ids & KREGION_TRACE_PID_MASK;

	trace_event(KREGION_TRACE_SWITCH, ids);
	/* The idle tasks have pid 0, which an empty entry of the cache holds already. */
	if (unlikely(__this_cpu_read(trace_cpu.named[pid % NAMED]) != pid))
		trace_name(next, next->comm);
}

static void probe_wakeup(void *data, struct task_struct *p)
{
	trace_event_irqsave(KREGION_TRACE_WAKEUP, trace_ids(p->pid, p->prio, task_cpu(p), 0));
}

static void probe_wakeup_new(void *data, struct task_struct *p)
{
	trace_event_irqsave(KREGION_TRACE_WAKEUP_NEW, trace_ids(p->pid, p->prio, task_cpu(p), 0));
}

static void probe_fork(void *data, struct task_struct *parent, struct task_struct *child)
{
	unsigned long flags;

	local_irq_save(flags);
	trace_event(KREGION_TRACE_FORK, trace_ids(child->pid, child->prio, parent->pid, 0));
	trace_name(child, child->comm);
	local_irq_restore(flags);
}

static void probe_exec(void *data, struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
{
	unsigned long flags;

	local_irq_save(flags);
	trace_event(KREGION_TRACE_EXEC, trace_ids(p->pid, p->prio, old_pid, 0));
	trace_name(p, p->comm);
	local_irq_restore(flags);
}

static void probe_exit(void *data, struct task_struct *p)
{
	trace_event_irqsave(KREGION_TRACE_EXIT, trace_ids(p->pid, p->prio, 0, 0));
}

/* Comes before the change: a CPU that switches to the task in between finds the old name. */
static void probe_rename(void *data, struct task_struct *p, const char *comm)
{
	unsigned long flags;

	local_irq_save(flags);
	trace_name(p, comm);
	local_irq_restore(flags);
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tp;
} probes[] = {
	{ "sched_switch", probe_switch },
	{ "sched_wakeup", probe_wakeup },
	{ "sched_wakeup_new", probe_wakeup_new },
	{ "sched_process_fork", probe_fork },
	{ "sched_process_exec", probe_exec },
	{ "sched_process_exit", probe_exit },
	{ "task_rename", probe_rename },
};

/* Stops the build if a probe's arguments are not those of its tracepoint. */
static void __always_unused probes_check(void)
{
	check_trace_callback_type_sched_switch(probe_switch);
	check_trace_callback_type_sched_wakeup(probe_wakeup);
	check_trace_callback_type_sched_wakeup_new(probe_wakeup_new);
	check_trace_callback_type_sched_process_fork(probe_fork);
	check_trace_callback_type_sched_process_exec(probe_exec);
	check_trace_callback_type_sched_process_exit(probe_exit);
	check_trace_callback_type_task_rename(probe_rename);
}

static void probes_find(struct tracepoint *tp, void *data)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (!strcmp(tp->name, probes[i].name))
			probes[i].tp = tp;
	}
}

/* The first @nr of them, and wait until none is running. */
static void probes_unregister(int nr)
{
	while (nr--)
		tracepoint_probe_unregister(probes[nr].tp, probes[nr].probe, NULL);
	tracepoint_synchronize_unregister();
}

static int probes_register(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		err = tracepoint_probe_register(probes[i].tp, probes[i].probe, NULL);
		if (err) {
			probes_unregister(i);
			return err;
		}
	}
	return 0;
}

/* ---- start, stop, drop ---------------------------------------------------- */

static void trace_cpu_reset(struct trace_cpu *c, struct kregion *region)
{
	memset(c, 0, sizeof(*c));
	c->region = region;
	c->run = &no_run;
	c->link = &c->first;
}

/*
 * On each CPU, when all probes are in place: its trace begins here, with what
 * it runs. What some of the probes have counted as lost before is forgotten.
 */
static void trace_cpu_begin(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	trace_cpu_reset(this_cpu_ptr(&trace_cpu), trace.region);
	trace_event(KREGION_TRACE_RUNNING_TASK, trace_ids(current->pid, current->prio, 0, 0));
	trace_name(current, current->comm);
	local_irq_restore(flags);
}

/*
 * The trace begins on all CPUs, on those that are offline with the first event after
 * they come. As probes run with interrupts off, none uses the former region afterwards.
 */
static void trace_begin(void)
{
	int cpu;

	cpus_read_lock();
	on_each_cpu(trace_cpu_begin, NULL, 1);
	for_each_possible_cpu(cpu) {
		if (!cpu_online(cpu))
			trace_cpu_reset(per_cpu_ptr(&trace_cpu, cpu), trace.region);
	}
	cpus_read_unlock();
}

static u64 budget_max(void)
{
	return (u64)totalram_pages() / 2 * PAGE_SIZE;
}

static int trace_start(u64 budget)
{
	struct kregion_attr attr = { .flags = KREGION_F_PERCPU };
	struct kregion *region, *none;
	int cpu, err;

	if (trace.state != KREGION_TRACE_IDLE)
		return -EBUSY;
	if (budget < KREGION_TRACE_BUDGET_MIN || budget > min_t(u64, budget_max(), SIZE_MAX))
		return -EINVAL;

	/* Some eight blocks a CPU, if the budget is small. */
	attr.limit = max_t(size_t, budget, PAGE_SIZE);
	attr.block_size = clamp_t(size_t, attr.limit / (8 * num_online_cpus()), PAGE_SIZE,
				  KREGION_BLOCK_SIZE);
	attr.block_size = rounddown_pow_of_two(attr.block_size);
	trace.block_size = attr.block_size;
	/* What CPUs write until a block of their own comes. */
	attr.reserve = clamp_t(size_t, budget / 64, SZ_4K, SZ_256K);
	region = kregion_create("kregion_trace", &attr);
	if (IS_ERR(region))
		return PTR_ERR(region);
	/* Without a reserve, no probe gets memory from it. */
	none = kregion_create("kregion_trace", NULL);
	if (IS_ERR(none)) {
		kregion_destroy(region);
		return PTR_ERR(none);
	}

	for_each_possible_cpu(cpu)
		trace_cpu_reset(per_cpu_ptr(&trace_cpu, cpu), none);
	trace_clock_start();
	err = probes_register();
	if (err) {
		kregion_destroy(none);
		kregion_destroy(region);
		return err;
	}
	trace.region = region;
	trace.header = (struct kregion_trace_header) {
		.magic = KREGION_TRACE_MAGIC,
		.version = KREGION_TRACE_VERSION,
		.byte_order = KREGION_TRACE_BYTE_ORDER,
		.header_size = sizeof(trace.header),
		.type_size = sizeof(*trace_types),
		.nr_types = ARRAY_SIZE(trace_types),
		.field_size = sizeof(*trace_fields),
		.nr_fields = ARRAY_SIZE(trace_fields),
		.cpu_limit = nr_cpu_ids,
		.clock = CLOCK_MONOTONIC,
		.start_ns = trace.start.ns,
		.start_real_ns = ktime_get_real_ns() -
				 (ktime_get_mono_fast_ns() - trace.start.ns),
		.budget = budget,
	};
	trace_begin();
	kregion_destroy(none);
	trace.state = KREGION_TRACE_RUNNING;
	return 0;
}

enum trace_end {
	END_NONE,		/* there may be more */
	END_STOP,		/* the first record written after the stop */
	END_DAMAGE,		/* what is no record */
};

/* What the records so far have been, of one CPU and (@room) of all. */
struct trace_sum {
	enum trace_end end;
	u64 room;		/* bytes that the region handed out, the runs so far excluded */
	u64 last;		/* ticks */
	u64 records;
	u64 bytes;
	u64 told;		/* losses, by lost records ... */
	u64 pending;		/* ... and those that no record tells of ... */
	u64 since;		/* ... with the time of their first */
};

/*
 * Make the times in a run nanoseconds, and add it up; returns where it ends. Nothing is
 * read or written but what follows, record by record, from the head on, in the order of
 * time, within a block's size and within what the region has handed out in all.
 */
static char *trace_run_finish(struct trace_run *run, struct trace_sum *sum)
{
	char *const begin = (char *)(run + 1), *const end = run->end;
	char *p = begin;

	if (end <= begin || end - (char *)run > min_t(u64, sum->room, trace.block_size)) {
		sum->end = END_DAMAGE;
		return begin;
	}
	sum->room -= end - (char *)run;
	while (p < end) {
		struct kregion_trace_lost *lost = (void *)p;
		const u64 type = lost->head >> KREGION_TRACE_TIME_BITS;
		const u64 time = lost->head & KREGION_TRACE_TIME_MASK;

		/* A time too long for its bits has changed the type, and steps back. */
		if (!type || type > ARRAY_SIZE(trace_types) || time < sum->last ||
		    trace_types[type - 1].size > end - p) {
			sum->end = END_DAMAGE;
			break;
		}
		if (time > trace.ticks) {
			sum->end = END_STOP;
			sum->pending = type == KREGION_TRACE_LOST ? lost->count : 0;
			sum->since = sum->pending ? lost->since : 0;
			break;
		}
		lost->head = type << KREGION_TRACE_TIME_BITS | trace_ns(time);
		if (type == KREGION_TRACE_LOST) {
			sum->told += lost->count;
			lost->since = trace_ns(lost->since);
		}
		sum->last = time;
		sum->records++;
		p += trace_types[type - 1].size;
	}
	sum->bytes += p - begin;
	return p;
}

/* Add up the runs of a CPU, and cut them off where they end. */
static void trace_runs_finish(struct trace_cpu *c, struct trace_sum *sum)
{
	struct trace_run **link, *run;
	char *end;

	for (link = &c->first; (run = *link); link = &run->next) {
		end = trace_run_finish(run, sum);
		if (sum->end != END_NONE) {
			/* A run of which nothing is left may have been here before. */
			if (end == (char *)(run + 1)) {
				*link = NULL;
			} else {
				run->end = end;
				run->next = NULL;
			}
			return;
		}
		cond_resched();
	}
	if (sum->records != c->records)
		sum->end = END_DAMAGE;
}

/*
 * Make the section of a CPU, probes gone, without what was written after the stop, while
 * the probes were being removed. What cannot be read is lost.
 */
static void trace_cpu_finish(int cpu, u64 *room)
{
	struct trace_cpu *c = per_cpu_ptr(&trace_cpu, cpu);
	struct trace_sum sum = {
		.room = *room,
		.pending = c->lost - c->lost_told,
		.since = c->lost_since,
	};

	trace_runs_finish(c, &sum);
	if (WARN_ONCE(sum.end == END_DAMAGE, "kregion_trace: records of CPU %d are damaged\n",
		      cpu)) {
		sum.pending = c->lost - sum.told + c->records - sum.records;
		sum.since = sum.last;
	}
	if (sum.since > trace.ticks)
		sum.pending = 0;
	if (!sum.pending)
		sum.since = 0;

	*room = sum.room;
	c->records = sum.records;
	c->lost = sum.told + sum.pending;
	if (!c->records && !c->lost)
		return;
	c->head = (struct kregion_trace_cpu) {
		.section = {
			.kind = KREGION_TRACE_SECTION_CPU,
			.header_size = sizeof(c->head),
			.size = sizeof(c->head) + sum.bytes,
		},
		.cpu = cpu,
		.records = c->records,
		.lost = c->lost,
		.tail_lost = sum.pending,
		.tail_since = trace_ns(sum.since),
	};
	trace.header.nr_cpus++;
	trace.header.stream_size += c->head.section.size;
}

/* Make the stream, probes gone. */
static void trace_finish(void)
{
	struct kregion_stats stats;
	int cpu, i;
	u64 room;

	kregion_stats(trace.region, &stats);
	trace.end = (struct kregion_trace_end) {
		.section = {
			.kind = KREGION_TRACE_SECTION_END,
			.header_size = sizeof(trace.end),
			.size = sizeof(trace.end) + sizeof(trace.values),
		},
		.nr_values = ARRAY_SIZE(trace.values),
		.value_size = sizeof(*trace.values),
	};
	for (i = 0; i < ARRAY_SIZE(trace.values); i++) {
		struct kregion_trace_value *v = &trace.values[i];

		strscpy_pad(v->name, trace_stats[i].name, sizeof(v->name));
		v->value = *(unsigned long *)((char *)&stats + trace_stats[i].offset);
	}

	trace.header.stream_size = sizeof(trace.header) + sizeof(trace_types) +
				   sizeof(trace_fields) + trace.end.section.size;
	room = stats.bytes_used;
	for_each_possible_cpu(cpu)
		trace_cpu_finish(cpu, &room);

	trace.next = PIECE_HEADER;
	trace.rest_len = 0;
}

static int trace_stop(void)
{
	if (trace.state != KREGION_TRACE_RUNNING)
		return -EINVAL;

	trace_clock_stop();
	trace.header.stop_ns = trace.header.start_ns + trace.ns;
	probes_unregister(ARRAY_SIZE(probes));
	trace_finish();
	trace.state = KREGION_TRACE_STOPPED;
	return 0;
}

static int trace_drop(void)
{
	if (trace.state == KREGION_TRACE_RUNNING)
		return -EBUSY;
	if (trace.state == KREGION_TRACE_IDLE)
		return -ENODATA;
	kregion_destroy(trace.region);
	trace.region = NULL;
	trace.state = KREGION_TRACE_IDLE;
	return 0;
}

static void trace_info(struct kregion_trace_info *info)
{
	struct kregion_stats stats;
	u64 end = trace.header.stop_ns;
	int cpu;

	*info = (struct kregion_trace_info) {
		.state = trace.state,
		.budget_min = KREGION_TRACE_BUDGET_MIN,
		.budget_max = budget_max(),
	};
	if (trace.state == KREGION_TRACE_IDLE)
		return;
	if (trace.state == KREGION_TRACE_RUNNING)
		end = ktime_get_mono_fast_ns();
	else
		info->stream_size = trace.header.stream_size;
	info->budget = trace.header.budget;
	info->elapsed_ns = end - trace.header.start_ns;
	for_each_possible_cpu(cpu) {
		const struct trace_cpu *c = per_cpu_ptr(&trace_cpu, cpu);

		/* A CPU may be counting meanwhile; an old value will do. */
		info->records += READ_ONCE(c->records);
		info->lost += READ_ONCE(c->lost);
	}
	kregion_stats(trace.region, &stats);
	info->bytes_held = stats.bytes_held;
	info->bytes_used = stats.bytes_used;
}

/* ---- reading -------------------------------------------------------------- */

/* The next section that has one, after trace.cpu; nr_cpu_ids if none. */
static int trace_next_cpu(void)
{
	int cpu = trace.cpu;

	do {
		cpu = cpumask_next(cpu, cpu_possible_mask);
	} while (cpu < nr_cpu_ids && !per_cpu_ptr(&trace_cpu, cpu)->head.section.size);
	return cpu;
}

/* Go on to the next piece of the stream; false at its end. */
static bool trace_next_piece(void)
{
	switch (trace.next) {
	case PIECE_HEADER:
		trace.rest = (char *)&trace.header;
		trace.rest_len = sizeof(trace.header);
		trace.next = PIECE_TYPES;
		return true;
	case PIECE_TYPES:
		trace.rest = (char *)trace_types;
		trace.rest_len = sizeof(trace_types);
		trace.next = PIECE_FIELDS;
		return true;
	case PIECE_FIELDS:
		trace.rest = (char *)trace_fields;
		trace.rest_len = sizeof(trace_fields);
		trace.cpu = -1;
		trace.next = PIECE_CPU;
		return true;
	case PIECE_RUN:
		if (trace.run) {
			trace.rest = (char *)(trace.run + 1);
			trace.rest_len = trace.run->end - trace.rest;
			trace.run = trace.run->next;
			return true;
		}
		fallthrough;
	case PIECE_CPU:
		trace.cpu = trace_next_cpu();
		if (trace.cpu < nr_cpu_ids) {
			struct trace_cpu *c = per_cpu_ptr(&trace_cpu, trace.cpu);

			trace.rest = (char *)&c->head;
			trace.rest_len = sizeof(c->head);
			trace.run = c->first;
			trace.next = PIECE_RUN;
			return true;
		}
		fallthrough;
	case PIECE_END:
		trace.rest = (char *)&trace.end;
		trace.rest_len = sizeof(trace.end);
		trace.next = PIECE_VALUES;
		return true;
	case PIECE_VALUES:
		trace.rest = (char *)trace.values;
		trace.rest_len = sizeof(trace.values);
		trace.next = PIECE_NONE;
		return true;
	case PIECE_NONE:
		break;
	}
	return false;
}

static ssize_t trace_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	size_t done = 0;
	ssize_t ret = 0;

	if (mutex_lock_interruptible(&trace.lock))
		return -ERESTARTSYS;
	if (trace.state == KREGION_TRACE_RUNNING)
		ret = -EBUSY;
	else if (trace.state == KREGION_TRACE_IDLE)
		ret = -ENODATA;

	while (!ret && done < len) {
		size_t n = min(trace.rest_len, len - done), left;

		if (!n) {
			if (!trace_next_piece())
				break;
			continue;
		}
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		left = copy_to_user(buf + done, trace.rest, n);
		if (left)
			ret = -EFAULT;
		n -= left;
		trace.rest += n;
		trace.rest_len -= n;
		done += n;
		cond_resched();
	}
	mutex_unlock(&trace.lock);
	return done ? done : ret;
}

/* ---- the device ----------------------------------------------------------- */

static int trace_ioctl_start(void __user *arg)
{
	struct kregion_trace_start start;
	u32 size;
	int err;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < sizeof(start))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&start, sizeof(start), arg, size);
	if (err)
		return err;
	if (start.flags)
		return -EINVAL;
	return trace_start(start.budget);
}

static long trace_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct kregion_trace_info info;
	long ret;

	if (mutex_lock_interruptible(&trace.lock))
		return -ERESTARTSYS;
	switch (cmd) {
	case KREGION_TRACE_START:
		ret = trace_ioctl_start(user);
		break;
	case KREGION_TRACE_STOP:
		ret = trace_stop();
		break;
	case KREGION_TRACE_DROP:
		ret = trace_drop();
		break;
	case KREGION_TRACE_INFO:
		trace_info(&info);
		ret = copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&trace.lock);
	return ret;
}

static int trace_open(struct inode *inode, struct file *file)
{
	/* Who may not both control and read has no use for the only opening. */
	if (!perfmon_capable() || (~file->f_mode & (FMODE_READ | FMODE_WRITE)))
		return -EPERM;
	if (atomic_cmpxchg(&trace_opened, 0, 1))
		return -EBUSY;
	return stream_open(inode, file);
}

static int trace_release(struct inode *inode, struct file *file)
{
	mutex_lock(&trace.lock);
	trace_stop();
	trace_drop();
	mutex_unlock(&trace.lock);
	atomic_set(&trace_opened, 0);
	return 0;
}

static const struct file_operations trace_fops = {
	.owner = THIS_MODULE,		/* no unloading while it is open */
	.open = trace_open,
	.release = trace_release,
	.read = trace_read,
	.unlocked_ioctl = trace_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice trace_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kregion_trace",
	.fops = &trace_fops,
	.mode = 0600,
};

static int __init trace_init(void)
{
	int i;

	for_each_kernel_tracepoint(probes_find, NULL);
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (!probes[i].tp) {
			pr_err("kregion_trace: no tracepoint %s\n", probes[i].name);
			return -ENODEV;
		}
	}
	return misc_register(&trace_device);
}
module_init(trace_init);

static void __exit trace_exit(void)
{
	/* The device is closed, so nothing is traced and nothing held. */
	misc_deregister(&trace_device);
}
module_exit(trace_exit);

MODULE_DESCRIPTION("Scheduler tracer that keeps its records in a region");
MODULE_LICENSE("GPL");
