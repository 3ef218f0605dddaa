// SPDX-License-Identifier: GPL-2.0
/*
 * Records of the tracer, from the probes to the stream. The cases call probes
 * and corrupt their state, so this file includes the sources.
 */

#include "../kmod/trace/clock.c"
#include "../kmod/trace/record.c"
#include "../kmod/trace/generation.c"
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
	krtrace_generations_start(0, false);
	krtrace_stream_start(TRACE_BLOCK_SIZE, 0, false);
	tick();
	return region;
}

static void stop(void)
{
	krtrace_clock.stop.ticks = krtrace_ticks() - krtrace_clock.start;
	krtrace_clock.stop.ns = krtrace_clock.stop.ticks;
}

/* The part of this CPU. */
static struct krtrace_part *prepare(void)
{
	struct krtrace_generation *g = generations.open;

	krtrace_record_close(g->slot);
	generation_seal(g, krtrace_clock.stop, true);
	krtrace_stream_stop(region, g);
	return part_of(g, raw_smp_processor_id());
}

static struct krtrace_part *end(void)
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
		section = (char *)&part_of(generations.open, reader.cpu)->section;
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
	const struct krtrace_part *c;

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

static void cycles_off(void *unused)
{
	static_branch_disable(&krtrace_cycles);
}

/* By the two clock readings around them, or the last two. */
static void cycles_become_nanoseconds(struct kunit *test)
{
	static const struct krtrace_time times[] = { { 100, 100 }, { 200, 1100 }, { 300, 3100 } };
	static const struct krtrace_time same[] = { { 5, 50 }, { 5, 50 }, { 5, 50 } };

	static_branch_enable(&krtrace_cycles);
	undo_later(test, cycles_off, NULL);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 50), 100);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 100), 100);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 150), 600);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 199), 1090);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 200), 1100);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 250), 2100);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(times, 301), 3120);
	KUNIT_EXPECT_EQ(test, krtrace_ticks_to_ns(same, 7), 50);
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

/* Its records fit in the buffer of a reading, however long the case takes. */
static enum hrtimer_restart on_switch_timer(struct hrtimer *timer)
{
	struct nested *nested = container_of(timer, struct nested, timer);

