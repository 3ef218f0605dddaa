// SPDX-License-Identifier: GPL-2.0
/*
 * Stream of a stopped trace, as described in Documentation/trace-format.rst.
 *
 * The records stay where the probes wrote them: krtrace_stream_prepare() walks
 * all runs once to convert times and to cut off records after the stop, and
 * krtrace_stream_read() copies one run after the other.
 *
 * All of this runs under the device's lock, with no probe registered.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/printk.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/time.h>
#include <linux/uaccess.h>

#include "trace.h"
#include "types.h"

/* ---- types of records --------------------------------------------------- */

/* Bytes of a record by its type, 0 if there is no such type. */
#define TYPE_SIZE(_id, _struct, ...) \
	[KREGION_TRACE_##_id] = sizeof(struct _struct),
static const u8 record_size[U8_MAX + 1] = { TYPES(TYPE_SIZE) };

/* ---- statistics --------------------------------------------------------- */

/* Values of the end section. */
static const struct {
	const char *name;
	size_t offset;		/* of an unsigned long */
} region_stats[] = __KREGION_STATS;

/* ---- the stream --------------------------------------------------------- */

static struct kregion_trace_header header;	/* D */
static struct kregion_trace_end end_section;	/* D */
static struct kregion_trace_value values[ARRAY_SIZE(region_stats)];	/* D */

enum part {				/* of the stream, in its order */
	PART_HEADER,
	PART_TYPES,
	PART_FIELDS,
	PART_CPU,
	PART_RUN,
	PART_END,
	PART_VALUES,
	PART_NONE,
};

/* Position of the reader: remainder of the current part, and the next part. */
static struct {
	const char *data;		/* D */
	size_t len;			/* D */
	enum part next;			/* D */
	int cpu;			/* D: of the last PART_CPU */
	struct krtrace_run *run;	/* D: of the next PART_RUN, NULL for none */
} reader;

u64 krtrace_stream_size(void)
{
	return header.stream_size;
}

/* ---- prepare ------------------------------------------------------------ */

enum walk_end {
	WALK_COMPLETE,
	WALK_STOP,		/* at the first record after the stop */
	WALK_DAMAGE,		/* at bytes that are not a valid record */
};

/* Walk through the records of a CPU. */
struct walk {
	enum walk_end end;
	size_t run_max;		/* no run is longer: the block size */
	u64 region_left;	/* bytes that the region handed out, less the runs so far */
	u64 last;		/* ticks */
	u64 records;
	u64 bytes;
	u64 reported;		/* losses that lost records account for */
	u64 unreported;		/* other losses ... */
	u64 since;		/* ... and the time of the first of them */
};

/*
 * Convert the times of a run and count its records. Returns the end of the last
 * valid record. Trusts nothing in memory: a valid run exceeds neither the block
 * size nor the bytes that the region handed out; a valid record lies within its
 * run, has a known type, and does not precede the one before it.
 */
static char *run_prepare(struct krtrace_run *run, struct walk *walk)
{
	char *const begin = (char *)(run + 1), *const end = run->end;
	char *p = begin;

	if (end <= begin || end - (char *)run > min_t(u64, walk->region_left, walk->run_max)) {
		walk->end = WALK_DAMAGE;
		return begin;
	}
	walk->region_left -= end - (char *)run;
	while (p < end) {
		struct kregion_trace_lost *lost = (void *)p;
		const u64 type = lost->head >> KREGION_TRACE_TIME_BITS;
		const u64 time = lost->head & KREGION_TRACE_TIME_MASK;

		/* An overflowing time changes the type, and steps back. */
		if (!record_size[type] || time < walk->last || record_size[type] > end - p) {
			walk->end = WALK_DAMAGE;
			break;
		}
		if (time > krtrace_clock.ticks) {
			walk->end = WALK_STOP;
			walk->unreported = type == KREGION_TRACE_LOST ? lost->count : 0;
			walk->since = walk->unreported ? lost->since : 0;
			break;
		}
		lost->head = type << KREGION_TRACE_TIME_BITS | krtrace_ticks_to_ns(time);
		if (type == KREGION_TRACE_LOST) {
			walk->reported += lost->count;
			lost->since = krtrace_ticks_to_ns(lost->since);
		}
		walk->last = time;
		walk->records++;
		p += record_size[type];
	}
	walk->bytes += p - begin;
	return p;
}

/* Prepare the runs of a CPU, and truncate them where the walk ends. */
static void runs_prepare(struct krtrace_cpu *c, struct walk *walk)
{
	struct krtrace_run **link, *run;
	char *end;

	for (link = &c->first; (run = *link); link = &run->next) {
		end = run_prepare(run, walk);
		if (walk->end != WALK_COMPLETE) {
			/* A damaged link may lead back to an empty run. */
			if (end == (char *)(run + 1)) {
				*link = NULL;
			} else {
				run->end = end;
				run->next = NULL;
			}
			return;
		}
		cond_resched();
	}
	if (walk->records != c->records)
		walk->end = WALK_DAMAGE;
}

/*
 * Make the section of a CPU. It leaves out the records that probes wrote after
 * the stop, until they were unregistered, and counts unreadable ones as lost.
 */
static void cpu_prepare(int cpu, size_t block_size, u64 *region_left)
{
	struct krtrace_cpu *c = per_cpu_ptr(&krtrace_cpu, cpu);
	struct walk walk = {
		.run_max = block_size,
		.region_left = *region_left,
		.unreported = c->lost - c->lost_reported,
		.since = c->lost_since,
	};

	runs_prepare(c, &walk);
	if (WARN_ONCE(walk.end == WALK_DAMAGE, pr_fmt("records of CPU %d are damaged\n"), cpu)) {
		walk.unreported = c->lost - walk.reported + c->records - walk.records;
		walk.since = walk.last;
	}
	if (walk.since > krtrace_clock.ticks)
		walk.unreported = 0;
	if (!walk.unreported)
		walk.since = 0;

	*region_left = walk.region_left;
	c->records = walk.records;
	c->lost = walk.reported + walk.unreported;
	if (!c->records && !c->lost)
		return;
	c->section = (struct kregion_trace_cpu) {
		.section = {
			.kind = KREGION_TRACE_SECTION_CPU,
			.header_size = sizeof(c->section),
			.size = sizeof(c->section) + walk.bytes,
		},
		.cpu = cpu,
		.records = c->records,
		.lost = c->lost,
		.tail_lost = walk.unreported,
		.tail_since = krtrace_ticks_to_ns(walk.since),
	};
	header.nr_cpus++;
	header.stream_size += c->section.section.size;
}

static void values_prepare(const struct kregion_stats *stats)
{
	int i;

	end_section = (struct kregion_trace_end) {
		.section = {
			.kind = KREGION_TRACE_SECTION_END,
			.header_size = sizeof(end_section),
			.size = sizeof(end_section) + sizeof(values),
		},
		.nr_values = ARRAY_SIZE(values),
		.value_size = sizeof(*values),
	};
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		strscpy_pad(values[i].name, region_stats[i].name, sizeof(values[i].name));
		values[i].value = *(unsigned long *)((char *)stats + region_stats[i].offset);
	}
}

