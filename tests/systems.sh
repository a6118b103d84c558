#!/bin/bash
# The laptop half on systems that this machine is not: type-checked for Windows and macOS, and its
# unit tests run for Windows, under wine. Of the installed toolchain nothing is changed,
# but that rustup may add its component rust-src.
#
#   tests/systems.sh check TARGET...    such as x86_64-pc-windows-msvc
#   tests/systems.sh wine
#
# Rust's library is built from its source, by `-Zbuild-std`, since a toolchain brings it for its own
# system alone; checking needs no linker. The source is the toolchain's own where it has it (rustup:
# `rustup component add rust-src`), else Debian's package of the very same version, unpacked below
# target/systems. Where neither can be had it says so, and counts as skipped.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$tests")
# shellcheck source=../examples/lib/host.sh
. "$project/examples/lib/host.sh"
cd "$project"

GNU=x86_64-pc-windows-gnu
# Debian's suites that may have a Rust of today.
SUITES=(trixie-backports sid)

export CARGO_TARGET_DIR=$project/target/systems
# Nobody steps through what is made here, and it is small so.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false
mkdir -p "$CARGO_TARGET_DIR"
# What an unfinished run has left is made anew, so that all of this may be called at any time.
work=$(cd "$CARGO_TARGET_DIR" && pwd)/toolchain
mkdir -p "$work"

skip() {
    say "skipped: $*"
    echo "test result: ok. 0 passed; 0 failed; 1 ignored; $*"
    exit 0
}

# version_of_rust: such as 1.95.0.
version_of_rust() { rustc --version | cut -d ' ' -f 2 | cut -d - -f 1; }

# apt of our own: lists, state and cache below $work, with Debian's later suites from the mirrors that
# this machine's own apt names.
configure_apt() {
    local apt=$work/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    local mirror suite
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -nE 's,^(URIs: *|deb (\[[^]]*\] )?)(https?://[^ ]*/debian)/?( .*)?$,\3,p' | head -n 1)
    [[ -n $mirror && -e $keyring ]] || return
    for suite in "${SUITES[@]}"; do
        echo "deb [signed-by=$keyring] $mirror $suite main"
    done >"$apt/sources.list"
    cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Get::AllowUnauthenticated "false";
END
    # What fetches is a user of its own, who may not enter a home.
    ((EUID != 0)) || echo 'APT::Sandbox::User "root";' >>"$apt/apt.conf"
    APT_CONFIG=$apt/apt.conf apt-get -q -o Acquire::Retries=3 update
}

# fetch_source VERSION: Debian's rust-src of that version, unpacked into $work/VERSION.
fetch_source() {
    local want=$1 found at=$work/apt/deb
    configure_apt || return
    found=$(APT_CONFIG=$work/apt/apt.conf apt-cache madison rust-src |
        awk -F '|' '{ gsub(/ /, "", $2); print $2 }' |
        awk -v want="$want" 'index($0, want "+") == 1 || index($0, want "-") == 1' | head -n 1)
    [[ -n $found ]] || {
        echo "Debian's ${SUITES[*]} have no rust-src $want"
        return 1
    }
    rm -rf "$at" "$work/new"
    mkdir -p "$at"
    (cd "$at" && APT_CONFIG=$work/apt/apt.conf apt-get -q download "rust-src=$found") || return
    dpkg -x "$at"/rust-src_*.deb "$work/new" && rm -rf "$at" && mv "$work/new" "$work/$want"
}

# private_sysroot SYSROOT SOURCE: the toolchain's own, by links, with that source in it, and the two
# objects that every program of GNU's Windows is linked with, which `-Zbuild-std` does not make; and a
# rustc that uses it.
private_sysroot() {
    local from=$1 source=$2 to=$work/sysroot entry object
    rm -rf "$to"
    mkdir -p "$to/lib/rustlib/src/rust" "$to/lib/rustlib/$GNU/lib"
    for entry in "$from"/lib/*; do
        [[ ${entry##*/} == rustlib ]] || ln -s "$entry" "$to/lib/"
    done
    for entry in "$from"/lib/rustlib/*; do
        case ${entry##*/} in
            src | "$GNU") ;;
            *) ln -s "$entry" "$to/lib/rustlib/" ;;
        esac
    done
    ln -s "$source" "$to/lib/rustlib/src/rust/library"
    for object in rsbegin rsend; do
        "$from/bin/rustc" --target "$GNU" --crate-type lib --emit obj \
            -o "$to/lib/rustlib/$GNU/lib/$object.o" "$source/rtstartup/$object.rs" || return
    done
    cat >"$work/rustc" <<END
