# shellcheck shell=sh
# Takes back what setup has done. $1 is the line of authorized_keys to take out or empty, $2 `yes`
# when the binary goes too, $3 what tells this laptop from others or empty. Prints what it did and
# what it left.
line=$1 binary=$2 laptop=$3
umask 077
record=$HOME/.qdebug/setup
[ -f "$record" ] || finish 0
fail() {
    echo "$1" >&2
    finish 1
}
without() { # FILE OPTION TEXT: FILE without the lines that grep finds by it
    cp -p -- "$1" "$1.qdebug-$$" || return
    grep -v "$2" -e "$3" -- "$1" >"$1.qdebug-$$"
    if [ $? -gt 1 ]; then
        rm -f -- "$1.qdebug-$$"
        return 1
    fi
    mv -f -- "$1.qdebug-$$" "$1"
}
if [ -n "$line" ]; then
    file=$HOME/.ssh/authorized_keys
    if [ -L "$file" ]; then file=$(readlink -f -- "$file"); fi
    if [ ! -f "$file" ]; then
        :
    elif [ "$(tr -d '\000' <"$file" | wc -c)" -ne "$(wc -c <"$file")" ]; then
        # grep would give no line of such a file.
        echo "left=the key's line in $file, which holds zero bytes: take it out by hand"
    elif grep -qxF -- "$line" "$file"; then
        without "$file" -xF "$line" || fail "cannot write $file"
        echo "done=the key's line is out of ~/.ssh/authorized_keys"
    fi
    without "$record" -xF "line $line" || fail "cannot write $record"
fi
if [ -n "$laptop" ]; then
    without "$record" -xF "laptop $laptop" || fail "cannot write $record"
fi
if [ "$binary" = yes ]; then
    while read -r word sum path; do
        [ "$word" = binary ] || continue
        [ -f "$path" ] || continue
        there=$(sha256sum <"$path" 2>/dev/null || openssl dgst -sha256 -r <"$path" 2>/dev/null)
        if [ "${there%% *}" != "$sum" ]; then
            echo "left=$path, which was changed since setup put it there"
        elif rm -f -- "$path"; then
            echo "done=$path is removed"
        else
            fail "cannot remove $path"
        fi
    done <"$record"
    without "$record" -E '^binary ' || fail "cannot write $record"
fi
[ -s "$record" ] || rm -f -- "$record"
finish 0
