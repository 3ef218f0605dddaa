#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the sample against each of the places that kregion may be in. The
# modules stay in the cache, for the VM to load.
#
# usage: sample.sh KERNEL
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
[ $# = 1 ] || usage_error "usage: sample.sh KERNEL"
kernel=$("$VM/kernels.py" "$1")
release=$(cat "$kernel/release")
left=$WORK/sample-$1
place=$(mktemp -d)
at_exit rm -r "$place"
rm -rf "$left"

# sample WAY KREGION.KO [MAKE-ARG]...: a copy of the sample, built.
sample() {
	local way=$1 module=$2
	shift 2
	mkdir -p "$left/$way"
	[ -d "$place/$way" ] || cp -r "$TOP/kunit_tests/sample" "$place/$way"
	make -s -C "$place/$way" KDIR="$kernel/build" "$@"
	cp "$module" "$place/$way/client.ko" "$left/$way/"
}

# A tree in which make was run, named, and found from its own place in it.
rsync -a --exclude=.git --filter=':- .gitignore' "$TOP/" "$place/tree/"
make -s -j"$(nproc)" -C "$place/tree" KDIR="$kernel/build"
sample named "$place/tree/kmod/kregion.ko" KREGION="$place/tree"
ln -s tree/kunit_tests/sample "$place/found"
sample found "$place/tree/kmod/kregion.ko"

make -s -C "$place/tree" KDIR="$kernel/build" DESTDIR="$place/root" install
sample installed "$place/root/lib/modules/$release/updates/kregion/kregion.ko" \
	KREGION="$place/root/usr/include/kregion"

# DKMS, whose version is the last word of the folder's name.
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")
mkdir -p "$place/source" "$place/dkms-tree"
rsync -a --exclude=.git --filter=':- .gitignore' "$TOP/" "$place/source/kregion-$version/"
dkms build -m kregion -v "$version" -k "$release" --kernelsourcedir "$kernel/build" \
	--sourcetree "$place/source" --dkmstree "$place/dkms-tree" --installtree "$place/lib"
sample dkms "$(echo "$place/dkms-tree/kregion/$version/$release"/*/module/kregion.ko*)" \
	KREGION="$place/dkms-tree/kregion/$version"

# Nowhere: it says so.
if make -s -C "$place/named" KDIR="$kernel/build" KREGION=/nowhere 2>"$place/said"; then exit 1; fi
grep "no kregion for $release in '/nowhere'" "$place/said"
