// SPDX-License-Identifier: GPL-2.0
/*
 * Stream of a trace, as described in Documentation/trace-format.rst.
 *
 * The records stay where the probes wrote them: generation_prepare() walks all
 * runs of a generation once to convert times and to cut off records after the
 * stop, and krtrace_stream_read() copies one run after the other.
 *
 * All of this runs under the device's lock. Probes do not access a generation
 * that is sealed.
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
static struct kregion_trace_lost_generations lost_section;	/* D */
static struct kregion_trace_generation generation_section;	/* D */
static struct kregion_trace_live_end end_section;	/* D: the first part, if not live */
static struct kregion_trace_value values[ARRAY_SIZE(region_stats)];	/* D */

enum part {				/* of the stream, in its order */
	PART_HEADER,
	PART_TYPES,
	PART_FIELDS,
	PART_LOST,			/* and the following parts, for each generation */
	PART_GENERATION,
	PART_CPU,
	PART_RUN,			/* or the end section */
	PART_VALUES,
	PART_NONE,
};

/* Position of the reader: remainder of the current part, and the next part. */
static struct {
	const char *data;		/* D */
	size_t len;			/* D; A to read */
	enum part next;			/* D; A to read */
	struct krtrace_generation *generation;	/* D: NULL: the next one */
	int cpu;			/* D: of the last PART_CPU */
	struct krtrace_run *run;	/* D: of the next PART_RUN, NULL for none */
	size_t block_size;		/* D */
} reader;

u64 krtrace_stream_size(void)
{
	return header.stream_size;
}

static bool live(void)
{
	return header.version == KREGION_TRACE_VERSION_LIVE;
}

bool krtrace_stream_ready(void)
{
	return READ_ONCE(reader.len) || READ_ONCE(reader.next) != PART_LOST ||
	       krtrace_generation_ready();
}

/* ---- prepare ------------------------------------------------------------ */

enum walk_end {
	WALK_COMPLETE,
	WALK_STOP,		/* at the first record after the stop */
	WALK_DAMAGE,		/* at bytes that are not a valid record */
};

/* Walk through the records of a CPU in a generation. */
struct walk {
	const struct krtrace_generation *generation;
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

static struct krtrace_part *part_of(const struct krtrace_generation *g, int cpu)
{
	return &per_cpu_ptr(&krtrace_cpu, cpu)->part[g->slot];
}

/* The clock may step back, but no record is outside of its generation. */
static u64 ticks_to_ns(const struct krtrace_generation *g, u64 ticks)
{
	return clamp(krtrace_ticks_to_ns(g->times, ticks), g->since, g->times[2].ns);
}

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
		if (walk->generation->last && time > walk->generation->times[2].ticks) {
			walk->end = WALK_STOP;
			walk->unreported = type == KREGION_TRACE_LOST ? lost->count : 0;
			walk->since = walk->unreported ? lost->since : 0;
			break;
		}
		lost->head = type << KREGION_TRACE_TIME_BITS | ticks_to_ns(walk->generation, time);
		if (type == KREGION_TRACE_LOST) {
			walk->reported += lost->count;
			lost->since = ticks_to_ns(walk->generation, lost->since);
		}
		walk->last = time;
		walk->records++;
		p += record_size[type];
	}
	walk->bytes += p - begin;
	return p;
}

