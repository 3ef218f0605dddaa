/* SPDX-License-Identifier: GPL-2.0 */
/* Commands of krtrace. Each prints its errors and returns an exit status. */
#ifndef KRTRACE_H
#define KRTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Run the command @argv and write a trace of that time to @file. */
int record(const char *file, uint64_t budget, char **argv);
int report(const char *path, bool tsv);
/* @file is NULL for standard output. */
int convert_chrome(const char *path, const char *file);

/* reallocarray() that ends the program without memory. */
void *xrealloc(void *p, size_t n, size_t size);

#endif
