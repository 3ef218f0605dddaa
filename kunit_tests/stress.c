// SPDX-License-Identifier: GPL-2.0
/*
 * Torture test: scenarios that load the allocator from all CPUs and contexts
 * for some time each. Documentation/testing.rst describes the output.
 *
 * Owners allocate: threads, timers in soft and hard interrupt context, and
 * NMIs. An owner fills each object with a tag of its own: owner, size and
 * sequence number. An epoch of a region ends when a thread has its share of
 * objects, or after some time. The control task then excludes all owners,
 * verifies each object whole, compares the statistics with what the owners
 * counted, drops or resets the region, and continues with the next one.
 *
 * In the scenario rotate the owners go on while the control task seals one
 * generation after the other. Each has the objects of every owner that follow
 * those of the one before, whole and without a gap.
 *
 * The scenario replica runs the same owners on a bump allocator of this file.
 * Parameter busted breaks that one, or the critical section of an owner in the
 * scenario rotate, and the verdict must be FAILURE.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kregion.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "../kmod/compat.h"
#include "nmi.h"

static char *scenario = "all";
module_param(scenario, charp, 0444);
MODULE_PARM_DESC(scenario, "names of scenarios, with commas between them, or all");
static char *busted = "none";
module_param(busted, charp, 0444);
MODULE_PARM_DESC(busted, "fault of the replica: nonatomic, preempt or nolook; of rotate: late");
static unsigned int duration = 5;
module_param(duration, uint, 0444);
MODULE_PARM_DESC(duration, "seconds of each scenario");
static unsigned int threads;
module_param(threads, uint, 0444);
MODULE_PARM_DESC(threads, "threads that allocate; 0: two for each CPU");
static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "of the random numbers; 0: another one each time");

/* ---- types --------------------------------------------------------------- */

enum context { TASK, SOFTIRQ, HARDIRQ, NMI, NR_CONTEXTS };

static const char * const context_names[] = { "task", "softirq", "hardirq", "nmi" };

/* Kinds of owners; all but threads exist once per CPU. */
enum kind { THREAD, SOFT_TIMER, TIMER, HARD_TIMER, NMI_HANDLER, NR_KINDS };

/* A timer of the default mode is soft on PREEMPT_RT, and may get new blocks. */
static const struct {
	gfp_t gfp;			/* 0: nofill only */
	enum hrtimer_mode mode;
	unsigned int objects;		/* of an epoch */
} kinds[] = {
	[THREAD] = { .gfp = GFP_KERNEL, .objects = 16384 },
	[SOFT_TIMER] = { GFP_ATOMIC, HRTIMER_MODE_REL_PINNED_SOFT, 2048 },
	[TIMER] = { GFP_ATOMIC, HRTIMER_MODE_REL_PINNED, 2048 },
	[HARD_TIMER] = { 0, HRTIMER_MODE_REL_PINNED_HARD, 2048 },
	[NMI_HANDLER] = { .objects = 2048 },
};

/* Failed requests, as far as an owner can tell. */
enum failure { MEMORY, NOFILL, SIZE, NR_FAILURES };

struct object {
	u64 tag;			/* owner: 12 bits, size: 20, sequence: 32 */
	void *p;
};

struct owner {
	enum kind kind;
	unsigned int id;
	struct task_struct *task;
	struct hrtimer timer;
	bool started;			/* the timer */
	struct rnd_state rnd;
	struct object *objects;		/* of this epoch, as the next four */
	unsigned int nr;
	unsigned long bytes;
	unsigned long slack;		/* most bytes of alignment */
	unsigned long failed[NR_FAILURES];
	u32 sequence;
	u32 sealed;			/* sequence number that the next generation starts with */
	u32 found;			/* objects of a generation ... */
	u64 sum;			/* ... and the sum of their places in it */
	unsigned long ops[NR_CONTEXTS];
	unsigned long nmis;
	struct kregion **churned;
	struct kregion *watched;	/* dropped and reset by this owner, read by others */
	unsigned long seen;		/* drops and resets of the one that this owner reads */
};

struct request {
	size_t size;
	size_t align;
	gfp_t gfp;
	bool nofill;
};

struct target {
	const struct kregion_attr *attr;
	struct kregion *r;
	unsigned long failed[NR_FAILURES];
};

#define TARGETS	4

struct scenario {
	const char *name;
	struct kregion_attr attr[TARGETS];	/* block_size 0: no more */
	void (*shape)(struct owner *w, struct request *rq);
	void (*body)(struct owner *w);	/* of the threads; NULL: thread_body() */
	void (*step)(void);		/* of the control task, after each epoch */
	unsigned int epoch;		/* ms */
	unsigned int tick;		/* us between interrupts; 0: none */
	gfp_t gfp;
	size_t lost;			/* most bytes at the end of a full block */
	size_t must_fail;		/* offset of a counter in kregion_stats */
	bool one_cpu;
	bool faults;			/* threads are subject to fault injection */
	bool promise;			/* every other epoch stays within the reserve */
	bool rotate;			/* again and again within an epoch */
};

enum error { DAMAGED, INEXACT, HELD, PROMISE, MISSING, NR_ERRORS };

enum fault { NONE, NONATOMIC, PREEMPT, NOLOOK, LATE };

static const char * const fault_names[] = { "none", "nonatomic", "preempt", "nolook", "late" };

