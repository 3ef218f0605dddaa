// SPDX-License-Identifier: GPL-2.0
/*
 * Random calls of /dev/kregion_trace, beside a model of its states: results,
 * KREGION_TRACE_INFO, the stream and the list of regions are compared with it.
 * The kernel fails some allocations and copies, where it can inject faults; a
 * call that fails changes nothing.
 *
 * Then several tasks share an open device, in which the model knows the state
 * no longer, some of them killed in a call; and several compete for opening it.
 * A call that stalls excludes others. The single task follows once more. Signals
 * arrive all the time.
 *
 * usage: device_fuzz [OPERATIONS [SEED]]
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/kregion_trace.h>
#include <linux/userfaultfd.h>

#define REGIONS		"/sys/kernel/debug/kregion/regions"
#define NR(array)	(sizeof(array) / sizeof(*(array)))
#define PAGE		4096
#define ARENA		(32 * PAGE)
#define FDS		4		/* at most, of the open device */
#define TASKS		4
#define CANARY		0x5a
#define START_FAULTS	64
#define SIGNAL_US	3000
#define SLACK_NS	10000000	/* of the fast clock */

enum { CLOSED, IDLE, RUNNING, STOPPED, ANY, NR_STATES };

static const char * const state_names[] = { "closed", "idle", "running", "stopped", "any" };

static struct {
	int fd[FDS], nr_fds;
	int state;
	uint64_t since;				/* before the start */
	bool live;
	struct kregion_trace_generations generations;	/* the last ones of this trace */
	struct kregion_trace_start start;
	struct kregion_trace_info info;		/* the last one of this trace */
	bool have_info;
	char *stream;				/* what reads returned */
	size_t pos, capacity;
} m;

/* Of all tasks. */
static struct {
	unsigned long calls[16], refused[16];
	unsigned long operations, streams, bytes, injected, signals, killed;
	long left;				/* operations of the tasks */
	int holders;				/* tasks that opened the device */
	bool stalls;				/* a task is about to */
	long answer;				/* of its rival */
} *sum;

static unsigned long operations = 3000;
static uint64_t seed = 1, random_state;
static bool competing;				/* for opening the device */
static int fail_nth = -1;
static char *arena, *arena_ro;			/* the same memory, and nothing behind it */

/* A signal also interrupts a write to a file of the host. */
static void signals_block(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(how, &set, NULL);
}

/* ---- results ------------------------------------------------------------- */

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	va_list ap;

	signals_block(SIG_BLOCK);
	printf("device_fuzz: seed %" PRIu64 ", operation %lu, %s: ", seed, sum->operations,
	       state_names[m.state]);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

#define CHECK(x)	do { if (!(x)) die("line %d: not %s", __LINE__, #x); } while (0)

