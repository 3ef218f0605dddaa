/* SPDX-License-Identifier: GPL-2.0 */
/* Queued from any context; shim_run_work() runs it. */
#ifndef _SHIM_IRQ_WORK_H
#define _SHIM_IRQ_WORK_H

#include <linux/llist.h>

struct irq_work {
	void (*func)(struct irq_work *work);
	struct llist_node node;
	int pending;
};

#define IRQ_WORK_INIT_HARD(f)	((struct irq_work) { .func = (f) })
void irq_work_queue(struct irq_work *work);
void irq_work_sync(struct irq_work *work);

#endif
