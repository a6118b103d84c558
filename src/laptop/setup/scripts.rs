//! The scripts that `setup` runs on the login node, for `sh` and without a byte of data in them:
//! what varies is an argument. Each prints `word=value` lines and calls `finish STATUS`.
//!
//! What setup has changed there is written into `~/.qdebug/setup`, so that it can be taken back:
//! `line AUTHORIZED_KEYS_LINE` for each laptop, and `binary SHA256 PATH`.

/// Looks and changes nothing. `$1` is `TYPE BASE64` of the key or empty, `$2` the path of qdebug
/// that the profile names or empty.
pub(super) const LOOK: &str = r#"
key=$1 named=$2
say() { printf '%s=%s\n' "$1" "$(printf '%s\n' "$2" | head -n 1)"; }
limited() {
    if command -v timeout >/dev/null 2>&1; then timeout 10 "$@"; else "$@"; fi
}
say home "$HOME"
say system "$(uname -s)"
say machine "$(uname -m)"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
file=$HOME/.ssh/authorized_keys
for path in "$HOME" "$HOME/.ssh" "$file"; do
    [ -e "$path" ] || continue
    is_loose=$(find -H "$path" -prune '(' -perm -020 -o -perm -002 ')' -print 2>/dev/null)
    if [ -z "$(find -H "$path" -prune '!' -user "$(id -u)" -print 2>/dev/null)" ]; then
        [ -z "$is_loose" ] || say loose "$path"
    elif [ -n "$is_loose" ] || [ -n "$(find -H "$path" -prune '!' -user 0 -print 2>/dev/null)" ]
    then
        say foreign "$path"
    fi
done
if [ -n "$key" ] && [ -f "$file" ] &&
    grep -v '^[[:space:]]*#' "$file" | grep -qF -- "$key"; then
    say key there
fi
shell=${SHELL:-/bin/sh}
case ${shell##*/} in
    *csh) of_login=$(limited "$shell" -c 'which qdebug' 2>/dev/null) ;;
    *) of_login=$(limited "$shell" -lc 'command -v qdebug' 2>/dev/null) ;;
