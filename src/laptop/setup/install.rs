//! Which qdebug the cluster is to be asked by, and whether this one's binary is of use there.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::there::{Candidate, Placed, There};
use super::version::Version;

/// What is to be done about qdebug on the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// One of this version is there.
    Ready(String),
    /// This one's binary goes there, instead of another where there is one.
    Put {
        /// Where to.
        place: String,
        /// What it takes over from.
        instead: Option<Candidate>,
        /// Where what is in that place now, which is not setup's, is kept.
        keep: Option<String>,
    },
    /// Another one is there, which works, and this one's binary is no better.
    Keep {
        /// The other.
        other: Candidate,
        /// Why.
        why: String,
    },
    /// None is there, and this one's binary is of no use.
    Impossible(String),
}

/// A binary of ours, and for what machine it was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Built {
    /// Its SHA-256 in hexadecimal digits.
    pub(super) sum: String,
    pub(super) system: &'static str,
    pub(super) machine: &'static str,
    /// The glibc it needs at least; `None` for a static one.
    pub(super) glibc: Option<(u32, u32)>,
    /// Whether it has its kit inside, without which no session gets ready.
    pub(super) has_kit: bool,
}

impl Built {
    /// This program, whose file this is.
    pub(super) fn of(binary: &[u8], has_kit: bool) -> Self {
        let sum = Sha256::digest(binary);
        Self {
            sum: sum.iter().map(|byte| format!("{byte:02x}")).collect(),
            has_kit,
            system: std::env::consts::OS,
            machine: std::env::consts::ARCH,
            glibc: needed_glibc(binary),
        }
    }

    /// Whether it runs there, as far as that can be told from here.
    fn fits(&self, there: &There) -> Result<(), String> {
        let machine = match there.machine.as_str() {
            "arm64" => "aarch64",
            "amd64" => "x86_64",
            machine => machine,
        };
        if self.system != "linux" || there.system != "Linux" || machine != self.machine {
            return Err(format!(
                "this qdebug is built for {} on {}, the cluster is {} on {}",
                self.system, self.machine, there.system, there.machine
            ));
        }
        if !self.has_kit {
            return Err(
                "this qdebug has no kit inside: `qdebug kit build`, then build it again".to_owned(),
            );
        }
        match (self.glibc, there.glibc) {
            (Some(needed), Some(has)) if needed > has => Err(format!(
                "this qdebug needs glibc {}.{}, the cluster has {}.{}",
                needed.0, needed.1, has.0, has.1
            )),
            _ => Ok(()),
        }
    }
}

/// What is to be done.
pub(super) fn plan(there: &There, own: Version, built: &Built) -> Plan {
    let same = |found: &&Candidate| found.version == Some(own);
    if let Some(found) = there.found.iter().find(same) {
        // One that setup has put there, of an earlier build.
        let older = there.binary.as_ref().filter(|placed| {
            placed.path == found.path && placed.is_ours() && placed.sum != built.sum
        });
        return match older {
            Some(_) if built.fits(there).is_ok() => Plan::Put {
                place: found.path.clone(),
                instead: Some(found.clone()),
                keep: None,
            },
            _ => Plan::Ready(found.path.clone()),
        };
    }
    let other = there.found.first().cloned();
    let newer = |found: &&Candidate| found.version > Some(own);
    if let Some(newer) = there.found.iter().find(newer) {
        return Plan::Keep {
            other: newer.clone(),
            why: "it is newer than this one: install the same here".to_owned(),
        };
    }
    match (built.fits(there), other) {
        (Ok(()), instead) => {
            let place = format!("{}/.local/bin/qdebug", there.home);
            let is_own = |placed: &Placed| placed.path == place && placed.is_ours();
            let keep = match there.binary.as_ref().is_some_and(is_own) {
                true => None,
                false => there.keep.clone(),
            };
            Plan::Put {
                place,
                instead,
                keep,
            }
        }
        (Err(why), Some(other)) if other.version.is_some() => Plan::Keep { other, why },
        (Err(why), _) => Plan::Impossible(why),
    }
}

/// The newest version of glibc whose symbols a program asks for: in the strings of its dynamic
/// section each stands as `GLIBC_2.34` between two zero bytes.
fn needed_glibc(binary: &[u8]) -> Option<(u32, u32)> {
    const WORD: &[u8] = b"\0GLIBC_";
    let mut newest = None;
    let mut rest = binary;
    while let Some(at) = find(rest, WORD) {
        rest = &rest[at + WORD.len()..];
        let version = rest.iter().take(12).take_while(|byte| **byte != 0);
        let version: Vec<u8> = version.copied().collect();
        let ends = rest.get(version.len()) == Some(&0);
        let version = String::from_utf8_lossy(&version);
        if let Some(version) = super::there::two_numbers(&version).filter(|_| ends) {
            newest = newest.max(Some(version));
        }
    }
    newest
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    // Rare bytes first: a program is tens of megabytes.
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| *byte == b'G')?;
        if at > 0 && text[at - 1..].starts_with(word) {
            return Some(at - 1);
        }
        from = at + 1;
    }
}

