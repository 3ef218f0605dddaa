// SPDX-License-Identifier: GPL-2.0
/*
 * krtrace record: save a trace while it runs, or when it is over. A command of
 * the user runs meanwhile, so nothing is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "krtrace.h"
#include "lost.h"
#include "output.h"

#define CHUNK		1048576

#define EXIT_NOT_RUN	126
#define EXIT_NOT_FOUND	127

static int fail(const char *what)
{
	fprintf(stderr, "krtrace: %s: %s\n", what, strerror(errno));
	return 1;
}

static int device_open(void)
{
	/* A generation may be lost between poll() and read(). */
	int fd = open(KREGION_TRACE_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	fail(KREGION_TRACE_DEVICE);
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		fputs("krtrace: is the module kregion_trace loaded?\n", stderr);
	else if (errno == EPERM || errno == EACCES)
		fputs("krtrace: CAP_PERFMON or CAP_SYS_ADMIN is required\n", stderr);
	else if (errno == EBUSY)
		fputs("krtrace: another process is tracing\n", stderr);
	return -1;
}

uint64_t record_live_budget_min(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) * (uint64_t)KREGION_TRACE_LIVE_BUDGET_MIN;
}

/* The device has refused the budget, or does not know live traces. */
static void start_refused(const struct kregion_trace_info *info, uint64_t budget, bool live)
{
	const uint64_t live_min = record_live_budget_min();
	const uint64_t min = live && live_min > info->budget_min ? live_min : info->budget_min;

	if (live && budget >= min && budget <= info->budget_max)
		fputs("krtrace: the loaded module cannot write a trace while it runs; "
		      "use --one-shot\n", stderr);
	else
		fprintf(stderr, "krtrace: budget %" PRIu64 ": must be %" PRIu64 " to %" PRIu64
			" bytes%s\n", budget, min, (uint64_t)info->budget_max,
			live ? ", or less with --one-shot" : "");
}

static int device_start(int dev, uint64_t budget, bool live)
{
	struct kregion_trace_start start = {
		.size = sizeof(start), .flags = live ? KREGION_TRACE_LIVE : 0, .budget = budget,
	};
	struct kregion_trace_info info;

	if (!ioctl(dev, KREGION_TRACE_START, &start))
		return 0;
	if (errno == EINVAL && !ioctl(dev, KREGION_TRACE_INFO, &info))
		start_refused(&info, budget, live);
	else
		fail("cannot start the trace");
	return -1;
}

/* Signals blocked during the trace, and the state that the command inherits. */
struct signals {
	sigset_t blocked, old_mask;
	void (*old_chld)(int sig);
	void (*old_pipe)(int sig);
	void (*old_xfsz)(int sig);
};

static void signals_block(struct signals *s)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction old;
	size_t i;

	sigemptyset(&s->blocked);
	sigaddset(&s->blocked, SIGCHLD);
	for (i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(&s->blocked, ends[i]);
	}
	sigprocmask(SIG_BLOCK, &s->blocked, &s->old_mask);
	/* No handler of output_catch_signals() runs before the exec of the command. */
	for (i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		if (sigismember(&s->blocked, ends[i]))
			signal(ends[i], SIG_DFL);
	}
	/* An ignored SIGCHLD discards the status of children. */
	s->old_chld = signal(SIGCHLD, SIG_DFL);
	/* A write that fails is reported. */
	s->old_pipe = signal(SIGPIPE, SIG_IGN);
	s->old_xfsz = signal(SIGXFSZ, SIG_IGN);
}

/* Start the command. Its exec closes the pipe, or errno comes through it. */
static pid_t command_start(char **argv, const struct signals *signals, int *error)
{
	int ends[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC)) {
		*error = errno;
		return -1;
	}
	pid = fork();
	if (pid < 0) {
		*error = errno;
		close(ends[0]);
		close(ends[1]);
		return -1;
	}
	if (!pid) {
		signal(SIGCHLD, signals->old_chld);
		signal(SIGPIPE, signals->old_pipe);
		signal(SIGXFSZ, signals->old_xfsz);
		sigprocmask(SIG_SETMASK, &signals->old_mask, NULL);
		execvp(argv[0], argv);
		*error = errno;
		n = write(ends[1], error, sizeof(*error));
		_exit(n == sizeof(*error) && *error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
	}
	close(ends[1]);
	*error = 0;
	do {
		n = read(ends[0], error, sizeof(*error));
	} while (n < 0 && errno == EINTR);
	close(ends[0]);
	return pid;
}

/* ---- the time of the trace ----------------------------------------------- */

