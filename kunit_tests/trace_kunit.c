// SPDX-License-Identifier: GPL-2.0
/*
 * Records of the tracer, from the probes to the stream. The cases call probes
 * and corrupt their state, so this file includes the sources.
 */

#include "../kmod/trace/clock.c"
#include "../kmod/trace/record.c"
#include "../kmod/trace/stream.c"

#include <linux/hrtimer.h>

#include "test.h"

#define TRACE_BLOCK_SIZE	SZ_1M

static struct kregion *region;	/* of the records */
static struct krtrace_memory memory;	/* the same, with the names */

/* Wait for the next tick. */
static void tick(void)
{
	const u64 now = krtrace_ticks();

	while (krtrace_ticks() == now)
		cpu_relax();
}

/* Begin a trace of this CPU, in a block with room for the whole trace. */
static struct kregion *begin(struct kunit *test)
{
	int cpu;

	region = region_make(test, &(struct kregion_attr) {
		.flags = KREGION_F_PERCPU, .block_size = TRACE_BLOCK_SIZE,
	});
	KUNIT_ASSERT_NOT_NULL(test, kregion_zalloc(region, 8, GFP_KERNEL));
	memory.region = region;
	memory.names = kregion_map_create(region, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory.names);
	for_each_possible_cpu(cpu)
		cpu_reset(per_cpu_ptr(&krtrace_cpu, cpu), &memory);
	krtrace_clock.start = krtrace_ticks();
	tick();
	return region;
}

static void stop(void)
{
	krtrace_clock.ticks = krtrace_ticks() - krtrace_clock.start;
	krtrace_clock.ns = krtrace_clock.ticks;
}

static struct krtrace_cpu *prepare(void)
{
	krtrace_stream_prepare(region, TRACE_BLOCK_SIZE, 0);
	return raw_cpu_ptr(&krtrace_cpu);
}

static struct krtrace_cpu *end(void)
{
	stop();
	return prepare();
}

/* The stream has the announced size, and its records are in the region. */
static void expect_stream(struct kunit *test)
{
	const char *section;
	u64 size = 0;

	while (size <= krtrace_stream_size() && reader_next()) {
		size += reader.len;
		if (reader.next != PART_RUN || !reader.len)
			continue;
		section = (char *)&per_cpu_ptr(&krtrace_cpu, reader.cpu)->section;
		if (reader.data == section)
			continue;
		KUNIT_EXPECT_TRUE(test, kregion_contains(region, reader.data));
		KUNIT_EXPECT_TRUE(test, kregion_contains(region, reader.data + reader.len - 1));
	}
	KUNIT_EXPECT_EQ(test, size, krtrace_stream_size());
}

/* ---- contexts ------------------------------------------------------------ */

/* Also exposes all probes to lockdep. */
static void probes_run_in_their_contexts(struct kunit *test)
{
	const struct krtrace_cpu *c;

	begin(test);
	probe_wakeup(NULL, current);
	probe_wakeup_new(NULL, current);
	probe_fork(NULL, current, current);
	probe_exec(NULL, current, current->pid, NULL);
	probe_rename(NULL, current, "renamed");
	probe_exit(NULL, current);
	local_irq_disable();
	probe_switch(NULL, false, current, current, 0);
	local_irq_enable();
	c = end();
	KUNIT_EXPECT_EQ(test, c->records, 9);
	KUNIT_EXPECT_EQ(test, c->lost, 0);
	expect_stream(test);
}

/* Only runnable tasks are recorded as runnable. */
static void a_switch_records_the_task_state(struct kunit *test)
{
	static const struct { unsigned int state, recorded; bool preempt; } states[] = {
		{ TASK_RUNNING, 0 }, { TASK_INTERRUPTIBLE, TASK_INTERRUPTIBLE },
		{ TASK_UNINTERRUPTIBLE, TASK_UNINTERRUPTIBLE }, { TASK_INTERRUPTIBLE, 0, true },
		{ TASK_IDLE, TASK_UNINTERRUPTIBLE }, { 0x1000, TASK_UNINTERRUPTIBLE },
		{ 0x8000, TASK_UNINTERRUPTIBLE },
		{ 0x2000 | TASK_INTERRUPTIBLE, TASK_INTERRUPTIBLE },
	};
	const struct kregion_trace_event *rec;
	int i;

	begin(test);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		local_irq_disable();
		probe_switch(NULL, states[i].preempt, current, current, states[i].state);
		rec = (void *)raw_cpu_ptr(&krtrace_cpu)->run->end - sizeof(*rec);
		if (rec->head >> KREGION_TRACE_TIME_BITS != KREGION_TRACE_SWITCH)
			rec = (void *)rec - sizeof(struct kregion_trace_name);
		local_irq_enable();
		KUNIT_EXPECT_EQ_MSG(test, rec->ids >> KREGION_TRACE_STATE_SHIFT,
				    (u64)states[i].recorded, "state=%#x", states[i].state);
	}
	end();
}

