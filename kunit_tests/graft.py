#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put the allocator, without the tracer, into a source tree of Linux.

The series of patches is left in out/graft. The tree need not be a repository;
no file of it is changed in place, so it may be a copy of hard links.

usage: graft.py TREE [FOLDER]   FOLDER: out/graft
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import textwrap

from lib import TOP, die

LIB, TESTS, DOC = "lib/kregion/", "lib/tests/kregion/", "Documentation/core-api/"
LITMUS = "Documentation/litmus-tests/"

# Where files go, by patch: (pattern, folder).
ALLOCATOR = [("kmod/*.c", LIB), ("kmod/internal.h", LIB),
             ("kmod/include/linux/*.h", "include/linux/"),
             ("kmod/include/trace/events/*.h", "include/trace/events/"),
             (LITMUS + "*.litmus", LITMUS + "kregion/")]
SUITES = [("kunit_tests/*_kunit.c", TESTS)] + [
    (f"kunit_tests/{name}", TESTS)
    for name in ("suites.c", "test.c", "test.h", "ledger.c", "nmi.h", "nmi_unsafe.c")]
TRACER = ["trace_kunit"]

# What kernels differ in: (header, name, whether it has that, text, replacement).
FEATURES = [
    ("include/linux/hrtimer.h", "hrtimer_setup", False,
     r"(\t+)hrtimer_setup\(&(.*?), (.*?), (.*?);",
     r"\1hrtimer_init(&\2, \4;\n\1\2.function = \3;"),
    ("include/asm-generic/bug.h", "BUGFLAG_ARGS", False, r" \| BUGFLAG_ARGS\b", ""),
    *[("include/kunit/test.h", "KUNIT_CASE_PARAM_WITH_INIT", has,
       r" COMPAT_GENERATOR_ARGS\t*(\t\\)", rf"({args})\1")
      for has, args in ((False, "const void *prev, char *desc"),
                        (True, "struct kunit *test, const void *prev, char *desc"))],
    ("include/linux/slab.h", "kzalloc_obj", True,
     r"\b(k[mz]alloc)\(sizeof\((\*\w+)\), ", r"\1_obj(\2, "),
]

# Text that is different in all of them.
TEXT = [
    (r"compat_alloc_pages\((.*), (.*), (.*)\)", r"alloc_pages_node(\3, \1, \2)"),
    (r'#include "(\.\./kmod/)?compat\.h"\n\n?', ""),
    (r'#include "\.\./kmod/', '#include "../../kregion/'),
    (r" \* kunit_tests/fastpath\.py checks (.|\n)*?\n \*\n", ""),
    (r",\s+&suite_trace\b", ""), (r", suite_trace\b", ""),
    (r"MODULE_VERSION.*\n", ""),
    (r"The examples are compiled and run by the tests, .*\n.*\n\n", ""),
    (r"``kmod/trace/`` is a complete client of this kind\.\n\n?", ""),
    (r" Documentation/design\.rst\n \* has the measurements\.", ""),
    (r"\bkmod/include/", "include/"), (r"\bkmod/", LIB),
    (LITMUS[:-1], LITMUS + "kregion"),
]

# What nothing above has replaced.
STRANGE = r"compat_|COMPAT_|compat\.h|kmod|kunit_tests|design\.rst|suite_trace|fastpath\.py|recipes\.c"

KCONFIG = """# SPDX-License-Identifier: GPL-2.0
config KREGION
	tristate "Region allocator"
	help
	  A region hands out memory from large blocks by advancing an address,
	  and frees all of it at once. It fits objects that are made over a
	  while and die together: the records of a trace, the nodes of a parse,
	  whatever one request needs.

	  Users select this; say Y or M for modules that are built elsewhere.
	  The module is called kregion. If unsure, say N.
"""

KCONFIG_TESTS = """
config KREGION_KUNIT_TEST
	tristate "KUnit tests of the region allocator" if !KUNIT_ALL_TESTS
	depends on KUNIT && KREGION && KALLSYMS && TRACEPOINTS
	default KUNIT_ALL_TESTS
	help
	  Builds the suites of the region allocator: its contract, its limits,
	  and its memory, page by page, by the trace events of the page
	  allocator. They need some seconds and some hundred MiB of memory.

	  If unsure, say N.
"""

KUNITCONFIG = """CONFIG_KUNIT=y
CONFIG_DEBUG_FS=y
CONFIG_FTRACE=y
CONFIG_ENABLE_DEFAULT_TRACERS=y
CONFIG_KREGION=y
CONFIG_KREGION_KUNIT_TEST=y
"""

