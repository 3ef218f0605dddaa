# SPDX-License-Identifier: GPL-2.0
# What each target does: make help

# The time of all stages counts from here.
export START := $(shell date +%s)
# Scripts that root runs leave no folder in the tree.
export PYTHONDONTWRITEBYTECODE := 1

# The kernel of demo, shell and bench, and the newer one of make check: a name of
# kunit_tests/vm/kernels.
export KERNEL ?= debian12-6.12

KDIR ?= /lib/modules/$(shell uname -r)/build
DESTDIR ?=
RELEASE = $(shell cat $(KDIR)/include/config/kernel.release)
MODDIR = $(DESTDIR)/lib/modules/$(RELEASE)/updates/kregion
PREFIX ?= /usr
INCLUDE = $(DESTDIR)$(PREFIX)/include/kregion
SHARE = $(DESTDIR)$(PREFIX)/share
HEADERS := $(addprefix kmod/include/,linux/kregion.h linux/kregion_inline.h uapi/linux/kregion_trace.h)
STRIP ?= $(CROSS_COMPILE)strip
SCRIPTS := kunit_tests/vm

all: modules programs

modules: $(KDIR)/Makefile
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KARGS) modules

# With the suites, the clients and the benchmark.
tests: $(KDIR)/Makefile programs
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(KARGS) KREGION_TESTS=m modules

$(KDIR)/Makefile:
	@echo "no kernel to build against in $(KDIR): install the headers of the running kernel, or say make KDIR=FOLDER" >&2; exit 2

programs:
	$(MAKE) -C userspace_demo

