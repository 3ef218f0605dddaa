#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Checks of the source, each a function; what it prints is what is wrong.
#
# usage: static.sh FUNCTION [ARG]...
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
cd "$TOP"

# Exceptions: TRACE_EVENT and friends are laid out as in the kernel's own
# headers, programs use the types and macros of the C library, the rivals' loops
# are made by macros, and so are the tracer's tables of types and fields. The
# stand-ins of kernel headers have the kernel's own shapes, not its style.
checkpatch() {
	local src f types rc=0
	src=$("$VM/kernels.py" source)
	while read -r f; do
		types=
		case $f in
		*/trace/events/*) types="--ignore=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,COMPLEX_MACRO,MACRO_ARG_UNUSED,TRAILING_SEMICOLON" ;;
		kmod/compat.h) types="--ignore=LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_UNUSED" ;;
		kmod/debugfs.c) types="--ignore=MACRO_ARG_UNUSED" ;;
		*/linux/kregion.h) types="--ignore=COMPLEX_MACRO,MACRO_ARG_REUSE" ;;
		*/trace/stream.c | */trace/types.h) types="--ignore=COMPLEX_MACRO,MACRO_ARG_UNUSED" ;;
		*/bench.c) types="--ignore=COMPLEX_MACRO,MACRO_ARG_REUSE" ;;
		userspace_demo/* | kunit_tests/krtrace/* | */native.c) types="--ignore=BIT_MACRO,PREFER_KERNEL_TYPES,CAMELCASE,ARRAY_SIZE,SPLIT_STRING,EMBEDDED_FUNCTION_NAME,PREFER_DEFINED_ATTRIBUTE_MACRO,AVOID_EXTERNS" ;;
		esac
		# shellcheck disable=SC2086 # none, or one
		perl "$src/scripts/checkpatch.pl" --no-tree --strict --terse --no-summary -q \
			--max-line-length=100 $types -f "$f" || rc=1
	done < <(find kmod kunit_tests userspace_demo -name '*.[ch]' ! -name '*.mod.c' ! -path '*/native-shim/*')
	return $rc
}

kernel_doc() {
	perl "$("$VM/kernels.py" source)/scripts/kernel-doc" -none -Wall -Werror \
		kmod/*.c kmod/trace/*.[ch] kmod/include/linux/*.h
}

# The kernel's own semantic patches that fit a module of this kind.
coccinelle() {
	local src script out rc=0
	src=$("$VM/kernels.py" source)
	for script in api/kstrdup api/memdup api/err_cast free/kfree locks/double_lock \
		locks/call_kern misc/warn null/deref_null null/eno tests/unsigned_lesser_than_zero; do
		[ -e "$src/scripts/coccinelle/$script.cocci" ] || continue
		out=$(spatch --very-quiet -D report --no-includes --sp-file \
			"$src/scripts/coccinelle/$script.cocci" --dir kmod) || rc=1
		[ -z "$out" ] || { echo "$script: $out"; rc=1; }
	done
	return $rc
}

codespell() {
	command codespell -q 3 -L crate,caf,nd,parm kmod kunit_tests userspace_demo Documentation debian ./*.md \
		Makefile Kbuild
}

shellcheck() {
	local scripts
	mapfile -t scripts < <(find kunit_tests .ci -name '*.sh'
		ls .ci/run kmod/dkms.postbuild userspace_demo/completions/*)
	command shellcheck -x -P SCRIPTDIR -s bash "${scripts[@]}"
}

# No kernel of 32 bits has 64-bit divisions, which modpost would have said.
bits32() {
	local built symbols
	built=$("$VM/build.sh" -w i386-build KBUILD_MODPOST_WARN=1)
	symbols=$(find "$built" -name '*.ko' -exec nm -A {} +)
	! grep -E 'U __u?(div|mod)di3' <<<"$symbols"
}

# fastpath KERNEL: in what the strict build left.
fastpath() {
	kunit_tests/fastpath.py "$("$VM/build.sh" -n -w "$1")/kunit_tests/kregion_fastpath.ko"
}

"${1//-/_}" "${@:2}"
