//! The user's own options of qsub: those that would break a session are refused with a reason.
//!
//! They are read as getopt(3) reads them, so that `-hV` and `-l walltime=1` are seen for what they
//! are. It knows nothing of what qsub does with the rest.

use super::super::Error;
use super::command::bad;

/// The options of qsub that take a value.
const WITH_VALUE: &str = "aAcCeIJjklmMNopqrRSuvWP";

/// Options that break a session, and why.
fn refused(flag: char) -> Option<&'static str> {
    Some(match flag {
        'v' | 'V' => "set variables of the session by `-e NAME=VALUE`",
        'I' | 'X' => "a session is not an interactive job; `qdebug ssh` gives a shell in it",
        'J' => "a session is one job, not an array",
        'r' => "a session does not run twice; qdebug always says -r n",
        'N' => "name the session by `--name`",
        'o' | 'e' | 'j' | 'k' | 'R' => "`qdebug logs` shows what the job prints",
        'S' | 'C' | 'G' => "qdebug submits its own script",
        'u' => "a session is its submitter's",
        'z' => "qdebug reads the job's id",
        'a' | 'A' | 'c' | 'f' | 'h' | 'l' | 'm' | 'M' | 'p' | 'P' | 'q' | 'W' => return None,
        _ => "qsub of OpenPBS has no such option",
    })
}

/// Why a value of `-l` or `-W` breaks a session.
fn refused_value(flag: char, value: &str) -> Option<&'static str> {
    // `-l select` may hold commas of its own; it is refused by its first word anyway.
    let mut keys = value
        .split(',')
        .map(|word| word.split('=').next().unwrap_or_default().trim());
    match flag {
        'l' => keys.find_map(|key| match key {
            "walltime" => Some("ask for time by `--walltime`"),
            "select" | "nodes" | "nodect" | "ncpus" | "mem" | "ngpus" | "vnode" | "host" => {
                Some("ask by `--gpu`, `--count`, `--cpus` and `--memory`; qdebug writes the chunk")
            }
            _ => None,
        }),
        // Any attribute of a job can be set by -W, variables and arrays too.
        'W' => keys.find_map(|key| {
            let fits = matches!(key, "depend" | "group_list") || !value.contains('=');
            (!fits).then_some("of -W only depend= and group_list= go along with a session")
        }),
        _ => None,
    }
}

/// Checks a value that any option takes: qsub looks for `--` among values too.
pub(super) fn check_value(flag: char, value: &str) -> Result<(), Error> {
    if value.is_empty() || value == "--" || value.chars().any(char::is_control) {
        return Err(bad(
            &format!("-{flag} {value}"),
            "its value is empty, `--`, or holds a line break or control character",
        ));
    }
    Ok(())
}

/// Checks every option.
pub(super) fn check(words: &[String]) -> Result<(), Error> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word.chars().any(char::is_control) {
            return Err(bad(word, "it holds a line break or control character"));
        }
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            return Err(bad(word, "it is no option of qsub"));
        };
        let mut left = flags.chars();
        while let Some(flag) = left.next() {
            if let Some(reason) = refused(flag) {
                return Err(bad(word, reason));
            }
            if !WITH_VALUE.contains(flag) {
                continue;
            }
            let attached = left.as_str();
            let value = match attached {
                "" => rest.next().map(String::as_str),
                attached => Some(attached),
            };
            let Some(value) = value else {
                return Err(bad(word, "it needs a value"));
            };
            check_value(flag, value)?;
            if let Some(reason) = refused_value(flag, value) {
                return Err(bad(&format!("-{flag} {value}"), reason));
            }
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        shell_words::split(line).unwrap()
    }

    #[test]
    fn options_that_would_break_a_session_are_refused() {
        for line in [
            "-v A=1",
            "-vA",
            "-V",
            "-hV",
            "-I",
            "-J 1-4",
            "-r y",
            "-ry",
            "-W block=true",
            "-Wblock=true",
            "-W umask=0",
            "-W Variable_List=A=1",
            "-W depend=x,block=true",
            "-N x",
            "-o /x",
            "-e /x",
            "-j oe",
            "-k n",
            "-S /bin/csh",
            "-l walltime=1",
            "-lwalltime=1",
            "-l place=free,walltime=1",
            "-l select=2",
            "-l nodes=2",
            "-z",
            "-C x",
            "-u bob",
            "--",
            "--version",
            "script.sh",
            "-",
            "''",
            "-l",
            "-q ''",
            "-q 'a\nb'",
            "-R oe",
        ] {
            assert!(
                matches!(check(&words(line)), Err(Error::BadOption { .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn others_go_along_in_one_word_or_two() {
        for line in [
            "",
            "-l place=excl",
            "-lplace=excl",
            "-p 10",
            "-m abe -M a@b.c",
            "-h",
            "-a 2359",
            "-W depend=afterok:1.server",
            "-W group_list=lab",
            "-l software=matlab",
            "-q short",
        ] {
            assert!(check(&words(line)).is_ok(), "{line}");
        }
    }

    proptest! {
            #[test]
    fn a_word_that_passes_names_no_variable(word in "-{0,2}[a-zA-Z=, ]{0,8}") {
                // Alone: behind an option that takes a value it would be that value.
                if check(std::slice::from_ref(&word)).is_ok() {
                    prop_assert!(!["-v", "-V", "--"].iter().any(|bad| word.starts_with(bad)));
                }
            }

            #[test]
            fn no_words_make_it_panic(words in proptest::collection::vec("-{0,2}[a-zA-Z=, ]{0,8}", 0..4)) {
                let _ = check(&words);
            }
        }
}
