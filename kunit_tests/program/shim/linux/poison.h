/* SPDX-License-Identifier: GPL-2.0 */
#define POISON_FREE	0x6b
#define POISON_END	0xa5
