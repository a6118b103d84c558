//! Tests of `cleanup.rs`.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;

fn container(changes: &[(&str, &str)]) -> Listed {
    let token = "0123456789abcdef0123456789abcdef";
    let mut labels: HashMap<String, String> = [
        (label::SESSION, "v100-otter"),
        (label::TOKEN, token),
        (label::JOB, "33.server"),
        (label::CLUSTER, "openpbs server"),
        (label::UID, "2001"),
        (label::DEADLINE, "1800003600"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in changes {
        labels.insert((*name).to_owned(), (*value).to_owned());
    }
    Listed {
        id: engine::ContainerId::of_test(&"a".repeat(64)),
        name: "qdebug-v100-otter".to_owned(),
        labels,
        state: engine::ContainerState::Running,
        created: NOW - 100,
    }
}

fn job(id: &str, uid: Option<u32>) -> Cleanup {
    let id = id.parse().unwrap();
    let scope = Scope::Job { id, uid };
    let (scheduler, time_limit) = (None, Duration::from_secs(1));
    Cleanup {
        scope,
        scheduler,
        time_limit,
        node_dir: "/var/tmp".into(),
        node_folder: None,
    }
}

fn sweep(live: &str, min_age: u64) -> Cleanup {
    Cleanup {
        scope: Scope::Sweep {
            live: live.parse().unwrap(),
            min_age: Duration::from_secs(min_age),
        },
        ..job("1", None)
    }
}

fn goes(container: &Listed, wanted: &Cleanup, by: By) -> bool {
    matches!(judge(container, wanted, by, NOW), Verdict::Goes(_))
}

#[test]
fn the_job_that_is_over_goes_and_no_other() {
    let it = container(&[]);
    assert!(goes(&it, &job("33.server", Some(2001)), By::Root));
    assert!(goes(&it, &job("33", None), By::Root), "a short id");
    assert!(!goes(&it, &job("3", None), By::Root));
    assert!(!goes(&it, &job("33.other", None), By::Root));
    assert!(!goes(&it, &job("33.server", Some(2002)), By::Root));
}

#[test]
fn a_user_removes_only_what_is_his() {
    let it = container(&[]);
    assert!(goes(&it, &job("33.server", None), By::User(2001)));
    assert!(!goes(&it, &job("33.server", None), By::User(2002)));
    assert!(!goes(&it, &job("33.server", Some(2001)), By::User(2002)));
}

#[test]
fn another_schedulers_and_local_jobs_share_numbers_and_stay() {
    let mut wanted = job("33", None);
    assert!(!goes(
        &container(&[(label::CLUSTER, "local host")]),
        &wanted,
        By::Root
    ));
    wanted.scheduler = Some(Kind::Slurm);
    assert!(!goes(&container(&[]), &wanted, By::Root));
    wanted.scheduler = Some(Kind::OpenPbs);
    assert!(goes(&container(&[]), &wanted, By::Root));
}

#[test]
fn labels_that_no_node_half_writes_are_left_alone() {
    let odd = [
        (label::UID, "--force"),
        (label::UID, "+2001"),
        (label::UID, "02001"),
        (label::UID, "4294967296"),
        (label::UID, "2001\n"),
        (label::TOKEN, "../../etc"),
        (label::TOKEN, ""),
        (label::JOB, "33.server\n"),
        (label::JOB, "--force"),
        (label::JOB, "/etc/passwd"),
        (label::JOB, "33.$(id)"),
        (label::JOB, "33[1].server"),
        (label::SESSION, "-rf"),
        (label::SESSION, "a/../b"),
        (label::SESSION, "a\nb"),
        (label::CLUSTER, "openpbs"),
        (label::CLUSTER, "quantum server"),
    ];
    for change in odd {
        let it = container(&[change]);
        for wanted in [job("33.server", None), sweep("", 0)] {
            let verdict = judge(&it, &wanted, By::Root, NOW);
            assert_eq!(verdict, Verdict::Odd, "{change:?}");
        }
    }
    let mut bare = container(&[]);
    bare.labels.remove(label::UID);
    let verdict = judge(&bare, &job("33.server", None), By::Root, NOW);
    assert_eq!(verdict, Verdict::Odd);
}

#[test]
fn a_sweep_spares_the_living_and_the_young() {
    let it = container(&[]);
    assert!(goes(&it, &sweep("", 60), By::Root));
    assert!(goes(&it, &sweep("34.server 35[1].server", 60), By::Root));
    assert!(!goes(&it, &sweep("1.server,33.server", 60), By::Root));
    assert!(!goes(&it, &sweep("33.serv", 60), By::Root), "cut short");
    assert!(!goes(&it, &sweep("", 101), By::Root));
    let mut from_tomorrow = it.clone();
    from_tomorrow.created = NOW + 86400;
    assert!(!goes(&from_tomorrow, &sweep("", 0), By::Root));
    assert!(!goes(&it, &sweep("", 60), By::User(2002)));
}

#[test]
fn a_list_with_nonsense_in_it_sweeps_nothing() {
    for bad in ["error: no mom", "33.server,--force", "33;ls", "ä", "a"] {
        assert!(bad.parse::<LiveJobs>().is_err(), "{bad}");
    }
    assert_eq!(" ,\n".parse::<LiveJobs>(), Ok(LiveJobs::default()));
}

proptest! {
    #[test]
    fn no_labels_make_it_panic_and_none_but_the_jobs_own_go(
        name in 0usize..6, value in "\\PC{0,40}"
    ) {
        let names = [label::SESSION, label::TOKEN, label::JOB, label::CLUSTER, label::UID,
            label::DEADLINE];
        let it = container(&[(names[name], &value)]);
        if let Verdict::Goes(gone) = judge(&it, &job("33.server", Some(2001)), By::Root, NOW) {
            prop_assert_eq!(gone.uid, 2001);
            prop_assert_eq!(number_of(gone.job.as_str()), "33");
        }
    }
}
