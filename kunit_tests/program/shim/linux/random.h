/* SPDX-License-Identifier: GPL-2.0 */
#include <stdlib.h>
#include <sys/random.h>

#define get_random_bytes(p, size)	((void)!getrandom(p, size, 0))
