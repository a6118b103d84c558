# shellcheck shell=sh
# Puts what has arrived in its place, once it is whole and runs here. $1 is what arrived, $2 its
# place, $3 its SHA-256 in hexadecimal digits, $4 the name under which what is there now is kept, or
# empty where nothing is, or what setup itself has put there.
new=$1 place=$2 sum=$3 kept=$4
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
record=$HOME/.qdebug/setup
is_own() {
    [ -f "$place" ] && [ ! -L "$place" ] && [ -f "$record" ] || return
    now=$(sha256sum <"$place" 2>/dev/null || openssl dgst -sha256 -r <"$place" 2>/dev/null)
    grep -qxF -- "binary ${now%% *} $place" "$record"
}
keeps=
if { [ -e "$place" ] || [ -L "$place" ]; } && ! is_own; then
    [ -n "$kept" ] || fail "there is another $place since setup looked: run it again"
    if [ -e "$kept" ] || [ -L "$kept" ]; then
        fail "there is a $kept since setup looked: run it again"
    fi
    # By a second name, so that there is a qdebug at every moment. Some file systems have no such.
    ln -P -- "$place" "$kept" 2>/dev/null || cp -pP -- "$place" "$kept" || {
        rm -f -- "$kept"
        fail "cannot keep what is there as $kept"
    }
    keeps=yes
fi
mv -f -- "$new" "$place" || {
    [ -z "$keeps" ] || rm -f -- "$kept"
    fail "cannot put it there"
}
# What copies that broke off have left.
find "${place%/*}/" -maxdepth 1 -name "${place##*/}.new-*" -user "$(id -u)" -mtime +0 \
    -exec rm -f {} + 2>/dev/null
mkdir -p -- "$HOME/.qdebug" || fail "cannot make ~/.qdebug"
{
    {
        if [ -f "$record" ]; then grep -v '^binary ' "$record"; fi
        if [ -n "$keeps" ]; then printf 'before %s\n' "$kept"; fi
        printf 'binary %s %s\n' "$sum" "$place"
    } >"$record.$$" && mv -f -- "$record.$$" "$record"
} || fail "it is installed, and ~/.qdebug/setup could not be written"
[ -z "$keeps" ] || printf 'kept=%s\n' "$kept"
printf 'said=%s\n' "$(printf '%s\n' "$said" | head -n 1)"
finish 0
