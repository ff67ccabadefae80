#!/bin/sh
# The house has floors: a folder includes only from its own and those below. Library code does not print, exit or read the
# environment. Prints every offender and fails if there is one.
set -u
bad=0
check() { # FOLDER FORBIDDEN_FOLDERS
    if grep -rnE "#include \"($2)/" "$1" --include='*.[ch]'; then
        echo "floors: $1/ includes from a higher floor" >&2
        bad=1
    fi
}
check engine 'tokenizer|weights|rec|tools'
check engine/base 'engine/kernel/kernel|engine/(engine|model|session)'
check tokenizer 'weights|rec|tools'
check weights 'rec|tools'
check rec 'tools'
if grep -rnwE '(exit|abort|printf|puts|putchar|getenv|setlocale|rand|system) *\(' engine tokenizer weights rec --include='*.c' |
    grep -vE ':[0-9]+: *(/\*|\*)'; then
    echo "floors: library code prints, exits or reads the environment" >&2
    bad=1
fi
exit $bad
