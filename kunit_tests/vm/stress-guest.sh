#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Inside the VM, started directly: the torture test, and beside it readers of
# debugfs, a memory hog, a cgroup. stress.py reads the verdicts on the console.
#
# usage: stress-guest.sh "RUN..." PARAMETER...
# RUN: scenario=NAME or busted=NAME; log: nothing was reported so far
set -u
. ./guest-lib.sh
exec >"$OUT/log" 2>&1
runs=$1 cgroup=/sys/fs/cgroup debug=/sys/kernel/debug && shift
mount -t cgroup2 cgroup $cgroup && echo +memory >$cgroup/cgroup.subtree_control
mkdir -p $cgroup/memcg /fill && echo 4M >$cgroup/memcg/memory.max
echo 1 >/proc/sys/vm/overcommit_memory
echo 1000000000 >$debug/x86/nmi_longest_ns
for f in times:-1 min-order:0 probability:20 ignore-gfp-wait:N verbose:0 task-filter:Y; do
	echo "${f#*:}" >"$debug/fail_page_alloc/${f%:*}"
done 2>/dev/null
insmod kregion.ko || exit 1
for run in $runs; do
	case $run in
	log) rmmod kregion && clean_log && insmod kregion.ko && continue ;;
	scenario=churn) while :; do cat $debug/kregion/*; done >/dev/null & ;;
	scenario=rotate) echo 1 >/sys/kernel/rcu_expedited ;; # for more rotates
	scenario=memcg) echo $$ >$cgroup/memcg/cgroup.procs ;;
	scenario=hog) # all memory but 24 MiB is taken, as a hog is slow
		mount -t ramfs fill /fill && dd if=/dev/zero of=/fill/it bs=1M \
			count="$(awk '/^MemAvailable:/ { print int($2 / 1024) - 24 }' /proc/meminfo)"
		# Several, as the OOM killer may end a loop between two of its hogs.
		for score in 1000 999 998; do
			while echo $score >/proc/self/oom_score_adj; do dd if=/dev/zero of=/dev/null bs=8G count=1; done &
		done
		;;
	esac
	# NMIs come while the file is there and the module runs.
	: >"nmi.$run" && insmod kregion_stress.ko "$run" "$@"
	rm "nmi.$run" && rmmod kregion_stress
	# shellcheck disable=SC2046 # a list of pids
	{ kill $(jobs -p); umount /fill; echo $$ >$cgroup/cgroup.procs; echo 0 >/sys/kernel/rcu_expedited; } 2>/dev/null
	grep -q '^bytes_held: 0$' $debug/kregion/totals
	test_result "nothing is held after $run" $?
done
