/* SPDX-License-Identifier: GPL-2.0 */
/* JSON writer: commas, line breaks and escapes. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdio.h>

#define JSON_DEPTH	8

enum json_layout {
	JSON_INLINE,
	JSON_LINES,			/* one element per line */
};

struct json {
	FILE *out;
	const char *space;		/* after colons and inline commas: "" or " " */
	unsigned int depth;
	struct json_level {
		char close;
		enum json_layout layout;
		bool filled;
	} level[JSON_DEPTH + 1];	/* [0]: around the outermost object */
};

/* Begin an object or array. @key: NULL in arrays and at the outermost level. */
void json_object(struct json *j, const char *key, enum json_layout layout);
void json_array(struct json *j, const char *key, enum json_layout layout);
/* End the innermost object or array; the outermost one also ends its line. */
void json_end(struct json *j);

/* @s is Latin-1. */
void json_string(struct json *j, const char *key, const char *s);
/* @fmt must yield a JSON number. */
void __attribute__((format(printf, 3, 4)))
json_number(struct json *j, const char *key, const char *fmt, ...);

#endif
