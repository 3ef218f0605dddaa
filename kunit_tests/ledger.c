// SPDX-License-Identifier: GPL-2.0
/*
 * Double entry: every case compares the module's trace events of regions and
 * blocks with the kernel's events of pages, vmalloc areas and slab memory.
 *
 * The ledger tracks pages and vmalloc areas that the task of the case allocates
 * until they are freed, wherever that is. The event of a block claims its pages
 * out of the latest requests of the task. Requests of interrupts and of other
 * threads are not tracked, nor are areas before Linux 6.3.
 */

#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/kallsyms.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/vmalloc.h>

#include "../kmod/internal.h"
#include "test.h"

/* Regions whose charges are checked, by id. */
#define ACCOUNTS	4096
/*
 * Requests between two blocks; with more, the pages of the block are not
 * tracked.
 */
#define REQUESTS	8192

/* Entries of a hash table; an address without a free entry is not tracked. */
#define ENTRIES		2048
/* The latest vmalloc areas, one of which is that of a block. */
#define LATEST		8U

struct area {
	unsigned long addr, size;
};

struct account {
	u64 id;
	atomic_long_t bytes;
};

struct request {
	unsigned long pfn;
	unsigned int order;
	gfp_t gfp;
};

static struct {
	const struct module *module;	/* NULL: built in */
	struct task_struct *task;
	struct request *requests;
	unsigned int nr_requests;
	unsigned long pfns;
	unsigned long *taken;		/* a bit a page: by a request of the task, not free yet */
	unsigned long *blocks;		/* a bit a page: part of a block */
	atomic_long_t block_pages;
	bool follow_areas;
	struct area latest[LATEST];	/* of vmalloc, the task's */
	unsigned int nr_latest;
	unsigned long areas[ENTRIES];	/* of blocks, by address */
	atomic_long_t nr_areas;
	unsigned long wrong_blocks;	/* events of another size than the pages */
	unsigned int patience;		/* milliseconds left to wait for deferred frees */

	struct account *accounts;
	atomic_long_t bytes;
	atomic_long_t wrong_regions;	/* charged for other than their blocks */

	unsigned long objects[ENTRIES];	/* slab objects of the module, by address */
	atomic_long_t slab;
	size_t watched;			/* also those of this size that the task gets */
	atomic_long_t percpu;		/* requests of the module */
	unsigned long percpu_freed;	/* by the task */

	struct watch {
		unsigned int order, n;
		gfp_t any, all;		/* bits of these requests */
	} watch;
	void (*hook)(void *arg);
	void *hook_arg;
} ledger;

/* ---- pages --------------------------------------------------------------- */

static bool mine(void)
{
	return in_task() && current == READ_ONCE(ledger.task);
}

static void probe_page_alloc(void *data, struct page *page, unsigned int order, gfp_t gfp,
			     int migratetype)
{
	unsigned long pfn;
	unsigned int i;

	if (!page || !mine())
		return;
	if (ledger.hook) {
		/* Since 7.3, probes may be preempted. */
		preempt_disable();
		ledger.hook(ledger.hook_arg);
		preempt_enable();
	}
	if (order == ledger.watch.order) {
		ledger.watch.n++;
		ledger.watch.any |= gfp;
		ledger.watch.all &= gfp;
	}
	/* Page tables and most of the slab. */
	if (gfp & (__GFP_COMP | __GFP_ZERO))
		return;
	pfn = page_to_pfn(page);
	if (pfn + (1UL << order) > ledger.pfns)
		return;
	if (ledger.nr_requests < REQUESTS)
		ledger.requests[ledger.nr_requests] = (struct request){ pfn, order, gfp };
	ledger.nr_requests++;
	for (i = 0; i < 1U << order; i++)
		set_bit(pfn + i, ledger.taken);
}

