// SPDX-License-Identifier: GPL-2.0
/* JSON writer: see json.h. Single-threaded: stdio without locks. */
#include <stdarg.h>

#include "json.h"

static void put_string(FILE *out, const char *s)
{
	putc_unlocked('"', out);
	for (; *s; s++) {
		const unsigned char c = *s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c > '~')
			fprintf(out, "\\u%04x", c);
		else
			putc_unlocked(c, out);
	}
	putc_unlocked('"', out);
}

/* Write the part of an element before its value. */
static void element(struct json *j, const char *key)
{
	struct json_level *level = &j->level[j->depth];

	if (level->filled)
		putc_unlocked(',', j->out);
	if (level->layout == JSON_LINES)
		putc_unlocked('\n', j->out);
	else if (level->filled)
		fputs_unlocked(j->space, j->out);
	level->filled = true;
	if (key) {
		put_string(j->out, key);
		putc_unlocked(':', j->out);
		fputs_unlocked(j->space, j->out);
	}
}

static void nest(struct json *j, const char *key, enum json_layout layout, const char brackets[2])
{
	element(j, key);
	putc_unlocked(brackets[0], j->out);
	j->level[++j->depth] = (struct json_level) { .close = brackets[1], .layout = layout };
}

void json_object(struct json *j, const char *key, enum json_layout layout)
{
	nest(j, key, layout, "{}");
}

void json_array(struct json *j, const char *key, enum json_layout layout)
{
	nest(j, key, layout, "[]");
}

void json_end(struct json *j)
{
	const struct json_level *level = &j->level[j->depth--];

	if (level->layout == JSON_LINES)
		putc_unlocked('\n', j->out);
	putc_unlocked(level->close, j->out);
	if (!j->depth)
		putc_unlocked('\n', j->out);
}

void json_string(struct json *j, const char *key, const char *s)
{
	element(j, key);
	put_string(j->out, s);
}

void json_number(struct json *j, const char *key, const char *fmt, ...)
{
	va_list ap;

	element(j, key);
	va_start(ap, fmt);
	vfprintf(j->out, fmt, ap);
	va_end(ap);
}
