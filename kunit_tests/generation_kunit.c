// SPDX-License-Identifier: GPL-2.0
/*
 * kregion_rotate() and the generations that it seals.
 */

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/kregion.h>
#include <linux/sched.h>

#include "../kmod/internal.h"
#include "nmi.h"
#include "test.h"

MODE_PARAM(all, MODES_ALL);
MODE_PARAM(base, MODES_BASE);
MODE_PARAM(smp, MODES_SMP);
MODE_PARAM(promise, MODES_PROMISE);
MODE_PARAM(damage, MODES_DAMAGE);
MODE_PARAM(debug, MODES_DEBUG);

/* ---- helpers ------------------------------------------------------------- */

static void gen_undo(void *arg)
{
	kregion_gen_free(arg);
}

/* Rotates, or ends the case; the end of the case frees the generation. */
static struct kregion_gen *rotate(struct kunit *test, struct kregion *r)
{
	struct kregion_gen *g = kregion_rotate(r);

	KUNIT_ASSERT_FALSE(test, IS_ERR(g));
	undo_later(test, gen_undo, g);
	return g;
}

static void gen_free(struct kregion_gen *g)
{
	undo_now(gen_undo, g);
}

static void gen_recycle(struct kregion_gen *g)
{
	undo_forget(gen_undo, g);
	kregion_gen_recycle(g);
}

static struct kregion_stats gen_stats(struct kregion_gen *g)
{
	struct kregion_stats st;

	kregion_gen_stats(g, &st);
	return st;
}

/* The span of @g that has @o, or all zero. */
static struct kregion_span span_of(struct kregion_gen *g, const struct object *o)
{
	struct kregion_span span = {};

	while (kregion_gen_next(g, &span))
		if (o->p >= (const char *)span.start &&
		    o->p + o->size <= (const char *)span.start + span.bytes)
			return span;
	return (struct kregion_span){};
}

/* Allocate and write @n objects of mixed sizes, large ones among them. */
static void fill(struct kunit *test, struct kregion *r, const struct mode *mode, struct object *o,
		 int n, u64 tag)
{
	int i;

	for (i = 0; i < n; i++) {
		const size_t size = hidden(i % 17 == 16 ? block_of(mode) / 4 : 1 + i * 37 % 300);

		object_write(&o[i], kregion_alloc(r, size, GFP_KERNEL), size, tag + i);
	}
}

/* ---- what a rotate takes, and what it leaves ----------------------------- */

static void a_rotate_seals_all_objects(struct kunit *test)
{
	enum { N = 200 };
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct object *o = buffer(test, 2 * N * sizeof(*o));
	struct kregion_stats before, st, gs;
	struct kregion_gen *g;
	size_t bytes = 0;
	int i;

	fill(test, r, mode, o, N, 0);
	before = stats_of(r);
	g = rotate(test, r);
	st = stats_of(r);
	gs = gen_stats(g);
	KUNIT_EXPECT_EQ(test, st.bytes_used, 0UL);
	KUNIT_EXPECT_EQ(test, st.blocks_full + st.blocks_current + st.blocks_large, 0UL);
	KUNIT_EXPECT_EQ(test, st.generations, 1UL);
	KUNIT_EXPECT_EQ(test, st.bytes_sealed, gs.bytes_held);
	KUNIT_EXPECT_EQ(test, gs.bytes_used, before.bytes_used);
	KUNIT_EXPECT_EQ(test, gs.bytes_held, before.bytes_held);
	KUNIT_EXPECT_EQ(test, gs.blocks_large, before.blocks_large);
	KUNIT_EXPECT_EQ(test, gs.blocks_full, before.blocks_full + before.blocks_current);
	KUNIT_EXPECT_EQ(test, gs.bytes_held + st.bytes_held, (unsigned long)bytes_outstanding());
	fill(test, r, mode, o + N, N, 1000);
	expect_intact(test, o, 2 * N);
	for (i = 0; i < 2 * N; i++) {
		const struct kregion_span span = span_of(g, &o[i]);

		KUNIT_EXPECT_EQ(test, !!span.start, i < N);
		KUNIT_EXPECT_EQ(test, kregion_contains(r, o[i].p), i >= N);
		if (i < N)
			bytes += ALIGN(o[i].size, KREGION_ALIGN);
	}
	KUNIT_EXPECT_EQ(test, span_bytes(g), bytes);
	KUNIT_EXPECT_EQ(test, gen_stats(g).bytes_used, gs.bytes_used);
	expect_sane(test, r);
	gen_free(g);
	KUNIT_EXPECT_EQ(test, stats_of(r).generations, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_sealed, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, (unsigned long)bytes_outstanding());
	expect_intact(test, o + N, N);
}

