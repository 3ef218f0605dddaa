// SPDX-License-Identifier: GPL-2.0
/*
 * The source of the region allocator as a program, with rivals: its cost on a
 * real processor.
 *
 * The sources in kmod/ are compiled unchanged, against the shims in
 * kunit_tests/program. A thread is a CPU: it is pinned, and its gs segment is
 * its per-CPU area, so the inlined allocation has the kernel's instructions.
 * There are no interrupts, and the lock of the slow path does not pay for
 * switching them off.
 *
 * A round: each thread allocates --live bytes and writes the first word of each
 * object. Then a reset, so that the next round finds the same memory in the
 * caches, for memory-bound loops would hide what an allocator costs. With one
 * thread the reset is timed, for all rivals alike. With more of them it must
 * not be run beside an allocation; it is done between the rounds by the last
 * thread to arrive, and timed for none. A round lasts from a start time that
 * all threads wait for until the last of them is through. More threads than
 * processors may be asked for: a simulation, which says something of rivals
 * compared, not of CPUs.
 *
 * A run is many rounds, and its figure the median of them, so that a round in
 * which the thread was preempted does not matter. A result is the median,
 * least and greatest of the runs, an object and thread, less the median of the
 * same loop over an array in the place of the allocator. The first run warms up
 * and is not counted. Sizes 16, 64 and 256 are constants to the compiler, as
 * with most callers; others are not.
 *
 * Mind what bounds the loop. Over 32 KiB of objects or so it is the first
 * cache's misses. Below, it is how soon a word that was stored can be loaded
 * again, five cycles or so; some processors forward it at once in a loop as
 * short as bump's and in none of the others.
 *
 * what=life is a round of 20,000 objects with a drop, which gives all blocks
 * back, in the place of the reset. what=memory is the bytes held for each byte
 * asked for by a million objects.
 *
 * what=rotate is not a time: the instructions in kmod/ of a rotate and of a
 * recycle, when --threads CPUs have a block each. One thread is all CPUs in
 * turn, and is traced by the trap flag. What the kernel does for it, that is
 * pages, slab, the sort of a list and the grace period, is not in it.
 */

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <linux/kregion.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#include "../program/kernel.h"

#define MAX_THREADS	256
#define MAX_LIST	16
#define RUN_OBJECTS	(1UL << 20)	/* of all threads, in a run ... */
#define RUN_ROUNDS	25UL		/* ... if they are as many rounds as this */
#define LIFE_OBJECTS	20000UL
#define MEMORY_OBJECTS	1000000UL
#define MALLOC_BATCH	128UL
#define START_DELAY	1000		/* ns, for all threads to see that the next round is on */

static void __noreturn __cold __printf(1, 2) die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("native: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	exit(2);
}

/* ---- the kernel's side --------------------------------------------------- */

/* Memory never runs short. */
bool shim_fail(void)
{
	return false;
}

/* Only one thread rotates, and there is no other one. */
void synchronize_rcu(void)
{
}

void shim_short(void)
{
	die("out of memory");
}

/* Stubs of registry.c and debugfs.c: regions are not listed. */
struct kregion_priv;

void kregion_registry_add(struct kregion_priv *rg)
{
	(void)rg;
}

void kregion_registry_del(struct kregion_priv *rg)
{
	(void)rg;
}

int kregion_registry_init(void)
{
	return 0;
}

void kregion_registry_exit(void)
{
}

struct kregion_priv *kregion_registry_last(void)
{
	return NULL;
}

void kregion_report(struct kregion_priv *rg, const char *what)
{
	(void)rg;
	(void)what;
}

/* Stubs of quarantine.c: no region is KREGION_F_DEBUG. */
struct kregion_block;

unsigned int kregion_quarantine_blocks(struct kregion_priv *rg, struct kregion_block *chain)
{
	(void)rg;
	return !!chain;
}

void kregion_quarantine_region(struct kregion_priv *rg)
{
	(void)rg;
}

void kregion_debug_flush(void)
{
}

/* Address space that is populated on access. */
static char *reserve_space(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("no address space");
	return p;
}

static void cpu_enter(unsigned int cpu)
{
	cpu_set_t set;

	percpu_enter(cpu);
	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot be pinned to CPU %ld", cpu % sysconf(_SC_NPROCESSORS_ONLN));
}

