#!/bin/sh
# recrank beside llama.cpp on the same random models, in interleaved rounds: prefill, decode, the ranking job.
#
#     sh bench/llama.sh LLAMA [TYPE ...]
#
# LLAMA: a folder of llama.cpp, built with its own cmake into LLAMA/build (target llama-bench; its libraries are
# used for the ranking job). SHAPE (1.1b), THREADS (2), ROUNDS (5), DIR for the models and CPU (recrank's level)
# come from the environment. Prints medians, and recrank's over llama.cpp's.
set -eu
llama=$1
shift
shape=${SHAPE:-1.1b} threads=${THREADS:-2} rounds=${ROUNDS:-5} dir=${DIR:-$(mktemp -d)}
cpu=${CPU:+--cpu $CPU}
here=$(dirname "$0") recrank=build/recrank
[ -x "$llama/build/bin/llama-bench" ] || { echo "llama.sh: $llama/build/bin/llama-bench is not there; build llama.cpp first" >&2; exit 1; }
libs=$llama/build/bin
${CC:-cc} -O2 -I"$llama/include" -I"$llama/ggml/include" "$here/llama_rank.c" -L"$libs" -lllama -lggml -lggml-base -lggml-cpu \
    -Wl,-rpath,"$(cd "$libs" && pwd)" -o "$dir/llama_rank"
[ $# -gt 0 ] || set -- q8_0 q4_0 q4_k f16 bf16

median() { sort -g "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

printf 'shape\ttype\tthreads\tcase\trecrank\tllama.cpp\tratio\n'
for type; do
    model=$dir/$shape-$type.gguf
    [ -f "$model" ] || $recrank bench file --shape "$shape" --type "$type" -o "$model" >/dev/null
    rm -f "$dir"/ours.* "$dir"/theirs.*
    for round in $(seq "$rounds"); do
        # shellcheck disable=SC2086
        $recrank bench model "$model" -t "$threads" $cpu | awk -F'\t' -v d="$dir" '/^model/ {print $3 >>(d "/ours." $2)}'
        "$libs/llama-bench" -m "$model" -p 128,512 -n 32 -t "$threads" -r 1 -o csv 2>/dev/null | tr -d '"' | awk -F, -v d="$dir" '
            NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; next}
            {name = $at["n_gen"] > 0 ? "decode" : "prefill" $at["n_prompt"]; print $at["avg_ts"] >>(d "/theirs." name)}'
        # shellcheck disable=SC2086
        $recrank bench rank "$model" -t "$threads" $cpu | awk -F'\t' -v d="$dir" '/^rank/ {print $3 >>(d "/ours.rank")}'
        "$dir/llama_rank" "$model" "$threads" 1 | awk -v d="$dir" '{print 700 / $1 >>(d "/theirs.rank")}'
    done
    for name in prefill128 prefill512 decode rank; do
        printf '%s\t%s\t%s\t%s\t%s\t%s\t' "$shape" "$type" "$threads" "$name" "$(median "$dir/ours.$name")" "$(median "$dir/theirs.$name")"
        echo "$(median "$dir/ours.$name") $(median "$dir/theirs.$name")" | awk '{printf "%.2f\n", $1 / $2}'
    done
    [ -n "${DIR:-}" ] || rm -f "$model"
done
[ -n "${DIR:-}" ] || rm -rf "$dir"
