# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts that run inside the VM.
# shellcheck shell=bash

# test NAME STATUS: one line a test for check.sh.
test_result() {
	echo "$2 $1" >>"$OUT/tests"
	[ "$2" = 0 ] || echo "failed: $1"
}

# Everything in the log that a detector of the kernel would print, WARNs apart.
REPORTS='BUG:|INFO: possible|possible recursive locking|possible circular locking|inconsistent lock state|Invalid wait context|suspicious RCU usage|ODEBUG:|UBSAN:|KASAN:|INFO: task .* blocked|rcu: INFO|general protection|Oops|lockdep is turned off|Unable to handle'

# Reports in the log so far that nobody announced: all but the announced WARNs.
unexpected_reports() {
	local announced=${1:-0} warned
	dmesg | grep -E "$REPORTS" && return 1
	warned=$(dmesg | grep -c 'WARNING: CPU')
	[ "$warned" -le "$announced" ] || {
		echo "$warned WARNs in the log, $announced announced"
		return 1
	}
}

# Copy the suites' results to the host.
collect_suites() {
	local f suite
	for f in /sys/kernel/debug/kunit/*/results; do
		suite=${f%/results}
		[ -e "$f" ] && cat "$f" >"$OUT/${suite##*/}.ktap"
	done
}
