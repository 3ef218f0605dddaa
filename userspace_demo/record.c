// SPDX-License-Identifier: GPL-2.0
/* krtrace record: trace the execution of a command, and save the trace. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
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
	int fd = open(KREGION_TRACE_DEVICE, O_RDWR | O_CLOEXEC);

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

static int device_start(int dev, uint64_t budget)
{
	struct kregion_trace_start start = { .size = sizeof(start), .budget = budget };
	struct kregion_trace_info info;

	if (!ioctl(dev, KREGION_TRACE_START, &start))
		return 0;
	if (errno == EINVAL && !ioctl(dev, KREGION_TRACE_INFO, &info))
		fprintf(stderr, "krtrace: budget %" PRIu64 ": must be %" PRIu64 " to %" PRIu64
			" bytes\n", budget, (uint64_t)info.budget_min, (uint64_t)info.budget_max);
	else
		fail("cannot start the trace");
	return -1;
}

/* Signals blocked while the command runs, and the state that it inherits. */
struct signals {
	sigset_t blocked, old_mask;
	void (*old_chld)(int sig);
};

static void signals_block(struct signals *s)
{
	sigemptyset(&s->blocked);
	sigaddset(&s->blocked, SIGCHLD);
	sigaddset(&s->blocked, SIGINT);
	sigaddset(&s->blocked, SIGTERM);
	sigaddset(&s->blocked, SIGHUP);
	sigaddset(&s->blocked, SIGQUIT);
	sigprocmask(SIG_BLOCK, &s->blocked, &s->old_mask);
	/* An ignored SIGCHLD discards the status of children. */
	s->old_chld = signal(SIGCHLD, SIG_DFL);
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

/*
 * Wait for the command. It receives signals of the terminal directly; others
 * are forwarded. Prints nothing, as the command uses the same terminal.
 */
static int command_wait(pid_t pid, const struct signals *signals)
{
	siginfo_t info;
	int status, sig;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		sig = sigwaitinfo(&signals->blocked, &info);
		if (sig > 0 && sig != SIGCHLD && info.si_code <= 0)
			kill(pid, sig);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int save(int dev, FILE *out, uint64_t *bytes)
{
	char *buf = xrealloc(NULL, CHUNK, 1);
	ssize_t n;

	*bytes = 0;
	for (;;) {
		n = read(dev, buf, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || fwrite(buf, 1, n, out) != (size_t)n)
			break;
		*bytes += n;
	}
	free(buf);
	if (n < 0)
		return fail("cannot read the trace");
	return output_commit(out);
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

static int record_to(int dev, FILE *out, const char *file, uint64_t budget, char **argv,
		     const struct signals *signals)
{
	struct kregion_trace_info info = { 0 };
	uint64_t bytes, switches;
	int error, status;
	pid_t pid;

	if (device_start(dev, budget))
		return 1;
	switches = kernel_switches();
	pid = command_start(argv, signals, &error);
	if (pid < 0 || error) {
		fprintf(stderr, "krtrace: %s: %s\n", argv[0], strerror(error));
		if (pid < 0)
			return 1;
		waitpid(pid, NULL, 0);
		return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
	}
	status = command_wait(pid, signals);

	switches = kernel_switches() - switches;
	if (ioctl(dev, KREGION_TRACE_STOP))
		return fail("cannot stop the trace");
	ioctl(dev, KREGION_TRACE_INFO, &info);
	if (save(dev, out, &bytes))
		return 1;
	if (ioctl(dev, KREGION_TRACE_DROP))
		return fail("cannot drop the trace");
	fprintf(stderr, "krtrace: %s: %.3f s, %" PRIu64 " records, %" PRIu64 " lost, %" PRIu64
		" bytes; region held %" PRIu64 " bytes; /proc/stat counted %" PRIu64
		" switches\n", file, info.elapsed_ns / 1e9, (uint64_t)info.records,
		(uint64_t)info.lost, bytes, (uint64_t)info.bytes_held, switches);
	loss_warn(&(struct loss) {
		.records = info.records,
		.lost = info.lost,
		.held = info.bytes_held,
		.budget = info.budget,
	}, file);
	return status;
}

int record(const char *file, uint64_t budget, char **argv)
{
	struct signals signals;
	int dev, ret = 1;
	FILE *out;

	signals_block(&signals);
	dev = device_open();
	if (dev < 0)
		return 1;
	out = output_open(file);
	if (out)
		ret = record_to(dev, out, file, budget, argv, &signals);
	close(dev);		/* also drops an incomplete trace */
	return ret;
}
