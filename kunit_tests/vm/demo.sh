#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boot the kernel $KERNEL in a VM, load the modules, trace a real workload and
# report; or, with --shell, start a shell there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

stage "building for $KERNEL"
folder=$("$VM/kernels.py" "$KERNEL")
built=$("$VM/build.sh" -p "$KERNEL")

if [ "${1-}" = --shell ]; then
	[ -t 0 ] || usage_error "make shell wants a terminal"
	out=$TOP/out/shell
	stage "booting Linux $(cat "$folder/release")"
	# The VM leaves this terminal as it finds it, and takes its keys: no
	# background.
	at_exit stty "$(stty -g)"
	"$VM/run.sh" -s -i "$folder" "$out" "$VM/demo-guest.sh" "$built" shell "$out"
	exit
fi

out=$TOP/out/demo
rm -rf "$out"
mkdir -p "$out"
stage "booting Linux $(cat "$folder/release") and recording a workload"
rc=0
# Without noirqtime the kernel takes interrupts off a task's run time; the
# trace, which has switches only, does not.
foreground "$VM/run.sh" -s -a tsc=noirqtime "$folder" "$out" "$VM/demo-guest.sh" "$built" || rc=$?
[ ! -e "$out/log" ] || cat "$out/log"
if [ "$rc" = 0 ]; then
	stage "done: the report is $out/report.txt, and $out/trace.json opens in ui.perfetto.dev or chrome://tracing"
else
	stage "the demo failed; see $out"
fi
exit "$rc"
