#!/bin/sh
# Makes sure that Criterion, the test framework, is there: installs Debian's package when it is missing and we may.
# usage: need_criterion.sh CC
set -u
have() {
    printf '#include <criterion/criterion.h>\n' | "$1" -E - >/dev/null 2>&1
}
have "$1" && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "make test: Criterion is missing; installing libcriterion-dev (apt-get)"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libcriterion-dev; } >/dev/null 2>&1
    have "$1" && exit 0
fi
cat >&2 <<'EOF'
make test: Criterion, the test framework, is missing. Install it and run make test again:
    sudo apt-get install libcriterion-dev
or run the same tests without it:
    make test MINI=1
EOF
exit 1
