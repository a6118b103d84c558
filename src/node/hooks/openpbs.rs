//! OpenPBS: one hook in the server, which hands it to every mom. Changed by `qmgr` as root on the
//! server's machine, in directives that hold nothing but words of ours and a checked path.
//!
//! Problem: 23.06 takes the `freq` of a hook that is enabled and has a text as an order to run it in
//! the server itself, whatever its event, and keeps that order when the hook is deleted: from then
//! on it works on freed memory, writes gigabytes of log and answers nobody. Evidence:
//! `mgr_hook_set` and `mgr_hook_delete` of its `hook_func.c`; seen a minute after an uninstallation.
//! Solution: a hook is changed while it is disabled, which gives no such order; and before it is
//! deleted it is for a moment what `periodic` says, a hook of the server, since disabling one of
//! those takes the order back, whoever gave it.

use std::path::Path;

use super::file::{self, Script};
use super::step::{INPUT, tool};
use super::{Error, Found, Kind, Plan, Step, Target};

const NAME: &str = "qdebug";

/// What `create` and `delete` say when another admin was faster.
const IS_THERE: &str = "already registered";
const IS_GONE: &str = "does not exist";

/// What the hook's attributes are. Event comes first, since `freq` needs it; `order` puts it
/// before the cgroups hook (100), which takes the groups away that containers may be in.
const ATTRIBUTES: [(&str, &str); 5] = [
    (
        "event",
        "execjob_epilogue,execjob_end,exechost_periodic,exechost_startup",
    ),
    ("freq", "60"),
    ("alarm", "45"),
    ("order", "10"),
    ("enabled", "true"),
];

/// What the hook is before it is deleted, in this order.
const FAREWELL: [(&str, &str); 3] = [
    ("enabled", "false"),
    ("event", "periodic"),
    ("enabled", "false"),
];

/// `qmgr -c DIRECTIVE`, of the server's own installation where it is in its usual place.
fn qmgr(directive: &str) -> Vec<String> {
    let usual = "/opt/pbs/bin/qmgr";
    let program = if Path::new(usual).exists() {
        usual
    } else {
        "qmgr"
    };
    [program, "-c", directive].map(str::to_owned).to_vec()
}

/// The hook as the server has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hook {
    attributes: Vec<(String, String)>,
    text: String,
}

