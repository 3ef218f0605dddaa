#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Record live traces of many times their budget; runs in the VM.

Processes that yield to each other, which the kernel switches as fast as it can:

fast	krtrace keeps up: no record is missing, and the page allocator is not called
slow	krtrace is stopped for a while: whole generations are missing, counted and marked

usage: trace_stream.py fast | slow [MIB [TIMES]]
"""
import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import time

import trace_file

PAGE = os.sysconf("SC_PAGE_SIZE")
failures = 0


def check(what, good):
    global failures
    print(f"{what}: {'yes' if good else 'NO'}", flush=True)
    failures += not good


def switcher(cpu):
    """A process on a CPU that yields to another one."""
    pid = os.fork()
    if not pid:
        os.sched_setaffinity(0, {cpu})
        while True:
            os.sched_yield()
    return pid


@contextlib.contextmanager
def storm():
    switchers = [switcher(cpu) for cpu in os.sched_getaffinity(0) for _ in range(2)]
    try:
        yield
    finally:
        for pid in switchers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def saved():
    """Bytes of the unfinished output."""
    try:
        return sum(map(os.path.getsize, glob.glob(".krtrace-*")))
    except FileNotFoundError:
        return 0


def wait_until(child, condition):
    """Or until krtrace has ended."""
    while child.poll() is None and not condition():
        time.sleep(0.1)


def record(budget, size, path, during=lambda child: None):
    """Record a storm until the trace has that size; return what krtrace said."""
    with storm(), subprocess.Popen(["krtrace", "record", "-b", str(budget), "-o", path],
                          stderr=subprocess.PIPE, text=True) as child:
        during(child)
        wait_until(child, lambda: saved() >= size)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
    print(said, end="")
    check("krtrace succeeded", child.returncode == 0)
    return said


def check_order(trace):
    """In each CPU the times do not step back, and each switch continues the one before.

    Returns the number of switches, of gaps, and of records that are not as they should be.
    """
    last, task, generation_of, switches, breaks, bad = {}, {}, {}, 0, 0, 0
    for generation, cpu, kind, when, words in trace.records():
        bad += when < last.get(cpu, 0)
        last[cpu] = when
        if generation != generation_of.get(cpu):
            # Each one begins with the current task, which is that of the last one.
            bad += kind not in (trace_file.RUNNING_TASK, trace_file.LOST)
            if any(generation_of.get(cpu, 0) < g <= generation for g in trace.marked):
                task[cpu] = None
            generation_of[cpu] = generation
        if kind == trace_file.RUNNING_TASK:
            bad += task.get(cpu) not in (None, words[0] & 0xffffff)
            task[cpu] = words[0] & 0xffffff
        elif kind == trace_file.SWITCH:
            switches += 1
            bad += task.get(cpu) not in (None, words[0] >> 32 & 0xffffff)
            task[cpu] = words[0] & 0xffffff
        elif kind == trace_file.EXEC and words[0] & 0xffffff != words[0] >> 32 & 0xffffff:
            task[cpu] = words[0] & 0xffffff
        elif kind == trace_file.LOST:
            breaks += 1
            task[cpu] = None
    return switches, breaks, bad


def check_trace(said, path, budget, times):
    """What holds for each trace."""
    trace = trace_file.read(path)
    size = os.path.getsize(path)
    records, lost, generations, lost_generations = map(int, re.search(
        r"(\d+) records, (\d+) lost, (\d+) generations, (\d+) lost", said).groups())
    held = int(re.search(r"region held (\d+) bytes", said)[1])
    print(f"{size} bytes, {size / budget:.1f} times the budget; {generations} generations, "
          f"{lost_generations} lost; {trace.values['fills']} blocks from the page allocator")
    check(f"the trace is {times} times the budget", size >= times * budget)
    check("the memory is within the budget", held <= budget)
    check("the end section counts the same generations",
          trace.counts[:2] == [generations, lost_generations])
    check("the marks have the lost generations",
          sum(mark[0] for mark in trace.marks) == lost_generations and
          trace.generations + lost_generations == generations)
    check("the file and the marks have all records",
          sum(s[2] for s in trace.sections) + sum(mark[1] for mark in trace.marks) == records)
    check("they have all losses",
          sum(s[3] for s in trace.sections) + sum(mark[2] for mark in trace.marks) == lost)
    # None was freed: that many blocks of a page at least would not fit.
    check("blocks are reused", trace.values["fills"] * PAGE <= budget)
    switches, breaks, bad = check_order(trace)
    print(f"{switches} switches, {breaks} gaps; {trace.values['failed_nofill']} calls found no memory")
    check("the sequence of switches is unbroken", bad == 0 and switches > 1000)
    check("krtrace reports it", not subprocess.run(
        ["krtrace", "report", "--tsv", path], stdout=subprocess.DEVNULL, check=False).returncode)
    return lost, lost_generations


def fast(budget, times):
    said = record(budget, times * budget, "fast.krt")
    lost, lost_generations = check_trace(said, "fast.krt", budget, times)
    check("nothing is lost", lost == 0 and lost_generations == 0)


def switches():
    """Context switches since boot."""
    with open("/proc/stat") as f:
        return int(re.search(r"ctxt (\d+)", f.read())[1])


def slow(budget, times):
    def stop(child):
        wait_until(child, lambda: saved() >= budget)
        child.send_signal(signal.SIGSTOP)
        start = switches()
        # Each has a record of 16 bytes.
        wait_until(child, lambda: (switches() - start) * 16 >= 3 * budget)
        child.send_signal(signal.SIGCONT)

    said = record(budget, times * budget, "slow.krt", stop)
    _, lost_generations = check_trace(said, "slow.krt", budget, times)
    check("generations are lost", lost_generations > 5)
    check("krtrace says so", f"{lost_generations} generations with" in said)


def main():
    what, mib, times = sys.argv[1:] + ["4", "10"][len(sys.argv) - 2:]
    {"fast": fast, "slow": slow}[what](int(float(mib) * (1 << 20)), int(times))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
