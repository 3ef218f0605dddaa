// SPDX-License-Identifier: GPL-2.0
/*
 * The inlined fast path as a client compiles it, for fastpath.py to
 * disassemble. Never loaded.
 */

#include <linux/kregion.h>

void *fastpath_const(struct kregion *r);
void *fastpath_size(struct kregion *r, size_t size);
void *fastpath_nofill(struct kregion *r);

void *fastpath_const(struct kregion *r)
{
	return kregion_alloc(r, 64, GFP_KERNEL);
}

void *fastpath_size(struct kregion *r, size_t size)
{
	return kregion_alloc(r, size, GFP_KERNEL);
}

void *fastpath_nofill(struct kregion *r)
{
	return kregion_alloc_nofill(r, 64);
}

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("The fast path of kregion, for disassembly");
