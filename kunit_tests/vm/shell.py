#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Types into `make shell` as a newcomer would, on a terminal of its own.

usage: shell.py

The banner's commands are run as printed. Exits with 0 if all went well.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

VM = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(os.path.join(VM, "../../out/shell"))
ROWS, COLUMNS = 37, 111
PROMPT = re.compile(r"kregion-vm:[^\n]*# $")
SILENCE = 600       # seconds without a character, on a machine however busy
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][0-9A-Z]|\x1b[=>78]|\r")


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.environ["TERM"] = "xterm"
            os.execv(command[0], command)
        self.modes = termios.tcgetattr(self.fd)
        self.text = ""

    def read(self):
        """What came since the last call, or None at the end."""
        if not select.select([self.fd], [], [], SILENCE)[0]:
            raise SystemExit(f"time-out: {SILENCE} s without output")
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if not data:
            return None
        text = data.decode(errors="replace")
        sys.stdout.write(text)
        sys.stdout.flush()
        return text

    def until(self, pattern):
        """The text up to a match of pattern, without escape sequences."""
        while True:
            plain = ESCAPES.sub("", self.text)
            if pattern.search(plain):
                self.text = ""
                return plain
            more = self.read()
            if more is None:
                raise SystemExit(f"the terminal closed before {pattern.pattern!r}")
            self.text += more

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def run(self, command):
        """Type a command; its output, and its exit status."""
        self.type(command + "\r")
        output = self.until(PROMPT)
        self.type("echo status=$?\r")
        return output, int(re.search(r"^status=(\d+)", self.until(PROMPT), re.M)[1])

    def end(self):
        """The exit status, once everything is read."""
        while self.read() is not None:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def main():
    failed = []

    def check(what, good):
        print(f"\n{'ok' if good else 'not ok'} - {what}")
        if not good:
            failed.append(what)

    shell = Terminal([os.path.join(VM, "demo.sh"), "--shell"])
    banner = shell.until(PROMPT)
    check("no complaint of the shell", "no job control" not in banner and "rror" not in banner)
    check("the shared folder is named", "/run/out" in banner and OUT in banner)
    commands = re.findall(r"^ {4}(\S.*?)(?: +#.*)?$", banner, re.M)
    check("the banner has commands", len(commands) >= 4)
    outputs = {}
    for command in commands:
        outputs[command], status = shell.run(command)
        check(f"as printed: {command}", status == 0)
    report = "".join(text for command, text in outputs.items() if "report" in command)
    check("the report has the traced command", re.search(r"\bls\b", report))
    check("kregion-top shows the region", any(
        "kregion_trace" in text for command, text in outputs.items() if "kregion-top" in command))

    check("the size of the terminal", f"{ROWS} {COLUMNS}" in shell.run("stty size")[0])
    for command in ("echo a | cat /dev/stdin", "echo a >/dev/stdout", "echo a 2>&1 >/dev/stderr",
                    "cat <(echo a)", "test -c /dev/tty", "tty", "ls /dev/fd/", "test -w /dev/null",
                    "python3 -c 'import pty; pty.openpty()'"):
        output, status = shell.run(command)
        check(command, status == 0 and "No such" not in output)

    shell.run("echo from the VM >from-vm")
    try:
        with open(os.path.join(OUT, "from-vm"), encoding="utf-8") as f:
            check("a file in the shared folder is on the host", f.read() == "from the VM\n")
    except OSError as e:
        check(f"a file in the shared folder is on the host: {e}", False)
    shell.type("sleep 100000\r")
    time.sleep(2)
    shell.type("\x03")
    shell.until(PROMPT)
    check("Ctrl-C ends a command, not the VM", shell.run("true")[1] == 0)
    shell.type("kregion-top\r")
    shell.until(re.compile("q quits"))
    shell.type("q")
    shell.until(PROMPT)
    check("kregion-top runs and quits", True)

    shell.run("false")
    shell.type("exit\r")
    status = shell.end()
    check("exit ends it, whatever failed before", status == 0)
    print(f"\nexit status {status}; {len(failed)} failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