/* Prepare the runs of a CPU, and truncate them where the walk ends. */
static void runs_prepare(struct krtrace_part *part, struct walk *walk)
{
	struct krtrace_run **link, *run;
	char *end;

	for (link = &part->first; (run = *link); link = &run->next) {
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
	if (walk->records != part->records)
		walk->end = WALK_DAMAGE;
}

/*
 * Make the section of a CPU. It leaves out the records that probes wrote after
 * the stop, until they were unregistered, and counts unreadable ones as lost.
 */
static void cpu_prepare(struct krtrace_generation *g, int cpu, u64 *region_left)
{
	struct krtrace_cpu *c = per_cpu_ptr(&krtrace_cpu, cpu);
	struct krtrace_part *part = part_of(g, cpu);
	struct walk walk = {
		.generation = g,
		.run_max = reader.block_size,
		.region_left = *region_left,
		.unreported = part->unreported,
		.since = part->since,
	};

	runs_prepare(part, &walk);
	if (WARN_ONCE(walk.end == WALK_DAMAGE, pr_fmt("records of CPU %d are damaged\n"), cpu)) {
		walk.unreported = part->lost - walk.reported + part->records - walk.records;
		walk.since = walk.last;
	}
	if (g->last && walk.since > g->times[2].ticks)
		walk.unreported = 0;

	*region_left = walk.region_left;
	part->records = walk.records;
	part->lost = walk.reported + walk.unreported;
	if (g->last) {
		c->records = c->records_before + part->records;
		c->lost = c->lost_before + part->lost;
	}
	if (!part->records && !part->lost)
		return;
	part->section = (struct kregion_trace_cpu) {
		.section = {
			.kind = KREGION_TRACE_SECTION_CPU,
			.header_size = sizeof(part->section),
			.size = sizeof(part->section) + walk.bytes,
		},
		.cpu = cpu,
		.records = part->records,
		.lost = part->lost,
		.tail_lost = walk.unreported,
		.tail_since = walk.unreported ? ticks_to_ns(g, walk.since) : 0,
	};
	g->nr_cpus++;
	g->bytes += part->section.section.size;
}

/* Make the sections of a generation, whose runs have at most @bytes. */
static void generation_prepare(struct krtrace_generation *g, u64 bytes)
{
	int cpu;

	if (g->prepared)
		return;
	g->prepared = true;
	for_each_possible_cpu(cpu)
		cpu_prepare(g, cpu, &bytes);
}

static void values_prepare(const struct kregion_stats *stats)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		strscpy_pad(values[i].name, region_stats[i].name, sizeof(values[i].name));
		values[i].value = *(unsigned long *)((char *)stats + region_stats[i].offset);
	}
}

/* Of a trace that has just begun. */
void krtrace_stream_start(size_t block_size, u64 budget, bool live)
{
	header = (struct kregion_trace_header) {
		.magic = KREGION_TRACE_MAGIC,
		.version = live ? KREGION_TRACE_VERSION_LIVE : KREGION_TRACE_VERSION,
		.byte_order = KREGION_TRACE_BYTE_ORDER,
		.header_size = sizeof(header),
		.type_size = sizeof(*types),
		.nr_types = ARRAY_SIZE(types),
		.field_size = sizeof(*fields),
		.nr_fields = ARRAY_SIZE(fields),
		.cpu_limit = nr_cpu_ids,
		.clock = CLOCK_MONOTONIC,
		.start_ns = krtrace_clock.start_ns,
		.start_real_ns = krtrace_clock.start_real_ns,
		.budget = budget,
	};
	reader.block_size = block_size;
	reader.generation = NULL;
	reader.len = 0;
	WRITE_ONCE(reader.next, PART_HEADER);
}

/* Of a stopped trace in @region: prepare its @last generation, and the end. */
void krtrace_stream_stop(struct kregion *region, struct krtrace_generation *last)
{
	const size_t end_size = live() ? sizeof(end_section) : sizeof(end_section.end);
	struct kregion_stats stats;

	kregion_stats(region, &stats);
	values_prepare(&stats);
	generation_prepare(last, stats.bytes_used);
	end_section.end = (struct kregion_trace_end) {
		.section = {
			.kind = KREGION_TRACE_SECTION_END,
			.header_size = end_size,
			.size = end_size + sizeof(values),
		},
		.nr_values = ARRAY_SIZE(values),
		.value_size = sizeof(*values),
	};
	if (live())
		return;
	header.stop_ns = header.start_ns + last->times[2].ns;
	header.nr_cpus = last->nr_cpus;
	header.stream_size = sizeof(header) + sizeof(types) + sizeof(fields) + last->bytes +
			     end_section.end.section.size;
}

/* ---- read --------------------------------------------------------------- */

static bool reader_set(const void *data, size_t len, enum part next)
{
	reader.data = data;
	WRITE_ONCE(reader.len, len);
	WRITE_ONCE(reader.next, next);
	return true;
}

