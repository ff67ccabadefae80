#!/bin/sh
# Fuzzes every target with libFuzzer. usage: run.sh BUILD_FOLDER SECONDS_EACH
set -eu
here=$(dirname "$0")
for target in "$here"/*_fuzz.c; do
    name=$(basename "$target" .c)
    mkdir -p "$1/fuzz" "$1/corpus/$name"
    clang -std=c11 -D_POSIX_C_SOURCE=200809L -I. -g -O1 -fsanitize=address,undefined,fuzzer -fno-sanitize-recover=all \
        -o "$1/fuzz/$name" "$target" "$1/librecrank.a" -lm -lpthread
    "$1/fuzz/$name" -max_total_time="$2" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=0 \
        "$1/corpus/$name" "$here/seeds/${name%_fuzz}"
done
