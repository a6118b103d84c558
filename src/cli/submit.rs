//! `qdebug submit`: flags and configuration become a submission.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::time::Instant;

use super::args::{EngineFlag, Global, Recipe, SshdChoice, Submit};
use super::setting::Setting;
use super::{Exit, Failure, gpu_type, output, show, wait};
use crate::laptop;
use crate::login::{Login, Submission, Submitted};
use crate::process::{Interrupt, Interrupts};
use crate::scheduler::Kind;
use crate::session::{
    EngineChoice, EnvName, GpuRequest, ImageSource, Mount, Sshd, Standing, Status,
};

/// What `submit --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    format: u32,
    job: &'a str,
    name: &'a str,
    cluster: &'a crate::session::Cluster,
    session: &'a std::path::Path,
}

/// What `submit --dry-run --json` prints.
#[derive(Serialize)]
struct Planned<'a> {
    format: u32,
    script: &'a str,
    command: &'a [String],
}

impl Submit {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let mut submission = self.submission(&setting)?;
        let login = setting
            .login_for_submit(self.scheduler.map(Kind::from))
            .await?;
        gpu_type::settle(&mut submission, setting.config.catalogue(), &login).await?;
        let by = setting.submitter()?;
        if self.dry_run {
            let plan = login.plan(&submission, &by).await?;
            if global.json {
                output::json(&Planned {
                    format: crate::session::FORMAT,
                    script: &plan.script,
                    command: &plan.command,
                });
            } else {
                output::data(&plan.script);
                output::data(&shell_words::join(&plan.command));
            }
            return Ok(0);
        }
        let submitted = login.submit(&submission, &by).await?;
        for left_out in &submitted.keys_left_out {
            output::talk(&format!("note: a key cannot enter the session: {left_out}"));
        }
        let answer = Answer {
            format: crate::session::FORMAT,
            job: submitted.job.as_str(),
            name: submitted.name.as_str(),
            cluster: &submitted.cluster,
            session: &submitted.session,
        };
        if global.json {
            output::json(&answer);
        } else {
            output::data(submitted.job.as_str());
            self.tell(&submitted, &submission);
        }
        if self.wait {
            until_ready(&login, &submitted).await
        } else {
            Ok(0)
        }
    }

    fn tell(&self, submitted: &Submitted, submission: &Submission) {
        output::talk(&format!(
            "session {} is submitted to {}: {}, {}",
            submitted.name,
            submitted.cluster,
            show::gpus(submission.gpu.as_ref()),
            super::values::shown(jiff::SignedDuration::from_secs(
                i64::try_from(submission.walltime.as_secs()).unwrap_or(i64::MAX)
            )),
        ));
        // The ids of this machine's own jobs are small numbers that a cluster's may share.
        let job = match submitted.cluster.scheduler == Kind::Local.to_string() {
            true => submitted.name.as_str(),
            false => submitted.job.as_str(),
        };
        output::talk(&format!("next, on your laptop: qdebug connect {job}"));
        output::talk(&format!("or here: qdebug status {job}"));
    }

    fn submission(&self, setting: &Setting) -> Result<Submission, Failure> {
        let defaults = setting.submit_defaults()?;
        let gpu = self.gpu.clone().or(defaults.gpu).ok_or_else(|| {
            Failure::new(Exit::Usage, "which GPU? there is no default for it")
                .hint("add `-g V100` (or another type), or `-g none` for a session without")
        })?;
        let walltime = self.walltime.or(defaults.walltime).ok_or_else(|| {
            Failure::new(Exit::Usage, "for how long? there is no default for it")
                .hint("add a walltime such as `-w 4h`")
        })?;
        let mut env: Vec<_> = self.variables().cloned().collect();
        let args = env.split_off(env.len().saturating_sub(self.build_args_behind));
        let image = match self.recipe.source(args)? {
            Some(recipe) => recipe,
            None => {
                let image = self.image.clone().or(defaults.image).ok_or_else(|| {
                    Failure::new(Exit::Usage, "which image? there is no default for it")
                        .hint("add `-i IMAGE`, as you would name it to `docker run`")
                        .hint("or `--dockerfile FILE` to build one")
                })?;
                ImageSource::Reference {
                    reference: image.to_string(),
                }
            }
        };
        let catalogue = setting.config.catalogue();
        let gpu = (!gpu.eq_ignore_ascii_case("none"))
            .then(|| gpu_type::asked(catalogue, &gpu, self.count))
            .unzip();
        let (gpu, limits): (Option<GpuRequest>, Option<gpu_type::Limits>) = gpu;
        let gpu = gpu.map(|gpu| GpuRequest {
            allow_busy: self.allow_busy,
            ..gpu
        });
        let limits = limits.unwrap_or_default();
        let mut mounts: Vec<Mount> = defaults.mounts;
        for mount in self.mount.iter().flat_map(|list| &list.0) {
            // `up` names the defaults of the laptop, which may be those of here.
            if !mounts.contains(mount) {
                mounts.push(mount.clone());
            }
        }
        Ok(Submission {
            name: self.name.clone(),
            gpu,
            gpu_words: None,
            walltime,
            image,
            sshd: match self.sshd {
                SshdChoice::Kit => Sshd::Kit,
                SshdChoice::Image => Sshd::Image,
                SshdChoice::Layer => Sshd::Layer,
            },
            engine: match self.engine {
                None | Some(EngineFlag::Auto) => EngineChoice::Auto,
                Some(EngineFlag::Docker) => EngineChoice::Docker,
                Some(EngineFlag::Podman) => EngineChoice::Podman,
            },
            mounts,
            env: env.into_iter().collect(),
            cpus: self.cpus.or(limits.cpus),
            memory_bytes: self.memory.or(limits.memory_bytes),
            shm_bytes: self.shm_size,
            idle_timeout: self
                .idle_timeout
                .or(defaults.idle_timeout)
                .and_then(|timeout| timeout.0),
            queue: self.queue.clone().or(limits.queue).or(defaults.queue),
            project: self.project.clone().or(defaults.project),
            account: self.account.clone().or(defaults.account),
            qos: self.qos.clone(),
            reservation: self.reservation.clone(),
            workdir: self.workdir.clone().map(std::path::absolute).transpose()?,
            extra: self.extra.clone(),
        })
    }
}