esac
of_login=$(printf '%s\n' "$of_login" | grep '^/' | tail -n 1)
seen=:
for path in "$named" "$(command -v qdebug)" "$of_login" "$HOME/.local/bin/qdebug" \
    /usr/local/bin/qdebug; do
    case $path in /*) ;; *) continue ;; esac
    case $seen in *":$path:"*) continue ;; esac
    seen=$seen$path:
    if [ -f "$path" ] && [ -x "$path" ]; then
        say qdebug "$path"
        say version "$(limited "$path" --version 2>/dev/null)"
    fi
done
if [ -f "$HOME/.qdebug/setup" ]; then sed 's/^/mark=/' "$HOME/.qdebug/setup"; fi
finish 0
"#;

/// Closes what of the user's sshd's StrictModes would not take, and adds a line to authorized_keys
/// unless the key is there. `$1` is `TYPE BASE64` of the key or empty, `$2` the line. A file that is reached by a link
/// is replaced where it really is.
pub(super) const AUTHORIZE: &str = r#"
key=$1 line=$2
umask 077
fail() { echo "$1" >&2; finish 1; }
[ -d "$HOME/.ssh" ] || mkdir -- "$HOME/.ssh" || fail "cannot make ~/.ssh"
file=$HOME/.ssh/authorized_keys
if [ -L "$file" ]; then file=$(readlink -f -- "$file") || fail "~/.ssh/authorized_keys leads nowhere"; fi
for path in "$HOME" "$HOME/.ssh" "$file"; do
    [ -e "$path" ] || continue
    if [ -n "$(find -H "$path" -prune -user "$(id -u)" '(' -perm -020 -o -perm -002 ')' -print)" ]
    then
        chmod go-w "$path" || fail "cannot close $path"
    fi
done
[ -n "$key" ] || finish 0
if [ -f "$file" ] && grep -v '^[[:space:]]*#' "$file" | grep -qF -- "$key"; then finish 0; fi
new=$file.qdebug-$$
{
    if [ -f "$file" ]; then
        cp -p -- "$file" "$new" &&
            { [ -z "$(tail -c 1 -- "$new")" ] || echo >>"$new"; }
    fi && printf '%s\n' "$line" >>"$new" && mv -f -- "$new" "$file"
} || {
    rm -f -- "$new"
    fail "cannot write $file"
}
mkdir -p -- "$HOME/.qdebug" && printf 'line %s\n' "$line" >>"$HOME/.qdebug/setup" ||
    fail "the key is added, and ~/.qdebug/setup could not be written"
finish 0
"#;

/// Puts what has arrived in its place, once it is whole and runs here. `$1` is what arrived, `$2`
/// its place, `$3` its SHA-256 in hexadecimal digits.
pub(super) const PLACE: &str = r#"
new=$1 place=$2 sum=$3
umask 077
fail() { rm -f -- "$new"; echo "$1" >&2; finish 1; }
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
    if [ -f "$record" ]; then grep -v '^binary ' "$record"; fi
    printf 'binary %s %s\n' "$sum" "$place"
} >"$record.$$" && mv -f -- "$record.$$" "$record" ||
    fail "it is installed, and ~/.qdebug/setup could not be written"
printf 'said=%s\n' "$(printf '%s\n' "$said" | head -n 1)"
finish 0
"#;

/// Takes back what setup has done. `$1` is the line of authorized_keys to take out or empty, `$2`
/// `yes` when the binary goes too. Prints what it did and what it left.
pub(super) const TAKE_BACK: &str = r#"
line=$1 binary=$2
umask 077
record=$HOME/.qdebug/setup
[ -f "$record" ] || finish 0
fail() { echo "$1" >&2; finish 1; }
without() { # FILE OPTION TEXT: FILE without the lines that grep finds by it
    cp -p -- "$1" "$1.qdebug-$$" || return
    grep -v "$2" -e "$3" -- "$1" >"$1.qdebug-$$"
    if [ $? -gt 1 ]; then rm -f -- "$1.qdebug-$$"; return 1; fi
    mv -f -- "$1.qdebug-$$" "$1"
}
if [ -n "$line" ]; then
    file=$HOME/.ssh/authorized_keys
    if [ -L "$file" ]; then file=$(readlink -f -- "$file"); fi
    if [ -f "$file" ] && grep -qxF -- "$line" "$file"; then
        without "$file" -xF "$line" || fail "cannot write $file"
        echo "done=the key's line is out of ~/.ssh/authorized_keys"
    fi
    without "$record" -xF "line $line" || fail "cannot write $record"
fi
if [ "$binary" = yes ]; then
    while read -r word sum path; do
        [ "$word" = binary ] && [ -f "$path" ] || continue
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
"#;

#[cfg(unix)] // Scripts for the cluster's `sh`.
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;
    use crate::process::Program;
    use crate::ssh::script_text;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo";

    /// Runs a script as login would, in a home of its own; what it printed.
    fn run(home: &Path, script: &str, args: &[&str]) -> String {
        let program = Program::new("sh").args(["-s", "--", "0123abcd"]).args(args);
        let program = program
            .env("HOME", home)
            .env("SHELL", "/bin/sh")
            .stdin(script_text(script).as_bytes());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let output = runtime.block_on(program.output()).unwrap();
        let told = output.stdout.trim_end();
        let told = told.strip_prefix("qdebug-frame-0123abcd begin").unwrap();
        let (told, end) = told.rsplit_once("qdebug-frame-0123abcd end ").unwrap();
        assert_eq!(end, "0", "{} {}", output.stdout, output.stderr);
        told.trim().to_owned()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_added_once_and_taken_out_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("a 'b\" $c");
        std::fs::create_dir(&home).unwrap();
        set_mode(&home, 0o775);
        std::fs::create_dir(home.join(".ssh")).unwrap();
        // Without a line break at its end, a commented key, reached by a link.
        let kept = format!("# {KEY}\nssh-rsa AAAA old");
        std::fs::write(home.join("keys"), &kept).unwrap();
        set_mode(&home.join("keys"), 0o664);
        symlink("../keys", home.join(".ssh/authorized_keys")).unwrap();
        let line = format!("{KEY} alice 'of' \"$laptop\"");
        let told = run(&home, LOOK, &[KEY, ""]);
        assert!(!told.contains("key=there"), "{told}");
        assert_eq!(told.matches("loose=").count(), 2, "{told}");
        for _ in 0..2 {
            run(&home, AUTHORIZE, &[KEY, &line]);
            let keys = std::fs::read_to_string(home.join("keys")).unwrap();
            assert_eq!(keys, format!("{kept}\n{line}\n"));
        }
        assert_eq!((mode(&home), mode(&home.join("keys"))), (0o755, 0o644));
        let told = run(&home, LOOK, &[KEY, ""]);
        assert!(
            told.contains("key=there") && !told.contains("loose="),
            "{told}"
        );
        assert!(told.contains(&format!("mark=line {line}")), "{told}");
        run(&home, TAKE_BACK, &[&line, "yes"]);
        let keys = std::fs::read_to_string(home.join("keys")).unwrap();
        assert_eq!(keys, format!("{kept}\n"));
        assert!(home.join(".ssh/authorized_keys").is_symlink());
        assert!(!home.join(".qdebug/setup").exists());
        assert_eq!(run(&home, TAKE_BACK, &[&line, "yes"]), "");
    }

    #[test]
    fn a_home_without_ssh_gets_a_private_one() {
        let home = tempfile::tempdir().unwrap();
        run(home.path(), AUTHORIZE, &[KEY, KEY]);
        let (folder, file) = (".ssh", ".ssh/authorized_keys");
        let modes = [folder, file].map(|path| mode(&home.path().join(path)));
        assert_eq!(modes, [0o700, 0o600]);
    }

    #[test]
    fn a_binary_is_placed_when_it_runs_and_removed_when_it_is_ours() {
        use sha2::{Digest as _, Sha256};
        let home = tempfile::tempdir().unwrap();
        let (new, place) = (home.path().join("new"), home.path().join("my qdebug"));
        let place_it = |text: &str| {
            std::fs::write(&new, text).unwrap();
            let sum = Sha256::digest(text.as_bytes());
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            let words = [new.to_str().unwrap(), place.to_str().unwrap(), &sum];
            run(home.path(), PLACE, &words)
        };
        let told = place_it("#!/bin/sh\necho qdebug 1.2.3\n");
        assert_eq!(told, "said=qdebug 1.2.3");
        assert!(!new.exists() && mode(&place) == 0o755);
        place_it("#!/bin/sh\necho qdebug 1.2.4\n");
        let told = run(home.path(), LOOK, &["", place.to_str().unwrap()]);
        assert!(told.contains("my qdebug\nversion=qdebug 1.2.4"), "{told}");
        assert_eq!(told.matches("mark=binary ").count(), 1, "{told}");
        std::fs::write(&place, "#!/bin/sh\n").unwrap();
        let told = run(home.path(), TAKE_BACK, &["", "yes"]);
        assert!(told.starts_with("left=") && place.exists(), "{told}");
        place_it("#!/bin/sh\necho qdebug 1.2.4\n");
        let told = run(home.path(), TAKE_BACK, &["", "yes"]);
        assert!(told.starts_with("done=") && !place.exists(), "{told}");
    }
}
