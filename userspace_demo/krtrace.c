// SPDX-License-Identifier: GPL-2.0
/* krtrace: records what the scheduler does while a command runs, and shows it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "output.h"
#include "stream.h"

#define VERSION		"1.0.0"
#define DEFAULT_FILE	"kregion-trace.krt"
#define DEFAULT_BUDGET	(32ULL << 20)
#define CHUNK		1048576

#define EXIT_USAGE	2
#define EXIT_NOT_RUN	126
#define EXIT_NOT_FOUND	127

static const char usage_text[] =
"Usage: krtrace record [-o FILE] [-b BYTES] -- COMMAND [ARGUMENT]...\n"
"       krtrace report [--tsv] [FILE]\n"
"       krtrace convert --chrome [-o FILE] [FILE]\n"
"       krtrace --help | --version\n";

static const char help_text[] =
"\n"
"Records what the scheduler does while COMMAND runs, on all CPUs, through\n"
"/dev/kregion_trace of the module kregion_trace, and shows it.\n"
"\n"
"record   Run COMMAND and write the trace to FILE.\n"
"  -o, --output FILE    default: " DEFAULT_FILE "\n"
"  -b, --budget BYTES   most kernel memory that the trace may hold; K, M and G\n"
"                       are understood; default: 32M\n"
"  Needs CAP_PERFMON or CAP_SYS_ADMIN. Records that find no memory are counted.\n"
"\n"
"report   Print, for each task, the time that it ran, waited for a CPU (after a\n"
"         wake-up, or preempted) and slept (or was stopped), switches, and\n"
"         latency from wake-up to run (p50, p99, max); then CPU utilisation,\n"
"         events, lost records, bytes a record, and what the region held.\n"
"         Unknown time is none of the three: before a task's first record, and\n"
"         where records were lost. If there are lost records, they come first,\n"
"         with the budget that would have sufficed.\n"
"  -t, --tsv            for programs: a line a task, times in ns, then lines\n"
"                       \"# KEY VALUE\"\n"
"\n"
"convert  Print a trace in another format.\n"
"  -c, --chrome         JSON for the Chromium and Perfetto trace viewers: a\n"
"                       track a CPU, tasks as slices, wake-ups as instants\n"
"  -o, --output FILE    default: standard output\n"
"\n"
"Without FILE, report and convert read " DEFAULT_FILE ".\n"
"Options of all: -h, --help; -V, --version.\n"
"\n"
"Exit status: record: that of COMMAND, 128 and the number of the signal that\n"
"ended it, 126 or 127 if it could not be run; otherwise 0, 1 for an error,\n"
"2 for wrong usage.\n";

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "budget", required_argument, NULL, 'b' },
	{ "chrome", no_argument, NULL, 'c' },
	{ "tsv", no_argument, NULL, 't' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 }
};

static int usage(const char *what, const char *arg)
{
	if (what)
		fprintf(stderr, "krtrace: %s%s%s\n", what, arg ? ": " : "", arg ? arg : "");
	fputs(usage_text, stderr);
	fputs("Try 'krtrace --help'.\n", stderr);
	return EXIT_USAGE;
}

static int fail(const char *what)
{
	fprintf(stderr, "krtrace: %s: %s\n", what, strerror(errno));
	return 1;
}

static int convert(const char *path, const char *file)
{
	struct stream st;
	FILE *out;

	/* The output may be the input. */
	if (stream_open(&st, path))
		return 1;
	output_catch_signals();
	out = output_open(file);
	if (out)
		chrome(&st, out);
	warn_lost(path, st.records, st.lost, stream_held(&st), st.header->budget);
	stream_close(&st);
	return !out || output_commit(out);
}

