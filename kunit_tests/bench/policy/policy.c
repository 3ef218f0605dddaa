// SPDX-License-Identifier: GPL-2.0
/*
 * Cost of reading a policy into SELinux's policy database, and of freeing it.
 * policy.py builds this twice: with the sources of the database as they are,
 * and with all as policy.cocci turns them.
 *
 * When the module is loaded, it counts the requests for memory of a policy; each
 * write to its parameter "run" then times one more. One line a figure goes to
 * the log. The module has no exit: SELinux does not destroy its caches.
 */

#include <linux/jhash.h>
#include <linux/kernel_read_file.h>
#include <linux/module.h>
#include <linux/timex.h>
#include <linux/tracepoint.h>
#include <linux/vmalloc.h>
#include <trace/events/kmem.h>

#include "policydb.h"

static char *policy;
module_param(policy, charp, 0444);
MODULE_PARM_DESC(policy, "the file of the policy");

static char *unit = "cycles";
module_param(unit, charp, 0444);
MODULE_PARM_DESC(unit, "what a tick of get_cycles() is");

static char *view = "cycles";
module_param(view, charp, 0444);
MODULE_PARM_DESC(view, "what to call the results");

struct kregion *policy_region;
static struct policydb db;
static void *image;
static size_t image_len;

static void say(const char *what, u64 value, const char *in)
{
	pr_info("view=%s rival=%s what=policy_%s value=%llu unit=%s\n", view, RIVAL, what, value,
		in);
}

/* ---- requests for memory ------------------------------------------------- */

/* What one task asks for. */
static struct {
	struct task_struct *task;
	const void *last;
	unsigned long objects;		/* of slab memory */
	size_t asked, used;		/* their bytes; rounded up as in a region */
	long pages;			/* of the page allocator, less those freed */
} requests;

static bool counted(void)
{
	return in_task() && READ_ONCE(requests.task) == current;
}

static void count_object(const void *p, size_t size)
{
	/* A large object has two events. */
	const bool again = p == requests.last && size > KMALLOC_MAX_CACHE_SIZE;

	if (!p || again || !counted())
		return;
	requests.last = p;
	requests.objects++;
	requests.asked += size;
	requests.used += ALIGN(size, KREGION_ALIGN);
}

static void on_kmalloc(void *data, unsigned long site, const void *p, size_t size,
		       size_t allocated, gfp_t gfp, int node)
{
	count_object(p, size);
}

static void on_cache_alloc(void *data, unsigned long site, const void *p,
			   struct kmem_cache *cache, gfp_t gfp, int node)
{
	count_object(p, kmem_cache_size(cache));
}

static void on_page_alloc(void *data, struct page *page, unsigned int order, gfp_t gfp,
			  int migratetype)
{
	if (page && counted())
		requests.pages += 1L << order;
}

static void on_page_free(void *data, struct page *page, unsigned int order)
{
	if (counted())
		requests.pages -= 1L << order;
}

static struct probe {
	const char *event;
	void *fn;
	struct tracepoint *tp;
} probes[] = {
	{ "kmalloc", on_kmalloc }, { "kmem_cache_alloc", on_cache_alloc },
	{ "mm_page_alloc", on_page_alloc }, { "mm_page_free", on_page_free },
};

static void find_event(struct tracepoint *tp, void *unused)
{
	struct probe *p;

	for (p = probes; p < probes + ARRAY_SIZE(probes); p++)
		if (!strcmp(tp->name, p->event))
			p->tp = tp;
}

static int probes_on(void)
{
	int i, err;

	/* The types of the probes are those of the events. */
	check_trace_callback_type_kmalloc(on_kmalloc);
	check_trace_callback_type_kmem_cache_alloc(on_cache_alloc);
	check_trace_callback_type_mm_page_alloc(on_page_alloc);
	check_trace_callback_type_mm_page_free(on_page_free);

	for_each_kernel_tracepoint(find_event, NULL);
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		err = probes[i].tp ? tracepoint_probe_register(probes[i].tp, probes[i].fn, NULL) :
				     -ENOENT;
		if (err)
			break;
	}
	if (i == ARRAY_SIZE(probes))
		return 0;
	while (i--)
		tracepoint_probe_unregister(probes[i].tp, probes[i].fn, NULL);
	tracepoint_synchronize_unregister();
	return err;
}

static void probes_off(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		tracepoint_probe_unregister(probes[i].tp, probes[i].fn, NULL);
	tracepoint_synchronize_unregister();
}

/* ---- one policy ---------------------------------------------------------- */

static int read_policy(void)
{
	struct policy_file file = { .data = image, .len = image_len };

	return policydb_read(&db, &file);
}

/* A sum of what policydb_write() makes of the database. */
static int sum_policy(size_t len)
{
	struct policy_file file = { .data = vzalloc(len), .len = len };
	void *written = file.data;
	int err;

	if (!written)
		return -ENOMEM;
	err = policydb_write(&db, &file);
	if (!err)
		say("sum", jhash(written, len - file.len, len - file.len), "jhash");
	vfree(written);
	return err;
}

static int count_policy(void)
{
	struct kregion_stats stats;
	int err;

	err = probes_on();
	if (err)
		return err;
	WRITE_ONCE(requests.task, current);
	err = read_policy();
	WRITE_ONCE(requests.task, NULL);
	probes_off();
	if (err)
		return err;
	if (policy_region) {
		kregion_stats(policy_region, &stats);
		requests.used = stats.bytes_used;
		say("blocks", stats.bytes_held, "bytes");
	}
	say("objects", requests.objects, "objects");
	say("asked", requests.asked, "bytes");
	say("used", requests.used, "bytes");
	say("held", requests.pages * PAGE_SIZE, "bytes");
	err = sum_policy(2 * image_len);
	policydb_destroy(&db);
	return err;
}

static int time_policy(const char *val, const struct kernel_param *kp)
{
	u64 start, end;
	int err;

	if (!image)
		return -EINVAL;
	start = get_cycles();
	err = read_policy();
	end = get_cycles();
	if (err)
		return err;
	say("read", end - start, unit);
	start = get_cycles();
	policydb_destroy(&db);
	end = get_cycles();
	say("free", end - start, unit);
	return 0;
}

static const struct kernel_param_ops run_ops = { .set = time_policy };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "written: time a policy");

static int __init policy_init(void)
{
	ssize_t len;

	if (!policy)
		return -EINVAL;
	len = kernel_read_file_from_path(policy, 0, &image, INT_MAX, NULL, READING_POLICY);
	if (len < 0)
		return len;
	image_len = len;
	avtab_cache_init();
	ebitmap_cache_init();
	hashtab_cache_init();
	return count_policy();
}
module_init(policy_init);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Cost of reading and freeing a policy of SELinux");
