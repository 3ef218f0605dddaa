/* SPDX-License-Identifier: GPL-2.0 */
/* Lost records, and a sufficient budget. */
#ifndef LOST_H
#define LOST_H

#include "stream.h"

struct loss {
	uint64_t records;		/* in the trace */
	uint64_t lost;
	uint64_t held;			/* bytes of memory that the trace held */
	uint64_t budget;
	bool live;			/* the budget did not limit the number of records */
	uint64_t generations, generation_records; /* lost, and records in them */
};

struct loss loss_of(const struct stream *s);
/*
 * Estimate of a budget for all records: twice the present one if the trace is
 * live. A double, as the number of lost records in a file may be arbitrary.
 */
double loss_budget(const struct loss *l);
/* Advice, as the end of a sentence. */
const char *loss_advice(const struct loss *l, char buf[64]);
/* Warn if records or generations were lost. */
void loss_warn(const struct loss *l, const char *path);

#endif
