/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Drop and reset against calls that the client should have excluded, and the
 * refill worker: region_quiesce(), region_invalidate() and region_release() of
 * kmod/core.c, region_enter() and region_leave(), the checks of KREGION_BUSY in
 * alloc_small() and percpu_refill(), kregion_nofill_slow() and standby_fill().
 *
 * No call uses a freed block, or hands out memory of an old epoch; a block is
 * current, standby or spare, and never two of them; a drop leaves no block, and
 * no block is lost. A chain is a set here, see slow.pml.
 *
 * Controls:
 *	-DNO_BUSY_CHECK	a call does not look for KREGION_BUSY when it begins
 *	-DEARLY_CHECK	a call looks for it before it is counted
 *	-DNO_LOCK_CHECK	a refill does not look for it under the lock
 *	-DNO_WAIT	a drop does not wait for calls in the slow path
 *	-DEARLY_LEAVE	a call is not counted until its end
 *	-DNO_STOP	a drop does not wait for the worker
 *	-DNO_CURRENT	a drop leaves the current blocks of a per-CPU region
 *	-DEARLY_CURRENT	a drop resets a shared one only before it waits for calls
 *	-DNO_STANDBY	a drop leaves the standby block
 *	-DNO_PUT	a refused call forgets its new block
 *	-DTWO_AT_ONCE	a drop does not look for another one
 */
#define BLOCKS	3
#define NONE	BLOCKS

bool owned[BLOCKS];		/* by the region, not the page allocator */
bool linked[BLOCKS];		/* in the chain */
bool spare[BLOCKS];		/* ... in its second part */
byte epoch_of[BLOCKS];
byte epoch = 1, cur = NONE, standby = NONE;
byte users, done;
bool lock, busy, working, stopped;
bool percpu;			/* cur is that of one CPU */

inline region_lock()
{
	atomic { !lock -> lock = true }
}

inline region_unlock()
{
	lock = false
}

/* Clears @entered if the call is refused. */
inline region_enter()
{
#ifdef EARLY_CHECK
	entered = !busy;
	users++;
#else
	users++;
#ifdef NO_BUSY_CHECK
	entered = true;
#else
	entered = !busy;
#endif
#endif
	if
	:: !entered -> region_leave()
	:: else
#ifdef EARLY_LEAVE
		-> region_leave()
#endif
	fi
}

inline region_leave()
{
	users--
}

/* An object of the current block, which may be full. */
inline take_current()
{
	b = cur;
	got = false;
	if
	:: b != NONE ->
		d_step { assert(owned[b]); assert(epoch_of[b] == epoch) }
		if
		:: got = true
		:: true
		fi
	:: else
	fi
}

/* b: a spare block, or NONE. */
inline take_spare()
{
	d_step {
		b = 0;
		do
		:: b == NONE || spare[b] -> break
		:: else -> b++
		od;
		if
		:: b != NONE -> assert(owned[b] && linked[b]); spare[b] = false
		:: else
		fi
	}
}

inline block_install()
{
	d_step {
		assert(owned[b] && !spare[b] && b != cur && b != standby);
		epoch_of[b] = epoch
	}
	cur = b;
	got = true
}

/* fresh: a new block, or NONE. */
inline block_get()
{
	d_step {
		fresh = 0;
		do
		:: fresh == NONE || !owned[fresh] -> break
		:: else -> fresh++
		od;
		if
		:: fresh != NONE -> owned[fresh] = true
		:: else
		fi
	}
}

inline kregion_link(is_spare)
{
	d_step {
		assert(owned[fresh] && !linked[fresh]);
		linked[fresh] = true;
		spare[fresh] = is_spare
	}
}

/* kregion_alloc(): region_enter(), alloc_small(), region_leave(). */
proctype alloc()
{
	byte b, fresh = NONE;
	bool entered, got;

	region_enter();
	if
	:: !entered -> goto out
	:: else
	fi;
again:	region_lock();
#ifndef NO_LOCK_CHECK
	if
	:: busy ->
		region_unlock();
#ifndef NO_PUT
		if
		:: fresh != NONE -> owned[fresh] = false
		:: else
		fi;
#endif
		goto leave
	:: else
	fi;
#endif
	take_current();
	if
	:: fresh != NONE && got -> kregion_link(true)
	:: fresh != NONE && !got -> kregion_link(false); b = fresh; block_install()
	:: fresh == NONE && !got ->
		take_spare();
		if
		:: b != NONE -> block_install()
		:: else
		fi
	:: else
	fi;
	region_unlock();
	if
	:: !got && fresh == NONE ->
		block_get();
		if
		:: fresh != NONE -> goto again
		:: else
		fi
	:: else
	fi;
leave:
#ifndef EARLY_LEAVE
	region_leave();
#endif
out:	atomic { b = 0; fresh = 0; entered = false; got = false; done++ }
}

/*
 * kregion_alloc_undo(): percpu_refill() takes a spare block under the lock, and
 * is not counted.
 */
