#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Check the per-CPU fast path in the disassembly of kregion_fastpath.ko.

The straight path of a function goes from its entry to its return and follows
unconditional jumps only: that is the way of an allocation that finds room in a
per-CPU region. It must hold the add that the architecture calls for, no call, no
lock prefix, no barrier, no access that acquires or releases, and not more
instructions than were counted. A path that was never counted has no limit.
"""
import re
import subprocess
import sys

OBJDUMP = "llvm-objdump-19"
FUNCTIONS = "fastpath_const", "fastpath_nofill", "fastpath_size"

# Most instructions of each function, by path and whether the kernel counts
# preemption; by gcc 12 on x86 and gcc 14 elsewhere.
MOST = {
    ("amd64", True): (12, 12, 15),
    # 6.1-rt: preempt_enable() reads the task's lazy counter, too.
    ("amd64 lazy", True): (19, 19, 22),
    ("i386", True): (18, 18, 25),
    ("arm64 LSE", False): (14, 14, 16),
    ("arm64 LSE", True): (27, 27, 29),
    ("arm64 LL/SC", False): (17, 17, 20),
    ("arm64 LL/SC", True): (30, 30, 33),
    ("s390x", False): (17, 17, 22),
}


class X86:
    options = ()
    paths = {"": r"xadd"}
    end = r"ret|jmp.*return_thunk"
    jump = r"jmp"
    wrong = r"call|lock|[lms]fence"
    # Not of the allocation: the entry (tracing, indirect branch target, frame
    # pointer) and the return.
    frame = r"endbr|.*__fentry__|.*%ebp"


class Arm64:
    options = ()
    # An alternative selects the atomics: its branch becomes a nop where there
    # is LSE.
    paths = {" LSE": r"ldadd\s", " LL/SC": r"stxr\s"}
    end = r"ret"
    jump = r"b\s"
    wrong = r"blr?\s|dmb|dsb|isb|ldar|ldapr|ldl?axr|stlr|stlxr|(cas|swp|ld(add|clr|eor|set))(a|l|al)[bh]?\s"
    frame = r"nop|bti|paciasp|autiasp|.*\bx29\b"


class S390x:
    options = ("--mcpu=z16",)
    # Before z196, compare-and-swap in a loop.
    paths = {"": r"laag|csg"}
    end = r"br\s+%r14|jg.*indirect_jump"
    jump = r"jg?\s"
    # bcr 14 and 15 without a target serialize.
    wrong = r"bras|basr|(bnor|br)\s+0"
    frame = r"brcl\s+0,"


# By e_machine of the ELF header.
ARCHS = {3: ("i386", X86), 22: ("s390x", S390x), 62: ("amd64", X86), 183: ("arm64", Arm64)}


def objdump(*args):
    return subprocess.run([OBJDUMP, *args], capture_output=True, text=True, check=True).stdout.splitlines()


def disassemble(module, options):
    """The instructions by address, and the addresses of the functions."""
    code, entries, at = {}, {}, None
    # -r: the calls of a module name their targets in relocations only.
    for line in objdump("-dr", "--no-show-raw-insn", "-j", ".text", *options, module):
        if m := re.match(r"([0-9a-f]+) <(\w+)>:", line):
            entries[m[2]] = int(m[1], 16)
        elif (m := re.match(r"\s+[0-9a-f]+:\s+R_\S+\s+(\S+)", line)) and at is not None:
            code[at] += " -> " + m[1]
        elif m := re.match(r"\s+([0-9a-f]+):\s+(.*\S)", line):
            at = int(m[1], 16)
            code[at] = m[2]
    return code, entries


def alternatives(module):
    """The addresses of instructions that the kernel patches at boot."""
    text = "\n".join(objdump("-r", module)) + "\n\n"
    records = re.search(r"\[\.altinstructions\]:\n(.*?)\n\n", text, re.S)
    return {int(a, 16) for a in re.findall(r"\.text\+0x([0-9a-f]+)", records[1])} if records else set()


def straight_path(code, at, arch, nops):
    """@nops: addresses of jumps that are nops."""
    after = dict(zip(code, list(code)[1:]))
    path = []
    while at in code and len(path) < 100:
        text = code[at]
        if re.match(arch.end, text):
            return path
        if not re.match(arch.frame, text):
            path.append(text)
        if re.match(arch.jump, text) and at not in nops:
            target = re.search(r"0x([0-9a-f]+)(?: <\S+)?$", text)
            # With a relocation: a tail call.
            at = int(target[1], 16) if target else None
        else:
            at = after.get(at)
    return path + ["no return"]


def main(module):
    with open(module, "rb") as f:
        image = f.read()
    name, arch = ARCHS[int.from_bytes(image[18:20], "big" if image[5] == 2 else "little")]
    vermagic = re.search(rb"\0vermagic=([^\0]*)", image)[1]
    preempt = b"preempt" in vermagic
    code, entries = disassemble(module, arch.options)
    bad = False
    for kind, add in arch.paths.items():
        nops = alternatives(module) if kind == " LSE" else ()
        if b"preempt_rt" in vermagic and any("-> current_task" in i for i in code.values()):
            kind += " lazy"
        limits = MOST.get((name + kind, preempt), (None,) * len(FUNCTIONS))
        for function, most in zip(FUNCTIONS, limits):
            path = straight_path(code, entries[function], arch, nops)
            wrong = [i for i in path if re.match(arch.wrong + r"|no return|<unknown>|.* -> kregion_", i)]
            adds = sum(bool(re.match(add, i)) for i in path)
            ok = adds == 1 and not wrong and (most is None or len(path) <= most)
            bad |= not ok
            print(f"{name}{kind}, preemption {'counted' if preempt else 'not counted'}, {function}: "
                  f"{len(path)} instructions, {'never counted before' if most is None else f'at most {most}'}; "
                  f"{adds} add; {len(wrong)} calls, barriers or lock prefixes: {'ok' if ok else 'NOT OK'}")
            if not ok:
                print("\t" + "\n\t".join(path))
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
