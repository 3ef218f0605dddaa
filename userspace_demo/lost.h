/* SPDX-License-Identifier: GPL-2.0 */
/* Lost records, and the budget that avoids them. */
#ifndef LOST_H
#define LOST_H

#include "stream.h"

struct loss {
	uint64_t records;		/* that were kept */
	uint64_t lost;
	uint64_t held;			/* bytes of memory that the kept records took */
	uint64_t budget;
};

struct loss loss_of(const struct stream *s);
/*
 * About the budget that all records need. A double, as a file may say that any
 * number was lost.
 */
double loss_budget(const struct loss *l);
/* A remedy, as the end of a sentence. */
const char *loss_advice(const struct loss *l, char buf[64]);
/* Warn if records were lost. */
void loss_warn(const struct loss *l, const char *path);

#endif
