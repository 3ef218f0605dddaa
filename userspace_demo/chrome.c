// SPDX-License-Identifier: GPL-2.0
/*
 * krtrace convert --chrome: JSON for the Chromium and Perfetto viewers. One
 * track per CPU, with running tasks as slices and wake-ups as instants.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "krtrace.h"
#include "lost.h"
#include "output.h"
#include "task.h"

/* All tracks belong to one process. Viewers treat thread 0 specially. */
#define PROCESS		1
#define TRACK(cpu)	((cpu) + 1)

struct chrome_task {
	struct task base;
	struct slice *slice;		/* NULL: not running */
};

struct slice {
	unsigned int cpu;
	struct chrome_task *task;	/* NULL: unknown */
	uint64_t since;
	uint8_t prio;
};

static struct chrome_task *chrome_task_get(struct tasks *tasks, uint32_t pid)
{
	return (struct chrome_task *)task_get(tasks, pid);
}

static const char *name_of(const struct task *task, char buf[32])
{
	if (task->comm[0])
		return task->comm;
	snprintf(buf, 32, "pid %u", task->pid);
	return buf;
}

/* The unit of times is the microsecond. */
static void put_time(struct json *j, const char *key, uint64_t ns)
{
	json_number(j, key, "%" PRIu64 ".%03" PRIu64, ns / 1000, ns % 1000);
}

static void put_track(struct json *j, unsigned int track)
{
	json_number(j, "pid", "%d", PROCESS);
	json_number(j, "tid", "%u", track);
}

/* Begin metadata of a track; the caller adds a value and end_event(). */
static void begin_meta(struct json *j, const char *what, unsigned int track)
{
	json_object(j, NULL, JSON_INLINE);
	json_string(j, "ph", "M");
	json_string(j, "name", what);
	put_track(j, track);
	json_object(j, "args", JSON_INLINE);
}

static void end_event(struct json *j)
{
	json_end(j);
	json_end(j);
}

static void put_slice(struct json *j, const struct slice *s, uint64_t end, int state)
{
	char buf[32];

	if (!s->task || !s->task->base.pid)
		return;
	json_object(j, NULL, JSON_INLINE);
	json_string(j, "ph", "X");
	json_string(j, "cat", "sched");
	json_string(j, "name", name_of(&s->task->base, buf));
	put_time(j, "ts", s->since);
	put_time(j, "dur", end - s->since);
	put_track(j, TRACK(s->cpu));
	json_object(j, "args", JSON_INLINE);
	json_number(j, "pid", "%u", s->task->base.pid);
	json_number(j, "prio", "%u", s->prio);
	if (state >= 0)
		json_number(j, "state", "%d", state);
	end_event(j);
}

static void put_instant(struct json *j, unsigned int cpu, const struct event *e,
			const struct task *task, const char *what)
{
	char buf[32], name[64];

	snprintf(name, sizeof(name), "%s %s", what, name_of(task, buf));
	json_object(j, NULL, JSON_INLINE);
	json_string(j, "ph", "i");
	json_string(j, "s", "t");
	json_string(j, "cat", "sched");
	json_string(j, "name", name);
	put_time(j, "ts", e->time);
	put_track(j, TRACK(cpu));
	json_object(j, "args", JSON_INLINE);
	json_number(j, "pid", "%u", e->first);
	json_number(j, "prio", "%u", e->prio);
	json_number(j, "target_cpu", "%u", e->second);
	end_event(j);
}

static void slice_end(struct json *j, struct slice *s, uint64_t time, int state)
{
	put_slice(j, s, time, state);
	if (s->task && s->task->slice == s)
		s->task->slice = NULL;
	s->task = NULL;
}

static void slice_begin(struct slice *s, struct chrome_task *task, const struct event *e)
{
	s->task = task;
	s->since = e->time;
	s->prio = e->prio;
	task->slice = s;
}

/* Split the slice of a running task whose name changes. */
static void slice_split(struct json *j, struct tasks *tasks, const struct event *e)
{
	const struct chrome_task *task = chrome_task_get(tasks, e->first);
	const char *comm = task->base.comm;

	if (!task->slice || !comm[0] || !strncmp(comm, e->comm, sizeof(task->base.comm) - 1))
		return;
	put_slice(j, task->slice, e->time, -1);
	task->slice->since = e->time;
}