TESTS_MAKEFILE = """# SPDX-License-Identifier: GPL-2.0
#
# Makefile for tests of kernel library functions.

"""

MESSAGES = [
    ("lib: add a region allocator", """\
Code that makes many small objects which die together pays for each of
them twice, at kmalloc() and at kfree(), and must remember all of them in
between. A region hands out memory from large blocks by advancing an
address, and frees all of it at once.

An allocation that finds room is a dozen instructions, inlined into the
caller, with no lock prefix in the per-CPU mode. kregion_alloc_nofill()
serves any context, NMI included, from blocks that were reserved. A region
may have a limit, be charged to a memory cgroup, and check what was
written around its objects."""),
    ("lib: kregion: add KUnit suites", """\
The suites check the contract of the allocator in all modes, and its memory
by double entry: each case compares the trace events of regions with those
of the page allocator, vmalloc and slab, and fails on a leak or on a WARN
that it did not announce.

    kunit.py run --kunitconfig lib/tests/kregion"""),
    ("Documentation: core-api: describe the region allocator", """\
What a region is for, how to use it in each mode and context, its files and
events, and its design."""),
]


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as f:
        return f.read()


def write(text, *parts):
    """Not in place: the file may have other links."""
    path = os.path.join(*parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".graft", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".graft", path)


def replace(pattern, new, text):
    """Once and for sure."""
    text, n = re.subn(pattern, new, text, count=1, flags=re.MULTILINE)
    return text if n else die(f"the tree has no {pattern!r}")


def maintainer():
    return re.search(r"^Maintainer: (.*) <(.*)>$", read(TOP, "debian/control"), re.MULTILINE).groups()


