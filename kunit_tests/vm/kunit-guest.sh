#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Inside the VM with the KUnit kernel, started directly: run the suites and look
# at the log. With "full": all parameters instead of a few, and look for leaks.
set -u
. ./guest-lib.sh
exec >"$OUT/log" 2>&1
rc=0

for f in failslab fail_page_alloc; do
	echo N >/sys/kernel/debug/$f/ignore-gfp-wait
	echo 0 >/sys/kernel/debug/$f/verbose
done
echo 0 >/sys/kernel/debug/fail_page_alloc/min-order

insmod kregion.ko || exit 1
insmod kregion_recipes.ko && rmmod kregion_recipes
test_result "the documentation's examples run" $?
if [ "${1-}" = full ]; then set_of=scale=2; else set_of=quick=1; fi
run_suites kregion_kunit.ko 1 "$set_of"	# NMIs in a single region

if [ "${1-}" = full ] && [ -w /sys/kernel/debug/kmemleak ]; then
	# Objects younger than five seconds are not reported.
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	cat /sys/kernel/debug/kmemleak >"$OUT/kmemleak"
	leaks=0
	grep -q kregion "$OUT/kmemleak" && leaks=1
	test_result "no leak found by kmemleak" "$leaks"
fi
rmmod kregion || rc=1
clean_log
grep -q '^ debug_locks: *1' /proc/lockdep_stats
test_result "lockdep is on to the end" $?
exit "$rc"