static bool parse_bytes(const char *s, uint64_t *bytes)
{
	static const char units[] = "KMG";
	const char *unit;
	unsigned int shift = 0;
	char *end;

	errno = 0;
	*bytes = strtoull(s, &end, 10);
	if (errno || !isdigit((unsigned char)*s))
		return false;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unit - units + 1);
		end++;
	}
	if (*end || *bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

/* ---- record --------------------------------------------------------------- */

static int device_open(void)
{
	int fd = open(KREGION_TRACE_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	fail(KREGION_TRACE_DEVICE);
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		fputs("krtrace: is the module kregion_trace loaded?\n", stderr);
	else if (errno == EPERM || errno == EACCES)
		fputs("krtrace: this needs CAP_PERFMON or CAP_SYS_ADMIN\n", stderr);
	else if (errno == EBUSY)
		fputs("krtrace: somebody else is tracing\n", stderr);
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
		fail("start of the trace");
	return -1;
}

/* What is blocked meanwhile; the rest is as it was, for the command. */
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
	/* If it is ignored, the status of a child is not kept. */
	s->old_chld = signal(SIGCHLD, SIG_DFL);
}

/*
 * Start the command. Its exec closes the pipe; if the exec fails, errno comes
 * through it.
 */
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
 * Wait for the command. A terminal's interrupt reaches it without us; a signal
 * sent to this process alone is passed on. Nothing is printed meanwhile: the
 * command has the same terminal.
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
		return fail("reading the trace");
	return output_commit(out);
}

/* Context switches of all CPUs since boot, as the kernel counts them; 0 if it does not say. */
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
		return fail("end of the trace");
	ioctl(dev, KREGION_TRACE_INFO, &info);
	if (save(dev, out, &bytes))
		return 1;
	if (ioctl(dev, KREGION_TRACE_DROP))
		return fail("drop of the trace");
	fprintf(stderr, "krtrace: %s: %.3f s, %" PRIu64 " records, %" PRIu64 " lost, %" PRIu64
		" bytes; region held %" PRIu64 " bytes; /proc/stat counted %" PRIu64
		" switches\n", file, info.elapsed_ns / 1e9, (uint64_t)info.records,
		(uint64_t)info.lost, bytes, (uint64_t)info.bytes_held, switches);
	warn_lost(file, info.records, info.lost, info.bytes_held, info.budget);
	return status;
}

static int record(const char *file, uint64_t budget, char **argv)
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
	close(dev);		/* if the trace was not finished, this drops it */
	return ret;
}

/* ---- the command line ------------------------------------------------------ */

int main(int argc, char **argv)
{
	const char *verb, *file = NULL, *trace, *allowed;
	uint64_t budget = DEFAULT_BUDGET;
	bool tsv = false, to_chrome = false;
	int opt;

	verb = argc > 1 ? argv[1] : "";
	argv[0] = "krtrace";
	if (!strcmp(verb, "record"))
		allowed = "+o:b:hV";
	else if (!strcmp(verb, "report"))
		allowed = "thV";
	else if (!strcmp(verb, "convert"))
		allowed = "co:hV";
	else if (verb[0] == '-')
		allowed = "+hV";
	else
		return usage(argc > 1 ? "unknown command" : "no command", argc > 1 ? verb : NULL);

	/* The verb takes the place of the program's name, which getopt skips. */
	if (verb[0] != '-') {
		argv++;
		argc--;
		argv[0] = "krtrace";
	}
	while ((opt = getopt_long(argc, argv, allowed, options, NULL)) != -1) {
		if (opt != '?' && !strchr(allowed, opt))
			return usage("option not of this command", NULL);
		switch (opt) {
		case 'o':
			file = optarg;
			break;
		case 'b':
			if (!parse_bytes(optarg, &budget))
				return usage("not a number of bytes", optarg);
			break;
		case 'c':
			to_chrome = true;
			break;
		case 't':
			tsv = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			fputs(help_text, stdout);
			return output_commit(stdout) != 0;
		case 'V':
			puts("krtrace " VERSION);
			return output_commit(stdout) != 0;
		default:
			return usage(NULL, NULL);
		}
	}
	argv += optind;
	argc -= optind;

	if (!strcmp(verb, "record")) {
		if (!argc)
			return usage("no COMMAND", NULL);
		return record(file ? file : DEFAULT_FILE, budget, argv);
	}
	if (verb[0] == '-')
		return usage("no command", NULL);
	if (argc > 1)
		return usage("too many arguments", argv[1]);
	trace = argc ? argv[0] : DEFAULT_FILE;
	if (!strcmp(verb, "report"))
		return report(trace, tsv) || output_commit(stdout);

	if (!to_chrome)
		return usage("convert needs --chrome", NULL);
	return convert(trace, file);
}