static struct {
	const struct scenario *scenario;
	enum fault fault;
	struct rnd_state rnd;
	struct cpumask cpus;		/* of interrupts and threads */
	struct owner *owners;
	unsigned int nr_owners;
	struct mem_cgroup *memcg;
	struct target targets[TARGETS];
	unsigned int nr_targets;
	struct target *target;		/* of this epoch; NULL: the replica, or none */
	bool open;			/* to interrupts */
	bool asked;			/* for the end of the epoch */
	bool promised;
	atomic_long_t budget;		/* what is left of the promise */
	unsigned long epochs, rotates, moves, plugs;
	atomic_long_t regions;
	atomic_t errors[NR_ERRORS];
} run;

/* Excludes threads at the end of an epoch; a grace period, all others. */
static DECLARE_RWSEM(gate);
static DECLARE_WAIT_QUEUE_HEAD(control_wait);
static DECLARE_WAIT_QUEUE_HEAD(threads_wait);
static DEFINE_PER_CPU(struct owner *, nmi_owner);

/* Count an error, and log the first ones. */
#define error(e, fmt, ...)							\
do {										\
	if (atomic_inc_return(&run.errors[e]) <= 3)				\
		pr_err("%s: " fmt "\n", run.scenario->name, ##__VA_ARGS__);	\
} while (0)

static unsigned int nr_errors(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < NR_ERRORS; i++)
		n += atomic_read(&run.errors[i]);
	return n;
}

/* ---- objects ------------------------------------------------------------- */

static size_t object_size(const struct object *o)
{
	return o->tag >> 32 & 0xfffff;
}

static void object_fill(const struct object *o)
{
	const size_t size = object_size(o), words = size / sizeof(u64);
	u64 *word = o->p;
	size_t i;

	for (i = 0; i < words; i++)
		word[i] = o->tag;
	memcpy(&word[i], &o->tag, size % sizeof(u64));
}

/* The first word of @o that is not its tag, or the tag. */
static u64 object_read(const struct object *o)
{
	const size_t size = object_size(o), words = size / sizeof(u64);
	const u64 *word = o->p;
	u64 tail = o->tag;
	size_t i;

	for (i = 0; i < words; i++)
		if (word[i] != o->tag)
			return word[i];
	memcpy(&tail, &word[i], size % sizeof(u64));
	return tail;
}

static void object_verify(const struct object *o)
{
	const u64 found = object_read(o);

	if (found != o->tag)
		error(DAMAGED, "object %u of owner %u, %zu bytes, has %#llx: object %u of owner %u",
		      (u32)o->tag, (u32)(o->tag >> 52), object_size(o), found, (u32)found,
		      (u32)(found >> 52));
}

/* Verify and forget the objects of @w. */
static void owner_verify(struct owner *w)
{
	unsigned int i;

	for (i = 0; i < w->nr; i++)
		object_verify(&w->objects[i]);
	w->nr = 0;
	w->bytes = 0;
	w->slack = 0;
}

/* ---- the replica --------------------------------------------------------- */

/*
 * Bump allocator with a block per CPU. Its read, add and write need preemption
 * and interrupts off, and the choice of the next block a second look under the
 * lock. It passes without a fault, so a failure is that of the fault.
 */

#define REPLICA_BLOCKS	512
#define REPLICA_BLOCK	SZ_8K

struct replica_block {
	unsigned long next, end;
	char data[REPLICA_BLOCK];
};

static struct replica_block *replica_blocks, replica_full;
static unsigned int replica_used;
static DEFINE_RAW_SPINLOCK(replica_lock);
static DEFINE_PER_CPU(struct replica_block *, replica_current);

static void replica_reset(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(replica_current, cpu) = &replica_full;
	replica_used = 0;
}

static void widen_window(void)
{
	int i;

	for (i = 0; i < 100; i++)
		cpu_relax();
}

static void *replica_bump(size_t bytes)
{
	struct replica_block *b;
	unsigned long flags, next;
	bool fits;

	if (run.fault != PREEMPT)
		preempt_disable();
	b = raw_cpu_read(replica_current);
	widen_window();
	if (run.fault != NONATOMIC)
		local_irq_save(flags);
	next = READ_ONCE(b->next);
	widen_window();
	fits = next + bytes <= b->end;
	if (fits)
		WRITE_ONCE(b->next, next + bytes);
	if (run.fault != NONATOMIC)
		local_irq_restore(flags);
	if (run.fault != PREEMPT)
		preempt_enable();
	return fits ? (void *)next : NULL;
}

static bool replica_refill(void)
{
	unsigned int nr = READ_ONCE(replica_used);
	struct replica_block *b;
	unsigned long flags;

	widen_window();
	raw_spin_lock_irqsave(&replica_lock, flags);
	if (run.fault != NOLOOK)
		nr = replica_used;
	if (nr < REPLICA_BLOCKS) {
		b = &replica_blocks[nr];
		WRITE_ONCE(b->next, (unsigned long)b->data);
		b->end = (unsigned long)b->data + REPLICA_BLOCK;
		WRITE_ONCE(replica_used, nr + 1);
		raw_cpu_write(replica_current, b);
	}
	raw_spin_unlock_irqrestore(&replica_lock, flags);
	return nr < REPLICA_BLOCKS;
}

static void *replica_alloc(size_t size)
{
	const size_t bytes = ALIGN(size, KREGION_ALIGN);
	void *p;

	do {
		p = replica_bump(bytes);
	} while (!p && replica_refill());
	return p;
}

/* ---- operations ---------------------------------------------------------- */

static enum context context(void)
{
	return in_nmi() ? NMI : in_hardirq() ? HARDIRQ : in_serving_softirq() ? SOFTIRQ : TASK;
}

