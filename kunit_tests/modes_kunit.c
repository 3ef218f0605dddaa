// SPDX-License-Identifier: GPL-2.0
/*
 * Modes: the number of current blocks, and their owners.
 */

#include <linux/cpu.h>
#include <linux/irq_work.h>
#include <linux/smp.h>

#include "test.h"

struct remote {
	struct irq_work work;
	struct kregion *r;
	size_t size;
	void *p;
	bool nofill;
};

/* In a hard interrupt of its CPU. */
static void alloc_here(struct irq_work *work)
{
	struct remote *remote = container_of(work, struct remote, work);

	if (remote->nofill)
		remote->p = kregion_alloc_nofill(remote->r, remote->size);
	else
		remote->p = kregion_alloc(remote->r, remote->size, GFP_ATOMIC);
}

static void queue_here(void *work)
{
	irq_work_queue(work);
}

static void *run_on(int cpu, struct kregion *r, size_t size, bool nofill)
{
	struct remote remote = { .r = r, .size = size, .nofill = nofill };

	init_irq_work(&remote.work, alloc_here);
	smp_call_function_single(cpu, queue_here, &remote.work, 1);
	irq_work_sync(&remote.work);
	return remote.p;
}

static void *alloc_on(int cpu, struct kregion *r, size_t size)
{
	return run_on(cpu, r, size, false);
}

static void *nofill_on(int cpu, struct kregion *r, size_t size)
{
	return run_on(cpu, r, size, true);
}

/* ---- shared -------------------------------------------------------------- */

/*
 * Allocate five objects of 64 bytes on each CPU in turn; returns their number.
 */
static unsigned long alloc_on_all(struct kunit *test, struct kregion *r)
{
	unsigned long n = 0;
	int cpu, i;

	for (i = 0; i < 5; i++) {
		for_each_online_cpu(cpu) {
			KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 64));
			n++;
		}
	}
	return n;
}

static void all_cpus_share_one_block(struct kunit *test)
{
	struct kregion *r = region_make(test, NULL);
	const unsigned long n = alloc_on_all(test, r);

	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 64 * n);
}

/* ---- per-CPU ------------------------------------------------------------- */

static const struct kregion_attr percpu = { .flags = KREGION_F_PERCPU };

static void idle_region_holds_no_block(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);

	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_NULL(test, kregion_alloc_nofill(r, 8));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
}

static void region_used_by_one_cpu_holds_one_block(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);
	struct kregion_stats st;
	int i;

	for (i = 0; i < 100; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 64, GFP_KERNEL));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), 1UL);
	KUNIT_EXPECT_EQ(test, st.bytes_held, (unsigned long)KREGION_BLOCK_SIZE);
}

static void each_cpu_that_allocates_has_a_block(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);
	unsigned long cpus = 0;
	int cpu, i;

	for_each_online_cpu(cpu) {
		for (i = 0; i < 5; i++)
			KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 64));
		cpus++;
		KUNIT_EXPECT_EQ(test, stats_of(r).blocks_current, cpus);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, cpus);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 5 * 64 * cpus);
}

/* A CPU whose block is full takes another; the blocks of other CPUs stay. */
static void a_full_block_is_one_cpus_matter(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_PERCPU, PAGE_SIZE };
	struct kregion *r = region_of_mode(test, &mode);
	const int me = raw_smp_processor_id();
	unsigned long others = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		if (cpu != me) {
			KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 8));
			others++;
		}
	}
	while (stats_of(r).blocks_full < 3)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, 512, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_current, others + 1);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, others + 4);
}

/* At the limit, a CPU cannot use the room of another CPU's block. */
static void limit_counts_the_blocks_of_all_cpus(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU, .block_size = PAGE_SIZE, .limit = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	const int me = raw_smp_processor_id();
	unsigned long failed = 0;
	int cpu;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	for_each_online_cpu(cpu) {
		if (cpu == me)
			continue;
		KUNIT_EXPECT_NULL(test, alloc_on(cpu, r, 8));
		KUNIT_EXPECT_NULL(test, nofill_on(cpu, r, 8));
		failed++;
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_limit, failed);
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, failed);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 8UL);

	/* After a reset any CPU may take the block. */
	for_each_online_cpu(cpu) {
		kregion_reset(r);
		KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 8));
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 1UL);
}

static void drop_and_reset_reach_the_blocks_of_all_cpus(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);
	unsigned long cpus = 0;
	int cpu, round;

	for (round = 0; round < 2; round++) {
		for_each_online_cpu(cpu) {
			KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 100));
			cpus += !round;
		}
		KUNIT_EXPECT_EQ(test, stats_of(r).fills, cpus);
		kregion_reset(r);
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 0UL);
		KUNIT_EXPECT_EQ(test, stats_of(r).blocks_spare, cpus);
	}
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	for_each_online_cpu(cpu)
		KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 100));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2 * cpus);
}

