/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Enums in trace events of kregion: EM(value, text), E_() for the last value.
 */
#ifndef _TRACE_KREGION_ENUMS_H
#define _TRACE_KREGION_ENUMS_H

#define KREGION_BACKINGS				\
	EM(KREGION_BACKING_PAGES,	"pages")	\
	E_(KREGION_BACKING_VMALLOC,	"vmalloc")

#define KREGION_FAILURES				\
	EM(KREGION_FAIL_NOMEM,		"nomem")	\
	EM(KREGION_FAIL_LIMIT,		"limit")	\
	EM(KREGION_FAIL_SIZE,		"size")		\
	E_(KREGION_FAIL_NOFILL,		"nofill")

#undef EM
#undef E_
#define EM(value, text)		value,
#define E_(value, text)		value

enum kregion_backing { KREGION_BACKINGS };
enum kregion_failure { KREGION_FAILURES, KREGION_NR_FAILURES };

#undef EM
#undef E_

#endif /* _TRACE_KREGION_ENUMS_H */
