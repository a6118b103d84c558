//! `qdebug doctor`: a ladder of checks on the laptop, the login node or a node, each with what
//! mends it. It changes nothing but what every command makes (the node's own folder, the hop).
//!
//! Here are the words alone: what is found is the business of who knows the thing, a type of theirs.

mod laptop;
#[cfg(target_os = "linux")]
mod login;
#[cfg(target_os = "linux")]
mod node;
mod permissions;
mod reach;

use std::cell::RefCell;

use super::args::{Doctor, Global};
use super::failure::with_on;
use super::setting::Setting;
use super::{Exit, Failure, ladder, output};
use crate::session::{Checked, FORMAT, Rung, Verdict};

/// The rungs so far, told as they come.
#[derive(Debug, Default)]
struct Ladder {
    /// They are data themselves, and no talk beside it.
    is_data: bool,
    /// The `--on` that was given, for the commands in cures.
    on: Option<String>,
    rungs: RefCell<Vec<Rung>>,
}

impl Ladder {
    fn add(&self, mut rung: Rung) {
        if let Some(on) = &self.on {
            for cure in &mut rung.cures {
                *cure = with_on(cure, on);
            }
        }
        match self.is_data {
            true => ladder::print(&rung),
            false => ladder::tell(&rung),
        }
        self.rungs.borrow_mut().push(rung);
    }
}

impl Doctor {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        if cfg!(not(target_os = "linux")) && (self.node || self.login) {
            let message = "--node and --login are for machines of a cluster";
            return Err(Failure::new(Exit::Usage, message)
                .hint("`qdebug doctor` asks the cluster's login node, too"));
        }
        let ladder = Ladder {
            is_data: !global.json,
            on: global.on.clone(),
            ..Ladder::default()
        };
        let setting = match Setting::load() {
            Ok(setting) => Some(setting),
            Err(failure) => {
                ladder.add(failure.rung("configuration"));
                None
            }
        };
        let place = self.place(global, setting.as_ref()).await;
        if let Some(setting) = &setting {
            ladder.add(configuration(setting));
            match place {
                #[cfg(target_os = "linux")]
                "node" => node::look(setting, &ladder).await,
                #[cfg(target_os = "linux")]
                "login" => login::look(setting, &ladder).await,
                _ => {
                    #[cfg(target_os = "linux")]
                    if let Some(rung) = silent_scheduler(global, setting).await {
                        ladder.add(rung);
                    }
                    laptop::look(setting, global, &ladder).await;
                }
            }
        }
        let rungs = ladder.rungs.into_inner();
        let well = Rung::none_fails(&rungs);
        if global.json {
            output::json(&Checked {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                place: place.to_owned(),
                rungs,
                ways: setting.as_ref().and_then(Setting::ways),
            });
        } else {
            let failing = if well {
                "nothing fails"
            } else {
                "something fails"
            };
            output::data(&format!("{failing} on this {place}"));
        }
        Ok(if well { Exit::Done } else { Exit::Failed }.code())
    }

    async fn place(&self, global: &Global, setting: Option<&Setting>) -> &'static str {
        let elsewhere = global.on.as_deref().is_some_and(|on| on != "here");
        match (self.node, self.login, setting) {
            (true, ..) => "node",
            (_, true, _) => "login",
            (_, _, Some(setting)) if !elsewhere && setting.is_login(global).await => "login",
            _ => "laptop",
        }
    }
}

/// A scheduler of this machine that says nothing, where another cluster is the default: it may be a
/// login node all the same.
#[cfg(target_os = "linux")]
async fn silent_scheduler(global: &Global, setting: &Setting) -> Option<Rung> {
    let default = setting.config.default_cluster()?;
    if global.on.is_some() {
        return None;
    }
    let kind = setting.found().await.ok()??;
    let silent = setting.scheduler(kind).ok()?.cluster().await.err()?;
    let told = format!(
        "{kind} is installed here and does not answer ({silent}); this machine is taken for a \
         laptop, since {default:?} is the default cluster"
    );
    let rung = Rung::new("scheduler here", Verdict::Warn, told);
    Some(rung.cure("if it is a login node: qdebug doctor --login"))
}

/// The files say what can be; what is odd in them was told when they were read.
fn configuration(setting: &Setting) -> Rung {
    let sound = setting.submit_defaults().err();
    let sound = sound.or_else(|| setting.default_login().err());
    match (sound, setting.config.warnings.len()) {
        (Some(failure), _) => failure.rung("configuration"),
        (None, 0) => Rung::new("configuration", Verdict::Ok, "nothing is wrong with it"),
        (None, count) => Rung::new(
            "configuration",
            Verdict::Warn,
            format!("it can be used; {count} odd: see the warnings"),
        )
        .cure("qdebug config check"),
    }
}

impl Failure {
    /// A failed rung of it, its hints as cures.
    fn rung(&self, name: &str) -> Rung {
        let mut told = self.message().to_owned();
        for cause in self.causes() {
            told.push_str(": ");
            told.push_str(cause);
        }
        let rung = Rung::new(name, Verdict::Fail, told);
        self.hints().iter().fold(rung, Rung::cure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_becomes_a_rung_with_its_cures() {
        let failure = Failure::new(Exit::Engine, "no engine")
            .hint("start it")
            .hint("or that");
        let rung = failure.rung("engine");
        assert_eq!(
            (rung.verdict, rung.told.as_str()),
            (Verdict::Fail, "no engine")
        );
        assert_eq!(rung.cures, ["start it", "or that"]);
    }
}
