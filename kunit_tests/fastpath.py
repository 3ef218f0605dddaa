#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Check the per-CPU fast path in the disassembly of kregion_fastpath.ko.

The straight path of a function goes from its entry to its first jump or return,
with no conditional branch taken: that is the way of an allocation that finds room
in a per-CPU region. It must hold no lock prefix and no call, and not more
instructions than are allowed here.
"""
import re
import subprocess
import sys

MOST = {"fastpath_const": 12, "fastpath_nofill": 12, "fastpath_size": 15}
# Not of the allocation: the entry (tracing, indirect branch target) and the return.
FRAME = re.compile(r"endbr|__fentry__|^ret|^jmp")


def straight_path(lines):
    path = []
    for text in lines:
        if re.match(r"ret|jmp", text):
            return path
        if not FRAME.search(text):
            path.append(text)
    return path


def main(module):
    # -r: the calls of a module name their targets in relocations only.
    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", module],
                          capture_output=True, text=True, check=True).stdout
    functions, name = {}, None
    for line in text.splitlines():
        if m := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            name = functions.setdefault(m[1], [])
        elif (m := re.match(r"\s+[0-9a-f]+:\s+R_\S+\s+(\S+)", line)) and name:
            name[-1] += " " + m[1]
        elif (m := re.match(r"\s+[0-9a-f]+:\s+(.*\S)", line)) and name is not None:
            name.append(m[1])
    bad = False
    for f, most in MOST.items():
        path = straight_path(functions[f])
        wrong = [i for i in path if re.match(r"call|lock", i)]
        verdict = "ok" if len(path) <= most and path and not wrong else "NOT OK"
        bad |= verdict != "ok"
        print(f"{f}: {len(path)} instructions, at most {most}; "
              f"{len(wrong)} calls or lock prefixes: {verdict}")
        if verdict != "ok":
            print("\t" + "\n\t".join(path))
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
