#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Trace threads that rename themselves or are renamed by another CPU, and one that
migrates, whose name is recorded once; runs in the VM.
"""
import ctypes
import fcntl
import os
import struct
import sys
import threading

import trace_file

START, STOP = 0x4010BB40, 0xBB41
PR_SET_NAME = 15
libc = ctypes.CDLL(None)


class Renamed(threading.Thread):
    """Runs on CPU 0, and then renames itself if it has a name."""

    def __init__(self, name=None):
        super().__init__()
        self.comm, self.go, self.seen = name, threading.Event(), threading.Event()
        self.start()

    def run(self):
        os.sched_setaffinity(0, {0})
        self.seen.set()
        self.go.wait()
        if self.comm:
            libc.prctl(PR_SET_NAME, self.comm.encode())


def migrate():
    """Run on each CPU in turn."""
    for i in range(20):
        os.sched_setaffinity(0, {i % 2})


def names(trace):
    """Yield time, CPU, pid and name of all name records."""
    for _, cpu, kind, when, words in trace.records():
        if kind == trace_file.NAME:
            comm = words[1:].tobytes().split(b"\0")[0].decode()
            yield when, cpu, words[0] & 0xffffffff, comm


def main():
    fd = os.open("/dev/kregion_trace", os.O_RDWR)
    fcntl.ioctl(fd, START, struct.pack("IIQ", 16, 0, 16 << 20))
    own, other = Renamed("own-name"), Renamed()
    own.seen.wait()
    other.seen.wait()
    os.sched_setaffinity(0, {1})
    own.go.set()
    with open(f"/proc/self/task/{other.native_id}/comm", "w") as f:
        f.write("a name that is too long")
    other.go.set()
    own.join()
    other.join()
    mover = threading.Thread(target=migrate)
    mover.start()
    mover.join()
    fcntl.ioctl(fd, STOP)
    data = b""
    while more := os.read(fd, 1 << 20):
        data += more
    os.close(fd)
    trace = trace_file.TraceFile(data)

    failed = False
    for thread, cpu, comm in (own, 0, "own-name"), (other, 1, "a name that is "):
        seen = sorted(name for name in names(trace) if name[2] == thread.native_id)
        print(thread.native_id, seen)
        failed |= len(seen) < 2 or seen[-1][3] != comm or comm == seen[0][3] or \
            (cpu, comm) not in [(name[1], name[3]) for name in seen]
    seen = [name for name in names(trace) if name[2] == mover.native_id]
    print(mover.native_id, seen)
    return failed or len(seen) != 1


sys.exit(main())
