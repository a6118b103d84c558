//! Why a job waits or was refused, in plain words.

use std::collections::BTreeSet;

use super::super::Reason;
use crate::text::nearest;

/// Whether this reason means that somebody holds the job, or that Slurm does after a failure.
pub(super) fn is_hold(code: &str) -> bool {
    let code = code.to_lowercase().replace('_', " ");
    code.starts_with("jobheld") || code == "jobholdmaxrequeue" || code.contains("requeued held")
}

/// Whether a job with this reason could not start whatever became free.
pub(super) fn is_not_in_line(code: &str) -> bool {
    is_hold(code) || matches!(code, "BeginTime" | "Dependency") || is_never(code)
}

/// Whether a job with this reason can never run as it is.
fn is_never(code: &str) -> bool {
    // A limit on one job; the limits on groups and users are waited for.
    let of_one_job = (code.starts_with("QOSMax") || code.starts_with("AssocMax"))
        && ["PerJob", "PerNode"]
            .iter()
            .any(|limit| code.contains(limit));
    of_one_job
        || code.starts_with("QOSMin")
        || matches!(
            code,
            "DependencyNeverSatisfied"
                | "PartitionNodeLimit"
                | "PartitionTimeLimit"
                | "QOSTimeLimit"
                | "AssociationTimeLimit"
                | "MaxMemPerLimit"
                | "DeadLine"
                | "BadConstraints"
                | "InvalidAccount"
                | "InvalidQOS"
                | "AccountNotAllowed"
                | "QOSNotAllowed"
                | "ReservationDeleted"
        )
}

/// A job's reason to wait (squeue(1), JOB REASON CODES).
pub(super) fn waiting(code: &str) -> Option<Reason> {
    if code.is_empty() || code == "None" {
        return None;
    }
    let text = match code {
        "Resources" => "waits for free resources",
        "Priority" => "other jobs have a higher priority",
        "BeginTime" => "its begin time has not come",
        "Dependency" => "waits for another job",
        "DependencyNeverSatisfied" => "the job it waits for never did what it waits for",
        "JobHeldUser" => "held by its owner (scontrol release)",
        "JobHeldAdmin" => "held by an admin",
        "Licenses" => "waits for a licence",
        "Reservation" => "waits for its reservation",
        "ReservationDeleted" => "its reservation was deleted",
        "PartitionDown" | "PartitionInactive" => "its partition is down",
        "PartitionNodeLimit" => "asks for more nodes than its partition allows",
        "PartitionTimeLimit" => "asks for more time than its partition allows",
        "BadConstraints" => "no node satisfies its constraints",
        "InvalidAccount" => "its account is not valid",
        "InvalidQOS" => "its quality of service is not valid",
        "AccountNotAllowed" => "its account may not use this partition",
        "QOSNotAllowed" => "its quality of service may not use this partition",
        "Cleaning" => "an earlier run of it is being cleaned up",
        "Prolog" => "the node is being prepared",
        code if code.starts_with("ReqNodeNotAvail") => "a node it needs is not available",
        code if code.contains("MaxWall") || code.contains("TimeLimit") => {
            "asks for more time than is allowed"
        }
        "MaxMemPerLimit" => "asks for more memory than is allowed",
        "DeadLine" => "its deadline cannot be kept",
        "NodeDown" => "a node it needs is down",
        "JobHoldMaxRequeue" => "held: it was started too often",
        code if code.replace('_', " ").starts_with("Nodes required") => {
            "the nodes it needs are down or reserved"
        }
        code if is_hold(code) => "held by Slurm after a failure (`scontrol show job` tells more)",
        code if code.starts_with("QOSMin") => "asks for less than its quality of service demands",
        code if code.starts_with("QOS") && is_never(code) => {
            "asks for more than its quality of service allows one job"
        }
        code if code.starts_with("Assoc") && is_never(code) => {
            "asks for more than its account allows one job"
        }
        code if code.starts_with("QOS") => "a limit of its quality of service is reached",
        code if code.starts_with("Assoc") => "a limit of its account is reached",
        other => other,
    };
    Some(Reason {
        code: code.to_owned(),
        text: text.to_owned(),
        never: is_never(code),
    })
}

