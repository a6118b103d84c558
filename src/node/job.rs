//! Becoming the job: which job this process is in, whether it is the session's, when it ends.
//!
//! Pure over an environment that is looked up, so that a requeued id, a foreign cluster and a copy
//! of a job script run by hand are found out before anything is made.

use jiff::{SignedDuration, Timestamp};

use super::Error;
use crate::scheduler::Kind;
use crate::session::{Job, Request};

/// The job this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnJob {
    /// The full id, as the scheduler writes it.
    pub(super) id: String,
    /// When the walltime ends.
    pub(super) deadline: Timestamp,
}

impl OwnJob {
    /// Reads it from the environment and holds it against the session's files.
    pub(super) fn of_environment(
        request: &Request,
        job: Option<&Job>,
        lookup: impl Fn(&str) -> Option<String>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let scheduler = request.cluster.scheduler.as_str();
        // A job.json of another session of the same name says nothing about this one.
        let told = job.filter(|job| job.token == request.token);
        let kind: Kind = scheduler.parse().map_err(|_| Error::UnknownScheduler {
            scheduler: scheduler.to_owned(),
        })?;
        let variable = kind.id_variable();
        let found = lookup(variable).filter(|id| !id.is_empty());
        let Some(id) = found else {
            return Err(Error::NotInJob {
                scheduler: scheduler.to_owned(),
                variable,
            });
        };
        if let Some(told) = told.filter(|told| short(&told.id) != short(&id)) {
            return Err(Error::OtherJob {
                expected: told.id.clone(),
                found: id,
            });
        }
        if let Some(cluster) = lookup("SLURM_CLUSTER_NAME")
            .filter(|name| kind == Kind::Slurm && *name != request.cluster.server)
        {
            return Err(Error::OtherCluster {
                expected: request.cluster.to_string(),
                found: cluster,
            });
        }
        Ok(Self {
            id: told.map_or(id, |told| told.id.clone()),
            deadline: deadline(request, &lookup, now),
        })
    }
}

/// The number before the server's name.
fn short(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

/// Slurm tells the end in newer versions; else it is counted from now, which is as good as the
/// node half's start is close to the job's.
fn deadline(
    request: &Request,
    lookup: &impl Fn(&str) -> Option<String>,
    now: Timestamp,
) -> Timestamp {
    let counted = i64::try_from(request.walltime_seconds)
        .ok()
        .and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok())
        .unwrap_or(Timestamp::MAX);
    let told = lookup("SLURM_JOB_END_TIME")
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .filter(|told| *told > now);
    told.map_or(counted, |told| told.min(counted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::samples::{job, request};

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn own(
        scheduler: &str,
        told: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<OwnJob, Error> {
        let mut request = request("otter");
        request.cluster.scheduler = scheduler.to_owned();
        let told = told.map(|id| job(&request, id));
        let lookup = |name: &str| {
            let mut found = variables.iter().filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        OwnJob::of_environment(&request, told.as_ref(), lookup, now())
    }

    #[test]
    fn the_full_id_of_job_json_is_kept() {
        let found = own("local", Some("33.server"), &[("QDEBUG_LOCAL_JOB", "33")]).unwrap();
        assert_eq!(found.id, "33.server");
        let found = own("slurm", Some("33"), &[("SLURM_JOB_ID", "33")]).unwrap();
        assert_eq!(found.id, "33");
        // The job may start before submit has written its answer down.
        assert_eq!(
            own("slurm", None, &[("SLURM_JOB_ID", "4")]).unwrap().id,
            "4"
        );
    }

    #[test]
    fn another_job_another_cluster_and_no_job_are_refused() {
        assert!(matches!(
            own("slurm", Some("33"), &[("SLURM_JOB_ID", "34")]),
            Err(Error::OtherJob { .. })
        ));
        assert!(matches!(
            own(
                "slurm",
                None,
                &[("SLURM_JOB_ID", "1"), ("SLURM_CLUSTER_NAME", "else")]
            ),
            Err(Error::OtherCluster { .. })
        ));
        assert!(matches!(
            own("slurm", Some("33"), &[]),
            Err(Error::NotInJob { .. })
        ));
        assert!(matches!(
            own("quantum", None, &[]),
            Err(Error::UnknownScheduler { .. })
        ));
    }

    #[test]
    fn the_deadline_is_the_walltime_or_sooner() {
        let id = ("SLURM_JOB_ID", "1");
        let at = |seconds: i64| {
            now()
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap()
        };
        assert_eq!(own("slurm", None, &[id]).unwrap().deadline, at(3600));
        let sooner = at(600).as_second().to_string();
        let told = ("SLURM_JOB_END_TIME", sooner.as_str());
        assert_eq!(own("slurm", None, &[id, told]).unwrap().deadline, at(600));
        let nonsense = ("SLURM_JOB_END_TIME", "0");
        assert_eq!(
            own("slurm", None, &[id, nonsense]).unwrap().deadline,
            at(3600)
        );
    }
}
