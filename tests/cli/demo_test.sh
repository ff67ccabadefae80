#!/bin/sh
# recrank demo, and ":demo" wherever a data set or a model is named.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "demo: $*" >&2
    fails=$((fails + 1))
}
code() { # EXPECTED WORDS COMMAND...
    want=$1 words=$2
    shift 2
    timeout 60 "$r" "$@" >"$d/out" 2>"$d/said" </dev/null
    rc=$?
    [ $rc = "$want" ] && { [ -z "$words" ] || grep -qF -- "$words" "$d/said"; } || bad "recrank $*: exit $rc, $(cat "$d/said"); expected $want and '$words'"
}
"$r" demo --users 80 >"$d/out" 2>"$d/said" || bad "exit $?: $(cat "$d/said")"
head -1 "$d/out" | grep -q synthetic || bad "it does not say first that all of it is synthetic"
for row in backbone pointwise pairwise listwise likelihood hybrid rrf ease random ceiling; do
    grep -q "^$row  *0\.[0-9]" "$d/out" || bad "no row $row"
done
# A list before and after: ten places, each once in both columns, and one title that was held out.
sed -n '/^10 candidates/,/^$/p' "$d/out" | awk '/^ *[0-9]+ +[0-9]+  ./ { print $1, $2 }' >"$d/places"
[ "$(wc -l <"$d/places")" = 10 ] || bad "not ten candidates"
for column in 1 2; do
    [ "$(cut -d' ' -f$column "$d/places" | sort -n | tr '\n' ' ')" = "1 2 3 4 5 6 7 8 9 10 " ] || bad "column $column is no permutation"
done
[ "$(grep -c '<- liked next' "$d/out")" = 1 ] || bad "which one was liked next is not said"
for next in 'recrank learn --data' 'recrank evaluate model.gguf' 'recrank rank model.gguf' 'recrank rank :demo --data :demo'; do
    grep -q "$next" "$d/out" || bad "'$next' is not offered"
done
# The clock's reading alone differs from run to run.
"$r" demo --users 80 --json 2>/dev/null | sed 's/"seconds":[^,}]*//' >"$d/1" || bad "--json"
"$r" evaluate :demo --data :demo --users 80 --json 2>/dev/null | sed 's/"seconds":[^,}]*//' >"$d/2"
[ -s "$d/1" ] && cmp -s "$d/1" "$d/2" || bad "demo --json and evaluate :demo differ"
grep -q '^{.*"data":":demo".*"model":":demo".*}$' "$d/1" || bad "the object does not say what it is of"
# Weights are fitted behind the training likes alone, whatever is shown when the test item is asked about.
"$r" evaluate :demo --data :demo --backbone itemknn --users 80 --fit-weights 2>/dev/null >"$d/1" || bad "--fit-weights"
"$r" evaluate :demo --data :demo --backbone itemknn --users 80 --fit-weights --history train+valid 2>/dev/null >"$d/2" || bad "--fit-weights with --history train+valid"
grep '^fitted weights' "$d/1" >"$d/w1"
grep '^fitted weights' "$d/2" >"$d/w2"
[ -s "$d/w1" ] && cmp -s "$d/w1" "$d/w2" || bad "weights differ by what is shown at the test: $(cat "$d/w1" "$d/w2")"
[ "$(grep -c '^fitted  *0' "$d/2")" = 1 ] && ! grep -q '^fit:' "$d/2" || bad "rows: $(cat "$d/2")"
! cmp -s "$d/1" "$d/2" || bad "--history train+valid shows nothing more"
# As data and as model of other commands.
# The embedded model, written, begins texts as it did.
code 0 "" inspect :demo
grep '^tokenizer' "$d/out" >"$d/1"
code 0 "" convert :demo -o "$d/demo.gguf"
code 0 "" inspect "$d/demo.gguf"
grep '^tokenizer' "$d/out" >"$d/2"
cmp -s "$d/1" "$d/2" || bad "converted, :demo has another tokenizer: $(cat "$d/1" "$d/2")"
code 0 "" convert "$d/demo.gguf" --format safetensors --type f16 -o "$d/demo.folder"
sed 's/"eos_token_id": [0-9]*/"eos_token_id": [2, 7, 8, 9]/' "$d/demo.folder/config.json" >"$d/config.json" && mv "$d/config.json" "$d/demo.folder"
code 0 "of 4 tokens that end a text GGUF keeps 3" convert "$d/demo.folder" -o "$d/ends.gguf"
code 0 "" convert "$d/ends.gguf" --format safetensors -o "$d/ends"
grep -q '"eos_token_id": \[2, 7, 8\],' "$d/ends/config.json" || bad "ends: $(grep eos "$d/ends/config.json")"
code 0 "" rank :demo --data :demo --backbone pop --user 1
[ "$(grep -c '^ *[0-9]' "$d/out")" -ge 10 ] || bad "rank :demo: $(cat "$d/out")"
code 0 "" data --data :demo
grep -q ':demo (ml-1m)' "$d/out" || bad "data --data :demo: $(cat "$d/out")"
code 0 "" prompt :demo --data :demo --backbone pop --user 1
grep -q '^Next, from 1 to 5: ' "$d/out" || bad "prompt :demo does not use the model's wordings: $(cat "$d/out")"
code 0 "" inspect :demo
echo 'The Saloon' | "$r" tokenize :demo | grep -q '^[0-9][0-9 ]*$' || bad "tokenize :demo"
echo 'The Saloon' | "$r" tokenize x --tokenizer :demo | grep -q '^[0-9][0-9 ]*$' || bad "tokenize --tokenizer :demo"
# What is wrong is said, and at once.
code 65 'error[USER]' demo --user nobody
[ ! -s "$d/out" ] || bad "the table came before the message that there is no such user"
code 65 'error[USER]' rank :demo --data :demo --backbone pop --user nobody
code 2 '--user has no effect with --json' demo --json --user 1
code 2 'error[TOKENIZER]' inspect :demo --tokenizer x
code 2 'error[COLUMNS]' data --data :demo --columns user=x
code 66 "" inspect :demos
# Nobody reads: it ends, and says so.
timeout 60 "$r" demo --users 20 >&- 2>/dev/null
[ $? = 74 ] || bad "with a closed output: exit $?"
timeout 60 "$r" demo --users 20 >/dev/full 2>/dev/null
[ $? = 74 ] || bad "with a full disk: exit $?"
got=$(timeout 100 sh -c "('$r' demo --users 20; echo \$? >&3) 3>&2 2>/dev/null | :" 2>&1 | tail -1)
[ "$got" = 74 ] || bad "into a closed pipe: exit '$got'"
[ "$fails" = 0 ]
