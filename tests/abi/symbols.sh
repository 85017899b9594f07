#!/bin/sh
# What the library exports and imports. usage: symbols.sh SHARED ARCHIVE SYMBOLS.LIST HEADER-FOLDER NDEBUG(0|1)
set -u
LC_ALL=C
export LC_ALL
shared=$1 archive=$2 list=$3 headers=$4 ndebug=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain() {
    echo "$1"
    cat "$work/found"
    failed=1
}

# The shared library exports what the list says, no more and no less.
nm -D --defined-only "$shared" | awk '{print $NF}' | sed 's/@.*//' | sort >"$work/exported"
diff "$list" "$work/exported" >"$work/found" || complain "exported symbols differ from $list (<: missing, >: not listed):"
grep mmcl__ "$work/exported" >"$work/found" && complain "internal names are exported:"

# The list is what the headers declare.
cat "$headers"/*.h | tr '\n' ' ' | grep -o 'MMCL_API [^;]*;' | sed 's/(.*//' | grep -o 'mmcl_[a-z0-9_]*$' | sort >"$work/declared"
diff "$list" "$work/declared" >"$work/found" || complain "the headers declare other functions than $list (<: not declared, >: not listed):"

# A host that links the archive must meet no name but ours.
nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^mmcl_/ {print $3}' >"$work/found"
[ -s "$work/found" ] && complain "global names outside mmcl_ in the archive:"

# What a library must not do to its host: end it, print, read its environment or locale, keep hidden state, take memory past
# the allocator (qsort and the stdio files allocate). "object import" lines that are allowed stand below.
forbidden='exit|_exit|_Exit|quick_exit|abort|raise|kill|signal|sigaction'
forbidden="$forbidden|printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|fputc|fwrite|perror|stdout|stderr|stdin|syslog"
forbidden="$forbidden|malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|strdup|strndup|asprintf|vasprintf"
forbidden="$forbidden|getline|open_memstream|fopen|fdopen|freopen|tmpfile|opendir|scandir|glob|qsort|qsort_r|bsearch_r"
forbidden="$forbidden|rand|srand|rand_r|random|srandom|drand48|time|clock|getenv|secure_getenv|setenv|putenv|setlocale|uselocale|localeconv"
forbidden="$forbidden|strtod|strtof|atof|atoi|atol|sscanf|fscanf|strtok|strerror|localtime|gmtime|ctime|system|popen|fork|vfork|dlopen"
[ "$ndebug" = 1 ] && forbidden="$forbidden|__assert_fail"
cat >"$work/allowed" <<'END'
core_alloc.c.o aligned_alloc
core_alloc.c.o free
END
nm -g --undefined-only "$archive" | sed 's/@.*//; s/__\(v*f*printf\)_chk/\1/; s/__isoc[0-9]*_//' |
    awk '/:$/ {sub(":$", ""); object = $1} $1 == "U" {print object, $2}' |
    grep -E " ($forbidden)\$" | grep -vxF -f "$work/allowed" >"$work/found"
[ -s "$work/found" ] && complain "imports that no object of the library may have:"
exit $failed
