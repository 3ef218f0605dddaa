#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Plant faults in the modules, one at a time, and see which check finds each.

The table is kunit_tests/mutants. A fault is planted in a copy of the tree, and
boots in the KUnit kernel: first with the suite that the table names, then, if
it survives, with all of them. The checks of the tracer on a stock kernel follow
for its own files. A run ends at the first failed case, or report in the log.
Logs are in out/mutants/NAME.

usage: mutants.py [NAME]...	all faults, or some

Exit status: 1 if fewer than 95 % of the faults that a user could see are
killed, or a fault does not apply.
"""
import queue
import re
import shutil
import subprocess
import sys
import threading
import time

import lib
from lib import TOP, VM, WORK, blocks, copy_tree, die, expect, kernel, output, read, stage

OUT = TOP / "out/mutants"
SUITES, TRACER = "kunit", "debian12-6.12"   # kernels
BAR = 95                                    # %
WORKERS = 2
# Without a line in the log, in seconds of processor time.
LIMIT = "60"
# A task that waits for good is reported sooner.
HUNG = "sysctl.kernel.hung_task_timeout_secs=30"
REPORT = re.compile(re.search(r"^REPORTS='(.*)'$", read(VM, "guest-lib.sh"), re.M)[1])
FAILED = re.compile(r"# (\w+): (?:EXPECTATION|ASSERTION) FAILED")
CASE = re.compile(r"\] +(?:not )?ok \d+ (\w+)$", re.M)


# ---- the table ---------------------------------------------------------------

class Fault:
    def __init__(self, head, *lines):
        self.name, self.file, self.function, self.first, *_ = (head + " - - -").split()
        text = {key: " ".join(l[1:].strip() for l in lines if l[0] == key) for key in "-+="}
        self.old, self.new, self.equivalent = text["-"], text["+"], text["="]
        expect(all(l[0] in text for l in lines) and (TOP / self.file).is_file(), f"not a fault: {head}")

    def plant(self, text):
        """The text with the fault, or None: it applies to no text of the function, or to several."""
        if self is CONTROL:
            return text
        # A definition begins in the first column, as does the brace that ends
        # it.
        bodies = re.findall(rf"^[a-z][^\n;]*\b{self.function}\([^;{{}}]*?\)\s*\n{{.*?^}}", text, re.M | re.S)
        # Any white space will do, so that a new indentation is no change.
        old = re.compile(r"\s+".join(map(re.escape, self.old.split())))
        hits = [body for body in bodies for _ in old.findall(body)]
        if not self.old or len(hits) != 1:
            return None
        return text.replace(hits[0], old.sub(lambda _: self.new, hits[0]))

    def checks(self):
        """The kernels that it boots, as long as it survives."""
        both = [SUITES, TRACER] if self.file.startswith("kmod/trace/") else [SUITES]
        return both[::-1] if self.first == "tracer" else both


# No fault at all: a check that fails without one proves nothing.
CONTROL = Fault("none kmod/trace/record.c")


def table(path=TOP / "kunit_tests/mutants"):
    faults = [Fault(*block) for block in blocks(path)]
    names = [f.name for f in faults]
    expect(len(set(names)) == len(names), "two faults have the same name")
    return faults


# ---- what is started ---------------------------------------------------------

children, starting, ending = set(), threading.Lock(), threading.Event()


def spawn(command, log):
    with starting:
        if ending.is_set():
            sys.exit()
        child = subprocess.Popen(command, stdout=log, stderr=log)
        children.add(child)
    return child


def end_all():
    """Nothing is left behind; run.sh ends its VM."""
    with starting:
        ending.set()
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        child.wait()


# ---- builds ------------------------------------------------------------------

class Tree:
    """A copy of the tree, built for a kernel."""

    def __init__(self, name):
        self.name = name
        self.kernel = kernel(name)
        self.folder = WORK / f"{name}-mutants"
        # By content, and with new times: what an interrupted run left planted
        # is built again.
        copy_tree(self.folder, "--no-times", "--checksum", "--delete")
        self.make(True)
        if name == TRACER:
            output("make", "-s", "-C", self.folder / "userspace_demo")

    def make(self, tests):
        """Build the modules, with or without those of the tests."""
        log = self.folder.with_suffix(".log")
        command = ["make", "-s", "-j2", "-C", self.kernel / "build", f"M={self.folder}",
                   *["KREGION_TESTS=m"] * tests, *read(self.kernel, "make.args").split(), "modules"]
        with open(log, "w", encoding="utf-8") as said:
            status = spawn(command, said).wait()
        if status:
            raise OSError(read(log))

    def build(self, fault, out):
        """The modules with the fault, in OUT. Their source is clean again afterwards."""
        path = self.folder / fault.file
        clean = path.read_text(encoding="utf-8")
        path.write_text(fault.plant(clean), encoding="utf-8")
        try:
            # The suites include the tracer, and the fast path.
            self.make(fault.file.startswith(("kmod/trace/", "kmod/include/")))
        finally:
            path.write_text(clean, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        if self.name == SUITES:
            out.mkdir(parents=True)
            for each in ("kmod/kregion.ko", "kunit_tests/kregion_recipes.ko", "kunit_tests/kregion_kunit.ko",
                         "kunit_tests/vm/guest-lib.sh", "kunit_tests/vm/kunit-guest.sh"):
                shutil.copy(self.folder / each, out)
        else:
            shutil.copytree(self.folder / "kmod", out / "built/kmod")
            for each in "kunit_tests", "userspace_demo":
                (out / "built" / each).symlink_to(self.folder / each)


# ---- runs --------------------------------------------------------------------

def text_of(path):
    """A console may hold anything."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def wrong_so_far(out):
    """The failed case or the report that a VM's files have, or None."""
    console = text_of(out / "console")
    failed, report = FAILED.search(console), REPORT.search(console)
    first = min(filter(None, (failed, report)), key=lambda m: m.start(), default=None)
    if not first:
        wrong = re.search(r"^not ok \d+ (?:- )?(.*)", text_of(out / "ktap"), re.M)
        return wrong and wrong[1]
    before = console[:first.start()]
    suite = re.findall(r"# Subtest: (kregion_\w+)", before)
    where = suite[-1] if suite else "load"
    if first is failed:
        return f"{where}: {failed[1]}"
    line = console[first.start():].split("\n", 1)[0].strip()
    return f"{where}: {line}, after {(CASE.findall(before) or ['nothing'])[-1]}"


