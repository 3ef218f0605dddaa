/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Of the programs that take random steps until one is wrong. A seed has the
 * program's in its upper bytes and the thread's in the last one.
 */
#ifndef _PROGRAM_RANDOM_H
#define _PROGRAM_RANDOM_H

#include <linux/types.h>
#include <stdio.h>
#include <unistd.h>

static __thread u32 seed;

#define CHECK(x)	do { if (!(x)) fail(__FILE__, __LINE__, #x); } while (0)

static inline void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	puts("FAILURE");
	fflush(stdout);
	_exit(1);
}

/* Of a run: [SEED] of the command line, or the process. */
static inline u32 seed_of_run(const char *argument)
{
	return ((argument ? atoi(argument) : getpid()) ?: 1) << 8;
}

static inline u32 pick(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

#endif