/*
 * Pages, for all rivals but malloc. Freed blocks are kept by order and given
 * out again, as the kernel's lists of warm pages do. Huge pages, as in the
 * kernel's own map of the memory.
 */
#define SPACE		(16UL << 30)

static raw_spinlock_t pages_lock;
static void *pages_free[16];

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	static char *space, *next;
	const size_t size = PAGE_SIZE << order;
	void *p;

	(void)gfp;
	raw_spin_lock(&pages_lock);
	p = pages_free[order];
	if (p) {
		pages_free[order] = *(void **)p;
	} else {
		if (!next) {
			space = reserve_space(SPACE);
			madvise(space, SPACE, MADV_HUGEPAGE);
			next = space;
		}
		p = (void *)ALIGN((unsigned long)next, size);
		next = (char *)p + size;
		if (next > space + SPACE)
			die("out of memory");
	}
	raw_spin_unlock(&pages_lock);
	return p;
}

void free_pages(unsigned long p, unsigned int order)
{
	raw_spin_lock(&pages_lock);
	*(void **)p = pages_free[order];
	pages_free[order] = (void *)p;
	raw_spin_unlock(&pages_lock);
}

/* Pages that are trimmed off a large block are freed one by one. */
void split_page(struct page *page, unsigned int order)
{
	(void)page;
	(void)order;
}

/* ---- blocks of the rivals ------------------------------------------------ */

static size_t block_size = KREGION_BLOCK_SIZE;

/* Blocks that a reset leaves are spare. The caller has a lock or is alone. */
struct rival_pages {
	size_t size;
	void *spare;
};

static __always_inline void *rival_get_pages(struct rival_pages *pages, gfp_t gfp)
{
	void *p = pages->spare;

	if (!p)
		return alloc_pages(gfp, get_order(pages->size));
	pages->spare = *(void **)p;
	return p;
}

static __always_inline void rival_free_pages(struct rival_pages *pages, void *p)
{
	if (!p)
		return;
	*(void **)p = pages->spare;
	pages->spare = p;
}

static void rival_drop_pages(struct rival_pages *pages)
{
	void *p;

	while ((p = pages->spare)) {
		pages->spare = *(void **)p;
		free_pages((unsigned long)p, get_order(pages->size));
	}
}

#define GO_BLOCK	block_size

#include "rivals.h"

/* ---- rivals: allocation -------------------------------------------------- */

/* cmpxchg, packed: the data of one CPU. */
struct rival_cpu {
	local_t *word;			/* cmpxchg: behind the current block, or the next */
	local_t none;			/* cmpxchg: zero, no bytes left */
	unsigned long next;		/* packed: the next free byte */
	struct bump_block *blocks;
	struct rival_pages pages;
};

/* The counterpart of a region of the rivals that have none. */
union arena {
	struct bump bump;
	struct locked_bump locked;
	struct go_region go;
	struct rival_cpu __percpu *cpus; /* cmpxchg, packed */
} ____cacheline_aligned;

static struct bump_block *cpu_block(struct rival_cpu *cpu)
{
	struct bump_block *b = rival_get_pages(&cpu->pages, GFP_KERNEL);

	b->next = cpu->blocks;
	cpu->blocks = b;
	return b;
}

/* percpu, shared, single: the region has the mode. */
static __always_inline void *kregion_rival_alloc(struct kregion *r, size_t size)
{
	return kregion_alloc(r, size, GFP_KERNEL);
}

static noinline void *nofill_slow(struct kregion *r, size_t size)
{
	return kregion_alloc(r, size, GFP_KERNEL);
}

static __always_inline void *nofill_alloc(struct kregion *r, size_t size)
{
	void *p = kregion_alloc_nofill(r, size);

	return likely(p) ? p : nofill_slow(r, size);
}

/*
 * cmpxchg: as a per-CPU region, but the word behind a block, minus the bytes
 * left, is looked at first and then advanced by an unlocked
 * compare-and-exchange.
 */
static noinline void *cmpxchg_slow(union arena *a, size_t bytes)
{
	struct rival_cpu *cpu = raw_cpu_ptr(a->cpus);
	struct bump_block *b = cpu_block(cpu);

	cpu->word = (local_t *)((char *)b + block_size) - 1;
	atomic_long_set(&cpu->word->a, (char *)(b + 1) + bytes - (char *)cpu->word);
	return b + 1;
}

