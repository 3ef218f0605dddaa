/* SPDX-License-Identifier: GPL-2.0 */
/* Nobody listens. */
#define trace_kregion_create(...)	do { } while (0)
#define trace_kregion_destroy(...)	do { } while (0)
#define trace_kregion_drop(...)		do { } while (0)
#define trace_kregion_reset(...)	do { } while (0)
#define trace_kregion_block_alloc(...)	do { } while (0)
#define trace_kregion_block_free(...)	do { } while (0)
#define trace_kregion_alloc_fail(...)	do { } while (0)
