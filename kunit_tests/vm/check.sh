#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One of the checks that need a VM. Standard output is KTAP without the version
# line; what else is left is in OUT.
#
# usage: check.sh OUT kunit|detectors|suites|trace KERNEL [ARG]...
#
#	kunit	the suites on a KUnit kernel [quick | full]
#	detectors	calls of the device and planted defects, on a KUnit kernel
#	suites	loading, unloading, accounting and the suites, on a stock kernel
#	trace	the tracer and the programs, on a stock kernel
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -ge 3 ] || usage_error "usage: check.sh OUT kunit|detectors|suites|trace KERNEL [ARG]..."
out=$1 what=$2 name=$3
shift 3

kernel=$("$VM/kernels.py" "$name")
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)

# direct MEM KERNEL-ARGS SCRIPT [ARG]...: start the VM, and build while it
# boots.
direct() {
	local mem=$1 append=$2 script=$3 built rc=0
	shift 2
	"$VM/run.sh" -d ${serial:+-s} -m "$mem" -a "$append ${KUNIT_ARGS-}" "$kernel" "$out" "$@" &
	child=$!
	if built=$("$VM/build.sh" "$name") && cp "$built"/kmod/kregion{,_trace}.ko "$built"/kunit_tests/krtrace/device_fuzz \
		"$built"/kunit_tests/kregion_{recipes,kunit,defect}.ko "$VM"/{guest-lib.sh,"$script"} "$out/"; then
		: >"$out/go"
	else
		kill "$child"
	fi
	wait "$child" || rc=$?
	child=
	return "$rc"
}

stage "$what: booting $name"
rc=0
case $what in
kunit)
	if [ "${1-}" = full ]; then
		direct 2G kmemleak=on kunit-guest.sh full || rc=$?
	else
		direct 768M "" kunit-guest.sh || rc=$?
	fi
	;;
detectors) serial=1 direct 2G "kmemleak=on kasan_multi_shot" detectors-guest.sh || rc=$? ;;
suites)
	foreground "$VM/run.sh" -s -a "preempt=full ${KUNIT_ARGS-}" "$kernel" "$out" \
		"$VM/stock-guest.sh" "$("$VM/build.sh" -n -w "$name")" "$WORK/sample-$name" || rc=$?
	;;
trace)
	foreground "$VM/run.sh" -s -a preempt=full "$kernel" "$out" \
		"$VM/trace-guest.sh" "$("$VM/build.sh" -n -w "$name")" || rc=$?
	;;
*) usage_error "unknown check '$what'" ;;
esac

n=$(grep -cE '^(not )?ok ' "$out/ktap" 2>/dev/null) || :
echo "1..$((${n:-0} + 1))"
cat "$out/ktap" 2>/dev/null || :
if [ "$rc" = 0 ]; then
	echo "ok $((n + 1)) - VM"
else
	{
		tail -n 40 "$out/log" || :
		[ "$rc" -lt 3 ] || tail -n 60 "$out/kmsg" "$out/console" || :
	} 2>/dev/null | sed 's/^/# /'
	case $rc in
	4) echo "not ok $((n + 1)) - VM # time-out: $(cat "$out/timeout")" ;;
	3) echo "not ok $((n + 1)) - VM # lost" ;;
	*) echo "not ok $((n + 1)) - VM" ;;
	esac
fi
