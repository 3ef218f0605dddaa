#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The ways to install kregion, into folders of their own.
#
# usage: install.sh dkms KERNEL...
#	install.sh install|sample KERNEL
#	install.sh man|completion
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"
[ $# -ge 1 ] || usage_error "usage: install.sh dkms|install|sample|man|completion [KERNEL]..."
place=$(mktemp -d)
at_exit rm -r "$place"
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")

# client KERNEL HEADERS SYMVERS: README's client builds with nothing but these.
client() {
	rm -rf "$place/client"
	mkdir "$place/client"
	awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$TOP/README.md" >"$place/client/client.c"
	diff -u "$TOP/kunit_tests/sample/client.c" "$place/client/client.c"
	printf 'obj-m := client.o\nccflags-y := -I%s\n' "$2" >"$place/client/Kbuild"
	make -s -C "$1/build" M="$place/client" KBUILD_EXTRA_SYMBOLS="$3" modules
	[ -e "$place/client/client.ko" ]
}

# dkms_build RELEASE BUILD-FOLDER: of the tree in $place/source.
dkms_build() {
	command dkms build -m kregion -v "$version" -k "$1" --kernelsourcedir "$2" \
		--sourcetree "$place/source" --dkmstree "$place/tree" --installtree "$place/lib"
}

# DKMS builds the two modules that it installs and nothing else, so that a
# benchmark that does not compile is in nobody's way; leaves the symbols of each
# kernel; and refuses kernels that are too old.
dkms() {
	local name kernel release built left refused source=$place/source/kregion-$version
	mkdir -p "$place/tree"
	copy_tree "$source"
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

# What modinfo and the programs say.
described() {
	local module field
	for module in "$1"/lib/modules/*/updates/kregion/*.ko; do
		for field in description author license; do
			[ -n "$(modinfo -F "$field" "$module")" ]
		done
		[ "$(modinfo -F version "$module")" = "$version" ]
		# Each parameter has a description.
		! modinfo -F parm "$module" | grep -v ':.*\w.*(' || return 1
		! readelf -S "$module" | grep '\.debug_' || return 1
	done
	[ "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$TOP/debian/changelog")" = "$version" ]
	[ "$("$1/usr/bin/krtrace" --version)" = "krtrace $version" ]
	[ "$("$1/usr/bin/kregion-top" --version)" = "kregion-top $version" ]
}

# README's client, out of the tree, from nothing but what make install leaves;
# and make uninstall leaves nothing of that.
install() {
	local kernel root=$place/root
	kernel=$("$VM/kernels.py" "$1")
	copy_tree "$place/built"
	# What every system has.
	mkdir -p "$root"/usr/{bin,include,lib/udev/rules.d,share/bash-completion/completions} \
		"$root"/usr/share/man/man{1,4,7,8} "$root/lib/modules/$(cat "$kernel/release")"
	find "$root" | sort >"$place/before"
	make -s -C "$place/built" KDIR="$kernel/build" KARGS="W=1" DESTDIR="$root" install
	described "$root"
	client "$kernel" "$root/usr/include/kregion" "$root/usr/include/kregion/Module.symvers"
	cp -r "$root" "$place/bare"
	make -s -C "$place/built" KDIR="$kernel/build" DESTDIR="$place/bare" uninstall
	find "$place/bare" | sed "s:^$place/bare:$root:" | sort | diff "$place/before" -
}

# build_sample WAY KERNEL KREGION.KO [MAKE-ARG]...: a copy of the sample; the
# modules stay in the cache, for the VM to load.
build_sample() {
	local way=$1 build=$2/build module=$3
	shift 3
	mkdir -p "$left/$way"
	[ -d "$place/$way" ] || cp -r "$TOP/kunit_tests/sample" "$place/$way"
	make -s -C "$place/$way" KDIR="$build" "$@"
	cp "$module" "$place/$way/client.ko" "$left/$way/"
}

# The sample builds against each of the places that kregion may be in.
sample() {
	local kernel release left=$WORK/sample-$1
	kernel=$("$VM/kernels.py" "$1")
	release=$(cat "$kernel/release")
	rm -rf "$left"

	# A tree in which make was run, named, and found from its own place in
	# it.
	copy_tree "$place/clone"
	make -s -j"$(nproc)" -C "$place/clone" KDIR="$kernel/build"
	build_sample named "$kernel" "$place/clone/kmod/kregion.ko" KREGION="$place/clone"
	ln -s clone/kunit_tests/sample "$place/found"
	build_sample found "$kernel" "$place/clone/kmod/kregion.ko"

	make -s -C "$place/clone" KDIR="$kernel/build" DESTDIR="$place/root" install
	build_sample installed "$kernel" "$place/root/lib/modules/$release/updates/kregion/kregion.ko" \
		KREGION="$place/root/usr/include/kregion"

	# DKMS, whose version is the last word of the folder's name.
	mkdir -p "$place/tree"
	copy_tree "$place/source/kregion-$version"
	dkms_build "$release" "$kernel/build"
	build_sample dkms "$kernel" "$(echo "$place/tree/kregion/$version/$release"/*/module/kregion.ko*)" \
		KREGION="$place/tree/kregion/$version"

	# Nowhere: it says so.
	if make -s -C "$place/named" KDIR="$kernel/build" KREGION=/nowhere 2>"$place/said"; then
		return 1
	fi
	grep "no kregion for $release in '/nowhere'" "$place/said"
}

# man itself has nothing to say about the pages, and each option of --help is
# there.
man() {
	local page program option
	for page in "$TOP"/Documentation/man/*; do
		LC_ALL=C.UTF-8 MANWIDTH=80 command man --warnings -E UTF-8 -l -Tutf8 -Z "$page" >/dev/null
	done 2>"$place/warnings"
	cat "$place/warnings"
	[ ! -s "$place/warnings" ]
	make -s -C "$TOP/userspace_demo"
	for program in krtrace:1 kregion-top:8; do
		page=$TOP/Documentation/man/${program%:*}.${program#*:}
		for option in $("$TOP/userspace_demo/${program%:*}" --help | grep -o -e '--[a-z]\+' | sort -u); do
			grep -q "Fl ${option#--}\>" "$page" || { echo "no $option in $page"; return 1; }
		done
	done
}

# completes WORD...: what bash offers for the last word.
completes() {
	local COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=() function
	# shellcheck source=/dev/null # another shell's file
	. "$TOP/userspace_demo/completions/$1"
	function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
	"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
}

# expect TEXT WORD...
expect() {
	local want=$1 got
	shift
	got=$(completes "$@")
	[ "$got" = "$want" ] || { echo "$*: '$got', not '$want'"; return 1; }
}

completion() {
	local program option
	cd "$place"
	touch a.krt b.krt
	expect "record report" krtrace re
	expect --budget krtrace record --b
	expect "a.krt b.krt" krtrace report ''
	expect a.krt krtrace convert --chrome --output a
	expect --tsv krtrace report --t
	expect '' krtrace record --budget ''
	expect held kregion-top --sort h
	expect b.krt kregion-top -f b
	expect --json kregion-top --once --j
	# Each option of --help is known.
	make -s -C "$TOP/userspace_demo"
	for program in krtrace kregion-top; do
		for option in $("$TOP/userspace_demo/$program" --help | grep -o -e '--[a-z]\+' | sort -u); do
			grep -q -e "$option\>" "$TOP/userspace_demo/completions/$program" ||
				{ echo "no $option for $program"; return 1; }
		done
	done
}

"$@"
