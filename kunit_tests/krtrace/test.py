#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Test krtrace on crafted traces, without a VM.

Crafts each trace in both byte orders, and compares the output.

Builds krtrace with the address and undefined behaviour sanitizers, and with device.c,
which counts executed basic blocks, the unit of cost here; and as make does, since the
sanitizers restrain the optimizer.

usage: test.py [unittest arguments]
"""
import ctypes
import json
import os
import re
import resource
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from collections import namedtuple

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNNING_TASK, SWITCH, WAKEUP, WAKEUP_NEW, FORK, EXEC, EXIT, NAME, LOST = range(1, 10)
Type = namedtuple("Type", "id size nr_fields name")
Field = namedtuple("Field", "kind offset width shift bits name")
MS = 1000000
# The structures of a stream, in the order of the document.
PARTS = "header", "type", "field", "cpu", "end", "generation", "lost_generations", "live_end"
OTHER = {"little": ">", "big": "<"}[sys.byteorder]


class Packer:
    """Packs numbers in a byte order; replaces one of them, for damage."""

    def __init__(self, order, place=None, damage=None):
        self.order, self.place, self.damage, self.packed = order, place, damage, 0

    def __call__(self, layout, *values):
        values = list(values)
        for i, value in enumerate(values):
            if isinstance(value, int):
                if self.packed == self.place:
                    values[i] = self.damage(value)
                self.packed += 1
        return struct.pack(self.order + layout, *values)


class Cpu:
    """The section of a CPU. Times are nanoseconds since the start."""

    def __init__(self):
        self.parts = []         # layout and values of each record
        self.records = self.lost = self.tail_lost = self.tail_since = 0

    def record(self, kind, time, *words, text=b""):
        self.parts.append((f"{1 + len(words)}Q{len(text)}s", kind << 56 | time, *words, text))
        self.records += 1
        return self

    def event(self, kind, time, first, second=0, state=0, prio=120):
        return self.record(kind, time, first | prio << 24 | second << 32 | state << 56)

    def runs(self, time, pid):
        return self.event(RUNNING_TASK, time, pid)

    def switch(self, time, prev, following, state=0):
        return self.event(SWITCH, time, following, prev, state)

    def wakeup(self, time, pid, kind=WAKEUP):
        return self.event(kind, time, pid)

    def name(self, time, pid, comm):
        return self.record(NAME, time, pid | pid << 32, text=comm.ljust(16, b"\0"))

    def gap(self, since, time, count):
        self.lost += count
        return self.record(LOST, time, since, count)

    def tail(self, since, count):
        self.lost += count
        self.tail_since, self.tail_lost = since, count
        return self

    def bytes(self, pack, nr):
        size = 56 + sum(struct.calcsize("=" + layout) for layout, *_ in self.parts)
        head = pack("IIQIIQQQQ", 1, 56, size, nr, 0, self.records, self.lost, self.tail_lost,
                    self.tail_since)
        return head + b"".join(pack(*part) for part in self.parts)


class Trace:
    """A stream as in Documentation/trace-format.rst; cases may corrupt the attributes."""

    def __init__(self, duration=100 * MS, **values):
        self.header = {"magic": b"KRTRACE\0", "version": 1, "byte_order": 0x01020304,
                       "header_size": 88, "type_size": 24, "nr_types": len(TYPES), "field_size": 24,
                       "nr_fields": len(FIELDS), "nr_cpus": None, "cpu_limit": 8, "clock": 1,
                       "start_ns": 5000, "stop_ns": 5000 + duration, "start_real_ns": 0,
                       "budget": 32 << 20, "stream_size": None}
        self.types = [(t.id, t.size) for t in TYPES]
        self.sections = []
        self.value_size = 32
        self.values = values
        self.numbers = None     # number of integers in the bytes

    def cpu(self, nr):
        section = Cpu()
        self.sections.append((nr, section))
        return section

    def middle(self, pack):
        """What is between the fields and the end section."""
        return b"".join(section.bytes(pack, nr) for nr, section in self.sections)

    def end(self, pack, size):
        return pack("IIQII", 2, 24, 24 + size, len(self.values), self.value_size)

    def bytes(self, order="=", *damage):
        pack = Packer(order, *damage)
        types = b"".join(pack("HHHH16s", i, size, 0, 0, b"type") for i, size in self.types)
        sections = self.middle(pack)
        values = b"".join(pack("24sQ", name.encode(), value).ljust(min(self.value_size, 64), b"\0")
                          for name, value in self.values.items())
        end = self.end(pack, len(values))
        rest = types + bytes(24 * len(FIELDS)) + sections + end + values
        header = dict(self.header)
        if header["nr_cpus"] is None:
            header["nr_cpus"] = len(self.sections)
        if header["stream_size"] is None:
            header["stream_size"] = 88 + len(rest)
        whole = pack("8s10I5Q", *header.values()) + rest
        self.numbers = pack.packed
        return whole


class LiveTrace(Trace):
    """The stream of a live trace: generations with their CPUs, and lost ones between them."""

    def __init__(self, duration=100 * MS, **values):
        super().__init__(duration, **values)
        self.header.update(version=2, nr_cpus=0, stop_ns=0, stream_size=0)
        self.parts = []         # generations and marks
        self.number = 0         # of the next generation
        self.ending = {"stop_ns": 5000 + duration, "generations": None, "lost_generations": 0,
                       "lost_records": 0}

    def generation(self, since, until):
        """The following sections belong to it."""
        self.parts.append({"number": self.number, "since": since, "until": until, "cpus": [],
                           "nr_cpus": None})
        self.number += 1
        return self.parts[-1]

    def cpu(self, nr):
        section = Cpu()
        self.parts[-1]["cpus"].append((nr, section))
        return section

    def lost(self, generations, records, lost, since, until):
        self.parts.append([generations, records, lost, since, until])
        self.number += generations
        self.ending["lost_generations"] += generations
        self.ending["lost_records"] += records

    def middle(self, pack):
        out = b""
        for part in self.parts:
            if isinstance(part, list):
                out += pack("IIQ5Q", 4, 56, 56, *part)
                continue
            number = len(part["cpus"]) if part["nr_cpus"] is None else part["nr_cpus"]
            out += pack("IIQ3QII", 3, 48, 48, part["number"], part["since"], part["until"], number, 0)
            out += b"".join(section.bytes(pack, nr) for nr, section in part["cpus"])
        return out

    def end(self, pack, size):
        ending = dict(self.ending)
        if ending["generations"] is None:
            ending["generations"] = self.number
        return pack("IIQII4Q", 2, 56, 56 + size, len(self.values), self.value_size,
                    *ending.values())


class Case(unittest.TestCase):
    """Runs each case in an empty directory; another one has the traces in the other byte order."""

    def setUp(self):
        self.folder, self.other = tempfile.mkdtemp(), tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(shutil.rmtree, self.other)
        os.chdir(self.folder)

    def write(self, name, content, cut=None, damage=()):
        for folder, order in (self.folder, "="), (self.other, OTHER):
            data = content.bytes(order, *damage) if isinstance(content, Trace) else content
            with open(f"{folder}/{name}", "wb") as f:
                f.write(data[:cut])

    def read(self, name):
        with open(name, "rb") as f:
            return f.read()

    def run_krtrace(self, *args, env=None, **kwargs):
        return subprocess.run([PROGRAM, *args], env={**os.environ, **OPTIONS, **(env or {})},
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
                              **{"stdout": subprocess.PIPE, **kwargs})

    def krtrace(self, *args, status=0, **kwargs):
        done = self.run_krtrace(*args, **kwargs)
        errors = done.stderr.decode()
        self.assertNotRegex(errors, "Sanitizer|runtime error")
        if status is not None:
            self.assertEqual(done.returncode, status, errors)
        if args and not {"record", "-o"} & {*args} and "stdout" not in kwargs and \
           os.path.isfile(f"{self.other}/{args[-1]}"):
            other = self.run_krtrace(*args, cwd=self.other, **kwargs)
            self.assertEqual((other.stderr.decode(), other.returncode, other.stdout),
                             (errors, done.returncode, done.stdout))
        done.errors = errors
        return done

    def report(self, trace, **kwargs):
        self.write("t.krt", trace)
        return self.krtrace("report", "t.krt", **kwargs)

    def tasks(self, trace):
        """The report by pid: a dictionary of strings for each use of the pid."""
        self.write("t.krt", trace)
        lines = self.krtrace("report", "--tsv", "t.krt").stdout.decode().splitlines()
        keys = lines[0].lstrip("#").split("\t")
        tasks = {}
        for line in lines[1:]:
            if not line.startswith("#"):
                task = dict(zip(keys, line.split("\t"), strict=True))
                tasks.setdefault(int(task["pid"]), []).append(task)
        return tasks

    def times(self, trace):
        """Milliseconds running, waiting and sleeping, by pid; of the last task with that pid."""
        return {pid: tuple(int(lives[-1][key]) // MS for key in ("run_ns", "wait_ns", "sleep_ns"))
                for pid, lives in self.tasks(trace).items()}

    def refused(self, trace, why):
        """krtrace refuses the trace and reports the reason."""
        self.assertRegex(self.report(trace, status=1).errors, f"t.krt: .*{why}")

    def cost(self, *args):
        """Executed basic blocks."""
        self.krtrace(*args, env={"TEST_COUNT": "count"}, stdout=subprocess.DEVNULL)
        return int(self.read("count"))

    def linear(self, n, make, *args):
        """The cost is linear in the size of the input."""
        self.write("n.krt", make(n))
        self.write("4n.krt", make(4 * n))
        once, four = self.cost(*args, "n.krt"), self.cost(*args, "4n.krt")
        self.assertLess(four, 6 * once)


def asleep(child):
    """Wait until the process waits."""
    state = None
    while state != "S" and child.poll() is None:
        time.sleep(0.01)
        with open(f"/proc/{child.pid}/stat", encoding="ascii") as f:
            state = f.read().rpartition(") ")[2][0]


def tables(text):
    """The tables of a document: heading and rows, each a list of cells."""
    lines = text.splitlines()
    borders = [i for i, line in enumerate(lines) if re.fullmatch(r"=+( +=+)+", line)]
    for top, middle, bottom in zip(*[iter(borders)] * 3):
        starts = [m.start() for m in re.finditer("=+", lines[top])]
        spans = list(zip(starts, starts[1:] + [None]))
        rows = [[line[start:end].strip().strip("`") for start, end in spans]
                for line in lines[top + 1:middle] + lines[middle + 1:bottom]]
        yield rows[0], [row for row in rows[1:] if row[0]]


def structs(text):
    """Offset, size and name of the members of each structure of a header."""
    sizes = {"char": 1, "__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8}
    declaration = re.compile(r"^\t(?:struct )?(\w+) (\w+)(?:\[(\d+)\])?;", re.M)
    found = {}
    for name, body in re.findall(r"^struct (\w+) {\n(.*?)^};", text, re.M | re.S):
        members, at = [], 0
        for kind, member, count in declaration.findall(body):
            size = sizes[kind] * int(count or 1)
            members += [(at + m[0], *m[1:]) for m in found.get(kind, [(0, size, member)])]
            at += size
        found[name], sizes[name] = members, at
    return found, sizes


class Format(unittest.TestCase):
    """Documentation/trace-format.rst against the module's header and list of types."""

    def setUp(self):
        with open(f"{TOP}/Documentation/trace-format.rst", encoding="ascii") as f:
            self.text = f.read()
        with open(f"{TOP}/kmod/include/uapi/linux/kregion_trace.h", encoding="ascii") as f:
            self.structs, self.sizes = structs(f.read())
        fields = iter(FIELDS)
        self.fields = {t.name: [next(fields) for _ in range(t.nr_fields)] for t in TYPES}
        self.tables = list(tables(self.text))
        self.layouts = [rows for heading, rows in self.tables if heading[0] == "offset"]

    def layout(self, rows):
        return [(int(row[0]), int(row[1]), row[2]) for row in rows]

    def test_structures(self):
        for name, rows in zip(PARTS, self.layouts):
            members = [(at, size, "" if member == "reserved" else member)
                       for at, size, member in self.structs[f"kregion_trace_{name}"]]
            self.assertEqual(self.layout(rows), members, name)

    def test_sizes(self):
        """The sizes that a table gives are those of the structures."""
        header, _, _, cpu, end, generation, lost, live = (
            {row[2]: row[3] for row in rows} for rows in self.layouts[:len(PARTS)])
        for row, name in ((header["header_size"], "header"), (header["type_size"], "type"),
                          (header["field_size"], "field"), (cpu["header_size"], "cpu"),
                          (end["header_size"], "end"), (end["value_size"], "value"),
                          (generation["header_size"], "generation"),
                          (lost["header_size"], "lost_generations"),
                          (live["header_size"], "live_end")):
            self.assertEqual(re.search(r"\d+", row)[0], str(self.sizes[f"kregion_trace_{name}"]))

    def test_events(self):
        rows, = (rows for heading, rows in self.tables if heading[0] == "id")
        shifts = 0, 24, 32, 56
        for t, row in zip(TYPES, rows):
            ids = {f.shift: f.name for f in self.fields[t.name] if f.offset == 8}
            self.assertEqual(row, [str(t.id), t.name, *(ids.get(shift, "0") for shift in shifts)])
            self.assertIn(f"\n{t.size} bytes; the second word", self.text)
        self.assertEqual([t.id for t in TYPES[:len(rows)]], list(range(RUNNING_TASK, EXIT + 1)))

    def test_other_records(self):
        described = re.findall(r"^Type (\d+), ``(\w+)``, (\d+) bytes", self.text, re.M)
        self.assertEqual(described, [(str(t.id), t.name, str(t.size)) for t in TYPES[EXIT:]])
        for t, rows in zip(TYPES[EXIT:], self.layouts[len(PARTS):]):
            fields = [(f.offset + f.shift // 8, f.bits // 8 or f.width, f.name)
                      for f in self.fields[t.name] if f.offset]
            self.assertEqual([row for row in self.layout(rows) if row[2]], fields, t.name)

    def test_first_word(self):
        for t in TYPES:
            self.assertEqual(self.fields[t.name][:2], [Field(0, 0, 8, 0, 56, "time"),
                                                       Field(0, 0, 8, 56, 8, "type")])

    def test_fields_fill_the_record(self):
        for t in TYPES:
            self.assertEqual(max(f.offset + f.width for f in self.fields[t.name]), t.size)


class Cost(Case):
    """No trace provokes quadratic cost."""

    def test_many_cpus(self):
        def make(n):
            trace = Trace()
            trace.header["cpu_limit"] = n
            for i in range(n):
                trace.cpu(i)
            return trace
        self.linear(2000, make, "report")

    def test_many_pids(self):
        def make(step):
            def trace(n):
                trace = Trace()
                cpu = trace.cpu(0)
                for i in range(n):
                    cpu.name(0, i * step % (1 << 32), b"task")
                return trace
            return trace
        for step in 1, 1 << 12, 1 << 20, 0x9e3779b1:
            with self.subTest(step=step):
                self.linear(8000, make(step), "report")


class Refused(Case):
    """Malformed traces."""

    def test_cpu_sections(self):
        for cpus, why in ((0, 0), "out of order"), ((3, 2), "out of order"), ((8,), "range"):
            trace = Trace()
            for cpu in cpus:
                trace.cpu(cpu)
            self.refused(trace, why)

    def test_empty(self):
        self.write("empty", b"")
        for args in ("report", "empty"), ("convert", "--chrome", "empty"), ("report", "/dev/null"):
            self.assertEqual(self.krtrace(*args, status=1).errors,
                             f"krtrace: {args[-1]}: the file is empty\n")

    def test_not_a_trace(self):
        for content in b"x", b"KRTRACE", b"KRTRACF\0" + bytes(100), b"{}\n":
            self.write("bad", content)
            self.assertIn("wrong magic", self.krtrace("report", "bad", status=1).errors)
        self.assertIn("absent: No such file", self.krtrace("report", "absent", status=1).errors)
        self.assertIn(".: Is a directory", self.krtrace("report", ".", status=1).errors)

    def test_truncated(self):
        """Truncations in each part of the file."""
        trace = small_trace()
        for length in range(8, len(trace.bytes()), 40):
            self.write("short", trace, cut=length)
            self.assertIn("truncated", self.krtrace("report", "short", status=1).errors)
        self.write("long", trace.bytes() + bytes(8))
        self.assertIn("longer", self.krtrace("report", "long", status=1).errors)

    def test_record_types(self):
        """Includes type 0, which krtrace uses for gaps."""
        for place, kind, size in ((5, 0, 16), (5, 256, 16), (5, 20, 0), (5, 20, 12), (1, 1, 8),
                                  (7, 7, 8), (8, 8, 24), (9, 9, 16), (5, 6, 16)):
            with self.subTest(kind=kind, size=size):
                trace = small_trace()
                trace.types[place - 1] = kind, size
                self.refused(trace, "bad record type")

    def test_header(self):
        sizes = "bad sizes in the header"
        for key, value, why in (
                ("version", 3, "version 3"), ("byte_order", 0, "bad byte order"),
                ("byte_order", 0x04030201, "version 16777216"), ("header_size", 80, sizes),
                ("header_size", 92, sizes), ("header_size", 0xfffffff8, sizes),
                ("type_size", 16, sizes), ("type_size", 0xfffffff8, sizes),
                ("nr_types", 65535, sizes), ("nr_types", 0xffffffff, sizes),
                ("field_size", 0, sizes), ("nr_fields", 0xffffffff, sizes),
                ("nr_fields", 65536, sizes), ("stop_ns", 0, "start or stop time"),
                ("stop_ns", 1 << 63, "start or stop time")):
            with self.subTest(key=key, value=value):
                trace = small_trace()
                trace.header[key] = value
                self.refused(trace, why)

    def test_records(self):
        def bent(bend):
            trace = small_trace()
            bend(trace, trace.sections[0][1])
            return trace
        for bend, why in (
                (lambda t, c: c.switch(4 * MS, 0, 7), "record out of order"),
                (lambda t, c: c.switch(101 * MS, 0, 7), "record out of order"),
                (lambda t, c: c.record(77, 6 * MS), "unknown type"),
                (lambda t, c: c.record(NAME, 6 * MS, 7), "beyond its section"),
                (lambda t, c: c.gap(4 * MS, 6 * MS, 1), "lost record out of order"),
                (lambda t, c: c.gap(7 * MS, 6 * MS, 1), "lost record out of order"),
                (lambda t, c: c.tail(4 * MS, 1), "bad time"),
                (lambda t, c: c.tail(101 * MS, 1), "bad time"),
                (lambda t, c: setattr(c, "lost", 1), "number of lost records"),
                (lambda t, c: setattr(c, "records", 4), "number of records")):
            self.refused(bent(bend), why)

    def test_values(self):
        """Names must be printable words."""
        for name in "", "a b", "a\nb", "\x1b[2J", "x" * 24, "\x7f":
            trace = small_trace()
            trace.values[name] = 1
            self.refused(trace, "bad end section")
        for size in 24, 0, 0xfffffff8:
            trace = small_trace()
            trace.values["bytes_held"] = 1
            trace.value_size = size
            self.refused(trace, "bad end section")

    def test_longer_parts(self):
        """Readers skip the excess of longer parts."""
        trace = small_trace()
        trace.value_size = 40
        trace.values = {"bytes_held": 4000, "bytes_sealed": 321, "bytes_used": 1234}
        self.assertIn("4321 bytes held in at most 0 blocks, 1234 handed out",
                      self.report(trace).stdout.decode())
        trace = small_trace()
        trace.types.append((20, 48))
        trace.header["nr_types"] = 10
        trace.sections[0][1].record(20, 6 * MS, *[1 << 63] * 5)
        self.assertIn(" 4 records", self.report(trace).stdout.decode())

    def test_number_of_cpus(self):
        for number in 0, 1, 3, 0xffffffff:
            trace = Trace()
            trace.cpu(0)
            trace.cpu(1)
            trace.header["nr_cpus"] = number
            self.refused(trace, "number of CPU sections")


class ByteOrder(Case):
    """Traces in the other byte order; each case compares the output, see Case."""

    def trace(self):
        """Has records of all types, and values that read differently backwards."""
        trace = Trace(bytes_held=2 << 20, bytes_used=1 << 20)
        trace.types.append((20, 24))
        trace.header["nr_types"] = 10
        cpu = trace.cpu(0).runs(0, 7).name(0, 7, b"seven").event(FORK, 1 * MS, 260, 7)
        cpu.name(1 * MS, 260, b"child").wakeup(2 * MS, 260, WAKEUP_NEW).switch(3 * MS, 7, 260)
        cpu.event(EXEC, 4 * MS, 260, 260).name(4 * MS, 260, b"command")
        cpu.event(EXIT, 5 * MS, 260, prio=90).switch(6 * MS, 260, 7, 128)
        cpu.record(20, 7 * MS, 1, 2).gap(8 * MS, 9 * MS, 3).switch(10 * MS, 7, 0, 1)
        trace.cpu(5).runs(0, 0).wakeup(20 * MS, 7).switch(25 * MS, 0, 7).tail(30 * MS, 2)
        return trace

    def test_equal(self):
        trace = self.trace()
        self.assertNotEqual(trace.bytes(), trace.bytes(OTHER))
        self.write("t.krt", trace)
        for args in ("report",), ("report", "--tsv"), ("convert", "--chrome"):
            shown = self.krtrace(*args, "t.krt").stdout
            self.assertIn(b"seven", shown)
            for folder in self.folder, self.other:
                done = subprocess.run([PLAIN, *args, "t.krt"], cwd=folder, check=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                self.assertEqual(done.stdout, shown)

    def test_damage(self):
        """In each number, and at each word of the file."""
        trace = self.trace()
        whole = trace.bytes()
        for place in range(trace.numbers):
            for damage in lambda n: n ^ 1, lambda n: n + 256:
                with self.subTest(place=place):
                    self.write("t.krt", trace, damage=(place, damage))
                    self.krtrace("report", "--tsv", "t.krt", status=None)
        for length in range(0, len(whole), 8):
            self.write("t.krt", trace, cut=length)
            self.krtrace("report", "t.krt", status=1)


class Times(Case):
    """Times running, waiting for a CPU and sleeping, in traces of 100 ms."""

    def test_wakeup_and_preemption(self):
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 10)
        cpu.switch(10 * MS, 10, 20)             # preempted
        cpu.switch(25 * MS, 20, 10, 1).switch(40 * MS, 10, 0, 2)
        cpu = trace.cpu(1).runs(0, 0)
        cpu.wakeup(30 * MS, 20).switch(32 * MS, 0, 20).switch(50 * MS, 20, 0, 1)
        cpu.wakeup(60 * MS, 10).switch(64 * MS, 0, 10)
        cpu.event(EXIT, 70 * MS, 10).switch(72 * MS, 10, 0, 128)
        times = self.times(trace)
        self.assertEqual(times[10], (10 + 15 + 8, 15 + 4, 20))
        self.assertEqual(times[20], (15 + 18, 2, 5 + 50))
        self.assertEqual(times[0][1:], (0, 0))
        tasks = self.tasks(trace)
        self.assertEqual(tasks[10][0]["lat_max_ns"], str(4 * MS))
        self.assertEqual(tasks[20][0]["lat_max_ns"], str(2 * MS))
        report = self.report(trace).stdout.decode()
        self.assertRegex(report, r"PID TASK +RUN ms +WAIT ms +SLEEP ms")
        self.assertRegex(report, r" 10 \? +33\.000 +19\.000 +20\.000 ")
        self.assertRegex(report, r" all +66\.000 +21\.000 +75\.000 ")

    def test_until_the_end(self):
        trace = Trace()
        trace.cpu(0).runs(0, 1).switch(10 * MS, 1, 2).switch(30 * MS, 2, 3, 4)
        times = self.times(trace)
        self.assertEqual(times[1], (10, 90, 0))
        self.assertEqual(times[2], (20, 0, 70))     # stopped
        self.assertEqual(times[3], (70, 0, 0))

    def test_wakeup_that_changes_nothing(self):
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1).wakeup(5 * MS, 1)
        cpu.switch(10 * MS, 1, 2).wakeup(20 * MS, 1).switch(30 * MS, 2, 1, 1)
        cpu.wakeup(40 * MS, 2).wakeup(45 * MS, 2).switch(50 * MS, 1, 2)
        cpu.switch(60 * MS, 2, 1).switch(80 * MS, 1, 2)
        tasks = self.tasks(trace)
        self.assertEqual(self.times(trace)[1], (50, 20 + 10 + 20, 0))
        self.assertEqual(tasks[1][0]["lat_max_ns"], "0")
        self.assertEqual(self.times(trace)[2], (20 + 10 + 20, 10 + 20, 10))
        self.assertEqual(tasks[2][0]["lat_max_ns"], str(10 * MS))

    def test_sleep_that_a_signal_prevents(self):
        trace = Trace()
        trace.cpu(0).runs(0, 1).switch(10 * MS, 1, 2, 1).switch(30 * MS, 2, 1)
        self.assertEqual(self.times(trace)[1], (10 + 70, 20, 0))

    def test_new_task(self):
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1).event(FORK, 10 * MS, 2, 1).name(10 * MS, 2, b"first")
        cpu.wakeup(12 * MS, 2, WAKEUP_NEW).switch(17 * MS, 1, 2).event(EXIT, 20 * MS, 2)
        cpu.event(FORK, 21 * MS, 2, 1).name(21 * MS, 2, b"second")     # by another CPU
        cpu.switch(25 * MS, 2, 1, 128).wakeup(30 * MS, 2, WAKEUP_NEW).switch(37 * MS, 1, 2)
        cpu.switch(40 * MS, 2, 1, 1)
        lives = {life["comm"]: life for life in self.tasks(trace)[2]}
        for comm, run, wait, sleep in ("first", 8, 5, 0), ("second", 3, 7, 60):
            self.assertEqual(lives[comm]["run_ns"], str(run * MS))
            self.assertEqual(lives[comm]["wait_ns"], str(wait * MS))
            self.assertEqual(lives[comm]["sleep_ns"], str(sleep * MS))

    def test_pid_without_exit(self):
        """The exit is lost: the state of the first task is unknown."""
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1).name(0, 1, b"first").switch(10 * MS, 1, 2, 1)
        cpu.event(FORK, 30 * MS, 1, 2).name(30 * MS, 1, b"second")
        lives = {life["comm"]: life for life in self.tasks(trace)[1]}
        self.assertEqual(lives["first"]["sleep_ns"], str(20 * MS))
        self.assertEqual(lives["second"]["sleep_ns"], "0")

    def test_exec_by_a_thread(self):
        """Thread 2 of process 1 execs and takes over the pid of the process."""
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1).name(0, 1, b"leader").event(EXIT, 10 * MS, 1)
        cpu.switch(10 * MS, 1, 2, 128).event(EXEC, 30 * MS, 1, 2).name(30 * MS, 1, b"new")
        cpu.switch(40 * MS, 1, 0, 1).wakeup(60 * MS, 1).switch(70 * MS, 0, 1)
        lives = {life["comm"]: life for life in self.tasks(trace)[1]}
        for comm, run, wait, sleep in ("leader", 10, 0, 0), ("new", 10 + 30, 10, 20):
            self.assertEqual(lives[comm]["run_ns"], str(run * MS))
            self.assertEqual(lives[comm]["wait_ns"], str(wait * MS))
            self.assertEqual(lives[comm]["sleep_ns"], str(sleep * MS))
        self.assertEqual(self.times(trace)[2], (20, 0, 0))
        slices = [(e["name"], e["ts"] // 1000, e["dur"] // 1000) for e in
                  json.loads(self.krtrace("convert", "--chrome", "t.krt").stdout)["traceEvents"]
                  if e["ph"] == "X"]
        self.assertEqual(slices, [("leader", 0, 10), ("pid 2", 10, 20), ("new", 30, 10),
                                  ("new", 70, 30)])

    def test_exec(self):
        trace = Trace()
        trace.cpu(0).runs(0, 1).name(0, 1, b"old").event(EXEC, 30 * MS, 1, 1).name(30 * MS, 1, b"new")
        self.assertEqual(len(self.tasks(trace)[1]), 1)
        self.assertEqual(self.times(trace)[1], (100, 0, 0))

    def test_task_on_two_cpus(self):
        """With skewed clocks, a task runs on one CPU before it leaves the other."""
        trace = Trace()
        trace.cpu(0).runs(0, 1).switch(11 * MS, 1, 0)
        trace.cpu(1).runs(0, 0).switch(10 * MS, 0, 1).switch(30 * MS, 1, 0, 1)
        self.assertEqual(self.times(trace)[1], (11 + 20, 0, 70))


class Lost(Case):
    """Time is unknown where records are missing."""

    def trace(self):
        """Records of CPU 1 are missing from 30 to 60 ms and from 95 ms on."""
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1)
        cpu.switch(5 * MS, 1, 2, 1)             # 1 sleeps
        cpu.switch(10 * MS, 2, 3)               # 2 waits
        cpu.switch(40 * MS, 3, 4, 1)            # 3 sleeps
        cpu.wakeup(50 * MS, 6)
        cpu.wakeup(70 * MS, 1).switch(71 * MS, 4, 1, 1)
        cpu.switch(80 * MS, 1, 2, 1).wakeup(82 * MS, 6).wakeup(83 * MS, 7).switch(84 * MS, 2, 6, 1)
        cpu.wakeup(86 * MS, 3)
        trace.cpu(1).runs(0, 5).gap(30 * MS, 60 * MS, 9).switch(85 * MS, 7, 0, 1).tail(95 * MS, 3)
        return trace

    def test_times(self):
        times = self.times(self.trace())
        self.assertEqual(times[1], (5 + 9, 1, 25 + 15))
        self.assertEqual(times[2], (5 + 4, 20, 11))
        self.assertEqual(times[3], (30, 9, 0))
        self.assertEqual(times[4], (31, 0, 24))
        self.assertEqual(times[5], (30, 0, 0))
        self.assertEqual(times[6], (16, 2, 0))
        self.assertEqual(times[7], (0, 0, 10))  # woken while it ran in the gap

    def test_state_across_a_gap(self):
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1).wakeup(10 * MS, 2).wakeup(12 * MS, 4)
        cpu.switch(15 * MS, 1, 3, 1)
        cpu.wakeup(40 * MS, 2).switch(50 * MS, 3, 2, 1)
        cpu.switch(60 * MS, 2, 1, 1).switch(70 * MS, 1, 4, 1)
        trace.cpu(1).runs(0, 5).gap(20 * MS, 30 * MS, 1)
        times, tasks = self.times(trace), self.tasks(trace)
        self.assertEqual(times[1], (15 + 10, 0, 5 + 30))
        self.assertEqual(times[2], (10, 10 + 10, 40))
        self.assertEqual(times[4], (30, 8, 0))
        self.assertEqual(tasks[2][0]["lat_max_ns"], str(10 * MS))
        self.assertEqual(tasks[4][0]["lat_max_ns"], "0")

    def summary(self, trace):
        """The lines "# KEY VALUE" of the report."""
        self.write("t.krt", trace)
        lines = self.krtrace("report", "--tsv", "t.krt").stdout.decode().splitlines()
        return dict(line[2:].split() for line in lines if line.startswith("# "))

    def test_share_that_is_known(self):
        # CPU 1: to 30 ms, and from the switch at 85 ms to 95 ms.
        summary = self.summary(self.trace())
        self.assertEqual([summary[key] for key in ("known", "known_0", "known_1")],
                         ["0.7000", "1.0000", "0.4000"])
        report = self.report(self.trace()).stdout.decode()
        self.assertRegex(report, r"CPU +KNOWN ")
        self.assertRegex(report, r"\n +0 +100.0% .*\n +1 +40.0% .*\n +all +70.0% ")

    def test_losses_come_first(self):
        trace = self.trace()            # 15 records, 12 lost
        trace.values["bytes_held"] = trace.header["budget"] = 15 << 20
        advice = "a budget of about (27M|28M) would have sufficed"
        done = self.report(trace)
        self.assertRegex(done.stdout.decode(), r"^12 of 27 records \(44.4 %\) were lost;\n"
                         rf"{advice}.\nThe CPUs are known for 70.0 %")
        warning = rf"krtrace: \S+: 12 records were lost, 44.4 % of all; {advice}"
        self.assertRegex(done.errors, warning)
        self.assertRegex(self.krtrace("convert", "--chrome", "t.krt").errors, warning)
        self.assertEqual(self.summary(trace)["budget_enough"], str(27 << 20))
        env = {"TEST_STREAM": "t.krt", "TEST_INFO": f"15 12 {15 << 20} {15 << 20}"}
        self.assertRegex(self.krtrace("record", "-1", "true", env=env).errors, warning)
        self.assertIn("12 records were lost, 44.4 % of all; a larger budget",
                      self.krtrace("record", "true", env=env).errors)

    def test_small_budget(self):
        trace = self.trace()
        trace.values["bytes_held"] = trace.header["budget"] = 64 << 10
        self.assertRegex(self.report(trace).errors, "about 11[56]K would")

    def test_memory_not_in_time(self):
        trace = self.trace()
        trace.values["bytes_held"] = 1 << 20
        self.assertIn("lost, 44.4 % of all; memory was not available in time",
                      self.report(trace).errors)

    def test_everything_lost(self):
        for count in 1000, (1 << 64) - 1:
            trace = Trace(budget=0)
            trace.cpu(0).tail(0, count)
            done = self.report(trace)
            self.assertIn("were lost, 100.0 %", done.errors)
            self.assertIn("known for 0.0 %", done.stdout.decode())

    def test_nothing_lost(self):
        trace = small_trace()
        done = self.report(trace)
        self.assertEqual(done.errors, "")
        self.assertRegex(done.stdout.decode(), "^ +PID")
        self.assertEqual(self.summary(trace)["known"], "1.0000")
        env = {"TEST_STREAM": "t.krt", "TEST_INFO": "3 0 0 0"}
        self.assertNotIn("were lost", self.krtrace("record", "true", env=env).errors)

    def test_latency(self):
        tasks = self.tasks(self.trace())
        self.assertEqual(tasks[1][0]["lat_max_ns"], str(1 * MS))
        self.assertEqual(tasks[6][0]["lat_max_ns"], str(2 * MS))
        self.assertEqual(tasks[7][0]["lat_max_ns"], "0")


