#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Results of checks.
#
# usage: ktap.sh NAME COMMAND...	run it; one result as KTAP on standard output
#	ktap.sh --parse NAME...		join out/check/NAME.ktap, parse them with the
#					kernel's kunit.py, and print what failed and the sum
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
OUT=$TOP/out/check

if [ "${1-}" != --parse ]; then
	name=$1
	shift
	stage "$name"
	mkdir -p "$OUT"
	echo 1..1
	if foreground "$@" >"$OUT/$name.log" 2>&1; then
		echo "ok 1 - $name"
	else
		sed 's/^/# /' "$OUT/$name.log"
		echo "not ok 1 - $name"
	fi
	exit
fi

shift
n=0
{
	echo "KTAP version 1"
	echo "1..$#"
	for part; do
		n=$((n + 1)) file=$OUT/$part.ktap status='not ok'
		if [ ! -s "$file" ]; then
			echo "not ok $n $part"
		elif [ "$(head -n 1 "$file")" = 1..1 ]; then
			# One result is no subtest, whose name it would have,
			# too.
			sed -E "1d; s/^(not ok|ok) 1 /\1 $n /" "$file"
			grep -qE '^(not )?ok ' "$file" || echo "not ok $n $part"
		else
			printf '    KTAP version 1\n    # Subtest: %s\n' "$part"
			sed 's/^/    /' "$file"
			grep -q '^ *not ok' "$file" || status=ok
			echo "$status $n $part"
		fi
	done
} >"$OUT/ktap"
source=$("$VM/kernels.py" source)
rc=0
# What it cannot parse may keep it busy for good.
timeout 300 python3 "$source/tools/testing/kunit/kunit.py" parse <"$OUT/ktap" >"$OUT/report" || rc=$?
[ "$rc" != 124 ] || die "kunit.py does not end; see $OUT/ktap"
# It passes over some errors of form.
! grep -q '\[ERROR\]' "$OUT/report" || rc=1
# Each test and each sum of a suite has a line; those that passed are many.
grep -vE '\[(PASSED|SKIPPED)\]|^\[[0-9:]+\] =|^\[[0-9:]+\] *$' "$OUT/report" || :
exit "$rc"
