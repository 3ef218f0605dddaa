# SPDX-License-Identifier: GPL-2.0
"""Reader of traces for the checks of the tracer; see Documentation/trace-format.rst."""
import struct

RUNNING_TASK, SWITCH, NAME, EXEC, LOST = 1, 2, 8, 6, 9
TIME = (1 << 56) - 1


class TraceFile:
    """A trace of this machine, with one generation unless it is live."""

    def __init__(self, data):
        self.words = memoryview(data).cast("Q")
        header, type_size, nr_types, field_size, nr_fields = struct.unpack_from("5I", data, 16)
        self.live = struct.unpack_from("I", data, 8)[0] == 2
        self.start, self.stop = struct.unpack_from("2Q", data, 48)
        self.sizes = dict(struct.unpack_from("HH", data, header + i * type_size)
                          for i in range(nr_types))
        # Generation, CPU, records, lost, part of lost after the last record, its
        # time, begin and end in words.
        self.sections = []
        self.marks = []         # generations, records, lost, since and until ...
        self.marked = []        # ... and the generations that they precede
        self.generations = 0
        self.values = {}
        at = header + nr_types * type_size + nr_fields * field_size
        while at < len(data):
            kind, head, size = struct.unpack_from("=IIQ", data, at)
            if kind == 1:
                section = struct.unpack_from("I4x4Q", data, at + 16)
                self.sections.append((self.generations, *section, (at + head) // 8,
                                      (at + size) // 8))
            elif kind == 2:
                number, each = struct.unpack_from("II", data, at + 16)
                for value in range(at + head, at + head + number * each, each):
                    name, number = struct.unpack_from("24sQ", data, value)
                    self.values[name.rstrip(b"\0").decode()] = number
                if self.live:
                    self.stop, *self.counts = struct.unpack_from("4Q", data, at + 24)
            elif kind == 3:
                self.generations += 1
            elif kind == 4:
                self.marks.append(struct.unpack_from("5Q", data, at + 16))
                self.marked.append(self.generations + 1)
            at += size

    def records(self):
        """Yield generation, CPU, type, time, and the words behind the first.

        A gap at the end of a section is a lost record, too.
        """
        words, sizes = self.words, {kind: size // 8 for kind, size in self.sizes.items()}
        for generation, cpu, _, _, tail, since, at, end in self.sections:
            while at < end:
                head = words[at]
                size = sizes[head >> 56]
                yield generation, cpu, head >> 56, head & TIME, words[at + 1:at + size]
                at += size
            if tail:
                yield generation, cpu, LOST, since, (since, tail)


def read(path):
    with open(path, "rb") as f:
        return TraceFile(f.read())
