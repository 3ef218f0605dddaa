// SPDX-License-Identifier: GPL-2.0
/* The kernel's side of a program: kmalloc, vmalloc, work, warnings. */
#include <pthread.h>

#include "kernel.h"

#include <linux/irq_work.h>
#include <linux/list_sort.h>
#include <linux/siphash.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

int shim_quiet, shim_warnings;
long shim_blocks, shim_bytes, shim_fills;
u64 shim_hash_mask = ~0ULL;

void shim_die(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

void shim_warn(void)
{
	__atomic_fetch_add(&shim_warnings, 1, __ATOMIC_RELAXED);
}

void shim_block(int nr, long bytes)
{
	__atomic_fetch_add(&shim_blocks, nr, __ATOMIC_RELAXED);
	__atomic_fetch_add(&shim_bytes, bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&shim_fills, nr > 0, __ATOMIC_RELAXED);
}

/* debugfs.c needs more of the kernel than this. */
void kregion_debugfs_init(void);
void kregion_debugfs_exit(void);

void kregion_debugfs_init(void)
{
}

void kregion_debugfs_exit(void)
{
}

/* A stable merge sort, as that of the kernel. */
void list_sort(void *priv, struct list_head *head, list_cmp_func_t cmp)
{
	struct list_head half[2], *entry;
	unsigned int n = 0, i;
	bool second;

	INIT_LIST_HEAD(&half[0]);
	INIT_LIST_HEAD(&half[1]);
	for (entry = head->next; entry != head; entry = entry->next)
		n++;
	if (n < 2)
		return;
	for (i = 0; i < n; i++) {
		entry = head->next;
		list_del(entry);
		list_add_tail(entry, &half[i >= n / 2]);
	}
	list_sort(priv, &half[0], cmp);
	list_sort(priv, &half[1], cmp);
	for (i = 0; i < n; i++) {
		second = list_empty(&half[0]) || (!list_empty(&half[1]) &&
						  cmp(priv, half[0].next, half[1].next) > 0);
		entry = half[second].next;
		list_del(entry);
		list_add_tail(entry, head);
	}
}

/* ---- memory -------------------------------------------------------------- */

#define VMALLOC_MAX	(32L << 20)

static long vmalloc_bytes;

/* Not cleared: filled with what no caller expects. */
static void *take(size_t align, size_t size)
{
	void *p;

	return posix_memalign(&p, align, size) ? NULL : memset(p, SHIM_DIRT, size);
}

void *kmalloc(size_t size, gfp_t gfp)
{
	might_alloc(gfp);
	return shim_fail() ? NULL : take(64, size);
}

void *kzalloc(size_t size, gfp_t gfp)
{
	void *p = kmalloc(size, gfp);

	return p ? memset(p, 0, size) : NULL;
}

long shim_vmalloc_used(void)
{
	return vmalloc_bytes;
}

/* A page in front holds the size. */
void *__vmalloc(size_t size, gfp_t gfp)
{
	size_t *p = NULL;

	SHIM_CHECK(gfpflags_allow_blocking(gfp));
	might_alloc(gfp);
	if (shim_fail())
		return NULL;
	if (__atomic_add_fetch(&vmalloc_bytes, size, __ATOMIC_RELAXED) <= VMALLOC_MAX)
		p = take(PAGE_SIZE, PAGE_SIZE + size);
	if (!p) {
		__atomic_fetch_sub(&vmalloc_bytes, size, __ATOMIC_RELAXED);
		shim_short();
		return NULL;
	}
	*p = size;
	return (char *)p + PAGE_SIZE;
}

void vfree(const void *p)
{
	size_t *head = (size_t *)((char *)p - PAGE_SIZE);

	might_sleep();
	__atomic_fetch_sub(&vmalloc_bytes, *head, __ATOMIC_RELAXED);
	free(head);
}

/* The memory replaces the pages, which vfree() would free. */
void *shim_vmap(struct page **pages, unsigned int n)
{
	void *p = __vmalloc(n * PAGE_SIZE, GFP_KERNEL);

	for (; p && n; n--)
		__free_page(pages[n - 1]);
	if (p)
		kvfree(pages);
	return p;
}

/* ---- work ---------------------------------------------------------------- */

static struct llist_head irq_works;
static pthread_mutex_t irq_lock = PTHREAD_MUTEX_INITIALIZER;

void irq_work_queue(struct irq_work *work)
{
	if (!xchg(&work->pending, 1))
		llist_add(&work->node, &irq_works);
}

static void run_irq_works(void)
{
	struct llist_node *node, *next;

	pthread_mutex_lock(&irq_lock);
	for (node = llist_del_all(&irq_works); node; node = next) {
		struct irq_work *work = container_of(node, struct irq_work, node);

		next = node->next;
		(void)xchg(&work->pending, 0);
		work->func(work);
	}
	pthread_mutex_unlock(&irq_lock);
}

void irq_work_sync(struct irq_work *work)
{
	might_sleep();
	(void)work;
	run_irq_works();
}

static struct work_struct *works, **works_end = &works, *running;
static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;

void shim_queue_work(struct work_struct *work)
{
	if (xchg(&work->pending, 1))
		return;
	pthread_mutex_lock(&work_lock);
	work->next = NULL;
	*works_end = work;
	works_end = &work->next;
	pthread_mutex_unlock(&work_lock);
}

/* Unlink @work, or the first one, whose function may queue it again. */
static struct work_struct *work_take(struct work_struct *work)
{
	struct work_struct **at = &works;

	while (*at && work && *at != work)
		at = &(*at)->next;
	work = *at;
	if (work) {
		*at = work->next;
		if (!*at)
			works_end = at;
		(void)xchg(&work->pending, 0);
	}
	return work;
}

/* Interrupts, then the first work; false if there is none. One caller at a time. */
bool shim_run_work(void)
{
	struct work_struct *work;

	run_irq_works();
	pthread_mutex_lock(&work_lock);
	work = work_take(NULL);
	running = work;
	pthread_mutex_unlock(&work_lock);
	if (!work)
		return false;
	work->func(work);
	pthread_mutex_lock(&work_lock);
	running = NULL;
	pthread_mutex_unlock(&work_lock);
	return true;
}

void cancel_delayed_work_sync(struct delayed_work *dwork)
{
	bool busy;

	might_sleep();
	do {
		pthread_mutex_lock(&work_lock);
		busy = running == &dwork->work;
		work_take(&dwork->work);
		pthread_mutex_unlock(&work_lock);
		if (busy)
			sched_yield();
	} while (busy);
}
