# shellcheck shell=sh
# Puts what has arrived in its place, once it is whole and runs here. $1 is what arrived, $2 its
# place, $3 its SHA-256 in hexadecimal digits.
new=$1 place=$2 sum=$3
umask 077
fail() {
    rm -f -- "$new"
    echo "$1" >&2
    finish 1
}
there=$(sha256sum <"$new" 2>/dev/null || openssl dgst -sha256 -r <"$new" 2>/dev/null)
[ "${there%% *}" = "$sum" ] || fail "what arrived is not what was sent (a full disk or quota?)"
chmod 755 "$new" || fail "cannot make it executable"
said=$("$new" --version 2>&1) || fail "it does not run there: $said"
mv -f -- "$new" "$place" || fail "cannot put it there"
# What copies that broke off have left.
find "${place%/*}/" -maxdepth 1 -name "${place##*/}.new-*" -user "$(id -u)" -mtime +0 \
    -exec rm -f {} + 2>/dev/null
mkdir -p -- "$HOME/.qdebug" || fail "cannot make ~/.qdebug"
record=$HOME/.qdebug/setup
{
    {
        if [ -f "$record" ]; then grep -v '^binary ' "$record"; fi
        printf 'binary %s %s\n' "$sum" "$place"
    } >"$record.$$" && mv -f -- "$record.$$" "$record"
} || fail "it is installed, and ~/.qdebug/setup could not be written"
printf 'said=%s\n' "$(printf '%s\n' "$said" | head -n 1)"
finish 0
