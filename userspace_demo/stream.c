// SPDX-License-Identifier: GPL-2.0
/*
 * Reader of trace files. stream_open() validates the whole file, and brings its
 * integers to the byte order of this machine; all other functions trust it.
 * stream_next() returns the events. The records of a CPU are in one segment for
 * each generation; a generation may begin before the one before it ends, so
 * only the CPUs are merged by time.
 */
#include <byteswap.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "krtrace.h"
#include "stream.h"

/* ---- validation ---------------------------------------------------------- */

static int bad(const char *path, const char *what)
{
	fprintf(stderr, "krtrace: %s: %s\n", path, what);
	return -1;
}

static int load(struct stream *s, const char *path)
{
	struct stat st;
	size_t room;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		goto fail;
	room = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : 65536;
	s->data = xrealloc(NULL, room, 1);
	while ((n = read(fd, (char *)s->data + s->size, room - s->size))) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		s->size += n;
		if (s->size == room) {
			room *= 2;
			s->data = xrealloc(s->data, room, 1);
		}
	}
	close(fd);
	return 0;
fail:
	bad(path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Minimum size of a record of @type; 0: unknown type. */
static size_t least_size(unsigned int type)
{
	switch (type) {
	case KREGION_TRACE_RUNNING_TASK ... KREGION_TRACE_EXIT:
		return sizeof(struct kregion_trace_event);
	case KREGION_TRACE_NAME:
		return sizeof(struct kregion_trace_name);
	case KREGION_TRACE_LOST:
		return sizeof(struct kregion_trace_lost);
	}
	return 0;
}

static unsigned int head_type(const void *rec)
{
	return *(const __u64 *)rec >> KREGION_TRACE_TIME_BITS;
}

static uint64_t head_time(const void *rec)
{
	return *(const __u64 *)rec & KREGION_TRACE_TIME_MASK;
}

/*
 * Bring adjacent members to the byte order of this machine, before their use.
 */
static void host16(const struct stream *s, __u16 *first, __u16 *last)
{
	for (; s->swapped && first <= last; first++)
		*first = bswap_16(*first);
}

static void host32(const struct stream *s, __u32 *first, __u32 *last)
{
	for (; s->swapped && first <= last; first++)
		*first = bswap_32(*first);
}

static void host64(const struct stream *s, __u64 *first, __u64 *last)
{
	for (; s->swapped && first <= last; first++)
		*first = bswap_64(*first);
}

static bool bad_times(const struct kregion_trace_header *h)
{
	return h->stop_ns < h->start_ns || h->stop_ns - h->start_ns > KREGION_TRACE_TIME_MASK;
}

static int check_header(struct stream *s, const char *path, size_t *at)
{
	struct kregion_trace_header *h = s->data;
	uint64_t size;
	uint32_t i;

	if (!s->size)
		return bad(path, "the file is empty");
	if (s->size < sizeof(h->magic) || memcmp(h->magic, KREGION_TRACE_MAGIC, sizeof(h->magic)))
		return bad(path, "not a trace: wrong magic");
	if (s->size < sizeof(*h))
		return bad(path, "truncated: no whole header");
	s->swapped = h->byte_order == bswap_32(KREGION_TRACE_BYTE_ORDER);
	host32(s, &h->version, &h->clock);
	host64(s, &h->start_ns, &h->stream_size);
	if (h->byte_order != KREGION_TRACE_BYTE_ORDER)
		return bad(path, "bad byte order mark");
	s->live = h->version == KREGION_TRACE_VERSION_LIVE;
	if (h->version != KREGION_TRACE_VERSION && !s->live) {
		fprintf(stderr, "krtrace: %s: version %u, this program reads versions %u and %u\n",
			path, h->version, KREGION_TRACE_VERSION, KREGION_TRACE_VERSION_LIVE);
		return -1;
	}
	if (!s->live && h->stream_size > s->size)
		return bad(path, "truncated: shorter than the header states");
	if (!s->live && h->stream_size < s->size)
		return bad(path, "longer than the header states");
	if (!s->live && bad_times(h))
		return bad(path, "bad start or stop time");
	if (h->header_size < sizeof(*h) || h->type_size < sizeof(struct kregion_trace_type) ||
	    h->field_size < sizeof(struct kregion_trace_field) ||
	    (h->header_size | h->type_size | h->field_size) % 8 ||
	    (h->header_size | h->type_size | h->field_size) > 65536 ||
	    h->nr_types > 256 || h->nr_fields > 65536)
		return bad(path, "bad sizes in the header");
	size = h->header_size + (uint64_t)h->type_size * h->nr_types +
	       (uint64_t)h->field_size * h->nr_fields;
	if (size > s->size)
		return bad(path, "bad sizes in the header");

	for (i = 0; i < h->nr_types; i++) {
		struct kregion_trace_type *t = (void *)((char *)s->data + h->header_size +
						       (size_t)i * h->type_size);

		host16(s, &t->id, &t->reserved);
		/* Type 0 is EVENT_GAP. */
		if (!t->id || t->id > 255 || s->type_size[t->id] ||
		    !t->size || t->size % 8 || t->size < least_size(t->id))
			return bad(path, "bad record type");
		s->type_size[t->id] = t->size;
	}
	s->header = h;
	*at = size;
	return 0;
}

/* What the file has said so far. */
struct progress {
	uint64_t since, until;		/* of the present generation */
	uint32_t cpus_left;		/* sections that it still has */
	int64_t cpu;			/* the last one; -1: none */
	bool marked;			/* the last section was a mark */
};

static struct segment *segment_add(struct stream *s)
{
	s->segments = xgrow(s->segments, s->nr_segments, &s->max_segments,
			    sizeof(*s->segments));
	return &s->segments[s->nr_segments++];
}

static int check_cpu(struct stream *s, const char *path, struct kregion_trace_section *sec,
		     struct progress *at)
{
	struct kregion_trace_cpu *head = (void *)sec;
	char *p = (char *)sec + sec->header_size, *end = (char *)sec + sec->size;
	uint64_t n = 0, last = at->since, lost_sum = 0, time;
	struct segment *seg;

	if (sec->header_size < sizeof(*head))
		return bad(path, "bad CPU section");
	host32(s, &head->cpu, &head->reserved);
	host64(s, &head->records, &head->tail_since);
	if (head->cpu >= s->header->cpu_limit)
		return bad(path, "CPU number out of range");
	if (!at->cpus_left--)
		return bad(path, "unexpected number of CPU sections");
	if (head->cpu <= at->cpu)
		return bad(path, "CPU sections out of order");
	at->cpu = head->cpu;
	seg = segment_add(s);
	*seg = (struct segment) {
		.head = head, .marks = s->nr_marks, .records = p, .end = end,
	};

	while (p < end) {
		struct kregion_trace_event *rec = (void *)p;
		size_t size;

		host64(s, &rec->head, &rec->head);
		size = s->type_size[head_type(p)];
		if (!size)
			return bad(path, "record of an unknown type");
		if (size > (size_t)(end - p))
			return bad(path, "record beyond its section");
		time = head_time(p);
		if (time < last || time > at->until)
			return bad(path, "record out of order");
		if (head_type(p) == KREGION_TRACE_LOST) {
			struct kregion_trace_lost *lost = (void *)p;

			host64(s, &lost->since, &lost->count);
			if (lost->since < last || lost->since > time)
				return bad(path, "lost record out of order");
			lost_sum += lost->count;
			time = lost->since;
		} else if (least_size(head_type(p))) {
			host64(s, &rec->ids, &rec->ids);
		}
		if (!n)
			seg->first = time;
		last = head_time(p);
		n++;
		p += size;
	}
	seg->last = last;
	if (n != head->records)
		return bad(path, "number of records does not match the section");
	if (lost_sum + head->tail_lost != head->lost)
		return bad(path, "number of lost records does not match the section");
	if (head->tail_lost && (head->tail_since < last || head->tail_since > at->until))
		return bad(path, "bad time of the last lost records");
	if (!n && head->tail_lost)
		seg->first = head->tail_since;
	if (!n && !head->lost && s->live)
		s->nr_segments--;
	s->records += n;
	s->lost += head->lost;
	s->record_bytes += sec->size - sec->header_size;
	return 0;
}

/* Neither generations nor marks step back. */
static int check_times(const char *path, struct progress *at, uint64_t since, uint64_t until)
{
	if (since < at->since || until < at->until || since > until ||
	    until > KREGION_TRACE_TIME_MASK)
		return bad(path, "bad times of a generation");
	at->since = since;
	at->until = until;
	return 0;
}

static int check_generation(struct stream *s, const char *path, struct kregion_trace_section *sec,
			    struct progress *at)
{
	struct kregion_trace_generation *g = (void *)sec;

	if (sec->header_size < sizeof(*g) || !s->live)
		return bad(path, "bad generation");
	host64(s, &g->number, &g->until);
	host32(s, &g->nr_cpus, &g->reserved);
	if (g->number != s->generations + s->lost_generations)
		return bad(path, "generation out of order");
	if (at->cpus_left)
		return bad(path, "unexpected number of CPU sections");
	at->cpus_left = g->nr_cpus;
	at->cpu = -1;
	at->marked = false;
	s->generations++;
	return check_times(path, at, g->since, g->until);
}

static int check_lost(struct stream *s, const char *path, struct kregion_trace_section *sec,
		      struct progress *at)
{
	struct kregion_trace_lost_generations *lost = (void *)sec;

	if (sec->header_size < sizeof(*lost) || !s->live)
		return bad(path, "bad lost generations");
	host64(s, &lost->generations, &lost->until);
	if (!lost->generations || lost->generations > UINT32_MAX || at->cpus_left || at->marked)
		return bad(path, "bad lost generations");
	at->marked = true;
	if (check_times(path, at, lost->since, lost->until))
		return -1;
	s->marks = xgrow(s->marks, s->nr_marks, &s->max_marks, sizeof(*s->marks));
	s->marks[s->nr_marks++] = (struct mark) { lost->since, lost->until };
	s->lost += lost->lost;
	s->lost_generations += lost->generations;
	s->lost_generation_records += lost->records;
	return 0;
}

/* True for one printable word: spaces separate the words of a report. */
static bool good_name(const char *name, size_t size)
{
	size_t i;

	for (i = 0; i < size && name[i]; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	return i && i < size;
}

/* The end of a live trace has what the header did not know. */
static int check_live_end(struct stream *s, const char *path, struct kregion_trace_section *sec,
			  const struct progress *at)
{
	struct kregion_trace_live_end *end = (void *)sec;
	struct kregion_trace_header *h = s->data;

	if (sec->header_size < sizeof(*end))
		return bad(path, "bad end section");
	host64(s, &end->stop_ns, &end->lost_records);
	h->stop_ns = end->stop_ns;
	if (bad_times(h) || h->stop_ns - h->start_ns < at->until)
		return bad(path, "bad start or stop time");
	if (end->generations != s->generations + s->lost_generations || !s->generations ||
	    end->lost_generations != s->lost_generations ||
	    end->lost_records != s->lost_generation_records)
		return bad(path, "number of generations does not match the end section");
	return 0;
}

static int check_end(struct stream *s, const char *path, struct kregion_trace_section *sec)
{
	struct kregion_trace_end *end = (void *)sec;
	uint32_t i;

	if (sec->header_size < sizeof(*end))
		return bad(path, "bad end section");
	host32(s, &end->nr_values, &end->value_size);
	if (end->value_size < sizeof(struct kregion_trace_value) || end->value_size % 8 ||
	    end->nr_values > (sec->size - sec->header_size) / end->value_size)
		return bad(path, "bad end section");
	s->values = (const char *)sec + sec->header_size;
	s->value_size = end->value_size;
	s->nr_values = end->nr_values;
	for (i = 0; i < s->nr_values; i++) {
		struct kregion_trace_value *v = (void *)stream_nth_value(s, i);

		host64(s, &v->value, &v->value);
		if (!good_name(v->name, sizeof(v->name)))
			return bad(path, "bad end section");
	}
	return 0;
}

static int by_cpu(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	if (x->head->cpu != y->head->cpu)
		return x->head->cpu < y->head->cpu ? -1 : 1;
	return x->records < y->records ? -1 : x->records > y->records;
}

/* Make the CPUs of their segments. */
static int check_segments(struct stream *s, const char *path)
{
	struct cpu_stream *c = NULL;
	struct segment *seg;
	size_t i;

	if (s->nr_segments)
		qsort(s->segments, s->nr_segments, sizeof(*s->segments), by_cpu);
	s->cpus = xrealloc(NULL, s->nr_segments, sizeof(*s->cpus));
	for (i = 0; i < s->nr_segments; i++) {
		seg = &s->segments[i];
		if (!c || c->cpu != seg->head->cpu) {
			c = &s->cpus[s->nr_cpus++];
			*c = (struct cpu_stream) { .cpu = seg->head->cpu, .first = seg };
		} else if (seg->first < seg[-1].last || seg->first < seg[-1].head->tail_since) {
			return bad(path, "generation out of order");
		}
		c->last = seg + 1;
		c->records += seg->head->records;
		c->lost += seg->head->lost;
	}
	return 0;
}

static int check(struct stream *s, const char *path)
{
	struct kregion_trace_section *sec;
	struct progress now = { .cpu = -1 };
	size_t at;

	if (check_header(s, path, &at))
		return -1;
	if (!s->live) {
		now.until = s->header->stop_ns - s->header->start_ns;
		now.cpus_left = s->header->nr_cpus;
		s->generations = 1;
	}
	do {
		sec = (void *)((char *)s->data + at);
		if (s->size - at < sizeof(*sec))
			return bad(path, "truncated: no end section");
		host32(s, &sec->kind, &sec->header_size);
		host64(s, &sec->size, &sec->size);
		if (sec->header_size < sizeof(*sec) || sec->header_size % 8 || sec->size % 8 ||
		    sec->size < sec->header_size || sec->size > s->size - at)
			return bad(path, s->live ? "truncated, or bad section size" :
						   "bad section size");
		at += sec->size;
		if (sec->kind == KREGION_TRACE_SECTION_CPU && check_cpu(s, path, sec, &now))
			return -1;
		if (sec->kind == KREGION_TRACE_SECTION_GENERATION &&
		    check_generation(s, path, sec, &now))
			return -1;
		if (sec->kind == KREGION_TRACE_SECTION_LOST && check_lost(s, path, sec, &now))
			return -1;
		if (sec->kind == KREGION_TRACE_SECTION_END && check_end(s, path, sec))
			return -1;
	} while (sec->kind != KREGION_TRACE_SECTION_END);
	if (at != s->size)
		return bad(path, "bytes after the end section");
	if (now.cpus_left)
		return bad(path, "unexpected number of CPU sections");
	if (s->live && check_live_end(s, path, sec, &now))
		return -1;
	s->duration = s->header->stop_ns - s->header->start_ns;
	return check_segments(s, path);
}

int stream_open(struct stream *s, const char *path)
{
	memset(s, 0, sizeof(*s));
	if (load(s, path) || check(s, path)) {
		stream_close(s);
		return -1;
	}
	s->heap = xrealloc(NULL, s->nr_cpus, sizeof(*s->heap));
	stream_rewind(s);
	return 0;
}

void stream_close(struct stream *s)
{
	free(s->data);
	free(s->segments);
	free(s->marks);
	free(s->cpus);
	free(s->heap);
	memset(s, 0, sizeof(*s));
}

const struct kregion_trace_value *stream_nth_value(const struct stream *s, unsigned int i)
{
	return (const void *)(s->values + (size_t)i * s->value_size);
}

bool stream_value(const struct stream *s, const char *name, uint64_t *value)
{
	unsigned int i;

	for (i = 0; i < s->nr_values; i++) {
		const struct kregion_trace_value *v = stream_nth_value(s, i);

		if (!strcmp(v->name, name)) {
			*value = v->value;
			return true;
		}
	}
	return false;
}

uint64_t stream_held(const struct stream *s)
{
	uint64_t held = s->record_bytes, sealed = 0;

	stream_value(s, "bytes_held", &held);
	stream_value(s, "bytes_sealed", &sealed);
	return held + sealed;
}

/* ---- events in chronological order --------------------------------------- */

/* The segment of the CPU after the present one, or NULL. */
static const struct segment *next_segment(const struct cpu_stream *c)
{
	return c->segment + 1 < c->last ? c->segment + 1 : NULL;
}

/* Generations are lost between the present segment of the CPU and the next one. */
static bool marked(const struct stream *s, const struct cpu_stream *c)
{
	const struct segment *next = next_segment(c);

	return (next ? next->marks : s->nr_marks) > c->segment->marks;
}

/* True if the next event of the CPU is a gap. */
static bool at_gap(const struct stream *s, const struct cpu_stream *c)
{
	if (c->gap_reported)
		return false;
	if (c->pos < c->segment->end)
		return head_type(c->pos) == KREGION_TRACE_LOST;
	return c->segment->head->tail_lost || marked(s, c);
}

static uint64_t gap_time(const struct stream *s, const struct cpu_stream *c)
{
	const struct segment *seg = c->segment;
	uint64_t since;

	if (c->pos < seg->end)
		return ((const struct kregion_trace_lost *)c->pos)->since;
	if (seg->head->tail_lost)
		return seg->head->tail_since;
	since = s->marks[seg->marks].since;
	return since > seg->last ? since : seg->last;
}

/* Set the time of the next event; false at the end. */
static bool cpu_ready(const struct stream *s, struct cpu_stream *c)
{
	const struct segment *next;

	while (c->segment) {
		next = next_segment(c);
		if (at_gap(s, c)) {
			c->next_time = gap_time(s, c);
			return true;
		}
		if (c->pos < c->segment->end) {
			c->next_time = head_time(c->pos);
			return true;
		}
		/* A gap ends with the next segment, or the last mark. */
		if (c->gap_reported && (next || marked(s, c))) {
			c->next_time = next ? next->first : s->marks[s->nr_marks - 1].until;
			return true;
		}
		c->segment = next;
		c->pos = next ? next->records : NULL;
	}
	return false;
}

static bool before(const struct stream *s, unsigned int a, unsigned int b)
{
	const struct cpu_stream *ca = &s->cpus[a], *cb = &s->cpus[b];

	return ca->next_time != cb->next_time ? ca->next_time < cb->next_time : a < b;
}

static void heap_down(struct stream *s, unsigned int i)
{
	for (;;) {
		unsigned int child = 2 * i + 1, least = i, tmp;

		if (child < s->heap_len && before(s, s->heap[child], s->heap[least]))
			least = child;
		if (child + 1 < s->heap_len && before(s, s->heap[child + 1], s->heap[least]))
			least = child + 1;
		if (least == i)
			return;
		tmp = s->heap[i];
		s->heap[i] = s->heap[least];
		s->heap[least] = tmp;
		i = least;
	}
}

void stream_rewind(struct stream *s)
{
	unsigned int i;

	s->heap_len = 0;
	for (i = 0; i < s->nr_cpus; i++) {
		s->cpus[i].segment = s->cpus[i].first;
		s->cpus[i].pos = s->cpus[i].first->records;
		s->cpus[i].gap_reported = false;
		if (cpu_ready(s, &s->cpus[i]))
			s->heap[s->heap_len++] = i;
	}
	for (i = s->heap_len; i-- > 0; )
		heap_down(s, i);
}

bool stream_next(struct stream *s, struct event *e)
{
	const struct kregion_trace_event *rec;
	struct cpu_stream *c;

	if (!s->heap_len)
		return false;
	c = &s->cpus[s->heap[0]];
	*e = (struct event) { .time = c->next_time, .index = s->heap[0] };

	if (at_gap(s, c)) {
		e->type = EVENT_GAP;
		c->gap_reported = true;
	} else if (c->pos == c->segment->end) {
		e->type = EVENT_RESUME;
		c->segment = next_segment(c);
		c->pos = c->segment ? c->segment->records : NULL;
		c->gap_reported = false;
	} else {
		rec = (const void *)c->pos;
		e->type = head_type(rec);
		switch (e->type) {
		case KREGION_TRACE_RUNNING_TASK ... KREGION_TRACE_EXIT:
			e->first = rec->ids >> KREGION_TRACE_FIRST_SHIFT & KREGION_TRACE_PID_MASK;
			e->second = rec->ids >> KREGION_TRACE_SECOND_SHIFT & KREGION_TRACE_PID_MASK;
			e->prio = rec->ids >> KREGION_TRACE_PRIO_SHIFT;
			e->state = rec->ids >> KREGION_TRACE_STATE_SHIFT;
			break;
		case KREGION_TRACE_NAME:
			e->first = (uint32_t)rec->ids;
			e->second = rec->ids >> 32;
			e->comm = ((const struct kregion_trace_name *)rec)->comm;
			break;
		}
		c->pos += s->type_size[e->type];
		c->gap_reported = false;
	}
	if (!cpu_ready(s, c))
		s->heap[0] = s->heap[--s->heap_len];
	heap_down(s, 0);
	return true;
}
