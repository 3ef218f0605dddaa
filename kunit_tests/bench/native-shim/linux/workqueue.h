/* SPDX-License-Identifier: GPL-2.0 */
/* Work that is queued is done at once; only a reserve queues any. */
#ifndef _SHIM_WORKQUEUE_H
#define _SHIM_WORKQUEUE_H

struct work_struct { void (*func)(struct work_struct *work); };
struct workqueue_struct;

#define WQ_UNBOUND		0
#define WQ_MEM_RECLAIM		0
#define INIT_WORK(work, f)	((void)((work)->func = (f)))
#define DECLARE_WORK(name, f)	struct work_struct name = { f }
#define alloc_workqueue(name, flags, max) ((struct workqueue_struct *)(name))
#define destroy_workqueue(wq)	((void)(wq))
#define queue_work(wq, work)	((work)->func(work))
#define work_pending(work)	((void)(work), 0)
#define cancel_work_sync(work)	((void)(work))

#endif