static void an_empty_region_seals_nothing(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct kregion_gen *g = rotate(test, r);
	struct kregion_span span = {};

	KUNIT_EXPECT_FALSE(test, kregion_gen_next(g, &span));
	KUNIT_EXPECT_EQ(test, gen_stats(g).bytes_held, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	expect_sane(test, r);
}

/* Of a region whose ordinary blocks are all spare, it takes the large one. */
static void a_rotate_leaves_spare_blocks(struct kunit *test)
{
	enum { N = 200 };
	const struct mode *mode = test->param_value;
	const size_t size = 2 * block_of(mode);
	struct kregion *r = region_of_mode(test, mode);
	struct object *o = buffer(test, N * sizeof(*o)), large;
	struct kregion_stats spare, all, st;
	struct kregion_gen *g;

	fill(test, r, mode, o, N, 0);
	kregion_reset(r);
	spare = stats_of(r);
	KUNIT_ASSERT_GT(test, spare.blocks_spare, 0UL);
	object_write(&large, kregion_alloc(r, size, GFP_KERNEL), size, 1);
	all = stats_of(r);
	g = rotate(test, r);
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, gen_stats(g).bytes_held, all.bytes_held - spare.bytes_held);
	KUNIT_EXPECT_EQ(test, blocks_of(&st), spare.blocks_spare);
	KUNIT_EXPECT_EQ(test, st.bytes_held, spare.bytes_held);
	fill(test, r, mode, o, N, 0);
	expect_intact(test, &large, 1);
	gen_free(g);
	expect_intact(test, o, N);
	expect_sane(test, r);
}

/*
 * The objects of 96 bytes begin with a number that grows. Those of a CPU are in
 * order, the CPUs are, too, and what belongs to none comes last. Returns the
 * number of objects.
 */
static int expect_order(struct kunit *test, struct kregion_gen *g)
{
	struct kregion_span span = {};
	int cpu = 0, n = 0;
	u64 last = 0;
	size_t i;

	while (kregion_gen_next(g, &span)) {
		const u64 *p = span.start;

		KUNIT_EXPECT_TRUE(test, span.cpu == -1 || (cpu >= 0 && span.cpu >= cpu));
		if (span.cpu != cpu)
			last = 0;
		cpu = span.cpu;
		KUNIT_EXPECT_EQ(test, span.bytes % 96, (size_t)0);
		for (i = 0; i < span.bytes / 96; i++, p += 12, n++) {
			if (cpu >= 0)
				KUNIT_EXPECT_GT(test, p[0], last);
			last = p[0];
		}
	}
	return n;
}

/* Objects of one CPU lie one after the other, padding of alignments included. */
static void spans_are_in_the_order_of_allocation(struct kunit *test)
{
	enum { N = 600 };
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = 2 * PAGE_SIZE, .reserve = 1000,
	};
	struct kregion *r = region_make(test, &attr);
	int i, cpu = raw_smp_processor_id();

	for (i = 1; i <= N; i++) {
		u64 *p;

		if (!(i % 50)) {
			cpu = next_online_cpu(cpu);
			usleep_range(1000, 2000);
		}
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
		/* Standby blocks serve some of these. */
		p = i % 3 ? kregion_alloc_nofill(r, 96) :
		    i % 5 ? kregion_alloc(r, 96, GFP_KERNEL) : NULL;
		if (!p)
			p = kregion_alloc(r, 96, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		p[0] = i;
	}
	KUNIT_EXPECT_EQ(test, expect_order(test, rotate(test, r)), N);
}

/* Between the steps of a rotate, which the case takes itself. */
static void a_closed_cpu_goes_on_with_its_block(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PERCPU, .block_size = PAGE_SIZE };
	struct kregion *r = region_make(test, &attr);
	struct kregion_priv *rg = to_priv(r);
	struct __kregion_cursor *gate, *closed;
	struct kregion_cpu *c;
	char *p, *next;
	int i;

	p = kregion_alloc(r, hidden(8), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	c = region_this_cpu(rg);
	gate = region_gate(c, rg->epoch);
	atomic_long_set(&gate->shared, (long)gate);
	closed = c->fast.cur;
	c->closed = closed;
	c->fast.cur = gate;
	set_bit(KREGION_CLOSED, &rg->flags);

	KUNIT_EXPECT_PTR_EQ(test, (char *)kregion_alloc_nofill(r, hidden(8)), p + 8);
	next = kregion_alloc(r, hidden(8), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, next, p + 16);
	KUNIT_EXPECT_PTR_EQ(test, c->closed, closed);
	/* A new block does not open the CPU. */
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(PAGE_SIZE / 16), GFP_KERNEL));
	KUNIT_EXPECT_PTR_EQ(test, c->fast.cur, gate);
	KUNIT_EXPECT_PTR_NE(test, c->closed, closed);

	clear_bit(KREGION_CLOSED, &rg->flags);
	c->fast.cur = c->closed;
	c->closed = NULL;
	expect_sane(test, r);
}

