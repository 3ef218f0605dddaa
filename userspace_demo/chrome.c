// SPDX-License-Identifier: GPL-2.0
/*
 * krtrace convert --chrome: the JSON that the Chromium and Perfetto viewers
 * open. A track a CPU: the running task as slices, wake-ups as instants.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* All tracks belong to one process. Thread 0 means something else to viewers. */
#define PROCESS		1
#define TRACK(cpu)	((cpu) + 1)

struct slice {
	unsigned int cpu;
	struct task *task;
	uint64_t since;
	uint8_t prio;
};

static void put_string(FILE *out, const char *s)
{
	putc('"', out);
	for (; *s; s++) {
		const unsigned char c = *s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c > '~')
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static const char *name_of(const struct task *task, char buf[32])
{
	if (task->comm[0])
		return task->comm;
	snprintf(buf, 32, "pid %u", task->pid);
	return buf;
}

/* Times of the format are microseconds. */
static void put_time(FILE *out, const char *key, uint64_t ns)
{
	fprintf(out, ",\"%s\":%" PRIu64 ".%03" PRIu64, key, ns / 1000, ns % 1000);
}

/* Says something of a track; the caller adds what, and closes two braces. */
static void put_meta(FILE *out, const char *what, unsigned int track)
{
	fprintf(out, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%u,\"args\":{",
		what, PROCESS, track);
}

static void put_slice(FILE *out, const struct slice *s, uint64_t end, int state)
{
	char buf[32];

	if (!s->task || !s->task->pid)
		return;
	fputs(",\n{\"ph\":\"X\",\"cat\":\"sched\",\"name\":", out);
	put_string(out, name_of(s->task, buf));
	put_time(out, "ts", s->since);
	put_time(out, "dur", end - s->since);
	fprintf(out, ",\"pid\":%d,\"tid\":%u,\"args\":{\"pid\":%u,\"prio\":%u", PROCESS,
		TRACK(s->cpu), s->task->pid, s->prio);
	if (state >= 0)
		fprintf(out, ",\"state\":%d", state);
	fputs("}}", out);
}

static void put_instant(FILE *out, unsigned int cpu, const struct event *e,
			const struct task *task, const char *what)
{
	char buf[32], name[64];

	snprintf(name, sizeof(name), "%s %s", what, name_of(task, buf));
	fputs(",\n{\"ph\":\"i\",\"s\":\"t\",\"cat\":\"sched\",\"name\":", out);
	put_string(out, name);
	put_time(out, "ts", e->time);
	fprintf(out, ",\"pid\":%d,\"tid\":%u,\"args\":{\"pid\":%u,\"prio\":%u,\"target_cpu\":%u}}",
		PROCESS, TRACK(cpu), e->first, e->prio, e->second);
}

static void slice_end(FILE *out, struct slice *s, uint64_t time, int state)
{
	put_slice(out, s, time, state);
	if (s->task && s->task->slice == s)
		s->task->slice = NULL;
	s->task = NULL;
}

static void slice_begin(struct slice *s, struct task *task, const struct event *e)
{
	s->task = task;
	s->since = e->time;
	s->prio = e->prio;
	task->slice = s;
}

/* A task that runs gets another slice if its name changes. */
static void slice_split(FILE *out, struct tasks *tasks, const struct event *e)
{
	const struct task *task = task_get(tasks, e->first);

	if (!task->slice || !task->comm[0] ||
	    !strncmp(task->comm, e->comm, sizeof(task->comm) - 1))
		return;
	put_slice(out, task->slice, e->time, -1);
	task->slice->since = e->time;
}

static void put_event(FILE *out, const struct stream *st, struct tasks *tasks,
		      struct slice *slices, const struct event *e)
{
	const unsigned int cpu = st->cpus[e->index].head->cpu;
	struct slice *s = &slices[e->index];

	if (e->type == KREGION_TRACE_NAME)
		slice_split(out, tasks, e);
	tasks_event(tasks, e);
	switch (e->type) {
	case KREGION_TRACE_RUNNING_TASK:
	case KREGION_TRACE_SWITCH:
		slice_end(out, s, e->time, e->state);
		slice_begin(s, task_get(tasks, e->first), e);
		break;
	case KREGION_TRACE_EXEC:
		/* A thread may have taken over the pid of its process. */
		if (e->first == e->second || !s->task)
			break;
		slice_end(out, s, e->time, -1);
		slice_begin(s, task_get(tasks, e->first), e);
		break;
	case EVENT_GAP:
		slice_end(out, s, e->time, -1);
		break;
	case KREGION_TRACE_WAKEUP:
	case KREGION_TRACE_WAKEUP_NEW:
		put_instant(out, cpu, e, task_get(tasks, e->first),
			    e->type == KREGION_TRACE_WAKEUP ? "wake" : "wake new");
		break;
	}
}

/*
 * A wake-up may come before the first switch to its task, and so before the
 * name: names of tasks that were there from the start are collected first.
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

void chrome(struct stream *st, FILE *out)
{
	struct tasks tasks = { 0 };
	struct slice *slices;
	struct task *task;
	struct event e;
	unsigned int i;

	slices = xrealloc(NULL, st->nr_cpus, sizeof(*slices));
	memset(slices, 0, st->nr_cpus * sizeof(*slices));
	first_names(st, &tasks);
	for (task = tasks.all; task; task = task->older)
		task->named = false;

	fprintf(out, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"records\":\"%" PRIu64
		"\",\"lost\":\"%" PRIu64 "\"},\"traceEvents\":[\n", st->records, st->lost);
	put_meta(out, "process_name", 0);
	fputs("\"name\":\"CPUs\"}}", out);
	for (i = 0; i < st->nr_cpus; i++) {
		const unsigned int cpu = st->cpus[i].head->cpu;

		slices[i].cpu = cpu;
		fputs(",\n", out);
		put_meta(out, "thread_name", TRACK(cpu));
		fprintf(out, "\"name\":\"CPU %u\"}},\n", cpu);
		put_meta(out, "thread_sort_index", TRACK(cpu));
		fprintf(out, "\"sort_index\":%u}}", cpu);
	}
	while (stream_next(st, &e))
		put_event(out, st, &tasks, slices, &e);
	for (i = 0; i < st->nr_cpus; i++)
		put_slice(out, &slices[i], st->duration, -1);
	fputs("\n]}\n", out);
	free(slices);
	tasks_free(&tasks);
}