install: all install-headers install-tools
	install -d $(MODDIR)
	install -m 644 kmod/kregion.ko kmod/kregion_trace.ko $(MODDIR)
	$(STRIP) -g $(MODDIR)/*.ko
	install -m 644 Module.symvers $(INCLUDE)
	$(if $(DESTDIR),,depmod $(RELEASE))

install-headers:
	install -d $(INCLUDE)/linux
	install -m 644 $(HEADERS) $(INCLUDE)/linux
	install -D -m 644 -t $(SHARE)/man/man7 Documentation/man/kregion.7

install-tools: programs
	$(MAKE) -C userspace_demo install DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)
	install -D -m 644 -t $(SHARE)/man/man1 Documentation/man/krtrace.1
	install -D -m 644 -t $(SHARE)/man/man4 Documentation/man/kregion_trace.4
	install -D -m 644 -t $(SHARE)/man/man8 Documentation/man/kregion-top.8

# What install has made for this kernel, and what it shares with others.
uninstall:
	rm -rf $(MODDIR) $(INCLUDE)
	! [ -d $(dir $(MODDIR)) ] || rmdir --ignore-fail-on-non-empty $(dir $(MODDIR))
	rm -f $(addprefix $(SHARE)/man/,man7/kregion.7 man1/krtrace.1 man4/kregion_trace.4 man8/kregion-top.8)
	$(MAKE) -C userspace_demo uninstall DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)
	$(if $(DESTDIR),,depmod $(RELEASE))

load:
	modprobe kregion || insmod kmod/kregion.ko
	modprobe kregion_trace || insmod kmod/kregion_trace.ko

unload:
	rmmod kregion_trace kregion

demo:
	$(SCRIPTS)/deps.sh build vm
	$(SCRIPTS)/demo.sh

shell:
	$(SCRIPTS)/deps.sh build vm
	$(SCRIPTS)/demo.sh --shell

# The packages of Debian, in out/deb.
deb:
	$(SCRIPTS)/deps.sh deb
	rm -rf out/deb
	mkdir -p out/deb/kregion
	rsync -a --exclude=.git --filter=':- .gitignore' ./ out/deb/kregion/
	cd out/deb/kregion && dpkg-buildpackage -b -us -uc
	rm -rf out/deb/kregion
	@ls out/deb/*.deb

# make check [PARTS="PART..."]: two at a time, each to its end whatever becomes of the others.
PARTS ?= all
CHECKS = $(MAKE) -s -f kunit_tests/check.mk

check:
	$(SCRIPTS)/deps.sh
	parts=$$($(CHECKS) names PARTS="$(PARTS)") && { $(CHECKS) -j2 -k $$parts; kunit_tests/ktap.sh --parse $$parts; }

# make check-kernels [KERNELS="NAME..."]: the table kunit_tests/vm/kernels.
check-kernels:
	$(SCRIPTS)/deps.sh build vm test kernels
	$(MAKE) -s check PARTS="$(if $(KERNELS),$(KERNELS:%=kernel-%),kernels)"

kunit:
	$(MAKE) -s check PARTS=kunit

# make mutants [MUTANTS="NAME..."]: the table kunit_tests/mutants.
mutants:
	$(SCRIPTS)/deps.sh build vm test
	kunit_tests/mutants.py $(MUTANTS)

# make models [HERD7=herd7]: the litmus tests and the state machines.
models:
	$(SCRIPTS)/deps.sh test
	kunit_tests/models.py

# KCSAN's reports of the modules, while the suites run.
kcsan:
	$(SCRIPTS)/deps.sh build vm test
	kunit_tests/kcsan.py

# Until it is interrupted, or finds something.
fuzz:
	$(SCRIPTS)/deps.sh build test
	kunit_tests/program.py fuzz

# make stress [DURATION=SECONDS] [KERNEL=NAME]: the torture test.
DURATION ?= 8

stress:
	$(SCRIPTS)/deps.sh build vm test
	kunit_tests/stress.py -d $(DURATION) $(KERNEL)

# Lines and branches of the modules that the suites reach; out/coverage/index.html.
coverage:
	$(SCRIPTS)/deps.sh build vm test coverage
	kunit_tests/coverage.py

# As root: README's commands on bare systems.
SUITE ?= bookworm trixie
TARGETS ?= demo check

newcomer:
	$(SCRIPTS)/deps.sh newcomer
	for s in $(SUITE); do kunit_tests/newcomer.sh $$s $(TARGETS) || exit; done

ci:
	$(SCRIPTS)/deps.sh newcomer
	kunit_tests/newcomer.sh -u root bookworm demo
	kunit_tests/newcomer.sh -u newcomer trixie PARTS=ci demo check

docs:
	$(SCRIPTS)/deps.sh docs
	kunit_tests/static.py documentation out/docs
	@echo out/docs/index.html

bench:
	$(SCRIPTS)/deps.sh build vm test bench
	kunit_tests/bench/bench.py

# Into a source tree of Linux.
graft:
	@kunit_tests/graft.py $(TREE)

clean:
	$(MAKE) -C userspace_demo clean
	find . -name .git -prune -o \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o -name '.*.d' -o -name device_fuzz -o -name modules.order -o -name Module.symvers \) -type f -exec rm -f {} +
	rm -rf out

help:
	@echo 'make [KDIR=FOLDER]   build modules (for the running kernel by default) and programs'
	@echo 'make tests           the same, and the modules of the tests'
	@echo 'make demo            in a VM: trace a real workload with kregion_trace and report [KERNEL=debian13-7.2]'
	@echo 'make shell           in a VM: a prompt with the modules loaded'
	@echo 'make check           the tests, in VMs, and the static checks [PARTS="static ..."]'
	@echo 'make check-kernels   the suites on every kernel of kunit_tests/vm/kernels [KERNELS="NAME ..."]'
	@echo 'make kunit           the KUnit suites only, in a VM: the loop for every edit'
	@echo 'make mutants         faults planted in the modules, and the check that finds each [MUTANTS="NAME ..."]'
	@echo 'make models          the litmus tests, and spin models of the algorithms [HERD7=/path/to/herd7]'
	@echo 'make kcsan           the suites in a kernel that reports data races'
	@echo 'make fuzz            random calls of the allocator, and damaged traces for krtrace, until interrupted'
	@echo 'make stress          the torture test, in a VM [DURATION=SECONDS of each scenario] [KERNEL=kunit]'
	@echo 'make coverage        lines and branches that the suites reach'
	@echo 'make newcomer        as root: demo and check on bare systems of Debian [SUITE=trixie] [TARGETS=demo]'
	@echo 'make ci              as root, on bare systems: demo, check, and the parts of it that take longer'
	@echo 'make docs            Documentation/ as web pages, in out/docs/'
	@echo 'make bench           what allocations cost, beside other allocators: tables and plots'
	@echo 'make graft TREE=TREE put the allocator into a source tree of Linux, as patches too, in out/graft/'
	@echo 'make install         modules, programs and what clients build with [DESTDIR=FOLDER] [PREFIX=/usr]'
	@echo 'make uninstall       remove that again'
	@echo 'make deb             packages of Debian, in out/deb/'
	@echo 'make load, unload    as root: load the modules into the running kernel, take them out'
	@echo 'make clean           remove what was built here; kernels stay in ~/.cache/kregion'

.PHONY: all graft modules programs install load unload demo shell check check-kernels kunit mutants models kcsan fuzz stress coverage newcomer ci docs bench clean help tests install-headers install-tools uninstall deb
