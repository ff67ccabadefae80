#!/bin/sh
# A small model tuned on instructions about invented data, in full and as an adapter: the same bytes for a seed, with any threads and after
# kills; an adapter applied is the merged model; what goes wrong leaves no output.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "tune: $*" >&2
    fails=$((fails + 1))
}
. "$(dirname "$0")/invented.sh"
invented "$d/ml"
(exec "$r" pretrain --data "$d/ml" --shape dim=16,layers=1,heads=2,kv=1,ff=32 --vocab 400 --whole-titles --window 8 --rows 512 --rate 0.02 \
    --warmup 10 --passes $((40 / ${SLOW:-1})) -o "$d/base.gguf") >/dev/null 2>"$d/said" || bad "pretrain: $(cat "$d/said")"
"$r" instruct --data "$d/ml" --kind next --backbone pop --folds 2 --size $((80 / ${SLOW:-1})) --max-history 6 -o "$d/ins" >/dev/null 2>"$d/said" || bad "instruct: $(cat "$d/said")"
in=$d/ins/recranker.jsonl
[ -s "$in" ] || bad "no instructions"
passes=4 rate=0.01
tune() { # in a subshell, so that what is killed is the program itself
    exec "$r" tune "$d/base.gguf" --instructions "$in" --passes $passes --rows 2048 --warmup 5 --rate $rate --seed 7 "$@"
}
left() { # what a failed run may not leave
    ls -d "$1" "$1".tmp* "$1"/* 2>/dev/null
}
# Full: it learns, and neither threads nor kills change a byte.
(tune --threads 1 -o "$d/full.gguf") >"$d/said" 2>"$d/passes" || bad "full: $(cat "$d/passes")"
grep -q 'full.gguf: .* steps, [0-9]* tokens$' "$d/said" && ! grep -q nan "$d/said" "$d/passes" || bad "full says: $(cat "$d/said" "$d/passes")"
sed -n 's/^pass .*: loss \([0-9.]*\) per token.*/\1/p' "$d/passes" | awk 'NR == 1 { first = $1 } { last = $1 } END { exit !(NR == 4 && last < 0.9 * first) }' ||
    bad "the loss does not fall: $(cat "$d/passes")"
(tune --threads 2 -o "$d/threads.gguf") >/dev/null 2>&1
cmp -s "$d/full.gguf" "$d/threads.gguf" || bad "full: threads change the bytes"
(tune --threads 1 -o "$d/lora" --lora r=4,alpha=8,modules=q,k,v,down) >"$d/said" 2>&1 || bad "lora: $(cat "$d/said")"
(tune --threads 1 -o "$d/lora.gguf" --lora r=4,alpha=8,modules=q,k,v,down) >"$d/said" 2>&1 || bad "lora.gguf: $(cat "$d/said")"
[ -s "$d/lora/adapter_config.json" ] && [ -s "$d/lora/adapter_model.safetensors" ] || bad "no adapter: $(ls "$d/lora")"
killed() { # OUTPUT OPTIONS...: killed again and again until it is there
    out=$1
    shift
    for seconds in 0.05 0.1 0.15 0.2 0.1 0.25; do
        tune -o "$out" "$@" >/dev/null 2>&1 &
        pid=$!
        sleep $seconds
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    (tune -o "$out" "$@") >/dev/null 2>"$d/said" || bad "$out does not go on after a kill: $(cat "$d/said")"
    [ ! -e "$out.checkpoint" ] || bad "$out.checkpoint is left"
}
killed "$d/killed.gguf"
cmp -s "$d/full.gguf" "$d/killed.gguf" || bad "full: after kills the bytes are others"
killed "$d/killed" --lora r=4,alpha=8,modules=q,k,v,down
for f in adapter_config.json adapter_model.safetensors; do
    cmp -s "$d/lora/$f" "$d/killed/$f" || bad "lora: after kills $f is another"
done
# An adapter merged as the model is opened, and the model that was written merged.
ids=1,5,261,300,42,42,399,270
"$r" logits "$d/base.gguf" --adapter "$d/lora" --tokens $ids -o "$d/applied.f32" 2>"$d/said" && grep -q '4 matrices, r=4, scale=2' "$d/said" || bad "--adapter: $(cat "$d/said")"
"$r" logits "$d/lora.gguf" --tokens $ids -o "$d/merged.f32" 2>/dev/null
"$r" logits "$d/base.gguf" --tokens $ids -o "$d/plain.f32" 2>/dev/null
off() { # the largest difference of two files of floats
    od -An -v -tf4 -w4 "$1" >"$d/a" && od -An -v -tf4 -w4 "$2" >"$d/b"
    paste "$d/a" "$d/b" | awk 'BEGIN { m = 0 } { x = $1 - $2; if (x < 0) x = -x; if (!(x <= m)) m = x } END { printf "%.6f\n", NR == 3200 ? m : 99 }'
}
awk "BEGIN { exit !($(off "$d/applied.f32" "$d/merged.f32") <= 1e-4) }" || bad "adapter and merged model differ by $(off "$d/applied.f32" "$d/merged.f32")"
awk "BEGIN { exit !($(off "$d/applied.f32" "$d/plain.f32") > 1e-2) }" || bad "the adapter does nothing"
# An interrupt stops it, says how to go on, and the same command does.
passes=100000
tune -o "$d/stopped.gguf" >/dev/null 2>"$d/said" &
pid=$!
for i in $(seq 100); do
    [ -f "$d/stopped.gguf.checkpoint" ] && break
    sleep 0.1
done
kill -INT $pid
passes=4
wait $pid
[ $? = 130 ] && grep -q 'error\[INTERRUPTED\].*the same command goes on' "$d/said" || bad "an interrupt: $(tail -1 "$d/said")"
[ -f "$d/stopped.gguf.checkpoint" ] && [ -z "$(left "$d/stopped.gguf")" ] || bad "an interrupt leaves $(left "$d/stopped.gguf")"
# A checkpoint of other options is not gone on with.
(tune -o "$d/stopped.gguf") >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[CHECKPOINT\]' "$d/said" || bad "other options' checkpoint: $(cat "$d/said")"
# One line of JSON per pass, pass 0 included where there are validation answers.
(tune -o "$d/json.gguf" --json) >"$d/log" 2>"$d/said" || bad "--json: $(cat "$d/said")"
n='-\{0,1\}[0-9][0-9.e+-]*'
grep -vq "^{\"pass\":[0-4],\"passes\":4,\"step\":[0-9]*,\"loss\":\($n\|null\),\"valid_loss\":\($n\|null\),\"rate\":$n,\"tokens_per_s\":[0-9]*,\"best\":\(true\|false\)}\$" "$d/log" &&
    bad "--json: $(cat "$d/log")"
[ "$(grep -c '"pass":[1-4],' "$d/log")" = 4 ] || bad "--json: $(cat "$d/log")"
cmp -s "$d/full.gguf" "$d/json.gguf" || bad "--json changes the bytes"
# What goes wrong: no tokenizer, bad instructions, no room, a rate that is far too high.
LC_ALL=C sed 's/tokenizer\.ggml\.model/tokenizer.ggml.nodel/' "$d/base.gguf" >"$d/mute.gguf"
"$r" tune "$d/mute.gguf" --instructions "$in" -o "$d/x.gguf" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[NO_TOKENIZER\]' "$d/said" || bad "a base without a tokenizer: $(cat "$d/said")"
{ head -3 "$in"; echo '{"messages":[]}'; } >"$d/cut.jsonl"
"$r" tune "$d/base.gguf" --instructions "$d/cut.jsonl" -o "$d/x.gguf" >/dev/null 2>"$d/said"
[ $? = 65 ] && grep -q 'error\[ROLE\].*cut.jsonl:4' "$d/said" || bad "a line without messages: $(cat "$d/said")"
"$r" tune "$d/base.gguf" --instructions "$d/none.jsonl" -o "$d/x.gguf" >/dev/null 2>"$d/said"
[ $? = 66 ] || bad "no instructions: $(cat "$d/said")"
[ -z "$(left "$d/x.gguf")" ] || bad "a failed run left $(left "$d/x.gguf")"
(ulimit -f 1; tune -o "$d/room.gguf") >/dev/null 2>"$d/said"
[ $? = 74 ] && [ -z "$(left "$d/room.gguf")" ] || bad "no room for a checkpoint: $(cat "$d/said") $(left "$d/room.gguf")"
# The checkpoint of an adapter is small, the merged model is not: what was learned stays, and is written where there is room.
(ulimit -f 36; tune -o "$d/room.gguf" --lora r=4,alpha=8,modules=q,k,v,down) >/dev/null 2>"$d/said"
[ $? = 74 ] && [ -z "$(left "$d/room.gguf")" ] && [ -f "$d/room.gguf.checkpoint" ] || bad "no room for the model: $(cat "$d/said") $(left "$d/room.gguf")"
(tune -o "$d/room.gguf" --lora r=4,alpha=8,modules=q,k,v,down) >/dev/null 2>"$d/said" && ! grep -q '^pass' "$d/said" || bad "room again: $(cat "$d/said")"
cmp -s "$d/room.gguf" "$d/lora.gguf" && [ ! -e "$d/room.gguf.checkpoint" ] || bad "no room, then room: other bytes"
(rate=10 passes=20; tune -o "$d/wild.gguf") >/dev/null 2>"$d/said"
rc=$?
if [ $rc = 65 ]; then
    grep -q 'error\[DIVERGED\].*step [0-9]' "$d/said" && [ -z "$(left "$d/wild.gguf")" ] || bad "a wild rate: $(cat "$d/said")"
else
    [ $rc = 0 ] && "$r" logits "$d/wild.gguf" --tokens $ids -o "$d/wild.f32" 2>/dev/null && ! od -An -v -tf4 "$d/wild.f32" | grep -qi 'nan\|inf' || bad "a wild rate: exit $rc, $(tail -2 "$d/said")"
fi
"$r" tune "$d/base.gguf" --instructions "$in" --lora r=4,modules=q,w -o "$d/x" >/dev/null 2>"$d/said"
[ $? = 2 ] && [ -z "$(left "$d/x")" ] || bad "an unknown module: $(cat "$d/said")"
[ "$fails" = 0 ]
