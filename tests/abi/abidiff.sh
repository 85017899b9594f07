#!/bin/sh
# Compares the ABI of this tree with the stored dump of its soversion: additions pass, breaks fail.
#   abidiff.sh            compare; without a dump for this soversion it fails and tells how to store one
#   abidiff.sh --store    write the dump of this tree: part of a release (doc/release.md), and nothing else
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build-abi
soversion=$(sed -n 's/^#define MMCL_ABI_VERSION //p' "$root/include/mmcl/version.h")
stored=$root/tests/abi/mmcl-$soversion.abi
command -v abidw >/dev/null || { echo "needs abigail-tools"; exit 1; }

[ -e "$build/build.ninja" ] ||
    meson setup "$build" "$root" -Dbuildtype=debug -Dtests=false -Dexamples=false >/dev/null
ninja -C "$build" >/dev/null
# Types alone, private ones left out; no paths and no corpus name of this machine.
abidw --headers-dir "$root/include/mmcl" --drop-private-types --no-corpus-path --no-comp-dir-path --short-locs --no-show-locs \
    --type-id-style hash --out-file "$build/now.abi" "$build/lib/libmmcl.so"
if [ "${1:-}" = --store ]; then
    cp "$build/now.abi" "$stored"
    exit
fi
[ -e "$stored" ] || { echo "no dump for soversion $soversion: run tests/abi/abidiff.sh --store with the release"; exit 1; }
abidiff --no-added-syms --suppressions "$root/tests/abi/suppressions.ini" "$stored" "$build/now.abi"
