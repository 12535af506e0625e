#!/usr/bin/env bash
# install.sh BUILD CC CXX SANITIZERS: installs BUILD into a temporary prefix and uses it from outside the tree.
set -euo pipefail
build=$1 cc=$2 cxx=$3 sanitizers=$4
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
prefix=$place/prefix

fail() {
    echo "install: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$prefix" >"$place/install.log" || fail "cmake --install failed: $(cat "$place/install.log")"
libdir=$(dirname "$(find "$prefix" -name libkolo.a)")
for file in include/kolo/kolo.h "${libdir#"$prefix"/}"/{libkolo.so.0,libkolo.so,libkolo.a,pkgconfig/kolo.pc} bin/kolo; do
    [ -e "$prefix/$file" ] || fail "$file is not installed"
done
[ "$(find "$prefix/include" -type f | wc -l)" = 1 ] || fail "more than one header: $(find "$prefix/include" -type f)"

# Names: what both libraries show is what the header declares, no more and no less.
declared=$(grep -oE '\bkolo_[a-z0-9_]+\(' "$prefix/include/kolo/kolo.h" | tr -d '(' | sort -u)
shown() { nm "$@" | awk 'NF == 3 && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | grep -vE '^__(odr_asan|start_|stop_)' | sort -u; }
for library in "-D $libdir/libkolo.so" "-g $libdir/libkolo.a"; do
    # shellcheck disable=SC2086 # an option and a path
    difference=$(diff <(echo "$declared") <(shown --defined-only $library)) ||
        fail "$library: '<' is declared in kolo.h but not shown, '>' is shown but not declared:"$'\n'"$difference"
done
"$prefix/bin/kolo" --version | grep -qE '^kolo [0-9]' || fail "the installed kolo does not say its version"

# The shared library needs only what it uses, and finds it without a path of this machine.
if [ -z "$sanitizers" ]; then
    extra=$(readelf -d "$libdir/libkolo.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' |
        grep -vE '^(libc|libm|libhwloc|libibverbs|librdmacm|libpthread|ld-linux.*)\.so' || true)
    [ -z "$extra" ] || fail "libkolo.so needs more than it should: $extra"
fi
paths=$(readelf -d "$libdir/libkolo.so" "$prefix/bin/kolo" | grep -E 'RPATH|RUNPATH' || true)
[ -z "$paths" ] || fail "a path of the build is left in an installed file: $paths"

# One program, four ways by pkg-config and four by CMake. It must see the installed copy only, and no settings.
flags=(-Wall -Wextra -Wpedantic -Werror)
[ -z "$sanitizers" ] || flags+=("-fsanitize=$sanitizers")
run() {
    local said
    said=$(cd "$place" && env -i PATH="$PATH" LD_LIBRARY_PATH="$libdir" "$1" 2>&1) || fail "$2: the program failed: $said"
    [[ $said == *"a ring of one"* ]] || fail "$2: the program said: $said"
    echo "ok: $2"
}
cd "$place"
cp "$here/program/program.c" program.c
cp "$here/program/program.c" program.cpp
export PKG_CONFIG_PATH=$libdir/pkgconfig
read -ra cflags < <(pkg-config --cflags kolo)
read -ra shared < <(pkg-config --libs kolo)
read -ra static < <(pkg-config --static --libs kolo)
static=("${static[@]/#-lkolo/-l:libkolo.a}")
"$cc" -std=c99 "${flags[@]}" "${cflags[@]}" program.c -o c_shared "${shared[@]}"
"$cc" -std=c99 "${flags[@]}" "${cflags[@]}" program.c -o c_static "${static[@]}"
"$cxx" -std=c++11 "${flags[@]}" "${cflags[@]}" program.cpp -o cxx_shared "${shared[@]}"
"$cxx" -std=c++11 "${flags[@]}" "${cflags[@]}" program.cpp -o cxx_static "${static[@]}"
for way in c_shared c_static cxx_shared cxx_static; do
    run "./$way" "pkg-config $way"
done
readelf -d c_static | grep -q libkolo && fail "the static program needs libkolo.so"

cmake -S "$here/program" -B cmake -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_C_FLAGS="${sanitizers:+-fsanitize=$sanitizers}" -DCMAKE_CXX_FLAGS="${sanitizers:+-fsanitize=$sanitizers}" >cmake.log 2>&1 ||
    fail "find_package(kolo) failed: $(cat cmake.log)"
cmake --build cmake >>cmake.log 2>&1 || fail "a CMake project does not build: $(cat cmake.log)"
for way in c_kolo c_kolo_static cxx_kolo cxx_kolo_static; do
    run "./cmake/$way" "CMake $way"
done
