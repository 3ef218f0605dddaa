// SPDX-License-Identifier: GPL-2.0
/*
 * kregion_alloc_nofill() and kregion_map_put_nofill() in NMIs that interrupt an
 * allocation or insertion. One CPU sends NMIs, the other one allocates with and
 * without new blocks.
 */

#include <linux/completion.h>
#include <linux/delay.h>

#include "nmi.h"
#include "test.h"

MODE_PARAM(base, MODES_BASE);
MODE_PARAM(smp, MODES_SMP);

#if HAVE_NMIS
#define NMIS		(300 * scale)
#define OBJECTS		(20000 * scale)

static struct {
	struct kregion *r;
	void (*act)(void);
	void *(*nofill)(struct kregion *r, size_t size);
	struct object *nmi, *thread;
	unsigned int nr_nmi, nr_thread, refused;
	int cpu;
	struct completion done;
} load;

static void *nofill_nmi_safe(struct kregion *r, size_t size)
{
	return kregion_alloc_nofill(r, size);
}

static void allocate_in_nmi(void)
{
	unsigned int n = load.nr_nmi;
	void *p;

	p = load.nofill(load.r, 24 + n % 5 * 16);
	if (!p)
		load.refused++;
	else if (n < NMIS)
		object_write(&load.nmi[n], p, 24 + n % 5 * 16, ~(u64)n);
}

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	if (!READ_ONCE(load.r) || smp_processor_id() != load.cpu)
		return NMI_DONE;
	load.act();
	WRITE_ONCE(load.nr_nmi, load.nr_nmi + 1);
	return NMI_HANDLED;
}

static int allocate(void *unused)
{
	unsigned int n = 0;
	void *p;

	/* Until there are enough NMIs, with some objects for each of them. */
	while (READ_ONCE(load.nr_nmi) < NMIS && !kthread_should_stop()) {
		const size_t size = hidden(8 + n % 7 * 8);

		cond_resched();
		if (n == OBJECTS || n > 100 * READ_ONCE(load.nr_nmi))
			continue;
		p = n % 3 ? kregion_alloc(load.r, size, GFP_KERNEL) :
			    load.nofill(load.r, size);
		if (p)
			object_write(&load.thread[load.nr_thread++], p, size, n);
		n++;
	}
	complete(&load.done);
	return 0;
}

/* Send NMIs to load.cpu until a thread there, of @fn, completes load.done. */
static void send_nmis(struct kunit *test, int (*fn)(void *unused))
{
	const unsigned long deadline = jiffies + 20 * HZ;
	struct task_struct *task = thread_make(test, fn, NULL, load.cpu);

	KUNIT_ASSERT_EQ(test, nmi_handler_add(on_nmi), 0);
	undo_later(test, nmi_handler_remove, NULL);
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	wake_up_process(task);
	while (!try_wait_for_completion(&load.done) && time_before(jiffies, deadline)) {
		nmi_send(load.cpu);
		usleep_range(50, 100);
	}
	thread_stop(task);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	undo_now(nmi_handler_remove, NULL);
}

static void nmis_beside_allocations(struct kunit *test,
				    void *(*nofill)(struct kregion *r, size_t size))
{
	const struct mode *mode = test->param_value;
	struct kregion_attr attr = { .flags = mode->flags, .reserve = SZ_64K };
	unsigned int i, bad = 0;
	unsigned long used = 0;

	need_two_cpus(test);
	memset(&load, 0, sizeof(load));
	init_completion(&load.done);
	load.nmi = buffer(test, NMIS * sizeof(*load.nmi));
	load.thread = buffer(test, OBJECTS * sizeof(*load.thread));
	load.cpu = cpumask_last(cpu_online_mask);
	load.act = allocate_in_nmi;
	load.nofill = nofill;
	load.r = region_make(test, &attr);

	send_nmis(test, allocate);

	KUNIT_EXPECT_GE(test, load.nr_nmi, (unsigned int)NMIS);
	KUNIT_EXPECT_EQ(test, stats_of(load.r).failed_nofill, (unsigned long)load.refused);
	for (i = 0; i < min_t(unsigned int, load.nr_nmi, NMIS); i++) {
		if (!load.nmi[i].p)
			continue;
		bad += !object_intact(&load.nmi[i]);
		used += ALIGN(load.nmi[i].size, KREGION_ALIGN);
	}
	for (i = 0; i < load.nr_thread; i++) {
		bad += !object_intact(&load.thread[i]);
		used += ALIGN(load.thread[i].size, KREGION_ALIGN);
	}
	KUNIT_EXPECT_EQ(test, bad, 0U);
	if (load.nr_nmi <= NMIS)
		KUNIT_EXPECT_EQ(test, stats_of(load.r).bytes_used, used);
	expect_sane(test, load.r);
	kunit_info(test, "%u NMIs, %u served; %u objects of the thread", load.nr_nmi,
		   load.nr_nmi - load.refused, load.nr_thread);
}

