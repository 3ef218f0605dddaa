/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The standby blocks: kregion_nofill_slow(), refill_request(), standbys_fill()
 * and refill_work() of kmod/reserve.c.
 *
 * Nofill calls of two CPUs, nested on one of them, take the standby blocks while
 * the worker provides them; memory may fail twice. No CPU is listed twice at
 * once, and once nothing is under way any more, each CPU has a block again.
 *
 * Controls:
 *	-DLATE_CLEAR	the worker clears refill_pending after it looked for a block
 *	-DPLAIN_PENDING	refill_pending is tested, then set
 *	-DPLAIN_RELIST	a failed CPU is listed again without a look at refill_pending
 *	-DNO_RELIST	a failed CPU is not listed again
 *	-DNO_RETRY	a failed refill is not tried again
 */
#define CPUS	2
#define CALLS	4

bool standby[CPUS], refill_pending[CPUS];
bool listed[CPUS];		/* in refill_list, or in the list that the worker took */
bool queued[CPUS];		/* in refill_list */
bool pending, working;		/* the worker */
byte failures = 2, done;

inline llist_add(c)
{
	d_step {
		assert(!listed[c]);
		listed[c] = true;
		queued[c] = true
	}
}

proctype nofill(byte c)
{
	bool old;

	standby[c] = false;
	/* refill_request() */
	if
	:: !refill_pending[c] ->
#ifdef PLAIN_PENDING
		refill_pending[c] = true;
#else
		atomic { old = refill_pending[c]; refill_pending[c] = true }
#endif
		if
		:: !old -> llist_add(c)
		:: else
		fi
	:: else
	fi;
	pending = true;
	atomic { old = false; done++ }
}

/* err: there is no memory. */
inline standby_fill(c)
{
	if
	:: standby[c]
	:: else ->
		atomic {
			if
			:: standby[c] = true
			:: failures > 0 -> failures--; err = true
			fi
		}
	fi
}

inline standbys_fill()
{
	d_step {
		taken[0] = queued[0];
		taken[1] = queued[1];
		queued[0] = false;
		queued[1] = false
	}
	c = 0;
	do
	:: c == CPUS -> break
	:: c < CPUS && !taken[c] -> c++
	:: c < CPUS && taken[c] ->
		relist = true;
		if
		:: !err ->
			/* From here on a call may list it. */
#ifndef LATE_CLEAR
			d_step { listed[c] = false; refill_pending[c] = false }
#endif
			standby_fill(c);
#ifdef LATE_CLEAR
			d_step { listed[c] = false; refill_pending[c] = false }
#endif
			if
			:: !err -> relist = false
#ifdef NO_RELIST
			:: else -> relist = false
#else
#ifdef PLAIN_RELIST
			:: else -> refill_pending[c] = true
#else
			:: else -> atomic { relist = !refill_pending[c]; refill_pending[c] = true }
#endif
#endif
			fi
		:: else -> listed[c] = false
		fi;
		if
		:: relist -> llist_add(c)
		:: else
		fi;
		c++
	od
}

proctype refill_work()
{
	byte c;
	bool err, relist, taken[CPUS];

end:	do
	:: atomic { pending -> pending = false; working = true }
		standbys_fill();
#ifndef NO_RETRY
		if
		:: err -> pending = true
		:: else
		fi;
#endif
		atomic { c = 0; err = false; relist = false; taken[0] = false; taken[1] = false; working = false }
	od
}	/* unreached: the worker does not end */

init {
	d_step { standby[0] = true; standby[1] = true }
	atomic {
		run nofill(0);
		run nofill(0);
		run nofill(0);
		run nofill(1);
		run refill_work()
	}
	atomic { done == CALLS && !pending && !working }
	assert(standby[0] && standby[1]);
	assert(!listed[0] && !listed[1] && !refill_pending[0] && !refill_pending[1])
}
