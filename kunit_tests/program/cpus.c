// SPDX-License-Identifier: GPL-2.0
/* Tasks on CPUs: see shim/linux/percpu.h. */
#include <pthread.h>

#include "kernel.h"

unsigned int nr_cpu_ids = 1;
__thread unsigned int shim_cpu, shim_preempt_count;

static pthread_mutex_t cpus[SHIM_MAX_CPUS] = {
	[0 ... SHIM_MAX_CPUS - 1] = PTHREAD_MUTEX_INITIALIZER
};

void preempt_disable(void)
{
	if (!shim_preempt_count++)
		pthread_mutex_lock(&cpus[shim_cpu]);
}

void preempt_enable(void)
{
	SHIM_CHECK(shim_preempt_count);
	if (!--shim_preempt_count)
		pthread_mutex_unlock(&cpus[shim_cpu]);
}

void *shim_percpu(size_t size)
{
	void *p;

	SHIM_CHECK(size <= PERCPU_STRIDE);
	if (shim_fail() || posix_memalign(&p, PERCPU_STRIDE, nr_cpu_ids * PERCPU_STRIDE))
		return NULL;
	return memset(p, 0, nr_cpu_ids * PERCPU_STRIDE);
}
