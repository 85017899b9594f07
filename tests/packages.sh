#!/bin/sh
# Installs the Debian packages that are missing, as root: packages.sh build|tests|checks, each with all of the one before it.
# Says nothing when nothing is missing; names what is when it cannot be installed, with exit status 1.
set -u
# Prints the packages that are missing for $1.
missing() {
    for pair in gcc:gcc meson:meson ninja:ninja-build pkg-config:pkg-config python3:python3; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    pkg-config --exists openblas 2>/dev/null || echo libopenblas-pthread-dev
    pkg-config --exists zlib 2>/dev/null || echo zlib1g-dev
    [ "$1" != build ] || return
    command -v g++ >/dev/null || echo g++
    pkg-config --exists check 2>/dev/null || echo check
    python3 -c 'import numpy' 2>/dev/null || /usr/bin/python3 -c 'import numpy' 2>/dev/null || echo python3-numpy
    [ "$1" != tests ] || return
    for pair in clang:clang valgrind:valgrind abidiff:abigail-tools shellcheck:shellcheck; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
    [ -e /usr/lib/debug/.build-id ] || echo libc6-dbg # valgrind reads the symbols of ld.so
    # A program without shared libraries takes libgfortran.a, which OpenBLAS needs.
    case $(cc -print-file-name=libgfortran.a 2>/dev/null) in /*) ;; *) echo gfortran ;; esac
}

wanted=$(missing "${1:-build}" | tr '\n' ' ')
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: $wanted(packages of Debian; as root, with apt-get, this script installs them)"
    exit 1
fi
echo "installing: $wanted"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >"$log" 2>&1 </dev/null # a list that cannot be had may be of no matter: installing decides
# shellcheck disable=SC2086
if ! apt-get install -qq -y --no-install-recommends -o Acquire::Retries=3 $wanted >>"$log" 2>&1 </dev/null; then
    tail -20 "$log"
    echo "apt-get could not install: $wanted"
    exit 1
fi
