#!/bin/sh
# The commands over a data set, on a small invented one: data, split, fit, candidates, instruct, audit, evaluate without a model.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "data_commands: $*" >&2
    fails=$((fails + 1))
}
. "$(dirname "$0")/invented.sh"
invented "$d/ml"
"$r" data --data "$d/ml" --json >"$d/data.json" || bad "data"
grep -q '"format":"ml-100k".*"users":40,"items":30,.*"split":"time".*"dropped":\[\]' "$d/data.json" || bad "data --json: $(cat "$d/data.json")"
"$r" data --data "$d/ml" | grep -q '^likes ' || bad "data as text"
# A step that is no binary number has all its levels, and a fine one none rather than a million.
printf 'user,item,rating\n1,1,0.1\n1,2,1\n2,1,0.7\n' >"$d/tenths.csv"
[ "$("$r" data --data "$d/tenths.csv" --scale 0:1:0.1 | grep -c '^ .*%$')" = 11 ] || bad "levels of a scale in tenths"
timeout 10 "$r" data --data "$d/tenths.csv" --scale 0:1000000:0.1 >/dev/null || bad "a fine scale takes forever"
# A bad line: strict stops at it, lenient counts it, and gives up beyond 0.1 %.
cp -r "$d/ml" "$d/bad"
printf '1\t2\n' >>"$d/bad/u.data"
"$r" data --data "$d/bad" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'u.data:.*2 columns' "$d/said" || bad "strict: $(cat "$d/said")"
"$r" data --data "$d/bad" --lenient >"$d/out" 2>"$d/said"
[ $? = 65 ] && grep -q 'skipped .* 1  COLUMNS' "$d/out" && grep -q 'TOO_MANY_BAD' "$d/said" || bad "lenient: $(cat "$d/out" "$d/said")"
"$r" evaluate --data "$d/bad" --lenient --task none --backbone pop >"$d/out" 2>/dev/null
[ $? = 65 ] && [ ! -s "$d/out" ] || bad "evaluate went on with too many bad lines"
# The same seed trains the same bytes; another split or other data is refused.
for b in pop mf itemknn ease lightgcn; do
    more=
    case $b in mf | lightgcn) more="--epochs 3 --dim 8" ;; esac
    "$r" fit $b --data "$d/ml" $more -o "$d/$b.1" >/dev/null && "$r" fit $b --data "$d/ml" $more -o "$d/$b.2" >/dev/null || bad "fit $b"
    cmp -s "$d/$b.1" "$d/$b.2" || bad "fit $b: the same seed wrote other bytes"
    "$r" evaluate --data "$d/ml" --task none --backbone "$d/$b.1" --no-ease --json >"$d/rows.1" || bad "evaluate with the file of $b"
done
"$r" evaluate --data "$d/ml" --task none --backbone "$d/ease.1" --split-by file >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'BACKBONE_DATA' "$d/said" || bad "a backbone of another split: $(cat "$d/said")"
head -c 3000 "$d/ease.1" >"$d/cut"
"$r" candidates --data "$d/ml" --backbone "$d/cut" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[BACKBONE\]' "$d/said" || bad "a truncated backbone: $(cat "$d/said")"
# Candidates go out and come back: the same rows.
"$r" evaluate --data "$d/ml" --task none --backbone "$d/ease.1" --json | sed 's/,"intervals".*//' >"$d/rows.own"
for f in tsv trec jsonl; do
    "$r" candidates --data "$d/ml" --backbone "$d/ease.1" --format $f -o "$d/list.$f" || bad "candidates as $f"
    "$r" evaluate --data "$d/ml" --task none --candidates "$d/list.$f" --json 2>/dev/null | sed 's/,"intervals".*//' >"$d/rows.$f"
    cmp -s "$d/rows.own" "$d/rows.$f" || bad "candidates read back from $f rank otherwise"
done
# More epochs are another model also where no item validates, and both rules of counting are there.
[ "$("$r" fit mf --ratio 6:2:2 --rate 0.05 --epochs 1 --data "$d/ml" | tail -1)" != "$("$r" fit mf --ratio 6:2:2 --rate 0.05 --epochs 60 --data "$d/ml" | tail -1)" ] || bad "fit --ratio: epochs have no effect"
"$r" evaluate --data "$d/ml" --task none --backbone pop --count sequential --json | grep -q '"count":"sequential"' || bad "evaluate --count"
# Many draws of few users.
printf 'user,item,rating\n1,1,5\n1,2,5\n1,3,5\n1,4,5\n2,1,5\n2,2,5\n2,3,5\n3,1,1\n3,2,5\n3,4,5\n' >"$d/few.csv"
"$r" instruct --data "$d/few.csv" -o "$d/few" --size 60000 --folds 2 --backbone pop --clusters 1 --scale 1:5:1 >/dev/null || bad "60,000 draws of three users"
"$r" instruct --data "$d/ml" -o "$d/plain" --size 40 --no-hint --clusters 3 >/dev/null || bad "instruct --no-hint"
! grep -q -i hint "$d/plain/recranker.jsonl" || bad "hints in spite of --no-hint"
# Instructions: deterministic, in every dialect, with sums that are right.
for dialect in messages alpaca sharegpt; do
    "$r" instruct --data "$d/ml" -o "$d/i1" --size 40 --folds 2 --clusters 3 --backbone pop --dialect $dialect >/dev/null || bad "instruct $dialect"
    "$r" instruct --data "$d/ml" -o "$d/i2" --size 40 --folds 2 --clusters 3 --backbone pop --dialect $dialect --json >"$d/manifest" || bad "instruct again"
    cmp -s "$d/i1/recranker.jsonl" "$d/i2/recranker.jsonl" || bad "instruct $dialect: the same seed wrote other bytes"
    sum=$(sha256sum "$d/i1/recranker.jsonl" | cut -d' ' -f1)
    grep -q "\"sha256\":\"$sum\"" "$d/manifest" && cmp -s "$d/manifest" "$d/i2/manifest.json" || bad "instruct $dialect: the manifest's sum"
    grep -q recranker.jsonl "$d/i1/dataset_info.json" || bad "dataset_info.json"
