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
left() { # WHAT WHY
    printf 'left=%s\nwhy=%s\n' "$1" "$2"
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
        left "the key's line in $file" "the file holds zero bytes: take it out by hand"
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
    place='' sum='' kept=''
    while read -r word first rest; do
        case $word in
            binary) sum=$first place=$rest ;;
            before)
                # Whole, since a name may hold spaces. The last is what was there before setup.
                [ -z "$kept" ] || left "$kept" "an earlier setup has kept it from being overwritten"
                kept=$first${rest:+ $rest}
                ;;
        esac
    done <"$record"
    there=
    if [ -f "$place" ] && [ ! -L "$place" ]; then
        there=$(sha256sum <"$place" 2>/dev/null || openssl dgst -sha256 -r <"$place" 2>/dev/null)
    elif [ -e "$place" ] || [ -L "$place" ]; then
        there=other
    fi
    if [ -z "$place" ]; then
        :
    elif [ -n "$there" ] && [ "${there%% *}" != "$sum" ]; then
        left "$place" "it was changed since setup put it there"
        [ -z "$kept" ] || left "$kept" "it is what was there before setup, and another is there now"
    elif [ -n "$kept" ] && { [ -e "$kept" ] || [ -L "$kept" ]; }; then
        mv -f -- "$kept" "$place" || fail "cannot bring $kept back as $place"
        echo "done=$place is again what it was before setup"
    else
        [ -z "$kept" ] || left "$kept" "it is not there any more, so that it cannot come back"
        if [ -n "$there" ]; then
            rm -f -- "$place" || fail "cannot remove $place"
            echo "done=$place is removed"
        fi
    fi
    without "$record" -E '^(binary|before) ' || fail "cannot write $record"
fi
[ -s "$record" ] || rm -f -- "$record"
finish 0
