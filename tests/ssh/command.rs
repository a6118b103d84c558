//! Commands of the cluster's qdebug: found or missed, framed, answered, and told apart when they are not.

use std::path::Path;
use std::time::{Duration, Instant};

use qdebug::process::Program;
use qdebug::ssh::{Destination, Error, LoginShell, NoMasters, Prompt, Remote};

use crate::bench::{HELP, LIMIT, QDEBUG, TRUNK, entered, remote, without_masters};
use crate::common::{Bench, block_on, login};
use crate::support;

#[test]
fn a_remote_command_is_framed_against_noise_in_every_shell() {
    block_on(async {
        let mut bench = Bench::new().await;
        let qdebug = bench.fake_qdebug("it's a dir/qdebug");
        let args = ["status", "it's", "wow!", "$HOME", "a\\b", "ü", ""];
        let wanted = "<status>\n<it's>\n<wow!>\n<$HOME>\n<a\\b>\n<ü>\n<>\nfrom stdin";
        for shell in ["sh", "bash", "tcsh"] {
            if Program::new(shell)
                .args(["-c", "true"])
                .output()
                .await
                .is_err()
            {
                support::skip(&format!("no {shell} is installed"));
                continue;
            }
            let noise = format!(
                "ForceCommand printf 'Welcome!\\nquota \\033[1m'; {shell} -c \
                 \"$SSH_ORIGINAL_COMMAND\"; echo bye; echo noise >&2"
            );
            let (port, key) = bench.sshd(&format!("login-{shell}"), &noise).await;
            let name = format!("login-{shell}");
            let client = bench.config(&[(&name, port, &key)], "");
            let to: Destination = name.parse().unwrap();
            let remote = Remote::at(client, to, &qdebug, Prompt::Never).unwrap();
            let answer = remote
                .run(&args, Some(b"from stdin"), Duration::from_secs(20))
                .await
                .unwrap();
            assert_eq!((answer.status, &*answer.stdout), (3, wanted), "{shell}");
            assert!(answer.stderr.contains("oops"), "{shell}");
            assert!(
                remote
                    .run(&["a\nb"], None, Duration::from_secs(1))
                    .await
                    .is_err()
            );

            let mut streamed = Vec::new();
            let answer = remote
                .stream(&["x"], |piece| streamed.extend_from_slice(piece))
                .await
                .unwrap();
            assert_eq!((answer.status, streamed.as_slice()), (3, &b"<x>\n"[..]));
        }
    });
}

/// What start files have left running holds the streams, and the answer up no longer.
#[test]
fn what_a_start_file_leaves_running_holds_no_answer_up() {
    block_on(async {
        let mut bench = Bench::new().await;
        let qdebug = bench.fake_qdebug("qdebug");
        let force = "ForceCommand sleep 30 & exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
        let (port, key) = bench.sshd("login", force).await;
        let client = bench.config(&[("login", port, &key)], "");
        let remote = Remote::at(client, login(), &qdebug, Prompt::Never).unwrap();
        remote
            .run(&["x"], None, Duration::from_secs(20))
            .await
            .unwrap();
        let asked = Instant::now();
        let limit = Duration::from_secs(25);
        let answer = remote.run(&["x"], None, limit).await.unwrap();
        assert_eq!((answer.status, &*answer.stdout), (3, "<x>\n"));
        assert!(
            asked.elapsed() < Duration::from_secs(15),
            "{:?}",
            asked.elapsed()
        );
    });
}

#[test]
fn qdebug_is_found_on_the_cluster_or_missed_by_name() {
    block_on(async {
        let mut bench = Bench::new().await;
        let home = bench.path("home");
        let force = format!(
            "ForceCommand echo hi; HOME={} PATH=/usr/bin:/bin sh -c \"$SSH_ORIGINAL_COMMAND\"",
            home.display()
        );
        let (port, key) = bench.sshd("login", &force).await;
        let client = bench.config(&[("login", port, &key)], "");
        if !Path::new("/usr/local/bin/qdebug").exists() {
            let error = Remote::find(client.clone(), login(), Prompt::Never)
                .await
                .unwrap_err();
            assert!(matches!(error, Error::QdebugMissing { .. }), "{error:?}");
        }
        let path = bench.fake_qdebug("home/.local/bin/qdebug");
        let remote = Remote::find(client.clone(), login(), Prompt::Never)
            .await
            .unwrap();
        assert_eq!(remote.qdebug(), path);

        let limit = Duration::from_secs(20);
        let gone = Remote::at(client.clone(), login(), "/no/qdebug", Prompt::Never).unwrap();
        let error = gone.run(&["list"], None, limit).await.unwrap_err();
        assert!(matches!(error, Error::QdebugMissing { .. }), "{error:?}");
        let other = Remote::at(client.clone(), login(), "/bin/echo", Prompt::Never).unwrap();
        let error = other.run(&["list"], None, limit).await.unwrap_err();
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
        let slow = Remote::at(client, login(), "/bin/sleep", Prompt::Never).unwrap();
        let error = slow.run(&["list"], None, limit).await.unwrap_err();
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    });
}

