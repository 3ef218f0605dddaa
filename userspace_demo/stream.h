/* SPDX-License-Identifier: GPL-2.0 */
/* Reader of trace files; see Documentation/trace-format.rst. */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/kregion_trace.h>

/* Not in the file: begin of a gap; KREGION_TRACE_LOST or this ends it. */
#define EVENT_GAP	0
#define EVENT_RESUME	256

struct event {
	uint64_t time;			/* since the start of the trace */
	unsigned int index;		/* of the CPU, in stream.cpus */
	unsigned int type;		/* EVENT_* or KREGION_TRACE_* */
	uint32_t first, second;		/* ids: see enum kregion_trace_record_type */
	uint8_t prio, state;
	const char *comm;		/* of KREGION_TRACE_NAME; 16 bytes with a zero */
};

/* The section of a CPU in a generation. */
struct segment {
	const struct kregion_trace_cpu *head;
	size_t marks;		/* number of marks before it */
	const char *records, *end;
	uint64_t first, last;		/* times of its first event and last record */
};

struct cpu_stream {
	unsigned int cpu;
	uint64_t records, lost;
	const struct segment *first, *last;	/* last: the end */
	const struct segment *segment;	/* NULL: at the end */
	const char *pos;
	bool gap_reported;
	uint64_t next_time;
};

/* Lost generations. */
struct mark {
	uint64_t since, until;
};

struct stream {
	void *data;
	size_t size;
	bool swapped;			/* the file has the other byte order */
	const struct kregion_trace_header *header;
	uint16_t type_size[256];
	struct segment *segments;	/* by CPU, in chronological order */
	size_t nr_segments, max_segments;
	struct mark *marks;
	size_t nr_marks, max_marks;
	struct cpu_stream *cpus;
	unsigned int nr_cpus;
	const char *values;
	unsigned int nr_values, value_size;
	uint64_t duration;
	uint64_t records, lost, record_bytes;
	bool live;
	uint64_t generations;		/* in the file */
	uint64_t lost_generations, lost_generation_records;

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
