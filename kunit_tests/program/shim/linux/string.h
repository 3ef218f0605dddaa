/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_STRING_H
#define _SHIM_STRING_H

#include <stdio.h>
#include <string.h>

#define strscpy(to, from, size)	snprintf(to, size, "%s", from)

static inline void *memchr_inv(const void *p, int c, size_t n)
{
	const unsigned char *at = p;

	/* memcmp() is fast, and no fuzzer counts its branches. */
	if (n > 1 && *at == (unsigned char)c && !memcmp(at, at + 1, n - 1))
		return NULL;
	while (n && *at == (unsigned char)c)
		at++, n--;
	return n ? (void *)at : NULL;
}

#endif
