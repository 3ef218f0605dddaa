// SPDX-License-Identifier: GPL-2.0
/*
 * Linked into krtrace by test.py. Counts executed basic blocks, and emulates
 * /dev/kregion_trace: $TEST_STREAM is the file with the stream, and $TEST_INFO
 * lists records, lost records, bytes held and budget for KREGION_TRACE_INFO.
 * Raises $TEST_SIGNAL before an output file replaces the previous one.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kregion_trace.h>

static unsigned long blocks;

int __real_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __real_rename(const char *from, const char *to);

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

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct kregion_trace_info *info = arg;
	const char *values = getenv("TEST_INFO");

	switch (request) {
	case KREGION_TRACE_START:
	case KREGION_TRACE_STOP:
	case KREGION_TRACE_DROP:
		return 0;
	case KREGION_TRACE_INFO:
		memset(info, 0, sizeof(*info));
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
