# shellcheck shell=bash
# The set-up of rdma-vm, which sources this file: its say, die, not_set_up, program, its $kernel, $parts and lists of modules.
# Fetches the kernel that this host's own apt sources offer, takes out what guests need, and builds their initramfs.

# shellcheck disable=SC2154

need_host_programs() {
    local missing=()
    program apt-get >/dev/null || not_set_up "this is not Debian or Ubuntu: cannot fetch a kernel"
    program qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    program busybox >/dev/null || missing+=(busybox-static)
    program depmod >/dev/null || missing+=(kmod)
    program rdma >/dev/null || missing+=(iproute2)
    program xz >/dev/null || missing+=(xz-utils)
    program zstd >/dev/null || missing+=(zstd)
    [[ -e /etc/libibverbs.d/rxe.driver ]] || missing+=(ibverbs-providers)
    ((${#missing[@]} == 0)) || not_set_up "install these packages first: ${missing[*]}"
}

# The package that $1 depends on and whose name matches the expression $2.
depends() {
    apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *Depends: *\($2\)\$/\1/p"
}

# Downloads packages $2... and unpacks them into the folder $1.
fetch() {
    local to=$1 deb as=()
    shift
    ((EUID)) || as=(-o APT::Sandbox::User=root) # root's folder is not apt's own user's
    mkdir -p "$to/deb"
    (cd "$to/deb" && apt-get "${as[@]}" -qq download "$@") || not_set_up "apt-get could not download $*"
    for deb in "$to"/deb/*.deb; do
        dpkg-deb -x "$deb" "$to" || die "cannot unpack $deb"
    done
    rm -r "$to/deb"
}

# Takes the ELF kernel out of the compressed image $1 and writes it to $2: qemu can start that directly (PVH), which spares the guest
# the decompression. The offsets are those of the x86 boot protocol: setup_sects, payload_offset, payload_length.
extract_vmlinux() {
    local setup at size
    setup=$(od -An -tu1 -j $((0x1f1)) -N1 "$1")
    at=$(od -An -tu4 -j $((0x248)) -N4 "$1")
    size=$(od -An -tu4 -j $((0x24c)) -N4 "$1")
    at=$(((setup + 1) * 512 + at))
    # The last 4 bytes of the payload are its unpacked size.
    tail -c +$((at + 1)) "$1" | head -c $((size - 4)) >"$2.packed"
    case $(od -An -tx1 -N2 "$2.packed") in
    *'fd 37'*) xz -dc <"$2.packed" >"$2" ;;
    *'28 b5'*) zstd -qdc <"$2.packed" >"$2" ;;
    *'1f 8b'*) gzip -dc <"$2.packed" >"$2" ;;
    *) die "$1: unknown compression" ;;
    esac || die "$1: cannot unpack"
    rm "$2.packed"
}

# Copies the module file $1 into the folder $2, unpacked and without signature and debugging data: checking a signature costs the
# guest more than loading the module does.
copy_module() {
    local to=$2/${1##*/}
    to=${to%.xz}
    case $1 in
    *.xz) xz -dc "$1" >"$to" ;;
    *) cp "$1" "$to" ;;
    esac || die "cannot copy $1"
    if program objcopy >/dev/null; then objcopy --strip-debug "$to"; fi
}

# The kernel and its modules from the unpacked packages in $1/k into $1/new.
take_kernel() { # WORK RELEASE
    local file name
    mkdir -p "$1/new/modules"
    for file in "$1"/k/boot/vmlinuz-* "$1/k/lib/modules/$2/vmlinuz"; do
        [[ ! -e $file ]] || extract_vmlinux "$file" "$1/new/vmlinux"
    done
    echo "$2" >"$1/new/release"
    "$(program depmod)" -b "$1/k" "$2" 2>/dev/null
    for name in "${boot_modules[@]}" "${rdma_modules[@]}" rdma_rxe libcrc32c "${spare_modules[@]}"; do
        "$(program modprobe)" -d "$1/k" -S "$2" --show-depends "$name" 2>/dev/null
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >"$1/list"
    while read -r file; do copy_module "$file" "$1/new/modules"; done <"$1/list"
    [[ -e $1/new/vmlinux && -e $1/new/modules/rdma_rxe.ko ]] || not_set_up "the kernel $2 has no rdma_rxe"
}

