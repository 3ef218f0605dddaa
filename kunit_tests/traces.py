#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Read the traces of several machines on each of them.

The checks trace-KERNEL leave a trace and the report that krtrace made of it in
the guest. krtrace as built for each KERNEL, under QEMU's user emulation, must
report and convert every trace alike.

usage: traces.py KERNEL...
"""
import subprocess
import sys

import lib
from lib import TOP, VM, output, read

EMULATORS = {"arm64": "qemu-aarch64", "i386": "qemu-i386", "s390x": "qemu-s390x"}


def krtrace(name):
    """The command of a kernel's krtrace on this machine."""
    emulator = EMULATORS.get(read(lib.kernel(name), "arch"))
    built = output(VM / "build.sh", "-n", "-w", name)
    return [*([emulator] if emulator else []), built + "/userspace_demo/krtrace"]


def main(kernels):
    if not kernels:
        lib.die("usage: traces.py KERNEL...", 2)
    programs = {kernel: krtrace(kernel) for kernel in kernels}
    failed = 0
    for recorded in kernels:
        trace = TOP / f"out/check/trace-{recorded}/t.krt"
        for options in ["report", "--tsv"], ["convert", "--chrome", "-o", "/dev/stdout"]:
            expected = (trace.parent / options[0]).read_bytes()
            for reader in kernels:
                got = subprocess.run([*programs[reader], *options, trace], check=False,
                                     stdout=subprocess.PIPE)
                if got.returncode or not expected or got.stdout != expected:
                    print(f"{options[0]} on {reader} of the trace from {recorded} differs")
                    failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
