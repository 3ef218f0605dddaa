#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Put a kernel into the cache and print its folder. Nothing is installed on this
# machine: packages are downloaded and unpacked.
#
# usage: kernels.sh stock-6.12 | stock-6.1 | kunit | source | i386 | uml
#
# The folder of a kernel holds: kernel (what QEMU boots), initrd.gz, build (what
# modules are built against: KDIR), root (with lib/modules; stock only), make.args
# (arguments that a module build needs) and release.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# The version that apt would install for a package.
candidate() {
	apt-cache policy "$1" | awk '/Candidate:/ { print $2; exit }'
}

# fetch DIR PACKAGE...: download and unpack the packages into DIR.
fetch() {
	local dir=$1 debs
	shift
	debs=$(mktemp -d "$CACHE/debs.XXXXXX")
	(cd "$debs" && quiet "$CACHE/download.log" apt-get -o APT::Sandbox::User=root download "$@")
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	rm -r "$debs"
}

# The initrd mounts the host's files read-only and goes on with guest-init.sh there.
make_initrd() {
	local dir=$1 release=$2 tmp key
	key=$(sha256sum <"$VM/initrd-init.sh")
	[ "$(cat "$dir/initrd.key" 2>/dev/null)" != "$key" ] || return 0
	tmp=$(mktemp -d "$CACHE/initrd.XXXXXX")
	mkdir -p "$tmp"/{bin,proc,sys,dev,ro,rw,new,modules}
	cp /bin/busybox "$tmp/bin/"
	for a in sh mount insmod mkdir switch_root cat poweroff; do
		ln -s busybox "$tmp/bin/$a"
	done
	cp "$VM/initrd-init.sh" "$tmp/init"
	: >"$tmp/modules/order"
	if [ -d "$dir/root/lib/modules" ]; then
		for m in virtio_pci 9pnet_virtio 9p overlay; do
			/sbin/modprobe -d "$dir/root" -S "$release" --show-depends "$m" 2>/dev/null || :
		done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r f; do
			b=$(basename "${f%.xz}")
			case $f in
			*.xz) xz -dc "$f" >"$tmp/modules/$b" ;;
			*) cp "$f" "$tmp/modules/$b" ;;
			esac
			echo "$b" >>"$tmp/modules/order"
		done
	fi
	(cd "$tmp" && find . | cpio -o -H newc --quiet) | gzip -1 >"$dir/initrd.gz"
	rm -r "$tmp"
	echo "$key" >"$dir/initrd.key"
}

# finish TMP DIR: a folder becomes visible only when it is whole.
finish() {
	[ -d "$2" ] && rm -r "$2"
	mv "$1" "$2"
}

stock() {
	local series=$1 meta image release kbuild dir tmp h
	case $series in
	6.12) meta=linux-image-6.12-amd64 ;;
	6.1) meta=linux-image-amd64 ;;
	esac
	image=$(apt-cache depends "$meta" | awk '/Depends:/ { print $2; exit }')
	[ -n "$image" ] || die "no package $meta; try apt-get update, with bookworm-security among the sources"
	release=${image#linux-image-}
	dir=$CACHE/stock-$release-$(candidate "$image")
	if [ ! -e "$dir/release" ]; then
		stage "fetching Debian's kernel $release"
		tmp=$(mktemp -d "$CACHE/stock.XXXXXX")
		kbuild=linux-kbuild-${release%-amd64}
		[ "$series" = 6.1 ] && kbuild=linux-kbuild-6.1
		fetch "$tmp/root" "$image" "linux-headers-$release" \
			"linux-headers-${release%-amd64}-common" "$kbuild"
		# The headers name each other by absolute path.
		h=usr/src/linux-headers
		echo "include $dir/root/$h-${release%-amd64}-common/Makefile" \
			>"$tmp/root/$h-$release/Makefile"
		ln -s "root/$h-$release" "$tmp/build"
		rm "$tmp/root/lib/modules/$release/"{build,source}
		/sbin/depmod -b "$tmp/root" "$release"
		cp "$tmp/root/boot/vmlinuz-$release" "$tmp/kernel"
		echo "$release" >"$tmp/release"
		: >"$tmp/make.args"
		finish "$tmp" "$dir"
	fi
	make_initrd "$dir" "$release"
	echo "$dir"
}

