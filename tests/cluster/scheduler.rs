//! The scheduler of the tests' cluster, as its users and admins know it: `QDEBUG_TEST_SCHEDULER`
//! is slurm (the default), openpbs or torque.

use crate::host::{Host, Ran};
use crate::session::Session;

/// A scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheduler {
    Slurm,
    OpenPbs,
    Torque,
}

/// The one that is there.
pub(crate) fn here() -> Scheduler {
    match std::env::var("QDEBUG_TEST_SCHEDULER").as_deref() {
        Err(_) | Ok("slurm") => Scheduler::Slurm,
        Ok("openpbs") => Scheduler::OpenPbs,
        Ok("torque") => Scheduler::Torque,
        Ok(other) => panic!("QDEBUG_TEST_SCHEDULER={other}"),
    }
}

impl Scheduler {
    /// Its name for `--scheduler`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::OpenPbs => "openpbs",
            Self::Torque => "torque",
        }
    }

    /// The names of those that are not there.
    pub(crate) fn others(self) -> [&'static str; 2] {
        match self {
            Self::Slurm => ["openpbs", "torque"],
            Self::OpenPbs => ["torque", "slurm"],
            Self::Torque => ["slurm", "openpbs"],
        }
    }

    /// Deletes a job as its user would without qdebug.
    pub(crate) fn delete(self, job: &str) -> Ran {
        match self {
            Self::Slurm => Host::Login.run(&["scancel", job]),
            Self::OpenPbs | Self::Torque => Host::Login.run(&["qdel", job]),
        }
    }

    /// Ends a job by SIGKILL alone, as its user or an admin can.
    pub(crate) fn force(self, job: &str) -> Ran {
        match self {
            Self::Slurm => Host::Login.run(&["scancel", "-s", "KILL", "-f", job]),
            Self::OpenPbs => Host::Login.run(&["qdel", "-W", "force", job]),
            Self::Torque => Host::Login.root(&format!("qdel -p {job}")),
        }
    }

    /// Asks as an admin for a job to run again under its id.
    pub(crate) fn run_again(self, job: &str) -> Ran {
        match self {
            Self::Slurm => Host::Login.root(&format!("scontrol requeue {job}")),
            Self::OpenPbs | Self::Torque => Host::Login.root(&format!("qrerun {job}")),
        }
    }

    /// Makes a job one that may run again, which qdebug's are not.
    pub(crate) fn allow_run_again(self, job: &str) -> Ran {
        match self {
            Self::Slurm => Host::Login.root(&format!("scontrol update JobId={job} Requeue=1")),
            Self::OpenPbs | Self::Torque => Host::Login.root(&format!("qalter -r y {job}")),
        }
    }

    /// What makes a job wait for good, as options behind `--`.
    pub(crate) fn waiting(self) -> [&'static str; 2] {
        match self {
            Self::Slurm => ["--", "--begin=now+1hour"],
            Self::OpenPbs | Self::Torque => ["--", "-h"],
        }
    }

    /// Where such a job stands.
    pub(crate) fn waiting_state(self) -> &'static str {
        match self {
            Self::Slurm => "queued",
            Self::OpenPbs | Self::Torque => "held",
        }
    }

    /// The jobs of that name that are not over.
    pub(crate) fn jobs_named(self, name: &str) -> String {
        let ran = match self {
            Self::Slurm => Host::Login.run(&["squeue", "-h", "-o", "%i", "-n", name]),
            Self::OpenPbs => Host::Login.run(&["qselect", "-N", name]),
            // Those that are over stay for five minutes.
            Self::Torque => Host::Login.run(&["qselect", "-N", name, "-s", "EHQRTW"]),
        };
        ran.ok().text().to_owned()
    }

    /// Why the node gets no job any more, where that is so: whatever was to run there then waits, and
    /// fails for no reason of its own.
    pub(crate) fn out_of_use(self, node: Host) -> Option<String> {
        let name = node.name();
        let line = match self {
            Self::Slurm => format!(
                "sinfo -N -h -n {name} -t drain,drained,draining,down,fail -o '%N is %T: %E'"
            ),
            Self::OpenPbs | Self::Torque => format!(
                "pbsnodes {name} | grep -A 20 -E 'state = .*(offline|down)' | \
                 grep -E ' (state|comment|note) = ' | sed 's/^ */{name}: /'"
            ),
        };
        let ran = Host::Login.root(&line);
        (!ran.text().is_empty()).then(|| ran.text().to_owned())
    }

    /// The variable by which a job knows its id.
    pub(crate) fn id_variable(self) -> &'static str {
        match self {
            Self::Slurm => "SLURM_JOB_ID",
            Self::OpenPbs | Self::Torque => "PBS_JOBID",
        }
    }

    /// Has a job that is to run again do so now; Slurm would wait two minutes.
    pub(crate) fn hurry(self, job: &str) {
        if self == Self::Slurm {
            let line = format!("scontrol update JobId={job} StartTime=now");
            // Refused until the first run is over.
            Host::Login.root(&line);
        }
    }

    /// Whether the node's daemon takes its jobs along when it is told to stop.
    pub(crate) fn stop_of_mom_ends_jobs(self) -> bool {
        self == Self::OpenPbs
    }

    /// A line of root's on the node: SIGKILL for everything of a job, the scheduler's own process for
    /// it included.
    pub(crate) fn killing_all(self, session: &Session) -> String {
        let node_half = format!("pkill -9 -f 'qdebug node .*/{}$'", session.name);
        let line = match self {
            Self::Slurm => format!(
                "pkill -9 -f 'slurmstepd: \\[{}\\.'; {node_half}",
                session.job
            ),
            // The job's processes are one session, whose leader is mom's child.
            Self::OpenPbs | Self::Torque => format!(
                "sid=$(ps -o sid= -p $(pgrep -f 'qdebug node .*/{}$')); pkill -9 -s $sid",
                session.name
            ),
        };
        format!("{line}; true")
    }

    /// The admin's line of shell on login that gives the job `JOB` so many minutes in all; `None`
    /// where this scheduler's stand-in knows no such thing.
    pub(crate) fn walltime_of(self, minutes: u32) -> Option<String> {
        match self {
            Self::Slurm => Some(format!("scontrol update jobid=JOB timelimit={minutes}")),
            Self::OpenPbs | Self::Torque => {
                let there = Host::Login.sh("command -v qalter").code == 0;
                if !there {
                    eprintln!("skipped: this stand-in of {self:?} has no qalter");
                }
                // A real Torque (6.1.3) does as it is told and never answers: its state tells.
                there.then(|| {
                    format!(
                        "timeout 10 qalter -l walltime=00:{minutes:02}:00 JOB || \
                         qstat -f JOB | grep -q 'walltime = 00:{minutes:02}:00'"
                    )
                })
            }
        }
    }

    /// An option behind `--` that would make a job an array.
    pub(crate) fn array_option(self) -> &'static str {
        match self {
            Self::Slurm => "--array=1-4",
            Self::OpenPbs => "-J1-4",
            Self::Torque => "-t1-4",
        }
    }

    /// Options behind `--` that would make a job run again.
    pub(crate) fn rerun_options(self) -> &'static [&'static str] {
        match self {
            Self::Slurm => &["--requeue"],
            Self::OpenPbs | Self::Torque => &["-r", "y"],
        }
    }
}
