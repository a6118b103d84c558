//! A step beside those of a running job: a program on its node, over this one's own streams.
//!
//! Seen on Slurm 22.05: with `--overlap` it starts at once whatever the job's own step holds, and
//! takes nothing of it; `--unbuffered` passes bytes on as they come, where srun else waits for the
//! end of a line.

use super::{Error, JobId, Slurm, is_own, not_installed};
use crate::process::{self, Program};

/// The exit status of env(1) and shells where there is no such program.
const NO_SUCH_PROGRAM: i32 = 127;

/// The words behind `srun`.
fn words(id: &JobId, program: &[String]) -> Vec<String> {
    let job = format!("--jobid={id}");
    let begin = [
        job.as_str(),
        "--overlap",
        "--nodes=1",
        "--ntasks=1",
        "--gres=none",
        "--unbuffered",
        "--quiet",
    ];
    let begin = begin.into_iter().map(str::to_owned);
    begin.chain(program.iter().cloned()).collect()
}

impl Slurm {
    /// Runs a program inside a job until it ends; its exit code, or srun's.
    pub(in super::super) async fn step(
        &self,
        id: &JobId,
        program: &[String],
    ) -> Result<i32, Error> {
        if !is_own(id) {
            return Err(Error::BadId { id: id.to_string() });
        }
        let (program, _) = self.program("srun", &words(id, program));
        match program.on_terminal().await {
            Err(process::Error::NotFound { .. }) => Err(not_installed("srun")),
            // env(1), which takes away what meddles, says so; or the step, of its own program.
            Ok(NO_SUCH_PROGRAM) if !self.is_there("srun").await => Err(not_installed("srun")),
            code => code.map_err(Error::Program),
        }
    }

    async fn is_there(&self, tool: &str) -> bool {
        let tool = self.path(tool);
        let asked = Program::new(tool).arg("--version").output().await;
        !matches!(asked, Err(process::Error::NotFound { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_nothing_of_the_job() {
        let program = ["/opt/q d", "relay", "1"].map(str::to_owned);
        let words = words(&"7".parse().unwrap(), &program);
        assert_eq!(
            words.join(" "),
            "--jobid=7 --overlap --nodes=1 --ntasks=1 --gres=none --unbuffered --quiet \
             /opt/q d relay 1"
        );
    }
}
