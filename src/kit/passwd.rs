//! passwd and group for the container, and the shell: what sshd and `whoami` look up.
//!
//! Problem: the image does not know the user, or knows another of the same name or id. Evidence:
//! with two entries of one name sshd closes the connection, so the image's must go, not just come
//! later. Pure: texts in, texts out; whatever in the image's texts is no entry is left out.

use super::{Error, paths};

/// The user the container runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Numeric id of the primary group.
    pub gid: u32,
    /// The primary group's name.
    pub group: String,
    /// Absolute path.
    pub home: String,
    /// A shell that exists in the container; see [`choose_shell`].
    pub shell: String,
    /// Further groups, id and name.
    pub supplementary: Vec<(u32, String)>,
}

/// The user as whom sshd would separate privileges; it insists on the entry in some versions.
const SSHD: &str = "sshd";

/// The passwd text: ours first, then the image's entries of other names and ids.
///
/// # Errors
/// [`Error::Field`] when one of ours cannot stand in such a file.
pub fn passwd(image: &str, user: &User) -> Result<String, Error> {
    for (field, value) in [
        ("name", &user.name),
        ("home", &user.home),
        ("shell", &user.shell),
    ] {
        check("passwd", field, value, ":")?;
    }
    let User {
        name,
        uid,
        gid,
        home,
        shell,
        ..
    } = user;
    let mut text = format!("{name}:x:{uid}:{gid}::{home}:{shell}\n");
    let mut uids = vec![*uid];
    let mut has_sshd = name == SSHD;
    for entry in entries(image, 7, &[2, 3]) {
        if entry.name != name && entry.id != *uid {
            text.push_str(entry.line);
            text.push('\n');
            uids.push(entry.id);
            has_sshd |= entry.name == SSHD;
        }
    }
    if !has_sshd {
        let free = (100..1000)
            .rev()
            .find(|uid| !uids.contains(uid))
            .unwrap_or(65_533);
        text.push_str(&format!(
            "{SSHD}:x:{free}:65534::/run/sshd:/usr/sbin/nologin\n"
        ));
    }
    Ok(text)
}

/// The group text: ours first, the supplementary ones with the user as member, then the image's
/// of other names and ids.
///
/// # Errors
/// [`Error::Field`].
pub fn group(image: &str, user: &User) -> Result<String, Error> {
    check("group", "name", &user.name, ":,")?;
    let primary = (user.gid, user.group.clone());
    let mut ours: Vec<&(u32, String)> = Vec::new();
    let mut text = String::new();
    for group in std::iter::once(&primary).chain(&user.supplementary) {
        let (gid, name) = group;
        check("group", "group", name, ":,")?;
        if ours.iter().any(|(id, known)| id == gid || known == name) {
            continue;
        }
        let member = if *gid == user.gid { "" } else { &user.name };
        text.push_str(&format!("{name}:x:{gid}:{member}\n"));
        ours.push(group);
    }
    for entry in entries(image, 4, &[2]) {
        if !ours
            .iter()
            .any(|(gid, name)| *gid == entry.id || name == entry.name)
        {
            text.push_str(entry.line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// The first of the candidates that exists in the image, else the kit's.
pub fn choose_shell<'a>(
    candidates: impl IntoIterator<Item = &'a str>,
    exists: impl Fn(&str) -> bool,
) -> &'a str {
    let usable = |shell: &&str| shell.starts_with('/') && check("", "", shell, ":").is_ok();
    let mut candidates = candidates.into_iter().filter(usable);
    candidates
        .find(|shell| exists(shell))
        .unwrap_or(paths::SHELL)
}

/// One entry of the image.
struct Entry<'a> {
    line: &'a str,
    name: &'a str,
    id: u32,
}

/// The lines that are entries: the right number of fields, a name, numbers where they belong, no
/// control character. The first number is the id.
fn entries<'a>(
    text: &'a str,
    fields: usize,
    numbers: &'a [usize],
) -> impl Iterator<Item = Entry<'a>> {
    text.lines().filter_map(move |line| {
        let parts: Vec<&str> = line.split(':').collect();
        let name = parts[0];
        // NIS lines start with a sign, comments with a hash.
        let named = !name.is_empty() && !name.starts_with(['+', '-', '#']);
        let ids: Option<Vec<u32>> = numbers
            .iter()
            .map(|&at| parts.get(at).and_then(|part| part.parse().ok()))
            .collect();
        let plain = parts.len() == fields && named && !line.contains(char::is_control);
        let id = *ids?.first()?;
        plain.then_some(Entry { line, name, id })
    })
}

