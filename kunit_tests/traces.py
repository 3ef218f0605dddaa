#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Read the traces of several machines on each of them.

The checks trace-KERNEL leave a trace and the report that krtrace made of it in
the guest. krtrace as built for each KERNEL, under QEMU's user emulation, must
report and convert every trace alike.

usage: traces.py KERNEL...
"""
import os
import subprocess
import sys

TESTS = os.path.dirname(os.path.realpath(__file__))
RESULTS = os.path.join(TESTS, "..", "out", "check")
EMULATORS = {"arm64": "qemu-aarch64", "i386": "qemu-i386", "s390x": "qemu-s390x"}


def krtrace(kernel):
    """The command of a kernel's krtrace on this machine."""
    tools = os.path.join(TESTS, "vm")
    built = subprocess.run([f"{tools}/build.sh", "-n", "-w", kernel], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.strip()
    folder = subprocess.run([f"{tools}/kernels.py", kernel], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    with open(folder + "/arch", encoding="utf-8") as f:
        emulator = EMULATORS.get(f.read().strip())
    return [*([emulator] if emulator else []), built + "/userspace_demo/krtrace"]


def main(kernels):
    if not kernels:
        print("usage: traces.py KERNEL...", file=sys.stderr)
        return 2
    programs = {kernel: krtrace(kernel) for kernel in kernels}
    failed = 0
    for recorded in kernels:
        trace = os.path.join(RESULTS, "trace-" + recorded, "t.krt")
        for options in ["report", "--tsv"], ["convert", "--chrome", "-o", "/dev/stdout"]:
            with open(f"{os.path.dirname(trace)}/{options[0]}", "rb") as f:
                expected = f.read()
            for reader in kernels:
                got = subprocess.run([*programs[reader], *options, trace], check=False,
                                     stdout=subprocess.PIPE)
                if got.returncode or not expected or got.stdout != expected:
                    print(f"{options[0]} on {reader} of the trace from {recorded} differs")
                    failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
