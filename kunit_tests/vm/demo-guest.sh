#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside the VM: trace a workload, and check the trace against the kernel's own
# figures. With "shell FOLDER": a prompt instead; FOLDER is $OUT on the host.
set -uo pipefail
built=$1
PATH=$built/userspace_demo:$PATH

insmod "$built/kmod/kregion.ko" || exit 1
insmod "$built/kmod/kregion_trace.ko" || exit 1

if [ "${2-}" = shell ]; then
	cd "$OUT" || exit 1
	cat <<-END

		This is Linux $(uname -r) in a VM, with kregion and kregion_trace loaded. It sees the files of
		your machine; what it changes is gone with it, but for this folder, $OUT,
		which is ${3-} on your machine. Try:

		    krtrace record -- ls -R /usr/share   # trace a command
		    krtrace report                       # its time, and that of all other tasks
		    krtrace convert --chrome -o trace.json
		    krtrace record -- kregion-top --once # the region of the trace, while it records
		    cat /sys/kernel/debug/kregion/totals

		exit ends the VM; so does Ctrl-A x, at once.

	END
	PS1='kregion-vm:\w# ' bash --norc -i
	exit 0
fi

exec >"$OUT/log" 2>&1
cd /tmp || exit 1

echo "== recording: eight compression jobs on two CPUs"
python3 "$built/kunit_tests/vm/crosscheck.py" "$OUT" || rc=$?
rc=${rc:-0}

echo "== regions, after the drop"
cat /sys/kernel/debug/kregion/regions
[ "$(grep -c '^[0-9]' /sys/kernel/debug/kregion/regions)" = 0 ] || {
	echo "a region is left"
	rc=1
}
rmmod kregion_trace kregion || rc=1
exit "$rc"
