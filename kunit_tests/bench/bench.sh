#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What allocations cost beside what else a module, or a program, could use. The
# method stands in Documentation/benchmarks.rst.
#
# usage: bench.sh [--check | PART...]	(default: all parts)
#
#	count	instructions, exact, in a VM whose clock counts them
#	native	the allocator's own source as a program, on this machine's processors
#	uml	the kernel's allocators beside it, in a User-mode Linux kernel
#	--check	count without sweeps, and fail if a bar is exceeded; nothing else
set -euo pipefail
. "$(dirname "$0")/../vm/lib.sh"

BENCH=$TOP/kunit_tests/bench
OUT=$TOP/out/bench

# in_vm NAME KERNEL APPEND ARG...: run the guest's script where a tick of the
# clock is an instruction. A cleared page counts a tick a byte, so none is
# cleared unasked.
in_vm() {
	local name=$1 kernel=$2 append=$3 built
	shift 3
	stage "building for $kernel"
	built=$("$VM/build.sh" -p "$kernel")
	kernel=$("$VM/kernels.py" "$kernel")
	stage "counting instructions, $name"
	KREGION_ACCEL=tcg foreground "$VM/run.sh" -c 1 -m 4G -q "-icount shift=0,sleep=off" \
		-a "init_on_alloc=0 $append" "$kernel" "$OUT/$name" "$VM/bench-guest.sh" "$built" "$@" || {
		tail -n 20 "$OUT/$name/log" >&2
		die "counting failed; see $OUT/$name"
	}
	cp "$OUT/$name/results" "$OUT/$name.txt"
}

# count [sweep]: with sweeps over sizes and numbers, and with many possible
# CPUs.
count() {
	in_vm count debian12-6.12 "" all "$@"
	[ -n "${1-}" ] || return 0
	# Later kernels do not believe that there are CPUs that no firmware
	# tells of.
	in_vm count-cpus debian12-6.1 possible_cpus=240 percpu,shared
	sed -i '/what=create_destroy/!d' "$OUT/count-cpus.txt"	# the rest is of one CPU
}

# library NAME: where that shared library is.
library() {
	ldconfig -p | awk -v name="$1" 'index($1, name) == 1 { print $NF; exit }'
}

native() {
	local n file
	stage "building the native program"
	make -s -C "$BENCH" OUT="$OUT/native"
	n=$OUT/native/native
	stage "timing on this machine"
	{
		# Within the first cache, and over it: in three passes, as a
		# program's luck with the places of its memory and its
		# neighbours lasts as long as it runs.
		for _ in 1 2 3; do
			"$n" --threads 1 --live 32768
			"$n" --threads 1
			"$n" --threads 2
		done
		# Sizes; more threads than processors, too.
		"$n" --threads 1 --size 8,16,32,128,256,512,1024,2048,4096
		for n_threads in 4 8; do
			"$n" --threads "$n_threads"
		done
		"$n" --threads 64 --rival bump,percpu,shared,go
		"$n" --what life
		"$n" --what memory
		"$n" --what memory --threads 64 --rival percpu
		for file in jemalloc:$(library libjemalloc.so) \
			mimalloc:$(library libmimalloc.so); do
			for n_threads in 1 2; do
				LD_PRELOAD=${file#*:} "$n" --rival malloc --label "${file%%:*}" --threads "$n_threads"
			done
		done
	} >"$OUT/native.txt"
}

uml() {
	"$BENCH/uml.sh" "$OUT/uml.txt"
}

mkdir -p "$OUT"
for p; do
	case $p in
	count | native | uml) ;;
	--check) [ $# = 1 ] || usage_error "--check stands alone" ;;
	*) usage_error "unknown part '$p'; there are count, native, uml, and --check" ;;
	esac
done
if [ "${1-}" = --check ]; then
	OUT=$TOP/out/check/bench
	mkdir -p "$OUT"
	count
	exec "$BENCH/report.py" --check -o "$OUT" "$OUT/count.txt"
fi
[ $# -gt 0 ] || set -- count native uml
for p; do
	case $p in
	count) count sweep ;;
	*) "$p" ;;
	esac
done
stage "writing the report"
"$BENCH/report.py" -o "$OUT" "$OUT"/*.txt
stage "done: $OUT/report.html, results.csv and results.json"
