#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The ways to install kregion, into folders of their own.
#
# usage: install.sh dkms|install KERNEL
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
[ $# = 2 ] || usage_error "usage: install.sh dkms|install KERNEL"
kernel=$("$VM/kernels.py" "$2")
place=$(mktemp -d)
at_exit rm -r "$place"

# DKMS builds the two modules that it installs and nothing else, so that a benchmark that
# does not compile is in nobody's way.
dkms() {
	local release built version
	release=$(cat "$kernel/release")
	version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")
	mkdir -p "$place/source" "$place/tree"
	rsync -a --exclude=.git --filter=':- .gitignore' "$TOP/" "$place/source/kregion-$version/"
	echo '#error broken' >>"$place/source/kregion-$version/kunit_tests/bench/bench.c"
	command dkms build -m kregion -v "$version" -k "$release" --kernelsourcedir "$kernel/build" \
		--sourcetree "$place/source" --dkmstree "$place/tree" --installtree "$place/lib" || {
		cat "$place"/tree/kregion/"$version"/build/make.log
		return 1
	}
	built=$(sed -n 's/.*LD \[M\] .*[ /]\(.*\.ko\)$/\1/p' \
		"$place"/tree/kregion/*/"$release"/*/log/make.log | sort)
	echo "built: $built"
	[ "$built" = $'kregion.ko\nkregion_trace.ko' ]
}

# README's client, out of the tree, from nothing but what make install leaves.
install() {
	local built installed=$place/root/usr/include/kregion
	built=$("$VM/build.sh" -n -w "$1")
	make -s -C "$built" KDIR="$kernel/build" KARGS="W=1 C=2 CF=-Wsparse-error" DESTDIR="$place/root" install
	mkdir "$place/client"
	awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$TOP/README.md" >"$place/client/client.c"
	diff -u "$TOP/kunit_tests/client.c" "$place/client/client.c"
	printf 'obj-m := client.o\nccflags-y := -I%s\n' "$installed" >"$place/client/Kbuild"
	make -s -C "$kernel/build" M="$place/client" KBUILD_EXTRA_SYMBOLS="$installed/Module.symvers" modules
	[ -e "$place/client/client.ko" ]
	"$place/root/usr/bin/krtrace" --version
	"$place/root/usr/bin/kregion-top" --version
}

"$@"
