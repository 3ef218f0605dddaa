/* SPDX-License-Identifier: GPL-2.0 */
#define wait_var_event(var, condition) \
	do { might_sleep(); while (!(condition)) sched_yield(); } while (0)
#define wake_up_var(var)		((void)(var))
