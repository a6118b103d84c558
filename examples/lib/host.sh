# shellcheck shell=bash
# What the examples and tests/run.sh need of the machine they run on: missing packages, a Docker
# engine, a Debian base image, steps with their times. Sourced, never run. It knows nothing of the
# cluster, nor of qdebug.
#
# Every function may be called twice; each does only what is still missing.

# The local name of the Debian 12 image that everything here is built from.
BASE_IMAGE=qdebug-base:bookworm

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# Milliseconds since the epoch.
now_ms() {
    local t=${EPOCHREALTIME/[.,]/}
    printf '%s' "${t%???}"
}

# seconds_since START_MS: "12.3".
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

# step TEXT COMMAND...: runs the command and says how long it took. What it printed is shown only
# when it failed, or with QDEBUG_VERBOSE=1.
step() {
    local text=$1 start log rc=0
    shift
    start=$(now_ms)
    if [[ ${QDEBUG_VERBOSE:-0} == 1 ]]; then
        "$@" >&2 || rc=$?
    else
        [[ ! -t 2 ]] || printf '  %s ...\r' "$text" >&2
        log=$(mktemp)
        # Not in a subshell: a step may set variables. `|| rc` would switch `set -e` off in it,
        # so the functions given to step chain what must stop them with && or die.
        "$@" >"$log" 2>&1 || rc=$?
        ((rc == 0)) || tail -n 60 "$log" >&2
        rm -f "$log"
    fi
    if ((rc == 0)); then
        printf '  %-46s %6ss\n' "$text" "$(seconds_since "$start")" >&2
    else
        die "$text: failed with status $rc after $(seconds_since "$start")s"
    fi
}

# wait_for SECONDS COMMAND...: true as soon as the command is, false at the deadline.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo -n "$@"
    fi
}

# apt_install PACKAGE...: a package that apt does not know is an error. The lists are fetched when
# there are none, or when they turn out too old.
apt_install() {
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q
        -o DPkg::Lock::Timeout=180 -o Acquire::Retries=3)
    command -v apt-get >/dev/null || die "please install $*: there is no apt-get here to do it"
    ((EUID == 0)) || sudo -n true 2>/dev/null ||
        die "please install $*: I am neither root nor allowed to use sudo without a password"
    if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null &&
        as_root "${get[@]}" --no-install-recommends install "$@"; then
        return
    fi
    as_root "${get[@]}" update && as_root "${get[@]}" --no-install-recommends install "$@"
}

# Programs for root lie in folders that a user's PATH may lack.
have_command() { PATH=$PATH:/usr/sbin:/sbin type -P "$1" >/dev/null; }

# need COMMAND PACKAGE...: the packages are installed when the command is missing.
need() {
    local command=$1
    shift
    have_command "$command" || step "install $*" apt_install "$@"
}

# When the engine answers root alone, every script goes through sudo.
# shellcheck disable=SC2032
docker() {
    if [[ ${QDEBUG_DOCKER_SUDO:-0} == 1 ]]; then
        # shellcheck disable=SC2033 # the program is meant
        sudo -n docker "$@"
    else
        command docker "$@"
    fi
}

engine_answers() {
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1 && return
    # shellcheck disable=SC2033 # the program is meant
    ((EUID != 0)) && sudo -n docker version >/dev/null 2>&1 && export QDEBUG_DOCKER_SUDO=1
}

# remove_stale_pid FILE NAME: a pid file whose process is gone, or is another program by now.
# dockerd refuses to start when its pid file names any living process; after a crash or a restored
# snapshot that is often somebody else.
remove_stale_pid() {
    local pid
    as_root test -e "$1" || return 0
    pid=$(as_root cat "$1" 2>/dev/null) || pid=
    if [[ ! $pid =~ ^[0-9]+$ ]] || [[ $(as_root cat "/proc/$pid/comm" 2>/dev/null) != "$2" ]]; then
        as_root rm -f "$1"
    fi
}

# end_containerd: ends the containerd that a dead dockerd left behind, and no other.
end_containerd() {
    local file=/var/run/docker/containerd/containerd.pid pid
    pid=$(as_root cat "$file" 2>/dev/null) || return 0
    [[ $pid =~ ^[0-9]+$ ]] || return 0
    [[ $(as_root cat "/proc/$pid/comm" 2>/dev/null) == containerd ]] || return 0
    as_root kill "$pid" || true
    wait_for 10 not_alive "$pid" || as_root kill -9 "$pid" || true
    as_root rm -f "$file"
}

not_alive() { ! as_root kill -0 "$1" 2>/dev/null; }

