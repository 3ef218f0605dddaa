/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test and set. Interrupts are a matter of the kernel, and what switching them
 * off costs is missing here.
 */
#ifndef _SHIM_SPINLOCK_H
#define _SHIM_SPINLOCK_H

#include <linux/percpu.h>
#include <sched.h>

typedef struct { int locked; } raw_spinlock_t, spinlock_t;

static inline void raw_spin_lock(raw_spinlock_t *lock)
{
	unsigned int spins = 0;

	preempt_disable_notrace();
	while (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE))
		while (READ_ONCE(lock->locked))
			if (++spins % 1024)
				cpu_relax();
			else
				sched_yield();	/* more threads than processors */
}

static inline void raw_spin_unlock(raw_spinlock_t *lock)
{
	__atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
	preempt_enable_notrace();
}

#define raw_spin_lock_init(lock)		((void)((lock)->locked = 0))
#define raw_spin_lock_irqsave(lock, irq)	((void)((irq) = 0), raw_spin_lock(lock))
#define raw_spin_unlock_irqrestore(lock, irq)	((void)(irq), raw_spin_unlock(lock))
#define DEFINE_SPINLOCK(name)			spinlock_t name
#define spin_lock_init(lock)			raw_spin_lock_init(lock)
#define spin_lock(lock)				raw_spin_lock(lock)
#define spin_unlock(lock)			raw_spin_unlock(lock)
#define lockdep_assert_held(lock)		SHIM_CHECK(READ_ONCE((lock)->locked))

#endif
