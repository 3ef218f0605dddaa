#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Inside the VM with the KUnit kernel, started directly: plant one defect after the other and see
# each detector find it. Lockdep first, as what taints turns it off.
set -u
. ./guest-lib.sh
exec >"$OUT/log" 2>&1

insmod kregion.ko || exit 1

# plant KIND PATTERN: the log must say so afterwards, and must not before.
plant() {
	local before after
	before=$(dmesg | grep -cE "$2")
	insmod kregion_defect.ko kind="$1"
	after=$(dmesg | grep -cE "$2")
	test_result "a planted defect is found: $1" "$((after <= before))"
}

plant lockdep 'possible circular locking'
insmod kregion_defect.ko kind=sleep && rmmod kregion_defect || exit 1
planted=$(dmesg | grep -c 'kregion_defect: under a spinlock')
found=$(dmesg | grep -c 'BUG: sleeping function called from invalid context')
test_result "planted defects are found: sleep, $found of $planted" \
	"$((planted == 0 || found != planted))"
plant object 'ODEBUG: free active'
plant warn 'WARNING: CPU.*'
plant guard 'kregion: defect: memory behind an object was written'
plant kasan 'BUG: KASAN'
plant kasan-vmalloc 'BUG: KASAN'

insmod kregion_defect.ko kind=leak
insmod kregion_defect.ko kind=held || exit 1
sleep 6
echo scan >/sys/kernel/debug/kmemleak
sleep 6
echo scan >/sys/kernel/debug/kmemleak
cat /sys/kernel/debug/kmemleak >"$OUT/kmemleak"
grep -q 'size 1234\|size 2048' "$OUT/kmemleak"
test_result "a planted defect is found: leak" $?
grep -q 'size 2345\|size 4096' "$OUT/kmemleak"
test_result "what region memory points to is no leak" "$(($? == 0))"
dmesg >"$OUT/dmesg"
exit 0
