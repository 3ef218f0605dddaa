/* SPDX-License-Identifier: GPL-2.0 */
/* Each task with preemption disabled is a reader, too. Of each program: the wait. */
#ifndef _SHIM_RCUPDATE_H
#define _SHIM_RCUPDATE_H

void rcu_read_lock(void);
void rcu_read_unlock(void);
void synchronize_rcu(void);

#endif
