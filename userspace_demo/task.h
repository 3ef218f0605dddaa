/* SPDX-License-Identifier: GPL-2.0 */
/* Tasks of a trace: their pids, names, births and deaths, followed event by event. */
#ifndef TASK_H
#define TASK_H

#include "stream.h"

/* One life of a pid. Users with data of their own a task embed it as the first member. */
struct task {
	struct task *next;		/* in its hash chain */
	struct task *older;		/* in tasks.all */
	uint32_t pid;
	bool named, exited;
	char comm[16];
};

struct tasks {
	size_t task_size;		/* of struct task or the embedding one; set by the user */
	struct task **hash;		/* 1 << bits chains, of the last life of each pid */
	unsigned int bits;
	uint64_t key;			/* random, so that no file can hold pids that collide */
	struct task *all;		/* newest first */
	size_t nr;
};

/* The present life of @pid; without one, it begins, and the user's data are zero. */
struct task *task_get(struct tasks *t, uint32_t pid);
/* Follow names, births and deaths; call it with each event. */
void tasks_event(struct tasks *t, const struct event *e);
void tasks_free(struct tasks *t);
/* For people: never empty, no control characters. */
const char *task_comm(const struct task *task, char buf[32]);

#endif
