#!/bin/sh
# Models written anew: what was not to change has not, an adapter merged is the adapter applied, and nothing is left of what failed.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "convert: $*" >&2
    fails=$((fails + 1))
}
. "$(dirname "$0")/invented.sh"
invented "$d/ml"
"$r" pretrain --data "$d/ml" --shape dim=32,layers=2,heads=2,kv=1,ff=80 --vocab 400 --whole-titles --window 8 --rows 512 --passes 1 \
    -o "$d/base.gguf" >/dev/null 2>"$d/said" || bad "pretrain: $(cat "$d/said")"
logits() { # MODEL OUT OPTIONS...
    model=$1 out=$2
    shift 2
    "$r" logits "$model" --tokens 1,5,9,300,12 -o "$out" "$@" 2>"$d/said" || bad "logits of $model: $(cat "$d/said")"
}
# As it is: the same bytes again, notes and tokenizer included; over itself, too.
"$r" convert "$d/base.gguf" -o "$d/again.gguf" >"$d/said" 2>&1 || bad "again: $(cat "$d/said")"
grep -q 'again.gguf: 20 F32$' "$d/said" || bad "again says: $(cat "$d/said")"
"$r" convert "$d/again.gguf" -o "$d/third.gguf" >/dev/null 2>&1 || bad "a third time"
logits "$d/base.gguf" "$d/plain"
cp "$d/plain" "$d/a"
logits "$d/again.gguf" "$d/b"
cmp -s "$d/a" "$d/b" || bad "converted, it gives other logits"
echo "The Silent Harbour" >"$d/text"
"$r" tokenize "$d/base.gguf" <"$d/text" >"$d/ids.a" 2>&1
"$r" tokenize "$d/again.gguf" <"$d/text" >"$d/ids.b" 2>&1
cmp -s "$d/ids.a" "$d/ids.b" || bad "converted, it has another tokenizer"
cp "$d/again.gguf" "$d/self.gguf"
"$r" convert "$d/self.gguf" -o "$d/self.gguf" >/dev/null 2>&1 || bad "over itself"
logits "$d/self.gguf" "$d/b"
cmp -s "$d/a" "$d/b" || bad "written over itself, it gives other logits"
# F16 and BF16 there and back are lossless.
for t in f16 bf16; do
    "$r" convert "$d/base.gguf" --type $t -o "$d/$t.gguf" >/dev/null 2>"$d/said" || bad "$t: $(cat "$d/said")"
    "$r" convert "$d/$t.gguf" --type f32 -o "$d/wide.gguf" >/dev/null 2>&1 || bad "$t to f32"
    "$r" convert "$d/wide.gguf" --type $t -o "$d/back.gguf" >/dev/null 2>&1 || bad "$t and back"
    tail -c 30000 "$d/$t.gguf" >"$d/x" && tail -c 30000 "$d/back.gguf" | cmp -s - "$d/x" || bad "$t is not what it was"
done
# Rows of 80 hold no whole blocks.
"$r" quantize "$d/base.gguf" --type q8_0 -o "$d/q8.gguf" >"$d/said" 2>&1 || bad "q8_0: $(cat "$d/said")"
grep -q '5 F32, 2 F16, 13 Q8_0$' "$d/said" || bad "q8_0 says: $(cat "$d/said")"
"$r" quantize "$d/base.gguf" --type q4_0 -o "$d/q4.gguf" >"$d/said" 2>&1 || bad "q4_0: $(cat "$d/said")"
grep -q '5 F32, 2 F16, 1 Q8_0, 12 Q4_0$' "$d/said" || bad "q4_0 says: $(cat "$d/said")"
"$r" rank "$d/q4.gguf" --data "$d/ml" --user 1 --backbone pop >/dev/null 2>"$d/said" || bad "q4_0 does not rank: $(cat "$d/said")"
# An adapter merged is the adapter applied.
"$r" instruct --data "$d/ml" --kind next --backbone pop --folds 2 --size 20 --max-history 6 -o "$d/ins" >/dev/null 2>&1
"$r" tune "$d/base.gguf" --instructions "$d/ins/recranker.jsonl" --passes 1 --rows 2048 --rate 0.01 --lora r=2,alpha=8,modules=q,v,down \
    -o "$d/lora" >/dev/null 2>"$d/said" || bad "tune: $(cat "$d/said")"
