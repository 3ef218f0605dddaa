#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Compare a trace of a workload with statistics of the kernel; runs in the VM.

usage: crosscheck.py RESULT-DIRECTORY

The run time and the wait time of each task come from /proc/PID/schedstat, read when
the task is a zombie; context switches come from the ctxt line of /proc/stat, which
krtrace reads after the start and before the stop.
"""
import json
import os
import re
import subprocess
import sys

JOBS = 8
# Of sums, and of a single job: a host that stops the VM between the two clocks'
# readings of one switch shifts time from one task to the next.
TOLERANCE, TOLERANCE_ONE = 0.01, 0.05
SOURCE = "/usr/bin/perl"


def workload(result):
    """Eight concurrent compression jobs of one thread each."""
    jobs = [subprocess.Popen(["xz", "-1", "-T1", "-c"] + [SOURCE] * 2, stdout=subprocess.DEVNULL)
            for _ in range(JOBS)]
    times = {}
    for job in jobs:
        os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOWAIT)
        with open(f"/proc/{job.pid}/schedstat") as f:
            times[job.pid] = [int(word) for word in f.read().split()[:2]]
        if job.wait():
            sys.exit("xz failed")
    with open(result, "w") as f:
        json.dump(times, f)
    print("== regions, while recording")
    with open("/sys/kernel/debug/kregion/regions") as f:
        print(f.read(), flush=True)


def difference(what, traced, kernel, tolerance=TOLERANCE):
    off = abs(traced - kernel) / kernel
    verdict = "ok" if off <= tolerance else f"NOT WITHIN {tolerance * 100:.0f} %"
    print(f"{what:28} trace {traced:>14} kernel {kernel:>14} difference {off * 100:6.3f} %  {verdict}")
    return off <= tolerance


def main(out):
    trace, result = f"{out}/trace.krt", f"{out}/kernel.json"
    output = subprocess.run(["krtrace", "record", "-b", "128M", "-o", trace, "--", sys.executable,
                             os.path.abspath(__file__), "--workload", result],
                            check=True, stderr=subprocess.PIPE, text=True).stderr
    print(output, flush=True)
    switches = int(re.search(r"/proc/stat counted (\d+) switches", output)[1])
    with open(f"{out}/report.txt", "w") as f:
        subprocess.run(["krtrace", "report", trace], stdout=f, check=True)
    subprocess.run(["krtrace", "convert", "--chrome", "-o", f"{out}/trace.json", trace],
                   check=True)
    with open(f"{out}/trace.json") as f:
        json.load(f)
    tsv = subprocess.run(["krtrace", "report", "--tsv", trace], capture_output=True,
                         text=True, check=True).stdout.splitlines()
    summary = dict(line[2:].split(None, 1) for line in tsv if line.startswith("# "))
    traced = {}
    for line in tsv:
        fields = line.split("\t")
        if fields[0].isdigit():
            task = dict(zip(tsv[0].split("\t"), fields))
            traced[fields[0]] = int(task["run_ns"]), int(task["wait_ns"])
    with open(result) as f:
        kernel = json.load(f)

    with open(f"{out}/report.txt") as f:
        print(f.read())
    print("== the trace and the statistics of the kernel")
    good = difference("context switches", int(summary["switches_total"]), switches)
    for n, what in enumerate(("run time", "wait time")):
        good &= difference(f"{what}, ns", sum(traced.get(pid, (0, 0))[n] for pid in kernel),
                           sum(times[n] for times in kernel.values()))
        for pid, times in kernel.items():
            good &= difference(f"{what} of {pid}, ns", traced.get(pid, (0, 0))[n], times[n],
                               TOLERANCE_ONE)
    if int(summary["lost"]):
        print("records were lost:", summary["lost"])
        good = False
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1] == "--workload":
        workload(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1]))
