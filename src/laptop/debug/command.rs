//! The command that is debugged: which Python, its own options, and what it runs. Pure.

use super::debugger::Debugger;

/// `python [OPTION...] (SCRIPT | -m MODULE | -c CODE) [ARGUMENT...]`, taken apart as Python does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonCommand {
    /// The interpreter: a name on PATH or a path, in the session.
    pub(super) python: String,
    /// Its own options, which stand before debugpy.
    pub(super) options: Vec<String>,
    /// What it runs: a script, `-m` and a module, or `-c` and code, and the arguments.
    pub(super) target: Vec<String>,
}

/// A command that cannot be run under debugpy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is another program.
    #[error("{0:?} is no Python")]
    NotPython(String),
    /// It names nothing to run.
    #[error("{0:?} names no script, -m MODULE or -c CODE")]
    NoTarget(String),
    /// It runs code of the command line, and pydevd takes a script or a module.
    #[error("pydevd runs a script or -m MODULE, and no -c CODE")]
    CodeByPydevd,
}

impl PythonCommand {
    /// Takes the words of a command apart, which is to run under a debugger.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn new(words: &[String], under: &Debugger) -> Result<Self, CommandError> {
        let command = Self::taken_apart(words)?;
        let is_code = command.target.first().is_some_and(|word| word == "-c");
        match under {
            Debugger::Pydevd { .. } if is_code => Err(CommandError::CodeByPydevd),
            _ => Ok(command),
        }
    }

    fn taken_apart(words: &[String]) -> Result<Self, CommandError> {
        let mut words = words.iter();
        let python = words.next().cloned().unwrap_or_default();
        let name = python.rsplit('/').next().unwrap_or_default();
        let is_version = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || c == '.');
        let mut names = ["python", "pypy"].into_iter();
        if !names.any(|known| name.strip_prefix(known).is_some_and(is_version)) {
            return Err(CommandError::NotPython(python));
        }
        let no_target = || CommandError::NoTarget(python.clone());
        let mut options = Vec::new();
        while let Some(word) = words.next() {
            let rest = || words.clone().cloned();
            let flags = match word.strip_prefix('-') {
                None => {
                    let target = std::iter::once(word.clone()).chain(rest()).collect();
                    return Ok(Self {
                        python,
                        options,
                        target,
                    });
                }
                // A program that comes on stdin.
                Some("") => return Err(no_target()),
                Some(flags) => flags,
            };
            if flags.starts_with('-') {
                options.push(word.clone());
                if word == "--check-hash-based-pycs" {
                    options.extend(words.next().cloned());
                }
                continue;
            }
            // Short options may stand together, and the last may have its value behind it: -uc CODE.
            for (at, flag) in flags.char_indices() {
                let value = &flags[at + flag.len_utf8()..];
                let value = Some(value.to_owned()).filter(|value| !value.is_empty());
                match flag {
                    'm' | 'c' => {
                        let mut rest = value.into_iter().chain(rest());
                        let first = rest.next().ok_or_else(no_target)?;
                        let mut target = vec![format!("-{flag}"), first];
                        target.extend(rest);
                        return Ok(Self {
                            python,
                            options,
                            target,
                        });
                    }
                    'X' | 'W' => {
                        options.push(format!("-{flag}"));
                        options.extend(value.or_else(|| words.next().cloned()));
                        break;
                    }
                    flag => options.push(format!("-{flag}")),
                }
            }
        }
        Err(no_target())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> Result<PythonCommand, CommandError> {
        PythonCommand::taken_apart(&shell_words::split(line).unwrap())
    }

    #[test]
    fn a_command_is_taken_apart_as_python_does_it() {
        for (line, python, options, target) in [
            ("python train.py", "python", "", "train.py"),
            (
                "python3 train.py -m x --lr 1",
                "python3",
                "",
                "train.py -m x --lr 1",
            ),
            (
                "/a/bin/python3.11 -u -O t.py",
                "/a/bin/python3.11",
                "-u -O",
                "t.py",
            ),
            (
                "python -m pkg.train -c x",
                "python",
                "",
                "-m pkg.train -c x",
            ),
            ("python -mpkg a", "python", "", "-m pkg a"),
            ("python -Bum pkg a", "python", "-B -u", "-m pkg a"),
            ("python -uc 'print(1)' a", "python", "-u", "-c 'print(1)' a"),
            (
                "python -X dev -Werror -W x t.py",
                "python",
                "-X dev -W error -W x",
                "t.py",
            ),
            (
                ".venv/bin/python 'my t.py' ''",
                ".venv/bin/python",
                "",
                "'my t.py' ''",
            ),
        ] {
            let split = |text| shell_words::split(text).unwrap();
            let expected = PythonCommand {
                python: python.into(),
                options: split(options),
                target: split(target),
            };
            assert_eq!(taken(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn pydevd_is_given_no_code() {
        let words = shell_words::split("python -uc 1 -m").unwrap();
        let pydevd = PythonCommand::new(&words, &Debugger::Pydevd { port: 5678 });
        assert_eq!(pydevd, Err(CommandError::CodeByPydevd));
        let (port, wait) = (None, true);
        assert!(PythonCommand::new(&words, &Debugger::Debugpy { port, wait }).is_ok());
    }

    #[test]
    fn what_is_no_python_program_is_refused() {
        for line in [
            "",
            "train.py",
            "torchrun train.py",
            "bash -c python",
            "-m x",
            "pythonic x",
        ] {
            let error = taken(line).unwrap_err();
            assert!(matches!(error, CommandError::NotPython(_)), "{line}");
        }
        for line in [
            "python",
            "python -u",
            "python -",
            "python -m",
            "python -X",
            "python -W x",
        ] {
            let error = taken(line).unwrap_err();
            assert!(matches!(error, CommandError::NoTarget(_)), "{line}");
        }
    }
}
