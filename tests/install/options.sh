#!/usr/bin/env bash
# options.sh SOURCE CC: what KOLO_VERBS and KOLO_CUDA do when the library is missing, when off, and with a wrong value.
set -euo pipefail
source=$1 cc=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

fail() {
    echo "options: $*" >&2
    exit 1
}

configure() { # NAME OPTIONS...: into a fresh folder, without tests and tools; what was said is in $place/NAME.log
    local name=$1
    shift
    cmake -S "$source" -B "$place/$name" -DCMAKE_C_COMPILER="$cc" -DKOLO_TESTS=OFF -DKOLO_TOOLS=OFF "$@" \
        >"$place/$name.log" 2>&1
}
refused() { # NAME TEXT OPTIONS...: configuring fails, and says TEXT
    local name=$1 text=$2
    shift 2
    ! configure "$name" "$@" || fail "$* was accepted"
    # CMake wraps its messages; what is looked for is one line again
    tr -s ' \n' ' ' <"$place/$name.log" | grep -qF -- "$text" || fail "$* does not say '$text': $(cat "$place/$name.log")"
    echo "ok: $name"
}

# A machine without the libraries: pkg-config and find_package see hwloc, and nothing else.
mkdir "$place/pc"
cat >"$place/pc/hwloc.pc" <<END
Name: hwloc
Description: hwloc
Version: $(pkg-config --modversion hwloc)
Libs: $(pkg-config --libs hwloc)
Cflags: $(pkg-config --cflags hwloc)
END
bare=(-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=TRUE)
export PKG_CONFIG_LIBDIR=$place/pc
refused verbs_on "install libibverbs-dev librdmacm-dev" "${bare[@]}" -DKOLO_VERBS=on
refused cuda_on "put nvcc on PATH" "${bare[@]}" -DKOLO_CUDA=on
configure auto "${bare[@]}" || fail "auto needs what is missing: $(cat "$place/auto.log")"
echo "ok: auto"
unset PKG_CONFIG_LIBDIR

configure off -DKOLO_VERBS=off -DKOLO_CUDA=off || fail "off fails: $(cat "$place/off.log")"
! grep -E '^(VERBS|CUDA)[A-Za-z_]*[:_]' "$place/off/CMakeCache.txt" || fail "off has looked"
echo "ok: off"
refused verbs_value "KOLO_VERBS=maybe is none of: auto, on, off" -DKOLO_VERBS=maybe
refused cuda_value "KOLO_CUDA=ON is none of: auto, on, off" -DKOLO_CUDA=ON
