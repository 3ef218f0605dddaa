# SPDX-License-Identifier: GPL-2.0
"""What scripts in Python share, as vm/lib.sh is for those of the shell.

A signal ends a script as an exception: contexts are left, commands are ended.
"""
import hashlib
import os
from pathlib import Path
import re
import shlex
import signal
import subprocess
import sys
import time

TOP = Path(__file__).resolve().parents[1]
VM = TOP / "kunit_tests/vm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kregion"
# The built copies of this tree.
WORK = CACHE / ("work-" + hashlib.sha256(f"{TOP}\n".encode()).hexdigest()[:12])
START = int(os.environ.setdefault("START", str(int(time.time()))))
# A user's shell does not look where dkms, depmod and ldconfig are.
os.environ["PATH"] += ":/usr/sbin:/sbin"
# Builds have jobs of their own, not those of the make that runs the checks.
for name in "MAKEFLAGS", "MFLAGS", "MAKELEVEL":
    os.environ.pop(name, None)


def stage(text):
    """A line a stage, with the seconds since the first script started."""
    print(f"[{int(time.time()) - START:4}s] {text}", file=sys.stderr, flush=True)


def die(text, status=1):
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(status)


def expect(good, text):
    if not good:
        die(text)


def read(*parts):
    return Path(*parts).read_text(encoding="utf-8").strip()


def result(*command, **kwargs):
    """A command's exit status, and what it says to pipes."""
    sys.stdout.flush()
    with subprocess.Popen(command, text=True, **kwargs) as child:
        try:
            said = child.communicate()
        except BaseException:
            child.terminate()
            raise
    return child.returncode, "".join(filter(None, said)).strip()


def limited(seconds, *command, **kwargs):
    """As result(), with a limit to the processor time, and ten times that on the clock for one that sleeps for good."""
    status, said = result("timeout", "-k", "5", f"{10 * seconds}", "prlimit", f"--cpu={seconds}:{seconds + 5}",
                          *command, **kwargs)
    if status in (124, -signal.SIGXCPU):
        status = f"time-out: {seconds} s of processor time, or ten times that on the clock"
    return status, said


def run(*command, **kwargs):
    """What a command says to pipes, which must succeed."""
    status, said = result(*command, **kwargs)
    expect(not status, f"{shlex.join(map(str, command))}: exit status {status}\n{said}")
    return said


def output(*command, **kwargs):
    return run(*command, stdout=subprocess.PIPE, **kwargs)


def kernel(name):
    """The folder of a kernel, see vm/kernels.py."""
    return Path(output(VM / "kernels.py", name))


class Ktap:
    """Results on standard output; what is wrong with one stands in front of it."""

    def __init__(self, number):
        print(f"1..{number}", flush=True)
        self.done = self.failed = 0

    def add(self, name, wrong):
        self.done += 1
        self.failed += bool(wrong)
        for line in (wrong or "").splitlines():
            print(f"# {line}")
        print(f"{'not ok' if wrong else 'ok'} {self.done} - {name}", flush=True)


def blocks(*parts):
    """The lines of each block of a table: between empty lines, without comments."""
    text = re.sub(r"^#.*\n", "", read(*parts), flags=re.M)
    return [block.strip().splitlines() for block in re.split(r"\n\s*\n", text) if block.strip()]


def copy_tree(folder, *args):
    """As a clone has it."""
    folder.mkdir(parents=True, exist_ok=True)
    run("rsync", "-a", *args, "--exclude=.git", "--filter=:- .gitignore", f"{TOP}/", f"{folder}/")


def end(number, _):
    """Once: no signal interrupts the clean-up."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
for each_signal in SIGNALS:
    signal.signal(each_signal, end)
