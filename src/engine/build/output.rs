//! What a build prints, and what its failure means: the base's, the engine's, or the recipe's own.

use std::collections::VecDeque;

use super::{BuildError, BuildProgress};
use crate::engine::Error;
use crate::engine::error::from_image_api;

/// How many lines of a build that failed are kept.
const LINES_KEPT: usize = 20;
/// Longer lines are cut, in characters.
const LINE_LIMIT: usize = 300;

/// What a build prints: steps are told from other lines, the last are kept.
#[derive(Debug, Default)]
pub(super) struct Output {
    progress: BuildProgress,
    last: VecDeque<String>,
}

impl Output {
    pub(super) fn take(&mut self, text: &str) -> Vec<BuildProgress> {
        let mut all = Vec::new();
        for line in text.lines() {
            let plain = |c: char| if c.is_control() && c != '\t' { ' ' } else { c };
            let line: String = line.chars().take(LINE_LIMIT).map(plain).collect();
            let line = line.trim_end();
            // What the builder says of itself.
            let chatter = [" --->", "Removing intermediate container ", "--> "];
            if line.is_empty() || chatter.into_iter().any(|words| line.starts_with(words)) {
                continue;
            }
            if let Some((step, steps, instruction)) = step_of(line) {
                self.progress = BuildProgress {
                    step,
                    steps,
                    instruction: instruction.to_owned(),
                    line: String::new(),
                };
            } else {
                line.clone_into(&mut self.progress.line);
            }
            self.last.push_back(line.to_owned());
            if self.last.len() > LINES_KEPT {
                self.last.pop_front();
            }
            all.push(self.progress.clone());
        }
        all
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    /// An error of a base, of the engine, or of the recipe.
    pub(super) fn failed(
        &self,
        doing: &'static str,
        tag: &str,
        error: bollard::errors::Error,
    ) -> Error {
        let base = match step_of(self.last.back().map_or("", String::as_str)) {
            Some((_, _, instruction)) => instruction
                .strip_prefix("FROM ")
                .and_then(|rest| rest.split_whitespace().find(|word| !word.starts_with("--")))
                .map(str::to_owned),
            None => None,
        };
        match from_image_api(doing, base.as_deref().unwrap_or(tag), error) {
            Error::Other { message, .. } | Error::Command { detail: message } => {
                Error::Build(BuildError::Failed {
                    detail: message,
                    buildkit: Vec::new(),
                    lines: self.lines(),
                })
            }
            // Words such as "not found" are the recipe's own unless it stood at a FROM.
            Error::NoSuchImage { detail, .. }
            | Error::ImageAccess { detail, .. }
            | Error::Registry { detail, .. }
            | Error::Platform { detail, .. }
                if base.is_none() =>
            {
                Error::Build(BuildError::Failed {
                    detail,
                    buildkit: Vec::new(),
                    lines: self.lines(),
                })
            }
            other => other,
        }
    }
}

/// `Step 2/5 : RUN make`, or Podman's `STEP 2/5: RUN make`.
fn step_of(line: &str) -> Option<(u32, u32, &str)> {
    let rest = line
        .strip_prefix("Step ")
        .or_else(|| line.strip_prefix("STEP "))?;
    let (numbers, instruction) = rest.split_once(':')?;
    let (step, steps) = numbers.trim().split_once('/')?;
    Some((step.parse().ok()?, steps.parse().ok()?, instruction.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_from_what_they_print() {
        let mut output = Output::default();
        let told = output.take("Step 1/2 : FROM debian\n ---> d7506aa6b09a\n\n");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].step, told[0].steps), (1, 2));
        output.take("STEP 2/2: RUN make\n");
        let told = output.take("cc x.c\n\x1b[31merror\x1b[0m\n");
        assert_eq!(told[1].line, " [31merror [0m");
        assert_eq!((told[1].step, told[1].steps), (2, 2));
        for number in 0..100 {
            output.take(&format!("line {number}\n"));
        }
        assert_eq!(output.lines().len(), LINES_KEPT);
        assert_eq!(output.lines().last().unwrap(), "line 99");
    }

    #[test]
    fn a_failure_is_the_bases_or_the_recipes() {
        let error = |text: &str| bollard::errors::Error::DockerStreamError {
            error: text.to_owned(),
        };
        let mut output = Output::default();
        output.take("Step 1/2 : FROM lab/secret:1\n");
        let failed = output.failed(
            "building the image",
            "tag",
            error("pull access denied for lab/secret, repository does not exist"),
        );
        assert!(
            matches!(&failed, Error::ImageAccess { reference, .. } if reference == "lab/secret:1"),
            "{failed}"
        );
        output.take("Step 2/2 : RUN make\nmake: target not found\n");
        let failed = output.failed(
            "building the image",
            "tag",
            error("The command '/bin/sh -c make' returned a non-zero code: 2"),
        );
        let text = failed.to_string();
        assert!(text.contains("non-zero code: 2"), "{text}");
        assert!(
            text.ends_with("Step 2/2 : RUN make\nmake: target not found"),
            "{text}"
        );
        let full = error("write /x: no space left on device");
        let failed = output.failed("building the image", "tag", full);
        assert!(matches!(failed, Error::NoSpace { .. }), "{failed}");
    }
}
