#!/bin/sh
# Tokenizing beside Google's sentencepiece (Debian's libsentencepiece-dev): the same text with the same vocabulary, as lines and
# as documents of 64 KiB; the ids must be the same. The text is what the machine has of Debian's documentation, in the order of the
# names, until it is long enough; TEXT names another. Rounds are interleaved; prints medians.
#
# usage: [TEXT=FILE] [MIB=20] [ROUNDS=7] sh bench/encode.sh TOKENIZER.MODEL [DIR]
set -eu
model=$1 dir=${2:-build/encode} rounds=${ROUNDS:-7} bytes=$((${MIB:-20} * 1048576))
mkdir -p "$dir"
make -j2 --no-print-directory build/librecrank.a >/dev/null
${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L -I. -O3 -o "$dir/recrank" bench/encode.c build/librecrank.a -lm -lpthread
${CXX:-c++} -std=c++17 -I. -O3 -o "$dir/sentencepiece" bench/encode_sentencepiece.cc -lsentencepiece

text=${TEXT:-$dir/text}
if [ -z "${TEXT:-}" ]; then
    # Each file once, for a text that repeats itself would be too easy; if that is not enough, the whole again.
    find /usr/share/doc /usr/share/perl /usr/share/common-licenses /usr/include -type f 2>/dev/null | LC_ALL=C sort | while IFS= read -r file; do
        case $file in *.gz) zcat "$file" ;; *) grep -I . "$file" || true ;; esac
    done 2>/dev/null | head -c "$bytes" >"$text" || true
    while [ "$(wc -c <"$text")" -lt "$bytes" ]; do
        cp "$text" "$text.once"
        cat "$text.once" >>"$text"
    done
    head -c "$bytes" "$text" >"$text.once" && mv "$text.once" "$text"
fi

for kind in documents lines; do
    for who in recrank sentencepiece; do
        "$dir/$who" "$model" "$text" $kind "$dir/$who.ids" >/dev/null
        : >"$dir/$who.$kind"
    done
    cmp "$dir/recrank.ids" "$dir/sentencepiece.ids"
    rm -f "$dir/recrank.ids" "$dir/sentencepiece.ids"
    i=0
    while [ $i -lt "$rounds" ]; do
        for who in recrank sentencepiece; do
            "$dir/$who" "$model" "$text" $kind >>"$dir/$who.$kind"
        done
        i=$((i + 1))
    done
    for who in recrank sentencepiece; do
        sort -k2,2n "$dir/$who.$kind" | awk -v i=$(((rounds + 1) / 2)) 'NR == i { print $1, $2, $3 }'
    done | awk -v kind=$kind 'NR == 1 { r = $2; n = $1; k = $3 }
        END { printf "%-9s  %d bytes, %d tokens, ids identical: recrank %.2f MB/s, sentencepiece %.2f MB/s, %.2f times\n",
              kind, n, k, n / r / 1e6, n / $2 / 1e6, $2 / r }'
done
