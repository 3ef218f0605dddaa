#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build README's client out of the tree, from nothing but what make install leaves.
set -euo pipefail
. "$(dirname "$0")/vm/lib.sh"

build_for stock-6.12
dest=$(mktemp -d)
trap 'rm -r "$dest"' EXIT
# With the arguments that it was built with, so that nothing is built anew.
make -s -C "$BUILT" KDIR="$KERNEL/build" KARGS="$(cat "$KERNEL/make.args") ${STOCK_ARGS-}" \
	DESTDIR="$dest/root" install

mkdir "$dest/client"
awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$TOP/README.md" >"$dest/client/client.c"
diff -u "$TOP/kunit_tests/client.c" "$dest/client/client.c"
installed=$dest/root/usr/include/kregion
printf 'obj-m := client.o\nccflags-y := -I%s\n' "$installed" >"$dest/client/Kbuild"
make -s -C "$KERNEL/build" M="$dest/client" KBUILD_EXTRA_SYMBOLS="$installed/Module.symvers" modules
[ -e "$dest/client/client.ko" ]
"$dest/root/usr/bin/krtrace" --version
"$dest/root/usr/bin/kregion-top" --version
