# SPDX-License-Identifier: GPL-2.0
# Sourced by the other scripts: where things are, how they report.
# shellcheck shell=bash

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VM=$TOP/kunit_tests/vm
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kregion
export TOP VM CACHE

# A line a stage, with the time since the first one.
stage() {
	printf '[%4ds] %s\n' "$((SECONDS))" "$*" >&2
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

usage_error() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 2
}

# quiet LOG COMMAND...: run it, show its output only if it fails.
quiet() {
	local log=$1
	shift
	if ! "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		printf 'the whole log is in %s\n' "$log" >&2
		return 1
	fi
}

# kernel_for NAME: sets KERNEL, the folder of the kernel that kernels.sh calls so.
kernel_for() {
	[ "${KERNEL_NAME-}" = "$1" ] || KERNEL=$("$VM/kernels.sh" "$1") || return 1
	KERNEL_NAME=$1
}

# build_for NAME [MAKE-ARG]...: a copy of the tree, built against kernel NAME (as
# kernels.sh calls it), so that the tree itself stays as it is. Sets KERNEL, and BUILT,
# the copy's folder; warnings go to BUILT.log. STOCK_ARGS are for Debian's kernels.
build_for() {
	local name=$1 place
	shift
	kernel_for "$name" || return 1
	# shellcheck disable=SC2086 # a list of words
	[ "${name#stock-}" = "$name" ] || set -- ${STOCK_ARGS-} "$@"
	place=$(echo "$TOP" | sha256sum | cut -c1-12)
	BUILT=$CACHE/work-$place/${BUILD_TAG:-$name${STOCK_ARGS:+-strict}}
	mkdir -p "$BUILT"
	rsync -a --delete --exclude=.git --filter=':- .gitignore' "$TOP/" "$BUILT/"
	# shellcheck disable=SC2046 # a list of words
	make -s -j"$(nproc)" -C "$KERNEL/build" M="$BUILT" $(cat "$KERNEL/make.args") "$@" modules \
		>"$BUILT.log" 2>&1 || { cat "$BUILT.log" >&2; return 1; }
}
