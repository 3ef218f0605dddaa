/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LIST_SORT_H
#define _SHIM_LIST_SORT_H

#include <linux/list.h>

typedef int (*list_cmp_func_t)(void *priv, const struct list_head *a, const struct list_head *b);

/* Stable; quick if most of it is in order. */
static inline void list_sort(void *priv, struct list_head *head, list_cmp_func_t cmp)
{
	struct list_head *entry, *next, *at;

	for (entry = head->next; entry != head; entry = next) {
		next = entry->next;
		for (at = entry->prev; at != head && cmp(priv, at, entry) > 0; at = at->prev)
			;
		list_del(entry);
		list_add(entry, at);
	}
}

#endif
