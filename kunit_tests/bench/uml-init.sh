#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# PID 1 of the user-mode kernel that bench.py boots. The host's files are the
# root, read-only; the environment, from the kernel's command line, has BUILT,
# the tree of the modules, OUT, the host's folder for results, and RUNS. With
# POLICY, a file, the modules of policy.py run, and not the benchmark.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
bench=$BUILT/kunit_tests/bench/kregion_bench.ko

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t hostfs -o "$OUT" out /mnt

# measure FILE: one run of the benchmark, its results added to the file.
measure() {
	dmesg -C
	insmod "$bench" view=uml unit=cycles && rmmod kregion_bench &&
		dmesg | grep -o 'view=.*' >>"$1"
}

# The first run is not kept: it is the one that the host gives memory to.
measure_rivals() {
	measure /dev/null || return 1
	while [ "$RUNS" -gt 0 ]; do
		measure /mnt/results || return 1
		RUNS=$((RUNS - 1))
	done
}

# In turn, so that what else the host does meets both.
measure_policy() {
	for rival in kmalloc kregion; do
		insmod "$BUILT-policy/$rival/policy_$rival.ko" policy="$POLICY" view=uml unit=cycles || return 1
	done
	while [ "$RUNS" -gt 0 ]; do
		for rival in kmalloc kregion; do
			echo 1 >"/sys/module/policy_$rival/parameters/run" || return 1
		done
		RUNS=$((RUNS - 1))
	done
	dmesg | grep -o 'view=.*' >/mnt/results
}

if insmod "$BUILT/kmod/kregion.ko"; then
	if [ -n "${POLICY-}" ]; then measure_policy; else measure_rivals; fi && : >/mnt/done
fi
dmesg >/mnt/log
exec busybox poweroff -f