static void *allocate(const struct request *rq)
{
	struct kregion *r;

	if (!run.target)
		return replica_alloc(rq->size);
	r = run.target->r;
	if (rq->nofill)
		return rq->size == 32 ? kregion_alloc_nofill(r, 32) :
					kregion_alloc_nofill(r, rq->size);
	if (rq->align > KREGION_ALIGN)
		return kregion_alloc_aligned(r, rq->size, rq->align, rq->gfp);
	return rq->size == 32 ? kregion_alloc(r, 32, rq->gfp) : kregion_alloc(r, rq->size, rq->gfp);
}

static void ask_for_end(void)
{
	WRITE_ONCE(run.asked, true);
}

/* Whether a promised epoch may serve @size. */
static bool within_promise(size_t size)
{
	if (!run.promised)
		return true;
	if (atomic_long_sub_return(ALIGN(size, KREGION_ALIGN), &run.budget) >= 0)
		return true;
	ask_for_end();
	return false;
}

static void failed(struct owner *w, const struct request *rq)
{
	if (rq->size > KREGION_MAX_ALLOC)
		w->failed[SIZE]++;
	else if (rq->nofill)
		w->failed[NOFILL]++;
	else
		w->failed[MEMORY]++;
	if (run.promised)
		error(PROMISE, "%zu bytes of the reserve not served", rq->size);
	/* The replica has no more blocks. */
	if (!run.target)
		ask_for_end();
}

static void keep(struct owner *w, const struct request *rq, void *p)
{
	struct object *o = &w->objects[w->nr];

	if (!IS_ALIGNED((unsigned long)p, rq->align))
		error(DAMAGED, "an object is not aligned to %zu bytes", rq->align);
	o->tag = (u64)w->id << 52 | (u64)rq->size << 32 | w->sequence++;
	o->p = p;
	object_fill(o);
	/* A generation has it. */
	if (run.scenario->rotate)
		return;
	w->bytes += ALIGN(rq->size, KREGION_ALIGN);
	w->slack += rq->align - KREGION_ALIGN;
	w->nr++;
}

#define EPOCH_BYTES	SZ_2M

/* Whether @w has its share of an epoch, or of the objects not sealed yet. */
static bool has_share(struct owner *w)
{
	if (run.scenario->rotate)
		return w->sequence - READ_ONCE(w->sealed) >= kinds[w->kind].objects;
	if (w->nr < kinds[w->kind].objects && w->bytes <= EPOCH_BYTES)
		return false;
	if (w->kind == THREAD)
		ask_for_end();
	return true;
}

/* The fault: an object is written after the critical section of its allocation. */
static void leave_section(struct owner *w)
{
	if (run.fault != LATE || w->kind != THREAD || w->sequence % 1024)
		return;
	rcu_read_unlock();
	msleep(100);
	rcu_read_lock();
}

static void operate(struct owner *w)
{
	struct request rq = {
		.align = KREGION_ALIGN, .nofill = !kinds[w->kind].gfp,
		.gfp = kinds[w->kind].gfp | run.scenario->gfp | __GFP_NOWARN,
	};
	void *p;

	if (has_share(w))
		return;
	run.scenario->shape(w, &rq);
	if (!within_promise(rq.size))
		return;
	p = allocate(&rq);
	w->ops[context()]++;
	if (p) {
		leave_section(w);
		keep(w, &rq, p);
	} else {
		failed(w, &rq);
	}
}

static void operate_atomic(struct owner *w)
{
	rcu_read_lock();
	/* Pairs with epoch_begin(): the target is set. */
	if (smp_load_acquire(&run.open))
		operate(w);
	rcu_read_unlock();
}

/* ---- requests ------------------------------------------------------------ */

/* Up to 64 bytes; the larger ones are of a constant size. */
static void shape_small(struct owner *w, struct request *rq)
{
	const u32 dice = prandom_u32_state(&w->rnd);

	rq->size = dice % 2 ? 32 : 1 + (dice >> 8) % 64;
}

/* The same, half of them nofill. */
static void shape_both(struct owner *w, struct request *rq)
{
	shape_small(w, rq);
	rq->nofill |= prandom_u32_state(&w->rnd) % 2;
}

static void shape_nofill(struct owner *w, struct request *rq)
{
	rq->nofill = true;
	rq->size = 1 + prandom_u32_state(&w->rnd) % 200;
}

static void shape_mixed(struct owner *w, struct request *rq)
{
	const size_t eighth = run.target->attr->block_size / 8;
	const u32 dice = prandom_u32_state(&w->rnd), more = dice >> 8;

	rq->size = 1 + more % 150;
	switch (dice % 64) {
	case 0:
		rq->size = eighth - more % 16;
		break;
	case 1:
		if (!rq->nofill)
			rq->size = eighth + 1 + more % (2 * eighth);
		break;
	case 2:
		if (!rq->nofill)
			rq->size = KREGION_MAX_ALLOC + 1 + more;
		break;
	case 3 ... 9:
		if (!rq->nofill)
			rq->align = 16 << more % (PAGE_SHIFT - 3);
		break;
	case 10 ... 20:
		rq->nofill = true;
		break;
	}
}

/* An object begins with its tag, and is allocated in a critical section. */
static void shape_rotate(struct owner *w, struct request *rq)
{
	shape_both(w, rq);
	rq->size = max(rq->size, sizeof(u64));
	if (rq->nofill)
		return;
	if (!(prandom_u32_state(&w->rnd) % 256))
		rq->size += run.target->attr->block_size / 8;
	if (rq->gfp & __GFP_DIRECT_RECLAIM)
		rq->gfp = GFP_NOWAIT | __GFP_NOWARN;
}

/* ---- owners -------------------------------------------------------------- */

