#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot Debian's stock 6.12 kernel in a VM, load the modules, trace a real workload
# and report; or, with --shell, hand out a prompt.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

stage "building the modules against Debian's 6.12 headers"
build_for stock-6.12
stage "building the programs"
make -s -C "$BUILT/userspace_demo"

if [ "${1-}" = --shell ]; then
	[ -t 0 ] || usage_error "make shell wants a terminal"
	stage "starting the VM; leave it with exit"
	exec "$VM/run.sh" -s -i "$KERNEL" "$(mktemp -d)" "$VM/demo-guest.sh" "$BUILT" shell
fi

out=$TOP/out/demo
rm -rf "$out"
mkdir -p "$out"
stage "booting Linux $(cat "$KERNEL/release") and recording a workload"
rc=0
# Without noirqtime the kernel takes interrupts off a task's run time; the trace, which
# is told of switches only, does not.
"$VM/run.sh" -s -t 240 -a tsc=noirqtime "$KERNEL" "$out" "$VM/demo-guest.sh" "$BUILT" || rc=$?
[ ! -e "$out/log" ] || cat "$out/log"
if [ "$rc" = 0 ]; then
	stage "done: the report is $out/report.txt, and $out/trace.json opens in ui.perfetto.dev or chrome://tracing"
else
	stage "the demo failed; see $out"
fi
exit "$rc"
