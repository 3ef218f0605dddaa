#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All tests, as KTAP, summed up in the last line.
#
# usage: check.sh [kunit | static | stock | demo]...	(default: all of them)
set -uo pipefail
. "$(dirname "$0")/vm/lib.sh"

OUT=$TOP/out/check
passed=0 failed=0 skipped=0

# result NAME STATUS [COMMENT]: one test is done.
result() {
	local n=$((passed + failed + skipped + 1))
	if [ "$2" = 0 ]; then
		passed=$((passed + 1))
		echo "ok $n - $1${3:+ # $3}"
	else
		failed=$((failed + 1))
		echo "not ok $n - $1${3:+ # $3}"
	fi
}

# try NAME COMMAND...: passes if the command does; its output shows if it does not.
try() {
	local name=$1 log rc=0
	shift
	log=$OUT/$(tr -c 'a-zA-Z0-9\n' - <<<"$name").log
	"$@" >"$log" 2>&1 || rc=$?
	[ "$rc" = 0 ] || sed 's/^/# /' "$log"
	result "$name" "$rc"
}

# suites DIR PREFIX [SKIPS]: count the KTAP files that a VM left; none at all is a
# failure, and so are more skipped cases than expected.
suites() {
	local counts f=("$1"/*.ktap)
	[ -e "${f[0]}" ] || { result "$2: results" 1 "no suite ran"; return; }
	# A leaf is a result line with no deeper one right before it.
	counts=$(awk -v prefix="$2" '
		match($0, /^ *(ok|not ok) [0-9]+ ?-? ?/) {
			match($0, /^ */); indent = RLENGTH
			if (indent >= deepest) {
				if ($0 ~ /# SKIP/) s++
				else if ($1 == "ok") p++
				else { f++; print "# " prefix ": " $0 > "/dev/stderr" }
			}
			deepest = indent
			next
		}
		/^ *(KTAP|1\.\.|# Subtest)/ { deepest = 0; next }
		/# .*(EXPECTATION|ASSERTION) FAILED|^ *# .*Expected/ { print > "/dev/stderr" }
		END { print p + 0, f + 0, s + 0 }' "${f[@]}")
	read -r p f s <<<"$counts"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	echo "# $2: $p passed, $f failed, $s skipped"
	result "$2: suites ran" "$((p + f == 0))"
	[ -z "${3-}" ] || result "$2: no more than $3 skipped" "$((s > $3))"
}

# in_vm NAME KERNEL-ARGS SCRIPT ARG...: run it in a VM; a lost VM is a failure.
in_vm() {
	local name=$1 append=$2 rc=0
	shift 2
	rm -rf "${OUT:?}/$name"
	mkdir -p "$OUT/$name"
	# What a VM that is started directly needs, and has nowhere else.
	[ -z "${DIRECT-}" ] || cp "${DIRECT[@]}" "$OUT/$name/"
	"$VM/run.sh" ${DIRECT:+-d} -t "${LIMIT:-300}" -c "${CPUS:-2}" -a "$append" "$KERNEL" "$OUT/$name" "$@" &
	vm_pid=$!
	wait "$vm_pid" || rc=$?
	vm_pid=
	[ "$rc" = 0 ] || sed 's/^/# /' "$OUT/$name/log" 2>/dev/null | tail -n 40
	[ "$rc" != 3 ] || tail -n 60 "$OUT/$name/console" | sed 's/^/# /'
	[ ! -e "$OUT/$name/tests" ] || while read -r rc1 what; do
		result "$name: $what" "$rc1"
	done <"$OUT/$name/tests"
	result "$name: VM" "$rc"
}

# ---- the KUnit kernel ---------------------------------------------------------

kunit() {
	stage "building for the KUnit kernel"
	build_for kunit || { result "build for the KUnit kernel" 1; return; }
	stage "running the suites"
	local DIRECT=("$BUILT"/kmod/kregion.ko "$BUILT"/kunit_tests/kregion_kunit.ko
		"$VM/guest-lib.sh" "$VM/kunit-guest.sh")
	in_vm kunit "${KUNIT_ARGS-}" kunit-guest.sh "$@"
	suites "$OUT/kunit" kunit 1	# NMIs in a single region
}

detectors() {
	build_for kunit || { result "build for the KUnit kernel" 1; return; }
	stage "planting defects"
	local DIRECT=("$BUILT"/kmod/kregion.ko "$BUILT"/kunit_tests/kregion_defect.ko
		"$VM/guest-lib.sh" "$VM/detectors-guest.sh")
	in_vm detectors "kmemleak=on kasan_multi_shot" detectors-guest.sh
}

# ---- Debian's kernels -----------------------------------------------------------

stock() {
	for series in 6.12 6.1; do
		stage "building for Debian's $series kernel"
		build_for "stock-$series" || { result "build for $series" 1; continue; }
		make -s -C "$BUILT/userspace_demo" || { result "build of the programs" 1; continue; }
		stage "running the suites on $series, then loading and unloading a hundred times"
		LIMIT=600 in_vm "stock-$series" "preempt=full" "$BUILT/kunit_tests/vm/stock-guest.sh" "$BUILT"
		suites "$OUT/stock-$series" "stock-$series"
	done
}

demo() {
	stage "running the demo"
	try "demo" "$VM/demo.sh"
}

# ---- without a VM ----------------------------------------------------------------

static() {
	local src series files scripts
	src=$("$VM/kernels.sh" source) || { result "source of Linux 6.12" 1; return; }
	cd "$TOP" || exit 1
	mapfile -t files < <(find kmod kunit_tests userspace_demo -name '*.[ch]' ! -name '*.mod.c')
	mapfile -t scripts < <(find kunit_tests .ci -name '*.sh'; echo .ci/run)

	for series in 6.1 6.12; do
		stage "gcc W=1 and sparse against $series"
		BUILD_TAG=strict-$series try "gcc W=1 and sparse, $series" strict "stock-$series"
	done
	try "fast path" fast_path
	stage "clang against 6.12"
	BUILD_TAG=clang try "clang, 6.12" strict stock-6.12 LLVM=-19
	stage "32 bits"
	BUILD_TAG=i386 try "i386 build" bits32
	stage "source checks"
	try "checkpatch" checkpatch "$src" "${files[@]}"
	try "kernel-doc" perl "$src/scripts/kernel-doc" -none -Wall -Werror \
		kmod/*.c kmod/include/linux/kregion.h
	try "coccinelle" coccinelle "$src"
	try "codespell" codespell -q 3 -L "${CODESPELL_IGNORE:-crate}" kmod kunit_tests userspace_demo \
		Documentation README.md Makefile Kbuild
	try "shellcheck" shellcheck -x -P SCRIPTDIR -s bash "${scripts[@]}"
	try "programs" make -s -B -C userspace_demo CFLAGS="-O2 -Wall -Wextra -Werror"
	BUILD_TAG=install try "README client, built from what make install leaves" \
		"$TOP/kunit_tests/install.sh"
	cd - >/dev/null || exit 1
}

# A build in which any warning is an error. The kernel's own chatter is none, and
# neither is modpost's for 32 bits: there is no vmlinux to find symbols in.
warning_free() {
	build_for "$@" || return 1
	! grep -v -e '^Skipping BTF' -e 'You are using: *gcc' -e 'compiler differs' \
		-e 'The kernel was built by' -e 'You are using:' \
		-e 'Module.symvers.* is missing' -e 'modpost: .* undefined!' \
		-e 'modpost: suppressed' -e '^  ' "$BUILT.log"
}

# What modpost would have said: no kernel of 32 bits has 64-bit divisions.
bits32() {
	warning_free i386 KBUILD_MODPOST_WARN=1 || return 1
	! nm "$BUILT"/kmod/*.ko "$BUILT"/kunit_tests/*.ko | grep -E 'U __u?(div|mod)di3'
}

strict() {
	warning_free "$@" W=1 C=2 CF=-Wsparse-error
}

# In what the strict build left.
fast_path() {
	"$TOP/kunit_tests/fastpath.py" "$BUILT/kunit_tests/kregion_fastpath.ko"
}

# Two exceptions: TRACE_EVENT and friends are laid out as in the kernel's own headers,
# and programs use the types and macros of the C library.
checkpatch() {
	local src=$1 f rc=0
	shift
	for f; do
		local types=""
		case $f in
		*/trace/events/*) types="--ignore=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT" ;;
		userspace_demo/*) types="--ignore=PREFER_KERNEL_TYPES,CAMELCASE,ARRAY_SIZE,SPLIT_STRING,EMBEDDED_FUNCTION_NAME,PREFER_DEFINED_ATTRIBUTE_MACRO" ;;
		esac
		perl "$src/scripts/checkpatch.pl" --no-tree --strict --terse --no-summary -q \
			--max-line-length=100 $types -f "$f" || rc=1
	done
	return $rc
}

# The kernel's own semantic patches that fit a module of this kind.
coccinelle() {
	local src=$1 script out
	for script in api/kstrdup api/memdup api/err_cast free/kfree locks/double_lock \
		locks/call_kern misc/warn null/deref_null null/eno tests/unsigned_lesser_than_zero; do
		[ -e "$src/scripts/coccinelle/$script.cocci" ] || continue
		out=$(spatch --very-quiet -D report --no-includes --sp-file \
			"$src/scripts/coccinelle/$script.cocci" --dir kmod 2>/dev/null)
		[ -z "$out" ] || { echo "$script: $out"; return 1; }
	done
}

# ---- main -------------------------------------------------------------------------

# merge FILE: the results that another check.sh wrote.
merge() {
	local line
	while read -r line; do
		case $line in
		'ok '*) result "${line#* - }" 0 ;;
		'not ok '*) result "${line#* - }" 1 ;;
		'# '*) echo "$line" ;;
		esac
	done <"$1"
}

# What runs in the background ends with us: the VM, and all that the checks started.
static_pid='' vm_pid=''
stop() {
	[ -z "$vm_pid" ] || kill "$vm_pid" 2>/dev/null
	[ -z "$static_pid" ] || kill -- "-$static_pid" 2>/dev/null
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$OUT"
echo "KTAP version 1"
case ${1-} in
'')
	# The static checks and the VMs together use two CPUs well; the demo measures, alone.
	setsid "$0" static >"$OUT/static.ktap" &
	static_pid=$!
	KUNIT_ARGS=kmemleak=on kunit full
	detectors
	stock
	wait "$static_pid"
	static_pid=
	merge "$OUT/static.ktap"
	demo
	;;
kunit | detectors | static | stock | demo) "$1" ;;
*) usage_error "unknown part '$1' (kunit, static, stock, demo, detectors)" ;;
esac
stage "done"
echo "1..$((passed + failed + skipped))"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
