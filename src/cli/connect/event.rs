//! What a connect tells of what happens, and asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::cli::values::shown;
use crate::cli::{opening, output, show};
use crate::laptop::{Event, Ui};
use crate::session::Status;
use crate::ssh::include::IncludePlan;

/// What `connect --json` prints when the way is open.
#[derive(Serialize)]
struct Open<'a> {
    format: u32,
    alias: &'a str,
    port: u16,
    status: &'a Status,
}

/// Tells on stderr what happens, a line for each change.
pub(super) fn ui(json: bool, yes: bool, detach: bool) -> Ui {
    let last = Mutex::new(String::new());
    // Whether ssh itself was not told of the sessions.
    let unknown = AtomicBool::new(false);
    Ui {
        tell: Arc::new(move |event| {
            if matches!(event, Event::NotIncluded | Event::IncludeFailed { .. }) {
                unknown.store(true, Ordering::Relaxed);
            }
            let line = told(&event, detach, unknown.load(Ordering::Relaxed));
            let Ok(mut last) = last.lock() else { return };
            if !line.is_empty() && *last != line {
                output::talk(&line);
                *last = line;
            }
            if let (
                true,
                Event::Connected {
                    alias,
                    port,
                    status,
                },
            ) = (json, &event)
            {
                let format = crate::session::FORMAT;
                output::json(&Open {
                    format,
                    alias,
                    port: *port,
                    status,
                });
            }
        }),
        confirm: Box::new(move |plan| Box::pin(async move { yes || include(plan).await })),
    }
}

/// Asks whether our lines may go into the user's ssh configuration, showing them.
async fn include(plan: &IncludePlan) -> bool {
    let path = plan.path.display();
    output::talk(&format!(
        "So that `ssh qdebug-NAME` works, the top of {path} gets:"
    ));
    for line in plan.lines.lines() {
        output::talk(&format!("  + {line}"));
    }
    if let Some(backup) = &plan.backup {
        output::talk(&format!(
            "  (as it is now it stays in {})",
            backup.display()
        ));
    }
    let agreed = output::confirm("Add it?").await;
    if agreed.is_none() {
        output::talk("nobody is there to ask: --yes adds it");
    }
    agreed.unwrap_or(false)
}

/// An event in words; nothing for those that need none.
fn told(event: &Event, detach: bool, is_unknown_to_ssh: bool) -> String {
    match event {
        Event::Status(status) => format!("{}: {}", status.name, show::line(status)),
        Event::Silent(reason) => format!("reconnecting, the cluster does not answer: {reason}"),
        Event::Answers => "the cluster answers again".to_owned(),
        Event::KeyHandedOver => "this laptop's key is let into the session".to_owned(),
        Event::Swept(aliases) => format!("forgotten, since they ended: {}", aliases.join(", ")),
        Event::NotIncluded => {
            "left your ssh configuration as it is: use `qdebug ssh JOB`".to_owned()
        }
        Event::IncludeFailed { reason, lines } => format!(
            "your ssh configuration stays as it is, {reason}: use `qdebug ssh JOB`, or put at its \
             top:\n{}",
            lines.trim_end()
        ),
        Event::Connected {
            alias,
            port,
            status,
        } => {
            let mut lines = vec![match is_unknown_to_ssh {
                true => format!("connected: qdebug ssh {} (127.0.0.1:{port})", status.name),
                false => format!("connected: ssh {alias} (127.0.0.1:{port})"),
            }];
            let notices = status.details.iter().flat_map(|details| &details.notices);
            lines.extend(notices.map(|notice| format!("notice: {notice}")));
            lines.extend(
                status
                    .left()
                    .map(|left| format!("it ends in {}", shown(left))),
            );
            if !detach {
                lines.push("the tunnel stays open until the session ends or Ctrl-C".to_owned());
            }
            lines.join("\n")
        }
        Event::EndsSoon { left } => {
            format!("notice: the session ends in {} (walltime)", shown(*left))
        }
        Event::Moved { left } => format!(
            "notice: the walltime was changed; the session now ends in {}",
            shown(*left)
        ),
        Event::Unused { left } => format!(
            "notice: nobody is connected and no GPU works; the session ends in {} unless somebody \
             connects",
            shown(*left)
        ),
        Event::Notice(text) => format!("notice: {}", output::harmless(text)),
        Event::UsedAgain => "the session is used again and stays".to_owned(),
        Event::Lost(reason) => format!("reconnecting: {reason}"),
        Event::Back => "connected again".to_owned(),
        Event::Ide(event) => opening::told(event),
        Event::ForwardLost(reason) => format!("a forwarded port is tried again: {reason}"),
    }
}
