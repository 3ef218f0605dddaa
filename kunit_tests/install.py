#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The ways to install kregion, into folders of their own.

usage: install.py dkms KERNEL...
       install.py install|sample KERNEL
       install.py man|completion
"""
import os
from pathlib import Path
import re
import shutil
from subprocess import DEVNULL, PIPE, STDOUT
import sys
from tempfile import TemporaryDirectory

import lib
from lib import TOP, copy_tree, die, expect, output, read, result, run

VERSION = re.search(r'^PACKAGE_VERSION="(.*)"', read(TOP, "dkms.conf"), re.M)[1]
SAMPLE = TOP / "kunit_tests/sample"
# The programs, and the sections of their man pages.
PROGRAMS = {"krtrace": 1, "kregion-top": 8}


def make(folder, *args):
    run("make", "-s", "-C", folder, *args)


def release(kernel):
    return read(kernel, "release")


def client(place, kernel, headers, symvers):
    """The sample builds with nothing but these, and README's code is of it."""
    excerpts = re.findall(r"^```c\n(.*?)^```$", read(TOP, "README.md"), re.M | re.S)
    expect(excerpts, "README shows no code")
    for code in excerpts:
        expect(code in read(SAMPLE, "kregion_json.c") + "\n", f"the sample has no such code:\n{code}")
    folder = place / "client"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(SAMPLE / "kregion_json.c", folder)
    (folder / "Kbuild").write_text(f"obj-m := kregion_json.o\nccflags-y := -I{headers}\n", encoding="utf-8")
    make(kernel / "build", f"M={folder}", f"KBUILD_EXTRA_SYMBOLS={symvers}", "modules")
    expect((folder / "kregion_json.ko").exists(), "no kregion_json.ko")


def dkms_build(place, version, kernel):
    """The tree in place/source for a kernel's version: the exit status, and what DKMS says."""
    (place / "tree").mkdir(exist_ok=True)
    return result("dkms", "build", "-m", "kregion", "-v", VERSION, "-k", version,
                  "--kernelsourcedir", kernel / "build", "--sourcetree", place / "source",
                  "--dkmstree", place / "tree", "--installtree", place / "lib", stdout=PIPE, stderr=STDOUT)


def dkms_left(place, kernel):
    """What DKMS leaves of a build for this kernel."""
    status, said = dkms_build(place, release(kernel), kernel)
    print(said)
    tree = place / "tree/kregion" / VERSION
    if status:
        die(read(tree, "build/make.log"))
    return next((tree / release(kernel)).iterdir())


def dkms(place, *names):
    """DKMS builds what it installs only, leaves each kernel's symbols, and refuses old kernels."""
    source = place / "source" / f"kregion-{VERSION}"
    copy_tree(source)
    # A benchmark that does not compile is in nobody's way.
    with open(source / "kunit_tests/bench/bench.c", "a", encoding="utf-8") as f:
        f.write("#error broken\n")
    for kernel in map(lib.kernel, names):
        left = dkms_left(place, kernel)
        built = re.findall(r"LD \[M\] .*[ /](.*\.ko)$", read(left, "log/make.log"), re.M)
        expect(sorted(built) == ["kregion.ko", "kregion_trace.ko"], f"built: {built}")
        client(place, kernel, source / "kmod/include", left / "Module.symvers")
    for old in "5.10.0-1-amd64", "6.0.1":
        status, said = dkms_build(place, old, kernel)
        expect(status and "BUILD_EXCLUSIVE" in said, f"DKMS for {old}: {said}")


def described(root):
    """What modinfo and the programs say."""
    for module in next(root.glob("lib/modules/*/updates/kregion")).iterdir():
        for field in "description", "author", "license":
            expect(output("modinfo", "-F", field, module), f"{module} has no {field}")
        expect(output("modinfo", "-F", "version", module) == VERSION, f"the version of {module}")
        for parameter in output("modinfo", "-F", "parm", module).splitlines():
            expect(re.search(r":.*\w.*\(", parameter), f"no description: {parameter}")
        expect(".debug_" not in output("readelf", "-S", module), f"{module} is not stripped")
    expect(f"({VERSION})" in read(TOP, "debian/changelog").split("\n")[0], "the version of debian/")
    for program in PROGRAMS:
        said = output(root / "usr/bin" / program, "--version")
        expect(said == f"{program} {VERSION}", f"{program} --version: {said}")


