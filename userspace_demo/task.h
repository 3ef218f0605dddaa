/* SPDX-License-Identifier: GPL-2.0 */
/* Tasks of a trace: pids, names, fork and exit, tracked event by event. */
#ifndef TASK_H
#define TASK_H

#include "stream.h"

/* One use of a pid. Users with private data embed it as their first member. */
struct task {
	struct task *next;		/* in the hash chain */
	struct task *older;		/* in tasks.all */
	uint32_t pid;
	bool named, exited;
	char comm[16];
};

struct tasks {
	size_t task_size;		/* of the embedding struct; set by the user */
	struct task **hash;		/* 1 << bits chains: last use of each pid */
	unsigned int bits;
	uint64_t key;			/* random: no file provokes collisions */
	struct task *all;		/* newest first */
	size_t nr;
};

/* Current task with @pid; if new, the private data is zeroed. */
struct task *task_get(struct tasks *t, uint32_t pid);
/* Track names, forks and exits; call it for each event. */
void tasks_event(struct tasks *t, const struct event *e);
void tasks_free(struct tasks *t);
/* Printable name, never empty. */
const char *task_comm(const struct task *task, char buf[32]);

#endif
