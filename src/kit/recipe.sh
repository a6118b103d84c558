#!/bin/sh
# Builds the kit: a static OpenSSH server, busybox and rsync, as kit.tar.gz.
#
# Owns: where the sources come from, how they are compiled, what the archive
# holds and its manifest. Must not know: sessions, nodes, engines, or what the
# kit's sshd will be told to do.
#
#   recipe.sh OUTPUT_FOLDER        as root, in a throw-away Debian container
#
# Problem: no image can be trusted to have an sshd, a shell or even a libc.
# So everything is static, on musl, and compiled for one fixed place, /.qdebug.
# The sources are those of Debian trixie, checked by apt against Debian's
# archive keys; the mirror is the one which the container already uses.
# A mirror may lag behind its own index. Then the next older version that the
# same signed index names is taken, with a warning; the manifest tells which.
set -eu
LC_ALL=C
export LC_ALL
umask 022

SUITE=trixie
PREFIX=/.qdebug
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
BUILD=/build
APPLETS='[ ash awk base64 basename cat chmod clear cmp cp cut date dd df diff
dirname du echo egrep env expr false fgrep find flock free fuser getopt grep
groups gunzip gzip head hexdump hostname id install kill killall less ln ls
md5sum mkdir mkfifo mktemp more mount mv nc nohup nproc od patch pgrep pidof
pkill printenv printf ps pwd readlink realpath reset rm rmdir sed seq setsid sh
sha256sum sleep sort stat stty sync tail tar tee test time timeout top touch tr
true tty uname uniq unzip uptime vi watch wc wget which whoami xargs xz zcat'
PROGRAMS='sbin/sshd libexec/sshd-session libexec/sshd-auth bin/scp
bin/ssh-keygen bin/busybox bin/rsync'

started=$(date +%s)

say() {
    printf 'kit: %4ds  %s\n' "$(($(date +%s) - started))" "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

# step NAME FUNCTION [ARGUMENT...]: runs it with a log of its own. It runs in
# the background and is waited for, because `set -e` is off inside `f || g`.
step() {
    name=$1
    shift
    log=$BUILD/log/$name.log
    say "$name"
    (
        set -eu
        "$@"
    ) >"$log" 2>&1 </dev/null &
    wait $! || {
        tail -n 40 "$log" >&2
        # The container goes; its log stays beside what it was to make.
        cp "$log" "$OUT/$name.log" && log=$OUT/$name.log
        die "step $name failed; its log is $log"
    }
    say "$name done"
}

# The addresses of apt's own list, in either form.
mirrors() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -n -e 's/^deb \(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' \
            -e 's/^URIs: *\([^ ]*\).*/\1/p'
}

install_tools() {
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        debian-archive-keyring gcc libc6-dev make musl-tools linux-libc-dev \
        perl dpkg-dev xz-utils bzip2
}

# Lists, state and cache are our own, so that the container's apt never sees a
# foreign suite. The container's own suite stands second: the older sources.
configure_apt() {
    address=$(mirrors | grep -v security | head -n 1)
    # Where the container's apt names no mirror of the security updates, it is
    # looked for beside the other one.
    security=$(mirrors | grep security | head -n 1)
    security=${security:-${address%/debian*}/debian-security}
    [ -n "$address" ] || {
        echo "no mirror in /etc/apt"
        exit 1
    }
    own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    apt=$BUILD/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    for suite in "$SUITE" "$own"; do
        echo "deb-src [signed-by=$KEYRING] $address $suite main"
    done | uniq >"$apt/sources.list"
    cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Acquire::Retries "3";
END
    APT_CONFIG=$apt/apt.conf
    export APT_CONFIG
    # Between two point releases fixes are among the security updates alone.
    cp "$apt/sources.list" "$apt/without-security"
    for suite in "$SUITE" "$own"; do
        echo "deb-src [signed-by=$KEYRING] $security $suite-security main"
    done | uniq >>"$apt/sources.list"
    if ! apt-get -o APT::Update::Error-Mode=any update; then
        cp "$apt/without-security" "$apt/sources.list"
        echo "no security updates at $security; taking the release as it is" \
            >"$BUILD/version/security.warning"
        apt-get update
    fi
}