static void thread_body(struct owner *w)
{
	int i;

	down_read(&gate);
	for (i = 0; i < 64 && !READ_ONCE(run.asked); i++)
		(run.scenario->rotate ? operate_atomic : operate)(w);
	up_read(&gate);
	if (READ_ONCE(run.asked)) {
		wake_up(&control_wait);
		wait_event_idle_timeout(threads_wait, !READ_ONCE(run.asked) ||
					kthread_should_stop(), HZ);
	}
}

static int thread(void *data)
{
	struct mem_cgroup *old = set_active_memcg(run.memcg);
	struct owner *w = data;

#ifdef CONFIG_FAULT_INJECTION
	current->make_it_fail = run.scenario->faults;
#endif
	while (!kthread_should_stop()) {
		(run.scenario->body ?: thread_body)(w);
		cond_resched();
	}
	set_active_memcg(old);
	return 0;
}

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct owner *w = container_of(timer, struct owner, timer);
	const u32 tick = run.scenario->tick * NSEC_PER_USEC;

	operate_atomic(w);
	hrtimer_forward_now(timer, ns_to_ktime(tick + prandom_u32_state(&w->rnd) % tick));
	return HRTIMER_RESTART;
}

/* On the CPU of the timer. */
static void timer_start(void *data)
{
	struct owner *w = data;

	hrtimer_start(&w->timer, 0, kinds[w->kind].mode);
}

/* In NMI, from the monitor of a VM or a performance counter. */
static void nmi_operate(void)
{
	struct owner *w = this_cpu_read(nmi_owner);

	if (!w)
		return;
	w->nmis++;
	operate_atomic(w);
}

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	nmi_operate();
	return NMI_HANDLED;
}

#ifdef CONFIG_PERF_EVENTS
static DEFINE_PER_CPU(struct perf_event *, counter);

/* Is an NMI only on some machines. */
static void on_overflow(struct perf_event *event, struct perf_sample_data *data,
			struct pt_regs *regs)
{
	if (in_nmi())
		nmi_operate();
}

static void counters_start(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE, .config = PERF_COUNT_HW_CPU_CYCLES,
		.size = sizeof(attr), .sample_period = 1000000, .pinned = 1,
	};
	struct perf_event *event;
	int cpu;

	for_each_cpu(cpu, &run.cpus) {
		event = perf_event_create_kernel_counter(&attr, cpu, NULL, on_overflow, NULL);
		per_cpu(counter, cpu) = IS_ERR(event) ? NULL : event;
	}
}

static void counters_stop(void)
{
	int cpu;

	for_each_cpu(cpu, &run.cpus) {
		if (per_cpu(counter, cpu))
			perf_event_release_kernel(per_cpu(counter, cpu));
		per_cpu(counter, cpu) = NULL;
	}
}
#else
static void counters_start(void)
{
}

static void counters_stop(void)
{
}
#endif

static bool owner_init(enum kind kind)
{
	struct owner *w = &run.owners[run.nr_owners];

	w->kind = kind;
	w->id = run.nr_owners++;
	prandom_seed_state(&w->rnd, (u64)seed << 32 | w->id);
	w->objects = kvcalloc(kinds[kind].objects, sizeof(*w->objects), GFP_KERNEL);
	return w->objects;
}

static bool owners_init(void)
{
	unsigned int i, kind;

	run.nr_owners = 0;
	run.owners = kvcalloc(threads + NR_KINDS * cpumask_weight(&run.cpus), sizeof(*run.owners),
			      GFP_KERNEL);
	if (!run.owners)
		return false;
	for (i = 0; i < threads; i++)
		if (!owner_init(THREAD))
			return false;
	for (i = 0; i < cpumask_weight(&run.cpus) && run.scenario->tick; i++)
		for (kind = SOFT_TIMER; kind < NR_KINDS; kind++)
			if (!owner_init(kind))
				return false;
	return true;
}

static void owners_free(void)
{
	unsigned int i;

	for (i = 0; i < run.nr_owners; i++) {
		kvfree(run.owners[i].objects);
		kvfree(run.owners[i].churned);
	}
	kvfree(run.owners);
}

static bool threads_start(void)
{
	struct task_struct *task;
	unsigned int i;

	for (i = 0; i < threads; i++) {
		task = kthread_create(thread, &run.owners[i], "kregion_stress/%u", i);
		if (IS_ERR(task))
			return false;
		run.owners[i].task = task;
		set_cpus_allowed_ptr(task, &run.cpus);
		wake_up_process(task);
	}
	return true;
}

static void interrupts_start(void)
{
	struct owner *w = &run.owners[threads];
	unsigned int kind;
	int cpu;

	if (!run.scenario->tick)
		return;
	for_each_cpu(cpu, &run.cpus) {
		for (kind = SOFT_TIMER; kind < NMI_HANDLER; kind++, w++) {
			hrtimer_setup(&w->timer, on_timer, CLOCK_MONOTONIC, kinds[kind].mode);
			smp_call_function_single(cpu, timer_start, w, 1);
			w->started = true;
		}
		if (run.target)
			per_cpu(nmi_owner, cpu) = w;
		w++;
	}
	if (run.target)
		counters_start();
}

static void owners_stop(void)
{
	unsigned int i;
	int cpu;

	for (i = 0; i < run.nr_owners; i++) {
		struct owner *w = &run.owners[i];

		if (w->task)
			kthread_stop(w->task);
		if (w->started)
			hrtimer_cancel(&w->timer);
	}
	counters_stop();
	for_each_cpu(cpu, &run.cpus)
		per_cpu(nmi_owner, cpu) = NULL;
	/* For NMIs that have read it. */
	synchronize_rcu();
}

