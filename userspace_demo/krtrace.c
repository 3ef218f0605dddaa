// SPDX-License-Identifier: GPL-2.0
/* krtrace: record, report and convert scheduler traces. */
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

struct arguments {
	const char *output;		/* NULL: default of the command */
	uint64_t budget;
	double seconds;			/* 0: not given */
	bool chrome, tsv, one_shot;
	int nr_operands;
	char **operands;
};

struct command {
	const char *name;		/* NULL: options without a command */
	const char *options;		/* short options for getopt */
	int (*run)(const struct arguments *args);
	const char *usage;
};

static int usage(const char *problem, const char *arg);

static int run_record(const struct arguments *args)
{
	return record(&(struct record_options) {
		.file = args->output ? args->output : DEFAULT_FILE,
		.budget = args->budget,
		.seconds = args->seconds,
		.one_shot = args->one_shot,
		.argv = args->nr_operands ? args->operands : NULL,
	});
}

static uint64_t default_budget(void)
{
	const uint64_t min = record_live_budget_min();

	return min > DEFAULT_BUDGET ? min : DEFAULT_BUDGET;
}

static const char *input(const struct arguments *args)
{
	return args->nr_operands ? args->operands[0] : DEFAULT_FILE;
}

static int run_report(const struct arguments *args)
{
	if (args->nr_operands > 1)
		return usage("too many arguments", args->operands[1]);
	return report(input(args), args->tsv) || output_commit(stdout);
}

static int run_convert(const struct arguments *args)
{
	if (args->nr_operands > 1)
		return usage("too many arguments", args->operands[1]);
	if (!args->chrome)
		return usage("convert needs --chrome", NULL);
	return convert_chrome(input(args), args->output);
}

static int run_nothing(const struct arguments *args)
{
	(void)args;
	return usage("no command", NULL);
}

static const struct command commands[] = {
	{ "record", "+o:b:d:1hV", run_record,
	  "record [-1] [-o FILE] [-b BYTES] [-d SECONDS] [[--] COMMAND [ARGUMENT]...]" },
	{ "report", "thV", run_report, "report [--tsv] [FILE]" },
	{ "convert", "co:hV", run_convert, "convert --chrome [-o FILE] [FILE]" },
	{ NULL, "+hV", run_nothing, "--help | --version" },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(*commands))

static const char help_text[] =
"\n"
"Records scheduler events of all CPUs, using the device /dev/kregion_trace of\n"
"module kregion_trace, and reports them.\n"
"\n"
"record   Write a trace to FILE until COMMAND ends; without one, until SIGINT.\n"
"  -o, --output FILE    default: " DEFAULT_FILE "\n"
"  -b, --budget BYTES   maximum of kernel memory for the trace, with an optional\n"
"                       suffix K, M or G; default: 32M, or 128K for each\n"
"                       CPU if that is more\n"
"  -d, --duration SECONDS  end the trace after this time, whatever runs\n"
"  -1, --one-shot       write the trace when it is over: the budget limits its\n"
"                       length, and krtrace does not run meanwhile\n"
"  Requires CAP_PERFMON or CAP_SYS_ADMIN. Counts records that find no memory,\n"
"  and whole generations of records that are not written in time.\n"
"\n"
"report   Print for each task the time running, waiting for a CPU (woken or\n"
"         preempted) and sleeping (or stopped), the switches, and the latency\n"
"         from wake-up to run (p50, p99, max); then CPU utilisation, events,\n"
"         lost records, bytes per record, and the memory of the region. The\n"
"         times exclude unknown time: before the first record of a task, and\n"
"         where records are lost. A report on lost records precedes the rest,\n"
"         with advice on the budget.\n"
"  -t, --tsv            for programs: one line per task, times in ns, then lines\n"
"                       \"# KEY VALUE\"\n"
"\n"
"convert  Print a trace in another format.\n"
"  -c, --chrome         JSON for the Chromium and Perfetto trace viewers: one\n"
"                       track per CPU, tasks as slices, wake-ups as instants\n"
"  -o, --output FILE    default: standard output\n"
"\n"
"Without FILE, report and convert read " DEFAULT_FILE ".\n"
"Common options: -h, --help; -V, --version.\n"
"\n"
"Exit status: 0 on success, 1 on error, 2 for wrong usage. record returns the\n"
"status of COMMAND, 128 plus the number of the signal that terminated it, or\n"
"126 or 127 if COMMAND cannot be executed.\n";

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "budget", required_argument, NULL, 'b' },
	{ "duration", required_argument, NULL, 'd' },
	{ "one-shot", no_argument, NULL, '1' },
	{ "chrome", no_argument, NULL, 'c' },
	{ "tsv", no_argument, NULL, 't' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 }
};

static void print_usage(FILE *out)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "%s krtrace %s\n", i ? "      " : "Usage:", commands[i].usage);
}

static int usage(const char *problem, const char *arg)
{
	if (problem)
		fprintf(stderr, "krtrace: %s%s%s\n", problem, arg ? ": " : "", arg ? arg : "");
	print_usage(stderr);
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

static bool parse_seconds(const char *s, double *seconds)
{
	char *end;

	*seconds = strtod(s, &end);
	return isdigit((unsigned char)*s) && !*end && *seconds > 0 && *seconds <= 1e9;
}

static int run_help(void)
{
	print_usage(stdout);
	fputs(help_text, stdout);
	return output_commit(stdout) != 0;
}

static int run_version(void)
{
	puts("krtrace " VERSION);
	return output_commit(stdout) != 0;
}

static const struct command *find_command(const char *name)
{
	const struct command *c;

	for (c = commands; c < commands + NR_COMMANDS; c++) {
		if (c->name ? !strcmp(c->name, name) : name[0] == '-')
			return c;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct arguments args = { .budget = default_budget() };
	const struct command *command;
	int opt;

	if (argc < 2)
		return usage("no command", NULL);
	command = find_command(argv[1]);
	if (!command)
		return usage("unknown command", argv[1]);

	/* getopt() skips argv[0] and uses it as the prefix of messages. */
	if (command->name) {
		argv++;
		argc--;
	}
	argv[0] = "krtrace";
	while ((opt = getopt_long(argc, argv, command->options, options, NULL)) != -1) {
		if (opt != '?' && !strchr(command->options, opt))
			return usage("this command does not have that option", NULL);
		switch (opt) {
		case 'o':
			args.output = optarg;
			break;
		case 'b':
			if (!parse_bytes(optarg, &args.budget))
				return usage("not a number of bytes", optarg);
			break;
		case 'd':
			if (!parse_seconds(optarg, &args.seconds))
				return usage("not a number of seconds", optarg);
			break;
		case '1':
			args.one_shot = true;
			break;
		case 'c':
			args.chrome = true;
			break;
		case 't':
			args.tsv = true;
			break;
		case 'h':
			return run_help();
		case 'V':
			return run_version();
		default:
			return usage(NULL, NULL);
		}
	}
	args.nr_operands = argc - optind;
	args.operands = argv + optind;
	return command->run(&args);
}