def install(place, name):
    """The sample from what make install leaves; and make uninstall leaves nothing of that."""
    kernel = lib.kernel(name)
    built, root = place / "built", place / "root"
    include = root / "usr/include/kregion"
    copy_tree(built)
    # What every system has.
    for folder in ("bin include lib/udev/rules.d share/bash-completion/completions "
                   "share/man/man1 share/man/man4 share/man/man7 share/man/man8").split():
        (root / "usr" / folder).mkdir(parents=True)
    (root / "lib/modules" / release(kernel)).mkdir(parents=True)
    before = set(root.rglob("*"))
    args = f"KDIR={kernel}/build", f"DESTDIR={root}"
    make(built, *args, "KARGS=W=1", "install")
    described(root)
    client(place, kernel, include, include / "Module.symvers")
    make(built, *args, "uninstall")
    left = set(root.rglob("*")) ^ before
    expect(not left, f"make uninstall: {left}")


def sample(place, name):
    """The sample builds against each of the places that kregion may be in."""
    kernel = lib.kernel(name)
    kdir = f"KDIR={kernel}/build"
    left = lib.WORK / f"sample-{name}"
    shutil.rmtree(left, ignore_errors=True)

    def build(way, module, *args):
        """The modules stay in the cache, for the VM to load."""
        if not (place / way).exists():
            shutil.copytree(SAMPLE, place / way)
        make(place / way, kdir, *args)
        (left / way).mkdir(parents=True)
        for file in module, place / way / "kregion_json.ko":
            shutil.copy(file, left / way)

    # A tree in which make was run, named, and found from its own place in it.
    clone, root = place / "clone", place / "root"
    copy_tree(clone)
    make(clone, f"-j{os.cpu_count()}", kdir)
    build("named", clone / "kmod/kregion.ko", f"KREGION={clone}")
    os.symlink("clone/kunit_tests/sample", place / "found")
    build("found", clone / "kmod/kregion.ko")

    make(clone, kdir, f"DESTDIR={root}", "install")
    build("installed", root / f"lib/modules/{release(kernel)}/updates/kregion/kregion.ko",
          f"KREGION={root}/usr/include/kregion")

    # DKMS, whose version is the last word of the folder's name.
    copy_tree(place / "source" / f"kregion-{VERSION}")
    module = next(dkms_left(place, kernel).glob("module/kregion.ko*"))
    build("dkms", module, f"KREGION={place}/tree/kregion/{VERSION}")

    # Nowhere: it says so.
    status, said = result("make", "-s", "-C", place / "named", kdir, "KREGION=/nowhere", stderr=PIPE)
    expect(status and f"no kregion for {release(kernel)} in '/nowhere'" in said, said)


def options_are_in(path, mark):
    """Each option of --help is in the program's file."""
    make(TOP / "userspace_demo")
    for program, section in PROGRAMS.items():
        file = TOP / path.format(program=program, section=section)
        for option in re.findall(r"--([a-z]+)", output(TOP / "userspace_demo" / program, "--help")):
            expect(re.search(rf"{mark}{option}\b", read(file)), f"no --{option} in {file}")


def man(_):
    """The program man itself has nothing to say about the pages."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    for page in sorted((TOP / "Documentation/man").iterdir()):
        said = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page, env=env,
                   stdout=DEVNULL, stderr=PIPE)
        expect(not said, said)
    options_are_in("Documentation/man/{program}.{section}", "Fl ")


# What bash offers for the last word.
COMPLETE = r'''. "$0"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[@]}"'''
COMPLETIONS = {
    "krtrace re": "record report", "krtrace record --b": "--budget", "krtrace record --d": "--duration",
    "krtrace report ": "a.krt b.krt",
    "krtrace convert --chrome --output a": "a.krt", "krtrace report --t": "--tsv",
    "krtrace record --budget ": "", "kregion-top --sort h": "held", "kregion-top -f b": "b.krt",
    "kregion-top --once --j": "--json",
}


def completion(place):
    for name in "a.krt", "b.krt":
        (place / name).touch()
    for line, want in COMPLETIONS.items():
        words = line.split(" ")
        got = output("bash", "-uo", "pipefail", "-c", COMPLETE,
                     TOP / "userspace_demo/completions" / words[0], *words, cwd=place)
        expect(sorted(got.split()) == want.split(), f"{line}: '{got}', not '{want}'")
    options_are_in("userspace_demo/completions/{program}", "--")


def main(way="", *names):
    ways = {"dkms": dkms, "install": install, "sample": sample, "man": man, "completion": completion}
    if way not in ways:
        die("usage: install.py dkms|install|sample|man|completion [KERNEL]...", 2)
    with TemporaryDirectory() as place:
        ways[way](Path(place), *names)


if __name__ == "__main__":
    main(*sys.argv[1:])
