//! What `setup` makes of the cluster's profile.

use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::config::{KeptBy, NewProfile, keep_profile, point_profile};
use crate::ssh::Destination;

/// What becomes of the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Profile {
    /// It is as it should be.
    Stays,
    /// It is made, and is the default where there is none.
    Made { default: bool },
    /// It names another qdebug.
    Pointed,
}

/// What becomes of the profile: `names` is the qdebug that it names now, `there` what is there.
pub(super) fn profile_plan(
    known: bool,
    names: Option<&str>,
    there: Option<&str>,
    installs: bool,
    default: bool,
) -> Profile {
    match (known, names, there) {
        (false, ..) => Profile::Made { default },
        (true, _, None) => Profile::Stays,
        (true, Some(names), Some(there)) if names == there => Profile::Stays,
        // Without a word of the profile's it is looked for, and what is installed may not be found.
        (true, None, Some(_)) if !installs => Profile::Stays,
        (true, ..) => Profile::Pointed,
    }
}

impl Profile {
    pub(super) fn change(&self, name: &str, login: &Destination, path: &Path) -> Option<String> {
        let path = path.display();
        match self {
            Self::Stays => None,
            Self::Made { default } => {
                let default = if *default { ", the default" } else { "" };
                Some(format!(
                    "here: {login} as cluster {name:?}{default}, in {path}"
                ))
            }
            Self::Pointed => Some(format!(
                "here: cluster {name:?} names its qdebug, in {path}"
            )),
        }
    }

    pub(super) fn write(
        &self,
        path: &Path,
        name: &str,
        login: &Destination,
        qdebug: Option<&str>,
    ) -> Result<(), Failure> {
        let (login, qdebug) = (login.to_string(), qdebug.map(PathBuf::from));
        match (self, qdebug) {
            (Self::Stays, _) | (Self::Pointed, None) => {}
            (Self::Made { default }, qdebug) => {
                let new = NewProfile {
                    name,
                    login: &login,
                    qdebug: qdebug.as_deref(),
                    by: KeptBy::Setup,
                    becomes_default: *default,
                };
                keep_profile(path, new)?;
            }
            (Self::Pointed, Some(qdebug)) => point_profile(path, name, &login, &qdebug)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_made_once_and_follows_what_is_installed() {
        let made = Profile::Made { default: true };
        assert_eq!(profile_plan(false, None, Some("/q"), true, true), made);
        let stays = [
            profile_plan(true, Some("/q"), Some("/q"), false, false),
            profile_plan(true, None, Some("/q"), false, false),
            profile_plan(true, Some("/q"), None, false, false),
        ];
        assert!(stays.iter().all(|plan| *plan == Profile::Stays));
        let pointed = [
            profile_plan(true, Some("/q"), Some("/new"), false, false),
            profile_plan(true, None, Some("/new"), true, false),
        ];
        assert!(pointed.iter().all(|plan| *plan == Profile::Pointed));
    }
}
