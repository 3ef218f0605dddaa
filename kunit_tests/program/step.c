// SPDX-License-Identifier: GPL-2.0
/*
 * A call is interrupted in front of each of its instructions in kmod/, once in
 * each run: by an interrupt or an NMI of its CPU, by an allocation of another
 * CPU, by a rotate, or by a reader. Then all objects, the statistics and the
 * promise of the reserve are verified. An insertion into a map is interrupted by
 * insertions of the same and other bytes.
 *
 * A rotate that interrupts a call has a stack of its own, and waits for its grace
 * period until the call ends, if that is in a read-side critical section. The
 * client of a shared region is in one during the whole call.
 *
 * The first run records the instructions: the trap flag makes each raise
 * SIGTRAP. Functions out of kmod/ run at full speed, as the handler replaces
 * their return address by that of a breakpoint. Each further run has a
 * breakpoint at one of the instructions, whose handler is the intruder. The
 * per-CPU area and local_t are those of the kernel on x86-64.
 *
 * usage: step
 */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "internal.h"
#include "kernel.h"

#include <linux/rcupdate.h>
#include <linux/siphash.h>

#define TRAP_FLAG	0x100
#define PROMISE		1200
#define STEPPED		__attribute__((section("kmod_text"), __noinline__))

enum path { FAST, FRESH, SPARE, LARGE, ALIGNED, NOFILL, NOFILL_FULL, NOFILL_STANDBY, NOFILL_FIRST,
	RESERVE, REFILL, ROTATE, ROTATE_AGAIN, MAP_FIRST, MAP_NEXT, NR_PATHS };
static const char * const path_names[] = { "fast", "fresh block", "spare block", "large", "aligned",
	"nofill", "nofill reserve", "nofill standby", "nofill first block", "reserve", "refill",
	"rotate", "rotate, reopen", "first of a map", "next of a map" };

enum intruder { IRQ_SMALL, IRQ_REFILL, NMI_SMALL, NMI_REFILL, CPU, ROTATER, READER, NR_INTRUDERS };
static const char * const intruder_names[] = { "interrupt", "interrupt, refill", "NMI",
	"NMI, refill", "CPU", "rotate", "reader" };

static const struct mode { const char *name; unsigned int flags; size_t limit; } modes[] = {
	{ "percpu", KREGION_F_PERCPU, 0 }, { "percpu, limit", KREGION_F_PERCPU, SZ_1M },
	{ "shared", 0, 0 }, { "shared, limit", 0, SZ_1M },
	{ "single", KREGION_F_SINGLE, 0 },
};

extern char __start_kmod_text[], __stop_kmod_text[], resume_here[];
asm(".text; resume_here: int3");

static struct kregion *r;
static struct kregion_map *map;
static const struct kregion_item *put;	/* by the call */
static struct { char *p; size_t size; } objects[64];
static unsigned int nr_objects;
static struct kregion_gen *gens[3];
static unsigned int nr_gens;
static size_t used, padding;		/* bytes; padding: at most in addition */

static enum intruder intruder;
static bool promised;

static char *trace[10000];		/* the instructions of the call */
static unsigned int nr_trace, target;
static bool recording, intruded;
static unsigned long resume_at;
static char *breakpoint, instruction;
static unsigned int passes;		/* of the breakpoint, before the intrusion */
static unsigned long runs, intrusions;

#define CHECK(x)	do { if (!(x)) fail(__LINE__, #x); } while (0)

static enum path stepped;
static const struct mode *stepped_mode;

static void fail(int line, const char *what)
{
	fprintf(stderr, "step.c: %s, %s, instruction %u: %s\n", stepped_mode->name,
		path_names[stepped], target, intruder_names[intruder]);
	shim_die(__FILE__, line, what);
}

static void become_active(void);
static unsigned int active_in;		/* calls of an allocator; 0: never */

/* While a rotate gets a block, another CPU may get its first one. */
bool shim_fail(void)
{
	if (active_in && !--active_in)
		become_active();
	return false;
}

void shim_short(void)
{
	CHECK(!"memory");
}

