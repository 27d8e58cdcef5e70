# lockstep: parallel programs from one thread to a cluster. The tree is the list of programs:
# layer/topic/program.c becomes $(BUILD)/layer/topic/program. See README.md and docs/design.md.
#
#   make deps run | deps check    installs what the other goals on the line need, then does them
#   make [MPI=openmpi|mpich] [CC=gcc|clang] [MODE=debug|asan|tsan] [NATIVE=1]
#   make run P=PROGRAM N=RANKS T=THREADS ARGS="..."
#   make check | check-all [TEST=path ...]   the quick tests in minutes, or all of them
#   make report D=FOLDER           tables, plots and a page of the JSON results in it
#   make simulate P=bcast N=1000 [PLATFORM=fat-tree|torus|ethernet] ARGS="..."     on SimGrid
#   make list | stress | bench | install [PREFIX= DESTDIR=] | format | tidy | clean

VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
sim     := $(filter sim,$(MPI))
MPICC   := $(if $(sim),smpicc,$(or $(shell command -v mpicc$(MPI:%=.%)),mpicc))
BUILD   := build$(if $(filter mpich sim,$(MPI)),-$(MPI))$(if $(findstring clang,$(CC)),-clang)$(MODE:%=-%)
PREFIX  := /usr/local
P := scatter

# ---- make deps GOAL ...: nothing may be looked for before it has run, so the goals get a make of
# their own, after it.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
.NOTPARALLEL:
goals := $(filter-out deps,$(MAKECMDGOALS))
.PHONY: deps $(goals)
deps:
	@CC='$(CC)' MPI='$(MPI)' .ci/deps $(goals)
$(goals): deps
	@+$(MAKE) --no-print-directory $@
else

# ---- What is here. A topic needs its layer's libraries and its own; without one it is left out.
has_mpi     := $(shell command -v $(MPICC))
try         = $(shell $(CC) $(CPPFLAGS) $(CFLAGS) $(1) -fsyntax-only -x c /dev/null 2>&1 || echo no)
has_hwloc   := $(if $(call try,-include hwloc.h),,yes)
has_openmp  := $(if $(call try,-fopenmp -include omp.h),,yes)
has_jansson := $(if $(call try,-include jansson.h),,yes)
has_png     := $(if $(call try,-include png.h),,yes)
has_uv      := $(if $(call try,-include uv.h),,yes)
has_blas    := $(if $(call try,-include openblas_config.h -include cblas.h),,yes)

needs_local/async := uv
needs_local/data  := openmp
needs_mpi         := mpi
needs_hybrid      := mpi hwloc openmp

