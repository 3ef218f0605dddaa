// SPDX-License-Identifier: GPL-2.0
/* krtrace report: times and counts of tasks and CPUs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "krtrace.h"
#include "lost.h"
#include "task.h"

/* prev_state of a dead task: EXIT_DEAD, EXIT_ZOMBIE, TASK_DEAD. */
#define STATE_DEAD	(16 | 32 | 128)

struct task_times {
	struct task base;
	enum { TASK_UNKNOWN, TASK_WAITING, TASK_SLEEPING } state;	/* not running */
	bool woken;			/* waiting since a wake-up */
	uint64_t since;			/* begin of the state */
	size_t gaps_before;		/* gaps of all CPUs before it */
	uint64_t run_ns, wait_ns, sleep_ns, switches, wakeups;
	uint64_t *lat;
	size_t nr_lat, max_lat;
	unsigned int on_cpus;
};

struct cpu_state {
	struct task_times *task;	/* running; NULL: unknown */
	uint64_t since;
	uint64_t idle_ns, known_ns;
	uint64_t switches;
};

struct sums {
	struct tasks tasks;
	struct cpu_state *cpus;
	uint64_t switches, wakeups, events;
	uint64_t *lat;			/* of all tasks */
	size_t nr_lat;
	uint64_t busy_ns, known_ns, wait_ns, sleep_ns;

	/*
	 * During a gap of any CPU, the state of tasks that do not run is
	 * unknown: that CPU may wake or run them.
	 */
	unsigned int gaps;		/* CPUs in a gap */
	uint64_t *gap_at;		/* begin of each gap of all CPUs */
	size_t nr_gaps, max_gaps;
};

static struct task_times *times_of(struct task *base)
{
	return (struct task_times *)base;
}

static struct task_times *times_get(struct sums *s, uint32_t pid)
{
	return times_of(task_get(&s->tasks, pid));
}

static void cpu_account(struct cpu_state *c, uint64_t now)
{
	if (!c->task)
		return;
	c->task->run_ns += now - c->since;
	c->known_ns += now - c->since;
	if (!c->task->base.pid)
		c->idle_ns += now - c->since;
	c->since = now;
}

static void cpu_run(struct cpu_state *c, struct task_times *task, uint64_t now)
{
	if (c->task)
		c->task->on_cpus--;
	c->task = task;
	if (task)
		task->on_cpus++;
	c->since = now;
}

/* Account the state that ends @now, up to its first gap. */
static void task_settle(const struct sums *s, struct task_times *task, uint64_t now)
{
	const uint64_t end = task->gaps_before < s->nr_gaps ? s->gap_at[task->gaps_before] : now;

	if (task->state == TASK_WAITING)
		task->wait_ns += end - task->since;
	else if (task->state == TASK_SLEEPING)
		task->sleep_ns += end - task->since;
	task->state = TASK_UNKNOWN;
	task->woken = false;
}

/* True if the state is known and has seen no gap. */
static bool task_sure(const struct sums *s, const struct task_times *task)
{
	return task->state != TASK_UNKNOWN && task->gaps_before == s->nr_gaps;
}

static void task_becomes(const struct sums *s, struct task_times *task, unsigned int state,
			 uint64_t now)
{
	task_settle(s, task, now);
	if (s->gaps || !task->base.pid)
		return;
	task->state = state;
	task->since = now;
	task->gaps_before = s->nr_gaps;
}

static void task_woken(struct sums *s, struct task_times *task, uint64_t now)
{
	task->wakeups++;
	s->wakeups++;
	/* No effect on a running or waiting task. */
	if (task->on_cpus || (task_sure(s, task) && task->state == TASK_WAITING))
		return;
	task_becomes(s, task, TASK_WAITING, now);
	task->woken = true;
}

static void task_runs(struct sums *s, struct task_times *task, uint64_t now)
{
	if (task_sure(s, task)) {
		/* No wake-up: a pending signal prevented the sleep. */
		if (task->state == TASK_SLEEPING)
			task->state = TASK_WAITING;
		if (task->woken) {
			task->lat = xgrow(task->lat, task->nr_lat, &task->max_lat,
					  sizeof(*task->lat));
			task->lat[task->nr_lat++] = now - task->since;
			s->nr_lat++;
		}
	}
	task_settle(s, task, now);
}

/* The task has been running on a CPU in a gap. */
static void task_ran(struct sums *s, struct task_times *task, uint64_t now)
{
	if (task_sure(s, task))
		task->state = TASK_UNKNOWN;
	task_settle(s, task, now);
}