# fetch PACKAGE OLDEST [FOLDER]: unpacks the newest version there is, patches
# applied, as $BUILD/src/PACKAGE, and notes the version. A source that lacks
# FOLDER is passed over: Debian repacks some without the libraries they bundle.
fetch() {
    package=$1
    oldest=$2
    folder=${3:-.}
    APT_CONFIG=$BUILD/apt/apt.conf
    export APT_CONFIG
    mkdir -p "$BUILD/src/get-$package"
    cd "$BUILD/src/get-$package"
    versions=$(apt-cache showsrc --only-source "$package" |
        sed -n 's/^Version: //p' | sort -Vru)
    wanted=
    for version in $versions; do
        dpkg --compare-versions "$version" ge "$oldest" || continue
        wanted=${wanted:-$version}
        rm -rf ./*
        if apt-get source --only-source "$package=$version"; then
            mv ./*/ "../$package"
            [ -d "../$package/$folder" ] || {
                rm -rf "../$package"
                continue
            }
            echo "$version" >"$BUILD/version/$package"
            if [ "$version" != "$wanted" ]; then
                echo "$package $wanted is not on the mirror, or not complete; took $version" \
                    >"$BUILD/version/$package.warning"
            fi
            return 0
        fi
    done
    echo "no version of $package from $oldest on could be fetched"
    return 1
}

# A compiler for static, position independent programs. musl-gcc's own specs
# know no static-pie: they need the self-relocating start file and no loader.
# Of /usr/include only the kernel's folders are seen, nothing of glibc.
make_compiler() {
    specs=$(sed -n 's/.*-specs "\([^"]*\)".*/\1/p' "$(command -v musl-gcc)")
    sed -e 's/Scrt1\.o/rcrt1.o/g' \
        -e 's/-dynamic-linker [^ ]*/%{r:;:-static -pie --no-dynamic-linker -z text --gc-sections}/' \
        "$specs" >"$BUILD/specs"
    mkdir -p "$BUILD/kernel" "$BUILD/bin"
    for folder in linux asm-generic mtd; do
        ln -s "/usr/include/$folder" "$BUILD/kernel/$folder"
    done
    ln -s "/usr/include/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/asm" \
        "$BUILD/kernel/asm"
    cat >"$BUILD/bin/cc-kit" <<END
#!/bin/sh
exec gcc -fPIE -fno-plt -ffunction-sections -fdata-sections \\
    -ffile-prefix-map=$BUILD=. "\$@" \\
    -idirafter $BUILD/kernel -specs $BUILD/specs
END
    chmod 755 "$BUILD/bin/cc-kit"
}

build_openssl() {
    cd "$BUILD/src/openssl"
    # openssldir is in the kit, so that no openssl.cnf of an image is read.
    # Protocols and ciphers which OpenSSH does not speak are left out: libcrypto
    # is in four programs of the kit.
    CC=$CC ./Configure linux-x86_64 --prefix=$PREFIX --openssldir=$PREFIX/ssl \
        no-shared no-async no-dso no-engine no-module no-apps no-tests no-docs \
        no-quic no-dtls no-cmp no-cms no-ts no-ct no-srp no-gost \
        no-legacy no-camellia no-aria no-sm2 no-sm3 no-sm4 no-seed no-idea \
        no-bf no-cast no-rc2 no-whirlpool no-ml-dsa no-slh-dsa
    make -j"$JOBS" build_generated
    make -j"$JOBS" libcrypto.a
}

