#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Compare times in a trace with the monotonic clock; runs in the VM.

Starts programs and reads the clock before and after; the trace must have each exec
in between. Repeats this for each clock source of the kernel, and changes the source
during a trace, which the tracer must report in the log.
"""
import json
import os
import subprocess
import sys
import time

import trace_file

SOURCES = "/sys/devices/system/clocksource/clocksource0/"
failures = 0


def check(what, good):
    global failures
    print(f"{what}: {'yes' if good else 'NO'}")
    failures += not good


def source(name=None):
    if name:
        with open(SOURCES + "current_clocksource", "w") as f:
            f.write(name)
    with open(SOURCES + "current_clocksource") as f:
        return f.read().strip()


def starts():
    """Start programs; yield pid, and the clock before and after each."""
    for _ in range(15):
        before = time.monotonic_ns()
        child = subprocess.Popen(["true"])
        child.wait()
        yield child.pid, before, time.monotonic_ns()
        time.sleep(0.1)


def execs(path):
    """Pid and monotonic time of all exec records."""
    trace = trace_file.read(path)
    for _, _, kind, when, words in trace.records():
        if kind == trace_file.EXEC:
            yield words[0] & 0xffffff, trace.start + when


def record(path, *args):
    output = subprocess.run(["krtrace", "record", "-o", path, "--", sys.executable, __file__,
                             *args], stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(output.splitlines()[0])


def main():
    with open(SOURCES + "available_clocksource") as f:
        available = f.read().split()
    used = source()
    if "tsc" not in available:
        print("no tsc: records with cycles are not tested")
    for name in available:
        if source(name) != name:
            continue
        started = record("clock.krt", "--start")
        report = subprocess.run(["krtrace", "report", "clock.krt"], stdout=subprocess.DEVNULL,
                                check=False)
        check(f"{name}: the trace is well-formed", report.returncode == 0)
        seen = dict(execs("clock.krt"))
        late = [(before - seen.get(pid, 0), seen.get(pid, 0) - after)
                for pid, before, after in started if not before <= seen.get(pid, 0) <= after]
        check(f"{name}: {len(started)} execs are in the trace at their time", not late)
        if late:
            print("nanoseconds too early and too late:", late)
    # The tracer reads cycles on x86-64 only.
    if len(available) > 1 and source(used) == used == "tsc" and os.uname().machine == "x86_64":
        record("clock.krt", "--change", next(n for n in available if n != used))
        log = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
        check("a change of the source is reported", "the clock source has changed" in log)
    source(used)
    return failures != 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--start"]:
        print(json.dumps(list(starts())))
    elif sys.argv[1:2] == ["--change"]:
        source(sys.argv[2])
        print("[]")
    else:
        sys.exit(main())