static void task_stops(struct sums *s, struct task_times *task, unsigned int prev_state,
		       uint64_t now)
{
	if (!task->on_cpus)
		task_becomes(s, task, !prev_state ? TASK_WAITING :
			     prev_state & STATE_DEAD ? TASK_UNKNOWN : TASK_SLEEPING, now);
}

static void gap_begin(struct sums *s, uint64_t now)
{
	s->gaps++;
	s->gap_at = xgrow(s->gap_at, s->nr_gaps, &s->max_gaps, sizeof(*s->gap_at));
	s->gap_at[s->nr_gaps++] = now;
}

static void account_switch(struct sums *s, struct cpu_state *c, const struct event *e)
{
	struct task_times *prev, *next;

	/* The task of the CPU, even if its pid has been reused. */
	if (c->task && c->task->base.pid == e->second) {
		prev = c->task;
	} else {
		prev = times_get(s, e->second);
		task_ran(s, prev, e->time);
	}
	cpu_account(c, e->time);
	prev->switches++;
	c->switches++;
	s->switches++;
	next = times_get(s, e->first);
	cpu_run(c, next, e->time);
	task_stops(s, prev, e->state, e->time);
	task_runs(s, next, e->time);
}

static void account(struct sums *s, const struct event *e)
{
	struct cpu_state *c = &s->cpus[e->index];
	struct task_times *task;

	if (e->type == KREGION_TRACE_FORK)
		task_settle(s, times_get(s, e->first), e->time);
	tasks_event(&s->tasks, e);
	if (e->type != EVENT_GAP && e->type != EVENT_RESUME && e->type != KREGION_TRACE_LOST &&
	    e->type != KREGION_TRACE_NAME && e->type != KREGION_TRACE_RUNNING_TASK)
		s->events++;

	switch (e->type) {
	case KREGION_TRACE_RUNNING_TASK:
		/* A new generation goes on with the task, even if its pid has been reused. */
		if (c->task && c->task->base.pid == e->first)
			break;
		task = times_get(s, e->first);
		cpu_account(c, e->time);
		task_ran(s, task, e->time);
		cpu_run(c, task, e->time);
		break;
	case KREGION_TRACE_SWITCH:
		account_switch(s, c, e);
		break;
	case KREGION_TRACE_EXEC:
		/* The current task of the CPU, whatever its previous pid. */
		cpu_account(c, e->time);
		if (c->task)
			cpu_run(c, times_get(s, e->first), e->time);
		break;
	case KREGION_TRACE_WAKEUP:
	case KREGION_TRACE_WAKEUP_NEW:
		task_woken(s, times_get(s, e->first), e->time);
		break;
	case EVENT_GAP:
		cpu_account(c, e->time);
		cpu_run(c, NULL, e->time);
		gap_begin(s, e->time);
		break;
	case KREGION_TRACE_LOST:
	case EVENT_RESUME:
		s->gaps--;
		break;
	}
}

