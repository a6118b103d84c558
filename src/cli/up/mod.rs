//! `qdebug up`: submit over the hop, wait, connect, all from the laptop.
//!
//! The cluster's own qdebug submits, so that whatever it and its site say holds; it gets the flags
//! as words again (`words`) and the variables, which may be secrets, on stdin.

mod words;

use clap::Args;

use super::args::{Global, SchedulerFlag, Submit, Way};
use super::connect::{Ended, connect};
use super::setting::Setting;
use super::which::known_clusters;
use super::{Exit, Failure, env_file, here, output, wait};
use crate::laptop::{Cluster, Submitted, Until};
use crate::process::Interrupts;

/// Submit a session from here, wait for it and connect to it.
#[derive(Debug, Args)]
#[command(
    mut_arg("wait", |arg| arg.hide(true)),
    after_help = "\
Examples:
  qdebug up -g V100 -w 4h -i pytorch/pytorch --on alice@login.example.org
  qdebug up -g A100 -n 2 -w 90m --dockerfile project/Dockerfile -L 8888:127.0.0.1:8888
  qdebug up -g V100 -w 1h -i debian --detach
  qdebug up -g V100 -w 1h -i debian --dry-run

All options of `submit` and `connect`. Paths are those of the cluster, relative ones from your home
there; variables and --env-file are of here. What no flag says is taken from [submit] of the
configuration here, then of the cluster's.

Ctrl-C while it waits asks whether to keep or cancel the job; later it ends only the tunnel.")]
pub(super) struct Up {
    #[command(flatten)]
    pub(super) submit: Submit,
    #[command(flatten)]
    pub(super) way: Way,
}

impl Up {
    pub(super) async fn run(mut self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let cluster = self.cluster(&setting, global).await?;
        self.take_defaults(&setting)?;
        let words = words::of(&self.submit)?;
        let behind = &self.submit.recipe.build_arg;
        let input = env_file::lines(self.submit.variables().chain(behind));
        if self.submit.dry_run {
            return dry_run(&cluster, words, &input, global).await;
        }
        // While the user is surely there.
        setting.keep(global, &cluster, self.way.yes).await?;
        let jobs = wait::Jobs::Of(&cluster, global.on.as_deref());
        let (submitted, interrupted) = submit(&cluster, &words, &input).await?;
        tell(&submitted, global);
        if let Some(by) = interrupted {
            return wait::interrupted(&jobs, &submitted.job, by).await;
        }
        let name = submitted.name.as_str();
        match connect(&cluster, &setting, global, name, self.way).await? {
            Ended::Over(code) => Ok(code),
            Ended::Interrupted { by, until } => match until {
                Until::Asked | Until::Waited(_) => {
                    wait::interrupted(&jobs, &submitted.job, by).await
                }
                Until::Ready => {
                    output::talk(&format!(
                        "disconnected; the session goes on (`{}` ends it)",
                        jobs.stop_command(&submitted.job)
                    ));
                    Ok(Exit::Interrupted.code())
                }
            },
        }
    }

    /// Where to submit: the cluster that is named, else this machine where that can be meant.
    async fn cluster(&self, setting: &Setting, global: &Global) -> Result<Cluster, Failure> {
        // That scheduler is this machine's, whatever cluster is the default.
        if global.on.is_none() && self.submit.scheduler == Some(SchedulerFlag::Local) {
            return here::cluster();
        }
        if let Some(cluster) = setting.cluster(global).await? {
            return Ok(cluster);
        }
        let is_meant = global.on.is_some() || self.submit.scheduler.is_some();
        if is_meant || setting.is_cluster().await? {
            return here::cluster();
        }
        Err(Failure::new(Exit::Config, "to which cluster?")
            .hint("name its login: --on USER@HOST; it can be kept then")
            .hint(known_clusters(&setting.config))
            .hint("without a cluster, `--scheduler local` runs the session on this machine"))
    }

    /// What the configuration of here says where no flag does. The cluster's comes after it.
    fn take_defaults(&mut self, setting: &Setting) -> Result<(), Failure> {
        let defaults = setting.submit_defaults()?;
        let submit = &mut self.submit;
        submit.gpu = submit.gpu.take().or(defaults.gpu);
        submit.walltime = submit.walltime.or(defaults.walltime);
        if submit.recipe.dockerfile.is_none() {
            submit.image = submit.image.take().or(defaults.image);
        }
        submit.queue = submit.queue.take().or(defaults.queue);
        submit.project = submit.project.take().or(defaults.project);
        submit.account = submit.account.take().or(defaults.account);
        submit.idle_timeout = submit.idle_timeout.or(defaults.idle_timeout);
        let mounts = super::args::MountList(defaults.mounts);
        submit.mount.insert(0, mounts);
        Ok(())
    }
}

/// Prints what the cluster would do.
async fn dry_run(
    cluster: &Cluster,
    mut words: Vec<String>,
    input: &str,
    global: &Global,
) -> Result<u8, Failure> {
    if global.json {
        words.insert(0, "--json".to_owned());
    }
    let plan = cluster.plan(&words, input.as_bytes()).await?;
    output::raw(plan.as_bytes());
    Ok(0)
}

/// Submits. A Ctrl-C meanwhile is remembered until the job is known; another one gives up.
async fn submit(
    cluster: &Cluster,
    words: &[String],
    input: &str,
) -> Result<(Submitted, Option<crate::process::Interrupt>), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut interrupted = None;
    output::talk(&format!("submitting to {}", cluster.place()));
    let submitted = cluster.submit(words, input.as_bytes());
    tokio::pin!(submitted);
    loop {
        tokio::select! {
            submitted = &mut submitted => return Ok((submitted?, interrupted)),
            by = interrupts.next() => {
                if interrupted.replace(by).is_some() {
                    let message = "interrupted before it was known whether there is a job";
                    return Err(Failure::new(Exit::Interrupted, message)
                        .hint("`qdebug list` tells"));
                }
                output::talk("just being submitted; once more gives up without knowing");
            }
        }
    }
}

/// The job's id is data, except where `--json` answers once the way is open.
fn tell(submitted: &Submitted, global: &Global) {
    for told in &submitted.told {
        output::talk(told);
    }
    if !global.json {
        output::data(&output::harmless(&submitted.job));
    }
    output::talk(&format!(
        "session {} is submitted to {} as job {}",
        submitted.name, submitted.cluster, submitted.job
    ));
}
