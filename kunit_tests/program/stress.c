// SPDX-License-Identifier: GPL-2.0
/*
 * Concurrent stress of the allocator as a program, for sanitizers.
 *
 * Tasks allocate from a few regions, on fewer CPUs than there are tasks, and
 * stamp their objects. A lock for each region stands for what a client has to
 * exclude drop and reset: each task now and then takes it alone, spends a
 * reserve, verifies all objects and the statistics, and ends the epoch by a
 * drop, a reset or another region. Generations rotate while others allocate, and
 * are verified then. A reader follows the registry as debugfs does, a worker
 * refills reserves, and calls of the page allocator fail at random.
 *
 * usage: stress SECONDS [SEED]
 */
#include <pthread.h>
#include <unistd.h>

#include "internal.h"
#include "kernel.h"
#include "random.h"

#include <linux/rcupdate.h>

#define NR_TASKS	4
#define NR_CPU_IDS	3
#define NR_REGIONS	3
#define MAX_OBJECTS	2000
#define MAX_GENS	6

struct object {
	char *p;
	size_t size;
	u64 stamp;
};

static struct world {
	struct kregion *r;
	pthread_rwlock_t epoch;		/* for reading: to allocate */
	struct kregion_attr attr;
	bool aligned;			/* has padding, whose size is not known */
	struct {
		struct object object[MAX_OBJECTS];
		unsigned int nr;
		size_t used, padding;	/* bytes: at least; at most in addition */
	} of[NR_TASKS];
	struct kregion_gen *gens[MAX_GENS];
	size_t sealed[MAX_GENS];	/* gen_sum() of these, when they were new */
	unsigned int nr_gens;
	pthread_mutex_t rotate;		/* keeps them in order */
} worlds[NR_REGIONS];

static bool stopping;
static unsigned long operations, epochs, rotates, snapshots;

bool shim_fail(void)
{
	return !pick(50);
}

void shim_short(void)
{
}

/* ---- objects ------------------------------------------------------------- */

static void stamp(struct object *o)
{
	size_t i;

	for (i = 0; i < o->size; i += sizeof(o->stamp))
		memcpy(o->p + i, &o->stamp, min(o->size - i, sizeof(o->stamp)));
}

static void verify(const struct object *o)
{
	size_t i;

	for (i = 0; i < o->size; i += sizeof(o->stamp))
		CHECK(!memcmp(o->p + i, &o->stamp, min(o->size - i, sizeof(o->stamp))));
}

static void keep(struct world *w, unsigned int task, void *p, size_t size, size_t align)
{
	const unsigned int n = w->of[task].nr++;

	CHECK(n < MAX_OBJECTS);
	CHECK((unsigned long)p % max(align, KREGION_ALIGN) == 0);
	w->of[task].object[n] = (struct object){ p, size, (u64)(task + 1) << 32 | seed };
	w->of[task].used += region_bytes(to_priv(w->r), size, align);
	w->of[task].padding += align - KREGION_ALIGN;
	stamp(&w->of[task].object[n]);
}

static gfp_t pick_gfp(void)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_KERNEL, GFP_NOIO, GFP_ATOMIC, GFP_NOWAIT };

	return gfps[pick(ARRAY_SIZE(gfps))];
}

static void *alloc_text(struct kregion *r, size_t *size)
{
	char text[64], *p;

	*size = snprintf(text, sizeof(text), "%0*d", (int)pick(50) + 1, 0) + 1;
	p = pick(2) ? kregion_strdup(r, text, pick_gfp()) :
		      kregion_asprintf(r, pick_gfp(), "%s", text);
	CHECK(!p || !strcmp(p, text));
	return p;
}

