//! The environment of a session: the image's, an allow-list of the job's, ours, the user's. Pure.
//!
//! What a batch system puts into a job is not for a container: secrets (`PBS_JOBCOOKIE`), paths of
//! the node (`LD_LIBRARY_PATH`), functions of module systems. So nothing passes but what is named.

use std::collections::BTreeMap;

/// What of the job's environment is passed on.
const OF_THE_JOB: [&str; 6] = [
    "PBS_JOBID",
    "PBS_JOBNAME",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "OMP_NUM_THREADS",
    "NCPUS",
];

/// What never passes, whoever names it: a secret of the batch system, and what would make the
/// image's programs load the node's libraries.
const NEVER_OF_THE_JOB: [&str; 3] = ["PBS_JOBCOOKIE", "LD_LIBRARY_PATH", "LD_PRELOAD"];

/// What sshd or the login shell sets for the user, and an image cannot know.
const OF_THE_LOGIN: [&str; 8] = [
    "HOME", "USER", "LOGNAME", "SHELL", "MAIL", "PWD", "TERM", "HOSTNAME",
];

/// The PATH of an image that sets none, as docker gives it.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the environment is made of.
pub(super) struct Parts<'a> {
    /// The image's `ENV`.
    pub(super) image: &'a [(String, String)],
    /// The image's id.
    pub(super) image_id: &'a str,
    /// The user's own wishes.
    pub(super) wished: BTreeMap<&'a str, &'a str>,
    /// UUIDs of the session's GPUs.
    pub(super) gpus: &'a [String],
    /// The user's home.
    pub(super) home: &'a str,
    /// More names of the job's environment to pass on, of the site.
    pub(super) site: &'a [String],
    /// Folders behind the image's own on PATH.
    pub(super) path_behind: &'a str,
}

/// The whole environment of every session, terminal and command.
pub(super) fn of_session(
    parts: &Parts<'_>,
    job: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in parts.image {
        if !OF_THE_LOGIN.contains(&name.as_str()) && is_name(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    let site = parts.site.iter().map(String::as_str);
    let may_pass = |name: &&str| is_name(name) && !NEVER_OF_THE_JOB.contains(name);
    for name in OF_THE_JOB.into_iter().chain(site).filter(may_pass) {
        if let Some(value) = job(name) {
            all.insert(name.to_owned(), value);
        }
    }
    // What nvidia's runtime reads. An image that says "all" would get every GPU of the node where
    // that runtime is the engine's default: "void" is none.
    let visible = match parts.gpus {
        [] => "void".to_owned(),
        gpus => gpus.join(","),
    };
    all.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), visible);
    if !parts.gpus.is_empty() {
        let indices: Vec<String> = (0..parts.gpus.len()).map(|n| n.to_string()).collect();
        all.insert("CUDA_VISIBLE_DEVICES".to_owned(), indices.join(","));
    }
    let user_base = python_user_base(parts.home, parts.image_id);
    let base = all
        .entry("PYTHONUSERBASE".to_owned())
        .or_insert(user_base)
        .clone();
    // Debian's pip refuses to install anywhere but into a virtual environment since 2023. In a
    // container, into a folder of its own, there is nothing to protect.
    all.entry("PIP_BREAK_SYSTEM_PACKAGES".to_owned())
        .or_insert_with(|| "1".to_owned());
    let path = all.remove("PATH").filter(|path| !path.is_empty());
    let path = path.as_deref().unwrap_or(DEFAULT_PATH);
    let path = format!("{base}/bin:{path}:{}", parts.path_behind);
    all.insert("PATH".to_owned(), path.trim_end_matches(':').to_owned());
    for (name, value) in &parts.wished {
        all.insert((*name).to_owned(), (*value).to_owned());
    }
    all
}

/// Where `pip install` goes without root: in home, so that it stays, and per image, so that what
/// was built for one Python is not seen by another.
fn python_user_base(home: &str, image_id: &str) -> String {
    let digits = image_id.trim_start_matches("sha256:");
    let short = digits.get(..12).unwrap_or(digits);
    format!("{home}/.qdebug/python/{short}")
}

fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(
        image: &[(&str, &str)],
        job: &[(&str, &str)],
        wished: &[(&str, &str)],
        gpus: &[String],
    ) -> BTreeMap<String, String> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        let image: Vec<_> = image.iter().map(owned).collect();
        let parts = Parts {
            image: &image,
            image_id: "sha256:0123456789abcdef",
            wished: wished.iter().copied().collect(),
            gpus,
            home: "/home/a b",
            site: &[
                "SITE_VAR",
                "PBS_JOBCOOKIE",
                "LD_LIBRARY_PATH",
                "BASH_FUNC_module%%",
            ]
            .map(str::to_owned),
            path_behind: "/.qdebug/bin",
        };
        of_session(&parts, |name| {
            let mut found = job.iter().filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn only_what_is_named_comes_from_the_job() {
        let job = [
            ("PBS_JOBCOOKIE", "secret"),
            ("LD_LIBRARY_PATH", "/node"),
            ("SLURM_JOB_ID", "33"),
            ("SITE_VAR", "x"),
            ("BASH_FUNC_module%%", "() { :; }"),
        ];
        let all = environment(&[], &job, &[], &[]);
        assert_eq!(all["SLURM_JOB_ID"], "33");
        assert_eq!(all["SITE_VAR"], "x");
        for never in ["PBS_JOBCOOKIE", "LD_LIBRARY_PATH", "BASH_FUNC_module%%"] {
            assert!(!all.contains_key(never), "{never}");
        }
    }

    #[test]
    fn the_image_is_kept_but_for_what_is_the_users() {
        let image = [
            ("LD_LIBRARY_PATH", "/opt/cuda/lib"),
            ("ODD", "a 'b' \"c\" $d"),
            ("HOME", "/root"),
            ("PATH", "/opt/conda/bin:/bin"),
            ("bad name", "x"),
        ];
        let all = environment(&image, &[], &[("ODD", "mine")], &[]);
        assert_eq!(all["LD_LIBRARY_PATH"], "/opt/cuda/lib");
        assert_eq!(all["ODD"], "mine");
        assert!(!all.contains_key("HOME") && !all.contains_key("bad name"));
        let base = "/home/a b/.qdebug/python/0123456789ab";
        assert_eq!(all["PYTHONUSERBASE"], base);
        assert_eq!(
            all["PATH"],
            format!("{base}/bin:/opt/conda/bin:/bin:/.qdebug/bin")
        );
    }

    #[test]
    fn gpus_are_counted_as_the_container_sees_them() {
        let gpus = ["GPU-b".to_owned(), "GPU-a".to_owned()];
        let job = [("CUDA_VISIBLE_DEVICES", "3,5")];
        let all = environment(&[("NVIDIA_VISIBLE_DEVICES", "all")], &job, &[], &gpus);
        assert_eq!(all["CUDA_VISIBLE_DEVICES"], "0,1");
        assert_eq!(all["NVIDIA_VISIBLE_DEVICES"], "GPU-b,GPU-a");
        let none = environment(&[("NVIDIA_VISIBLE_DEVICES", "all")], &job, &[], &[]);
        assert_eq!(none["NVIDIA_VISIBLE_DEVICES"], "void");
        assert!(!none.contains_key("CUDA_VISIBLE_DEVICES"));
    }
}
