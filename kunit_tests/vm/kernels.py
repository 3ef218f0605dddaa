#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put a kernel of the table "kernels" into the cache and print its folder.

Nothing is installed on this machine: packages are downloaded and unpacked.

usage: kernels.py NAME                   a kernel
       kernels.py source [SUITE SERIES]  a source tree of Linux, 6.12 by default
       kernels.py --list [package|source]  the names in the table
       kernels.py sources RELEASE        apt's sources of a Debian release

The folder of a kernel holds: kernel (what QEMU boots), initrd.gz, build (what
modules are built against: KDIR), root (with lib/modules; packages only),
make.args (arguments that a module build needs), release, arch, and userland
(the folder that a guest sees as its root).
"""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

VM = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.dirname(VM))

import lib
from lib import CACHE, die, output, stage

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def cached(*parts):
    return os.path.join(CACHE, *parts)


def read(*parts):
    try:
        with open(os.path.join(*parts), encoding="utf-8") as f:
            return f.read().strip()
    except FileNotFoundError:
        return None


def write(text, *parts):
    """A file is there whole, or not at all."""
    path = os.path.join(*parts)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text + "\n" if text else "")
    os.rename(path + ".new", path)


def run(log, *command, **kwargs):
    """Its output is in a log of the cache, and shows if it fails."""
    path = cached(log + ".log")
    with open(path, "w", encoding="utf-8") as f:
        failed = lib.result(*command, stdout=f, stderr=subprocess.STDOUT, **kwargs)[0]
    if failed:
        lib.result("tail", "-n", "40", path, stdout=sys.stderr)
        die(f"{command[0]} failed; the whole log is in {path}")


class Lock:
    """Two checks may want the same thing at once."""
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.file = open(cached("lock-" + self.name), "w", encoding="utf-8")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


class Folder:
    """A folder of the cache that becomes visible only when it is complete."""
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.tmp = tempfile.mkdtemp(dir=CACHE)
        os.chmod(self.tmp, 0o755)
        return self.tmp

    def __exit__(self, failed, *_):
        if failed:
            shutil.rmtree(self.tmp)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
            os.rename(self.tmp, self.path)


# ---- Debian's packages ------------------------------------------------------

def native():
    return output("dpkg", "--print-architecture")


def site(label):
    """Where this machine's apt gets Debian, or its security updates, from."""
    for line in output("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)").splitlines():
        origin, its, url = line.split("|")
        if (origin, its) == ("Debian", label):
            return url
    return die(f"apt has no source for {label}")


def sources(release, suites, options=""):
    """Lines for apt: a Debian release from this machine's mirror, and some of its suites."""
    lines = [f"deb [signed-by={KEYRING}] {site('Debian')} {release} main"]
    for suite in suites:
        place = site("Debian-Security" if suite == "security" else "Debian")
        lines.append(f"deb [{options}signed-by={KEYRING}] {place} {release}-{suite} main")
    return "\n".join(lines)


def apt_for(release):
    """Its apt configuration: this machine's mirror, and lists no older than a day."""
    here = cached("apt", release)
    fresh = os.path.join(here, "fresh")
    with Lock("apt-" + release):
        if os.path.exists(fresh) and time.time() - os.path.getmtime(fresh) < 86400:
            return os.path.join(here, "apt.conf")
        stage(f"fetching Debian's list of packages, {release}")
        for d in "lists/partial", "archives/partial":
            os.makedirs(os.path.join(here, d), exist_ok=True)
        write("", here, "status")
        # Some mirrors have other architectures in the release proper only.
        write(sources(release, ["updates", "backports", "security"], "arch=amd64,arm64 "),
              here, "sources.list")
        write(f'''APT::Architectures {{ "amd64"; "arm64"; "i386"; "s390x"; }};
APT::Sandbox::User "root";
Dir::Etc::SourceList "{here}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "{here}/lists";
Dir::State::Status "{here}/status";
Dir::Cache::Archives "{here}/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";''', here, "apt.conf")
        run("apt", "apt-get", "-q", "update", env={**os.environ, "APT_CONFIG": f"{here}/apt.conf"})
        write("", fresh)
        return os.path.join(here, "apt.conf")


