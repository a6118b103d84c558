//! The scripts that `setup` runs on the login node, for `sh` and without a byte of data in them:
//! what varies is an argument. Each prints `word=value` lines and calls `finish STATUS`, which they
//! are given (see `ssh::script`).
//!
//! What setup has changed there is written into `~/.qdebug/setup`, so that it can be taken back:
//! `line AUTHORIZED_KEYS_LINE` for each laptop whose key it added, `binary SHA256 PATH`, `before PATH`
//! for what was in its place and is kept, and `laptop ID` for each that uses that binary.

/// Looks and changes nothing.
pub(super) const LOOK: &str = include_str!("look.sh");

/// Closes what sshd would not take, and lets a key in.
pub(super) const AUTHORIZE: &str = include_str!("authorize.sh");

/// Puts the binary that has arrived in its place.
pub(super) const PLACE: &str = include_str!("place.sh");

/// Notes that this laptop uses the binary.
pub(super) const NOTE: &str = include_str!("note.sh");

/// Takes back what setup has done.
pub(super) const TAKE_BACK: &str = include_str!("take_back.sh");

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

    /// Runs a script as login would, in a home of its own; what it printed, or its last words.
    fn tried(home: &Path, script: &str, args: &[&str]) -> Result<String, String> {
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
        match end {
            "0" => Ok(told.trim().to_owned()),
            _ => Err(output.stderr),
        }
    }

    /// The same, where it is to end well.
    fn run(home: &Path, script: &str, args: &[&str]) -> String {
        tried(home, script, args).unwrap()
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
        run(&home, TAKE_BACK, &[&line, "yes", ""]);
        let keys = std::fs::read_to_string(home.join("keys")).unwrap();
        assert_eq!(keys, format!("{kept}\n"));
        assert!(home.join(".ssh/authorized_keys").is_symlink());
        assert!(!home.join(".qdebug/setup").exists());
        assert_eq!(run(&home, TAKE_BACK, &[&line, "yes", ""]), "");
    }

    #[test]
    fn zero_bytes_hide_no_key_and_lose_no_line() {
        let home = tempfile::tempdir().unwrap();
        let keys = home.path().join(".ssh/authorized_keys");
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(&keys, b"ssh-rsa AAAA o\0ld\n\0").unwrap();
        let line = format!("{KEY} me");
        for _ in 0..2 {
            run(home.path(), AUTHORIZE, &[KEY, &line]);
            let text = std::fs::read(&keys).unwrap();
            let wanted = [b"ssh-rsa AAAA o\0ld\n\0\n", line.as_bytes(), b"\n"].concat();
            assert_eq!(text, wanted);
        }
        assert!(run(home.path(), LOOK, &[KEY, ""]).contains("key=there"));
        let before = std::fs::read(&keys).unwrap();
        let told = run(home.path(), TAKE_BACK, &[&line, "yes", ""]);
        assert!(
            told.starts_with("left=") && told.contains("by hand"),
            "{told}"
        );
        assert_eq!(std::fs::read(&keys).unwrap(), before);
    }

    #[test]
    fn what_start_files_leave_running_holds_nothing_up() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".profile"), "sleep 20 & echo /odd\n").unwrap();
        let began = std::time::Instant::now();
        run(home.path(), LOOK, &["", ""]);
        assert!(began.elapsed() < std::time::Duration::from_secs(15));
    }

    #[test]
    fn each_laptop_that_uses_the_binary_is_noted_once() {
        let home = tempfile::tempdir().unwrap();
        let record = home.path().join(".qdebug/setup");
        run(home.path(), NOTE, &["1a"]);
        assert!(!record.exists());
        std::fs::create_dir(home.path().join(".qdebug")).unwrap();
        std::fs::write(&record, "binary abc /no/where\n").unwrap();
        for laptop in ["1a", "1a", "2b"] {
            run(home.path(), NOTE, &[laptop]);
        }
        let text = || std::fs::read_to_string(&record).unwrap();
        assert_eq!(text(), "binary abc /no/where\nlaptop 1a\nlaptop 2b\n");
        run(home.path(), TAKE_BACK, &["", "", "1a"]);
        assert_eq!(text(), "binary abc /no/where\nlaptop 2b\n");
    }

    #[test]
    fn a_home_without_ssh_gets_a_private_one() {
        let home = tempfile::tempdir().unwrap();
        run(home.path(), AUTHORIZE, &[KEY, KEY]);
        let (folder, file) = (".ssh", ".ssh/authorized_keys");
        let modes = [folder, file].map(|path| mode(&home.path().join(path)));
        assert_eq!(modes, [0o700, 0o600]);
    }

    /// A file that says it is of that version.
    fn program(version: &str) -> String {
        format!("#!/bin/sh\necho qdebug {version}\n")
    }

    /// [`PLACE`] of a program of that version at `my qdebug` of the home.
    fn try_place(home: &Path, version: &str, keep: &Path) -> Result<String, String> {
        use sha2::{Digest as _, Sha256};
        let (new, place) = (home.join("new"), home.join("my qdebug"));
        let text = program(version);
        std::fs::write(&new, &text).unwrap();
        let sum = Sha256::digest(text.as_bytes());
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        let [new, place, keep] = [&new, &place, keep].map(|path| path.to_str().unwrap());
        tried(home, PLACE, &[new, place, &sum, keep])
    }

    /// The same, where it is to end well.
    fn place(home: &Path, version: &str, keep: &Path) -> String {
        try_place(home, version, keep).unwrap()
    }

    #[test]
    fn a_binary_is_placed_when_it_runs_and_removed_when_it_is_ours() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let at = home.join("my qdebug");
        let place = |version| place(home, version, Path::new(""));
        assert_eq!(place("1.2.3"), "said=qdebug 1.2.3");
        assert!(!home.join("new").exists() && mode(&at) == 0o755);
        place("1.2.4");
        let told = run(home, LOOK, &["", at.to_str().unwrap()]);
        assert!(told.contains("my qdebug\nversion=qdebug 1.2.4"), "{told}");
        let sums = |word: &str| {
            let of = |line: &str| line.strip_prefix(word).map(str::to_owned);
            told.lines().find_map(of).unwrap()
        };
        assert!(sums("mark=binary ").starts_with(&sums("sum=")), "{told}");
        assert_eq!(told.matches("mark=binary ").count(), 1, "{told}");
        let told = run(home, TAKE_BACK, &["", "yes", "1a"]);
        assert!(told.starts_with("done=") && !at.exists(), "{told}");
    }

    #[test]
    fn a_binary_that_was_changed_since_is_left_with_the_reason() {
        let home = tempfile::tempdir().unwrap();
        let (at, kept) = (home.path().join("my qdebug"), home.path().join("kept"));
        std::fs::write(&at, "mine").unwrap();
        place(home.path(), "1.2.3", &kept);
        std::fs::write(&at, "#!/bin/sh\n").unwrap();
        let told = run(home.path(), TAKE_BACK, &["", "yes", "1a"]);
        let (first, second) = told.split_once("\nleft=").unwrap();
        let words = format!("left={}\nwhy=it was changed since", at.display());
        assert!(first.starts_with(&words), "{told}");
        let words = format!("{}\nwhy=it is what was there before setup", kept.display());
        assert!(second.starts_with(&words), "{told}");
        assert_eq!(std::fs::read_to_string(&at).unwrap(), "#!/bin/sh\n");
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
        assert!(!home.path().join(".qdebug/setup").exists());
    }

    #[test]
    fn what_is_in_the_binarys_place_is_kept_and_comes_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let (at, kept) = (home.join("my qdebug"), home.join("kept as 1"));
        let own = b"\0own\xff".to_vec();
        std::fs::write(&at, &own).unwrap();
        set_mode(&at, 0o640);
        let told = place(home, "1.2.3", &kept);
        let words = format!("kept={}\nsaid=qdebug 1.2.3", kept.display());
        assert_eq!(told, words);
        assert_eq!(
            (std::fs::read(&kept).unwrap(), mode(&kept)),
            (own.clone(), 0o640)
        );
        // Setup's own is kept nowhere, whatever name it is given for it.
        assert_eq!(
            place(home, "1.2.4", &home.join("none")),
            "said=qdebug 1.2.4"
        );
        assert!(!home.join("none").exists());
        run(home, TAKE_BACK, &["", "", "1a"]);
        assert!(kept.exists());
        let told = run(home, TAKE_BACK, &["", "yes", "1a"]);
        assert!(
            told.starts_with("done=") && !told.contains("left="),
            "{told}"
        );
        assert_eq!((std::fs::read(&at).unwrap(), mode(&at)), (own, 0o640));
        assert!(!kept.exists() && !home.join(".qdebug/setup").exists());

        // A link, whose target stays as it is; removed by the user meanwhile.
        std::fs::remove_file(&at).unwrap();
        std::fs::write(home.join("built"), program("0.0.9")).unwrap();
        symlink("built", &at).unwrap();
        place(home, "1.2.3", &kept);
        std::fs::remove_file(&at).unwrap();
        run(home, TAKE_BACK, &["", "yes", "1a"]);
        assert_eq!(std::fs::read_link(&at).unwrap(), Path::new("built"));
        let built = std::fs::read_to_string(home.join("built")).unwrap();
        assert_eq!(built, program("0.0.9"));
    }

    #[test]
    fn what_was_kept_earlier_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let at = home.join(".local/bin/qdebug");
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let keep = |told: &str| {
            let word = |line: &str| line.strip_prefix("keep=").map(str::to_owned);
            told.lines().find_map(word)
        };
        assert_eq!(keep(&run(home, LOOK, &["", ""])), None);
        for wanted in ["qdebug.before-setup", "qdebug.before-setup-2"] {
            std::fs::write(&at, wanted).unwrap();
            let kept = at.with_file_name(wanted);
            let told = keep(&run(home, LOOK, &["", ""]));
            assert_eq!(told.as_deref(), kept.to_str());
            std::fs::rename(&at, &kept).unwrap();
        }
        // One that came after the look stops it, and so does a file nobody knew of.
        let at = home.join("my qdebug");
        std::fs::write(&at, "mine").unwrap();
        let refused = |keep: &Path| {
            let told = try_place(home, "1.2.3", keep).unwrap_err();
            assert!(told.contains("run it again"), "{told}");
            assert_eq!(std::fs::read_to_string(&at).unwrap(), "mine");
            assert!(!home.join("new").exists());
        };
        refused(Path::new(""));
        let kept = home.join("kept");
        std::fs::write(&kept, "earlier").unwrap();
        refused(&kept);
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "earlier");
    }

    #[test]
    fn of_what_was_kept_twice_the_last_comes_back() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let at = home.join("my qdebug");
        for number in ["1", "2"] {
            std::fs::write(&at, number).unwrap();
            place(home, "1.2.3", &home.join(number));
        }
        let told = run(home, TAKE_BACK, &["", "yes", "1a"]);
        let words = format!("left={}\nwhy=", home.join("1").display());
        assert!(told.starts_with(&words), "{told}");
        assert_eq!(std::fs::read_to_string(&at).unwrap(), "2");
        assert_eq!(std::fs::read_to_string(home.join("1")).unwrap(), "1");
    }
}