static __always_inline void *cmpxchg_alloc(union arena *a, size_t size)
{
	const long bytes = ALIGN(size, KREGION_ALIGN);
	long old, seen;
	local_t *word;

	preempt_disable_notrace();
	word = __this_cpu_read(a->cpus->word);
	seen = atomic_long_read(&word->a);
	do {
		old = seen;
		if (unlikely(old + bytes > 0)) {
			preempt_enable_notrace();
			return cmpxchg_slow(a, bytes);
		}
		seen = local_cmpxchg(word, old, old + bytes);
	} while (unlikely(seen != old));
	preempt_enable_notrace();
	return (char *)word + old;
}

/*
 * packed: block, place and room in one per-CPU word, an address, as blocks are
 * aligned to their size. Preemption may stay on.
 */
static noinline void *packed_slow(union arena *a, size_t bytes)
{
	struct rival_cpu *cpu = raw_cpu_ptr(a->cpus);
	struct bump_block *b = cpu_block(cpu);

	cpu->next = (unsigned long)(b + 1) + bytes;
	return b + 1;
}

static __always_inline void *packed_alloc(union arena *a, size_t size)
{
	const size_t bytes = ALIGN(size, KREGION_ALIGN);
	unsigned long __percpu *word = &a->cpus->next;
	unsigned long old = __this_cpu_read(*word);
	bool done;

	do {
		/*
		 * Are the byte before and the last one of the object in the
		 * same block?
		 */
		if (unlikely(((old - 1) ^ (old + bytes - 1)) & -block_size))
			return packed_slow(a, bytes);
		asm volatile("cmpxchgq %[new], %%gs:%[word]"
			     : "=@ccz" (done), "+a" (old), [word] "+m" (*word)
			     : [new] "r" (old + bytes) : "memory");
	} while (unlikely(!done));
	return (void *)old;
}

/* ---- rivals: rounds ------------------------------------------------------ */

/* Like a caller: check the result, and use it. */
#define LOOP(alloc, n) \
	for (i = 0; i < (n); i++) { \
		unsigned long *_p = (alloc); \
		asm volatile("" : "+r" (_p)); \
		if (unlikely(!_p)) \
			die("out of memory"); \
		*_p = i; \
		barrier(); \
	}

