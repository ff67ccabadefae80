#!/bin/sh
# Misuse: exit code 2, one line that says what is wrong, nothing on stdout. Help: exit code 0 on stdout.
r=$1
fails=0
misused() { # EXPECTED_TEXT ARGUMENTS...
    want=$1
    shift
    out=$("$r" "$@" 2>/tmp/recrank-cli-$$ </dev/null)
    rc=$?
    said=$(cat /tmp/recrank-cli-$$)
    rm -f /tmp/recrank-cli-$$
    case "$rc:$out:$said" in
    2::*"$want"*) ;;
    *)
        echo "usage: recrank $*: exit $rc, stdout '$out', stderr '$said'; expected 2 and '$want'" >&2
        fails=$((fails + 1))
        ;;
    esac
}
misused "did you mean 'evaluate'" evalute
misused "unknown command 'xyzzy'" xyzzy
misused "did you mean --tokens" logits m --token 1 -o f
misused "unknown option -z" inspect m -z
misused "--tokens and --output are needed" logits m
misused "expected ids like" logits m --tokens 1,,2 -o f
misused "expected ids like" logits m --tokens 1,x -o f
misused "too few arguments" inspect
misused "unexpected argument 'b'" inspect a b
misused "expected a whole number" generate m -p x -n -5
misused "expected a whole number" generate m -p x -n 5x
misused "expected a number" generate m -p x --temperature nan
misused "has no effect" generate m -p x --temperature 0 --top-k 5
misused "is given twice" generate m -p x -p y
misused "takes no value" inspect m --json=yes
misused "needs a value" generate m -p
misused "expected all|none|pointwise" evaluate m --data d --task listwise2
misused "expected pop|mf|itemknn|ease|lightgcn" evaluate m --data d --backbone lightgnc
misused "--data is needed" evaluate m
misused "needs a MODEL" evaluate --data d
misused "--data needs one of --user" rank m --data d
misused "--data and --user are needed" rank m --user 3
misused "has no effect without --data" rank m -k 5
misused "expected I/N" rank m --shard 3/2
misused "exclude each other" evaluate m --data d --backbone mf --candidates f
misused "has no effect without --candidates" evaluate m --data d --hint-scores
misused "--ablate has no effect with --task none" evaluate --data d --task none --ablate
misused "--fit-weights needs --task all" evaluate m --data d --task pairwise --fit-weights
misused "knows no likelihood" evaluate m --data d --protocol official --task likelihood
misused "all would be the same" evaluate m --data d --no-shift --lists 2
misused "decides" evaluate m --data d --protocol official --history-order shuffled
misused "unknown backbone" fit mff --data d -o f
misused "--lambda has no effect on mf" fit mf --data d -o f --lambda 3
misused "one of --output and --ratio" fit mf --data d
misused "like 8:1:1" fit mf --data d --ratio 8:1
misused "--data is needed" data
misused "MIN:MAX:STEP" data --data d --scale 5
misused "expected user=NAME" data --data d --columns who=x
misused "--strict and --lenient" data --data d --strict --lenient
misused "--data and --output are needed" instruct --data d
misused "mf and lightgcn have user embeddings" instruct --data d -o o --embeddings ease
misused "--clusters has no effect" instruct --data d -o o --no-clustering --clusters 3
misused "are needed" prompt m --data d
misused "output is needed" convert m
misused "adapter is needed" merge m -o x
misused "type is needed" quantize m -o x
misused "expected one of f32|f16|bf16|q8_0|q6_k" quantize m --type q2_k -o x
misused "rank and evaluate take it" candidates --data :demo --backbone likelihood
misused "expected c, avx2, avxvnni, avx512, avx512vnni or amx" inspect m --cpu sse
misused "--chat is 'x'; expected auto|llama2|llama3|chatml|zephyr" generate m -p x --chat=x
misused "unexpected argument 'zephyr'" generate m -p x --chat zephyr
misused "--chat has no effect on what is asked" rank m --data d --user 3 --task likelihood --chat
misused "--chat has no effect with --task none" evaluate --data d --task none --chat
for c in rank evaluate data split fit candidates prompt instruct audit inspect tokenize logits generate score vocab pretrain tune learn demo bench convert merge quantize perplexity compare; do
    "$r" $c --help >/dev/null 2>&1 || { echo "usage: $c --help fails" >&2; fails=$((fails + 1)); }
    "$r" $c --help | grep -q "usage: recrank $c" || { echo "usage: $c --help says nothing" >&2; fails=$((fails + 1)); }
done
"$r" --version | grep -q '^recrank [0-9]' || { echo "usage: --version" >&2; fails=$((fails + 1)); }
"$r" --help >/dev/null || fails=$((fails + 1))
"$r" --help >/dev/full 2>/dev/null
[ $? = 74 ] || { echo "usage: a full disk behind stdout is not noticed" >&2; fails=$((fails + 1)); }
[ "$fails" = 0 ]
