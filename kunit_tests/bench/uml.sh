#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What allocations cost beside the kernel's own allocators, in time: User-mode
# Linux is a kernel that is a program, so all of its allocators run at the
# machine's speed.
#
# usage: uml.sh FILE	(where the result lines go)
#
# To be read with these in mind:
# - It is a kernel for one CPU, whose atomics have no lock prefix. The modules
#   are built to have it all the same, so the shared and go paths cost what they
#   do in other kernels. The kernel proper, and a spinlock, are cheaper than in
#   those.
# - Fast paths of SLUB switch interrupts off and on, which is a variable here,
#   where other kernels have a cmpxchg of 16 bytes for this CPU alone.
# - The per-CPU path is as in other kernels but for the preempt count, which is
#   found through the stack and not through %gs: some more instructions.
# - Calls go through a register. There are no static branches, no mitigations,
#   no memory cgroups and no hardening of SLUB.
# - An interrupt is a signal, and memory is the host's, given when first
#   touched. Medians leave both out.
# - A batch of 128 is short for calls of a nanosecond, so their alloc and pair
#   scatter by as much; fill (of 20,000) is steadier, and the better measure of
#   a cheap path.
set -euo pipefail
. "$(dirname "$0")/../vm/lib.sh"

[ $# = 1 ] || usage_error "usage: uml.sh FILE"
file=$1
RUNS=15		# of each figure
LIMIT=120	# seconds
export LC_ALL=C

# User-mode Linux has no get_cycles(), but the instruction can be had.
grep -qw constant_tsc /proc/cpuinfo || die "the time stamp counter of this machine is no clock"

mkdir -p "$CACHE"
tmp=$(mktemp -d "$CACHE/uml-run.XXXXXX")
at_exit rm -rf "$tmp"

stage "building for User-mode Linux"
cat >"$tmp/as-smp.h" <<'EOF'
#include <asm/alternative.h>
#undef LOCK_PREFIX
#define LOCK_PREFIX "lock; "
#define get_cycles() __builtin_ia32_rdtsc()
EOF
# One name for good and no new date without need, or all would be built anew
# each time.
cmp -s "$tmp/as-smp.h" "$CACHE/as-smp.h" || cp "$tmp/as-smp.h" "$CACHE/as-smp.h"
kernel=$("$VM/kernels.py" uml)
built=$("$VM/build.sh" uml KCFLAGS="-include $CACHE/as-smp.h")

# How many ticks of the counter are a nanosecond of the system's clock.
gcc -O2 -x c -o "$tmp/tsc" - <<'EOF'
#include <stdio.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void)
{
	const double start = now();
	const unsigned long long ticks = __builtin_ia32_rdtsc();
	double end;

	do
		end = now();
	while (end - start < 1e8);
	printf("%.6f\n", (__builtin_ia32_rdtsc() - ticks) / (end - start));
	return 0;
}
EOF

stage "timing in User-mode Linux"
foreground timeout -k 5 "$LIMIT" "$kernel/kernel" mem=2G rootfstype=hostfs rootflags=/ ro \
	"init=$TOP/kunit_tests/bench/uml-init.sh" con=null con0=null,fd:1 quiet \
	"uml_dir=$tmp/" BUILT="$built" OUT="$tmp" RUNS="$RUNS" \
	</dev/null >"$tmp/console" 2>&1 || :
[ -e "$tmp/done" ] || {
	tail -n 20 "$tmp/console" "$tmp/log" >&2 || :
	die "User-mode Linux did not finish"
}

# The median of all runs, the least and the greatest, in nanoseconds.
sed -E 's/(.*) value=([^ ]*) (.*)/\1\t\2\t\3/' "$tmp/results" | sort -t $'\t' -k1,1 -k2,2g |
	awk -F '\t' -v tsc="$("$tmp/tsc")" '
		function put(  f) {
			if (!n)
				return
			f = unit == "unit=cycles" ? tsc : 1
			sub("cycles", "ns", unit)
			printf "%s runs=%d value=%.4f min=%.4f max=%.4f %s\n", what, n,
				v[int((n + 1) / 2)] / f, v[1] / f, v[n] / f, unit
		}
		$1 != what { put(); n = 0 }
		{ what = $1; unit = $3; v[++n] = $2 }
		END { put() }' >"$tmp/file"
mv "$tmp/file" "$file"
