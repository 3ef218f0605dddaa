// SPDX-License-Identifier: GPL-2.0
/* Writes the descriptions of types and fields, as in a stream. */
#include <stdio.h>

#include <linux/kregion_trace.h>

#include "../../kmod/trace/types.h"

int main(void)
{
	return fwrite(types, sizeof(types), 1, stdout) != 1 ||
	       fwrite(fields, sizeof(fields), 1, stdout) != 1;
}
