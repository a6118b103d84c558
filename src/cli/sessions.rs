//! `list`, `status`, `logs`, `stop`: answered here when the sessions are here, else
//! asked for over the hop to the cluster.

use std::time::Duration;

use jiff::Timestamp;

use super::args::{Global, List, Logs, Stop, Wanted};
use super::failure::with_on;
use super::here::{LogTail, Login, tell_unreadable};
use super::setting::Setting;
use super::{Exit, Failure, output, show, wait};
use crate::session::{Standing, Status};

/// How often a log or an ending session is looked at again.
const PACE: Duration = Duration::from_millis(500);

/// How many such looks at a log go by between two questions to the scheduler: logs are followed
/// for hours, and by many.
const LOOKS_A_QUESTION: u32 = 10;

/// How long `stop` waits for the end: the longest grace of a scheduler and some air.
const STOP_WAIT: Duration = Duration::from_secs(60);

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let statuses = match setting.cluster(global).await? {
            Some(cluster) => cluster.list(self.all).await?,
            None => {
                let (statuses, unreadable) = setting.login().await?.statuses(self.all).await?;
                for session in unreadable {
                    tell_unreadable(session);
                }
                statuses
            }
        };
        if global.json {
            output::json(&statuses);
        } else if statuses.is_empty() {
            output::talk(match setting.is_alone(global).await {
                true => "no sessions on this machine; those of a cluster: --on USER@HOST",
                false => "no sessions; `qdebug submit --help` shows how to start one",
            });
        } else {
            output::data(&show::list(&statuses, Timestamp::now()));
        }
        Ok(0)
    }
}

/// `qdebug status JOB`.
pub(super) async fn status(wanted: Wanted, global: &Global) -> Result<u8, Failure> {
    let setting = Setting::load()?;
    let status = match setting.cluster(global).await? {
        Some(cluster) => cluster.status(&wanted.job).await?,
        None => Status {
            ways: setting.ways(),
            ..setting.login().await?.status(&wanted.job).await?
        },
    };
    print(&status, global);
    Ok(0)
}

fn print(status: &Status, global: &Global) {
    if global.json {
        output::json(status);
    } else {
        let picture = show::picture(status, Timestamp::now());
        output::data(&match &global.on {
            Some(on) => with_on(&picture, on),
            None => picture,
        });
    }
}

impl Stop {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let status = match setting.cluster(global).await? {
            Some(cluster) => {
                cluster
                    .stop(&self.wanted.job, self.no_wait, &super::setting::who())
                    .await?
            }
            None => self.here(&setting.login().await?).await?,
        };
        if global.json {
            output::json(&status);
        } else {
            output::talk(&format!("{}: {}", status.name, show::line(&status)));
        }
        Ok(0)
    }

    async fn here(&self, login: &Login) -> Result<Status, Failure> {
        let by = self.by.clone().unwrap_or_else(super::setting::who);
        let mut status = login.stop(&self.wanted.job, &by).await?;
        let patience = tokio::time::Instant::now() + STOP_WAIT;
        let mut polls = wait::Patience::default();
        while !self.no_wait && !status.state.is_final() {
            if tokio::time::Instant::now() > patience {
                return Err(not_ended(&status));
            }
            tokio::time::sleep(PACE).await;
            match polls.heed(login.status(status.name.as_str()).await)? {
                // What has its name now began when it was over.
                Some(next) if next.token != status.token => {
                    status.state = Standing::Ended;
                    status.reason = Some("another has its name now".to_owned());
                }
                Some(next) => status = next,
                None => {}
            }
        }
        Ok(status)
    }
}

/// The session does not end: the request stands, and what is known of it is told.
fn not_ended(status: &Status) -> Failure {
    let what = format!(
        "{} has not ended within {} s: {}",
        status.name,
        STOP_WAIT.as_secs(),
        show::line(status)
    );
    let failure = Failure::new(Exit::Failed, what).hint(format!(
        "`qdebug status {}` tells where it stands",
        status.name
    ));
    match status.state {
        Standing::Unknown => failure.hint(
            "of a session that is unknown nothing may be left to stop: it counts as over once nothing \
             was heard of it for ten minutes",
        ),
        _ => failure,
    }
}

impl Logs {
    /// What is followed by nobody any more is not followed.
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        tokio::select! {
            () = output::unread(), if self.follow => Ok(0),
            told = self.tell(global) => told,
        }
    }

    async fn tell(&self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        if let Some(cluster) = setting.cluster(global).await? {
            cluster
                .logs(&self.wanted.job, self.follow, output::raw)
                .await?;
            return Ok(0);
        }
        let login = setting.login().await?;
        let mut logs = login.logs(&self.wanted.job).await?;
        let mut printed = print_new(&mut logs)?;
        let mut over = !self.follow;
        let mut polls = wait::Patience::default();
        for look in (0..LOOKS_A_QUESTION).cycle() {
            if over {
                break;
            }
            tokio::time::sleep(PACE).await;
            // The state first, the log after: so the last lines of a session that ends in
            // between are not lost.
            if look == 0 {
                let status = polls.heed(login.status(&self.wanted.job).await)?;
                over = status.is_some_and(|status| status.state.is_final());
            }
            printed |= print_new(&mut logs)?;
        }
        if !printed {
            output::talk("the session has not logged anything yet");
        }
        Ok(0)
    }
}

/// Prints what is new in the logs; whether there was anything.
fn print_new(logs: &mut [LogTail]) -> Result<bool, Failure> {
    let mut printed = false;
    for log in logs {
        loop {
            let bytes = log.read()?;
            if bytes.is_empty() {
                break;
            }
            output::raw(&bytes);
            printed = true;
        }
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{JobWord, Record, samples};

    #[test]
    fn what_does_not_end_is_told_with_where_it_stands() {
        let request = samples::request("otter");
        let state = serde_json::from_value(serde_json::json!({
            "token": request.token, "phase": "launching", "at": "2026-01-01T00:00:00Z",
        }));
        let state: crate::session::State = state.unwrap();
        let record = Record::of_test(request, state);
        let mut status = record.verdict(&JobWord::Forgotten, Timestamp::UNIX_EPOCH);
        assert_eq!(not_ended(&status).hints().len(), 1);
        status.state = Standing::Unknown;
        let failure = not_ended(&status);
        let told = failure.message();
        assert!(told.contains("does not know job"), "{told}");
        assert!(failure.hints()[1].contains("counts as over"));
    }
}