/* The clock may. */
static void times_do_not_step_back(struct kunit *test)
{
	const struct kregion_trace_event *rec;
	const u64 future = 1ULL << 40;

	begin(test);
	raw_cpu_ptr(&krtrace_cpu)->last = future;
	probe_wakeup(NULL, current);
	rec = (void *)raw_cpu_ptr(&krtrace_cpu)->run->end - sizeof(*rec);
	KUNIT_EXPECT_EQ(test, rec->head & KREGION_TRACE_TIME_MASK, future);
}

struct nested {
	struct hrtimer timer;
	unsigned long calls;
};

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	probe_wakeup(NULL, current);
	container_of(timer, struct nested, timer)->calls++;
	hrtimer_forward_now(timer, 50 * NSEC_PER_USEC);
	return HRTIMER_RESTART;
}

/* A task wakes itself, and an interrupt wakes another task. */
static void wakeups_nest(struct kunit *test)
{
	struct nested *nested = buffer(test, sizeof(*nested));
	const struct krtrace_cpu *c;
	const int calls = 30000;
	int i;

	begin(test);
	hrtimer_setup(&nested->timer, on_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&nested->timer, 0, HRTIMER_MODE_REL_PINNED_HARD);
	for (i = 0; i < calls; i++)
		probe_wakeup(NULL, current);
	hrtimer_cancel(&nested->timer);
	c = end();
	KUNIT_EXPECT_GT(test, nested->calls, 0UL);
	KUNIT_EXPECT_EQ(test, c->records + c->lost, calls + nested->calls);
	expect_stream(test);
}

/* A trace does not wait for a switch to know what runs. */
static void a_cpu_begins_with_its_current_task(struct kunit *test)
{
	const struct kregion_trace_event *rec;
	const struct krtrace_cpu *c;

	begin(test);
	cpu_begin(&memory);
	c = end();
	KUNIT_EXPECT_EQ(test, c->records, 2);
	rec = (void *)(c->first + 1);
	KUNIT_EXPECT_EQ(test, rec->head >> KREGION_TRACE_TIME_BITS, KREGION_TRACE_RUNNING_TASK);
	KUNIT_EXPECT_EQ(test, rec->ids & KREGION_TRACE_PID_MASK, current->pid);
	expect_stream(test);
}

static void counts_are_those_of_all_cpus(struct kunit *test)
{
	u64 records, lost;
	int cpu;

	begin(test);
	for_each_possible_cpu(cpu) {
		per_cpu_ptr(&krtrace_cpu, cpu)->records = 3;
		per_cpu_ptr(&krtrace_cpu, cpu)->lost = 2;
	}
	krtrace_record_counts(&records, &lost);
	KUNIT_EXPECT_EQ(test, records, 3 * num_possible_cpus());
	KUNIT_EXPECT_EQ(test, lost, 2 * num_possible_cpus());
}

/* ---- names --------------------------------------------------------------- */

static struct task_struct *task_make(struct kunit *test, pid_t pid)
{
	struct task_struct *p = buffer(test, sizeof(*p));

	p->pid = pid;
	p->tgid = pid;
	return p;
}

static void switch_to_task(struct task_struct *next)
{
	local_irq_disable();
	probe_switch(NULL, false, current, next, 0);
	local_irq_enable();
}

/* Also if another task's pid maps to the same cache entry. */
static void idle_has_no_name(struct kunit *test)
{
	struct task_struct *idle = task_make(test, 0), *other = task_make(test, 2 * KRTRACE_NAMED);
	const int rounds = 5;
	int i;

	begin(test);
	for (i = 0; i < rounds; i++) {
		switch_to_task(other);
		switch_to_task(idle);
	}
	KUNIT_EXPECT_EQ(test, end()->records, 2 * rounds + 1);
	expect_stream(test);
}

/* Name records of all CPUs. */
static int names_recorded(void)
{
	struct krtrace_run *run;
	int cpu, n = 0;
	char *p;

	for_each_possible_cpu(cpu) {
		for (run = per_cpu_ptr(&krtrace_cpu, cpu)->first; run; run = run->next) {
			for (p = (char *)(run + 1); p < run->end;) {
				const u8 type = *(u64 *)p >> KREGION_TRACE_TIME_BITS;

				n += type == KREGION_TRACE_NAME;
				p += record_size[type];
			}
		}
	}
	return n;
}

static void switch_on_cpu(void *p)
{
	probe_switch(NULL, false, current, p, 0);
}

