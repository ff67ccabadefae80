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
mkdir "$d/ml"
awk 'BEGIN { for (i = 1; i <= 30; i++) printf "%d|Film %d (19%02d)|||http://x|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n", i, i, i + 40 }' >"$d/ml/u.item"
awk 'BEGIN { srand(3); for (u = 1; u <= 40; u++) for (i = 1; i <= 30; i++)
    if (rand() < (u % 3 == i % 3 ? .8 : .2)) printf "%d\t%d\t%d\t%d\n", u, i, u % 3 == i % 3 ? 3 + int(3 * rand()) : 1 + int(4 * rand()), 880000000 + int(1e6 * rand()) }' >"$d/ml/u.data"
"$r" vocab --data "$d/ml" --size 340 -o "$d/1.model" >"$d/said" && grep -q '340 pieces\|3[0-9][0-9] pieces' "$d/said" || bad "vocab: $(cat "$d/said")"
"$r" vocab --data "$d/ml" --size 340 -o "$d/2.model" >/dev/null
cmp -s "$d/1.model" "$d/2.model" || bad "vocab: other bytes"
echo 'Film 7 (1947)' | "$r" tokenize "$d/1.model" | grep -q '^[0-9 ]*$' || bad "the learned tokenizer does not tokenize"
shape="dim=16,layers=1,heads=2,kv=1,ff=32"
train() { # in a subshell, so that what is killed is the program itself
    exec "$r" pretrain --data "$d/ml" --shape $shape --vocab 400 --whole-titles --window 8 --passes 200 --rows 512 --rate 0.02 --warmup 10 "$@"
}
(train --threads 1 -o "$d/whole.gguf") >"$d/said" 2>&1 || bad "pretrain: $(cat "$d/said")"
(train --threads 2 -o "$d/threads.gguf") >/dev/null 2>&1
cmp -s "$d/whole.gguf" "$d/threads.gguf" || bad "pretrain: threads change the bytes"
# Killed again and again, it ends in the same bytes.
for i in 1 2 3 4 5 6 7 8; do
    train -o "$d/killed.gguf" >/dev/null 2>&1 &
    pid=$!
    sleep 0.1
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
(train -o "$d/killed.gguf" --json) >"$d/log" 2>/dev/null || bad "pretrain: does not go on after a kill"
cmp -s "$d/whole.gguf" "$d/killed.gguf" || bad "pretrain: after kills the bytes are others"
[ ! -f "$d/killed.gguf.checkpoint" ] || bad "pretrain: the checkpoint is left"
printf 'RRTRAIN1 and nothing behind it' >"$d/other.gguf.checkpoint"
(train -o "$d/other.gguf") >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[CHECKPOINT\]' "$d/said" || bad "a damaged checkpoint: $(cat "$d/said")"
# What cannot be written is said before the work; steps shorter than a window, nobody with two likes.
"$r" pretrain --data "$d/ml" --shape $shape -o "$d/no/such/folder/x" >/dev/null 2>"$d/said"
[ $? = 66 ] && ! grep -q '^pass' "$d/said" || bad "a folder that is not there: $(cat "$d/said")"
"$r" pretrain --data "$d/ml" --shape $shape --vocab 400 --rows 64 --window 30 --passes 2 -o "$d/short.gguf" >/dev/null 2>"$d/said" || bad "short steps: $(cat "$d/said")"
printf 'user,item,rating\n1,1,5\n2,2,5\n' >"$d/one.csv"
"$r" pretrain --data "$d/one.csv" --scale 1:5:1 --shape $shape --vocab 400 -o "$d/one.gguf" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[CORPUS\]' "$d/said" && [ ! -f "$d/one.gguf" ] || bad "nothing to learn from: $(cat "$d/said")"
"$r" pretrain --data "$d/ml" --shape dim=10,heads=3 -o "$d/x" >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q 'heads dividing dim' "$d/said" || bad "an impossible shape: $(cat "$d/said")"
# What was learned ranks: users of three tastes are better served by it than by what is popular.
"$r" evaluate "$d/whole.gguf" --data "$d/ml" --backbone pop --task likelihood -k 20 --json 2>/dev/null | tr '{' '\n' | sed -n 's/^"name":"\(likelihood\|backbone\)".*"NDCG@10":\([0-9.]*\).*/\1 \2/p' >"$d/rows"
[ "$(sort -k2 -r "$d/rows" | head -1 | cut -d' ' -f1)" = likelihood ] || bad "likelihood is not better than popularity: $(cat "$d/rows")"
"$r" rank "$d/whole.gguf" --data "$d/ml" --user 3 --backbone pop --task likelihood -k 4 | grep -q 'likelihood: log-likelihood .* (decides)' || bad "rank --task likelihood"
[ "$fails" = 0 ]
