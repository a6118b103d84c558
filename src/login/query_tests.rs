//! Jobs whose ids come again, and questions without an answer, in every dialect.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::scheduler::{Error as Refusal, OpenPbs, Scheduler, Slurm, Torque};
use crate::session::{Request, Standing, samples};

/// A scheduler of shell scripts with one running job of the id [`Fake::id`] and the name in the
/// file `name`. It does not answer for jobs where there is a file `mute`; deletions are noted in
/// `deleted`.
struct Fake {
    home: tempfile::TempDir,
    kind: &'static str,
    id: &'static str,
}

const SCONTROL: &str = "echo 'ClusterName = cluster'";
const SQUEUE: &str =
    "[ -e mute ] && { echo 'error: Unable to contact slurm controller' >&2; exit 1; }
    state=RUNNING; [ -e deleted ] && state=COMPLETING
    case \"$*\" in *name=*) exit 0;; esac
    echo \"7|$state|None|N/A|node1|N/A|0:0|$(cat name)|\"";
const OPENPBS: &str = "case \"$*\" in
    *-B*) echo '{\"Server\":{\"cluster\":{}}}';;
    *) [ -e mute ] && { echo 'qstat: cannot connect to server cluster (errno=15010)' >&2; exit 162; }
    echo \"{\\\"Jobs\\\":{\\\"7.cluster\\\":{\\\"job_state\\\":\\\"R\\\",\\\"Job_Name\\\":\\\"$(cat name)\\\"}}}\";;
    esac";
const TORQUE: &str = "case \"$*\" in
    *-B*) echo 'Server: cluster';;
    *) [ -e mute ] && { echo 'qstat: cannot connect to server cluster (errno=111)' >&2; exit 111; }
    echo \"<Data><Job><Job_Id>7.cluster</Job_Id><Job_Name>$(cat name)</Job_Name><job_state>R</job_state></Job></Data>\";;
    esac";
const DELETE: &str = "echo \"$*\" >>deleted";

