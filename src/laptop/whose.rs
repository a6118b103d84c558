//! Whose sessions a command means that goes by what this laptop remembers: `--on`.

use std::path::Path;

use super::error::Error;
use super::known::{Known, Place};

/// Which cluster's sessions are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Whose {
    /// Any that this laptop knows.
    #[default]
    Any,
    /// This machine's.
    Here,
    /// That of a login node, written as it is remembered.
    Login(String),
}

impl Whose {
    fn holds(&self, place: &Place) -> bool {
        match (self, place) {
            (Self::Any, _) | (Self::Here, Place::Here) => true,
            (Self::Login(wanted), Place::Login { login, .. }) => wanted == login,
            _ => false,
        }
    }

    /// The session that `word` means among theirs: an alias, a name or a job id.
    ///
    /// # Errors
    /// [`Error::NotKnown`]; [`Error::Memory`] for a file that cannot be used.
    pub(super) fn find(&self, dir: &Path, word: &str) -> Result<Known, Error> {
        if *self == Self::Any {
            return Known::find(dir, word);
        }
        let mut theirs = Known::all(dir);
        theirs.retain(|known| self.holds(&known.place));
        let by_name = |known: &&Known| {
            known.name.as_str() == word
                || known.alias == word
                || known.alias.strip_prefix("qdebug-") == Some(word)
        };
        if let Some(known) = theirs.iter().find(by_name) {
            return Ok(known.clone());
        }
        let mut of_job = theirs.iter().filter(|known| known.is_of_job(word));
        match (of_job.next(), of_job.next()) {
            (Some(known), None) => Ok(known.clone()),
            _ => Err(Error::NotKnown {
                name: word.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::status;
    use super::*;

    #[test]
    fn the_same_name_and_job_of_two_clusters_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("sessions");
        let place = |login: &str| Place::Login {
            login: login.to_owned(),
            qdebug: "/q".to_owned(),
        };
        let otter = status("otter", '1');
        let one = Known::new(&otter, place("alice@one"), &[]).unwrap();
        let two = Known::new(&otter, place("alice@two"), std::slice::from_ref(&one)).unwrap();
        let here = Known::new(&otter, Place::Here, &[one.clone(), two.clone()]).unwrap();
        for known in [&one, &two, &here] {
            known.write(&dir).unwrap();
        }
        let at = |login: &str| Whose::Login(login.to_owned());
        for (whose, known) in [
            (at("alice@one"), &one),
            (at("alice@two"), &two),
            (Whose::Here, &here),
        ] {
            for word in ["otter", "7", &known.alias] {
                assert_eq!(whose.find(&dir, word).unwrap(), *known, "{whose:?} {word}");
            }
        }
        assert_eq!(Whose::Any.find(&dir, "otter").unwrap(), one);
        // A job id that several have says nothing without the cluster.
        assert!(Whose::Any.find(&dir, "7").is_err());
        for nobody in [at("alice@three"), at("")] {
            let error = nobody.find(&dir, "otter").unwrap_err();
            assert!(matches!(error, Error::NotKnown { .. }), "{error:?}");
        }
        assert!(at("alice@one").find(&dir, "").is_err());
    }
}