#define ROUND(name) \
static noinline void name##_round(void *from, size_t size, size_t n) \
{ \
	size_t i; \
\
	switch (size) { \
	case 16: \
		LOOP(name##_alloc(from, 16), n); \
		break; \
	case 64: \
		LOOP(name##_alloc(from, 64), n); \
		break; \
	case 256: \
		LOOP(name##_alloc(from, 256), n); \
		break; \
	default: \
		LOOP(name##_alloc(from, size), n); \
	} \
}

/* The loop alone, over an array as large as the objects. */
#define empty_alloc(from, size)	((from) + i * ALIGN(size, KREGION_ALIGN))

ROUND(empty)
ROUND(kregion_rival)
ROUND(nofill)
ROUND(cmpxchg)
ROUND(packed)
ROUND(bump)
ROUND(locked)
ROUND(go)

static size_t malloc_batch = MALLOC_BATCH;

/*
 * @from is an array for the pointers. In batches, so --live means nothing here.
 */
static noinline void malloc_round(void *from, size_t size, size_t n)
{
	void **object = from;
	size_t i, batch;

	for (; n; n -= batch) {
		batch = min(n, malloc_batch);
		LOOP(object[i] = malloc(size), batch);
		for (i = 0; i < batch; i++)
			free(object[i]);
	}
}

enum kind { ARRAY, BUMP, GO, CPUS, REGION };

struct rival {
	const char *name;
	void (*round)(void *from, size_t size, size_t n);
	enum kind kind;			/* of what it allocates from */
	unsigned int flags;		/* of the region */
	bool own;			/* one for each thread, as it cannot be shared */
};

static const struct rival empty = { "empty", empty_round, ARRAY, 0, true };

static const struct rival rivals[] = {
	{ "bump",	bump_round,		BUMP,	0,			true },
	{ "percpu",	kregion_rival_round,	REGION,	KREGION_F_PERCPU,	false },
	{ "shared",	kregion_rival_round,	REGION,	0,			false },
	{ "single",	kregion_rival_round,	REGION,	KREGION_F_SINGLE,	true },
	{ "nofill",	nofill_round,		REGION,	KREGION_F_PERCPU,	false },
	{ "go",		go_round,		GO,	0,			false },
	{ "spinlock",	locked_round,		BUMP,	0,			false },
	{ "malloc",	malloc_round,		ARRAY,	0,			true },
	{ "cmpxchg",	cmpxchg_round,		CPUS,	0,			false },
	{ "packed",	packed_round,		CPUS,	0,			false },
};

static void cpus_reset(struct rival_cpu __percpu *cpus, bool drop)
{
	struct bump_block *b, *next;
	unsigned int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		struct rival_cpu *c = per_cpu_ptr(cpus, cpu);

		c->word = &c->none;
		c->next = 0;
		c->pages.size = block_size;
		for (b = c->blocks; b; b = next) {
			next = b->next;
			rival_free_pages(&c->pages, b);
		}
		c->blocks = NULL;
		if (drop)
			rival_drop_pages(&c->pages);
	}
}

static union arena *arena_make(enum kind kind)
{
	static struct rival_cpu __percpu *cpus;
	union arena *a = kzalloc(sizeof(*a), GFP_KERNEL);

	if (!a)
		return NULL;
	if (kind == BUMP) {
		spin_lock_init(&a->locked.lock);
		a->bump.pages.size = block_size;
	} else if (kind == GO) {
		go_setup(&a->go, block_size);
	} else {
		if (!cpus)
			cpus = alloc_percpu(struct rival_cpu);
		a->cpus = cpus;
		cpus_reset(cpus, false);
	}
	return a;
}

static void *rival_make(const struct rival *rival, size_t array)
{
	const struct kregion_attr attr = { .flags = rival->flags, .block_size = block_size };
	void *from;

	switch (rival->kind) {
	case ARRAY:
		return alloc_pages(GFP_KERNEL, get_order(array));
	case REGION:
		from = kregion_create(rival->name, &attr);
		return IS_ERR_OR_NULL(from) ? NULL : from;
	default:
		return arena_make(rival->kind);
	}
}

static void rival_reset(const struct rival *rival, void *from, bool drop)
{
	union arena *a = from;

	switch (rival->kind) {
	case ARRAY:
		break;
	case BUMP:
		bump_release(&a->bump);
		if (drop)
			rival_drop_pages(&a->bump.pages);
		break;
	case GO:
		go_release(&a->go);
		if (drop)
			rival_drop_pages(&a->go.pages);
		break;
	case CPUS:
		cpus_reset(a->cpus, drop);
		break;
	case REGION:
		if (drop)
			kregion_drop(from);
		else
			kregion_reset(from);
		break;
	}
}

static void rival_free(const struct rival *rival, void *from, size_t array)
{
	switch (rival->kind) {
	case ARRAY:
		free_pages((unsigned long)from, get_order(array));
		break;
	case REGION:
		kregion_destroy(from);
		break;
	default:
		rival_reset(rival, from, true);
		free(from);
	}
}

/* ---- measuring ----------------------------------------------------------- */

enum what { ALLOC, LIFE, MEMORY, ROTATE };

static const char * const what_name[] = { "alloc", "life", "memory", "rotate" };

static struct thread {
	pthread_t id;
	void *from;
	u64 end;			/* of the round, ns */
} ____cacheline_aligned threads[MAX_THREADS];

/* The measurement. */
static const struct rival *rival;
static enum what what;
static size_t size, objects;		/* objects: of a thread, in a round */
static unsigned long rounds, round_nr;	/* rounds of a run; of all runs, begun */
static unsigned long runs = 11;
static u64 start;			/* of the round, ns */
static u64 *took, *round_took;		/* each run, the warm-up first; its rounds so far, ns */
static unsigned int patience;		/* polls of the start line before a yield */

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* All threads have arrived: no other one runs. */
static void round_next(void)
{
	unsigned int i;
	u64 end = 0;

	for (i = 0; round_nr && i < nr_cpu_ids; i++) {
		end = max(end, threads[i].end);
		if (nr_cpu_ids > 1 && what != MEMORY && (!i || rival->own))
			rival_reset(rival, threads[i].from, what == LIFE);
	}
	if (round_nr)
		round_took[(round_nr - 1) % rounds] = end - start;
	if (round_nr && round_nr % rounds == 0) {
		qsort(round_took, rounds, sizeof(*round_took), compare);
		took[round_nr / rounds - 1] = round_took[rounds / 2];
	}
	round_nr++;
	start = now() + START_DELAY;
}

/* The start line. The last one to come prepares the next round. */
static void meet(void)
{
	static unsigned int arrived, generation;
	const unsigned int mine = READ_ONCE(generation);
	unsigned int spins = 0;

	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == nr_cpu_ids) {
		round_next();
		arrived = 0;
		smp_store_release(&generation, mine + 1); /* the round is set up */
	}
	while (smp_load_acquire(&generation) == mine) /* ... for those who see this */
		if (++spins % patience)
			cpu_relax();
		else
			sched_yield();
	while (now() < start)
		;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	unsigned long left;

	cpu_enter(t - threads);
	for (left = what == MEMORY ? 1 : rounds * (runs + 1); left; left--) {
		meet();
		rival->round(t->from, size, objects);
		if (nr_cpu_ids == 1 && what != MEMORY)
			rival_reset(rival, t->from, what == LIFE);
		t->end = now();
	}
	meet();
	return NULL;
}

/*
 * Leaves the runs in order in took[1..runs]; for memory the bytes held
 * in *held.
 */
static void measure(const struct rival *who, size_t *held)
{
	const size_t array = objects * ALIGN(max(size, sizeof(void *)), KREGION_ALIGN);
	struct kregion_stats stats;
	unsigned int i;

	rival = who;
	round_nr = 0;
	*held = 0;
	for (i = 0; i < nr_cpu_ids; i++) {
		threads[i].from = i && !who->own ? threads[0].from : rival_make(who, array);
		if (!threads[i].from)
			die("%s: out of memory", who->name);
	}
	for (i = 1; i < nr_cpu_ids; i++)
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]))
			die("cannot start %u threads", nr_cpu_ids);
	thread_main(&threads[0]);
	for (i = 1; i < nr_cpu_ids; i++)
		pthread_join(threads[i].id, NULL);
	for (i = 0; i < nr_cpu_ids; i++) {
		if (i && !who->own)
			break;
		if (what == MEMORY) {
			kregion_stats(threads[i].from, &stats);
			*held += stats.bytes_held;
		}
		rival_free(who, threads[i].from, array);
	}
	qsort(took + 1, runs, sizeof(*took), compare);
}

