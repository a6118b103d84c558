#!/bin/bash
# All that CI runs, and a developer before a push: formatting, lints, tests, and the same on a
# cluster of containers that is brought up for it and taken down again.
#
#   tests/run.sh [--full] [--keep]
#
#   --full   also the long matrices (the tests see QDEBUG_TEST_FULL=1), and on every scheduler also what
#            does not touch it (tests/cluster/once)
#   --keep   leaves the cluster up: examples/cluster/on --name qdebug-test login
#
# The last line counts the tests: N passed, N failed, N skipped. A stage that breaks down without
# a test of it failing counts as one that failed.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$tests")
# shellcheck source=../examples/lib/host.sh
. "$project/examples/lib/host.sh"
cd "$project"

export QDEBUG_CLUSTER=qdebug-test
export CARGO_TERM_COLOR=never
# What this script has installed no test may miss.
export QDEBUG_TEST_ALL=1
keep=0
for argument in "$@"; do
    case $argument in
        --full) export QDEBUG_TEST_FULL=1 ;;
        --keep) keep=1 ;;
        *)
            sed -n '2,/^set/p' "$0" | sed '$d' >&2
            exit 2
            ;;
    esac
done

passed=0 failed=0 skipped=0 broken=()

# stage TEXT COMMAND...: runs it, shows what it says, adds up the tests it tells of.
stage() {
    local text=$1 start log rc=0 bad=0 p f s
    shift
    say ""
    say "== $text"
    start=$(now_ms)
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || rc=$?
    while read -r _ p f s; do
        passed=$((passed + p)) bad=$((bad + f)) skipped=$((skipped + s))
    done < <(sed -nE \
        's/^test result: (ok|FAILED)\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored;.*/\1 \2 \3 \4/p' \
        "$log")
    rm -f "$log"
    ((rc == 0 || bad > 0)) || bad=1
    failed=$((failed + bad))
    ((bad == 0)) || broken+=("$text")
    say "== $text: status $rc, $(seconds_since "$start")s"
    ((rc == 0))
}

