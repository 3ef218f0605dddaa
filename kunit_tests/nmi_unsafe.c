// SPDX-License-Identifier: GPL-2.0
/*
 * kregion_alloc_nofill() as compiled where local_t or cmpxchg is not NMI-safe.
 */

#define __KREGION_NMI_SAFE	0

#include "test.h"

void *nofill_nmi_unsafe(struct kregion *r, size_t size)
{
	return kregion_alloc_nofill(r, size);
}
