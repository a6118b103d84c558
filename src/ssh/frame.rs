//! The marks that qdebug prints round its answer on the other side.
//!
//! Shell start files of the cluster print greetings, quota tables and escape sequences, before
//! the command and, in some shells, after it. With `--frame HEX` qdebug prints the line
//! `qdebug-frame-HEX begin` before its own stdout and `qdebug-frame-HEX end STATUS` after it; HEX
//! is new for every command. What stands outside is noise, wherever it stands.

use std::hash::{BuildHasher, RandomState};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// How much noise there may be before a mark that is waited for, in bytes.
const NOISE: u64 = 256 * 1024;

/// A line that is longer is no mark, and what of its end may begin one, in bytes.
const LINE: usize = 64 * 1024;
const KEPT: usize = 128;

/// A frame being read.
#[derive(Debug, Clone)]
pub struct Frame {
    hex: String,
    begun: bool,
    status: Option<i32>,
    line: Vec<u8>,
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

impl Frame {
    /// A frame with new random digits.
    pub fn new() -> Self {
        // The keys of RandomState come from the operating system. The digits guard against
        // mistaking noise for a mark, not against an adversary: the other side runs our command.
        let digits = || RandomState::new().hash_one(std::process::id());
        Self::with(format!("{:016x}{:016x}", digits(), digits()))
    }

    fn with(hex: String) -> Self {
        Self {
            hex,
            begun: false,
            status: None,
            line: Vec::new(),
        }
    }

    /// The digits, for `--frame`.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The status that qdebug ended with, once its end has been read.
    pub fn status(&self) -> Option<i32> {
        self.status
    }

    /// Takes what arrived and gives what of it is answer. Lines come out whole, the last one when its
    /// end or the end mark has come; very long ones in pieces.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        for &byte in bytes {
            if self.status.is_some() {
                break;
            }
            self.line.push(byte);
            if byte == b'\n' {
                self.take_line(&mut answer);
            } else if self.line.len() == LINE {
                self.take_piece(&mut answer);
            }
        }
        answer
    }

    /// Takes the end of the stream: an end mark without a line break counts, too.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        if self.status.is_none() && !self.line.is_empty() {
            self.take_line(&mut answer);
        }
        answer
    }

    /// Takes of a long line what cannot be part of a mark at its end any more.
    fn take_piece(&mut self, answer: &mut Vec<u8>) {
        let rest = self.line.split_off(LINE - KEPT);
        let piece = std::mem::replace(&mut self.line, rest);
        if self.begun {
            answer.extend_from_slice(&piece);
        }
    }

    fn take_line(&mut self, answer: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let mark = format!("qdebug-frame-{} ", self.hex);
        // A mark may follow text without a line break of its own.
        let found = line
            .windows(mark.len())
            .position(|window| window == mark.as_bytes());
        let Some(at) = found else {
            if self.begun {
                answer.extend_from_slice(&line);
            }
            return;
        };
        let (before, word) = (&line[..at], &line[at + mark.len()..]);
        let word = String::from_utf8_lossy(word);
        match word.trim_end().split_once(' ') {
            None if !self.begun && word.trim_end() == "begin" => self.begun = true,
            Some(("end", status)) if self.begun => {
                answer.extend_from_slice(before);
                self.status = status.trim().parse().ok();
            }
            _ if self.begun => answer.extend_from_slice(&line),
            _ => {}
        }
    }
}

/// Whether the mark that begins comes: a line that ends with it, since noise may lack its line
/// break. Nothing behind it is taken.
pub(super) async fn begins(output: &mut (impl AsyncBufRead + Unpin), hex: &str) -> bool {
    let mark = format!("qdebug-frame-{hex} begin\n");
    let (mut left, mut line) = (NOISE, Vec::new());
    while left > 0 {
        line.clear();
        match (&mut *output).take(left).read_until(b'\n', &mut line).await {
            Ok(count) if count > 0 => left = left.saturating_sub(count as u64),
            _ => return false,
        }
        if line.ends_with(mark.as_bytes()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_fills_no_memory_and_hides_no_mark() {
        let mut frame = Frame::with("ab".to_owned());
        let flood = vec![b'x'; 10 * LINE + 7];
        assert!(frame.feed(&flood).is_empty() && frame.line.len() < LINE);
        assert!(frame.feed(b"qdebug-frame-ab begin\n").is_empty());
        let mut answer = frame.feed(&flood);
        assert!(frame.line.len() < LINE);
        answer.extend(frame.feed(b"\nqdebug-frame-ab end 3\n"));
        assert!(answer == [&flood[..], b"\n"].concat());
        assert_eq!(frame.status(), Some(3));
    }

    fn read(text: &str) -> (String, Option<i32>) {
        let mut frame = Frame::with("ab".into());
        let mut answer = Vec::new();
        for byte in text.bytes() {
            answer.extend(frame.feed(&[byte]));
        }
        answer.extend(frame.finish());
        (String::from_utf8(answer).unwrap(), frame.status())
    }

    #[test]
    fn noise_is_left_out_wherever_it_stands() {
        let text = "Welcome!\nquota: 5%\x1b[0mqdebug-frame-ab begin\n{\"a\":1}\n\
                    qdebug-frame-ab end 3\nbye\n";
        assert_eq!(read(text), ("{\"a\":1}\n".into(), Some(3)));
    }

    #[test]
    fn an_answer_without_a_line_break_is_whole() {
        let text = "qdebug-frame-ab begin\r\nxyqdebug-frame-ab end 0";
        assert_eq!(read(text), ("xy".into(), Some(0)));
    }

    #[test]
    fn no_end_no_status() {
        assert_eq!(read("qdebug-frame-ab begin\nx\n"), ("x\n".into(), None));
        assert_eq!(read("qdebug-frame-ab end 0\n"), (String::new(), None));
        assert_eq!(read("sh: qdebug: not found\n"), (String::new(), None));
        let other = "qdebug-frame-ab begin\nqdebug-frame-cd end 0\n";
        assert_eq!(read(other).1, None);
    }

    #[test]
    fn digits_are_new_each_time() {
        assert_ne!(Frame::new().hex(), Frame::new().hex());
        assert_eq!(Frame::new().hex().len(), 32);
    }
}
