#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Build and run the allocator as a program, under sanitizers: kunit_tests/program.

usage: program.py stress [SECONDS]	concurrent calls, with each compiler and sanitizer;
					half of the time, of maps
       program.py fuzz [SECONDS]	random calls beside a model; by default without end
       program.py step			an intruder in front of each instruction of a call
       program.py slips [NAME]...	faults that the others must find

Results are KTAP on standard output; logs are in out/program.
"""
import ctypes
import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from lib import CACHE, TOP, Ktap, die, limited, result, stage
import mutants

HERE = TOP / "kunit_tests/program"
OUT = TOP / "out/program"
TSAN = "-O1 -g -fsanitize=thread"
# The kernel aligns heads of lists to less than the entries they are in.
ASAN = "-O1 -g -fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=all"
FUZZ = ASAN.replace("=address", "=fuzzer,address")
BITS32 = f"-m32 -idirafter /usr/include/{platform.machine()}-linux-gnu"
VARIANTS = {
    "gcc-tsan": ("gcc", TSAN + " -Wno-tsan"),
    "clang-tsan": ("clang-19", TSAN),
    "gcc-asan": ("gcc", ASAN),
    "clang-asan": ("clang-19", ASAN),
    "gcc-asan-32": ("gcc-12", f"{ASAN} {BITS32}"),
    "gcc-plain": ("gcc", "-O2 -g"),
    "clang-plain": ("clang-19", "-O2 -g"),
    "fuzz": ("clang-19", FUZZ),
}
STRESS = [v for v in VARIANTS if v not in ("fuzz", "clang-plain")]
STEP = ["gcc-plain", "clang-plain"]
FUZZERS = ["fuzz", "krtrace"]


def build(variant, *programs, out=OUT, source=TOP):
    """Programs of a variant; returns their folder."""
    compiler, flags = VARIANTS[variant]
    folder = out / variant
    if source == TOP:
        flags += " -Werror"
    status, said = result("make", "-s", "-j2", "-C", HERE, f"CC={compiler}", f"CFLAGS={flags}",
                          f"KMOD={source}/kmod", f"DEMO={source}/userspace_demo", f"OUT={folder}",
                          *(folder / p for p in programs), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if status:
        raise OSError(said)
    return folder


def attempt(log, limit, *command):
    """Run a program, and return what is wrong, or None."""
    with open(log, "w", encoding="utf-8") as said:
        status, _ = limited(limit, *command, stdout=said, stderr=said)
    return f"{log}: {status}\n{log.read_text(errors='replace')[-4000:]}" if status else None


def case(function, *args, **kwargs):
    """What is wrong with a build or a run."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        return str(error)


def run_stress(variant, seconds, name="stress", **where):
    folder = build(variant, name, **where)
    return attempt(folder / f"{name}.log", (seconds + 60) * os.cpu_count(), folder / name, str(seconds))


