/* SPDX-License-Identifier: GPL-2.0 */
/* The blocks are counted; all else has no probe. */
#ifdef SHIM_CHECKS
#define trace_kregion_block_alloc(id, name, bytes, backing)	shim_block(1, bytes)
#define trace_kregion_block_free(id, name, bytes, backing)	shim_block(-1, -(long)(bytes))
void shim_block(int nr, long bytes);
#else
#define trace_kregion_block_alloc(...)	do { } while (0)
#define trace_kregion_block_free(...)	do { } while (0)
#endif
#define trace_kregion_create(...)	do { } while (0)
#define trace_kregion_destroy(...)	do { } while (0)
#define trace_kregion_drop(...)		do { } while (0)
#define trace_kregion_reset(...)	do { } while (0)
#define trace_kregion_rotate(...)	do { } while (0)
#define trace_kregion_alloc_fail(...)	do { } while (0)