#!/bin/sh
exec "$from/bin/rustc" --sysroot "$to" "\$@"
END
    chmod +x "$work/rustc"
}

# need_source: makes `-Zbuild-std` work, or skips.
need_source() {
    local sysroot version library log=$work/log
    sysroot=$(rustc --print sysroot)
    version=$(version_of_rust)
    library=$sysroot/lib/rustlib/src/rust/library
    if [[ ! -e $library/Cargo.lock ]] && have_command rustup; then
        rustup component add rust-src >"$log" 2>&1 || true
    fi
    if [[ ! -e $library/Cargo.lock ]]; then
        [[ -d $work/$version ]] || fetch_source "$version" >>"$log" 2>&1 || {
            tail -n 20 "$log" >&2
            skip "no source of Rust's library for rustc $version"
        }
        library=$(find "$work/$version" -path '*/library/Cargo.lock' -printf '%h\n' | head -n 1)
        [[ -n $library ]] || die "rust-src $version has no library/Cargo.lock"
    fi
    export RUSTC_BOOTSTRAP=1
    step "a sysroot of our own" private_sysroot "$sysroot" "$library"
    export RUSTC=$work/rustc
}

# check TARGET...: library and program, of all of them at once; a warning is an error.
check() {
    need_source
    local target targets=()
    for target; do targets+=(--target "$target"); done
    RUSTFLAGS="-D warnings" cargo check -Zbuild-std --locked --quiet --lib --bins "${targets[@]}" || {
        echo "test result: FAILED. 0 passed; 1 failed; 0 ignored; the crate for $*"
        return 1
    }
    for target; do
        echo "test result: ok. 1 passed; 0 failed; 0 ignored; the crate type-checks for $target"
    done
}

# random_library FOLDER: Rust's library has its random numbers of bcryptprimitives.dll, which Wine has
# since version 10 only. It is looked for beside a program: in FOLDER, and FOLDER/deps for the tests.
random_library() {
    [[ -z $(find /usr/lib /opt -name bcryptprimitives.dll -path '*wine*' -print -quit 2>/dev/null) ]] ||
        return 0
    mkdir -p "$1/deps"
    cat >"$work/random.c" <<'END'
#include <windows.h>
#include <ntsecapi.h>
BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) { return RtlGenRandom(data, (ULONG)length); }
END
    x86_64-w64-mingw32-gcc -shared -O1 -o "$1/bcryptprimitives.dll" "$work/random.c" -ladvapi32 &&
        cp "$1/bcryptprimitives.dll" "$1/deps/"
}

# In a prefix of its own, whose server ends with the tests.
begin_wine() {
    export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" WINEARCH=win64
    trap end_wine EXIT
    timeout 120 "$(program_of wine64 wine)" cmd /c exit
}

# program_of NAME...: the first of them, on PATH or where Debian puts it.
program_of() {
    { PATH=$PATH:/usr/lib/wine type -P "$@" || true; } | head -n 1
}

end_wine() {
    local rc=$?
    "$(program_of wineserver64 wineserver)" -k || true
    exit "$rc"
}

# The library's own tests, but for those of what a Windows laptop does not have, and the program.
wine() {
    need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
    [[ -n $(program_of wine64 wine) ]] || step "install wine64" apt_install wine64
    need_source
    step "a library of random numbers" random_library "$CARGO_TARGET_DIR/$GNU/debug"
    step "wine" begin_wine
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
    CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$(program_of wine64 wine)
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER
    local tests=(cargo test -Zbuild-std --locked --no-fail-fast --lib --test portable --target "$GNU")
    "${tests[@]}" --no-run
    # A program that hangs there is no reason to wait for the night. What moves two megabytes by the
    # byte is the same everywhere, and takes minutes with a library that was built unoptimized.
    timeout 600 "${tests[@]}" -- --skip given_up_while_the_pipe_is_full
}

case ${1:-}:$# in
    check:1) die "check TARGET...: for which?" ;;
    check:*) check "${@:2}" ;;
    wine:1) wine ;;
    *)
        sed -n '2,/^set/p' "$0" | sed '$d' >&2
        exit 2
        ;;
esac
