//! What `setup` asks.

use clap::Args;

/// Make a cluster ready for `connect` and `up`: key, qdebug there, profile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  qdebug setup alice@login.example.org
  qdebug setup alice@login.example.org --name lab --yes
  qdebug setup lab --remove

It looks first, tells what it would change, and asks. Run again, it changes nothing that is as it
should be.")]
pub(in crate::cli) struct Setup {
    /// The cluster's login, or a profile; the default cluster when not given
    #[arg(value_name = "USER@CLUSTER")]
    pub(in crate::cli) cluster: Option<String>,
    /// The name of its profile; the host's when not given
    #[arg(long, value_name = "PROFILE", value_parser = profile, conflicts_with = "remove")]
    pub(in crate::cli) name: Option<String>,
    /// Take back what setup did: the key's line, the binary, the profile
    #[arg(long)]
    pub(in crate::cli) remove: bool,
    /// Answer every question with yes
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// Only look, and tell what would be changed
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// A profile's name is typed after `--on`, and stands in aliases.
fn profile(text: &str) -> Result<String, String> {
    let begins = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain = text.starts_with(begins) && text.chars().all(|c| begins(c) || "-_.".contains(c));
    if plain && text.len() <= 63 && text != "here" {
        Ok(text.to_owned())
    } else {
        Err("a name is small letters, digits and `-_.`, and not `here`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_named_plainly() {
        assert!(profile("lab-2.example.org").is_ok());
        for text in ["", "here", "-x", "a b", "a@b", "Lab", "ü"] {
            assert!(profile(text).is_err(), "{text:?}");
        }
    }
}
