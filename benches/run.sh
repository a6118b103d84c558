#!/bin/bash
# Measures what DESIGN promises about speed, each against its physical limit, side by side in one
# run: medians of pairs as ratios. It needs what tests/run.sh needs, and a quiet machine.
#
#   benches/run.sh [--pairs N] [NAME...]
#
#   NAME   node_half, second_node, idle, submit, laptop, trunk (the laptop without masters); all of
#          them when none is given
set -euo pipefail

benches=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$benches")
# shellcheck source=../examples/lib/host.sh
. "$project/examples/lib/host.sh"
cd "$project"

export QDEBUG_CLUSTER=qdebug-bench
pairs=30 names=()
while (($#)); do
    case $1 in
        --pairs) pairs=${2:?} && shift ;;
        node_half | second_node | idle | submit | laptop | trunk) names+=("$1") ;;
        *)
            sed -n '2,/^set/p' "$0" | sed '$d' >&2
            exit 2
            ;;
    esac
    shift
done
((${#names[@]})) || names=(node_half second_node idle submit laptop trunk)

# as_alice HOST WORD...: on a host of the cluster, as its user.
as_alice() {
    local host=$1
    shift
    docker exec -i -u alice -w /home/alice -e HOME=/home/alice -e USER=alice \
        -e XDG_RUNTIME_DIR=/run/user/2001 "$QDEBUG_CLUSTER-$host" "$@"
}

on_node_half() { as_alice node1 python3 /tmp/benches/node_half.py "$pairs"; }
on_second_node() { as_alice node2 python3 /tmp/benches/second_node.py "$pairs"; }
on_idle() { as_alice node1 python3 /tmp/benches/idle.py node; }
on_submit() { as_alice login python3 /tmp/benches/submit.py "$pairs"; }

on_laptop() {
    as_alice login qdebug submit --name bench -g none -w 1h -i qdebug/demo --wait
    as_alice laptop qdebug connect bench --on alice@login --yes &
    # shellcheck disable=SC2016 # the laptop's shell counts
    as_alice laptop sh -c 'for try in $(seq 100); do
        ssh -o BatchMode=yes qdebug-bench true 2>/dev/null && exit; sleep 0.2; done; exit 1'
    as_alice laptop python3 /tmp/benches/idle.py laptop bench
    as_alice laptop python3 /tmp/benches/laptop.py bench alice@login "$pairs"
    as_alice login qdebug stop bench
    wait
}

on_trunk() {
    local own=QDEBUG_CONFIG=/tmp/no-masters.toml
    as_alice login qdebug submit --name trunk -g none -w 1h -i qdebug/demo --wait
    printf '%s\n' '[clusters.bench]' 'login = "alice@login"' 'masters = false' |
        as_alice laptop tee /tmp/no-masters.toml >/dev/null
    as_alice laptop env "$own" qdebug connect trunk --on bench --yes &
    # shellcheck disable=SC2016 # the laptop's shell counts
    as_alice laptop env "$own" sh -c 'for try in $(seq 100); do
        ssh -o BatchMode=yes qdebug-trunk true 2>/dev/null && exit; sleep 0.2; done; exit 1'
    as_alice laptop env "$own" python3 /tmp/benches/laptop.py --no-masters trunk alice@login "$pairs"
    as_alice login qdebug stop trunk
    wait
}

folder=$(examples/cluster/build --release)
trap 'examples/cluster/down' EXIT
examples/cluster/up --fresh --qdebug "$folder/qdebug"
for host in login node1 node2 laptop; do
    docker cp "$benches" "$QDEBUG_CLUSTER-$host:/tmp/benches"
done
for name in "${names[@]}"; do "on_$name"; done