/* Begin the next generation; false if there is none yet. */
static bool reader_begin(void)
{
	struct krtrace_lost lost;
	struct krtrace_generation *g = krtrace_generation_next(&lost);

	if (!g)
		return false;
	reader.generation = g;
	reader.cpu = -1;
	generation_prepare(g, header.budget);
	generation_section = (struct kregion_trace_generation) {
		.section = {
			.kind = KREGION_TRACE_SECTION_GENERATION,
			.header_size = sizeof(generation_section),
			.size = sizeof(generation_section),
		},
		.number = g->number,
		.since = g->since,
		.until = g->times[2].ns,
		.nr_cpus = g->nr_cpus,
	};
	lost_section = (struct kregion_trace_lost_generations) {
		.section = {
			.kind = KREGION_TRACE_SECTION_LOST,
			.header_size = sizeof(lost_section),
			.size = sizeof(lost_section),
		},
		.generations = lost.generations,
		.records = lost.records,
		.lost = lost.lost,
		.since = lost.since,
		.until = lost.until,
	};
	return true;
}

/* The generation has been read; false if it is not the last one. */
static bool reader_end(void)
{
	struct krtrace_generation *g = reader.generation;
	const bool last = g->last;
	struct kregion_trace_generations counts;

	if (last) {
		krtrace_generations_counts(&counts);
		end_section.stop_ns = header.start_ns + g->times[2].ns;
		end_section.generations = counts.sealed;
		end_section.lost_generations = counts.lost;
		end_section.lost_records = counts.lost_records;
	}
	reader.generation = NULL;
	krtrace_generation_done(g);
	return last;
}

/* The next CPU with a section; false if there is none. */
static bool reader_next_cpu(void)
{
	const struct krtrace_part *part;

	do {
		reader.cpu = cpumask_next(reader.cpu, cpu_possible_mask);
		if (reader.cpu >= nr_cpu_ids)
			return false;
		part = part_of(reader.generation, reader.cpu);
	} while (!part->section.section.size);
	reader.run = part->first;
	return reader_set(&part->section, sizeof(part->section), PART_RUN);
}

/* Advance to the next part of the stream; false at its end, or where it waits. */
static bool reader_next(void)
{
	const struct krtrace_run *run;

	switch (reader.next) {
	case PART_HEADER:
		return reader_set(&header, sizeof(header), PART_TYPES);
	case PART_TYPES:
		return reader_set(types, sizeof(types), PART_FIELDS);
	case PART_FIELDS:
		return reader_set(fields, sizeof(fields), PART_LOST);
	case PART_LOST:
next_generation:
		if (!reader_begin()) {
			WRITE_ONCE(reader.next, PART_LOST);
			return false;
		}
		if (lost_section.generations)
			return reader_set(&lost_section, sizeof(lost_section), PART_GENERATION);
		fallthrough;
	case PART_GENERATION:
		if (live())
			return reader_set(&generation_section, sizeof(generation_section),
					  PART_CPU);
		fallthrough;
	case PART_CPU:
		reader.run = NULL;
		fallthrough;
	case PART_RUN:
		run = reader.run;
		if (run) {
			reader.run = run->next;
			return reader_set(run + 1, run->end - (char *)(run + 1), PART_RUN);
		}
		if (reader_next_cpu())
			return true;
		if (!reader_end())
			goto next_generation;
		return reader_set(&end_section, end_section.end.section.header_size, PART_VALUES);
	case PART_VALUES:
		return reader_set(values, sizeof(values), PART_NONE);
	case PART_NONE:
		break;
	}
	return false;
}

/*
 * Copy at most @len bytes of the stream; returns 0 at its end, and -EAGAIN where
 * it continues with a generation that is not sealed yet. Advances behind the
 * last byte, for krtrace_stream_ready().
 */
ssize_t krtrace_stream_read(char __user *buf, size_t len)
{
	size_t done = 0;

	while (reader.len || reader_next()) {
		size_t n = min(reader.len, len - done), left;

		if (!n)
			return done;
		if (fatal_signal_pending(current))
			return done ?: -EINTR;
		left = copy_to_user(buf + done, reader.data, n);
		n -= left;
		reader.data += n;
		WRITE_ONCE(reader.len, reader.len - n);
		done += n;
		if (left)
			return done ?: -EFAULT;
		cond_resched();
	}
	return done || !len || reader.next == PART_NONE ? done : -EAGAIN;
}