setup() { # WITH_SIW: yes or no
    local image release packages
    need_host_programs
    mkdir -p "${kernel%/*}"
    work=$(mktemp -d "${kernel%/*}/setup.XXXXXX") || exit "$FAILED"
    trap 'rm -rf "$work"' EXIT

    image=$(depends linux-image-amd64 'linux-image-[0-9].*')
    [[ $image ]] || not_set_up "apt's sources offer no linux-image-amd64 (apt-get update?)"
    say "fetching $image"
    # Newer kernels come in several packages.
    mapfile -t packages < <(depends "$image" 'linux-\(base\|binary\|modules\)-[0-9].*')
    fetch "$work/k" "$image" "${packages[@]}"
    [[ -e $work/k/lib ]] || ln -s usr/lib "$work/k/lib"
    release=$(cd "$work/k/lib/modules" && echo *)
    take_kernel "$work" "$release"
    [[ $1 == no ]] || build_siw "$work" "$release"
    make_initramfs "$work/new"
    rm -rf "$kernel"
    mv "$work/new" "$kernel"
    say "ready: Linux $release in $kernel, $(du -sh "$kernel" | cut -f1)"
}

# Debian's kernels come without siw, so compile it from Debian's source package of the same version.
build_siw() { # WORK RELEASE
    local work=$1 release=$2 version source packages
    local headers=linux-headers-$release
    local tree=$work/h/usr/src/$headers
    version=${release%%-*} # 6.1.0-56-amd64, 6.12.95+deb12-amd64
    version=$(cut -d. -f1,2 <<<"${version%%+*}")
    source=linux-source-$version
    say "compiling siw from $source"
    mapfile -t packages < <(depends "$headers" 'linux-\(headers\|kbuild\)-[0-9].*')
    fetch "$work/h" "$headers" "${packages[@]}"
    fetch "$work/s" "$source"
    mkdir "$work/siw"
    tar -xJf "$work/s/usr/src/$source.tar.xz" -C "$work/siw" --strip-components=4 --wildcards '*/drivers/infiniband/sw/siw' ||
        die "no siw in $source"
    sed -i "s#/usr/src/#$work/h/usr/src/#" "$tree/Makefile" # where the headers expect to be installed
    if ! make -s -C "$tree" M="$work/siw/siw" CONFIG_RDMA_SIW=m CONFIG_DEBUG_INFO_BTF_MODULES= modules >"$work/siw.log" 2>&1; then
        tail -n 20 "$work/siw.log" >&2
        die "siw does not compile"
    fi
    copy_module "$work/siw/siw/siw.ko" "$work/new/modules"
}

# Builds the initramfs of the kernel in folder $1: busybox, the modules, and init.sh.
make_initramfs() {
    local release name root
    release=$(<"$1/release")
    root=$(mktemp -d "$1/initramfs.XXXXXX") || exit "$FAILED"
    mkdir -p "$root"/{bin,dev,host,proc,sys,tree} "$root/lib/modules/$release"
    cp "$(program busybox)" "$root/bin/busybox"
    cp "$1"/modules/*.ko "$root/lib/modules/$release/"
    "$(program depmod)" -b "$root" "$release" 2>/dev/null
    rm -f "$root/lib/modules/$release"/modules.*.bin
    cp "$parts/init.sh" "$root/init"
    chmod +x "$root/init"
    for name in sh chroot modprobe; do ln -s busybox "$root/bin/$name"; done
    (cd "$root" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) >"$root.cpio" || die "cannot write the initramfs"
    mv "$root.cpio" "$1/initramfs"
    rm -rf "$root"
}
