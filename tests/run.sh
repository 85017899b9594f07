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

# Debian packages that are missing.
missing() {
    for pair in gcc:gcc g++:g++ meson:meson ninja:ninja-build pkg-config:pkg-config python3:python3; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    for pair in openblas:libopenblas-pthread-dev zlib:zlib1g-dev check:check; do
        pkg-config --exists "${pair%%:*}" 2>/dev/null || echo "${pair#*:}"
    done
    python3 -c 'import numpy' 2>/dev/null || /usr/bin/python3 -c 'import numpy' 2>/dev/null || echo python3-numpy
}

wanted=$(missing | tr '\n' ' ')
if [ -n "$wanted" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        give_up "missing: $wanted(Debian packages; as root with apt-get this script installs them)"
    fi
    # shellcheck disable=SC2086
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $wanted; } \
        >"$log" 2>&1 </dev/null || give_up "apt-get could not install: $wanted"
fi

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