	probe_switch(NULL, false, current, current, 0);
	hrtimer_forward_now(timer, 50 * NSEC_PER_USEC);
	return ++nested->calls < 50000 ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

/* A task wakes itself, and an interrupt wakes another task. */
static void wakeups_nest(struct kunit *test)
{
	struct nested *nested = buffer(test, sizeof(*nested));
	const struct krtrace_part *c;
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
	const struct krtrace_part *c;

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
	const struct krtrace_part *c;
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
	const struct krtrace_part *c;

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
	const struct krtrace_part *c;
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
	const struct krtrace_part *c;

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

/* ---- generations --------------------------------------------------------- */

#define LIVE_BLOCK	SZ_32K

/* Of a trace with these blocks. */
#define LIVE_BUDGET	((size_t)16 * LIVE_BLOCK * num_online_cpus())

/* What a reader gets of a live trace. */
struct reading {
	char *data;			/* whole parts */
	size_t len, max;
	u64 generations, lost_generations;
	u64 records, lost;		/* of all CPUs */
	u64 lost_records, lost_lost;	/* in lost generations */
	u64 pids;			/* wakeups, whose pids are successive */
	u64 skipped;			/* pids that are not there */
	u64 names, running;		/* records of these types ... */
	u64 names_least;		/* ... and the least of a generation */
	u64 last[NR_CPUS];		/* times */
	u64 until;			/* of the last generation or mark */
	bool end;
};

static void live_drop(void *unused)
{
	generations.region = NULL;
	krtrace_share = 0;
	irq_work_sync(&generations.irq_work);
	cancel_delayed_work_sync(&generations.work);
	if (reader.generation)
		krtrace_generation_done(reader.generation);
	krtrace_generations_drop();
	krtrace_generations_exit();
}

/*
 * Begin a live trace of all CPUs, whose records come from this test. Each
 * generation has a reserve of a sixteenth of the budget.
 */
static struct kregion *begin_live(struct kunit *test, size_t budget)
{
	struct krtrace_memory none = {};
	int cpu;

	region = region_make(test, &(struct kregion_attr) {
		.flags = KREGION_F_PERCPU, .block_size = LIVE_BLOCK, .limit = budget,
		.reserve = budget / 16,
	});
	nowhere = region_make(test, NULL);
	KUNIT_ASSERT_EQ(test, krtrace_generations_init(), 0);
	undo_later(test, live_drop, NULL);
	memory.region = region;
	memory.names = kregion_map_create(region, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory.names);
	none.region = nowhere;
	for_each_possible_cpu(cpu)
		cpu_reset(per_cpu_ptr(&krtrace_cpu, cpu), &none);
	krtrace_clock.start = krtrace_ticks();
	krtrace_clock.start_ns = krtrace_clock.start;
	krtrace_generations_start(budget, true);
	krtrace_stream_start(LIVE_BLOCK, budget, true);
	cpus_begin(&memory);
	krtrace_generations_run(region);
	/* A case seals generations itself, unless it sets this. */
	krtrace_share = 0;
	return region;
}

static void end_live(void)
{
	struct krtrace_generation *g = generations.open;

	generations.region = NULL;
	krtrace_share = 0;
	krtrace_clock.stop = krtrace_clock_now(&g->times[1]);
	krtrace_record_close(g->slot);
	generation_seal(g, krtrace_clock.stop, true);
	krtrace_stream_stop(region, g);
}

/* Records of wakeups of the pids from @first to @end. */
static void wake_pids(struct task_struct *p, int first, int end)
{
	for (p->pid = first; p->pid < end; p->pid++)
		probe_wakeup(NULL, p);
}

static struct reading *reading_make(struct kunit *test)
{
	struct reading *r = buffer(test, sizeof(*r));

	r->max = SZ_4M;
	r->data = buffer(test, r->max);
	r->names_least = U64_MAX;
	return r;
}

/* Read the next part into a buffer as of a user; false if there is none. */
static bool read_part(struct kunit *test, struct reading *r)
{
	if (!reader_next())
		return false;
	KUNIT_ASSERT_LE(test, r->len + reader.len, r->max);
	memcpy(r->data + r->len, reader.data, reader.len);
	r->len += reader.len;
	reader.len = 0;
	return true;
}

/* Up to the first section of a generation. */
static void read_head(struct kunit *test, struct reading *r)
{
	while (reader.next != PART_RUN)
		KUNIT_ASSERT_TRUE(test, read_part(test, r));
}

static void read_all(struct kunit *test, struct reading *r)
{
	while (read_part(test, r))
		;
}

static void check_cpu(struct kunit *test, struct reading *r, const struct kregion_trace_cpu *c,
		      u64 since)
{
	const char *p = (char *)c + c->section.header_size, *end = (char *)c + c->section.size;
	u64 records = 0, lost = c->tail_lost;

	for (; p < end; records++) {
		const struct kregion_trace_event *rec = (void *)p;
		const u64 time = rec->head & KREGION_TRACE_TIME_MASK;
		const u8 type = rec->head >> KREGION_TRACE_TIME_BITS;
		const u64 pid = rec->ids & KREGION_TRACE_PID_MASK;

		KUNIT_ASSERT_GT(test, record_size[type], 0);
		KUNIT_ASSERT_GE(test, time, max(since, r->last[c->cpu]));
		KUNIT_ASSERT_LE(test, time, r->until);
		r->last[c->cpu] = time;
		r->names += type == KREGION_TRACE_NAME;
		r->running += type == KREGION_TRACE_RUNNING_TASK;
		if (type == KREGION_TRACE_LOST)
			lost += ((struct kregion_trace_lost *)p)->count;
		if (type == KREGION_TRACE_WAKEUP) {
			KUNIT_ASSERT_GE(test, pid, r->pids);
			r->skipped += pid - r->pids;
			r->pids = pid + 1;
		}
		p += record_size[type];
	}
	KUNIT_EXPECT_PTR_EQ(test, p, end);
	KUNIT_EXPECT_EQ(test, records, c->records);
	KUNIT_EXPECT_EQ(test, lost, c->lost);
	r->records += records;
	r->lost += lost;
}

/* Everything that was read is well-formed. */
static void check_reading(struct kunit *test, struct reading *r)
{
	const struct kregion_trace_section *sec;
	const struct kregion_trace_lost_generations *lost;
	const struct kregion_trace_generation *g = NULL;
	u64 names = 0, cpus = 0;
	size_t at = sizeof(header) + sizeof(types) + sizeof(fields);

	for (; at < r->len; at += sec->size) {
		sec = (void *)(r->data + at);
		switch (sec->kind) {
		case KREGION_TRACE_SECTION_LOST:
			lost = (void *)sec;
			KUNIT_EXPECT_GE(test, lost->since, g ? g->since : 0);
			KUNIT_EXPECT_LE(test, lost->since, lost->until);
			r->lost_generations += lost->generations;
			r->lost_records += lost->records;
			r->lost_lost += lost->lost;
			r->until = lost->until;
			break;
		case KREGION_TRACE_SECTION_GENERATION:
			KUNIT_EXPECT_EQ(test, cpus, 0);
			g = (void *)sec;
			KUNIT_EXPECT_EQ(test, g->number, r->generations + r->lost_generations);
			KUNIT_EXPECT_LE(test, g->since, r->until);
			KUNIT_EXPECT_GE(test, g->until, r->until);
			r->until = g->until;
			r->generations++;
			cpus = g->nr_cpus;
			names = r->names;
			break;
		case KREGION_TRACE_SECTION_CPU:
			KUNIT_ASSERT_NOT_NULL(test, g);
			check_cpu(test, r, (void *)sec, g->since);
			cpus--;
			if (!cpus)
				r->names_least = min(r->names_least, r->names - names);
			break;
		case KREGION_TRACE_SECTION_END:
			r->end = true;
			break;
		}
	}
	KUNIT_EXPECT_EQ(test, at, r->len);
	KUNIT_EXPECT_EQ(test, cpus, 0);
}

static void expect_totals(struct kunit *test, const struct reading *r)
{
	const struct kregion_trace_live_end *end = &end_section;
	u64 records, lost;

	krtrace_record_counts(&records, &lost);
	KUNIT_EXPECT_TRUE(test, r->end);
	KUNIT_EXPECT_EQ(test, records, r->records + r->lost_records);
	KUNIT_EXPECT_EQ(test, lost, r->lost + r->lost_lost);
	KUNIT_EXPECT_EQ(test, end->generations, r->generations + r->lost_generations);
	KUNIT_EXPECT_EQ(test, end->lost_generations, r->lost_generations);
	KUNIT_EXPECT_EQ(test, end->lost_records, r->lost_records);
	KUNIT_EXPECT_EQ(test, end->stop_ns - header.start_ns, r->until);
}

/* End the trace, read the rest, and check everything. */
static void finish_reading(struct kunit *test, struct reading *r)
{
	end_live();
	read_all(test, r);
	check_reading(test, r);
	expect_totals(test, r);
}

/* In order, each in one generation, and each generation begins on each CPU. */
static void generations_have_all_records(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct reading *r = reading_make(test);
	const int n = 100, rounds = 20;
	int i;

	begin_live(test, SZ_1M);
	for (i = 0; i < rounds; i++) {
		wake_pids(p, i * n, (i + 1) * n);
		KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
		KUNIT_EXPECT_TRUE(test, krtrace_stream_ready());
		read_all(test, r);
		KUNIT_EXPECT_FALSE(test, krtrace_stream_ready());
		KUNIT_EXPECT_LE(test, stats_of(region).generations, 1UL);
	}
	wake_pids(p, i * n, (i + 1) * n);
	finish_reading(test, r);
	KUNIT_EXPECT_EQ(test, r->generations, rounds + 1);
	KUNIT_EXPECT_EQ(test, r->lost_generations, 0);
	KUNIT_EXPECT_EQ(test, r->skipped, 0);
	KUNIT_EXPECT_EQ(test, r->pids, n * (rounds + 1));
	KUNIT_EXPECT_EQ(test, r->running, (rounds + 1) * num_online_cpus());
}

/* A generation is of use without the ones before it. */
static void each_generation_has_the_names(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1), *other = task_make(test, 2);
	struct reading *r = reading_make(test);
	const int rounds = 5;
	int i, k;
	u64 names;

	begin_live(test, SZ_1M);
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < 3; k++) {
			switch_to_task(p);
			switch_to_task(other);
		}
		names = kregion_map_count(raw_cpu_ptr(&krtrace_cpu)->names);
		KUNIT_EXPECT_GE(test, names, 2);
		KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
		read_all(test, r);
	}
	end_live();
	read_all(test, r);
	check_reading(test, r);
	/* The current tasks of the CPUs have names, too, but for idle ones. */
	KUNIT_EXPECT_GE(test, r->names, 2 * rounds);
	KUNIT_EXPECT_LE(test, r->names, 2 * rounds + (rounds + 1) * num_online_cpus());
}

