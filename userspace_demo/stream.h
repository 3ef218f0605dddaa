/* SPDX-License-Identifier: GPL-2.0 */
/* Reader of trace files; see Documentation/trace-format.rst. */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/kregion_trace.h>

/* Not in the file: begin of a gap, up to the next lost record of the CPU. */
#define EVENT_GAP	0

struct event {
	uint64_t time;			/* since the start of the trace */
	unsigned int index;		/* of the CPU, in stream.cpus */
	unsigned int type;		/* EVENT_GAP or KREGION_TRACE_* */
	uint32_t first, second;		/* ids: see enum kregion_trace_record_type */
	uint8_t prio, state;
	const char *comm;		/* of KREGION_TRACE_NAME; 16 bytes with a zero */
};

struct cpu_stream {
	const struct kregion_trace_cpu *head;
	const char *records, *end;
	const char *pos;
	bool gap_reported;
	uint64_t next_time;
};

struct stream {
	void *data;
	size_t size;
	bool swapped;			/* the file has the other byte order */
	const struct kregion_trace_header *header;
	uint16_t type_size[256];
	struct cpu_stream *cpus;
	unsigned int nr_cpus;
	const char *values;
	unsigned int nr_values, value_size;
	uint64_t duration;
	uint64_t records, lost, record_bytes;

	unsigned int *heap;		/* CPU indices, ordered by next_time */
	unsigned int heap_len;
};

/* Prints errors. */
int stream_open(struct stream *s, const char *path);
void stream_close(struct stream *s);

/* Events of all CPUs in chronological order. */
void stream_rewind(struct stream *s);
bool stream_next(struct stream *s, struct event *e);

const struct kregion_trace_value *stream_nth_value(const struct stream *s, unsigned int i);
bool stream_value(const struct stream *s, const char *name, uint64_t *value);
uint64_t stream_held(const struct stream *s);	/* bytes of kernel memory */

#endif
