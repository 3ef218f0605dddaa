#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks of the source, each a function; what it returns or prints is what is wrong.

usage: static.py CHECK [ARG]...
"""
from fnmatch import fnmatch
from glob import glob
import os
import re
from subprocess import PIPE
import sys

import lib
from lib import VM, output, read, result

# Messages that checkpatch keeps to itself: programs use the types and macros of
# the C library, the rivals' loops are made by macros, and so are the tracer's
# tables of types and fields.
PROGRAM = ("BIT_MACRO,PREFER_KERNEL_TYPES,CAMELCASE,ARRAY_SIZE,SPLIT_STRING,EMBEDDED_FUNCTION_NAME,"
           "PREFER_DEFINED_ATTRIBUTE_MACRO,AVOID_EXTERNS")
IGNORED = {
    "kmod/compat.h": "LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_UNUSED",
    "*/trace/stream.c": "COMPLEX_MACRO,MACRO_ARG_UNUSED",
    "*/trace/types.h": "COMPLEX_MACRO,MACRO_ARG_UNUSED",
    "*/bench.[ch]": "COMPLEX_MACRO,MACRO_ARG_REUSE",
    "userspace_demo/*": PROGRAM, "kunit_tests/krtrace/*": PROGRAM, "*/native.c": PROGRAM,
    "kunit_tests/program/*": PROGRAM,
}
SEMANTIC_PATCHES = ("api/kstrdup api/memdup api/err_cast free/kfree locks/double_lock locks/call_kern misc/warn "
                    "null/deref_null null/eno tests/unsigned_lesser_than_zero")


def files(pattern):
    return sorted(glob(pattern, recursive=True))


def linux(path=""):
    """A path in the kernel's source."""
    return os.path.join(output(VM / "kernels.py", "source"), path)


def checkpatch():
    """Stand-ins of kernel headers have the kernel's own shapes, not its style."""
    script, wrong = linux("scripts/checkpatch.pl"), []
    for path in files("kmod/**/*.[ch]") + files("kunit_tests/**/*.[ch]") + files("userspace_demo/**/*.[ch]"):
        if not path.endswith(".mod.c") and not re.search("/program/(shim|x86)/", path):
            types = [f"--ignore={types}" for pattern, types in IGNORED.items() if fnmatch(path, pattern)]
            status, said = result("perl", script, "--no-tree", "--strict", "--terse", "--no-summary", "-q",
                                  "--max-line-length=100", *types, "-f", path, stdout=PIPE)
            wrong += [said] if status else []
    return wrong


def kernel_doc():
    return result("perl", linux("scripts/kernel-doc"), "-none", "-Wall", "-Werror",
                  *files("kmod/*.c"), *files("kmod/trace/*.[ch]"), *files("kmod/include/linux/*.h"))[0]


def coccinelle():
    """The kernel's own semantic patches that fit a module of this kind."""
    wrong = []
    for script in filter(os.path.exists, (linux(f"scripts/coccinelle/{p}.cocci") for p in SEMANTIC_PATCHES.split())):
        status, said = result("spatch", "--very-quiet", "-D", "report", "--no-includes", "--sp-file", script,
                              "--dir", "kmod", stdout=PIPE)
        wrong += [f"{script}: {said}"] if status or said else []
    return wrong


def codespell():
    return result("codespell", "-q", "3", "-L", "crate,caf,nd,parm", "kmod", "kunit_tests", "userspace_demo",
                  "Documentation", "debian", *files("*.md"), "Makefile", "Kbuild")[0]


def shellcheck():
    return result("shellcheck", "-x", "-P", "SCRIPTDIR", "-s", "bash", *files("kunit_tests/**/*.sh"),
                  ".ci/run", "kmod/dkms.postbuild", *files("userspace_demo/completions/*"))[0]


def bits32():
    """No kernel of 32 bits has 64-bit divisions, which modpost would have said."""
    built = output(VM / "build.sh", "-w", "i386-build", "KBUILD_MODPOST_WARN=1")
    return re.findall(r".* U __u?(?:div|mod)di3", output("nm", "-A", *files(built + "/**/*.ko")))


def fastpath(kernel):
    """In what the strict build left."""
    built = output(VM / "build.sh", "-n", "-w", kernel)
    return result("kunit_tests/fastpath.py", built + "/kunit_tests/kregion_fastpath.ko")[0]


def documentation(folder):
    """HTML by the kernel's kernel-doc extension, where a warning is an error."""
    # The prose names private functions too, which have no target: they must
    # exist.
    prose = "\n".join(map(read, files("Documentation/*.rst") + ["README.md"]))
    code = "\n".join(map(read, files("kmod/**/*.[ch]")))
    missing = [f"there is no function {name}()" for name in sorted(set(re.findall(r"\b(kregion_\w*)\(\)", prose)))
               if not re.search(rf"\b{name}\([^)\n]", code)]
    env = {**os.environ, "KERNEL_SOURCE": linux()}
    built = result("sphinx-build", "-q", "-E", "-n", "-W", "--keep-going", "Documentation", folder, env=env)
    return missing or built[0]


def main(name="", *args):
    checks = {f.__name__.replace("_", "-"): f for f in (
        checkpatch, kernel_doc, coccinelle, codespell, shellcheck, bits32, fastpath, documentation)}
    if name not in checks:
        lib.die(f"usage: static.py {'|'.join(checks)} [ARG]...", 2)
    os.chdir(lib.TOP)
    wrong = checks[name](*args)
    if isinstance(wrong, list):
        sys.stdout.writelines(line + "\n" for line in wrong)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
