/* SPDX-License-Identifier: GPL-2.0 */
/* WARN() is in compiler_types.h here. */
#include <linux/compiler_types.h>
