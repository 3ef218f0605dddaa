#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Trace a storm of wake-ups, some in the middle of others; run in the VM.

usage: trace_storm.py MODULE nested
"""
import fcntl
import os
import struct
import subprocess
import sys
import time

MIB = 1 << 20
START, STOP, INFO = 0x4010BB40, 0xBB41, 0x8050BB43


def trace(fd, budget, seconds):
    """Trace for a while; records, lost ones, and the announced size of the stream."""
    fcntl.ioctl(fd, START, struct.pack("IIQ", 16, 0, budget))
    time.sleep(seconds)
    fcntl.ioctl(fd, STOP)
    info = struct.unpack("IIQQQQQQQQQ", fcntl.ioctl(fd, INFO, b"\0" * 80))
    return info[4], info[5], info[8]


def nested(module):
    """The stream is as long as announced, and well-formed, as krtrace checks it."""
    fd = os.open("/dev/kregion_trace", os.O_RDWR)
    subprocess.run(["insmod", module], check=True)
    records, lost, announced = trace(fd, 64 * MIB, 0.3)
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


sys.exit(not {"nested": nested}[sys.argv[2]](sys.argv[1]))
