#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What allocations cost beside what else a module, or a program, could use.

The method stands in Documentation/benchmarks.rst.

usage: KERNEL=NAME bench.py [--check | PART...]     (default: all parts)

  count    instructions, exact, in a VM with that kernel, whose clock counts them
  native   the allocator's own source as a program, on this machine's processors
  uml      the kernel's allocators beside it, in a User-mode Linux kernel
  policy   SELinux's policy database, see policy.py
  --check  count without sweeps, and fail if a bar is exceeded; nothing else
"""
import os
from pathlib import Path
import re
import shutil
import statistics
from subprocess import DEVNULL, STDOUT
import sys
from tempfile import TemporaryDirectory

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH.parent))

import lib
from lib import CACHE, TOP, VM, die, output, read, run, stage

UML_RUNS = 15       # of each figure
UML_LIMIT = 120     # seconds of processor time
ROTATED = 1, 2, 64, 240     # CPUs
# What modules for User-mode Linux are built with.
UML_ARGS = f"KCFLAGS=-include {BENCH}/uml-smp.h"


def build(name, *args):
    """The folder where it is built."""
    stage(f"building for {name}")
    return output(VM / "build.sh", *args)


def in_vm(results, name, append, *command, cpus=1):
    """Run a guest's script where a tick of the clock is an instruction, of any CPU."""
    stage(f"counting instructions, {results.stem}")
    folder = results.with_suffix("")
    # A cleared page counts a tick a byte, so none is cleared unasked.
    if lib.result(
            VM / "run.sh", "-c", str(cpus), "-m", "4G", "-q", "-icount shift=0,sleep=off",
            "-a", "init_on_alloc=0 " + append, lib.kernel(name), folder, *command,
            env={**os.environ, "KREGION_ACCEL": "tcg"})[0]:
        lib.result("tail", "-n", "20", folder / "log", stdout=sys.stderr)
        die(f"counting failed; see {folder}")
    shutil.copy(folder / "results", results)


def count_rivals(results, name, append, *args, cpus=1):
    in_vm(results, name, append, VM / "bench-guest.sh", build(name, "-p", name), *args, cpus=cpus)


def count(out):
    """With sweeps over sizes and numbers, with two CPUs, and with many possible ones."""
    count_rivals(out / "count.txt", os.environ["KERNEL"], "", "all", "1000000", "sweep")
    count_rivals(out / "count-two.txt", os.environ["KERNEL"], "", "none", "1", cpus=2)
    # Later kernels do not believe that there are CPUs that no firmware tells
    # of.
    cpus = out / "count-cpus.txt"
    count_rivals(cpus, "debian12-6.1", "possible_cpus=240", "percpu,shared", "0")
    run("sed", "-i", "/what=create_destroy/!d", cpus)       # the rest is of one CPU


def library(name):
    """Where that shared library is."""
    found = re.search(rf"^\s*{re.escape(name)}.* (\S+)$", output("ldconfig", "-p"), re.M)
    return found[1] if found else ""


def native(out):
    stage("building the native program")
    run("make", "-s", "-C", BENCH, f"OUT={out}/native")
    stage("timing on this machine")
    # Within the first cache, and over it: in three passes, as a program's luck
    # with the places of its memory and its neighbours lasts as long as it runs.
    lines = 3 * ["--threads 1 --live 32768", "--threads 1", "--threads 2"] + [
        # Sizes; more threads than processors, too.
        "--threads 1 --size 8,16,32,128,256,512,1024,2048,4096",
        "--threads 4", "--threads 8",
        "--threads 64 --rival bump,percpu,shared,go",
        "--what life",
        "--what memory",
        "--what memory --threads 64 --rival percpu",
        # Instructions; one thread is all CPUs.
        *(f"--what rotate --threads {n} --rival percpu" for n in ROTATED),
        "--what rotate --rival shared,single"]
    runs = [(line, {}) for line in lines]
    for name in "jemalloc", "mimalloc":
        preload = {"LD_PRELOAD": library(f"lib{name}.so")}
        runs += [(f"--rival malloc --label {name} --threads {n}", preload) for n in (1, 2)]
    with open(out / "native.txt", "w", encoding="utf-8") as f:
        for line, env in runs:
            run(out / "native/native", *line.split(), env={**os.environ, **env}, stdout=f)


def boot_uml(kernel, folder, *args):
    """The lines of the modules, of all runs."""
    with open(folder / "console", "w", encoding="utf-8") as console:
        status, _ = lib.limited(
            UML_LIMIT, kernel / "kernel", "mem=2G", "rootfstype=hostfs",
            "rootflags=/", "ro", f"init={BENCH}/uml-init.sh", "con=null", "con0=null,fd:1", "quiet",
            f"uml_dir={folder}/", f"OUT={folder}", f"RUNS={UML_RUNS}", *args,
            stdin=DEVNULL, stdout=console, stderr=STDOUT)
    if not (folder / "done").exists():
        lib.result("tail", "-n", "20", folder / "console", folder / "log", stdout=sys.stderr)
        die(f"User-mode Linux did not finish: {status}")
    return read(folder, "results").splitlines()


def medians(lines, ticks):
    """The median of all runs, the least and the greatest, in nanoseconds."""
    runs = {}
    for line in lines:
        what, value, unit = re.fullmatch("(.*) value=([^ ]*) (.*)", line).groups()
        runs.setdefault((what, unit), []).append(float(value) / (ticks if unit == "unit=cycles" else 1))
    for (what, unit), values in sorted(runs.items()):
        yield (f"{what} runs={len(values)} value={statistics.median_low(values):.4f} "
               f"min={min(values):.4f} max={max(values):.4f} {unit.replace('cycles', 'ns')}\n")


def build_uml():
    # User-mode Linux has no get_cycles(), but the instruction can be had.
    if not re.search(r"\bconstant_tsc\b", read("/proc/cpuinfo")):
        die("the time stamp counter of this machine is no clock")
    return build("uml", "uml", UML_ARGS)


def in_uml(results, *args):
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="uml-run.", dir=CACHE) as name:
        folder = Path(name)
        run("gcc", "-O2", "-o", folder / "tsc", BENCH / "tsc.c")
        stage(f"timing in User-mode Linux, {results.stem}")
        lines = boot_uml(lib.kernel("uml"), folder, *args)
        text = "".join(medians(lines, float(output(folder / "tsc"))))
    results.write_text(text, encoding="utf-8")


def uml(out):
    in_uml(out / "uml.txt", f"BUILT={build_uml()}")


def policy(_):
    run(BENCH / "policy.py")


def main(*parts):
    known = {"count": count, "native": native, "uml": uml, "policy": policy}
    report = BENCH / "report.py"
    check = parts == ("--check",)
    for part in () if check else parts:
        if part == "--check":
            die("--check stands alone", 2)
        if part not in known:
            die(f"unknown part '{part}'; there are {', '.join(known)}, and --check", 2)
    out = TOP / ("out/check/bench" if check else "out/bench")
    out.mkdir(parents=True, exist_ok=True)
    if check:
        # What the state of the page allocator adds differs between boots: a
        # count is over its bar if it is so twice.
        for _ in range(2):
            count_rivals(out / "count.txt", os.environ["KERNEL"], "", "all", "100000")
            status = lib.result(report, "--check", "-o", out, out / "count.txt")[0]
            if not status:
                break
        sys.exit(status)
    for part in parts or known:
        known[part](out)
    stage("writing the report")
    run(report, "-o", out, *sorted(out.glob("*.txt")))
    stage(f"done: {out}/report.html, results.csv and results.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
