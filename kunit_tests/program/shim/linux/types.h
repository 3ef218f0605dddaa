/* SPDX-License-Identifier: GPL-2.0 */
/* For headers of the C library, too: <sched.h> takes __u32 from here. */
#include <asm/types.h>
#include <linux/kernel.h>
