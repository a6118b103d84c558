//! What the laptop asks of a session to debug there, and what it makes of the answer.

use super::super::known::tests::status;
use super::super::{Place, paths};
use super::*;

#[cfg(unix)]
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn the_port_stays_and_is_no_sessions_own() {
    let known = Known::new(&status("otter", '1'), Place::Here, &[]).unwrap();
    let first = fixed_port(&known.alias, &[]);
    assert_eq!(
        fixed_port(&known.alias, std::slice::from_ref(&known)),
        first
    );
    let mut other = known.clone();
    other.port = first;
    assert_ne!(fixed_port(&known.alias, &[other]), first);
}

#[test]
fn a_port_is_free_for_debugpy_and_taken_for_pydevd() {
    let known = Known::new(&status("otter", '1'), Place::Here, &[]).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    let port = |under| super::port(&known, &under, Vec::new);
    let debugpy = Debugger::Debugpy {
        port: Some(taken),
        wait: true,
    };
    assert!(matches!(port(debugpy), Err(Error::PortTaken { port, .. }) if port == taken));
    let pydevd = Debugger::Pydevd { port: taken };
    assert_eq!(port(pydevd).unwrap(), taken);
    drop(listener);
    assert_eq!(port(debugpy).unwrap(), taken);
    if cfg!(target_os = "linux") {
        assert!(matches!(port(pydevd), Err(Error::NobodyListens { port }) if port == taken));
    }
}

#[test]
fn odd_folders_and_pythons_stay_words() {
    let paths = paths::tests::paths();
    let known = Known::new(&status("otter", '1'), Place::Here, &[]).unwrap();
    let session = |folder, python| {
        let session = Session {
            paths: &paths,
            known: &known,
            folder,
            python,
        };
        session.line(&["/tmp/x/run.py", "1"])
    };
    assert_eq!(
        session("/a b", "my'py").unwrap(),
        "cd '/a b' && exec 'my'\\''py' /tmp/x/run.py 1"
    );
    assert!(session("/a\nb", "python").is_err());
}

#[test]
fn the_answer_is_found_among_noise() {
    let noise = format!("Welcome!\n{MARK}{{}}\nx\n");
    assert_eq!(answer(&noise), None);
    let good = r#"{"debugger": null, "problem": "no", "python": "3.9.1"}"#;
    let found = answer(&format!("{noise}{MARK}{good}\nbye\n")).unwrap();
    assert_eq!(
        (found.debugger, found.problem.as_deref()),
        (None, Some("no"))
    );
    assert_eq!(plain("a\n\u{1b}[2Jb\n"), "a; [2Jb");
}

/// Through this machine's Python, with a module of that name that does what debugpy's does.
#[cfg(unix)] // They run in the session.
#[test]
fn the_scripts_run_a_program_with_odd_words_and_give_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("debugpy");
    std::fs::create_dir(&module).unwrap();
    std::fs::write(module.join("__init__.py"), "__version__ = '9'\n").unwrap();
    let main = "import runpy, socket, sys\n\
                assert sys.argv[1] == '--listen' and sys.argv[3] == '--wait-for-client'\n\
                host, _, port = sys.argv[2].partition(':')\n\
                listener = socket.create_server((host, int(port)))\n\
                sys.stdin.readline()\n\
                sys.argv = sys.argv[4:]\n\
                runpy.run_path(sys.argv[0], run_name='__main__')\n";
    std::fs::write(module.join("__main__.py"), main).unwrap();
    let program = folder.path().join("my prog ü.py");
    std::fs::write(&program, "import sys\nprint(sys.argv[1:])\nsys.exit(7)\n").unwrap();

    let target = [program.display().to_string(), "a\nb 'c' $d 𝕏".to_owned()];
    let (port, wait) = (None, true);
    let debugpy = Debugger::Debugpy { port, wait };
    let (under, target) = debugpy.under(&target);
    let run = Run {
        options: &["-u".to_owned()],
        under: &under,
        target,
        said: Some(String::new()),
    };
    let ask = Ask {
        module: debugpy.module(),
        packages: debugpy.packages(),
        install: false,
        port: 0,
        mark: MARK,
        run: script(RUN, &run).unwrap(),
    };
    let prepare = Program::new("python3")
        .arg("-")
        .env("PYTHONPATH", folder.path())
        .stdin(script(PREPARE, &ask).unwrap());
    let output = block_on(prepare.output()).unwrap();
    let answer = answer(&output.stdout).unwrap_or_else(|| panic!("{output:?}"));
    let found = answer.debugger.clone().unwrap();
    assert_eq!(found, ("debugpy".into(), "9".into()), "{output:?}");
    let file = answer.run.unwrap();
    let program = Program::new("python3")
        .args([&file, &answer.port.unwrap().to_string()])
        .env("PYTHONPATH", folder.path())
        .env("PYTHONIOENCODING", "utf-8")
        .stdin("\n");
    let output = block_on(program.output()).unwrap();
    assert_eq!(output.status, 7, "{output:?}");
    assert_eq!(output.stdout, "[\"a\\nb 'c' $d 𝕏\"]\n");
    assert!(!std::path::Path::new(&file).exists());
}

