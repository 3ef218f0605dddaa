/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/kregion_trace: control of a trace, and the stream that read() returns.
 * Documentation/trace-format.rst describes both.
 */
#ifndef _UAPI_LINUX_KREGION_TRACE_H
#define _UAPI_LINUX_KREGION_TRACE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KREGION_TRACE_DEVICE		"/dev/kregion_trace"

/* ---- control ------------------------------------------------------------- */

/* Minimum budget in bytes. The maximum is half of the memory. */
#define KREGION_TRACE_BUDGET_MIN	65536
/* The same of a live trace, for each online CPU. */
#define KREGION_TRACE_LIVE_BUDGET_MIN	131072

/* Flags of KREGION_TRACE_START: the trace is read while it runs. */
#define KREGION_TRACE_LIVE		1

/**
 * struct kregion_trace_start - argument of KREGION_TRACE_START
 * @size: sizeof(struct kregion_trace_start) of the caller.
 * @flags: 0 or KREGION_TRACE_LIVE.
 * @budget: Maximum of memory that the trace may hold, in bytes.
 */
struct kregion_trace_start {
	__u32 size;
	__u32 flags;
	__u64 budget;
};

enum kregion_trace_state {
	KREGION_TRACE_IDLE	= 0,
	KREGION_TRACE_RUNNING	= 1,
	KREGION_TRACE_STOPPED	= 2,
};

/**
 * struct kregion_trace_info - result of KREGION_TRACE_INFO
 * @state: One of enum kregion_trace_state. If idle, the members up to
 *	@budget_min are 0.
 * @reserved: 0.
 * @budget: Budget of KREGION_TRACE_START.
 * @elapsed_ns: Time since start, or from start to stop.
 * @records: Records written.
 * @lost: Records that found no memory.
 * @bytes_held: Memory that the region holds, sealed generations included.
 * @bytes_used: Memory that the region handed out, without them.
 * @stream_size: Bytes of the whole stream; 0 while running, and of a live
 *	trace.
 * @budget_min: Minimum budget.
 * @budget_max: Maximum budget.
 */
struct kregion_trace_info {
	__u32 state;
	__u32 reserved;
	__u64 budget;
	__u64 elapsed_ns;
	__u64 records;
	__u64 lost;
	__u64 bytes_held;
	__u64 bytes_used;
	__u64 stream_size;
	__u64 budget_min;
	__u64 budget_max;
};

/**
 * struct kregion_trace_generations - result of KREGION_TRACE_GENERATIONS
 * @sealed: Generations sealed since the start.
 * @waiting: Those of them that can be read, and of which nothing has been read.
 * @lost: Those of them that were lost before they were read.
 * @lost_records: Records in lost generations.
 */
struct kregion_trace_generations {
	__u64 sealed;
	__u64 waiting;
	__u64 lost;
	__u64 lost_records;
};

#define KREGION_TRACE_START	_IOW(0xBB, 0x40, struct kregion_trace_start)
#define KREGION_TRACE_STOP	_IO(0xBB, 0x41)
#define KREGION_TRACE_DROP	_IO(0xBB, 0x42)
#define KREGION_TRACE_INFO	_IOR(0xBB, 0x43, struct kregion_trace_info)
#define KREGION_TRACE_ROTATE	_IO(0xBB, 0x44)
#define KREGION_TRACE_GENERATIONS \
				_IOR(0xBB, 0x45, struct kregion_trace_generations)

/* ---- the stream ---------------------------------------------------------- */

#define KREGION_TRACE_MAGIC	"KRTRACE"	/* with the terminating zero */
#define KREGION_TRACE_VERSION	1		/* one generation */
#define KREGION_TRACE_VERSION_LIVE	2	/* of a live trace */
#define KREGION_TRACE_BYTE_ORDER	0x01020304