/* Once, whatever CPUs it runs on. */
static void a_name_is_recorded_once(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1), *other = task_make(test, 1 + KRTRACE_NAMED);
	int i, cpu;

	need_two_cpus(test);
	begin(test);
	for (i = 0; i < 3; i++) {
		for_each_online_cpu(cpu) {
			smp_call_function_single(cpu, switch_on_cpu, p, 1);
			/* It has the place of the other one in the cache. */
			smp_call_function_single(cpu, switch_on_cpu, other, 1);
		}
	}
	KUNIT_EXPECT_EQ(test, names_recorded(), 2);
	KUNIT_EXPECT_EQ(test, kregion_map_count(memory.names), 2);
	end();
	expect_stream(test);
}

/* Even one that it had before. */
static void a_new_name_is_recorded(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);

	begin(test);
	switch_to_task(p);
	probe_rename(NULL, p, "renamed");
	probe_rename(NULL, p, p->comm);
	switch_to_task(p);
	KUNIT_EXPECT_EQ(test, names_recorded(), 3);
	end();
	expect_stream(test);
}

static void all_names_are_recorded_without_a_map(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1), *other = task_make(test, 1 + KRTRACE_NAMED);

	begin(test);
	raw_cpu_ptr(&krtrace_cpu)->names = NULL;
	switch_to_task(p);
	switch_to_task(other);
	switch_to_task(p);
	KUNIT_EXPECT_EQ(test, names_recorded(), 3);
	end();
	expect_stream(test);
}

/* The map does not have what the trace lacks. */
static void a_name_lost_at_a_switch_is_recorded_at_the_next(struct kunit *test)
{
	struct kregion *r = begin(test), *none = region_make(test, NULL);
	struct task_struct *p = task_make(test, 1);

	raw_cpu_ptr(&krtrace_cpu)->region = none;
	switch_to_task(p);
	raw_cpu_ptr(&krtrace_cpu)->region = r;
	switch_to_task(p);
	KUNIT_EXPECT_EQ(test, names_recorded(), 1);
	end();
	expect_stream(test);
}

/* A pid is reused, and the name of the new task is lost. */
static void a_lost_name_is_recorded_later(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct kregion *r = begin(test), *none = region_make(test, NULL);
	const struct kregion_trace_lost *lost;
	const struct krtrace_cpu *c;
	u64 before;

	switch_to_task(p);
	before = krtrace_ticks() - krtrace_clock.start;
	raw_cpu_ptr(&krtrace_cpu)->region = none;
	probe_fork(NULL, current, p);
	raw_cpu_ptr(&krtrace_cpu)->region = r;
	switch_to_task(p);
	lost = (void *)(raw_cpu_ptr(&krtrace_cpu)->run + 1);
	KUNIT_EXPECT_EQ(test, lost->head >> KREGION_TRACE_TIME_BITS, KREGION_TRACE_LOST);
	KUNIT_EXPECT_EQ(test, lost->count, 2);
	KUNIT_EXPECT_GE(test, lost->since, before);
	c = end();
	/* Two switches, two names, and a lost record. */
	KUNIT_EXPECT_EQ(test, c->records, 5);
	KUNIT_EXPECT_EQ(test, c->lost, 2);
	expect_stream(test);
}

/* Even if that could go on in the run of the last one. */
static void a_loss_precedes_the_next_record(struct kunit *test)
{
	struct kregion *r = begin(test), *none = region_make(test, NULL);
	const struct kregion_trace_lost *lost;
	const struct krtrace_cpu *c;

	probe_wakeup(NULL, current);
	raw_cpu_ptr(&krtrace_cpu)->region = none;
	probe_wakeup(NULL, current);
	raw_cpu_ptr(&krtrace_cpu)->region = r;
	probe_wakeup(NULL, current);
	lost = (void *)(raw_cpu_ptr(&krtrace_cpu)->run + 1);
	KUNIT_EXPECT_EQ(test, lost->head >> KREGION_TRACE_TIME_BITS, KREGION_TRACE_LOST);
	KUNIT_EXPECT_EQ(test, lost->count, 1);
	c = end();
	KUNIT_EXPECT_EQ(test, c->records, 3);
	KUNIT_EXPECT_EQ(test, c->lost, 1);
	KUNIT_EXPECT_EQ(test, c->section.tail_lost, 0);
	expect_stream(test);
}

/* ---- damage -------------------------------------------------------------- */

#define RUNS		3
#define RUN_RECORDS	10

struct damage {
	const char *name;
	void (*plant)(struct krtrace_run *run);
};

static void end_nowhere(struct krtrace_run *run)
{
	run->end = NULL;
}

static void end_before_begin(struct krtrace_run *run)
{
	run->end = (char *)run;
}

static void end_in_record(struct krtrace_run *run)
{
	run->end -= 8;
}

static void end_in_next_run(struct krtrace_run *run)
{
	run->end = run->next->end;
}

