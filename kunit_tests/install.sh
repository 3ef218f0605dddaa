#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The ways to install kregion, into folders of their own.
#
# usage: install.sh dkms KERNEL...
#	install.sh install KERNEL
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
[ $# -ge 2 ] || usage_error "usage: install.sh dkms|install KERNEL..."
place=$(mktemp -d)
at_exit rm -r "$place"
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")

# copy FOLDER: the tree as a clone has it.
copy() {
	mkdir -p "$1"
	rsync -a --exclude=.git --filter=':- .gitignore' "$TOP/" "$1/"
}

# client KERNEL HEADERS SYMVERS: README's client builds with nothing but these.
client() {
	rm -rf "$place/client"
	mkdir "$place/client"
	awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$TOP/README.md" >"$place/client/client.c"
	diff -u "$TOP/kunit_tests/client.c" "$place/client/client.c"
	printf 'obj-m := client.o\nccflags-y := -I%s\n' "$2" >"$place/client/Kbuild"
	make -s -C "$1/build" M="$place/client" KBUILD_EXTRA_SYMBOLS="$3" modules
	[ -e "$place/client/client.ko" ]
}

dkms_build() {
	command dkms build -m kregion -v "$version" -k "$1" --kernelsourcedir "$2" \
		--sourcetree "$place/source" --dkmstree "$place/tree" --installtree "$place/lib"
}

# DKMS builds the two modules that it installs and nothing else, so that a benchmark that
# does not compile is in nobody's way; leaves the symbols of each kernel; and refuses
# kernels that are too old.
dkms() {
	local name kernel release built left refused source=$place/source/kregion-$version
	mkdir -p "$place/tree"
	copy "$source"
	echo '#error broken' >>"$source/kunit_tests/bench/bench.c"
	for name; do
		kernel=$("$VM/kernels.py" "$name")
		release=$(cat "$kernel/release")
		dkms_build "$release" "$kernel/build" || {
			cat "$place/tree/kregion/$version/build/make.log"
			return 1
		}
		left=$(echo "$place/tree/kregion/$version/$release"/*)
		built=$(sed -n 's/.*LD \[M\] .*[ /]\(.*\.ko\)$/\1/p' "$left/log/make.log" | sort)
		echo "built: $built"
		[ "$built" = $'kregion.ko\nkregion_trace.ko' ]
		client "$kernel" "$source/kmod/include" "$left/Module.symvers"
	done
	for release in 5.10.0-1-amd64 6.0.1; do
		if refused=$(dkms_build "$release" "$kernel/build" 2>&1); then return 1; fi
		grep BUILD_EXCLUSIVE <<<"$refused"
	done
}

# README's client, out of the tree, from nothing but what make install leaves.
install() {
	local kernel
	kernel=$("$VM/kernels.py" "$1")
	copy "$place/built"
	make -s -C "$place/built" KDIR="$kernel/build" KARGS="W=1" DESTDIR="$place/root" install
	client "$kernel" "$place/root/usr/include/kregion" "$place/root/usr/include/kregion/Module.symvers"
	"$place/root/usr/bin/krtrace" --version
	"$place/root/usr/bin/kregion-top" --version
}

"$@"
