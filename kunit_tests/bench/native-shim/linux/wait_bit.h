/* SPDX-License-Identifier: GPL-2.0 */
/* Without a limit, nobody waits. */
#define wait_var_event(var, condition)	do { } while (!(condition))
#define wake_up_var(var)		((void)(var))