def boot(tree, out, append, script, *args):
    """Run a script in a VM until something is wrong, and return that."""
    kind = ["-d", "-m", "768M"] if tree.name == SUITES else ["-s"]
    for old in "console", "command", "ktap", "status":
        (out / old).unlink(missing_ok=True)
    command = [VM / "run.sh", "-l", LIMIT, *kind, "-a", f"loglevel=7 {HUNG} {append}", tree.kernel, out, script, *args]
    with open(out / "run.log", "w", encoding="utf-8") as log:
        child = spawn(command, log)
    wrong = None
    while child.poll() is None and not wrong:
        # The modules are there already; run.sh has taken an old "go" away.
        if tree.name == SUITES and (out / "command").exists():
            (out / "go").touch()
        time.sleep(0.3)
        wrong = wrong_so_far(out)
    if wrong:
        child.terminate()
    status = child.wait()
    wrong = wrong or wrong_so_far(out)
    if wrong or not status:
        return wrong
    what = {3: "the VM was lost", 4: "no progress"}.get(status, "the script failed")
    return f"{what}, after {(CASE.findall(text_of(out / 'console')) or ['the boot'])[-1]}"


def suites(tree, out, fault):
    """The suite that the table names, then all. Only one has the tracer in it."""
    first = "trace" if fault.file.startswith("kmod/trace/") else fault.first
    wrong = None
    if first != "-":
        wrong = boot(tree, out, f"kunit.filter_glob=kregion_{first}.*", "kunit-guest.sh")
    if wrong or first == "trace" and fault is not CONTROL:
        return wrong
    return boot(tree, out, "", "kunit-guest.sh")