"$r" inspect "$d/lora" --check-weights >/dev/null 2>"$d/said" && bad "inspect ADAPTER --check-weights checks nothing and says so not"
"$r" merge "$d/base.gguf" --adapter "$d/lora" -o "$d/merged.gguf" >"$d/said" 2>&1 || bad "merge: $(cat "$d/said")"
grep -q '6 matrices, r=2, scale=4' "$d/said" || bad "merge says: $(cat "$d/said")"
grep -q '^self_attn.q_proj: 2 matrices, changed by 0.[0-9e-]* of their size$' "$d/said" || bad "merge says: $(cat "$d/said")"
logits "$d/base.gguf" "$d/a" --adapter "$d/lora"
logits "$d/merged.gguf" "$d/b"
cmp -s "$d/a" "$d/b" || bad "merged, it gives other logits than applied"
cmp -s "$d/b" "$d/plain" && bad "the adapter does nothing"
"$r" merge "$d/q8.gguf" --adapter "$d/lora" -o "$d/no.gguf" >"$d/said" 2>&1
[ $? = 2 ] && grep -q 'QUANTISED' "$d/said" && [ ! -e "$d/no.gguf" ] || bad "merged into q8_0: $(cat "$d/said")"
"$r" merge "$d/q8.gguf" --adapter "$d/lora" --type q8_0 -o "$d/yes.gguf" >/dev/null 2>"$d/said" || bad "merge --type: $(cat "$d/said")"
# Several adapters, with weights: halves of one are the whole of it; what is wrong with the list is said.
"$r" merge "$d/base.gguf" --adapter "$d/lora:1" -o "$d/one.gguf" >"$d/said" 2>&1 || bad "a weight of 1: $(cat "$d/said")"
grep -q '^the greatest change of one weight: ' "$d/said" || bad "merge says: $(cat "$d/said")"
logits "$d/one.gguf" "$d/b"
cmp -s "$d/a" "$d/b" || bad "a weight of 1 changes the logits"
cp -r "$d/lora" "$d/lora2"
"$r" merge "$d/base.gguf" --adapter "$d/lora:0.5,$d/lora2:-0.5" -o "$d/none.gguf" >"$d/said" 2>&1 || bad "two adapters: $(cat "$d/said")"
grep -q 'lora2: 6 matrices, r=2, scale=4, weight -0.5' "$d/said" || bad "two adapters say: $(cat "$d/said")"
"$r" compare "$d/base.gguf" "$d/none.gguf" "$d/text" --json >"$d/same" 2>&1
grep -q '"same_best":1,' "$d/same" || bad "an adapter and its opposite: $(cat "$d/same")"
"$r" merge "$d/base.gguf" --adapter "$d/lora,$d/lora" -o "$d/no.gguf" >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q 'ADAPTER_TWICE' "$d/said" || bad "the same adapter twice: $(cat "$d/said")"
"$r" merge "$d/base.gguf" --adapter "$d/lora,$d/lora/" -o "$d/no.gguf" >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q 'ADAPTER_TWICE' "$d/said" || bad "the same adapter by two names: $(cat "$d/said")"
"$r" merge "$d/base.gguf" --adapter "$d/lora/adapter_model.safetensors" -o "$d/no.gguf" >/dev/null 2>"$d/said"
[ $? = 66 ] && grep -q 'NOT_AN_ADAPTER.*name the folder' "$d/said" || bad "an adapter's file: $(cat "$d/said")"
"$r" merge "$d/base.gguf" --adapter "$d/lora:0" -o "$d/zero.gguf" 2>&1 >/dev/null | grep -q 'changes nothing (its weight is 0)' || bad "a weight of 0 is not said"
# What is not adapted keeps its type.
"$r" convert "$d/base.gguf" --format safetensors --type f16 -o "$d/half" >/dev/null 2>&1
"$r" inspect "$d/half" | grep '^tensors' >"$d/types.a"
"$r" merge "$d/half" --adapter "$d/lora" --format safetensors -o "$d/half.merged" >/dev/null 2>"$d/said" || bad "merged into f16: $(cat "$d/said")"
"$r" inspect "$d/half.merged" | grep '^tensors' >"$d/types.b"
cmp -s "$d/types.a" "$d/types.b" || bad "merged, other types: $(cat "$d/types.a" "$d/types.b")"
# What is read back cannot be a pipe.
for to in - /dev/stdout /dev/null; do
    "$r" convert "$d/base.gguf" -o $to >"$d/out" 2>"$d/said"
    [ $? = 2 ] && grep -q 'name a file' "$d/said" && [ ! -s "$d/out" ] || bad "to $to: $(cat "$d/said")"
