#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run a script in a VM that has a kernel from the cache and sees the files of
# this machine, read-only but for a tmpfs on top and one folder for results.
#
# usage: run.sh [-c CPUS] [-m MEM] [-l SECONDS] [-a KERNEL-ARGS] [-q QEMU-ARGS] [-s]
#		[-i | -d] KERNEL OUT SCRIPT [ARG]...
#
#	KERNEL	a folder made by kernels.py
#	OUT	a folder for results, $OUT in the script
#	-l	the VM is ended when it has used that much time of this machine's
#		processors without any progress: a line in the kernel's log, a change in
#		OUT. So the limit is none of this machine's load
#	-s	serial: without KVM, and before QEMU 8.1, one CPU at a time. For what
#		attaches to busy tracepoints: such a QEMU may go on running code that
#		another CPU has changed, and the kernel dies of an unhandled int3
#	-i	interactive: the console is this terminal
#	-d	direct: quick to start, but there is only busybox, no file of this machine
#		but those in OUT, and no ACPI. SCRIPT is a name in OUT and starts when
#		OUT has a file "go", so that it can be made while the kernel boots
#
# Exit status: 0 the script passed, 1 it failed, 3 the VM was lost (OUT/console
# and OUT/kmsg tell), 4 it made no progress.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cpus=2 mem=2G limit=300 append='' extra='' serial='' interactive='' direct='' aborted=0
while getopts c:m:l:a:q:sid o; do
	case $o in
	c) cpus=$OPTARG ;;
	m) mem=$OPTARG ;;
	l) limit=$OPTARG ;;
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
arch=$(cat "$kernel/arch") userland=$(cat "$kernel/userland")

mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out/status" "$out/interactive" "$out/go" "$out/timeout"
[ -z "$interactive" ] || { stty size; echo "$TERM"; } >"$out/interactive"
{
	if [ -n "$direct" ]; then
		printf 'cd /run/out && exec sh'
	else
		printf 'exec bash'
	fi
	printf ' %q' "$@"
	echo
} >"$out/command"

# What differs between architectures.
console='-serial chardev:con' bus=pci cpu=max
case $arch in
amd64) qemu=qemu-system-x86_64 machine=q35 tty=ttyS0 ;;
# Otherwise an AMD K7 to the kernel, which warns of SMP.
i386) qemu=qemu-system-x86_64 machine=q35 tty=ttyS0 cpu=max,vendor=GenuineIntel ;;
arm64) qemu=qemu-system-aarch64 machine=virt,gic-version=3 tty=ttyAMA0 ;;
s390x)
	qemu=qemu-system-s390x machine=s390-ccw-virtio tty=ttysclp0 bus=ccw console='-device sclpconsole,chardev=con'
	;;
*) die "no machine for architecture $arch" ;;
esac

command -v "$qemu" >/dev/null || die "no $qemu here; kunit_tests/vm/deps.sh installs it"

# share TAG FOLDER [OPTION]: the guest mounts FOLDER by its TAG.
share() {
	args+=(-fsdev "local,id=$1,path=$2,security_model=none${3-}"
		-device "virtio-9p-$bus,fsdev=$1,mount_tag=$1")
}

# progress: a text that changes when the guest does something.
progress() {
	find "$out" -printf '%p %s %T@\n' 2>/dev/null | cksum
}

# watch PID: end it after too long without progress. Ten times the limit on the
# clock is for a guest that sleeps for good.
watch() {
	local pid=$1 hz used mark=0 since=$SECONDS last='' now
	hz=$(getconf CLK_TCK)
	while sleep 2; do
		read -r -a stat <"/proc/$pid/stat" || return 0
		used=$(((stat[13] + stat[14]) / hz))
		now=$(progress)
		if [ "$now" != "$last" ]; then
			last=$now mark=$used since=$SECONDS
		elif [ "$((used - mark))" -gt "$limit" ] || [ "$((SECONDS - since))" -gt "$((limit * 10))" ]; then
			echo "no progress in $((used - mark)) s of processor time, $((SECONDS - since)) s on the clock" >"$out/timeout"
			kill "$pid"
			return 0
		fi
	done 2>/dev/null
}

