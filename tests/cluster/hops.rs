//! The hop to login as sites and users have it: a second factor, the user's own ssh configuration,
//! the user's own master.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::host::{Host, Ran, within};
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/busybox"];
const PERSON: &str = include_str!("person.py");

/// There is one such sshd at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A second sshd of the login node that asks for a password and then for a one-time code, and takes
/// no key.
pub(crate) struct SecondFactor {
    _alone: MutexGuard<'static, ()>,
}

impl SecondFactor {
    pub(crate) const PORT: u16 = 2230;
    pub(crate) const NAME: &str = "alice@login:2230";

    #[track_caller]
    pub(crate) fn open() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = Self { _alone: alone };
        // PAM's own name for an sshd is that of its program. Debian has no other module than
        // pam_userdb that asks again when a password is known: it finds nobody, and only asks.
        let line = r#"set -e
            rm -rf /opt/factor; mkdir -p /opt/factor; cd /opt/factor
            printf 'open sesame' >password; echo 314159 >codes; : >asked
            printf '%s\n' '#!/bin/sh' 'echo password >>/opt/factor/asked' \
                '[ "$(tr -d "\000")" = "$(cat /opt/factor/password)" ]' >first
            printf '%s\n' '#!/bin/sh' 'echo code >>/opt/factor/asked' \
                'code=$(tr -d "\000"); grep -qx "$code" /opt/factor/codes || exit 1' \
                'sed -i "/^$code\$/d" /opt/factor/codes' >second
            chmod 755 first second
            ln -sf /usr/sbin/sshd sshd-factor
            printf '%s\n' 'auth required pam_exec.so quiet expose_authtok /opt/factor/first' \
                'auth [default=ignore] pam_userdb.so db=/opt/factor/nobody' \
                'auth required pam_exec.so quiet expose_authtok /opt/factor/second' \
                'auth required pam_permit.so' 'account required pam_permit.so' \
                'session required pam_permit.so' >/etc/pam.d/sshd-factor
            /opt/factor/sshd-factor -p 2230 -o PidFile=/run/sshd-2230.pid -o UsePAM=yes \
                -o KbdInteractiveAuthentication=yes -o AuthenticationMethods=keyboard-interactive"#;
        Host::Login.root(line).ok();
        let known = format!("ssh-keyscan -p {} login >> .ssh/known_hosts", Self::PORT);
        let read = || match Host::Laptop.sh(&known) {
            ran if ran.code == 0 && ran.err.contains("SSH-2.0") => Ok(()),
            ran => Err(ran.to_string()),
        };
        within(Duration::from_secs(20), "its key is read", read);
        opened
    }

    /// What anybody was asked, in order.
    pub(crate) fn asked() -> String {
        let asked = Host::Login.root("xargs </opt/factor/asked").ok();
        asked.text().to_owned()
    }

    /// Ends what it carries, so that all who come need to be asked again.
    fn forget() {
        Host::Login
            .root("pkill -P $(cat /run/sshd-2230.pid); true")
            .ok();
    }
}

impl Drop for SecondFactor {
    fn drop(&mut self) {
        Host::Login.root(
            "pkill -P $(cat /run/sshd-2230.pid); kill $(cat /run/sshd-2230.pid)
             rm -rf /opt/factor /etc/pam.d/sshd-factor",
        );
    }
}

