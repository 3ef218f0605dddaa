/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kregion

#if !defined(_TRACE_KREGION_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KREGION_H

#include <linux/kregion.h>
#include <linux/tracepoint.h>
#include <trace/events/kregion_enums.h>

/* Slow paths only: an allocation from the current block hits no event. */

DECLARE_EVENT_CLASS(kregion_region,
		    TP_PROTO(u64 id, const char *name, unsigned long held),
		    TP_ARGS(id, name, held),
		    TP_STRUCT__entry(__field(u64, id)
				     __array(char, name, KREGION_NAME_MAX + 1)
				     __field(unsigned long, held)
		    ),
		    TP_fast_assign(__entry->id = id;
				   strscpy(__entry->name, name, sizeof(__entry->name));
				   __entry->held = held;
		    ),
		    TP_printk("region=%llu name=%s held=%lu",
			      __entry->id, __entry->name, __entry->held)
);

DEFINE_EVENT(kregion_region, kregion_create,
	     TP_PROTO(u64 id, const char *name, unsigned long held), TP_ARGS(id, name, held));
DEFINE_EVENT(kregion_region, kregion_destroy,
	     TP_PROTO(u64 id, const char *name, unsigned long held), TP_ARGS(id, name, held));
DEFINE_EVENT(kregion_region, kregion_drop,
	     TP_PROTO(u64 id, const char *name, unsigned long held), TP_ARGS(id, name, held));
DEFINE_EVENT(kregion_region, kregion_reset,
	     TP_PROTO(u64 id, const char *name, unsigned long held), TP_ARGS(id, name, held));

DEFINE_EVENT(kregion_region, kregion_rotate,
	     TP_PROTO(u64 id, const char *name, unsigned long held), TP_ARGS(id, name, held));

DECLARE_EVENT_CLASS(kregion_block,
		    TP_PROTO(u64 id, const char *name, unsigned long bytes, int backing),
		    TP_ARGS(id, name, bytes, backing),
		    TP_STRUCT__entry(__field(u64, id)
				     __array(char, name, KREGION_NAME_MAX + 1)
				     __field(unsigned long, bytes)
				     __array(char, backing, 8)
		    ),
		    TP_fast_assign(__entry->id = id;
				   strscpy(__entry->name, name, sizeof(__entry->name));
				   __entry->bytes = bytes;
				   strscpy(__entry->backing, kregion_backing_names[backing],
					   sizeof(__entry->backing));
		    ),
		    TP_printk("region=%llu name=%s bytes=%lu backing=%s",
			      __entry->id, __entry->name, __entry->bytes, __entry->backing)
);

DEFINE_EVENT(kregion_block, kregion_block_alloc,
	     TP_PROTO(u64 id, const char *name, unsigned long bytes, int backing),
	     TP_ARGS(id, name, bytes, backing));
DEFINE_EVENT(kregion_block, kregion_block_free,
	     TP_PROTO(u64 id, const char *name, unsigned long bytes, int backing),
	     TP_ARGS(id, name, bytes, backing));

TRACE_EVENT(kregion_alloc_fail,
	    TP_PROTO(u64 id, const char *name, unsigned long size, int reason),
	    TP_ARGS(id, name, size, reason),
	    TP_STRUCT__entry(__field(u64, id)
			     __array(char, name, KREGION_NAME_MAX + 1)
			     __field(unsigned long, size)
			     __array(char, reason, 8)
	    ),
	    TP_fast_assign(__entry->id = id;
			   strscpy(__entry->name, name, sizeof(__entry->name));
			   __entry->size = size;
			   strscpy(__entry->reason, kregion_failure_names[reason],
				   sizeof(__entry->reason));
	    ),
	    TP_printk("region=%llu name=%s size=%lu reason=%s",
		      __entry->id, __entry->name, __entry->size, __entry->reason)
);

#endif /* _TRACE_KREGION_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