# Debian's 6.12 source, unpacked: for building kernels, and for its scripts.
source_tree() {
	local version dir tmp
	version=$(candidate linux-source-6.12)
	case $version in
	'' | '(none)') die "no package linux-source-6.12; try apt-get update" ;;
	esac
	dir=$CACHE/source-$version
	exec 8>"$CACHE/lock-tree"
	flock 8
	if [ ! -d "$dir" ]; then
		stage "fetching the source of Linux 6.12"
		tmp=$(mktemp -d "$CACHE/source.XXXXXX")
		fetch "$tmp" linux-source-6.12
		tar -C "$tmp" -xf "$tmp/usr/src/linux-source-6.12.tar.xz"
		mv "$tmp/linux-source-6.12" "$tmp/tree"
		rm -r "${tmp:?}/usr"
		finish "$tmp" "$dir"
	fi
	exec 8>&-
	echo "$dir/tree"
}

# merge OUT FRAGMENT MAKE-ARGS...: tinyconfig, the fragment over it, nothing lost.
merge_config() {
	local out=$1 fragment=$2 line name
	shift 2
	make -s "$@" O="$out" tinyconfig >/dev/null
	while read -r name; do
		sed -i "/^$name=/d; /^# $name is not set/d" "$out/.config"
	done < <(sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=.*/\1/p' "$fragment")
	cat "$fragment" >>"$out/.config"
	make -s "$@" O="$out" olddefconfig
	grep '^CONFIG_' "$fragment" | while read -r line; do
		name=${line%%=*}
		if [ "${line#*=}" = n ]; then
			! grep -q "^$name=" "$out/.config" || die "$fragment: $name is on all the same"
		else
			grep -qxF "$line" "$out/.config" || die "$fragment: $line did not survive"
		fi
	done
}

# build_kernel NAME FRAGMENT TARGETS MAKE-ARGS...
build_kernel() {
	local name=$1 fragment=$2 targets=$3 src key dir tmp
	shift 3
	src=$(source_tree)
	key=$({ cat "$fragment"; echo "$src" "$@"; gcc --version; clang-19 --version; } |
		sha256sum | cut -c1-12)
	dir=$CACHE/$name-$key
	if [ ! -e "$dir/release" ]; then
		# A kernel's build folder holds its own path: build in place, mark when done.
		stage "building the $name kernel (some minutes, once)"
		rm -rf "$dir"
		mkdir -p "$dir/build"
		merge_config "$dir/build" "$fragment" -C "$src" "$@"
		# shellcheck disable=SC2086 # a list of words
		quiet "$CACHE/$name.log" make -s -C "$src" O="$dir/build" -j"$(($(nproc) + 1))" "$@" $targets
		find "$dir/build" -name '*.o' ! -path '*/scripts/*' ! -path '*/tools/*' -delete
		[ ! -e "$dir/build/vmlinux" ] || ln -s build/vmlinux "$dir/kernel"
		echo "$@" >"$dir/make.args"
		make -s -C "$src" O="$dir/build" "$@" kernelrelease >"$dir/release.new"
		mv "$dir/release.new" "$dir/release"
	fi
	make_initrd "$dir" "$(cat "$dir/release")"
	echo "$dir"
}

mkdir -p "$CACHE"
exec 9>"$CACHE/lock-${1-}"
flock 9

case ${1-} in
stock-6.12 | stock-6.1) stock "${1#stock-}" ;;
source) source_tree ;;
# gcc leaves memset() and memcpy() unchecked by KASAN on 6.12; clang does not.
kunit) build_kernel kunit "$VM/kunit.config" "vmlinux modules" LLVM=-19 ;;
# Never booted: what the modules are built against for 32 bits.
i386) build_kernel i386 "$VM/i386.config" "modules_prepare" ARCH=i386 ;;
# A program of this machine, of the machine's own word size: see bench/uml.sh.
uml) build_kernel uml "$VM/uml.config" "vmlinux modules" ARCH=um ;;
*) usage_error "usage: kernels.sh stock-6.12 | stock-6.1 | kunit | source | i386 | uml" ;;
esac
