#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a newcomer meets: a bare system of a Debian release, made here and now,
# with git, make and certificates beside the minimum; the tree is cloned there,
# and targets of make run. Only the cache outlives it. Needs root.
#
# usage: newcomer.sh [-u USER] [-w PACKAGE] SUITE [VARIABLE=VALUE]... TARGET...
#
#	-u	root, or any other name: a user who has sudo (default: both, one after the other)
#	-w	a package that deps.sh shall forget, to see that its absence is found
#	SUITE	bookworm, trixie
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"

users='root newcomer' without=
while getopts u:w: o; do
	case $o in
	u) users=$OPTARG ;;
	w) without=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || usage_error "usage: newcomer.sh [-u USER] [-w PACKAGE] SUITE [VARIABLE=VALUE]... TARGET..."
suite=$1
shift
[ "$(id -u)" = 0 ] || die "a bare system is made by root"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/newcomer.XXXXXX")
at_exit rm -rf --one-file-system "$work"
stage "$suite: making a bare system"
"$VM/kernels.py" sources "$suite" >"$work/sources.list"
apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$work/apt.conf" || :
quiet "$work/mmdebstrap.log" mmdebstrap --variant=minbase --include=git,make,ca-certificates,sudo \
	--aptopt="$work/apt.conf" "$suite" "$work/base.tar" "$work/sources.list"

# Inside namespaces of its own, which take mounts and programs along when they
# end.
cat >"$work/enter" <<'EOF2'
set -e
root=$1 user=$2 cache=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
home=/root
[ "$user" = root ] || home=/home/$user
mkdir -p "$root$home/.cache/kregion"
mount --bind "$cache" "$root$home/.cache/kregion"
exec chroot "$root" su - "$user" -c "cd kregion && export CI=${CI-} && for t in $*; do
	case \$t in
	*=*) export \$t ;;
	*) make \$t || exit ;;
	esac
done"
EOF2

for user in $users; do
	root=$work/$user
	cache=$CACHE/newcomer/$suite-$user
	mkdir -p "$root" "$cache"
	tar -C "$root" -xf "$work/base.tar"
	# sudo looks for the name of the host.
	echo "127.0.1.1 $(hostname)" >>"$root/etc/hosts"
	home=$root/root
	if [ "$user" != root ]; then
		chroot "$root" useradd -m -s /bin/bash "$user"
		echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/newcomer"
		home=$root/home/$user
	fi
	git clone -q --no-hardlinks "$TOP" "$home/kregion"
	[ -z "$without" ] || sed -i "s/\<$without\>//" "$home/kregion/kunit_tests/vm/deps.sh"
	chown -R --reference="$home" "$home/kregion" "$cache"
	stage "$suite: $user runs make $*"
	rc=0
	foreground "${namespaces[@]}" bash "$work/enter" "$root" "$user" "$cache" "$@" || rc=$?
	for f in check demo; do
		[ ! -d "$home/kregion/out/$f" ] || {
			mkdir -p "$TOP/out/newcomer/$suite-$user"
			cp -r "$home/kregion/out/$f" "$TOP/out/newcomer/$suite-$user/"
		}
	done
	[ "$rc" = 0 ] || die "$suite: make $* failed for $user"
done
stage "$suite: done"
