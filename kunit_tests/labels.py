#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the labels of memory barriers, LMM(function:letter), in kmod/.

Each stands in the function that it names, both ends of a pair name each other,
and the table in the design names the same pairs, each with the litmus tests
that have both labels, on the same primitives as in the code.
"""
import re
import sys

from lib import TOP, read

KMOD = TOP / "kmod"
LABEL = r"LMM\((\w+:[A-Z])\)"
PRIMITIVE = r"\b(READ_ONCE|smp_\w+|\w*xchg|wait_var_event|test_and_set_bit|clear_bit_unlock|atomic_\w+)\("
# What herd7 knows under another name, or not at all.
MODELLED = {"local_cmpxchg": "atomic_cmpxchg", "atomic_long_cmpxchg": "atomic_cmpxchg",
            "atomic_dec_and_test": "atomic_dec_return", "test_and_set_bit": "xchg",
            "clear_bit_unlock": "smp_store_release", "wait_var_event": "smp_mb"}
errors = []
pairs = set()
code = {}       # label: the primitives of its statement

for path in KMOD.rglob("*.[ch]"):
    text = read(path)
    for comment in re.finditer(r"/\*(?!\*).*?\*/", text, re.S):
        if not re.search(r"pairs with[\s*]+LMM", comment[0]):
            continue
        mine, *others = re.findall(LABEL, comment[0])
        pairs |= {(mine, other) for other in others}
        code[mine] = {MODELLED.get(p, p) for p in re.findall(PRIMITIVE, text[comment.end():].split(";\n")[0])}
        # A function begins in the first column, and so does its name's line.
        heads = re.findall(r"^[a-z][^\n;]*?\b(\w+)\(", text[:comment.start()], re.M)
        if not heads or heads[-1] != mine.split(":")[0]:
            errors.append(f"{path.relative_to(KMOD)}: {mine} stands in {heads and heads[-1]}()")

errors += [f"{b} does not name {a}, which pairs with it" for a, b in sorted(pairs) if (b, a) not in pairs]

tests = {}      # name: its labels
for path in sorted((TOP / "Documentation/litmus-tests").glob("*.litmus")):
    if "-broken-" in path.name:
        continue
    tests[path.stem] = set()
    for statement, labels in re.findall(r"^(.*)// (LMM.*)$", read(path), re.M):
        for label in re.findall(LABEL, labels):
            tests[path.stem].add(label)
            if label not in code:
                errors.append(f"{path.name}: the code has no {label}")
            elif not set(re.findall(PRIMITIVE, statement)) & code[label]:
                errors.append(f"{path.name}: {label} is {' or '.join(sorted(code[label])) or 'no primitive'} in the code")
errors += [f"no litmus test has {label}" for label in sorted(set(code) - set().union(*tests.values()))]

section = read(KMOD, "core.c").split("Memory ordering\n")[1].split("- The caller orders them")[0]
table = set()
for line, names in re.findall(r"^ \* (\w+:[^\n]*) : ([^\n]*)$", section, re.M):
    left, right = (side.replace(",", " ").split() for side in line.split(" / "))
    names = names.split(", ")
    for a, b in ((a, b) for a in left for b in right):
        table |= {(a, b), (b, a)}
        errors += [f"the litmus test {n} does not have {a} and {b}" for n in names if not {a, b} <= tests.get(n, set())]
errors += [f"the design does not name the pair {a}, {b}" for a, b in sorted(pairs - table)]
errors += [f"the code has no pair {a}, {b}" for a, b in sorted(table - pairs)]
errors += [f"the design does not name the litmus test {n}" for n in tests if not re.search(rf"[ (]{n}\b(?!-)", section)]

print("\n".join(errors) or f"{len(pairs) // 2} pairs, {len(tests)} litmus tests")
sys.exit(bool(errors))
