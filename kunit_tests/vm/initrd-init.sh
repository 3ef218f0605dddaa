#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# First program in the VM: mount the guest's root and a tmpfs over it, go on there.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r m; do
	insmod "/modules/$m"
done </modules/order
# shellcheck disable=SC2013 # words are what is wanted
for w in $(cat /proc/cmdline); do
	case $w in
	vm.init=*) init=${w#*=} ;;
	vm.host=*) host=${w#*=} ;;
	vm.direct) direct=1 ;;
	esac
done
over9p=trans=virtio,version=9p2000.L,msize=512000

# The quick way: no more than busybox and the folder for results.
if [ -n "${direct-}" ]; then
	/bin/busybox --install -s /bin
	mkdir -p /run/out /tmp
	mount -t debugfs debugfs /sys/kernel/debug
	mount -t 9p -o $over9p,cache=mmap out /run/out
	cat /dev/kmsg >/run/out/kmsg &
	export OUT=/run/out
	until [ -e /run/out/go ]; do sleep 0.1; done
	sh /run/out/command </dev/null
	echo $? >/run/out/status
	reboot -f
fi

mount -t 9p -o ro,$over9p,cache=loose root /ro || poweroff -f
mount -t tmpfs -o mode=755,size=50% rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /new || poweroff -f
# A root of another architecture has the folders of this tree from the host's.
if [ -n "${host-}" ]; then
	mkdir /host
	mount -t 9p -o ro,$over9p,cache=loose host /host || poweroff -f
	for f in ${host%:*} ${host#*:}; do
		mkdir -p "/new$f"
		mount -o bind "/host$f" "/new$f"
	done
fi
for f in proc sys dev; do
	mount -o move /$f /new/$f
done
exec switch_root /new /bin/bash "$init"
