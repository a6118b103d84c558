//! How sessions end, or never begin, and that nothing is left of them.

use std::process::Command;
use std::time::{Duration, Instant};

use qdebug::session::{EndReason, ImageSource, Phase, Request};

use crate::trial::Trial;

#[test]
fn the_schedulers_signal_ends_it_within_its_grace() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    trial.ready();
    trial.signal("TERM");
    let began = Instant::now();
    let phase = trial.wait_for(5, Phase::is_final);
    eprintln!("ended {:?} after the signal", began.elapsed());
    assert!(
        matches!(
            phase,
            Phase::Ended {
                reason: EndReason::CancelledByScheduler,
                ..
            }
        ),
        "{phase:?}"
    );
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

#[test]
fn the_walltime_ends_it() {
    let Some(mut trial) = Trial::new(|request| request.walltime_seconds = 5) else {
        return;
    };
    trial.ready();
    let phase = trial.wait_for(15, Phase::is_final);
    assert!(
        matches!(
            phase,
            Phase::Ended {
                reason: EndReason::Walltime,
                ..
            }
        ),
        "{phase:?}"
    );
    assert_eq!(trial.containers(), 0);
}

#[test]
fn a_killed_node_half_takes_its_container_along_and_the_next_one_sweeps() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    trial.ready();
    trial.signal("KILL");
    let began = Instant::now();
    trial.assert_gone_within(5);
    eprintln!("gone {:?} after the kill", began.elapsed());
    assert_eq!(trial.leftovers(), 1);
    assert_eq!(trial.phase(), Some(Phase::Ready));

    let Some(mut next) = Trial::new(|_| ()) else {
        return;
    };
    next.node_dir = trial.node_dir.clone();
    next.ready();
    assert_eq!(next.leftovers(), 1, "only its own");
}

#[test]
fn a_signal_in_the_middle_of_launching_leaves_nothing() {
    for after in [50, 150, 250, 350, 450] {
        let Some(mut trial) = Trial::new(|_| ()) else {
            return;
        };
        trial.start();
        trial.wait_for(20, |_| true);
        std::thread::sleep(Duration::from_millis(after));
        trial.signal("TERM");
        let phase = trial.wait_for(10, Phase::is_final);
        assert!(matches!(phase, Phase::Ended { .. }), "{after}: {phase:?}");
        assert_eq!((trial.containers(), trial.leftovers()), (0, 0), "{after}");
    }
}

#[test]
fn a_container_that_is_removed_from_outside_ends_the_session() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    let details = trial.ready();
    let removed = Command::new("docker")
        .args(["rm", "-f", &details.container])
        .output();
    assert!(removed.unwrap().status.success());
    let phase = trial.wait_for(5, Phase::is_final);
    assert!(
        matches!(
            phase,
            Phase::Ended {
                reason: EndReason::ContainerExited { .. },
                ..
            }
        ),
        "{phase:?}"
    );
}

#[test]
fn what_cannot_be_is_said_and_leaves_nothing() {
    let change: [fn(&mut Request); 3] = [
        |request| {
            request.image = ImageSource::Reference {
                reference: "localhost:1/no/such".into(),
            };
        },
        |request| request.project = "/no such/project".into(),
        |request| {
            request.gpu = Some(qdebug::session::GpuRequest {
                kind: "V100".into(),
                count: 1,
                pattern: None,
                allow_busy: false,
            });
        },
    ];
    let words = ["localhost:1/no/such", "/no such/project", "1 x V100"];
    for (change, word) in change.into_iter().zip(words) {
        let Some(mut trial) = Trial::new(change) else {
            return;
        };
        trial.start();
        let phase = trial.wait_for(30, Phase::is_final);
        let Phase::Failed { error, hint, code } = &phase else {
            panic!("{word}: {phase:?}");
        };
        assert!(error.contains(word), "{error}");
        assert_eq!((hint.as_deref(), *code), (Some("a hint"), Some(7)));
        assert_eq!((trial.containers(), trial.leftovers()), (0, 0), "{word}");
    }
}