def small_trace():
    trace = Trace()
    trace.cpu(0).runs(0, 7).name(0, 7, b"seven").switch(5 * MS, 7, 0, 1)
    return trace


class Live(Case):
    """Traces with several generations."""

    def summary(self, trace):
        self.write("t.krt", trace)
        lines = self.krtrace("report", "--tsv", "t.krt").stdout.decode().splitlines()
        return dict(line[2:].split() for line in lines if line.startswith("# "))

    def pieces(self):
        """A trace of two CPUs in three generations, and the same in one."""
        one, live = Trace(), LiveTrace()
        cpus = one.cpu(0), one.cpu(1)
        for i, (since, until) in enumerate(((0, 31 * MS), (30 * MS, 61 * MS), (60 * MS, 100 * MS))):
            live.generation(since, until)
            parts = live.cpu(0), live.cpu(1)
            begin = 0 if i == 0 else since
            parts[0].runs(begin, 7).name(begin, 7, b"seven")
            parts[1].runs(begin, 0)
            if not i:
                cpus[0].runs(0, 7).name(0, 7, b"seven")
                cpus[1].runs(0, 0)
            for cpu in cpus[0], parts[0]:
                cpu.switch(since + 10 * MS, 7, 0, 1).switch(since + 29 * MS, 0, 7)
            for cpu in cpus[1], parts[1]:
                cpu.wakeup(since + 20 * MS, 7)
        return one, live

    def test_generations_are_one_trace(self):
        """Apart from the number of records."""
        one, live = self.pieces()
        self.assertEqual(self.times(one), self.times(live))
        self.assertEqual(self.times(live)[7], (30 + 3 + 10, 3 * 9, 3 * 10))
        reports = []
        for trace in one, live:
            self.write("t.krt", trace)
            reports.append([(e["name"], e["ts"], e.get("dur"), e["tid"]) for e in json.loads(
                self.krtrace("convert", "--chrome", "t.krt").stdout)["traceEvents"]
                if e["ph"] in "Xi"])
        self.assertEqual(*reports)
        summary = self.summary(live)
        self.assertEqual((summary["generations"], summary["lost_generations"]), ("3", "0"))
        self.assertEqual(summary["known"], "1.0000")
        self.assertEqual(self.summary(one)["generations"], "1")
        self.assertEqual(summary["stop_ns"], str(5000 + 100 * MS))

    def test_order_across_generations(self):
        """A generation begins before the one before it has ended."""
        live = LiveTrace()
        live.generation(0, 60 * MS)
        live.cpu(0).runs(0, 1).switch(10 * MS, 1, 0, 1)
        live.cpu(1).runs(0, 0).wakeup(55 * MS, 1)
        live.generation(50 * MS, 100 * MS)
        live.cpu(0).runs(52 * MS, 0).switch(58 * MS, 0, 1)
        live.cpu(1).runs(56 * MS, 0)
        self.assertEqual(self.times(live)[1], (10 + 42, 3, 45))
        self.assertEqual(self.tasks(live)[1][0]["lat_max_ns"], str(3 * MS))

    def lost(self):
        live = LiveTrace()
        live.generation(0, 30 * MS)
        live.cpu(0).runs(0, 1).switch(10 * MS, 1, 2, 1)
        live.cpu(1).runs(0, 3).switch(29 * MS, 3, 0, 1)
        live.lost(2, 1000, 0, 28 * MS, 60 * MS)
        live.generation(60 * MS, 100 * MS)
        live.cpu(0).runs(60 * MS, 2).switch(80 * MS, 2, 1)
        live.cpu(1).runs(61 * MS, 0)
        return live

    def test_lost_generations(self):
        """All CPUs are unknown meanwhile."""
        times = self.times(self.lost())
        self.assertEqual(times[1], (10 + 20, 0, 18))
        self.assertEqual(times[2], (18 + 20, 20, 0))
        self.assertEqual(times[3], (29, 0, 0))
        summary = self.summary(self.lost())
        self.assertEqual([summary[key] for key in ("known_0", "known_1", "generations",
                                                   "lost_generations", "lost_generation_records",
                                                   "lost")],
                         ["0.6800", "0.6800", "4", "2", "1000", "0"])
        done = self.report(self.lost())
        self.assertIn("2 generations with 1000 records were lost, not saved in time", done.errors)
        self.assertRegex(done.stdout.decode(), r"^2 of 4 generations with 1000 records were not "
                         r"saved in time.\nThe CPUs are known for 68.0 %")
        slices = [(e["name"], e["ts"] // 1000, e["dur"] // 1000) for e in
                  json.loads(self.krtrace("convert", "--chrome", "t.krt").stdout)["traceEvents"]
                  if e["ph"] == "X"]
        self.assertIn(("pid 2", 10, 18), slices)
        self.assertIn(("pid 2", 60, 20), slices)

    def test_cpu_that_is_gone(self):
        """A CPU is offline after the lost generations: nothing of it is unknown then."""
        live = LiveTrace()
        live.generation(0, 30 * MS)
        live.cpu(0).runs(0, 1)
        live.cpu(1).runs(0, 0)
        live.lost(1, 5, 0, 30 * MS, 60 * MS)
        live.generation(60 * MS, 100 * MS)
        live.cpu(0).runs(60 * MS, 1).switch(70 * MS, 1, 2, 1).switch(90 * MS, 2, 1)
        times = self.times(live)
        self.assertEqual(times[1], (30 + 10 + 10, 20, 0))

    def test_losses_within_a_generation(self):
        """A gap that a generation ends with ends with the next record of the CPU."""
        live = LiveTrace()
        live.generation(0, 50 * MS)
        live.cpu(0).runs(0, 1).tail(20 * MS, 7)
        live.cpu(1).runs(0, 2).gap(10 * MS, 15 * MS, 3).switch(40 * MS, 2, 0, 1)
        live.generation(50 * MS, 100 * MS)
        live.cpu(0).runs(50 * MS, 1)
        live.cpu(1).runs(50 * MS, 0).tail(90 * MS, 2)
        self.assertEqual(self.times(live)[1], (20 + 50, 0, 0))
        self.assertEqual(self.summary(live)["lost"], "12")
        live.lost(1, 0, 4, 99 * MS, 100 * MS)
        live.generation(100 * MS, 100 * MS)
        live.cpu(0).tail(100 * MS, 1)
        self.assertEqual(self.summary(live)["lost"], "17")

    def test_refused(self):
        def bent(bend):
            trace = self.lost()
            bend(trace)
            return trace
        number, times = "number of generations", "bad times of a generation"
        for bend, why in (
                (lambda t: t.parts[0].update(number=1), "generation out of order"),
                (lambda t: t.parts[2].update(number=4), "generation out of order"),
                (lambda t: t.parts[0].update(nr_cpus=3), "bad lost generations"),
                (lambda t: t.parts[0].update(nr_cpus=1), "number of CPU sections"),
                (lambda t: t.parts[2].update(nr_cpus=3), "number of CPU sections"),
                (lambda t: t.parts[2].update(since=27 * MS), times),
                (lambda t: t.parts[2].update(until=59 * MS), times),
                (lambda t: t.parts[0].update(until=1 << 60), times),
                (lambda t: t.parts[2].update(since=62 * MS), "record out of order"),
                (lambda t: t.parts[0].update(until=28 * MS), "record out of order"),
                (lambda t: t.parts[1].__setitem__(0, 0), "bad lost generations"),
                (lambda t: t.parts.insert(1, t.parts[1]), "bad lost generations"),
                (lambda t: t.parts[1].__setitem__(1, 7), number),
                (lambda t: t.ending.update(generations=3), number),
                (lambda t: t.ending.update(lost_generations=1), number),
                (lambda t: t.ending.update(stop_ns=90 * MS), "start or stop time"),
                (lambda t: t.ending.update(stop_ns=0), "start or stop time"),
                (lambda t: t.ending.update(stop_ns=1 << 63), "start or stop time"),
                (lambda t: t.parts.clear() or setattr(t, "number", 0) or
                 t.ending.update(lost_generations=0, lost_records=0), number)):
            self.refused(bent(bend), why)
        trace = self.lost()
        trace.header["version"] = 1
        self.refused(trace, "longer than|start or stop|number of CPU|bad generation")
        for length in range(88 + 24 * (len(TYPES) + len(FIELDS)), len(trace.bytes()), 40):
            self.write("short", self.lost(), cut=length)
            self.assertIn("truncated", self.krtrace("report", "short", status=1).errors)

    def test_steps_back(self):
        """The records of a CPU, from one generation to the next."""
        trace = LiveTrace()
        trace.generation(0, 60 * MS)
        trace.cpu(0).runs(0, 1).switch(59 * MS, 1, 0)
        trace.generation(50 * MS, 100 * MS)
        trace.cpu(0).runs(58 * MS, 0)
        self.refused(trace, "generation out of order")

    def test_empty_section(self):
        trace = LiveTrace()
        trace.generation(0, 60 * MS)
        trace.cpu(0)
        trace.cpu(1).runs(0, 5)
        trace.generation(50 * MS, 100 * MS)
        trace.cpu(0).runs(61 * MS, 1)
        self.assertEqual(self.times(trace)[1], (39, 0, 0))

    def test_no_cpu(self):
        """In a whole trace, or in a generation."""
        live = LiveTrace()
        live.generation(0, 100 * MS)
        for trace in Trace(), live:
            self.assertEqual(self.tasks(trace), {})
            self.report(trace)
            self.krtrace("convert", "--chrome", "t.krt")

    def test_damage(self):
        """In each number."""
        trace = self.lost()
        trace.bytes()
        for place in range(trace.numbers):
            for damage in lambda n: n ^ 1, lambda n: n + 256:
                with self.subTest(place=place):
                    self.write("t.krt", trace, damage=(place, damage))
                    self.krtrace("report", "--tsv", "t.krt", status=None)

    def test_cost(self):
        """Of many generations, lost ones and CPUs."""
        def make(n):
            trace = LiveTrace()
            trace.header["cpu_limit"] = n
            trace.generation(0, 10 * MS)
            for i in range(n):
                trace.cpu(i).runs(0, i + 1)
            for i in range(n):
                trace.lost(1, 1, 0, 11 * MS, 11 * MS)
                trace.generation(11 * MS, 11 * MS)
                trace.cpu(i % 4).runs(11 * MS, i + 1)
            return trace
        self.linear(1000, make, "report")


class Output(Case):
    """An existing file remains until the new output is complete."""

    def setUp(self):
        super().setUp()
        self.write("t.krt", small_trace())
        self.write("old", b"old")
        self.files = sorted(os.listdir())

    def convert(self, *args, **kwargs):
        return self.krtrace("convert", "--chrome", *args, **kwargs)

    def record(self, *args, status=0, **kwargs):
        return self.krtrace("record", "-o", *args, status=status,
                            env={"TEST_STREAM": "t.krt", **kwargs.pop("env", {})}, **kwargs)

    def untouched(self):
        self.assertEqual(self.read("old"), b"old")
        self.assertEqual(sorted(os.listdir()), self.files)

    def replaced(self, name="old"):
        self.assertEqual(json.loads(self.read(name))["otherData"]["records"], "3")
        self.assertEqual(sorted(os.listdir()), self.files)

    def test_convert_replaces(self):
        self.convert("-o", "old", "t.krt")
        self.replaced()

    def test_convert_onto_input(self):
        self.convert("-o", "t.krt", "t.krt")
        self.replaced("t.krt")

    def test_convert_bad_input(self):
        self.convert("-o", "old", "absent", status=1)
        self.untouched()
        self.write("t.krt", small_trace().bytes()[:-1])
        self.convert("-o", "old", "t.krt", status=1)
        self.untouched()
        self.convert("-o", "new", "t.krt", status=1)
        self.untouched()

    def small_files(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    def test_failed_write(self):
        limited = {"preexec_fn": self.small_files, "status": 1}
        self.assertIn("old: File too large", self.convert("-o", "old", "t.krt", restore_signals=False,
                                                          **limited).errors)
        self.untouched()
        done = self.record("old", "sh", "-c", "sleep 0.1; echo over", **limited)
        self.assertIn("old: File too large", done.errors)
        self.assertEqual(done.stdout, b"over\n")
        self.untouched()
        with open("/dev/full", "w", encoding="ascii") as full:
            self.assertIn("No space", self.convert("t.krt", status=1, stdout=full).errors)
            self.krtrace("--help", status=1, stdout=full)
            self.krtrace("report", "t.krt", status=1, stdout=full)

    def test_absent_folder(self):
        for name in "absent/new", "", ".", "x" * 256, "x/" * 2048:
            with self.subTest(name=name[:10]):
                self.convert("-o", name, "t.krt", status=1)
                self.record(name, "touch", "ran", status=1)
                self.untouched()

    def test_mode(self):
        for mask in 0o022, 0o077:
            os.umask(mask)
            for mode in 0o640, 0o644, 0o600, 0o666:
                os.chmod("old", mode)
                self.convert("-o", "old", "t.krt")
                self.assertEqual(stat.S_IMODE(os.stat("old").st_mode), mode)
            self.convert("-o", "new", "t.krt")
            self.assertEqual(stat.S_IMODE(os.stat("new").st_mode), 0o666 & ~mask)
            os.remove("new")

    def test_symbolic_link(self):
        os.mkdir("folder")
        os.rename("old", "folder/old")
        os.symlink("folder/old", "link")
        os.symlink("folder/new", "dangling")
        self.convert("-o", "link", "t.krt")
        self.convert("-o", "dangling", "t.krt")
        self.assertTrue(os.path.islink("link") and os.path.islink("dangling"))
        self.assertEqual(sorted(os.listdir("folder")), ["new", "old"])
        self.assertEqual(self.read("folder/new"), self.read("folder/old"))
        self.assertNotEqual(self.read("folder/new"), b"old")

    def test_not_a_file(self):
        # Not under /dev: a defective krtrace may replace the file if run as
        # root.
        os.mkfifo("fifo")
        reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.convert("-o", "fifo", "t.krt")
        self.assertTrue(stat.S_ISFIFO(os.stat("fifo").st_mode))
        json.loads(os.read(reader, 65536))
        os.symlink("/proc/self/fd/1", "stdout")
        json.loads(self.convert("-o", "stdout", "t.krt").stdout)
        with open("old", "ab") as old:
            self.convert("-o", "stdout", "t.krt", stdout=old)
        self.assertEqual(self.read("old"), b"old" + self.convert("t.krt").stdout)

    def pipe(self, *args):
        return subprocess.Popen([PROGRAM, "record", "-o", "fifo", "--", *args],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, **OPTIONS, "TEST_STREAM": "t.krt"})

    def test_pipe_without_reader(self):
        os.mkfifo("fifo")
        with self.pipe("true") as child:
            asleep(child)
            child.send_signal(signal.SIGINT)
        self.assertEqual(child.returncode, -signal.SIGINT)

    def test_pipe_that_is_closed(self):
        os.mkfifo("fifo")
        reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
        with self.pipe("sh", "-c", "echo; read line; echo over") as child:
            child.stdout.readline()
            os.close(reader)
            said, errors = child.communicate(b"\n")
        self.assertEqual((said, child.returncode), (b"over\n", 1))
        self.assertIn(b"fifo: Broken pipe", errors)

    def test_signal(self):
        for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            interrupted = {"env": {"TEST_SIGNAL": str(int(sig))}}
            self.convert("-o", "old", "t.krt", status=-sig, **interrupted)
            self.untouched()
            # A recorded trace cannot be repeated, so record completes.
            self.record("old", "true", **interrupted)
            self.assertEqual(self.read("old"), self.read("t.krt"))
            self.write("old", b"old")

    def test_record(self):
        self.record("old", "absent command", status=127)
        self.untouched()
        self.record("new", "absent command", status=127)
        self.untouched()
        self.record("old", "sh", "-c", "exit 3", status=3)
        self.assertEqual(self.read("old"), self.read("t.krt"))
        self.assertEqual(sorted(os.listdir()), self.files)


class Chrome(Case):
    """JSON for trace viewers, with times in microseconds."""

    def events(self, trace):
        self.write("t.krt", trace)
        text = self.krtrace("convert", "--chrome", "t.krt").stdout
        return json.loads(text)["traceEvents"]

    def slices(self, trace):
        """Name, begin and end in milliseconds, and track of each."""
        return [(e["name"], e["ts"] / 1000, (e["ts"] + e["dur"]) / 1000, e["tid"])
                for e in self.events(trace) if e["ph"] == "X"]

    def instants(self, trace):
        return [(e["name"], e["ts"] / 1000) for e in self.events(trace) if e["ph"] == "i"]

    def test_slices(self):
        trace = Trace()
        cpu = trace.cpu(3).runs(0, 1).name(0, 1, b"one").switch(10 * MS, 1, 2)
        cpu.gap(20 * MS, 30 * MS, 1).switch(40 * MS, 2, 0).switch(50 * MS, 0, 1)
        self.assertEqual(self.slices(trace),
                         [("one", 0, 10, 4), ("pid 2", 10, 20, 4), ("one", 50, 100, 4)])

    def test_names_at_each_time(self):
        trace = Trace()
        cpu = trace.cpu(0).runs(0, 1).wakeup(1 * MS, 2).switch(10 * MS, 1, 2)
        cpu.name(10 * MS, 2, b"old").switch(60 * MS, 2, 1, 1).name(60 * MS, 1, b"one")
        cpu.wakeup(70 * MS, 2).switch(80 * MS, 1, 2)
        # Another CPU renames: a running task, to the same name, and a sleeping
        # task.
        cpu = trace.cpu(1).runs(0, 0).wakeup(20 * MS, 2)
        cpu.name(40 * MS, 2, b"new").name(50 * MS, 2, b"new").name(65 * MS, 2, b"third")
        self.assertEqual(self.slices(trace),
                         [("one", 0, 10, 1), ("old", 10, 40, 1), ("new", 40, 60, 1),
                          ("one", 60, 80, 1), ("third", 80, 100, 1)])
        self.assertEqual(self.instants(trace), [("wake old", 1), ("wake old", 20),
                                                ("wake third", 70)])
        self.assertEqual(self.tasks(trace)[2][0]["comm"], "third")

    def test_strings(self):
        comm = b'"\\\x1b[\n\x7f\xff\xc3'
        trace = Trace()
        trace.cpu(0).runs(0, 1).name(0, 1, comm)
        self.assertEqual(self.slices(trace)[0][0], comm.decode("latin1"))
        self.assertEqual(self.tasks(trace)[1][0]["comm"], '"\\?[????')
        self.assertNotIn(b"\x1b", self.report(trace).stdout)

    def test_name_without_end(self):
        trace = Trace()
        trace.cpu(0).runs(0, 1).name(0, 1, b"sixteen letters!")
        self.assertEqual(self.slices(trace)[0][0], "sixteen letters")
        self.assertEqual(self.tasks(trace)[1][0]["comm"], "sixteen letters")


class Usage(Case):
    """The command line."""

    def test_default_file(self):
        self.assertIn("kregion-trace.krt: No such file", self.krtrace("report", status=1).errors)
        self.write("t.krt", small_trace())
        self.krtrace("record", "true", env={"TEST_STREAM": "t.krt"})
        for args in ("report",), ("report", "--tsv"), ("convert", "--chrome"):
            self.assertEqual(self.krtrace(*args).stdout, self.krtrace(*args, "t.krt").stdout)

    def test_wrong_usage(self):
        for args in ((), ("nonsense",), ("report", "a", "b"), ("convert", "t.krt"), ("record", "-d", "x"),
                     ("report", "-o", "x"), ("record", "-b", "1x", "true"), ("--tsv",),
                     ("record", "-d", "0", "true"), ("record", "-d", "-1"), ("report", "-1"),
                     ("record", "-d", "1s"), ("record", "-d", "inf")):
            self.assertIn("Usage: ", self.krtrace(*args, status=2).errors)
        self.assertEqual(os.listdir(), [])

    def test_help(self):
        text = self.krtrace("--help").stdout.decode()
        for verb in "record", "report", "convert":
            self.assertEqual(self.krtrace(verb, "-h").stdout.decode(), text)
        self.assertIn("krtrace report [--tsv] [FILE]", text)
        self.assertIn("krtrace convert --chrome [-o FILE] [FILE]", text)


class Command(Case):
    """Interaction of record with the command."""

    def setUp(self):
        super().setUp()
        self.write("t.krt", small_trace())

    def terminal(self, *args):
        """Output on the common terminal of record and the command."""
        screen, terminal = os.openpty()
        with subprocess.Popen([PROGRAM, "record", "--", *args], stdin=terminal, stdout=terminal,
                              stderr=terminal,
                              env={**os.environ, **OPTIONS, "TEST_STREAM": "t.krt"}) as child:
            os.close(terminal)
            shown = b""
            try:
                while data := os.read(screen, 65536):
                    shown += data
            except OSError:             # EIO: no process has it open
                pass
            os.close(screen)
        self.assertEqual(child.returncode, 0)
        return shown

    def test_nothing_in_the_output(self):
        shown = self.terminal("sh", "-c", "printf ab; sleep 1.2; printf 'cd\n'")
        self.assertRegex(shown, rb"^abcd\r\nkrtrace: kregion-trace.krt: [^\r]*\r\n$")

    def test_ignored_signals(self):
        """The command inherits ignored signals; record reaps it even if SIGCHLD is ignored."""
        signals = {signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ}
        for ignored in signals:
            done = self.krtrace("record", "--", "grep", "SigIgn", "/proc/self/status",
                                env={"TEST_STREAM": "t.krt"}, timeout=20,
                                preexec_fn=lambda: signal.signal(ignored, signal.SIG_IGN))
            mask = int(done.stdout.split()[1], 16)
            self.assertEqual({number for number in signals if mask >> number - 1 & 1}, {ignored})

    def record(self, *args, **kwargs):
        return subprocess.Popen([PROGRAM, "record", *args], stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **OPTIONS, "TEST_STREAM": "t.krt"}, **kwargs)

    def test_without_a_command(self):
        """A signal ends the trace, which is saved."""
        for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT:
            with self.record() as child:
                while not [name for name in os.listdir() if "krtrace-" in name]:
                    time.sleep(0.01)
                child.send_signal(sig)
                self.assertIn("kregion-trace.krt: ", child.stderr.read())
            self.assertEqual(child.returncode, 0)
            self.assertEqual(self.read("kregion-trace.krt"), self.read("t.krt"))
            os.remove("kregion-trace.krt")

    def test_duration(self):
        """It ends the trace, and record waits for the command all the same."""
        self.krtrace("record", "-d", "0.1", env={"TEST_STREAM": "t.krt"})
        self.assertEqual(self.read("kregion-trace.krt"), self.read("t.krt"))
        done = self.krtrace("record", "-d", "0.1", "sh", "-c", "sleep 0.5; echo over; exit 3",
                            env={"TEST_STREAM": "t.krt"}, status=3)
        self.assertEqual(done.stdout, b"over\n")
        self.krtrace("record", "-d", "1000", "true", env={"TEST_STREAM": "t.krt"}, timeout=100)

    def test_one_shot(self):
        """Nothing is read before the end of the command."""
        for args, before in ((), "read"), (("--one-shot",), "not read"):
            os.mkfifo("fifo")
            held = os.open("fifo", os.O_RDWR)
            os.write(held, self.read("t.krt"))
            with subprocess.Popen([PROGRAM, "record", *args, "--", "sh", "-c", "echo; exec sleep 100"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  start_new_session=True,
                                  env={**os.environ, **OPTIONS, "TEST_STREAM": "fifo"}) as child:
                child.stdout.readline()
                # It waits for the end of the command, or for more.
                asleep(child)
                left = select.select([held], [], [], 0)[0]
                os.killpg(child.pid, signal.SIGKILL)
            self.assertEqual("not read" if left else "read", before)
            os.close(held)
            os.remove("fifo")

    def test_old_module(self):
        """It does not know live traces."""
        env = {"TEST_STREAM": "t.krt", "TEST_OLD": "1", "TEST_CPUS": "8"}
        self.assertIn("cannot write a trace while it runs; use --one-shot",
                      self.krtrace("record", "-b", "1M", "true", env=env, status=1).errors)
        self.assertIn("budget 1048575: must be 1048576 to ",
                      self.krtrace("record", "-b", "1048575", "true", env=env, status=1).errors)

    def test_default_budget(self):
        """Suffices for a live trace of all CPUs."""
        for cpus, budget in (2, 32 << 20), (256, 32 << 20), (1000, 1000 << 17):
            done = self.krtrace("record", "-1", "true", env={"TEST_STREAM": "t.krt", "TEST_OLD": "1",
                                                             "TEST_CPUS": str(cpus)})
            self.assertEqual(int(done.stdout), budget)

    def test_signal_is_passed_on(self):
        with subprocess.Popen([PROGRAM, "record", "--", "sh", "-c", "echo; exec sleep 20"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env={**os.environ, **OPTIONS, "TEST_STREAM": "t.krt"}) as child:
            child.stdout.readline()
            child.terminate()
            self.assertEqual(child.wait(10), 128 + signal.SIGTERM)
        self.assertEqual(self.read("kregion-trace.krt"), self.read("t.krt"))


def build(place):
    """Build krtrace with and without the sanitizers, and return the paths."""
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    shutil.copytree(f"{TOP}/userspace_demo", f"{place}/userspace_demo",
                    ignore=shutil.ignore_patterns("*.o", "krtrace", "kregion-top"))
    shutil.copytree(f"{TOP}/kmod/include/uapi", f"{place}/kmod/include/uapi")
    make = "make", "-s", "-j2", "-C", f"{place}/userspace_demo", "CC=gcc"
    subprocess.run([*make, "krtrace"], check=True)
    shutil.copy(f"{place}/userspace_demo/krtrace", f"{place}/plain")
    subprocess.run([*make, "clean"], check=True)
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{place}/kmod/include/uapi",
                    "-c", "-o", f"{place}/device.o", f"{TOP}/kunit_tests/krtrace/device.c"],
                   check=True)
    subprocess.run([*make, "krtrace",
                    f"CFLAGS={flags} -Wall -Wextra -Werror -fsanitize-coverage=trace-pc",
                    f"LDFLAGS={flags} -Wl,--wrap=open,--wrap=ioctl,--wrap=rename,--wrap=sysconf",
                    "LDLIBS=../device.o"],
                   check=True)
    return f"{place}/userspace_demo/krtrace", f"{place}/plain"


