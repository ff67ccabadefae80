#!/bin/sh
# Runs every tests/cli/*_test.sh with the program as its argument. usage: run.sh RECRANK
set -u
here=$(dirname "$0")
passed=0 failed=0
for t in "$here"/*_test.sh; do
    [ -e "$t" ] || continue
    if sh "$t" "$1"; then
        passed=$((passed + 1))
    else
        echo "FAIL $t" >&2
        failed=$((failed + 1))
    fi
done
echo "cli: $passed passed, $failed failed"
[ "$failed" = 0 ]