/* It has no block in the next generation, so the CPUs are opened once more. */
static void a_cpu_that_becomes_active_delays_the_rotate(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_PERCPU, .block_size = PAGE_SIZE };
	struct kregion *r = region_make(test, &attr);
	struct other_call call = { .r = r, .gfp = GFP_KERNEL };
	struct kregion_gen *g;
	struct object o;

	object_write(&o, kregion_alloc(r, 8, GFP_KERNEL), 8, 1);
	other_call_begin(test, &call);
	g = rotate(test, r);
	other_call_end(test, &call);
	KUNIT_EXPECT_TRUE(test, call.in_time);
	KUNIT_EXPECT_TRUE(test, object_intact(&o));
	KUNIT_EXPECT_FALSE(test, kregion_contains(r, call.p));
	KUNIT_EXPECT_EQ(test, span_bytes(g), (size_t)16);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc_nofill(r, 8));
	expect_sane(test, r);
}

/* In a debug region, a span is an object, without what the check adds. */
static void a_debug_span_is_an_object(struct kunit *test)
{
	enum { N = 100 };
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct object *o = buffer(test, N * sizeof(*o));
	struct kregion_span span = {};
	struct kregion_gen *g;
	int i, n = 0;

	fill(test, r, mode, o, N, 0);
	g = rotate(test, r);
	while (kregion_gen_next(g, &span))
		n++;
	KUNIT_EXPECT_EQ(test, n, N);
	for (i = 0; i < N; i++) {
		span = span_of(g, &o[i]);
		KUNIT_EXPECT_PTR_EQ(test, (char *)span.start, o[i].p);
		KUNIT_EXPECT_EQ(test, span.bytes, ALIGN(o[i].size, KREGION_ALIGN));
	}
}

static struct kregion_block *block_at(struct kregion *r, const void *p)
{
	struct kregion_priv *rg = to_priv(r);
	struct kregion_block *b;
	unsigned int i;

	for (i = 0; i < region_buckets(rg); i++)
		for (b = rg->bucket[i].blocks; b; b = b->chain)
			if ((char *)p >= b->start && (char *)p < (char *)b)
				return b;
	return NULL;
}

/*
 * Two blocks that replaced the same one: that of a nofill call, and that of the
 * call which it interrupted, as the case sets it.
 */
static void a_block_of_an_interrupt_comes_first(struct kunit *test)
{
	const struct kregion_attr attr = {
		.flags = KREGION_F_PERCPU, .block_size = PAGE_SIZE, .reserve = 1000,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_block *b, *first = NULL;
	bool both = false;
	u64 i, *p;

	for (i = 1; i < 1000 && !both; i++) {
		refill_finish(r);
		p = i > 1 && !first ? kregion_alloc_nofill(r, hidden(96)) :
				      kregion_alloc(r, hidden(96), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		p[0] = i;
		b = block_at(r, p);
		KUNIT_ASSERT_NOT_NULL(test, b);
		if (!first && b->cpu >= 0 && b->replaced > 1 && b->replaced & 1) {
			first = b;
		} else if (first && b != first) {
			KUNIT_ASSERT_EQ(test, b->replaced, (unsigned long)&first->cursor);
			b->replaced = first->replaced & ~1UL;
			both = true;
		}
	}
	KUNIT_EXPECT_TRUE(test, both);
	KUNIT_EXPECT_EQ(test, expect_order(test, rotate(test, r)), (int)i - 1);
}

static void the_limit_counts_sealed_memory(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = block, .limit = 8 * block,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_stats st;
	struct kregion_gen *g;

	while (stats_of(r).bytes_held < 4 * block)
		KUNIT_ASSERT_NOT_NULL(test, kregion_alloc(r, hidden(block / 8), GFP_KERNEL));
	g = rotate(test, r);
	while (kregion_alloc(r, hidden(block / 8), GFP_KERNEL))
		;
	st = stats_of(r);
	KUNIT_EXPECT_LE(test, st.bytes_held + st.bytes_sealed, attr.limit);
	KUNIT_EXPECT_GT(test, st.bytes_held + st.bytes_sealed, attr.limit - block);
	KUNIT_EXPECT_EQ(test, st.failed_limit, 1UL);
	gen_free(g);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, hidden(block / 8), GFP_KERNEL));
}

