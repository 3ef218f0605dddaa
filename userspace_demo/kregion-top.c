// SPDX-License-Identifier: GPL-2.0
/*
 * kregion-top: live view of all regions, from debugfs.
 *
 * Finds columns of the file by name, and thus tolerates new ones; --json passes
 * them through. Only printable ASCII reaches a terminal.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <ncurses.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

#define PROG		"kregion-top"
#define VERSION		"1.0.0"
#define DEBUGFS		"/sys/kernel/debug"
#define REGIONS		DEBUGFS "/kregion/regions"
#define MAGIC_LINE	"# kregion regions "
#define FORMAT		1
#define MAX_FILE	((size_t)1 << 30)
#define MIN_COLS	80
#define MIN_LINES	5

/* Columns of the file that the program interprets. */
enum field {
	ID, NAME, OWNER, MODE, CURRENT, FULL, LARGE, SPARE, PEAK, HELD, USED, LOST, FILLS,
	NOMEM, LIMIT, SIZE, NOFILL, DROPS, RESETS, NR_FILE,
	FAILED = NR_FILE, BAR, NR_FIELDS	/* derived */
};

static const char * const field_names[NR_FILE] = {
	[ID] = "id",
	[NAME] = "name",
	[OWNER] = "owner",
	[MODE] = "mode",
	[CURRENT] = "blocks_current",
	[FULL] = "blocks_full",
	[LARGE] = "blocks_large",
	[SPARE] = "blocks_spare",
	[PEAK] = "blocks_peak",
	[HELD] = "bytes_held",
	[USED] = "bytes_used",
	[LOST] = "bytes_lost",
	[FILLS] = "fills",
	[NOMEM] = "failed_nomem",
	[LIMIT] = "failed_limit",
	[SIZE] = "failed_size",
	[NOFILL] = "failed_nofill",
	[DROPS] = "drops",
	[RESETS] = "resets",
};

enum {
	C_ID, C_NAME, C_MODE, C_CURRENT, C_FULL, C_LARGE, C_SPARE, C_HELD, C_USED, C_LOST,
	C_FILLS, C_FAILED, C_BAR, NR_COLS
};

/* Columns of the table. A negative width aligns to the left, as in printf. */
static struct {
	enum field field;
	const char *title;
	int width;
	const char *key;	/* for sorting, and its letter */
	char letter;
} cols[NR_COLS] = {
	[C_ID] = { ID, "ID", 5, "id", 'i' },
	[C_NAME] = { NAME, "NAME", -12, "name", 'n' },
	[C_MODE] = { MODE, "MODE", -6, NULL, 0 },
	[C_CURRENT] = { CURRENT, "CUR", 3, NULL, 0 },
	[C_FULL] = { FULL, "FULL", 4, NULL, 0 },
	[C_LARGE] = { LARGE, "LRG", 4, NULL, 0 },
	[C_SPARE] = { SPARE, "SPR", 4, NULL, 0 },
	[C_HELD] = { HELD, "HELD", 5, "held", 'e' },
	[C_USED] = { USED, "USED", 5, "used", 'u' },
	[C_LOST] = { LOST, "LOST", 5, "lost", 'l' },
	[C_FILLS] = { FILLS, "FILL/s", 6, "fills", 'b' },
	[C_FAILED] = { FAILED, "FAIL/s", 6, "failed", 'x' },
	[C_BAR] = { BAR, "HOW FULL", -9, "full", 'f' },
};

struct region {
	char **cells;		/* one per column of the file */
	const char *id, *name, *mode;
	uint64_t v[NR_FIELDS];
	double rate[2];		/* FILLS and FAILED per second; negative: unknown */
	double weight;		/* sort key, unless sorted by name */
};

struct sample {
	char *buf;		/* content of the file; all strings point into it */
	char **names, **cells;
	bool *is_text;		/* per column: not all numbers */
	size_t nr_columns, nr;
	struct region *regions;
	uint64_t sum[NR_FIELDS];
	double when;
	bool rated;		/* rates are known */
};

