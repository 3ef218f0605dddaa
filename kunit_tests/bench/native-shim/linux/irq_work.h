/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_IRQ_WORK_H
#define _SHIM_IRQ_WORK_H

struct irq_work { void (*func)(struct irq_work *work); };

#define IRQ_WORK_INIT_HARD(f)	((struct irq_work) { f })
#define irq_work_queue(work)	((work)->func(work))
#define irq_work_sync(work)	((void)(work))

#endif
