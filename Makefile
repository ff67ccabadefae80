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
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual $(if $(WERROR),-Werror)
# The user's CFLAGS come last and are never replaced. -ffp-contract=off: results must not depend on the compiler's mood.
ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -I. -g $(OPTIMISE) -ffp-contract=off $(WARNINGS) $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS = $(SANITIZE) $(LDFLAGS)
LIBS := -lm -lpthread

LIB_SRC := $(wildcard engine/base/*.c engine/kernel/*.c engine/*.c tokenizer/*.c weights/*.c \
	rec/*.c rec/data/*.c rec/backbone/*.c rec/prompt/*.c rec/rank/*.c rec/eval/*.c)
TOOL_SRC := $(wildcard tools/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(BUILD)/obj/%.o)

all: $(BUILD)/recrank $(BUILD)/librecrank.a ## build the program and the library (the default)

$(BUILD)/recrank: $(TOOL_OBJ) $(BUILD)/librecrank.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(TOOL_OBJ) $(BUILD)/librecrank.a $(LIBS)

$(BUILD)/librecrank.a: $(LIB_OBJ)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

# Objects are rebuilt when the compiler or its flags change.
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

FLAGS_NOW := $(CC) $(ALL_CFLAGS)
$(BUILD)/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS_NOW)' | cmp -s - $@ || printf '%s\n' '$(FLAGS_NOW)' > $@

clean: ## remove everything that was built
	rm -rf $(BUILD)

.PHONY: all clean force
-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d)
