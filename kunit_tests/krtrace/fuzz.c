// SPDX-License-Identifier: GPL-2.0
/*
 * A target of libFuzzer: krtrace reads the input as a trace. A stream size that
 * is wrong is corrected, unless the budget is odd, so that most inputs get past
 * it; that of a live trace is not used. Events of a good trace are in order, and
 * as many as its header states.
 */
#include <byteswap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "krtrace.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[32];
static int fd;

void *xrealloc(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n ? n : 1, size);
	if (!p)
		abort();
	return p;
}

static void setup(void)
{
	fd = memfd_create("trace", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	stdout = fopen("/dev/null", "w");
	stderr = stdout;
	if (fd < 0 || !stdout)
		abort();
}

static void write_trace(const uint8_t *data, size_t size)
{
	struct kregion_trace_header h = { };

	memcpy(&h, data, size < sizeof(h) ? size : sizeof(h));
	if (!(h.budget & 1)) {
		h.stream_size = size;
		if (h.byte_order == bswap_32(KREGION_TRACE_BYTE_ORDER))
			h.stream_size = bswap_64(size);
	}
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size ||
	    (size >= sizeof(h) && pwrite(fd, &h, sizeof(h), 0) != sizeof(h)))
		abort();
}

static bool read_events(void)
{
	uint64_t last = 0, records = 0;
	struct stream s;
	struct event e;

	if (stream_open(&s, path))
		return false;
	while (stream_next(&s, &e)) {
		if (e.time < last || e.time > s.duration || e.index >= s.nr_cpus)
			abort();
		last = e.time;
		records += e.type != EVENT_GAP && e.type != EVENT_RESUME;
	}
	if (records != s.records)
		abort();
	stream_close(&s);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool good;

	if (!path[0])
		setup();
	write_trace(data, size);
	good = read_events();
	if (report(path, false) != !good || report(path, true) != !good ||
	    convert_chrome(path, NULL) != !good)
		abort();
	return 0;
}
