//! Every recorded answer of Torque's tools.

use super::super::detect;
use super::super::nodes::torque as nodes;
use super::super::recorded::{judge, kind_of};
use super::*;

/// What a recorded call comes to. Of a line with several commands the last one's status is told.
fn verdict(output: &Output) -> String {
    let command = output.command.as_str();
    let tool = ["pbsnodes", "qsub", "qstat", "qdel"]
        .into_iter()
        .filter_map(|tool| Some((command.rfind(tool)?, tool)))
        .max()
        .map_or_else(|| panic!("no tool in {command}"), |(_, tool)| tool);
    if command.contains("--version") {
        return format!("{:?}", detect::family(output));
    }
    match output.status {
        0 => {}
        153 if parse::is_unknown_job(&output.stderr) => return "no such job".to_owned(),
        170 if parse::is_over(&output.stderr) => return "over".to_owned(),
        224 => return "its node is silent".to_owned(),
        _ => {
            let error = refusal(output);
            return format!("{}: {}", kind_of(&error), parse::said(&output.stderr));
        }
    }
    match tool {
        "qsub" => match parse::submitted(&output.stdout) {
            Some(id) => id.to_string(),
            None => "unexpected".to_owned(),
        },
        "qstat" if command.contains("-B") => format!("{:?}", parse::server(&output.stdout)),
        "qstat" => {
            let xml = parse::jobs_of_xml(&output.stdout);
            let kind = if xml.is_some() { "xml" } else { "text" };
            let jobs = xml.unwrap_or_else(|| parse::jobs_of_text(&output.stdout));
            let jobs: Vec<String> = jobs
                .iter()
                .map(|(id, job)| format!(" {id} {:?} {:?}", job.state, job.node))
                .collect();
            format!("{kind}{}", jobs.join(","))
        }
        "pbsnodes" => {
            let read = nodes::of_xml(&output.stdout);
            let read = read.unwrap_or_else(|| nodes::of_text(&output.stdout));
            let gpus = read.gpus(&|word| word == "V100", None);
            let told: Vec<String> = gpus
                .iter()
                .map(|node| {
                    format!(
                        "{} up={} {} {}",
                        node.node, node.is_up, node.total, node.request
                    )
                })
                .collect();
            told.join(", ")
        }
        _ => "done".to_owned(),
    }
}

#[test]
fn every_recorded_answer_comes_to_the_right_verdict() {
    judge("torque", |_, output| verdict(output));
}
