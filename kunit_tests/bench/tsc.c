// SPDX-License-Identifier: GPL-2.0
/* How many ticks of the time stamp counter are a nanosecond of the clock. */
#include <stdio.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void)
{
	const double start = now();
	const unsigned long long ticks = __builtin_ia32_rdtsc();
	double end;

	do
		end = now();
	while (end - start < 1e8);
	printf("%.6f\n", (__builtin_ia32_rdtsc() - ticks) / (end - start));
	return 0;
}