/* After a reset a CPU gets its own memory again, in the same order. */
static void reset_gives_each_cpu_its_own_blocks_back(struct kunit *test)
{
	const struct mode mode = { "", KREGION_F_PERCPU, PAGE_SIZE };
	struct kregion *r = region_of_mode(test, &mode);
	const int objects = 20;		/* of a CPU: three blocks' worth */
	void **first = buffer(test, objects * nr_cpu_ids * sizeof(*first)), **at;
	int cpu, i;

	/* The CPUs by turns ... */
	for (i = 0; i < objects; i++)
		for_each_online_cpu(cpu)
			first[cpu * objects + i] = alloc_on(cpu, r, PAGE_SIZE / 8);
	kregion_reset(r);
	/* ... and one after the other. */
	for_each_online_cpu(cpu) {
		/* CPUs from 16 on share buckets. */
		if (cpu >= 16)
			break;
		for (i = 0, at = &first[cpu * objects]; i < objects; i++, at++) {
			KUNIT_EXPECT_NOT_NULL(test, *at);
			KUNIT_EXPECT_PTR_EQ(test, alloc_on(cpu, r, PAGE_SIZE / 8), *at);
		}
	}
}

/* A few objects on each of many CPUs do not hold a full block each. */
static void blocks_of_further_cpus_grow(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);
	const unsigned int first = cpumask_first(cpu_online_mask);
	const unsigned int last = cpumask_last(cpu_online_mask);
	unsigned long held = KREGION_BLOCK_SIZE, size;
	int round;

	need_two_cpus(test);
	for (round = 0; round < 2; round++) {
		KUNIT_EXPECT_NOT_NULL(test, alloc_on(first, r, 8));
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, KREGION_BLOCK_SIZE);
		held = KREGION_BLOCK_SIZE;
		/*
		 * A page, then twice as much each time, never over the block
		 * size.
		 */
		for (size = PAGE_SIZE; size <= 2 * KREGION_BLOCK_SIZE; size *= 2) {
			held += min_t(unsigned long, size, KREGION_BLOCK_SIZE);
			while (stats_of(r).bytes_held < held)
				KUNIT_ASSERT_NOT_NULL(test, alloc_on(last, r, 500));
			KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, held);
		}
		KUNIT_EXPECT_LE(test, stats_of(r).bytes_lost, 504UL * stats_of(r).blocks_full);
		expect_sane(test, r);
		/* A reset keeps the size of the next one, a drop does not. */
		kregion_reset(r);
		while (stats_of(r).bytes_held == held)
			KUNIT_ASSERT_NOT_NULL(test, alloc_on(last, r, 500));
		KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, held + KREGION_BLOCK_SIZE);
		kregion_drop(r);
	}
	/* A small first block is large enough for its object. */
	alloc_on(first, r, 8);
	KUNIT_EXPECT_NOT_NULL(test, alloc_on(last, r, KREGION_BLOCK_SIZE / 8));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held,
			KREGION_BLOCK_SIZE +
			max(PAGE_SIZE, roundup_pow_of_two(KREGION_BLOCK_SIZE / 8 + 1)));
	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_large, 0UL);
}

/* The limit leaves no block for it: its overshoot is undone, to the byte. */
static void a_failed_call_leaves_the_cursor(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU | KREGION_F_PAGES, .block_size = PAGE_SIZE,
		.limit = PAGE_SIZE,
	};
	struct kregion *r = region_make(test, &attr);
	unsigned long used;
	void *p;

	migrate_disable();
	while (kregion_alloc(r, hidden(101), GFP_KERNEL))
		;
	used = stats_of(r).bytes_used;
	p = kregion_alloc(r, hidden(8), GFP_KERNEL);
	migrate_enable();
	KUNIT_EXPECT_EQ(test, used % 104, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, KREGION_ALIGN));
}

/* Spare blocks that are too small for an object are skipped, not lost. */
static void spare_blocks_of_many_sizes_are_used_up(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);
	const unsigned int first = cpumask_first(cpu_online_mask);
	const unsigned int last = cpumask_last(cpu_online_mask);
	struct kregion_stats before, st;
	int i;

	need_two_cpus(test);
	alloc_on(first, r, 8);
	while (stats_of(r).blocks_full < 4)
		KUNIT_ASSERT_NOT_NULL(test, alloc_on(last, r, 500));
	kregion_reset(r);
	before = stats_of(r);
	KUNIT_EXPECT_NOT_NULL(test, alloc_on(last, r, KREGION_BLOCK_SIZE / 8));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, st.bytes_used, KREGION_BLOCK_SIZE / 8);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), blocks_of(&before));
	for (i = 0; i < 10000 && stats_of(r).blocks_spare; i++)
		KUNIT_ASSERT_NOT_NULL(test, alloc_on(last, r, 500));
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_spare, 0UL);
	KUNIT_EXPECT_EQ(test, st.fills, before.fills);
	KUNIT_EXPECT_EQ(test, st.bytes_held, before.bytes_held);
	expect_sane(test, r);
}

