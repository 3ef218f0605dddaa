/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The slow path of a shared region beside its fast path: alloc_small(),
 * kregion_take_current(), block_install(), kregion_link() and
 * kregion_take_spare() of kmod/alloc.c.
 *
 * No byte is handed out twice, and none below a cursor is lost; a block is
 * closed only for lack of room; each block is in the chain once, and the spare
 * ones are those that are counted.
 *
 * Controls:
 *	-DPLAIN_ADD	load, add and store instead of compare-and-exchange
 *	-DUNDO		add, and subtract an overshoot, as a per-CPU region does
 *	-DNO_LOOK_AGAIN	install without a second look under the lock
 *	-DNO_LOCK	nobody takes the lock
 *	-DLATE_CURSOR	make a block current before its cursor is set
 *	-DLOSE_FRESH	forget a new block that is not needed
 */
#define CALLERS	3
#define BLOCKS	3
#define ROOM	3
#define NONE	BLOCKS		/* the sentinel, which is full, and no block */
#define FAIL	255

byte cursor[BLOCKS + 1];	/* units handed out */
byte link[BLOCKS + 1];		/* the chain; [NONE]: its head */
byte spare = NONE;		/* the link to the first spare block */
byte nr_spare, nr_blocks, done;
byte cur = NONE;
bool lock;
bool taken[BLOCKS * ROOM];

inline region_lock()
{
#ifdef NO_LOCK
	skip
#else
	atomic { !lock -> lock = true }
#endif
}

inline region_unlock()
{
	lock = false
}

/* kregion_cursor_take() and the fast path: @n units of @c, or FAIL. */
inline cursor_take(c, n)
{
	do
	:: old = cursor[c] ->
#ifdef UNDO
		if
		:: c == NONE -> p = FAIL
		:: else ->
			d_step { old = cursor[c]; cursor[c] = old + n }
			if
			:: old + n > ROOM -> cursor[c] = cursor[c] - n; p = FAIL
			:: else -> p = c * ROOM + old
			fi
		fi;
		break
#else
		if
		:: old + n > ROOM -> p = FAIL; break
		:: else
		fi;
#ifdef PLAIN_ADD
		cursor[c] = old + n;
		p = c * ROOM + old;
		break
#else
		d_step {
			if
			:: cursor[c] == old -> cursor[c] = old + n; p = c * ROOM + old
			:: else -> p = FAIL
			fi
		}
		if
		:: p != FAIL -> break
		:: else
		fi
#endif
#endif
	od
}

inline bucket_insert(b, is_spare)
{
	link[b] = link[spare];
	link[spare] = b;
	if
	:: is_spare -> nr_spare++
	:: else -> spare = b
	fi
}

inline hand_out(n)
{
	d_step {
		i = 0;
		do
		:: i == n -> break
		:: else -> assert(!taken[p + i]); taken[p + i] = true; i++
		od
	}
}

inline block_install(b, n)
{
#ifndef UNDO
	/* No block is closed that has room. */
	assert(cursor[cur] + n > ROOM);
#endif
#ifdef LATE_CURSOR
	cur = b;
	cursor[b] = n;
#else
	cursor[b] = n;
	cur = b;
#endif
	p = b * ROOM
}

inline alloc_small(n)
{
	fresh = NONE;
	err = false;
	do
	:: true ->
		region_lock();
#ifdef NO_LOOK_AGAIN
		p = FAIL;
#else
		c = cur;
		cursor_take(c, n);
#endif
		b = NONE;
		if
#ifndef LOSE_FRESH
		:: fresh != NONE && p != FAIL ->
			d_step { bucket_insert(fresh, true) }
#endif
		:: fresh != NONE && p == FAIL ->
			d_step { bucket_insert(fresh, false) }
			b = fresh
		:: fresh == NONE && p == FAIL ->
			b = link[spare];
			if
			:: b != NONE -> d_step { spare = b; nr_spare-- }
			:: else
			fi
		:: else
		fi;
		if
		:: b != NONE -> block_install(b, n)
		:: else
		fi;
		region_unlock();
		if
		:: p != FAIL || err -> break
		:: else
		fi;
		/* The page allocator, without the lock; it may fail. */
		atomic {
			if
			:: nr_blocks < BLOCKS -> fresh = nr_blocks; nr_blocks++
			:: err = true
			fi
		}
	od
}

inline alloc(n)
{
	c = cur;
	cursor_take(c, n);
	if
	:: p == FAIL -> alloc_small(n)
	:: else
	fi;
	if
	:: p != FAIL -> hand_out(n)
	:: else
	fi;
	/* Values that nothing reads any more make no new state. */
	d_step { c = 0; b = 0; i = 0; old = 0; p = 0; fresh = 0; err = false }
}

/* Allocates objects of these sizes. */
proctype caller(byte first; byte second)
{
	byte c, b, i, old, p, fresh;
	bool err;

	alloc(first);
	alloc(second);
	done++
}

init {
	byte b, used, in_chain, spares;
	bool is_spare;

	d_step {
		cursor[NONE] = ROOM;
		link[NONE] = NONE
	}
	atomic {
		run caller(1, 1);
		run caller(3, 1);
		run caller(1, 2)
	}
	done == CALLERS;
	d_step {
		is_spare = (spare == NONE);
		b = link[NONE];
		do
		:: b == NONE || in_chain > BLOCKS -> break
		:: else ->
			in_chain++;
			if
			:: is_spare -> spares++
			:: else
			fi;
			if
			:: b == spare -> is_spare = true
			:: else
			fi;
			b = link[b]
		od;
		assert(in_chain == nr_blocks);
		assert(spares == nr_spare);
		b = 0;
		do
		:: b == BLOCKS -> break
		:: else ->
			used = taken[b * ROOM] + taken[b * ROOM + 1] + taken[b * ROOM + 2];
			assert(used == cursor[b]);
			b++
		od
	}
}