# One attempt at a dockerd of our own, for machines without systemd.
launch_dockerd() {
    local log=/var/log/qdebug-dockerd.log
    remove_stale_pid /var/run/docker.pid dockerd
    remove_stale_pid /var/run/docker/containerd/containerd.pid containerd
    as_root sh -c "PATH=\$PATH:/usr/sbin:/sbin setsid dockerd >$log 2>&1 </dev/null &"
    wait_for "$1" engine_answers && return
    as_root tail -n 20 "$log" || true
    return 1
}

start_engine() {
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl start docker && wait_for 60 engine_answers
        return
    fi
    # The service script of the package handles ulimits and cgroups, but trusts its pid file.
    launch_dockerd 60 && return
    local pid
    pid=$(as_root cat /var/run/docker.pid 2>/dev/null) || pid=
    if [[ $pid =~ ^[0-9]+$ && $(as_root cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then
        as_root kill "$pid" || true
        wait_for 15 not_alive "$pid" || true
    fi
    end_containerd
    launch_dockerd 60
}

# ensure_engine: a Docker engine that answers, installed and started when there is none.
ensure_engine() {
    engine_answers && return
    local packages=(docker.io iptables)
    # From Debian 13 on the client is a package of its own.
    if command -v apt-cache >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then
        packages+=(docker-cli)
    fi
    if ! have_command dockerd || ! have_command docker; then
        step "install ${packages[*]}" apt_install "${packages[@]}"
    fi
    engine_answers || step "start a Docker engine" start_engine
}

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

# recipe_hash PATH...: one word for the content of these files and folders.
recipe_hash() {
    find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sed 's/ .*\// /' |
        sha256sum | cut -c1-16
}

# image_made IMAGE FOLDER [--build-arg ...]: builds the image unless one made of this very folder is
# there. Not left to the builder's cache, which may be gone while the image is there.
image_made() {
    local image=$1 folder=$2 want have old proxy arguments
    shift 2
    # The arguments name the image below: a new one makes this one anew.
    want="$(recipe_hash "$folder") $*"
    have=$(docker image inspect -f '{{index .Config.Labels "qdebug.recipe"}}' "$image" 2>/dev/null) ||
        have=
    [[ $have != "$want" ]] || return 0
    # The host's network: its name servers may not be visible from a bridge.
    arguments=(--network host --label "qdebug.recipe=$want" --build-arg "BASE=$BASE_IMAGE")
    proxy=${http_proxy:-${HTTP_PROXY:-}}
    if [[ -z $proxy ]] && have_command apt-config; then
        proxy=$(apt-config dump --format '%v' Acquire::http::Proxy 2>/dev/null) || proxy=
    fi
    [[ -z $proxy || $proxy == DIRECT ]] || arguments+=(--build-arg "http_proxy=$proxy")
    old=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null) || old=
    DOCKER_BUILDKIT=0 docker build "${arguments[@]}" "$@" -t "$image" "$folder" || return
    # What it replaces goes, unless a container still needs it.
    [[ -z $old ]] || docker image rm "$old" || true
}

pull_base() {
    timeout 120 docker pull -q debian:bookworm-slim && docker tag debian:bookworm-slim "$BASE_IMAGE"
}

# The base image out of packages, for machines that reach a Debian mirror but no image registry.
debootstrap_base() {
    local root rc=0
    root=$(mktemp -d /var/tmp/qdebug-base.XXXXXX)
    {
        as_root env PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase bookworm "$root" \
            ${QDEBUG_MIRROR:+"$QDEBUG_MIRROR"} &&
            as_root sh -c "rm -rf $root/var/cache/apt/archives/*.deb $root/var/lib/apt/lists/* \
                $root/usr/share/doc/* $root/usr/share/man/* $root/usr/share/locale/*" &&
            as_root tar -C "$root" --numeric-owner -c . |
            docker import --change 'CMD ["bash"]' - "$BASE_IMAGE"
    } || rc=$?
    as_root rm -rf --one-file-system "$root"
    return "$rc"
}

# ensure_base: $BASE_IMAGE, pulled, or made by debootstrap when no registry answers.
ensure_base() {
    image_exists "$BASE_IMAGE" && return
    if image_exists debian:bookworm-slim; then
        docker tag debian:bookworm-slim "$BASE_IMAGE"
        return
    fi
    local start
    start=$(now_ms)
    if pull_base >/dev/null 2>&1; then
        say "  base image pulled ($(seconds_since "$start")s)"
        return
    fi
    say "  no image registry answers: the base image is made by debootstrap"
    need debootstrap debootstrap
    step "base image by debootstrap" debootstrap_base
}