static void account_end(struct sums *s, const struct stream *st)
{
	struct task *base;
	unsigned int i;

	for (i = 0; i < st->nr_cpus; i++) {
		/* NULL if the trace ended in a gap of this CPU. */
		cpu_account(&s->cpus[i], st->duration);
		s->busy_ns += s->cpus[i].known_ns - s->cpus[i].idle_ns;
		s->known_ns += s->cpus[i].known_ns;
	}
	for (base = s->tasks.all; base; base = base->older) {
		struct task_times *task = times_of(base);

		task_settle(s, task, st->duration);
		s->wait_ns += task->wait_ns;
		s->sleep_ns += task->sleep_ns;
	}
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Nearest-rank percentile of sorted values. */
static uint64_t percentile(const uint64_t *v, size_t n, unsigned int percent)
{
	return n ? v[((uint64_t)n * percent + 99) / 100 - 1] : 0;
}

static int by_run_time(const void *a, const void *b)
{
	const struct task_times *x = *(struct task_times *const *)a;
	const struct task_times *y = *(struct task_times *const *)b;

	if (x->run_ns != y->run_ns)
		return x->run_ns > y->run_ns ? -1 : 1;
	return x->base.pid < y->base.pid ? -1 : x->base.pid > y->base.pid;
}

static struct task_times **sorted_tasks(struct sums *s)
{
	struct task_times **v = xrealloc(NULL, s->tasks.nr, sizeof(*v));
	struct task *base;
	size_t n = 0, at = 0;

	s->lat = xrealloc(NULL, s->nr_lat, sizeof(*s->lat));
	for (base = s->tasks.all; base; base = base->older) {
		struct task_times *task = times_of(base);

		v[n++] = task;
		if (!task->nr_lat)
			continue;
		qsort(task->lat, task->nr_lat, sizeof(*task->lat), by_value);
		memcpy(s->lat + at, task->lat, task->nr_lat * sizeof(*task->lat));
		at += task->nr_lat;
	}
	qsort(v, n, sizeof(*v), by_run_time);
	qsort(s->lat, s->nr_lat, sizeof(*s->lat), by_value);
	return v;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static const char *us(uint64_t ns, char buf[32])
{
	snprintf(buf, 32, "%.1f", ns / 1e3);
	return buf;
}

static void print_latency(const uint64_t *v, size_t n)
{
	char a[32], b[32], c[32];

	if (n)
		printf(" %10s %10s %10s\n", us(percentile(v, n, 50), a),
		       us(percentile(v, n, 99), b), us(v[n - 1], c));
	else
		printf(" %10s %10s %10s\n", "-", "-", "-");
}

static void print_times(uint64_t run, uint64_t wait, uint64_t sleep)
{
	printf(" %11.3f %11.3f %11.3f", run / 1e6, wait / 1e6, sleep / 1e6);
}

static double known(const struct stream *st, uint64_t known_ns, unsigned int nr_cpus)
{
	return ratio(known_ns, (double)st->duration * nr_cpus);
}

/* Precedes the other figures, which cover the known time only. */
static void print_lost(const struct stream *st, const struct sums *s)
{
	const double all = (double)st->records + st->lost;
	const struct loss loss = loss_of(st);
	char buf[64];

	if (st->lost_generations)
		printf("%" PRIu64 " of %" PRIu64 " generations with %" PRIu64
		       " records were not saved in time.\n", st->lost_generations,
		       st->lost_generations + st->generations, st->lost_generation_records);
	if (st->lost)
		printf("%" PRIu64 " of %.0f records (%.1f %%) were lost;\n%s.\n", st->lost, all,
		       100 * st->lost / all, loss_advice(&loss, buf));
	printf("The CPUs are known for %.1f %% of the time; all figures refer to that time.\n\n",
	       100 * known(st, s->known_ns, st->nr_cpus));
}

static void print_text(const struct stream *st, const struct sums *s, struct task_times **v)
{
	uint64_t used = 0, tails = 0, peak = 0;
	char comm[32];
	unsigned int i;
	size_t n;

	if (st->lost || st->lost_generations)
		print_lost(st, s);
	printf("%7s %-15s %11s %11s %11s %9s %9s %10s %10s %10s\n", "PID", "TASK", "RUN ms",
	       "WAIT ms", "SLEEP ms", "SWITCHES", "WAKE-UPS", "TO RUN p50", "p99", "max us");
	for (n = 0; n < s->tasks.nr; n++) {
		if (!v[n]->base.pid || !(v[n]->run_ns | v[n]->switches | v[n]->wakeups))
			continue;
		printf("%7u %-15s", v[n]->base.pid, task_comm(&v[n]->base, comm));
		print_times(v[n]->run_ns, v[n]->wait_ns, v[n]->sleep_ns);
		printf(" %9" PRIu64 " %9" PRIu64, v[n]->switches, v[n]->wakeups);
		print_latency(v[n]->lat, v[n]->nr_lat);
	}
	printf("%7s %-15s", "", "all");
	print_times(s->busy_ns, s->wait_ns, s->sleep_ns);
	printf(" %9" PRIu64 " %9" PRIu64, s->switches, s->wakeups);
	print_latency(s->lat, s->nr_lat);

	printf("\n%7s %9s %9s %9s %9s %9s\n", "CPU", "KNOWN", "BUSY", "SWITCHES", "RECORDS",
	       "LOST");
	for (i = 0; i < st->nr_cpus; i++) {
		const struct cpu_state *c = &s->cpus[i];

		printf("%7u %8.1f%% %8.1f%% %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n",
		       st->cpus[i].cpu, 100 * known(st, c->known_ns, 1),
		       100 * ratio(c->known_ns - c->idle_ns, c->known_ns), c->switches,
		       st->cpus[i].records, st->cpus[i].lost);
	}
	printf("%7s %8.1f%% %8.1f%% %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n", "all",
	       100 * known(st, s->known_ns, st->nr_cpus),
	       100 * ratio(s->busy_ns, s->known_ns), s->switches, st->records, st->lost);

	stream_value(st, "bytes_used", &used);
	stream_value(st, "bytes_lost", &tails);
	stream_value(st, "blocks_peak", &peak);
	printf("\n%.3f s traced, %" PRIu64 " events in %" PRIu64
	       " records, %.1f bytes per record\n",
	       st->duration / 1e9, s->events, st->records,
	       ratio(st->record_bytes, st->records));
	printf("region: %" PRIu64 " bytes held in at most %" PRIu64 " blocks, %" PRIu64
	       " handed out, %" PRIu64 " in tails of blocks; budget %" PRIu64 "\n",
	       stream_held(st), peak, used, tails, (uint64_t)st->header->budget);
}

static void print_tsv(const struct stream *st, const struct sums *s, struct task_times **v)
{
	const struct loss loss = loss_of(st);
	char comm[32];
	unsigned int i;
	size_t n;

	puts("#pid\tcomm\trun_ns\tswitches\twakeups\tlat_p50_ns\tlat_p99_ns\tlat_max_ns\twait_ns"
	     "\tsleep_ns");
	for (n = 0; n < s->tasks.nr; n++)
		printf("%u\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
		       "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", v[n]->base.pid,
		       task_comm(&v[n]->base, comm), v[n]->run_ns, v[n]->switches, v[n]->wakeups,
		       percentile(v[n]->lat, v[n]->nr_lat, 50),
		       percentile(v[n]->lat, v[n]->nr_lat, 99),
		       percentile(v[n]->lat, v[n]->nr_lat, 100), v[n]->wait_ns,
		       v[n]->sleep_ns);

	printf("# duration_ns %" PRIu64 "\n", st->duration);
	printf("# start_ns %" PRIu64 "\n", (uint64_t)st->header->start_ns);
	printf("# stop_ns %" PRIu64 "\n", (uint64_t)st->header->stop_ns);
	printf("# switches_total %" PRIu64 "\n", s->switches);
	printf("# wakeups_total %" PRIu64 "\n", s->wakeups);
	printf("# events %" PRIu64 "\n", s->events);
	printf("# records %" PRIu64 "\n", st->records);
	printf("# lost %" PRIu64 "\n", st->lost);
	printf("# bytes_per_record %.2f\n", ratio(st->record_bytes, st->records));
	printf("# lat_p50_ns %" PRIu64 "\n", percentile(s->lat, s->nr_lat, 50));
	printf("# lat_p99_ns %" PRIu64 "\n", percentile(s->lat, s->nr_lat, 99));
	printf("# lat_max_ns %" PRIu64 "\n", percentile(s->lat, s->nr_lat, 100));
	printf("# cpu_util %.4f\n", ratio(s->busy_ns, s->known_ns));
	for (i = 0; i < st->nr_cpus; i++)
		printf("# cpu_util_%u %.4f\n", st->cpus[i].cpu,
		       ratio(s->cpus[i].known_ns - s->cpus[i].idle_ns, s->cpus[i].known_ns));
	printf("# budget %" PRIu64 "\n", (uint64_t)st->header->budget);
	for (i = 0; i < st->nr_values; i++) {
		const struct kregion_trace_value *value = stream_nth_value(st, i);

		printf("# region_%s %" PRIu64 "\n", value->name, (uint64_t)value->value);
	}
	printf("# known %.4f\n", known(st, s->known_ns, st->nr_cpus));
	for (i = 0; i < st->nr_cpus; i++)
		printf("# known_%u %.4f\n", st->cpus[i].cpu,
		       known(st, s->cpus[i].known_ns, 1));
	printf("# budget_enough %.0f\n", loss_budget(&loss));
	printf("# generations %" PRIu64 "\n", st->generations + st->lost_generations);
	printf("# lost_generations %" PRIu64 "\n", st->lost_generations);
	printf("# lost_generation_records %" PRIu64 "\n", st->lost_generation_records);
}

int report(const char *path, bool tsv)
{
	struct sums s = { .tasks.task_size = sizeof(struct task_times) };
	struct stream st;
	struct loss loss;
	struct task_times **v;
	struct event e;
	size_t i;

	if (stream_open(&st, path))
		return 1;
	s.cpus = xrealloc(NULL, st.nr_cpus, sizeof(*s.cpus));
	memset(s.cpus, 0, st.nr_cpus * sizeof(*s.cpus));
	while (stream_next(&st, &e))
		account(&s, &e);
	account_end(&s, &st);
	loss = loss_of(&st);
	loss_warn(&loss, path);
	v = sorted_tasks(&s);
	if (tsv)
		print_tsv(&st, &s, v);
	else
		print_text(&st, &s, v);
	for (i = 0; i < s.tasks.nr; i++)
		free(v[i]->lat);
	free(v);
	free(s.lat);
	free(s.cpus);
	free(s.gap_at);
	tasks_free(&s.tasks);
	stream_close(&st);
	return 0;
}