static void probe_page_free(void *data, struct page *page, unsigned int order)
{
	const unsigned long pfn = page_to_pfn(page);
	unsigned int i;

	if (pfn + (1UL << order) > ledger.pfns)
		return;
	for (i = 0; i < 1U << order; i++) {
		if (test_bit(pfn + i, ledger.taken))
			clear_bit(pfn + i, ledger.taken);
		if (test_bit(pfn + i, ledger.blocks) && test_and_clear_bit(pfn + i, ledger.blocks))
			atomic_long_dec(&ledger.block_pages);
	}
}

/*
 * Move the pages of a request that are not free to a block; returns their
 * number.
 */
static unsigned long claim(const struct request *q)
{
	unsigned long n = 0;
	unsigned int i;

	for (i = 0; i < 1U << q->order; i++) {
		if (!test_and_clear_bit(q->pfn + i, ledger.taken))
			continue;
		set_bit(q->pfn + i, ledger.blocks);
		atomic_long_inc(&ledger.block_pages);
		n++;
	}
	return n;
}

/* Another request of the task may have the order of a block: see the header. */
static bool is_block(const struct request *q, unsigned long bytes)
{
	const char *p = page_address(pfn_to_page(q->pfn));

	return ((const struct kregion_block *)(p + bytes) - 1)->start == p;
}

static unsigned long claim_pages(unsigned long bytes)
{
	const unsigned int order = get_order(bytes);
	unsigned int i = ledger.nr_requests;

	while (i--) {
		const struct request *q = &ledger.requests[i];

		if (q->order == order && test_bit(q->pfn, ledger.taken) &&
		    !PageSlab(pfn_to_page(q->pfn)) && is_block(q, bytes))
			return claim(q);
	}
	return 0;
}

/* ---- memory from vmalloc ------------------------------------------------- */

/* Replace @old by @new in the entry of @key. */
static bool replace(unsigned long *table, unsigned long key, unsigned long old, unsigned long new)
{
	unsigned int i, at = hash_long(key, ilog2(ENTRIES));

	for (i = 0; i < 8; i++)
		if (cmpxchg(&table[(at + i) % ENTRIES], old, new) == old)
			return true;
	return false;
}

static void probe_area_alloc(void *data, unsigned long addr, unsigned long size,
			     unsigned long align, unsigned long start, unsigned long end,
			     int failed)
{
	if (failed || !mine())
		return;
	ledger.latest[ledger.nr_latest++ % LATEST] = (struct area){ addr, size };
}

static void probe_area_free(void *data, unsigned long addr, unsigned long lazy, unsigned long max)
{
	if (atomic_long_read(&ledger.nr_areas) && replace(ledger.areas, addr, addr, 0))
		atomic_long_dec(&ledger.nr_areas);
}

/*
 * Move the latest area of @bytes and a guard page to a block. The array of
 * pages of a large area is an area allocated after it.
 */
static bool claim_area(unsigned long bytes)
{
	const unsigned int nr = ledger.nr_latest;
	unsigned int i;

	ledger.nr_latest = 0;
	for (i = 1; i <= min(nr, LATEST); i++) {
		const struct area *area = &ledger.latest[(nr - i) % LATEST];

		if (area->size != bytes + PAGE_SIZE)
			continue;
		if (replace(ledger.areas, area->addr, 0, area->addr))
			atomic_long_inc(&ledger.nr_areas);
		return true;
	}
	return false;
}

/* ---- blocks -------------------------------------------------------------- */

static void follow(unsigned long bytes, bool vmalloc)
{
	if (vmalloc)
		ledger.wrong_blocks += ledger.follow_areas && !claim_area(bytes);
	else if (ledger.nr_requests <= REQUESTS)
		ledger.wrong_blocks += claim_pages(bytes) << PAGE_SHIFT != bytes;
	ledger.nr_requests = 0;
}

unsigned long pages_taken(unsigned int order)
{
	unsigned long n = 0;
	unsigned int i, k;

	for (i = 0; i < min(ledger.nr_requests, REQUESTS); i++) {
		const struct request *q = &ledger.requests[i];

		if (q->order != order || PageSlab(pfn_to_page(q->pfn)))
			continue;
		for (k = 0; k < 1U << order; k++)
			n += test_bit(q->pfn + k, ledger.taken);
	}
	return n;
}