class Apt:
    """apt as a Debian suite sees it; "-" is this machine's own."""
    def __init__(self, suite):
        self.options, self.env = ["-o", "APT::Sandbox::User=root"], None
        self.lists = "/var/lib/apt/lists"
        if suite != "-":
            self.options = ["-o", "APT::Default-Release=" + suite]
            config = apt_for(suite.split("-")[0])
            self.env = {**os.environ, "APT_CONFIG": config}
            self.lists = os.path.join(os.path.dirname(config), "lists")

    def cache(self, *args):
        """An answer of apt-cache, which takes a second; the lists it is of are the key."""
        os.makedirs(cached("apt"), exist_ok=True)
        key = repr((self.options, args, self.lists, os.stat(self.lists).st_mtime_ns))
        answer = cached("apt", "answer-" + hashlib.sha256(key.encode()).hexdigest()[:16])
        if not os.path.exists(answer):
            write(subprocess.run(["apt-cache", *self.options, *args], env=self.env, check=True, text=True,
                                 stdout=subprocess.PIPE).stdout, answer)
        return read(answer)

    def candidate(self, package):
        found = re.search(r"Candidate: (\S+)", self.cache("policy", package))
        return found and found[1] != "(none)" and found[1]

    def depends(self, package, regex):
        """The packages that it depends on whose names match."""
        names = re.findall(r"Depends: <?([^\s:>]+)", self.cache("depends", package))
        return [n for n in names if re.match(regex, n)]

    def fetch(self, folder, *packages):
        """Download and unpack them."""
        with tempfile.TemporaryDirectory(dir=CACHE) as debs:
            run("download", "apt-get", *self.options, "download", *packages, cwd=debs, env=self.env)
            unpack(folder, glob.glob(debs + "/*.deb"))

    def fetch_closure(self, folder, arch, *packages):
        """With all that they depend on."""
        with tempfile.TemporaryDirectory(dir=CACHE) as debs:
            os.mkdir(debs + "/partial")
            run("download", "apt-get", *self.options, "-o", "APT::Architecture=" + arch,
                "-o", "Dir::Cache::Archives=" + debs, "install", "-y", "--download-only",
                "--no-install-recommends", *packages, env=self.env)
            unpack(folder, glob.glob(debs + "/*.deb"))


def unpack(folder, files):
    """Into a tree whose /bin, /lib and /sbin are links into /usr."""
    for d in "bin", "lib", "sbin":
        os.makedirs(f"{folder}/usr/{d}", exist_ok=True)
        if not os.path.lexists(f"{folder}/{d}"):
            os.symlink(f"usr/{d}", f"{folder}/{d}")
    for file in files:
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", file], check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-C", folder, "-x", "--keep-directory-symlink"], input=tar.stdout, check=True)


# ---- kernels ----------------------------------------------------------------

def package_kernel(name, arch, suite, series, flavour):
    """Debian's own: the newest linux-image-SERIES...-FLAVOUR."""
    apt = Apt(suite)
    named = re.compile(rf"linux-image-{series}\.[^-]*(-\d+)?-{flavour}")
    images = [p for p in apt.cache("pkgnames", f"linux-image-{series}.").split() if named.fullmatch(p)]
    if not images:
        die(f"no package linux-image-{series}...-{flavour} in {suite}")
    image = max(images, key=lambda p: [int(n) for n in re.findall(r"\d+", p)])
    release = image.replace("linux-image-", "")
    headers = "linux-headers-" + release
    folder = cached(f"{name}-{release}-{apt.candidate(f'{image}:{arch}')}")
    if os.path.exists(folder):
        return folder
    stage(f"fetching Debian's kernel {release}")
    with Folder(folder) as tmp:
        packages = [image, *apt.depends(f"{image}:{arch}", "linux-(binary|modules)-"),
                    headers, *apt.depends(f"{headers}:{arch}", "linux-headers-")]
        # Some are for all architectures; the programs of kbuild run here.
        apt.fetch(tmp + "/root", *[f"{p}:{arch}" if apt.candidate(f"{p}:{arch}") else p for p in packages],
                  *apt.depends(f"{headers}:{arch}", "linux-kbuild-"))
        # The headers name each other by absolute path.
        src = f"{tmp}/root/usr/src/{headers}"
        write(read(src, "Makefile").replace("/usr/src/", f"{folder}/root/usr/src/"), src, "Makefile")
        os.symlink(f"root/usr/src/{headers}", tmp + "/build")
        modules = f"{tmp}/root/lib/modules/{release}"
        for link in "build", "source":
            if os.path.lexists(f"{modules}/{link}"):
                os.unlink(f"{modules}/{link}")
        output("/sbin/depmod", "-b", tmp + "/root", release)
        for image in f"{tmp}/root/boot/vmlinuz-{release}", f"{modules}/vmlinuz":
            if os.path.exists(image):
                shutil.copy(image, tmp + "/kernel")
        write("", tmp, "make.args")
        write(release, tmp, "release")
    return folder


