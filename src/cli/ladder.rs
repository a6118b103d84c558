//! Ladders of checks, as `setup` and `doctor` show them.

use super::output;
use crate::session::Rung;

/// Says a rung, and what mends it.
pub(super) fn tell(rung: &Rung) {
    for line in lines(rung) {
        output::talk(&line);
    }
}

/// Prints it as data.
pub(super) fn print(rung: &Rung) {
    for line in lines(rung) {
        output::data(&output::harmless(&line));
    }
}

fn lines(rung: &Rung) -> Vec<String> {
    let took = rung
        .seconds
        .filter(|seconds| *seconds >= 0.05)
        .map(|seconds| format!(" ({seconds:.1} s)"));
    let word = rung.verdict.word();
    let first = format!(
        "{word:<7}  {}: {}{}",
        rung.name,
        rung.told,
        took.unwrap_or_default()
    );
    let cure = |cure: &String| format!("         mend it: {cure}");
    std::iter::once(first)
        .chain(rung.cures.iter().map(cure))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::Verdict;

    #[test]
    fn a_rung_is_a_line_and_its_cures() {
        let rung = Rung::new("key", Verdict::Warn, "odd")
            .cure("a")
            .took(Duration::from_millis(1234));
        assert_eq!(
            lines(&rung),
            ["warn     key: odd (1.2 s)", "         mend it: a"]
        );
        let quick = Rung::new("key", Verdict::Ok, "fine").took(Duration::from_millis(3));
        assert_eq!(lines(&quick), ["ok       key: fine"]);
    }
}