void pages_forget(void)
{
	ledger.nr_requests = 0;
}

void pages_watch(unsigned int order)
{
	ledger.watch = (struct watch){ .order = order, .all = ~(__force gfp_t)0 };
}

unsigned int pages_watched(gfp_t *any, gfp_t *all)
{
	*any = ledger.watch.any;
	*all = ledger.watch.all;
	return ledger.watch.n;
}

void pages_hook(void (*fn)(void *arg), void *arg)
{
	ledger.hook_arg = arg;
	ledger.hook = fn;
}

/* ---- regions and blocks -------------------------------------------------- */

static void probe_create(void *data, u64 id, const char *name, unsigned long held)
{
	struct account *account = &ledger.accounts[id % ACCOUNTS];

	account->id = id;
	atomic_long_set(&account->bytes, 0);
}

/* NULL if a newer region has taken the entry. */
static struct account *account_of(u64 id)
{
	struct account *account = &ledger.accounts[id % ACCOUNTS];

	return account->id == id ? account : NULL;
}

static void probe_destroy(void *data, u64 id, const char *name, unsigned long held)
{
	struct account *account = account_of(id);

	if (account && atomic_long_read(&account->bytes) != held)
		atomic_long_inc(&ledger.wrong_regions);
}

static void enter(u64 id, long bytes)
{
	struct account *account = account_of(id);

	atomic_long_add(bytes, &ledger.bytes);
	if (account)
		atomic_long_add(bytes, &account->bytes);
}

static void probe_block_alloc(void *data, u64 id, const char *name, unsigned long bytes,
			      int backing)
{
	enter(id, bytes);
	if (mine())
		follow(bytes, backing);
}

static void probe_block_free(void *data, u64 id, const char *name, unsigned long bytes,
			     int backing)
{
	enter(id, -(long)bytes);
}

long bytes_outstanding(void)
{
	return atomic_long_read(&ledger.bytes);
}

unsigned long pages_outstanding(void)
{
	return atomic_long_read(&ledger.block_pages);
}

void objects_watch(size_t asked)
{
	ledger.watched = asked;
}

long objects_outstanding(void)
{
	return atomic_long_read(&ledger.slab);
}

/* ---- slab and per-CPU memory --------------------------------------------- */

/* Whether @ip is in a function of kregion that takes slab memory. */
static bool in_kregion(unsigned long ip)
{
	char name[KSYM_SYMBOL_LEN];

	if (ledger.module)
		return within_module(ip, ledger.module);
	sprint_symbol_no_offset(name, ip);
	return strstarts(name, "region_create") || strstarts(name, "reserve_get") ||
	       strstarts(name, "kregion_mark");
}

/* The call site of kfree() is useless: it may be a tail call. */
static void probe_kmalloc(void *data, unsigned long call_site, const void *ptr, size_t asked,
			  size_t got, gfp_t gfp, int node)
{
	const unsigned long key = (unsigned long)ptr;

	if (!in_kregion(call_site) && !(mine() && asked == ledger.watched))
		return;
	if (key && replace(ledger.objects, key, 0, key))
		atomic_long_inc(&ledger.slab);
}

static void probe_kfree(void *data, unsigned long call_site, const void *ptr)
{
	const unsigned long key = (unsigned long)ptr;

	if (key && atomic_long_read(&ledger.slab) && replace(ledger.objects, key, key, 0))
		atomic_long_dec(&ledger.slab);
}

static void probe_percpu(void *data, unsigned long call_site, bool reserved, bool is_atomic,
			 size_t size, size_t align, void *base, int off, void __percpu *ptr,
			 size_t bytes, gfp_t gfp)
{
	if (mine() && size == sizeof(struct kregion_cpu))
		atomic_long_inc(&ledger.percpu);
}

unsigned long percpu_requests(void)
{
	return atomic_long_read(&ledger.percpu);
}

/* The event does not say who frees. */
static void probe_percpu_free(void *data, void *base, int off, void __percpu *ptr)
{
	if (current == READ_ONCE(ledger.task))
		ledger.percpu_freed++;
}

