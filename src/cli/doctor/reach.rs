//! The ways to sessions: which are tried, in which order and by whose word, and whether a node
//! publishes what the way `port` needs.

use crate::cli::setting::Setting;
use crate::config::WAYS;
use crate::laptop::{self, Order, Paths, Reach};
use crate::node::{Publish, published_address};
use crate::session::{Rung, Verdict, Ways};

/// The rung of the order, on either side.
pub(super) const NAME: &str = "reach";

/// What a login node's own configuration says.
pub(super) fn of_here(setting: &Setting) -> Rung {
    let told = match setting.ways() {
        Some(ways) => shown(&ways.order, &ways.from),
        None => shown(&WAYS, "built-in"),
    };
    Rung::new(NAME, Verdict::Ok, told)
}

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

fn shown<S: AsRef<str>>(words: &[S], from: &str) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let words = match words.as_slice() {
        [one] => format!("{one} alone"),
        several => several.join(", then "),
    };
    format!("tried: {words} ({from})")
}

/// On which address of this node sessions are published.
pub(super) async fn published(setting: &Setting) -> Rung {
    let wanted = setting.publish();
    let lookup = |name: &str| std::env::var(name).ok();
    let found = published_address(&wanted, lookup).await;
    let rung = |verdict, told: String| Rung::new("publish", verdict, told);
    let from = setting.config.origin(&["publish"]);
    match (wanted, found) {
        (_, Ok(None)) => rung(
            Verdict::Ok,
            format!("sessions' ports are on the loopback alone ({from})"),
        ),
        (_, Ok(Some(address))) => rung(
            Verdict::Ok,
            format!("sessions' ports are published on {address} ({from})"),
        ),
        // What a job has, this shell may not have.
        (Publish::Login, Err(why)) => rung(Verdict::Skipped, format!("{why} ({from})"))
            .cure("within a job this tells the address; a network names it without")
            .cure("publish = \"10.0.0.0/8\" (yours) in the site file"),
        (_, Err(why)) => rung(Verdict::Warn, format!("{why} ({from})"))
            .cure("name one network or interface of this node as publish in the site file")
            .cure("of several addresses a job takes the one that leads to its login node"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
