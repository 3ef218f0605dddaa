#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Test errors of /dev/kregion_trace for bad input and bad order; runs in the VM."""
import ctypes
import errno
import fcntl
import os
import struct
import subprocess
import sys

DEVICE = "/dev/kregion_trace"
MIB = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
failures = 0


def ioctl_number(nr, size=0, direction=0):
    return direction << 30 | size << 16 | 0xBB << 8 | nr


START, STOP = ioctl_number(0x40, 16, 1), ioctl_number(0x41)
DROP, INFO = ioctl_number(0x42), ioctl_number(0x43, 80, 2)


def expect(what, want, call):
    global failures
    got = 0
    try:
        call()
    except OSError as e:
        got = e.errno
    if got != want:
        failures += 1
        print(f"{what}: {errno.errorcode.get(got, got)}, not {errno.errorcode.get(want, want)}")


def check(what, good):
    global failures
    if not good:
        failures += 1
        print(f"{what}: no")


def start(budget, flags=0, size=16, more=b""):
    return lambda: fcntl.ioctl(fd, START, struct.pack("IIQ", size, flags, budget) + more)


def ioctl(number):
    return lambda: fcntl.ioctl(fd, number)


def with_pointer(function, *args):
    def call():
        if function(fd, *args) < 0:
            raise OSError(ctypes.get_errno(), "")
    return call


def info():
    """struct kregion_trace_info."""
    return struct.unpack("IIQQQQQQQQQ", fcntl.ioctl(fd, INFO, b"\0" * 80))


def refused_to_unload(module):
    return subprocess.run(["rmmod", module], stderr=subprocess.DEVNULL).returncode != 0


check("mode 0600", os.stat(DEVICE).st_mode & 0o777 == 0o600)
expect("open for reading", errno.EPERM, lambda: os.open(DEVICE, os.O_RDONLY))
expect("open for writing", errno.EPERM, lambda: os.open(DEVICE, os.O_WRONLY))
fd = os.open(DEVICE, os.O_RDWR)
expect("second open", errno.EBUSY, lambda: os.open(DEVICE, os.O_RDWR))
expect("unknown ioctl", errno.ENOTTY, ioctl(ioctl_number(0x50)))
expect("read of nothing", errno.ENODATA, lambda: os.read(fd, 10))
expect("stop of nothing", errno.EINVAL, ioctl(STOP))
expect("drop of nothing", errno.ENODATA, ioctl(DROP))
for budget in 0, 1, 65535, 1 << 50, (1 << 64) - 1:
    expect(f"budget {budget}", errno.EINVAL, start(budget))
expect("unknown flag", errno.EINVAL, start(MIB, flags=1))
expect("short struct", errno.EINVAL, start(MIB, size=8))
expect("longer struct, not zero", errno.E2BIG, start(MIB, 0, 24, b"\1" * 8))
expect("a struct over a page", errno.E2BIG, start(MIB, 0, 1 << 20))
check("information without a trace: the limits of the budget", not any(info()[:9]) and all(info()[9:]))
expect("start, bad pointer", errno.EFAULT,
       with_pointer(libc.ioctl, ctypes.c_ulong(START), ctypes.c_void_p(8)))

expect("longer struct, zero", 0, start(MIB, 0, 24, b"\0" * 8))
expect("start twice", errno.EBUSY, start(MIB))
first = info()
check("information while running", first[0] == 1 and first[2] == MIB and first[8] == 0)
check("its time passes", 0 < first[3] < info()[3])
expect("read while running", errno.EBUSY, lambda: os.read(fd, 10))
expect("drop while running", errno.EBUSY, ioctl(DROP))
expect("write", errno.EINVAL, lambda: os.write(fd, b"x"))
check("unloading while tracing is refused", refused_to_unload("kregion_trace"))
check("unloading the allocator is refused", refused_to_unload("kregion"))
expect("stop", 0, ioctl(STOP))
expect("stop twice", errno.EINVAL, ioctl(STOP))
expect("start over a trace", errno.EBUSY, start(MIB))
expect("read, bad pointer", errno.EFAULT,
       with_pointer(libc.read, ctypes.c_void_p(8), ctypes.c_size_t(100)))
expect("seek", errno.ESPIPE, lambda: os.lseek(fd, 0, 0))
length = info()[8]
read, chunk = 0, 1
while data := os.read(fd, chunk):
    check("read returns no more than requested", len(data) <= chunk)
    read += len(data)
    chunk = chunk % 97 + 1
check("the stream has the announced size", read == length and read > 0)
expect("drop", 0, ioctl(DROP))
expect("read after drop", errno.ENODATA, lambda: os.read(fd, 10))


def online(cpu, on):
    with open(f"/sys/devices/system/cpu/cpu{cpu}/online", "w") as f:
        f.write(str(on))


# A CPU that comes online after the start is traced, too.
online(1, 0)
expect("start with a CPU offline", 0, start(16 * MIB))
online(1, 1)
subprocess.run(["taskset", "-c", "1", "true"], check=True)
online(1, 0)
expect("stop with a CPU offline", 0, ioctl(STOP))
online(1, 1)
lost = info()[5]
cpus = struct.unpack_from("I", os.read(fd, 88), 36)[0]
check(f"{cpus} CPUs traced, {lost} records lost", cpus == 2 and lost == 0)
expect("drop again", 0, ioctl(DROP))

expect("start again", 0, start(MIB))
os.close(fd)
with open("/sys/kernel/debug/kregion/regions") as f:
    check("closing stops and drops", "kregion_trace" not in f.read())

os.chmod(DEVICE, 0o666)
child = subprocess.run(["setpriv", "--reuid", "1000", "--clear-groups", sys.executable, "-c",
                        "import errno, os, sys\n"
                        f"try: os.open('{DEVICE}', os.O_RDWR)\n"
                        "except OSError as e: sys.exit(e.errno != errno.EPERM)\n"
                        "sys.exit(2)"])
check("refused without the capability", child.returncode == 0)
os.chmod(DEVICE, 0o600)
sys.exit(failures != 0)