/* Whole ones, the oldest ones first; what is being read is whole. */
static void a_slow_reader_loses_generations(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct reading *r = reading_make(test);
	const int n = 3000, rounds = 30;
	struct kregion_trace_generations counts;
	int i;

	begin_live(test, LIVE_BUDGET);
	for (i = 0; i < rounds; i++) {
		/* Half of one that will be lost has no memory. */
		wake_pids(p, i * n, i * n + n / 2);
		if (i == rounds / 2)
			raw_cpu_ptr(&krtrace_cpu)->region = nowhere;
		wake_pids(p, i * n + n / 2, (i + 1) * n);
		KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
		if (!i)
			read_head(test, r);
	}
	krtrace_generations_counts(&counts);
	KUNIT_EXPECT_EQ(test, counts.sealed, rounds);
	KUNIT_EXPECT_GT(test, counts.lost, 0);
	KUNIT_EXPECT_EQ(test, counts.waiting, rounds - 1 - counts.lost);
	KUNIT_EXPECT_GT(test, counts.waiting, 0);
	read_all(test, r);
	finish_reading(test, r);
	KUNIT_EXPECT_EQ(test, r->lost, 0);
	KUNIT_EXPECT_EQ(test, r->lost_lost, n / 2);
	KUNIT_EXPECT_EQ(test, r->lost_generations, counts.lost);
	KUNIT_EXPECT_EQ(test, r->skipped, counts.lost * n);
	KUNIT_EXPECT_EQ(test, r->pids, n * rounds);
}

