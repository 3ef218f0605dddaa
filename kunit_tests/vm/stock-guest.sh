#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside the VM with a stock Debian kernel: load, use and unload a hundred
# times; a client that forgets its region; and last, as some of their cases warn
# and so taint, the suites by the thin runner.
set -uo pipefail
built=$1
. "$built/kunit_tests/vm/guest-lib.sh"
exec >"$OUT/log" 2>&1
rc=0
json=/sys/kernel/debug/kregion_json

# As insmod and rmmod for a hundred rounds, quicker to start; and what they read
# without its debug information.
mkdir /run/quick
ln -s /bin/busybox /run/quick/insmod
ln -s /bin/busybox /run/quick/rmmod
for m in kmod/kregion kunit_tests/kregion_json kunit_tests/kregion_forgetful; do
	strip -g -o "/run/quick/${m##*/}.ko" "$built/$m.ko" || rc=1
done

# Each round leaves it to the allocator's unloading to free 16 MiB of a region.
# The hundred come after a few that warm caches up. What is compared is what the
# module could leave: its own lines in vmallocinfo, slab memory, all memory.
round() {
	insmod /run/quick/kregion.ko && insmod /run/quick/kregion_json.ko && echo '[1, 2]' >"$json" &&
		insmod /run/quick/kregion_forgetful.ko bytes=16777216 &&
		[ -e /sys/kernel/debug/kregion/regions ] &&
		rmmod kregion_json kregion_forgetful && rmmod kregion
}

# kB of a line in /proc/meminfo
meminfo() {
	awk -v key="$1:" '$1 == key { print $2 }' /proc/meminfo
}

# kB that are free or could be: MemAvailable leaves out the free pages that each
# CPU keeps, which is many after such a hundred rounds.
available() {
	awk -v page="$(getconf PAGESIZE)" '$1 == "MemAvailable:" { kb = $2 }
		$1 == "count:" { kb += $2 * page / 1024 } END { print kb }' /proc/meminfo /proc/zoneinfo
}

# Areas of vmalloc whose maker is in no module that is still there, so has no
# name.
orphans() {
	awk '$3 ~ /^0x/' /proc/vmallocinfo
}

# The same state each time: caches dropped, pending frees done.
settle() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 2
}

