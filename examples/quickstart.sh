#!/bin/bash
# From nothing to a breakpoint hit in a container on a GPU node, on this one machine: builds
# qdebug, brings up a cluster of containers (laptop, login, two nodes; real Slurm, sshd, docker),
# goes through the main job as its user alice, and prints how long each part took.
#
#   examples/quickstart.sh
#
# Needs Rust, git, gcc, python3 and apt, and root or sudo without a password; installs a Docker
# engine when there is none. The first run takes some minutes. The cluster stays up afterwards;
# `examples/cluster/down` removes it.
set -euo pipefail

examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/host.sh
. "$examples/lib/host.sh"

export QDEBUG_CLUSTER=${QDEBUG_CLUSTER:-qdebug-play}
session=quick
image=qdebug/demo
times=()

on() { "$examples/cluster/on" "$@"; }

# took TEXT START_MS
took() { times+=("$(printf '%-46s %6s s' "$1" "$(seconds_since "$2")")"); }

# shown HOST LINE: runs a shell line as alice on the host, shown as she would type it.
shown() {
    say ""
    say "$1\$ $2"
    on "$1" "$2"
}

# until_true HOST SECONDS LINE: the line is tried on the host until it succeeds.
until_true() {
    on "$1" timeout "$2" bash -lc "until $3; do sleep 0.1; done" >/dev/null 2>&1 ||
        die "on $1, not within $2 s: $3"
}

build() { folder=$("$examples/cluster/build"); }

cleanup() {
    [[ -z ${connect:-} ]] || kill "$connect" 2>/dev/null || true
}
trap cleanup EXIT

all=$(now_ms)
say "this machine"
command -v cargo >/dev/null || die "please install Rust 1.88 or newer: https://rustup.rs"
need cc gcc libc6-dev
need curl curl ca-certificates
need flock util-linux
ensure_engine
ensure_base
step "qdebug and its kit (minutes, the first time)" build
"$examples/cluster/up" --qdebug "$folder/qdebug"

# What an interrupted run has left.
on login "qdebug stop $session" >/dev/null 2>&1 || true

say ""
say "the main job, as alice"
start=$(now_ms)
answer=$(shown login "qdebug submit -g V100 -w 1h -i $image --name $session")
took "submit" "$start"
say "$answer"
job=$(grep -oE '[0-9]+' <<<"$answer" | head -n 1) || die "submit printed no job id"
until_true login 60 "qdebug status $job --json | grep -qE '\"state\": *\"ready\"'"
took "submit to ready" "$start"

start=$(now_ms)
say ""
say "laptop\$ qdebug connect $job --on alice@login"
on laptop qdebug connect "$job" --on alice@login --yes </dev/null >&2 &
connect=$!
until_true laptop 60 "ssh -o BatchMode=yes qdebug-$session true"
took "connect to a tunnel that works" "$start"

start=$(now_ms)
# shellcheck disable=SC2016 # expanded in the container
shown laptop "ssh qdebug-$session "\''echo "hello from $(hostname), GPUs $CUDA_VISIBLE_DEVICES"'\'
took "one command by ssh" "$start"

# The program goes into alice's home, which the container sees under the same path.
on login 'mkdir -p demo && cat >demo/demo.py' <"$examples/demo.py"
on laptop 'cat >breakpoint.py' <"$examples/breakpoint.py"
line=$(grep -n 'stop here' "$examples/demo.py" | cut -d: -f1)
start=$(now_ms)
debugged="python3 -Xfrozen_modules=off -m debugpy --listen 127.0.0.1:5678 --wait-for-client /home/alice/demo/demo.py"
say ""
say "laptop\$ ssh -L 5678:127.0.0.1:5678 qdebug-$session $debugged &"
say "laptop\$ python3 breakpoint.py 5678 /home/alice/demo/demo.py $line total"
found=$(on laptop "
    # Until debugpy listens, each try of the client is a refusal that ssh would tell.
    ssh -q -o BatchMode=yes -o ExitOnForwardFailure=yes -L 127.0.0.1:5678:127.0.0.1:5678 qdebug-$session $debugged &
    timeout 60 python3 breakpoint.py 5678 /home/alice/demo/demo.py $line total && wait")
say "$found"
grep -qx 'total = 285' <<<"$found" || die "the breakpoint was not hit, or the variable is wrong"
took "a breakpoint hit, its variable read" "$start"

start=$(now_ms)
shown login "qdebug stop $job" >&2
# shellcheck disable=SC2016 # expanded on the node
until_true node1 60 '[ -z "$(docker ps -aq)" ]'
took "stop to container gone" "$start"
wait "$connect" || true
connect=''

printf '\n%-46s %8s\n' "the main job" "time"
printf '%s\n' "${times[@]}"
printf '%-46s %6s s\n' "this script" "$(seconds_since "$all")"
cat <<'END'

The cluster is up. To play, in two terminals:
  examples/cluster/on login        qdebug submit -g V100 -w 1h -i qdebug/demo
  examples/cluster/on laptop       qdebug connect JOB --on alice@login
and in a third:
  examples/cluster/on laptop       ssh qdebug-NAME
V100s are on node1, P100s on node2. To remove it:
  examples/cluster/down
END
