#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the suites and the torture test under KCSAN: no report names this code.

At last kregion_defect.ko plants a race; a kernel that does not report it proves
nothing. Reports of the kernel's own code are counted, not judged. The
log of the VM is in out/kcsan.

usage: kcsan.py
"""
import re
import shlex
import sys

from lib import TOP, VM, die, expect, kernel, output, read, run, stage

OUT = TOP / "out/kcsan"
# An access is in a function of these modules, or in one of the kernel that it
# has called for memory of its own.
OURS = re.compile(r"\bby .*:\n(?: (?:mem|str|__?list|llist)\w+\+.*\n)* .*\[kregion", re.M)
SCENARIOS = "bump mixed contexts epochs hotplug rotate"
# One access in so many is watched where counts that change seldom are read.
EVERY = 200
GUEST = """cd "$OUT" && ln -sf {built}/kmod/*.ko {built}/kunit_tests/*.ko . || exit 1
exec >log 2>&1
. {built}/kunit_tests/vm/guest-lib.sh
insmod kregion.ko || exit 1
run_suites kregion_kunit.ko any quick=1
for s in {scenarios}; do insmod kregion_stress.ko scenario=$s duration=5; rmmod kregion_stress; done
echo {every} >/sys/module/kcsan/parameters/skip_watch
insmod kregion_stress.ko scenario=watch threads=2 duration=20; rmmod kregion_stress
echo 'kcsan: a race is planted' >/dev/kmsg
insmod kregion_defect.ko kind=race
rmmod kregion && dmesg >dmesg"""


def reports(dmesg):
    """The reports of KCSAN, those that name a module of this tree and the others."""
    text = re.sub(r"(?m)^(\[[^]]*\])+ ?", "", dmesg)
    found = re.findall(r"^=+\n(BUG: KCSAN.*?)^=+$", text, re.M | re.S)
    ours = [r for r in found if OURS.search(r)]
    return ours, len(found) - len(ours)


def main():
    if len(sys.argv) > 1:
        die("usage: kcsan.py", 2)
    stage("kcsan: building")
    built = shlex.quote(output(VM / "build.sh", "kcsan"))
    run("rm", "-rf", OUT)
    stage("kcsan: running the suites and the torture test")
    run(VM / "run.sh", kernel("kcsan"), OUT, "-c",
        GUEST.format(built=built, scenarios=SCENARIOS, every=EVERY))
    before, _, after = read(OUT / "dmesg").partition("kcsan: a race is planted")
    expect(not re.search("^not ok", read(OUT / "ktap"), re.M), f"a case failed, see {OUT}/log")
    verdicts = re.findall(r"kregion_stress: end: .* (\w+)$", before, re.M)
    expect(verdicts == ["SUCCESS"] * (len(SCENARIOS.split()) + 1), f"the torture test: {verdicts}")
    ours, others = reports(before)
    planted, _ = reports(after)
    print(*ours, sep="\n")
    print(f"KCSAN: {len(ours)} reports of this code, {others} of the kernel's own, "
          f"{len(planted)} of the planted race")
    expect(planted, "the planted race was not reported")
    expect(not ours, "a race in this code")


if __name__ == "__main__":
    main()