def describe(place):
    """Types and fields as the module describes them."""
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", f"-I{TOP}/kmod/include/uapi", "-o",
                    f"{place}/types", f"{TOP}/kunit_tests/krtrace/types.c"], check=True)
    data = subprocess.run([f"{place}/types"], stdout=subprocess.PIPE, check=True).stdout
    types, fields, at = [], [], 0
    while sum(t.nr_fields for t in types) * 24 < len(data) - at:
        *numbers, name = struct.unpack_from("HHHxx16s", data, at)
        types.append(Type(*numbers, name.rstrip(b"\0").decode()))
        at += 24
    for *numbers, name in struct.iter_unpack("5B3x16s", data[at:]):
        fields.append(Field(*numbers, name.rstrip(b"\0").decode()))
    return types, fields


if __name__ == "__main__":
    # Background jobs of a shell ignore some signals, which krtrace would
    # inherit.
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as built:
        PROGRAM, PLAIN = build(built)
        TYPES, FIELDS = describe(built)
        # The address sanitizer of gcc 12 fails with the address randomization
        # of some kernels.
        ctypes.CDLL(None).personality(0x0040000)    # ADDR_NO_RANDOMIZE
        OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0"}
        unittest.main(argv=sys.argv, exit=False).result.wasSuccessful() or sys.exit(1)