static uint64_t random64(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t below(uint64_t n)
{
	return random64() % n;
}

static bool one_in(unsigned int n)
{
	return !below(n);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* A result, or a negative error number. */
static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

static bool documented(long got)
{
	static const int errors[] = {
		EPERM, EBUSY, EINVAL, E2BIG, ENODATA, ENOTTY, EFAULT, ESPIPE, ENODEV, EINTR,
		EAGAIN, ENOMEM,
	};
	size_t i;

	for (i = 0; i < NR(errors); i++) {
		if (got == -errors[i])
			return true;
	}
	return got >= 0;
}

static void expect(const char *call, long got, long want)
{
	if (m.state == ANY ? !documented(got) : got != want)
		die("%s: %ld, not %ld", call, got, want);
}

/* ---- faults and signals -------------------------------------------------- */

static bool write_file(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	const bool good = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return good;
}

static void faults_setup(void)
{
	static const char * const files[][2] = {
		{ "failslab/ignore-gfp-wait", "N" }, { "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" }, { "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/min-order", "0" }, { "fail_usercopy/verbose", "0" },
	};
	char path[64];
	size_t i;

	for (i = 0; i < NR(files); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", files[i][0]);
		if (!write_file(path, files[i][1]))
			return;
	}
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
}

/*
 * Let one of the first @nr allocations and copies of the next call fail,
 * perhaps. Not the copy of a signal's frame, which would end the task.
 */
static bool fault_begin(unsigned int nr)
{
	char text[8];

	if (fail_nth < 0 || !one_in(4))
		return false;
	signals_block(SIG_BLOCK);
	snprintf(text, sizeof(text), "%u", 1 + (unsigned int)below(nr));
	return write(fail_nth, text, strlen(text)) > 0;
}

/* Returns whether one failed. Reads and writes of the file may fail instead. */
static bool fault_end(bool begun)
{
	char text[8] = "1";

	if (!begun)
		return false;
	if (pread(fail_nth, text, sizeof(text) - 1, 0) > 0 && atoi(text)) {
		while (pwrite(fail_nth, "0", 1, 0) < 0)
			CHECK(errno == EFAULT);
	}
	signals_block(SIG_UNBLOCK);
	sum->injected += atoi(text) == 0;
	return atoi(text) == 0;
}

static void on_signal(int number)
{
	(void)number;
	sum->signals++;
}

static void signals_setup(int flags)
{
	const struct itimerval timer = { { 0, SIGNAL_US }, { 0, SIGNAL_US } };
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---- memory -------------------------------------------------------------- */

struct place {
	char *p;
	char *alias;		/* to write what the kernel reads; NULL: not readable */
	size_t readable, writable;
	enum { USER, PERHAPS, KERNEL } whose;
};

static void arena_setup(void)
{
	const int fd = memfd_create("arena", 0);
	char *p = mmap(NULL, 2 * (ARENA + PAGE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(fd >= 0 && !ftruncate(fd, ARENA) && p != MAP_FAILED);
	arena = p;
	arena_ro = p + ARENA + PAGE;
	CHECK(mmap(arena, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == arena);
	CHECK(mmap(arena_ro, ARENA, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == arena_ro);
	close(fd);
}

/* A place for @n bytes, at most ARENA: good, cut off, read-only or bad. */
static struct place place(size_t n)
{
	static const struct { uint64_t at; int whose; } bad[] = {
		{ 0, USER }, { 1, USER }, { 8, USER }, { PAGE - 1, USER },
		{ 1ull << 62, PERHAPS }, { 0x7ffffffff000, PERHAPS }, { 0x800000000000, PERHAPS },
		{ 0xffff888000001000, KERNEL }, { 0xffffffff81000000, KERNEL },
		{ 0xffffffffff600000, KERNEL }, { 1ull << 63, KERNEL }, { -1ull, KERNEL },
		{ -8ull, KERNEL }, { -(uint64_t)PAGE, KERNEL },
	};
	const unsigned int kind = below(16);
	struct place at = { .whose = USER };
	size_t offset, i;

	if (kind == 0) {
		i = below(NR(bad));
		at.p = (char *)bad[i].at;
		at.whose = bad[i].whose;
		return at;
	}
	if (kind == 1)
		offset = ARENA;
	else if (kind < 5)
		offset = ARENA - below(n + 1);
	else if (kind < 8)
		offset = ARENA - n;
	else
		offset = below(ARENA - n + 1) & (one_in(2) ? -8ul : -1ul);
	at.alias = arena + offset;
	at.readable = ARENA - offset;
	if (kind == 2 || kind == 8) {
		at.p = arena_ro + offset;
	} else {
		at.p = at.alias;
		at.writable = at.readable;
	}
	return at;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- the model ----------------------------------------------------------- */

/* Regions of the tracer that debugfs lists. */
static unsigned int regions(void)
{
	unsigned int n = 0;
	char line[1024];
	FILE *f = fopen(REGIONS, "re");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, " kregion_trace ");
	fclose(f);
	return n;
}

static void check_regions(void)
{
	/* A live trace has another one, without memory. */
	if (m.state != ANY && !(competing && m.state == CLOSED))
		CHECK(regions() == (m.state == RUNNING && m.live ? 2u :
				    m.state == RUNNING || m.state == STOPPED));
}

/* What holds in each state, and between two calls. */
static void check_info(const struct kregion_trace_info *info)
{
	const struct kregion_trace_info none = {
		.state = info->state,
		.budget_min = info->budget_min,
		.budget_max = info->budget_max,
	};
	struct sysinfo memory;

	sysinfo(&memory);
	CHECK(info->reserved == 0);
	CHECK(info->budget_min == KREGION_TRACE_BUDGET_MIN);
	CHECK(info->budget_max == memory.totalram * memory.mem_unit / PAGE / 2 * PAGE);
	CHECK(info->bytes_used <= info->bytes_held && info->bytes_held <= info->budget);
	CHECK(!info->stream_size || info->state == KREGION_TRACE_STOPPED);
	if (info->state == KREGION_TRACE_IDLE)
		CHECK(!memcmp(info, &none, sizeof(none)));
	if (m.state == ANY)
		return;

	CHECK(m.live || info->records * sizeof(struct kregion_trace_event) <= info->bytes_used);
	CHECK(!info->stream_size == (m.live || info->state != KREGION_TRACE_STOPPED));
	CHECK((int)info->state == m.state - IDLE);
	if (m.state == IDLE)
		return;
	CHECK(info->budget == m.start.budget);
	if (m.state == STOPPED && m.have_info) {
		/* A map for names in a page of its own is freed when it is read. */
		CHECK(m.live ? info->bytes_held <= m.info.bytes_held :
			       info->bytes_held == m.info.bytes_held);
		m.info.bytes_held = info->bytes_held;
		CHECK(!memcmp(info, &m.info, sizeof(m.info)));
	}
	CHECK(info->elapsed_ns >= m.info.elapsed_ns);
	CHECK(info->elapsed_ns <= now_ns() - m.since + SLACK_NS);
	CHECK(info->records >= m.info.records || m.state == STOPPED);
	CHECK(info->lost >= m.info.lost || m.state == STOPPED);
	m.info = *info;
	m.have_info = true;
}

/* A call was refused or failed: the device is as before. */
static void check_unchanged(void)
{
	struct kregion_trace_info info;

	if (!m.nr_fds || m.state == ANY)
		return;
	memset(&info, CANARY, sizeof(info));
	CHECK(!ioctl(m.fd[0], KREGION_TRACE_INFO, &info));
	check_info(&info);
	if (one_in(16))
		check_regions();
}

static void trace_ended(int state)
{
	m.state = state;
	m.pos = 0;
	m.have_info = false;
	memset(&m.info, 0, sizeof(m.info));
	memset(&m.generations, 0, sizeof(m.generations));
	check_regions();
}

static const void *part(size_t *at, size_t size, size_t count)
{
	const char *p = m.stream + *at;

	CHECK(size && count <= (m.pos - *at) / size);
	*at += size * count;
	return p;
}

/* The records of a section: as many as it states, in order. */
static void check_section(size_t *at, const uint8_t *sizes, uint64_t duration)
{
	const struct kregion_trace_cpu *c = part(at, sizeof(*c), 1);
	const struct kregion_trace_lost *rec;
	uint64_t records = 0, lost = c->tail_lost, last = 0, time, type;
	const size_t end = *at - sizeof(*c) + c->section.size;

	CHECK(c->section.kind == KREGION_TRACE_SECTION_CPU);
	CHECK(c->section.header_size == sizeof(*c) && end >= *at && end <= m.pos);
	CHECK(c->records || c->lost);
	for (; *at < end; records++) {
		rec = (const void *)(m.stream + *at);
		type = rec->head >> KREGION_TRACE_TIME_BITS;
		time = rec->head & KREGION_TRACE_TIME_MASK;
		CHECK(sizes[type] && sizes[type] <= end - *at);
		CHECK(time >= last && time <= duration);
		if (type == KREGION_TRACE_LOST)
			lost += rec->count;
		last = time;
		*at += sizes[type];
	}
	CHECK(records == c->records && lost == c->lost);
	m.info.records -= records;
	m.info.lost -= lost;
}

/* The parts before the first section; their descriptions of @sizes. */
static const struct kregion_trace_header *check_begin(size_t *at, uint8_t *sizes)
{
	const struct kregion_trace_header *h = part(at, sizeof(*h), 1);
	const struct kregion_trace_type *types;
	size_t i;

	CHECK(!memcmp(h->magic, KREGION_TRACE_MAGIC, sizeof(h->magic)));
	CHECK(h->byte_order == KREGION_TRACE_BYTE_ORDER && h->header_size == sizeof(*h));
	CHECK(h->type_size == sizeof(*types) && h->budget == m.start.budget);
	types = part(at, h->type_size, h->nr_types);
	for (i = 0; i < h->nr_types; i++) {
		CHECK(types[i].id <= UINT8_MAX);
		sizes[types[i].id] = types[i].size;
	}
	part(at, h->field_size, h->nr_fields);
	return h;
}

static void check_values(size_t *at, const struct kregion_trace_end *end, size_t head)
{
	const struct kregion_trace_value *values;
	size_t i;

	CHECK(end->section.kind == KREGION_TRACE_SECTION_END);
	CHECK(end->section.header_size == head && end->value_size == sizeof(*values));
	CHECK(end->section.size == head + end->nr_values * sizeof(*values));
	values = part(at, sizeof(*values), end->nr_values);
	CHECK(*at == m.pos);
	for (i = 0; i < end->nr_values; i++) {
		if (!strcmp(values[i].name, "bytes_used"))
			CHECK(values[i].value == m.info.bytes_used);
	}
	sum->streams++;
	sum->bytes += m.pos;
}

/* All records and losses are in a section or a mark. */
static void check_live_stream(void)
{
	const struct kregion_trace_info info = m.info;
	const struct kregion_trace_lost_generations *lost;
	const struct kregion_trace_generation *g;
	const struct kregion_trace_live_end *end;
	uint64_t generations = 0, lost_generations = 0, until = 0, stop;
	const struct kregion_trace_section *sec;
	uint8_t sizes[256] = { };
	size_t at = 0, i;
	const struct kregion_trace_header *h = check_begin(&at, sizes);

	CHECK(h->version == KREGION_TRACE_VERSION_LIVE);
	CHECK(!h->stream_size && !h->stop_ns && !h->nr_cpus);
	for (;;) {
		CHECK(m.pos - at >= sizeof(*sec));
		sec = (const void *)(m.stream + at);
		if (sec->kind == KREGION_TRACE_SECTION_END)
			break;
		if (sec->kind == KREGION_TRACE_SECTION_LOST) {
			lost = part(&at, sizeof(*lost), 1);
			CHECK(lost->section.size == sizeof(*lost) && lost->generations);
			CHECK(lost->since <= lost->until && lost->until >= until);
			generations += lost->generations;
			lost_generations += lost->generations;
			m.info.records -= lost->records;
			m.info.lost -= lost->lost;
			until = lost->until;
		}
		g = part(&at, sizeof(*g), 1);
		CHECK(g->section.kind == KREGION_TRACE_SECTION_GENERATION);
		CHECK(g->section.size == sizeof(*g) && g->number == generations++);
		CHECK(g->since <= until && g->until >= until);
		until = g->until;
		for (i = 0; i < g->nr_cpus; i++)
			check_section(&at, sizes, until);
	}
	CHECK(!m.info.records && !m.info.lost);
	m.info = info;
	end = part(&at, sizeof(*end), 1);
	stop = end->stop_ns - h->start_ns;
	CHECK(stop == until && stop == info.elapsed_ns);
	CHECK(end->generations == generations && end->lost_generations == lost_generations);
	check_values(&at, &end->end, sizeof(*end));
}

static void check_stream(void)
{
	const struct kregion_trace_info info = m.info;
	const struct kregion_trace_end *end;
	uint8_t sizes[256] = { };
	size_t at = 0, i;
	const struct kregion_trace_header *h = check_begin(&at, sizes);

	CHECK(h->version == KREGION_TRACE_VERSION && h->stream_size == m.pos);
	CHECK(h->stop_ns - h->start_ns == info.elapsed_ns);
	for (i = 0; i < h->nr_cpus; i++)
		check_section(&at, sizes, info.elapsed_ns);
	CHECK(!m.info.records && !m.info.lost);
	m.info = info;
	end = part(&at, sizeof(*end), 1);
	check_values(&at, end, sizeof(*end));
}

/* ---- calls --------------------------------------------------------------- */

static int some_fd(void)
{
	return m.fd[below(m.nr_fds)];
}

/* Take CAP_PERFMON and CAP_SYS_ADMIN from this task, or return them. */
static void capable(bool yes)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	CHECK(!syscall(SYS_capget, &head, data));
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (!yes) {
		data[0].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
		data[1].effective &= ~CAP_TO_MASK(CAP_PERFMON);
	}
	CHECK(!syscall(SYS_capset, &head, data));
}

static long call_open(void)
{
	static const int modes[] = { O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_ACCMODE };
	static const int flags[] = { 0, O_NONBLOCK, O_CLOEXEC, O_APPEND | O_SYNC, O_TRUNC };
	const int mode = modes[below(NR(modes))];
	const bool may = !one_in(8);
	long got;

	if (!may)
		capable(false);
	got = result(open(KREGION_TRACE_DEVICE, mode | flags[below(NR(flags))]));
	if (!may)
		capable(true);
	if (mode != O_RDWR || !may) {
		expect("open", got, -EPERM);
	} else if (m.nr_fds || (competing && got < 0)) {
		expect("second open", got, -EBUSY);
	} else {
		CHECK(got >= 0);
		CHECK(__atomic_add_fetch(&sum->holders, 1, __ATOMIC_SEQ_CST) == 1);
		m.fd[m.nr_fds++] = got;
		trace_ended(IDLE);
	}
	return got;
}

static long call_close(void)
{
	const int i = below(m.nr_fds), fd = m.fd[i];
	long got;

	if (m.state == ANY && m.nr_fds == 1)
		return 0;
	m.fd[i] = m.fd[--m.nr_fds];
	if (!m.nr_fds)
		__atomic_sub_fetch(&sum->holders, 1, __ATOMIC_SEQ_CST);
	got = result(close(fd));
	expect("close", got, 0);
	if (!m.nr_fds)
		trace_ended(CLOSED);
	else
		check_unchanged();
	return got;
}

static long call_dup(void)
{
	long got = 0;

	if (m.nr_fds < FDS) {
		got = result(dup(some_fd()));
		CHECK(got >= 0);
		m.fd[m.nr_fds++] = got;
	}
	return got;
}

static uint32_t start_size(void)
{
	const uint32_t sizes[] = {
		below(16), 16 + below(64), 16 + 8 * below(8), PAGE - below(64), PAGE, PAGE + 1,
		PAGE + below(PAGE), -1u, 1u << 31, below(2 * PAGE), random64(),
	};

	return one_in(3) ? sizes[below(NR(sizes))] : sizeof(struct kregion_trace_start);
}

static uint64_t start_budget(uint64_t max)
{
	const uint64_t budgets[] = {
		0, below(KREGION_TRACE_BUDGET_MIN), KREGION_TRACE_BUDGET_MIN - 1,
		KREGION_TRACE_BUDGET_MIN, KREGION_TRACE_BUDGET_MIN + 1, max - 1, max, max,
		max + 1, max * 2, 1ull << 32, 1ull << 63, -1ull, random64(),
	};

	return one_in(2) ? KREGION_TRACE_BUDGET_MIN + below(1 << 20) : budgets[below(NR(budgets))];
}

/* The answer to a structure of which @readable bytes can be read. */
static long start_answer(const struct kregion_trace_start *start, const char *bytes,
			 size_t readable, uint64_t max)
{
	size_t i;

	if (readable < sizeof(start->size))
		return -EFAULT;
	if (start->size < sizeof(*start))
		return -EINVAL;
	if (start->size > PAGE)
		return -E2BIG;
	for (i = sizeof(*start); i < start->size; i++) {
		if (i >= readable)
			return -EFAULT;
		if (bytes[i])
			return -E2BIG;
	}
	if (readable < sizeof(*start))
		return -EFAULT;
	if (start->flags & ~KREGION_TRACE_LIVE)
		return -EINVAL;
	if (m.state != IDLE)
		return -EBUSY;
	if (start->budget < KREGION_TRACE_BUDGET_MIN || start->budget > max)
		return -EINVAL;
	if (start->flags && start->budget / get_nprocs() < KREGION_TRACE_LIVE_BUDGET_MIN)
		return -EINVAL;
	return 0;
}

static long call_start(void)
{
	static char bytes[2 * PAGE];
	struct kregion_trace_info info = { };
	struct kregion_trace_start start = { .size = start_size() };
	size_t n = start.size < sizeof(start) ? sizeof(start) : smaller(start.size, sizeof(bytes));
	const struct place at = place(n);
	uint64_t since;
	long got, want;
	bool fault;

	CHECK(!ioctl(m.fd[0], KREGION_TRACE_INFO, &info) || (m.state == ANY && errno == EINTR));
	start.flags = one_in(8) ? 1u << below(32) : one_in(3) ? KREGION_TRACE_LIVE : 0;
	start.budget = start_budget(info.budget_max);
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &start, sizeof(start));
	if (n > sizeof(start) && one_in(3))
		bytes[sizeof(start) + below(n - sizeof(start))] = 1 + below(255);
	else if (n < sizeof(bytes) && at.readable > n)
		bytes[n] = 1;		/* behind the structure */
	if (at.alias)
		memcpy(at.alias, bytes, smaller(smaller(n + 1, sizeof(bytes)), at.readable));
	want = start_answer(&start, bytes, at.readable, info.budget_max);

	since = now_ns();
	fault = fault_begin(START_FAULTS);
	got = result(ioctl(some_fd(), KREGION_TRACE_START, at.p));
	fault = fault_end(fault);
	if (!fault || (got != -ENOMEM && got != -EFAULT))
		expect("start", got, want);
	if (!got && m.state != ANY) {
		m.live = start.flags;
		trace_ended(RUNNING);
		m.start = start;
		m.since = since;
	} else if (fault) {
		check_regions();
	}
	return got;
}

/* Call a command without an argument; it ignores one. */
static long control(const char *call, unsigned long command, long want)
{
	const struct place at = place(8);
	bool fault = fault_begin(3);
	const long got = result(ioctl(some_fd(), command, at.p));

	fault_end(fault);
	expect(call, got, want);
	return got;
}

static long call_stop(void)
{
	const long got = control("stop", KREGION_TRACE_STOP, m.state == RUNNING ? 0 : -EINVAL);

	if (m.state == RUNNING) {
		m.state = STOPPED;
		m.have_info = false;
	}
	return got;
}

static long call_drop(void)
{
	const long got = control("drop", KREGION_TRACE_DROP, m.state == STOPPED ? 0 :
				 m.state == RUNNING ? -EBUSY : -ENODATA);

	if (m.state == STOPPED)
		trace_ended(IDLE);
	return got;
}

static long call_rotate(void)
{
	const bool fault = fault_begin(START_FAULTS);
	const long got = result(ioctl(some_fd(), KREGION_TRACE_ROTATE));

	if (!fault_end(fault) || got != -ENOMEM)
		expect("rotate", got, m.state == RUNNING && m.live ? 0 : -EINVAL);
	return got;
}

/* Get a structure, which only the copy to @at may prevent. */
static long query(const char *call, unsigned long command, const struct place *at, size_t size)
{
	bool fault = fault_begin(3);
	const long got = result(ioctl(some_fd(), command, at->p));

	fault = fault_end(fault);
	if (!fault || got != -EFAULT)
		expect(call, got, at->writable >= size ? 0 : -EFAULT);
	return got;
}

/* Counts do not decrease, and a trace that is not live has one generation. */
static long call_generations(void)
{
	struct kregion_trace_generations g;
	const struct place at = place(sizeof(g));
	const long got = query("generations", KREGION_TRACE_GENERATIONS, &at, sizeof(g));

	if (got || m.state == ANY)
		return got;
	memcpy(&g, at.p, sizeof(g));
	CHECK(g.waiting + g.lost <= g.sealed);
	CHECK(g.sealed >= m.generations.sealed && g.lost >= m.generations.lost);
	CHECK(g.lost_records >= m.generations.lost_records);
	if (!m.live || m.state == IDLE)
		CHECK(!g.lost && g.sealed == (m.state == STOPPED));
	m.generations = g;
	return got;
}

static long call_info(void)
{
	struct kregion_trace_info info;
	const struct place at = place(sizeof(info) + 8);
	long got;

	if (at.writable)
		memset(at.p, CANARY, smaller(sizeof(info) + 8, at.writable));
	got = query("info", KREGION_TRACE_INFO, &at, sizeof(info));
	if (got || m.state == ANY)
		return got;
	memcpy(&info, at.p, sizeof(info));
	check_info(&info);
	if (at.writable > sizeof(info))
		CHECK(at.p[sizeof(info)] == CANARY);
	return got;
}

/* A known command with one bit of it changed, or any with its type. */
static long call_unknown(void)
{
	static const uint32_t known[] = {
		KREGION_TRACE_START, KREGION_TRACE_STOP, KREGION_TRACE_DROP, KREGION_TRACE_INFO,
		KREGION_TRACE_ROTATE, KREGION_TRACE_GENERATIONS,
	};
	const struct place at = place(sizeof(struct kregion_trace_info));
	uint32_t command = known[below(NR(known))] ^ 1u << below(32);
	long got;
	size_t i;

	if (one_in(4))
		command = _IOC(below(4), 0xBB, below(256), below(1 << 14));
	for (i = 0; i < NR(known); i++) {
		if (command == known[i])
			return 0;
	}
	got = result(ioctl(some_fd(), command, at.p));
	expect("unknown command", got, -ENOTTY);
	return got;
}

/* What a file of another kind would do. */
static long call_file(void)
{
	const struct place at = place(64);
	struct pollfd poll_fd = { .fd = some_fd(), .events = -1 };
	const size_t len = 1 + below(64);
	long got = 0;

	switch (below(6)) {
	case 0:
		got = result(lseek(some_fd(), below(100), below(3)));
		expect("lseek", got, -ESPIPE);
		break;
	case 1:
		got = result(syscall(SYS_pread64, some_fd(), at.p, len, below(100)));
		expect("pread", got, -ESPIPE);
		break;
	case 2:
		got = result(syscall(SYS_pwrite64, some_fd(), at.p, len, below(100)));
		expect("pwrite", got, -ESPIPE);
		break;
	case 3:
		got = result(syscall(SYS_write, some_fd(), at.p, len));
		expect("write", got, -EINVAL);
		break;
	case 4:
		got = result((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, some_fd(), 0));
		expect("mmap", got, -ENODEV);
		break;
	case 5:
		got = result(poll(&poll_fd, 1, 0));
		if (m.state == RUNNING && m.live && (!got || got == -EINTR)) {
			got = 0;
			break;
		}
		if (m.state != ANY || got != 0)
			expect("poll", got, 1);
		CHECK(got != 1 || poll_fd.revents & POLLIN);
	}
	return got;
}

/* @got bytes of the stream are at @p. */
static void stream_add(const char *p, size_t got)
{
	if (m.pos + got > m.capacity) {
		m.capacity = 2 * (m.pos + got);
		m.stream = realloc(m.stream, m.capacity);
		CHECK(m.stream);
	}
	memcpy(m.stream + m.pos, p, got);
	m.pos += got;
}

/* Bytes of the stream that are left; INFO states how many there are. */
static size_t stream_left(void)
{
	if (m.state != STOPPED)
		return 0;
	if (!m.have_info)
		check_unchanged();
	CHECK(m.pos <= m.info.stream_size);
	return m.info.stream_size - m.pos;
}

static long read_pieces(const struct place *at, size_t len)
{
	struct iovec pieces[4];
	size_t i, from = 0, n;

	for (i = 0; i < 4; i++) {
		n = i < 3 ? below(len - from + 1) : len - from;
		pieces[i] = (struct iovec){ at->p + from, n };
		from += n;
	}
	return result(readv(some_fd(), pieces, 4));
}

/*
 * A live trace: what comes is not known before. Tasks do not wait, as nobody
 * might end that; one alone waits until a signal ends it.
 */
static long call_read_live(void)
{
	const size_t len = 1 + below(ARENA);
	const struct place at = place(len);
	const int fd = some_fd(), flags = fcntl(fd, F_GETFL);
	const bool wait = m.state == RUNNING && one_in(4);
	bool fault = false;
	long got;

	if (m.state == STOPPED && !m.have_info)
		check_unchanged();
	CHECK(!fcntl(fd, F_SETFL, wait ? flags & ~O_NONBLOCK : flags | O_NONBLOCK));
	if (!wait)
		fault = fault_begin(3);
	got = result(syscall(SYS_read, fd, at.p, len));
	fault = fault_end(fault);
	if (m.state == ANY)
		expect("read", got, 0);
	else if (at.whose != USER)
		CHECK(got == -EFAULT || (at.whose == PERHAPS && got == -EAGAIN));
	else if (got == -EFAULT)
		CHECK(fault || at.writable < 8);
	else if (m.state == RUNNING)
		CHECK(got == (wait ? -EINTR : -EAGAIN) || (got > 0 && (size_t)got <= len));
	else
		CHECK(got >= 0 && (size_t)got <= len);
	if (got > 0 && m.state != ANY)
		stream_add(at.p, got);
	if (!got && m.state == STOPPED)
		check_live_stream();
	return got;
}

static long call_read(void)
{
	static const size_t lengths[] = { 8, 64, 200, PAGE, ARENA };
	const bool live = m.state == ANY || (m.live && m.state >= RUNNING);
	const size_t left = live ? 0 : stream_left();
	size_t len = below(lengths[below(NR(lengths))] + 1), want, i;
	const struct place at = place(len);
	bool fault = false;
	long got;

	if (live)
		return call_read_live();
	if (at.writable && one_in(32))
		len = one_in(2) ? SIZE_MAX : SSIZE_MAX;
	want = smaller(len, left);
	if (at.writable)
		memset(at.p, CANARY, smaller(len, at.writable));
	if (len && at.writable >= len && one_in(4)) {
		got = read_pieces(&at, len);
	} else {
		fault = fault_begin(3);
		got = result(syscall(SYS_read, some_fd(), at.p, len));
		fault = fault_end(fault);
	}

	if (at.whose == KERNEL || len > ARENA || (at.whose == PERHAPS && got == -EFAULT)) {
		expect("read outside", got, -EFAULT);
	} else if (m.state != STOPPED) {
		expect("read", got, m.state == IDLE ? -ENODATA : -EBUSY);
	} else if (got == -EFAULT) {
		CHECK(want && (fault || at.writable < 8));
	} else if (fault || at.writable < want) {
		CHECK(got > 0 && (size_t)got <= smaller(at.writable, want));
		CHECK(fault || at.writable - got < 8);
	} else {
		expect("read", got, want);
		for (i = want; i < smaller(len, at.writable); i++)
			CHECK(at.p[i] == CANARY);
	}
	if (got <= 0 || m.state == ANY)
		return got;
	stream_add(at.p, got);
	if (m.pos == m.info.stream_size)
		check_stream();
	return got;
}

static void ended(pid_t child)
{
	while (waitpid(child, NULL, 0) < 0)
		CHECK(errno == EINTR);
}

/* Something to record. */
static long call_work(void)
{
	char name[16];
	unsigned int i;
	pid_t child;

	/* A child would keep the device open after its parent is killed. */
	switch (below(m.state == ANY ? 4 : 5)) {
	case 0:
	case 1:
		for (i = below(32); i; i--)
			usleep(1);
		break;
	case 2:
	case 3:
		snprintf(name, sizeof(name), "name-%u", (unsigned int)below(1000));
		prctl(PR_SET_NAME, name);
		sched_yield();
		break;
	case 4:
		child = fork();
		CHECK(child >= 0);
		if (!child)
			_exit(0);
		ended(child);
	}
	return 0;
}

static const struct {
	const char *name;
	long (*call)(void);
	unsigned char weights[NR_STATES];
} calls[] = {
	/*				closed idle running stopped any */
	{ "open",	call_open,	{ 1,	2,	2,	2,	2 } },
	{ "close",	call_close,	{ 0,	1,	1,	1,	1 } },
	{ "dup",	call_dup,	{ 0,	1,	1,	1,	1 } },
	{ "start",	call_start,	{ 0,	20,	4,	4,	8 } },
	{ "stop",	call_stop,	{ 0,	3,	3,	2,	2 } },
	{ "drop",	call_drop,	{ 0,	2,	2,	2,	2 } },
	{ "info",	call_info,	{ 0,	5,	8,	6,	4 } },
	{ "rotate",	call_rotate,	{ 0,	1,	6,	1,	4 } },
	{ "generations", call_generations, { 0,	1,	4,	4,	2 } },
	{ "unknown",	call_unknown,	{ 0,	2,	2,	2,	2 } },
	{ "file",	call_file,	{ 0,	3,	3,	3,	3 } },
	{ "read",	call_read,	{ 0,	3,	5,	40,	8 } },
	{ "work",	call_work,	{ 0,	0,	8,	0,	1 } },
};

static void operation(void)
{
	unsigned int total = 0;
	size_t i;
	long got, at;

	for (i = 0; i < NR(calls); i++)
		total += calls[i].weights[m.state];
	at = below(total);
	for (i = 0; (at -= calls[i].weights[m.state]) >= 0; i++)
		;
	__atomic_add_fetch(&sum->operations, 1, __ATOMIC_RELAXED);
	got = calls[i].call();
	__atomic_add_fetch(&sum->calls[i], 1, __ATOMIC_RELAXED);
	if (got >= 0)
		return;
	__atomic_add_fetch(&sum->refused[i], 1, __ATOMIC_RELAXED);
	check_unchanged();
}

/* ---- phases -------------------------------------------------------------- */

static void close_all(void)
{
	while (m.nr_fds)
		call_close();
}

static void single(unsigned long n)
{
	while (n--)
		operation();
	close_all();
	CHECK(regions() == 0);
}

static pid_t task_start(uint64_t number)
{
	pid_t child;

	child = fork();
	CHECK(child >= 0);
	if (child)
		return child;
	fail_nth = -1;
	random_state = seed ^ number << 32;
	signals_setup(one_in(2) ? SA_RESTART : 0);
	if (competing)
		arena_setup();
	while (__atomic_fetch_sub(&sum->left, 1, __ATOMIC_RELAXED) > 0) {
		operation();
		if (competing && !m.nr_fds)
			usleep(below(200));
		else if (competing && one_in(8))
			close_all();
	}
	m.state = m.state == ANY ? CLOSED : m.state;
	if (competing)
		close_all();
	_exit(0);
}

/* Run @n operations in several tasks; kill one at times if @fatal. */
static void several(unsigned long n, bool fatal)
{
	pid_t tasks[TASKS];
	int i, status, alive = TASKS;
	static uint64_t number;
	pid_t ended;

	sum->left = n;
	for (i = 0; i < TASKS; i++)
		tasks[i] = task_start(++number);
	while (alive) {
		usleep(1000 + below(20000));
		i = below(TASKS);
		if (fatal && tasks[i] && one_in(16))
			kill(tasks[i], SIGKILL);
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
			for (i = 0; tasks[i] != ended; i++)
				;
			tasks[i] = 0;
			alive--;
			if (WIFEXITED(status) && WEXITSTATUS(status))
				exit(1);
			if (!WIFSIGNALED(status))
				continue;
			if (WTERMSIG(status) != SIGKILL)
				die("a task ended by signal %d", WTERMSIG(status));
			sum->killed++;
			tasks[i] = task_start(++number);
			alive++;
		}
	}
}

static void share(unsigned long n)
{
	struct kregion_trace_info info;

	while (!m.nr_fds)
		call_open();
	m.state = ANY;
	several(n, true);
	CHECK(!ioctl(m.fd[0], KREGION_TRACE_INFO, &info));
	m.live = info.state == KREGION_TRACE_RUNNING ? !ioctl(m.fd[0], KREGION_TRACE_ROTATE) :
		 !info.stream_size;
	trace_ended(IDLE + info.state);
	m.start.budget = info.budget;
	m.since = 0;
	close_all();
	CHECK(regions() == 0);
}

static void compete(unsigned long n)
{
	competing = true;
	several(n, false);
	competing = false;
	CHECK(regions() == 0);
}

/* A page whose first access never ends: nothing handles its fault. */
static char *stalling_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	const int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(fd >= 0 && p != MAP_FAILED && !ioctl(fd, UFFDIO_API, &api));
	range.range.start = (unsigned long)p;
	range.range.len = PAGE;
	CHECK(!ioctl(fd, UFFDIO_REGISTER, &range));
	return p;
}

static pid_t stalled_task(void)
{
	const unsigned int kind = below(3);
	const pid_t child = fork();
	char *p;

	CHECK(child >= 0);
	if (child)
		return child;
	p = stalling_page();
	__atomic_store_n(&sum->stalls, true, __ATOMIC_SEQ_CST);
	if (kind == 0)
		read(m.fd[0], p, PAGE);
	else
		ioctl(m.fd[0], kind == 1 ? KREGION_TRACE_INFO : KREGION_TRACE_START, p);
	_exit(1);
}

static bool asleep(pid_t pid)
{
	char path[32], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	CHECK(f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
	fclose(f);
	return state == 'S' || state == 'D';
}

static pid_t rival_task(long *want)
{
	static char info[sizeof(struct kregion_trace_info)];
	static const struct { unsigned long command; long want; } rivals[] = {
		{ KREGION_TRACE_DROP, 0 }, { KREGION_TRACE_STOP, -EINVAL },
		{ KREGION_TRACE_INFO, 0 }, { 0, sizeof(info) },
	};
	const unsigned int kind = below(NR(rivals));
	const pid_t child = fork();

	CHECK(child >= 0);
	*want = rivals[kind].want;
	if (child)
		return child;
	sum->answer = result(rivals[kind].command ? ioctl(m.fd[0], rivals[kind].command, info) :
			     read(m.fd[0], info, sizeof(info)));
	_exit(0);
}

/*
 * A call that stalls in an access to memory excludes another one, until it is
 * killed; a signal ends the wait.
 */
static void stall(void)
{
	struct kregion_trace_start start = { sizeof(start), 0, KREGION_TRACE_BUDGET_MIN };
	pid_t stalled, rival;
	unsigned int i;
	long want;

	while (!m.nr_fds)
		call_open();
	signals_block(SIG_BLOCK);
	CHECK(!ioctl(m.fd[0], KREGION_TRACE_START, &start));
	CHECK(!ioctl(m.fd[0], KREGION_TRACE_STOP));
	m.state = STOPPED;
	sum->stalls = false;
	stalled = stalled_task();
	while (!__atomic_load_n(&sum->stalls, __ATOMIC_SEQ_CST) || !asleep(stalled))
		usleep(1000);

	sum->answer = LONG_MIN;
	signals_block(SIG_UNBLOCK);
	rival = rival_task(&want);
	signals_block(SIG_BLOCK);
	do {
		usleep(1000);
	} while (!asleep(rival) && sum->answer == LONG_MIN);
	CHECK(sum->answer == LONG_MIN);
	if (one_in(2)) {
		kill(rival, SIGALRM);
		for (i = 0; i < 10000 && sum->answer == LONG_MIN; i++)
			usleep(1000);
		CHECK(sum->answer == -EINTR);
		ended(rival);
		rival = 0;
	}
	kill(stalled, SIGKILL);
	ended(stalled);
	if (rival) {
		ended(rival);
		CHECK(sum->answer == want);
	}
	signals_block(SIG_UNBLOCK);
	m.state = CLOSED;
	close_all();
	CHECK(regions() == 0);
}

/* Each allocation and copy of a start fails once. */
static void start_without_memory(uint32_t flags)
{
	const struct kregion_trace_start start = { sizeof(start), flags, 1 << 20 };
	unsigned int nth = 0;
	char text[8];
	bool hit;
	long got;

	if (fail_nth < 0)
		return;
	while (!m.nr_fds)
		call_open();
	do {
		signals_block(SIG_BLOCK);
		snprintf(text, sizeof(text), "%u", ++nth);
		CHECK(write(fail_nth, text, strlen(text)) > 0);
		got = result(ioctl(m.fd[0], KREGION_TRACE_START, &start));
		hit = fault_end(true);
		CHECK(!got || (hit && (got == -ENOMEM || got == -EFAULT)));
		if (!got)
			CHECK(!ioctl(m.fd[0], KREGION_TRACE_STOP) &&
			      !ioctl(m.fd[0], KREGION_TRACE_DROP));
	} while (hit);
	close_all();
	CHECK(regions() == 0);
}

static void report(void)
{
	unsigned long refused = 0;
	size_t i;

	signals_block(SIG_BLOCK);
	printf("faults %lu, signals %lu, killed %lu, streams %lu of %lu bytes\n", sum->injected,
	       sum->signals, sum->killed, sum->streams, sum->bytes);
	printf("%lu operations:", sum->operations);
	for (i = 0; i < NR(calls); i++) {
		printf(" %s %lu,", calls[i].name, sum->calls[i]);
		refused += sum->refused[i];
	}
	printf(" refused %lu\n", refused);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || end == text || *text == '-') {
		fprintf(stderr, "usage: device_fuzz [OPERATIONS [SEED]]\n");
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	unsigned long i;

	if (argc > 3)
		number("");
	if (argc > 1)
		operations = number(argv[1]);
	if (argc > 2)
		seed = number(argv[2]);
	random_state = seed;
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);

	sum = mmap(NULL, sizeof(*sum), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sum == MAP_FAILED)
		return 1;
	arena_setup();
	faults_setup();
	signals_setup(0);
	start_without_memory(0);
	start_without_memory(KREGION_TRACE_LIVE);
	single(operations / 2);
	share(operations / 4);
	compete(operations / 8);
	for (i = 0; i < operations / 300; i++)
		stall();
	single(operations / 8);
	report();
	return 0;
}
