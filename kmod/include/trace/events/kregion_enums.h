/* SPDX-License-Identifier: GPL-2.0 */
/* Enums in trace events of kregion, and the names of their values. */
#ifndef _TRACE_KREGION_ENUMS_H
#define _TRACE_KREGION_ENUMS_H

enum kregion_backing {
	KREGION_BACKING_PAGES,
	KREGION_BACKING_VMALLOC,
};

enum kregion_failure {
	KREGION_FAIL_NOMEM,
	KREGION_FAIL_LIMIT,
	KREGION_FAIL_SIZE,
	KREGION_FAIL_NOFILL,
	KREGION_NR_FAILURES
};

/* Of at most seven characters. */
extern const char * const kregion_backing_names[];
extern const char * const kregion_failure_names[];

#endif /* _TRACE_KREGION_ENUMS_H */
