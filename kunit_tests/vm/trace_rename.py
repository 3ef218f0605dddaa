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

START, STOP = 0x4010BB40, 0xBB41
NAME, PR_SET_NAME = 8, 15
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


def names(data):
    """Yield time, CPU, pid and name of all name records."""
    header, type_size, nr_types, field_size, nr_fields, nr_cpus = struct.unpack_from("6I", data, 16)
    sizes = dict(struct.unpack_from("HH", data, header + i * type_size) for i in range(nr_types))
    at = header + nr_types * type_size + nr_fields * field_size
    for _ in range(nr_cpus):
        head, size, cpu = struct.unpack_from("=IQI", data, at + 4)
        end, at = at + size, at + head
        while at < end:
            first, ids = struct.unpack_from("2Q", data, at)
            if first >> 56 == NAME:
                comm = data[at + 16:at + 32].split(b"\0")[0].decode()
                yield first & (1 << 56) - 1, cpu, ids & 0xffffffff, comm
            at += sizes[first >> 56]


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

    failed = False
    for thread, cpu, comm in (own, 0, "own-name"), (other, 1, "a name that is "):
        seen = sorted(name for name in names(data) if name[2] == thread.native_id)
        print(thread.native_id, seen)
        failed |= len(seen) < 2 or seen[-1][3] != comm or comm == seen[0][3] or \
            (cpu, comm) not in [(name[1], name[3]) for name in seen]
    seen = [name for name in names(data) if name[2] == mover.native_id]
    print(mover.native_id, seen)
    return failed or len(seen) != 1


sys.exit(main())
