// SPDX-License-Identifier: GPL-2.0
/* Tasks of a trace: see task.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "krtrace.h"
#include "task.h"

/* The link to the task that has @pid, or the end of its chain. */
static struct task **task_link(const struct tasks *t, uint32_t pid)
{
	struct task **link = &t->hash[pid * t->key >> (64 - t->bits)];

	while (*link && (*link)->pid != pid)
		link = &(*link)->next;
	return link;
}

static void tasks_grow(struct tasks *t)
{
	const size_t old_size = t->bits ? (size_t)1 << t->bits : 0;
	struct task **old = t->hash, *task, *next;
	size_t i;

	if (!t->bits && getentropy(&t->key, sizeof(t->key)))
		t->key = (uintptr_t)t * 0x9e3779b97f4a7c15;
	t->key |= 1;
	t->bits = t->bits ? t->bits + 1 : 8;
	t->hash = xrealloc(NULL, (size_t)1 << t->bits, sizeof(*t->hash));
	memset(t->hash, 0, sizeof(*t->hash) << t->bits);
	for (i = 0; i < old_size; i++) {
		for (task = old[i]; task; task = next) {
			next = task->next;
			task->next = NULL;
			*task_link(t, task->pid) = task;
		}
	}
	free(old);
}

/* Begin a new use of @pid; it replaces the previous one in the hash. */
static struct task *task_new(struct tasks *t, uint32_t pid)
{
	struct task *task = xrealloc(NULL, 1, t->task_size), **link = task_link(t, pid);

	memset(task, 0, t->task_size);
	task->next = *link ? (*link)->next : NULL;
	task->older = t->all;
	task->pid = pid;
	if (!pid)
		memcpy(task->comm, "idle", sizeof("idle"));
	*link = task;
	t->all = task;
	t->nr++;
	return task;
}

struct task *task_get(struct tasks *t, uint32_t pid)
{
	struct task *task;

	if (!t->bits || t->nr >> t->bits)
		tasks_grow(t);
	task = *task_link(t, pid);
	return task ? task : task_new(t, pid);
}

/* Begin a new use of @pid, unless the current one is still blank. */
static void task_born(struct tasks *t, uint32_t pid)
{
	const struct task *task = task_get(t, pid);

	if (task->exited || task->named)
		task_new(t, pid);
}

void tasks_event(struct tasks *t, const struct event *e)
{
	struct task *task;

	switch (e->type) {
	case KREGION_TRACE_NAME:
		task = task_get(t, e->first);
		memcpy(task->comm, e->comm, sizeof(task->comm) - 1);
		task->comm[sizeof(task->comm) - 1] = 0;
		task->named = true;
		break;
	case KREGION_TRACE_FORK:
		task_born(t, e->first);
		break;
	case KREGION_TRACE_EXEC:
		/* A thread takes over the pid of its thread group. */
		if (e->first != e->second) {
			task_get(t, e->second)->exited = true;
			task_born(t, e->first);
		}
		break;
	case KREGION_TRACE_EXIT:
		task_get(t, e->first)->exited = true;
		break;
	}
}

void tasks_free(struct tasks *t)
{
	struct task *task, *older;

	for (task = t->all; task; task = older) {
		older = task->older;
		free(task);
	}
	free(t->hash);
}

const char *task_comm(const struct task *task, char buf[32])
{
	size_t i;

	if (!task->comm[0])
		return "?";
	for (i = 0; task->comm[i]; i++)
		buf[i] = task->comm[i] >= ' ' && task->comm[i] <= '~' ? task->comm[i] : '?';
	buf[i] = 0;
	return buf;
}
