//! What `-g TYPE` of submit means: the catalogue's type, else one that the cluster's own nodes report,
//! else a refusal that names the known ones.

use std::time::Duration;

use super::output::harmless;
use super::{Exit, Failure};
use crate::config::{Catalogue, Dialect, GpuType};
use crate::gpu::TypePattern;
use crate::login::{Login, ReportedType, Submission};
use crate::scheduler::Kind;
use crate::session::GpuRequest;
use crate::text::nearest;

pub(super) fn type_of(catalogue: &Catalogue, word: &str) -> Option<String> {
    catalogue.of_word(word).map(|kind| kind.name.clone())
}

/// How long the driver of this machine may take to name its GPUs.
const DRIVER_LIMIT: Duration = Duration::from_secs(5);

/// What a type of the catalogue says for this many GPUs, where the command line does not: cores,
/// memory and queue.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) cpus: Option<u32>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) queue: Option<String>,
}

/// The GPUs that `-g TEXT -n COUNT` asks for, and the limits of their type. A type that is not in
/// the catalogue stays as it is written, for [`settle`] to judge.
pub(super) fn asked(catalogue: &Catalogue, text: &str, count: u32) -> (GpuRequest, Limits) {
    let kind = catalogue.find(text);
    let request = GpuRequest {
        kind: kind.map_or(text, |kind| &kind.name).to_owned(),
        count,
        pattern: kind.and_then(|kind| kind.pattern.clone()),
        allow_busy: false,
    };
    let limits = Limits {
        cpus: kind.and_then(|kind| kind.cpus?.checked_mul(count)),
        memory_bytes: kind.and_then(|kind| kind.memory_bytes?.checked_mul(u64::from(count))),
        queue: kind.and_then(|kind| kind.queue.clone()),
    };
    (request, limits)
}

/// Finds the scheduler's words for the GPUs of a submission: what a file says; else the word that
/// the nodes use for the type; else the built-in words. `local` has no nodes: there the machine itself is
/// asked, and by the node half once more.
pub(super) async fn settle(
    submission: &mut Submission,
    catalogue: &Catalogue,
    login: &Login,
) -> Result<(), Failure> {
    let Some(gpu) = &mut submission.gpu else {
        return Ok(());
    };
    let Some(dialect) = dialect(login.kind()) else {
        return match catalogue.find(&gpu.kind) {
            Some(_) => Ok(()),
            None => is_here(&gpu.kind, catalogue).await,
        };
    };
    let kind = catalogue.find(&gpu.kind);
    let configured = kind
        .map(|kind| kind.words(dialect))
        .filter(|words| words.is_configured);
    if let (Some(kind), Some(words)) = (kind, configured) {
        submission.gpu_words = Some(counted(kind, words.with_count(gpu.count))?);
        return Ok(());
    }
    let reported = login
        .reported_types(&|word| type_of(catalogue, word))
        .await?
        .unwrap_or_default();
    let request = match kind {
        Some(kind) => match reported_as(catalogue, kind, &reported) {
            Some(reported) => reported.request.clone(),
            None => kind.words(dialect).text.clone(),
        },
        None => {
            let same = |reported: &&ReportedType| reported.word.eq_ignore_ascii_case(&gpu.kind);
            let exact = reported.iter().find(|reported| reported.word == gpu.kind);
            let Some(found) = exact.or_else(|| reported.iter().find(same)) else {
                return Err(unknown(&gpu.kind, catalogue, &reported));
            };
            gpu.kind.clone_from(&found.word);
            found.request.clone()
        }
    };
    submission.gpu_words = Some(request.replace("{count}", &gpu.count.to_string()));
    Ok(())
}

/// Whether a type that is in no catalogue may be one of this machine's GPUs, by their names. Where the
/// driver does not tell, the node half says why.
async fn is_here(kind: &str, catalogue: &Catalogue) -> Result<(), Failure> {
    let asking = tokio::task::spawn_blocking(crate::gpu::inventory);
    let Ok(Ok(Ok(gpus))) = tokio::time::timeout(DRIVER_LIMIT, asking).await else {
        return Ok(());
    };
    let names: Vec<String> = gpus.into_iter().map(|gpu| gpu.name).collect();
    is_one_of(kind, &names, catalogue)
}

fn is_one_of(kind: &str, names: &[String], catalogue: &Catalogue) -> Result<(), Failure> {
    let pattern = TypePattern::of_type(kind);
    if names.iter().any(|name| pattern.matches(name)) {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| harmless(name)).collect();
    Err(not_known(kind, catalogue, &[]).hint(format!("this machine has {}", names.join(", "))))
}

fn dialect(kind: Kind) -> Option<Dialect> {
    match kind {
        Kind::OpenPbs => Some(Dialect::OpenPbs),
        Kind::Torque => Some(Dialect::Torque),
        Kind::Slurm => Some(Dialect::Slurm),
        Kind::Local => None,
    }
}

