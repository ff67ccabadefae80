#!/usr/bin/env python3
"""Writes tokenizer/unicode_data.h: the ranges of Unicode's letters and numbers, from Python's tables.

usage: python3 tools/unicode/make_classes.py > tokenizer/unicode_data.h
"""
import sys
import unicodedata


def ranges(first_letter):
    out = []
    for cp in range(sys.maxunicode + 1):
        if unicodedata.category(chr(cp))[0] == first_letter:
            if out and out[-1][1] == cp - 1:
                out[-1][1] = cp
            else:
                out.append([cp, cp])
    return out


def table(name, rows):
    print(f"static const uint32_t {name}[][2] = {{")
    cells = [f"{{0x{a:X}, 0x{b:X}}}" for a, b in rows]
    line = "   "
    for c in cells:
        if len(line) + len(c) + 2 > 100:
            print(line)
            line = "   "
        line += f" {c},"
    print(line)
    print("};")


print(f"/* Unicode {unicodedata.unidata_version}: ranges of letters (L*) and of numbers (N*). Written by")
print(" * tools/unicode/make_classes.py. */")
print("/* clang-format off */")
table("letters", ranges("L"))
table("numbers", ranges("N"))