done
"$r" merge "$d/base.gguf" --adapter "$d/lora:x" -o "$d/no.gguf" >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q "behind its last ':' is no weight" "$d/said" || bad "no weight: $(cat "$d/said")"
"$r" merge "$d/base.gguf" --adapter "$d/lora," -o "$d/no.gguf" >/dev/null 2>"$d/said"
[ $? = 66 ] && grep -q 'NOT_A_FILE' "$d/said" || bad "an empty name: $(cat "$d/said")"
sed 's,"base_model_name_or_path": "[^"]*","base_model_name_or_path": "meta/Other-7B",' "$d/lora/adapter_config.json" >"$d/lora2/adapter_config.json"
"$r" merge "$d/base.gguf" --adapter "$d/lora2" -o "$d/other.gguf" >/dev/null 2>"$d/said"
grep -q 'warning: it says it was made for meta/Other-7B' "$d/said" || bad "another base: $(cat "$d/said")"
"$r" merge "$d/base.gguf" --adapter "$d/lora" -o "$d/other.gguf" 2>&1 | grep -q warning && bad "its own base: a warning"
"$r" inspect "$d/lora2" >"$d/said" 2>&1 || bad "inspect: $(cat "$d/said")"
grep -q '^made for      meta/Other-7B$' "$d/said" && grep -q 'self_attn.q_proj.lora_A  *2 of F32 \[2, 32\]$' "$d/said" || bad "inspect says: $(cat "$d/said")"
# What it did to a model: nothing to itself, more with fewer bits; and two ways to the same perplexity.
for i in 1 2 3 4 5 6 7 8; do echo "The Silent Harbour (1961), The Paper Engine, The Golden Winter $i"; done >"$d/long"
json() { # FILE KEY
    sed -n 's/.*"'"$2"'":\[*\([0-9.e+-]*\).*/\1/p' "$1"
}
"$r" compare "$d/base.gguf" "$d/again.gguf" "$d/long" --json >"$d/same" 2>"$d/said" || bad "compare: $(cat "$d/said")"
grep -q '"layers":\[0,0,0\],"logits_rms":0,"logits_max":0,"logits_relative":0,"kl":0,"same_best":1,' "$d/same" || bad "a model and itself: $(cat "$d/same")"
"$r" perplexity "$d/base.gguf" "$d/long" --context 512 --json >"$d/nats" 2>"$d/said" || bad "perplexity: $(cat "$d/said")"
[ "$(json "$d/same" nats)" = "$(json "$d/nats" nats_per_token)" ] || bad "compare and perplexity differ: $(cat "$d/same" "$d/nats")"
"$r" perplexity "$d/base.gguf" "$d/long" --context 16 | grep -q "^$(json "$d/nats" tokens) tokens, " || bad "windows lose tokens"
"$r" compare "$d/base.gguf" "$d/q8.gguf" "$d/long" --json >"$d/c8"
"$r" compare "$d/base.gguf" "$d/q4.gguf" "$d/long" --json >"$d/c4"
awk "BEGIN { exit !(0 < $(json "$d/c8" kl) && 2 * $(json "$d/c8" kl) < $(json "$d/c4" kl)) }" || bad "q8_0 and q4_0: $(cat "$d/c8" "$d/c4")"
"$r" compare "$d/base.gguf" "$d/merged.gguf" "$d/long" | grep -q '^    0  0.000e+00  (embedding)$' || bad "an adapter changes no embedding"
"$r" compare "$d/base.gguf" :demo "$d/long" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'SHAPES' "$d/said" || bad "models of two shapes: $(cat "$d/said")"
: >"$d/empty"
"$r" perplexity "$d/base.gguf" "$d/empty" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'TEXT' "$d/said" || bad "an empty text: $(cat "$d/said")"
# A folder, and back from it; checksums that find one changed byte.
"$r" convert "$d/base.gguf" --format safetensors --verify -o "$d/folder" >"$d/said" 2>&1 || bad "a folder: $(cat "$d/said")"
"$r" convert "$d/folder" -o "$d/unfolded.gguf" >/dev/null 2>"$d/said" || bad "from a folder: $(cat "$d/said")"
logits "$d/unfolded.gguf" "$d/b"
cmp -s "$d/plain" "$d/b" || bad "by way of a folder, it gives other logits"
"$r" tokenize "$d/folder" <"$d/text" >"$d/ids.b" 2>&1
cmp -s "$d/ids.a" "$d/ids.b" || bad "by way of a folder, it has another tokenizer"
# Only into a new folder or an empty one, whole or not at all; what dead processes left goes away.
cp -r "$d/folder" "$d/folder.was"
"$r" convert "$d/folder" --format safetensors -o "$d/folder/" >/dev/null 2>"$d/said"
[ $? = 66 ] && grep -q "NOT_EMPTY.*folder/: holds '[a-z_.0-9]*', and" "$d/said" || bad "a folder over itself: $(cat "$d/said")"
diff -r "$d/folder" "$d/folder.was" >/dev/null || bad "a refused folder was changed"
(ulimit -f 8; trap '' XFSZ; "$r" convert "$d/base.gguf" --format safetensors -o "$d/cut") >/dev/null 2>"$d/said"
[ $? = 74 ] && grep -q 'WRITE_FAILED' "$d/said" || bad "a folder on a full disk: $(cat "$d/said")"
"$r" convert "$d/nothing" --format safetensors -o "$d/cut" >/dev/null 2>&1
ls -d "$d"/cut* >/dev/null 2>&1 && bad "a folder that could not be written left something: $(ls -d "$d"/cut*)"
mkdir "$d/empty.d" "$d/empty.d.tmp-4194999-0" && ln -s empty.d "$d/linked" && : >"$d/empty.d.tmp-4194999-0/config.json"
: >"$d/new.gguf.tmp-4194999-1"
: >"$d/new.gguf.tmp-$$-1" # of a process that lives
mkdir "$d/others" && : >"$d/others/kept" && ln -s others "$d/new.gguf.tmp-4194999-2"
"$r" convert "$d/base.gguf" --format safetensors -o "$d/linked" >/dev/null 2>"$d/said" || bad "a link to an empty folder: $(cat "$d/said")"
[ -f "$d/empty.d/model.safetensors" ] || bad "an empty folder behind a link stayed empty"
"$r" convert "$d/base.gguf" -o "$d/new.gguf" >/dev/null 2>"$d/said" || bad "$(cat "$d/said")"
[ "$(ls -d "$d"/*.tmp-*)" = "$d/new.gguf.tmp-$$-1" ] || bad "leftovers: $(ls -d "$d"/*.tmp-*)"
rm "$d/new.gguf.tmp-$$-1"
[ -f "$d/others/kept" ] || bad "what a leftover link leads to is gone"
mkdir "$d/here"
case $r in /*) absolute=$r ;; *) absolute=$PWD/$r ;; esac
(cd "$d/here" && "$absolute" convert "$d/base.gguf" --format safetensors -o .) >/dev/null 2>"$d/said"
[ $? = 66 ] && grep -q 'is the current folder: name a new folder inside it' "$d/said" || bad "into the current folder: $(cat "$d/said")"
"$r" inspect "$d/folder" --verify "$d/folder/model.safetensors.sha256" >"$d/said" 2>&1 || bad "verify: $(cat "$d/said")"
grep -q '^verified      [0-9]* tensors' "$d/said" || bad "verify says nothing: $(cat "$d/said")"
n=$(wc -c <"$d/folder/model.safetensors")
printf '\377' | dd of="$d/folder/model.safetensors" bs=1 seek=$((n - 1)) conv=notrunc 2>/dev/null
"$r" inspect "$d/folder" --verify "$d/folder/model.safetensors.sha256" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'CHECKSUM.*model.norm.weight at byte [0-9]*: sha256' "$d/said" || bad "one byte changed: $(cat "$d/said")"
"$r" inspect "$d/q8.gguf" --verify "$d/folder/model.safetensors.sha256" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'CHECKSUM' "$d/said" || bad "another model's list: $(cat "$d/said")"
sed 1d "$d/folder/model.safetensors.sha256" >"$d/short"
"$r" inspect "$d/folder" --verify "$d/short" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'CHECKSUM.*is not in' "$d/said" || bad "a short list: $(cat "$d/said")"
"$r" inspect "$d/folder" --verify "$d/text" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'CHECKSUM.*line 1 is no' "$d/said" || bad "no list: $(cat "$d/said")"
"$r" convert "$d/q8.gguf" --format safetensors -o "$d/q8" >/dev/null 2>"$d/said"
[ $? = 2 ] && grep -q 'UNSUPPORTED.*hold no Q8_0' "$d/said" || bad "q8_0 as safetensors: $(cat "$d/said")"
# What fails leaves nothing, and what was there.
echo kept >"$d/kept"
"$r" convert "$d/text" -o "$d/kept" >/dev/null 2>&1
[ $? = 65 ] && [ "$(cat "$d/kept")" = kept ] || bad "a file that is no model"
"$r" convert "$d/base.gguf" -o "$d/none/out.gguf" >/dev/null 2>"$d/said"
[ $? = 66 ] || bad "a folder that is not there: $(cat "$d/said")"
ls "$d" | grep -q tmp && bad "something is left: $(ls "$d")"
[ "$fails" = 0 ]