/**
 * struct kregion_trace_header - header of a stream
 * @magic: KREGION_TRACE_MAGIC.
 * @version: KREGION_TRACE_VERSION, or KREGION_TRACE_VERSION_LIVE.
 * @byte_order: KREGION_TRACE_BYTE_ORDER in the byte order of the machine.
 * @header_size: Bytes of this structure; the types follow.
 * @type_size: Bytes of a struct kregion_trace_type.
 * @nr_types: Number of types; the fields follow.
 * @field_size: Bytes of a struct kregion_trace_field.
 * @nr_fields: Number of fields; the sections follow.
 * @nr_cpus: Number of CPU sections; 0 in a live trace.
 * @cpu_limit: Exclusive limit of CPU numbers.
 * @clock: Clock of all times: CLOCK_MONOTONIC.
 * @start_ns: Start of the trace. Times in records count from here.
 * @stop_ns: End of the trace; 0 in a live trace.
 * @start_real_ns: @start_ns on CLOCK_REALTIME.
 * @budget: Budget of KREGION_TRACE_START.
 * @stream_size: Bytes of the whole stream; 0 in a live trace.
 */
struct kregion_trace_header {
	char magic[8];
	__u32 version;
	__u32 byte_order;
	__u32 header_size;
	__u32 type_size;
	__u32 nr_types;
	__u32 field_size;
	__u32 nr_fields;
	__u32 nr_cpus;
	__u32 cpu_limit;
	__u32 clock;
	__u64 start_ns;
	__u64 stop_ns;
	__u64 start_real_ns;
	__u64 budget;
	__u64 stream_size;
};

/**
 * struct kregion_trace_type - description of a record type
 * @id: Type in the first word of the record.
 * @size: Bytes of a record, a multiple of 8.
 * @nr_fields: Number of field descriptions of this type.
 * @reserved: 0.
 * @name: Zero-terminated.
 */
struct kregion_trace_type {
	__u16 id;
	__u16 size;
	__u16 nr_fields;
	__u16 reserved;
	char name[16];
};

enum kregion_trace_kind {
	KREGION_TRACE_UINT	= 0,
	KREGION_TRACE_CHARS	= 1,
};

/**
 * struct kregion_trace_field - description of a field of a record
 * @kind: KREGION_TRACE_UINT: (word >> @shift) & ((1 << @bits) - 1), where word
 *	is the integer of @width bytes at @offset. KREGION_TRACE_CHARS: @width
 *	characters at @offset, padded with zeroes.
 * @offset: Bytes from the start of the record.
 * @width: Bytes.
 * @shift: Bits.
 * @bits: Bits.
 * @reserved: 0.
 * @name: Zero-terminated.
 */
struct kregion_trace_field {
	__u8 kind;
	__u8 offset;
	__u8 width;
	__u8 shift;
	__u8 bits;
	__u8 reserved[3];
	char name[16];
};

enum kregion_trace_section_kind {
	KREGION_TRACE_SECTION_CPU	= 1,
	KREGION_TRACE_SECTION_END	= 2,
	KREGION_TRACE_SECTION_GENERATION = 3,
	KREGION_TRACE_SECTION_LOST	= 4,
};

/**
 * struct kregion_trace_section - common header of all sections
 * @kind: One of enum kregion_trace_section_kind.
 * @header_size: Bytes of the section's header, including this structure.
 * @size: Bytes of the section, including its header.
 */
struct kregion_trace_section {
	__u32 kind;
	__u32 header_size;
	__u64 size;
};

/**
 * struct kregion_trace_cpu - header of a CPU section; the records follow
 * @section: Kind KREGION_TRACE_SECTION_CPU.
 * @cpu: The CPU.
 * @reserved: 0.
 * @records: Number of records that follow.
 * @lost: Records that found no memory on this CPU.
 * @tail_lost: Part of @lost after the last record.
 * @tail_since: Time of the first of @tail_lost, from @start_ns; 0 if none.
 */
struct kregion_trace_cpu {
	struct kregion_trace_section section;
	__u32 cpu;
	__u32 reserved;
	__u64 records;
	__u64 lost;
	__u64 tail_lost;
	__u64 tail_since;
};

/**
 * struct kregion_trace_generation - the CPU sections of a generation follow
 * @section: Kind KREGION_TRACE_SECTION_GENERATION.
 * @number: From 0; lost ones are counted.
 * @since: No record is earlier, from @start_ns.
 * @until: No record is later.
 * @nr_cpus: Number of CPU sections.
 * @reserved: 0.
 */
struct kregion_trace_generation {
	struct kregion_trace_section section;
	__u64 number;
	__u64 since;
	__u64 until;
	__u32 nr_cpus;
	__u32 reserved;
};

