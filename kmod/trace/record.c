// SPDX-License-Identifier: GPL-2.0
/*
 * Probes on scheduler tracepoints, and the records that they write.
 *
 * kregion_alloc_nofill() allocates each record from a per-CPU region. There is
 * no index: successive objects of a CPU are adjacent as long as its block
 * lasts, so the records of a CPU form runs, and only runs are linked. A run
 * begins with its header, which is allocated together with its first record.
 * run->end advances only over an object that begins there, so a run never
 * extends beyond the memory that the region handed out for it.
 *
 * An intern map in the same region has the names that the trace has, so that a
 * CPU does not record one that another CPU has recorded.
 *
 * All state that probes use is set before they are registered, except for the
 * region: a CPU gets it when all probes are registered, and has a region
 * without memory until then. In a live trace, each CPU begins a generation with
 * an empty list of runs and an empty map. tracepoint_synchronize_unregister()
 * waits for running probes at the end.
 *
 * Probes and their inlines stay in one file to keep a record cheap.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/irqflags.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/threads.h>
#include <linux/tracepoint.h>

#include <trace/events/sched.h>
#include <trace/events/task.h>

#include "../compat.h"
#include "trace.h"

static_assert(PID_MAX_LIMIT <= KREGION_TRACE_PID_MASK);
static_assert(sizeof_field(struct kregion_trace_name, comm) == TASK_COMM_LEN);

DEFINE_PER_CPU(struct krtrace_cpu, krtrace_cpu);

/* P: has no memory. For CPUs before the start, and while a generation is overfull. */
static struct kregion *nowhere;

/* Sentinel for krtrace_cpu.run: its end equals neither an object nor NULL. */
static struct krtrace_run no_run = { .end = (char *)1 };

/* A name of a task, as an item of krtrace_cpu.names. */
struct name_key {
	u32 pid, tgid;
	char comm[TASK_COMM_LEN];
	u32 lost;		/* names_lost */
};

/* What a name takes in the map, on 64 bits: a node and a slot, see map.c. */
#define NAME_BYTES	(80 + ALIGN(sizeof(struct name_key), 8) + 8)

/* A: incremented when a new name is lost: those in the map are not up to date. */
static u32 names_lost;

static void cpu_reset(struct krtrace_cpu *c, const struct krtrace_memory *memory)
{
	memset(c, 0, offsetof(struct krtrace_cpu, part));
	c->region = memory->region;
	c->names = memory->names;
	c->run = &no_run;
	c->link = &c->first;
}

/* End a generation, whose part is @slot. */
static void cpu_close(struct krtrace_cpu *c, unsigned int slot)
{
	c->part[slot] = (struct krtrace_part){
		.first = c->first,
		.records = c->records - c->records_before,
		.lost = c->lost - c->lost_before,
		.unreported = c->lost - c->lost_reported,
		.since = c->lost_since,
	};
}

/* Begin a generation. */
static void cpu_open(struct krtrace_cpu *c, const struct krtrace_memory *memory)
{
	c->region = memory->region;
	c->names = memory->names;
	c->run = &no_run;
	c->first = NULL;
	c->link = &c->first;
	c->records_before = c->records;
	c->lost_before = c->lost;
	c->lost_reported = c->lost;
	memset(c->named, 0, sizeof(c->named));
}

/* ---- records: interrupts off -------------------------------------------- */

/*
 * Start a run for a record of @size bytes, which the caller writes at run->end,
 * and write a lost record first if there are unreported losses. @p is an object
 * that does not continue the current run, and remains unused, as header and
 * records must be adjacent; or NULL after a failed allocation. Returns NULL if
 * the record is lost.
 */
static noinline __cold struct krtrace_run *run_start(void *p, size_t size)
{
	struct krtrace_cpu *c = this_cpu_ptr(&krtrace_cpu);
	const bool report = c->lost != c->lost_reported;
	struct kregion_trace_lost *lost;
	struct krtrace_run *run = c->run;

	if (!krtrace_fill((run == &no_run ? 0 : run->end - (char *)run) + (p ? size : 0))) {
		c->region = nowhere;
		p = NULL;
	}
	run = NULL;
	c->run = &no_run;
	if (p)
		run = kregion_alloc_nofill(c->region, sizeof(*run) + size +
					   (report ? sizeof(*lost) : 0));
	if (!run) {
		krtrace_exhausted();
		if (!report)
			c->lost_since = c->last;
		WRITE_ONCE(c->lost, c->lost + 1);
		return NULL;
	}

	run->next = NULL;
	run->end = (char *)(run + 1);
	*c->link = run;
	c->link = &run->next;
	c->run = run;
	if (!report)
		return run;

	lost = (struct kregion_trace_lost *)run->end;
	lost->head = (u64)KREGION_TRACE_LOST << KREGION_TRACE_TIME_BITS | c->last;
	lost->since = c->lost_since;
	lost->count = c->lost - c->lost_reported;
	run->end += sizeof(*lost);
	c->lost_reported = c->lost;
	WRITE_ONCE(c->records, c->records + 1);
	return run;
}