static void keep(char *p, size_t size)
{
	CHECK(p && nr_objects < ARRAY_SIZE(objects));
	memset(p, nr_objects + 1, size);
	objects[nr_objects].p = p;
	objects[nr_objects++].size = size;
	used += ALIGN(size, KREGION_ALIGN);
}

/* Only calls on what was promised must succeed. */
static void keep_nofill(char *p, size_t size)
{
	if (p || promised)
		keep(p, size);
}

static bool gen_contains(struct kregion_gen *g, const char *p)
{
	struct kregion_span span = {};

	while (kregion_gen_next(g, &span))
		if (p >= (const char *)span.start && p < (const char *)span.start + span.bytes)
			return true;
	return false;
}

/* Each object is in one generation, those from @first on in that of the region. */
static void verify(unsigned int first)
{
	struct kregion_stats st, gst;
	unsigned int i, g, found;
	unsigned long sealed = 0;
	size_t n;

	for (i = 0; i < nr_objects; i++) {
		for (n = 0; n < objects[i].size; n++)
			CHECK(objects[i].p[n] == (char)(i + 1));
		found = kregion_contains(r, objects[i].p);
		CHECK(found || i < first);
		for (g = 0; g < nr_gens; g++)
			found += gen_contains(gens[g], objects[i].p);
		CHECK(found == 1);
	}
	kregion_stats(r, &st);
	for (g = 0; g < nr_gens; g++) {
		kregion_gen_stats(gens[g], &gst);
		st.bytes_used += gst.bytes_used;
		st.blocks_full += gst.blocks_full;
		st.blocks_large += gst.blocks_large;
		sealed += gst.bytes_held;
	}
	CHECK(st.bytes_used >= used && st.bytes_used <= used + padding);
	CHECK(st.bytes_sealed == sealed && st.generations == nr_gens);
	CHECK((long)(st.bytes_held + sealed) == shim_bytes);
	CHECK(st.blocks_current + st.blocks_full + st.blocks_large + st.blocks_spare ==
	      (unsigned long)shim_blocks);
}

/* ---- rotates ------------------------------------------------------------- */

static ucontext_t rotate_context, rotate_caller;
static char rotate_stack[1 << 16];
static bool rotate_waits;		/* for the end of its grace period */
static bool rotate_deferred;		/* ... is to wait */

static void rotate(void)
{
	struct kregion_gen *g = kregion_rotate(r);

	CHECK(!IS_ERR(g));
	gens[nr_gens++] = g;
}

/* The calls of the other CPU have ended, or that of the caller has not. */
void synchronize_rcu(void)
{
	CHECK(!shim_preempt_count);
	if (!rotate_deferred)
		return;
	rotate_waits = true;
	swapcontext(&rotate_context, &rotate_caller);
	rotate_waits = false;
}

static void rotate_run(void)
{
	percpu_enter(1);
	swapcontext(&rotate_caller, &rotate_context);
	percpu_enter(0);
}

static void rotate_begin(bool deferred)
{
	rotate_deferred = deferred;
	getcontext(&rotate_context);
	rotate_context.uc_stack.ss_sp = rotate_stack;
	rotate_context.uc_stack.ss_size = sizeof(rotate_stack);
	rotate_context.uc_link = &rotate_caller;
	makecontext(&rotate_context, rotate, 0);
	rotate_run();
}

static void rotate_end(void)
{
	rotate_deferred = false;
	if (rotate_waits)
		rotate_run();
	CHECK(!rotate_waits);
}

/* ---- maps ---------------------------------------------------------------- */

#define KEY		3	/* that the call puts; smaller ones may be there before */

static void put_atomic(u32 key)
{
	const struct kregion_item *item = kregion_map_put(map, &key, sizeof(key), GFP_ATOMIC);

	CHECK(item && kregion_map_item(map, item->id) == item);
	CHECK(kregion_map_count(map) >= item->id);
}

static void put_nofill(u32 key)
{
	const struct kregion_item *item = kregion_map_put_nofill(map, &key, sizeof(key));

	CHECK(item && kregion_map_item(map, item->id) == item);
	CHECK(kregion_map_count(map) >= item->id);
}

