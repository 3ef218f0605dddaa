#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside the VM with a stock Debian kernel: the tracer and the programs.
#
# usage: trace-guest.sh BUILT [MIB TIMES]	budget and length of live traces
set -uo pipefail
built=$1
. "$built/kunit_tests/vm/guest-lib.sh"
exec >"$OUT/log" 2>&1
rc=0

insmod "$built/kmod/kregion.ko" && insmod "$built/kmod/kregion_trace.ko" || rc=1
PATH=$built/userspace_demo:$PATH
cd /tmp || exit 1
krtrace record -o t.krt -- sh -c 'for i in 1 2 3; do xz -1 -c /usr/bin/bash >/dev/null; done' &&
	krtrace report t.krt && krtrace convert --chrome -o t.json t.krt && python3 -m json.tool t.json >/dev/null
test_result "krtrace records, reports and converts" $?
# For krtrace of other machines: see traces.py.
cp t.krt "$OUT/" && krtrace report --tsv t.krt >"$OUT/report" &&
	krtrace convert --chrome -o "$OUT/convert" t.krt || rc=1
# Far too small a budget for it: every record that is missing must have been
# counted. The last names that are recorded may find no room in the map.
# shellcheck disable=SC2016 # the other shell's
krtrace record -1 -b 64K -o small.krt -- sh -c 'for i in $(seq 200); do sleep 0.01 & done; wait' &&
	krtrace report --tsv small.krt >small.tsv && awk '$2 == "lost" { lost = $3 } $2 == "region_failed_nofill" { failed = $3 }
		END { exit !(lost > 0 && lost <= failed && failed <= lost + 20) }' small.tsv
test_result "krtrace counts what found no memory" $?
"$built/kunit_tests/vm/trace_storm.py" "$built/kunit_tests/kregion_wakeups.ko" start
test_result "what comes before the start takes nothing of the budget" $?
"$built/kunit_tests/vm/trace_storm.py" "$built/kunit_tests/kregion_wakeups.ko" nested
test_result "wake-ups in the middle of wake-ups leave a well-formed trace" $?
"$built/kunit_tests/vm/trace_stream.py" fast "${2-4}" "${3-10}"
test_result "a live trace of many times its budget has everything" $?
"$built/kunit_tests/vm/trace_stream.py" slow "${2-1}" "${3-5}"
test_result "a slow reader loses whole generations" $?
"$built/kunit_tests/vm/trace_clock.py"
test_result "times in a trace are those of the clock, whatever its source" $?
"$built/kunit_tests/vm/trace_rename.py"
test_result "a trace follows threads that are renamed" $?
"$built/kunit_tests/vm/trace_device.py"
test_result "the device answers bad input as it should" $?
# Built with ncurses, so for this machine's architecture only.
if command -v kregion-top; then
	kregion-top --once && kregion-top --json | python3 -m json.tool >/dev/null
	test_result "kregion-top --once and --json" $?
fi
rmmod kregion_trace kregion || rc=1
clean_log
exit "$rc"