done
"$r" audit --data "$d/ml" --backbone pop --size 200 >"$d/out" || bad "audit: $(grep FAIL "$d/out")"
[ "$(grep -c '^pass  next liked: ' "$d/out")" = 3 ] || bad "audit does not look at the next liked titles: $(cat "$d/out")"
"$r" audit --data "$d/ml" --backbone pop --size 200 --json >"$d/json" || bad "audit --json"
[ "$(grep -o '"passed":true' "$d/json" | wc -l)" = "$(grep -c '^pass' "$d/out")" ] && grep -q '^{"data":.*,"failed":0,"checks":\[{"name":.*}\]}$' "$d/json" || bad "audit --json: $(cat "$d/json")"
"$r" audit --data "$d/ml" --backbone pop --size 200 --protocol official >"$d/out"
[ $? = 1 ] && [ "$(grep -c '^FAIL' "$d/out")" -ge 3 ] || bad "audit does not fail on the original's protocol: $(cat "$d/out")"
[ -z "$(find "$d" -name '*.tmp*')" ] || bad "temporary files were left"
m=../shared/models/stories260K
if [ -d $m ]; then
    "$r" prompt $m/tok512.model --data "$d/ml" --user 3 --backbone pop --task listwise --json >"$d/out" || bad "prompt"
    grep -q '"task":"listwise".*"tokens":[0-9]*,"trunk_tokens":' "$d/out" || bad "prompt --json: $(cat "$d/out")"
    "$r" prompt $m/tok512.model --data "$d/ml" --user 3 --backbone pop --question 4 2>"$d/said" | grep -q '^Answer:$' || bad "the prompt's end"
    grep -q 'share the first' "$d/said" || bad "where the trunk ends: $(cat "$d/said")"
    # Shards together are the whole; so are threads.
    "$r" rank $m/stories260K.gguf --data "$d/ml" --all --backbone pop -k 4 --threads 1 2>/dev/null | sort >"$d/whole"
    { "$r" rank $m/stories260K.gguf --data "$d/ml" --all --backbone pop -k 4 --shard 1/2; "$r" rank $m/stories260K.gguf --data "$d/ml" --all --backbone pop -k 4 --shard 2/2; } 2>/dev/null | sort >"$d/shards"
    [ "$(wc -l <"$d/whole")" = 40 ] && cmp -s "$d/whole" "$d/shards" || bad "two shards are not the whole"
    head -8 "$d/list.tsv" | cut -f1 | sort -u >"$d/listed"
    head -8 "$d/list.tsv" >"$d/short.tsv"
    "$r" rank $m/stories260K.gguf --data "$d/ml" --all --candidates "$d/short.tsv" -k 4 2>&1 >/dev/null | grep -q "$((40 - $(wc -l <"$d/listed"))) users have no candidates" || bad "users without candidates are not counted"
    "$r" rank $m/stories260K.gguf --data "$d/ml" --user 3 --backbone pop --context 640 | grep -q 'oldest rated titles are not shown' || bad "rank does not say that it cut the history"
    "$r" evaluate $m/stories260K.gguf --data "$d/ml" --backbone pop -k 4 --users 5 --protocol official --json 2>/dev/null | grep -q '"differences":\[{"row":"pointwise","base":"clean:pointwise","HR@1":\[' || bad "differences of the protocols"
    # A request is asked alike on whatever line it stands.
    q='{"history":["A","B"],"candidates":["C","D","E","F"]}'
    [ "$(echo "$q" | "$r" rank $m/stories260K.gguf)" = "$(printf '%s\n{"candidates":["X","Y"]}\n%s\n' "$q" "$q" | "$r" rank $m/stories260K.gguf | tail -1)" ] || bad "a request's answer depends on its line"
    "$r" rank $m/stories260K.gguf --data "$d/ml" --user 3 --backbone pop -k 4 --format trec | awk '$2 != "Q0" || NF != 6 || (NR > 1 && $5 >= last) { exit 1 } { last = $5 }' || bad "TREC lines"
    printf '{"id":7,"history":["A","B"],"candidates":["C","D","C"]}\n{"candidates":[]}\n{"liked":["A"],"candidates":[{"title":"C","id":"x","score":1},{"title":"D","id":"y","score":2}]}\n' >"$d/requests"
    "$r" rank $m/stories260K.gguf --keep-going <"$d/requests" >"$d/out" 2>/dev/null
    [ $? = 65 ] && [ "$(wc -l <"$d/out")" = 3 ] && sed -n 2p "$d/out" | grep -q '"line":2,"error"' || bad "--keep-going: $(cat "$d/out")"
    sed -n 3p "$d/out" | grep -q '"retrieval_rank":1,"title":"D","index":1,"id":"y"' || bad "scores make the retrieval order: $(sed -n 3p "$d/out")"
    "$r" rank $m/stories260K.gguf <"$d/requests" >"$d/out" 2>"$d/said"
    [ $? = 65 ] && grep -q 'standard input:2:' "$d/said" && [ "$(wc -l <"$d/out")" = 1 ] || bad "a bad request: $(cat "$d/said")"
else
    echo "skip: $m is not beside the project"
fi
[ "$fails" = 0 ]
