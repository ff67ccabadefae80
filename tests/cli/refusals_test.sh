#!/bin/sh
# What a breaker found, each once: options without effect, outputs that are descriptors, damaged models, leftovers.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "refusals: $*" >&2
    fails=$((fails + 1))
}
code() { # EXPECTED WORDS COMMAND...
    want=$1 words=$2
    shift 2
    timeout 100 "$r" "$@" >"$d/out" 2>"$d/said" </dev/null
    rc=$?
    [ $rc = "$want" ] && { [ -z "$words" ] || grep -qF -- "$words" "$d/said"; } || bad "$*: exit $rc, $(cat "$d/said"); expected $want and '$words'"
}
. "$(dirname "$0")/invented.sh"
invented "$d/ml"
tiny="--shape dim=8,heads=2,kv=1,ff=8,layers=1 --vocab 400 --passes 1"
# shellcheck disable=SC2086 # several options
"$r" learn --data "$d/ml" -o "$d/m.gguf" $tiny --draws 60 >/dev/null 2>&1 || bad "learn"
# An output that is a descriptor is written behind what is there, into pipes as well.
echo precious >"$d/keep"
"$r" vocab --data "$d/ml" --size 400 -o /dev/stdout >>"$d/keep" 2>/dev/null || bad "vocab -o /dev/stdout"
[ "$(head -1 "$d/keep")" = precious ] && [ "$(wc -c <"$d/keep")" -gt 2000 ] || bad "/dev/stdout replaced the file behind it"
"$r" vocab --data "$d/ml" --size 400 -o "$d/file" >"$d/line" 2>/dev/null
[ "$("$r" vocab --data "$d/ml" --size 400 -o /dev/stdout 2>/dev/null | head -c "$(wc -c <"$d/file")" | cksum)" = "$(cksum <"$d/file")" ] ||
    bad "/dev/stdout into a pipe"
"$r" vocab --data "$d/ml" --size 400 -o /proc/self/fd/7 7>"$d/seven" >/dev/null 2>&1
cmp -s "$d/file" "$d/seven" || bad "/proc/self/fd/7"
ln -s /dev/stdout "$d/link"
echo precious >"$d/keep"
"$r" vocab --data "$d/ml" --size 400 -o "$d/link" >>"$d/keep" 2>/dev/null || bad "vocab -o a link to /dev/stdout"
[ "$(head -1 "$d/keep")" = precious ] && [ "$(wc -c <"$d/keep")" -gt 2000 ] || bad "a link to /dev/stdout replaced the file behind it"
code 66 'error[CANNOT_WRITE]' vocab --data "$d/ml" --size 400 -o /dev/fd/9
code 66 'error[CANNOT_WRITE]' pretrain --data "$d/ml" -o /dev/fd/0 --passes 1
# Options without an effect.
"$r" instruct --data "$d/ml" --size 30 --max-history 10 -o "$d/ins" >/dev/null 2>&1 || bad "instruct"
i=$d/ins/recranker.jsonl
for option in "--answers generate" "--pair-rounds 3" "--lists 2" --per-token --no-hint --no-shift "--history-order shuffled"; do
    # shellcheck disable=SC2086 # an option and its value
    code 2 "has no effect without --data" tune "$d/m.gguf" --instructions "$i" -o "$d/t.gguf" $option
done
code 2 "--history has no effect" tune "$d/m.gguf" --instructions "$i" -o "$d/t.gguf" --data "$d/ml" --history train+valid
code 2 "--history has no effect" learn --data "$d/ml" -o "$d/t.gguf" --history train+valid
code 2 "all would be the same" tune "$d/m.gguf" --instructions "$i" -o "$d/t.gguf" --data "$d/ml" --no-shift --lists 3
code 2 "--tune-rate" learn --data "$d/ml" -o "$d/t.gguf" --no-pretraining --rate 1
code 2 "--cache has no effect with --task none" evaluate --data "$d/ml" --task none --cache f16
code 2 "another --backbone than likelihood" evaluate "$d/m.gguf" --data "$d/ml" --backbone likelihood --fit-weights --history train+valid
for shape in "" dim=64,dim=32 dim=64, dim=64,heads=4,kv=3 dim=6,heads=2 layers=65536; do
    code 2 "--shape is" pretrain --data "$d/ml" -o "$d/t.gguf" --shape "$shape"
done
for lora in r=2,r=3 modules=q,q r=8,,modules=q modules=; do
    code 2 "--lora is" tune "$d/m.gguf" --instructions "$i" -o "$d/t" --lora "$lora"
done
code 66 "an empty name for --adapter" rank "$d/m.gguf" --data "$d/ml" --user 1 --adapter ""
# Nothing to say, and where to go on.
printf 'user,item,rating,time,title\nu0,i0,5,0,A\nu0,i1,2,1,B\nu1,i0,5,0,A\nu1,i2,5,1,C\n' >"$d/two.csv"
code 65 'error[NO_INSTRUCTIONS]' instruct --data "$d/two.csv" -o "$d/none" --kind next
code 2 "--template-pairwise" evaluate "$d/m.gguf" --data "$d/ml" --answers generate --users 5
code 65 "recrank instruct --max-history" tune "$d/m.gguf" --instructions "$i" -o "$d/t.gguf" --context 64
code 65 "" tune "$d/m.gguf" --instructions "$i" -o "$d/made" --lora r=2 --context 64
[ ! -e "$d/made" ] || bad "a folder is left of a tuning that failed"
# A damaged model is called that, not a learning rate that is too high.
size=$(wc -c <"$d/m.gguf")
head -c $((size - 400)) "$d/m.gguf" >"$d/bad.gguf"
head -c 400 /dev/zero | tr '\000' '\377' >>"$d/bad.gguf"
code 65 "the weights are damaged" tune "$d/bad.gguf" --instructions "$i" -o "$d/t.gguf" --context 4096
# What a killed run was writing goes with the next one.
: >"$d/k.gguf.base.checkpoint.tmp-99999-0"
: >"$d/k.gguf.tmp-99999-3"
: >"$d/k.gguf.tmp-notes"
# shellcheck disable=SC2086
"$r" learn --data "$d/ml" -o "$d/k.gguf" $tiny --draws 60 >/dev/null 2>&1 || bad "learn"
ls "$d" | grep -q tmp-9 && bad "left: $(ls "$d")"
[ -e "$d/k.gguf.tmp-notes" ] || bad "somebody else's file went, too"
[ "$fails" = 0 ]
