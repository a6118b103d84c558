//! What a new profile is called.

/// The name for a new profile of this host: its first label, else all of it, else with a number,
/// whichever is not `taken`. An address is no name by its first number alone.
pub fn profile_name(host: &str, taken: &[&str]) -> String {
    let first = host.split('.').next().unwrap_or(host);
    let short = Some(first).filter(|name| !name.chars().all(|c| c.is_ascii_digit()));
    // The word for this machine.
    let is_free = |name: &&str| *name != "here" && !taken.contains(name);
    let plain = [short, Some(host)].into_iter().flatten().find(is_free);
    plain.map_or_else(
        || {
            let mut numbered = (2..).map(|number| format!("{first}-{number}"));
            let free = numbered.find(|name| !taken.contains(&name.as_str()));
            free.unwrap_or_else(|| host.to_owned())
        },
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_profile_takes_no_others_name() {
        assert_eq!(profile_name("login.a.org", &[]), "login");
        assert_eq!(profile_name("login.b.org", &["login"]), "login.b.org");
        assert_eq!(profile_name("login", &["login"]), "login-2");
        assert_eq!(profile_name("here", &["here-2"]), "here-3");
        assert_eq!(profile_name("10.0.0.7", &[]), "10.0.0.7");
    }
}
