#!/bin/sh
# The contracts scripts rely on, with the real model and data beside the project; skipped by name without them.
r=$1
s=../shared
m=$s/models/stories260K
[ -d $m ] || { echo "skip: $m is not beside the project"; exit 0; }
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
check() { # NAME COMMAND...
    name=$1
    shift
    "$@" || { echo "shared: $name" >&2; fails=$((fails + 1)); }
}
levels="c $("$r" --version | sed -n 's/.*best level: \([a-z0-9]*\),.*/\1/p')"
for cpu in $levels; do
    "$r" generate $m/stories260K.bin --tokenizer $m/tok512.bin -p "" -n 200 --temperature 0 --cpu $cpu >"$d/text" 2>/dev/null
    check "greedy text of the .bin at $cpu" cmp -s "$d/text" $s/golden/stories260K-greedy-200.txt
    "$r" generate $m/stories260K.gguf -p "" -n 200 --temperature 0 --cpu $cpu >"$d/text" 2>/dev/null
    check "greedy text of the GGUF at $cpu" cmp -s "$d/text" $s/golden/stories260K-greedy-200.txt
    for t in 1 2 3 4 8; do
        "$r" logits $m/stories260K.gguf --tokens 1,403,407,261,378,20 -o "$d/l$t" --cpu $cpu --threads $t
        check "logits with $t threads at $cpu" cmp -s "$d/l1" "$d/l$t"
    done
done
check "logits are float32 [n, vocab]" test "$(wc -c <"$d/l1")" = $((6 * 512 * 4))
"$r" tokenize $s/golden/tokenizer/llama2/tokenizer.model --jsonl <$s/golden/tokenizer/llama2/cases.jsonl >"$d/ids"
sed 's/.*"ids": \(\[.*\]\)}$/{"ids":\1}/; s/, /,/g' $s/golden/tokenizer/llama2/cases.jsonl >"$d/expected"
check "tokenize --jsonl, 1,889 cases" cmp -s "$d/ids" "$d/expected"
"$r" inspect $m/stories260K.gguf --json >"$d/inspect"
check "inspect --json" grep -q '"n_layers":5.*"n_vocab":512' "$d/inspect"
[ -d $s/data/ml-100k ] || exit $fails
"$r" split --data $s/data/ml-100k -o "$d/split" >/dev/null 2>&1
check "split: sha256 of test.txt" sh -c "sha256sum $d/split/test.txt | grep -q ^b9972af9de5bc47ec7fed0b4983ae9ea10836dbcb078451afa79e46aea87b3c3"
"$r" evaluate $m/stories260K.gguf --data $s/data/ml-100k --backbone pop --no-ease --users 6 --json >"$d/e1" 2>"$d/progress"
"$r" evaluate $m/stories260K.gguf --data $s/data/ml-100k --backbone pop --no-ease --users 6 --json --threads 1 >"$d/e2" 2>/dev/null
check "no progress bar on a pipe" sh -c "! grep -v '^clock: ' '$d/progress'"
check "evaluate --json has its rows" grep -q '"n":6,"k":10,.*"backbone".*"pointwise".*"random".*"ceiling".*"tokens_asked"' "$d/e1"
sed -i 's/"seconds":[^,]*,//' "$d/e1" "$d/e2"
check "evaluate does not depend on threads" cmp -s "$d/e1" "$d/e2"
"$r" rank $m/stories260K.gguf --data $s/data/ml-100k --user 42 --backbone pop -k 5 --json >"$d/rank"
check "rank --json lists five candidates" test "$(grep -o '"retrieval_rank"' "$d/rank" | wc -l)" = 5
"$r" rank $m/stories260K.gguf --data $s/data/ml-100k --backbone pop --user 99999 >/dev/null 2>"$d/err"
[ ! -d $s/data/bookcrossing ] || "$r" data --data $s/data/bookcrossing --json >"$d/books"
[ ! -d $s/data/bookcrossing ] || check "BookCrossing's 10-core" grep -q '"users":1723,"items":1937,"ratings":39185,' "$d/books"
[ ! -d $s/data/ml-1m ] || "$r" fit itemknn --neighbours 250 --shrink 1.2 --data $s/data/ml-1m --min-rating 3 --like 3 --core 10 --ratio 8:1:1 >"$d/knn"
[ ! -d $s/data/ml-1m ] || check "ItemKNN on MovieLens-1M: $(cat "$d/knn")" sh -c "grep -q '673059 train, 80695 validation, 80695 test' $d/knn && grep -q '0.1743  0.4183   0.2393  0.7136' $d/knn"
# A folder whose tokenizer is a tokenizer.json of merges and U+2581, as GGUF: the same tokens.
"$r" bench file --shape 15m --type f16 -o "$d/15m.gguf" >/dev/null
"$r" convert "$d/15m.gguf" --format safetensors -o "$d/tl" >/dev/null 2>&1
rm -f "$d/tl"/tokenizer* "$d/15m.gguf"
cp $s/golden/tokenizer/tinyllama/tokenizer.json "$d/tl"
"$r" convert "$d/tl" -o "$d/tl.gguf" >/dev/null 2>"$d/said"
check "merges as scores: $(cat "$d/said")" [ -s "$d/tl.gguf" ]
"$r" tokenize "$d/tl" --jsonl <$s/golden/tokenizer/llama2/cases.jsonl >"$d/tl.a"
"$r" tokenize "$d/tl.gguf" --jsonl <$s/golden/tokenizer/llama2/cases.jsonl >"$d/tl.b"
check "1,889 cases by merges and by scores" cmp -s "$d/tl.a" "$d/tl.b"
check "an unknown user is bad data" grep -q 'error\[USER\]' "$d/err"
[ "$fails" = 0 ]