/* A new block does not fit. */
static void a_rotate_that_fails_changes_nothing(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = block, .limit = 3 * block, .reserve = block / 4,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_priv *rg = to_priv(r);
	struct kregion_stats st, after;
	struct object o;

	object_write(&o, kregion_alloc(r, 100, GFP_KERNEL), 100, 7);
	WRITE_ONCE(rg->limit, stats_of(r).bytes_held + PAGE_SIZE);
	st = stats_of(r);
	KUNIT_EXPECT_PTR_EQ(test, kregion_rotate(r), (struct kregion_gen *)ERR_PTR(-ENOMEM));
	after = stats_of(r);
	KUNIT_EXPECT_EQ(test, memcmp(&st, &after, sizeof(st)), 0);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, (unsigned long)bytes_outstanding());
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, o.p));
	expect_intact(test, &o, 1);
	WRITE_ONCE(rg->limit, 0);
	rotate(test, r);
}

/* ---- the promises of a region hold --------------------------------------- */

static void the_reserve_is_ready_after_a_rotate(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 3000,
	};
	struct kregion *r = region_make(test, &attr);
	struct kregion_gen *g;
	unsigned long irq;
	int round, got;

	for (round = 0; round < 4; round++) {
		g = rotate(test, r);
		local_irq_save(irq);
		for (got = 0; got < 3000 / 24 && kregion_alloc_nofill(r, 24); got++)
			;
		local_irq_restore(irq);
		KUNIT_EXPECT_EQ(test, got, 3000 / 24);
		if (round % 2)
			gen_recycle(g);
	}
}

/* What a CPU could allocate without a new block before, it can after. */
static void each_cpu_that_allocated_has_a_block(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct object o;
	int cpu, n = 0;

	for_each_online_cpu(cpu) {
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
		KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	}
	rotate(test, r);
	for_each_online_cpu(cpu) {
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
		object_write(&o, kregion_alloc_nofill(r, 100), 100, n++);
		KUNIT_EXPECT_NOT_NULL(test, o.p);
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).failed_nofill, 0UL);
	expect_sane(test, r);
}

static void recycled_blocks_need_no_page(struct kunit *test)
{
	enum { N = 200 };
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 2000,
	};
	struct kregion *r = region_make(test, &attr);
	struct object *o = buffer(test, N * sizeof(*o));
	unsigned long fills = 0, held = 0;
	struct kregion_gen *g;
	int round, i;

	for (round = 0; round < 12; round++) {
		for (i = 0; i < N; i++)
			object_write(&o[i], kregion_alloc(r, hidden(1 + i), GFP_KERNEL), 1 + i, i);
		g = rotate(test, r);
		expect_intact(test, o, N);
		gen_recycle(g);
		if (round == 4) {
			fills = stats_of(r).fills;
			held = stats_of(r).bytes_held;
		}
	}
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, held);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, (unsigned long)bytes_outstanding());
	expect_sane(test, r);
	kregion_drop(r);
	expect_sane(test, r);
}

static atomic_t blocks_seen;

static void see_block(void *data, u64 id, const char *name, unsigned long held, int backing)
{
	if (!strcmp(name, "kunit"))
		atomic_inc(&blocks_seen);
}

static struct probe block_probes[] = {
	{ "kregion_block_alloc", see_block },
	{ "kregion_block_free", see_block },
};

static void block_probes_off(void *unused)
{
	probes_off(block_probes, ARRAY_SIZE(block_probes));
}

/* After a warm-up blocks go round: none is allocated, and none freed. */
static void a_steady_state_makes_no_call_of_the_page_allocator(struct kunit *test)
{
	enum { N = 100, WARM_UP = 5, ROUNDS = 100 };
	struct kregion *r = region_of_mode(test, test->param_value);
	struct object *o = buffer(test, N * sizeof(*o));
	unsigned long pages = 0, fills = 0;
	long bytes = 0;
	int round, i;

	KUNIT_ASSERT_EQ(test, probes_on(block_probes, ARRAY_SIZE(block_probes)), 0);
	undo_later(test, block_probes_off, NULL);
	atomic_set(&blocks_seen, 0);
	for (round = 0; round < WARM_UP + ROUNDS; round++) {
		if (round == WARM_UP) {
			KUNIT_EXPECT_GT(test, atomic_read(&blocks_seen), 0);
			atomic_set(&blocks_seen, 0);
			pages = pages_outstanding();
			bytes = bytes_outstanding();
			fills = stats_of(r).fills;
		}
		for (i = 0; i < N; i++)
			object_write(&o[i], kregion_alloc(r, hidden(1 + i), GFP_KERNEL), 1 + i, i);
		gen_recycle(rotate(test, r));
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&blocks_seen), 0);
	KUNIT_EXPECT_EQ(test, pages_outstanding(), pages);
	KUNIT_EXPECT_EQ(test, bytes_outstanding(), bytes);
	KUNIT_EXPECT_EQ(test, stats_of(r).fills, fills);
}

