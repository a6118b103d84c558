# shellcheck shell=bash
# The cluster of containers: its names, its parts, and how each is made. Sourced by up, down, on,
# install, build and by nothing else. It knows nothing of qdebug but the place of its binary.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/host.sh
. "$here/../lib/host.sh"

hosts=(login node1 node2 laptop)
CLUSTER_IMAGE=qdebug-cluster:bookworm
DEMO_IMAGE=qdebug/demo:latest
BUSYBOX_IMAGE=qdebug/busybox:latest
SSHD_IMAGE=qdebug/sshd:latest
node_images=("$DEMO_IMAGE" "$BUSYBOX_IMAGE" "$SSHD_IMAGE")

# Slurm comes from Debian and is in the hosts' image. Of another scheduler the user gives an
# installed tree, whose top is laid over that of every host but the laptop.
scheduler=${QDEBUG_CLUSTER_SCHEDULER:-slurm}
prefix=

# Without one, a program stands in for OpenPBS or Torque.
standin=${QDEBUG_CLUSTER_STANDIN:-}
STANDIN=$here/../../tests/standins/pbs

# Every container, network and volume of a cluster begins with its name, so that several live side
# by side.
cluster=${QDEBUG_CLUSTER:-qdebug-play}

check_name() {
    [[ $cluster =~ ^[a-z][a-z0-9-]{0,30}$ ]] || die "not a name for a cluster: $cluster"
}

check_scheduler() {
    case $scheduler in
        slurm) ;;
        openpbs | torque)
            [[ -d $prefix ]] || die "--scheduler $scheduler needs --prefix DIR, its installed tree"
            ;;
        standin)
            [[ $standin == openpbs || $standin == torque ]] ||
                die "no scheduler that has a stand-in: $standin"
            ;;
        *) die "no scheduler this cluster knows: $scheduler" ;;
    esac
}

host_image() {
    if [[ $scheduler == slurm || $scheduler == standin ]]; then
        echo "$CLUSTER_IMAGE"
    else
        echo "qdebug-cluster-$scheduler:bookworm"
    fi
}

role_of() {
    case $1 in
        node*) echo node ;;
        *) echo "$1" ;;
    esac
}

images_made() {
    image_made "$CLUSTER_IMAGE" "$here/image" &&
        image_made "$DEMO_IMAGE" "$here/demo" &&
        image_made "$BUSYBOX_IMAGE" "$here/busybox" --build-arg "CLUSTER=$CLUSTER_IMAGE" &&
        image_made "$SSHD_IMAGE" "$here/sshd" --build-arg "DEMO=$DEMO_IMAGE" || return
    [[ $(host_image) == "$CLUSTER_IMAGE" ]] ||
        image_made "$(host_image)" "$here/$scheduler" \
            --build-arg "CLUSTER=$(docker image inspect -f '{{.Id}}' "$CLUSTER_IMAGE")"
}

# make_images: one at a time, also when two clusters come up at once.
make_images() {
    local lock=${TMPDIR:-/tmp}/qdebug-cluster-images.$EUID.lock
    {
        flock -w 900 9 && images_made
    } 9>"$lock"
}

# The resolvers of this machine that a container can reach, as Docker itself would pick them.
resolvers() {
    local file=/etc/resolv.conf found
    found=$(sed -n 's/^nameserver  *\([0-9.]*\).*/\1/p' "$file" | grep -v '^127\.') || found=
    if [[ -z $found && -r /run/systemd/resolve/resolv.conf ]]; then
        found=$(sed -n 's/^nameserver  *\([0-9.]*\).*/\1/p' /run/systemd/resolve/resolv.conf) || found=
    fi
    printf '%s' "${found//$'\n'/ }"
}

exists() { docker "$1" inspect "$2" >/dev/null 2>&1; }

