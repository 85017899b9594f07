#!/bin/sh
# readme.sh README.md PROGRAM.c: the program in the README is the example, letter by letter.
set -eu
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
sed -n '/^```c$/,/^```$/p' "$1" | sed '1d;$d' >"$tmp"
cmp "$tmp" "$2"