/* ---- life ---------------------------------------------------------------- */

static void a_generation_outlives_its_region(struct kunit *test)
{
	enum { N = 100 };
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct object *o = buffer(test, 2 * N * sizeof(*o));
	struct kregion_gen *g[2];

	fill(test, r, mode, o, N, 0);
	g[0] = rotate(test, r);
	fill(test, r, mode, o + N, N, 1000);
	g[1] = rotate(test, r);
	region_destroy(r);
	expect_intact(test, o, 2 * N);
	KUNIT_EXPECT_EQ(test, gen_stats(g[0]).bytes_held + gen_stats(g[1]).bytes_held,
			(unsigned long)bytes_outstanding());
	KUNIT_EXPECT_NOT_NULL(test, span_of(g[0], &o[N - 1]).start);
	gen_recycle(g[0]);
	expect_intact(test, o + N, N);
	gen_free(g[1]);
	if (!(mode->flags & KREGION_F_DEBUG))
		KUNIT_EXPECT_EQ(test, bytes_outstanding(), 0L);
}

struct ran {
	unsigned int n;
	char *object;
	bool intact;
};

static void count_run(void *arg)
{
	struct ran *ran = arg;

	ran->n++;
	ran->intact = *ran->object == 77;
}

static struct ran *action_add(struct kunit *test, struct kregion *r)
{
	struct ran *ran = buffer(test, sizeof(*ran));

	ran->object = kregion_alloc(r, 40, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ran->object);
	*ran->object = 77;
	KUNIT_EXPECT_EQ(test, kregion_add_action(r, count_run, ran, GFP_KERNEL), 0);
	return ran;
}

static void actions_go_with_their_generation(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct ran *sealed = action_add(test, r), *recycled, *later;
	struct kregion_gen *g = rotate(test, r), *other;

	recycled = action_add(test, r);
	other = rotate(test, r);
	later = action_add(test, r);
	kregion_drop(r);
	KUNIT_EXPECT_EQ(test, later->n, 1U);
	gen_recycle(other);
	KUNIT_EXPECT_EQ(test, recycled->n, 1U);
	region_destroy(r);
	KUNIT_EXPECT_EQ(test, sealed->n, 0U);
	gen_free(g);
	KUNIT_EXPECT_EQ(test, sealed->n, 1U);
	KUNIT_EXPECT_EQ(test, recycled->n + later->n, 2U);
	KUNIT_EXPECT_TRUE(test, sealed->intact && recycled->intact && later->intact);
}

/* A mark from before a rotate is not valid any more. */
static void a_rotate_ends_marks(struct kunit *test)
{
	const struct kregion_attr attr = { .flags = KREGION_F_SINGLE };
	struct kregion *r = region_make(test, &attr);
	struct kregion_mark m = kregion_mark(r), n;
	struct kregion_gen *g;
	struct object o;

	g = rotate(test, r);
	object_write(&o, kregion_alloc(r, 100, GFP_KERNEL), 100, 3);
	expect_warnings(test, 1);
	kregion_rewind(r, m);
	KUNIT_EXPECT_EQ(test, times_in(logged(), "the mark is not valid any more"), 1);
	KUNIT_EXPECT_TRUE(test, kregion_contains(r, o.p));
	expect_intact(test, &o, 1);
	gen_recycle(g);
	n = kregion_mark(r);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 1000, GFP_KERNEL));
	kregion_rewind(r, n);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_used, 104UL);
}

/* Children stay; sealed memory counts for the parent even without its region. */
static void generations_of_a_tree(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const size_t block = block_of(mode);
	const struct kregion_attr attr = { .flags = mode->flags, .block_size = block };
	const struct kregion_attr limited = {
		.flags = mode->flags, .block_size = block, .limit = 8 * block,
	};
	struct kregion *parent = region_make(test, &limited), *child;
	struct kregion_priv *rg = to_priv(parent);
	struct kregion_gen *g[2];
	struct object o[2];
	long sealed;

	child = kregion_create_child(parent, "kunit-child", &attr);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, child);
	object_write(&o[0], kregion_alloc(child, 100, GFP_KERNEL), 100, 1);
	object_write(&o[1], kregion_alloc(parent, 100, GFP_KERNEL), 100, 2);
	g[0] = rotate(test, parent);
	KUNIT_EXPECT_TRUE(test, kregion_contains(child, o[0].p));
	KUNIT_EXPECT_FALSE(test, kregion_contains(parent, o[1].p));
	g[1] = rotate(test, child);
	expect_intact(test, o, 2);
	sealed = gen_stats(g[0]).bytes_held + gen_stats(g[1]).bytes_held;
	kregion_drop(parent);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&rg->charged), sealed);
	expect_intact(test, o, 2);
	gen_free(g[0]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&rg->charged), (long)gen_stats(g[1]).bytes_held);
	region_destroy(parent);
	expect_intact(test, o, 1);
	gen_recycle(g[1]);
}