static struct kregion *page_region(const char *name, unsigned int mode)
{
	static const unsigned int modes[] = { 0, KREGION_F_PERCPU, KREGION_F_SINGLE };
	const struct kregion_attr attr = {
		.flags = modes[mode % ARRAY_SIZE(modes)], .block_size = PAGE_SIZE,
	};
	struct kregion *r = kregion_create(name, &attr);

	if (IS_ERR(r))
		return NULL;
	atomic_long_inc(&run.regions);
	return r;
}

/* ---- churn: regions that come and go ------------------------------------- */

#define CHURN_REGIONS	1024
#define CHURN_OBJECTS	(16384 / CHURN_REGIONS)

/* Verify the objects of the region in @slot, and destroy it. */
static void churn_destroy(struct owner *w, unsigned int slot)
{
	const struct object *o = &w->objects[slot * CHURN_OBJECTS];
	struct kregion_stats st;
	unsigned long bytes = 0;
	unsigned int i;

	for (i = 0; i < CHURN_OBJECTS && o[i].p; i++) {
		object_verify(&o[i]);
		bytes += ALIGN(object_size(&o[i]), KREGION_ALIGN);
	}
	kregion_stats(w->churned[slot], &st);
	if (st.bytes_used != bytes)
		error(INEXACT, "%lu bytes used, %lu counted", st.bytes_used, bytes);
	kregion_destroy(w->churned[slot]);
	w->churned[slot] = NULL;
}

static void churn_create(struct owner *w, unsigned int slot)
{
	const u32 dice = prandom_u32_state(&w->rnd);
	struct object *o = &w->objects[slot * CHURN_OBJECTS];
	struct kregion *r = page_region("stress-churn", dice);
	unsigned int i;

	memset(o, 0, CHURN_OBJECTS * sizeof(*o));
	w->churned[slot] = r;
	if (!r)
		return;
	for (i = 0; i < (dice >> 8) % CHURN_OBJECTS; i++, o++) {
		const size_t size = 1 + prandom_u32_state(&w->rnd) % 64;

		o->p = kregion_alloc(r, size, GFP_KERNEL);
		w->ops[TASK]++;
		if (!o->p)
			break;
		o->tag = (u64)w->id << 52 | (u64)size << 32 | w->sequence++;
		object_fill(o);
	}
}

static void churn_body(struct owner *w)
{
	const unsigned int slot = prandom_u32_state(&w->rnd) % CHURN_REGIONS;

	if (!w->churned)
		w->churned = kvcalloc(CHURN_REGIONS, sizeof(*w->churned), GFP_KERNEL);
	if (!w->churned)
		return;
	if (w->churned[slot])
		churn_destroy(w, slot);
	else
		churn_create(w, slot);
}

static void churn_end(void)
{
	unsigned int i, slot;

	for (i = 0; i < threads; i++)
		for (slot = 0; run.owners[i].churned && slot < CHURN_REGIONS; slot++)
			if (run.owners[i].churned[slot])
				churn_destroy(&run.owners[i], slot);
}

/* ---- watch: statistics are read while a region is dropped and reset ------ */

#define WATCH_OBJECTS	16

/* The counts of another owner's region, which only grow. */
static void watch_read(struct owner *w)
{
	/* Pairs with watch_body(). */
	struct kregion *r = smp_load_acquire(&run.owners[(w->id + 1) % threads].watched);
	struct kregion_stats st;

	if (!r)
		return;
	kregion_stats(r, &st);
	if (st.drops + st.resets < w->seen)
		error(INEXACT, "%lu drops and %lu resets after %lu", st.drops, st.resets, w->seen);
	w->seen = st.drops + st.resets;
}

static void watch_body(struct owner *w)
{
	unsigned int i;

	if (!w->watched)
		/* Pairs with watch_read(). */
		smp_store_release(&w->watched, page_region("stress-watch", w->id));
	if (!w->watched)
		return;
	for (i = 0; i < WATCH_OBJECTS; i++) {
		w->ops[TASK]++;
		if (!kregion_alloc(w->watched, PAGE_SIZE / 8, GFP_KERNEL))
			break;
		watch_read(w);
	}
	if (prandom_u32_state(&w->rnd) % 2)
		kregion_reset(w->watched);
	else
		kregion_drop(w->watched);
}

static void watch_end(void)
{
	unsigned int i;

	for (i = 0; i < threads; i++)
		kregion_destroy(run.owners[i].watched);
}

/* ---- rotate: generations are sealed while all allocate ------------------- */

static void span_verify(const struct kregion_span *span)
{
	const char *p = span->start, *end = p + span->bytes;

	while (p < end) {
		const struct object o = { *(const u64 *)p, (void *)p };
		const size_t size = ALIGN(object_size(&o), KREGION_ALIGN);
		const u32 id = o.tag >> 52;
		struct owner *w;

		if (id >= run.nr_owners || !size || size > end - p) {
			error(DAMAGED, "%#llx is no tag of an object", o.tag);
			return;
		}
		object_verify(&o);
		w = &run.owners[id];
		w->found++;
		w->sum += (u32)o.tag - w->sealed;
		p += size;
	}
}

/*
 * The objects of @w follow those of the last generation. The sum is that of
 * 0 to found - 1.
 */
static void sequence_verify(struct owner *w)
{
	const u32 n = w->found;

	if (n && w->sum != (u64)n * (n - 1) / 2)
		error(DAMAGED, "%u objects of owner %u are not those from %u on, by a sum of %llu",
		      n, w->id, w->sealed, w->sum);
	w->found = 0;
	w->sum = 0;
	WRITE_ONCE(w->sealed, w->sealed + n);
}