#[test]
fn an_input_reaches_a_command_and_its_output_streams() {
    block_on(async {
        let (bench, client) = without_masters("").await;
        // A qdebug that relays as this one does, and whose other commands are a script.
        let fake = bench.fake_qdebug("bin/fake");
        let both = bench.script("both", &format!("{TRUNK}exec '{fake}' \"$@\"\n"));
        let remote = remote(&client, &both);
        let answer = remote.run(&["a b", "it's"], Some(b"in\n"), LIMIT).await;
        let answer = answer.unwrap();
        assert_eq!(answer.stdout, "<a b>\n<it's>\nin\n");
        assert_eq!((answer.status, &*answer.stderr), (3, "oops\n"));
        let whole = remote.run_whole(&["x"], b"in\n", LIMIT).await.unwrap();
        assert_eq!((whole.status, &*whole.stdout), (3, "<x>\nin\n"));
        let mut streamed = Vec::new();
        let take = |piece: &[u8]| streamed.extend_from_slice(piece);
        let answer = remote.stream(&["y"], take).await.unwrap();
        assert_eq!((answer.status, &*streamed), (3, &b"<y>\n"[..]));
        assert_eq!(entered(&bench), 1);
    });
}

#[test]
fn a_qdebug_that_is_missing_or_too_old_is_told_as_such() {
    block_on(async {
        let (bench, client) = without_masters("").await;
        let missing = bench.path("no such qdebug");
        let missing = remote(&client, missing.to_str().unwrap());
        let error = missing.run(&["list"], None, LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::QdebugMissing { .. }), "{error:?}");
        // As clap ends on a command that it does not know.
        let old = bench.script("old", "echo 'unrecognized subcommand' >&2\nexit 2\n");
        let old = remote(&client, &old);
        let error = old.run(&["list"], None, LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::Outdated { .. }), "{error:?}");
        // A relay of another version is refused by the other side itself.
        let words = ["trunk", "--mark", "0123456789", "--protocol", "4000000000"];
        let refused = Program::new(QDEBUG).args(words).output().await.unwrap();
        assert_eq!((refused.status, &*refused.stdout), (11, ""), "{refused:?}");
        assert!(refused.stderr.contains("4000000000"), "{refused:?}");
    });
}

#[test]
fn noise_of_start_files_does_no_harm() {
    block_on(async {
        let (bench, client) = without_masters(&format!(
            "ForceCommand echo Welcome; echo qdebug-frame-00 begin; exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n\
             SetEnv PATH={}:/usr/bin:/bin",
            Path::new(QDEBUG).parent().unwrap().display()
        ))
        .await;
        let found = Remote::find(client, login(), Prompt::Never).await.unwrap();
        assert_eq!(found.qdebug(), QDEBUG);
        let answer = found.run(&HELP, None, LIMIT).await.unwrap();
        assert!(answer.stdout.contains("130"), "{answer:?}");
        assert_eq!(entered(&bench), 1);
    });
}

/// Whatever a cluster sends, a laptop's memory does not fill with it.
#[test]
fn an_answer_has_a_bound() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let flood = "hex=$2\necho \"qdebug-frame-$hex begin\"\n\
                     head -c 17000000 /dev/zero | tr '\\0' a\necho\necho \"qdebug-frame-$hex end 0\"\n";
        let flood = bench.script("flood", &format!("{TRUNK}{flood}"));
        let client = bench.config(&[("login", port, &key)], "");
        let trunk = client.clone().without_masters(NoMasters::Anywhere);
        for client in [client, trunk.clone()] {
            let error = remote(&client, &flood).run(&["x"], None, LIMIT).await;
            let told = error.unwrap_err().to_string();
            assert!(told.contains("more than 16777216 bytes"), "{told}");
        }
        // The same of a script where there is no qdebug yet: by a client that has none there.
        let alone = bench.config(&[("login", port, &key)], "");
        let alone = alone.without_masters(NoMasters::Anywhere);
        let shell = LoginShell::new(alone, login(), Prompt::Never).unwrap();
        let script = "head -c 17000000 /dev/zero; finish 0";
        shell.run(script, &[]).await.unwrap_err();
    });
}

#[test]
fn what_was_not_begun_has_done_nothing_and_harms_no_other() {
    block_on(async {
        let (bench, client) = without_masters("").await;
        // Longer than what is asked for at once.
        let long = "x".repeat(40_000);
        let qdebug = remote(&client, QDEBUG);
        let error = qdebug.run_whole(&[&long], b"", LIMIT).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotBegun { detail, .. } if detail.contains("too long")),
            "{error:?}"
        );
        assert!(!error.is_of_the_way());
        assert_eq!(qdebug.run(&HELP, None, LIMIT).await.unwrap().status, 0);
        assert_eq!(entered(&bench), 1);
        // Refused by the far side, here by a relay that runs nothing.
        let line = format!("exec '{QDEBUG}' --frame \"$3\" relay 1\n");
        let (other, client) = without_masters("").await;
        let closed = other.script("closed", &line);
        let error = remote(&client, &closed).run(&HELP, None, LIMIT).await;
        assert!(matches!(error, Err(Error::NotBegun { .. })), "{error:?}");
    });
}
