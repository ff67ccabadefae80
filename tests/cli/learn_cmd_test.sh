#!/bin/sh
# recrank learn on a small invented catalogue: the wordings go with the model, and whenever it is killed, the same command ends in the
# same bytes.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "learn_cmd: $*" >&2
    fails=$((fails + 1))
}
. "$(dirname "$0")/invented.sh"
invented "$d/ml"
shape="dim=16,layers=1,heads=2,kv=1,ff=32"
passes=$((200 / ${SLOW:-1})) tune_passes=$((25 / ${SLOW:-1})) # long enough to be stopped in
learn() { # in a subshell, so that what is killed is the program itself
    exec "$r" learn --data "$d/ml" --shape $shape --vocab 400 --window 8 --rows 512 --rate 0.01 --warmup 10 --passes $passes --draws 300 --tune-passes $tune_passes --users 3 "$@"
}
(learn --threads 1 -o "$d/whole.gguf") >"$d/out" 2>"$d/said" || bad "exit $?: $(cat "$d/said")"
[ "$(cat "$d/out")" = "$d/whole.gguf" ] && grep -q "recrank evaluate $d/whole.gguf --data $d/ml" "$d/said" || bad "what to do next is not said: $(tail -1 "$d/said")"
grep -q '^[0-9]* instructions, [0-9]* of them to validate on$' "$d/said" || bad "how many instructions is not said"
(learn --threads 2 -o "$d/threads.gguf" --json) >"$d/log" 2>"$d/said" || bad "--json: $(cat "$d/said")"
cmp -s "$d/whole.gguf" "$d/threads.gguf" || bad "threads change the bytes"
[ "$(grep -c '^{"pass":' "$d/log")" = $((passes + tune_passes)) ] || bad "--json: $(wc -l <"$d/log") passes"
grep -q '"ndcg5":{"backbone":[0-9.]*,"pointwise":[0-9.]*,"pairwise":[0-9.]*,"listwise":[0-9.]*,"likelihood"' "$d/log" || bad "--json does not say how it ranks: $(tail -1 "$d/log")"
[ -z "$(find "$d" -name '*.checkpoint*' -o -name '*.base*' -o -name '*.tmp*')" ] || bad "files were left: $(ls "$d")"
# The questions are put in the words it was taught, unless others are given; a plain model has none.
"$r" pretrain --data "$d/ml" --shape $shape --vocab 400 --window 8 --rows 512 --passes 1 -o "$d/plain.gguf" >/dev/null 2>&1
asked() {
    "$r" evaluate "$@" --data "$d/ml" --backbone pop --no-ease --users 4 2>/dev/null | sed -n 's/^asked  *//p' | tr ',' '\n' | grep 'wording' | sed 's/^ *//' | sort
}
asked "$d/whole.gguf" >"$d/taught"
asked "$d/plain.gguf" >"$d/common"
[ "$(wc -l <"$d/taught")" = 3 ] || bad "the wordings asked with: $(cat "$d/taught")"
[ -z "$(comm -12 "$d/taught" "$d/common")" ] || bad "a plain model is asked in the same words: $(cat "$d/common")"
"$r" prompt "$d/whole.gguf" --data "$d/ml" --backbone pop --user 3 --task pairwise 2>/dev/null | tail -1 | grep -q '^Next:$' || bad "prompt does not use the wordings of the file"
"$r" rank "$d/whole.gguf" --data "$d/ml" --user 3 --backbone pop --answers generate >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q 'answered by titles' "$d/said" || bad "generated answers to pairs: $(cat "$d/said")"
"$r" rank "$d/whole.gguf" --data "$d/ml" --user 3 --backbone pop --answers generate --task listwise >/dev/null 2>"$d/said" || bad "generated lists: $(cat "$d/said")"
"$r" evaluate "$d/whole.gguf" --data "$d/ml" --backbone likelihood --task likelihood --no-ease --users 4 >"$d/out" 2>"$d/said" && grep -q '^likelihood' "$d/out" || bad "--backbone likelihood: $(cat "$d/said")"

# ---- stopped ----

