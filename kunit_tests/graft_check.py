#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prove graft.py on Debian's source of a kernel.

checkpatch is clean on each patch, KUnit passes with all of it built in, and it
builds as modules.  The tree and the builds stay in the cache.

usage: graft_check.py SERIES ARCH   6.12 or 7.3, um or x86_64
"""
import os
import shutil
import subprocess
import sys

import lib
from lib import TOP, VM, die, result, run, stage
sys.path.insert(0, str(VM))
import kernels

# Where Debian has the source; - is this machine's own release.
SUITES = {"6.12": "-", "7.3": "trixie-backports"}
# CONFIG_MODULES for the last step, which builds what changes with it only.
ARGS = ["--kunitconfig", "lib/tests/kregion", "--kconfig_add", "CONFIG_MODULES=y",
        "--jobs", str(os.cpu_count())]
# One CPU at a time: QEMU before 8.1 loses a guest that patches its text.
ARCH_ARGS = {"um": [], "x86_64": ["--kconfig_add", "CONFIG_SMP=y", "--timeout", "1800",
                                  "--qemu_args", "-smp 2 -accel tcg,thread=single"]}
# kunit.py of 7.3 prefers KVM, which may open and then hang the guest.
QEMU = """#!/bin/sh
for a; do
	shift
	case $a in kvm | hvf) a=tcg,thread=single ;; esac
	set -- "$@" "$a"
done
exec {qemu} "$@"
"""
MODULES = ["lib/kregion/kregion.ko", "lib/tests/kregion/kregion_kunit.ko"]


def step(tree, text, *command, **kwargs):
    stage("graft: " + text)
    run(*command, cwd=tree, **kwargs)


def fresh(source, tree):
    """Of hard links, so that only what the graft writes is built again."""
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(source, tree, symlinks=True, copy_function=os.link)
    run(TOP / "kunit_tests/graft.py", tree)


def run_um(tree, build, kunit):
    """As kunit.py run does, but into a file: into a full pipe UML loses lines."""
    with open(build + "/test.log", "w", encoding="utf-8") as log:
        result(build + "/linux", "mem=1G", "console=tty", "kunit_shutdown=halt",
               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    step(tree, "KUnit, um", kunit, "parse", build + "/test.log")


def qemu_first(folder):
    """An environment whose QEMU is the one above."""
    name = "qemu-system-x86_64"
    os.makedirs(folder, exist_ok=True)
    kernels.write(QEMU.format(qemu=shutil.which(name) or die(f"no {name}")), folder, name)
    os.chmod(f"{folder}/{name}", 0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def prove(tree, build, arch):
    patches = sorted(TOP.glob("out/graft/*.patch"))
    kunit = "tools/testing/kunit/kunit.py"
    step(tree, "checkpatch", "scripts/checkpatch.pl", "--strict", "-q", *patches)
    options = ["--arch", arch, "--build_dir", build, *ARGS]
    if arch == "um":
        step(tree, "KUnit kernel", kunit, "build", *options)
        run_um(tree, build, kunit)
    else:
        step(tree, f"KUnit, {arch}", kunit, "run", *options, *ARCH_ARGS[arch],
             env=qemu_first(build + "/qemu"))
    step(tree, "modules: configuration", "scripts/config", "--file", build + "/.config",
         "-m", "KREGION", "-m", "KREGION_KUNIT_TEST")
    step(tree, "modules", "make", "-s", f"-j{os.cpu_count()}", "O=" + build, "ARCH=" + arch,
         "olddefconfig", "all")
    for module in MODULES:
        if not os.path.exists(f"{build}/{module}"):
            die(f"no {module}")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SUITES or sys.argv[2] not in ARCH_ARGS:
        die("usage: graft_check.py SERIES ARCH, 6.12 or 7.3, um or x86_64", 2)
    series, arch = sys.argv[1:]
    source = kernels.source_tree(SUITES[series], series)
    name = "graft-" + os.path.basename(os.path.dirname(source))
    with kernels.Lock("graft"):
        tree = kernels.cached(name, "tree")
        fresh(source, tree)
        prove(tree, kernels.cached(name, arch), arch)


if __name__ == "__main__":
    main()