/// A program with a grandchild in a session of its own that will not go, and one that has lost its
/// parent as well; it tells their numbers, and ends with 5 when it is interrupted.
#[cfg(target_os = "linux")]
const WITH_WORKERS: &str = r#"
import os, subprocess, sys, time
worker = [sys.executable, "-c", "import signal, time\n"
          "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
          "    signal.signal(number, signal.SIG_IGN)\n"
          "time.sleep(120)"]
numbers = [subprocess.Popen(worker, start_new_session=True).pid]
if sys.argv[2] == "orphan":
    line = '"$@" >/dev/null & echo $!'
    orphan = subprocess.check_output(["sh", "-c", line, "sh"] + worker, start_new_session=True)
    numbers.append(int(orphan))
with open(sys.argv[1] + ".new", "w") as told:
    told.write(" ".join(map(str, [os.getppid()] + numbers)))
os.rename(sys.argv[1] + ".new", sys.argv[1])
try:
    time.sleep(120)
except KeyboardInterrupt:
    sys.exit(5)
"#;

/// `run.py` with that program, below a shell as it is below sshd; what is below the shell.
#[cfg(target_os = "linux")]
async fn with_workers(
    folder: &std::path::Path,
    has_ctypes: bool,
) -> (tokio::process::Child, Vec<i32>) {
    let told = folder.join("told");
    let kind = if has_ctypes { "orphan" } else { "alone" };
    let target = ["-c", WITH_WORKERS, &told.to_string_lossy(), kind].map(str::to_owned);
    let run = Run {
        options: &[],
        under: &[],
        target: &target,
        said: None,
    };
    let laid = folder.join("laid");
    std::fs::create_dir(&laid).unwrap();
    std::fs::write(laid.join("run.py"), script(RUN, &run).unwrap()).unwrap();
    if !has_ctypes {
        std::fs::write(folder.join("ctypes.py"), "raise ImportError\n").unwrap();
    }
    let line = "python3 \"$0\" 1 & pid=$!; trap 'kill -TERM $pid' TERM; \
                while kill -0 $pid 2>/dev/null; do wait $pid; status=$?; done; exit $status";
    let shell = Program::new("sh")
        .args(["-c", line, &laid.join("run.py").to_string_lossy()])
        .env("PYTHONPATH", folder)
        .spawn_with(Stdio::null(), Stdio::inherit(), Stdio::inherit())
        .unwrap();
    for _ in 0..600 {
        if let Ok(told) = std::fs::read_to_string(&told) {
            let numbers = told.split(' ').map(|number| number.parse().unwrap());
            return (shell, numbers.collect());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the program does not start");
}

/// Whether they have all ended within a minute.
#[cfg(target_os = "linux")]
async fn are_gone(numbers: &[i32]) -> bool {
    let lives = |number: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default();
        !state.is_empty() && !state.trim_start().starts_with('Z')
    };
    for _ in 0..600 {
        if !numbers.iter().any(lives) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[cfg(target_os = "linux")] // It runs in the session.
#[test]
fn a_program_that_is_ended_leaves_nobody_in_sessions_of_their_own() {
    block_on(async {
        for has_ctypes in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let (mut shell, numbers) = with_workers(folder.path(), has_ctypes).await;
            assert_eq!(numbers.len(), if has_ctypes { 3 } else { 2 });
            crate::process::ask_to_end(&shell);
            let status = shell.wait().await.unwrap();
            assert_eq!(status.code(), Some(5), "the program's own status");
            assert!(are_gone(&numbers).await, "{has_ctypes} {numbers:?}");
        }
    });
}

#[cfg(target_os = "linux")] // It runs in the session.
#[test]
fn a_lost_connection_leaves_nobody_in_sessions_of_their_own() {
    block_on(async {
        for has_ctypes in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let (mut shell, numbers) = with_workers(folder.path(), has_ctypes).await;
            // As sshd goes when it is killed: nobody is told.
            shell.kill().await.unwrap();
            assert!(are_gone(&numbers).await, "{has_ctypes} {numbers:?}");
        }
    });
}