build_openssh() {
    cd "$BUILD/src/openssh"
    # Debian's patches touch configure.ac for features that are off here; the
    # configure of the release serves, and must not look out of date.
    touch configure config.h.in
    ./configure CC="$CC" CFLAGS='-O2 -pipe' LDFLAGS=-static \
        --with-ssl-dir="$BUILD/src/openssl" \
        --prefix=$PREFIX --sysconfdir=$PREFIX-session \
        --sbindir=$PREFIX/sbin --libexecdir=$PREFIX/libexec \
        --with-privsep-path=$PREFIX/empty --with-pid-dir=/tmp \
        --with-default-path=/usr/local/bin:/usr/bin:/bin:$PREFIX/bin \
        --with-superuser-path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PREFIX/bin \
        --with-xauth=/usr/bin/xauth --with-sandbox=seccomp_filter \
        --without-zlib --without-pam --without-selinux --without-kerberos5 \
        --without-pie --disable-security-key --disable-pkcs11 \
        --disable-lastlog --disable-utmp --disable-utmpx \
        --disable-wtmp --disable-wtmpx
    make -j"$JOBS" sshd sshd-session sshd-auth scp ssh-keygen
    mkdir -p "$STAGE/sbin" "$STAGE/libexec" "$STAGE/bin"
    cp sshd "$STAGE/sbin/"
    cp sshd-session sshd-auth "$STAGE/libexec/"
    cp scp ssh-keygen "$STAGE/bin/"
}

# set_option NAME y|n: in busybox's .config.
set_option() {
    sed -i -e "/^CONFIG_$1=/d" -e "/^# CONFIG_$1 is not set/d" .config
    if [ "$2" = y ]; then
        echo "CONFIG_$1=y" >>.config
    else
        echo "# CONFIG_$1 is not set" >>.config
    fi
}

build_busybox() {
    cd "$BUILD/src/busybox"
    make defconfig HOSTCC=gcc
    set_option STATIC y
    set_option PIE n
    # Nothing in it shall ever run with more rights than its caller.
    for option in FEATURE_SUID FEATURE_SUID_CONFIG SU LOGIN SULOGIN PASSWD \
        FEATURE_SH_STANDALONE FEATURE_PREFER_APPLETS; do
        set_option "$option" n
    done
    yes '' | make oldconfig HOSTCC=gcc
    make -j"$JOBS" HOSTCC=gcc CC="$CC" busybox
    mkdir -p "$STAGE/bin"
    cp busybox "$STAGE/bin/busybox"
    for applet in $APPLETS; do
        ./busybox --list | grep -Fqx -e "$applet" || {
            echo "busybox has no applet $applet"
            exit 1
        }
        ln -s busybox "$STAGE/bin/$applet"
    done
}

build_rsync() {
    cd "$BUILD/src/rsync"
    # Patched after they were made, but in nothing that is compiled here.
    touch configure.sh config.h.in
    ./configure CC="$CC" CFLAGS='-O2 -pipe' LDFLAGS=-static --prefix=$PREFIX \
        --disable-openssl --disable-xxhash --disable-zstd --disable-lz4 \
        --disable-iconv --disable-iconv-open --disable-acl-support \
        --disable-xattr-support --disable-md2man --disable-locale \
        --with-included-popt --with-included-zlib
    make -j"$JOBS" rsync
    mkdir -p "$STAGE/bin"
    cp rsync "$STAGE/bin/rsync"
}

# check_static FILE: neither a loader nor a library is asked for.
check_static() {
    readelf -lW "$1" >"$BUILD/elf"
    readelf -dW "$1" >>"$BUILD/elf"
    if grep -Eq 'INTERP|\(NEEDED\)' "$BUILD/elf"; then
        echo "$1 is not static"
        exit 1
    fi
}