/* Its quarantine begins with the end of the last generation, and not before. */
static void a_second_destroy_beside_generations_is_reported(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct kregion_gen *g;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	g = rotate(test, r);
	region_destroy(r);
	expect_warnings(test, 1);
	kregion_destroy(r);
	KUNIT_EXPECT_EQ(test, times_in(logged(), "destroy after kregion_destroy()"), 1);
	gen_free(g);
}

static void nothing_is_no_generation(struct kunit *test)
{
	kregion_gen_free(NULL);
	kregion_gen_recycle(NULL);
	kregion_gen_free(ERR_PTR(-EBUSY));
	kregion_gen_recycle(ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_PTR_EQ(test, kregion_rotate(NULL), (struct kregion_gen *)ERR_PTR(-EINVAL));
}

static void drop_and_reset_leave_generations(struct kunit *test)
{
	enum { N = 60 };
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	struct object *o = buffer(test, N * sizeof(*o));
	struct kregion_stats st;
	struct kregion_gen *g;

	fill(test, r, mode, o, N, 0);
	g = rotate(test, r);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	kregion_reset(r);
	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 100, GFP_KERNEL));
	kregion_drop(r);
	expect_intact(test, o, N);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_held, 0UL);
	KUNIT_EXPECT_EQ(test, stats_of(r).bytes_sealed, gen_stats(g).bytes_held);
	gen_recycle(g);
	st = stats_of(r);
	KUNIT_EXPECT_EQ(test, st.blocks_spare, blocks_of(&st));
	expect_sane(test, r);
}

/* The first of two waits for a grace period, which this case prevents. */
struct other {
	struct kregion *r;
	struct kregion_gen *g;
};