def stress(seconds="36"):
    ktap = Ktap(2 * len(STRESS))
    each = max(1, int(seconds) // (2 * len(STRESS)))
    for variant in STRESS:
        for name in "stress", "intern":
            stage(f"{name}: {variant}")
            ktap.add(f"{name} {variant}", case(run_stress, variant, each, name))
    return ktap.failed


def traces(corpus):
    """Small traces with each kind of record, in both byte orders, as the tests of krtrace make them."""
    spec = importlib.util.spec_from_file_location("krtrace_test", TOP / "kunit_tests/krtrace/test.py")
    test = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(test)
    with tempfile.TemporaryDirectory() as folder:
        test.TYPES, test.FIELDS = test.describe(folder)
    trace = test.Trace(bytes_held=4096)
    trace.cpu(0).name(1, 7, b"task").runs(2, 7).switch(5, 7, 8).gap(6, 9, 3).wakeup(10, 7).tail(12, 2)
    trace.cpu(2).event(test.FORK, 1, 7, 9).event(test.EXEC, 3, 9).event(test.EXIT, 11, 9)
    trace.cpu(3).runs(2, 11).switch(4, 11, 12).switch(8, 12, 11)
    live = test.LiveTrace(bytes_held=4096)
    live.generation(0, 20)
    live.cpu(0).runs(1, 7).name(1, 7, b"task").switch(9, 7, 8).tail(10, 2)
    live.cpu(2).runs(1, 9).switch(12, 9, 0)
    live.lost(2, 5, 1, 15, 25)
    live.generation(24, 50)
    live.cpu(0).runs(26, 8).gap(28, 30, 3).switch(31, 7, 8)
    live.generation(48, 60)
    live.cpu(2).runs(49, 7)
    for name, order in ("native", "="), ("swapped", test.OTHER):
        (corpus / name).write_bytes(trace.bytes(order))
        (corpus / f"{name}-live").write_bytes(live.bytes(order))


def fuzzer(name, seconds, corpus, **where):
    """A command that replays the named cases, then goes on: a run of some seconds from a fixed seed."""
    folder = build("fuzz", name, **where)
    corpus.mkdir(parents=True, exist_ok=True)
    if name == "krtrace":
        traces(corpus)
    cases = HERE / "corpus" / name
    return folder, [folder / name, f"-max_total_time={seconds}", f"-seed={int(seconds > 0)}",
                    "-max_len=2048", "-len_control=10", "-timeout=20",
                    f"-artifact_prefix={folder}/{name}-", corpus, *[cases] * cases.is_dir()]


def run_fuzzer(name, seconds, corpus, **where):
    folder, command = fuzzer(name, seconds, corpus, **where)
    return attempt(folder / f"{name}.log", seconds + 120, *command)


def fuzz(seconds="0"):
    """For some time one after the other, or all at once until one fails, or a signal ends it."""
    if not int(seconds):
        children = [subprocess.Popen(fuzzer(name, 0, CACHE / "corpus" / name)[1]) for name in FUZZERS]
        try:
            while all(child.poll() is None for child in children):
                time.sleep(1)
        finally:
            for child in children:
                child.terminate()
                child.wait()
        return 1
    ktap = Ktap(len(FUZZERS))
    for name in FUZZERS:
        stage(f"fuzz: {name}")
        ktap.add(name, case(run_fuzzer, name, int(seconds) // len(FUZZERS), CACHE / "corpus" / name))
    return ktap.failed


def run_step(variant, **where):
    folder = build(variant, "step", **where)
    return attempt(folder / "step.log", 120, folder / "step")


def step():
    ktap = Ktap(len(STEP))
    for variant in STEP:
        stage(f"step: {variant}")
        ktap.add(f"step {variant}", case(run_step, variant))
    return ktap.failed


# What runs a fault of the table program/slips: its fourth word.
RUNS = {
    "stress": lambda **where: run_stress("gcc-asan", 5, **where),
    "races": lambda **where: run_stress("clang-tsan", 5, **where),
    "intern": lambda **where: run_stress("clang-tsan", 5, "intern", **where),
    "step": lambda **where: run_step("gcc-plain", **where),
    "fuzz": lambda **where: run_fuzzer("fuzz", 20, where["out"] / "corpus", **where),
    "krtrace": lambda **where: run_fuzzer("krtrace", 20, where["out"] / "corpus", **where),
}


def run_slip(slip):
    """Not found, or not to be planted."""
    folder = OUT / "slips" / slip.name
    shutil.rmtree(folder, ignore_errors=True)
    for each in "kmod", "userspace_demo":
        shutil.copytree(TOP / each, folder / each)
    path = folder / slip.file
    text = slip.plant(path.read_text(encoding="utf-8"))
    if text is None:
        return f"does not apply to {slip.file} {slip.function}()"
    path.write_text(text, encoding="utf-8")
    found = RUNS[slip.first](out=folder, source=folder)
    return None if found else f"survived in {slip.file} {slip.function}()"


def slips(*names):
    every = {s.name: s for s in mutants.table(HERE / "slips")}
    chosen = [every.get(n) or die(f"no slip {n}", 2) for n in names or every]
    ktap = Ktap(len(chosen))
    for slip in chosen:
        stage(f"slip: {slip.name}")
        ktap.add(f"slip {slip.name}", case(run_slip, slip))
    return ktap.failed


def main(name="", *args):
    parts = {f.__name__: f for f in (stress, fuzz, step, slips)}
    most = {"slips": len(args), "step": 0}.get(name, 1)
    if name not in parts or len(args) > most or name != "slips" and not all(a.isdigit() for a in args):
        die(f"usage: program.py {'|'.join(parts)} [SECONDS | NAME...]", 2)
    # The sanitizers of gcc 12 fail with the address randomization of some
    # kernels.
    ctypes.CDLL(None).personality(0x0040000)    # ADDR_NO_RANDOMIZE
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TSAN_OPTIONS"] = "halt_on_error=1"
    sys.exit(parts[name](*args) > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