/* ---- counting ------------------------------------------------------------ */

#define TRAP_FLAG	0x100
#define WARM_UP		4		/* rotates until all blocks are spare ones */

extern char __start_kmod_text[], __stop_kmod_text[];
static bool counting;
static unsigned long counted;	/* both are the handler's, too */

/* After each instruction, in front of the next one. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const char *pc = (char *)regs[REG_RIP];

	(void)sig;
	(void)info;
	if (pc >= __start_kmod_text && pc < __stop_kmod_text)
		WRITE_ONCE(counted, counted + 1);
	if (READ_ONCE(counting))
		regs[REG_EFL] |= TRAP_FLAG;
	else
		regs[REG_EFL] &= ~TRAP_FLAG;
}

static void count_begin(void)
{
	WRITE_ONCE(counted, 0);
	WRITE_ONCE(counting, true);
	raise(SIGTRAP);
}

static void count_end(const struct rival *who, const char *of)
{
	WRITE_ONCE(counting, false);
	printf("view=count rival=%s what=%s size=%zu block=%zu cpus=%u ", who->name, of, size,
	       block_size, nr_cpu_ids);
	printf("value=%lu unit=instructions\n", READ_ONCE(counted));
}

/* An object of each CPU. */
static void all_alloc(struct kregion *r)
{
	unsigned int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		percpu_enter(cpu);
		if (!kregion_alloc(r, size, GFP_KERNEL))
			die("out of memory");
	}
	percpu_enter(0);
}

static struct kregion_gen *rotate(struct kregion *r)
{
	struct kregion_gen *g = kregion_rotate(r);