static int rotate_once(void *arg)
{
	struct other *o = arg;

	o->g = kregion_rotate(o->r);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void a_second_rotate_is_refused(struct kunit *test)
{
	struct kregion *r = region_of_mode(test, test->param_value);
	struct other o = { .r = r };
	struct kregion_gen *second;
	struct task_struct *task;

	KUNIT_EXPECT_NOT_NULL(test, kregion_alloc(r, 8, GFP_KERNEL));
	task = thread_make(test, rotate_once, &o, another_cpu(test));
	preempt_disable();
	wake_up_process(task);
	(void)spin_until(test_bit(KREGION_ROTATING, &to_priv(r)->flags) &&
			 READ_ONCE(to_priv(r)->epoch) == 2);
	preempt_enable();
	/* Most often the grace period has not ended. */
	second = kregion_rotate(r);
	thread_stop(task);
	KUNIT_EXPECT_FALSE(test, IS_ERR(o.g));
	if (IS_ERR(second))
		KUNIT_EXPECT_PTR_EQ(test, (void *)second, ERR_PTR(-EBUSY));
	kregion_gen_free(second);
	kregion_gen_free(o.g);
	set_bit(KREGION_BUSY, &to_priv(r)->flags);
	KUNIT_EXPECT_PTR_EQ(test, (void *)kregion_rotate(r), ERR_PTR(-EBUSY));
	clear_bit(KREGION_BUSY, &to_priv(r)->flags);
}

static void damage_in_a_generation_is_reported(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	struct kregion *r = region_of_mode(test, mode);
	char *p = kregion_alloc(r, 20, GFP_KERNEL);
	struct kregion_gen *g;

	KUNIT_ASSERT_NOT_NULL(test, p);
	g = rotate(test, r);
	poke(p, 20, 1);
	expect_warnings(test, 1);
	gen_free(g);
	KUNIT_EXPECT_EQ(test, times_in(logged(), "memory behind an object was written"), 1);
}

/* ---- allocation in every context, while generations rotate --------------- */

enum writer_context { TASK, SOFTIRQ, HARDIRQ, NMI, NR_CONTEXTS };

struct record {
	u32 magic;
	u32 bytes;
	u32 cpu, context;
	u64 seq;
	unsigned long start, end;	/* of the allocation, by a common clock */
	u8 pad[];
};

#define MAGIC	0x6b726567

struct writer {
	struct storm *storm;
	u64 seq[NR_CONTEXTS];
	u64 seen[NR_CONTEXTS];
	u64 sum[NR_CONTEXTS];
	u64 last[NR_CONTEXTS];
	unsigned long failed[NR_CONTEXTS];
	struct irq_work work;
	struct hrtimer timer;
	bool timed;
	struct task_struct *task;
	int cpu;
};

struct storm {
	struct kregion *r;
	atomic_long_t clock;
	bool stop;
	unsigned long start_max;	/* of older generations */
	unsigned int disordered, early, torn;
	struct writer w[];
};

static void record(struct writer *w, enum writer_context context, size_t bytes)
{
	struct kregion *r = w->storm->r;
	const unsigned long start = atomic_long_read(&w->storm->clock);
	struct record *rec;

	bytes = ALIGN(bytes, 8);
	rcu_read_lock();
	rec = context < HARDIRQ && bytes % 16 ? kregion_alloc(r, bytes, GFP_NOWAIT | __GFP_NOWARN) :
						kregion_alloc_nofill(r, bytes);
	if (rec) {
		*rec = (struct record){
			.magic = MAGIC, .bytes = bytes, .cpu = w->cpu, .context = context,
			.seq = ++w->seq[context], .start = start,
		};
		memset(rec->pad, (u8)rec->seq, bytes - sizeof(*rec));
		rec->end = atomic_long_inc_return(&w->storm->clock);
	} else {
		w->failed[context]++;
	}
	rcu_read_unlock();
}

static void on_irq_work(struct irq_work *work)
{
	struct writer *w = container_of(work, struct writer, work);

	if (raw_smp_processor_id() == w->cpu)
		record(w, HARDIRQ, sizeof(struct record) + (u32)w->seq[HARDIRQ] % 7 * 8);
}

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct writer *w = container_of(timer, struct writer, timer);
	int i;

	for (i = 0; i < 10; i++)
		record(w, SOFTIRQ, sizeof(struct record) + (u32)w->seq[SOFTIRQ] % 9 * 8);
	hrtimer_forward_now(timer, ns_to_ktime(300 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static struct storm *storm_of_nmis;

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	struct storm *s = READ_ONCE(storm_of_nmis);
	struct writer *w;

	if (!s)
		return NMI_DONE;
	w = &s->w[smp_processor_id()];
	record(w, NMI, sizeof(struct record) + (u32)w->seq[NMI] % 5 * 8);
	return NMI_HANDLED;
}

static int write_records(void *arg)
{
	struct writer *w = arg;
	unsigned int n = 0;
	int cpu = w->cpu;

	hrtimer_start(&w->timer, ns_to_ktime(NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_SOFT);
	w->timed = true;
	while (!READ_ONCE(w->storm->stop) && !kthread_should_stop()) {
		if (!(++n % 3))
			irq_work_queue(&w->work);
		if (!(n % 128)) {
			cpu = next_online_cpu(cpu);
			nmi_send(cpu);
		}
		record(w, TASK, sizeof(struct record) + n % 25 * 8);
		if (!(n % 64))
			cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* Check the records of a generation, of which none may be younger. */
static void read_records(struct storm *s, struct kregion_gen *g)
{
	struct kregion_span span = {};
	unsigned long start_max = 0;
	int cpu;
	u64 i;

	for_each_online_cpu(cpu)
		memset(s->w[cpu].last, 0, sizeof(s->w[cpu].last));
	while (kregion_gen_next(g, &span)) {
		const char *p = span.start, *end = p + span.bytes;

		while (p < end) {
			const struct record *rec = (const struct record *)p;
			struct writer *w;

			if (rec->magic != MAGIC || rec->bytes < sizeof(*rec) ||
			    rec->bytes > end - p || rec->cpu >= nr_cpu_ids) {
				s->torn++;
				break;
			}
			for (i = 0; i < rec->bytes - sizeof(*rec); i++)
				if (rec->pad[i] != (u8)rec->seq)
					s->torn++;
			w = &s->w[rec->cpu];
			if (span.cpu >= 0) {
				if (rec->seq <= w->last[rec->context] || span.cpu != rec->cpu)
					s->disordered++;
				w->last[rec->context] = rec->seq;
			}
			if (rec->end <= s->start_max)
				s->early++;
			start_max = max(start_max, rec->start);
			w->seen[rec->context]++;
			w->sum[rec->context] += rec->seq;
			p += rec->bytes;
		}
	}
	s->start_max = max(s->start_max, start_max);
}

static void storm_end(void *arg)
{
	struct storm *s = arg;
	int cpu;

	WRITE_ONCE(s->stop, true);
	for_each_online_cpu(cpu) {
		struct writer *w = &s->w[cpu];

		if (!w->task)
			continue;
		thread_stop(w->task);
		if (w->timed)
			hrtimer_cancel(&w->timer);
		irq_work_sync(&w->work);
	}
	/* A handler that has begun ends with interrupts off. */
	WRITE_ONCE(storm_of_nmis, NULL);
	synchronize_rcu();
}

static void nothing_is_lost_while_generations_rotate(struct kunit *test)
{
	const struct mode *mode = test->param_value;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = mode->block, .reserve = 16000,
	};
	struct storm *s = buffer(test, struct_size(s, w, nr_cpu_ids));
	const unsigned long end = jiffies + HZ * scale;
	u64 written[NR_CONTEXTS] = {}, refused = 0;
	unsigned int rotates = 0, context;
	int cpu;

	s->r = region_make(test, &attr);
	undo_later(test, storm_end, s);
	for_each_online_cpu(cpu) {
		struct writer *w = &s->w[cpu];

		w->storm = s;
		w->cpu = cpu;
		w->work = IRQ_WORK_INIT_HARD(on_irq_work);
		hrtimer_setup(&w->timer, on_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_SOFT);
		w->task = thread_make(test, write_records, w, cpu);
	}
	WRITE_ONCE(storm_of_nmis, s);
	KUNIT_ASSERT_EQ(test, nmi_handler_add(on_nmi), 0);
	undo_later(test, nmi_handler_remove, NULL);
	for_each_online_cpu(cpu)
		wake_up_process(s->w[cpu].task);
	while (time_before(jiffies, end)) {
		struct kregion_gen *g = rotate(test, s->r);

		read_records(s, g);
		gen_recycle(g);
		rotates++;
	}
	undo_now(storm_end, s);
	undo_now(nmi_handler_remove, NULL);
	read_records(s, rotate(test, s->r));
	KUNIT_EXPECT_EQ(test, s->torn, 0U);
	KUNIT_EXPECT_EQ(test, s->disordered, 0U);
	KUNIT_EXPECT_EQ(test, s->early, 0U);
	for_each_online_cpu(cpu) {
		const struct writer *w = &s->w[cpu];

		for (context = 0; context < NR_CONTEXTS; context++) {
			KUNIT_EXPECT_EQ(test, w->seen[context], w->seq[context]);
			KUNIT_EXPECT_EQ(test, w->sum[context], w->seq[context] *
					(w->seq[context] + 1) / 2);
			written[context] += w->seq[context];
			refused += w->failed[context];
		}
	}
	KUNIT_EXPECT_EQ(test, stats_of(s->r).bytes_used, 0UL);
	KUNIT_EXPECT_GT(test, rotates, 2U);
	expect_sane(test, s->r);
	kunit_info(test, "%llu records of tasks, %llu softirqs, %llu interrupts, %llu NMIs; %llu refused, %u rotates",
		   written[TASK], written[SOFTIRQ], written[HARDIRQ], written[NMI], refused,
		   rotates);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(a_rotate_seals_all_objects, all_gen_params),
	KUNIT_CASE_PARAM(a_rotate_leaves_spare_blocks, base_gen_params),
	KUNIT_CASE_PARAM(an_empty_region_seals_nothing, base_gen_params),
	KUNIT_CASE_PARAM(spans_are_in_the_order_of_allocation, base_gen_params),
	KUNIT_CASE_PARAM(a_debug_span_is_an_object, debug_gen_params),
	KUNIT_CASE(a_block_of_an_interrupt_comes_first),
	KUNIT_CASE(a_closed_cpu_goes_on_with_its_block),
	KUNIT_CASE(a_cpu_that_becomes_active_delays_the_rotate),
	KUNIT_CASE_PARAM(the_limit_counts_sealed_memory, base_gen_params),
	KUNIT_CASE_PARAM(a_rotate_that_fails_changes_nothing, base_gen_params),
	KUNIT_CASE_PARAM(the_reserve_is_ready_after_a_rotate, promise_gen_params),
	KUNIT_CASE_PARAM(each_cpu_that_allocated_has_a_block, base_gen_params),
	KUNIT_CASE_PARAM(recycled_blocks_need_no_page, promise_gen_params),
	KUNIT_CASE_PARAM(a_steady_state_makes_no_call_of_the_page_allocator, base_gen_params),
	KUNIT_CASE_PARAM(a_generation_outlives_its_region, all_gen_params),
	KUNIT_CASE_PARAM(drop_and_reset_leave_generations, all_gen_params),
	KUNIT_CASE_PARAM(a_second_rotate_is_refused, smp_gen_params),
	KUNIT_CASE_PARAM(damage_in_a_generation_is_reported, damage_gen_params),
	KUNIT_CASE_PARAM(actions_go_with_their_generation, all_gen_params),
	KUNIT_CASE(a_rotate_ends_marks),
	KUNIT_CASE_PARAM(generations_of_a_tree, base_gen_params),
	KUNIT_CASE_PARAM(a_second_destroy_beside_generations_is_reported, damage_gen_params),
	KUNIT_CASE(nothing_is_no_generation),
	KUNIT_CASE_PARAM(nothing_is_lost_while_generations_rotate, smp_gen_params),
	{}
};

KREGION_SUITE(generations, cases);