/*
 * Write the first two words of a record of @size bytes; returns NULL if it is
 * lost. The clock may step back when the timekeeper is updated, but record
 * times of a CPU do not. Reloads the time at the end and uses no pointer to
 * krtrace_cpu, so that few registers are live across the calls.
 */
static __always_inline void *record_write(u64 type, u64 ids, size_t size)
{
	s64 time = krtrace_ticks() - krtrace_clock.start;
	struct krtrace_run *run;
	u64 *rec;

	lockdep_assert_irqs_disabled();
	__this_cpu_write(krtrace_cpu.last, max(time, __this_cpu_read(krtrace_cpu.last)));
	rec = kregion_alloc_nofill(__this_cpu_read(krtrace_cpu.region), size);
	run = __this_cpu_read(krtrace_cpu.run);
	if (unlikely((char *)rec != run->end)) {
		run = run_start(rec, size);
		if (!run)
			return NULL;
		rec = (u64 *)run->end;
	}
	/* Let the compiler add in place. */
	OPTIMIZER_HIDE_VAR(run);
	run->end += size;
	__this_cpu_inc(krtrace_cpu.records);
	rec[0] = type << KREGION_TRACE_TIME_BITS | __this_cpu_read(krtrace_cpu.last);
	rec[1] = ids;
	return rec;
}

/* Second word of an event, in one register before the clock is read. */
static __always_inline u64 record_ids(u32 first, u32 prio, u32 second, u32 state)
{
	const u32 low = first | prio << KREGION_TRACE_PRIO_SHIFT;
	const u32 high = second | state << (KREGION_TRACE_STATE_SHIFT - KREGION_TRACE_SECOND_SHIFT);
	u64 ids = (u64)high << KREGION_TRACE_SECOND_SHIFT | low;

	OPTIMIZER_HIDE_VAR(ids);
	return ids;
}

/*
 * A record holds the low 8 bits of a task state; 0 means runnable. A sleep that
 * sets none of them (TASK_FROZEN, TASK_RTLOCK_WAIT) is recorded as
 * uninterruptible.
 */
static __always_inline u32 record_state(u32 state)
{
	if (unlikely(state > U8_MAX) && !(u8)state)
		return TASK_UNINTERRUPTIBLE;
	return state;
}

static __always_inline void record_event(u64 type, u64 ids)
{
	record_write(type, ids, sizeof(struct kregion_trace_event));
}

/* As record_event(), but interrupts may be on. */
static __always_inline void record_event_irqsave(u64 type, u64 ids)
{
	unsigned long flags;

	local_irq_save(flags);
	record_event(type, ids);
	local_irq_restore(flags);
}

/*
 * @comm is the current or, if @is_new, the new name of @p. Others are recorded
 * unless the map has them. The map may lack a recorded one for want of memory.
 */
static noinline void record_name(const struct task_struct *p, const char *comm, bool is_new)
{
	struct kregion_map *names = __this_cpu_read(krtrace_cpu.names);
	struct name_key key = {
		.pid = p->pid, .tgid = p->tgid, .lost = READ_ONCE(names_lost),
	};
	struct kregion_trace_name *name;
	bool known;

	if (!p->pid)
		return;		/* idle tasks have no name in a trace */
	__this_cpu_write(krtrace_cpu.named[p->pid % KRTRACE_NAMED], p->pid);
	/* @p->comm may change concurrently; its last byte is always 0. */
	strscpy(key.comm, comm, sizeof(key.comm));
	known = names && kregion_map_find(names, &key, sizeof(key));
	if (known && !is_new)
		return;
	name = record_write(KREGION_TRACE_NAME, (u64)key.tgid << 32 | key.pid, sizeof(*name));
	if (!name) {
		__this_cpu_write(krtrace_cpu.named[p->pid % KRTRACE_NAMED], 0);
		if (is_new)
			WRITE_ONCE(names_lost, key.lost + 1);
		return;
	}
	memcpy(name->comm, key.comm, sizeof(name->comm));
	if (names && !known && kregion_map_put_nofill(names, &key, sizeof(key)))
		krtrace_fill(NAME_BYTES);
}

