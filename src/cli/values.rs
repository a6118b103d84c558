//! Values of flags: texts become types at the door.

use std::time::Duration;

/// The shortest time without use that may end a session: one may want to see the end of it.
const SHORTEST_IDLE: Duration = Duration::from_secs(30);

/// Reads a walltime: `4h`, `90m`, `1h30m`, `2d`, or `HH:MM:SS`. A bare number is refused, since
/// schedulers disagree on its unit.
///
/// # Errors
/// A sentence for the user.
pub(super) fn walltime(text: &str) -> Result<Duration, String> {
    let seconds = if text.contains(':') {
        clock(text)
    } else {
        units(text)
    };
    match seconds {
        Some(0) => Err("the session would be over at once: write a walltime such as 4h".to_owned()),
        Some(seconds) if seconds <= 365 * 86_400 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("a walltime is at most a year".to_owned()),
        None if !text.is_empty() && text.bytes().all(|b| b == b'0') => {
            Err("the session would be over at once: write a walltime such as 4h".to_owned())
        }
        None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => Err(format!(
            "{text} of what? write {text}h, {text}m or HH:MM:SS"
        )),
        None => Err("a walltime is written 4h, 90m, 1h30m, 2d or HH:MM:SS".to_owned()),
    }
}

/// How long a session may be unused; `None` is for ever, and beats a default of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdleTimeout(pub(super) Option<Duration>);

/// Reads an idle time-out: a time as a walltime is written, or `never`.
///
/// # Errors
/// A sentence for the user.
pub(super) fn idle_timeout(text: &str) -> Result<IdleTimeout, String> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(IdleTimeout(None));
    }
    match walltime(text) {
        Ok(time) if time < SHORTEST_IDLE => Err(format!(
            "a session cannot be ended after less than {} s without use",
            SHORTEST_IDLE.as_secs()
        )),
        Ok(time) => Ok(IdleTimeout(Some(time))),
        Err(reason) => Err(format!(
            "{}, or never",
            reason.replace("a walltime", "a time")
        )),
    }
}

/// `HH:MM:SS`, hours without bound.
fn clock(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else {
        return None;
    };
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u64>().ok()).flatten()
    };
    let (minutes, seconds) = (number(minutes)?, number(seconds)?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    number(hours)?
        .checked_mul(3600)?
        .checked_add(minutes * 60 + seconds)
}

/// `1d2h3m4s`, each unit at most once and in this order.
fn units(text: &str) -> Option<u64> {
    let (mut total, mut number, mut last) = (0u64, String::new(), 0usize);
    if text.is_empty() {
        return None;
    }
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let order = 1 + "dhms".find(character.to_ascii_lowercase())?;
        if order <= last {
            return None;
        }
        last = order;
        let unit = [86_400, 3600, 60, 1][order - 1];
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    number.is_empty().then_some(total)
}

/// Reads the path of a directory; what cannot stand in a script is told at once.
///
/// # Errors
/// A sentence for the user.
pub(super) fn directory(text: &str) -> Result<std::path::PathBuf, String> {
    if text.chars().any(char::is_control) {
        return Err("a path with a line break or control character is not taken".to_owned());
    }
    Ok(text.into())
}

/// Reads the path of a file, as [`directory`].
///
/// # Errors
/// A sentence for the user.
pub(super) fn file(text: &str) -> Result<std::path::PathBuf, String> {
    directory(text)
}

/// Reads an age such as `30d` or `12h`.
///
/// # Errors
/// A sentence for the user.
#[cfg(target_os = "linux")]
pub(super) fn age(text: &str) -> Result<Duration, String> {
    units(text)
        .map(Duration::from_secs)
        .ok_or_else(|| "an age is written 30d, 12h or 1d12h".to_owned())
}

/// Bytes as people say them: `1.5 GiB`.
#[cfg(target_os = "linux")]
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, UNITS[0]);
    for next in &UNITS[1..] {
        if value >= 1024.0 {
            (value, unit) = (value / 1024.0, next);
        }
    }
    format!("{value:.1} {unit}")
}