static void generation_verify(void)
{
	struct kregion_gen *g = kregion_rotate(run.target->r);
	struct kregion_span span = {};
	unsigned int i;

	if (IS_ERR(g)) {
		error(MISSING, "no generation: %ld", PTR_ERR(g));
		return;
	}
	run.rotates++;
	while (kregion_gen_next(g, &span)) {
		span_verify(&span);
		cond_resched();
	}
	for (i = 0; i < run.nr_owners; i++)
		sequence_verify(&run.owners[i]);
	if (run.rotates % 4)
		kregion_gen_recycle(g);
	else
		kregion_gen_free(g);
}

/* The last generation of an epoch; all owners are excluded. */
static void rotate_end(void)
{
	unsigned int i;

	generation_verify();
	for (i = 0; i < run.nr_owners; i++)
		if (run.owners[i].sealed != run.owners[i].sequence)
			error(DAMAGED, "owner %u: %u objects, %u in generations", i,
			      run.owners[i].sequence, run.owners[i].sealed);
}

/* ---- epochs -------------------------------------------------------------- */

/* Compare the statistics of an idle region with what its owners counted. */
static void target_check(struct target *t, unsigned long bytes, unsigned long slack)
{
	struct kregion_stats st;

	kregion_stats(t->r, &st);
	if (st.bytes_used < bytes || st.bytes_used > bytes + slack)
		error(INEXACT, "%lu bytes used, %lu counted", st.bytes_used, bytes);
	if (st.failed_nomem + st.failed_limit != t->failed[MEMORY] ||
	    st.failed_nofill != t->failed[NOFILL] || st.failed_size != t->failed[SIZE])
		error(INEXACT, "failed %lu + %lu, %lu, %lu; %lu, %lu, %lu counted",
		      st.failed_nomem, st.failed_limit, st.failed_nofill, st.failed_size,
		      t->failed[MEMORY], t->failed[NOFILL], t->failed[SIZE]);
	if (t->attr->limit && st.bytes_held > t->attr->limit)
		error(HELD, "%lu bytes held, the limit is %zu", st.bytes_held, t->attr->limit);
	if (run.scenario->lost && st.bytes_lost > st.blocks_full * run.scenario->lost)
		error(INEXACT, "%lu bytes lost in %lu full blocks", st.bytes_lost, st.blocks_full);
}

/* Drop and reset in turn; a drop frees all memory but the reserve. */
static void target_end(struct target *t)
{
	struct kregion_stats st;

	if (run.epochs / run.nr_targets % 2) {
		kregion_reset(t->r);
		return;
	}
	kregion_drop(t->r);
	kregion_stats(t->r, &st);
	if (!t->attr->reserve && st.bytes_held)
		error(HELD, "%lu bytes held after a drop", st.bytes_held);
}

/* Verify all objects; the owners are excluded or stopped. */
static void epoch_verify(void)
{
	unsigned long bytes = 0, slack = 0;
	unsigned int i, k;

	for (i = 0; i < run.nr_owners; i++) {
		struct owner *w = &run.owners[i];

		bytes += w->bytes;
		slack += w->slack;
		owner_verify(w);
		for (k = 0; k < NR_FAILURES; k++) {
			if (run.target)
				run.target->failed[k] += w->failed[k];
			w->failed[k] = 0;
		}
	}
	run.epochs++;
	if (run.scenario->rotate)
		rotate_end();
	if (run.target) {
		target_check(run.target, bytes, slack);
		target_end(run.target);
	} else {
		replica_reset();
	}
}

static void epoch_begin(void)
{
	struct target *t;

	if (run.nr_targets) {
		t = &run.targets[run.epochs % run.nr_targets];
		run.promised = run.scenario->promise && run.epochs / run.nr_targets % 4 < 2;
		atomic_long_set(&run.budget, t->attr->reserve);
		if (run.promised && kregion_reserve(t->r, t->attr->reserve, GFP_KERNEL))
			error(PROMISE, "no reserve");
		run.target = t;
	}
	WRITE_ONCE(run.asked, false);
	/* Pairs with operate_atomic(). */
	smp_store_release(&run.open, true);
}

static void epoch_next(void)
{
	down_write(&gate);
	WRITE_ONCE(run.open, false);
	synchronize_rcu_expedited();
	epoch_verify();
	epoch_begin();
	up_write(&gate);
	wake_up_all(&threads_wait);
}

/* ---- scenarios ----------------------------------------------------------- */

/* Have threads migrate, at any point of an allocation. */
static void shuffle(void)
{
	unsigned int i, n;
	int cpu;

	for (i = 0; i < threads; i++) {
		n = prandom_u32_state(&run.rnd) % cpumask_weight(&run.cpus);
		for_each_cpu(cpu, &run.cpus)
			if (!n--)
				break;
		if (!set_cpus_allowed_ptr(run.owners[i].task, cpumask_of(cpu)))
			run.moves++;
	}
}

#ifdef CONFIG_HOTPLUG_CPU
/* The last CPU goes off line and comes back. */
static void hotplug_step(void)
{
	const int cpu = cpumask_last(&run.cpus);

	if (run.epochs % 4)
		return;
	if (!(cpu_online(cpu) ? remove_cpu(cpu) : add_cpu(cpu)))
		run.plugs++;
}

static void hotplug_end(void)
{
	const int cpu = cpumask_last(&run.cpus);

	if (!cpu_online(cpu) && add_cpu(cpu))
		error(MISSING, "CPU %d does not come back", cpu);
	if (run.scenario->step == hotplug_step && !run.plugs)
		error(MISSING, "CPU %d stays on line", cpu);
}
#else
#define hotplug_step	NULL

static void hotplug_end(void)
{
}
#endif