static void alloc_one(struct world *w, unsigned int task)
{
	const size_t small = (w->attr.block_size ?: KREGION_BLOCK_SIZE) / 8;
	size_t size = 1 + pick(pick(4) ? 100 : small), align = KREGION_ALIGN, i;
	char *p = NULL;

	shim_cpu = pick(nr_cpu_ids);
	rcu_read_lock();
	switch (pick(16)) {
	default:
		size = 24;
		p = kregion_alloc(w->r, 24, GFP_KERNEL);
		break;
	case 0 ... 3:
		p = kregion_alloc(w->r, size, pick_gfp());
		break;
	case 4:
		p = kregion_zalloc(w->r, size, pick_gfp());
		for (i = 0; p && i < size; i++)
			CHECK(!p[i]);
		break;
	case 5:
		if (w->aligned)
			align = KREGION_ALIGN << pick(7);
		p = kregion_alloc_aligned(w->r, size, align, pick_gfp());
		break;
	case 6 ... 8:
		p = kregion_alloc_nofill(w->r, size);
		break;
	case 9:
		if (!pick(8)) {
			size += small;
			p = kregion_alloc(w->r, size, pick_gfp());
		}
		break;
	case 10:
		p = alloc_text(w->r, &size);
		break;
	case 11:
		if (!pick(8))
			kregion_reserve(w->r, size, pick_gfp());
		break;
	}
	CHECK(!shim_preempt_count);
	if (p)
		keep(w, task, p, size, align);
	rcu_read_unlock();
	__atomic_fetch_add(&operations, 1, __ATOMIC_RELAXED);
}

/* ---- generations --------------------------------------------------------- */

/* Of the bytes handed out, which nobody writes any more. */
static size_t gen_sum(struct kregion_gen *g)
{
	struct kregion_span span = {};
	struct kregion_stats st;
	size_t bytes = 0, sum = 0, i;

	while (kregion_gen_next(g, &span)) {
		for (i = 0; i < span.bytes / sizeof(u64); i++)
			sum = sum * 31 + ((const u64 *)span.start)[i];
		bytes += span.bytes;
	}
	kregion_gen_stats(g, &st);
	CHECK(bytes <= st.bytes_used && st.bytes_used + st.bytes_lost <= st.bytes_held);
	return sum + st.bytes_used;
}

