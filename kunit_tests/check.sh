#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All tests, as KTAP, summed up in the last line.
#
# usage: check.sh [PART]...	(default: all but kunit, which is the short kunit-full)
set -uo pipefail
. "$(dirname "$0")/vm/lib.sh"
. "$(dirname "$0")/vm/guest-lib.sh"

OUT=$TOP/out/check
# So that the tests run what the strict builds made.
export STOCK_ARGS="W=1 C=2 CF=-Wsparse-error"
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

# suites NAME [SKIPS]: count the results that the suites left in that VM, and look at
# its log; no result at all is a failure, and so are more skipped cases than expected.
suites() {
	local counts p f s log="$OUT/$1/suites.ktap"
	[ -s "$log" ] || { result "$1: results" 1 "no suite ran"; return; }
	# A leaf is a result line with no deeper one right before it.
	counts=$(awk -v prefix="$1" '
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
		END { print p + 0, f + 0, s + 0 }' "$log")
	read -r p f s <<<"$counts"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	echo "# $1: $p passed, $f failed, $s skipped"
	result "$1: suites ran" "$((p + f == 0))"
	[ -z "${2-}" ] || result "$1: no more than $2 skipped" "$((s > $2))"
	try "$1: no report in the log" no_report "$OUT/$1/dmesg" "$(cat "$OUT/$1/announced")"
}

# in_vm NAME KERNEL-ARGS SCRIPT ARG...: run it in a VM; a lost VM is a failure. With
# DIRECT, a list of modules, in one that is started directly; it boots while they are built.
# With SERIAL, one CPU at a time.
in_vm() {
	local name=$1 append=$2 rc=0
	shift 2
	rm -rf "${OUT:?}/$name"
	mkdir -p "$OUT/$name"
	"$VM/run.sh" ${DIRECT:+-d} ${SERIAL:+-s} -m "${MEM:-2G}" -t "${LIMIT:-300}" -a "$append" \
		"$KERNEL" "$OUT/$name" "$@" &
	vm_pid=$!
	if [ -n "${DIRECT-}" ]; then
		if build_for kunit && cp "${DIRECT[@]/#/$BUILT/}" "$VM/guest-lib.sh" "$VM/$1" "$OUT/$name/"; then
			: >"$OUT/$name/go"
		else
			kill "$vm_pid"
			result "build for the KUnit kernel" 1
		fi
	fi
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
	kernel_for kunit || { result "KUnit kernel" 1; return; }
	stage "booting the KUnit kernel, building, running the suites"
	local DIRECT=(kmod/kregion.ko kunit_tests/kregion_recipes.ko kunit_tests/kregion_kunit.ko)
	in_vm kunit "${KUNIT_ARGS-}" kunit-guest.sh "$@"
	suites kunit 1	# NMIs in a single region
}

detectors() {
	kernel_for kunit || { result "KUnit kernel" 1; return; }
	stage "planting defects"
	local DIRECT=(kmod/kregion.ko kunit_tests/kregion_defect.ko)
	in_vm detectors "kmemleak=on kasan_multi_shot" detectors-guest.sh
}

# ---- Debian's kernels -----------------------------------------------------------

# stock SERIES
stock() {
	local name=stock-$1
	stage "building for Debian's $1 kernel"
	build_for "$name" || { result "build for $1" 1; return; }
	make -s -C "$BUILT/userspace_demo" || { result "build of the programs" 1; return; }
	stage "running the suites on $1, after loading and unloading a hundred times"
	LIMIT=1200 in_vm "$name" "preempt=full" "$BUILT/kunit_tests/vm/stock-guest.sh" "$BUILT"
	suites "$name"
	stage "tracing on $1"
	SERIAL=1 in_vm "$name-trace" "preempt=full" "$BUILT/kunit_tests/vm/trace-guest.sh" "$BUILT"
	try "$name-trace: no report in the log" no_report "$OUT/$name-trace/dmesg"
}

counts() {
	stage "counting instructions"
	try "counts" "$TOP/kunit_tests/bench/bench.sh" --check
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
	# The stand-ins of kernel headers have the kernel's own shapes, not its style.
	mapfile -t files < <(find kmod kunit_tests userspace_demo -name '*.[ch]' ! -name '*.mod.c' \
		! -path '*/native-shim/*')
	mapfile -t scripts < <(find kunit_tests .ci -name '*.sh'; echo .ci/run)

	for series in 6.1 6.12; do
		stage "gcc W=1 and sparse against $series"
		try "gcc W=1 and sparse, $series" warning_free "stock-$series"
	done
	try "fast path" fast_path
	stage "clang against 6.12"
	BUILD_TAG=clang try "clang, 6.12" warning_free stock-6.12 LLVM=-19
	stage "32 bits"
	BUILD_TAG=i386 try "i386 build" bits32
	stage "source checks"
	try "checkpatch" checkpatch "$src" "${files[@]}"
	try "kernel-doc" perl "$src/scripts/kernel-doc" -none -Wall -Werror \
		kmod/*.c kmod/trace/*.[ch] kmod/include/linux/kregion.h \
		kmod/include/linux/kregion_inline.h
	try "documentation" "$TOP/kunit_tests/docs.sh" "$OUT/docs"
	try "coccinelle" coccinelle "$src"
	try "codespell" codespell -q 3 -L "${CODESPELL_IGNORE:-crate}" kmod kunit_tests userspace_demo \
		Documentation README.md Makefile Kbuild
	try "shellcheck" shellcheck -x -P SCRIPTDIR -s bash "${scripts[@]}"
	try "programs" make -s -B -C userspace_demo CFLAGS="-O2 -Wall -Wextra -Werror"
	try "krtrace on crafted traces" "$TOP/kunit_tests/krtrace/test.py"
	try "native program" make -s -B -C kunit_tests/bench OUT="$OUT/native" CFLAGS="-O2 -Wall -Wextra -Werror"
	try "DKMS builds kmod/ alone" dkms_build
	try "README client, built from what make install leaves" "$TOP/kunit_tests/install.sh"
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
	local symbols
	warning_free i386 KBUILD_MODPOST_WARN=1 || return 1
	symbols=$(find "$BUILT" -name '*.ko' -exec nm -A {} +) || return 1
	! grep -E 'U __u?(div|mod)di3' <<<"$symbols"
}

# DKMS builds the two modules that it installs and nothing else, so that a benchmark that
# does not compile is in nobody's way.
dkms_build() {
	local place=$OUT/dkms release built
	kernel_for stock-6.12 || return 1
	release=$(cat "$KERNEL/release")
	rm -rf "$place"
	mkdir -p "$place/source" "$place/tree"
	rsync -a --exclude=.git --filter=':- .gitignore' "$TOP/" "$place/source/kregion-1.0.0/"
	echo '#error broken' >>"$place/source/kregion-1.0.0/kunit_tests/bench/bench.c"
	dkms build -m kregion -v 1.0.0 -k "$release" --kernelsourcedir "$KERNEL/build" \
		--sourcetree "$place/source" --dkmstree "$place/tree" --installtree "$place/lib" || {
		cat "$place"/tree/kregion/1.0.0/build/make.log
		return 1
	}
	built=$(sed -n 's/.*LD \[M\] .*[ /]\(.*\.ko\)$/\1/p' \
		"$place"/tree/kregion/*/"$release"/*/log/make.log | sort)
	echo "built: $built"
	[ "$built" = $'kregion.ko\nkregion_trace.ko' ]
}

# In what the strict build left.
fast_path() {
	"$TOP/kunit_tests/fastpath.py" "$BUILT/kunit_tests/kregion_fastpath.ko"
}

# Exceptions: TRACE_EVENT and friends are laid out as in the kernel's own headers, programs
# use the types and macros of the C library, the rivals' loops are made by macros, and so
# are the tracer's tables of types and fields.
checkpatch() {
	local src=$1 f rc=0
	shift
	for f; do
		local types=""
		case $f in
		*/trace/events/*) types="--ignore=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,COMPLEX_MACRO,MACRO_ARG_UNUSED,TRAILING_SEMICOLON" ;;
		*/linux/kregion.h) types="--ignore=COMPLEX_MACRO,MACRO_ARG_REUSE" ;;
		*/trace/stream.c | */trace/types.h) types="--ignore=COMPLEX_MACRO,MACRO_ARG_UNUSED" ;;
		*/bench.c) types="--ignore=COMPLEX_MACRO,MACRO_ARG_REUSE" ;;
		userspace_demo/* | kunit_tests/krtrace/* | */native.c) types="--ignore=BIT_MACRO,PREFER_KERNEL_TYPES,CAMELCASE,ARRAY_SIZE,SPLIT_STRING,EMBEDDED_FUNCTION_NAME,PREFER_DEFINED_ATTRIBUTE_MACRO,AVOID_EXTERNS" ;;
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