#define SHARED		0
#define PERCPU		KREGION_F_PERCPU
#define PAGES		KREGION_F_PAGES
#define VMALLOC		KREGION_F_VMALLOC
#define ACCOUNT		KREGION_F_ACCOUNT
#define GFP_GIVE_UP	__GFP_NORETRY	/* no OOM killer */

static const struct scenario scenarios[] = {
	{
		.name = "bump", .shape = shape_small, .epoch = 100, .tick = 500, .lost = 64,
		.attr = {
			{ PERCPU, SZ_64K }, { SHARED, SZ_64K },
			{ PERCPU, PAGE_SIZE }, { SHARED, PAGE_SIZE },
		},
	},
	{
		.name = "mixed", .shape = shape_mixed, .epoch = 100, .tick = 500,
		.attr = {
			{ PERCPU, SZ_64K }, { SHARED, SZ_64K },
			{ PERCPU | VMALLOC, SZ_64K }, { SHARED | PAGES, SZ_16K },
		},
	},
	{
		.name = "contexts", .shape = shape_both, .epoch = 100, .tick = 100,
		.one_cpu = true,
		.attr = {
			{ PERCPU, SZ_64K, 0, SZ_16K }, { SHARED, SZ_64K, 0, SZ_16K },
			{ PERCPU, PAGE_SIZE, 0, SZ_16K }, { SHARED, PAGE_SIZE, 0, SZ_16K },
		},
	},
	{
		.name = "reserve", .shape = shape_nofill, .epoch = 20, .tick = 200,
		.promise = true,
		.must_fail = offsetof(struct kregion_stats, failed_nofill),
		.attr = {
			{ PERCPU, PAGE_SIZE, 0, SZ_256K }, { SHARED, PAGE_SIZE, 0, SZ_256K },
			{ PERCPU, SZ_64K, 0, SZ_256K }, { SHARED, SZ_64K, 0, SZ_256K },
		},
	},
	{
		.name = "epochs", .shape = shape_both, .epoch = 1, .tick = 200,
		.attr = {
			{ PERCPU, PAGE_SIZE, 0, SZ_4K }, { SHARED, PAGE_SIZE, 0, SZ_4K },
			{ PERCPU, SZ_64K }, { SHARED, PAGE_SIZE },
		},
	},
	{
		.name = "limits", .shape = shape_both, .epoch = 20, .tick = 200, .faults = true,
		.must_fail = offsetof(struct kregion_stats, failed_limit),
		.attr = {
			{ PERCPU, PAGE_SIZE, SZ_256K }, { SHARED, PAGE_SIZE, SZ_256K },
			{ PERCPU, SZ_64K, SZ_512K }, { SHARED, SZ_64K },
		},
	},
	{
		.name = "hotplug", .shape = shape_both, .epoch = 50, .tick = 500,
		.step = hotplug_step,
		.attr = {
			{ PERCPU, PAGE_SIZE, 0, SZ_16K }, { PERCPU, SZ_64K, 0, SZ_16K },
			{ SHARED, PAGE_SIZE },
		},
	},
	{
		.name = "rotate", .shape = shape_rotate, .epoch = 500, .tick = 200, .rotate = true,
		.attr = {
			{ PERCPU, PAGE_SIZE, 0, SZ_16K }, { SHARED, PAGE_SIZE, 0, SZ_16K },
			{ PERCPU, SZ_64K, 0, SZ_16K }, { SHARED, SZ_64K, 0, SZ_16K },
		},
	},
	{ .name = "churn", .body = churn_body, .epoch = 100 },
	{ .name = "watch", .body = watch_body, .epoch = 100 },
	{
		.name = "hog", .shape = shape_mixed, .epoch = 100, .tick = 500, .gfp = GFP_GIVE_UP,
		.attr = { { PERCPU, SZ_64K }, { SHARED, SZ_64K }, { SHARED | PAGES, SZ_1M } },
	},
	{
		.name = "memcg", .shape = shape_mixed, .epoch = 100, .tick = 500,
		.gfp = GFP_GIVE_UP,
		.must_fail = offsetof(struct kregion_stats, failed_nomem),
		.attr = { { PERCPU | ACCOUNT, SZ_64K }, { SHARED | ACCOUNT, SZ_64K } },
	},
	/* Not among all. */
	{ .name = "replica", .shape = shape_small, .epoch = 100, .tick = 100 },
};

#define replica_scenario (&scenarios[ARRAY_SIZE(scenarios) - 1])

static bool targets_create(void)
{
	struct target *t;

	run.nr_targets = 0;
	memset(run.targets, 0, sizeof(run.targets));
	for (t = run.targets; t < &run.targets[TARGETS]; t++) {
		t->attr = &run.scenario->attr[run.nr_targets];
		if (!t->attr->block_size)
			break;
		t->r = kregion_create("stress", t->attr);
		if (IS_ERR(t->r))
			return false;
		run.nr_targets++;
	}
	atomic_long_set(&run.regions, run.nr_targets);
	return true;
}

/* Destroy the regions, and add up their failures. */
static void targets_destroy(struct kregion_stats *sum)
{
	struct kregion_stats st;
	unsigned int i;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < run.nr_targets; i++) {
		kregion_stats(run.targets[i].r, &st);
		sum->failed_nomem += st.failed_nomem;
		sum->failed_limit += st.failed_limit;
		sum->failed_size += st.failed_size;
		sum->failed_nofill += st.failed_nofill;
		sum->drops += st.drops;
		sum->resets += st.resets;
		kregion_destroy(run.targets[i].r);
	}
}

