/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LLIST_H
#define _SHIM_LLIST_H

#include <linux/kernel.h>

struct llist_node { struct llist_node *next; };
struct llist_head { struct llist_node *first; };

#define LLIST_HEAD(name)	struct llist_head name
#define llist_empty(list)	(!READ_ONCE((list)->first))
#define init_llist_head(head)	((void)((head)->first = NULL))
#define llist_del_all(head)	xchg(&(head)->first, NULL)
#define llist_for_each_entry_safe(pos, n, first, member) \
	for (struct llist_node *_at = (first); \
	     _at && (pos = container_of(_at, __typeof__(*pos), member), _at = _at->next, true); \
	     (void)&(n))

/* Was the list empty? */
static inline bool llist_add(struct llist_node *node, struct llist_head *head)
{
	struct llist_node *first = READ_ONCE(head->first);

	/* Once it is listed, another thread may free the node. */
	do {
		node->next = first;
	} while (!__atomic_compare_exchange_n(&head->first, &first, node, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return !first;
}

#endif
