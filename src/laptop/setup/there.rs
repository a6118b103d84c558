//! What was found on the login node, read as hostile.

use super::version::Version;

/// A qdebug of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its path there.
    pub(super) path: String,
    /// Its version; `None` where it does not run.
    pub(super) version: Option<Version>,
}

/// What [`super::scripts::LOOK`] has printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct There {
    pub(super) home: String,
    pub(super) system: String,
    pub(super) machine: String,
    pub(super) glibc: Option<(u32, u32)>,
    /// Files and folders that others may write to, so that sshd takes no key.
    pub(super) loose: Vec<String>,
    /// The same, of somebody else.
    pub(super) foreign: Vec<String>,
    /// Whether the key is in authorized_keys.
    pub(super) has_key: bool,
    pub(super) found: Vec<Candidate>,
    /// Lines of authorized_keys that setup has added.
    pub(super) lines: Vec<String>,
    /// What tells the laptops apart that use the binary.
    pub(super) laptops: Vec<String>,
    /// The binary that setup has put there.
    pub(super) binary: Option<Placed>,
    /// Where what setups have found in their binary's place is kept; the last one last.
    pub(super) kept: Vec<String>,
    /// Where what is in the place of setup's binary now would be kept; `None` where nothing is.
    pub(super) keep: Option<String>,
}

/// A binary that setup has put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its path there.
    pub(super) path: String,
    /// Its SHA-256 then, in hexadecimal digits.
    pub(super) sum: String,
    /// That of the file as it is now; of no hexadecimal digits where it is no file.
    pub(super) sum_now: Option<String>,
}

impl Placed {
    /// Whether nobody has changed it since.
    pub(super) fn is_ours(&self) -> bool {
        self.sum_now.as_ref() == Some(&self.sum)
    }
}

impl There {
    /// Reads it; words that are not known are passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut there = Self::default();
        for line in text.lines() {
            let Some((word, value)) = line.split_once('=') else {
                continue;
            };
            if value.contains(char::is_control) {
                continue;
            }
            let own = || value.to_owned();
            match word {
                "home" if value.starts_with('/') => there.home = own(),
                "system" => there.system = own(),
                "machine" => there.machine = own(),
                "libc" => there.glibc = value.strip_prefix("glibc ").and_then(two_numbers),
                "loose" => there.loose.push(own()),
                "foreign" => there.foreign.push(own()),
                "key" => there.has_key = true,
                "qdebug" if value.starts_with('/') => there.found.push(Candidate {
                    path: own(),
                    version: None,
                }),
                "version" => {
                    if let Some(last) = there.found.last_mut() {
                        last.version = Version::read(value);
                    }
                }
                "keep" if value.starts_with('/') => there.keep = Some(own()),
                "mark" => there.mark(value),
                "sum" => {
                    if let Some(binary) = &mut there.binary {
                        binary.sum_now = Some(own());
                    }
                }
                _ => {}
            }
        }
        there
    }

    fn mark(&mut self, value: &str) {
        if let Some(line) = value.strip_prefix("line ") {
            self.lines.push(line.to_owned());
        } else if let Some(laptop) = value.strip_prefix("laptop ") {
            self.laptops.push(laptop.to_owned());
        } else if let Some(kept) = value.strip_prefix("before ") {
            self.kept.push(kept.to_owned());
        } else if let Some((sum, path)) = value
            .strip_prefix("binary ")
            .and_then(|rest| rest.split_once(' '))
        {
            self.binary = Some(Placed {
                path: path.to_owned(),
                sum: sum.to_owned(),
                sum_now: None,
            });
        }
    }

    /// A path for people, home being `~`.
    pub(super) fn shown(&self, path: &str) -> String {
        match path.strip_prefix(&self.home) {
            Some("") => "~".to_owned(),
            Some(below) if below.starts_with('/') => format!("~{below}"),
            _ => path.to_owned(),
        }
    }
}

/// `2.36` and `2.36.1` as (2, 36).
pub(super) fn two_numbers(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_and_the_rest_passed_over() {
        let there = There::read(
            "home=/home/alice\nsystem=Linux\nmachine=x86_64\nlibc=glibc 2.28\n\
             loose=/home/alice\nkey=there\nnoise\nodd=1\nqdebug=relative\nversion=qdebug 9.9.9\n\
             qdebug=/opt/a b/qdebug\nversion=qdebug 0.1.0\nqdebug=/old\nversion=Segmentation\n\
             mark=line ssh-ed25519 AAAA alice=laptop\nmark=binary abc /home/alice/x y\n\
             mark=laptop 1a\nsum=abc\nmachine=\u{1b}[2J\n",
        );
        assert_eq!(there.glibc, Some((2, 28)));
        assert_eq!(there.machine, "x86_64");
        assert!(there.has_key);
        let versions: Vec<_> = there
            .found
            .iter()
            .map(|found| (found.path.as_str(), found.version.is_some()))
            .collect();
        assert_eq!(versions, [("/opt/a b/qdebug", true), ("/old", false)]);
        assert_eq!(there.lines, ["ssh-ed25519 AAAA alice=laptop"]);
        assert_eq!(there.laptops, ["1a"]);
        let binary = there.binary.as_ref().unwrap();
        assert!(binary.path == "/home/alice/x y" && binary.is_ours());
        assert_eq!(there.shown("/home/alice/.ssh"), "~/.ssh");
        assert_eq!(there.shown("/home/alice2"), "/home/alice2");
        assert_eq!(there.shown("/home/alice"), "~");
    }
}
