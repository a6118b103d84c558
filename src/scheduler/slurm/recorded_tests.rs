//! Every recorded answer of Slurm's tools, and of its PBS wrappers as far as they must be known for
//! what they are.

use super::super::detect;
use super::super::recorded::{judge, kind_of};
use super::*;

/// What a recorded call comes to, by what it answered with the format that is asked for here; of
/// other formats nothing may be read.
fn verdict(name: &str, output: &Output) -> String {
    let (out, command) = (&output.stdout, &output.command);
    if parse::is_unknown_job(&output.stderr) {
        return "no such job".to_owned();
    }
    // A recording of several commands ends with 0 whatever they said.
    let failed = output.status != 0 || out.starts_with("rc=1") || output.stderr.contains("error:");
    if failed && !output.stderr.trim().is_empty() && !command.contains("--version") {
        let error = refusal(output);
        return format!("{}: {}", kind_of(&error), parse::said(&output.stderr));
    }
    match name {
        "squeue-status" => {
            let jobs = parse::jobs(out);
            let jobs = jobs.iter().map(|(id, job)| format!("{id} {:?}", job.state));
            jobs.collect::<Vec<_>>().join(", ")
        }
        "squeue-pending" => format!("{:?}", parse::positions(out).values()),
        "versions" => format!("{:?}", detect::family(output)),
        _ if command.starts_with("sbatch") => format!("{:?}", parse::submitted(out)),
        _ => {
            let read = parse::jobs(out).len() + parse::history(out).len();
            let gpus = parse::gpu_types(out);
            format!("{read} jobs, {gpus:?}")
        }
    }
}

#[test]
fn every_recorded_answer_comes_to_the_right_verdict() {
    judge("slurm", verdict);
}
