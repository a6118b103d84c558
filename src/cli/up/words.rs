//! submit's flags as words again, for the qdebug of a cluster.
//!
//! Each goes as one word, `--flag=value`, so that none can be taken for another flag. Of variables and
//! build arguments only that they come on stdin, and how many are the latter: what others may not read
//! is in no command line.

use std::path::Path;

use clap::ValueEnum;

use crate::cli::args::Submit;
use crate::cli::{Exit, Failure, values};

/// The words behind `submit`. `--env-file=-` stands for all variables; `--wait` is not passed on.
pub(super) fn of(submit: &Submit) -> Result<Vec<String>, Failure> {
    let Submit {
        gpu,
        walltime,
        count,
        allow_busy,
        image,
        recipe,
        mount,
        env,
        env_file,
        build_args_behind: _,
        cpus,
        memory,
        shm_size,
        idle_timeout,
        queue,
        project,
        account,
        qos,
        reservation,
        name,
        workdir,
        sshd,
        engine,
        scheduler,
        wait: _,
        dry_run,
        extra,
    } = submit;
    let mut words = Words::default();
    words.put("gpu", gpu.as_ref());
    let seconds = walltime.map(|time| format!("{}s", time.as_secs()));
    words.put("walltime", seconds.as_ref());
    words.put("count", Some(count));
    words.set("allow-busy", *allow_busy);
    words.put("image", image.as_ref().map(|image| image.as_str()));
    words.path("dockerfile", recipe.dockerfile.as_deref())?;
    words.path("context", recipe.context.as_deref())?;
    for mount in mount.iter().flat_map(|list| &list.0) {
        words.path("mount", Some(Path::new(&mount.to_string())))?;
    }
    let behind = recipe.build_arg.len();
    if !(env.is_empty() && env_file.is_empty() && behind == 0) {
        words.put("env-file", Some(&"-"));
    }
    words.put("build-args-behind", (behind > 0).then_some(behind));
    words.put("cpus", cpus.as_ref());
    // A size is read in units of 1024 bytes and more.
    let size = |bytes: u64| format!("{}K", bytes / 1024);
    words.put("memory", memory.map(size).as_ref());
    words.put("shm-size", shm_size.map(size).as_ref());
    let idle = idle_timeout.map(|values::IdleTimeout(time)| match time {
        Some(time) => format!("{}s", time.as_secs()),
        None => "never".to_owned(),
    });
    words.put("idle-timeout", idle.as_ref());
    words.put("queue", queue.as_ref());
    words.put("project", project.as_ref());
    words.put("account", account.as_ref());
    words.put("qos", qos.as_ref());
    words.put("reservation", reservation.as_ref());
    words.put("name", name.as_ref());
    words.path("workdir", workdir.as_deref())?;
    words.choice("sshd", Some(sshd));
    words.choice("engine", engine.as_ref());
    words.choice("scheduler", scheduler.as_ref());
    words.set("dry-run", *dry_run);
    let Words(mut words) = words;
    if !extra.is_empty() {
        words.push("--".to_owned());
        words.extend(extra.iter().cloned());
    }
    Ok(words)
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn put(&mut self, flag: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.0.push(format!("--{flag}={value}"));
        }
    }

    fn set(&mut self, flag: &str, on: bool) {
        if on {
            self.0.push(format!("--{flag}"));
        }
    }

    fn choice<T: ValueEnum>(&mut self, flag: &str, value: Option<&T>) {
        let value = value.and_then(ValueEnum::to_possible_value);
        self.put(
            flag,
            value.as_ref().map(clap::builder::PossibleValue::get_name),
        );
    }

    fn path(&mut self, flag: &str, path: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = path else { return Ok(()) };
        let Some(text) = path.to_str() else {
            let message = format!("--{flag}: {} is not UTF-8", path.display());
            return Err(Failure::new(Exit::Usage, message));
        };
        self.put(flag, Some(&text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn read(words: &[&str]) -> Submit {
        let words = [&["qdebug", "submit"], words].concat();
        match Cli::try_parse_from(words).unwrap().command {
            Command::Submit(submit) => *submit,
            other => panic!("{other:?}"),
        }
    }

    fn again(words: &[&str]) -> Vec<String> {
        of(&read(words)).unwrap()
    }

    /// One value for every flag, so that none can be forgotten.
    const ALL: [&str; 25] = [
        "--gpu=V100",
        "--walltime=1h30m",
        "--count=2",
        "--allow-busy",
        "--context=a b/c",
        "--dockerfile=-odd",
        "--build-arg=A=b c",
        "--build-arg=B=",
        "--mount=/a b:/b:ro",
        "--mount=/c:/d;/e:/f",
        "--cpus=7",
        "--memory=3G",
        "--shm-size=512M",
        "--idle-timeout=never",
        "--queue=-q",
        "--project=p q",
        "--account=a'b",
        "--qos=$x",
        "--reservation=r",
        "--name=otter",
        "--workdir=/ü",
        "--sshd=layer",
        "--engine=podman",
        "--scheduler=torque",
        "--dry-run",
    ];

    #[test]
    fn the_cluster_reads_what_was_asked_for_here() {
        let behind = ["--", "--constraint=ib", "-x"];
        for words in [
            &[&ALL[..], &behind].concat()[..],
            &[
                "-w",
                "45s",
                "--idle-timeout",
                "30m",
                "-i",
                "localhost:5000/a/b:v1",
            ],
            &["-g", "none", "-m", "/a:/b"],
            &[],
        ] {
            let asked = read(words);
            let passed = of(&asked).unwrap();
            // Not to be read from the stdin of this test.
            let passed: Vec<&str> = passed
                .iter()
                .map(String::as_str)
                .filter(|word| *word != "--env-file=-")
                .collect();
            let flat = |submit: &Submit| {
                let mounts: Vec<_> = submit.mount.iter().flat_map(|list| &list.0).collect();
                format!("{mounts:?}")
            };
            let (mut asked, mut told) = (asked, read(&passed));
            assert_eq!(flat(&asked), flat(&told));
            (asked.mount, told.mount) = (Vec::new(), Vec::new());
            let args = std::mem::take(&mut asked.recipe.build_arg);
            assert_eq!(std::mem::take(&mut told.build_args_behind), args.len());
            assert_eq!(format!("{asked:?}"), format!("{told:?}"));
        }
    }

    #[test]
    fn no_flag_is_forgotten() {
        let command = Cli::command();
        let submit = command.find_subcommand("submit").unwrap();
        let own = [
            "wait",
            "env",
            "env-file",
            "build-args-behind",
            "image",
            "help",
        ];
        for flag in submit.get_arguments().filter_map(clap::Arg::get_long) {
            let begin = format!("--{flag}");
            let has = ALL
                .iter()
                .any(|word| word.split('=').next() == Some(&begin));
            assert!(has || own.contains(&flag), "{flag} is in no test");
        }
    }

    #[test]
    fn variables_are_in_no_word() {
        let words = again(&["-e", "SECRET=s3cret", "--wait", "-i", "x"]);
        assert_eq!(
            words,
            ["--count=1", "--image=x", "--env-file=-", "--sshd=kit"]
        );
        let words = again(&["--dockerfile", "D", "--build-arg", "TOKEN=s3cret"]);
        assert_eq!(
            words[2..],
            ["--env-file=-", "--build-args-behind=1", "--sshd=kit"]
        );
    }
}
