/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread is a CPU: its gs segment begins at an area of its own, and a
 * __percpu pointer is an offset in all of them. So per-CPU data is reached by
 * the kernel's instructions. x86-64 only.
 */
#ifndef _SHIM_PERCPU_H
#define _SHIM_PERCPU_H

#include <linux/kernel.h>

#define PERCPU_AREA		0x10000UL
struct percpu_head { unsigned int preempt_count, cpu; char *area; };

extern char *percpu_areas;
extern unsigned int nr_cpu_ids;
void *percpu_alloc(size_t size);
void percpu_enter(unsigned int cpu);
void preempt_schedule_notrace(void);

#define __this_cpu_read(x)	(*(const __typeof__(x) __seg_gs *)(uintptr_t)&(x))
#define percpu_head(field)	__this_cpu_read(((struct percpu_head *)0)->field)
#define shim_preempt_count	(percpu_head(preempt_count) & ~PREEMPT_ENABLED)
#define smp_processor_id()	percpu_head(cpu)
#define raw_cpu_ptr(p)		((__typeof__(p))(percpu_head(area) + (uintptr_t)(p)))
#define per_cpu_ptr(p, cpu) \
	((__typeof__(p))(percpu_areas + (cpu) * PERCPU_AREA + (uintptr_t)(p)))
#define alloc_percpu(type)	((type *)percpu_alloc(sizeof(type)))
#define free_percpu(p)		((void)(p))	/* areas are large enough for all that is asked */
#define num_possible_cpus()	nr_cpu_ids
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (cpu) < (int)nr_cpu_ids; (cpu)++)

/*
 * One thread, one CPU: a variable that the fast path does not use may be the
 * thread's.
 */
#define DEFINE_PER_CPU(type, name) __thread type name
#define __this_cpu_inc_return(x) (++(x))
#define __this_cpu_dec(x)	((void)--(x))

/*
 * A sign bit that is always set says "no need to reschedule", so it never gets
 * zero.
 */
#define PREEMPT_ENABLED		0x80000000U
#define preempt_disable_notrace() asm volatile("incl %%gs:0" : : : "memory", "cc")
#define preempt_enable_notrace() \
	do { \
		bool _zero; \
		asm volatile("decl %%gs:0" : "=@ccz" (_zero) : : "memory"); \
		if (unlikely(_zero)) \
			preempt_schedule_notrace(); \
	} while (0)
#define preempt_disable()	preempt_disable_notrace()
#define preempt_enable()	preempt_enable_notrace()

#endif