def source_tree(suite, series):
    """Debian's source, unpacked."""
    apt = Apt(suite)
    version = apt.candidate("linux-source-" + series)
    if not version:
        die(f"no package linux-source-{series}; try apt-get update")
    folder = cached("source-" + version)
    with Lock("source-" + series):
        if not os.path.exists(folder):
            stage(f"fetching the source of Linux {series}")
            with Folder(folder) as tmp:
                apt.fetch(tmp, "linux-source-" + series)
                output("tar", "-C", tmp, "-xf", f"{tmp}/usr/src/linux-source-{series}.tar.xz")
                os.rename(f"{tmp}/linux-source-{series}", tmp + "/tree")
                shutil.rmtree(tmp + "/usr")
    return folder + "/tree"


def merge_config(build, wanted, *make):
    """tinyconfig, the wanted values over it, none of them lost."""
    output(*make, "tinyconfig")
    lines = [l for l in read(build, ".config").splitlines()
             if not any(l.startswith(n + "=") or l == f"# {n} is not set" for n in wanted)]
    write("\n".join(lines + [f"{n}={v}" for n, v in wanted.items()]), build, ".config")
    output(*make, "olddefconfig")
    got = dict(l.split("=", 1) for l in read(build, ".config").splitlines() if l.startswith("CONFIG_"))
    lost = [f"{n}={v}" for n, v in wanted.items() if got.get(n, "n") != v]
    if lost:
        die("these options did not survive: " + ", ".join(lost))


def source_kernel(name, _arch, suite, series, fragments, *args):
    """Built from source: a tiny kernel with these fragments; the last one decides."""
    source = source_tree(suite, series)
    wanted = {}
    for fragment in fragments.split(","):
        wanted.update(l.split("=", 1) for l in read(VM, fragment).splitlines() if l.startswith("CONFIG_"))
    compiler = subprocess.run(["clang-19" if "LLVM=-19" in args else "gcc", "--version"],
                              check=True, text=True, stdout=subprocess.PIPE).stdout
    key = hashlib.sha256(repr((sorted(wanted.items()), source, args, compiler)).encode()).hexdigest()[:12]
    folder = cached(f"{name}-{key}")
    if os.path.exists(folder + "/release"):
        return folder
    # A kernel's build folder holds its own path: build in place, mark when
    # done.
    stage(f"building the {name} kernel (some minutes, once)")
    shutil.rmtree(folder, ignore_errors=True)
    build = folder + "/build"
    os.makedirs(build)
    make = ["make", "-s", "-C", source, "O=" + build, *args]
    merge_config(build, wanted, *make)
    booted = name != "i386-build"
    run(name, *make, f"-j{os.cpu_count() + 1}", *(["vmlinux", "modules"] if booted else ["modules_prepare"]))
    for path, _, files in os.walk(build):
        if not re.match(build + "/(scripts|tools)", path):
            for f in files:
                if f.endswith(".o"):
                    os.unlink(os.path.join(path, f))
    if booted:
        os.symlink("build/vmlinux", folder + "/kernel")
    write(" ".join(args), folder, "make.args")
    write(output(*make, "kernelrelease"), folder, "release")
    return folder


