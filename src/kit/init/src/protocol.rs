//! The lease's words: what the holder on the node writes and PID 1 in the container reads.
//!
//! One line each, ended by a newline, written in one piece of at most [`MAX_LINE`] bytes so that
//! the pipe neither splits nor mixes them:
//!
//! - `deadline SECONDS`: the session may live for this long from now. The first one also says
//!   that somebody holds the lease.
//! - `notice TEXT`: write TEXT to every terminal.
//!
//! The file is compiled into both sides, so they cannot disagree; it knows neither of them.

/// The number of this protocol; it grows when a reader of the old one would misunderstand.
pub const LEASE_PROTOCOL: u32 = 1;

/// The longest line, newline included, in bytes. POSIX promises that pipes take 512 at once.
pub const MAX_LINE: usize = 512;

/// The longest deadline, in seconds: ten years. More is somebody's mistake.
const MAX_DEADLINE: u64 = 10 * 366 * 24 * 3600;

/// Where the kit is bound in the container.
pub const KIT: &str = "/.qdebug";

/// What PID 1 says on stderr, behind its own name: of the devices of GPUs, and of programs.
pub mod report {
    /// Which are there, before the program starts: names below `/dev`, with blanks between them.
    pub const DEVICES: &str = "devices:";
    /// They may not be opened any more; the reason.
    pub const LOST: &str = "devices lost:";
    /// They may be again.
    pub const BACK: &str = "devices back";
    /// What a shell and an IDE find: the words below, with blanks between them.
    pub const PROGRAMS: &str = "programs:";
    /// Before the best of [`SHELLS`].
    pub const SHELL: &str = "shell=";
    /// Before the name of the file of glibc's loader.
    pub const GLIBC: &str = "glibc=";
    /// There is musl and no glibc.
    pub const MUSL: &str = "musl";
    /// Programs on PATH.
    pub const NAMES: [&str; 3] = ["bash", "tar", "python3"];
    /// Shells, the best first.
    pub const SHELLS: [&str; 5] = [
        "/bin/bash",
        "/usr/bin/bash",
        "/usr/local/bin/bash",
        "/bin/sh",
        "/usr/bin/sh",
    ];
}

/// Why PID 1 ended, as its exit status.
pub mod exit {
    /// The deadline passed.
    pub const DEADLINE: u8 = 70;
    /// Nobody holds the lease: the node half is gone, or never was.
    pub const LEASE: u8 = 71;
    /// The program (sshd) ended by itself or could not be started.
    pub const PROGRAM: u8 = 72;
    /// SIGTERM, SIGINT or SIGHUP came.
    pub const SIGNAL: u8 = 143;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
}

/// One line of the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The session may live for this many seconds from now.
    Deadline(u64),
    /// A text for every terminal, free of control characters.
    Notice(String),
}

impl Message {
    /// The line, newline included, never longer than [`MAX_LINE`]: a longer notice is cut at a
    /// character and marked.
    pub fn line(&self) -> String {
        match self {
            Self::Deadline(seconds) => format!("deadline {}\n", (*seconds).min(MAX_DEADLINE)),
            Self::Notice(text) => {
                let mut line = format!("notice {}", printable(text));
                if line.len() >= MAX_LINE {
                    let mark = "...";
                    let mut end = MAX_LINE - 1 - mark.len();
                    while !line.is_char_boundary(end) {
                        end -= 1;
                    }
                    line.truncate(end);
                    line.push_str(mark);
                }
                line.push('\n');
                line
            }
        }
    }

    /// Reads a line without its newline; `None` when it is none of ours.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (word, rest) = line.split_once(' ')?;
        match word {
            "deadline" if rest.bytes().all(|byte| byte.is_ascii_digit()) => rest
                .parse()
                .ok()
                .filter(|seconds| *seconds <= MAX_DEADLINE)
                .map(Self::Deadline),
            "notice" if !rest.is_empty() => Some(Self::Notice(printable(rest))),
            _ => None,
        }
    }
}

/// The text with every control character made a space: an escape sequence on a terminal is more
/// than a text.
fn printable(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(blank).collect()
}

/// Cuts what comes out of the pipe into lines; one that is too long is swallowed whole.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
    swallowing: bool,
}

/// What [`Lines`] made of one line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// One of ours.
    Message(Message),
    /// Something else, or too long.
    Strange,
}

impl Lines {
    /// Takes the next bytes and returns the lines they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let message = Message::parse(&self.pending).filter(|_| !self.swallowing);
                    lines.push(message.map_or(Line::Strange, Line::Message));
                    self.pending.clear();
                    self.swallowing = false;
                }
                _ if self.pending.len() + 1 < MAX_LINE => self.pending.push(byte),
                _ => self.swallowing = true,
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: &str) -> Message {
        Message::Notice(text.to_owned())
    }

    #[test]
    fn what_is_written_is_read() {
        for message in [
            Message::Deadline(0),
            Message::Deadline(14_400),
            notice("ten minutes left"),
            notice("zehn Minuten übrig, \"Quote\" $HOME \\"),
        ] {
            let mut lines = Lines::default();
            let read = lines.feed(message.line().as_bytes());
            assert_eq!(read, [Line::Message(message)]);
        }
    }

    #[test]
    fn lines_come_in_pieces_and_in_heaps() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"dead"), []);
        assert_eq!(
            lines.feed(b"line 5\nnotice a\nnot"),
            [
                Line::Message(Message::Deadline(5)),
                Line::Message(notice("a"))
            ]
        );
        assert_eq!(lines.feed(b"ice b\n"), [Line::Message(notice("b"))]);
    }

    #[test]
    fn hostile_lines_are_strange() {
        for line in [
            "",
            "deadline",
            "deadline ",
            "deadline -1",
            "deadline +1",
            "deadline 1.5",
            "deadline 1 2",
            "deadline 99999999999999999999999",
            "deadline 999999999999",
            "DEADLINE 5",
            "notice",
            "notice ",
            "exec rm -rf",
        ] {
            assert_eq!(Message::parse(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(Message::parse(b"notice \xff"), None);
    }

    #[test]
    fn an_overlong_line_is_swallowed_and_the_next_one_read() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"notice "), []);
        assert_eq!(lines.feed(&[b'x'; 100_000]), []);
        assert!(lines.pending.len() < MAX_LINE);
        assert_eq!(
            lines.feed(b"\ndeadline 7\n"),
            [Line::Strange, Line::Message(Message::Deadline(7))]
        );
    }

    #[test]
    fn a_long_notice_is_cut_at_a_character() {
        let line = notice(&"ü".repeat(1000)).line();
        assert!(line.len() <= MAX_LINE && line.ends_with("...\n"), "{line}");
        assert!(matches!(
            Lines::default().feed(line.as_bytes())[..],
            [Line::Message(_)]
        ));
    }

    #[test]
    fn escape_sequences_lose_their_teeth() {
        let line = notice("a\x1b[2Jb\nnotice c\r\u{9b}").line();
        assert_eq!(line, "notice a [2Jb notice c  \n");
        assert_eq!(
            Message::parse(b"notice \x1b]0;x\x07"),
            Some(notice(" ]0;x "))
        );
    }
}
