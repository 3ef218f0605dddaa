#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian's packages in two versions, as root of a system that may be changed.
#
# usage: packages-guest.sh life TREE TREE KERNEL VERSION	(where nothing can be loaded)
#	 packages-guest.sh load TREE LEFT			(inside the VM)
#
#	life	installed, built, upgraded, purged; the modules are left in OUT
#	load	the modules that are in LEFT, and the tools
set -uo pipefail
. "$2/kunit_tests/vm/guest-lib.sh"
exec >>"$OUT/log" 2>&1
export DEBIAN_FRONTEND=noninteractive
packages='kregion-dkms kregion-tools kregion-dev'

# Files that are there; dpkg and man have state of their own, and DKMS keeps the
# key with which it signs.
files() {
	find /etc /usr /var ! -path '/var/lib/dpkg/*' ! -path '/var/cache/*' ! -path '/var/log/*' \
		! -name 'mok.*' | sort
}

# dkms_has VERSION: that one, and no other.
dkms_has() {
	dkms status
	[ "$(dkms status | grep -c ^kregion/)" = 1 ] &&
		dkms status | grep -q "^kregion/$1, $release.*installed" &&
		[ -e "/usr/src/kregion-$1" ] && [ -e "$symvers" ] &&
		modinfo "/lib/modules/$release/updates/dkms/"kregion{,_trace}.ko*
}

life() {
	local first=$1/out/deb second=$2/out/deb tree=$1 kernel=$3 next=$4 version release symvers f
	release=$(cat "$kernel/release")
	version=$(dpkg-deb -f "$first"/kregion-dkms_*.deb Version)
	symvers=/var/lib/dkms/kregion/kernel-$release-$(uname -m)/Module.symvers
	mkdir -p "/lib/modules/$release"
	ln -s "$kernel/build" "/lib/modules/$release/build"
	depmod "$release"
	files >"$OUT/before"

	dpkg -i "$first"/*.deb
	test_result "the packages are installed" $?
	dkms_has "$version"
	test_result "DKMS has built and installed the modules" $?
	cp -r "$tree/kunit_tests/sample" "$OUT/client"
	make -s -C "$OUT/client" KDIR="/lib/modules/$release/build" KREGION=/usr/include/kregion
	test_result "the sample is built with kregion-dev" $?
	cp -r "/lib/modules/$release/updates" "$OUT/updates"
	krtrace --version && kregion-top --version
	test_result "the programs run" $?
	for f in lib/udev/rules.d/60-kregion-trace.rules share/bash-completion/completions/krtrace \
		share/man/man1/krtrace.1.gz share/man/man4/kregion_trace.4.gz \
		share/man/man7/kregion.7.gz share/man/man8/kregion-top.8.gz; do
		# shellcheck disable=SC2086 # a list of words
		dpkg -L $packages | grep -x "/usr/$f" || break
	done
	test_result "man pages, completion and the rule are there" $?

	dpkg -i "$second"/*.deb
	test_result "the packages are upgraded" $?
	dkms_has "$next" && [ ! -e "/usr/src/kregion-$version" ]
	test_result "the next version has replaced the first" $?
	# shellcheck disable=SC2086 # a list of words
	dpkg --purge $packages kregion-tools-dbgsym
	test_result "the packages are purged" $?
	# DKMS of Debian 13 takes the lists of depmod along with the last module.
	! files | comm -13 "$OUT/before" - | grep .
	test_result "nothing is left" $?
}

# as_user CAPABILITY COMMAND...: as a user who has that one and no other.
as_user() {
	local caps=$1
	shift
	setpriv --reuid 1000 --clear-groups --inh-caps="$caps" --ambient-caps="$caps" --bounding-set="$caps" "$@"
}

load() {
	local first=$1/out/deb left=$2 udevd
	# Quicker than dpkg with its lists, and depmod over all modules of the
	# kernel.
	dpkg-deb -x "$first"/kregion-tools_*.deb /
	mkdir -p "/run/m/lib/modules/$(uname -r)"
	cp -r "$left/updates" "/run/m/lib/modules/$(uname -r)/"
	depmod -b /run/m
	udevd=$(command -v /usr/lib/systemd/systemd-udevd /lib/systemd/systemd-udevd | head -n 1)
	"$udevd" --daemon
	modprobe -d /run/m kregion_trace && udevadm settle && [ "$(stat -c %a /dev/kregion_trace)" = 666 ]
	test_result "modprobe loads the tracer, and the rule opens its device" $?
	cd /tmp && chmod 1777 . && as_user -all,+perfmon krtrace record -o perfmon.krt -- true &&
		krtrace report perfmon.krt
	test_result "CAP_PERFMON suffices for krtrace" $?
	! as_user -all krtrace record -o none.krt -- true
	test_result "without it krtrace is refused" $?
	kregion-top --once
	test_result "kregion-top shows regions" $?
	insmod "$left/client/kregion_json.ko" && echo '[1, 2]' >/sys/kernel/debug/kregion_json &&
		grep 2 /sys/kernel/debug/kregion_json && rmmod kregion_json
	test_result "the sample is loaded" $?
	rmmod kregion_trace kregion
	clean_log
}

"$@"
! grep -q '^not ok' "$OUT/ktap"
