#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What allocations cost beside what else a module, or a program, could use. The method
# stands in Documentation/benchmarks.rst.
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

pid=
stop() {
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# in_vm NAME KERNEL-ARGS ARG...: run the guest's script where a tick of the clock is an
# instruction. A cleared page counts a tick a byte, so none is cleared unasked.
in_vm() {
	local name=$1 append=$2
	shift 2
	KREGION_ACCEL=tcg "$VM/run.sh" -c 1 -m 4G -t 900 -q "-icount shift=0,sleep=off" \
		-a "init_on_alloc=0 $append" "$KERNEL" "$OUT/$name" "$VM/bench-guest.sh" "$BUILT" "$@" &
	pid=$!
	wait "$pid" || { pid=; tail -n 20 "$OUT/$name/log" >&2; die "counting failed; see $OUT/$name"; }
	pid=
	cp "$OUT/$name/results" "$OUT/$name.txt"
}

# built_for KERNEL: with the program that the guest's script needs.
built_for() {
	stage "building for $1"
	build_for "$1"
	make -s -C "$BUILT/userspace_demo"
}

# count [sweep]
count() {
	built_for stock-6.12
	stage "counting instructions${1:+, over sizes and numbers (some minutes)}"
	in_vm count "" all "$@"
	[ -n "${1-}" ] || return 0
	# Later kernels do not believe that there are CPUs that no firmware tells of.
	built_for stock-6.1
	stage "counting with 240 possible CPUs"
	in_vm count-cpus possible_cpus=240 percpu,shared
	sed -i '/what=create_destroy/!d' "$OUT/count-cpus.txt"	# the rest is of one CPU
}

# library PACKAGE FILE: where a package's library is.
library() {
	dpkg -L "$1" | grep "/$2" | head -n 1
}

native() {
	local n file
	stage "building the native program"
	make -s -C "$BENCH" OUT="$OUT/native"
	n=$OUT/native/native
	stage "timing on this machine"
	{
		# Within the first cache, and over it: in three passes, as a program's luck with
		# the places of its memory and its neighbours lasts as long as it runs.
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
		for file in jemalloc:$(library libjemalloc2 libjemalloc.so.2) \
			mimalloc:$(library libmimalloc2.0 libmimalloc.so.2); do
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
