/* SPDX-License-Identifier: GPL-2.0 */
/* One queue for all; its owner, if any, is the thread in shim_run_work(). */
#ifndef _SHIM_WORKQUEUE_H
#define _SHIM_WORKQUEUE_H

#include <linux/kernel.h>

struct work_struct {
	void (*func)(struct work_struct *work);
	struct work_struct *next;
	int pending;
};

struct delayed_work { struct work_struct work; };
struct workqueue_struct;

#define WQ_UNBOUND		0
#define WQ_MEM_RECLAIM		0
#define DECLARE_WORK(name, f)	struct work_struct name = { .func = (f) }
#define INIT_DELAYED_WORK(dwork, f) \
	((void)((dwork)->work = (struct work_struct){ .func = (f) }))
#define to_delayed_work(w)	container_of(w, struct delayed_work, work)
#define alloc_workqueue(name, flags, max) ((struct workqueue_struct *)(name))
#define destroy_workqueue(wq)	do { (void)(wq); } while (shim_run_work())
#define queue_work(wq, work)	shim_queue_work(work)
#define queue_delayed_work(wq, dwork, delay) ((void)(delay), shim_queue_work(&(dwork)->work))
#define delayed_work_pending(dwork) READ_ONCE((dwork)->work.pending)
void shim_queue_work(struct work_struct *work);
bool shim_run_work(void);
void cancel_delayed_work_sync(struct delayed_work *dwork);

#endif