/* ---- probes ------------------------------------------------------------- */

/*
 * Contexts of the tracepoints, in 6.1 as in 6.12:
 *
 * sched_switch		__schedule(): run-queue lock of this CPU, interrupts off
 * sched_wakeup		try_to_wake_up(), sched_ttwu_pending(): run-queue lock
 *			of the task's CPU, possibly this one, usually the task's
 *			pi_lock, interrupts off; but for a task that wakes
 *			itself no lock, and only preemption off
 * sched_wakeup_new	wake_up_new_task(): as sched_wakeup for another task
 * sched_process_fork	kernel_clone(), in the parent: no lock, interrupts on
 * sched_process_exec	exec_binprm(), in the task: no spinlock, interrupts on
 * sched_process_exit	do_exit(), in the task: no lock, interrupts on
 * task_rename		__set_task_comm(), before the change, in any task:
 *			alloc_lock of the renamed task, interrupts on
 *
 * A run-queue lock implies that interrupts are off, so probe_switch() leaves
 * them alone; all other probes disable them.
 */

static void probe_switch(void *data, bool preempt, struct task_struct *prev,
			 struct task_struct *next, unsigned int prev_state)
{
	const u64 ids = record_ids(next->pid, next->prio, prev->pid,
				   preempt ? 0 : record_state(prev_state));
	const u32 pid = ids & KREGION_TRACE_PID_MASK;

	record_event(KREGION_TRACE_SWITCH, ids);
	/* An empty entry is 0, the pid of the idle tasks. */
	if (unlikely(__this_cpu_read(krtrace_cpu.named[pid % KRTRACE_NAMED]) != pid))
		record_name(next, next->comm, false);
}

static void probe_wakeup(void *data, struct task_struct *p)
{
	record_event_irqsave(KREGION_TRACE_WAKEUP, record_ids(p->pid, p->prio, task_cpu(p), 0));
}

static void probe_wakeup_new(void *data, struct task_struct *p)
{
	record_event_irqsave(KREGION_TRACE_WAKEUP_NEW, record_ids(p->pid, p->prio, task_cpu(p), 0));
}

static void probe_fork(void *data, struct task_struct *parent, struct task_struct *child)
{
	unsigned long flags;

	local_irq_save(flags);
	record_event(KREGION_TRACE_FORK, record_ids(child->pid, child->prio, parent->pid, 0));
	record_name(child, child->comm, true);
	local_irq_restore(flags);
}

