//! `connect --ide`: an IDE on the laptop that connects as VS Code does, and its files afterwards.

use crate::host::Host;
use crate::session::Session;

/// VS Code's way: one ssh with a dynamic forwarding and a script on stdin, which starts a server there
/// and tells its port, then many channels to that through the SOCKS port. The argv is noted.
const CODE: &str = r#"#!/bin/bash
here=$(dirname "$0")
[ "$1" != --list-extensions ] || { echo ms-vscode-remote.remote-ssh; exit; }
printf '%s\n' "$@" >"$here/argv"
exec >"$here/log" 2>&1
host=${2#ssh-remote+}
socks=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'cd "%s" && echo "shell in $PWD" && exec timeout 60 python3 -um http.server --bind 127.0.0.1 0\n' \
    "$3" | ssh -T -D "127.0.0.1:$socks" "$host" bash >"$here/shell" &
for try in $(seq 600); do
    there=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$here/shell")
    [ -z "$there" ] || break
    sleep 0.1
done
python3 - "$socks" "$there" >"$here/channels" <<'END'
import socket, struct, sys
socks, there = map(int, sys.argv[1:])
def channel():
    one = socket.create_connection(("127.0.0.1", socks), 60)
    one.sendall(b"\5\1\0")
    assert one.recv(2) == b"\5\0"
    one.sendall(b"\5\1\0\1" + socket.inet_aton("127.0.0.1") + struct.pack(">H", there))
    assert one.recv(10)[1] == 0
    return one
channels = [channel() for _ in range(40)]
for one in channels:
    one.sendall(b"GET / HTTP/1.0\r\n\r\n")
print(sum(b" 200 " in one.recv(100) for one in channels))
END
kill $!
echo over >"$here/ended"
"#;

/// A folder of the test's own on the laptop, gone with the test.
struct Desk;

impl Desk {
    fn new() -> Self {
        let desk = Self;
        desk.remove();
        let line = format!(
            "mkdir -p ide-test/bin .config/Code/User && \
             cat >ide-test/bin/code <<'CODE'\n{CODE}CODE\n\
             chmod 755 ide-test/bin/code && \
             printf '{{\\n  // mine\\n  \"a\": 1,\\n}}' >.config/Code/User/settings.json"
        );
        Host::Laptop.sh(&line).ok();
        desk
    }

    fn remove(&self) {
        Host::Laptop.sh("qdebug ide clean ide-test; rm -rf ide-test .config/Code");
    }

    /// What lies in VS Code's folder, byte for byte.
    fn files(&self) -> String {
        let line = "cd .config/Code && find . | sort && find . -type f -exec sha256sum {} +";
        Host::Laptop.sh(line).ok().out
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn vs_code_connects_its_way_and_leaves_no_trace() {
    let desk = Desk::new();
    let before = desk.files();
    let words = ["-g", "none", "-w", "10m", "-i", "qdebug/demo"];
    let _session = Session::ready("ide-test", &words);
    let connect = "PATH=~/ide-test/bin:$PATH \
                   qdebug connect ide-test --on alice@login --yes --detach --ide";
    let opened = Host::Laptop.sh(&format!("{connect} code")).ok();
    assert!(opened.err.contains("VS Code is opened"), "{opened}");
    let over = "for try in $(seq 600); do [ -e ide-test/bin/ended ] && break; sleep 0.1; done; \
                cat ide-test/bin/log >&2; cd ide-test/bin && cat argv && head -n 1 shell && cat channels";
    let over = Host::Laptop.sh(over).ok();
    assert_eq!(
        over.out, "--remote\nssh-remote+qdebug-ide-test\n/home/alice\nshell in /home/alice\n40\n",
        "{over}"
    );
    assert_ne!(desk.files(), before);
    let listed = Host::Laptop.run(&["qdebug", "ide", "list"]).ok();
    let row = listed
        .out
        .lines()
        .find(|line| line.starts_with("ide-test "));
    assert!(row.is_some_and(|row| row.contains("settings")), "{listed}");

    // An IDE that is not there hinders nothing.
    let missing = Host::Laptop.sh(&format!("{connect} cursor")).ok();
    for word in ["Cursor is not installed", "https://cursor.com"] {
        assert!(missing.err.contains(word), "{word}: {missing}");
    }
    let cleaned = Host::Laptop
        .run(&["qdebug", "ide", "clean", "ide-test"])
        .ok();
    assert!(cleaned.err.contains("as it was before"), "{cleaned}");
    assert_eq!(desk.files(), before);
}

/// pydevd dials the IDE, which listens on the laptop: what the program in the session connects to on its
/// own loopback comes out there.
#[test]
fn a_program_reaches_the_debugger_that_listens_on_the_laptop() {
    let words = ["-g", "none", "-w", "10m", "-i", "qdebug/demo"];
    let _session = Session::ready("ide-back", &words);
    let dial = "import socket\n\
                socket.create_connection(('localhost', 18679), 10).sendall(b'501 1 0.1')\n";
    let ran = Host::Laptop.sh(&format!(
        "cat >ide-back.py <<'END'\n{dial}END
         python3 - >ide-back.heard <<'END' & heard=$!
import socket
listener = socket.create_server(('127.0.0.1', 18678))
listener.settimeout(90)
print(listener.accept()[0].recv(100).decode())
END
         qdebug connect ide-back --on alice@login --yes -R 127.0.0.1:18679:127.0.0.1:18678 \
             >/dev/null 2>ide-back.told & connect=$!
         for try in $(seq 300); do
             ssh -o BatchMode=yes qdebug-ide-back python3 - <ide-back.py && break
             sleep 0.2
         done 2>/dev/null
         wait $heard
         kill -INT $connect; wait $connect
         cat ide-back.heard; cat ide-back.told >&2; rm -f ide-back.*"
    ));
    assert_eq!(ran.text(), "501 1 0.1", "{ran}");
}
