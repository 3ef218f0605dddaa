# SPDX-License-Identifier: GPL-2.0
# Sourced by the other scripts: places, messages, and the end of what they
# start.
# shellcheck shell=bash

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
VM=$TOP/kunit_tests/vm
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kregion
# The built copies of this tree.
WORK=$CACHE/work-$(sha256sum <<<"$TOP" | cut -c1-12)
START=${START:-$(date +%s)}
export TOP VM CACHE WORK START
# A user's shell does not look where dkms, depmod and ldconfig are.
PATH=$PATH:/usr/sbin:/sbin
# Builds have jobs of their own, not those of the make that runs the checks.
unset MAKEFLAGS MFLAGS MAKELEVEL

# A line a stage, with the seconds since the first script started.
stage() {
	printf '[%4ds] %s\n' "$(($(date +%s) - START))" "$*" >&2
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

# copy_tree FOLDER [RSYNC-ARG]...: the tree as a clone has it.
copy_tree() {
	mkdir -p "$1"
	rsync -a --exclude=.git --filter=':- .gitignore' "${@:2}" "$TOP/" "$1/"
}

# foreground COMMAND...: wait for it, and end it when a signal ends the script.
child=
foreground() {
	local rc=0
	"$@" &
	child=$!
	wait "$child" || rc=$?
	child=
	return "$rc"
}

# Namespaces for a command, which a signal ends: unshare itself blocks signals
# while it waits, but takes all along when it is killed.
# shellcheck disable=SC2034 # others use it
namespaces=(timeout --foreground -k 1 0 unshare --mount --pid --fork --kill-child)

# at_exit COMMAND...: run it when the script ends, in whichever way, last one
# first.
at_exit_commands=()
at_exit() {
	at_exit_commands=("$(printf '%q ' "$@")" "${at_exit_commands[@]}")
}

finish() {
	local command
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null || :
	for command in "${at_exit_commands[@]}"; do eval "$command"; done
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