unsigned long percpu_freed(void)
{
	return ledger.percpu_freed;
}

/* ---- a suite, a case ----------------------------------------------------- */

static struct probe area_probes[] = {
	{ "alloc_vmap_area", probe_area_alloc },
	{ "free_vmap_area_noflush", probe_area_free },
};

static struct probe probes[] = {
	{ "mm_page_alloc", probe_page_alloc },
	{ "mm_page_free", probe_page_free },
	{ "kmalloc", probe_kmalloc },
	{ "kfree", probe_kfree },
	{ "percpu_alloc_percpu", probe_percpu },
	{ "percpu_free_percpu", probe_percpu_free },
	{ "kregion_create", probe_create },
	{ "kregion_destroy", probe_destroy },
	{ "kregion_block_alloc", probe_block_alloc },
	{ "kregion_block_free", probe_block_free },
};

static void ledger_free(void)
{
	vfree(ledger.requests);
	vfree(ledger.taken);
	vfree(ledger.blocks);
	vfree(ledger.accounts);
}

int ledger_open(void)
{
	int nid, err;

	memset(&ledger, 0, sizeof(ledger));
	ledger.module = kregion_module();
	ledger.patience = 2000;
	for_each_online_node(nid)
		ledger.pfns = max(ledger.pfns, (unsigned long)node_end_pfn(nid));
	ledger.requests = vzalloc(REQUESTS * sizeof(*ledger.requests));
	ledger.taken = vzalloc(BITS_TO_LONGS(ledger.pfns) * sizeof(long));
	ledger.blocks = vzalloc(BITS_TO_LONGS(ledger.pfns) * sizeof(long));
	ledger.accounts = vzalloc(ACCOUNTS * sizeof(*ledger.accounts));
	err = ledger.requests && ledger.taken && ledger.blocks && ledger.accounts ?
	      probes_on(probes, ARRAY_SIZE(probes)) : -ENOMEM;
	if (err)
		ledger_free();
	else
		ledger.follow_areas = !probes_on(area_probes, ARRAY_SIZE(area_probes));
	return err;
}

void ledger_close(void)
{
	if (ledger.follow_areas)
		probes_off(area_probes, ARRAY_SIZE(area_probes));
	probes_off(probes, ARRAY_SIZE(probes));
	ledger_free();
}

void ledger_begin(void)
{
	pages_forget();
	pages_hook(NULL, NULL);
	ledger.nr_latest = 0;
	ledger.wrong_blocks = 0;
	ledger.percpu_freed = 0;
	ledger.watched = 0;
	atomic_long_set(&ledger.wrong_regions, 0);
	WRITE_ONCE(ledger.task, current);
}

/* All regions are destroyed. */
void ledger_check(struct kunit *test)
{
	WRITE_ONCE(ledger.task, NULL);
	/* Frees from atomic context are deferred. */
	while (ledger.patience &&
	       (atomic_long_read(&ledger.block_pages) || atomic_long_read(&ledger.nr_areas))) {
		usleep_range(1000, 2000);
		ledger.patience--;
	}
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&ledger.block_pages), 0L, "pages leaked");
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&ledger.nr_areas), 0L, "vmalloc areas leaked");
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&ledger.bytes), 0L, "bytes of blocks left");
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&ledger.slab), 0L, "slab objects leaked");
	KUNIT_EXPECT_EQ_MSG(test, ledger.wrong_blocks, 0UL, "block events of a wrong size");
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&ledger.wrong_regions), 0L,
			    "regions destroyed that were charged for other than their blocks");
	/* The next case starts from zero. */
	if (atomic_long_xchg(&ledger.block_pages, 0))
		bitmap_zero(ledger.blocks, ledger.pfns);
	if (atomic_long_xchg(&ledger.nr_areas, 0))
		memset(ledger.areas, 0, sizeof(ledger.areas));
	atomic_long_set(&ledger.bytes, 0);
	if (atomic_long_xchg(&ledger.slab, 0))
		memset(ledger.objects, 0, sizeof(ledger.objects));
}