there() { # whether a run is where it is to be stopped
    case $1 in
    pretraining) [ -f "$d/k.gguf.base.checkpoint" ] && [ ! -f "$d/k.gguf.base" ] ;;
    between) [ -f "$d/k.gguf.base" ] && [ ! -f "$d/k.gguf.checkpoint" ] ;;
    tuning) [ -f "$d/k.gguf.base" ] && [ -f "$d/k.gguf.checkpoint" ] ;;
    esac
}
stop() { # SIGNAL MOMENT [OPTION...]: runs until that moment and stops there; its exit code in $rc
    signal=$1 moment=$2
    shift 2
    learn -o "$d/k.gguf" "$@" >"$d/out" 2>"$d/said" &
    pid=$!
    while ! there $moment && kill -0 $pid 2>/dev/null; do
        sleep 0.01
    done
    kill -$signal $pid 2>/dev/null
    wait $pid 2>/dev/null
    rc=$?
}
for moments in "pretraining pretraining between tuning tuning"; do
    rm -f "$d"/k.gguf*
    for moment in $moments; do
        stop KILL $moment
        [ $rc = 137 ] || bad "it was not killed in $moment: exit $rc, $(cat "$d/said")"
    done
    (learn -o "$d/k.gguf") >/dev/null 2>"$d/said" || bad "it does not go on after a kill in $moments: $(cat "$d/said")"
    cmp -s "$d/whole.gguf" "$d/k.gguf" || bad "after a kill in $moments the bytes are others"
    [ ! -e "$d/k.gguf.base" ] && [ ! -e "$d/k.gguf.checkpoint" ] || bad "after a kill in $moments files are left: $(ls "$d"/k.gguf*)"
done
rm -f "$d"/k.gguf*
for moment in pretraining between tuning; do
    stop INT $moment
    [ $rc = 130 ] && grep -q 'error\[INTERRUPTED\].*the same command goes on from there' "$d/said" || bad "interrupted in $moment: exit $rc, $(tail -1 "$d/said")"
    [ ! -f "$d/k.gguf" ] || bad "interrupted in $moment, it wrote a model"
done
# What belongs to another run is refused, said, and left as it is.
cp "$d/k.gguf.base" "$d/base"
(learn -o "$d/k.gguf" --seed 2) >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[CHECKPOINT\].*k.gguf.base.*other options or data; remove it' "$d/said" && cmp -s "$d/base" "$d/k.gguf.base" || bad "a base of other options: $(cat "$d/said")"
(learn -o "$d/k.gguf") >/dev/null 2>"$d/said" && cmp -s "$d/whole.gguf" "$d/k.gguf" || bad "it does not go on after an interrupt: $(cat "$d/said")"
printf 'GGUF and nothing behind it' >"$d/k.gguf.base"
(learn -o "$d/k.gguf") >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'k.gguf.base' "$d/said" || bad "a damaged base: $(cat "$d/said")"
rm -f "$d"/k.gguf*
stop KILL pretraining
(learn -o "$d/k.gguf" --seed 2) >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[CHECKPOINT\]' "$d/said" || bad "a checkpoint of other options: $(cat "$d/said")"

# ---- refused ----

code() { # EXPECTED WORDS ARGUMENT...
    want=$1 words=$2
    shift 2
    timeout 60 "$r" learn "$@" >"$d/out" 2>"$d/said" </dev/null
    rc=$?
    [ $rc = "$want" ] && grep -qF -- "$words" "$d/said" || bad "recrank learn $*: exit $rc, $(cat "$d/said"); expected $want and '$words'"
}
code 2 'must be a file' --data "$d/ml" -o /dev/stdout
code 2 '--output is needed' --data "$d/ml"
code 66 'no/such' --data "$d/ml" -o "$d/no/such/x.gguf"
code 2 '--hints' --data "$d/ml" -o "$d/x.gguf" --hints nonsense
[ -z "$(ls -d /dev/stdout.* /dev/std*.* 2>/dev/null)" ] || bad "something stands beside /dev/stdout"
# The number of users drawn suits the data, so that the penalty for repetition does not leave one user alone.
"$r" learn --data "$d/ml" --shape $shape --vocab 400 --passes 1 --users 1 -o "$d/default.gguf" >/dev/null 2>"$d/said" || bad "with the default number of draws: $(cat "$d/said")"
[ "$(sed -n 's/ instructions,.*//p' "$d/said")" -gt 500 ] || bad "few instructions by default: $(cat "$d/said")"
printf 'user,item,rating\n1,1,5\n1,2,5\n2,2,5\n2,1,5\n' >"$d/two.csv"
code 65 'error[NO_INSTRUCTIONS]' --data "$d/two.csv" --scale 1:5:1 --shape $shape --vocab 400 --passes 1 -o "$d/two.gguf"
[ -z "$(find "$d" -name 'two.gguf*')" ] || bad "too little data, and files are left: $(ls "$d")"
printf 'user,item,rating\n1,1,5\n2,2,5\n' >"$d/one.csv"
code 65 'error[NOTHING_TO_LEARN]' --data "$d/one.csv" --scale 1:5:1 --shape $shape --vocab 400 --passes 1 -o "$d/one.gguf"
[ -z "$(find "$d" -name 'one.gguf*')" ] || bad "nothing to learn, and files are left: $(ls "$d")"
[ "$fails" = 0 ]