/* The items have ids without a gap, and keys that differ. */
static void map_verify(void)
{
	const struct kregion_item *item;
	const u32 count = kregion_map_count(map);
	u32 id, keys = 0;

	for (id = 1; id <= count; id++) {
		item = kregion_map_item(map, id);
		CHECK(item && item->id == id && item->len == sizeof(u32));
		CHECK(!(keys & 1U << *item->data));
		keys |= 1U << *item->data;
	}
	CHECK(!kregion_map_item(map, 0) && !kregion_map_item(map, count + 2));
}

static void map_intrude(void)
{
	switch (intruder) {
	case IRQ_SMALL:
		put_atomic(KEY);
		break;
	case IRQ_REFILL:
		put_atomic(KEY + 1);
		put_atomic(KEY);
		break;
	case NMI_SMALL:
		put_nofill(KEY);
		break;
	case NMI_REFILL:
		put_nofill(KEY + 1);
		put_nofill(KEY);
		put_nofill(KEY + 2);
		break;
	case CPU:
		percpu_enter(1);
		put_atomic(KEY + 1);
		put_atomic(KEY);
		percpu_enter(0);
		break;
	default:
		percpu_enter(1);
		map_verify();
		percpu_enter(0);
	}
}

/* ---- the intruder -------------------------------------------------------- */

static void intrude(void)
{
	struct kregion_stats st;

	if (map) {
		map_intrude();
		intrusions++;
		return;
	}
	switch (intruder) {
	case IRQ_SMALL:
		keep(kregion_alloc(r, 40, GFP_ATOMIC), 40);
		break;
	case IRQ_REFILL:
		keep(kregion_alloc(r, 400, GFP_ATOMIC), 400);
		keep(kregion_alloc(r, 400, GFP_ATOMIC), 400);
		break;
	case NMI_SMALL:
		keep_nofill(kregion_alloc_nofill(r, 40), 40);
		break;
	case NMI_REFILL:
		keep_nofill(kregion_alloc_nofill(r, 400), 400);
		keep_nofill(kregion_alloc_nofill(r, 400), 400);
		break;
	case CPU:
		percpu_enter(1);
		keep(kregion_alloc(r, 40, GFP_ATOMIC), 40);
		keep(kregion_alloc(r, 400, GFP_ATOMIC), 400);
		percpu_enter(0);
		break;
	case ROTATER:
		rotate_begin(shim_preempt_count || !(stepped_mode->flags & KREGION_F_PERCPU));
		break;
	default:
		percpu_enter(1);
		kregion_stats(r, &st);
		CHECK(st.bytes_used + st.bytes_lost <= st.bytes_held);
		if (stepped == ROTATE || stepped == ROTATE_AGAIN)
			break;
		CHECK(st.bytes_used >= used);
		CHECK(!nr_objects || kregion_contains(r, objects[0].p));
	}
	percpu_enter(0);
	intrusions++;
}

/* With the lock held, interrupts are off, and other CPUs and readers wait. */
static bool allowed(void)
{
	return !to_priv(r)->lock.locked || intruder == NMI_SMALL || intruder == NMI_REFILL;
}

static void set_breakpoint(void)
{
	instruction = *breakpoint;
	*breakpoint = '\xcc';
}

/* In front of the instruction of the breakpoint: true to step over it. */
static bool hit(void)
{
	*breakpoint = instruction;
	if (passes) {
		passes--;
		return true;
	}
	intruded = true;
	breakpoint = NULL;
	if (allowed())
		intrude();
	return false;
}

/* Not a part of the call that is stepped. */
static void become_active(void)
{
	char *at = breakpoint;

	breakpoint = NULL;
	if (at)
		*at = instruction;
	percpu_enter(1);
	keep(kregion_alloc(r, 40, GFP_ATOMIC), 40);
	percpu_enter(0);
	breakpoint = at;
	if (at)
		set_breakpoint();
}

static bool record(char *pc, unsigned long *stack)
{
	if (pc >= __start_kmod_text && pc < __stop_kmod_text) {
		CHECK(nr_trace < ARRAY_SIZE(trace));
		trace[nr_trace++] = pc;
		return true;
	}
	if (!nr_trace)
		return true;
	/* Called, or jumped to, by kmod/. */
	resume_at = *stack;
	*stack = (unsigned long)resume_here;
	return false;
}

