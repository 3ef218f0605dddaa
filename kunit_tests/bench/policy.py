#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What it costs to read a policy of SELinux and to free it, in slab memory and in a region.

One module has the sources of SELinux's policy database as they are in the
kernel's package, the other one as policy.cocci turns them. The policy is that of
Debian, linked from its modules. None of that is in this tree, all is fetched.

usage: KERNEL=NAME policy.py [--check]

  --check  count only, and print what must hold as KTAP
"""
import bz2
import os
from pathlib import Path
import re
import shutil
from subprocess import PIPE, STDOUT
import sys

import bench
from bench import BENCH
import lib
from lib import CACHE, TOP, VM, die, read, run, stage
sys.path.insert(0, str(VM))
import kernels

POLICY = BENCH / "policy"
RIVALS = "kmalloc", "kregion"
# Of security/selinux/ss, what reads, writes and frees a policy.
SOURCES = "avtab", "conditional", "context", "ebitmap", "hashtab", "mls", "policydb", "symtab"
VERSION = 33        # of policies, which all kernels of the table read


def source_of(name):
    """Suite and series of the package with the source of a kernel."""
    return kernels.table()[name][3:5]


def missing(name):
    """The packages that this machine, or its release, does not have."""
    suite, series = source_of(name)
    there = {"coccinelle": shutil.which("spatch"), "semodule-utils": shutil.which("semodule_link"),
             "selinux-policy-default": kernels.Apt("-").candidate("selinux-policy-default"),
             f"linux-source-{series}": kernels.Apt(suite).candidate(f"linux-source-{series}")}
    return [package for package in there if not there[package]]


def quietly(*command, **kwargs):
    """What it says shows if it fails."""
    run(*command, stdout=PIPE, stderr=STDOUT, **kwargs)


def link_policy():
    """Debian's, with all its modules, in the cache."""
    apt = kernels.Apt("-")
    folder = CACHE / f"policy-{apt.candidate('selinux-policy-default')}"
    with kernels.Lock("policy"):
        if not folder.exists():
            stage("linking SELinux's policy")
            with kernels.Folder(folder) as tmp:
                apt.fetch(f"{tmp}/debian", "selinux-policy-default")
                for packed in Path(tmp).glob("debian/usr/share/selinux/default/*.pp.bz2"):
                    packed.with_suffix("").write_bytes(bz2.decompress(packed.read_bytes()))
                modules = sorted(Path(tmp).glob("debian/**/*.pp"), key=lambda p: (p.name != "base.pp", p))
                quietly("semodule_link", "-o", f"{tmp}/linked", *modules)
                quietly("semodule_expand", "-c", str(VERSION), f"{tmp}/linked", f"{tmp}/policy")
                shutil.rmtree(f"{tmp}/debian")
                os.unlink(f"{tmp}/linked")
    return folder / "policy"


def build(name, built, *args):
    """Both modules, beside the build of the tree."""
    stage(f"building SELinux's policy database for {name}")
    tree = Path(kernels.source_tree(*source_of(name)))
    selinux, folder = tree / "security/selinux", Path(f"{built}-policy")
    shutil.rmtree(folder, ignore_errors=True)
    for rival in RIVALS:
        shutil.copytree(selinux / "include", folder / rival / "include")
        (folder / rival / "ss").mkdir()
        for file in [*selinux.glob("ss/*.h"), *(selinux / f"ss/{s}.c" for s in SOURCES)]:
            shutil.copy(file, folder / rival / "ss")
        for file in "Kbuild", "policy.c", "policy.h":
            shutil.copy(POLICY / file, folder / rival)
    # A program, which later kernels have elsewhere, makes two headers.
    maker = next(p for p in (selinux / "genheaders.c", tree / "scripts/selinux/genheaders/genheaders.c") if p.exists())
    quietly("gcc", *(f"-I{p}" for p in (tree / "include/uapi", tree / "include", selinux / "include")),
            "-o", folder / "genheaders", maker)
    for rival in RIVALS:
        quietly(folder / "genheaders", *(folder / rival / f"include/{h}.h" for h in ("flask", "av_permissions")))
    quietly("spatch", "--very-quiet", "--no-show-diff", "--no-includes", "--in-place", "--sp-file",
            POLICY / "policy.cocci", *folder.glob("kregion/**/*.[ch]"))
    (folder / "Kbuild").write_text("obj-m := " + " ".join(f"{rival}/" for rival in RIVALS) + "\n", encoding="utf-8")
    kernel = lib.kernel(name)
    quietly("make", "-s", f"-j{os.cpu_count()}", "-C", kernel / "build", f"M={folder}", f"KREGION={built}",
            f"KBUILD_EXTRA_SYMBOLS={built}/Module.symvers", *read(kernel, "make.args").split(), *args, "modules")


def count(results, name):
    policy, built = link_policy(), bench.build(name, name)
    build(name, built)
    bench.in_vm(results, name, "", VM / "policy-guest.sh", built, policy)
    lines = read(results).splitlines()
    results.write_text("".join(bench.medians(lines, 1)), encoding="utf-8")


def time(results):
    policy, built = link_policy(), bench.build_uml()
    build("uml", built, bench.UML_ARGS)
    bench.in_uml(results, f"BUILT={built}", f"POLICY={policy}")


# What must hold of the figures of both rivals.
CHECKS = {
    "a policy is the same when it is written again": lambda kmalloc, kregion: kmalloc["sum"] == kregion["sum"],
    "all requests for memory are the region's": lambda kmalloc, kregion: kmalloc["used"] == kregion["used"],
    "the region holds the pages that it tells of": lambda kmalloc, kregion: kregion["held"] == kregion["blocks"],
    "it costs less to read a policy": lambda kmalloc, kregion: kregion["read"] < kmalloc["read"],
    "it costs less than a hundredth to free it": lambda kmalloc, kregion: 100 * kregion["free"] < kmalloc["free"],
}


def figures(results, rival):
    lines = re.findall(rf"rival={rival} what=policy_(\S+).*? value=(\S+)", read(results))
    return {what: float(value) for what, value in lines}


def check(name, lacks):
    results = TOP / "out/check/policy.txt"
    if not lacks:
        count(results, name)
        both = [figures(results, rival) for rival in RIVALS]
    ktap = lib.Ktap(len(CHECKS))
    for text, holds in CHECKS.items():
        ktap.add(f"{text} # SKIP no {lacks}" if lacks else text, not lacks and not holds(*both) and str(both))


def main(*args):
    if args not in ((), ("--check",)):
        die("usage: KERNEL=NAME policy.py [--check]", 2)
    name, out = os.environ["KERNEL"], TOP / "out/bench"
    lacks = " ".join(missing(name))
    if lacks:
        stage(f"SKIPPED: SELinux's policy, as these packages are missing: {lacks}")
    if args:
        check(name, lacks)
    elif not lacks:
        out.mkdir(parents=True, exist_ok=True)
        count(out / "policy.txt", name)
        time(out / "policy-uml.txt")


if __name__ == "__main__":
    main(*sys.argv[1:])
