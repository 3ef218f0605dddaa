/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the benchmark module share. */
#ifndef _KREGION_BENCH_H
#define _KREGION_BENCH_H

#include <linux/gfp.h>
#include <linux/math64.h>

#define BATCH	128		/* objects between two looks at the clock */
#define RUNS	21		/* batches a figure */
#define GFP	(GFP_KERNEL | __GFP_NOWARN)

extern char *bench_unit, *bench_view;

u64 bench_median(u64 *t, unsigned int n);
u32 bench_fraction(u64 dividend, u64 divisor);

/* For "%llu.%04u"; a figure below zero is noise, and shows as zero. */
#define QUOTIENT(dividend, divisor) \
	div64_u64(dividend, divisor), bench_fraction(dividend, divisor)
#define PER(ticks, n)	QUOTIENT(max_t(s64, ticks, 0), n)

int bench_maps(unsigned int most, bool sweep);

#endif /* _KREGION_BENCH_H */
