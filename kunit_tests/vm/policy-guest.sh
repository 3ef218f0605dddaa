#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside a VM whose clock counts instructions: read and free a policy of SELinux
# in slab memory, then in regions; see bench/policy.py.
#
# policy-guest.sh BUILT POLICY
set -uo pipefail
exec >"$OUT/log" 2>&1
rc=0

insmod "$1/kmod/kregion.ko" || exit 1
for rival in kmalloc kregion; do
	insmod "$1-policy/$rival/policy_$rival.ko" policy="$2" view=count unit=instructions || rc=1
	for _ in {1..5}; do
		echo 1 >"/sys/module/policy_$rival/parameters/run" || rc=1
	done
done
dmesg | grep -o 'view=.*' >"$OUT/results"
dmesg | tail -n 50
[ -s "$OUT/results" ] || rc=1
exit "$rc"
