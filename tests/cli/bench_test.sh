#!/bin/sh
# recrank bench: that its rows are there and mean what they say; never how fast anything is.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "bench: $*" >&2
    fails=$((fails + 1))
}
code() { # EXPECTED WORDS COMMAND...
    want=$1 words=$2
    shift 2
    timeout 100 "$r" bench "$@" >"$d/out" 2>"$d/said" </dev/null
    rc=$?
    [ $rc = "$want" ] && { [ -z "$words" ] || grep -qF -- "$words" "$d/said"; } || bad "$*: exit $rc, $(cat "$d/said"); expected $want and '$words'"
}
# What scripts rely on.
code 0 "" model --shape 15m --type q8_0 --threads 1 --rounds 1 --json
for case in prefill128 prefill512 decode; do
    grep -qE "\"case\":\"$case\",\"tokens_per_s\":[0-9.e+]+,\"share_of_limit\":[0-9.]+,\"limit\":[0-9.e+]+" "$d/out" || bad "no $case: $(cat "$d/out")"
done
[ "$(wc -l <"$d/out")" = 1 ] && grep -q '^{"bench":"model","cpu":".*"rows":\[.*\]}$' "$d/out" || bad "no one object: $(cat "$d/out")"
code 0 "" rank --shape 15m --type q4_0 --trunk 40 --leaves 3 --leaf-tokens 5 --threads 2 --rounds 1 --json
grep -qE '"seconds":[0-9.e-]+,"tokens_computed":55,"share_of_limit":[0-9.]+,"weights_bytes":[0-9]+,"peak_resident_bytes":[0-9]+,"private_bytes":[0-9]+}$' "$d/out" || bad "rank: $(cat "$d/out")"
# On a file, and where the time goes.
code 0 "waiting for threads" rank :demo --rounds 1 --profile --trunk 40
grep -q '	rank-40+10x30	' "$d/out" || bad "rank :demo: $(cat "$d/out")"
code 0 "" model :demo --rounds 1 --cpu c
[ "$(grep -c 'tokens/s' "$d/out")" = 3 ] && grep -q '; c, ' "$d/out" || bad "model :demo: $(cat "$d/out")"
for type in f32 f16 BF16 q6_k; do
    code 0 "" rank --shape 15m --type $type --trunk 4 --leaves 1 --leaf-tokens 2 --rounds 1
done
# The same model as a file, and smaller caches.
code 0 "" file --shape 15m --type q4_0 -o "$d/random.gguf"
for cache in f32 f16; do
    code 0 "" rank "$d/random.gguf" --trunk 40 --leaves 2 --leaf-tokens 3 --rounds 1 --cache $cache --json
    grep -q "\"cache\":\"$cache\"" "$d/out" || bad "cache $cache: $(cat "$d/out")"
done
code 2 "take F16" rank "$d/random.gguf" --trunk 40 --leaves 2 --leaf-tokens 3 --cache q8_0
code 2 "file needs -o FILE" file --shape 15m
code 2 "--cache has no effect on file" file --shape 15m -o "$d/x" --cache f16
code 2 "--output has no effect on model" model --shape 15m -o "$d/x"
# Every kernel gives what C gives (exit code 1 if not), and is named once.
code 0 "" kernels --rounds 1
[ -z "$(cut -f2 "$d/out" | sort | uniq -d)" ] && [ "$(wc -l <"$d/out")" -gt 20 ] || bad "kernels: $(cat "$d/out")"
cp "$d/out" "$d/before"
code 0 "" kernels --rounds 1 --cpu c
code 0 "" core --rounds 1
for case in sampling-draw kmeans-user request prompt tokenize-token hybrid+metrics-user; do
    grep -q "^core	$case	[0-9.]*	ns" "$d/out" || bad "no $case: $(cat "$d/out")"
done
code 0 "" limits --threads 1
grep -q '^limits	f32	[0-9.]*	Gop/s' "$d/out" && grep -q '^limits	read-256MiB	' "$d/out" || bad "limits: $(cat "$d/out")"
# Two results side by side: speeds and costs, both ways.
printf 'suite\tcase\tvalue\tunit\nx\ta\t100\tGop/s\nx\tb\t100\tns\nx\tc\t10\tGB/s\n' >"$d/1"
printf '# later\nx\ta\t96\tGop/s\nx\tb\t96\tns\nx\tc\t10.1\tGB/s\n' >"$d/2"
code 1 "" compare "$d/1" "$d/2"
[ "$(grep -c WORSE "$d/out")" = 1 ] && grep -q '^x a.*-4.0% WORSE$' "$d/out" || bad "compare: $(cat "$d/out")"
code 1 "" compare "$d/2" "$d/1"
[ "$(grep -c WORSE "$d/out")" = 1 ] && grep -q '^x b.*+4.2% WORSE$' "$d/out" || bad "compare: $(cat "$d/out")"
code 0 "" compare "$d/before" "$d/before"
printf 'x\ta\t96\tGop/s\n' >"$d/2"
code 1 "" compare "$d/1" "$d/2"
[ "$(grep -c missing "$d/out")" = 2 ] || bad "compare: $(cat "$d/out")"
printf 'x\ta\t100\tGop/s\t2.5%%\n' >"$d/1"
printf 'x\ta\t96\tGop/s\t2.0%%\n' >"$d/2"
code 0 "" compare "$d/1" "$d/2" # within the spread of both
printf 'x\ta\t0\tGop/s\n' >"$d/2"
code 65 'value above 0' compare "$d/1" "$d/2"
printf 'x\ta\033[1m\t1\tGop/s\n' >"$d/2"
code 65 'error[BENCH]' compare "$d/1" "$d/2"
printf 'x\ta\tfast\tGop/s\n' >"$d/2"
code 65 'error[BENCH]' compare "$d/1" "$d/2"
: >"$d/2"
code 65 'no case in it' compare "$d/2" "$d/1"
code 66 "" compare "$d/1" "$d/none"
# Misuse.
code 2 "expected limits, kernels" speed
code 2 "needs two files" compare "$d/1"
code 2 "--json has no effect on compare" compare "$d/1" "$d/1" --json
code 2 "--rounds has no effect on limits" limits --rounds 5
code 2 "--trunk has no effect on model" model --shape 15m --trunk 5
code 2 "--shape has no effect on limits" limits --shape 15m
code 2 "has its own shape" model :demo --type f16
code 2 "--threads has no effect on kernels" kernels --threads 2
code 2 "expected 15m, 110m, 1.1b or 7b" model --shape 3m
code 2 "expected f32, f16" model --type q9
code 2 "has no effect" core :demo
code 66 "" model "$d/none.gguf"
# Beyond what a model was made for; too little to measure on.
code 2 'error[CONTEXT]' rank :demo --trunk 3000 --leaves 1 --leaf-tokens 1
code 2 'error[CONTEXT]' rank --shape 15m --trunk 1000 --leaves 1 --leaf-tokens 25
printf 'user,item,rating,time,title\nu0,i0,5,0,A\nu0,i1,2,1,B\n' >"$d/one.csv"
code 65 'error[NO_CANDIDATES]' core --data "$d/one.csv"
[ "$fails" = 0 ]