struct waker {
	struct hrtimer timer;
	struct task_struct *p;
};

static enum hrtimer_restart on_wake_timer(struct hrtimer *timer)
{
	struct waker *waker = container_of(timer, struct waker, timer);

	wake_pids(waker->p, waker->p->pid, waker->p->pid + 1);
	hrtimer_forward_now(timer, 20 * NSEC_PER_USEC);
	return HRTIMER_RESTART;
}

/* Its last records are in the memory of the next one, which is lost. */
static void a_generation_that_is_read_is_whole(struct kunit *test)
{
	struct waker *waker = buffer(test, sizeof(*waker));
	struct reading *r = reading_make(test);
	const int rounds = 3 * KRTRACE_GENERATIONS;
	int i;

	begin_live(test, LIVE_BUDGET);
	waker->p = task_make(test, 0);
	hrtimer_setup(&waker->timer, on_wake_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&waker->timer, 0, HRTIMER_MODE_REL_PINNED_HARD);
	KUNIT_EXPECT_EQ(test, krtrace_generations_turn(), 0);
	read_head(test, r);
	for (i = 1; i < rounds; i++)
		KUNIT_EXPECT_EQ(test, krtrace_generations_turn(), 0);
	hrtimer_cancel(&waker->timer);
	KUNIT_EXPECT_EQ(test, reader.generation->number, 0);
	finish_reading(test, r);
	KUNIT_EXPECT_GT(test, r->lost_generations, 0);
	KUNIT_EXPECT_GT(test, r->pids, 0);
	KUNIT_EXPECT_LE(test, r->skipped, r->lost_records + r->lost + r->lost_lost);
}

/* However small they are. */
static void entries_do_not_run_out(struct kunit *test)
{
	struct reading *r = reading_make(test);
	const int rounds = 5 * KRTRACE_GENERATIONS;
	int i;

	begin_live(test, LIVE_BUDGET);
	for (i = 0; i < rounds; i++)
		KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
	finish_reading(test, r);
	KUNIT_EXPECT_EQ(test, r->generations + r->lost_generations, rounds + 1);
	KUNIT_EXPECT_EQ(test, r->generations, KRTRACE_GENERATIONS);
}

/* Records that fill a share of the budget, with interrupts off, seal it. */
static void a_full_share_is_sealed(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct reading *r = reading_make(test);
	const int n = 5000, rounds = 10;
	int i;

	begin_live(test, SZ_1M);
	krtrace_share = SZ_32K;
	for (i = 0; i < rounds; i++) {
		local_irq_disable();
		wake_pids(p, i * n, (i + 1) * n);
		local_irq_enable();
		KUNIT_ASSERT_TRUE(test, wait_until(generations.counts.sealed > i));
		KUNIT_EXPECT_EQ(test, generations.counts.sealed, i + 1);
		read_all(test, r);
	}
	finish_reading(test, r);
	KUNIT_EXPECT_EQ(test, r->skipped, 0);
	KUNIT_EXPECT_EQ(test, r->lost, 0);
}