/**
 * struct kregion_trace_lost_generations - they are missing here
 * @section: Kind KREGION_TRACE_SECTION_LOST.
 * @generations: Number of adjacent generations.
 * @records: Number of their records.
 * @lost: Records that found no memory meanwhile.
 * @since: No record of them is earlier, from @start_ns.
 * @until: No record of them is later.
 */
struct kregion_trace_lost_generations {
	struct kregion_trace_section section;
	__u64 generations;
	__u64 records;
	__u64 lost;
	__u64 since;
	__u64 until;
};

/**
 * struct kregion_trace_end - header of the last section; the values follow
 * @section: Kind KREGION_TRACE_SECTION_END.
 * @nr_values: Number of struct kregion_trace_value that follow.
 * @value_size: Bytes of a struct kregion_trace_value.
 */
struct kregion_trace_end {
	struct kregion_trace_section section;
	__u32 nr_values;
	__u32 value_size;
};

/**
 * struct kregion_trace_live_end - the same of a live trace
 * @end: The part that both have.
 * @stop_ns: End of the trace.
 * @generations: Number of generations, lost ones included.
 * @lost_generations: Number of lost ones.
 * @lost_records: Number of records in these.
 */
struct kregion_trace_live_end {
	struct kregion_trace_end end;
	__u64 stop_ns;
	__u64 generations;
	__u64 lost_generations;
	__u64 lost_records;
};

/**
 * struct kregion_trace_value - a named number
 * @name: Zero-terminated.
 * @value: The number.
 */
struct kregion_trace_value {
	char name[24];
	__u64 value;
};

/* ---- records ------------------------------------------------------------- */

/* First word of each record: type and nanoseconds since the start. */
#define KREGION_TRACE_TIME_BITS		56
#define KREGION_TRACE_TIME_MASK		((1ULL << KREGION_TRACE_TIME_BITS) - 1)
/* Second word of an event: two ids of 24 bits, each with a byte above it. */
#define KREGION_TRACE_PID_BITS		24
#define KREGION_TRACE_PID_MASK		((1U << KREGION_TRACE_PID_BITS) - 1)
#define KREGION_TRACE_FIRST_SHIFT	0
#define KREGION_TRACE_PRIO_SHIFT	24
#define KREGION_TRACE_SECOND_SHIFT	32
#define KREGION_TRACE_STATE_SHIFT	56

enum kregion_trace_record_type {
	KREGION_TRACE_RUNNING_TASK	= 1,
	KREGION_TRACE_SWITCH		= 2,
	KREGION_TRACE_WAKEUP		= 3,
	KREGION_TRACE_WAKEUP_NEW	= 4,
	KREGION_TRACE_FORK		= 5,
	KREGION_TRACE_EXEC		= 6,
	KREGION_TRACE_EXIT		= 7,
	KREGION_TRACE_NAME		= 8,
	KREGION_TRACE_LOST		= 9,
};

/**
 * struct kregion_trace_event - record with two ids
 * @head: Type and time.
 * @ids: From bit 0 on: first id (24 bits), priority (8), second id (24),
 *	state (8).
 *
 * ============  ========  ========  ============  ===========
 * type          first     priority  second        state
 * ============  ========  ========  ============  ===========
 * running_task  pid       of pid    0             0
 * switch        next pid  of next   previous pid  of previous
 * wakeup        pid       of pid    target CPU    0
 * wakeup_new    pid       of pid    target CPU    0
 * fork          child     of child  parent        0
 * exec          pid       of pid    previous pid  0
 * exit          pid       of pid    0             0
 * ============  ========  ========  ============  ===========
 */
struct kregion_trace_event {
	__u64 head;
	__u64 ids;
};

/**
 * struct kregion_trace_name - name of a task from this record on
 * @head: Type and time.
 * @ids: From bit 0 on: pid (32 bits), pid of its thread group (32).
 * @comm: Name of the task, zero-terminated.
 */
struct kregion_trace_name {
	__u64 head;
	__u64 ids;
	char comm[16];
};

/**
 * struct kregion_trace_lost - marks a gap where records found no memory
 * @head: Type, and the time when memory was available again.
 * @since: Time of the first lost record.
 * @count: Number of lost records.
 */
struct kregion_trace_lost {
	__u64 head;
	__u64 since;
	__u64 count;
};

#endif /* _UAPI_LINUX_KREGION_TRACE_H */