#[test]
fn a_second_factor_is_asked_for_once() {
    let _door = SecondFactor::open();
    let session = Session::ready("hop-factor", &SMALL);
    let on = SecondFactor::NAME;
    let connect = [
        "qdebug",
        "connect",
        "hop-factor",
        "--on",
        on,
        "--yes",
        "--detach",
    ];
    // Without a terminal nobody is asked, and told what to do.
    Host::Laptop.run(&connect).fails(
        6,
        &[
            "Permission denied",
            "in a terminal you can be asked for a password or code",
        ],
    );
    assert_eq!(SecondFactor::asked(), "");

    let person = [
        &["python3", "-c", PERSON, "open sesame,314159"],
        &connect[..],
    ]
    .concat();
    let ran = Host::Laptop.run(&person).ok();
    assert!(ran.out.contains("asked 2 times"), "{ran}");
    assert_eq!(SecondFactor::asked(), "password code");

    // All the rest has no terminal, and the code is used up.
    let line = "set -e; cd \"$(mktemp -d)\"
         for n in $(seq 10); do ssh qdebug-hop-factor \"sleep 1; echo $n\" & done | sort -n | xargs
         head -c 5000000 /dev/urandom >big; scp -q -O big qdebug-hop-factor:hop-big
         scp -q -O qdebug-hop-factor:hop-big back; cmp big back; ssh qdebug-hop-factor rm hop-big";
    let ran = Host::Laptop.sh(line).ok();
    assert_eq!(ran.text(), "1 2 3 4 5 6 7 8 9 10");
    let status = ["qdebug", "status", "--json", "hop-factor", "--on", on];
    assert_eq!(Host::Laptop.run(&status).ok().json()["state"], "ready");
    Host::Laptop.run(&connect).ok();
    assert_eq!(SecondFactor::asked(), "password code");

    SecondFactor::forget();
    let refused = || match session.ssh(&["true"]) {
        ran if ran.err.contains("run: qdebug connect hop-factor") => Ok(()),
        ran => Err(ran.to_string()),
    };
    within(Duration::from_secs(20), "the way back is told", refused);
    assert_eq!(SecondFactor::asked(), "password code");
}

/// What a user's ssh configuration says, until this is dropped.
struct Configured;

impl Configured {
    const BEGIN: &str = "# of the test of hops";

    /// A login that only the user's own configuration leads to: by another name, another key's file,
    /// and through another host.
    #[track_caller]
    fn far() -> Self {
        let configured = Self;
        let line = format!(
            "set -e; cd .ssh; touch hop-far.here
             printf '%s\n' 'Match originalhost far-login exec \"test -e /home/alice/.ssh/hop-far.here\"' \
                 '  HostName node1' '  User alice' '  HostKeyAlias node1' '  ProxyJump alice@login' \
                 '  UserKnownHostsFile /home/alice/.ssh/hop-far.known' \
                 '  ControlPath /home/alice/.ssh/hop-far.%C' >hop-far.conf
             printf '%s\n' '{}' 'Match all' 'Include hop-far.conf' >>config",
            Self::BEGIN
        );
        let key = Host::Login
            .sh("grep '^node1 ' /home/.cluster/ssh_known_hosts")
            .ok();
        let known = format!("echo '{}' >.ssh/hop-far.known", key.text());
        Host::Laptop.sh(&known).ok();
        Host::Laptop.sh(&line).ok();
        configured
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        let line = format!(
            "cd .ssh; ssh -O exit far-login; rm -f hop-far.*
             sed -i '/^{}$/,+2d' config",
            Self::BEGIN
        );
        Host::Laptop.sh(&line);
    }
}

fn own_master(word: &str) -> Ran {
    Host::Laptop.sh(&format!("ssh -O {word} far-login"))
}

#[test]
fn the_users_own_configuration_and_master_lead_to_login() {
    let configured = Configured::far();
    let session = Session::ready("hop-far", &SMALL);
    let on = "alice@far-login";
    Host::Laptop
        .sh("ssh -o ProxyJump=none -o ConnectTimeout=5 far-login true")
        .fails(255, &[]);
    let connect = ["qdebug", "connect", "hop-far", "--on", on, "--yes"];
    let detached = [&connect[..], &["--detach"]].concat();
    Host::Laptop.run(&detached).ok();
    assert_eq!(session.ssh(&["hostname"]).ok().text(), "hop-far");

    // A master of the user's own, which the user's configuration names, is used and left alone. By
    // this name of the same login there is none of ours.
    Host::Laptop.sh("ssh -M -N -f far-login").ok();
    let same = "alice@far-login:22";
    let status = ["qdebug", "-vv", "status", "hop-far", "--on", same];
    let ran = Host::Laptop.run(&status).ok();
    assert!(ran.err.contains("running on the cluster"), "{ran}");
    assert!(!ran.err.contains("master opened"), "{ran}");
    own_master("check").ok();
    drop(configured);
}
