/* SPDX-License-Identifier: GPL-2.0 */
/* Commands of krtrace. They print errors and return an exit status. */
#ifndef KRTRACE_H
#define KRTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_options {
	const char *file;
	uint64_t budget;
	double seconds;			/* end after this time; 0: never */
	bool one_shot;			/* read the trace when it is over */
	char **argv;			/* a command; or NULL */
};

/* Trace until the command ends, the time is over or a signal arrives. */
int record(const struct record_options *options);
/* Minimum budget, unless one_shot. */
uint64_t record_live_budget_min(void);
int report(const char *path, bool tsv);
/* @file: NULL for standard output. */
int convert_chrome(const char *path, const char *file);

/* reallocarray() that exits on failure. */
void *xrealloc(void *p, size_t n, size_t size);

/* Make room for another element of an array that has @nr of at most @max. */
static inline void *xgrow(void *p, size_t nr, size_t *max, size_t size)
{
	if (nr < *max)
		return p;
	*max = *max ? 2 * *max : 8;
	return xrealloc(p, *max, size);
}

#endif