struct recording {
	const struct record_options *options;
	const struct signals *signals;
	int dev, signal_fd;
	FILE *out;
	char *buf;			/* CHUNK bytes */
	uint64_t bytes;			/* saved */
	int error;			/* of saving; 0: none */
	bool device_ended;		/* nothing more to save */
	pid_t pid;			/* of the command, while it runs; or 0 */
	int status;			/* of the command */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Save the next chunk. */
static void save_chunk(struct recording *r)
{
	const ssize_t n = read(r->dev, r->buf, CHUNK);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	r->device_ended = n <= 0;
	if (n < 0) {
		r->error = errno;
		fail("cannot read the trace");
	} else if (fwrite(r->buf, 1, n, r->out) != (size_t)n) {
		r->error = errno;
		output_fail(r->error);
	} else {
		r->bytes += n;
	}
}

/*
 * Take the next signal. The command receives signals of the terminal directly;
 * others are forwarded. Returns true if the signal is to end the trace.
 */
static bool take_signal(struct recording *r)
{
	struct signalfd_siginfo info;
	int status;

	if (read(r->signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (r->pid && waitpid(r->pid, &status, WNOHANG) == r->pid) {
		r->pid = 0;
		r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		return true;
	}
	if (info.ssi_signo == SIGCHLD)
		return false;
	if (r->pid && info.ssi_code <= 0)
		kill(r->pid, info.ssi_signo);
	return !r->pid;
}

/* Until the command ends, the time is over, a signal arrives or an error occurs. */
static void record_wait(struct recording *r)
{
	const double seconds = r->options->seconds;
	const int64_t end = seconds ? now_ms() + (int64_t)(seconds * 1000) : INT64_MAX;
	struct pollfd fds[2] = {
		{ .fd = r->signal_fd, .events = POLLIN }, { .events = POLLIN },
	};
	int64_t left;

	while ((left = end - now_ms()) > 0 && !r->error) {
		fds[1].fd = r->options->one_shot || r->device_ended ? -1 : r->dev;
		if (poll(fds, 2, end == INT64_MAX ? -1 : left > INT_MAX ? INT_MAX : left) < 0) {
			if (errno == EINTR)
				continue;
			r->error = errno;
			fail("poll");
			break;
		}
		if (fds[0].revents && take_signal(r))
			break;
		if (fds[1].revents)
			save_chunk(r);
	}
}

/* The rest of a stopped trace. */
static void record_rest(struct recording *r)
{
	while (!r->error && !r->device_ended)
		save_chunk(r);
}

/* Context switches since boot, from /proc/stat; 0 if unavailable. */
static uint64_t kernel_switches(void)
{
	FILE *f = fopen("/proc/stat", "r");
	uint64_t n = 0;
	char *line = NULL;
	size_t len = 0;

	if (!f)
		return 0;
	while (getline(&line, &len, f) > 0)
		if (sscanf(line, "ctxt %" SCNu64, &n) == 1)
			break;
	free(line);
	fclose(f);
	return n;
}

/* Start the command; returns an exit status, or 0. */
static int record_command(struct recording *r)
{
	char **argv = r->options->argv;
	int error;

	if (!argv)
		return 0;
	r->pid = command_start(argv, r->signals, &error);
	if (r->pid > 0 && !error)
		return 0;
	fprintf(stderr, "krtrace: %s: %s\n", argv[0], strerror(error));
	if (r->pid < 0)
		return 1;
	waitpid(r->pid, NULL, 0);
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

/* The trace is over, but the command may go on. */
static void command_wait(struct recording *r)
{
	while (r->pid)
		take_signal(r);
}

static int record_to(struct recording *r)
{
	const struct record_options *options = r->options;
	struct kregion_trace_generations generations = { 0 };
	struct kregion_trace_info info = { 0 };
	uint64_t switches;
	int status;

	if (device_start(r->dev, options->budget, !options->one_shot))
		return 1;
	switches = kernel_switches();
	status = record_command(r);
	if (status)
		return status;
	record_wait(r);

	switches = kernel_switches() - switches;
	if (ioctl(r->dev, KREGION_TRACE_STOP)) {
		r->error = errno;
		fail("cannot stop the trace");
	}
	ioctl(r->dev, KREGION_TRACE_INFO, &info);
	record_rest(r);
	ioctl(r->dev, KREGION_TRACE_GENERATIONS, &generations);
	command_wait(r);
	if (r->error || output_commit(r->out))
		return 1;
	if (ioctl(r->dev, KREGION_TRACE_DROP))
		return fail("cannot drop the trace");
	fprintf(stderr, "krtrace: %s: %.3f s, %" PRIu64 " records, %" PRIu64 " lost, %" PRIu64
		" generation%s, %" PRIu64 " lost, %" PRIu64 " bytes; region held %" PRIu64
		" bytes; /proc/stat counted %" PRIu64 " switches\n", options->file,
		info.elapsed_ns / 1e9, (uint64_t)info.records, (uint64_t)info.lost,
		(uint64_t)generations.sealed, generations.sealed == 1 ? "" : "s",
		(uint64_t)generations.lost, r->bytes, (uint64_t)info.bytes_held, switches);
	loss_warn(&(struct loss) {
		.records = info.records,
		.lost = info.lost,
		.held = info.bytes_held,
		.budget = info.budget,
		.live = !options->one_shot,
		.generations = generations.lost,
		.generation_records = generations.lost_records,
	}, options->file);
	return r->status;
}

int record(const struct record_options *options)
{
	struct signals signals;
	struct recording r = { .options = options, .signals = &signals };
	int ret = 1;

	r.dev = device_open();
	if (r.dev < 0)
		return 1;
	r.buf = xrealloc(NULL, CHUNK, 1);
	/* A signal ends the wait for the reader of a FIFO. */
	output_catch_signals();
	r.out = output_open(options->file);
	if (!r.out)
		goto out;
	signals_block(&signals);
	r.signal_fd = signalfd(-1, &signals.blocked, SFD_CLOEXEC);
	if (r.signal_fd < 0) {
		fail("signalfd");
		goto out;
	}
	ret = record_to(&r);
	close(r.signal_fd);
out:
	close(r.dev);		/* also drops an incomplete trace */
	free(r.buf);
	return ret;
}
