//! `qdebug setup`, by bob, who has no other part in these tests: all that it changes is put back.
//!
//! The cluster of containers has qdebug on all its hosts. So a second sshd of a node is the login
//! here, one that does not see it, reached by a host of bob's own ssh configuration.

use crate::host::{Host, Ran};

fn bob(host: Host, line: &str) -> Ran {
    host.run_as("bob", &["bash", "-c", line])
}

/// A login without qdebug, `fresh` to bob's laptop, and both of bob's homes as they were before.
struct Fresh;

impl Fresh {
    fn start() -> Self {
        for host in [Host::Laptop, Host::Login] {
            bob(host, "tar -cpf .kept.tar .ssh .bashrc").ok();
        }
        let fresh = Self;
        let sshd = "unshare -m sh -c 'mount --bind /dev/null /opt/qdebug/bin/qdebug && \
                    exec /usr/sbin/sshd -p 2222 -o PidFile=/run/qdebug-fresh.pid'";
        Host::Node1.root(sshd).ok();
        let host = "Host fresh\\n HostName node1\\n Port 2222\\n ProxyJump login\\n\
                    StrictHostKeyChecking accept-new\\n UserKnownHostsFile ~/.ssh/known_fresh\\n";
        bob(Host::Laptop, &format!("printf '{host}' >>.ssh/config")).ok();
        fresh
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // No `ok`: what fails here must not hide what failed before.
        bob(
            Host::Laptop,
            "for master in /run/user/2002/qdebug/*; do ssh -S \"$master\" -O exit none; done; \
             rm -rf .ssh .config/qdebug; tar -xpf .kept.tar; rm .kept.tar",
        );
        bob(
            Host::Login,
            "rm -rf .ssh .qdebug/setup .local/bin/qdebug* old own before; tar -xpf .kept.tar; \
             rm .kept.tar",
        );
        Host::Node1.root("kill $(cat /run/qdebug-fresh.pid)");
    }
}

/// An older qdebug on PATH, start files that print, a last line without an end, and a file that
/// others may write to.
const SPOIL: &str = "mkdir old && printf '#!/bin/sh\\necho qdebug 0.0.9\\n' >old/qdebug && \
                     chmod +x old/qdebug && \
                     sed -i '1i export PATH=$HOME/old:$PATH; echo noise; echo more >&2' .bashrc && \
                     sed -i '/bob@laptop$/d' .ssh/authorized_keys && \
                     printf %s '# no end' >>.ssh/authorized_keys && \
                     cp .ssh/authorized_keys before && chmod o+w .ssh/authorized_keys";

