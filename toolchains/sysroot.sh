# The C library and the compiler of a static musl target. Sourced by build-deps for targets with a
# $target_debian; musl comes as Debian's package for the target's architecture, pinned in sysroot.lock.

# What every compilation for the target gets. A program is one static file at a fixed address.
# Unwind tables would be a tenth of it, and nobody unwinds: a bug ends in abort().
sysroot_flags() {
    printf '%s' "$target_cpu_flags -static -no-pie -fno-pie -fno-asynchronous-unwind-tables -fno-unwind-tables"
}

# sysroot_stamp: what a built library depends on besides its own recipe.
sysroot_stamp() {
    grep "^$target_debian " "$here/sysroot.lock" ||
        die "toolchains/sysroot.lock has no line for $target_debian (of targets/$target.sh)"
    sysroot_flags
    "$target_tools-gcc" --version | head -1
}

fetch_musl() { # fetch_musl FILE VERSION SHA256
    local suite found new=$cache/downloads/new
    if [ ! -f "$cache/downloads/$1" ]; then
        suite=$(sed -n 's/^suite //p' "$here/sysroot.lock")
        prepare_apt deb "$suite" "$target_debian"
        rm -rf "$new"
        mkdir -p "$new"
        if ! (cd "$new" && private_apt download "musl-dev=$2") > "$log_dir/fetch-musl.log" 2>&1; then
            (cd "$new" && private_apt download musl-dev) >> "$log_dir/fetch-musl.log" 2>&1 || true
            found=$(cd "$new" && ls | grep -m1 '^musl-dev_.*\.deb$' || true)
            if [ -n "$found" ]; then
                die "Debian $suite has $found now; toolchains/sysroot.lock pins $1." \
                    "To take the new one, write this line into sysroot.lock and run the tests:" \
                    "  $target_debian $(cut -d_ -f2 <<< "$found") $found $(sha256sum < "$new/$found" | cut -d' ' -f1)" \
                    "To stay, put $1 from another place into $cache/downloads; its sha256 is checked."
            fi
            tail -5 "$log_dir/fetch-musl.log" >&2
            die "cannot fetch musl-dev for $target_debian from Debian $suite (messages above)."
        fi
        check_sha256 "$new/$1" "$3" sysroot.lock
        mv "$new/$1" "$cache/downloads/$1"
    fi
    check_sha256 "$cache/downloads/$1" "$3" sysroot.lock
}

# The kernel's headers are the machine's: of its own, or of the cross compiler.
link_kernel_headers() { # link_kernel_headers INTO
    local tools=$target_tools
    if [ -d "/usr/$tools/include/asm" ]; then
        ln -s "/usr/$tools/include"/{linux,asm,asm-generic} "$1"
    elif [ -d "/usr/include/$tools/asm" ]; then
        ln -s "/usr/include/$tools/asm" /usr/include/{linux,asm-generic} "$1"
    else
        die "no kernel headers for $tools: run toolchains/install-packages cross"
    fi
}

# make_sysroot: sets $sysroot, and puts its bin/ with TARGET-musl-{cc,ar,...} into PATH. Tools go by
# bare names, so that no build writes the path of this machine into a library.
make_sysroot() {
    local arch version file sum part tool stamp
    stamp=$({ sysroot_stamp; cat "$here/sysroot.sh"; } | sha256sum | cut -c1-16)
    sysroot=$cache/sysroot/$target-$stamp
    PATH=$sysroot/bin:$PATH
    [ ! -d "$sysroot" ] || return 0
    read -r arch version file sum < <(grep "^$target_debian " "$here/sysroot.lock")
    fetch_musl "$file" "$version" "$sum"
    part=$sysroot.part
    rm -rf "$part"
    mkdir -p "$part/bin"
    dpkg-deb -x "$cache/downloads/$file" "$part"
    link_kernel_headers "$part/usr/include/$target_musl"
    sed -i "s#/usr/\(lib\|include\)/$target_musl#$sysroot&#g" "$part/usr/lib/$target_musl/musl-gcc.specs"
    for tool in ar ranlib nm; do
        ln -s "$(command -v "$target_tools-gcc-$tool")" "$part/bin/$target-musl-$tool"
    done
    for tool in strip objdump readelf; do
        ln -s "$(command -v "$target_tools-$tool")" "$part/bin/$target-musl-$tool"
    done
    printf '#!/bin/sh\nexec %s-gcc %s -ffile-prefix-map=%s/= -specs %s "$@"\n' "$target_tools" \
        "$(sysroot_flags)" "$cache" "$sysroot/usr/lib/$target_musl/musl-gcc.specs" \
        > "$part/bin/$target-musl-cc"
    chmod +x "$part/bin/$target-musl-cc"
    mv "$part" "$sysroot"
}

# link_tools DIR: the same under short names, for toolchains/cmake/musl.cmake.
link_tools() {
    local tool
    mkdir -p "$1"
    for tool in cc ar ranlib nm strip objdump readelf; do
        ln -s "$sysroot/bin/$target-musl-$tool" "$1/$tool"
    done
}
