#!/bin/sh
# Learns a model without each part in turn, with fewer instructions and in other sizes, and evaluates each on MF's ten candidates;
# bench/seeds.py makes the table. Resumes: what is there is not made again.
#
# usage: RECRANK=build/recrank SEEDS="1 2 3" sh bench/ablations.sh DATA DIR [NAME...]
set -eu
recrank=${RECRANK:-build/recrank} data=$1 dir=$2
shift 2
mkdir -p "$dir"

# NAME, options of learn, options of evaluate
variants='whole||
no-hint|--no-hint|--no-hint
no-shift|--no-shift|--no-shift
uniform|--uniform|
no-pretraining|--no-pretraining --tune-passes 3 --tune-rate 2e-3|
in-sample|--in-sample|
paper|--instructions paper|
draws-1000|--draws 1000|
draws-2000|--draws 2000|
draws-5000|--draws 5000|
size-1.3M|--shape dim=128,layers=4,ff=384|
size-5M|--shape dim=256,layers=6,heads=8,kv=4,ff=768|'

for seed in ${SEEDS:-1}; do
    fitted=$dir/mf.$seed.rrb
    [ -f "$fitted" ] || "$recrank" fit mf --data "$data" --seed "$seed" -o "$fitted" >/dev/null
    echo "$variants" | while IFS='|' read -r name learn evaluate; do
        out=$dir/$name.$seed
        case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
        [ -f "$out.tsv" ] && continue
        # shellcheck disable=SC2086 # the options are several words
        [ -f "$out.gguf" ] || "$recrank" learn --data "$data" -o "$out.gguf" --seed "$seed" $learn
        # shellcheck disable=SC2086
        "$recrank" evaluate "$out.gguf" --data "$data" --backbone "$fitted" --seed "$seed" --fit-weights $evaluate --per-user "$out.part" \
            -o "$out.txt"
        mv "$out.part" "$out.tsv"
    done
done
python3 "$(dirname "$0")/seeds.py" "$dir"
