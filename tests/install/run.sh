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
private=$(sed -n 's/^Requires.private: *//p' "$pc" | tr -d ,)
# shellcheck disable=SC2086
archive="$(pkg-config --libs mmcl | sed 's/-lmmcl/-l:libmmcl.a/') $(PKG_CONFIG_SYSROOT_DIR='' pkg-config --libs $private) -lm -pthread"
consume shared "$cc" "$shared" -std=c99 -pedantic-errors -Wall -Wextra -Werror
readelf -d "$work/shared" | grep -q 'NEEDED.*libmmcl' || { echo "the shared consumer does not need libmmcl"; exit 1; }
consume archive "$cc" "$archive" -std=c99
readelf -d "$work/archive" | grep 'NEEDED.*libmmcl' && { echo "the consumer of the archive needs libmmcl.so"; exit 1; }
# All static: OpenBLAS then wants libgfortran.a, which comes with a Fortran compiler, and that wants libquadmath.a.
case $("$cc" -print-file-name=libgfortran.a) in
    /*) consume static "$cc" "$(pkg-config --static --libs mmcl) -static -lquadmath" -std=c99
        readelf -d "$work/static" | grep NEEDED && { echo "the static consumer needs shared libraries"; exit 1; } ;;
esac
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
