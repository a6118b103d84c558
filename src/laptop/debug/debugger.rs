//! The debuggers a program may run under, and who dials whom. Pure.

/// A debugger of Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debugger {
    /// debugpy listens in the session, and the IDE attaches to a port of this machine.
    Debugpy {
        /// The port on 127.0.0.1 here; the session's own fixed one when not given.
        port: Option<u16>,
        /// Whether the program waits until a debugger is there.
        wait: bool,
    },
    /// pydevd dials the IDE, whose debug server listens on this machine.
    Pydevd {
        /// The port on 127.0.0.1 here.
        port: u16,
    },
}

impl Debugger {
    /// The module of Python that is looked for.
    pub(super) fn module(&self) -> &'static str {
        match self {
            Self::Debugpy { .. } => "debugpy",
            Self::Pydevd { .. } => "pydevd",
        }
    }

    /// The packages that have it. The first is installed where there is none: PyCharm's server speaks
    /// to its own.
    pub(super) fn packages(&self) -> &'static [&'static str] {
        match self {
            Self::Debugpy { .. } => &["debugpy"],
            Self::Pydevd { .. } => &["pydevd-pycharm", "pydevd"],
        }
    }

    /// The words between Python's own options and the target, `{port}` being the session's port, and
    /// the target as this debugger takes it. `-c` is for debugpy alone.
    pub(super) fn under<'a>(&self, target: &'a [String]) -> (Vec<&'static str>, &'a [String]) {
        match (self, target) {
            (Self::Debugpy { wait, .. }, target) => {
                let mut words = vec!["-m", "debugpy", "--listen", "127.0.0.1:{port}"];
                words.extend(wait.then_some("--wait-for-client"));
                (words, target)
            }
            (Self::Pydevd { .. }, target) => {
                let dials = ["-m", "pydevd", "--client", "127.0.0.1", "--port", "{port}"];
                let mut words = dials.to_vec();
                let target = match target {
                    [m, module @ ..] if m == "-m" => {
                        words.push("--module");
                        module
                    }
                    script => script,
                };
                words.push("--file");
                (words, target)
            }
        }
    }

    /// The forwarding of ssh between the port here and the session's.
    pub(super) fn forwarding(&self, here: u16, there: u16) -> [String; 2] {
        match self {
            Self::Debugpy { .. } => ["-L".into(), format!("127.0.0.1:{here}:127.0.0.1:{there}")],
            Self::Pydevd { .. } => ["-R".into(), format!("127.0.0.1:{there}:127.0.0.1:{here}")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(debugger: Debugger, line: &str) -> String {
        let target = shell_words::split(line).unwrap();
        let (words, target) = debugger.under(&target);
        let target = target.iter().map(String::as_str);
        words
            .into_iter()
            .chain(target)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn each_debugger_takes_the_target_its_own_way() {
        let (port, wait) = (None, true);
        let debugpy = Debugger::Debugpy { port, wait };
        assert_eq!(
            under(debugpy, "-m pkg.train -m x"),
            "-m debugpy --listen 127.0.0.1:{port} --wait-for-client -m pkg.train -m x"
        );
        let wait = false;
        assert_eq!(
            under(Debugger::Debugpy { port, wait }, "t.py"),
            "-m debugpy --listen 127.0.0.1:{port} t.py"
        );
        let pydevd = Debugger::Pydevd { port: 5678 };
        assert_eq!(
            under(pydevd, "-m pkg.train -m x"),
            "-m pydevd --client 127.0.0.1 --port {port} --module --file pkg.train -m x"
        );
        assert_eq!(
            under(pydevd, "t.py -m x"),
            "-m pydevd --client 127.0.0.1 --port {port} --file t.py -m x"
        );
    }

    #[test]
    fn the_one_who_listens_is_dialled() {
        let (port, wait) = (None, true);
        let debugpy = Debugger::Debugpy { port, wait }.forwarding(1, 2);
        assert_eq!(debugpy, ["-L", "127.0.0.1:1:127.0.0.1:2"]);
        let pydevd = Debugger::Pydevd { port: 1 }.forwarding(1, 2);
        assert_eq!(pydevd, ["-R", "127.0.0.1:2:127.0.0.1:1"]);
    }
}