static void trap(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	char *pc = (char *)regs[REG_RIP];
	bool step;

	(void)sig;
	(void)info;
	if (resume_at && pc == resume_here + 1) {
		pc = (char *)resume_at;
		regs[REG_RIP] = resume_at;
		resume_at = 0;
	}
	if (recording) {
		step = record(pc, (unsigned long *)regs[REG_RSP]);
	} else if (breakpoint && pc == breakpoint + 1 && *breakpoint == '\xcc') {
		regs[REG_RIP] = (unsigned long)breakpoint;
		step = hit();
	} else {
		step = false;
		if (breakpoint)
			set_breakpoint();
	}
	if (step)
		regs[REG_EFL] |= TRAP_FLAG;
	else
		regs[REG_EFL] &= ~TRAP_FLAG;
}

/* ---- the call ------------------------------------------------------------ */

static STEPPED void *call(enum path path)
{
	struct work_struct *work;
	const u32 key = KEY;

	switch (path) {
	case FAST:
		return kregion_alloc(r, 24, GFP_KERNEL);
	case LARGE:
		return kregion_alloc(r, 2000, GFP_KERNEL);
	case ALIGNED:
		return kregion_alloc_aligned(r, 64, 64, GFP_KERNEL);
	case NOFILL:
		return kregion_alloc_nofill(r, 24);
	case NOFILL_FULL:
	case NOFILL_STANDBY:
	case NOFILL_FIRST:
		return kregion_alloc_nofill(r, 300);
	case RESERVE:
		CHECK(!kregion_reserve(r, 3 * PROMISE, GFP_KERNEL));
		return NULL;
	case REFILL:
		work = &to_priv(r)->reserve->refill.work;
		work->func(work);
		return NULL;
	case ROTATE_AGAIN:
		/* The second call is for a block. */
		active_in = 2;
		rotate();
		return NULL;
	case ROTATE:
		rotate();
		return NULL;
	case MAP_FIRST:
	case MAP_NEXT:
		put = kregion_map_put(map, &key, sizeof(key), GFP_KERNEL);
		return NULL;
	default:
		return kregion_alloc(r, 300, GFP_KERNEL);
	}
}

/* Of the object; 0: none. */
static size_t call_size(enum path path)
{
	static const size_t sizes[NR_PATHS] = { 24, 300, 300, 2000, 64, 24, 300, 300, 300 };

	return sizes[path];
}

static void fill(void)
{
	unsigned int i;

	for (i = 0; i < 15; i++)
		keep(kregion_alloc(r, 256, GFP_KERNEL), 256);
}

static void run_work(void)
{
	unsigned int i;

	for (i = 0; i < 10 && shim_run_work(); i++)
		;
	CHECK(i < 10);
}

static void prepare(enum path path, const struct mode *mode)
{
	const bool nofill = (path >= NOFILL && path <= REFILL) ||
			    intruder == NMI_SMALL || intruder == NMI_REFILL;
	const struct kregion_attr attr = {
		.flags = mode->flags, .block_size = PAGE_SIZE, .limit = mode->limit,
		.reserve = nofill && path != RESERVE ? PROMISE : 0,
	};
	unsigned int i;

	nr_objects = 0;
	nr_gens = 0;
	used = 0;
	padding = 0;
	r = kregion_create("step", &attr);
	CHECK(!IS_ERR(r));
	promised = attr.reserve;
	if (path == SPARE) {
		for (i = 0; i < 3; i++)
			fill();
		kregion_reset(r);
		nr_objects = 0;
		used = 0;
	}
	if (path != NOFILL_FIRST)
		keep(kregion_alloc(r, 24, GFP_KERNEL), 24);
	if (path == FRESH || path == SPARE || path == NOFILL_FULL || path == NOFILL_STANDBY ||
	    path == RESERVE || path == REFILL)
		fill();
	map = NULL;
	if (path == MAP_FIRST || path == MAP_NEXT) {
		map = kregion_map_create(r, GFP_KERNEL);
		CHECK(map);
		for (i = 0; path == MAP_NEXT && i < KEY; i++)
			put_atomic(i);
		padding = PAGE_SIZE;
	}
	if (path == NOFILL_STANDBY || path == NOFILL_FIRST || path == REFILL) {
		keep(kregion_alloc_nofill(r, 300), 300);
		if (path != REFILL)
			run_work();
	}
}

