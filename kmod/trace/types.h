/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Record types with their fields, as the stream describes them. Included after
 * kregion_trace.h by stream.c, and by a program of the tests that compares them
 * with Documentation/trace-format.rst.
 */
#ifndef _KREGION_TRACE_TYPES_H
#define _KREGION_TRACE_TYPES_H

/* Bits of a word of 8 bytes. */
#define WORD(_word, _shift, _bits, _name) \
	{ KREGION_TRACE_UINT, (_word) * 8, 8, _shift, _bits, { 0 }, _name }
/* Array of characters. */
#define CHARS(_word, _width, _name) \
	{ KREGION_TRACE_CHARS, (_word) * 8, _width, 0, 0, { 0 }, _name }
/* Fields of the first word of records, and of the second word of events. */
#define TIME		WORD(0, 0, KREGION_TRACE_TIME_BITS, "time")
#define ID		WORD(0, KREGION_TRACE_TIME_BITS, 8, "type")
#define FIRST(_name)	WORD(1, KREGION_TRACE_FIRST_SHIFT, KREGION_TRACE_PID_BITS, _name)
#define PRIO(_name)	WORD(1, KREGION_TRACE_PRIO_SHIFT, 8, _name)
#define SECOND(_name)	WORD(1, KREGION_TRACE_SECOND_SHIFT, KREGION_TRACE_PID_BITS, _name)
#define STATE(_name)	WORD(1, KREGION_TRACE_STATE_SHIFT, 8, _name)

/* TYPE(id, struct, name, fields...) for each type. */
#define TYPES(TYPE) \
	TYPE(RUNNING_TASK, kregion_trace_event, "running_task", \
	     TIME, ID, FIRST("pid"), PRIO("prio")) \
	TYPE(SWITCH, kregion_trace_event, "switch", \
	     TIME, ID, FIRST("next_pid"), PRIO("next_prio"), \
	     SECOND("prev_pid"), STATE("prev_state")) \
	TYPE(WAKEUP, kregion_trace_event, "wakeup", \
	     TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("target_cpu")) \
	TYPE(WAKEUP_NEW, kregion_trace_event, "wakeup_new", \
	     TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("target_cpu")) \
	TYPE(FORK, kregion_trace_event, "fork", \
	     TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("parent_pid")) \
	TYPE(EXEC, kregion_trace_event, "exec", \
	     TIME, ID, FIRST("pid"), PRIO("prio"), SECOND("old_pid")) \
	TYPE(EXIT, kregion_trace_event, "exit", \
	     TIME, ID, FIRST("pid"), PRIO("prio")) \
	TYPE(NAME, kregion_trace_name, "name", \
	     TIME, ID, WORD(1, 0, 32, "pid"), WORD(1, 32, 32, "tgid"), \
	     CHARS(2, 16, "comm")) \
	TYPE(LOST, kregion_trace_lost, "lost", \
	     TIME, ID, WORD(1, 0, 64, "since"), WORD(2, 0, 64, "count"))

#define TYPE_DESC(_id, _struct, _name, ...) { \
	.id = KREGION_TRACE_##_id, \
	.size = sizeof(struct _struct), \
	.nr_fields = sizeof((struct kregion_trace_field[]){ __VA_ARGS__ }) / \
		     sizeof(struct kregion_trace_field), \
	.name = _name, \
},
#define TYPE_FIELDS(_id, _struct, _name, ...) \
	__VA_ARGS__,

/* Parts of the stream. */
static const struct kregion_trace_type types[] = { TYPES(TYPE_DESC) };
static const struct kregion_trace_field fields[] = { TYPES(TYPE_FIELDS) };

#endif /* _KREGION_TRACE_TYPES_H */
