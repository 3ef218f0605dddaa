#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the suites and the tracer's checks with gcov: they reach every line.

Lines that they do not reach are listed, with the reason, in
kunit_tests/coverage. The table is on standard output, and as HTML in
out/coverage/index.html.

usage: coverage.py [--again]   --again: of the last run

Exit status: 1 if a line is neither reached nor listed, if a listed one is
reached or is not there, or if fewer than 95 % of the branches are taken.
"""
import json
import shlex
import sys
from pathlib import Path

from lib import TOP, VM, blocks, die, expect, kernel, output, read, run, stage

OUT = TOP / "out/coverage"
COUNTED = "/sys/kernel/debug/gcov"
BAR = 95    # % of the branches
# Branches that a macro of the kernel expands to, and those at the end of a
# function or loop, are not those of this code.
MACROS = "|".join((
    r"trace_kregion_\w+", r"lockdep_\w+", r"might_\w+", r"\w*WARN\w*", r"pr_\w+", r"preempt_enable\w*",
    r"roundup_pow_of_two", r"rounddown_pow_of_two", "clamp", "clamp_t", "max", "min", "max3", "max_t", "min_t", "get_order",
    "kmalloc", "kzalloc", "kvmalloc_array", "alloc_percpu", "strscpy_pad", "strscpy", "INIT_DELAYED_WORK",
    "wait_var_event", r"wait_event_\w+", r"__this_cpu_\w+", "EXPORT_SYMBOL_GPL", "test_bit", "delayed_work_pending",
    r"local_irq_\w+", "static_key_enabled"))
GUEST = """cd "$OUT" && ln -sf {built}/kmod/kregion.ko {built}/kunit_tests/*.ko . || exit 1
cp {built}/kunit_tests/vm/guest-lib.sh . && sh {built}/kunit_tests/vm/kunit-guest.sh full
suites=$?
insmod kregion.ko; insmod kregion_forgetful.ko sealed=1; rmmod kregion_forgetful; rmmod kregion
bash {built}/kunit_tests/vm/trace-guest.sh {built} 0.5 3 && [ $suites = 0 ]
status=$?
insmod kregion.ko && insmod {built}/kmod/kregion_trace.ko && {built}/kunit_tests/krtrace/device_fuzz || status=1
find {counted} -name '*.gcda' | while read -r f; do mkdir -p ".${{f%/*}}"; cat "$f" >".$f"; done
exit $status"""


def record():
    """Run what counts; the counts lie in out/coverage/vm."""
    stage("coverage: building")
    # Each check of UBSAN is a branch.
    built = output(VM / "build.sh", "-p", "-t", "coverage", "kunit", "GCOV_PROFILE=y", "UBSAN_SANITIZE=n")
    stage("coverage: running the suites, the tracer and its device")
    run("rm", "-rf", OUT)
    run(VM / "run.sh", "-s", kernel("kunit"), OUT / "vm", "-c",
        GUEST.format(built=shlex.quote(built), counted=COUNTED))


def count(built):
    """Lines and branches of each file, as gcovr has them."""
    recorded = Path(f"{OUT}/vm{COUNTED}{built}")
    expect(recorded.is_dir(), "nothing was counted")
    for each in recorded.rglob("*.gcda"):
        run("cp", each, built / each.relative_to(recorded))
    run("gcovr", "-r", built, "-f", f"{built}/kmod/", "-e", f"{built}/kmod/include/trace/",
        "--gcov-executable", "llvm-cov-19 gcov", "--exclude-branches-by-pattern", rf".*\b({MACROS})\(|\s*\}}",
        "--json", OUT / "counts.json", "--html-details", OUT / "index.html", "--txt", OUT / "table",
        built / "kmod", built / "kunit_tests")
    return json.loads(read(OUT / "counts.json"))["files"]


def listed(kind):
    """The lines of the list, of a kind: (file, function, text)."""
    lines = set()
    for head, *texts in blocks(TOP, "kunit_tests/coverage"):
        expect("=" in (t[0] for t in texts), f"no reason: {head}")
        lines |= {(*head.split(), t[1:].strip()) for t in texts if t[0] == kind}
    return lines


def function_at(file, number):
    """The function of a line: the last one that begins in front of it."""
    begun = [f for f in file["functions"] if f["lineno"] <= number]
    return max(begun, key=lambda f: f["lineno"])["name"] if begun else "-"


def main():
    if sys.argv[1:] not in ([], ["--again"]):
        die("usage: coverage.py [--again]", 2)
    if len(sys.argv) == 1:
        record()
    excused, missing, races = listed("-"), set(), listed("?")
    total = taken = 0
    built = Path(output(VM / "build.sh", "-n", "-t", "coverage", "kunit"))
    for each in count(built):
        text = (built / each["file"]).read_text(encoding="utf-8").splitlines()
        for line in each["lines"]:
            if line["gcovr/noncode"]:
                continue
            total += len(line["branches"])
            taken += sum(b["count"] > 0 for b in line["branches"])
            if line["count"] == 0:
                number = line["line_number"]
                missing.add((each["file"], function_at(each, number), text[number - 1].strip()))
    excused |= races & missing
    for here in sorted(missing - excused):
        print("not reached, not listed: {} {}(): {}".format(*here))
    for here in sorted(excused - missing):
        print("listed, but reached or not there: {} {}(): {}".format(*here))
    expect(total, "nothing was counted")
    print(read(OUT / "table"))
    print(f"branches: {100 * taken / total:.1f} % of {total} taken, {BAR} % wanted; "
          f"{len(missing)} lines not reached, {len(missing & excused)} of them listed")
    sys.exit(missing != excused or 100 * taken < BAR * total)


if __name__ == "__main__":
    main()
