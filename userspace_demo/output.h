/* SPDX-License-Identifier: GPL-2.0 */
/* An output file that takes its place when it is complete. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdio.h>

/*
 * Begin to write @path, or standard output if that is NULL. A regular file is written
 * beside its place, under a temporary name; anything else is written directly. One
 * output at a time. Prints what is wrong; so does output_commit().
 */
FILE *output_open(const char *path);

/* The output is complete. */
int output_commit(FILE *out);

/* Remove the temporary file, if there is one; also done at exit. */
void output_abandon(void);

/* Remove it also if a signal ends the program. */
void output_catch_signals(void);

#endif
