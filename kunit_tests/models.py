#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the models of kmod/: litmus tests by herd7, state machines by spin.

usage: models.py [litmus|spin]...	both by default; KTAP on standard output

litmus	Documentation/litmus-tests against the kernel's tools/memory-model. A
	test has a result, and each of its broken twins the opposite one; a twin
	TEST-broken-PROCESS differs from its test in that process only. HERD7 is
	the path of herd7 where PATH does not have it; without either, all tests
	are skipped.
spin	kunit_tests/spin, each model exhaustively, without an error and with all
	of its code reached but what a comment names; then its controls, the
	macros in its head, with an error each.
"""
from functools import partial
import os
import re
import shutil
from subprocess import PIPE, STDOUT
import sys
import tempfile

from lib import TOP, VM, Ktap, die, limited, output, read, result, stage

LITMUS, SPIN = TOP / "Documentation/litmus-tests", TOP / "kunit_tests/spin"
OPPOSITE = {"Never": "Sometimes", "Sometimes": "Never"}
# Seconds of processor time of a search; it takes a few.
LIMIT = 120


def said_by(*command, **kwargs):
    status, said = limited(LIMIT, *command, stdout=PIPE, stderr=STDOUT, **kwargs)
    return f"{said}\n{status}" if status else said


# ---- litmus tests --------------------------------------------------------------

def wanted(text):
    found = re.search(r"^ \* Result: (\w+)$", text, re.M)
    return found and found[1]


def without(process, text):
    """The statements and conditions of a test, less those of a process."""
    return re.sub(rf"^{process}\(.*?^}}$", "", text.split("*)", 1)[-1], flags=re.M | re.S)


def form(name, texts):
    """What is wrong with a test before it is run."""
    text = texts[name]
    if not text.startswith(f"C {name}\n"):
        return "has another name inside"
    if wanted(text) not in OPPOSITE:
        return "has no Result: Never or Sometimes"
    test, _, process = name.partition("-broken-")
    twins = [n for n in texts if n.startswith(test + "-broken-")]
    if not process:
        return None if twins else "has no broken twin"
    if test not in texts:
        return "has no test whose twin it is"
    if wanted(text) != OPPOSITE[wanted(texts[test])]:
        return f"has the result of {test}"
    if without(process, text) != without(process, texts[test]):
        return f"differs from {test} not only in {process}"
    return None


def herd_says(herd, model, name, text):
    said = said_by(herd, "-conf", "linux-kernel.cfg", LITMUS / f"{name}.litmus", cwd=model)
    seen = re.search(r"^Observation \S+ (\w+)", said, re.M)
    if not seen:
        return f"no observation:\n{said}"
    if seen[1] != wanted(text):
        return f"{seen[1]}, not {wanted(text)}:\n{said}"
    # A broken twin may have one.
    if "Flag data-race" in said and "-broken-" not in name:
        return f"data race:\n{said}"
    return None


def litmus():
    herd = os.environ.get("HERD7") or shutil.which("herd7")
    if herd and not shutil.which(herd):
        die(f"HERD7: no program {herd}", 2)
    if not herd:
        stage("SKIPPED: no herd7, so no litmus test is run; HERD7= gives its path")
    model = herd and output(VM / "kernels.py", "source") + "/tools/memory-model"
    texts = {p.stem: read(p) for p in sorted(LITMUS.glob("*.litmus"))}
    for name, text in texts.items():
        wrong = form(name, texts)
        if wrong or not herd:
            yield name if wrong else f"{name} # SKIP no herd7", lambda wrong=wrong: wrong
        else:
            yield name, partial(herd_says, herd, model, name, text)


# ---- state machines ------------------------------------------------------------

def search(path, *macros):
    """What pan says of a model, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        for command in (["spin", *macros, "-a", path.name],
                        ["cc", "-Og", "-w", "-DSAFETY", "-DMEMLIM=2000", "-o", "pan", "pan.c"]):
            status, said = result(*command, cwd=folder, stdout=PIPE, stderr=STDOUT)
            if status:
                return f"{command[0]} fails:\n{said}"
        said = said_by("./pan", "-m100000", cwd=folder)
    if not macros:
        stage(f"spin: {path.stem}: {''.join(re.findall(r'[0-9]+ states, stored', said))}")
    return said


def incomplete(said):
    """Why a search did not visit every state, or None."""
    if "Full statespace search for:" not in said:
        return "no result"
    for warning in "max search depth too small", "out of memory", "Search not completed", "reached -DMEMLIM bound":
        if warning in said:
            return warning
    return None


def verdict(path, said):
    wrong = incomplete(said)
    errors = re.search(r"errors: (\d+)", said)
    if wrong or not errors or errors[1] != "0":
        return f"{wrong or 'errors'}:\n{said}"
    named = {n for n, line in enumerate(read(path).splitlines(), 1) if "/* unreached" in line}
    lines = {int(n) for n in re.findall(rf"{path.name}:(\d+), state \d+, ", said)}
    if lines - named:
        return f"unreached: lines {sorted(lines - named)}\n{said}"
    # A line of a macro may be reached in one process and not in another.
    return f"reached: lines {sorted(named - lines)}" if named - lines else None


def control(said):
    """A control ends at the first error, which must be one of the model."""
    if re.search(r"errors: [1-9]", said) and re.search(r"^pan:1: (assertion violated|invalid end state)", said, re.M):
        return None
    return f"no error:\n{said}"


def spin():
    for path in sorted(SPIN.glob("*.pml")):
        yield path.stem, lambda path=path: verdict(path, search(path))
        controls = re.findall(r"^ \*\t-D(\w+)\t", read(path), re.M)
        if not controls:
            yield f"{path.stem} has controls", lambda: "none in its head"
        for macro in controls:
            yield f"{path.stem} -D{macro} fails", lambda path=path, macro=macro: control(search(path, f"-D{macro}"))


def main(*names):
    kinds = {f.__name__: f for f in (litmus, spin)}
    if not set(names) <= set(kinds):
        die(f"usage: models.py [{'|'.join(kinds)}]...", 2)
    checks = [check for name in names or kinds for check in kinds[name]()]
    ktap = Ktap(len(checks))
    for name, check in checks:
        ktap.add(name, check())
    sys.exit(bool(ktap.failed or not checks))


if __name__ == "__main__":
    main(*sys.argv[1:])