impl Fake {
    fn all() -> [Self; 3] {
        let of = |kind, id, tools: &[(&str, &str)]| {
            let home = tempfile::tempdir().unwrap();
            for (tool, body) in tools {
                let path = home.path().join(tool);
                let script =
                    format!("#!/bin/sh\ncd \"${{0%/*}}\" || exit 1\necho {tool} >>log\n{body}\n");
                fs::write(&path, script).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            }
            Self { home, kind, id }
        };
        [
            of(
                "slurm",
                "7",
                &[
                    ("scontrol", SCONTROL),
                    ("squeue", SQUEUE),
                    ("sacct", "exit 1"),
                    ("scancel", DELETE),
                ],
            ),
            of(
                "openpbs",
                "7.cluster",
                &[("qstat", OPENPBS), ("qdel", DELETE)],
            ),
            of(
                "torque",
                "7.cluster",
                &[("qstat", TORQUE), ("qdel", DELETE)],
            ),
        ]
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// A session with that job, submitted just now.
    async fn session(&self) -> (Login, Request, SessionDir) {
        let folder = self.path().to_owned();
        let scheduler = match self.kind {
            "slurm" => Scheduler::Slurm(Slurm::in_folder(folder)),
            "openpbs" => Scheduler::OpenPbs(OpenPbs::in_folder(folder)),
            _ => Scheduler::Torque(Torque::in_folder(folder)),
        };
        let login = Login::new(self.path(), scheduler, Vec::new()).await;
        let mut request = samples::request("otter");
        request.cluster.scheduler = self.kind.to_owned();
        request.created = Timestamp::now();
        let session = login.store.create(&request).unwrap();
        session.write_job(&samples::job(&request, self.id)).unwrap();
        (login, request, session)
    }

    fn named(&self, name: &str) {
        fs::write(self.path().join("name"), name).unwrap();
    }

    fn mute(&self) {
        fs::write(self.path().join("mute"), "").unwrap();
    }

    fn has_deleted(&self) -> bool {
        self.path().join("deleted").exists()
    }

    /// How often a tool has run.
    fn calls(&self) -> usize {
        let log = fs::read_to_string(self.path().join("log"));
        log.unwrap_or_default().lines().count()
    }
}

#[tokio::test]
async fn a_job_of_the_same_id_and_another_name_is_anothers() {
    for fake in Fake::all() {
        let kind = fake.kind;
        let (login, _, _) = fake.session().await;
        fake.named("hello");
        let status = login.status("otter").await.unwrap();
        assert_eq!(status.state, Standing::Unknown, "{kind}: {status:?}");
        login.stop("otter", "me").await.unwrap();
        assert!(!fake.has_deleted(), "{kind}");
        fake.named("qdebug-otter");
        let status = login.status("otter").await.unwrap();
        assert_eq!(status.state, Standing::Starting, "{kind}: {status:?}");
        login.stop("otter", "me").await.unwrap();
        assert!(fake.has_deleted(), "{kind}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_not_deleted_unseen() {
    for fake in Fake::all() {
        let kind = fake.kind;
        let (login, _, session) = fake.session().await;
        fake.mute();
        // Its scheduler does not answer; nor can its own word be read.
        for damaged in [false, true] {
            if damaged {
                fs::write(session.path().join("state.json"), "{").unwrap();
            }
            let error = login.stop("otter", "me").await.unwrap_err();
            assert!(
                matches!(error, Error::Scheduler(Refusal::Unreachable { .. })),
                "{kind}: {error:?}"
            );
            assert!(!fake.has_deleted(), "{kind}");
            // The node half is told all the same.
            assert!(session.stop().unwrap().is_some(), "{kind}");
        }
    }
}

/// An hour and more ago.
fn old(request: &Request, name: &str) -> Request {
    Request {
        name: name.parse().unwrap(),
        token: samples::request(name).token,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        ..request.clone()
    }
}

#[tokio::test]
async fn what_nobody_knows_any_more_is_not_asked_for_for_ever() {
    let [fake, _, _] = Fake::all();
    let (login, request, fresh) = fake.session().await;
    fake.named("hello");
    // One whose submit died, and one whose job's id is another's by now.
    let never = old(&request, "newt");
    let never = login.store.create(&never).unwrap();
    let forgotten = old(&request, "toad");
    let job = samples::job(&forgotten, "7");
    let forgotten = login.store.create(&forgotten).unwrap();
    forgotten.write_job(&job).unwrap();
    // Written long before the first list: of the same moment as its conclusion it would count.
    let written = std::time::SystemTime::now() - Duration::from_secs(7200);
    let times = fs::FileTimes::new().set_modified(written);
    let file = fs::File::open(forgotten.path().join("job.json")).unwrap();
    file.set_times(times).unwrap();
    login.store.discard(&fresh).unwrap();
    let listed = async || {
        let before = fake.calls();
        let (statuses, unreadable) = login.statuses(true).await.unwrap();
        assert!(unreadable.is_empty(), "{unreadable:?}");
        let told = statuses.into_iter().map(|status| {
            let told = (status.state, status.reason, status.hint);
            (status.name.to_string(), told)
        });
        (told.collect::<BTreeMap<_, _>>(), fake.calls() - before)
    };
    let (first, calls) = listed().await;
    assert!(calls > 0);
    assert_eq!(first["newt"].0, Standing::Failed, "{first:?}");
    assert_eq!(first["toad"].0, Standing::Ended, "{first:?}");
    let (second, calls) = listed().await;
    assert_eq!(
        (&second, calls),
        (&first, 0),
        "told alike, and nobody is asked"
    );
    // Nobody said so: the node half need not obey.
    assert!(never.end().unwrap().is_none() && forgotten.end().unwrap().is_none());
    // One alone is asked for anew, and so is one that something was heard of.
    let before = fake.calls();
    login.status("toad").await.unwrap();
    assert!(fake.calls() > before);
    fake.named("qdebug-toad");
    forgotten.write_job(&job).unwrap();
    let (third, calls) = listed().await;
    assert!(calls > 0);
    assert_eq!(third["toad"].0, Standing::Starting, "{third:?}");
    assert_eq!(third["newt"], first["newt"]);
}