static void undo_offline(void *cpu)
{
	add_cpu((long)cpu);
}

static void block_of_an_offline_cpu_stays_until_drop(struct kunit *test)
{
	struct kregion *r = region_make(test, &percpu);
	struct object o, again;
	int cpu, err;

	/* The first CPU may not be hotpluggable; this thread stays on it. */
	cpu = cpumask_last(cpu_online_mask);
	need_two_cpus(test);
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	object_write(&o, alloc_on(cpu, r, 500), 500, 1);
	err = remove_cpu(cpu);
	if (err)
		kunit_skip(test, "CPU %d does not go offline: %d", cpu, err);
	undo_later(test, undo_offline, (void *)(long)cpu);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 504UL);
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, o.p));
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
	object_write(&again, alloc_on(cpu, r, 500), 500, 2);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_TRUE(test, object_intact(&again));
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 1008UL);

	err = remove_cpu(cpu);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	if (!err)
		KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
	KUNIT_EXPECT_NOT_NULL(test, alloc_on(cpu, r, 8));
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 2UL);
}

/* ---- single -------------------------------------------------------------- */

/* Fast path, aligned, nofill and readers agree on the cursor. */
static void all_ways_agree_where_the_next_byte_is(struct kunit *test)
{
	struct kregion *r = region_make(test, &(struct kregion_attr){
		.flags = KREGION_F_SINGLE, .block_size = PAGE_SIZE, .reserve = 256 });
	struct object o[64];
	unsigned long least = 0;
	size_t size;
	void *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(o); i++) {
		size = 8 + 8 * (i % 13);
		if (i % 4 == 0)
			p = kregion_alloc_aligned(r, size, 32, GFP_KERNEL);
		else if (i % 4 == 1)
			p = kregion_alloc_nofill(r, size);
		else
			p = NULL;
		if (!p)
			p = kregion_alloc(r, hidden(size), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		object_write(&o[i], p, size, i + 5);
		least += size;
		KUNIT_EXPECT_GE(test, stats_of(r).bytes_used, least);
		KUNIT_EXPECT_TRUE(test, kregion_contains(r, (char *)p + size - 1));
	}
	expect_intact(test, o, ARRAY_SIZE(o));
	expect_sane(test, r);
}

/* A single region may move from CPU to CPU if its callers serialize. */
static void single_region_may_be_used_from_any_cpu_in_turn(struct kunit *test)
{
	struct kregion *r = region_make(test, &(struct kregion_attr){ .flags = KREGION_F_SINGLE });
	const unsigned long n = alloc_on_all(test, r);

	KUNIT_EXPECT_EQ(test, stats_of(r).blocks_current, 1UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 64 * n);
}

static struct kunit_case shared_cases[] = {
	KUNIT_CASE(all_cpus_share_one_block),
	{}
};

static struct kunit_case percpu_cases[] = {
	KUNIT_CASE(idle_region_holds_no_block),
	KUNIT_CASE(region_used_by_one_cpu_holds_one_block),
	KUNIT_CASE(each_cpu_that_allocates_has_a_block),
	KUNIT_CASE(a_full_block_is_one_cpus_matter),
	KUNIT_CASE(limit_counts_the_blocks_of_all_cpus),
	KUNIT_CASE(drop_and_reset_reach_the_blocks_of_all_cpus),
	KUNIT_CASE(reset_gives_each_cpu_its_own_blocks_back),
	KUNIT_CASE(blocks_of_further_cpus_grow),
	KUNIT_CASE(a_failed_call_leaves_the_cursor),
	KUNIT_CASE(spare_blocks_of_many_sizes_are_used_up),
	KUNIT_CASE(block_of_an_offline_cpu_stays_until_drop),
	{}
};

static struct kunit_case single_cases[] = {
	KUNIT_CASE(all_ways_agree_where_the_next_byte_is),
	KUNIT_CASE(single_region_may_be_used_from_any_cpu_in_turn),
	{}
};

KREGION_SUITE(shared, shared_cases);
KREGION_SUITE(percpu, percpu_cases);
KREGION_SUITE(single, single_cases);