up=()
finish() {
    local rc=$? name
    trap - EXIT
    for name in "${up[@]}"; do
        ((keep)) || examples/cluster/down --name "$name" || rc=1
    done
    # An error that no stage has counted.
    if ((rc != 0 && failed == 0)); then failed=1; fi
    ((${#broken[@]} == 0)) || printf 'failed: %s\n' "${broken[@]}"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0)) || exit 1
    exit 0
}
trap finish EXIT
trap 'exit 130' INT TERM

shell_scripts() {
    local file
    while IFS= read -r -d '' file; do
        if [[ -f $file ]] && head -n 1 "$file" | grep -qE '^#!.*[/ ](ba|da)?sh|shellcheck shell='; then
            printf '%s\0' "$file"
        fi
    done < <(git ls-files -z --cached --others --exclude-standard)
}

check_scripts() { shell_scripts | xargs -0 shellcheck; }

# Components that a bare toolchain may lack.
component() {
    cargo "$1" --version >/dev/null 2>&1 || rustup component add "$2"
}

# nothing_left: what the suite has started, it has ended.
nothing_left() {
    local node left rc=0
    for node in node1 node2; do
        left=$(docker exec "$QDEBUG_CLUSTER-$node" docker ps -aq) || return
        if [[ -n $left ]]; then
            docker exec "$QDEBUG_CLUSTER-$node" docker ps -a
            rc=1
        fi
    done
    if ((rc == 0)); then
        echo "test result: ok. 1 passed; 0 failed; 0 ignored; no container is left on a node"
    fi
    return "$rc"
}

# leave_out_once: fills `once` with the options that leave out the tests of tests/cluster/once, and says
# how many they are.
leave_out_once() {
    local names name beginning found
    once=()
    names=$(cargo test --locked --quiet --test cluster -- --list | sed -n 's/: test$//p') || return
    while read -r beginning; do
        found=0
        while read -r name; do
            [[ $name == "$beginning"* ]] || continue
            found=1
            once+=(--skip "$name")
        done <<<"$names"
        ((found)) || {
            say "error: tests/cluster/once: no test begins with $beginning"
            return 1
        }
    done < <(grep -v '^#' tests/cluster/once)
    say ""
    say "$((${#once[@]} / 2)) not repeated here: they don't touch the scheduler (--full repeats them)"
}

# cluster_suite TEXT [OPTION...]: all tests on the cluster that is up but those that the options leave
# out; those that strike its daemons, then those that change it for everybody, when nothing else runs
# there; and what must be so after them.
cluster_suite() {
    local text=$1 run=(cargo test --locked --no-fail-fast --test cluster --)
    shift
    # Most of them wait: for a scheduler, an engine, a clock. Podman's have a stage of their own.
    stage "$text" "${run[@]}" --skip blows:: --skip faults:: --skip last:: --skip podman:: \
        --test-threads=4 "$@" || true
    stage "$text: blows" "${run[@]}" blows:: --test-threads=8 || true
    # What strikes a phase of the node half is the same on every scheduler: one of them will do. It
    # says which seed has the same again.
    [[ ${QDEBUG_TEST_SCHEDULER:-slurm} != slurm ]] ||
        stage "$text: faults" "${run[@]}" faults:: --nocapture || true
    stage "$text: the last" "${run[@]}" last:: --test-threads=1 "$@" || true
    stage "$text: nothing left" nothing_left || true
}

# podman_suite: what sessions on Podman may do differently; with --full all but what is Docker's:
# containers made by its command, supplementary groups (runc), an engine's root that is shut out. The
# verdict of a killed job, six minutes of Slurm's, is no other. Debian's Podman hands out no GPU:
# what needs one is Docker's, too, as are the tests of the shared cache, which look at the images by
# docker's command. Slurm's signal reaches every process of a job here (linuxproc), Podman's forwarder of
# the port as well: what is said after it does not come through.
podman_suite() {
    local words=(--skip hooks:: --skip gc:: --skip kill_9_of_everything
        --skip groups_that_have_no_name --skip closed_to_the_engines_root
        --skip the_jobs_gpus --skip shows_the_queue --skip prints_the_job_id --skip gpus::
        --skip the_environment_is_the_same --skip a_gpu_at_work --skip may_say_its_last_words
        --skip two_nodes_that_ask --skip a_node_that_dies
        --skip blows:: --skip faults:: --skip last::)
    [[ -n ${QDEBUG_TEST_FULL:-} ]] ||
        words+=(story:: images:: podman:: ends::qdebug_stop ends::the ends::kill_9 reach::port)
    cargo test --locked --no-fail-fast --test cluster -- --test-threads=4 "${words[@]}"
}

# nothing_left_of_podman: the same as nothing_left, for processes and records of alice's.
nothing_left_of_podman() {
    local node left
    for node in node1 node2; do
        left=$(docker exec -u alice -e HOME=/home/alice -w / "$QDEBUG_CLUSTER-$node" sh -c '
            cd /var/tmp/qdebug-2001/podman
            # The last of them may be on its way.
            timeout 5 sh -c "while pgrep -x conmon; do sleep 0.1; done" >/dev/null
            pgrep -a "conmon|slirp4netns" || true
            XDG_RUNTIME_DIR=$PWD/run podman --root $PWD/storage --runroot $PWD/runroot \
                --storage-driver overlay ps -aq') || return
        [[ -z $left ]] || {
            echo "$node: $left"
            return 1
        }
    done
    echo "test result: ok. 1 passed; 0 failed; 0 ignored; no container of Podman's is left on a node"
}

# podman: the same on Podman, in the cluster that is up.
podman() {
    local -x QDEBUG_TEST_ENGINE=podman
    stage "cluster, Podman: up" examples/cluster/up --engine podman || return
    stage "cluster, Podman" podman_suite || true
    stage "cluster, Podman: nothing left" nothing_left_of_podman || true
}

# standin KIND TEXT: a cluster with the stand-in of that scheduler, the suite on it, and away again.
standin() {
    local kind=$1 text="cluster, $2 stand-in"
    local -x QDEBUG_CLUSTER=qdebug-test-$kind QDEBUG_TEST_SCHEDULER=$kind
    local once=()
    [[ -n ${QDEBUG_TEST_FULL:-} ]] || leave_out_once || {
        failed=$((failed + 1))
        broken+=("tests/cluster/once")
    }
    up+=("$QDEBUG_CLUSTER")
    if stage "$text: up" examples/cluster/up --fresh --standin "$kind" \
        --qdebug "$folder/qdebug"; then
        cluster_suite "$text" "${once[@]}"
    fi
    ((keep)) || examples/cluster/down
}

build() { folder=$(examples/cluster/build); }

# vscode_server: a real one for its test, a minute where it is not in the user's cache yet. Without
# it that test fails, and no other.
vscode_server() {
    local start
    start=$(now_ms)
    if QDEBUG_TEST_VSCODE=$(tests/vscode-server); then
        export QDEBUG_TEST_VSCODE
        say "  VS Code server: $QDEBUG_TEST_VSCODE ($(seconds_since "$start")s)"
    else
        unset QDEBUG_TEST_VSCODE
        say "  VS Code server: none, see above"
    fi
}

# docker_for_all: the tests ask the engine without sudo.
docker_for_all() {
    [[ ${QDEBUG_DOCKER_SUDO:-0} == 1 ]] || return 0
    need setfacl acl
    as_root setfacl -m "u:$(id -u):rw" /var/run/docker.sock
    unset QDEBUG_DOCKER_SUDO
}

# root_for_tests: what needs root among the tests is run by sudo.
root_for_tests() {
    ((EUID != 0)) || return 0
    local target
    target=$(rustc -vV | sed -n 's/^host: //p')
    target=${target^^}
    export "CARGO_TARGET_${target//-/_}_RUNNER=$tests/runner"
}

need cc gcc libc6-dev
need shellcheck shellcheck
need python3 python3
need curl curl ca-certificates
need ssh openssh-client
need sshd openssh-server
# Its own service makes this folder, which sshd as root insists on; nobody may have started that.
[[ -d /run/sshd ]] || as_root install -d -m 755 /run/sshd
need tcsh tcsh
need ps procps
need npm npm
# With a login of its own, for the tests of pulling.
need docker-registry docker-registry
component fmt rustfmt
component clippy clippy
ensure_engine
ensure_base
docker_for_all
root_for_tests

step "qdebug and its kit" build
vscode_server

# A stage that fails does not hide what the next would find.
stage "format" cargo fmt --all --check || true
# The cluster's tests are no target of `all`.
stage "lints" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings || true
stage "lints of the cluster's tests" cargo clippy --locked --quiet --test cluster -- -D warnings ||
    true
stage "shell scripts" check_scripts || true
stage "Windows and macOS: types" tests/systems.sh check x86_64-pc-windows-msvc aarch64-apple-darwin ||
    true
stage "Windows: unit tests under wine" tests/systems.sh wine || true
# Down again at the end, also when it came up by half.
up+=("$QDEBUG_CLUSTER")
examples/cluster/up --fresh --qdebug "$folder/qdebug"
# The tests with an engine need the cluster's images.
stage "tests" cargo test --workspace --locked --no-fail-fast || true
cluster_suite "cluster, Slurm"
podman || true
standin openpbs "OpenPBS"
standin torque "Torque"
