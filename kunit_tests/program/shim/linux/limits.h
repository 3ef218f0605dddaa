/* SPDX-License-Identifier: GPL-2.0 */
/* The C library's <limits.h> comes here too. */
#include_next <linux/limits.h>
#define U32_MAX		((u32)~0U)