/// A refusal that has a sure cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No node has what was asked for.
    NoSuchNode,
    /// There is no such partition.
    Partition,
    /// Anything else with one cure.
    Known(&'static str),
}

/// What sbatch's words mean.
pub(super) fn of_refusal(said: &str) -> Option<Refusal> {
    let said = said.to_lowercase();
    let has = |words: &str| said.contains(words);
    if has("node configuration is not available") || has("invalid generic resource") {
        Some(Refusal::NoSuchNode)
    } else if has("invalid partition") {
        Some(Refusal::Partition)
    } else if has("invalid feature") {
        Some(Refusal::Known(
            "`sinfo -o '%N %f'` shows the features that nodes have",
        ))
    } else if has("memory specification") {
        Some(Refusal::Known(
            "ask for less memory; `sinfo -o '%N %m'` shows what nodes have, in MB",
        ))
    } else if has("time limit") {
        Some(Refusal::Known(
            "ask for less time by `-w`; `sinfo -o '%R %l'` shows the limits",
        ))
    } else if has("invalid account") {
        Some(Refusal::Known(
            "`sacctmgr show associations user=$USER` shows your accounts",
        ))
    } else if has("invalid qos") {
        Some(Refusal::Known(
            "`sacctmgr show associations user=$USER` shows what you may use",
        ))
    } else if has("reservation") {
        Some(Refusal::Known(
            "`scontrol show reservation` shows what there is",
        ))
    } else if has("submit limit") || has("jobs that can be submitted") {
        Some(Refusal::Known(
            "end one of your jobs first; `qdebug list` shows your sessions",
        ))
    } else {
        None
    }
}

/// The cure of [`Refusal::NoSuchNode`].
pub(super) fn no_such_node(asked: Option<&str>, known: &BTreeSet<String>) -> String {
    let listed: Vec<&str> = known.iter().map(String::as_str).collect();
    let listed = listed.join(", ");
    match asked {
        None => "ask for less; `sinfo -N -l` shows what nodes have".to_owned(),
        Some(_) if known.is_empty() => "this cluster's nodes tell of no GPU type".to_owned(),
        Some(asked) if known.contains(asked) => {
            format!("no node has that many {asked}, cores or memory at once")
        }
        Some(asked) => match nearest(asked, known.iter().map(String::as_str)) {
            Some(near) => {
                format!("there is no GPU type {asked}; did you mean {near}? there are: {listed}")
            }
            None => format!("there is no GPU type {asked}; there are: {listed}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_run_is_told_as_such() {
        assert!(waiting("PartitionTimeLimit").unwrap().never);
        assert!(!waiting("Resources").unwrap().never);
        for never in [
            "QOSMaxWallDurationPerJobLimit",
            "AssocMaxGRESPerJob",
            "QOSMinGRES",
        ] {
            assert!(waiting(never).unwrap().never, "{never}");
        }
        for waits in ["QOSMaxGRESPerUser", "AssocGrpGRES", "QOSGrpCpuLimit"] {
            assert!(!waiting(waits).unwrap().never, "{waits}");
        }
        assert_eq!(waiting("None"), None);
        assert_eq!(waiting("Brand_New").unwrap().text, "Brand_New");
    }

    #[test]
    fn holds_are_told_whoever_holds() {
        let after_failure = "user_env_retrieval_failed_requeued_held";
        for hold in [
            "JobHeldUser",
            "JobHeldAdmin",
            "JobHoldMaxRequeue",
            after_failure,
        ] {
            assert!(is_hold(hold) && is_not_in_line(hold), "{hold}");
        }
        assert!(!is_hold("Priority") && !is_not_in_line("Resources"));
    }

    #[test]
    fn an_unknown_gpu_type_gets_the_nearest_and_all() {
        let known = BTreeSet::from(["P100".to_owned(), "V100".to_owned()]);
        let hint = no_such_node(Some("V10"), &known);
        assert!(
            hint.contains("did you mean V100") && hint.contains("P100, V100"),
            "{hint}"
        );
        assert!(no_such_node(Some("V100"), &known).contains("that many"));
        let said = "Requested node configuration is not available";
        assert_eq!(of_refusal(said), Some(Refusal::NoSuchNode));
    }
}
