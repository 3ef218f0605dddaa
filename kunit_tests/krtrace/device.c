// SPDX-License-Identifier: GPL-2.0
/*
 * Linked into krtrace by test.py. Counts executed basic blocks, and emulates
 * /dev/kregion_trace: $TEST_STREAM is the file with the stream, and $TEST_INFO
 * lists records, lost records, bytes held and budget for KREGION_TRACE_INFO.
 * With $TEST_OLD, it does not know live traces; it says the budget of others on
 * standard output. There are $TEST_CPUS CPUs. Raises $TEST_SIGNAL before an
 * output file replaces the previous one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kregion_trace.h>

static unsigned long blocks;

int __real_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __real_rename(const char *from, const char *to);
long __real_sysconf(int name);

void __sanitizer_cov_trace_pc(void)
{
	blocks++;
}

static void __attribute__((destructor)) write_count(void)
{
	const char *path = getenv("TEST_COUNT");
	FILE *f = path ? fopen(path, "w") : NULL;

	if (!f)
		return;
	fprintf(f, "%lu\n", blocks);
	fclose(f);
}

int __wrap_open(const char *path, int flags, ...)
{
	const char *stream = getenv("TEST_STREAM");
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (stream && !strcmp(path, KREGION_TRACE_DEVICE))
		return __real_open(stream, O_RDONLY | O_CLOEXEC);
	return __real_open(path, flags, mode);
}

static int start(const struct kregion_trace_start *start)
{
	if (!getenv("TEST_OLD"))
		return 0;
	if (start->flags) {
		errno = EINVAL;
		return -1;
	}
	printf("%" PRIu64 "\n", (uint64_t)start->budget);
	fflush(stdout);
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct kregion_trace_info *info = arg;
	const char *values = getenv("TEST_INFO");

	switch (request) {
	case KREGION_TRACE_START:
		return start(arg);
	case KREGION_TRACE_STOP:
	case KREGION_TRACE_DROP:
		return 0;
	case KREGION_TRACE_GENERATIONS:
		memset(arg, 0, sizeof(struct kregion_trace_generations));
		return 0;
	case KREGION_TRACE_INFO:
		memset(info, 0, sizeof(*info));
		info->budget_min = KREGION_TRACE_BUDGET_MIN;
		info->budget_max = 1ULL << 40;
		if (!values)
			return 0;
		return sscanf(values, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
			      (uint64_t *)&info->records, (uint64_t *)&info->lost,
			      (uint64_t *)&info->bytes_held, (uint64_t *)&info->budget) == 4 ?
			0 : -1;
	}
	return __real_ioctl(fd, request, arg);
}

int __wrap_rename(const char *from, const char *to)
{
	const char *signal = getenv("TEST_SIGNAL");

	if (signal)
		raise(atoi(signal));
	return __real_rename(from, to);
}

long __wrap_sysconf(int name)
{
	const char *cpus = getenv("TEST_CPUS");

	return cpus && name == _SC_NPROCESSORS_ONLN ? atol(cpus) : __real_sysconf(name);
}
