#!/bin/sh
# qdebug-hook @VERSION@ (slurm)
# qdebug's part of Slurm's Epilog, run by slurmd as root when a job is over: the job's containers
# go. A status other than 0 would drain the node, so it is 0 whatever happens.
#
# Installed by `qdebug hooks install`, which puts in the path of the program. Everything the job's
# owner can choose is only compared here.

trap 'exit 0' HUP INT TERM
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
qdebug='@QDEBUG@'

say() { logger -t qdebug -p daemon.warning "epilog: $1" 2>/dev/null; }

# trusted PATH: it and all above it belong to root, and nobody else may write there.
trusted() (
    path=$1
    while :; do
        [ -n "$path" ] || path=/
        found=$(find "$path" -prune -user 0 ! -perm -0020 ! -perm -0002 2>/dev/null)
        [ -n "$found" ] || return 1
        [ "$path" != / ] || return 0
        path=${path%/*}
    done
)

# clean WORD...: the program in a clean environment, for at most half a minute.
clean() {
    timeout -k 5 25 env -i PATH="$PATH" "$program" cleanup --scheduler slurm "$@" \
        </dev/null >/dev/null 2>&1
}

program=$(readlink -f -- "$qdebug") || program=
if [ ! -f "$program" ] || [ ! -x "$program" ] || ! trusted "$program"; then
    say "$qdebug is not there, or others than root may write to it or above it: nothing is done"
    exit 0
fi

case ${SLURM_JOB_ID:-} in
    '' | *[!0-9]*) ;;
    *)
        case ${SLURM_JOB_UID:-} in
            '' | *[!0-9]*) clean --job "$SLURM_JOB_ID" ;;
            *) clean --job "$SLURM_JOB_ID" --uid "$SLURM_JOB_UID" ;;
        esac
        ;;
esac
exit 0
