#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# PID 1 of the user-mode kernel that bench.py boots. The host's files are the
# root, read-only; the environment, from the kernel's command line, has BUILT,
# the tree of the modules, OUT, the host's folder for results, and RUNS.
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
if insmod "$BUILT/kmod/kregion.ko" && measure /dev/null; then
	while [ "$RUNS" -gt 0 ] && measure /mnt/results; do
		RUNS=$((RUNS - 1))
	done
	[ "$RUNS" -gt 0 ] || : >/mnt/done
fi
dmesg >/mnt/log
exec busybox poweroff -f
