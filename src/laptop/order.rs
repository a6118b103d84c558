//! In which order the ways to a session are tried: the user's profile says it, else the cluster's
//! configuration, else it is what is built in.

use serde::{Deserialize, Serialize};

use super::known::Reach;
use crate::session::Status;

/// An order of ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Each once, the first to try first.
    pub ways: Vec<Reach>,
    /// Whether somebody chose it: then a way that cannot be tried is told with the others.
    pub chosen: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            ways: vec![Reach::Jump, Reach::Nested, Reach::Port, Reach::Exec],
            chosen: false,
        }
    }
}

impl Order {
    /// What these words say that somebody chose. Those of a newer qdebug are passed over; of none
    /// that is known here nothing is left but what is built in.
    pub fn of_words<S: AsRef<str>>(words: &[S]) -> Self {
        let mut ways = Vec::new();
        for word in words {
            match Reach::of_scheduler(word.as_ref()) {
                Some(reach) if !ways.contains(&reach) => ways.push(reach),
                Some(_) => {}
                None => tracing::warn!(word = word.as_ref(), "a way this qdebug does not know"),
            }
        }
        match ways.is_empty() {
            true => Self::default(),
            false => Self { ways, chosen: true },
        }
    }

    /// The cluster's order, as it answers of a session.
    pub(super) fn of_cluster(status: &Status) -> Self {
        match &status.ways {
            Some(ways) => Self::of_words(&ways.order),
            None => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::status;
    use super::*;
    use crate::session::Ways;

    #[test]
    fn words_of_a_newer_or_hostile_cluster_do_no_harm() {
        let of = |words: &[&str]| Order::of_words(words).ways;
        assert_eq!(of(&["exec", "jump"]), [Reach::Exec, Reach::Jump]);
        assert_eq!(of(&["quantum", "port", "port"]), [Reach::Port]);
        assert_eq!(Order::of_words(&["direct", "", "-oX"]), Order::default());
        assert_eq!(Order::of_words::<&str>(&[]), Order::default());
    }

    #[test]
    fn a_cluster_that_tells_none_is_reached_as_ever() {
        let mut status = status("otter", '1');
        assert_eq!(Order::of_cluster(&status), Order::default());
        status.ways = Some(Ways {
            order: vec!["port".to_owned()],
            from: "/etc/qdebug/site.toml:1".to_owned(),
        });
        assert_eq!(Order::of_cluster(&status).ways, [Reach::Port]);
    }
}
