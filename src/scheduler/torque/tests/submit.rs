//! Submitting: what is asked, and what a refusal says.

use super::*;

fn submit(fake: &Fake) -> Result<JobId, Error> {
    block_on(fake.torque().submit(&spec()))
}

#[test]
fn a_refusal_is_told_without_its_wrapping() {
    let said = parse::said(&fixture("qsub-badqueue", "err"));
    assert_eq!(said, "Unknown queue MSG=requested queue not found");
}

#[test]
fn a_job_is_submitted() {
    let fake = Fake::new(&[("qsub", "echo 'welcome to lab'; echo 12.login")]);
    assert_eq!(submit(&fake).unwrap(), id("12.login"));
    let calls = fake.calls("qsub");
    assert!(
        calls[0].contains("-r n") && calls[0].contains("-K 8"),
        "{calls:?}"
    );
}

#[test]
fn an_old_qsub_is_asked_without_the_delay() {
    let old = "case \" $* \" in *' -K '*) printf \"qsub: invalid option -- 'K'\\nusage: qsub\\n\" >&2; exit 2;; esac; echo 12.login";
    let fake = Fake::new(&[("qsub", old)]);
    assert_eq!(submit(&fake).unwrap(), id("12.login"));
    let calls = fake.calls("qsub");
    assert_eq!(calls.len(), 2);
    assert!(
        !calls[1].contains("-K") && calls[1].contains("-S /home") && calls[1].contains("-j oe")
    );
}

#[test]
fn refusals_say_what_to_do() {
    let body = format!("cat '{FIXTURES}/qsub-badprop2.err' >&2; exit 190");
    let nodes = format!("cat '{FIXTURES}/pbsnodes-x.out'");
    for (tools, words) in [
        (
            vec![("qsub", &*body), ("pbsnodes", &*nodes)],
            "that many V100",
        ),
        (vec![("qsub", &*body)], "pbsnodes -a"),
    ] {
        let Err(Error::Refused { said, hint, .. }) = submit(&Fake::new(&tools)) else {
            panic!("taken");
        };
        assert!(said.contains("cannot locate feasible nodes"), "{said}");
        assert!(
            hint.as_deref().is_some_and(|hint| hint.contains(words)),
            "{hint:?}"
        );
    }
    for (name, words) in [
        ("qsub-badqueue", "qstat -q"),
        ("qsub-badres", "leave it out"),
    ] {
        let Err(Error::Refused { hint, .. }) = submit(&Fake::recorded("qsub", name)) else {
            panic!("{name}");
        };
        assert!(hint.is_some_and(|hint| hint.contains(words)), "{name}");
    }
}

#[test]
fn a_job_that_may_be_there_is_told() {
    for body in ["echo hello", "kill -9 $$", "kill -TERM $$"] {
        let error = submit(&Fake::new(&[("qsub", body)])).unwrap_err();
        assert!(error.may_have_submitted(), "{body}: {error}");
    }
    for name in ["qsub-server-down", "qsub-trqauthd-down", "qsub-badqueue"] {
        let fake = Fake::recorded("qsub", name);
        assert!(!submit(&fake).unwrap_err().may_have_submitted(), "{name}");
        assert_eq!(fake.calls("qsub").len(), 1, "never twice");
    }
    let error = submit(&Fake::new(&[])).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotInstalled {
                program: "qsub",
                ..
            }
        ),
        "{error}"
    );
}
