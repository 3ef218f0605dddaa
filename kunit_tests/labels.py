#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the labels of memory barriers, LMM(function:letter), in kmod/.

Each stands in the function that it names, both ends of a pair name each other,
and the table in the design names the same pairs.
"""
import re
import sys

from lib import TOP, read

KMOD = TOP / "kmod"
LABEL = r"LMM\((\w+:[A-Z])\)"
errors = []
pairs = set()

for path in KMOD.rglob("*.[ch]"):
    text = read(path)
    for comment in re.finditer(r"/\*(?!\*).*?\*/", text, re.S):
        if not re.search(r"pairs with[\s*]+LMM", comment[0]):
            continue
        mine, *others = re.findall(LABEL, comment[0])
        pairs |= {(mine, other) for other in others}
        # A function begins in the first column, and so does its name's line.
        heads = re.findall(r"^[a-z][^\n;]*?\b(\w+)\(", text[:comment.start()], re.M)
        if not heads or heads[-1] != mine.split(":")[0]:
            errors.append(f"{path.relative_to(KMOD)}: {mine} stands in {heads and heads[-1]}()")

errors += [f"{b} does not name {a}, which pairs with it" for a, b in sorted(pairs) if (b, a) not in pairs]

section = read(KMOD, "core.c").split("at both ends of\n * a pair:")[1].split("All other accesses")[0]
table = set()
for line in re.findall(r"^ \* (\w+:[^\n]*)$", section, re.M):
    left, right = ([w for w in side.replace(",", " ").split()] for side in line.split(" / "))
    table |= {(a, b) for a in left for b in right} | {(b, a) for a in left for b in right}
errors += [f"the design does not name the pair {a}, {b}" for a, b in sorted(pairs - table)]
errors += [f"the code has no pair {a}, {b}" for a, b in sorted(table - pairs)]

print("\n".join(errors) or f"{len(pairs) // 2} pairs")
sys.exit(bool(errors))
