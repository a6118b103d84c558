//! Sessions that are ready: who enters, by which sshd, and into what image.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use qdebug::session::{EndReason, ImageSource, Phase, Request, Sshd, Stop};

use crate::trial::{Trial, UID, give, make_key, other_image};

#[test]
fn a_session_is_ready_entered_and_stopped() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    let began = Instant::now();
    let details = trial.ready();
    eprintln!("ready after {:?}", began.elapsed());
    assert_eq!(trial.containers(), 1);
    let (well, said) = trial.ssh(
        &details,
        &trial.key,
        "id -u; pwd; echo \"$ODD\"; echo $SLURM_JOB_ID; echo [$PBS_JOBCOOKIE]; touch 'a file'; \
         grep CapEff /proc/self/status",
    );
    assert!(well, "{said}");
    let home = trial.home.display();
    assert_eq!(
        said,
        format!("2001\n{home}\na 'b' \"c\" $d é\n33\n[]\nCapEff:\t0000000000000000\n")
    );
    assert_eq!(trial.home.join("a file").metadata().unwrap().uid(), UID);

    // A key that comes later enters, too.
    let late = trial.key.with_file_name("late");
    let public = make_key(&late);
    assert!(!trial.ssh(&details, &late, "true").0);
    trial.session.write_keys(&[public]).unwrap();
    give(&trial.session.authorized_keys_path());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !trial.ssh(&details, &late, "true").0 {
        assert!(Instant::now() < deadline, "the late key does not enter");
        std::thread::sleep(Duration::from_millis(200));
    }

    let stop = Stop {
        token: trial.request.token.clone(),
        by: "alice@login".into(),
        at: jiff::Timestamp::now(),
    };
    trial.session.write_stop(&stop).unwrap();
    give(&trial.session.path().join("stop.json"));
    let asked = Instant::now();
    let phase = trial.wait_for(15, Phase::is_final);
    eprintln!("stopped after {:?}", asked.elapsed());
    let by = "alice@login".to_owned();
    assert!(
        matches!(&phase, Phase::Ended { reason, .. } if *reason == EndReason::Stopped { by }),
        "{phase:?}"
    );
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

#[test]
fn a_bare_image_gives_a_shell_and_says_what_an_ide_misses() {
    let Some(bare) = other_image("QDEBUG_TEST_BARE_IMAGE", "qdebug/busybox") else {
        return;
    };
    let change = |request: &mut Request| request.image = ImageSource::Reference { reference: bare };
    let Some(mut trial) = Trial::new(change) else {
        return;
    };
    let details = trial.ready();
    let (well, said) = trial.ssh(
        &details,
        &trial.key,
        "echo $0 && id -un && scp 2>&1 | head -n 1",
    );
    assert!(
        well && said.contains("user2001") && said.contains("scp"),
        "{said}"
    );
    for word in ["bash", "python3"] {
        let told = details.notices.iter().any(|notice| notice.contains(word));
        assert!(told, "{word}: {:?}", details.notices);
    }
}

#[test]
fn the_images_own_sshd_serves_where_that_is_asked_for() {
    let Some(image) = other_image("QDEBUG_TEST_SSHD_IMAGE", "qdebug-cluster:bookworm") else {
        return;
    };
    let change = |request: &mut Request| {
        request.sshd = Sshd::Image;
        request.image = ImageSource::Reference { reference: image };
    };
    let Some(mut trial) = Trial::new(change) else {
        return;
    };
    let details = trial.ready();
    let (well, said) = trial.ssh(&details, &trial.key, "echo \"$ODD\"; cat /proc/1/comm");
    assert!(well, "{said}");
    assert_eq!(said, "a 'b' \"c\" $d é\ninit\n");
    trial.signal("KILL");
    trial.assert_gone_within(5);

    // An image without one is refused, and nothing is left.
    let Some(mut none) = Trial::new(|request| request.sshd = Sshd::Image) else {
        return;
    };
    none.start();
    let phase = none.wait_for(30, Phase::is_final);
    assert!(
        matches!(&phase, Phase::Failed { error, .. } if error.contains("no sshd")),
        "{phase:?}"
    );
    assert_eq!((none.containers(), none.leftovers()), (0, 0));
}

#[test]
fn root_gets_a_session_too() {
    let Some(trial) = Trial::new(|_| ()) else {
        return;
    };
    let mut trial = trial.owned_by_root();
    let details = trial.ready();
    let (well, said) = trial.ssh(&details, &trial.key, "id -un; touch 'a file' && echo made");
    assert!(well, "{said}");
    assert_eq!((details.user.as_str(), &*said), ("root", "root\nmade\n"));
}
