# recrank: needs a C11 compiler and GNU make, nothing else. `make help` lists the targets.

CC ?= cc
AR ?= ar
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
VERSION := 0.1.0
Q := $(if $(V),,@)

OPTIMISE ?= -O3
OPTIMISE_HOT := # more for what computes most
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual $(if $(WERROR),-Werror)
# The user's CFLAGS come last and are never replaced. -ffp-contract=off: results must not depend on the compiler's mood.
# -fno-math-errno: nobody asks errno after a square root, and without it loops with one can be vectorised.
ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -I. -g $(OPTIMISE) -ffp-contract=off -fno-math-errno $(WARNINGS) $(SANITIZE) \
	$(TEST_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(SANITIZE) $(LDFLAGS)
LIBS := -lm -lpthread

LIB_SRC := $(wildcard engine/base/*.c engine/kernel/*.c engine/*.c engine/train/*.c tokenizer/*.c weights/*.c \
	rec/*.c rec/data/*.c rec/backbone/*.c rec/prompt/*.c rec/rank/*.c rec/learn/*.c rec/eval/*.c)
TOOL_SRC := $(wildcard tools/*.c)
DEMO_SRC := $(wildcard tools/demo/*.c) # programs of their own
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/tools/demo/embedded.o

all: $(BUILD)/recrank $(BUILD)/librecrank.a ## build the program and the library (the default)

$(BUILD)/recrank: $(TOOL_OBJ) $(BUILD)/librecrank.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(TOOL_OBJ) $(BUILD)/librecrank.a $(LIBS)

$(BUILD)/librecrank.a: $(LIB_OBJ)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

$(BUILD)/obj/tools/demo/embedded.o: $(addprefix tools/demo/,embedded.S movies.dat ratings.dat model.gguf)
	@echo "  AS    $<"
	@mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $<

# Objects are rebuilt when the compiler or its flags change.
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Benchmarks say which commit they measured.
$(BUILD)/obj/tools/bench.o: ALL_CFLAGS += -DRR_COMMIT='"$(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)"'
$(BUILD)/obj/tools/bench.o: $(wildcard .git/logs/HEAD)

FLAGS_NOW := $(CC) $(ALL_CFLAGS) $(OPTIMISE_HOT)
$(BUILD)/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS_NOW)' | cmp -s - $@ || printf '%s\n' '$(FLAGS_NOW)' > $@

# ---- the demonstration -------------------------------------------------------------------------------------------

CPUS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
demo: ## build, and rank the embedded catalogue with the embedded model
	$(Q)$(MAKE) -j$(CPUS) --no-print-directory $(BUILD)/recrank
	$(Q)$(BUILD)/recrank demo

# Anew from nothing but the generator and a seed; the results are part of the sources, so that a build need not train. The
# bits follow from the seed on one level of instructions: --cpu avx2 is what most machines have.
demo-catalogue: ## make its catalogue anew from the generator
	@mkdir -p $(BUILD)
	$(CC) $(ALL_CFLAGS) -o $(BUILD)/make_catalogue tools/demo/make_catalogue.c
	$(BUILD)/make_catalogue 1 tools/demo

demo-model: $(BUILD)/recrank ## train its model anew (minutes)
	$(BUILD)/recrank learn --data tools/demo -o $(BUILD)/demo.gguf --vocab 1024 --passes 30 --stir 0.2 --draws 12000 --type q8_0 \
		--seed 1 --cpu avx2
	cp $(BUILD)/demo.gguf tools/demo/model.gguf

# ---- tests -------------------------------------------------------------------------------------------------------

TEST_SRC := $(wildcard tests/*_test.c) tests/test.c $(wildcard tests/make_*.c)
TEST_OBJ := $(TEST_SRC:%.c=$(BUILD)/obj/%.o)
FUZZ_SRC := $(wildcard tests/fuzz/*_fuzz.c)
FUZZ_REPLAY := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)
# Criterion's own headers are not ours to warn about; MINI=1 builds the tests without it.
TEST_LIBS := $(if $(MINI),,-lcriterion)
$(TEST_OBJ): TEST_CFLAGS := $(if $(MINI),-DRR_MINI)
$(TEST_OBJ): $(BUILD)/flags.tests

# The gradients are checked with double numbers: engine/train is compiled again, before the library's float32 build of it.
$(BUILD)/tests/gradient: tests/train/gradient.c $(wildcard engine/train/*.[ch]) $(BUILD)/librecrank.a
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DRR_TRAIN_DOUBLE $(ALL_LDFLAGS) -o $@ tests/train/gradient.c $(wildcard engine/train/*.c) \
		$(BUILD)/librecrank.a $(LIBS)

ALLOC_TESTS := $(BUILD)/tests/noalloc $(BUILD)/tests/oom $(BUILD)/tests/oom_rank

# The gradients' numbers are the same with a sanitizer, and its memory is that of the training tests.
test: test-parts ## run all tests (installs Criterion if it may)
	$(Q)$(BUILD)/tests/unit
	$(Q)$(if $(SANITIZE),true,$(BUILD)/tests/gradient)
	$(Q)$(BUILD)/tests/noalloc
	$(Q)$(BUILD)/tests/oom
	$(Q)$(BUILD)/tests/oom_rank
	$(Q)sh tests/fuzz/replay.sh $(BUILD)/fuzz
	$(Q)$(if $(NO_CLI),true,sh tests/cli/run.sh $(BUILD)/recrank)

test-parts: criterion $(BUILD)/tests/unit $(ALLOC_TESTS) $(BUILD)/tests/gradient $(BUILD)/recrank $(FUZZ_REPLAY)
test-cli: $(BUILD)/recrank
	$(Q)sh tests/cli/run.sh $(BUILD)/recrank

criterion:
	$(Q)$(if $(MINI),true,sh tests/need_criterion.sh $(CC))

$(BUILD)/tests/unit: $(TEST_OBJ) $(BUILD)/librecrank.a
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(TEST_OBJ) $(BUILD)/librecrank.a $(TEST_LIBS) $(LIBS)

# Programs that count or fail every allocation: the linker puts theirs in the place of malloc and the rest.
WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=free
ALLOC_OBJ := $(BUILD)/obj/tests/make_model.o $(BUILD)/obj/tests/make_files.o $(BUILD)/librecrank.a
$(ALLOC_TESTS): $(BUILD)/tests/%: tests/alloc/%.c tests/alloc/failing.h tests/alloc/wrap.h $(ALLOC_OBJ)
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(WRAP) -o $@ $< $(ALLOC_OBJ) $(LIBS)

# Any compiler replays the seeds; `make fuzz` builds the same files for clang's libFuzzer.
$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(BUILD)/librecrank.a
	@echo "  LINK  $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< tests/fuzz/replay.c $(BUILD)/librecrank.a $(LIBS)

FUZZ_SECONDS ?= 30
fuzz: ## fuzz every parser for FUZZ_SECONDS each (needs clang and its runtime)
	$(Q)$(MAKE) --no-print-directory BUILD=build/libfuzzer CC=clang OPTIMISE=-O1 \
		SANITIZE="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all" build/libfuzzer/librecrank.a
	$(Q)sh tests/fuzz/run.sh build/libfuzzer $(FUZZ_SECONDS)

# Sanitizers make everything slow: little optimising compiles it sooner, and much of it pays where the tests compute.
SAN_RUN = $(MAKE) --no-print-directory OPTIMISE="-O1 -g1" OPTIMISE_HOT=-O3
$(addprefix $(BUILD)/obj/,engine/kernel/kernel_c.o engine/kernel/blocks.o engine/train/gemm.o rec/backbone/bpr.o): override OPTIMISE += $(OPTIMISE_HOT)
# -O3 takes these a minute each.
$(addprefix $(BUILD)/obj/,engine/kernel/kernel_avx2.o engine/kernel/kernel_avx512.o): override OPTIMISE += $(OPTIMISE_HOT:-O3=-O2)
asan: ## the tests under the address and leak sanitizers
	$(Q)$(SAN_RUN) BUILD=build/asan MINI=1 SANITIZE="-fsanitize=address -fno-omit-frame-pointer" test

ubsan: ## the tests under the undefined-behaviour sanitizer
	$(Q)$(SAN_RUN) BUILD=build/ubsan MINI=1 SANITIZE="-fsanitize=undefined -fno-sanitize-recover=all" test

SAN_BOTH = $(SAN_RUN) BUILD=build/sanitize MINI=1 \
	SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
# The command line tests beside the others: both use one thread most of the time. SLOW: so much slower than without.
sanitize: ## the tests under both of these at once
	$(Q)$(SAN_BOTH) -j2 test-parts
	$(Q)$(SAN_BOTH) USERS=6 SLOW=4 test-cli & cli=$$!; $(SAN_BOTH) test NO_CLI=1; rc=$$?; wait $$cli && [ $$rc = 0 ]

# What threads touch; the rest has no use for this sanitizer and takes minutes under it.
TSAN_TESTS = $(wildcard tests/rank*_test.c tests/pool*_test.c tests/session*_test.c tests/make_*.c) tests/test.c
tsan: ## the tests that use threads under the thread sanitizer
	$(Q)$(SAN_RUN) BUILD=build/tsan MINI=1 SANITIZE="-fsanitize=thread" TEST_SRC="$(TSAN_TESTS)" -j2 build/tsan/tests/unit
	$(Q)build/tsan/tests/unit rank & rank=$$!; build/tsan/tests/unit pool && build/tsan/tests/unit session && wait $$rank

# GCC 12 itself crashes (an internal error of its vectoriser) on some of the tests for aarch64: no vectorising here.
QEMU_RUN = $(MAKE) --no-print-directory CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar BUILD=build/aarch64 MINI=1 \
	LDFLAGS=-static OPTIMISE=-O2 CFLAGS=-fno-tree-vectorize
qemu: ## the kernels and whole models of aarch64 (needs gcc-aarch64-linux-gnu and qemu-user)
	$(Q)$(QEMU_RUN) build/aarch64/tests/unit
	$(Q)for cpu in cortex-a53 neoverse-n1 max; do qemu-aarch64 -cpu $$cpu build/aarch64/tests/unit kernel || exit 1; done
	$(Q)qemu-aarch64 -cpu max build/aarch64/tests/unit golden

# The tile instructions are functions there: engine/kernel/amx_emulated.h.
AMX_RUN = $(MAKE) --no-print-directory BUILD=build/amx MINI=1 CFLAGS=-DRR_AMX_EMULATED
amx: ## the kernels and whole models of AMX, emulated (needs a machine with AVX-512 BF16)
	$(Q)$(AMX_RUN) build/amx/tests/unit build/amx/recrank
	$(Q)build/amx/recrank inspect :demo --cpu amx >/dev/null # or there is nothing to test
	$(Q)for suite in kernel golden session long_paths; do build/amx/tests/unit $$suite || exit 1; done

# ---- looking, installing -----------------------------------------------------------------------------------------

C_FILES := $(wildcard engine/*.[ch] engine/*/*.[ch] tokenizer/*.[ch] weights/*.[ch] rec/*.[ch] rec/*/*.[ch] \
	tools/*.[ch] tools/*/*.[ch] tests/*.[ch] tests/*/*.[ch])
# As deep as its analyser goes into a function; its own limit, 225000, finds no more here and takes three times as long.
TIDY_NODES ?= 75000
TIDY_FLAGS := -std=c11 -D_POSIX_C_SOURCE=200809L -I. -ffp-contract=off \
	-Xclang -analyzer-config -Xclang max-nodes=$(TIDY_NODES)
# Of one machine at a time: all that "#if" could mean together takes four times as long.
CPPCHECK := cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c11 --inline-suppr \
	--suppress=missingIncludeSystem --suppress=varFuncNullUB -I. -D__linux__ -D__GNUC__=12
AARCH64_SRC := $(addprefix engine/kernel/,cpu.c kernel.c peak.c kernel_neon.c kernel_dotprod.c kernel_i8mm.c)
lint: ## clang-format, clang-tidy, cppcheck, the floors of the house, exported names
	@echo "  FORMAT"
	$(Q)clang-format --dry-run --Werror $(C_FILES)
	@echo "  FLOORS"
	$(Q)sh tests/floors.sh
	@echo "  NAMES"
	$(Q)$(MAKE) --no-print-directory $(BUILD)/librecrank.a >/dev/null
	$(Q)! nm -g --defined-only $(BUILD)/librecrank.a | awk 'NF == 3 && $$3 !~ /^rr_/ { print "not rr_: " $$3 }' | grep .
	@echo "  CPPCHECK"
	$(Q)$(CPPCHECK) -j2 -D__x86_64__ $(LIB_SRC) $(TOOL_SRC) $(DEMO_SRC)
	$(Q)$(CPPCHECK) -D__aarch64__ $(AARCH64_SRC)
	$(Q)$(CPPCHECK) -DRR_AMX_EMULATED -D__x86_64__ $(wildcard engine/kernel/*amx*.c) engine/kernel/cpu.c
	@echo "  TIDY"
	$(Q)printf '%s\n' $(LIB_SRC) $(TOOL_SRC) $(DEMO_SRC) | xargs -P2 -I{} clang-tidy --quiet {} -- $(TIDY_FLAGS) 2>/dev/null

$(BUILD)/recrank.h: rec/recrank.h engine/base/status.h
	@mkdir -p $(@D)
	$(Q)sed -e '/#include "engine\/base\/status.h"/{r engine/base/status.h' -e 'd}' rec/recrank.h > $@

# Made anew each time: it holds the PREFIX of this very install.
$(BUILD)/recrank.pc: force
	@mkdir -p $(@D)
	$(Q)printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' 'Name: recrank' \
		'Description: ranks candidate items with a LLaMA, the RecRanker way' 'Version: $(VERSION)' \
		'Libs: -L$${libdir} -lrecrank -lm -lpthread' 'Cflags: -I$${includedir}' > $@

install: all $(BUILD)/recrank.h $(BUILD)/recrank.pc ## install below PREFIX (and DESTDIR)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(PKGCONFIGDIR) $(DESTDIR)$(MANDIR)/man1
	install -m 755 $(BUILD)/recrank $(DESTDIR)$(BINDIR)/recrank
	install -m 644 $(BUILD)/librecrank.a $(DESTDIR)$(LIBDIR)/librecrank.a
	install -m 644 $(BUILD)/recrank.h $(DESTDIR)$(INCLUDEDIR)/recrank.h
	install -m 644 $(BUILD)/recrank.pc $(DESTDIR)$(PKGCONFIGDIR)/recrank.pc
	install -m 644 tools/recrank.1 $(DESTDIR)$(MANDIR)/man1/recrank.1

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(BINDIR)/recrank $(DESTDIR)$(LIBDIR)/librecrank.a $(DESTDIR)$(INCLUDEDIR)/recrank.h \
		$(DESTDIR)$(PKGCONFIGDIR)/recrank.pc $(DESTDIR)$(MANDIR)/man1/recrank.1

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  variables: CC CFLAGS LDFLAGS PREFIX DESTDIR BUILD WERROR=1 V=1 MINI=1 (tests without Criterion) FUZZ_SECONDS=30"

# Test objects also depend on whether they are Criterion's or the shim's.
$(BUILD)/flags.tests: force
	@mkdir -p $(@D)
	@printf '%s\n' 'MINI=$(MINI)' | cmp -s - $@ || printf '%s\n' 'MINI=$(MINI)' > $@

clean: ## remove everything that was built
	rm -rf $(BUILD)

.DELETE_ON_ERROR:
.PHONY: all demo demo-catalogue demo-model test test-parts test-cli criterion fuzz asan ubsan sanitize tsan qemu amx lint install uninstall help clean force
-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(TEST_OBJ:.o=.d)
