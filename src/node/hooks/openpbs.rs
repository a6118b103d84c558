//! OpenPBS: one hook in the server, which hands it to every mom. Changed by `qmgr` as root on the
//! server's machine, in directives that hold nothing but words of ours and a checked path.

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
    let run = |directive: String, input: Option<String>| Step::Run {
        argv: qmgr(&directive),
        input,
        done: None,
    };
    let mut steps = Vec::new();
    if there.is_none() {
        steps.push(Step::Run {
            argv: qmgr(&format!("create hook {NAME}")),
            input: None,
            done: Some(IS_THERE),
        });
    }
    if !there.is_some_and(|hook| hook.has_text(&text)) {
        let import = format!("import hook {NAME} application/x-python default {INPUT}");
        steps.push(run(import, Some(text)));
    }
    for (name, value) in ATTRIBUTES {
        if !there.is_some_and(|hook| hook.has(name, value)) {
            let value = if value.contains(',') {
                format!("\"{value}\"")
            } else {
                value.to_owned()
            };
            steps.push(run(format!("set hook {NAME} {name} = {value}"), None));
        }
    }
    steps
}

pub(super) async fn uninstall() -> Result<Plan, Error> {
    let step = Step::Run {
        argv: qmgr(&format!("delete hook {NAME}")),
        input: None,
        done: Some(IS_GONE),
    };
    let there = Hook::ask().await?.is_some();
    Ok(Plan {
        steps: there.then_some(step).into_iter().collect(),
        then: Vec::new(),
    })
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

    #[test]
    fn a_first_installation_says_everything_once_and_in_order() {
        let shown: Vec<String> = steps(None, "text".to_owned())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown.len(), 7, "{shown:#?}");
        assert!(shown[0].ends_with("'create hook qdebug'"), "{}", shown[0]);
        assert!(shown[1].contains("import hook qdebug application/x-python default"));
        assert!(shown[2].contains("event = \"execjob_epilogue,"));
        assert!(shown[6].contains("enabled = true"));
    }

    #[test]
    fn what_somebody_changed_is_changed_back() {
        let mut changed = hook();
        changed.attributes.retain(|(name, _)| name != "alarm");
        changed.attributes.push(("alarm".into(), "5".into()));
        let steps = steps(Some(&changed), "text".to_owned());
        assert_eq!(steps.len(), 1);
        assert!(steps[0].to_string().contains("alarm = 45"));
    }
}
