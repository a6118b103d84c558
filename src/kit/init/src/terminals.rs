//! Writing a notice to every terminal of the container. It never waits for one that is stuck.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::sys;

/// Writes the text, on a line of its own, to each terminal in `folder` (`/dev/pts`); one that
/// is not ours, or full, is passed over.
pub(crate) fn write(folder: &Path, text: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let mut options = OpenOptions::new();
        options.write(true);
        options.custom_flags(sys::O_NONBLOCK | sys::O_NOCTTY);
        if let Ok(mut terminal) = options.open(entry.path()) {
            // A terminal in raw mode does not return the carriage by itself.
            let _ = terminal.write_all(format!("\r\n[qdebug] {text}\r\n").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_entries_get_the_text() {
        let folder = std::env::temp_dir().join(format!("init terminals {}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["0", "17", "ptmx"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        write(&folder, "ten minutes left");
        let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("0"), "\r\n[qdebug] ten minutes left\r\n");
        assert_eq!(read("17"), read("0"));
        assert_eq!(read("ptmx"), "");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_folder_is_no_trouble() {
        write(Path::new("/no such folder"), "x");
    }
}
