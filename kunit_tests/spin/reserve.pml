/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The reserve: reserve_take(), refill_request(), kregion_reserve_append(),
 * reserve_ready(), reserve_promise() and refill_work() of kmod/reserve.c.
 *
 * Nofill calls of two CPUs take from the reserve while a promise is made. Once
 * nothing is under way any more, the promise is ready; then calls of two CPUs
 * whose sizes add up to it succeed, without a refill in between. No byte is
 * handed out twice, and the head only advances.
 *
 * Controls:
 *	-DPLAIN_TAKE	load, add and store instead of compare-and-exchange
 *	-DPLAIN_HEAD	advance the head by a store
 *	-DNO_SECOND_LOOK	promise without a look at what was taken meanwhile
 *	-DNO_REQUEST	nofill calls request no refill
 *	-DLATE_PENDING	the worker clears its pending bit when it has finished
 *	-DNO_TAIL	count all of the room of each block as guaranteed
 *	-DEARLY_LINK	append a block before its header is written
 */
#define BLOCKS	6
#define ROOM	4		/* units of a block */
#define MAX	2		/* units of the largest object */
#define PROMISE	7
#define NONE	BLOCKS

#ifdef NO_TAIL
#define TAIL	0
#else
#define TAIL	(MAX - 1)	/* reserve_tail() */
#endif
/* reserve_guaranteed() */
#define GUARANTEED(room)	((room) > TAIL -> (room) - TAIL : 0)

byte cursor[BLOCKS], queue[BLOCKS], guaranteed_end[BLOCKS];
byte head = NONE, last = NONE, guaranteed, nr_blocks;
byte bytes;			/* the promise */
bool lock, pending, working, promised;
byte done;			/* nofill calls before the promise is called upon */
byte left = PROMISE;		/* of it, afterwards */
bool called_upon;
bool taken[BLOCKS * ROOM];

inline region_lock()
{
	atomic { !lock -> lock = true }
}

inline region_unlock()
{
	lock = false
}

inline hand_out(n)
{
	d_step {
		assert(!taken[b * ROOM + old]);
		taken[b * ROOM + old] = true;
		if
		:: n == 2 -> assert(!taken[b * ROOM + old + 1]); taken[b * ROOM + old + 1] = true
		:: else
		fi
	}
}

/* @got: of @n units, or not. */
inline reserve_take(n)
{
	got = false;
	do
	:: b = head ->
		if
		:: b == NONE -> break
		:: else
		fi;
		/* kregion_cursor_take() */
		do
		:: old = cursor[b] ->
			if
			:: old + n > ROOM -> break
			:: else
			fi;
#ifdef PLAIN_TAKE
			cursor[b] = old + n;
			got = true;
			break
#else
			d_step {
				if
				:: cursor[b] == old -> cursor[b] = old + n; got = true
				:: else
				fi
			}
			if
			:: got -> break
			:: else
			fi
#endif
		od;
		if
		:: got -> hand_out(n); break
		:: else
		fi;
		next = queue[b];
		if
		:: next == NONE -> break
		:: else
		fi;
#ifdef PLAIN_HEAD
		d_step { assert(guaranteed_end[next] > guaranteed_end[head]); head = next }
#else
		d_step {
			if
			:: head == b ->
				assert(guaranteed_end[next] > guaranteed_end[head]);
				head = next
			:: else
			fi
		}
#endif
	od;
	atomic { b = 0; old = 0; next = 0 }
}

inline refill_request()
{
#ifndef NO_REQUEST
	if
	:: bytes -> pending = true
	:: else
	fi
#else
	skip
#endif
}

/* @ready. Under the lock, but calls advance head and cursor meanwhile. */
inline reserve_ready()
{
	b = head;
	if
	:: b == NONE -> ready = 0
	:: else ->
		used = cursor[b];
		ready = GUARANTEED(ROOM - used) + guaranteed - guaranteed_end[b];
		if
		:: b == last -> used = cursor[b]	/* unreached by init */
		:: else -> used = 0
		fi;
		ready = ready + (ROOM - used < MAX - 1 -> ROOM - used : MAX - 1)
	fi;
	atomic { b = 0; used = 0 }
}

inline append_header()
{
	d_step {
		guaranteed = guaranteed + GUARANTEED(ROOM);
		guaranteed_end[nr_blocks] = guaranteed;
		queue[nr_blocks] = NONE;
		cursor[nr_blocks] = 0
	}
}

inline append_link()
{
	if
	:: head == NONE -> head = nr_blocks	/* unreached by the worker */
	:: else -> queue[last] = nr_blocks
	fi
}

inline kregion_reserve_append()
{
	assert(nr_blocks < BLOCKS);
#ifdef EARLY_LINK
	append_link();
	append_header();
#else
	append_header();
	append_link();
#endif
	d_step { last = nr_blocks; nr_blocks++ }
}

inline reserve_fill(need)
{
	do
	:: region_lock();
		reserve_ready();
		if
		:: ready >= need -> region_unlock(); break
		:: else -> kregion_reserve_append(); region_unlock()
		fi
	od
}

/* A call that the promise does not cover. */
proctype nofill(byte first; byte second)
{
	byte b, old, next;
	bool got;

	reserve_take(first);
	refill_request();
	reserve_take(second);
	refill_request();
	done++
}

proctype promise()
{
	byte b, used, ready;

	reserve_fill(PROMISE);
	region_lock();
	bytes = PROMISE;
#ifndef NO_SECOND_LOOK
	reserve_ready();
	region_unlock();
	if
	:: ready < PROMISE -> pending = true
	:: else
	fi;
#else
	region_unlock();
#endif
	promised = true
}

proctype refill_work()
{
	byte b, used, ready;

end:	do
	:: atomic {
		pending && !called_upon -> working = true
#ifndef LATE_PENDING
		;
		pending = false
#endif
	   }
		reserve_fill(bytes);
#ifdef LATE_PENDING
		pending = false;
#endif
		atomic { working = false; ready = 0 }
	od
}	/* unreached: the worker does not end */

/* A call that the promise covers, of one or of two units. */
proctype covered()
{
	byte b, old, next, n;
	bool got;

	called_upon;
	do
	:: atomic { left >= 1 -> n = 1; left = left - 1 }
		reserve_take(n);
		assert(got)
	:: atomic { left >= 2 -> n = 2; left = left - 2 }
		reserve_take(n);
		assert(got)
	:: left == 0 -> break
	od
}

init {
	byte b, used, ready;

	d_step {
		b = 0;
		do
		:: b == BLOCKS -> break
		:: else -> queue[b] = NONE; cursor[b] = ROOM; b++
		od;
		b = 0
	}
	atomic {
		run nofill(1, 2);
		run nofill(2, 2);
		run promise();
		run refill_work();
		run covered();
		run covered()
	}
	atomic { promised && done == 2 && !pending && !working }
	reserve_ready();
	assert(ready >= PROMISE);
	called_upon = true
}
