//! What the environment of a job says of its GPUs.
//!
//! `CUDA_VISIBLE_DEVICES` holds indices (`0,2`), UUIDs (`GPU-...`, also cut short) or MIG parts
//! (`MIG-...`); Slurm's `SLURM_JOB_GPUS` holds indices of the node, also as ranges. Under Slurm
//! with device cgroups, `CUDA_VISIBLE_DEVICES` may be renumbered from 0 within what the job may
//! open, while `SLURM_JOB_GPUS` keeps the node's own numbers: so it is asked first, and the step's
//! own before the job's. Torque names a file in `PBS_GPUFILE`, one `HOST-gpuINDEX` a line (its
//! attribute `exec_gpus` says the same); OpenPBS's cgroups hook sets `CUDA_VISIBLE_DEVICES` to
//! UUIDs.

use std::path::Path;

/// The GPUs a job was granted, as its environment names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// The environment says nothing.
    Unsaid,
    /// It says that there are none.
    None,
    /// Indices of the node, in PCI order.
    Indices(Vec<u32>),
    /// UUIDs, which may be cut short as long as they stay unique.
    Uuids(Vec<String>),
    /// Parts of GPUs.
    Mig(Vec<String>),
}

/// Where a grant is read from: the environment of a job and what it names.
pub struct Sources<'a> {
    /// The job's variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file; `None` where there is none, as Torque names one that it does not make.
    pub file: &'a dyn Fn(&Path) -> Option<String>,
    /// What this node calls itself.
    pub host: &'a str,
}

/// Why a list of GPUs cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value:?} is no list of GPUs")]
pub struct GrantError {
    variable: &'static str,
    value: String,
}

/// What no node has reached; a range beyond is a mistake or an attack.
const INDEX_LIMIT: u32 = 1024;

impl Granted {
    /// Reads the grant.
    ///
    /// # Errors
    /// [`GrantError`] names the variable and its value, or the file's line.
    pub fn from_job(sources: &Sources<'_>) -> Result<Self, GrantError> {
        // UUIDs mean the same to everybody. For MIG parts Slurm's own numbers are none of GPUs.
        let cuda = listed(sources, "CUDA_VISIBLE_DEVICES");
        if let Ok(Some(Self::Uuids(_) | Self::Mig(_))) = cuda {
            return Ok(cuda?.unwrap_or(Self::Unsaid));
        }
        for variable in ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"] {
            // Slurm leaves its variables empty where it does not say.
            match listed(sources, variable)? {
                Some(Self::None) | None => {}
                Some(granted) => return Ok(granted),
            }
        }
        if let Some(granted) = in_gpufile(sources)? {
            return Ok(granted);
        }
        Ok(cuda?.unwrap_or(Self::Unsaid))
    }
}

fn refusal(variable: &'static str, value: &str) -> GrantError {
    GrantError {
        variable,
        value: value.chars().take(200).collect(),
    }
}

fn listed(sources: &Sources<'_>, variable: &'static str) -> Result<Option<Granted>, GrantError> {
    let Some(value) = (sources.variable)(variable) else {
        return Ok(None);
    };
    parse(&value)
        .map(Some)
        .ok_or_else(|| refusal(variable, &value))
}

/// Torque's file: host names contain dashes, so a line is read from its end. A job on several nodes
/// has lines of the others, too.
fn in_gpufile(sources: &Sources<'_>) -> Result<Option<Granted>, GrantError> {
    const VARIABLE: &str = "PBS_GPUFILE";
    let path = (sources.variable)(VARIABLE).filter(|path| !path.is_empty());
    let Some(text) = path.and_then(|path| (sources.file)(Path::new(&path))) else {
        return Ok(None);
    };
    let short = |host: &str| host.split('.').next().unwrap_or(host).to_lowercase();
    let mut indices = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (host, number) = line
            .rsplit_once("-gpu")
            .and_then(|(host, number)| Some((host, index(number)?)))
            .ok_or_else(|| refusal(VARIABLE, line))?;
        if short(host) == short(sources.host) && !indices.contains(&number) {
            indices.push(number);
        }
    }
    Ok((!indices.is_empty()).then_some(Granted::Indices(indices)))
}

fn parse(value: &str) -> Option<Granted> {
    let value = value.trim();
    if value.is_empty() || matches!(value, "-1" | "NoDevFiles" | "none" | "void") {
        return Some(Granted::None);
    }
    let words: Vec<&str> = value.split(',').map(str::trim).collect();
    let all = |prefix: &str| words.iter().all(|word| is_uuid(word, prefix));
    let owned = || words.iter().map(|word| (*word).to_owned()).collect();
    if all("GPU-") {
        return Some(Granted::Uuids(owned()));
    }
    if all("MIG-") {
        return Some(Granted::Mig(owned()));
    }
    let mut indices = Vec::new();
    for word in words {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (index(first)?, index(last)?);
        if first > last {
            return None;
        }
        for index in first..=last {
            if indices.contains(&index) {
                return None;
            }
            indices.push(index);
        }
    }
    Some(Granted::Indices(indices))
}