# ---- what a guest sees ------------------------------------------------------

def userland(arch, suite):
    """A guest's root: this machine's own, or Debian's packages for ARCH, unpacked."""
    if arch == native():
        return "/"
    release = suite.split("-")[0]
    folder = cached(f"userland-{arch}-{release}")
    with Lock("userland-" + arch):
        if not os.path.exists(folder):
            stage(f"fetching programs for {arch} guests")
            with Folder(folder) as tmp:
                Apt(release).fetch_closure(
                    tmp, arch, "base-files", "bash", "binutils", "busybox-static", "coreutils", "dash", "findutils", "gawk",
                    "grep", "gzip", "hostname", "iproute2", "kmod", "libc-bin", "mount", "python3", "sed", "tar",
                    "util-linux", "xz-utils")
                os.symlink("gawk", tmp + "/usr/bin/awk")
                for d in "proc", "sys", "dev", "run", "tmp", "root":
                    os.makedirs(f"{tmp}/{d}", exist_ok=True)
    return folder


def make_initrd(folder):
    """It mounts the guest's root and goes on with guest-init.sh there."""
    init, release = read(VM, "initrd-init.sh"), read(folder, "release")
    key = hashlib.sha256(init.encode()).hexdigest()
    if read(folder, "initrd.key") == key:
        return
    with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
        for d in "bin", "proc", "sys", "dev", "ro", "rw", "new", "modules":
            os.mkdir(f"{tmp}/{d}")
        shutil.copy(read(folder, "userland") + "/bin/busybox", tmp + "/bin/busybox")
        for applet in "sh", "mount", "insmod", "mkdir", "switch_root", "cat", "poweroff":
            os.symlink("busybox", f"{tmp}/bin/{applet}")
        write(init, tmp, "init")
        os.chmod(tmp + "/init", 0o755)
        order = []
        for module in "virtio_pci", "virtio_ccw", "9pnet_virtio", "9p", "overlay":
            shown = subprocess.run(["/sbin/modprobe", "-d", folder + "/root", "-S", release, "--show-depends", module],
                                   check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            order += [f for f in re.findall(r"^insmod (\S+)", shown, re.M) if f not in order]
        for file in order:
            plain = f"{tmp}/modules/{os.path.basename(file).split('.')[0]}.ko"
            with open(plain, "wb") as f:
                subprocess.run(["xz", "-dcf", file], stdout=f, check=True)
        write("\n".join(os.path.basename(f).split(".")[0] + ".ko" for f in order), tmp, "modules", "order")
        output("sh", "-c", f"find . | cpio -o -H newc --quiet | gzip -1 >{folder}/initrd.gz", cwd=tmp)
    write(key, folder, "initrd.key")


def table():
    """The rows of the table "kernels", by name."""
    return {r[0]: r for r in map(str.split, read(VM, "kernels").splitlines()) if r and r[0][0] != "#"}


def main(args):
    os.makedirs(CACHE, exist_ok=True)
    rows = table()
    if args[:1] == ["--list"]:
        print("\n".join(n for n, r in rows.items() if args[1:] in ([], [r[2]])))
    elif len(args) == 2 and args[0] == "sources":
        print(sources(args[1], ["updates", "security"]))
    elif args[:1] == ["source"]:
        print(source_tree(*(args[1:] or ["-", "6.12"])))
    elif len(args) == 1 and args[0] in rows:
        name, arch, kind, suite, *how = rows[args[0]]
        with Lock(name):
            make = {"package": package_kernel, "source": source_kernel}[kind]
            folder = make(name, arch, suite, *how)
            write(arch, folder, "arch")
            if arch != "um" and os.path.exists(folder + "/kernel"):
                write(userland(arch, suite), folder, "userland")
                make_initrd(folder)
        print(folder)
    else:
        die("usage: kernels.py source | sources RELEASE | --list | NAME; names are " + ", ".join(rows), 2)


if __name__ == "__main__":
    main(sys.argv[1:])
