#!/bin/sh
# Installs into a temporary folder and builds consumers against that, and one with the source as a Meson subproject.
# usage: run.sh SOURCE BUILD CC [CXX]
set -eu
source=$1 build=$2 cc=$3 cxx=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

meson install -C "$build" --no-rebuild --quiet --destdir "$work/stage" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
pc=$(find "$work/stage" -name mmcl.pc)
lib=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR="$work/stage"

for header in "$source"/include/mmcl/*.h; do
    cmp "$header" "$(find "$work/stage" -path "*include/mmcl/$(basename "$header")")"
done
soversion=$(sed -n 's/^#define MMCL_ABI_VERSION //p' "$source/include/mmcl/version.h")
readelf -d "$lib/libmmcl.so" | grep -q "soname: \[libmmcl.so.$soversion\]" || { echo "wrong soname"; exit 1; }

# consume NAME COMPILER LIBRARIES FLAGS...: the program lies outside the tree and knows pkg-config alone.
consume() {
    name=$1 compiler=$2 libraries=$3
    shift 3
    # shellcheck disable=SC2046,SC2086
    $compiler "$@" $(pkg-config --cflags mmcl) "$source/tests/install/consumer.c" -x none $libraries -o "$work/$name"
    LD_LIBRARY_PATH="$lib" "$work/$name" || { echo "the consumer '$name' failed"; exit 1; }
}
shared=$(pkg-config --libs mmcl)
static=$(pkg-config --static --libs mmcl | sed 's/-lmmcl/-l:libmmcl.a/')
consume shared "$cc" "$shared" -std=c99 -pedantic-errors -Wall -Wextra -Werror
readelf -d "$work/shared" | grep -q 'NEEDED.*libmmcl' || { echo "the shared consumer does not need libmmcl"; exit 1; }
consume static "$cc" "$static" -std=c99
readelf -d "$work/static" | grep 'NEEDED.*libmmcl' && { echo "the static consumer needs libmmcl.so"; exit 1; }
[ -z "$cxx" ] || consume cpp "$cxx" "$shared" -x c++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror

mkdir -p "$work/host/subprojects"
ln -s "$source" "$work/host/subprojects/mmcl"
cp "$source/tests/install/consumer.c" "$work/host"
cat >"$work/host/meson.build" <<'END'
project('host', 'c')
mmcl = dependency('mmcl', fallback: 'mmcl', default_options: ['tests=false', 'examples=false'])
test('consumer', executable('consumer', 'consumer.c', dependencies: mmcl))
END
unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
{ meson setup "$work/host/build" "$work/host" --force-fallback-for=mmcl && meson test -C "$work/host/build"; } \
    >"$work/log" 2>&1 || { cat "$work/log"; echo "the subproject failed"; exit 1; }
