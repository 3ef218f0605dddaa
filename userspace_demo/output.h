/* SPDX-License-Identifier: GPL-2.0 */
/* Output file that replaces the old one when it is complete. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdio.h>

/*
 * Open @path, or standard output if that is NULL. A regular file is written
 * under a temporary name in the same folder, anything else directly. One output
 * at a time. Prints its errors, as does output_commit().
 */
FILE *output_open(const char *path);

/* The output is complete. */
int output_commit(FILE *out);

/* Remove the temporary file, if there is one; also done at exit. */
void output_abandon(void);

/* Also remove it if a signal ends the program. */
void output_catch_signals(void);

#endif
