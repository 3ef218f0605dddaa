#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Test errors of /dev/kregion_trace for bad input and bad order; runs in the VM."""
import ctypes
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import threading

import trace_file

DEVICE = "/dev/kregion_trace"
MIB = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
failures = 0


def ioctl_number(nr, size=0, direction=0):
    return direction << 30 | size << 16 | 0xBB << 8 | nr


START, STOP = ioctl_number(0x40, 16, 1), ioctl_number(0x41)
DROP, INFO = ioctl_number(0x42), ioctl_number(0x43, 80, 2)
ROTATE, GENERATIONS = ioctl_number(0x44), ioctl_number(0x45, 32, 2)
LIVE, LIVE_BUDGET_MIN = 1, 131072 * os.cpu_count()


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


def generations():
    """struct kregion_trace_generations: sealed, waiting, lost, records in lost ones."""
    return struct.unpack("4Q", fcntl.ioctl(fd, GENERATIONS, b"\0" * 32))


def readable(seconds=0):
    return bool(select.select([fd], [], [], seconds)[0])


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
expect("rotate of nothing", errno.EINVAL, ioctl(ROTATE))
expect("unknown flag", errno.EINVAL, start(MIB, flags=2))
expect("small budget of a live trace", errno.EINVAL, start(LIVE_BUDGET_MIN - 1, LIVE))
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
expect("rotate of a trace that is not live", errno.EINVAL, ioctl(ROTATE))
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

# A live trace: what is sealed can be read.
check("an idle device does not make a reader wait", readable())
expect("start a live trace", 0, start(LIVE_BUDGET_MIN, LIVE))
check("its header can be read", readable())
data = os.read(fd, MIB)
check("and nothing else", len(data) > 88 and not readable() and info()[8] == 0)
os.set_blocking(fd, False)
expect("read that would wait", errno.EAGAIN, lambda: os.read(fd, 10))
os.set_blocking(fd, True)
for i in range(3):
    if i < 2:
        answers = []
        reader = threading.Thread(target=lambda: answers.append(os.read(fd, MIB)))
        reader.start()
        reader.join(0.2)
        check("a reader waits", reader.is_alive())
        expect("rotate", 0, ioctl(ROTATE))
        reader.join()
        check("a generation wakes it", len(answers[0]) > 48)
        data += answers[0]
    else:
        expect("rotate", 0, ioctl(ROTATE))
        check("a generation can be read", readable() and generations() == (3, 1, 0, 0))
        expect("stop", 0, ioctl(STOP))
expect("rotate of a stopped trace", errno.EINVAL, ioctl(ROTATE))
check("the last generation waits, too", generations() == (4, 2, 0, 0))
while more := os.read(fd, 999):
    data += more
trace = trace_file.TraceFile(data)
check("the stream has all generations", trace.generations == 4 and trace.counts == [4, 0, 0])
check("and all records", sum(s[2] for s in trace.sections) == info()[4])
check("each begins with the current task of each CPU",
      [s[1] for s in trace.sections] == [*range(os.cpu_count())] * 4)
expect("drop", 0, ioctl(DROP))
check("no generation is left", generations() == (0, 0, 0, 0))
expect("start a live trace", 0, start(LIVE_BUDGET_MIN, LIVE))
os.read(fd, MIB)
expect("rotate", 0, ioctl(ROTATE))
nr_cpus = struct.unpack_from("I", os.read(fd, 48), 40)[0]
for _ in range(nr_cpus):
    check("the next section can be read", readable())
    os.read(fd, struct.unpack_from("Q", os.read(fd, 56), 8)[0] - 56)
check("nothing is behind the last one", nr_cpus > 0 and not readable())
answers = []
reader = threading.Thread(target=lambda: answers.append(os.read(fd, MIB)))
reader.start()
reader.join(0.2)
expect("stop", 0, ioctl(STOP))
reader.join()
check("the stop wakes a reader", len(answers[0]) > 48)
expect("drop", 0, ioctl(DROP))

# Its generations have the CPUs that are offline, too.
expect("start a live trace", 0, start(LIVE_BUDGET_MIN, LIVE))
data = os.read(fd, MIB)
subprocess.run(["taskset", "-c", "1", "true"], check=True)
online(1, 0)
expect("rotate with a CPU offline", 0, ioctl(ROTATE))
expect("and again", 0, ioctl(ROTATE))
online(1, 1)
expect("stop", 0, ioctl(STOP))
while more := os.read(fd, MIB):
    data += more
trace = trace_file.TraceFile(data)
check("all records are there", sum(s[2] for s in trace.sections) == info()[4] and
      trace.generations == 3 and info()[5] == 0)
expect("drop", 0, ioctl(DROP))


def on_alarm(_signal, _frame):
    raise InterruptedError(errno.EINTR, "")


expect("start a live trace", 0, start(LIVE_BUDGET_MIN, LIVE))
os.read(fd, MIB)
signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.2)
expect("a signal ends the wait", errno.EINTR, lambda: os.read(fd, MIB))
expect("stop", 0, ioctl(STOP))
expect("drop", 0, ioctl(DROP))

expect("start again", 0, start(MIB, LIVE))
expect("rotate", 0, ioctl(ROTATE))
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