static void probe_exec(void *data, struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
{
	unsigned long flags;

	local_irq_save(flags);
	record_event(KREGION_TRACE_EXEC, record_ids(p->pid, p->prio, old_pid, 0));
	record_name(p, p->comm, true);
	local_irq_restore(flags);
}

static void probe_exit(void *data, struct task_struct *p)
{
	record_event_irqsave(KREGION_TRACE_EXIT, record_ids(p->pid, p->prio, 0, 0));
}

static void probe_exit_group(void *data, struct task_struct *p, bool group_dead)
{
	probe_exit(data, p);
}

#define PROBE_EXIT	compat_probe_exit(probe_exit, probe_exit_group)

/* A CPU that switches to @p before the change records the old name. */
static void probe_rename(void *data, struct task_struct *p, const char *comm)
{
	unsigned long flags;

	local_irq_save(flags);
	record_name(p, comm, true);
	local_irq_restore(flags);
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tp;	/* set by krtrace_record_init() */
} probes[] = {
	{ "sched_switch", probe_switch },
	{ "sched_wakeup", probe_wakeup },
	{ "sched_wakeup_new", probe_wakeup_new },
	{ "sched_process_fork", probe_fork },
	{ "sched_process_exec", probe_exec },
	{ "sched_process_exit", PROBE_EXIT },
	{ "task_rename", probe_rename },
};

/* Fails to compile if a probe's arguments are not those of its tracepoint. */
static void __always_unused probes_check(void)
{
	check_trace_callback_type_sched_switch(probe_switch);
	check_trace_callback_type_sched_wakeup(probe_wakeup);
	check_trace_callback_type_sched_wakeup_new(probe_wakeup_new);
	check_trace_callback_type_sched_process_fork(probe_fork);
	check_trace_callback_type_sched_process_exec(probe_exec);
	check_trace_callback_type_sched_process_exit(PROBE_EXIT);
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

/* Unregister the first @nr probes, and wait for running ones. */
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

/* ---- start and stop ----------------------------------------------------- */

/* Find the tracepoints; -ENODEV if one is missing. */
int krtrace_record_init(void)
{
	int i;

	for_each_kernel_tracepoint(probes_find, NULL);
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (!probes[i].tp) {
			pr_err("no tracepoint %s\n", probes[i].name);
			return -ENODEV;
		}
	}
	return 0;
}

static void record_running_task(void)
{
	record_event(KREGION_TRACE_RUNNING_TASK, record_ids(current->pid, current->prio, 0, 0));
	record_name(current, current->comm, false);
}

/*
 * Begin the trace of this CPU with its current task, once all probes are
 * registered. This discards the losses that probes have counted until then.
 */
static void cpu_begin(void *memory)
{
	unsigned long flags;

	local_irq_save(flags);
	cpu_reset(this_cpu_ptr(&krtrace_cpu), memory);
	record_running_task();
	local_irq_restore(flags);
}

/*
 * Begin on all CPUs; the trace of an offline CPU begins with the first event
 * after it comes online. Probes run with interrupts off, so none of them uses
 * the previous region after the IPIs.
 */
static void cpus_begin(struct krtrace_memory *memory)
{
	int cpu;

	cpus_read_lock();
	on_each_cpu(cpu_begin, memory, 1);
	for_each_possible_cpu(cpu) {
		if (!cpu_online(cpu))
			cpu_reset(per_cpu_ptr(&krtrace_cpu, cpu), memory);
	}
	cpus_read_unlock();
}

static void nowhere_destroy(void)
{
	kregion_destroy(nowhere);
	nowhere = NULL;
}

/*
 * Begin a trace in @region; on failure, no probe is registered. Only a @live
 * trace goes on after a generation that is overfull.
 */
int krtrace_record_start(struct kregion *region, bool live)
{
	struct krtrace_memory memory = { .region = region }, none = {};
	int cpu, err;

	memory.names = kregion_map_create(region, GFP_KERNEL);
	if (!memory.names)
		return -ENOMEM;
	/* No reserve, so kregion_alloc_nofill() finds no memory in it. */
	nowhere = kregion_create("kregion_trace", NULL);
	if (IS_ERR(nowhere))
		return PTR_ERR(nowhere);
	none.region = nowhere;
	for_each_possible_cpu(cpu)
		cpu_reset(per_cpu_ptr(&krtrace_cpu, cpu), &none);
	krtrace_clock_start();
	err = probes_register();
	if (!err)
		cpus_begin(&memory);
	if (err || !live)
		nowhere_destroy();
	return err;
}

void krtrace_record_stop(void)
{
	probes_unregister(ARRAY_SIZE(probes));
	nowhere_destroy();
}

struct turn {
	unsigned int slot;		/* of the generation that ends */
	const struct krtrace_memory *memory; /* of the one that begins */
};

static void cpu_turn(void *data)
{
	struct krtrace_cpu *c = this_cpu_ptr(&krtrace_cpu);
	const struct turn *turn = data;
	unsigned long flags;

	local_irq_save(flags);
	cpu_close(c, turn->slot);
	cpu_open(c, turn->memory);
	record_running_task();
	local_irq_restore(flags);
}

/*
 * End a generation, and begin the next one, on all CPUs. All records of the
 * former are written and no probe uses it or its names when this returns.
 */
void krtrace_record_turn(unsigned int slot, const struct krtrace_memory *memory)
{
	struct turn turn = { slot, memory };
	struct krtrace_cpu *c;
	int cpu;

	cpus_read_lock();
	on_each_cpu(cpu_turn, &turn, 1);
	for_each_possible_cpu(cpu) {
		if (cpu_online(cpu))
			continue;
		c = per_cpu_ptr(&krtrace_cpu, cpu);
		cpu_close(c, slot);
		cpu_open(c, memory);
	}
	cpus_read_unlock();
}

/* End the last generation; no probe is registered. */
void krtrace_record_close(unsigned int slot)
{
	int cpu;

	for_each_possible_cpu(cpu)
		cpu_close(per_cpu_ptr(&krtrace_cpu, cpu), slot);
}

/* An inconsistent snapshot while CPUs write records. */
void krtrace_record_counts(u64 *records, u64 *lost)
{
	int cpu;

	*records = 0;
	*lost = 0;
	for_each_possible_cpu(cpu) {
		const struct krtrace_cpu *c = per_cpu_ptr(&krtrace_cpu, cpu);

		/* data_race(): this_cpu operations cannot be marked. */
		*records += data_race(READ_ONCE(c->records));
		*lost += READ_ONCE(c->lost);
	}
}
