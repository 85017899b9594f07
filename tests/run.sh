#!/bin/sh
# Builds the project and runs all of its tests. As root on Debian it installs what is missing first.
# Quiet when all is well; the last line is "N passed, N failed". BUILD names another build folder than build-test.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
build=${BUILD:-$root/build-test}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Prints the log and closes: nothing could be tested.
give_up() {
    cat "$log"
    echo "$1"
    echo "0 passed, 1 failed"
    exit 1
}

sh "$root/tests/packages.sh" tests >"$log" || give_up "packages are missing"
if [ ! -e "$build/build.ninja" ]; then
    meson setup "$build" "$root" >"$log" 2>&1 || give_up "meson setup failed"
fi
ninja -C "$build" >"$log" 2>&1 || give_up "the build failed"
meson test -C "$build" --no-rebuild --print-errorlogs >"$log" 2>&1
status=$?

count() {
    sed -n "s/^$1: *\([0-9]*\) *$/\1/p" "$log" | tail -1
}
passed=$(count Ok)
[ -n "$passed" ] || give_up "the tests did not run"
failed=$(($(count Fail) + $(count 'Unexpected Pass') + $(count Timeout)))
if [ "$status" != 0 ] || [ "$failed" != 0 ]; then
    cat "$log"
    [ "$failed" != 0 ] || failed=1
fi
skipped=$(sed -n 's/^ *[0-9]*\/[0-9]* *\(.*[^ ]\) *SKIP .*/\1/p' "$log" | tr '\n' ' ')
[ -z "$skipped" ] || echo "skipped: $skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