static void put_event(struct json *j, const struct stream *st, struct tasks *tasks,
		      struct slice *slices, const struct event *e)
{
	const unsigned int cpu = st->cpus[e->index].cpu;
	struct slice *s = &slices[e->index];

	if (e->type == KREGION_TRACE_NAME)
		slice_split(j, tasks, e);
	tasks_event(tasks, e);
	switch (e->type) {
	case KREGION_TRACE_RUNNING_TASK:
	case KREGION_TRACE_SWITCH:
		if (e->type == KREGION_TRACE_RUNNING_TASK && s->task &&
		    s->task->base.pid == e->first)
			break;		/* a new generation */
		slice_end(j, s, e->time, e->state);
		slice_begin(s, chrome_task_get(tasks, e->first), e);
		break;
	case KREGION_TRACE_EXEC:
		/* A thread may take over the pid of its thread group. */
		if (e->first == e->second || !s->task)
			break;
		slice_end(j, s, e->time, -1);
		slice_begin(s, chrome_task_get(tasks, e->first), e);
		break;
	case EVENT_GAP:
		slice_end(j, s, e->time, -1);
		break;
	case KREGION_TRACE_WAKEUP:
	case KREGION_TRACE_WAKEUP_NEW:
		put_instant(j, cpu, e, task_get(tasks, e->first),
			    e->type == KREGION_TRACE_WAKEUP ? "wake" : "wake new");
		break;
	}
}

/*
 * The name of a task older than the trace follows its first switch, but a
 * wake-up may precede that: collect the first names in advance.
 */
static void first_names(struct stream *st, struct tasks *names)
{
	struct event e;

	while (stream_next(st, &e)) {
		if (e.type == KREGION_TRACE_NAME && !task_get(names, e.first)->named)
			tasks_event(names, &e);
	}
	stream_rewind(st);
}

static void put_counts(struct json *j, const struct stream *st)
{
	char buf[32];

	json_object(j, "otherData", JSON_INLINE);
	snprintf(buf, sizeof(buf), "%" PRIu64, st->records);
	json_string(j, "records", buf);
	snprintf(buf, sizeof(buf), "%" PRIu64, st->lost);
	json_string(j, "lost", buf);
	json_end(j);
}

static void put_tracks(struct json *j, const struct stream *st)
{
	char name[32];
	unsigned int i;

	begin_meta(j, "process_name", 0);
	json_string(j, "name", "CPUs");
	end_event(j);
	for (i = 0; i < st->nr_cpus; i++) {
		const unsigned int cpu = st->cpus[i].cpu;

		snprintf(name, sizeof(name), "CPU %u", cpu);
		begin_meta(j, "thread_name", TRACK(cpu));
		json_string(j, "name", name);
		end_event(j);
		begin_meta(j, "thread_sort_index", TRACK(cpu));
		json_number(j, "sort_index", "%u", cpu);
		end_event(j);
	}
}

static void chrome(struct stream *st, FILE *out)
{
	struct json j = { .out = out, .space = "" };
	struct tasks tasks = { .task_size = sizeof(struct chrome_task) };
	struct slice *slices;
	struct task *task;
	struct event e;
	unsigned int i;

	slices = xrealloc(NULL, st->nr_cpus, sizeof(*slices));
	for (i = 0; i < st->nr_cpus; i++)
		slices[i] = (struct slice) { .cpu = st->cpus[i].cpu };
	first_names(st, &tasks);
	for (task = tasks.all; task; task = task->older)
		task->named = false;

	json_object(&j, NULL, JSON_INLINE);
	json_string(&j, "displayTimeUnit", "ns");
	put_counts(&j, st);
	json_array(&j, "traceEvents", JSON_LINES);
	put_tracks(&j, st);
	while (stream_next(st, &e))
		put_event(&j, st, &tasks, slices, &e);
	for (i = 0; i < st->nr_cpus; i++)
		put_slice(&j, &slices[i], st->duration, -1);
	json_end(&j);
	json_end(&j);
	free(slices);
	tasks_free(&tasks);
}

int convert_chrome(const char *path, const char *file)
{
	struct stream st;
	struct loss loss;
	FILE *out;

	/* Read the whole input first, as the output may replace it. */
	if (stream_open(&st, path))
		return 1;
	output_catch_signals();
	out = output_open(file);
	if (out)
		chrome(&st, out);
	loss = loss_of(&st);
	loss_warn(&loss, path);
	stream_close(&st);
	return !out || output_commit(out);
}
