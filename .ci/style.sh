#!/bin/sh
# Rules of doc/conventions.md that a compiler does not check. Prints every offence; exit status 1 when there is any.
set -u
cd "$(dirname "$0")/.." || exit 1
found=$(mktemp)
trap 'rm -f "$found"' EXIT
failed=0

# judge RULE: what has gathered in $found breaks the rule
judge() {
    if [ -s "$found" ]; then
        echo "$1:"
        sed 's/^/    /' "$found"
        failed=1
    fi
    : >"$found"
}

# C files without comments and texts, as "file:line: code".
code() {
    for file in "$@"; do
        sed -e 's/"\([^"\\]\|\\.\)*"/""/g' -e 's|/\*.*\*/||' -e 's|//.*||' "$file" | awk -v f="$file" '
            /\/\*/ {inside = 1} !inside {print f ":" NR ": " $0} /\*\// {inside = 0}'
    done
}

sources=$(git ls-files -co --exclude-standard '*.c' '*.h' '*.cpp')
lib=$(git ls-files -co --exclude-standard 'lib/*.c' 'lib/*.h')
texts=$(git ls-files -co --exclude-standard '*.c' '*.h' '*.py' '*.sh' '*.md' '*.build' '.ci/run' '*.txt' '*.ini')

# shellcheck disable=SC2086
{
calls='malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|qsort|printf|fprintf|puts|fopen|exit|abort|getenv|setlocale|rand|srand'
code $lib | grep -v '^lib/core/alloc.c:' | grep -E "(^|[^[:alnum:]_.>])($calls) *\(" >"$found"
judge "heap, stdio, environment or exit in lib/ outside lib/core/alloc.c"

# The texts of status.c alone are for the library itself too.
code $lib | grep -vE '^lib/(api/|core/status\.c)' | grep -E '^[^:]*\.c:[0-9]*: [a-z][a-z0-9_ *]*[ *]mmcl_[a-z0-9]+_?[a-z0-9_]*\([^;]*$' |
    grep -vE ': (static |return)|mmcl__[a-z0-9_]*\(' >"$found"
judge "exported functions outside lib/api"

for file in $sources; do
    lines=$(wc -l <"$file")
    [ "$lines" -lt 800 ] || echo "$file: $lines lines"
done >"$found"
judge "files of 800 lines or more"

# A function begins with a { in column 0 and ends with a } there.
for file in $sources; do
    awk -v f="$file" '/^\{/ {start = NR} /^\}/ && start {if (NR - start > 101) print f ":" start ": " NR - start - 1 " lines"; start = 0}' "$file"
done >"$found"
judge "functions of more than 100 lines"

awk 'length($0) > 160 {print FILENAME ":" FNR ": " length($0) " columns"}' $sources >"$found"
judge "lines of more than 160 columns"

grep -nE '(^|[^[:alnum:]_])(TODO|FIXME|XXX|HACK)([^[:alnum:]_]|$)' $texts | grep -v '^\.ci/style\.sh:' >"$found"
judge "unfinished business"

grep -nE '/(work|home|root|Users)/[a-z]' $texts | grep -v '^\.ci/style\.sh:' >"$found"
judge "paths of somebody's machine"
}

# Each folder of lib/ includes from itself and from those above it in lib/meson.build alone.
folders=$(sed -n "s/^foreach folder : \[\(.*\)\]/\1/p" lib/meson.build | tr -d "',")
above=
for folder in $folders; do
    above="$above $folder"
    allowed=$(echo "$above" | sed 's/^ *//; s/ /|/g')
    grep -nE '#include "' "lib/$folder"/*.[ch] 2>/dev/null | grep -vE "#include \"(($allowed)/|[^/]*\")"
done >"$found"
judge "includes against the dependency order"

# Every exported function is documented with its thread class, by its own comment or by one that several share.
awk '/^\/\*/ {text = ""; inside = 1} inside {text = text $0} /\*\// {inside = 0}
     /^MMCL_API/ && text !~ /Thread class|Otherwise as mmcl_|Save and load, as mmcl_|The same/ {print FILENAME ":" FNR ": " $0}' \
    include/mmcl/*.h >"$found"
judge "exported functions without a thread class"

for page in doc/*.md; do
    name=$(basename "$page")
    [ "$name" = README.md ] || grep -qF "$name" README.md doc/README.md || echo "$page"
done >"$found"
judge "pages that neither README.md nor doc/README.md links"

# Relative links of the pages lead somewhere.
for page in README.md doc/*.md; do
    [ -e "$page" ] || continue
    grep -o '](\([^)#]*\)' "$page" | sed 's/^](//' | grep -v '^[a-z]*:' | while read -r target; do
        [ -z "$target" ] || [ -e "$(dirname "$page")/$target" ] || echo "$page: $target"
    done
done >"$found"
judge "links that lead nowhere"

# What the pages say about tests is found there.
# shellcheck disable=SC2016
grep -oE '`tests/[A-Za-z0-9_./-]*`' doc/*.md README.md 2>/dev/null | tr -d '`' | while IFS=: read -r page path; do
    [ -e "$path" ] || echo "$page: $path"
done >"$found"
judge "tests that the pages name and that are not there"

# A promise is "kept by: `test`, `test`" or a row of embedding.md: tests, targets and scripts of these names exist.
# shellcheck disable=SC2016
for page in doc/*.md; do
    { tr '\n' ' ' <"$page" | grep -oE 'kept by:[^)]*\)'; [ "$page" != doc/embedding.md ] || grep '^|' "$page" | sed 's/.*| \([^|]*\) |$/\1/'; } |
        grep -oE '`[A-Za-z0-9_.]+`' | tr -d '`' | sort -u | while read -r name; do
            grep -rqF --include='*.c' --include='*.sh' --include='meson.build' -- "$name" tests || [ -e ".ci/$name" ] ||
                { [ "${name#sweep_}" != "$name" ] && grep -qF "'${name#sweep_}'" tests/oom/meson.build; } || echo "$page: $name"
        done
done >"$found"
judge "promises kept by tests that are not there"

exit $failed
