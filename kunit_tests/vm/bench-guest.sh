#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside a VM whose clock counts instructions: run the benchmark module with some
# rivals, and with maps of up to MAPS items. With all rivals, measure what a
# record of a context switch costs by kregion_trace and by the kernel's tracing.
#
# bench-guest.sh BUILT RIVALS MAPS [sweep]	(sweep: over sizes and numbers, too)
set -uo pipefail
built=$1
PATH=$built/userspace_demo:$PATH
exec >"$OUT/log" 2>&1
bench=$built/kunit_tests/bench/kregion_bench.ko
rc=0

# measure PARAMETER...
measure() {
	insmod "$bench" view=count unit=instructions "$@" || rc=1
	rmmod kregion_bench
}

record() {
	insmod "$built/kmod/kregion_trace.ko" || return 1
	krtrace record -1 -b 64M -o /tmp/trace -- insmod "$bench" view=count unit=instructions record=kregion_trace || rc=1
	rmmod kregion_bench kregion_trace
	# The event itself, without what remembers the names of tasks beside it.
	cd /sys/kernel/tracing || return 1
	echo 0 >options/record-cmd
	echo 1 >events/sched/sched_switch/enable
	measure record=trace_event
	echo 0 >events/sched/sched_switch/enable
}

insmod "$built/kmod/kregion.ko" || exit 1
sweep=$([ "${4-}" = sweep ] && echo 1 || echo 0)
[ "$2" = none ] || measure rivals="$2" sweep="$sweep"
[ "$2" != all ] || record || rc=1
[ "$3" = 0 ] || measure maps="$3" sweep="$sweep"

rmmod kregion || rc=1
dmesg | grep -o 'view=.*' >"$OUT/results"
[ -s "$OUT/results" ] || rc=1
exit "$rc"