static void nofill_is_served_in_nmi(struct kunit *test)
{
	const struct mode *mode = test->param_value;

	if (mode->flags & KREGION_F_SINGLE)
		kunit_skip(test, "the caller of a single region keeps NMIs out");
	nmis_beside_allocations(test, nofill_nmi_safe);
	KUNIT_EXPECT_LT(test, load.refused, load.nr_nmi);
}

/* A refusal changes nothing, so a single region is safe, too. */
static void nofill_is_refused_in_nmi_that_is_not_safe(struct kunit *test)
{
	nmis_beside_allocations(test, nofill_nmi_unsafe);
	KUNIT_EXPECT_EQ(test, load.refused, load.nr_nmi);
}

/* ---- the intern map ------------------------------------------------------ */

#define KEYS		(2000 * scale)

static struct {
	struct kregion_map *m;
	const struct kregion_item **nmi, **thread;
	unsigned int wrong;
} puts;

static void put(unsigned int key, bool nofill, const struct kregion_item **got)
{
	const struct kregion_item *item;

	item = nofill ? kregion_map_put_nofill(puts.m, &key, sizeof(key)) :
			kregion_map_put(puts.m, &key, sizeof(key), GFP_KERNEL);
	if (!item) {
		puts.wrong += !!got[key];
		return;
	}
	puts.wrong += item->len != sizeof(key) || memcmp(item->data, &key, sizeof(key)) ||
		      (got[key] && got[key] != item) || kregion_map_item(puts.m, item->id) != item;
	got[key] = item;
}

/* The key of the thread and those before and behind it. */
static void put_in_nmi(void)
{
	const unsigned int key = READ_ONCE(load.nr_thread) % KEYS;
	unsigned int i;

	for (i = 0; i < 3; i++)
		put((key + KEYS + i - 1) % KEYS, true, puts.nmi);
}

static int put_keys(void *unused)
{
	while ((load.nr_thread < KEYS || READ_ONCE(load.nr_nmi) < NMIS) && !kthread_should_stop()) {
		/* With some keys for each NMI. */
		if (load.nr_thread <= 20 * READ_ONCE(load.nr_nmi)) {
			put(load.nr_thread % KEYS, false, puts.thread);
			WRITE_ONCE(load.nr_thread, load.nr_thread + 1);
		}
		cond_resched();
	}
	complete(&load.done);
	return 0;
}

static void a_map_takes_puts_in_nmi(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = { .flags = mode->flags, .reserve = SZ_64K };
	unsigned int i, served = 0, wrong = 0;

	need_two_cpus(test);
	memset(&load, 0, sizeof(load));
	memset(&puts, 0, sizeof(puts));
	init_completion(&load.done);
	load.cpu = cpumask_last(cpu_online_mask);
	puts.nmi = buffer(test, KEYS * sizeof(*puts.nmi));
	puts.thread = buffer(test, KEYS * sizeof(*puts.thread));
	load.act = put_in_nmi;
	load.r = region_make(test, &attr);
	puts.m = kregion_map_create(load.r, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, puts.m);
	send_nmis(test, put_keys);

	KUNIT_EXPECT_GE(test, load.nr_nmi, (unsigned int)NMIS);
	KUNIT_EXPECT_EQ(test, kregion_map_count(puts.m), (u32)KEYS);
	for (i = 0; i < KEYS; i++) {
		served += !!puts.nmi[i];
		wrong += !puts.thread[i] || (puts.nmi[i] && puts.nmi[i] != puts.thread[i]);
	}
	KUNIT_EXPECT_EQ(test, wrong + puts.wrong, 0U);
	KUNIT_EXPECT_GT(test, served, 0U);
	kunit_info(test, "%u NMIs put %u keys", load.nr_nmi, served);
}
#else
static void nofill_is_served_in_nmi(struct kunit *test)
{
	kunit_skip(test, "no way to cause an NMI here");
}

static void nofill_is_refused_in_nmi_that_is_not_safe(struct kunit *test)
{
	kunit_skip(test, "no way to cause an NMI here");
}

static void a_map_takes_puts_in_nmi(struct kunit *test)
{
	kunit_skip(test, "no way to cause an NMI here");
}
#endif

static struct kunit_case nmi_cases[] = {
	KUNIT_CASE_PARAM(nofill_is_served_in_nmi, base_gen_params),
	KUNIT_CASE_PARAM(nofill_is_refused_in_nmi_that_is_not_safe, base_gen_params),
	KUNIT_CASE_PARAM(a_map_takes_puts_in_nmi, smp_gen_params),
	{}
};

KREGION_SUITE(nmi, nmi_cases);
