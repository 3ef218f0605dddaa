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
#define llist_for_each_entry_safe(pos, n, node, member) \
	for (pos = container_of(node, __typeof__(*pos), member); \
	     &pos->member && (n = container_of(pos->member.next, __typeof__(*n), member), true); \
	     pos = n)

/* Was the list empty? */
static inline bool llist_add(struct llist_node *node, struct llist_head *head)
{
	node->next = READ_ONCE(head->first);
	while (!__atomic_compare_exchange_n(&head->first, &node->next, node, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return !node->next;
}

#endif