static void finish(enum path path)
{
	unsigned int first;
	size_t left;

	run_work();
	verify(nr_objects);
	first = nr_objects;
	if (to_priv(r)->reserve) {
		left = path == RESERVE ? 3 * PROMISE : PROMISE;
		for (; left; left -= 400)
			keep(kregion_alloc_nofill(r, 400), 400);
		verify(first);
	}
	if (nr_gens) {
		keep(kregion_alloc(r, 400, GFP_KERNEL), 400);
		verify(first);
		rotate();
		first = nr_objects;
		keep(kregion_alloc(r, 400, GFP_KERNEL), 400);
		verify(first);
		kregion_gen_recycle(gens[0]);
	}
	kregion_drop(r);
	kregion_destroy(r);
	while (nr_gens > 1)
		kregion_gen_free(gens[--nr_gens]);
	run_work();
	CHECK(!shim_blocks && !shim_pages_used() && !shim_warnings);
}

/* SIGTRAP begins to record, or sets the breakpoint; and ends that. */
static STEPPED void *stepped_call(enum path path)
{
	void *p;

	raise(SIGTRAP);
	p = call(path);
	recording = false;
	raise(SIGTRAP);
	return p;
}

static void run(enum path path, const struct mode *mode)
{
	void *p;

	prepare(path, mode);
	p = stepped_call(path);
	rotate_end();
	if (call_size(path))
		keep(p, call_size(path));
	if (path == ALIGNED)
		padding = 64 - KREGION_ALIGN;
	if (path == ROTATE_AGAIN) {
		/* That CPU had a block, so it has one. */
		percpu_enter(1);
		keep(kregion_alloc_nofill(r, 40), 40);
		percpu_enter(0);
	}
	if (map) {
		CHECK(put && put->id && kregion_map_item(map, put->id) == put);
		CHECK(put->len == sizeof(u32) && *put->data == KEY);
		map_verify();
		map = NULL;
	}
	finish(path);
	runs++;
}

static void step(const struct mode *mode, enum path path)
{
	unsigned int i;

	stepped = path;
	stepped_mode = mode;
	nr_trace = 0;
	recording = true;
	run(path, mode);
	for (target = 0; target < nr_trace; target++) {
		passes = 0;
		for (i = 0; i < target; i++)
			passes += trace[i] == trace[target];
		breakpoint = trace[target];
		intruded = false;
		run(path, mode);
		CHECK(intruded);
	}
}

static bool possible(const struct mode *mode, enum path path)
{
	/* The caller serializes all but readers. */
	if (mode->flags & KREGION_F_SINGLE)
		return intruder == READER;
	/* A map belongs to a generation, and a second rotate is refused. */
	if (intruder == ROTATER)
		return path < ROTATE;
	return true;
}

int main(void)
{
	const struct sigaction action = { .sa_sigaction = trap, .sa_flags = SA_SIGINFO };
	char *text = (char *)((unsigned long)__start_kmod_text & -PAGE_SIZE);
	enum path path;
	unsigned int i;

	/* A call that waits for the one that it has interrupted never ends. */
	alarm(90);
	nr_cpu_ids = 2;
	/* Each run takes the same way through a map, with random keys. */
	shim_hash_mask = 0;
	percpu_enter(1);
	percpu_enter(0);
	if (shim_init() || sigaction(SIGTRAP, &action, NULL) ||
	    mprotect(text, __stop_kmod_text - text, PROT_READ | PROT_WRITE | PROT_EXEC))
		shim_die(__FILE__, __LINE__, "cannot step");
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		for (path = 0; path < NR_PATHS; path++)
			for (intruder = 0; intruder < NR_INTRUDERS; intruder++)
				if (possible(&modes[i], path))
					step(&modes[i], path);
	shim_exit();
	printf("step: %lu runs, %lu intrusions: SUCCESS\n", runs, intrusions);
	return 0;
}