/* Without a turn it grows up to four shares, and the next one has memory. */
static void an_overfull_generation_loses_records(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct reading *r = reading_make(test);
	const int n = LIVE_BUDGET / sizeof(struct kregion_trace_event);
	u64 records;

	begin_live(test, LIVE_BUDGET);
	krtrace_share = generations.share;
	/* No work is queued. */
	atomic_set(&generations.pending, 1);
	wake_pids(p, 0, n);
	records = raw_cpu_ptr(&krtrace_cpu)->records;
	KUNIT_EXPECT_GT(test, records * sizeof(struct kregion_trace_event), generations.share);
	KUNIT_EXPECT_LT(test, records * sizeof(struct kregion_trace_event), 5 * generations.share);
	KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
	wake_pids(p, n, n + 100);
	finish_reading(test, r);
	KUNIT_EXPECT_EQ(test, r->lost_generations, 0);
	KUNIT_EXPECT_EQ(test, r->pids, n + 100);
	KUNIT_EXPECT_EQ(test, r->skipped, r->lost);
}

/* New names all the time; no grace period ends before many of them. */
static int name_thread(void *data)
{
	struct task_struct *p = data;
	int i;

	while (!kthread_should_stop()) {
		rcu_read_lock();
		for (i = 0; i < 20000; i++) {
			wake_pids(p, p->pid, p->pid + 1);
			switch_to_task(p);
		}
		rcu_read_unlock();
		cond_resched();
	}
	return 0;
}

/* No more of them are recorded. */
static bool records_stop(void)
{
	u64 before, records, lost;

	krtrace_record_counts(&before, &lost);
	msleep(300);
	krtrace_record_counts(&records, &lost);
	return records == before;
}

/* A generation of names leaves memory for a turn when all else is read. */
static void names_then_turn(struct kunit *test, bool during_a_turn)
{
	struct task_struct *p = task_make(test, 1), *task;
	struct reading *r = reading_make(test);
	int i = 0;

	begin_live(test, LIVE_BUDGET);
	krtrace_share = generations.share;
	/* No work is queued. */
	atomic_set(&generations.pending, 1);
	KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
	read_head(test, r);
	task = thread_make(test, name_thread, p, next_online_cpu(raw_smp_processor_id()));
	wake_up_process(task);
	KUNIT_ASSERT_TRUE(test, spin_until(READ_ONCE(p->pid) > 1));
	if (during_a_turn)
		KUNIT_EXPECT_EQ(test, krtrace_generations_turn(), 0);
	while (!records_stop() && i++ < 20)
		;
	KUNIT_EXPECT_LT(test, i, 20);
	read_all(test, r);
	KUNIT_EXPECT_EQ(test, krtrace_generations_turn(), 0);
	thread_stop(task);
	finish_reading(test, r);
	KUNIT_EXPECT_GT(test, r->skipped, 0);
	KUNIT_EXPECT_LE(test, r->skipped, r->lost + r->lost_records + r->lost_lost);
}

static void a_full_generation_leaves_memory_for_a_turn(struct kunit *test)
{
	names_then_turn(test, false);
}

/* The same if it is full before it begins. */
static void a_turn_leaves_memory_for_the_next(struct kunit *test)
{
	names_then_turn(test, true);
}

/* As soon as the reader gives memory back. */
static void a_turn_that_fails_is_retried(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct reading *r = reading_make(test);

	begin_live(test, LIVE_BUDGET);
	wake_pids(p, 0, 30000);
	KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
	read_head(test, r);
	/* Nothing but what is read could be lost, and this has the rest. */
	while (kregion_alloc(region, SZ_1K, GFP_KERNEL))
		;
	KUNIT_EXPECT_EQ(test, krtrace_generations_turn(), -ENOMEM);
	atomic_set(&generations.pending, 1);
	turn_work(&generations.work.work);
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&generations.work));
	KUNIT_EXPECT_EQ(test, generations.counts.sealed, 1);
	read_all(test, r);
	KUNIT_EXPECT_TRUE(test, wait_until(generations.counts.sealed == 2));
	end_live();
	KUNIT_EXPECT_EQ(test, krtrace_generations_turn(), -EINVAL);
	read_all(test, r);
	check_reading(test, r);
	expect_totals(test, r);
	KUNIT_EXPECT_EQ(test, r->lost_generations, 0);
	KUNIT_EXPECT_EQ(test, r->pids, 30000);
}

