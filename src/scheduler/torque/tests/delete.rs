//! Deleting and finding a job, and which cluster it is.

use super::status::{xml, xml_job};
use super::*;

fn delete(fake: &Fake) -> Result<(), Error> {
    block_on(fake.torque().delete(&id("75.login")))
}

#[test]
fn what_is_over_was_wanted() {
    for name in ["qdel-running", "qdel-finished", "qdel-unknown", "qdel-held"] {
        let fake = Fake::recorded("qdel", name);
        delete(&fake).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(fake.calls("qdel"), ["qdel 75.login"]);
    }
    for name in ["qdel-others", "qdel-p-user"] {
        let error = delete(&Fake::recorded("qdel", name)).unwrap_err();
        assert!(
            matches!(error, Error::Refused { hint: Some(_), .. }),
            "{name}: {error}"
        );
    }
    let error = delete(&Fake::recorded("qdel", "qdel-server-down")).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[test]
fn a_node_that_did_not_answer_is_asked_again() {
    let passing = "[ -e again ] && exit 0; touch again; echo 'qdel: Server could not connect to MOM 75.login' >&2; exit 224";
    let running = xml(&xml_job("75.login", "R"));
    let fake = Fake::new(&[("qdel", passing), ("qstat", &running)]);
    delete(&fake).unwrap();
    assert_eq!(fake.calls("qdel").len(), 2);
    // Deleted all the same.
    let down = "echo 'qdel: Server could not connect to MOM 75.login' >&2; exit 224";
    let over = xml(&xml_job("75.login", "C"));
    let fake = Fake::new(&[("qdel", down), ("qstat", &over)]);
    delete(&fake).unwrap();
    assert_eq!(fake.calls("qdel").len(), 1);
}

#[test]
fn a_node_that_is_down_is_told() {
    let down = format!("cat '{FIXTURES}/qdel-node-down.err' >&2; exit 224");
    let running = xml(&xml_job("75.login", "R"));
    let fake = Fake::new(&[("qdel", &down), ("qstat", &running)]);
    let Err(Error::Refused { hint, .. }) = delete(&fake) else {
        panic!("deleted");
    };
    assert!(hint.is_some_and(|hint| hint.contains("node is down")));
}

#[test]
fn a_job_is_found_by_its_name() {
    let fake = Fake::new(&[("qselect", "printf '9.login\\n10.login\\n6[].login\\n'")]);
    let name: JobName = "qdebug-otter".parse().unwrap();
    assert_eq!(
        block_on(fake.torque().find(&name)).unwrap(),
        Some(id("10.login"))
    );
    assert!(fake.calls("qselect")[0].starts_with("qselect -N qdebug-otter -u "));
    let none = Fake::new(&[("qselect", "")]);
    assert_eq!(block_on(none.torque().find(&name)).unwrap(), None);
}

#[test]
fn the_cluster_is_the_server() {
    let fake = Fake::recorded("qstat", "qstat-B");
    assert_eq!(block_on(fake.torque().cluster()).unwrap(), "login");
    let odd = Fake::new(&[("qstat", "echo hello")]);
    let error = block_on(odd.torque().cluster()).unwrap_err();
    assert!(matches!(error, Error::Unexpected { .. }), "{error}");
}