# merge FILE: the results that another check.sh wrote, to its end.
merge() {
	local line p f s
	while read -r line; do
		case $line in
		'ok '*) result "${line#* - }" 0 ;;
		'not ok '*) result "${line#* - }" 1 ;;
		'# '*' passed, '*)
			read -r _ _ p _ f _ s _ <<<"$line"
			passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
			echo "$line"
			;;
		'# '*) echo "$line" ;;
		esac
	done <"$1"
	[[ $(tail -n 1 "$1") == *' skipped' ]]
	result "the second lane came to its end" $?
}

part() {
	case $1 in
	kunit) MEM=768M kunit ;;
	kunit-full) LIMIT=1200 KUNIT_ARGS=kmemleak=on kunit full ;;
	stock-*) stock "${1#stock-}" ;;
	*) "$1" ;;
	esac
}

for p; do
	case $p in
	kunit | kunit-full | detectors | static | counts | stock-6.12 | stock-6.1 | demo) ;;
	*) usage_error "unknown part '$p'; there are kunit, kunit-full, detectors, static, counts, stock-6.12, stock-6.1, demo" ;;
	esac
done

# What runs in the background ends with us: the VM, and all that the checks started.
lane_pid='' vm_pid=''
stop() {
	[ -z "$vm_pid" ] || kill "$vm_pid" 2>/dev/null
	[ -z "$lane_pid" ] || kill -- "-$lane_pid" 2>/dev/null
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$OUT"
echo "KTAP version 1"
for p; do part "$p"; done
if [ $# = 0 ]; then
	# Two lanes use two CPUs well; the demo measures, alone.
	setsid "$0" static stock-6.12 counts >"$OUT/lane.ktap" &
	lane_pid=$!
	for p in kunit-full detectors stock-6.1; do part "$p"; done
	wait "$lane_pid"
	lane_pid=
	merge "$OUT/lane.ktap"
	part demo
fi
stage "done"
echo "1..$((passed + failed + skipped))"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