#[test]
fn a_cluster_is_made_ready_once_and_all_of_it_is_taken_back() {
    let _fresh = Fresh::start();
    let place = "/home/bob/.local/bin/qdebug";
    // The hop is opened by a key that is not let in any more afterwards, as one is that a person
    // has opened by a password.
    let all_but_qdebug = bob(Host::Laptop, "qdebug setup fresh --dry-run").ok();
    assert!(
        all_but_qdebug.err.contains("your key lets you in"),
        "{all_but_qdebug}"
    );
    bob(Host::Login, SPOIL).ok();

    let unasked = bob(Host::Laptop, "qdebug setup fresh --name lab");
    let words = ["chmod go-w ~/.ssh/authorized_keys", "0.0.9", "--yes"];
    unasked.fails(2, &words);
    bob(
        Host::Login,
        "cmp before .ssh/authorized_keys && [ ! -e .local/bin/qdebug ]",
    )
    .ok();

    // Something of bob's own is where the binary goes: it is kept, and is there again at the end.
    let own = format!(
        "mkdir -p .local/bin && printf '#!/bin/sh\\necho qdebug 0.0.8\\n' >{place} && \
         chmod 750 {place} && cp -p {place} own"
    );
    bob(Host::Login, &own).ok();
    let dry = bob(Host::Laptop, "qdebug setup fresh --dry-run").ok();
    let words = "what is there now is kept as ~/.local/bin/qdebug.before-setup";
    assert!(dry.err.contains(words), "{dry}");
    let setup = "qdebug setup fresh --name lab --yes --json";
    let made = bob(Host::Laptop, setup).ok();
    let answer = made.json();
    assert_eq!(answer["qdebug"], place, "{made}");
    assert_eq!(
        answer["changes"].as_array().map(Vec::len),
        Some(4),
        "{made}"
    );
    assert!(made.err.contains("your key lets you in"), "{made}");
    let sums = [
        bob(Host::Laptop, "sha256sum </usr/local/bin/qdebug").ok(),
        bob(Host::Login, &format!("sha256sum <{place}")).ok(),
    ];
    assert_eq!(sums[0].out, sums[1].out);
    let keys = "(cat before; echo; cat ~/key.pub) | cmp - .ssh/authorized_keys";
    let key = bob(Host::Laptop, "cat .ssh/id_ed25519.pub").ok();
    bob(
        Host::Login,
        &format!(
            "echo '{}' >key.pub; {keys}; s=$?; rm key.pub; exit $s",
            key.text()
        ),
    )
    .ok();
    let config = bob(Host::Laptop, "cat .config/qdebug/config.toml").ok();
    for line in ["default_cluster = \"lab\"", "login = \"fresh\"", place] {
        assert!(config.out.contains(line), "no {line} in {config}");
    }

    let again = bob(Host::Laptop, setup).ok();
    assert_eq!(
        again.json()["changes"].as_array().map(Vec::len),
        Some(0),
        "{again}"
    );
    assert!(again.err.contains("nothing to change"), "{again}");

    // An earlier build of this version, as an earlier setup has left it, is replaced.
    let version = env!("CARGO_PKG_VERSION");
    let older = format!(
        "printf '#!/bin/sh\\necho qdebug {version}\\n' >{place} && sum=$(sha256sum <{place}) && \
         sed -i \"s/^binary [0-9a-f]*/binary ${{sum%% *}}/\" .qdebug/setup && \
         grep -c '^laptop ' .qdebug/setup"
    );
    assert_eq!(bob(Host::Login, &older).ok().text(), "1");
    let anew = bob(Host::Laptop, setup).ok();
    assert_eq!(
        anew.json()["changes"].as_array().map(Vec::len),
        Some(1),
        "{anew}"
    );
    assert!(anew.err.contains("instead of an earlier build"), "{anew}");
    let sum = bob(Host::Login, &format!("sha256sum <{place}")).ok();
    assert_eq!(sum.out, sums[0].out);

    let taken = bob(Host::Laptop, "qdebug setup --remove --yes --json").ok();
    assert_eq!(taken.json()["left"], serde_json::json!([]), "{taken}");
    bob(
        Host::Login,
        &format!(
            "cmp own {place} && [ $(stat -c %a {place}) = 750 ] && [ ! -e .qdebug/setup ] && \
             [ $(ls .local/bin/qdebug* | wc -l) = 1 ] && (cat before; echo) | cmp - .ssh/authorized_keys"
        ),
    )
    .ok();
    let left = bob(Host::Laptop, "cat .config/qdebug/config.toml").ok();
    assert_eq!(left.out, "", "{left}");
}

#[test]
fn where_nothing_answers_nothing_is_changed() {
    let ran = Host::Laptop.run(&["qdebug", "setup", "alice@no-such-host", "--yes"]);
    ran.fails(6, &["no-such-host"]);
    Host::Laptop
        .run(&["qdebug", "setup", "-oProxyCommand=x", "--yes"])
        .fails(2, &[]);
    Host::Laptop
        .run(&["qdebug", "setup", "alice@login;id", "--yes"])
        .fails(2, &["host name"]);
    let dry = ["qdebug", "setup", "alice@login", "--dry-run", "--json"];
    let ran = Host::Laptop.run(&dry).ok();
    assert_eq!(ran.json()["qdebug"], "/usr/local/bin/qdebug", "{ran}");
}
