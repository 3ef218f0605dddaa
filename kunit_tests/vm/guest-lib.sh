# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts that run inside the VM, and by check.sh, which reads their results.
# shellcheck shell=bash

# test NAME STATUS: one line a test for check.sh.
test_result() {
	echo "$2 $1" >>"$OUT/tests"
	[ "$2" = 0 ] || echo "failed: $1"
}

# A WARN: "WARNING: CPU: 1 PID: ..." before Linux 7.2, "WARNING: file:line at ..." since; some
# of lockdep's reports begin so, too.
WARNS='^(\[[^]]*\])+ WARNING: '

# Everything else in the log that a detector of the kernel would print.
REPORTS='BUG:|[] ]BUG [a-z]|pagealloc: (memory corruption|single bit error)|kmemleak: (Cannot insert|Freeing|Found|Trying)|INFO: possible|possible recursive locking|possible circular locking|inconsistent lock state|Invalid wait context|suspicious RCU usage|ODEBUG:|UBSAN:|KASAN:|INFO: task .* blocked|rcu: INFO|general protection|Oops|lockdep is turned off|Unable to handle'

# no_report DMESG ANNOUNCED: nothing in that log but the announced number of WARNs.
no_report() {
	local warned
	! grep -E "$REPORTS" "$1" || return 1
	warned=$(grep -cE "$WARNS" "$1")
	[ "$warned" -le "${2:-0}" ] || {
		echo "$warned WARNs in the log, ${2:-0} announced"
		return 1
	}
}

# For the host, all that is left of the suites: results, log, number of announced WARNs.
collect_suites() {
	cat /sys/kernel/debug/kunit/*/results >"$OUT/suites.ktap"
	cat /sys/module/kregion_kunit/parameters/announced_warnings >"$OUT/announced"
}
