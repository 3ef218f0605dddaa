#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside the VM: trace a workload, and check the trace against the kernel's own
# figures. With "shell": a prompt instead.
set -uo pipefail
built=$1
PATH=$built/userspace_demo:$PATH

insmod "$built/kmod/kregion.ko" || exit 1
insmod "$built/kmod/kregion_trace.ko" || exit 1

if [ "${2-}" = shell ]; then
	cd "$built" || exit 1
	echo "kregion and kregion_trace are loaded. Try: krtrace record -- ls; krtrace report; kregion-top --once"
	exec bash --norc -i
fi

exec >"$OUT/log" 2>&1
cd /tmp || exit 1

echo "== recording: eight compression jobs on two CPUs"
python3 "$built/kunit_tests/vm/crosscheck.py" "$OUT" || rc=$?
rc=${rc:-0}

echo "== regions, after the drop"
cat /sys/kernel/debug/kregion/regions
[ "$(grep -c '^[0-9]' /sys/kernel/debug/kregion/regions)" = 0 ] || {
	echo "a region is left"
	rc=1
}
rmmod kregion_trace kregion || rc=1
exit "$rc"