def tracer(tree, out, _):
    wrong = boot(tree, out, "preempt=full", VM / "trace-guest.sh", out / "built", "0.5", "3")
    return wrong and f"tracer: {wrong}"


# ---- threads: one builds ahead of those that run VMs ---------------------------

to_build, to_run, done = queue.Queue(), queue.Queue(WORKERS), queue.Queue()


def build_all():
    trees = {}
    while True:
        fault, name = to_build.get()
        out = OUT / fault.name / name
        try:
            if name not in trees:
                stage(f"mutants: building for {name}")
                trees[name] = Tree(name)
            trees[name].build(fault, out)
            to_run.put((fault, trees[name], out))
        except OSError as error:
            (OUT / f"{fault.name}.log").write_text(str(error), encoding="utf-8")
            done.put((fault, name, "", 0))


def run_all():
    while True:
        fault, tree, out = to_run.get()
        since = time.time()
        wrong = (suites if tree.name == SUITES else tracer)(tree, out, fault)
        for module in out.glob("*.ko"):
            module.unlink()
        shutil.rmtree(out / "built", ignore_errors=True)
        done.put((fault, tree.name, wrong, time.time() - since))


def thread(function):
    """Its end by an exception is that of the script."""
    def body():
        try:
            function()
        except BaseException as error:
            done.put(error)
            if not ending.is_set():
                raise
    threading.Thread(target=body, daemon=True).start()


# ---- main --------------------------------------------------------------------

def say(text, **kwargs):
    """A result; the line of the progress gives way."""
    print("\r\033[K" if sys.stderr.isatty() else "", end="", file=sys.stderr, flush=True)
    print(text, flush=True, **kwargs)
    with open(OUT / "results", "a", encoding="utf-8") as results:
        print(text, file=results)


def attack(faults, counts):
    for each in [build_all] + [run_all] * WORKERS:
        thread(each)
    for fault in faults:
        to_build.put((fault, fault.checks()[0]))
    left = len(faults)
    while left:
        if sys.stderr.isatty():
            print(f"\r\033[K{left} to go, {counts['survived']} survived", end="", file=sys.stderr, flush=True)
        item = done.get()
        expect(isinstance(item, tuple), f"{item!r}")
        fault, name, wrong, took = item
        after = fault.checks()[fault.checks().index(name) + 1:]
        if wrong is None and after:
            to_build.put((fault, after[0]))
            continue
        left -= 1
        if fault is CONTROL:
            expect(wrong is None, f"without a fault: {wrong or 'does not build'}")
            continue
        kind = "survived" if wrong is None else "killed" if wrong else "broken"
        counts[kind] += 1
        how = {"killed": f"killed by {wrong}", "survived": f"survived in {fault.file} {fault.function}()",
               "broken": f"does not build, see {OUT / fault.name}.log"}
        say(f"{fault.name:24} {how[kind]} ({took:.0f} s)")


def main(*names):
    faults = {f.name: f for f in [CONTROL] + table()}
    unknown = set(names) - set(faults)
    if unknown:
        die("no fault " + ", ".join(sorted(unknown)), 2)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    counts = dict.fromkeys(("killed", "survived", "equivalent", "broken"), 0)
    todo = []
    for fault in (faults[n] for n in names or faults):
        if fault.plant((TOP / fault.file).read_text(encoding="utf-8")) is None:
            say(f"{fault.name:24} does not apply to {fault.file} {fault.function}()")
            counts["broken"] += 1
        elif fault.equivalent and not names:
            say(f"{fault.name:24} equivalent: {fault.equivalent}")
            counts["equivalent"] += 1
        else:
            todo.append(fault)
    try:
        attack(todo, counts)
    finally:
        end_all()
    visible = counts["killed"] + counts["survived"]
    say(f"{sum(counts.values())} faults: {counts['killed']} killed, {counts['survived']} survived, "
        f"{counts['equivalent']} equivalent, {counts['broken']} do not apply or build")
    share = 100 * counts["killed"] / visible if visible else 100
    stage(f"mutants: {share:.1f} % killed, {BAR} % wanted")
    sys.exit(share < BAR or counts["broken"] > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