/* No block goes back to the page allocator, and the same ones serve all the time. */
static void generations_use_the_same_blocks(struct kunit *test)
{
	struct task_struct *p = task_make(test, 1);
	struct reading *r = reading_make(test);
	const int n = 3000, rounds = 60;
	struct kregion_stats st;
	int i;

	begin_live(test, SZ_1M);
	for (i = 0; i < rounds; i++) {
		wake_pids(p, i * n, (i + 1) * n);
		KUNIT_ASSERT_EQ(test, krtrace_generations_turn(), 0);
		r->len = 0;
		read_all(test, r);
	}
	/* It has all of them still. */
	st = stats_of(region);
	KUNIT_EXPECT_EQ(test, st.generations, 0UL);
	KUNIT_EXPECT_EQ(test, st.fills, blocks_of(&st));
	KUNIT_EXPECT_LT(test, st.fills, (unsigned long)rounds);
}

static int turn_thread(void *data)
{
	int *turns = data;

	while (!kthread_should_stop()) {
		if (krtrace_generations_turn())
			break;
		WRITE_ONCE(*turns, *turns + 1);
		usleep_range(200, 400);
	}
	while (!kthread_should_stop())
		usleep_range(1000, 2000);
	return 0;
}

/* Records go on, in tasks and interrupts, while generations are sealed. */
static void records_go_on_during_turns(struct kunit *test)
{
	struct nested *nested = buffer(test, sizeof(*nested));
	struct task_struct *p = task_make(test, 1), *task;
	int *turns = buffer(test, sizeof(*turns));
	struct reading *r = reading_make(test);
	const int n = 50000, wanted = 12;
	bool turned = true;
	int i;

	begin_live(test, SZ_4M);
	task = thread_make(test, turn_thread, turns, -1);
	wake_up_process(task);
	hrtimer_setup(&nested->timer, on_switch_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&nested->timer, 0, HRTIMER_MODE_REL_PINNED_HARD);
	/* A share of them before each turn, however late that is. */
	for (i = 0; i < n && turned; i++) {
		wake_pids(p, i, i + 1);
		if (!(i % 100))
			read_all(test, r);
		if (!(i % (n / wanted)))
			turned = wait_until(READ_ONCE(*turns) >= i / (n / wanted) ||
					    (read_all(test, r), false));
		cond_resched();
	}
	KUNIT_EXPECT_TRUE(test, turned);
	hrtimer_cancel(&nested->timer);
	thread_stop(task);
	finish_reading(test, r);
	/* All that is missing is counted. */
	KUNIT_EXPECT_LE(test, r->skipped, r->lost + r->lost_records + r->lost_lost);
	KUNIT_EXPECT_LT(test, r->skipped, n / 2);
	KUNIT_EXPECT_GE(test, r->generations + r->lost_generations, wanted);
	KUNIT_EXPECT_GT(test, nested->calls, 0UL);
}

static struct kunit_case trace_cases[] = {
	KUNIT_CASE(probes_run_in_their_contexts),
	KUNIT_CASE(a_switch_records_the_task_state),
	KUNIT_CASE(times_do_not_step_back),
	KUNIT_CASE(cycles_become_nanoseconds),
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
	KUNIT_CASE(generations_have_all_records),
	KUNIT_CASE(each_generation_has_the_names),
	KUNIT_CASE(a_slow_reader_loses_generations),
	KUNIT_CASE(a_generation_that_is_read_is_whole),
	KUNIT_CASE(entries_do_not_run_out),
	KUNIT_CASE(a_full_share_is_sealed),
	KUNIT_CASE(an_overfull_generation_loses_records),
	KUNIT_CASE(a_full_generation_leaves_memory_for_a_turn),
	KUNIT_CASE(a_turn_leaves_memory_for_the_next),
	KUNIT_CASE(a_turn_that_fails_is_retried),
	KUNIT_CASE(generations_use_the_same_blocks),
	KUNIT_CASE(records_go_on_during_turns),
	{}
};

KREGION_SUITE(trace, trace_cases);
