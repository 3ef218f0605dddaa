# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts that run inside the VM: results as KTAP, in $OUT/ktap.
# shellcheck shell=bash

# test_result NAME STATUS: one result.
test_result() {
	local status=ok n
	[ "$2" = 0 ] || { status='not ok'; echo "failed: $1"; }
	n=$(($(grep -cE '^(not )?ok ' "$OUT/ktap" 2>/dev/null) + 1))
	echo "$status $n - $1" >>"$OUT/ktap"
}

# A WARN: "WARNING: CPU: 1 PID: ..." before Linux 7.2,
# "WARNING: file:line at ..." since; some of lockdep's reports begin so, too.
WARNS='^(\[[^]]*\])+ WARNING: '

# Everything else in the log that a detector of the kernel would print.
REPORTS='BUG:|[] ]BUG [a-z]|pagealloc: (memory corruption|single bit error)|kmemleak: (Cannot insert|Freeing|Found|Trying)|INFO: possible|possible recursive locking|possible circular locking|inconsistent lock state|Invalid wait context|suspicious RCU usage|ODEBUG:|UBSAN:|KASAN:|INFO: task .* blocked|rcu: INFO|general protection|Oops|lockdep is turned off|Unable to handle'

# no_report DMESG ANNOUNCED: nothing in that log but the announced number of
# WARNs.
no_report() {
	local warned
	! grep -E "$REPORTS" "$1" || return 1
	warned=$(grep -cE "$WARNS" "$1")
	[ "$warned" -le "${2:-0}" ] || {
		echo "$warned WARNs in the log, ${2:-0} announced"
		return 1
	}
}

# run_suites MODULE SKIPS [PARAMETER]...: load the suites, keep their results,
# unload them; and see that there are some, with no more than that many skipped
# cases ("any": as many as there are).
run_suites() {
	local module=$1 skips=$2 n
	shift 2
	insmod "$module" "$@"
	test_result "the suites are loaded" $?
	# Each file has a version and a plan of its own.
	n=$(grep -cE '^(not )?ok ' "$OUT/ktap")
	cat /sys/kernel/debug/kunit/*/results | awk -v n="$n" '
		/^KTAP/ || /^1\.\./ { next }
		/^(not )?ok / { sub(/ok [0-9]+/, "ok " ++n) }
		{ print }' >"$OUT/suites"
	cat "$OUT/suites" >>"$OUT/ktap"
	cat /sys/module/kregion_kunit/parameters/announced_warnings >"$OUT/announced"
	rmmod kregion_kunit
	test_result "the suites are unloaded" $?
	grep -qE '^(not )?ok ' "$OUT/suites"
	test_result "there are results" $?
	[ "$skips" = any ] || {
		n=$(grep -c '# SKIP' "$OUT/suites")
		test_result "$skips cases skipped at most" "$((n > skips))"
	}
}

# clean_log: the last result, when all modules are gone: the log has the WARNs
# that the suites announced, and nothing else.
clean_log() {
	dmesg >"$OUT/dmesg"
	no_report "$OUT/dmesg" "$(cat "$OUT/announced" 2>/dev/null)"
	test_result "no report in the log" $?
}