	if (IS_ERR(g))
		die("out of memory");
	return g;
}

/* The first rotate gets new blocks, the last one spare ones. */
static void count_rotate(const struct rival *who)
{
	const struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	struct kregion *r = rival_make(who, 0);
	struct kregion_gen *g;
	unsigned int i;

	if (!r || sigaction(SIGTRAP, &action, NULL))
		die("cannot count");
	all_alloc(r);
	count_begin();
	g = rotate(r);
	count_end(who, "rotate_pages");
	for (i = 0; i < WARM_UP; i++) {
		kregion_gen_recycle(g);
		all_alloc(r);
		g = rotate(r);
	}
	kregion_gen_recycle(g);
	all_alloc(r);
	count_begin();
	g = rotate(r);
	count_end(who, "rotate");
	count_begin();
	kregion_gen_recycle(g);
	count_end(who, "recycle");
	rival_free(who, r, 0);
}

/* ---- command line -------------------------------------------------------- */

static const char *label;
static size_t live = 256 << 10;

static bool rival_fits(const struct rival *who)
{
	return what < MEMORY || who->round == kregion_rival_round;
}

/* @base: of the empty loop, ns a round. */
static void report(const struct rival *who, double base)
{
	const char *name = who->round == malloc_round ? label : NULL;
	const size_t total = objects * nr_cpu_ids;
	size_t held;
	double ns;

	measure(who, &held);
	printf("view=native rival=%s%s%s what=%s size=%zu block=%zu threads=%u ", who->name,
	       name ? "-" : "", name ?: "", what_name[what], size, block_size, nr_cpu_ids);
	if (what == MEMORY) {
		printf("objects=%zu held=%zu used=%zu value=%.4f unit=ratio\n", total, held,
		       total * size, (double)held / (total * size));
		return;
	}
	if (what == LIFE)
		printf("objects=%zu ", total);
	ns = (took[1 + runs / 2] - base) / objects;
	printf("live=%zu runs=%lu value=%.3f min=%.3f max=%.3f unit=ns",
	       what == LIFE ? objects * size : live, runs, ns, (took[1] - base) / objects,
	       (took[runs] - base) / objects);
	if (nr_cpu_ids > 1)
		printf(" throughput=%.1f", nr_cpu_ids * 1000 / ns);
	putchar('\n');
	fflush(stdout);
}

static void run(const struct rival * const *list, size_t nr)
{
	double base = 0;
	size_t i, held;

	for (i = 0; i < nr && what == ROTATE; i++)
		if (rival_fits(list[i]))
			count_rotate(list[i]);
	if (what == ROTATE)
		return;
	objects = (what == ALLOC ? live / size : what == LIFE ? LIFE_OBJECTS : MEMORY_OBJECTS) /
		  (what == ALLOC ? 1 : nr_cpu_ids);
	rounds = what == MEMORY ? 1 : max(RUN_OBJECTS / nr_cpu_ids / objects, RUN_ROUNDS);
	round_took = calloc(rounds, sizeof(*round_took));
	if (!round_took)
		die("out of memory");
	if (what != MEMORY) {
		measure(&empty, &held);
		base = took[1 + runs / 2];
	}
	for (i = 0; i < nr; i++)
		if (rival_fits(list[i]))
			report(list[i], base);
	free(round_took);
}

static const char usage[] =
"usage: native [OPTION]...\n"
"Time the region allocator as a program, beside rivals.\n\n"
"  --what WHAT               alloc, life, memory or rotate [alloc]\n"
"  --rival NAME[,NAME...]    whom, see --list [all]\n"
"  --size N[,N...]           bytes of an object, 8 to an eighth of a block [64; memory: 72]\n"
"  --threads N               1 to 256, pinned in turn to the processors [1]\n"
"  --runs N                  runs to take the median of [11]\n"
"  --live BYTES              of each thread between two resets, to 64 MiB [262144]\n"
"  --block BYTES             of a block, a power of two, 4096 to 4194304 [65536]\n"
"  --label TEXT              the rival malloc is called malloc-TEXT\n"
"  --list, --help, --version\n\n"
"One line of key=value words a result; value is in ns an object and thread, the loop's\n"
"own cost subtracted, or for memory in bytes held a byte asked for.\n"
"rotate is in instructions, with N CPUs.\n";

