/* SPDX-License-Identifier: GPL-2.0 */
/* Work that is queued is done at once; only a reserve queues any. */
#ifndef _SHIM_WORKQUEUE_H
#define _SHIM_WORKQUEUE_H

struct work_struct { void (*func)(struct work_struct *work); };
struct workqueue_struct;

#define WQ_UNBOUND		0
#define WQ_MEM_RECLAIM		0
struct delayed_work { struct work_struct work; };

#define INIT_DELAYED_WORK(dwork, f) ((void)((dwork)->work.func = (f)))
#define to_delayed_work(w)	container_of(w, struct delayed_work, work)
#define DECLARE_WORK(name, f)	struct work_struct name = { f }
#define alloc_workqueue(name, flags, max) ((struct workqueue_struct *)(name))
#define destroy_workqueue(wq)	((void)(wq))
#define queue_work(wq, work)	((work)->func(work))
/* Memory never runs short, so nothing is ever tried again. */
#define queue_delayed_work(wq, dwork, delay) ((delay) ? (void)0 : (dwork)->work.func(&(dwork)->work))
#define delayed_work_pending(dwork) ((void)(dwork), 0)
#define cancel_delayed_work_sync(dwork) ((void)(dwork))

#endif