/* Make the stream from the records of a stopped trace in @region. */
void krtrace_stream_prepare(struct kregion *region, size_t block_size, u64 budget)
{
	struct kregion_stats stats;
	u64 region_left;
	int cpu;

	kregion_stats(region, &stats);
	values_prepare(&stats);
	header = (struct kregion_trace_header) {
		.magic = KREGION_TRACE_MAGIC,
		.version = KREGION_TRACE_VERSION,
		.byte_order = KREGION_TRACE_BYTE_ORDER,
		.header_size = sizeof(header),
		.type_size = sizeof(*types),
		.nr_types = ARRAY_SIZE(types),
		.field_size = sizeof(*fields),
		.nr_fields = ARRAY_SIZE(fields),
		.cpu_limit = nr_cpu_ids,
		.clock = CLOCK_MONOTONIC,
		.start_ns = krtrace_clock.start_ns,
		.stop_ns = krtrace_clock.start_ns + krtrace_clock.ns,
		.start_real_ns = krtrace_clock.start_real_ns,
		.budget = budget,
		.stream_size = sizeof(header) + sizeof(types) + sizeof(fields) +
			       end_section.section.size,
	};
	region_left = stats.bytes_used;
	for_each_possible_cpu(cpu)
		cpu_prepare(cpu, block_size, &region_left);

	reader.len = 0;
	reader.next = PART_HEADER;
}

/* ---- read --------------------------------------------------------------- */

/* Next CPU with a section, or nr_cpu_ids. */
static int reader_next_cpu(void)
{
	int cpu = reader.cpu;

	do {
		cpu = cpumask_next(cpu, cpu_possible_mask);
	} while (cpu < nr_cpu_ids && !per_cpu_ptr(&krtrace_cpu, cpu)->section.section.size);
	return cpu;
}

static bool reader_set(const void *data, size_t len, enum part next)
{
	reader.data = data;
	reader.len = len;
	reader.next = next;
	return true;
}

/* Advance to the next part of the stream; false at its end. */
static bool reader_next(void)
{
	const struct krtrace_run *run = reader.run;

	switch (reader.next) {
	case PART_HEADER:
		return reader_set(&header, sizeof(header), PART_TYPES);
	case PART_TYPES:
		return reader_set(types, sizeof(types), PART_FIELDS);
	case PART_FIELDS:
		reader.cpu = -1;
		return reader_set(fields, sizeof(fields), PART_CPU);
	case PART_RUN:
		if (run) {
			reader.run = run->next;
			return reader_set(run + 1, run->end - (char *)(run + 1), PART_RUN);
		}
		fallthrough;
	case PART_CPU:
		reader.cpu = reader_next_cpu();
		if (reader.cpu < nr_cpu_ids) {
			const struct krtrace_cpu *c = per_cpu_ptr(&krtrace_cpu, reader.cpu);

			reader.run = c->first;
			return reader_set(&c->section, sizeof(c->section), PART_RUN);
		}
		fallthrough;
	case PART_END:
		return reader_set(&end_section, sizeof(end_section), PART_VALUES);
	case PART_VALUES:
		return reader_set(values, sizeof(values), PART_NONE);
	case PART_NONE:
		break;
	}
	return false;
}

/* Copy at most @len bytes of the stream; returns 0 at its end. */
ssize_t krtrace_stream_read(char __user *buf, size_t len)
{
	ssize_t ret = 0;
	size_t done = 0;

	while (!ret && done < len) {
		size_t n = min(reader.len, len - done), left;

		if (!n) {
			if (!reader_next())
				break;
			continue;
		}
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		left = copy_to_user(buf + done, reader.data, n);
		if (left)
			ret = -EFAULT;
		n -= left;
		reader.data += n;
		reader.len -= n;
		done += n;
		cond_resched();
	}
	return done ? done : ret;
}
