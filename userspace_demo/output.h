/* SPDX-License-Identifier: GPL-2.0 */
/* Output file that replaces the previous one when it is complete. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdio.h>

/*
 * Open @path, or standard output if @path is NULL. Regular files are written
 * under a temporary name in the same directory, other files directly. Supports
 * one output at a time. Prints errors, as does output_commit().
 */
FILE *output_open(const char *path);

/* Complete the output. */
int output_commit(FILE *out);

/* Give it up for an @error, and print that; returns NULL. */
FILE *output_fail(int error);

/* Remove the temporary file, if any; runs at exit, too. */
void output_abandon(void);

/* Remove it also when a signal terminates the program. */
void output_catch_signals(void);

#endif