# boot ACCEL
boot() {
	local accel=$1 cpu=${KREGION_CPU:-$cpu} watcher
	local args=(-M "$machine" -m "$mem" -smp "$cpus" -nodefaults -display none -no-reboot -monitor none
		-kernel "$kernel/kernel" -initrd "$kernel/initrd.gz")
	local cmdline="console=$tty panic=-1 oops=panic softlockup_panic=1 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 no_timer_check log_buf_len=8M quiet vm.init=$VM/guest-init.sh"

	share root "$userland" ,readonly=on,multidevs=remap
	share out "$out"
	if [ "$userland" != / ]; then
		share host / ,readonly=on,multidevs=remap
		cmdline="$cmdline vm.host=$TOP:$CACHE"
	fi
	# Without ACPI the kernel learns of the second CPU from what this firmware
	# leaves, and has only the PIT to calibrate the TSC with: on a busy host,
	# its clock would run far too fast. So it gets the port of the chipset's
	# clock; without one, timers are as coarse as ticks.
	[ -z "$direct" ] || { cmdline="$cmdline vm.direct acpi=off tsc=unstable pmtmr=0x608 reboot=t" && args+=(-bios qboot.rom); }
	[ ! -d "$kernel/root" ] || cmdline="$cmdline vm.modules=$kernel/root"
	[ "$accel" != kvm ] || cpu=host
	args+=(-accel "$accel" -cpu "$cpu" -append "$cmdline $append")
	# shellcheck disable=SC2206 # a list of words
	args+=($console $extra)
	if [ -n "$interactive" ]; then
		"$qemu" "${args[@]}" -chardev stdio,id=con,mux=on,signal=off || :
		return
	fi
	"$qemu" "${args[@]}" -chardev "file,id=con,path=$out/console" </dev/null &
	child=$!
	watch "$child" &
	watcher=$!
	wait "$child" || aborted=$?
	child=
	kill "$watcher" 2>/dev/null || :
}

# KVM where a boot shows that it works: a guest may hang although /dev/kvm
# opens. The answer is kept until this machine is booted again.
pick_accel() {
	local known probe
	if [ "$userland" != / ] || [ ! -w /dev/kvm ]; then
		echo tcg,thread=multi
		return
	fi
	known=$CACHE/accel-$(cat /proc/sys/kernel/random/boot_id)
	if [ ! -e "$known" ]; then
		stage "trying a boot under KVM"
		probe=$(mktemp -d "$CACHE/probe.XXXXXX")
		if KREGION_ACCEL=kvm timeout 60 "$VM/run.sh" -l 5 "$kernel" "$probe" -c true >/dev/null 2>&1; then
			echo kvm >"$known"
		else
			echo "tcg,thread=multi" >"$known"
		fi
		rm -r "$probe"
	fi
	cat "$known"
}

accel=${KREGION_ACCEL:-$(pick_accel)}
[ -z "$serial" ] || [ "${accel%%,*}" != tcg ] ||
	dpkg --compare-versions "$("$qemu" --version | sed -n 's/.* version \([0-9.]*\).*/\1/p')" ge 8.1 ||
	accel=tcg,thread=single
boot "$accel"
# QEMU 10 may abort in iotlb_to_section(), before the guest prints anything.
[ "$aborted" != 134 ] || [ -s "$out/console" ] || boot "$accel"

if [ -e "$out/timeout" ]; then
	printf 'run.sh: time-out: %s; see %s\n' "$(cat "$out/timeout")" "$out" >&2
	exit 4
fi
[ -e "$out/status" ] || { printf 'run.sh: the VM was lost; its console is in %s\n' "$out/console" >&2; exit 3; }
[ "$(cat "$out/status")" = 0 ]
