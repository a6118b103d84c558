//! Tests of `context.rs`.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn packed(context: &Context) -> BTreeMap<String, String> {
    let mut bytes = Vec::new();
    let digest = context.pack(&mut bytes).unwrap();
    assert_eq!(digest, context.digest().unwrap());
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut text = match entry.link_name().unwrap() {
            Some(target) => format!("-> {}", target.display()),
            None => String::new(),
        };
        entry.read_to_string(&mut text).unwrap();
        (path.trim_end_matches('/').to_owned(), text)
    });
    entries.collect()
}

#[test]
fn what_is_ignored_is_neither_packed_nor_digested() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "Dockerfile", "FROM debian\n");
    write(at, ".dockerignore", "data\n**/*.log\n!data/keep\n");
    write(at, "a b/é.txt", "text");
    write(at, "a b/x.log", "log");
    write(at, "data/big", "big");
    write(at, "data/keep", "kept");
    symlink("/etc/passwd", at.join("link")).unwrap();
    let context = Context::read(&at.join("Dockerfile"), at).unwrap();
    let files = packed(&context);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            ".dockerignore",
            "Dockerfile",
            "a b",
            "a b/é.txt",
            "data",
            "data/keep",
            "link"
        ]
    );
    assert_eq!(files["link"], "-> /etc/passwd");
    // A list of the recipe's own takes the place of the common one.
    write(at, "Dockerfile.dockerignore", "a b\n");
    let own = packed(&Context::read(&at.join("Dockerfile"), at).unwrap());
    assert!(own.contains_key("data/big") && !own.contains_key("a b"));
    assert_eq!(own[".dockerignore"], "");
    std::fs::remove_file(at.join("Dockerfile.dockerignore")).unwrap();
    let before = context.digest().unwrap();
    write(at, "data/big", "other");
    let again = Context::read(&at.join("Dockerfile"), at).unwrap();
    assert_eq!(again.digest().unwrap(), before);
    write(at, "a b/é.txt", "other");
    assert_ne!(again.digest().unwrap(), before);
}

#[test]
fn a_recipe_outside_of_its_context_travels_along_and_is_not_copied() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(folder.path(), "file", "x");
    write(other.path(), "my recipe", "FROM debian\n");
    let context = Context::read(&other.path().join("my recipe"), folder.path()).unwrap();
    let files = packed(&context);
    let name = context.recipe_name();
    assert_eq!(files[&name], "FROM debian\n");
    assert!(files[".dockerignore"].contains(&name));
    assert_eq!(files["file"], "x");
    // One that its own list leaves out is needed all the same.
    write(folder.path(), "Dockerfile", "FROM busybox\n");
    write(folder.path(), ".dockerignore", "Dockerfile\n");
    let context = Context::read(&folder.path().join("Dockerfile"), folder.path()).unwrap();
    assert_eq!(packed(&context)["Dockerfile"], "FROM busybox\n");
}

#[test]
fn a_mode_and_a_name_count_and_a_time_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "Dockerfile", "FROM debian\n");
    write(at, "run.sh", "x");
    let digest = || {
        let context = Context::read(&at.join("Dockerfile"), at).unwrap();
        context.digest().unwrap()
    };
    let before = digest();
    let file = File::options().write(true).open(at.join("run.sh")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(digest(), before);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(at.join("run.sh"), executable).unwrap();
    let executable = digest();
    assert_ne!(executable, before);
    std::fs::rename(at.join("run.sh"), at.join("run2.sh")).unwrap();
    assert_ne!(digest(), executable);
}

#[test]
fn pipes_are_left_out_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "Dockerfile", "FROM debian\n");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let context = Context::read(&at.join("Dockerfile"), at).unwrap();
    assert_eq!(packed(&context).len(), 1);
    let error = Context::read(&at.join("pipe"), at).unwrap_err();
    assert!(error.to_string().contains("no file"), "{error}");
    let error = Context::read(&at.join("none"), at).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    let error = Context::read(at, at).unwrap_err();
    assert!(error.to_string().contains("no file"), "{error}");
}