static const char *path = REGIONS;
static int sort_col = C_HELD;
static bool reverse;
static char problem[512];	/* error of the last read */

static const char keys_help[] =
	"  q                quit\n"
	"  h, ?             help\n"
	"  left, right      sort by another column\n"
	"  i n e u l b x f  sort by id, name, held, used, lost, fills, failed, full\n"
	"  r                reverse the order\n"
	"  up, down, PgUp, PgDn, Home, End\n"
	"                   scroll\n"
	"  space            pause, resume\n";

static const char columns_help[] =
	"  CUR FULL LRG SPR blocks by kind: current, full, large, spare\n"
	"  HELD USED LOST   bytes held, handed out, lost in tails of closed blocks;\n"
	"                   K, M, G are KiB, MiB, GiB\n"
	"  FILL/s FAIL/s    new blocks and failed allocations per second; - if\n"
	"                   unknown\n"
	"  HOW FULL         # used, x lost, . free; used in percent of held\n";

static bool __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(problem, sizeof(problem), fmt, ap);
	va_end(ap);
	return false;
}

static void *must(void *p)
{
	if (p)
		return p;
	if (stdscr)
		endwin();
	fputs(PROG ": out of memory\n", stderr);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ---- reading ------------------------------------------------------------- */

static bool fail_io(int err)
{
	struct statfs fs;

	if (strcmp(path, REGIONS))
		return fail("%s: %s", path, strerror(err));
	if (statfs(DEBUGFS, &fs) ? errno == ENOENT : (unsigned long)fs.f_type != DEBUGFS_MAGIC)
		return fail("debugfs is not mounted: mount -t debugfs none " DEBUGFS);
	if (err == EACCES)
		return fail("%s: %s: root is required", path, strerror(err));
	/* ENXIO, EIO: module unload in progress. */
	if (err == ENOENT || err == ENXIO || err == EIO)
		return fail("module kregion is not loaded: modprobe kregion");
	return fail("%s: %s", path, strerror(err));
}

/* Opens the file each time, as an open file pins the module. */
static bool slurp(struct sample *s)
{
	size_t len = 0, size = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return fail_io(errno);
	do {
		if (size - len < 4096) {
			size = size ? 2 * size : 65536;
			s->buf = must(realloc(s->buf, size));
		}
		n = read(fd, s->buf + len, size - len - 1);
		if (n > 0)
			len += n;
	} while ((n > 0 && len < MAX_FILE) || (n < 0 && errno == EINTR));
	err = errno;
	close(fd);
	if (n < 0)
		return fail_io(err);
	s->buf[len] = '\0';
	if (n > 0 || strlen(s->buf) != len)
		return fail("%s: not a list of regions", path);
	if (len && s->buf[len - 1] != '\n')
		return fail("%s: the last line is truncated", path);
	return true;
}

static size_t split(char *line, char **cells, size_t max)
{
	char *save, *word;
	size_t n = 0;

	for (word = strtok_r(line, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		if (n < max)
			cells[n] = word;
		n++;
	}
	return n;
}

/* Parse a 64-bit decimal number without leading zeros, which JSON forbids. */
static bool number(const char *s, uint64_t *v)
{
	const size_t len = strlen(s);

	if (!len || strspn(s, "0123456789") != len || (len > 1 && *s == '0'))
		return false;
	errno = 0;
	*v = strtoull(s, NULL, 10);
	return !errno;
}

static bool is_word(size_t f)
{
	return f == NAME || f == OWNER || f == MODE;
}

static bool parse_heading(struct sample *s, char *first, char *header, size_t *column)
{
	uint64_t version;
	size_t i, f;

	if (strncmp(first, MAGIC_LINE, strlen(MAGIC_LINE)) ||
	    !number(first + strlen(MAGIC_LINE), &version))
		return fail("%s: not a list of regions", path);
	if (version != FORMAT)
		return fail("%s: unknown format %" PRIu64 ", expected %d", path, version, FORMAT);
	if (!header)
		return fail("%s:2: no header line", path);

	s->names = must(calloc(strlen(header) + 1, sizeof(*s->names)));
	s->nr_columns = split(header, s->names, strlen(header));
	s->is_text = must(calloc(s->nr_columns + 1, sizeof(*s->is_text)));
	for (f = 0; f < NR_FILE; f++) {
		for (i = 0; i < s->nr_columns && strcmp(s->names[i], field_names[f]); i++)
			;
		if (i == s->nr_columns)
			return fail("%s:2: no column \"%s\"", path, field_names[f]);
		column[f] = i;
		s->is_text[i] = is_word(f);
	}
	return true;
}

static bool parse_region(struct sample *s, struct region *r, char *line, const size_t *column)
{
	const size_t at = s->nr + 3, n = split(line, r->cells, s->nr_columns);
	uint64_t ignored;

	if (n != s->nr_columns)
		return fail("%s:%zu: %zu columns, but %zu in the header", path, at, n,
			    s->nr_columns);
	for (size_t i = 0; i < n; i++)
		s->is_text[i] |= !number(r->cells[i], &ignored);
	for (size_t f = 0; f < NR_FILE; f++) {
		if (!is_word(f) && !number(r->cells[column[f]], &r->v[f]))
			return fail("%s:%zu: %s is not a number", path, at, field_names[f]);
	}
	r->id = r->cells[column[ID]];
	r->name = r->cells[column[NAME]];
	r->mode = r->cells[column[MODE]];
	r->v[FAILED] = r->v[NOMEM] + r->v[LIMIT] + r->v[SIZE] + r->v[NOFILL];
	r->rate[0] = -1;
	r->rate[1] = -1;
	for (size_t f = 0; f < NR_FIELDS; f++)
		s->sum[f] += r->v[f];
	return true;
}

static bool parse(struct sample *s)
{
	char *rest = s->buf, *first, *header, *p;
	size_t column[NR_FILE], n = 0;

	for (p = s->buf; (p = strchr(p, '\n')); p++)
		n++;
	first = strsep(&rest, "\n");
	header = strsep(&rest, "\n");
	if (!parse_heading(s, first, rest ? header : NULL, column))
		return false;

	s->regions = must(calloc(n, sizeof(*s->regions)));
	s->cells = must(calloc(n, s->nr_columns * sizeof(*s->cells)));
	for (n -= 2; s->nr < n; s->nr++) {
		struct region *r = &s->regions[s->nr];

		r->cells = s->cells + s->nr * s->nr_columns;
		if (!parse_region(s, r, strsep(&rest, "\n"), column))
			return false;
	}
	return true;
}

static void sample_free(struct sample *s)
{
	free(s->buf);
	free(s->names);
	free(s->is_text);
	free(s->cells);
	free(s->regions);
	*s = (struct sample){};
}

static bool sample_read(struct sample *s)
{
	*s = (struct sample){ .when = seconds(CLOCK_MONOTONIC) };
	if (slurp(s) && parse(s))
		return true;
	sample_free(s);
	return false;
}

/* ---- sorting ------------------------------------------------------------- */

static double share(uint64_t part, uint64_t whole)
{
	return !whole ? 0 : part < whole ? (double)part / whole : 1;
}

static int by_id(const void *pa, const void *pb)
{
	const struct region *a = pa, *b = pb;

	return (a->v[ID] > b->v[ID]) - (a->v[ID] < b->v[ID]);
}

/* Names and ids ascend, measured values descend, unless reversed. */
static int by_weight(const void *pa, const void *pb)
{
	const struct region *a = pa, *b = pb;
	int d = (a->weight < b->weight) - (a->weight > b->weight);

	if (cols[sort_col].field == NAME)
		d = strcmp(a->name, b->name);
	else if (cols[sort_col].field == ID)
		d = by_id(a, b);
	if (reverse)
		d = -d;
	return d ? d : by_id(a, b);
}

static void sort(struct sample *s)
{
	const enum field f = cols[sort_col].field;

	for (struct region *r = s->regions; r < s->regions + s->nr; r++) {
		if (f == BAR)
			r->weight = share(r->v[USED], r->v[HELD]);
		else if ((f == FILLS || f == FAILED) && s->rated)
			r->weight = r->rate[f == FAILED];
		else
			r->weight = r->v[f];
	}
	if (s->nr)
		qsort(s->regions, s->nr, sizeof(*s->regions), by_weight);
}

static void rates(struct sample *s, struct sample *old)
{
	const double dt = s->when - old->when;
	const struct region *o = old->regions;

	if (!old->nr || !s->nr || dt <= 0)
		return;
	qsort(old->regions, old->nr, sizeof(*o), by_id);
	qsort(s->regions, s->nr, sizeof(*o), by_id);
	s->rated = true;
	for (struct region *r = s->regions; r < s->regions + s->nr; r++) {
		while (o < old->regions + old->nr && o->v[ID] < r->v[ID])
			o++;
		if (o == old->regions + old->nr)
			break;
		/*
		 * A counter that decreases is of a reloaded module, with ids
		 * from 1 again.
		 */
		if (o->v[ID] != r->v[ID] || o->v[FILLS] > r->v[FILLS] ||
		    o->v[FAILED] > r->v[FAILED])
			continue;
		r->rate[0] = (r->v[FILLS] - o->v[FILLS]) / dt;
		r->rate[1] = (r->v[FAILED] - o->v[FAILED]) / dt;
	}
}

/* ---- the table ----------------------------------------------------------- */

/* Fit the table into @room characters, if need be without ids; 0: no limit. */
static void layout(const struct sample *s, int room)
{
	int left = room - MIN_COLS, id = 5, name = 12, more;

	for (size_t i = 0; i < s->nr; i++) {
		if (id < (int)strlen(s->regions[i].id))
			id = strlen(s->regions[i].id);
		if (name < (int)strlen(s->regions[i].name))
			name = strlen(s->regions[i].name);
	}
	if (!room)
		left = id + 1 + (name - 12) + 16;
	cols[C_ID].width = left > id ? id : 0;
	left -= left > id ? id + 1 : 0;
	more = name - 12 < left ? name - 12 : left;
	left -= more;
	cols[C_NAME].width = -12 - more;
	cols[C_BAR].width = -9 - (left < 40 ? left : 40);
}

/* Format @v in @width characters if possible, with one decimal if it fits. */
static void human(char *buf, size_t size, double v, int width, int base)
{
	static const char units[] = " KMGTPE";

	for (int i = 0; units[i]; i++, v /= base) {
		int decimals = i || (v < 1e9 && v != (double)(uint64_t)v);

		if ((i || base == 1024) && v >= base - 0.5 && units[i + 1])
			continue;
		do {
			if (snprintf(buf, size, "%.*f%.*s", decimals, v, !!i, units + i) <= width)
				return;
		} while (decimals--);
	}
}

static void bar(char *buf, int width, const struct region *r)
{
	const int inner = width - 5;
	const double used = share(r->v[USED], r->v[HELD]);
	const double lost = share(r->v[USED] + r->v[LOST], r->v[HELD]);

	for (int i = 0; i < inner; i++)
		*buf++ = i + 0.5 < used * inner ? '#' : i + 0.5 < lost * inner ? 'x' : '.';
	sprintf(buf, " %3.0f%%", used * 100);
}

static void cell(char *buf, size_t size, const struct region *r, int c)
{
	const enum field f = cols[c].field;
	const int width = abs(cols[c].width);

	if (f == BAR) {
		bar(buf, width, r);
	} else if (f == HELD || f == USED || f == LOST) {
		human(buf, size, r->v[f], width, 1024);
	} else if (f == FILLS || f == FAILED) {
		if (r->rate[f == FAILED] < 0)
			snprintf(buf, size, "-");
		else
			human(buf, size, r->rate[f == FAILED], width, 1000);
	} else if (f == ID || f == NAME || f == MODE) {
		snprintf(buf, size, "%s", f == ID ? r->id : f == NAME ? r->name : r->mode);
		for (; *buf; buf++) {
			if (*buf < ' ' || *buf > '~')
				*buf = '?';
		}
	} else {
		human(buf, size, r->v[f], width, 1000);
	}
}

/* Format a line of the table, or its heading if @r is NULL. */
static void row(char *out, size_t size, const struct region *r)
{
	size_t at = 0;

	*out = '\0';
	for (int c = 0; c < NR_COLS && at < size; c++) {
		char buf[256];

		if (!cols[c].width)
			continue;
		if (r)
			cell(buf, sizeof(buf), r, c);
		else
			snprintf(buf, sizeof(buf), "%s", cols[c].title);
		at += snprintf(out + at, size - at, "%s%*.*s", at ? " " : "",
			       c == C_BAR ? 0 : cols[c].width, abs(cols[c].width), buf);
	}
}

static void totals(char *out, size_t size, const struct sample *s)
{
	char held[32], used[32], lost[32];

	human(held, sizeof(held), s->sum[HELD], 5, 1024);
	human(used, sizeof(used), s->sum[USED], 5, 1024);
	human(lost, sizeof(lost), s->sum[LOST], 5, 1024);
	snprintf(out, size, "%zu regions, held %s%s, used %s%s, lost %s%s", s->nr,
		 held, s->sum[HELD] < 1024 ? "B" : "iB", used, s->sum[USED] < 1024 ? "B" : "iB",
		 lost, s->sum[LOST] < 1024 ? "B" : "iB");
}

/* ---- plain text and JSON ------------------------------------------------- */

static int finish(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, PROG ": standard output: %s\n", strerror(errno));
	return 1;
}

static void print_text(const struct sample *s)
{
	char line[1024];

	layout(s, 0);
	totals(line, sizeof(line), s);
	puts(line);
	row(line, sizeof(line), NULL);
	puts(line);
	for (size_t i = 0; i < s->nr; i++) {
		row(line, sizeof(line), &s->regions[i]);
		puts(line);
	}
}

static void print_json(const struct sample *s)
{
	struct json j = { .out = stdout, .space = " " };
	size_t i, c;

	json_object(&j, NULL, JSON_LINES);
	json_number(&j, "version", "%d", FORMAT);
	json_number(&j, "time", "%.3f", seconds(CLOCK_REALTIME));
	json_array(&j, "regions", JSON_LINES);
	for (i = 0; i < s->nr; i++) {
		json_object(&j, NULL, JSON_INLINE);
		for (c = 0; c < s->nr_columns; c++) {
			if (s->is_text[c])
				json_string(&j, s->names[c], s->regions[i].cells[c]);
			else
				json_number(&j, s->names[c], "%s", s->regions[i].cells[c]);
		}
		json_end(&j);
	}
	json_end(&j);
	json_object(&j, "totals", JSON_INLINE);
	json_number(&j, "regions", "%zu", s->nr);
	for (int f = CURRENT; f < NR_FILE; f++)
		json_number(&j, field_names[f], "%" PRIu64, s->sum[f]);
	json_end(&j);
	json_end(&j);
}

/* ---- the screen ---------------------------------------------------------- */

static struct {
	double delay;
	bool paused, help, quit;
	long top;		/* first visible line of the table */
	short bad, head;	/* colour pairs, 0 without colours */
} ui = { .delay = 2 };

static long page(void)
{
	return LINES > 3 ? LINES - 3 : 1;
}

static void draw_table(const struct sample *s)
{
	char line[1024];
	int x = 0;

	layout(s, COLS);
	row(line, sizeof(line), NULL);
	mvaddstr(2, 0, line);
	mvchgat(2, 0, -1, A_REVERSE, ui.head, NULL);
	for (int c = 0; c < sort_col; c++)
		x += cols[c].width ? abs(cols[c].width) + 1 : 0;
	mvchgat(2, x, abs(cols[sort_col].width), A_BOLD | A_UNDERLINE, 0, NULL);
	for (long i = 0; i < page() && ui.top + i < (long)s->nr; i++) {
		const struct region *r = &s->regions[ui.top + i];

		row(line, sizeof(line), r);
		mvaddstr(3 + i, 0, line);
		if (r->rate[1] > 0)
			mvchgat(3 + i, 0, -1, A_BOLD, ui.bad, NULL);
	}
}

static void draw(const struct sample *s)
{
	const long nr = s->nr, last = nr > page() ? nr - page() : 0;
	const time_t now = time(NULL);
	char line[256], clock[16];
	struct tm tm;

	erase();
	ui.top = ui.top < 0 ? 0 : ui.top < last ? ui.top : last;
	if (LINES < MIN_LINES || COLS < MIN_COLS) {
		printw("%dx%d is too small, %dx%d is required", COLS, LINES, MIN_COLS, MIN_LINES);
	} else if (ui.help) {
		printw("Keys\n%s\nColumns\n%s\nPress any key to return.", keys_help, columns_help);
	} else if (!s->buf) {
		printw("%s\n\nRetrying every %g s; q quits.", problem, ui.delay);
		mvchgat(0, 0, -1, A_BOLD, ui.bad, NULL);
	} else {
		strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
		totals(line, sizeof(line), s);
		printw("%s  %s", clock, line);
		mvprintw(1, 0, "%ld-%ld by %s%s, every %g s%s; q quits, h helps",
			 ui.top + !!nr, nr < ui.top + page() ? nr : ui.top + page(),
			 cols[sort_col].key, reverse ? " reversed" : "", ui.delay,
			 ui.paused ? ", PAUSED" : "");
		draw_table(s);
	}
	refresh();
}

static void press(int ch, struct sample *s)
{
	if (ch == KEY_RESIZE)
		return;
	ui.quit = ch == 'q';
	if (ui.help) {
		ui.help = false;
		return;
	}
	if (ch == 'h' || ch == '?')
		ui.help = true;
	else if (ch == ' ')
		ui.paused = !ui.paused;
	else if (ch == 'r')
		reverse = !reverse;
	else if (ch == KEY_UP)
		ui.top--;
	else if (ch == KEY_DOWN)
		ui.top++;
	else if (ch == KEY_PPAGE)
		ui.top -= page();
	else if (ch == KEY_NPAGE)
		ui.top += page();
	else if (ch == KEY_HOME)
		ui.top = 0;
	else if (ch == KEY_END)
		ui.top = (long)s->nr - page();
	else if (ch == KEY_LEFT || ch == KEY_RIGHT)
		do {
			sort_col = (sort_col + (ch == KEY_LEFT ? NR_COLS - 1 : 1)) % NR_COLS;
		} while (!cols[sort_col].key);
	for (int c = 0; c < NR_COLS; c++) {
		if (ch == cols[c].letter)
			sort_col = c;
	}
	sort(s);
}

static bool screen_open(void)
{
	const char *term = getenv("TERM"), *cup;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail("not on a terminal: use --once or --json");
	if (!term || !*term || !newterm(NULL, stdout, stdin))
		return fail("unknown terminal type \"%s\": set TERM, or use --once",
			    term ? term : "");
	cup = tigetstr("cup");
	if (!cup || cup == (char *)-1) {
		endwin();
		return fail("terminal type \"%s\" cannot move its cursor: use --once", term);
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	if (has_colors()) {
		start_color();
		use_default_colors();
		ui.bad = 1;
		ui.head = 2;
		init_pair(ui.bad, COLOR_RED, -1);
		init_pair(ui.head, COLOR_CYAN, -1);
	}
	return true;
}

static bool live(struct sample *s)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	double next = seconds(CLOCK_MONOTONIC) + ui.delay, wait;
	struct sample old;
	int ch;

	if (!screen_open())
		return false;
	while (!ui.quit) {
		if (!ui.paused && seconds(CLOCK_MONOTONIC) >= next) {
			old = *s;
			if (sample_read(s)) {
				rates(s, &old);
				sort(s);
			}
			sample_free(&old);
			next = seconds(CLOCK_MONOTONIC) + ui.delay;
		}
		draw(s);
		wait = next - seconds(CLOCK_MONOTONIC);
		if (poll(&in, 1, ui.paused ? -1 : wait > 0 ? (int)(wait * 1000) + 1 : 0) > 0 &&
		    in.revents & (POLLHUP | POLLERR | POLLNVAL))
			break;		/* the terminal is gone */
		while (!ui.quit && (ch = getch()) != ERR)
			press(ch, s);
	}
	endwin();
	return true;
}

/* ---- options ------------------------------------------------------------- */

static void help(void)
{
	printf("NAME\n"
	       "  " PROG " - display kregion regions\n"
	       "\n"
	       "SYNOPSIS\n"
	       "  " PROG " [-d SECONDS] [-s KEY] [--once | --json] [--file PATH]\n"
	       "\n"
	       "DESCRIPTION\n"
	       "  Displays blocks, bytes, fills and failures of each region, read from\n"
	       "  debugfs periodically. Requires root, as debugfs does.\n"
	       "\n"
	       "OPTIONS\n"
	       "  -d, --delay SECONDS  time between updates, 0.1 to 86400 (default 2)\n"
	       "  -s, --sort KEY       id, name, held, used, lost, full, fills or failed\n"
	       "                       (default held); descending, but id and name ascend\n"
	       "      --once           print the table once as plain text, without rates; fills\n"
	       "                       and failed then sort by the counts since creation\n"
	       "      --json           print one JSON object: version, time (seconds since\n"
	       "                       1970), regions (all columns by name) and totals\n"
	       "  -f, --file PATH      read PATH, such as a saved copy, instead of\n"
	       "                       " REGIONS "\n"
	       "  -h, --help           print this\n"
	       "  -V, --version        print the version\n"
	       "\n"
	       "KEYS\n%s"
	       "\n"
	       "COLUMNS\n%s"
	       "  ID requires a wide terminal.\n"
	       "\n"
	       "EXIT STATUS\n"
	       "  0 on success, 1 if the regions cannot be read or displayed, 2 for wrong\n"
	       "  usage.\n", keys_help, columns_help);
}

static int usage(const char *what, const char *arg)
{
	if (what)
		fprintf(stderr, PROG ": %s \"%s\"\n", what, arg);
	fputs("Try '" PROG " --help'.\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static int once, json;
	static const struct option options[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "sort", required_argument, NULL, 's' },
		{ "once", no_argument, &once, 1 },
		{ "json", no_argument, &json, 1 },
		{ "file", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{}
	};
	bool ok;
	struct sample s;
	char *end;
	int opt, c;

	while ((opt = getopt_long(argc, argv, "d:s:f:hV", options, NULL)) != -1) {
		switch (opt) {
		case 'd':
			ui.delay = strtod(optarg, &end);
			if (end == optarg || *end || !(ui.delay >= 0.1 && ui.delay <= 86400))
				return usage("delay is not 0.1 to 86400:", optarg);
			break;
		case 's':
			for (c = 0; c < NR_COLS; c++)
				if (cols[c].key && !strcmp(optarg, cols[c].key))
					break;
			if (c == NR_COLS)
				return usage("unknown sort key", optarg);
			sort_col = c;
			break;
		case 'f':
			path = optarg;
			break;
		case 0:
			break;
		case 'h':
			help();
			return finish();
		case 'V':
			puts(PROG " " VERSION);
			return finish();
		default:
			return usage(NULL, NULL);
		}
	}
	if (optind < argc)
		return usage("unexpected argument", argv[optind]);

	ok = sample_read(&s);
	if (ok) {
		sort(&s);
		if (json)
			print_json(&s);
		else if (once)
			print_text(&s);
		else
			ok = live(&s);
	}
	if (!ok)
		fprintf(stderr, PROG ": %s\n", problem);
	sample_free(&s);
	return ok ? finish() : 1;
}