make_networks() {
    exists network "$cluster-inside" ||
        docker network create --label "qdebug.cluster=$cluster" "$cluster-inside" || return
    # No way out of the laptop's network but to the login node.
    exists network "$cluster-outside" ||
        docker network create --internal --label "qdebug.cluster=$cluster" "$cluster-outside"
}

make_volumes() {
    local volume
    for volume in home opt node1-docker node2-docker; do
        docker volume create --label "qdebug.cluster=$cluster" "$cluster-$volume" || return
    done
}

# recipe: changes whenever the containers would be made differently.
recipe() {
    printf '%s-%s' "$(docker image inspect -f '{{.Id}}' "$(host_image)")" \
        "$(recipe_hash "$here/lib.sh" ${standin:+"$STANDIN"})"
}

# make_host HOST RECIPE: a running container of this recipe; one that is there and fits stays.
make_host() {
    local host=$1 want=$2 role container=$cluster-$1 have arguments part
    role=$(role_of "$host")
    have=$(docker inspect -f '{{.State.Running}} {{index .Config.Labels "qdebug.recipe"}}' \
        "$container" 2>/dev/null) || have=
    [[ $have != "true $want" ]] || return 0
    [[ -z $have ]] || docker rm -f -v "$container" || return
    arguments=(--name "$container" --hostname "$host"
        --label "qdebug.cluster=$cluster" --label "qdebug.recipe=$want"
        -e "QDEBUG_CLUSTER=$cluster" -e "QDEBUG_CLUSTER_SCHEDULER=$scheduler"
        -e "QDEBUG_CLUSTER_STANDIN=$standin" --stop-timeout 3
        --mount "type=volume,src=$cluster-opt,dst=/opt/qdebug,volume-nocopy")
    case $role in
        laptop)
            # To shut its own network for a while.
            arguments+=(--network "$cluster-outside" --network-alias laptop --cap-add NET_ADMIN)
            # No resolver can be reached from there, and Docker's own says nothing of a name it
            # does not know: do not wait long for it.
            arguments+=(--dns 127.0.0.1 --dns-option timeout:1 --dns-option attempts:1)
            ;;
        *)
            arguments+=(--network "$cluster-inside" --network-alias "$host"
                --mount "type=volume,src=$cluster-home,dst=/home,volume-nocopy")
            ;;
    esac
    if [[ $role == node ]]; then
        # What dockerd needs inside, and a mom that locks its memory. `--privileged` would do too,
        # but not every host grants it.
        arguments+=(--cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE
            --device /dev/fuse --cap-add IPC_LOCK
            --security-opt seccomp=unconfined --security-opt apparmor=unconfined
            --security-opt systempaths=unconfined
            -e "QDEBUG_DNS=$(resolvers)"
            # A disk of the node, gone with it: Podman lays no overlays over this container's own.
            --mount "type=volume,dst=/var/tmp"
            --mount "type=volume,src=$cluster-$host-docker,dst=/var/lib/docker")
    fi
    docker create "${arguments[@]}" "$(host_image)" "$role" || return
    if [[ -n $prefix && $role != laptop ]]; then
        # Docker will not lay a folder over one of the links at the top of Debian's root.
        for part in opt usr/local var/spool; do
            [[ ! -d $prefix/$part ]] || tar -C "$prefix/$part" -c . |
                docker cp - "$container:/$part" || return
        done
    fi
    if [[ $scheduler == standin && $role != laptop ]]; then
        docker cp -L "$STANDIN" "$container:/usr/local/lib/pbs_standin" || return
    fi
    if [[ $role == login ]]; then
        docker network connect --alias login "$cluster-outside" "$container" || return
    fi
    docker start "$container"
}

# all COMMAND HOST...: the command for each host at the same time; fails when one fails.
all() {
    local command=$1 host pids=() pid rc=0
    shift
    for host in "$@"; do
        "$command" "$host" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || rc=$?; done
    return "$rc"
}

