// SPDX-License-Identifier: GPL-2.0
/* krtrace: records what the scheduler does while a command runs, and shows it. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "krtrace.h"
#include "output.h"

#define VERSION		"1.0.0"
#define DEFAULT_FILE	"kregion-trace.krt"
#define DEFAULT_BUDGET	(32ULL << 20)

#define EXIT_USAGE	2

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

void *xrealloc(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n ? n : 1, size);
	if (!p) {
		fputs("krtrace: out of memory\n", stderr);
		exit(1);
	}
	return p;
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
	return convert_chrome(trace, file);
}