topics  := $(sort $(patsubst %/,%,$(dir $(wildcard local/*/*.c mpi/*/*.c hybrid/*/*.c))))
needs    = $(needs_$(firstword $(subst /, ,$(1)))) $(needs_$(1))
lacks    = $(strip $(foreach n,$(call needs,$(1)),$(if $(has_$(n)),,$(n))))
present := $(foreach t,$(topics),$(if $(call lacks,$(t)),,$(t)))
absent  := $(filter-out $(present),$(topics))

programs := $(patsubst %.c,%,$(wildcard $(addsuffix /*.c,$(filter-out %/lib,$(present)))))
units    := $(patsubst %.c,%,$(wildcard tests/unit/local/*.c \
            $(if $(has_mpi),tests/unit/mpi/*.c) $(if $(filter hybrid/lib,$(present)),tests/unit/hybrid/*.c)))
# MPI=sim: what SimGrid simulates, the MPI programs without what it lacks (`Simulated: no, WHY`).
ifneq ($(sim),)
programs := $(filter-out $(basename $(shell grep -l '^ \* Simulated: no' mpi/*/*.c)),$(filter mpi/%,$(programs)))
units    := tests/unit/mpi/coll
endif

# ---- How it is built. No -march=native: login and compute nodes differ; NATIVE=1 asks for it.
# Tables of options leave the fields that do not apply to zero. Constants such as
# MPI_STATUSES_IGNORE are small numbers as addresses, which gcc takes for arrays of no size.
addresses := -Wno-stringop-overflow -Wno-stringop-overread
warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wno-missing-field-initializers $(if $(findstring clang,$(CC)),,$(addresses))
CFLAGS   := $(if $(filter debug,$(MODE)),-O0,-O2) $(if $(sim),-DSIMULATED,-g)
flags     = -std=c17 -D_XOPEN_SOURCE=700 -I. -pthread -MMD -MP $(warnings) \
            -DLOCKSTEP_VERSION='"$(VERSION)"' $(has_jansson:yes=-DHAVE_JANSSON) \
            $(has_png:yes=-DHAVE_PNG) $(has_blas:yes=-DHAVE_BLAS) $(flags_$(MODE)) \
            $(if $(NATIVE),-march=native) $(CPPFLAGS) $(CFLAGS)
flags_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
flags_tsan := -fsanitize=thread
libraries_local  := local/lib
libraries_mpi    := mpi/lib local/lib
libraries_hybrid := hybrid/lib mpi/lib local/lib

# The layer of layer/topic/program, also of tests/unit/layer/program: who compiles and links it.
layer    = $(firstword $(subst /, ,$(patsubst tests/unit/%,%,$(1))))
compiler = $(if $(sim),smpicc,$(if $(filter local,$(call layer,$(1))),$(CC),OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(MPICC)))
openmp   = $(if $(filter openmp,$(call needs,$(call layer,$(1))) $(call needs,$(patsubst %/,%,$(dir $(1))))),-fopenmp)
archives = $(patsubst %,$(BUILD)/%.a,$(filter $(present),$(libraries_$(call layer,$(1)))))
linked   = -lm $(if $(filter local,$(call layer,$(1))),,-ldl) $(has_jansson:yes=-ljansson) $(has_png:yes=-lpng) $(if $(filter hybrid,$(call layer,$(1))),-lhwloc) \
           $(if $(filter local/async/% local/data/compare,$(1)),$(has_uv:yes=-luv)) \
           $(if $(filter hybrid/linear/summa,$(1)),$(has_blas:yes=-lopenblas)) $(if $(filter tests/%,$(1)),-lcmocka) \
           $(if $(filter asan,$(MODE)),tests/keep_loaded.c)

# Commands are named, not shown, unless V=1.
quiet = $(if $(V),,@echo '  $(1) $(2)';)

.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
.PHONY: all units run report simulate check check-all stress bench list install format tidy clean

all: $(programs:%=$(BUILD)/%)
	@$(foreach t,$(filter-out %/lib,$(absent)),echo "left out: $(t) needs $(call lacks,$(t)): make deps all";)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(call compiler,$*) $(flags) $(call openmp,$*) -c -o $@ $<

objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c $(1)/*/*.c))
$(BUILD)/local/lib.a: $(call objects,local/lib)
$(BUILD)/mpi/lib.a: $(call objects,mpi/lib)
$(BUILD)/hybrid/lib.a: $(call objects,hybrid/lib)
$(BUILD)/%/lib.a:
	@rm -f $@
	@ar rcs $@ $^

# The head comment of a program is its manual: --help prints it, without the Test lines.
$(BUILD)/%.about.c: %.c
	@mkdir -p $(@D)
	@awk 'BEGIN { print "extern const char program_name[], program_about[];\n" \
	              "const char program_name[] = \"$(notdir $*)\";\nconst char program_about[] =" } \
	      / \*\// { exit } \
	      NR > 1 && !/^ \* (Test|Simulated)/ { sub(/^ \* ?/, ""); gsub(/[\\"]/, "\\\\&"); print "\"" $$0 "\\n\"" } \
	      END { print ";" }' $< >$@
$(BUILD)/%.about.o: $(BUILD)/%.about.c
	@$(CC) -std=c17 $(CFLAGS) -c -o $@ $<

$(programs:%=$(BUILD)/%) $(units:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/%.about.o $$(call archives,$$*)
	$(call quiet,LD,$@)$(call compiler,$*) $(flags_$(MODE)) $(CFLAGS) -pthread $(call openmp,$*) $(LDFLAGS) -o $@ $^ $(call linked,$*)

# On 4 ranks unless N says otherwise; a program of local/ has none.
ranks = $(or $(N),$(if $(filter-out local/%,$(filter %/$(P),$(programs))),4))
run: all
	@LOCKSTEP_BUILD=$(BUILD) jobs/launch $(if $(ranks),-n $(ranks)) $(T:%=-t %) $(P) $(ARGS)

# On a cluster that is not there, of N ranks, or FROM:TO to see how time grows with them.
simulate:
	$(if $(shell command -v smpicc),@+$(MAKE) --no-print-directory -s MPI=sim all)
	@jobs/simulate -n $(or $(N),16) $(PLATFORM:%=-p %) $(P) $(ARGS)

# ---- Tests: each file is a test file, tests/harness turns it into TAP. `check` is the quick tier:
# without the slow files, without a second MPI, and the harness sweeps fewer rank counts. `check-all` is
# everything, and the quick tier of the programs under the sanitizers. TEST=path names files in both.
tests  := $(sort $(programs:%=%.c) $(units:%=%.c) \
          $(wildcard tests/*.bats tests/jobs/*.bats tests/docs/*.bats tests/unit/*/*.bats tests/cluster/*.bats))
slow   := $(filter tests/cluster/% tests/docs/% $(addprefix tests/,add_program.bats install.bats \
          jobs/outside.bats sanitizers.bats simulate.bats stencil.bats),$(tests))
named   = $(sort $(foreach t,$(TEST),$(or $(filter $(t:/=)%,$(tests)),$(error TEST=$(t): no such test))))
check:     chosen = $(if $(TEST),$(named),$(filter-out $(slow),$(tests)))
check-all: chosen = $(if $(TEST),$(named),$(tests))
# The longest first, or one of them would run alone in the end; what has no ranks fills the gaps.
longest  = $(addprefix tests/,cluster/distro.bats cluster/jobs.bats cluster/slurm.bats docs/labs.bats cluster/studies.bats \
           docs/guides.bats docs/readme.bats unit/mpi/coll.c add_program.bats sanitizers.bats simulate.bats)
first    = $(foreach t,$(longest),$(filter $(t),$(chosen)))
rankless = $(filter local/% tests/unit/local/%,$(chosen))
others   = $(filter-out $(rankless),$(filter-out tests/%,$(chosen)) $(filter-out $(first),$(filter tests/%,$(chosen))))
prove   = prove --timer --exec tests/harness
prove_chosen = LOCKSTEP_BUILD=$(BUILD) MODE=$(MODE) $(prove) -j4 $(first) $(others) $(rankless)

# What the slow files need besides, and what the second MPI's cases are run with.
second := $(if $(MPI)$(MODE),,$(if $(and $(shell command -v mpicc.mpich),$(shell command -v mpicc.openmpi)),mpich))
build_beside = $(foreach m,$(second) $(if $(MPI)$(MODE),,$(if $(shell command -v smpicc),sim)),\
               $(MAKE) --no-print-directory -s MPI=$(m) all units &&) :

check: all units
	$(if $(filter $(slow),$(chosen)),@+$(build_beside))
	@LOCKSTEP_TIER=quick $(prove_chosen)

asan = $(filter local/% mpi/% hybrid/% tests/unit/%,$(chosen))
tsan = $(filter local/thread/% local/async/% tests/unit/local/%,$(chosen))
check-all: all units
	@+$(build_beside)
	@LOCKSTEP_TIER=all LOCKSTEP_SECOND=$(second:%=build-%) $(prove_chosen)
	$(if $(MPI)$(MODE),,$(if $(asan),@+$(MAKE) --no-print-directory -s MODE=asan check TEST='$(asan)'))
	$(if $(MPI)$(MODE),,$(if $(tsan),@+$(MAKE) --no-print-directory -s MODE=tsan check TEST='$(tsan)'))

units: $(units:%=$(BUILD)/%)

stress: all
	@LOCKSTEP_BUILD=$(BUILD) $(prove) $(wildcard tests/stress/*.bats)

# Side by side with packaged peers, as ratios; on a quiet machine.
bench: all
	@for b in $(filter-out %.bash %.c %.py,$(wildcard tests/bench/*)); do LOCKSTEP_BUILD=$(BUILD) $$b || exit; done

report:
	@jobs/report $(D)

list:
	@$(foreach p,$(programs),sed -n 's|^ \* $(notdir $(p)) - |$(dir $(p))$(notdir $(p))\t|p' $(p).c | head -n 1;) :

install: all
	@for p in $(programs); do install -D $(BUILD)/$$p "$(DESTDIR)$(PREFIX)/libexec/lockstep/$$p" || exit 1; done
	@for j in $(filter-out jobs/site.sh jobs/checks jobs/lib jobs/platforms,$(wildcard jobs/* jobs/*/*)); do \
	    install -D $$j "$(DESTDIR)$(PREFIX)/share/lockstep/$$j" || exit 1; done
	@for d in docs/*.md docs/*.example docs/labs/*; do install -D -m 644 $$d "$(DESTDIR)$(PREFIX)/share/lockstep/$$d" || exit 1; done

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')
tidy: all
	clang-tidy $(programs:%=%.c) $(wildcard */lib/*.c) -- -std=c17 -D_XOPEN_SOURCE=700 -I. -fopenmp \
	    -DLOCKSTEP_VERSION='""' $(if $(has_mpi),$(shell $(MPICC) -showme:compile 2>/dev/null))
clean:
	rm -rf build build-*

-include $(wildcard $(BUILD)/*/*/*.d $(BUILD)/*/lib/*/*.d $(BUILD)/tests/unit/*/*.d)
endif
