#!/bin/sh
# Replays every target's seeds. usage: replay.sh FOLDER_OF_TARGETS
set -eu
here=$(dirname "$0")
for target in "$here"/*_fuzz.c; do
    name=$(basename "$target" .c)
    "$1/$name" "$here/seeds/${name%_fuzz}"/*
done
