#!/bin/sh
# A tokenizer and a model learned from a small invented catalogue: the same bytes for a seed, with any threads, and after a kill.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "learn: $*" >&2
    fails=$((fails + 1))
}
. "$(dirname "$0")/invented.sh"
invented "$d/ml"
"$r" vocab --data "$d/ml" --size 340 -o "$d/1.model" >"$d/said" && grep -q '340 pieces\|3[0-9][0-9] pieces' "$d/said" || bad "vocab: $(cat "$d/said")"
"$r" vocab --data "$d/ml" --size 340 -o "$d/2.model" >/dev/null
cmp -s "$d/1.model" "$d/2.model" || bad "vocab: other bytes"
echo 'Film 7 (1947)' | "$r" tokenize "$d/1.model" | grep -q '^[0-9 ]*$' || bad "the learned tokenizer does not tokenize"
shape="dim=16,layers=1,heads=2,kv=1,ff=32"
train() { # in a subshell, so that what is killed is the program itself
    exec "$r" pretrain --data "$d/ml" --shape $shape --vocab 400 --whole-titles --window 8 --rows 512 --rate 0.02 --warmup 10 "$@"
}
(train --passes 200 --threads 1 -o "$d/whole.gguf") >"$d/said" 2>&1 || bad "pretrain: $(cat "$d/said")"
(train --passes 200 --threads 2 -o "$d/threads.gguf") >/dev/null 2>&1
cmp -s "$d/whole.gguf" "$d/threads.gguf" || bad "pretrain: threads change the bytes"
# Killed again and again, it ends in the same bytes.
for i in 1 2 3 4 5 6 7 8; do
    train --passes 200 -o "$d/killed.gguf" >/dev/null 2>&1 &
    pid=$!
    sleep 0.1
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
(train --passes 200 -o "$d/killed.gguf" --json) >"$d/log" 2>/dev/null || bad "pretrain: does not go on after a kill"
cmp -s "$d/whole.gguf" "$d/killed.gguf" || bad "pretrain: after kills the bytes are others"
[ ! -f "$d/killed.gguf.checkpoint" ] || bad "pretrain: the checkpoint is left"
# One at a time.
train -o "$d/busy.gguf" --passes 100000 >/dev/null 2>&1 &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
    [ -f "$d/busy.gguf.checkpoint" ] || sleep 0.1
done
(train -o "$d/busy.gguf" --passes 100000) >/dev/null 2>"$d/said"
[ $? = 75 ] && grep -q 'error\[CHECKPOINT_BUSY\]' "$d/said" || bad "two trainings into one file: $(cat "$d/said")"
kill -9 $pid
wait $pid 2>/dev/null
printf 'RRTRAIN1 and nothing behind it' >"$d/other.gguf.checkpoint"
(train --passes 200 -o "$d/other.gguf") >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[CHECKPOINT\]' "$d/said" || bad "a damaged checkpoint: $(cat "$d/said")"
# What cannot be written is said before the work; steps shorter than a window, nobody with two likes.
"$r" pretrain --data "$d/ml" --shape $shape -o "$d/no/such/folder/x" >/dev/null 2>"$d/said"
[ $? = 66 ] && ! grep -q '^pass' "$d/said" || bad "a folder that is not there: $(cat "$d/said")"
"$r" pretrain --data "$d/ml" --shape $shape --vocab 400 --rows 64 --window 30 --passes 2 -o "$d/short.gguf" >/dev/null 2>"$d/said" || bad "short steps: $(cat "$d/said")"
printf 'user,item,rating\n1,1,5\n2,2,5\n' >"$d/one.csv"
"$r" pretrain --data "$d/one.csv" --scale 1:5:1 --shape $shape --vocab 400 -o "$d/one.gguf" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[NOTHING_TO_LEARN\]' "$d/said" && [ ! -f "$d/one.gguf" ] || bad "nothing to learn from: $(cat "$d/said")"
printf 'user,item,rating\n1,1,5\n1,2,5\n2,2,5\n2,1,5\n' >"$d/two.csv"
"$r" pretrain --data "$d/two.csv" --scale 1:5:1 --shape $shape --vocab 400 --passes 2 -o "$d/two.gguf" --json 2>/dev/null | grep -q '"pass":2,.*"valid_loss":null,.*"best":true' || bad "without validation titles the last pass counts"
"$r" pretrain --data "$d/ml" --shape dim=10,heads=3 -o "$d/x" >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q 'heads dividing dim' "$d/said" || bad "an impossible shape: $(cat "$d/said")"
# What was learned ranks: users of three tastes are better served by it than by what is popular.
"$r" evaluate "$d/whole.gguf" --data "$d/ml" --backbone pop --task likelihood -k 20 --json 2>/dev/null | tr '{' '\n' | sed -n 's/^"name":"\(likelihood\|backbone\)".*"NDCG@10":\([0-9.]*\).*/\1 \2/p' >"$d/rows"
[ "$(sort -k2 -r "$d/rows" | head -1 | cut -d' ' -f1)" = likelihood ] || bad "likelihood is not better than popularity: $(cat "$d/rows")"
"$r" rank "$d/whole.gguf" --data "$d/ml" --user 3 --backbone pop --task likelihood -k 4 | grep -q 'likelihood: log-likelihood .* (decides)' || bad "rank --task likelihood"
[ "$fails" = 0 ]