proctype refill()
{
	byte b;
	bool got;

	region_lock();
	if
#ifndef NO_LOCK_CHECK
	:: busy -> skip
#endif
	:: else ->
		take_spare();
		if
		:: b != NONE -> block_install()
		:: else
		fi
	fi;
	region_unlock();
	atomic { b = 0; got = false; done++ }
}

/* kregion_nofill_slow(): no lock. */
proctype nofill()
{
	byte b;
	bool entered, got;

	region_enter();
	if
	:: entered ->
		take_current();
		if
		:: !got ->
			atomic { b = standby; standby = NONE }
			if
			:: b != NONE -> block_install()
			:: else
			fi
		:: else
		fi;
#ifndef EARLY_LEAVE
		region_leave()
#endif
	:: else
	fi;
	atomic { b = 0; entered = false; got = false; done++ }
}

/* standby_fill(), as the worker calls it, until a drop stops that. */
proctype worker()
{
	byte b, fresh;

	atomic {
		if
		:: stopped -> goto out
		:: else -> working = true
		fi
	}
	do
	:: standby != NONE -> break
	:: else ->
		region_lock();
		if
#ifndef NO_LOCK_CHECK
		:: busy -> region_unlock(); break
#endif
		:: else
		fi;
		take_spare();
		if
		:: b != NONE ->
			d_step {
				assert(b != cur);
				epoch_of[b] = epoch;
				standby = b
			}
		:: else
		fi;
		region_unlock();
		if
		:: b == NONE ->
			/* reserve_grow() */
			block_get();
			if
			:: fresh == NONE -> break
			:: else
			fi;
			region_lock();
			kregion_link(true);
			region_unlock()
		:: else
		fi
	od;
	working = false;
out:	atomic { b = 0; fresh = 0; done++ }
}

/* Before a drop waits for calls, and again when they have ended. */
inline region_fast_off()
{
	if
	:: !percpu -> cur = NONE
	:: else
	fi
}

/* mine: no other drop or reset is in progress. */
inline region_quiesce()
{
#ifdef TWO_AT_ONCE
	mine = true;
	busy = true;
#else
	atomic { mine = !busy; busy = true }
#endif
	if
	:: mine -> region_fast_off()
	:: else
	fi
}

inline wait_for_users()
{
#ifdef NO_WAIT
	skip
#else
	users == 0
#endif
#ifndef EARLY_CURRENT
	;
	region_fast_off()
#endif
}

inline region_invalidate()
{
	region_lock();
	d_step {
		epoch++;
		b = 0;
		do
		:: b == NONE -> break
		:: else -> spare[b] = linked[b]; b++
		od
	}
	region_unlock();
#ifndef NO_CURRENT
	if
	:: percpu -> cur = NONE
	:: else
	fi;
#endif
#ifndef NO_STANDBY
	standby = NONE
#endif
}

inline region_unquiesce()
{
	busy = false
}

proctype drop()
{
	byte b;
	bool mine, chain[BLOCKS];

	region_quiesce();
	if
	:: !mine -> goto out
	:: else
	fi;
	wait_for_users();
#ifndef NO_STOP
	atomic { !working -> stopped = true }
#endif
	region_invalidate();
	region_lock();
	d_step {
		b = 0;
		do
		:: b == NONE -> break
		:: else ->
			chain[b] = spare[b];
			if
			:: spare[b] -> spare[b] = false; linked[b] = false
			:: else
			fi;
			b++
		od;
		b = 0
	}
	region_unlock();
	do
	:: b == NONE -> break
	:: else ->
		d_step {
			if
			:: chain[b] -> assert(owned[b]); owned[b] = false
			:: else
			fi;
			b++
		}
	od;
	/* As new. */
	atomic {
		assert(cur == NONE && standby == NONE);
		assert(!linked[0] && !linked[1] && !linked[2]);
		stopped = false
	}
	region_unquiesce();
out:	atomic { b = 0; chain[0] = false; chain[1] = false; chain[2] = false; mine = false; done++ }
}

proctype reset()
{
	byte b;
	bool mine;

	region_quiesce();
	if
	:: !mine -> goto out
	:: else
	fi;
	/* For a bounded time. */
	if
	:: users == 0 -> wait_for_users()
	:: users != 0 -> region_unquiesce(); goto out
	fi;
	region_invalidate();
	region_unquiesce();
out:	atomic { b = 0; mine = false; done++ }
}

init {
	byte b;

	/* A current block, and a spare one. */
	d_step {
		owned[0] = true; linked[0] = true; epoch_of[0] = epoch; cur = 0;
		owned[1] = true; linked[1] = true; spare[1] = true
	}
	atomic {
		run alloc();
		run nofill();
		if
		:: percpu = true; run refill()
		:: percpu = true; run worker()
		:: run worker()
		fi;
		run drop();
		run reset()
	}
	done == 5;
	d_step {
		assert(users == 0 && !lock && !busy && !working);
		do
		:: b == NONE -> break
		:: else ->
			assert(owned[b] == linked[b]);
			b++
		od
	}
}