fn check(file: &'static str, field: &'static str, value: &str, not: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_control() || not.contains(c);
    if value.is_empty() || value.starts_with(['+', '-', '#']) || value.contains(bad) {
        let value = value.to_owned();
        return Err(Error::Field { file, field, value });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> User {
        User {
            name: "alice".into(),
            uid: 2001,
            gid: 3001,
            group: "domain users".into(),
            home: "/home/al ice".into(),
            shell: "/bin/bash".into(),
            supplementary: vec![(44, "gpu".into()), (3001, "again".into())],
        }
    }

    #[test]
    fn an_empty_image_gets_the_user_and_sshd() {
        assert_eq!(
            passwd("", &alice()).unwrap(),
            "alice:x:2001:3001::/home/al ice:/bin/bash\n\
             sshd:x:999:65534::/run/sshd:/usr/sbin/nologin\n"
        );
        assert_eq!(
            group("", &alice()).unwrap(),
            "domain users:x:3001:\ngpu:x:44:alice\n"
        );
    }

    #[test]
    fn namesakes_and_same_ids_are_replaced() {
        let image = "root:x:0:0:root:/root:/bin/sh\nalice:x:7:7::/:/x\nubuntu:x:2001:1::/:/x\n\
                     sshd:x:74:74::/:/x\nalicex:x:8:8::/:/x";
        assert_eq!(
            passwd(image, &alice()).unwrap(),
            "alice:x:2001:3001::/home/al ice:/bin/bash\nroot:x:0:0:root:/root:/bin/sh\n\
             sshd:x:74:74::/:/x\nalicex:x:8:8::/:/x\n"
        );
        let image = "root:x:0:\ngpu:x:9:\nvideo:x:44:\nstaff:x:3001:\nsudo:x:27:alice,bob\n";
        assert_eq!(
            group(image, &alice()).unwrap(),
            "domain users:x:3001:\ngpu:x:44:alice\nroot:x:0:\nsudo:x:27:alice,bob\n"
        );
    }

    #[test]
    fn hostile_lines_do_no_harm() {
        let image = "+::::::\n-bob::::::\n# x:x:1:1:::\n:x:0:0:::\nshort:x:1\nbad:x:-1:0:::\n\
                     big:x:99999999999:0:::\ntwo:x:5:5::/:/x:y\nesc\x1b:x:6:6:::\nok:x:7:7:::\r\n";
        let text = passwd(image, &alice()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("\nok:x:7:7:::\n"));
    }

    #[test]
    fn sshd_takes_a_free_id() {
        let mut image = String::new();
        for uid in 900..1000 {
            image.push_str(&format!("u{uid}:x:{uid}:1:::\n"));
        }
        assert!(passwd(&image, &alice()).unwrap().contains("\nsshd:x:899:"));
        let sshd = User {
            name: SSHD.into(),
            ..alice()
        };
        assert_eq!(passwd("", &sshd).unwrap().lines().count(), 1);
    }

    #[test]
    fn our_own_fields_are_checked() {
        for name in ["", "a:b", "a\nroot::0:0:::", "+", "#x"] {
            let user = User {
                name: name.into(),
                ..alice()
            };
            assert!(passwd("", &user).is_err(), "{name:?}");
            assert!(group("", &user).is_err(), "{name:?}");
        }
        let home = User {
            home: "/a\n".into(),
            ..alice()
        };
        assert!(matches!(
            passwd("", &home),
            Err(Error::Field { field: "home", .. })
        ));
        let groups = User {
            supplementary: vec![(1, "a,b".into())],
            ..alice()
        };
        assert!(matches!(
            group("", &groups),
            Err(Error::Field { field: "group", .. })
        ));
        let windows = User {
            name: "DOM\\alice".into(),
            ..alice()
        };
        assert!(
            passwd("", &windows)
                .unwrap()
                .starts_with("DOM\\alice:x:2001:")
        );
    }

    #[test]
    fn the_first_shell_that_exists_is_taken() {
        let candidates = ["/usr/bin/fish", "/bin/bash", "/bin/sh"];
        let has = |there: &'static [&str]| move |shell: &str| there.contains(&shell);
        assert_eq!(
            choose_shell(candidates, has(&["/bin/sh", "/bin/bash"])),
            "/bin/bash"
        );
        assert_eq!(choose_shell(candidates, has(&[])), "/.qdebug/bin/sh");
        let strange = ["bash", "", "/bin/a:b", "/bin/sh\n"];
        assert_eq!(choose_shell(strange, |_| true), "/.qdebug/bin/sh");
    }
}