class Graft:
    """A repository of the files that the series touches."""
    def __init__(self, tree, repo):
        self.tree, self.repo, self.touched = tree, repo, []
        name, mail = maintainer()
        self.env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        for role in "AUTHOR", "COMMITTER":
            self.env.update({f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": mail})
        self.git("init", "-q")
        for path in ("lib/Kconfig", "lib/Makefile", "lib/tests/Makefile", "MAINTAINERS",
                     DOC + "index.rst"):
            if os.path.exists(f"{tree}/{path}"):
                self.put(path, read(tree, path))
        self.git("add", ".")
        self.git("commit", "-q", "-m", "the tree")

    def git(self, *args):
        subprocess.run(["git", "-C", self.repo, *args], check=True, env=self.env)

    def put(self, path, text):
        write(text, self.repo, path)
        self.touched.append(path)

    def edit(self, path, pattern, new):
        self.put(path, replace(pattern, new, read(self.repo, path)))

    def has(self, header, name):
        return bool(re.search(rf"\b{name}\b", read(self.tree, header)))

    def resolve(self, text):
        """As a file that was written for this tree."""
        for header, name, has, pattern, new in FEATURES:
            if self.has(header, name) == has:
                text = re.sub(pattern, new, text)
        for pattern, new in TEXT:
            text = re.sub(pattern, new, text)
        strange = re.search(STRANGE, text)
        return die(f"{strange[0]} is left in the text") if strange else text

    def copy(self, files):
        for pattern, folder in files:
            for path in sorted(glob.glob(f"{TOP}/{pattern}")):
                name = os.path.basename(path)
                if name.split(".")[0] not in TRACER and not name.endswith(".mod.c"):
                    self.put(folder + name, self.resolve(read(path)))

    def makefile(self, kbuild, module, config):
        """For the objects of a module of ours."""
        objects = re.search(rf"^{module}-y := ((.*\\\n)*.*)$", read(TOP, kbuild), re.MULTILINE)[1]
        objects = [o for o in objects.replace("\\\n", " ").split() if o[:-2] not in TRACER]
        lines = textwrap.wrap(" ".join(objects), 60)
        return (f"# SPDX-License-Identifier: GPL-2.0\nobj-$({config}) += {module}.o\n"
                f"{module}-y := " + " \\\n\t\t   ".join(lines) + "\n")

    def commit(self, message):
        subject, body = message
        self.git("add", ".")
        self.git("commit", "-q", "-s", "-m", subject, "-m", body)

    def maintain(self, *files):
        """Files of our entry in MAINTAINERS, which is the first of a later name's."""
        lines = "".join(f"F:\t{f}\n" for f in files)
        text = read(self.repo, "MAINTAINERS")
        if "\nREGION ALLOCATOR\n" in text:
            entry = re.search(r"\nREGION ALLOCATOR\n(?:.+\n)*", text)[0]
            head, old = entry.split("F:", 1)
            files = sorted(("F:" + old + lines).splitlines())
            self.put("MAINTAINERS", text.replace(entry, head + "\n".join(files) + "\n"))
            return
        titles = re.finditer(r"\n\n(\S.*)\n[A-Z]:\t", text[text.index("\nMaintainers List"):])
        after = next(t[1] for t in titles if t[1].upper() > "REGION ALLOCATOR")
        entry = "REGION ALLOCATOR\nM:\t{} <{}>\nS:\tMaintained\n".format(*maintainer()) + lines
        self.put("MAINTAINERS", text.replace(f"\n\n{after}\n", f"\n\n{entry}\n{after}\n", 1))

    def allocator(self):
        self.copy(ALLOCATOR)
        self.put(LIB + "Makefile", self.makefile("kmod/Kbuild", "kregion", "CONFIG_KREGION"))
        self.put(LIB + "Kconfig", KCONFIG)
        self.edit("lib/Kconfig", "^endmenu$", f'source "{LIB}Kconfig"\n\nendmenu')
        self.edit("lib/Makefile", r"\n*\Z", "\n\nobj-$(CONFIG_KREGION) += kregion/\n")
        self.maintain(LITMUS + "kregion/", "include/linux/kregion*.h", "include/trace/events/kregion*.h", LIB)

    def suites(self):
        self.copy(SUITES)
        self.put(TESTS + "Makefile",
                 self.makefile("kunit_tests/Kbuild", "kregion_kunit", "CONFIG_KREGION_KUNIT_TEST"))
        self.put(TESTS + ".kunitconfig", KUNITCONFIG)
        self.put(LIB + "Kconfig", KCONFIG + KCONFIG_TESTS)
        # Before 6.14 there is no lib/tests/.
        if "lib/tests/Makefile" not in self.touched:
            self.put("lib/tests/Makefile", TESTS_MAKEFILE)
            self.edit("lib/Makefile", r"^(obj-y \+= math/.*)$", r"\1 tests/")
        self.edit("lib/tests/Makefile", r"\n*\Z", "\nobj-$(CONFIG_KREGION_KUNIT_TEST) += kregion/\n")
        self.maintain(TESTS)

    def document(self):
        text = read(TOP, "Documentation/kregion.rst")
        recipes = read(TOP, "kunit_tests/recipes.c")
        for name in re.findall(r":start-after: /\* doc: (\w+)", text):
            code = re.search(rf"/\* doc: {name} \*/\n((.|\n)*?)\n*/\* end: {name} \*/", recipes)[1]
            code = textwrap.indent(code, "\t")
            text = re.sub(rf"\.\. literalinclude::.*\n.*\n.*doc: {name} .*\n.*\n",
                          lambda _, code=code: f".. code-block:: c\n\n{code}\n", text)
        text += "\nDesign\n======\n"
        for doc in "design", "reserve", "tree", "scratch", "generation", "map":
            file = "core" if doc == "design" else doc
            text += f"\n.. kernel-doc:: {LIB}{file}.c\n   :doc: {doc}\n"
        self.put(DOC + "kregion.rst", self.resolve(text))
        self.edit(DOC + "index.rst", r"^   genalloc\n", "   genalloc\n   kregion\n")
        self.maintain(DOC + "kregion.rst")

    def series(self, out):
        for patch in glob.glob(out + "/*.patch"):
            os.unlink(patch)
        self.git("format-patch", "-q", "-o", out, "--stat=100", "HEAD~3")

    def apply(self):
        for path in self.touched:
            write(read(self.repo, path), self.tree, path)


def main():
    if len(sys.argv) not in (2, 3):
        die("usage: graft.py TREE [FOLDER]", 2)
    tree = os.path.realpath(sys.argv[1])
    out = os.path.realpath(sys.argv[2] if len(sys.argv) == 3 else str(TOP / "out/graft"))
    if not os.path.exists(f"{tree}/lib/Kconfig"):
        die(f"{tree} is no source tree of Linux", 2)
    if os.path.exists(f"{tree}/{LIB}"):
        die(f"{tree} has a {LIB} already")
    with tempfile.TemporaryDirectory() as repo:
        graft = Graft(tree, repo)
        for step, message in zip((graft.allocator, graft.suites, graft.document), MESSAGES):
            step()
            graft.commit(message)
        graft.series(out)
        graft.apply()
    print("\n".join(sorted(glob.glob(out + "/*.patch"))))


if __name__ == "__main__":
    main()
