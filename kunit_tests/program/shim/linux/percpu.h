/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread is a task: while preemption is disabled it has a CPU, of which it is
 * the only user. A __percpu pointer is that of CPU 0, and the copies of the
 * other CPUs follow at a fixed distance.
 */
#ifndef _SHIM_PERCPU_H
#define _SHIM_PERCPU_H

#include <linux/kernel.h>

#define SHIM_MAX_CPUS		8
#define PERCPU_STRIDE		256UL

extern unsigned int nr_cpu_ids;
extern __thread unsigned int shim_cpu;		/* the CPU to run on next, or now */
extern __thread unsigned int shim_preempt_count;
void preempt_disable(void);
void preempt_enable(void);
void *shim_percpu(size_t size);

#define preempt_disable_notrace() preempt_disable()
#define preempt_enable_notrace() preempt_enable()
#define smp_processor_id()	shim_cpu
#define per_cpu_ptr(p, cpu)	((__typeof__(p))((char *)(p) + (cpu) * PERCPU_STRIDE))
#define raw_cpu_ptr(p)		per_cpu_ptr(p, shim_cpu)
#define __this_cpu_read(x)	(SHIM_CHECK(shim_preempt_count), READ_ONCE(*raw_cpu_ptr(&(x))))
#define alloc_percpu(type)	((type *)shim_percpu(sizeof(type)))
#define free_percpu(p)		free(p)
#define num_possible_cpus()	nr_cpu_ids
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (cpu) < (int)nr_cpu_ids; (cpu)++)

/* A variable that is used with preemption disabled may be the thread's. */
#define DEFINE_PER_CPU(type, name) __thread type name
#define __this_cpu_inc_return(x) (++(x))
#define __this_cpu_dec(x)	((void)--(x))

#endif
