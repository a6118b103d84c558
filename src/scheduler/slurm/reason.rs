//! Why a job waits or was refused, in plain words.

use std::collections::BTreeSet;

use super::super::Reason;
use crate::text::nearest;

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
        code if code.starts_with("QOS") => "a limit of its quality of service is reached",
        code if code.starts_with("Assoc") => "a limit of its account is reached",
        code if code.starts_with("Nodes_required") => "the nodes it needs are down or reserved",
        other => other,
    };
    Some(Reason {
        code: code.to_owned(),
        text: text.to_owned(),
        never: matches!(
            code,
            "DependencyNeverSatisfied"
                | "PartitionNodeLimit"
                | "PartitionTimeLimit"
                | "BadConstraints"
                | "InvalidAccount"
                | "InvalidQOS"
                | "AccountNotAllowed"
                | "QOSNotAllowed"
                | "ReservationDeleted"
        ),
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
        assert_eq!(waiting("None"), None);
        assert_eq!(waiting("Brand_New").unwrap().text, "Brand_New");
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
