#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run a script in a VM that has a kernel from the cache and sees the files of this
# machine, read-only but for a tmpfs on top and one folder for results.
#
# usage: run.sh [-c CPUS] [-m MEM] [-t SECONDS] [-a KERNEL-ARGS] [-q QEMU-ARGS] [-s]
#		[-i | -d] KERNEL OUT SCRIPT [ARG]...
#
#	KERNEL	a folder made by kernels.sh
#	OUT	a folder for results, $OUT in the script
#	-s	serial: without KVM, one CPU at a time. For what attaches to busy
#		tracepoints: QEMU before 8.1 may go on running code that another CPU has
#		changed, and the kernel then dies of a breakpoint nobody knows
#	-i	interactive: the console is this terminal
#	-d	direct: quick to start, but there is only busybox, no file of this machine
#		but those in OUT, and no ACPI. SCRIPT is a name in OUT and starts when
#		OUT has a file "go", so that it can be made while the kernel boots
#
# Exit status: 0 the script passed, 1 it failed, 3 the VM was lost (it crashed,
# hung or ran out of time): then OUT/console tells.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cpus=2 mem=2G limit=300 append='' extra='' serial='' interactive='' direct=''
while getopts c:m:t:a:q:sid o; do
	case $o in
	c) cpus=$OPTARG ;;
	m) mem=$OPTARG ;;
	t) limit=$OPTARG ;;
	a) append=$OPTARG ;;
	q) extra=$OPTARG ;;
	s) serial=1 ;;
	i) interactive=1 ;;
	d) direct=1 ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 3 ] || usage_error "usage: run.sh [options] KERNEL OUT SCRIPT [ARG]..."
kernel=$1 out=$2
shift 2

mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out/status" "$out/interactive" "$out/go"
[ -z "$interactive" ] || : >"$out/interactive"
{
	if [ -n "$direct" ]; then
		printf 'cd /run/out && exec sh'
	else
		printf 'exec bash'
	fi
	printf ' %q' "$@"
	echo
} >"$out/command"

qemu_pid=
stop() {
	if [ -n "$qemu_pid" ]; then
		kill "$qemu_pid" 2>/dev/null || :
		wait "$qemu_pid" 2>/dev/null || :
	fi
}
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM HUP
trap stop EXIT

# boot ACCEL SECONDS CONSOLE
boot() {
	local accel=$1 seconds=$2 console=$3 cpu=max
	# shellcheck disable=SC2054 # the commas are QEMU's
	local args=(-M q35 -m "$mem" -smp "$cpus" -nodefaults -display none -no-reboot
		-kernel "$kernel/kernel" -initrd "$kernel/initrd.gz"
		-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap
		-device virtio-9p-pci,fsdev=root,mount_tag=root
		-fsdev "local,id=out,path=$out,security_model=none"
		-device virtio-9p-pci,fsdev=out,mount_tag=out)
	local cmdline="console=ttyS0 panic=-1 oops=panic softlockup_panic=1 no_timer_check log_buf_len=8M quiet vm.init=$VM/guest-init.sh"

	[ -z "$direct" ] || cmdline="$cmdline vm.direct acpi=off reboot=t"
	[ ! -d "$kernel/root" ] || cmdline="$cmdline vm.modules=$kernel/root"
	[ "$accel" != kvm ] || cpu=host
	args+=(-accel "$accel" -cpu "$cpu" -append "$cmdline $append")
	if [ -n "$interactive" ]; then
		args+=(-chardev "stdio,id=con,mux=on,signal=off" -serial chardev:con -monitor none)
	else
		args+=(-chardev "file,id=con,path=$console" -serial chardev:con -monitor none)
	fi
	# Without ACPI the kernel learns of the second CPU from what this firmware leaves.
	[ -z "$direct" ] || args+=(-bios qboot.rom)
	# shellcheck disable=SC2206 # a list of words
	args+=($extra)
	if [ -n "$interactive" ]; then
		qemu-system-x86_64 "${args[@]}" || :
		return
	fi
	timeout --foreground "$seconds" qemu-system-x86_64 "${args[@]}" </dev/null &
	qemu_pid=$!
	wait "$qemu_pid" || :
	qemu_pid=
}

# KVM where a boot shows that it works: a guest may hang although /dev/kvm opens.
# The answer is kept until this machine is booted again.
pick_accel() {
	local known
	[ -w /dev/kvm ] || { echo tcg; return; }
	known=$CACHE/accel-$(cat /proc/sys/kernel/random/boot_id)
	if [ ! -e "$known" ]; then
		stage "trying a boot under KVM"
		local probe
		probe=$(mktemp -d "$CACHE/probe.XXXXXX")
		if KREGION_ACCEL=kvm "$VM/run.sh" -t 20 "$kernel" "$probe" -c true >/dev/null 2>&1; then
			echo kvm >"$known"
		else
			echo "tcg,thread=multi" >"$known"
		fi
		rm -r "$probe"
	fi
	cat "$known"
}

accel=${KREGION_ACCEL:-$(pick_accel)}
[ -z "$serial" ] || [ "${accel%%,*}" != tcg ] || accel=tcg,thread=single
boot "$accel" "$limit" "$out/console"

[ -e "$out/status" ] || { printf 'run.sh: the VM was lost; its console is in %s\n' "$out/console" >&2; exit 3; }
[ "$(cat "$out/status")" = 0 ]