static void rotate(struct world *w)
{
	struct kregion_gen *g;

	pthread_mutex_lock(&w->rotate);
	if (w->nr_gens < MAX_GENS) {
		g = kregion_rotate(w->r);
		if (IS_ERR(g)) {
			CHECK(g == ERR_PTR(-ENOMEM));
		} else {
			w->sealed[w->nr_gens] = gen_sum(g);
			w->gens[w->nr_gens++] = g;
		}
		__atomic_fetch_add(&rotates, !IS_ERR(g), __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&w->rotate);
}

static bool gen_contains(struct kregion_gen *g, const struct object *o)
{
	struct kregion_span span = {};

	while (kregion_gen_next(g, &span))
		if (o->p >= (const char *)span.start &&
		    o->p + o->size <= (const char *)span.start + span.bytes)
			return true;
	return false;
}

/* The only generation of @o; @w->nr_gens is the present one. */
static unsigned int gen_of(const struct world *w, const struct object *o)
{
	unsigned int i, nr = 0, found = w->nr_gens;

	for (i = 0; i < w->nr_gens; i++) {
		if (gen_contains(w->gens[i], o)) {
			found = i;
			nr++;
		}
	}
	CHECK(nr + kregion_contains(w->r, o->p) == 1);
	return found;
}

/* A task has its objects in the order of allocation, whatever CPUs it was on. */
static void verify_order(const struct world *w, unsigned int task)
{
	unsigned int n, gen, last = 0;

	for (n = 0; n < w->of[task].nr; n++) {
		gen = gen_of(w, &w->of[task].object[n]);
		CHECK(gen >= last);
		last = gen;
	}
}

/* @some: at random; kregion_gen_free(NULL) does nothing. */
static void gens_end(struct world *w, bool some)
{
	unsigned int i;

	for (i = 0; i < w->nr_gens; i++) {
		if (some && pick(2))
			continue;
		(pick(2) ? kregion_gen_free : kregion_gen_recycle)(w->gens[i]);
		w->gens[i] = NULL;
	}
	if (!some)
		w->nr_gens = 0;
}

/* ---- epochs -------------------------------------------------------------- */

static void make(struct world *w)
{
	static const unsigned int modes[] = { 0, KREGION_F_PERCPU, KREGION_F_SINGLE };
	static const unsigned int backings[] = { 0, 0, KREGION_F_PAGES, KREGION_F_VMALLOC };

	do {
		w->attr = (struct kregion_attr){
			.flags = modes[pick(3)] | backings[pick(4)] |
				 (pick(6) ? 0 : KREGION_F_DEBUG) | (pick(6) ? 0 : KREGION_F_NODE),
			.block_size = PAGE_SIZE << pick(5),
		};
		if (!pick(3))
			w->attr.limit = w->attr.block_size * (2 + pick(30));
		if (!pick(3))
			w->attr.reserve = pick(2 * PAGE_SIZE);
		w->aligned = pick(2);
		w->r = kregion_create("stress", &w->attr);
	} while (IS_ERR(w->r));
}

static void check_stats(const struct kregion_stats *st, size_t limit)
{
	CHECK(!limit || st->bytes_held <= limit);
	CHECK(st->bytes_used + st->bytes_lost <= st->bytes_held);
	CHECK(st->blocks_current + st->blocks_full + st->blocks_large + st->blocks_spare <=
	      st->blocks_peak);
	CHECK(st->blocks_peak <= st->fills);
}

/* What was promised is there, on whatever CPUs. */
static void spend(struct world *w, unsigned int task)
{
	const size_t small = to_priv(w->r)->block_size / 8;
	size_t promise = 8 * pick(PAGE_SIZE / 4), size;
	void *p;

	if (w->of[task].nr > MAX_OBJECTS / 2 || kregion_reserve(w->r, promise, GFP_KERNEL))
		return;
	while (promise && w->of[task].nr < MAX_OBJECTS) {
		size = ALIGN(1 + pick(min(promise, small)), KREGION_ALIGN);
		shim_cpu = pick(nr_cpu_ids);
		p = kregion_alloc_nofill(w->r, size);
		CHECK(p);
		keep(w, task, p, size, KREGION_ALIGN);
		promise -= size;
	}
}

/* The caller has @w alone, but for readers and the worker. */
static void epoch_end(struct world *w, unsigned int task)
{
	size_t used = 0, padding = 0;
	struct kregion_stats st;
	unsigned int i, n;

	spend(w, task);
	if (w->nr_gens)
		verify_order(w, pick(NR_TASKS));
	for (i = 0; i < NR_TASKS; i++) {
		for (n = 0; n < w->of[i].nr; n++)
			verify(&w->of[i].object[n]);
		if (n)
			gen_of(w, &w->of[i].object[pick(n)]);
		used += w->of[i].used;
		padding += w->of[i].padding;
		w->of[i].nr = 0;
		w->of[i].used = 0;
		w->of[i].padding = 0;
	}
	kregion_stats(w->r, &st);
	check_stats(&st, w->attr.limit);
	for (i = 0; i < w->nr_gens; i++) {
		struct kregion_stats sealed;

		CHECK(gen_sum(w->gens[i]) == w->sealed[i]);
		kregion_gen_stats(w->gens[i], &sealed);
		st.bytes_used += sealed.bytes_used;
	}
	CHECK(st.bytes_used >= used && st.bytes_used <= used + padding);

	gens_end(w, true);
	n = pick(8);
	if (!n) {
		kregion_destroy(w->r);
		make(w);
	} else if (n & 1) {
		kregion_drop(w->r);
	} else {
		kregion_reset(w->r);
	}
	gens_end(w, false);
	kregion_stats(w->r, &st);
	CHECK(!st.bytes_used && !st.blocks_large && !st.blocks_full);
	CHECK(!st.generations && !st.bytes_sealed);
	__atomic_fetch_add(&epochs, 1, __ATOMIC_RELAXED);
}

/* ---- threads ------------------------------------------------------------- */

static void *task_main(void *arg)
{
	const unsigned int task = (unsigned long)arg & 0xff;

	seed = (unsigned long)arg;
	while (!READ_ONCE(stopping)) {
		struct world *w = &worlds[pick(NR_REGIONS)];
		const bool alone = !pick(50);
		const bool rotates_now = !pick(60);
		unsigned int n = 1 + pick(50);

		if (alone)
			pthread_rwlock_wrlock(&w->epoch);
		else
			pthread_rwlock_rdlock(&w->epoch);
		if (alone) {
			epoch_end(w, task);
		} else if (w->attr.flags & KREGION_F_SINGLE) {
			/* The caller serializes. */
			static pthread_mutex_t serial = PTHREAD_MUTEX_INITIALIZER;

			pthread_mutex_lock(&serial);
			if (rotates_now)
				rotate(w);
			for (; n && w->of[task].nr < MAX_OBJECTS; n--)
				alloc_one(w, task);
			pthread_mutex_unlock(&serial);
		} else {
			if (rotates_now)
				rotate(w);
			for (; n && w->of[task].nr < MAX_OBJECTS; n--)
				alloc_one(w, task);
		}
		pthread_rwlock_unlock(&w->epoch);
	}
	return NULL;
}

static void *reader_main(void *arg)
{
	struct kregion_reader reader;
	struct kregion_priv *rg, *next;
	struct kregion_stats st;

	seed = (unsigned long)arg;
	while (!READ_ONCE(stopping)) {
		kregion_reader_add(&reader);
		for (rg = kregion_registry_next(&reader, 0); rg; rg = next) {
			kregion_stats(&rg->fast, &st);
			check_stats(&st, rg->limit);
			kregion_contains(&rg->fast, &st);
			next = kregion_registry_next(&reader, rg->id);
			kregion_unpin(rg);
			__atomic_fetch_add(&snapshots, 1, __ATOMIC_RELAXED);
		}
		kregion_reader_del(&reader);
		usleep(pick(200));
	}
	return NULL;
}

static void *worker_main(void *arg)
{
	seed = (unsigned long)arg;
	while (!READ_ONCE(stopping)) {
		shim_cpu = pick(nr_cpu_ids);
		if (!shim_run_work())
			usleep(100);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	void *(*const mains[])(void *) = { reader_main, worker_main };
	const unsigned int seconds = argc > 1 ? atoi(argv[1]) : 0;
	pthread_t threads[NR_TASKS + ARRAY_SIZE(mains)];
	unsigned long i;

	if (argc > 3 || !seconds) {
		fputs("usage: stress SECONDS [SEED]\n", stderr);
		return 2;
	}
	seed = seed_of_run(argc > 2 ? argv[2] : NULL) | 0x80;
	printf("stress: %u s, seed %u, %u tasks, %u CPUs, %u regions\n", seconds, seed >> 8,
	       NR_TASKS, NR_CPU_IDS, NR_REGIONS);
	nr_cpu_ids = NR_CPU_IDS;
	CHECK(!shim_init());
	for (i = 0; i < NR_REGIONS; i++) {
		pthread_rwlock_init(&worlds[i].epoch, NULL);
		pthread_mutex_init(&worlds[i].rotate, NULL);
		make(&worlds[i]);
	}
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		CHECK(!pthread_create(&threads[i], NULL,
				      i < NR_TASKS ? task_main : mains[i - NR_TASKS],
				      (void *)((seed & ~0xffUL) | i)));
	sleep(seconds);
	WRITE_ONCE(stopping, true);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < NR_REGIONS; i++) {
		epoch_end(&worlds[i], 0);
		kregion_destroy(worlds[i].r);
	}
	shim_exit();
	CHECK(!shim_pages_used() && !shim_blocks && !shim_bytes);
	CHECK(!shim_warnings);
	printf("stress: %lu operations, %lu epochs, %lu rotates, %lu snapshots: SUCCESS\n",
	       operations, epochs, rotates, snapshots);
	return 0;
}
