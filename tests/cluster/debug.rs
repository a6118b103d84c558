//! `qdebug debug`: a program of the session under debugpy, and a debugger on the laptop.

use std::time::Duration;

use crate::host::{Host, Ran, within};
use crate::session::Session;

/// The client that hits a breakpoint, as the quickstart has it.
const CLIENT: &str = include_str!("../../examples/breakpoint.py");

/// An IDE whose debug server the program dials.
const PYDEVD_IDE: &str = include_str!("pydevd_ide.py");

/// How long a program may take to start or end on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Folders of a test's own on the laptop and in alice's home of the cluster, gone with the test.
struct Folders(&'static str);

impl Folders {
    fn new(name: &'static str, program: &str) -> Self {
        let folders = Self(name);
        folders.remove();
        Host::Login
            .sh(&format!(
                "mkdir -p {name} && cat > '{name}/my train.py' <<'END'\n{program}END"
            ))
            .ok();
        Host::Laptop
            .sh(&format!(
                "mkdir -p {name} && cat > {name}/client.py <<'END'\n{CLIENT}\nEND"
            ))
            .ok();
        folders
    }

    fn remove(&self) {
        for host in [Host::Login, Host::Laptop] {
            host.sh(&format!("rm -rf {}", self.0));
        }
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Starts `qdebug debug` on the laptop, runs `meanwhile` when debugpy listens on `$port`, and gives
/// what all of it printed and the status of the first.
fn debug(folder: &str, words: &str, meanwhile: &str) -> Ran {
    Host::Laptop.sh(&format!(
        "cd {folder} || exit
         # What an earlier one said is not this one's.
         rm -f out err
         qdebug debug {words} >out 2>err & debug=$!
         for try in $(seq 600); do
             port=$(sed -n 's/^qdebug: .*127.0.0.1:\\([0-9]*\\).*/\\1/p' err 2>/dev/null)
             [ -z \"$port\" ] || break
             kill -0 $debug 2>/dev/null || break
             sleep 0.1
         done
         {meanwhile}
         wait $debug; rc=$?
         cat out; cat err >&2; exit $rc"
    ))
}

#[test]
fn a_breakpoint_is_hit_from_the_laptop() {
    let program = "import sys\nanswer = 6 * 7\nprint('words', sys.argv[1:])\n\
                   if 'raise' in sys.argv:\n    raise ValueError(answer)\nsys.exit(7)\n";
    let _folders = Folders::new("debugged", program);
    let words = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];
    let project = ["--workdir", "/home/alice/debugged"];
    let session = Session::ready("debugged", &[&words[..], &project].concat());
    session.connect();
    let mine = "{\n  // mine\n  \"configurations\": [],\n}\n";
    Host::Laptop
        .sh(&format!(
            "mkdir debugged/.vscode && printf '%s' '{mine}' > debugged/.vscode/launch.json"
        ))
        .ok();

    let client =
        |at: &str| format!("python3 client.py $port '/home/alice/debugged/my train.py' {at}");
    let hit = debug(
        "debugged",
        "debugged --write -- python3 -u 'my train.py' 'a b' \"it's \\$d\"",
        &client("3 answer"),
    );
    assert_eq!(hit.code, 7, "{hit}");
    assert!(hit.out.contains("answer = 42\n"), "{hit}");
    assert!(hit.out.contains("words ['a b', \"it's $d\"]\n"), "{hit}");
    let port = port(&hit);

    let written = Host::Laptop.sh("cat debugged/.vscode/launch.json").ok();
    for word in [
        "  // mine\n",
        "\"name\": \"qdebug: debugged\"",
        "\"type\": \"debugpy\"",
        &format!("\"port\": {port}"),
        "\"remoteRoot\": \"/home/alice/debugged\"",
    ] {
        assert!(written.out.contains(word), "{word}: {written}");
    }
    let clean =
        "qdebug ide clean debugged && cat debugged/.vscode/launch.json && ls -A debugged/.vscode";
    let cleaned = Host::Laptop.sh(clean).ok();
    assert_eq!(cleaned.out, format!("{mine}launch.json\n"), "{cleaned}");

    // What nothing catches pauses a debugger that takes debugpy's defaults, as IDEs do.
    let raised = debug(
        "debugged",
        "debugged --json -- python3 'my train.py' raise",
        &client("exception answer"),
    );
    assert_eq!(raised.code, 1, "{raised}");
    assert!(raised.out.contains("answer = 42\n"), "{raised}");
    assert!(raised.out.contains("\"request\": \"attach\""), "{raised}");
    assert!(raised.err.contains("ValueError: 42"), "{raised}");
    assert_eq!(self::port(&raised), port, "it stays the same");

    let usage = Host::Laptop.sh("qdebug debug debugged -- torchrun x.py");
    usage.fails(2, &["torchrun", "python -m"]);
    let taken = debug(
        "debugged",
        "debugged -- python3 -c 1",
        "qdebug debug debugged -- python3 -c 1; echo second: $?; kill $debug",
    );
    assert!(taken.out.contains("second: 1\n"), "{taken}");
    assert!(taken.err.contains("--port"), "{taken}");
    dials_a_debug_server_of_the_laptop();
}

/// PyCharm's way: its debug server listens on the laptop, and the program comes back to it.
fn dials_a_debug_server_of_the_laptop() {
    let debug = "qdebug debug debugged --pydevd 18680 -- python3 -u 'my train.py' dials";
    let nobody = Host::Laptop.sh(&format!("cd debugged && {debug}"));
    nobody.fails(1, &["127.0.0.1:18680", "Python Debug Server"]);
    let came = Host::Laptop.sh(&format!(
        "cd debugged || exit
         cat >ide.py <<'END'\n{PYDEVD_IDE}END
         python3 ide.py 18680 '/home/alice/debugged/my train.py' 3 answer >hit 2>&1 & ide=$!
         for try in $(seq 300); do grep -q listens hit && break; sleep 0.1; done
         {debug} >out 2>err; rc=$?
         wait $ide || rc=99
         cat hit out; cat err >&2; exit $rc"
    ));
    assert_eq!(came.code, 7, "{came}");
    for word in ["listens\nanswer = 42\n", "words ['dials']\n"] {
        assert!(came.out.contains(word), "{word}: {came}");
    }
    let mapping = "path mapping: your project = /home/alice/debugged";
    assert!(came.err.contains(mapping), "{came}");
}

/// The port that the IDE was told.
fn port(ran: &Ran) -> String {
    let (_, rest) = ran.err.split_once("on 127.0.0.1:").expect(&ran.err);
    rest.chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn ctrl_c_and_a_lost_connection_end_the_program() {
    // It has started another in a session of its own, as torchrun does, that will not go.
    let program = "import subprocess, time\n\
                   worker = \"trap '' TERM INT HUP; sleep 600; : my train.py\"\n\
                   subprocess.Popen(['sh', '-c', worker], start_new_session=True)\n\
                   print('runs', flush=True)\ntime.sleep(600)\n";
    let _folders = Folders::new("debug-end", program);
    let words = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];
    let project = ["--workdir", "/home/alice/debug-end"];
    let session = Session::ready("debug-end", &[&words[..], &project].concat());
    session.connect();
    let is_over = |what: &str| {
        within(LIMIT, what, || {
            let ran = session.ssh(&["pgrep -af '[m]y train.py'"]);
            if ran.code == 1 {
                Ok(())
            } else {
                Err(ran.to_string())
            }
        });
    };
    let running = "for try in $(seq 600); do grep -q runs out && break; sleep 0.1; done; \
                   grep -q runs out || exit 99";

    // Without a terminal, where sshd tells the program nothing.
    let command = "debug-end --no-wait -- python3 'my train.py'";
    let ended = debug(
        "debug-end",
        command,
        &format!("{running}; kill -INT $debug"),
    );
    assert_eq!(ended.code, 130, "{ended}");
    is_over("Ctrl-C ends it");
    let lost = format!("{running}; pkill -KILL -P $debug -x ssh");
    let lost = debug("debug-end", command, &lost);
    assert_eq!(lost.code, 137, "{lost}");
    is_over("a lost connection ends it");

    // On a terminal Ctrl-C is a letter that travels; here to one that still waits for the IDE. While
    // debugpy starts it may swallow the first, as people see who press it again.
    let typed = "cd debug-end; : >typed; \
                 (for try in $(seq 600); do grep -q 'waits for' typed && break; sleep 0.1; done; \
                  for try in 1 2 3; do sleep 1; printf '\\003'; sleep 4; done) | \
                 script -qefc \"qdebug debug debug-end -- python3 'my train.py'\" typed >/dev/null; \
                 echo status $?; grep -c 'waits for' typed";
    let typed = Host::Laptop.sh(typed);
    assert!(
        typed.out.ends_with("\n1\n") && !typed.out.starts_with("status 0"),
        "{typed}"
    );
    is_over("Ctrl-C on a terminal ends it");
}

/// The image's own debugpy is put out of sight. pip itself comes from the login node and debugpy from
/// a wheel, since no index is in reach.
#[test]
fn debugpy_is_installed_for_the_image_or_its_lack_told_with_the_cure() {
    let _folders = Folders::new("debug-install", "import sys\nprint('ran', sys.argv[1:])\n");
    let wheel = "cp -r /usr/lib/python3/dist-packages/pip debug-install/ && cd debug-install && \
                 echo \"import sys; sys.path.remove('/usr/lib/python3/dist-packages')\" >sitecustomize.py && \
                 python3 - <<'END'\n\
                 import zipfile\n\
                 info = 'debugpy-9.dist-info/'\n\
                 main = '''import runpy, socket, sys\n\
                 host, _, port = sys.argv[2].partition(':')\n\
                 listener = socket.create_server((host, int(port)))\n\
                 listener.accept()\n\
                 sys.argv = sys.argv[4:]\n\
                 runpy.run_path(sys.argv[0], run_name='__main__')\n\
                 '''\n\
                 with zipfile.ZipFile('debugpy-9-py3-none-any.whl', 'w') as wheel:\n\
                 \x20   wheel.writestr('debugpy/__init__.py', '__version__ = \"9\"\\n')\n\
                 \x20   wheel.writestr('debugpy/__main__.py', main)\n\
                 \x20   wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: debugpy\\nVersion: 9\\n')\n\
                 \x20   wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: hand\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                 \x20   wheel.writestr(info + 'RECORD', '')\n\
                 END";
    Host::Login.sh(wheel).ok();
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "-i",
        "qdebug/sshd",
        "--workdir",
        "/home/alice/debug-install",
        "-e",
        "PYTHONPATH=/home/alice/debug-install",
        "-e",
        "PIP_NO_INDEX=1",
        "-e",
        "PIP_FIND_LINKS=/home/alice/debug-install",
    ];
    let session = Session::ready("debug-install", &words);
    session.connect();
    session.ssh(&["rm -rf \"$PYTHONUSERBASE\""]).ok();
    let command = "debug-install -- python3 'my train.py' x";
    let attach = "python3 -c \"import socket; socket.create_connection(('127.0.0.1', $port))\"";
    let ran = debug("debug-install", command, attach);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.out.contains("ran ['x']"), "{ran}");
    assert!(
        ran.err.contains("installing") && ran.err.contains("debugpy 9"),
        "{ran}"
    );
    let there = session.ssh(&["ls -d \"$PYTHONUSERBASE\"/lib/python3*/site-packages/debugpy"]);
    there.ok();
    let again = debug("debug-install", command, attach);
    assert!(
        again.code == 0 && !again.err.contains("installing"),
        "{again}"
    );

    session.ssh(&["rm -rf \"$PYTHONUSERBASE\""]).ok();
    Host::Login.sh("rm debug-install/*.whl").ok();
    let laptop = |line: &str| Host::Laptop.sh(&format!("qdebug debug debug-install {line}"));
    laptop("-- python3 'my train.py'").fails(8, &["no debugpy", "RUN pip install debugpy"]);
    laptop("-- python2.7 x.py").fails(8, &["python2.7", "not found"]);
    laptop("--folder /nowhere -- python3 x.py").fails(8, &["/nowhere", "--folder"]);
}
