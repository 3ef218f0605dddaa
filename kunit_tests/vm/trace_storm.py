#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Trace a storm of nested wake-ups; runs in the VM.

usage: trace_storm.py MODULE nested | start
"""
import fcntl
import os
import struct
import subprocess
import sys
import time

MIB = 1 << 20
BUDGET_MIN = 65536
START, STOP, DROP, INFO = 0x4010BB40, 0xBB41, 0xBB42, 0x8050BB43
fd = os.open("/dev/kregion_trace", os.O_RDWR)


def trace(budget, seconds, enough):
    """Trace for a while, and longer until it is enough.

    Return records, lost records, and the announced stream size.
    """
    while True:
        fcntl.ioctl(fd, START, struct.pack("IIQ", 16, 0, budget))
        time.sleep(seconds)
        fcntl.ioctl(fd, STOP)
        info = struct.unpack("IIQQQQQQQQQ", fcntl.ioctl(fd, INFO, b"\0" * 80))
        result = info[4], info[5], info[8]
        if enough(*result) or seconds > 10:
            return result
        fcntl.ioctl(fd, DROP)
        seconds *= 2


def nested(module):
    """The stream has the announced size, and krtrace finds it well-formed."""
    subprocess.run(["insmod", module], check=True)
    records, lost, announced = trace(64 * MIB, 0.3, lambda records, *_: records > 10000)
    subprocess.run(["rmmod", module], check=True)
    with open("storm.krt", "wb") as f:
        while f.tell() <= announced and (data := os.read(fd, MIB)):
            f.write(data)
        size = f.tell()
    os.close(fd)
    print(f"{records} records, {lost} lost, {announced} bytes announced, {size} read")
    report = subprocess.run(["krtrace", "report", "storm.krt"], stdout=subprocess.DEVNULL,
                            check=False)
    return size == announced and records > 10000 and report.returncode == 0


def start(module):
    """Probes do not use up a minimum budget before the start.

    Each CPU has a share, and one of them may be slow to use its own.
    """
    def used_up(_, lost, announced):
        return lost > 0 and announced > BUDGET_MIN // 2

    subprocess.run(["insmod", module], check=True)
    good = True
    for _ in range(5):
        result = trace(BUDGET_MIN, 0.1, used_up)
        fcntl.ioctl(fd, DROP)
        print("{} records, {} lost, {} bytes".format(*result))
        good &= used_up(*result)
    subprocess.run(["rmmod", module], check=True)
    return good


sys.exit(not {"nested": nested, "start": start}[sys.argv[2]](sys.argv[1]))