impl Recipe {
    /// The recipe as a session names it, with absolute paths, and with more build arguments; `None` where
    /// none was given.
    fn source(&self, more: Vec<(EnvName, String)>) -> Result<Option<ImageSource>, Failure> {
        let Some((recipe, context)) = self.paths()? else {
            return Ok(None);
        };
        Ok(Some(ImageSource::Recipe {
            recipe,
            context,
            args: self.build_arg.iter().cloned().chain(more).collect(),
        }))
    }

    /// The recipe's file and the folder it may copy from, absolute.
    pub(super) fn paths(&self) -> std::io::Result<Option<(PathBuf, PathBuf)>> {
        let Some(recipe) = &self.dockerfile else {
            return Ok(None);
        };
        let recipe = std::path::absolute(recipe)?;
        let context = match &self.context {
            Some(context) => std::path::absolute(context)?,
            None => recipe.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        Ok(Some((recipe, context)))
    }
}

/// Waits until the session is ready or over, telling each change.
async fn until_ready(login: &Login, submitted: &Submitted) -> Result<u8, Failure> {
    let (name, job) = (submitted.name.as_str(), submitted.job.as_str());
    let mut interrupts = Interrupts::listen()?;
    let (mut told, mut since) = (String::new(), Instant::now());
    let mut last: Option<Status> = None;
    let mut patience = wait::Patience::default();
    loop {
        let next = async {
            if let Some(last) = &last {
                tokio::time::sleep(laptop::pause(last.state, since.elapsed())).await;
            }
            login.status(name).await
        };
        let status = tokio::select! {
            // A Ctrl-C ends the scheduler's tools as well: that is no answer of theirs.
            biased;
            by = interrupts.next() => return wait::interrupted(&wait::Jobs::Here(login), job, by).await,
            // Behind an ssh without a terminal the end of that is all that is seen of a Ctrl-C.
            () = output::unheard() => {
                let jobs = wait::Jobs::Here(login);
                return wait::interrupted(&jobs, job, Interrupt::Outside).await;
            }
            status = next => status,
        };
        let Some(status) = patience.heed(status)? else {
            tokio::time::sleep(laptop::pause(Standing::Unknown, since.elapsed())).await;
            continue;
        };
        let line = show::line(&status);
        if line != told {
            output::talk(&format!("{}: {line}", status.name));
            told = line;
        }
        match status.state {
            Standing::Ready => return Ok(0),
            state if state.is_final() => return Err(Failure::over(&status)),
            _ if status.never => return Err(wait::never(&wait::Jobs::Here(login), &status).await?),
            _ => {}
        }
        if last.as_ref().map(|last| last.state) != Some(status.state) {
            since = Instant::now();
        }
        last = Some(status);
    }
}
