#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Inside the VM with the KUnit kernel, started directly: random calls of the
# tracer's device, then one planted defect after the other, which its detector
# finds. Lockdep first, as what taints turns it off.
set -u
. ./guest-lib.sh
exec >"$OUT/log" 2>&1

insmod kregion.ko && insmod kregion_trace.ko || exit 1
./device_fuzz && rmmod kregion_trace
test_result "random calls of the device agree with the model" $?
clean_log

# plant KIND PATTERN: what it adds to the log must say so, and not pass for a
# clean log.
plant() {
	local lines
	lines=$(dmesg | wc -l)
	insmod kregion_defect.ko kind="$1"
	dmesg | tail -n "+$((lines + 1))" >"$OUT/planted"
	grep -qE "$2" "$OUT/planted"
	test_result "a planted defect is found: $1" $?
	no_report "$OUT/planted" >/dev/null
	test_result "a log with it is not clean: $1" "$(($? == 0))"
}

plant lockdep 'possible circular locking'
insmod kregion_defect.ko kind=sleep && rmmod kregion_defect || exit 1
planted=$(dmesg | grep -c 'kregion_defect: under a spinlock')
found=$(dmesg | grep -c 'BUG: sleeping function called from invalid context')
test_result "planted defects are found: sleep, $found of $planted" \
	"$((planted == 0 || found != planted))"
plant object 'ODEBUG: free active'
plant warn "$WARNS"
plant guard 'kregion: defect: memory behind an object was written'
plant kasan 'BUG: KASAN'
plant kasan-vmalloc 'BUG: KASAN'

insmod kregion_defect.ko kind=leak
insmod kregion_defect.ko kind=held || exit 1
for _ in 1 2; do sleep 6 && echo scan >/sys/kernel/debug/kmemleak; done
cat /sys/kernel/debug/kmemleak >"$OUT/kmemleak"
grep -q 'size 1234\|size 2048' "$OUT/kmemleak"
test_result "a planted defect is found: leak" $?
grep -q 'size 2345\|size 4096' "$OUT/kmemleak"
test_result "what region memory points to is no leak" "$(($? == 0))"
exit 0
