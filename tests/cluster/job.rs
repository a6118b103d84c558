//! A plain job of alice's, submitted as on any cluster, without qdebug.

use std::time::Duration;

use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};

/// How long a job may wait for other tests' jobs and run.
const LIMIT: Duration = Duration::from_secs(150);

/// A job on one of the nodes; its output comes to a file of alice's.
pub(crate) struct Job {
    pub(crate) id: String,
    log: String,
}

impl Job {
    /// Submits a script of bash; `name` is the test's own.
    #[track_caller]
    pub(crate) fn submit(name: &str, node: Host, gpus: u32, script: &str) -> Self {
        let model = match node {
            Host::Node1 => "V100",
            Host::Node2 => "P100",
            other => panic!("{other:?} is no node"),
        };
        let of_gpus = |word: &str| match gpus {
            0 => String::new(),
            some => format!("{word}{some}"),
        };
        let log = format!("/home/alice/{name}.log");
        let command = match here() {
            Scheduler::Slurm => {
                let gpus = of_gpus(&format!(" --gres=gpu:{model}:"));
                let node = if node == Host::Node1 {
                    "node1"
                } else {
                    "node2"
                };
                format!("sbatch --parsable -w {node} --mem 100{gpus} -o {log}")
            }
            Scheduler::OpenPbs => {
                let gpus = of_gpus(":ngpus=");
                let select = format!("select=1:ncpus=1{gpus}:gpu_model={model}");
                format!("qsub -r n -j oe -o {log} -l {select}")
            }
            Scheduler::Torque => {
                let gpus = of_gpus(":gpus=");
                format!("qsub -r n -j oe -o {log} -l nodes=1:ppn=1{gpus}:{model}")
            }
        };
        let line = format!(
            "rm -f {log}; cat >{name}.sh <<'QD'\n#!/bin/bash\n{script}\nQD\n{command} {name}.sh"
        );
        let id = Host::Login.sh(&line).ok().text().to_owned();
        Self { id, log }
    }

    /// Waits for its end, as the scheduler tells of it.
    #[track_caller]
    pub(crate) fn await_end(&self) {
        let id = &self.id;
        let line = match here() {
            Scheduler::Slurm => format!("squeue -h -t all -o %T -j {id}"),
            Scheduler::OpenPbs => format!("qstat -x -f {id} | grep job_state"),
            Scheduler::Torque => format!("qstat -f {id} | grep job_state"),
        };
        within(LIMIT, &format!("job {id} is over"), || {
            let ran = Host::Login.sh(&line);
            let state = ran.text().trim();
            let ends = [
                "COMPLETED",
                "FAILED",
                "TIMEOUT",
                "job_state = F",
                "job_state = C",
            ];
            if ends.contains(&state) {
                Ok(())
            } else {
                Err(ran.to_string())
            }
        });
    }

    /// What it printed, when it is over.
    #[track_caller]
    pub(crate) fn output(&self) -> String {
        self.await_end();
        let mut text = String::new();
        // The last of it may come after the end that is told.
        within(Duration::from_secs(20), "the output", || {
            let ran = Host::Login.run(&["cat", &self.log]);
            text = ran.text().to_owned();
            if ran.code == 0 && !text.is_empty() {
                Ok(())
            } else {
                Err(ran.to_string())
            }
        });
        text
    }
}
