#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian's packages: lintian; installed, used, upgraded and purged on top of
# this machine's root, which stays as it is; and loaded in a VM. Results are in
# OUT.
#
# usage: packages.sh OUT KERNEL
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
[ $# = 2 ] || usage_error "usage: packages.sh OUT KERNEL"
out=$1 kernel=$("$VM/kernels.py" "$2")
# Where the VM sees it: on the disk, not in /tmp.
place=$WORK/packages
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root rm -rf "$place" "$out"
mkdir -p "$place/life" "$out"

# packages FOLDER: of the tree in it.
packages() {
	make -s -C "$1" deb >"$1.log" 2>&1 || { cat "$1.log"; return 1; }
}

copy_tree "$place/first"
cp -r "$place/first" "$place/second"
next=$(dpkg-parsechangelog -l "$place/first/debian/changelog" -S Version).1
{
	printf 'kregion (%s) unstable; urgency=medium\n\n  * The next version.\n\n' "$next"
	printf ' -- %s  %s\n\n' "$(sed -n 's/^Maintainer: //p' "$TOP/debian/control")" "$(date -R)"
	cat "$place/first/debian/changelog"
} >"$place/second/debian/changelog"
packages "$place/first"
packages "$place/second"
lintian --fail-on error,warning --allow-root "$place"/first/out/deb/*.changes

# A root over this one whose changes are in memory, gone with the namespace.
cat >"$place/enter" <<'E2'
set -e
cache=$1
shift
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mount -t tmpfs tmpfs /mnt/root/tmp
# No kernels but the one of the check.
mkdir -p /mnt/root/lib/modules
mount -t tmpfs tmpfs /mnt/root/lib/modules
mkdir -p "/mnt/root$cache"
mount --bind "$cache" "/mnt/root$cache"
exec chroot /mnt/root env OUT="$OUT" bash "$@"
E2
guest=$place/first/kunit_tests/vm/packages-guest.sh
rc=0
stage "packages: installing, upgrading, purging"
foreground $as_root env OUT="$place/life" "${namespaces[@]}" bash "$place/enter" "$CACHE" \
	"$guest" life "$place/first" "$place/second" "$kernel" "$next" || rc=$?
cp "$place/life/log" "$out/life.log"
cat "$place/life/ktap"
[ "$rc" = 0 ] || { tail -n 60 "$out/life.log"; exit "$rc"; }
stage "packages: booting $2"
foreground "$VM/run.sh" -s "$kernel" "$out" "$guest" load "$place/first" "$place/life" || rc=$?
cat "$out/ktap"
[ "$rc" = 0 ] || tail -n 60 "$out/log"
exit "$rc"
