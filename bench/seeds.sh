#!/bin/sh
# Learns models with several seeds and evaluates each on several recommenders, with ten and twenty candidates, with and without the
# validation item in what is shown; bench/seeds.py makes the table. Resumes: what is there is not made again.
#
# usage: RECRANK=build/recrank sh bench/seeds.sh DATA DIR [options of recrank learn]
# SEEDS="1 2 3 4 5" BACKBONES="mf lightgcn itemknn ease" COUNTS="10 20" HISTORIES="train train+valid"
set -eu
recrank=${RECRANK:-build/recrank} data=$1 dir=$2
shift 2
mkdir -p "$dir"
for seed in ${SEEDS:-1 2 3 4 5}; do
    model=$dir/model.$seed.gguf
    [ -f "$model" ] || "$recrank" learn --data "$data" -o "$model" --seed "$seed" "$@"
    for backbone in ${BACKBONES:-mf lightgcn itemknn ease}; do
        fitted=$dir/$backbone.$seed.rrb
        [ -f "$fitted" ] || "$recrank" fit "$backbone" --data "$data" --seed "$seed" -o "$fitted" >/dev/null
        for k in ${COUNTS:-10 20}; do
            for history in ${HISTORIES:-train train+valid}; do
                out=$dir/$backbone-$k-$history.$seed
                [ -f "$out.tsv" ] && continue
                "$recrank" evaluate "$model" --data "$data" --backbone "$fitted" -k "$k" --history "$history" --seed "$seed" \
                    --fit-weights --per-user "$out.part" -o "$out.txt"
                mv "$out.part" "$out.tsv"
            done
        done
    done
done
python3 "$(dirname "$0")/seeds.py" "$dir"
