//! The ways to sessions: which are tried, in which order and by whose word.

use crate::cli::setting::Setting;
use crate::laptop::{self, Order, Paths, Reach};
use crate::session::{Rung, Verdict, Ways};

/// The rung of the order, on either side.
pub(super) const NAME: &str = "reach";

/// What this laptop does with what its own profile, or else the cluster, says.
pub(super) fn of_cluster(setting: &Setting, login: &str, cluster: Option<Ways>) -> Rung {
    let last = Paths::of_user().ok();
    let last = last.and_then(|paths| laptop::last_way(login, &paths));
    let (order, from) = match setting.profile_order(login) {
        Some((order, from)) => (order, from),
        None => match cluster {
            Some(ways) => (
                Order::of_words(&ways.order),
                format!("{} of login", ways.from),
            ),
            None => (Order::default(), "built-in".to_owned()),
        },
    };
    of_order(&order, &from, last)
}

fn of_order(order: &Order, from: &str, last: Option<Reach>) -> Rung {
    let words: Vec<String> = order.ways.iter().map(ToString::to_string).collect();
    let mut told = shown(&words, from);
    if let Some(last) = last.filter(|last| order.ways.len() > 1 && order.ways.contains(last)) {
        told.push_str(&format!("; {last} led there last and comes first"));
    }
    Rung::new(NAME, Verdict::Ok, told)
}

pub(super) fn shown<S: AsRef<str>>(words: &[S], from: &str) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let words = match words.as_slice() {
        [one] => format!("{one} alone"),
        several => several.join(", then "),
    };
    format!("tried: {words} ({from})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WAYS;

    #[test]
    fn the_order_is_told_with_its_origin() {
        let order = Order::of_words(&["port", "jump"]);
        let told = |order: &Order, last| of_order(order, "site.toml:3", last).told;
        assert_eq!(told(&order, None), "tried: port, then jump (site.toml:3)");
        assert!(told(&order, Some(Reach::Jump)).ends_with("; jump led there last and comes first"));
        assert!(told(&order, Some(Reach::Exec)).ends_with("(site.toml:3)"));
        let one = Order::of_words(&["exec"]);
        assert_eq!(told(&one, None), "tried: exec alone (site.toml:3)");
    }

    #[test]
    fn what_is_built_in_is_the_same_on_both_sides() {
        assert_eq!(Order::default().ways, Order::of_words(&WAYS).ways);
    }
}
