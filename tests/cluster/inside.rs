//! What a session looks like from inside: its rights, its environment in every way in, its folders.

use crate::host::{Host, Ran};
use crate::scheduler::here;
use crate::session::Session;
use crate::wheel;

const DEMO: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];

/// Stops a session and removes what a test has laid into home, also when the test fails.
struct Files(&'static str);

impl Drop for Files {
    fn drop(&mut self) {
        Host::Login.sh(&format!("rm -rf {}", self.0));
    }
}

#[test]
fn the_environment_is_the_same_in_every_way_in() {
    let _files = Files("way-in.sh way-in.py");
    // One line a variable, whatever prints it.
    let names = "PATH PYTHONUSERBASE DEMO_QUOTES DEMO_DOLLAR WISH CUDA_VISIBLE_DEVICES \
                 LD_LIBRARY_PATH PBS_JOBCOOKIE HOME USER";
    let sh = format!(
        "for name in {names} {}; do eval \"echo \\\"=$name=\\${{$name-unset}}=\\\"\"; done\n",
        here().id_variable()
    );
    Host::Login
        .sh(&format!("cat > way-in.sh <<'END'\n{sh}END\n"))
        .ok();
    let python = format!(
        "import os\nfor name in '{names} {}'.split():\n    print(f'={{name}}={{os.environ.get(name, \"unset\")}}=')\n",
        here().id_variable()
    );
    Host::Login
        .sh(&format!("cat > way-in.py <<'END'\n{python}END\n"))
        .ok();
    let submit = "LD_LIBRARY_PATH=/of/the/host qdebug submit --name ways -g V100 -w 30m \
                  -i qdebug/demo -e WISH='a  b' --wait";
    Host::Login.sh(submit).ok();
    let session = Session::known("ways");
    session.connect();

    let laptop = |line: &str| Host::Laptop.sh(line).ok();
    let paramiko = "python3 - <<'END'\n\
                    import os, paramiko\n\
                    config = paramiko.SSHConfig.from_path(os.path.expanduser('~/.config/qdebug/ssh_config'))\n\
                    host = config.lookup('qdebug-ways')\n\
                    client = paramiko.SSHClient()\n\
                    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())\n\
                    client.connect('ways', username=host['user'], key_filename=host['identityfile'],\n\
                                   sock=paramiko.ProxyCommand(host['proxycommand']))\n\
                    print(client.exec_command('. ./way-in.sh')[1].read().decode())\n\
                    END";
    let ways: [(&str, Ran); 6] = [
        ("a command", session.ssh(&[". ./way-in.sh"]).ok()),
        (
            "a terminal, whose shell is a login shell",
            laptop("printf '. ~/way-in.sh\\nexit\\n' | ssh -tt qdebug-ways"),
        ),
        (
            "a login shell asked for",
            session.ssh(&["bash -lc '. ./way-in.sh'"]).ok(),
        ),
        (
            "a script on stdin, as IDEs do",
            laptop(&format!("ssh qdebug-ways bash -s <<'END'\n{sh}END")),
        ),
        ("another client", laptop(paramiko)),
        (
            "the debugger",
            session
                .ssh(&["python3 -m debugpy --listen 127.0.0.1:0 way-in.py"])
                .ok(),
        ),
    ];
    let values = |ran: &Ran| -> Vec<String> {
        let lines = ran.out.lines().map(|line| line.trim_end_matches('\r'));
        let told = lines.filter(|line| line.starts_with('=') && line.ends_with('='));
        told.map(str::to_owned).collect()
    };
    let expected = values(&ways[0].1);
    assert_eq!(expected.len(), 11, "{}", ways[0].1);
    for wanted in [
        "=DEMO_QUOTES=it's a \"quote\"=",
        "=DEMO_DOLLAR=$HOME and $(id)=",
        "=WISH=a  b=",
        "=CUDA_VISIBLE_DEVICES=0=",
        "=LD_LIBRARY_PATH=unset=",
        "=PBS_JOBCOOKIE=unset=",
        "=HOME=/home/alice=",
        "=USER=alice=",
        &format!("={}={}=", here().id_variable(), session.job),
    ] {
        assert!(
            expected.iter().any(|line| line == wanted),
            "{wanted}: {expected:#?}"
        );
    }
    assert!(
        expected[0].contains("/bin:/opt/demo/bin:/usr/local/sbin:"),
        "the image's PATH: {expected:#?}"
    );
    for (way, ran) in &ways {
        assert_eq!(values(ran), expected, "{way}: {ran}");
    }
}

#[test]
fn terminals_open_in_the_project_and_commands_at_home() {
    let _files = Files("'work dir'");
    Host::Login.sh("mkdir -p 'work dir'").ok();
    let words = [&DEMO[..], &["--workdir", "/home/alice/work dir"]].concat();
    let session = Session::ready("workdir", &words);
    session.connect();
    let line = "printf 'echo in:$PWD:\\nexit\\n' | ssh -tt qdebug-workdir";
    let ran = Host::Laptop.sh(line).ok();
    assert!(ran.out.contains("in:/home/alice/work dir:"), "{ran}");
    assert_eq!(session.ssh(&["pwd"]).ok().text(), "/home/alice");
}

#[test]
fn a_file_of_variables_is_taken_as_docker_takes_it() {
    let _files = Files("odd.env bad.env");
    let text = "# comment\\n\\nPLAIN=1\\nQUOTED=\"x y\"\\nBEATEN=file\\nFROM_HERE\\nNOT_SET\\n";
    Host::Login
        .sh(&format!(
            "printf '{text}' > odd.env; printf 'A=1\\n=x\\n' > bad.env"
        ))
        .ok();
    let words = "qdebug submit -g none -w 30m -i qdebug/busybox";
    let submit = format!(
        "FROM_HERE='a b' {words} --name env-file --env-file odd.env -e BEATEN=flag \
         --shm-size 64M --wait"
    );
    Host::Login.sh(&submit).ok();
    let session = Session::known("env-file");
    session.connect();
    let print = "echo \"$PLAIN:$QUOTED:$BEATEN:$FROM_HERE:${NOT_SET-unset}\"; df -k /dev/shm";
    let ran = session.ssh(&[print]).ok();
    assert!(ran.out.starts_with("1:\"x y\":flag:a b:unset\n"), "{ran}");
    assert!(ran.out.contains(" 65536 "), "the size of /dev/shm: {ran}");
    Host::Login
        .sh(&format!("{words} --env-file bad.env"))
        .fails(2, &["bad.env", "line 2"]);
}

/// pip itself comes from the login node: the images have none and reach no index.
#[test]
fn pip_installs_without_root_and_does_not_mix_images() {
    let _files = Files("pip-here");
    let files = serde_json::json!({
        "greeting.py": "def main():\n    print(\"hello\")\n",
        "greeting-1.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
    });
    wheel::lay("pip-here", "greeting", "1", &files);
    let install = "PYTHONPATH=$HOME/pip-here python3 -m pip install -q --no-index --no-deps \
                   $HOME/pip-here/greeting-1-py3-none-any.whl";
    let sessions: Vec<Session> = [("pip-one", "qdebug/demo"), ("pip-two", "qdebug/sshd")]
        .into_iter()
        .map(|(name, image)| {
            let words = ["-g", "none", "-w", "30m", "-i", image];
            let session = Session::ready(name, &words);
            session.connect();
            session.ssh(&["rm -rf \"$PYTHONUSERBASE\""]).ok();
            session
        })
        .collect();
    let [one, two] = &sessions[..] else {
        panic!("two sessions");
    };
    one.ssh(&[install]).ok();
    assert_eq!(one.ssh(&["greet"]).ok().text(), "hello");
    assert_eq!(one.ssh(&["bash -lc greet"]).ok().text(), "hello");
    // The other image sees nothing of it, until it has its own.
    assert_eq!(two.ssh(&["greet"]).code, 127);
    two.ssh(&["python3 -c 'import greeting'"])
        .fails(1, &["No module named"]);
    two.ssh(&[install]).ok();
    assert_eq!(two.ssh(&["greet"]).ok().text(), "hello");
    let base = |session: &Session| {
        session
            .ssh(&["echo $PYTHONUSERBASE"])
            .ok()
            .text()
            .to_owned()
    };
    assert_ne!(base(one), base(two));
    assert!(
        !Host::Login
            .sh("ls -d .local/lib/python3*")
            .out
            .contains("python3")
    );
    for session in [one, two] {
        session.ssh(&["rm -rf \"$PYTHONUSERBASE\""]).ok();
    }
}

#[test]
fn a_read_only_mount_stays_so_and_the_old_form_of_mounts_is_taken() {
    let _files = Files("mounts");
    Host::Login
        .sh("mkdir -p mounts/in 'mounts/out dir' && echo data > mounts/in/file")
        .ok();
    let mounts = "/home/alice/mounts/in:/in;/home/alice/mounts/out dir:/out dir";
    let words = [
        &DEMO[..],
        &["-m", mounts, "-m", "/home/alice/mounts/in:/ro:ro"],
    ]
    .concat();
    let session = Session::ready("mounts", &words);
    session.connect();
    assert_eq!(
        session.ssh(&["cat /in/file /ro/file"]).ok().text(),
        "data\ndata"
    );
    session.ssh(&["touch '/out dir/made' /in/made"]).ok();
    session.ssh(&["touch /ro/made2"]).fails(1, &["Read-only"]);
    // Nobody in there may make it writable, nor change what serves the session.
    let remount = "python3 -c 'import ctypes, os; c = ctypes.CDLL(None, use_errno=True); \
                   print(c.mount(None, b\"/ro\", None, 0x1020, None), os.strerror(ctypes.get_errno()))'";
    assert_eq!(
        session.ssh(&[remount]).ok().text(),
        "-1 Operation not permitted"
    );
    for path in [
        "/.qdebug/init",
        "/.qdebug-session/authorized_keys",
        "/etc/passwd",
    ] {
        let line = format!("echo x >> {path}");
        let ran = session.ssh(&[&line]);
        assert!(ran.code != 0 && !ran.err.is_empty(), "{path}: {ran}");
    }
    assert_eq!(
        Host::Login.sh("ls mounts/in 'mounts/out dir'").ok().text(),
        "mounts/in:\nfile\nmade\n\nmounts/out dir:\nmade"
    );
}

#[test]
fn the_user_is_the_same_inside_with_groups_that_have_no_name() {
    let session = Session::ready("identity", &DEMO);
    session.connect();
    let seen = session
        .ssh(&["id -u; id -g; id -un; id -gn; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '; echo; getent passwd alice; whoami"])
        .ok();
    let node = session.node();
    let groups = node
        .sh("id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '")
        .ok();
    assert_eq!(
        seen.text(),
        format!(
            "2001\n2001\nalice\nalice\n{}\nalice:x:2001:2001::/home/alice:/bin/bash\nalice",
            groups.text()
        )
    );
    // By hand on the node, as a user that the node knows by number only.
    let home = "/home/nameless";
    let line = format!(
        "mkdir -p {home} && chown 4242:4343 {home} && cd {home} && \
         docker=$(stat -c %g /var/run/docker.sock) && \
         run() {{ setpriv --reuid 4242 --regid 4343 --groups 5555,$docker env -i HOME={home} \
             USER=nameless PATH=$PATH QDEBUG_SITE=/nonexistent \"$@\"; }} && \
         run qdebug submit --scheduler local -g none -w 5m -i qdebug/demo --name nameless --wait && \
         docker exec $(docker ps -q -f label=qdebug.session=nameless) \
             sh -c 'id; getent passwd 4242 | cut -d: -f1,3,6; grep Groups /proc/self/status'; \
         run qdebug stop nameless; rm -rf {home} /var/tmp/qdebug-4242"
    );
    let ran = Host::Node1.root(&line).ok();
    for word in [
        "uid=4242(user4242) gid=4343(group4343)",
        "5555(group5555)",
        "user4242:4242:/home/nameless",
    ] {
        assert!(ran.out.contains(word), "{word}: {ran}");
    }
}

#[test]
fn a_folder_that_is_closed_to_the_engines_root_is_told_with_the_cure() {
    // Root is shut out of a FUSE file system as of an NFS with root_squash.
    let (node, gpu) = (Host::Node1, "V100");
    node.root("chmod 666 /dev/fuse").ok();
    node.sh("mkdir -p squashed squashed-source && bindfs --no-allow-other squashed-source squashed && mkdir -p squashed/data && chmod 700 squashed/data").ok();
    let _files = Files("squashed squashed-source");
    let words = ["-g", gpu, "-w", "10m", "-i", "qdebug/demo"];
    let mount = ["-m", "/home/alice/squashed/data:/data"];
    // Login sees the folder as it is below.
    Host::Login.sh("mkdir -p squashed/data").ok();
    let session = Session::submit("squashed", &[&words[..], &mount].concat());
    let status = session.await_state("failed");
    node.sh("fusermount -u squashed").ok();
    let (reason, hint) = (status["reason"].to_string(), status["hint"].to_string());
    for word in [
        "the mount",
        "/home/alice/squashed/data",
        "permission denied",
    ] {
        assert!(reason.contains(word), "{word}: {status:#}");
    }
    for word in [
        "root_squash",
        "chmod o+x",
        "/home/alice/squashed/data",
        "podman",
    ] {
        assert!(hint.contains(word), "{word}: {status:#}");
    }
    assert_eq!(status["code"], 15, "{status:#}");
    session.is_gone();
}
