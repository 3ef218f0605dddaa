// SPDX-License-Identifier: GPL-2.0
/*
 * Plants one defect for a detector to find: insmod kregion_defect.ko kind=KIND.
 * Defects of memory are in memory of a region. Loading the module mostly fails;
 * the log has the report.
 */

#include <linux/debugobjects.h>
#include <linux/delay.h>
#include <linux/kregion.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

static char *kind = "";
module_param(kind, charp, 0);

static DEFINE_SPINLOCK(lock_a);
static DEFINE_SPINLOCK(lock_b);

static noinline void plant_lockdep(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);
	spin_lock(&lock_b);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

/* Calls that may sleep, under a spinlock, though the current block has room. */
static void *use_alloc(struct kregion *r)
{
	return kregion_alloc(r, 64, GFP_KERNEL);
}

static void *use_nothing(struct kregion *r)
{
	size_t size = 0;

	OPTIMIZER_HIDE_VAR(size);
	return kregion_alloc(r, size, GFP_KERNEL);
}

static void *use_zalloc(struct kregion *r)
{
	return kregion_zalloc(r, 64, GFP_KERNEL);
}

static void *use_calloc(struct kregion *r)
{
	return kregion_calloc(r, 4, 16, GFP_KERNEL);
}

static void *use_aligned(struct kregion *r)
{
	return kregion_alloc_aligned(r, 64, 64, GFP_KERNEL);
}

static void *use_memdup(struct kregion *r)
{
	return kregion_memdup(r, "text", 5, GFP_KERNEL);
}

static void *use_strdup(struct kregion *r)
{
	return kregion_strdup(r, "text", GFP_KERNEL);
}

static void *use_asprintf(struct kregion *r)
{
	return kregion_asprintf(r, GFP_KERNEL, "%d", 5);
}

static void *use_reserve(struct kregion *r)
{
	return ERR_PTR(kregion_reserve(r, 0, GFP_KERNEL));
}

static const struct {
	const char *name;
	void *(*use)(struct kregion *r);
	unsigned int flags;
} sleeps[] = {
	{ "alloc", use_alloc }, { "alloc of nothing", use_nothing }, { "zalloc", use_zalloc },
	{ "calloc", use_calloc }, { "alloc_aligned", use_aligned }, { "memdup", use_memdup },
	{ "strdup", use_strdup }, { "asprintf", use_asprintf }, { "reserve", use_reserve },
	{ "alloc, percpu", use_alloc, KREGION_F_PERCPU },
	{ "alloc, single", use_alloc, KREGION_F_SINGLE },
	{ "alloc, debug", use_alloc, KREGION_F_DEBUG },
};

static noinline void plant_sleep(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sleeps); i++) {
		const struct kregion_attr attr = { .flags = sleeps[i].flags };
		struct kregion *r = kregion_create("defect", &attr);

		if (IS_ERR(r))
			return;
		/* The kernel reports one of them per second. */
		msleep(1100);
		pr_info("kregion_defect: under a spinlock: %s\n", sleeps[i].name);
		spin_lock(&lock_a);
		if (kregion_alloc(r, 8, GFP_ATOMIC))
			sleeps[i].use(r);
		spin_unlock(&lock_a);
		kregion_destroy(r);
	}
}

/* A write behind an object, which only the shadow of a debug region shows. */
static noinline void plant_kasan(unsigned int backing)
{
	const struct kregion_attr attr = { .flags = KREGION_F_DEBUG | backing };
	struct kregion *r = kregion_create("defect", &attr);
	char *p = kregion_alloc(r, 64, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	if (p)
		WRITE_ONCE(p[64 + 8], 1);
	kregion_destroy(r);
}

/* The same for the checks of KREGION_F_DEBUG alone. */
static noinline void plant_guard(void)
{
	struct kregion *r = kregion_create("defect", &(struct kregion_attr) {
		.flags = KREGION_F_DEBUG, .block_size = SZ_16K,
	});
	char *p = kregion_alloc(r, 60, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	if (p)
		WRITE_ONCE(p[60], 1);
	kregion_destroy(r);
}

static noinline void plant_leak(void)
{
	void *p = kmalloc(1234, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
}

/* No leak: kmemleak scans the memory of regions. */
static struct kregion *kept;

static noinline void plant_held(void)
{
	void **p;

	kept = kregion_create("defect", NULL);
	p = kregion_alloc(kept, sizeof(*p), GFP_KERNEL);
	if (p)
		*p = kmalloc(2345, GFP_KERNEL);
}

/* A live work item is freed with its memory. */
static void nothing(struct work_struct *work)
{
}

static noinline void plant_object(void)
{
	struct delayed_work *work = kmalloc(sizeof(*work), GFP_KERNEL);

	if (!work)
		return;
	INIT_DELAYED_WORK(work, nothing);
	schedule_delayed_work(work, HZ / 10);
	kfree(work);
	msleep(200);
}

/* A region whose caller serializes, without a caller that does. */
static atomic_t racing;

static int race(void *region)
{
	unsigned int i;

	atomic_inc(&racing);
	while (atomic_read(&racing) < 2)
		cond_resched();
	for (i = 0; i < 400000; i++)
		kregion_alloc(region, 8, GFP_KERNEL);
	return 0;
}

static noinline void plant_race(void)
{
	struct kregion *r = kregion_create("defect", &(struct kregion_attr) {
		.flags = KREGION_F_SINGLE, .block_size = SZ_4M,
	});
	struct task_struct *other = kthread_create(race, r, "kregion_race");

	if (!IS_ERR(other)) {
		get_task_struct(other);
		wake_up_process(other);
		race(r);
		kthread_stop(other);
		put_task_struct(other);
	}
	kregion_destroy(r);
}

static int __init defect_init(void)
{
	if (!strcmp(kind, "lockdep"))
		plant_lockdep();
	else if (!strcmp(kind, "sleep"))
		plant_sleep();
	else if (!strcmp(kind, "kasan"))
		plant_kasan(KREGION_F_PAGES);
	else if (!strcmp(kind, "kasan-vmalloc"))
		plant_kasan(KREGION_F_VMALLOC);
	else if (!strcmp(kind, "guard"))
		plant_guard();
	else if (!strcmp(kind, "leak"))
		plant_leak();
	else if (!strcmp(kind, "held"))
		plant_held();
	else if (!strcmp(kind, "object"))
		plant_object();
	else if (!strcmp(kind, "race"))
		plant_race();
	else if (!strcmp(kind, "warn"))
		WARN(1, "a planted warning\n");
	else
		return -EINVAL;
	/*
	 * A module that fails to load may be loaded again by another system
	 * call.
	 */
	return strcmp(kind, "held") && strcmp(kind, "sleep") ? -ECANCELED : 0;
}

static void __exit defect_exit(void)
{
	kregion_destroy(kept);
}

module_init(defect_init);
module_exit(defect_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Planted defects for the detectors of the kregion tests");