fn counted(kind: &GpuType, words: Option<String>) -> Result<String, Failure> {
    words.ok_or_else(|| {
        let message = format!("{} can be asked for one at a time here", kind.name);
        Failure::new(Exit::Usage, message)
            .hint("leave -n out; the words of the configuration hold no {count}")
    })
}

/// The one word of the nodes for a type: that of its name, else the only one that means it.
fn reported_as<'a>(
    catalogue: &Catalogue,
    kind: &GpuType,
    reported: &'a [ReportedType],
) -> Option<&'a ReportedType> {
    let named = |one: &&ReportedType| one.word.eq_ignore_ascii_case(&kind.name);
    let meant = |one: &&ReportedType| catalogue.of_word(&one.word) == Some(kind);
    let mut meant = reported.iter().filter(meant);
    let only = meant.next().filter(|_| meant.next().is_none());
    reported.iter().find(named).or(only)
}

/// What is said of a type that nobody knows, with what the cluster's nodes have.
fn unknown(asked: &str, catalogue: &Catalogue, reported: &[ReportedType]) -> Failure {
    let failure = not_known(asked, catalogue, reported);
    let here: Vec<String> = reported.iter().map(|one| harmless(&one.word)).collect();
    match here.is_empty() {
        true => failure.hint("the cluster's nodes tell of no type; `qdebug gpus` asks them"),
        false => failure.hint(format!(
            "types of this cluster's nodes: {}",
            here.join(", ")
        )),
    }
}

fn not_known(asked: &str, catalogue: &Catalogue, reported: &[ReportedType]) -> Failure {
    let of_nodes = || reported.iter().map(|one| one.word.as_str());
    let built = catalogue.types();
    let names = built.iter().flat_map(|kind| {
        let short = kind.aliases.iter().map(String::as_str);
        std::iter::once(kind.name.as_str()).chain(short)
    });
    let message = format!("there is no GPU type {asked}");
    let failure = match nearest(asked, names.chain(of_nodes())) {
        Some(near) => Failure::new(Exit::Usage, format!("{message}; did you mean {near}?")),
        None => Failure::new(Exit::Usage, message),
    };
    let listed: Vec<String> = built.iter().map(ToString::to_string).collect();
    failure.hint(format!("types that qdebug knows: {}", listed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(words: &[&str]) -> Vec<ReportedType> {
        let one = |word: &&str| ReportedType {
            word: (*word).to_owned(),
            request: format!("gpu:{word}:{{count}}"),
        };
        words.iter().map(one).collect()
    }

    #[test]
    fn short_names_become_types_with_their_pattern() {
        let catalogue = Catalogue::built_in();
        let (gpu, limits) = asked(&catalogue, "v", 2);
        assert_eq!((gpu.kind.as_str(), gpu.count), ("V100", 2));
        assert!(gpu.pattern.is_some() && limits.cpus.is_none());
        let (gpu, _) = asked(&catalogue, "MI50", 1);
        assert_eq!((gpu.kind.as_str(), gpu.pattern), ("MI50", None));
    }

    #[test]
    fn the_nodes_own_word_for_a_type_is_found_when_there_is_one() {
        let catalogue = Catalogue::built_in();
        let found = |kind: &str, words: &[&str]| {
            let reported = reported(words);
            let found = reported_as(&catalogue, catalogue.find(kind).unwrap(), &reported);
            found.map(|one| one.word.clone())
        };
        assert_eq!(found("V100", &["v100", "a100"]).as_deref(), Some("v100"));
        let long = "nvidia_a100-sxm4-80gb";
        assert_eq!(found("A100", &["v100", long]).as_deref(), Some(long));
        assert_eq!(found("A100", &["a100_40gb", "a100_80gb"]), None);
        assert_eq!(
            found("A100", &["a100_40gb", "a100"]).as_deref(),
            Some("a100")
        );
        assert_eq!(found("H100", &["v100"]), None);
    }

    #[test]
    fn an_unknown_type_names_the_nearest_and_all() {
        let catalogue = Catalogue::built_in();
        let told = format!("{:?}", unknown("V10", &catalogue, &reported(&["MI50"])));
        for word in ["did you mean V100?", "GTX1080TI (GT)", "MI50", "Usage"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(!format!("{:?}", unknown("xyz", &catalogue, &[])).contains("did you mean"));
    }
    #[test]
    fn on_a_workstation_a_type_is_a_part_of_a_gpus_name() {
        let catalogue = Catalogue::built_in();
        let names = ["NVIDIA GeForce RTX 4090".to_owned()];
        assert!(is_one_of("RTX 4090", &names, &catalogue).is_ok());
        let told = format!("{:?}", is_one_of("V10", &names, &catalogue));
        for word in [
            "no GPU type V10",
            "did you mean V100?",
            "this machine has NVIDIA GeForce",
        ] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}