/* The bytes beyond the end look like valid records. */
static void end_behind_used(struct krtrace_run *run)
{
	const struct kregion_trace_event last = ((struct kregion_trace_event *)run->end)[-1];
	char *const used = run->end;

	for (; run->end < used + SZ_64K; run->end += sizeof(last))
		memcpy(run->end, &last, sizeof(last));
}

static void end_behind_block(struct krtrace_run *run)
{
	run->end += SZ_2M;
}

static void next_is_itself(struct krtrace_run *run)
{
	run->next = run;
}

static void next_is_first(struct krtrace_run *run)
{
	run->next = raw_cpu_ptr(&krtrace_cpu)->first;
}

static void next_is_missing(struct krtrace_run *run)
{
	run->next = NULL;
}

static void type_zero(struct krtrace_run *run)
{
	*(u64 *)(run->end - sizeof(struct kregion_trace_event)) &= KREGION_TRACE_TIME_MASK;
}

static void type_unknown(struct krtrace_run *run)
{
	*(u64 *)(run + 1) |= ~KREGION_TRACE_TIME_MASK;
}

static void time_steps_back(struct krtrace_run *run)
{
	*(u64 *)(run->end - sizeof(struct kregion_trace_event)) &= ~KREGION_TRACE_TIME_MASK;
}

#define DAMAGE(_name)	{ #_name, _name }

static const struct damage damages[] = {
	DAMAGE(end_nowhere), DAMAGE(end_before_begin), DAMAGE(end_in_record),
	DAMAGE(end_in_next_run), DAMAGE(end_behind_used), DAMAGE(end_behind_block),
	DAMAGE(next_is_itself), DAMAGE(next_is_first), DAMAGE(next_is_missing),
	DAMAGE(type_zero), DAMAGE(type_unknown), DAMAGE(time_steps_back),
};

static void damage_desc(const struct damage *damage, char *desc)
{
	strscpy(desc, damage->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(damage, damages, damage_desc);

/* Unreadable records count as lost, and the stream is well-formed. */
static void records_of_a_damaged_run_are_lost(struct kunit *test)
{
	const struct damage *damage = test->param_value;
	struct kregion *r = begin(test);
	const struct krtrace_cpu *c;
	static bool warned;
	int i, k;

	for (i = 0; i < RUNS; i++) {
		for (k = 1; k < RUN_RECORDS; k++)
			probe_wakeup(NULL, current);
		tick();
		probe_wakeup(NULL, current);
		KUNIT_ASSERT_NOT_NULL(test, kregion_zalloc(r, 8, GFP_KERNEL));
	}
	damage->plant(raw_cpu_ptr(&krtrace_cpu)->first->next);
	expect_warnings(test, !warned);
	warned = true;
	c = end();
	KUNIT_EXPECT_GE(test, c->records, RUN_RECORDS);
	KUNIT_EXPECT_LE(test, c->records, 2 * RUN_RECORDS);
	KUNIT_EXPECT_EQ(test, c->records + c->lost, RUNS * RUN_RECORDS);
	KUNIT_EXPECT_EQ(test, c->section.tail_lost, c->lost);
	expect_stream(test);
}

/* They are not damage. */
static void records_after_the_stop_are_left_out(struct kunit *test)
{
	const struct krtrace_cpu *c;

	begin(test);
	probe_wakeup(NULL, current);
	stop();
	tick();
	probe_wakeup(NULL, current);
	c = prepare();
	KUNIT_EXPECT_EQ(test, c->records, 1);
	KUNIT_EXPECT_EQ(test, c->lost, 0);
	expect_stream(test);
}

static struct kunit_case trace_cases[] = {
	KUNIT_CASE(probes_run_in_their_contexts),
	KUNIT_CASE(a_switch_records_the_task_state),
	KUNIT_CASE(times_do_not_step_back),
	KUNIT_CASE(wakeups_nest),
	KUNIT_CASE(a_cpu_begins_with_its_current_task),
	KUNIT_CASE(counts_are_those_of_all_cpus),
	KUNIT_CASE(idle_has_no_name),
	KUNIT_CASE(a_name_is_recorded_once),
	KUNIT_CASE(a_new_name_is_recorded),
	KUNIT_CASE(all_names_are_recorded_without_a_map),
	KUNIT_CASE(a_name_lost_at_a_switch_is_recorded_at_the_next),
	KUNIT_CASE(a_lost_name_is_recorded_later),
	KUNIT_CASE(a_loss_precedes_the_next_record),
	KUNIT_CASE_PARAM(records_of_a_damaged_run_are_lost, damage_gen_params),
	KUNIT_CASE(records_after_the_stop_are_left_out),
	{}
};

KREGION_SUITE(trace, trace_cases);
