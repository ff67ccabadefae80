#!/bin/sh
# The installed header alone: README's example compiles against it as C and, where there is a C++ compiler, as C++, and both call the
# same C names.
r=$1
build=$(dirname "$r")
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
make -s BUILD="$build" "$build/recrank.h" >/dev/null || exit 1
cp "$build/recrank.h" "$d/recrank.h"
awk '/^    #include <stdio.h>/ { on = 1 } /^Build it with/ { on = 0 } on { sub(/^    /, ""); print }' README.md >"$d/example.c"
[ -s "$d/example.c" ] || { echo "header: README has no example" >&2; exit 1; }
cc -std=c11 -Wall -Wextra -Werror -I"$d" -c -o "$d/c.o" "$d/example.c" || { echo "header: not C" >&2; exit 1; }
if command -v c++ >/dev/null 2>&1; then
    c++ -x c++ -Wall -Werror -I"$d" -c -o "$d/cpp.o" "$d/example.c" || { echo "header: not C++" >&2; exit 1; }
    nm -u "$d/c.o" | grep rr_ | sort >"$d/c"
    nm -u "$d/cpp.o" | grep rr_ | sort >"$d/cpp"
    cmp -s "$d/c" "$d/cpp" || { echo "header: C++ calls other names: $(cat "$d/cpp")" >&2; exit 1; }
fi
