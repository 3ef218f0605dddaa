#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the torture test, kunit_tests/stress.c, in a VM.

Each scenario is a result, as KTAP on standard output: SUCCESS is expected, and
FAILURE of each fault. While the module runs, the VM's monitor
injects NMIs. What the VM leaves is in out/stress/KERNEL.

usage: stress.py [-d SECONDS] [-s SEED] [-t THREADS] KERNEL [SCENARIO | FAULT]...
"""
import argparse
from pathlib import Path
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from lib import TOP, VM, die, kernel, output, stage

SCENARIOS = ("bump", "mixed", "contexts", "reserve", "epochs", "limits", "hotplug", "rotate", "churn", "watch", "hog",
             "memcg", "replica")
FAULTS = "nonatomic", "preempt", "nolook", "late"
# Without interrupts of its own.
QUIET = "churn", "watch", "replica"
LINE = re.compile(r"kregion_stress: (\w+): (.*?)\r?$|(Out of memory: Killed)")
RESULT = re.compile(r"^(ok|not ok) \d+ - (.*)", re.M)


class Monitor(threading.Thread):
    """Injects NMIs into all CPUs while the file that it is given is there."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.file = path, queue.Queue()

    def run(self):
        with socket.socket(socket.AF_UNIX) as monitor:
            while monitor.connect_ex(str(self.path)):
                time.sleep(0.1)
            try:
                self.prompt(monitor)
                while file := self.file.get():
                    while file.exists():
                        monitor.sendall(b"nmi\n")
                        self.prompt(monitor)
                        time.sleep(0.0005)
            except OSError:
                pass    # the VM has ended

    @staticmethod
    def prompt(monitor):
        text = b""
        while not text.endswith(b"(qemu) "):
            more = monitor.recv(4096)
            if not more:
                raise ConnectionError
            text += more


class Results:
    """KTAP of the lines that the module logs."""

    def __init__(self, out, monitor, nmis):
        self.out, self.monitor, self.nmis = out, monitor, nmis
        self.number, self.bad, self.fields = 0, 0, {}

    def result(self, good, text):
        self.number += 1
        self.bad += not good
        print("ok" if good else "not ok", self.number, "-", text, flush=True)

    def line(self, name, text):
        if not name:
            self.fields["kills"] = True
        elif name == "start":
            self.fields = {}
            self.monitor.file.put(self.out / f"nmi.{text.split()[0]}")
        elif name == "end":
            self.verdict(text)
        elif text.startswith("operations"):
            words = text.replace("failed ", "").replace("errors ", "").split()
            self.fields.update(zip(words[::2], map(int, words[1::2])))

    def verdict(self, text):
        f, verdict = self.fields, text.rsplit(" ", 1)[-1]
        fault = re.search(r"busted=(\w+)", text)[1]
        name = re.search(r"scenario=(\S+)", text)[1] if fault == "none" else f"busted {fault}"
        said = f"{name}: {f.get('operations', 0)} operations, {f.get('nmis', 0)} NMIs, {verdict}"
        if fault != "none":
            self.result(verdict == "FAILURE" and f.get("damaged"), said)
        elif self.nmis and name not in QUIET and not f.get("nmi"):
            self.result(False, f"{said}, no operation in an NMI")
        elif name == "hog" and "kills" not in f:
            self.result(False, f"{said}, memory was not short")
        else:
            self.result(verdict == "SUCCESS", said)


def follow(path, child):
    """The lines of a growing file, until the child ends."""
    text, ended = "", False
    while not path.exists() and child.poll() is None:
        time.sleep(0.1)
    with open(path, encoding="utf-8", errors="replace") as file:
        while not ended:
            ended = child.poll() is not None
            text += file.read()
            *lines, text = text.split("\n")
            yield from lines
            time.sleep(0.02)


def boot(args, out, folder, monitor):
    """Start the VM, and build while it boots."""
    wanted = args.names or SCENARIOS + FAULTS
    runs = [f"scenario={n}" for n in wanted if n in SCENARIOS] + ["log"]
    runs += [f"busted={n}" for n in wanted if n in FAULTS]
    x86 = (folder / "arch").read_text().strip() in ("amd64", "i386")
    command = [VM / "run.sh", "-d", "-m", "512M", "-l", str(60 + 4 * args.duration),
               "-a", "loglevel=7 preempt=full apic_extnmi=all",
               "-q", f"-chardev socket,id=nmi,path={monitor.path},server=on,wait=off -mon chardev=nmi" if x86 else "",
               folder, out, "stress-guest.sh", " ".join(runs),
               f"duration={args.duration}", f"threads={args.threads}", f"seed={args.seed}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        try:
            built = Path(output(VM / "build.sh", args.kernel))
            for each in built / "kmod/kregion.ko", built / "kunit_tests/kregion_stress.ko":
                shutil.copy(each, out)
            for each in "guest-lib.sh", "stress-guest.sh":
                shutil.copy(VM / each, out)
            (out / "go").touch()
            monitor.start()
            stage(f"stress: {args.kernel}")
            results = Results(out, monitor, x86)
            for line in follow(out / "console", child):
                found = LINE.search(line)
                if found:
                    results.line(*found.groups()[:2])
        except BaseException:
            child.terminate()
            raise
    for good, text in RESULT.findall((out / "ktap").read_text() if (out / "ktap").exists() else ""):
        if good != "ok" or "held" not in text:
            results.result(good == "ok", text)
    results.result(child.returncode == 0, "VM")
    print(f"1..{results.number}")
    return results.bad


def main():
    parser = argparse.ArgumentParser(usage=__doc__.rsplit("usage: ", 1)[1])
    parser.add_argument("-d", "--duration", type=int, default=8)
    parser.add_argument("-s", "--seed", type=int, default=0)
    parser.add_argument("-t", "--threads", type=int, default=0)
    parser.add_argument("kernel")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    unknown = set(args.names) - set(SCENARIOS + FAULTS)
    if unknown:
        die("no scenario or fault " + ", ".join(sorted(unknown)), 2)
    folder, out = kernel(args.kernel), TOP / "out/stress" / args.kernel
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    print("KTAP version 1", flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        sys.exit(boot(args, out, folder, Monitor(Path(tmp, "monitor"))) > 0)


if __name__ == "__main__":
    main()
