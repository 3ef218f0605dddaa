/* SPDX-License-Identifier: GPL-2.0 */
/* Commands of krtrace. They print errors and return an exit status. */
#ifndef KRTRACE_H
#define KRTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Run the command @argv and write a trace of its execution to @file. */
int record(const char *file, uint64_t budget, char **argv);
int report(const char *path, bool tsv);
/* @file: NULL for standard output. */
int convert_chrome(const char *path, const char *file);

/* reallocarray() that exits on failure. */
void *xrealloc(void *p, size_t n, size_t size);

#endif