/// This program's file.
pub(super) fn own_binary() -> std::io::Result<Vec<u8>> {
    // The link leads to the file that runs, also when another has taken its place meanwhile.
    let of_process = Path::new("/proc/self/exe");
    match of_process.exists() {
        true => std::fs::read(of_process),
        false => std::fs::read(std::env::current_exe()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(found: &[(&str, &str)]) -> There {
        let mut text = "home=/home/al\nsystem=Linux\nmachine=x86_64\nlibc=glibc 2.28\n".to_owned();
        for (path, version) in found {
            text.push_str(&format!("qdebug={path}\nversion=qdebug {version}\n"));
        }
        There::read(&text)
    }

    fn built(glibc: Option<(u32, u32)>) -> Built {
        Built {
            sum: "5a".to_owned(),
            system: "linux",
            machine: "x86_64",
            glibc,
            has_kit: true,
        }
    }

    fn decide(found: &[(&str, &str)], built: &Built) -> Plan {
        let own = Version::read("qdebug 0.2.0").unwrap();
        plan(&there(found), own, built)
    }

    #[test]
    fn the_same_version_is_used_wherever_it_is() {
        let found = [("/old", "0.1.0"), ("/opt/qdebug", "0.2.0")];
        assert_eq!(
            decide(&found, &built(None)),
            Plan::Ready("/opt/qdebug".into())
        );
    }

    #[test]
    fn an_earlier_build_that_setup_has_put_there_is_replaced() {
        let own = Version::read("qdebug 0.2.0").unwrap();
        let planned = |record: &str, path: &str| {
            let mut there = there(&[(path, "0.2.0")]);
            let marked = There::read(&format!("mark=binary {record}\n"));
            there.binary = marked.binary;
            plan(&there, own, &built(None))
        };
        let place = "/home/al/.local/bin/qdebug";
        let older = planned(&format!("0b {place}\nsum=0b"), place);
        assert!(
            matches!(older, Plan::Put { place: at, instead: Some(_), keep: None } if at == place)
        );
        for (record, path) in [
            (format!("5a {place}\nsum=5a"), place),
            // Somebody has put another there since.
            (format!("0b {place}\nsum=0c"), place),
            (format!("0b {place}"), place),
            (format!("0b {place}\nsum=0b"), "/opt/qdebug"),
        ] {
            let kept = planned(&record, path);
            assert_eq!(kept, Plan::Ready(path.to_owned()), "{record}");
        }
    }

    #[test]
    fn what_is_in_its_place_is_kept_unless_setup_has_put_it_there() {
        let own = Version::read("qdebug 0.2.0").unwrap();
        let place = "/home/al/.local/bin/qdebug";
        let kept = |record: &str| {
            let mut there = there(&[(place, "0.1.0")]);
            let marked = format!("keep={place}.before-setup\n{record}");
            let marked = There::read(&marked);
            (there.binary, there.keep) = (marked.binary, marked.keep);
            match plan(&there, own, &built(None)) {
                Plan::Put { keep, .. } => keep,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kept(&format!("mark=binary 0b {place}\nsum=0b\n")), None);
        for record in [
            String::new(),
            format!("mark=binary 0b {place}\nsum=0c\n"),
            format!("mark=binary 0b {place}\nsum=none\n"),
            "mark=binary 0b /elsewhere\nsum=0b\n".to_owned(),
        ] {
            let name = Some(format!("{place}.before-setup"));
            assert_eq!(kept(&record), name, "{record}");
        }
    }

    #[test]
    fn a_binary_goes_only_where_it_runs() {
        let place = "/home/al/.local/bin/qdebug";
        let fits = decide(&[], &built(Some((2, 28))));
        assert!(matches!(fits, Plan::Put { place: at, instead: None, keep: None } if at == place));
        let newer = decide(&[], &built(Some((2, 34))));
        assert!(matches!(newer, Plan::Impossible(why) if why.contains("glibc 2.34")));
        let arm = Built {
            machine: "aarch64",
            ..built(None)
        };
        assert!(matches!(decide(&[], &arm), Plan::Impossible(why) if why.contains("x86_64")));
        let bare = Built {
            has_kit: false,
            ..built(None)
        };
        assert!(matches!(decide(&[], &bare), Plan::Impossible(why) if why.contains("kit build")));
        let mac = Built {
            system: "macos",
            ..built(None)
        };
        assert!(matches!(
            decide(&[("/q", "0.1.0")], &mac),
            Plan::Keep { .. }
        ));
    }

    #[test]
    fn an_older_one_or_one_that_does_not_run_is_taken_over_from_and_a_newer_one_is_not() {
        for version in ["0.1.9", "broken"] {
            let plan = decide(&[("/q", version)], &built(None));
            assert!(
                matches!(
                    plan,
                    Plan::Put {
                        instead: Some(_),
                        ..
                    }
                ),
                "{plan:?}"
            );
        }
        let plan = decide(&[("/q", "0.10.0")], &built(None));
        assert!(matches!(plan, Plan::Keep { why, .. } if why.contains("newer")));
        let behind = decide(&[("/usr/bin/q", "0.1.0"), ("/q", "0.3.0")], &built(None));
        assert!(matches!(behind, Plan::Keep { other, .. } if other.path == "/q"));
    }

    #[test]
    fn what_a_program_needs_is_in_its_strings() {
        let program =
            b"GLIBC_2.99\0GLIBC_2.2.5\0x\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0\0GLIBC_2.98x";
        assert_eq!(needed_glibc(program), Some((2, 34)));
        assert_eq!(needed_glibc(b"static"), None);
        assert_eq!(needed_glibc(b""), None);
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            let own = needed_glibc(&own_binary().unwrap()).unwrap();
            assert!(((2, 2)..(3, 0)).contains(&own), "{own:?}");
        }
    }
}
