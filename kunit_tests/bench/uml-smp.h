/* SPDX-License-Identifier: GPL-2.0 */
/* Included first in modules for User-mode Linux, a kernel for one CPU. */
#include <asm/alternative.h>

#undef LOCK_PREFIX
#define LOCK_PREFIX "lock; "
#define get_cycles() __builtin_ia32_rdtsc()
