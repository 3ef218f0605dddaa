#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build a copy of the tree, so that the tree itself stays as it is, and print
# the copy's folder. What the build says is left in FOLDER.log.
#
# usage: build.sh [-n] [-p] [-w] [-t TAG] KERNEL [MAKE-ARG]...
#
#	KERNEL	a name of the table "kernels"
#	-n	nothing is built, only the folder printed
#	-p	the programs, too
#	-w	warnings of gcc with W=1, and of sparse, are errors
#	-t	a copy of its own
set -euo pipefail
. "$(dirname "$0")/lib.sh"

nothing='' programs='' strict='' tag=''
while getopts npwt: o; do
	case $o in
	n) nothing=1 ;;
	p) programs=1 ;;
	w) strict=-strict ;;
	t) tag=-$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage_error "usage: build.sh [-n] [-p] [-w] [-t TAG] KERNEL [MAKE-ARG]..."
name=$1
shift
built=$WORK/$name$strict$tag
echo "$built"
[ -z "$nothing" ] || exit 0

kernel=$("$VM/kernels.py" "$name")
# Two checks may want the same copy.
mkdir -p "$WORK"
exec 9>"$built.lock"
flock 9
copy_tree "$built" --delete
[ -z "$strict" ] || set -- W=1 C=2 CF=-Wsparse-error "$@"
# shellcheck disable=SC2046 # a list of words
foreground make -s -j"$(nproc)" -C "$kernel/build" M="$built" KREGION_TESTS=m \
	$(cat "$kernel/make.args") "$@" modules >"$built.log" 2>&1 || { cat "$built.log" >&2; exit 1; }
arch=$(cat "$kernel/arch")
if [ -n "$programs" ] && [ "$arch" = "$(dpkg --print-architecture)" ]; then
	make -s -C "$built/userspace_demo"
elif [ -n "$programs" ]; then
	gnu=$(CC=true dpkg-architecture -a"$arch" -qDEB_HOST_GNU_TYPE)
	make -s -C "$built/userspace_demo" krtrace LDFLAGS=-static CC="$gnu-gcc"
fi
[ -n "$strict" ] || exit 0
# The kernel's own chatter is no warning, nor is what modpost says where there
# is no vmlinux to find symbols in. Headers of 7.x lack the script that finds
# sparse.
if grep -v -e '^Skipping BTF' -e 'You are using: *gcc' -e 'compiler differs' \
	-e 'checker-valid.sh: not found' -e 'C=2 specified, but' \
	-e 'The kernel was built by' -e 'You are using:' -e 'Module.symvers.* is missing' \
	-e 'modpost: .* undefined!' -e 'modpost: suppressed' -e '^  ' "$built.log" >&2; then
	exit 1
fi
