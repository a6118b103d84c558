//! Torque: `epilogue` and `prologue` in the mom's folder, one machine at a time. A script of the
//! site's own keeps its work: it gets the name `.site` and ours hands over to it, with the same
//! words, the same environment, and its exit status.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::file::{self, Script};
use super::{Error, Found, Kind, PlainPath, Plan, Step, Target, read};

/// Where moms keep their things: the source's default, Debian's, and old ones.
pub(super) const FOLDERS: [&str; 3] = [
    "/var/spool/torque/mom_priv",
    "/var/lib/torque/mom_priv",
    "/usr/spool/PBS/mom_priv",
];

/// Mom passes over what group or others may write to, in silence.
const MODE: u32 = 0o500;

/// One of the two scripts.
struct Place {
    path: PathBuf,
    /// Where the site's own is kept.
    site: PathBuf,
    /// What should be there.
    wanted: String,
    /// What is.
    there: Option<String>,
    site_there: Option<String>,
}

impl Place {
    fn ours(&self) -> Option<String> {
        self.there
            .as_deref()
            .and_then(|text| file::version(text, Kind::Torque))
    }
}

fn places(target: &Target) -> Result<[Place; 2], Error> {
    let folder = match &target.folder {
        Some(folder) => folder.clone(),
        None => {
            let found = FOLDERS
                .iter()
                .find(|path| std::path::Path::new(path).is_dir());
            found.map_or_else(
                || {
                    Err(Error::NoFolder {
                        what: "the folder mom_priv of Torque",
                        looked: FOLDERS.join(", "),
                    })
                },
                |found| Ok(found.parse::<PlainPath>()?),
            )?
        }
    };
    if !folder.path().is_dir() {
        return Err(Error::NoFolder {
            what: "the folder mom_priv of Torque",
            looked: folder.to_string(),
        });
    }
    let place = |name: &str, script: Script| -> Result<Place, Error> {
        let (path, site) = (folder.join(name), folder.join(&format!("{name}.site")));
        Ok(Place {
            there: read(&path)?,
            site_there: read(&site)?,
            wanted: script.text(&target.binary, Some(&folder)),
            path,
            site,
        })
    };
    Ok([
        place("epilogue", Script::TorqueEpilogue)?,
        place("prologue", Script::TorquePrologue)?,
    ])
}

pub(super) fn look(target: &Target) -> Result<Found, Error> {
    let mut found = Found::default();
    for place in places(target)? {
        let path = place.path.display();
        let Some(version) = place.ours() else {
            found
                .problems
                .push(format!("{path} is not qdebug's: `qdebug hooks install`"));
            continue;
        };
        found.version = Some(version);
        found.places.push(path.to_string());
        if place.there.as_ref() != Some(&place.wanted) {
            found.problems.push(format!(
                "{path} is of another version or names another program: `qdebug hooks install`"
            ));
        }
        let mode = place
            .path
            .metadata()
            .map(|found| found.permissions().mode() & 0o777);
        if mode.is_ok_and(|mode| mode & 0o022 != 0 || mode & 0o500 != 0o500) {
            found
                .problems
                .push(format!("mom passes over {path}: its mode must be {MODE:o}"));
        }
    }
    if found.version.is_none() {
        // Nothing is installed, which is no problem of what is.
        found.problems.clear();
    }
    Ok(found)
}

pub(super) fn install(target: &Target) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for place in places(target)? {
        if place.ours().is_none() && place.there.is_some() {
            // An installation that was cut off has left the same text under both names.
            match &place.site_there {
                None => plan.steps.push(Step::Keep {
                    from: place.path.clone(),
                    to: place.site.clone(),
                }),
                Some(kept) if Some(kept) == place.there.as_ref() => {}
                Some(_) => return Err(two_scripts(place)),
            }
        }
        if place.there.as_ref() != Some(&place.wanted) {
            plan.steps.push(Step::Write {
                path: place.path,
                text: place.wanted,
                mode: MODE,
            });
        }
    }
    plan.then.push("do the same on every node".to_owned());
    Ok(plan)
}

pub(super) fn uninstall(target: &Target) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for place in places(target)? {
        match (place.ours(), &place.site_there) {
            (Some(_), Some(_)) => plan.steps.push(Step::Restore {
                from: place.site,
                to: place.path,
            }),
            (Some(_), None) => plan.steps.push(Step::Remove { path: place.path }),
            (None, Some(kept)) if Some(kept) == place.there.as_ref() => {
                plan.steps.push(Step::Remove { path: place.site });
            }
            (None, _) => {}
        }
    }
    Ok(plan)
}

fn two_scripts(place: Place) -> Error {
    Error::TwoScripts {
        one: place.path,
        other: place.site,
    }
}