PATH=/run/quick:$PATH
for _ in 1 2 3 4 5; do round || rc=1; done
settle
avail=$(available) slab=$(meminfo SUnreclaim) percpu=$(meminfo Percpu)
rounds=0
for _ in $(seq 100); do round && rounds=$((rounds + 1)); done
settle
test_result "loaded, used and unloaded 100 times" "$((rounds != 100))"
PATH=${PATH#*:}
lost=$((avail - $(available))) grown=$(($(meminfo SUnreclaim) - slab))
more=$(($(meminfo Percpu) - percpu))
echo "after 100 rounds: available $((-lost)) kB, SUnreclaim $grown kB, Percpu $more kB"
# 1600 MiB went through; what is available moves a little for other reasons.
test_result "no memory lost (MemAvailable)" "$((lost > 4000))"
test_result "no memory lost (slab)" "$((grown > 1000))"
test_result "no memory lost (percpu)" "$((more > 100))"
left=$(orphans | tee /dev/stderr | wc -l)
test_result "nothing in vmallocinfo" "$left"
grep -i kregion /proc/slabinfo
test_result "nothing in slabinfo" "$(($? == 0))"
! ls -d /sys/kernel/debug/kregion
test_result "debugfs is gone" $?
# Bits 12 and 13: out of tree, unsigned.
taint=$(cat /proc/sys/kernel/tainted)
test_result "no taint beyond out-of-tree and unsigned" "$(((taint & ~(1 << 12 | 1 << 13)) != 0))"

# forgotten REGEXP: how many lines of the log say that of a region of this size.
sizes='1 blocks, 65536 bytes held, 104 used'
forgotten() {
	dmesg | grep -cE "kregion: region [0-9]+ \"forgotten\" of kregion_forgetful$1: $sizes\$"
}

children() {
	dmesg | grep -cE '"forgotten-child" of kregion_forgetful(,| was) never'
}

born=$(children)
insmod "$built/kmod/kregion.ko" && insmod "$built/kunit_tests/kregion_json.ko" &&
	insmod "$built/kunit_tests/kregion_forgetful.ko" sealed=1 || rc=1
never=' was never destroyed' freed=', never destroyed, is freed'
before=$(forgotten "$never")
rmmod kregion_forgetful || rc=1
after=$(forgotten "$never")
test_result "a client that forgets its region is named as it unloads" "$((before != 0 || after != 1))"
insmod "$built/kunit_tests/kregion_forgetful.ko" fail=1
test_result "... or fails to load" "$(($? == 0 || $(forgotten "$never") != 2))"
rmmod kregion_json kregion || rc=1
test_result "... once, with name, owner and sizes" "$(($(forgotten "$never") != 2))"
test_result "forgotten regions are reported as they are freed" "$(($(forgotten "$freed") != 2))"
test_result "... and so are their children" "$(($(children) - born != 4))"
dmesg | grep -E 'generation of region [0-9]+ "forgotten-sealed" of kregion_forgetful, never freed, is freed: 65536 bytes'
test_result "... and generations" $?
! dmesg | grep 'the action of a module that has unloaded'
test_result "their actions do not run" $?
dmesg | grep 'of kregion_json was never'
test_result "a region that its client destroys is not reported" "$(($? == 0))"

# charged MAX PARAMETERS...: MiB that a cgroup with that memory.max is charged
# for a region made in it, still after the region is gone, and held by the
# region.
charged() {
	local cg=/sys/fs/cgroup/kregion before during held
	mkdir -p "$cg"
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	echo "$1" >"$cg/memory.max"
	shift
	insmod "$built/kmod/kregion.ko"
	before=$(cat "$cg/memory.current")
	(
		echo $BASHPID >"$cg/cgroup.procs"
		exec insmod "$built/kunit_tests/kregion_forgetful.ko" "$@"
	)
	during=$(cat "$cg/memory.current")
	held=$(awk '$1 == "bytes_held:" { print $2 }' /sys/kernel/debug/kregion/totals)
	rmmod kregion_forgetful kregion
	echo "$(((during - before) >> 20)) $((($(cat "$cg/memory.current") - before) >> 20)) $((held >> 20))"
}

read -r during after _ < <(charged max bytes=16777216 flags=32)
echo "with KREGION_F_ACCOUNT: $during MiB charged, $after afterwards"
test_result "a region with KREGION_F_ACCOUNT is charged, and uncharged" \
	"$((during < 16 || after > 2))"
read -r during _ held < <(charged max bytes=16777216 flags=32 nofill=1)
echo "filled in the background: $during MiB charged, $held MiB held"
test_result "a background refill is charged to the creator" "$((held < 4 || during < held))"
read -r _ _ held < <(charged 8M bytes=67108864 flags=32 nofill=1)
echo "within memory.max of 8 MiB: $held MiB held"
test_result "a background refill keeps to memory.max" "$((held < 2 || held > 8))"
read -r during _ < <(charged max bytes=16777216 flags=0)
echo "without: $during MiB charged"
test_result "a region without it is not charged" "$((during > 2))"

# The sample, with the allocator that it was built against.
for d in "$2"/*/; do
	[ -d "$d" ] || break
	insmod "$d"/kregion.ko* && insmod "$d/kregion_json.ko" && echo '[1, 2]' >"$json" && grep 2 "$json" &&
		rmmod kregion_json kregion
	test_result "the sample is loaded: $(basename "$d")" $?
done

# Its checks, as an outside client where it was built as one.
if [ -d "$2/installed" ]; then
	insmod "$2"/installed/kregion.ko* && insmod "$2/installed/kregion_json.ko" || rc=1
else
	insmod "$built/kmod/kregion.ko" && insmod "$built/kunit_tests/kregion_json.ko" || rc=1
fi
while read -r check name; do
	"$built/kunit_tests/vm/json_sample.py" "$check" </dev/null
	test_result "the sample: $name" $?
done <<'EOF'
documents	documents are printed byte for byte
refused	bad ones are refused, with their place and the reason
limits	limits hold, and leave the last document
rewind	a rewind leaves no memory behind
readers	readers see whole documents while others replace them
damage	damaged documents get the answer of another parser
EOF
exec 9<"$json"
rmmod kregion_json
pinned=$?
exec 9<&-
test_result "the sample stays while its file is open" "$((pinned == 0))"
rmmod kregion_json && [ ! -e "$json" ] && grep -x 'regions: 0' /sys/kernel/debug/kregion/totals &&
	grep -x 'bytes_held: 0' /sys/kernel/debug/kregion/totals
test_result "the sample leaves no region and no file" $?
rmmod kregion || rc=1

# While a client lives, the allocator stays.
insmod "$built/kmod/kregion.ko" && insmod "$built/kunit_tests/kregion_json.ko" || rc=1
rmmod kregion 2>/dev/null
test_result "a client pins the allocator" "$(($? == 0))"
rmmod kregion_json kregion || rc=1

# A machine that is busy elsewhere may keep a CPU of the VM from running in the
# middle of an NMI; the kernel would report that as a slow handler, and warn
# while it does.
[ ! -d /sys/kernel/debug/x86 ] || echo 1000000000 >/sys/kernel/debug/x86/nmi_longest_ns || rc=1
insmod "$built/kmod/kregion.ko" || exit 1
run_suites "$built/kunit_tests/kregion_kunit.ko" any
rmmod kregion || rc=1
clean_log
exit "$rc"
