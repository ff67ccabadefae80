#!/bin/sh
# Loops end with their reader, a choice's score does not depend on its neighbours, and quoted arguments stay one line.
r=$1
m=../shared/models/stories260K
fails=0
bad() {
    echo "pipes: $*" >&2
    fails=$((fails + 1))
}
for c in nosuch "ra
nk"; do
    [ "$("$r" "$c" 2>&1 | wc -l)" = 1 ] || bad "an unknown command with a line break takes two lines"
done
[ "$("$r" inspect --threads "a
b" x 2>&1 | wc -l)" = 1 ] || bad "a bad value with a line break takes two lines"
"$r" inspect --help >/dev/full 2>/dev/null
[ $? = 74 ] || bad "COMMAND --help does not notice a full disk"
[ -d $m ] || { echo "skip: $m is not beside the project"; exit $fails; }
got=$(timeout 20 sh -c "(yes hi | '$r' tokenize $m/tok512.model; echo \$? >&3) 3>&2 2>/dev/null | head -1" 2>&1 | tail -1)
[ "$got" = 74 ] || bad "tokenize into a closed pipe: exit '$got'"
ask() {
    printf '{"prompt":"Once upon a t","choices":%s}\n' "$1" | "$r" score $m/stories260K.gguf
}
alone=$(ask '[" dog"]' | sed 's/.*\[\(-[0-9.]*\)\],.*/\1/')
beside=$(ask '["ime"," dog",""]' | sed 's/.*\[[^,]*,\(-[0-9.]*\),.*/\1/')
[ -n "$alone" ] && [ "$alone" = "$beside" ] || bad "' dog' scores $alone alone and $beside beside 'ime'"
printf '{"prompt":"Once upon a","choices":[" time"]}\n' | "$r" score $m/stories260K.gguf | grep -q '"logprobs":\[-0\.00' || bad "' time' does not follow 'Once upon a'"
printf '{"prompt":"","choices":["Once"]}\n' | "$r" score $m/stories260K.gguf | grep -q '"tokens":\[' || bad "an empty prompt"
printf '{"prompt":"%s","choices":["x"]}\n' "$(printf 'abc %.0s' $(seq 200))" | "$r" score $m/stories260K.gguf >/dev/null 2>&1
[ $? = 65 ] || bad "a line beyond the context is bad data"
[ "$fails" = 0 ]
