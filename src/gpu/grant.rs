//! What the environment of a job says of its GPUs.
//!
//! `CUDA_VISIBLE_DEVICES` holds indices (`0,2`), UUIDs (`GPU-...`, also cut short) or MIG parts
//! (`MIG-...`); Slurm's `SLURM_JOB_GPUS` holds indices of the node, also as ranges. Under Slurm
//! with device cgroups, `CUDA_VISIBLE_DEVICES` may be renumbered from 0 within what the job may
//! open, while `SLURM_JOB_GPUS` keeps the node's own numbers: so it is asked first.

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
    /// Reads the grant from variables, found by `lookup`.
    ///
    /// # Errors
    /// [`GrantError`] names the variable and its value.
    pub fn from_environment(
        lookup: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, GrantError> {
        for variable in ["SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES"] {
            let Some(value) = lookup(variable) else {
                continue;
            };
            let refuse = || GrantError {
                variable,
                value: value.chars().take(200).collect(),
            };
            match parse(&value).ok_or_else(refuse)? {
                // Slurm leaves its variable empty where it does not say.
                Self::None if variable == "SLURM_JOB_GPUS" => {}
                granted => return Ok(granted),
            }
        }
        Ok(Self::Unsaid)
    }
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
        Granted::from_environment(|name| {
            let mut found = variables.iter().filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
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