static unsigned long number(const char *option, const char *text, unsigned long least,
			    unsigned long most)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (!isdigit(*text) || *end || errno || n < least || n > most)
		die("--%s: a number from %lu to %lu is expected, not '%s'", option, least, most,
		    text);
	return n;
}

static const struct rival *rival_named(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rivals); i++)
		if (!strcmp(name, rivals[i].name))
			return &rivals[i];
	die("--rival: there is no '%s', see --list", name);
}

int main(int argc, char **argv)
{
	enum { WHAT, RIVAL, SIZE, THREADS, RUNS, LIVE, BLOCK, LABEL, LIST, HELP, VERSION };
	static const struct option options[] = {
		{ "what", 1, NULL, WHAT }, { "rival", 1, NULL, RIVAL }, { "size", 1, NULL, SIZE },
		{ "threads", 1, NULL, THREADS }, { "runs", 1, NULL, RUNS },
		{ "live", 1, NULL, LIVE }, { "block", 1, NULL, BLOCK },
		{ "label", 1, NULL, LABEL }, { "list", 0, NULL, LIST }, { "help", 0, NULL, HELP },
		{ "version", 0, NULL, VERSION }, { }
	};
	const struct rival *list[MAX_LIST];
	size_t sizes[MAX_LIST], nr = 0, nr_sizes = 0, i;
	char *size_list = NULL, *word;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case WHAT:
			for (what = ALLOC; strcmp(optarg, what_name[what]); what++)
				if (what == ROTATE)
					die("--what: '%s' is none, see --help", optarg);
			break;
		case RIVAL:
			for (nr = 0; (word = strsep(&optarg, ",")); list[nr++] = rival_named(word))
				if (nr == MAX_LIST)
					die("--rival: more than %d", MAX_LIST);
			break;
		case SIZE:
			size_list = optarg;
			break;
		case THREADS:
			nr_cpu_ids = number("threads", optarg, 1, MAX_THREADS);
			break;
		case RUNS:
			runs = number("runs", optarg, 1, 10000);
			break;
		case LIVE:
			live = number("live", optarg, 1024, 64 << 20);
			break;
		case BLOCK:
			block_size = number("block", optarg, PAGE_SIZE, KMALLOC_MAX_SIZE);
			if (!is_power_of_2(block_size))
				die("--block: %zu is no power of two", block_size);
			break;
		case LABEL:
			label = optarg;
			break;
		case LIST:
			for (i = 0; i < ARRAY_SIZE(rivals); i++)
				puts(rivals[i].name);
			return 0;
		case HELP:
			fputs(usage, stdout);
			return 0;
		case VERSION:
			puts("native (kregion) 1.0.0");
			return 0;
		default:
			fputs("native: see --help\n", stderr);
			return 2;
		}
	}
	if (optind < argc)
		die("unexpected argument '%s'", argv[optind]);
	if (what == LIFE && nr_cpu_ids > 1)
		die("--what life is of one thread");
	while ((word = strsep(&size_list, ","))) {
		if (nr_sizes == MAX_LIST)
			die("--size: more than %d", MAX_LIST);
		sizes[nr_sizes++] = number("size", word, sizeof(long), min(block_size / 8, live));
	}
	if (!nr_sizes)
		sizes[nr_sizes++] = what == MEMORY ? 72 : 64;
	for (i = 0; i < nr; i++)
		if (!rival_fits(list[i]))
			die("--what %s cannot be asked of %s", what_name[what], list[i]->name);
	if (!nr)
		for (; nr < ARRAY_SIZE(rivals); nr++)
			list[nr] = &rivals[nr];

	took = calloc(runs + 1, sizeof(*took));
	if (!took)
		die("out of memory");
	if (what == LIFE)
		malloc_batch = LIFE_OBJECTS;
	patience = nr_cpu_ids > sysconf(_SC_NPROCESSORS_ONLN) ? 1 : 1024;
	cpu_enter(0);
	for (i = 0; i < nr_sizes; i++) {
		size = sizes[i];
		run(list, nr);
	}
	return ferror(stdout) || fclose(stdout) ? EXIT_FAILURE : 0;
}
