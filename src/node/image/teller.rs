//! How the steps of preparing an image are told: in `state.json` and the node's log, or line by
//! line to whoever asked on a terminal; and to the nodes that wait for this one.

use std::sync::Arc;

use crate::cache::Lock;
use crate::node::report::Reporter;
use crate::session::Phase;

/// Whom to tell.
pub(in crate::node) struct Teller<'a> {
    to: To<'a>,
    /// The lock under which the work is done, if any: others read in it.
    pub(super) lock: Option<Arc<Lock>>,
    told: String,
}

enum To<'a> {
    Session(&'a mut Reporter),
    Terminal(&'a mut (dyn FnMut(&str) + 'a)),
}

impl<'a> Teller<'a> {
    /// Tells a session's state.
    pub(in crate::node) fn session(reporter: &'a mut Reporter) -> Self {
        Self::to(To::Session(reporter))
    }

    /// Tells lines.
    pub(super) fn terminal(line: &'a mut (dyn FnMut(&str) + 'a)) -> Self {
        Self::to(To::Terminal(line))
    }

    fn to(to: To<'a>) -> Self {
        Self {
            to,
            lock: None,
            told: String::new(),
        }
    }

    /// Tells a step, and how much of it is done, 0 to 1.
    pub(super) async fn step(&mut self, step: &str, progress: Option<f64>) {
        if let Some(lock) = &self.lock {
            lock.tell(step);
        }
        let is_new = self.told != step;
        if is_new {
            step.clone_into(&mut self.told);
            tracing::info!(step, "preparing the image");
        }
        match &mut self.to {
            To::Session(reporter) => {
                let phase = Phase::PreparingImage {
                    step: step.to_owned(),
                    progress,
                };
                // A new step is told for certain: it may hang before there is any progress.
                if is_new && let Err(error) = reporter.enter(phase.clone()).await {
                    tracing::warn!(%error, "cannot tell the step");
                } else if !is_new {
                    reporter.progress(phase).await;
                }
            }
            To::Terminal(line) if is_new => line(step),
            To::Terminal(_) => {}
        }
    }

    /// Tells a line that a build printed.
    pub(super) fn output(&mut self, text: &str) {
        tracing::info!(text, "the build says");
        if let To::Terminal(line) = &mut self.to {
            line(&format!("  {text}"));
        }
    }
}
