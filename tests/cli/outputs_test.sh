#!/bin/sh
# What is written where: outputs are tried before the work, two never share a name, links stay links, and a file that is not ours is left
# as it is. One failing request says whose it was.
r=$1
m=../shared/models/stories260K
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "outputs: $*" >&2
    fails=$((fails + 1))
}
mkdir "$d/ml" "$d/folder"
awk 'BEGIN { for (i = 1; i <= 20; i++) printf "%d|Film %d|||http://x|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n", i, i }' >"$d/ml/u.item"
awk 'BEGIN { srand(5); for (u = 1; u <= 12; u++) for (i = 1; i <= 20; i++) if (rand() < .6) printf "%d\t%d\t%d\t%d\n", u, i, 1 + int(5 * rand()), 880000000 + int(1e6 * rand()) }' >"$d/ml/u.data"
code() { # EXPECTED WORDS COMMAND...
    want=$1 words=$2
    shift 2
    "$r" "$@" >"$d/out" 2>"$d/said" </dev/null
    rc=$?
    [ $rc = "$want" ] && { [ -z "$words" ] || grep -qF -- "$words" "$d/said"; } || bad "recrank $*: exit $rc, $(cat "$d/said"); expected $want and '$words'"
}
ln -s real "$d/link"
printf 'old\n' >"$d/real"
code 0 "" candidates --data "$d/ml" --backbone pop -o "$d/link"
[ -L "$d/link" ] && grep -q '^1	' "$d/real" || bad "a link was replaced by a file"
code 66 NOT_A_FILE candidates --data "$d/ml" --backbone pop -o "$d/folder"
# Ids that a format cannot hold.
printf 'user,item,rating\n"a b",x,5\n"a b",y,1\nc,x,4\n' >"$d/blanks.csv"
code 65 "error[ID]" candidates --data "$d/blanks.csv" --backbone pop --format trec
code 65 "error[ID]" split --data "$d/blanks.csv" -o "$d/split"
code 0 "" candidates --data "$d/blanks.csv" --backbone pop --format jsonl
# Lists without scores stay without.
printf '1\t5\n1\t6\n' >"$d/plain.tsv"
"$r" candidates --data "$d/ml" --candidates "$d/plain.tsv" 2>/dev/null | grep -q '	.*	' && bad "a score was invented"
code 65 "error[SCALE]" data --data "$(printf 'user,item,rating\na,x,5\nb,x,5\n' >"$d/equal.csv"; echo "$d/equal.csv")"
code 65 "error[NO_USERS]" fit pop --data "$d/ml" --ratio 98:1:1
code 2 "error[SCALE]" instruct --data "$(printf 'user,item,rating\na,x,1\na,y,0\nb,x,1\n' >"$d/binary.csv"; echo "$d/binary.csv")" -o "$d/i" --no-clustering
printf '1\t1\t5\t100\n' >"$d/ml/one"
mkdir "$d/one"
cp "$d/ml/u.item" "$d/one" && cp "$d/ml/one" "$d/one/u.data"
code 0 "" split --data "$d/one" -o "$d/split1"
[ -e "$d/split1/test.txt" ] && [ ! -s "$d/split1/test.txt" ] || bad "an empty part of a split"
if [ ! -d $m ]; then
    echo "skip: $m is not beside the project"
    [ "$fails" = 0 ]
    exit
fi
g=$m/stories260K.gguf
e="evaluate $g --data $d/ml --backbone pop --no-ease -k 4 --users 2"
code 66 NOT_A_FILE $e -o "$d/folder"
code 66 CANNOT_WRITE $e --per-user "$d/none/x"
[ ! -s "$d/out" ] || bad "the report went out before an output that cannot be written was found"
code 2 "two outputs" $e -o "$d/x" --per-user "$d/x"
code 2 "two outputs" $e -o "$d/x" --journal "$d/x"
code 2 "two outputs" $e -o "$d/x" --per-user "$d/x.journal"
for notes in 'my notes, no newline' 'one
two'; do
    printf '%s' "$notes" >"$d/notes"
    code 65 "no journal of recrank" $e --journal "$d/notes"
    [ "$(cat "$d/notes")" = "$notes" ] || bad "--journal changed a file that is no journal"
done
code 65 "at least 10" $e --fit-weights --journal "$d/fit.journal"
[ ! -e "$d/fit.journal" ] || bad "users were asked before the fit was known to be impossible"
$r $e --journal "$d/j" >/dev/null 2>&1
sed -i 's/"listed":\[\([0-9]\),[0-9]/"listed":[\1,\1/' "$d/j"
code 65 "does not fit" $e --journal "$d/j"
code 2 "has no effect" $e --task listwise --pair-rounds 5
code 2 "has no effect" evaluate $g --data "$d/ml" --task none
# A question that does not fit says whose it is; a list of one needs none.
code 65 "user 1, listwise question" rank $g --data "$d/ml" --user 1 --backbone pop --task listwise --context 60
code 2 "question 1 of 0" prompt $g --data "$d/ml" --user 1 --backbone pop -k 1 --task listwise
code 0 "" rank $g --data "$d/ml" --user 1 --backbone pop -k 1 --task listwise
awk -F'|' -v OFS='|' '{ if ($1 == 3) { s = ""; for (i = 0; i < 3000; i++) s = s "z"; $2 = s } print }' "$d/ml/u.item" >"$d/item" && mv "$d/item" "$d/ml/u.item"
code 0 "" $e
printf '1\n99\n' >"$d/users"
code 65 "users:2: 99" rank $g --data "$d/ml" --users "$d/users" --backbone pop -k 2
[ -z "$(find "$d" -name '*.tmp*')" ] || bad "temporary files were left: $(find "$d" -name '*.tmp*')"
[ "$fails" = 0 ]
