//! The user's keys for a login.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use qdebug::process::Program;
use qdebug::ssh::Destination;

use crate::common::{Bench, block_on};

/// Which keys are for a login is what ssh itself would offer there.
#[test]
fn the_keys_for_a_login_are_those_of_its_configuration() {
    block_on(async {
        let bench = Bench::new().await;
        let [mine, held, other] = [
            bench.key_pair("mine").await,
            bench.key_pair("held").await,
            bench.key_pair("other").await,
        ];
        let socket = bench.path("agent");
        let agent = Program::new("ssh-agent").args(["-D", "-a"]).arg(&socket);
        let agent = agent.spawn_with(Stdio::null(), Stdio::null(), Stdio::null());
        let _agent = agent.unwrap();
        for name in ["held", "other"] {
            // Until it listens.
            for _ in 0..100 {
                let add = Program::new("ssh-add").arg("-q").arg(bench.path(name));
                if add
                    .env("SSH_AUTH_SOCK", &socket)
                    .output()
                    .await
                    .unwrap()
                    .status
                    == 0
                {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let at = bench.dir().display();
        let to: Destination = "keys".parse().unwrap();
        let keys = async |settings: &str| -> Vec<String> {
            let first = format!("Host keys\n{settings}");
            let client = bench.config(&[], "");
            let rest = fs::read_to_string(bench.path("config")).unwrap();
            let rest = rest.replace("IdentityFile", "# IdentityFile");
            fs::write(bench.path("config"), format!("{first}\n{rest}")).unwrap();
            let keys = client.keys_for(&to, bench.dir()).await;
            keys.iter().map(|key| key.key.to_string()).collect()
        };
        let agent = format!("IdentityAgent {at}/agent\n");
        let files = format!("IdentityFile {at}/mine\nIdentityFile {at}/held.pub\n");
        // A public half alone is of use where the agent has the other.
        let only = format!("{files}IdentitiesOnly yes\n");
        assert_eq!(keys(&format!("{agent}{only}")).await, [&mine[..], &held]);
        assert_eq!(
            keys(&format!("IdentityAgent none\n{only}")).await,
            [&mine[..]]
        );
        let all = keys(&format!("{agent}{files}IdentitiesOnly no\n")).await;
        assert_eq!(all, [mine, held, other]);
    });
}
