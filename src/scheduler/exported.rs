//! What of the submitter's environment goes along with every job, in each dialect alike: what
//! chooses the engine and the configuration. A session's own variables go another way.

use std::ffi::OsStr;

/// Its names.
pub(super) const EXPORTED: [&str; 8] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "CONTAINER_HOST",
    "QDEBUG_CONFIG",
    "QDEBUG_SITE",
    "QDEBUG_LOG",
    "QDEBUG_HOME",
];

/// Those of the names that are set here to a value that the dialect `takes`; one that it does not
/// is told in the log.
pub(super) fn set_here(takes: impl Fn(&OsStr) -> bool) -> Vec<&'static str> {
    let is_set = |name: &&str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.is_some_and(|value| {
            let taken = takes(&value);
            if !taken {
                tracing::warn!("{name} stays here: its value cannot be handed to the job");
            }
            taken
        })
    };
    EXPORTED.into_iter().filter(is_set).collect()
}
