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
    let good = r#"{"debugpy": null, "problem": "no", "python": "3.9.1"}"#;
    let found = answer(&format!("{noise}{MARK}{good}\nbye\n")).unwrap();
    assert_eq!(
        (found.debugpy, found.problem.as_deref()),
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
    let run = Run {
        options: &["-u".to_owned()],
        target: &target,
        wait: true,
        said: String::new(),
    };
    let ask = Ask {
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
    assert_eq!(answer.debugpy.as_deref(), Some("9"), "{output:?}");
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