# Each program is run once, where it will be: sshd knows its helpers by path.
check() {
    for file in $PROGRAMS; do
        strip "$STAGE/$file"
        chmod 755 "$STAGE/$file"
        check_static "$STAGE/$file"
    done
    ln -s "$STAGE" $PREFIX
    grep -q '^sshd:' /etc/passwd ||
        echo 'sshd:x:399:65534::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
    mkdir -p "$BUILD/check" "$STAGE/empty"
    cd "$BUILD/check"
    $PREFIX/sbin/sshd -V
    $PREFIX/bin/ssh-keygen -q -t ed25519 -N '' -f host_key
    printf 'HostKey %s/host_key\nPerSourcePenalties no\nSubsystem sftp internal-sftp\n' \
        "$PWD" >sshd_config
    $PREFIX/sbin/sshd -t -f "$PWD/sshd_config"
    sleep 2 | $PREFIX/sbin/sshd -i -f "$PWD/sshd_config" >banner || true
    grep -a '^SSH-2.0-OpenSSH_' banner
    $PREFIX/bin/busybox sh -c true
    $PREFIX/bin/tar --help
    $PREFIX/bin/rsync --version
    $PREFIX/bin/rsync -a sshd_config copied/
    cmp sshd_config copied/sshd_config
    # scp has no --version; asked for nothing it prints its usage and says 1.
    $PREFIX/bin/scp 2>&1 | grep '^usage: scp'
    rm $PREFIX
    rmdir "$STAGE/empty"
}

manifest() {
    printf '{\n  "format": 1,\n  "arch": "x86_64",\n  "recipe": "%s",\n' "$RECIPE"
    printf '  "versions": {'
    comma=
    for package in openssh openssl busybox rsync; do
        printf '%s\n    "%s": "%s"' "$comma" "$package" "$(cat "$BUILD/version/$package")"
        comma=,
    done
    printf '\n  },\n  "files": {'
    comma=
    for file in $PROGRAMS; do
        sum=$(sha256sum "$STAGE/$file")
        printf '%s\n    "%s": "%s"' "$comma" "$file" "${sum%% *}"
        comma=,
    done
    printf '\n  }\n}\n'
}

# The same programs always give the same bytes; the archive appears whole.
pack() {
    manifest >"$STAGE/manifest.json"
    cd "$STAGE"
    LC_ALL=C find . -mindepth 1 -printf '%P\n' | sort >"$BUILD/names"
    tar --create --no-recursion --files-from="$BUILD/names" --format=ustar \
        --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
        --mode=go-w,a+rX --file="$BUILD/kit.tar"
    gzip -9 -n <"$BUILD/kit.tar" >"$OUT/.kit.tar.gz.new"
    mv "$OUT/.kit.tar.gz.new" "$OUT/kit.tar.gz"
}

[ $# -eq 1 ] || die "usage: recipe.sh OUTPUT_FOLDER"
[ -d "$1" ] || die "$1 is not a folder"
[ "$(id -u)" -eq 0 ] || die "must run as root, in a throw-away container"
[ "$(uname -m)" = x86_64 ] || die "this recipe is for x86_64, not $(uname -m)"
for path in $PREFIX $BUILD; do
    [ ! -e "$path" ] || die "$path is there already"
done
OUT=$(cd "$1" && pwd)
RECIPE=$(sha256sum "$0")
RECIPE=${RECIPE%% *}
STAGE=$BUILD/stage
CC=$BUILD/bin/cc-kit
JOBS=$(nproc)
SOURCE_DATE_EPOCH=0
export SOURCE_DATE_EPOCH
mkdir -p "$BUILD/log" "$BUILD/src" "$BUILD/version" "$STAGE"

step tools install_tools
step compiler make_compiler
step lists configure_apt
step fetch-openssl fetch openssl 3.5
step fetch-openssh fetch openssh 1:10.0
step fetch-busybox fetch busybox 1:1.36
step fetch-rsync fetch rsync 3.2.7 popt
for warning in "$BUILD"/version/*.warning; do
    [ ! -e "$warning" ] || say "warning: $(cat "$warning")"
done

# Two chains side by side. What one leaves running dies with the container.
(
    step openssl build_openssl
    step openssh build_openssh
) &
ssh_chain=$!
(
    step busybox build_busybox
    step rsync build_rsync
) &
tools_chain=$!
wait "$tools_chain" || exit 1
wait "$ssh_chain" || exit 1

step check check
step pack pack
say "made $OUT/kit.tar.gz, $(wc -c <"$OUT/kit.tar.gz") bytes"
