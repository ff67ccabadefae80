#!/bin/sh
# Files that are not what they should be: exit 65 or 66 and one line that names code, file and what to do.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
refused() { # EXIT_CODE EXPECTED_TEXT ARGUMENTS...
    code=$1 want=$2
    shift 2
    out=$("$r" "$@" 2>"$d/said" </dev/null)
    rc=$?
    lines=$(wc -l <"$d/said")
    if [ "$rc" != "$code" ] || [ -n "$out" ] || [ "$lines" != 1 ] || ! grep -qF -- "$want" "$d/said"; then
        echo "bad_files: recrank $*: exit $rc, $lines lines: $(cat "$d/said"); expected $code and '$want'" >&2
        fails=$((fails + 1))
    fi
}
: >"$d/empty.gguf"
: >"$d/empty.bin"
printf 'GGUF' >"$d/four.gguf"
printf 'PK\003\004xxxxxxxxxxxxxxxxxxxxxxxxxxxx' >"$d/model.bin"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' >"$d/lfs.bin"
mkdir "$d/empty" "$d/data" "$d/hf"
printf '1\t1\t5\t100\n1\t2\n' >"$d/data/u.data"
printf '{"model_type":"gpt2"}' >"$d/hf/config.json"
refused 66 "CANNOT_OPEN" inspect "$d/nothing.gguf"
refused 65 "error[TRUNCATED] $d/empty.gguf: magic at byte 0" inspect "$d/empty.gguf"
refused 65 "error[TRUNCATED]" inspect "$d/empty.bin"
refused 65 "header at byte 4" inspect "$d/four.gguf"
refused 65 "pickle" inspect "$d/model.bin"
refused 65 "git lfs pull" inspect "$d/lfs.bin"
refused 66 "config.json" inspect "$d/empty"
refused 65 "expected \"llama\"" inspect "$d/hf"
refused 66 "u.item" split --data "$d/data" -o "$d/out"
refused 66 "NO_DATA" split --data "$d/empty" -o "$d/out"
refused 66 "NO_DATA" split --data "$d/none" -o "$d/out"
flags='0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0'
printf '1|A|||http://x|%s\n2|B|||http://x|%s\n' "$flags" "$flags" >"$d/data/u.item"
refused 65 "u.data:2:1: 2 columns" split --data "$d/data" -o "$d/out"
printf '1\t1\t5\t100\n1\t2\t3\n' >"$d/data/u.data"
refused 65 "u.data:2:1: 3 columns" split --data "$d/data" -o "$d/out"
refused 66 "CANNOT_OPEN" tokenize "$d/nothing.model"
refused 65 "web page" tokenize "$(printf '<!DOCTYPE html>' >"$d/page.model"; echo "$d/page.model")"
# A damaged scale: found at once with --check-weights, when it makes itself felt without.
"$r" convert :demo --type q8_0 -o "$d/whole.gguf" >/dev/null 2>&1
at=$("$r" inspect "$d/whole.gguf" --check-weights 2>&1 >/dev/null)
[ -z "$at" ] || { echo "bad_files: an intact model: $at" >&2; fails=$((fails + 1)); }
size=$(wc -c <"$d/whole.gguf")
cp "$d/whole.gguf" "$d/nan.gguf"
i=0 # halves that are NaN over the last tensor's end: whatever it is
while [ $i -lt 80 ]; do printf '\377\177'; i=$((i + 1)); done | dd of="$d/nan.gguf" bs=1 seek=$((size - 200)) conv=notrunc 2>/dev/null
refused 65 "error[NONFINITE_WEIGHT] $d/nan.gguf: " inspect "$d/nan.gguf" --check-weights
# Thousands of choices behind a prompt that is too long: refused at the first.
i=0 many='"a"'
while [ $i -lt 3000 ]; do many="$many,\"a\"" i=$((i + 1)); done
printf '{"prompt":"%0200000d","choices":[%s]}\n' 7 "$many" >"$d/long.jsonl"
timeout 60 "$r" score :demo <"$d/long.jsonl" >"$d/out" 2>"$d/said"
rc=$?
[ $rc = 65 ] && grep -q 'error\[CONTEXT\]' "$d/said" || { echo "bad_files: a long prompt: exit $rc, $(cat "$d/said")" >&2; fails=$((fails + 1)); }
if [ -d ../shared/models/stories260K ]; then
    m=../shared/models/stories260K
    head -c 500000 $m/stories260K.gguf >"$d/cut.gguf"
    head -c 500000 $m/stories260K.bin >"$d/cut.bin"
    refused 65 "error[TRUNCATED] $d/cut.gguf: " inspect "$d/cut.gguf"
    refused 65 "the file has 500000 bytes" inspect "$d/cut.bin"
    (cat $m/stories260K.gguf; printf x) >"$d/longer.gguf" # loads, with a word of it
    "$r" inspect "$d/longer.gguf" >"$d/out" 2>"$d/said" && [ "$(wc -l <"$d/said")" = 1 ] &&
        grep -qF "warning[TRAILING] $d/longer.gguf: data at byte $(wc -c <$m/stories260K.gguf): 1 bytes" "$d/said" ||
        { echo "bad_files: a byte too many: $(cat "$d/said")" >&2; fails=$((fails + 1)); }
    refused 65 "NO_TOKENIZER" generate $m/stories260K.bin -p x
    refused 65 "do not belong together" generate $m/stories260K.bin -p x --tokenizer ../shared/golden/tokenizer/llama2/tokenizer.model
    refused 2 "the vocabulary has 0 to 511" logits $m/stories260K.bin --tokens 1,512 -o "$d/l"
    refused 66 "cannot create" logits $m/stories260K.bin --tokens 1 -o "$d/no/such/folder"
    printf '1\t1\t5\t100\n' >"$d/data/u.data"
    refused 65 "NO_CANDIDATES" rank $m/stories260K.gguf --data "$d/data" --user 1 --backbone pop
    refused 65 "NO_USERS" evaluate $m/stories260K.gguf --data "$d/data" --backbone pop
    mkdir "$d/full"
    (ulimit -f 1; "$r" logits $m/stories260K.bin --tokens 1,2,3,4,5 -o "$d/full/l" 2>/dev/null)
    [ $? = 74 ] || { echo "bad_files: a file that may not grow is not an I/O error" >&2; fails=$((fails + 1)); }
    [ -z "$(ls "$d/full")" ] || { echo "bad_files: a temporary file was left: $(ls "$d/full")" >&2; fails=$((fails + 1)); }
    [ ! -e "$d/l" ] || { echo "bad_files: a failed command left its output" >&2; fails=$((fails + 1)); }
fi
[ "$fails" = 0 ]