/// Reads a size such as `28G`, `512M` or `1T`.
///
/// # Errors
/// A sentence for the user.
pub(super) fn size(text: &str) -> Result<u64, String> {
    crate::text::size(text)
}

/// Reads a GPU type such as `V100`. It becomes part of the scheduler's words, where a comma or a
/// colon would begin another one.
///
/// # Errors
/// A sentence for the user.
pub(super) fn gpu_type(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= 64 && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(match text.split_once(':') {
        Some((kind, number)) => format!("the number goes by -n: -g {kind} -n {number}"),
        None => "a GPU type is one word such as V100, or none".to_owned(),
    })
}

/// Reads `NAME=VALUE`; `NAME` alone takes the value of this process's environment, as docker does.
///
/// # Errors
/// A sentence for the user.
pub(super) fn variable(text: &str) -> Result<(crate::session::EnvName, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => match std::env::var(text) {
            Ok(value) => (text, value),
            Err(_) => return Err(format!("{text} is not set here; write {text}=VALUE")),
        },
    };
    let name = name.parse().map_err(|error| format!("{error}"))?;
    plain_value(&name, &value)?;
    Ok((name, value))
}

/// Refuses a value that no session could be given: sshd's configuration is read line by line.
///
/// # Errors
/// A sentence for the user.
pub(super) fn plain_value(name: &crate::session::EnvName, value: &str) -> Result<(), String> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(format!(
            "the value of {} holds a line break, which sshd cannot pass on",
            name.as_str()
        ));
    }
    Ok(())
}

/// A duration as people say it: `3 h 20 min`, `45 s`.
pub(super) fn shown(duration: jiff::SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_idle_timeout_is_a_time_or_never() {
        let read = idle_timeout;
        let half = Some(Duration::from_secs(1800));
        assert_eq!(read("30m"), Ok(IdleTimeout(half)));
        assert_eq!(read("Never"), Ok(IdleTimeout(None)));
        for bad in ["", "30", "5s", "0m", "soon"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("soon").unwrap_err().contains("never"));
    }

    #[test]
    fn walltimes_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("4h", 14_400),
            ("90m", 5400),
            ("1h30m", 5400),
            ("45s", 45),
            ("2d", 172_800),
            ("00:30:00", 1800),
            ("100:00:01", 360_001),
            ("1H", 3600),
        ] {
            assert_eq!(walltime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_asked_back() {
        assert!(walltime("4").unwrap_err().contains("4h, 4m or HH:MM:SS"));
        for bad in [
            "",
            "h",
            "1m1h",
            "1h1h",
            "-1h",
            "1.5h",
            "1:2",
            "1:60:00",
            "0h",
            "99999999d",
            "４h",
            "1h\n",
            "18446744073709551615h",
        ] {
            assert!(walltime(bad).is_err(), "{bad:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ages_and_sizes_are_as_people_say_them() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        assert!(age("30").is_err());
        assert_eq!(bytes(512), "0.5 KiB");
        assert_eq!(bytes(1536 << 20), "1.5 GiB");
        assert_eq!(bytes(5000 << 40), "5000.0 TiB");
    }

    #[test]
    fn a_gpu_type_is_one_word() {
        for good in ["V100", "gtx1080ti", "none", "a100-80gb", "1g.5gb"] {
            assert_eq!(gpu_type(good).unwrap(), good);
        }
        for bad in ["", "V100,P100", "V 100", "-g", "V100\n", "=", "é"] {
            assert!(gpu_type(bad).is_err(), "{bad:?}");
        }
        assert!(gpu_type("V100:2").unwrap_err().ends_with("-g V100 -n 2"));
    }

    #[test]
    fn variables_keep_their_values_exactly() {
        let (name, value) = variable("A=b=c 'd' $e 🦀").unwrap();
        assert_eq!((name.as_str(), &*value), ("A", "b=c 'd' $e 🦀"));
        for bad in ["=x", "A B=x", "A=x\ny", "NOT_SET_ANYWHERE_7"] {
            assert!(variable(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = (walltime(&text), size(&text), variable(&text));
        }
    }
}
