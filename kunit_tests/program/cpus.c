// SPDX-License-Identifier: GPL-2.0
/* Tasks on CPUs: see shim/linux/percpu.h. */
#include <pthread.h>

#include "kernel.h"

#include <linux/rcupdate.h>

unsigned int nr_cpu_ids = 1;
__thread unsigned int shim_cpu, shim_preempt_count;

static pthread_mutex_t cpus[SHIM_MAX_CPUS] = {
	[0 ... SHIM_MAX_CPUS - 1] = PTHREAD_MUTEX_INITIALIZER
};

/* ---- read-side critical sections ----------------------------------------- */

#define MAX_READERS	64

/* Of one thread: odd inside of a critical section. */
static struct reader { unsigned long seq; } readers[MAX_READERS];
static unsigned int nr_readers;
static __thread struct reader *reader;
static __thread unsigned int rcu_nesting;

void rcu_read_lock(void)
{
	unsigned int i;

	if (rcu_nesting++)
		return;
	if (!reader) {
		i = __atomic_fetch_add(&nr_readers, 1, __ATOMIC_SEQ_CST);
		SHIM_CHECK(i < MAX_READERS);
		reader = &readers[i];
	}
	__atomic_fetch_add(&reader->seq, 1, __ATOMIC_SEQ_CST);
}

void rcu_read_unlock(void)
{
	SHIM_CHECK(rcu_nesting);
	if (!--rcu_nesting)
		__atomic_fetch_add(&reader->seq, 1, __ATOMIC_RELEASE);
}

void synchronize_rcu(void)
{
	const unsigned int nr = min(__atomic_load_n(&nr_readers, __ATOMIC_SEQ_CST), MAX_READERS);
	unsigned long seq;
	unsigned int i;

	SHIM_CHECK(!rcu_nesting);
	for (i = 0; i < nr; i++) {
		seq = __atomic_load_n(&readers[i].seq, __ATOMIC_SEQ_CST);
		/* Pairs with the release in rcu_read_unlock(). */
		while ((seq & 1) && smp_load_acquire(&readers[i].seq) == seq)
			sched_yield();
	}
}

/* ---- preemption ---------------------------------------------------------- */

void preempt_disable(void)
{
	if (shim_preempt_count++)
		return;
	pthread_mutex_lock(&cpus[shim_cpu]);
	rcu_read_lock();
}

void preempt_enable(void)
{
	SHIM_CHECK(shim_preempt_count);
	if (--shim_preempt_count)
		return;
	rcu_read_unlock();
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
