#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# PID 1 on top of the guest's root. What to run, and where results go, is in the
# shared folder; the exit status goes there too, and never through the console.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TERM=${TERM:-dumb}

mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm /run/out
for f in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${f%:*}" "/dev/${f#*:}"; done
ln -s /proc/self/fd /dev/fd
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none out /run/out
cat /dev/kmsg >/run/out/kmsg &

# The kernel's own modules, where modprobe looks for them.
for w in $(</proc/cmdline); do
	case $w in vm.modules=*)
		mkdir -p "/lib/modules/$(uname -r)"
		mount --bind "${w#*=}/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
		;;
	esac
done
ip link set lo up 2>/dev/null
hostname kregion-vm 2>/dev/null

export OUT=/run/out
if [ -e /run/out/interactive ]; then
	tty=/dev/$(cat /sys/class/tty/console/active)
	{ read -r rows columns && read -r TERM; } </run/out/interactive
	export TERM
	stty rows "$rows" cols "$columns" <"$tty"
	setsid --ctty bash /run/out/command <>"$tty" >&0 2>&1
else
	bash /run/out/command </dev/null
fi
status=$?
dmesg >/run/out/dmesg
echo "$status" >/run/out/status
sync
echo o >/proc/sysrq-trigger
sleep 30