impl Hook {
    /// Asks for it; `None` when there is none.
    async fn ask() -> Result<Option<Self>, Error> {
        let listed = match tool(&qmgr(&format!("list hook {NAME}")), None).await {
            Ok(listed) => listed,
            Err(Error::Tool { said, .. }) if said.contains("hook not found") => return Ok(None),
            Err(error) => return Err(error),
        };
        let attributes = attributes(&listed);
        if attributes.is_empty() {
            return Ok(None);
        }
        let export = format!("export hook {NAME} application/x-python default");
        // A hook that was made and never given its text exports nothing, or fails.
        let text = match tool(&qmgr(&export), None).await {
            Ok(text) => text,
            Err(Error::Tool { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Some(Self { attributes, text }))
    }

    fn has(&self, name: &str, value: &str) -> bool {
        let found = self.attributes.iter().find(|(found, _)| found == name);
        found.is_some_and(|(_, found)| same(found, value))
    }

    fn has_text(&self, wanted: &str) -> bool {
        self.text.trim_end() == wanted.trim_end()
    }
}

/// `    enabled = true` below `Hook qdebug`; a long value goes on after a tab in the next line.
fn attributes(listed: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let whole = listed.replace("\n\t", "");
    whole.lines().filter_map(pair).collect()
}

/// Equal as sets of words, since the server lists events in an order of its own.
fn same(found: &str, wanted: &str) -> bool {
    let words = |text: &str| {
        let mut words: Vec<String> = text
            .split(',')
            .map(|word| word.trim().trim_matches('"').to_lowercase())
            .collect();
        words.sort();
        words
    };
    words(found) == words(wanted)
}

pub(super) async fn look(target: &Target) -> Result<Found, Error> {
    let Some(hook) = Hook::ask().await? else {
        return Ok(Found::default());
    };
    let mut found = Found {
        version: Some(file::version(&hook.text, Kind::OpenPbs).unwrap_or_default()),
        places: vec![format!("hook {NAME} of the server")],
        problems: Vec::new(),
    };
    if !hook.has_text(&Script::OpenPbs.text(&target.binary, None)) {
        found.problems.push(
            "the hook is of another version or names another program: `qdebug hooks install`"
                .to_owned(),
        );
    }
    for (name, value) in ATTRIBUTES {
        if !hook.has(name, value) {
            found.problems.push(format!(
                "the hook's {name} is not {value}: `qdebug hooks install`"
            ));
        }
    }
    Ok(found)
}

pub(super) async fn install(target: &Target) -> Result<Plan, Error> {
    let text = Script::OpenPbs.text(&target.binary, None);
    Ok(Plan {
        steps: steps(Hook::ask().await?.as_ref(), text),
        then: vec![format!(
            "{} must be there on every node, and root's alone",
            target.binary
        )],
    })
}

fn steps(there: Option<&Hook>, text: String) -> Vec<Step> {
    let differs = |name, value| !there.is_some_and(|hook: &Hook| hook.has(name, value));
    let differing: Vec<_> = ATTRIBUTES
        .into_iter()
        .filter(|(name, value)| *name != "enabled" && differs(name, value))
        .collect();
    let imports = !there.is_some_and(|hook| hook.has_text(&text));
    let changes = imports || !differing.is_empty();
    let mut steps = Vec::new();
    if there.is_none() {
        steps.push(Step::Run {
            argv: qmgr(&format!("create hook {NAME}")),
            input: None,
            done: Some(IS_THERE),
        });
    }
    if changes {
        steps.push(set("enabled", "false", None));
    }
    for (name, value) in differing {
        steps.push(set(name, value, None));
    }
    if imports {
        let import = format!("import hook {NAME} application/x-python default {INPUT}");
        steps.push(Step::Run {
            argv: qmgr(&import),
            input: Some(text),
            done: None,
        });
    }
    if changes || differs("enabled", "true") {
        steps.push(set("enabled", "true", None));
    }
    steps
}

/// One attribute of the hook; `done` as in [`Step::Run`].
fn set(name: &str, value: &str, done: Option<&'static str>) -> Step {
    let value = if value.contains(',') {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    };
    Step::Run {
        argv: qmgr(&format!("set hook {NAME} {name} = {value}")),
        input: None,
        done,
    }
}

pub(super) async fn uninstall() -> Result<Plan, Error> {
    let mut plan = Plan::default();
    if Hook::ask().await?.is_some() {
        plan.steps = farewell();
    }
    Ok(plan)
}

fn farewell() -> Vec<Step> {
    let mut steps: Vec<Step> = FAREWELL
        .into_iter()
        .map(|(name, value)| set(name, value, Some(IS_GONE)))
        .collect();
    steps.push(Step::Run {
        argv: qmgr(&format!("delete hook {NAME}")),
        input: None,
        done: Some(IS_GONE),
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server of OpenPBS 23.06 printed it.
    const LISTED: &str = "Hook qdebug\n    type = site\n    enabled = true\n    \
        event = execjob_epilogue,execjob_end,exechost_periodic,\n\texechost_startup\n    \
        user = pbsadmin\n    alarm = 45\n    freq = 60\n    order = 10\n    debug = false\n    \
        fail_action = none\n\n";

    fn hook() -> Hook {
        Hook {
            attributes: attributes(LISTED),
            text: "text\n".to_owned(),
        }
    }

    #[test]
    fn what_is_as_it_should_be_is_left() {
        assert!(steps(Some(&hook()), "text".to_owned()).is_empty());
    }

    fn shown(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    /// Where a directive stands among the steps.
    fn place(shown: &[String], words: &str) -> usize {
        let found = shown.iter().position(|step| step.contains(words));
        found.unwrap_or_else(|| panic!("no {words:?} in {shown:#?}"))
    }

    #[test]
    fn a_first_installation_says_everything_in_order() {
        let shown = shown(&steps(None, "text".to_owned()));
        assert_eq!(shown.len(), 8, "{shown:#?}");
        assert!(shown[0].ends_with("'create hook qdebug'"), "{}", shown[0]);
        assert!(shown[1].contains("enabled = false"));
        assert!(shown[2].contains("event = \"execjob_epilogue,"));
        assert!(shown[6].contains("import hook qdebug application/x-python default"));
        assert!(shown[7].contains("enabled = true"));
    }

    #[test]
    fn what_somebody_changed_is_changed_back() {
        for (name, value) in [("alarm", "5"), ("freq", "5")] {
            let mut changed = hook();
            changed.attributes.retain(|(found, _)| found != name);
            changed.attributes.push((name.into(), value.into()));
            let shown = shown(&steps(Some(&changed), "text".to_owned()));
            assert_eq!(shown.len(), 3, "{shown:#?}");
            // Or the server would take the `freq` for its own.
            assert!(place(&shown, "enabled = false") < place(&shown, name));
            assert!(place(&shown, name) < place(&shown, "enabled = true"));
        }
        let mut disabled = hook();
        disabled.attributes.retain(|(found, _)| found != "enabled");
        let shown = shown(&steps(Some(&disabled), "text".to_owned()));
        assert_eq!(shown.len(), 1, "{shown:#?}");
        assert!(shown[0].contains("enabled = true"));
    }

    #[test]
    fn the_servers_own_order_is_taken_back_before_the_hook_goes() {
        let shown = shown(&farewell());
        assert!(shown[0].contains("enabled = false"));
        assert!(shown[1].contains("event = periodic"));
        assert!(shown[2].contains("enabled = false"));
        assert!(shown[3].contains("delete hook qdebug"));
    }
}
