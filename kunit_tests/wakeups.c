// SPDX-License-Identifier: GPL-2.0
/*
 * Generates a storm of wake-ups for tests of the tracer while it is loaded. On
 * each CPU, one thread keeps waking itself with interrupts on, and a timer
 * interrupts it to wake another thread, so that probes of sched_wakeup nest.
 */

#include <linux/cpu.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include "../kmod/compat.h"

#define PERIOD	(100 * NSEC_PER_USEC)

struct storm {
	struct task_struct *waker;
	struct task_struct *sleeper;
	struct hrtimer timer;
};

static DEFINE_PER_CPU(struct storm, storms);

static enum hrtimer_restart storm_timer(struct hrtimer *timer)
{
	wake_up_process(container_of(timer, struct storm, timer)->sleeper);
	hrtimer_forward_now(timer, PERIOD);
	return HRTIMER_RESTART;
}

static int storm_sleeper(void *unused)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static int storm_waker(void *data)
{
	struct storm *storm = data;

	set_user_nice(current, MAX_NICE);
	hrtimer_start(&storm->timer, PERIOD, HRTIMER_MODE_REL_PINNED_HARD);
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		wake_up_process(current);
		cond_resched();
	}
	hrtimer_cancel(&storm->timer);
	return 0;
}

static struct task_struct *storm_thread(int (*fn)(void *), struct storm *storm, int cpu)
{
	struct task_struct *thread = kthread_create(fn, storm, "storm/%d", cpu);

	if (!IS_ERR(thread)) {
		kthread_bind(thread, cpu);
		wake_up_process(thread);
	}
	return thread;
}

static void storm_stop(void)
{
	struct storm *storm;
	int cpu;

	for_each_possible_cpu(cpu) {
		storm = per_cpu_ptr(&storms, cpu);
		if (!IS_ERR_OR_NULL(storm->waker))
			kthread_stop(storm->waker);
		if (!IS_ERR_OR_NULL(storm->sleeper))
			kthread_stop(storm->sleeper);
	}
}

static int __init storm_init(void)
{
	struct storm *storm;
	int cpu, err = 0;

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		storm = per_cpu_ptr(&storms, cpu);
		hrtimer_setup(&storm->timer, storm_timer, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
		storm->sleeper = storm_thread(storm_sleeper, storm, cpu);
		if (!IS_ERR(storm->sleeper))
			storm->waker = storm_thread(storm_waker, storm, cpu);
		err = PTR_ERR_OR_ZERO(storm->sleeper) ?: PTR_ERR_OR_ZERO(storm->waker);
		if (err)
			break;
	}
	cpus_read_unlock();
	if (err)
		storm_stop();
	return err;
}
module_init(storm_init);

static void __exit storm_exit(void)
{
	storm_stop();
}
module_exit(storm_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Storm of wake-ups for tests of the kregion tracer");
