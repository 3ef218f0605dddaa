#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install the Debian packages that building, the VM and the tests need. This is
# the one list; README, Makefile and CI use this script.
#
# usage: deps.sh [build|vm|test|deb|docs|kernels|newcomer|bench|coverage]...	(default: the first five)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- build vm test deb docs
want=
for set in "$@"; do
	case $set in
	build) # the modules and the programs
		want="$want gcc gcc-12 make libc6-dev libelf-dev libncurses-dev pkg-config kmod dwarves" ;;
	vm) # a stock kernel, booted
		want="$want qemu-system-x86 busybox-static cpio xz-utils python3 rsync" ;;
	test) # the KUnit kernel and all checks
		want="$want clang-19 lld-19 llvm-19 libclang-rt-19-dev gcc-12-multilib flex bison bc libssl-dev perl
			sparse coccinelle semodule-utils libpython3-dev codespell shellcheck dkms udev man-db lintian spin" ;;
	deb) # packages of Debian
		want="$want build-essential debhelper dh-dkms libncurses-dev pkg-config rsync" ;;
	docs) # the documentation
		want="$want python3-sphinx graphviz perl xz-utils" ;;
	kernels) # those of other machines; gcc-14 is of Debian 13
		want="$want gcc-14 dpkg-dev qemu-user qemu-system-arm qemu-system-s390x|qemu-system-misc
			gcc-aarch64-linux-gnu gcc-s390x-linux-gnu gcc-i686-linux-gnu
			libc6-dev-arm64-cross libc6-dev-s390x-cross libc6-dev-i386-cross" ;;
	newcomer) # bare systems of Debian
		want="$want mmdebstrap git" ;;
	coverage) # what gcov counted
		want="$want gcovr" ;;
	bench) # allocators of programs, to compare with
		want="$want libjemalloc2 libmimalloc3|libmimalloc2.0" ;;
	*) usage_error "unknown set of packages '$set' (build, vm, test, deb, docs, kernels, newcomer, bench, coverage)" ;;
	esac
done

# a|b is the first one that the release has.
missing=
# shellcheck disable=SC2086 # a list of words
for p in $want; do
	dpkg-query -W -f '${db:Status-Status}\n' ${p//|/ } 2>/dev/null | grep -qx installed ||
		missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || die "not root and no sudo; please install:$missing"
	as_root=sudo
fi
echo "Installing Debian packages:$missing" >&2
mkdir -p "$CACHE"
quiet "$CACHE/apt.log" $as_root apt-get update -q
chosen=
for p in $missing; do
	for q in ${p//|/ }; do
		[ -z "$(apt-cache policy "$q")" ] || break
	done
	chosen="$chosen $q"
done
# shellcheck disable=SC2086 # a list of words
quiet "$CACHE/apt.log" $as_root env DEBIAN_FRONTEND=noninteractive \
	apt-get install -q -y --no-install-recommends $chosen