fn index(word: &str) -> Option<u32> {
    // "+1" is a number to Rust and none to CUDA.
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    let index = word.parse().ok().filter(|_| digits)?;
    (index < INDEX_LIMIT).then_some(index)
}

fn is_uuid(word: &str, prefix: &str) -> bool {
    word.strip_prefix(prefix).is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(variables: &[(&str, &str)]) -> Result<Granted, GrantError> {
        with_file(variables, None)
    }

    fn with_file(
        variables: &[(&str, &str)],
        file: Option<(&str, &str)>,
    ) -> Result<Granted, GrantError> {
        let variable = |name: &str| {
            let mut found = variables.iter().filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        let text = |path: &Path| {
            let (there, text) = file?;
            (path == Path::new(there)).then(|| text.to_owned())
        };
        Granted::from_job(&Sources {
            variable: &variable,
            file: &text,
            host: "gpu-node1.example.org",
        })
    }

    fn cuda(value: &str) -> Result<Granted, GrantError> {
        granted(&[("CUDA_VISIBLE_DEVICES", value)])
    }

    #[test]
    fn lists_of_each_kind_are_read() {
        assert_eq!(granted(&[]), Ok(Granted::Unsaid));
        assert_eq!(cuda("0,2"), Ok(Granted::Indices(vec![0, 2])));
        assert_eq!(cuda(" 3 "), Ok(Granted::Indices(vec![3])));
        assert_eq!(cuda("0-2,5"), Ok(Granted::Indices(vec![0, 1, 2, 5])));
        assert_eq!(
            cuda("GPU-ab12"),
            Ok(Granted::Uuids(vec!["GPU-ab12".into()]))
        );
        assert_eq!(
            cuda("MIG-GPU-1/7/0"),
            Ok(Granted::Mig(vec!["MIG-GPU-1/7/0".into()]))
        );
        for none in ["", "-1", "NoDevFiles"] {
            assert_eq!(cuda(none), Ok(Granted::None), "{none:?}");
        }
    }

    #[test]
    fn slurms_own_word_goes_first() {
        let both = [("CUDA_VISIBLE_DEVICES", "0"), ("SLURM_JOB_GPUS", "3")];
        assert_eq!(granted(&both), Ok(Granted::Indices(vec![3])));
        let empty = [("CUDA_VISIBLE_DEVICES", "1"), ("SLURM_JOB_GPUS", "")];
        assert_eq!(granted(&empty), Ok(Granted::Indices(vec![1])));
    }

    #[test]
    fn a_steps_word_goes_before_its_jobs() {
        let both = [("SLURM_JOB_GPUS", "0-3"), ("SLURM_STEP_GPUS", "2")];
        assert_eq!(granted(&both), Ok(Granted::Indices(vec![2])));
        let parts = [("SLURM_JOB_GPUS", "0"), ("CUDA_VISIBLE_DEVICES", "MIG-5")];
        assert_eq!(granted(&parts), Ok(Granted::Mig(vec!["MIG-5".into()])));
    }

    #[test]
    fn torques_file_counts_for_this_node() {
        let named = [
            ("PBS_GPUFILE", "/var/spool/33gpu"),
            ("CUDA_VISIBLE_DEVICES", "0"),
        ];
        let read = |text| with_file(&named, Some(("/var/spool/33gpu", text)));
        let lines = "gpu-node1-gpu1\ngpu-node1-gpu0\ngpu-node2-gpu3\n";
        assert_eq!(read(lines), Ok(Granted::Indices(vec![1, 0])));
        // Set and not made: the job has none by it.
        assert_eq!(granted(&named), Ok(Granted::Indices(vec![0])));
        assert_eq!(read("\n"), Ok(Granted::Indices(vec![0])));
        for odd in ["gpu-node1", "gpu-node1-gpux", "gpu-node1-gpu-1"] {
            let error = read(odd).unwrap_err().to_string();
            assert!(error.contains("PBS_GPUFILE"), "{error}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_variable() {
        for bad in [
            "0,",
            "a",
            "0,GPU-1",
            "1-",
            "2-1",
            "0,0",
            "+1",
            "99999",
            "0-4000000000",
            "GPU-",
            "GPU-;x",
        ] {
            let error = cuda(bad).unwrap_err().to_string();
            assert!(error.contains("CUDA_VISIBLE_DEVICES"), "{bad}: {error}");
        }
    }
}
