#!/bin/sh
# Runs every tests/cli/*_test.sh with the program as its argument, two at once: most of them wait for one thread. Those that
# take longest begin first. usage: run.sh RECRANK
set -u
here=$(dirname "$0")
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
first="learn_cmd shared demo chat tune"
for t in "$here"/*_test.sh; do
    name=$(basename "$t" _test.sh)
    case " $first " in *" $name "*) ;; *) first="$first $name" ;; esac
done
# What a test says is shown as a whole, and a failure leaves a mark.
for name in $first; do printf '%s\n' "$name"; done | xargs -P2 -I{} sh -c '
    sh "$1/$4_test.sh" "$2" >"$3/$4.said" 2>&1 && rc=0 || rc=$?
    cat "$3/$4.said" >&2
    if [ $rc = 0 ]; then : >"$3/$4.passed"; else echo "FAIL $1/$4_test.sh" >&2; fi' run "$here" "$1" "$said" {}
passed=$(ls "$said" | grep -c '\.passed$')
total=$(echo "$first" | wc -w)
echo "cli: $passed passed, $((total - passed)) failed"
[ "$passed" = "$total" ]