/* Wait for the end of the epoch: its time is over, or an owner asks for it. */
static void epoch_wait(void)
{
	const unsigned long end = jiffies + msecs_to_jiffies(run.scenario->epoch);

	do {
		shuffle();
		if (run.scenario->rotate)
			generation_verify();
		else
			wait_event_interruptible_timeout(control_wait, READ_ONCE(run.asked), 1);
	} while (time_before(jiffies, end) && !READ_ONCE(run.asked) && !signal_pending(current));
}

static void control(void)
{
	const unsigned long end = jiffies + duration * HZ;

	while (time_before(jiffies, end) && !nr_errors() && !signal_pending(current)) {
		epoch_wait();
		epoch_next();
		if (run.scenario->step)
			run.scenario->step();
	}
}

static void report(const struct kregion_stats *sum)
{
	unsigned long ops[NR_CONTEXTS] = {}, all = 0, nmis = 0;
	unsigned int i, k;

	for (i = 0; i < run.nr_owners; i++) {
		for (k = 0; k < NR_CONTEXTS; k++)
			ops[k] += run.owners[i].ops[k];
		nmis += run.owners[i].nmis;
	}
	for (k = 0; k < NR_CONTEXTS; k++) {
		all += ops[k];
		if (!ops[k] && (k == TASK || (k < NMI && run.scenario->tick)))
			error(MISSING, "no operation in context %s", context_names[k]);
	}
	if (run.scenario->must_fail &&
	    !*(unsigned long *)((char *)sum + run.scenario->must_fail))
		error(MISSING, "no request failed");
	if (run.scenario->rotate && run.rotates <= run.epochs)
		error(MISSING, "no rotate beside allocations");
	pr_info("%s: operations %lu task %lu softirq %lu hardirq %lu nmi %lu nmis %lu failed nomem %lu limit %lu size %lu nofill %lu epochs %lu rotates %lu drops %lu resets %lu regions %lu moves %lu plugs %lu errors damaged %d inexact %d held %d promise %d missing %d\n",
		run.scenario->name, all, ops[TASK], ops[SOFTIRQ], ops[HARDIRQ], ops[NMI], nmis,
		sum->failed_nomem, sum->failed_limit, sum->failed_size, sum->failed_nofill,
		run.epochs, run.rotates, sum->drops, sum->resets, atomic_long_read(&run.regions),
		run.moves, run.plugs, atomic_read(&run.errors[DAMAGED]),
		atomic_read(&run.errors[INEXACT]), atomic_read(&run.errors[HELD]),
		atomic_read(&run.errors[PROMISE]),
		atomic_read(&run.errors[MISSING]));
}

static int scenario_run(const struct scenario *s)
{
	struct kregion_stats sum;
	bool ready;

	run.scenario = s;
	run.target = NULL;
	run.epochs = 0;
	run.rotates = 0;
	run.moves = 0;
	run.plugs = 0;
	cpumask_copy(&run.cpus, s->one_cpu ? cpumask_of(cpumask_last(cpu_online_mask)) :
					     cpu_online_mask);
	prandom_seed_state(&run.rnd, seed);
	replica_reset();
	ready = owners_init() && targets_create();
	if (ready) {
		epoch_begin();
		interrupts_start();
		ready = threads_start();
	}
	if (ready)
		control();
	WRITE_ONCE(run.open, false);
	owners_stop();
	if (ready) {
		hotplug_end();
		churn_end();
		watch_end();
		epoch_verify();
	}
	targets_destroy(&sum);
	if (ready)
		report(&sum);
	owners_free();
	return ready ? 0 : -ENOMEM;
}

/* ---- module -------------------------------------------------------------- */

static bool chosen(const struct scenario *s)
{
	const size_t len = strlen(s->name);
	const char *at = scenario;

	if (!strcmp(scenario, "all"))
		return s != replica_scenario;
	for (; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, s->name, len) && (!at[len] || at[len] == ','))
			return true;
	}
	return false;
}

static bool parameters_ok(void)
{
	const int fault = match_string(fault_names, ARRAY_SIZE(fault_names), busted);
	unsigned int i, n = 0;

	if (fault < 0)
		return false;
	run.fault = fault;
	if (fault)
		scenario = fault == LATE ? "rotate" : "replica";
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		n += chosen(&scenarios[i]);
	threads = threads ?: 2 * num_online_cpus();
	seed = seed ?: get_random_u32();
	return n && threads < 1024;
}

static void print_parameters(const char *head, const char *tail)
{
	pr_info("%s: scenario=%s busted=%s duration=%u threads=%u seed=%u%s\n", head, scenario,
		busted, duration, threads, seed, tail);
}

static int __init stress_init(void)
{
	unsigned int i;
	int err;

	if (!parameters_ok()) {
		pr_err("no such scenario or fault, or too many threads\n");
		return -EINVAL;
	}
	replica_blocks = vzalloc(array_size(REPLICA_BLOCKS, sizeof(*replica_blocks)));
	if (!replica_blocks)
		return -ENOMEM;
	err = nmi_handler_add(on_nmi);
	if (err)
		goto out;
	run.memcg = get_mem_cgroup_from_mm(current->mm);
	print_parameters("start", "");
	for (i = 0; i < ARRAY_SIZE(scenarios) && !err; i++)
		if (chosen(&scenarios[i]))
			err = scenario_run(&scenarios[i]);
	print_parameters("end", err || nr_errors() ? ": FAILURE" : ": SUCCESS");
	if (run.memcg)
		mem_cgroup_put(run.memcg);
	if (err)
		nmi_handler_remove(NULL);
out:
	vfree(replica_blocks);
	return err;
}

static void __exit stress_exit(void)
{
	nmi_handler_remove(NULL);
}

module_init(stress_init);
module_exit(stress_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Torture test of the region allocator");
