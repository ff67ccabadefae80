#!/bin/sh
# An evaluation that is killed again and again and resumed reports, to the byte, what an uninterrupted one reports. With the real model
# and data beside the project; skipped by name without them. KILLS, USERS and SECONDS_EACH make it the full-size run of bench/README.md.
r=$1
s=../shared
[ -d $s/models/stories260K ] && [ -d $s/data/ml-100k ] || { echo "skip: $s/models/stories260K or $s/data/ml-100k is not beside the project"; exit 0; }
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
evaluate() {
    "$r" evaluate $s/models/stories260K/stories260K.gguf --data $s/data/ml-100k --backbone pop --no-ease --users "${USERS:-12}" "$@" 2>"$d/said"
}
evaluate --journal "$d/one.journal" --json >"$d/one" || { echo "resume: the uninterrupted run failed: $(cat "$d/said")" >&2; exit 1; }
lines() { wc -l 2>/dev/null <"$d/many.journal" || echo 0; }
kills=0
while [ $kills -lt "${KILLS:-4}" ]; do
    "$r" evaluate $s/models/stories260K/stories260K.gguf --data $s/data/ml-100k --backbone pop --no-ease --users "${USERS:-12}" \
        --journal "$d/many.journal" --json >"$d/many" 2>/dev/null &
    pid=$!
    before=$(lines)
    if [ -n "${SECONDS_EACH:-}" ]; then
        sleep "$SECONDS_EACH"
    else # until another user is in the journal
        while [ "$(lines)" -le $before ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    fi
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    kills=$((kills + 1))
    [ $kills != 1 ] || [ "$(lines)" -lt "$(wc -l <"$d/one.journal")" ] || { echo "resume: nothing was left when it was first killed" >&2; exit 1; }
done
evaluate --journal "$d/many.journal" --json >"$d/many" || { echo "resume: $(cat "$d/said")" >&2; exit 1; }
cmp "$d/one" "$d/many" >&2 || { echo "resume: the resumed report differs" >&2; exit 1; }
[ "$(wc -l <"$d/one.journal")" = "$(wc -l <"$d/many.journal")" ] || { echo "resume: a user was asked twice" >&2; exit 1; }
[ -z "$KILLS" ] || echo "$kills kills; $(wc -l <"$d/many.journal") lines of journal; $(cat "$d/said")"
# The output's own journal goes when the report is there, and another run's is refused.
evaluate -o "$d/report" || { echo "resume: -o: $(cat "$d/said")" >&2; exit 1; }
[ -s "$d/report" ] && [ ! -e "$d/report.journal" ] || { echo "resume: the journal beside the report was left" >&2; exit 1; }
evaluate --journal "$d/one.journal" --seed 2 >/dev/null && { echo "resume: another seed's journal was taken" >&2; exit 1; }
grep -q 'error\[JOURNAL\]' "$d/said" || { echo "resume: $(cat "$d/said")" >&2; exit 1; }
exit 0
