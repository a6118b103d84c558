//! The user's own options of qsub: those that would break a session are refused with the reason.
//!
//! qsub reads them by getopt(3), so they are read the same way here: letters may be joined
//! (`-hn`), a value may be joined to its letter or be the next word.

use super::super::Error;

/// Letters that take a value, and those that do not (qsub of Torque 6.1).
const WITH_VALUE: &str = "aAbcCdDeFiJkKlLmMNopPqrStTuvwW";
const WITHOUT: &str = "EfhInVXxz";

/// Why a letter is refused.
fn refused(letter: char) -> Option<&'static str> {
    Some(match letter {
        't' | 'J' => "a session is one job, not an array",
        'I' | 'X' | 'x' => "a session is no interactive job; `qdebug ssh` gives a terminal",
        'r' => "a session does not run twice; qdebug always says -r n",
        'v' | 'V' => "set variables of the session by `-e NAME=VALUE`",
        'o' | 'e' | 'j' | 'k' => "`qdebug logs` shows what the job prints",
        'N' => "name the session by `--name`",
        'S' | 'K' => "qdebug sets it, so that a session has time to end",
        'F' | 'C' => "qdebug submits its own script",
        'z' => "qdebug needs the job's id",
        'P' | 'u' => "the job would run as another user (with Torque this is no project)",
        'D' => "the job would run under another root folder",
        'c' => "a container cannot be checkpointed by Torque",
        'L' => "it replaces the -l by which qdebug asks; say -l",
        _ => return None,
    })
}

/// Why a resource of `-l` is refused.
fn refused_resource(name: &str) -> Option<&'static str> {
    Some(match name {
        "select" | "place" => {
            "Torque takes it silently and ignores it; ask by -g, -n, --cpus, --memory"
        }
        "gpus" => "outside of nodes= Torque takes it silently and ignores it; ask by -g and -n",
        "nodes" | "procs" | "neednodes" | "nodect" => {
            "a session is on one node; ask by -g, -n and --cpus"
        }
        "ncpus" | "ppn" => "ask for cores by --cpus",
        "walltime" => "ask for time by -w",
        "mem" => "ask for memory by --memory",
        "epilogue" => "qdebug sets it, to clean up after the session",
        _ => return None,
    })
}

/// Why an attribute of `-W` is refused.
fn refused_attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "block" => "use `qdebug submit --wait`",
        "interactive" => "a session is no interactive job",
        "job_array_request" => "a session is one job, not an array",
        _ => return None,
    })
}

/// Checks all of the user's own words.
pub(super) fn check(words: &[String]) -> Result<(), Error> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bad = |reason: &str| bad(word, reason);
        if word.chars().any(char::is_control) {
            return bad("it holds a line break or control character");
        }
        let letters = match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() && !letters.starts_with('-') => letters,
            _ => return bad("qsub of Torque knows only options of one letter, such as -m n"),
        };
        for (at, letter) in letters.char_indices() {
            if let Some(reason) = refused(letter) {
                return bad(reason);
            }
            if WITHOUT.contains(letter) {
                continue;
            }
            if !WITH_VALUE.contains(letter) {
                return bad("qsub of Torque has no such option");
            }
            let joined = &letters[at + letter.len_utf8()..];
            let value = if joined.is_empty() {
                match words.next() {
                    Some(value) => value,
                    None => return bad("its value is missing"),
                }
            } else {
                joined
            };
            check_value(word, letter, value)?;
            break;
        }
    }
    Ok(())
}

fn check_value(word: &str, letter: char, value: &str) -> Result<(), Error> {
    if value.chars().any(char::is_control) {
        return bad(word, "its value holds a line break or control character");
    }
    let names = value
        .split(',')
        .map(|part| part.split(['=', ':']).next().unwrap_or_default().trim());
    match letter {
        'l' => {
            // qsub ends a value at a comma but not within quotes or brackets.
            if value.contains(['\'', '"', '[', ']']) {
                return bad(word, "quotes and brackets in -l are not supported");
            }
            for name in names {
                if let Some(reason) = refused_resource(name) {
                    return bad(&format!("-l {value}"), reason);
                }
            }
        }
        'W' => {
            for name in names {
                if let Some(reason) = refused_attribute(name) {
                    return bad(&format!("-W {value}"), reason);
                }
            }
        }
        'q' if value.contains('@') => {
            return bad(&format!("-q {value}"), super::command::OTHER_SERVER);
        }
        _ => {}
    }
    Ok(())
}

fn bad<T>(option: &str, reason: &str) -> Result<T, Error> {
    Err(Error::BadOption {
        option: option.to_owned(),
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_would_break_a_session_is_refused() {
        for bad in [
            "-t 0-2",
            "-t0-2",
            "-I",
            "-hI",
            "-r y",
            "-V",
            "-v A=b",
            "-nV",
            "-o /x",
            "-N x",
            "-z",
            "-P bob",
            "-l select=1:ngpus=1",
            "-lgpus=1",
            "-l feature=ib,gpus:1",
            "-l a=b, walltime=1",
            "-l nodes=2",
            "-W block=true",
            "-W x",
            "-q batch@other",
            "script.sh",
            "--version",
            "-",
            "-Z",
            "-é",
            "-l",
            "-l a=\"b,walltime=1\"",
            "-m n extra",
        ] {
            let is_refused = matches!(check(&words(bad)), Err(Error::BadOption { .. }));
            // `-W x` is Torque's resource manager extension without a value: its own to refuse.
            assert_eq!(is_refused, bad != "-W x", "{bad}");
        }
        assert!(check(&["-m\nn".to_owned()]).is_err());
        assert!(check(&["-M".to_owned(), "a\nb".to_owned()]).is_err());
    }

    #[test]
    fn the_others_pass() {
        for good in [
            "-m n",
            "-mn",
            "-hn",
            "-l feature=ib,file=10gb",
            "-W depend=afterok:12.login",
            "-a 202612312359 -p 5",
            "-q gpu",
            "-W x=PARTITION:a",
        ] {
            assert!(check(&words(good)).is_ok(), "{good}");
        }
        assert!(check(&[]).is_ok());
    }

    #[test]
    fn the_reason_of_a_silent_one_is_told() {
        let error = check(&words("-l select=1")).unwrap_err().to_string();
        assert!(error.contains("ignores it"), "{error}");
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("-?.{0,8}", 0..4)) {
            let _ = check(&words);
        }
    }
}
