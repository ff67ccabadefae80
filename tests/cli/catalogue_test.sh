#!/bin/sh
# The generator of the invented catalogue: the same bytes for a seed, numbers as promised, and a data set that recrank reads whole.
r=$1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
fails=0
bad() {
    echo "catalogue: $*" >&2
    fails=$((fails + 1))
}
${CC:-cc} -std=c11 -O1 -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wcast-qual -Wmissing-prototypes -Werror \
    -o "$d/make" "$(dirname "$0")/../../tools/demo/make_catalogue.c" || exit 1
mkdir "$d/1" "$d/again" "$d/2"
"$d/make" 1 "$d/1" >"$d/said" 2>&1 && "$d/make" 1 "$d/again" && "$d/make" 2 "$d/2" || bad "does not run: $(cat "$d/said")"
[ ! -s "$d/said" ] || bad "says something: $(cat "$d/said")"
[ "$(ls "$d/1")" = "movies.dat
ratings.dat" ] || bad "writes $(ls "$d/1")"
# The same everywhere, not only twice here: the sums of seed 1. Who changes the world changes them.
[ "$(cat "$d/1/movies.dat" "$d/1/ratings.dat" | cksum)" = "3609766093 970455" ] || bad "seed 1 gives other bytes than it should: $(cat "$d/1/movies.dat" "$d/1/ratings.dat" | cksum)"
for f in movies.dat ratings.dat; do
    cmp -s "$d/1/$f" "$d/again/$f" || bad "$f: one seed, other bytes"
    ! cmp -s "$d/1/$f" "$d/2/$f" || bad "$f: two seeds, the same bytes"
    # Printable ASCII only: that no byte is left when it is deleted.
    [ "$(LC_ALL=C tr -d '\n -~' <"$d/1/$f" | wc -c)" -eq 0 ] || bad "$f: other than plain ASCII"
done
for s in 1 2; do
    awk -F:: '{ sub(/ \([0-9]*\)$/, "", $2); print $2 }' "$d/$s/movies.dat" | sort | uniq -d | grep . >&2 && bad "seed $s: titles twice"
    grep -vnE '^[0-9]+::[^:]+ \((19|20)[0-9][0-9]\)::[A-Z][A-Za-z|'"'"'-]+$' "$d/$s/movies.dat" >&2 && bad "seed $s: not id::Title (Year)::Genres"
    awk -F:: -v s=$s '
        !($1 in n) { time[$1] = -1; users++ }
        { n[$1]++; stars[$3]++; seen[$2]++ }
        NF != 4 || $3 !~ /^[1-5]$/ || $4 !~ /^[0-9]+$/ || length($4) > 9 { print "line " NR ": " $0; wrong = 1 }
        $4 + 0 <= time[$1] { print "line " NR ": time goes back"; wrong = 1 }
        ($1, $2) in pair { print "line " NR ": rated twice"; wrong = 1 }
        { pair[$1, $2]; time[$1] = $4 + 0 }
        function promise(what, x, low, high) { if (x < low || x > high) { print what " " x " not in " low " .. " high; wrong = 1 } }
        END {
            most = 0
            for (u in n) promise("ratings of user " u, n[u], 20, 120)
            for (i in seen) { if (seen[i] > most) most = seen[i]; rare += seen[i] < 100 }
            promise("users", users, 1000, 1000)
            promise("ratings", NR, 42000, 48000)
            promise("share of likes", (stars[4] + stars[5]) / NR, .54, .61)
            promise("share of dislikes", (stars[1] + stars[2]) / NR, .15, .21)
            promise("ratings of the most popular title", most, 500, 1000)
            promise("titles rated by less than a tenth", rare, 300, 504)
            exit wrong
        }' "$d/$s/ratings.dat" >"$d/said" || bad "seed $s: $(head -5 "$d/said")"
    [ "$(wc -l <"$d/$s/movies.dat")" -eq 504 ] || bad "seed $s: $(wc -l <"$d/$s/movies.dat") titles"
    [ "$(wc -c <"$d/$s/ratings.dat")" -lt 1100000 ] || bad "seed $s: ratings.dat has $(wc -c <"$d/$s/ratings.dat") bytes"
    # Read strictly and whole.
    "$r" data --data "$d/$s" --json >"$d/said" 2>&1 || bad "seed $s: recrank data: $(cat "$d/said")"
    lines=$(wc -l <"$d/$s/ratings.dat" | tr -d ' ')
    grep -q '"format":"ml-1m"' "$d/said" && grep -q '"users":1000,' "$d/said" && grep -q "\"ratings\":$lines," "$d/said" || bad "seed $s: recrank reads $(cat "$d/said")"
done
# Misuse, and folders that cannot be written to.
misused() {
    "$d/make" "$@" >"$d/out" 2>"$d/said"
    [ $? = 2 ] && grep -q '^usage: ' "$d/said" && [ ! -s "$d/out" ] || bad "misused ($*): $(cat "$d/said")"
}
misused
misused 1
misused 1 "$d/2" more
misused x "$d/2"
misused -1 "$d/2"
misused '' "$d/2"
misused 1x "$d/2"
misused 18446744073709551616 "$d/2"
"$d/make" 18446744073709551615 "$d/2" || bad "the largest seed"
for to in "$d/not/there" "$d/make"; do
    "$d/make" 1 "$to" >"$d/out" 2>"$d/said"
    [ $? = 66 ] && grep -q "cannot write $to" "$d/said" && [ ! -s "$d/out" ] || bad "a folder that is none: $(cat "$d/said")"
done
[ "$fails" = 0 ]
