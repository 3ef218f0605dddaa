# SPDX-License-Identifier: GPL-2.0
# The checks: each target leaves its results in out/check/TARGET.ktap, as KTAP,
# whether they are good or bad. The top Makefile schedules them and parses what
# they leave.
#
#	make -f kunit_tests/check.mk KERNEL=NAME TARGET...
#
# A part is a name for several targets.

OUT := out/check
VM := kunit_tests/vm
OLD := debian12-6.1
NEW := $(KERNEL)
KERNELS := $(OLD) $(NEW)

fastpath := $(KERNELS:%=fastpath-%)
static := $(KERNELS:%=build-%) clang i386 $(fastpath) checkpatch kernel-doc documentation labels \
	litmus coccinelle codespell shellcheck programs krtrace native dkms install man completion sample
seldom := dkms install shell clang i386 policy
program := program-stress program-fuzz program-step
stock := $(foreach k,$(KERNELS),suites-$(k) trace-$(k))
# In this order: builds, then long ones, as two at a time end sooner so. What
# waits for a build that is not over comes last.
all := $(KERNELS:%=build-%) sample kunit trace-$(NEW) suites-$(OLD) suites-$(NEW) counts $(program) \
	$(filter-out build-% sample $(seldom),$(static))
# What an edit seldom breaks.
ci := kunit-full detectors packages spin trace-$(OLD) $(seldom) $(filter-out kunit,$(all))
# Kernels are built each time.
grafts := $(foreach s,6.12 7.3,graft-$s-um graft-$s-x86_64)
slow := $(grafts) program-slips
parts := all ci static stock program slow fastpath

names := $(shell $(VM)/kernels.py --list)
targets := $(sort $(all) $(ci) $(slow) traces $(foreach n,build suites trace fastpath kunit,$(names:%=$(n)-%)))

# make check-kernels: of a package the strict build, its fast path, suites and
# tracer, of a kernel from source the suites.
images := $(shell $(VM)/kernels.py --list package)
$(foreach n,$(images),$(eval kernel-$(n) := build-$(n) fastpath-$(n) suites-$(n) trace-$(n)))
$(foreach n,$(filter kunit%,$(names)),$(eval kernel-$(n) := kunit-$(n)))
parts += $(images:%=kernel-%) $(patsubst %,kernel-%,$(filter kunit%,$(names)))
kernels := $(foreach n,$(images) $(filter-out kunit,$(filter kunit%,$(names))),$(kernel-$(n)))
# Their traces, read on each architecture.
TRACED := $(NEW) arm64-6.12 i386-6.1 s390x-6.12
kernels += traces
parts += kernels

# What an argument names: parts are their targets.
expand = $(foreach p,$(1),$(if $(filter $(p),$(parts)),$($(p)),$(if $(filter $(p),$(targets)),$(p),$(error no check '$(p)'; there are all ci static stock program slow fastpath kernels kernel-NAME $(ci) kunit traces))))

names:
	@echo $(call expand,$(PARTS))

check = @mkdir -p $(OUT); kunit_tests/ktap.sh $@
# Of a script that prints KTAP itself.
ktap = @mkdir -p $(OUT); $(1) >$(OUT)/$@.ktap || :
vm_check = @mkdir -p $(OUT); $(VM)/check.sh $(OUT)/$@

kunit:
	$(vm_check) kunit kunit quick >$(OUT)/$@.ktap

kunit-full:
	$(vm_check) kunit kunit full >$(OUT)/$@.ktap

$(names:%=kunit-%): kunit-%:
	$(vm_check) kunit $* quick >$(OUT)/$@.ktap

detectors:
	$(vm_check) detectors kunit >$(OUT)/$@.ktap

# A stock kernel: the strict build, then what runs of it.
$(names:%=build-%): build-%:
	$(check) $(VM)/build.sh -w -p $* >$(OUT)/$@.ktap

$(names:%=suites-%): suites-%: build-%
	$(vm_check) suites $* >$(OUT)/$@.ktap

$(names:%=trace-%): trace-%: build-%
	$(vm_check) trace $* >$(OUT)/$@.ktap

counts: build-$(NEW)
	$(check) kunit_tests/bench/bench.py --check >$(OUT)/$@.ktap

policy: build-$(NEW)
	$(call ktap,kunit_tests/bench/policy.py --check)

traces: $(TRACED:%=trace-%)
	$(check) kunit_tests/traces.py $(TRACED) >$(OUT)/$@.ktap

shell:
	$(check) $(VM)/shell.py >$(OUT)/$@.ktap

clang:
	$(check) $(VM)/build.sh -w -t $@ $(NEW) LLVM=-19 >$(OUT)/$@.ktap

i386:
	$(check) kunit_tests/static.py bits32 >$(OUT)/$@.ktap

$(names:%=fastpath-%): fastpath-%: build-%
	$(check) kunit_tests/static.py fastpath $* >$(OUT)/$@.ktap

checkpatch kernel-doc coccinelle codespell shellcheck:
	$(check) kunit_tests/static.py $@ >$(OUT)/$@.ktap

documentation:
	$(check) kunit_tests/static.py $@ $(OUT)/docs >$(OUT)/$@.ktap

labels:
	$(check) kunit_tests/labels.py >$(OUT)/$@.ktap

litmus spin:
	$(call ktap,kunit_tests/models.py $@)

programs:
	$(check) make -s -B -C userspace_demo CFLAGS="-O2 -Wall -Wextra -Werror" >$(OUT)/$@.ktap

krtrace: programs
	$(check) kunit_tests/krtrace/test.py >$(OUT)/$@.ktap

native:
	$(check) make -s -B -C kunit_tests/bench OUT=$(CURDIR)/$(OUT)/native CFLAGS="-O2 -Wall -Wextra -Werror" >$(OUT)/$@.ktap

program-stress program-fuzz: SECONDS := 42

$(program) program-slips: program-%:
	$(call ktap,kunit_tests/program.py $* $(SECONDS))

# Its VM loads the samples.
suites-$(NEW): sample

dkms:
	$(check) kunit_tests/install.py $@ $(KERNELS) >$(OUT)/$@.ktap

install sample:
	$(check) kunit_tests/install.py $@ $(NEW) >$(OUT)/$@.ktap

man completion:
	$(check) kunit_tests/install.py $@ >$(OUT)/$@.ktap

packages:
	$(check) kunit_tests/packages.sh $(OUT)/$@ $(NEW) >$(OUT)/$@.ktap

$(grafts): graft-%:
	$(check) kunit_tests/graft_check.py $(subst -, ,$*) >$(OUT)/$@.ktap

.PHONY: names $(targets)