make_hosts() {
    local wanted
    wanted=$(recipe) || return
    one() { make_host "$1" "$wanted"; }
    all one "${hosts[@]}"
}

init() {
    local host=$1
    shift
    docker exec -i "$cluster-$host" cluster-init "$@"
}

hosts_ready() {
    one() { init "$1" ready "$(role_of "$1")"; }
    all one "${hosts[@]}"
}

# The laptop's public keys go to the login node, login's host key to the laptop.
introduce() {
    local public known
    public=$(init laptop keys) &&
        known=$(init login authorize <<<"$public") &&
        init laptop know <<<"$known"
}

# preload NODE: the nodes reach no registry, so their engines get the images from this one. A note
# in the engine's own volume says which are there.
preload() {
    local node=$1 image id note=/var/lib/docker/.qdebug-images missing=() have
    have=$(docker exec "$cluster-$node" sh -c \
        "cat $note 2>/dev/null; docker image ls --format '{{.Repository}}:{{.Tag}}'") || return
    for image in "${node_images[@]}"; do
        id=$(docker image inspect -f '{{.Id}}' "$image") || return
        grep -qxF "$image $id" <<<"$have" && grep -qxF "$image" <<<"$have" || missing+=("$image")
    done
    ((${#missing[@]})) || return 0
    docker save "${missing[@]}" | docker exec -i "$cluster-$node" docker load || return
    docker exec "$cluster-$node" docker image prune -f || return
    docker image inspect -f '{{index .RepoTags 0}} {{.Id}}' "${node_images[@]}" |
        docker exec -i "$cluster-$node" tee "$note"
}

# preload_podman NODE: the same for alice's own store.
preload_podman() {
    local node=$1 have
    have=$(docker exec -u alice -w / -e HOME=/home/alice "$cluster-$node" \
        podman image ls -q --no-trunc) || return
    have=$(docker image inspect -f '{{.Id}}' "${node_images[@]}" |
        grep -vxF "${have:-none}") || return 0
    docker save "${node_images[@]}" |
        docker exec -i -u alice -w / -e HOME=/home/alice "$cluster-$node" podman load -q
}

# engine_of_sessions ENGINE: what the site file of the nodes says; Docker needs no word.
engine_of_sessions() {
    local node
    if [[ $1 == docker ]]; then
        for node in node1 node2; do
            docker exec "$cluster-$node" rm -f /etc/qdebug/site.toml || return
        done
        return
    fi
    all preload_podman node1 node2 || return
    for node in node1 node2; do
        docker exec -i "$cluster-$node" sh -c \
            'mkdir -p /etc/qdebug && cat >/etc/qdebug/site.toml' <<<"engine = \"$1\"" || return
    done
}

preload_nodes() { all preload node1 node2; }

# put FILE HOST PATH MODE: unless it is there already; by rename, so that a running one lives on.
put() {
    local file=$1 container=$cluster-$2 path=$3 mode=$4 have
    have=$(docker exec "$container" sha256sum "$path" 2>/dev/null | cut -d' ' -f1) || have=
    [[ $have != "$(sha256sum "$file" | cut -d' ' -f1)" ]] || return 0
    docker exec -i "$container" sh -euc '
        mkdir -p "$(dirname "$1")"
        cat >"$1.new"
        chmod "$2" "$1.new"
        mv -f "$1.new" "$1"' sh "$path" "$mode" <"$file"
}

# install_qdebug BINARY NVML: the four hosts share the folder of the binary, as a cluster would.
# Either may be empty.
install_qdebug() {
    local node
    if [[ -n $1 ]]; then
        put "$1" login /opt/qdebug/bin/qdebug 755 || return
    fi
    if [[ -n $2 ]]; then
        for node in node1 node2; do
            put "$2" "$node" /usr/local/lib/libnvidia-ml.so.1 644 &&
                docker exec "$cluster-$node" ldconfig || return
        done
    fi
}
