//! `qdebug image` on a real Docker: recipes, logins, layers, and the shared cache with all that can
//! become of it. Skipped, and said so, where there is no engine or no image.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)] // A test.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What recipes build upon.
const BASE: &str = "qdebug/busybox";
/// The registry's user, and the password with its bcrypt hash.
const LOGIN: (&str, &str) = ("alice", "s3cret-pass");
const HTPASSWD: &str = "alice:$2b$05$abcdefghijklmnopqrstuuV7fpPozvyqJfnY19y0802WTlXUm6Rjy\n";

/// A user's folders: configuration, node_dir, cache, and a place for recipes.
struct Place {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, PathBuf)>,
    images: Vec<String>,
}

struct Ran {
    output: Output,
}

impl Ran {
    fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert!(self.output.status.success(), "{}", self.err());
        serde_json::from_slice(&self.output.stdout).expect("JSON")
    }

    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        let err = self.err();
        assert_eq!(self.output.status.code(), Some(code), "{err}");
        for word in words {
            assert!(err.contains(word), "no {word:?} in {err}");
        }
    }
}

fn docker(words: &[&str]) -> Output {
    Command::new("docker").args(words).output().unwrap()
}

fn has(image: &str) -> bool {
    docker(&["image", "inspect", image]).status.success()
}

impl Place {
    /// A place with a cache of that size, where an engine and the base are.
    fn new(cache_size: &str) -> Option<Self> {
        if !has(BASE) {
            support::skip(&format!("no engine, or no image {BASE}"));
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("qdebug images é'")
            .tempdir_in("/var/tmp")
            .unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["node", "other-node"] {
            fs::create_dir(at(name)).unwrap();
        }
        let config = |node: &str| {
            format!(
                "node_dir = {:?}\ncache = {:?}\ncache_size = {cache_size:?}\n",
                at(node),
                at("cache")
            )
        };
        fs::write(at("config.toml"), config("node")).unwrap();
        fs::write(at("other.toml"), config("other-node")).unwrap();
        Some(Self {
            folder,
            env: Vec::new(),
            images: Vec::new(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A recipe of these lines on the base, in a folder of its own.
    fn recipe(&self, name: &str, lines: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        let recipe = folder.join("Dockerfile");
        fs::write(&recipe, format!("FROM {BASE}\n{lines}")).unwrap();
        recipe
    }

    fn command(&self, config: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qdebug"));
        command
            .arg("image")
            .args(words)
            .env("QDEBUG_CONFIG", self.path(config))
            .env("QDEBUG_SITE", "/no/such/file")
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("REGISTRY_AUTH_FILE", self.path("podman-auth.json"))
            .envs(self.env.iter().cloned());
        command
    }

    fn image(&self, words: &[&str]) -> Ran {
        let output = self.command("config.toml", words).output().unwrap();
        Ran { output }
    }

    #[track_caller]
    fn build(&mut self, recipe: &Path, more: &[&str]) -> (Value, String) {
        self.build_with("config.toml", recipe, more)
    }

    #[track_caller]
    fn build_with(&mut self, config: &str, recipe: &Path, more: &[&str]) -> (Value, String) {
        let recipe = recipe.to_str().unwrap();
        let words = [&["build", "--json", "--dockerfile", recipe], more].concat();
        let output = self.command(config, &words).output().unwrap();
        let ran = Ran { output };
        let built = ran.json();
        self.images.push(built["id"].as_str().unwrap().to_owned());
        (built, ran.err())
    }

    /// The cache's files of data.
    fn data(&self) -> Vec<PathBuf> {
        let below = fs::read_dir(self.path("cache")).into_iter().flatten();
        let own = below.filter_map(|entry| fs::read_dir(entry.unwrap().path()).ok());
        let files = own.flatten().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.to_string_lossy().ends_with(".tar.zst"))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for image in &self.images {
            docker(&["rmi", "-f", image]);
        }
    }
}

fn run(image: &str, words: &[&str]) -> String {
    let output = docker(&[&["run", "--rm", "--entrypoint", "", image], words].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_recipe_is_built_once_for_the_same_files() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let recipe = place.recipe(
        "a b",
        "ARG WORD=none\nCOPY . /in\nRUN echo $WORD $HTTP_PROXY > /word; date > /when\n",
    );
    let folder = recipe.parent().unwrap().to_owned();
    fs::write(folder.join("file é"), "text").unwrap();
    fs::write(folder.join("secret.key"), "secret").unwrap();
    fs::write(folder.join(".dockerignore"), "*.key\n").unwrap();
    fs::create_dir(place.path("docker")).unwrap();
    let proxies = r#"{"proxies":{"default":{"httpProxy":"http://user:hidden-word@proxy:1"}}}"#;
    fs::write(place.path("docker/config.json"), proxies).unwrap();

    let (built, told) = place.build(&recipe, &["--build-arg", "WORD=hello"]);
    let id = built["id"].as_str().unwrap().to_owned();
    assert!(told.contains("step 3 of"), "{told}");
    assert!(!told.contains("hidden-word"), "{told}");
    assert_eq!(built["cached"], true, "{told}");
    assert_eq!(
        run(&id, &["cat", "/word"]),
        "hello http://user:hidden-word@proxy:1"
    );
    assert_eq!(run(&id, &["ls", "-A", "/in"]).lines().count(), 3);
    assert_eq!(run(&id, &["cat", "/in/file é"]), "text");

    // The same again, and with what does not count changed: nothing is built.
    fs::write(folder.join("secret.key"), "other").unwrap();
    let (again, told) = place.build(&recipe, &["--build-arg", "WORD=hello"]);
    assert_eq!(again["id"], built["id"]);
    assert!(!told.contains("step"), "{told}");
    // A name that somebody moved is not believed.
    let tags = docker(&["image", "inspect", "-f", "{{index .RepoTags 0}}", &id]).stdout;
    let tag = String::from_utf8_lossy(&tags).trim().to_owned();
    assert!(tag.starts_with("qdebug-built:"), "{tag}");
    docker(&["tag", BASE, &tag]);
    let (again, _) = place.build(&recipe, &["--build-arg", "WORD=hello"]);
    assert_eq!(again["id"], built["id"]);
    docker(&["rmi", &tag]);

    // What counts: an argument, a file.
    let (other, _) = place.build(&recipe, &["--build-arg", "WORD=bye"]);
    assert_ne!(other["id"], built["id"]);
    fs::write(folder.join("file é"), "other").unwrap();
    let (other, _) = place.build(&recipe, &["--build-arg", "WORD=hello"]);
    assert_ne!(other["id"], built["id"]);
}

#[test]
fn a_recipe_that_fails_says_its_last_lines() {
    let Some(place) = Place::new("1G") else {
        return;
    };
    let recipe = place.recipe("bad", "RUN echo the reason; exit 3\n");
    let recipe = recipe.to_str().unwrap();
    let ran = place.image(&["build", "--dockerfile", recipe]);
    ran.fails(8, &["the reason", "code: 3", "hint:"]);
    // No base, no recipe, no context.
    let none = place.recipe("none", "");
    fs::write(&none, "FROM localhost:1/no/such:1\n").unwrap();
    let ran = place.image(&["build", "--dockerfile", none.to_str().unwrap()]);
    ran.fails(8, &["localhost:1/no/such:1", "hint:"]);
    let ran = place.image(&["build", "--dockerfile", "/no/such/file"]);
    ran.fails(8, &["/no/such/file"]);
    let ran = place.image(&["build", "--dockerfile", recipe, "--context", recipe]);
    ran.fails(8, &["Dockerfile"]);
    let ran = place.image(&["build"]);
    ran.fails(2, &["--image"]);
    assert!(place.data().is_empty());
}

#[test]
fn what_only_buildkit_builds_is_named_with_the_way_out() {
    let Some(place) = Place::new("1G") else {
        return;
    };
    let cases = [
        (
            "mount",
            "RUN --mount=type=cache,target=/c true\n",
            "RUN --mount",
        ),
        ("link", "COPY --link Dockerfile /d\n", "COPY --link"),
        ("here", "RUN <<END\ntrue\nEND\n", "RUN <<"),
    ];
    for (name, line, word) in cases {
        let recipe = place.recipe(name, line);
        let ran = place.image(&["build", "--dockerfile", recipe.to_str().unwrap()]);
        let word = format!("only BuildKit understands {word}");
        ran.fails(8, &[&word, "hint:", "docker build"]);
    }
}

#[test]
fn another_node_gets_it_from_the_cache_and_damage_is_mended() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let recipe = place.recipe("cached", "RUN head -c 3000000 /dev/urandom > /noise\n");
    let (built, _) = place.build(&recipe, &[]);
    let id = built["id"].as_str().unwrap().to_owned();
    assert_eq!(place.data().len(), 1);
    assert!(docker(&["rmi", "-f", &id]).status.success());

    let (loaded, told) = place.build_with("other.toml", &recipe, &[]);
    assert_eq!(loaded["id"], built["id"], "{told}");
    assert!(told.contains("from the shared cache"), "{told}");
    assert!(!told.contains("step"), "{told}");

    // A bit flips.
    let data = place.data().remove(0);
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&data, bytes).unwrap();
    assert!(docker(&["rmi", "-f", &id]).status.success());
    let (built, told) = place.build_with("other.toml", &recipe, &[]);
    assert!(built["notices"].to_string().contains("damaged"), "{built}");
    assert!(told.contains("step"), "{told}");
    assert_eq!(built["cached"], true);
    let mended = place.data();
    assert!(mended.len() == 1 && mended[0] != data, "{mended:?}");

    // An entry that holds another image than it says.
    let other = place.recipe("other", "RUN echo other > /other\n");
    place.build(&other, &[]);
    let both = place.data();
    let wrong = both.iter().find(|path| **path != mended[0]).unwrap();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    let description = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.with_file_name(format!("{}.json", name.split('-').next().unwrap()))
    };
    let text = fs::read_to_string(description(&mended[0])).unwrap();
    let (from, to) = (size(&mended[0]).to_string(), size(wrong).to_string());
    fs::copy(wrong, &mended[0]).unwrap();
    fs::write(description(&mended[0]), text.replacen(&from, &to, 1)).unwrap();
    let id = built["id"].as_str().unwrap();
    assert!(docker(&["rmi", "-f", id]).status.success());
    let (built, _) = place.build(&recipe, &[]);
    assert!(
        built["notices"].to_string().contains("another image"),
        "{built}"
    );
}

#[test]
fn without_room_it_goes_on_without_the_cache() {
    let Some(mut place) = Place::new("1M") else {
        return;
    };
    let recipe = place.recipe("large", "RUN head -c 3000000 /dev/urandom > /noise\n");
    let (built, _) = place.build(&recipe, &[]);
    assert_eq!(built["cached"], false);
    assert!(built["notices"].to_string().contains("larger"), "{built}");
    assert!(place.data().is_empty());
    // A folder that is open to others is not believed.
    let own = fs::read_dir(place.path("cache")).unwrap().next().unwrap();
    let own = own.unwrap().path();
    fs::set_permissions(own, fs::Permissions::from_mode(0o777)).unwrap();
    let (built, _) = place.build(&recipe, &[]);
    assert!(
        built["notices"].to_string().contains("open to others"),
        "{built}"
    );
}

/// The lock's files.
fn locks(place: &Place) -> usize {
    let below = fs::read_dir(place.path("cache")).into_iter().flatten();
    let locks = below.filter_map(|entry| fs::read_dir(entry.unwrap().path().join("locks")).ok());
    locks
        .flatten()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some())
        .count()
}

#[test]
fn two_at_once_do_the_work_once_and_a_dead_owner_is_followed() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let slow = "RUN sleep 4; head -c 16 /dev/urandom > /noise\n";
    let recipe = place.recipe("slow", slow);
    let words = ["build", "--json", "--dockerfile", recipe.to_str().unwrap()];
    let start = |config: &str| -> Child {
        let mut command = place.command(config, &words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (one, two) = (start("config.toml"), start("other.toml"));
    let ran = [one, two].map(|child| Ran {
        output: child.wait_with_output().unwrap(),
    });
    let ids = [0, 1].map(|n| ran[n].json()["id"].clone());
    assert_eq!(ids[0], ids[1]);
    let told = format!("{}{}", ran[0].err(), ran[1].err());
    assert_eq!(told.matches("Successfully built").count(), 1, "{told}");
    assert!(told.contains("waiting for"), "{told}");
    assert_eq!(locks(&place), 0);

    // The owner dies at its work.
    let slower = place.recipe("slower", "RUN sleep 8; head -c 16 /dev/urandom > /noise\n");
    let words = ["build", "--dockerfile", slower.to_str().unwrap()];
    let mut command = place.command("config.toml", &words);
    let mut owner = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while locks(&place) == 0 {
        assert!(Instant::now() < deadline, "no lock");
        std::thread::sleep(Duration::from_millis(50));
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_eq!(locks(&place), 1, "its lock is left");
    let began = Instant::now();
    let (built, told) = place.build_with("other.toml", &slower, &[]);
    eprintln!("taken over and built in {:?}", began.elapsed());
    assert_eq!(built["cached"], true, "{told}");
    assert_eq!(locks(&place), 0);
    place
        .images
        .extend(ids.map(|id| id.as_str().unwrap().to_owned()));
}

#[test]
fn images_are_listed_and_pruned_and_one_in_use_stays() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let recipe = place.recipe("used", "RUN echo used > /used\n");
    let (built, _) = place.build(&recipe, &[]);
    let id = built["id"].as_str().unwrap().to_owned();
    let other = place.recipe("unused", "RUN echo unused > /unused\n");
    let (unused, _) = place.build(&other, &[]);
    let listed = place.image(&["list", "--json"]).json();
    let items = listed["images"].as_array().unwrap();
    assert_eq!(items.len(), 4, "{listed:#}");
    let places: Vec<&str> = items.iter().map(|i| i["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["node", "node", "cache", "cache"]);
    assert!(items.iter().all(|item| item["bytes"].as_u64() > Some(0)));

    let container = docker(&["create", &id, "true"]).stdout;
    let container = String::from_utf8_lossy(&container).trim().to_owned();
    let told = place.image(&["prune", "--unused-for", "0s", "--dry-run", "--json"]);
    let told = told.json();
    assert_eq!(told["removed"].as_array().unwrap().len(), 3, "{told:#}");
    assert_eq!(place.data().len(), 2);
    let pruned = place
        .image(&["prune", "--unused-for", "0s", "--json"])
        .json();
    docker(&["rm", "-f", &container]);
    assert_eq!(pruned["removed"], told["removed"]);
    assert!(pruned["kept"].to_string().contains("a container uses it"));
    assert!(has(&id) && !has(unused["id"].as_str().unwrap()));
    assert!(place.data().is_empty());
    place
        .image(&["prune", "--keep-size", "1K", "--json"])
        .json();
    assert!(!has(&id));
    place.image(&["prune"]).fails(2, &["--unused-for"]);
}

#[test]
fn a_layer_brings_an_sshd_where_the_image_can() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    // No package manager at all.
    let ran = place.image(&["build", "-i", BASE, "--sshd", "layer"]);
    ran.fails(8, &["no package manager", "hint:"]);
    // A stand-in for one, since there may be no internet here.
    let apk = "RUN printf '#!/bin/sh\\necho $*\\nmkdir -p /usr/sbin /etc/ssh\\n\
               echo key > /etc/ssh/ssh_host_x_key\\ncp /bin/busybox /usr/sbin/sshd\\n' > /bin/apk \
               && chmod 755 /bin/apk\nUSER 1000:1000\n";
    let recipe = place.recipe("apk", apk);
    let (built, told) = place.build(&recipe, &["--sshd", "layer"]);
    assert!(told.contains("add --no-cache openssh-server"), "{told}");
    assert_eq!(built["cached"], true, "{told}");
    let id = built["id"].as_str().unwrap();
    assert_eq!(run(id, &["id", "-u"]), "1000");
    assert_eq!(run(id, &["ls", "/usr/sbin/sshd"]), "/usr/sbin/sshd");
    assert_eq!(
        run(id, &["ls", "/etc/ssh"]),
        "",
        "a host key is in the image"
    );
    let (again, told) = place.build(&recipe, &["--sshd", "layer"]);
    assert_eq!(again["id"], built["id"]);
    assert!(!told.contains("add --no-cache"), "{told}");
}

/// Debian's registry on a port of the loopback, which wants a login.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(place: &Place) -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            support::skip("docker-registry is not installed");
            return None;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let at = |name: &str| place.path(name).display().to_string();
        fs::write(at("htpasswd"), HTPASSWD).unwrap();
        let config = serde_json::json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": at("registry")}},
            "http": {"addr": address},
            "auth": {"htpasswd": {"realm": "test", "path": at("htpasswd")}},
        });
        // JSON is YAML.
        fs::write(at("registry.yml"), config.to_string()).unwrap();
        let child = Command::new(program)
            .args(["serve", &at("registry.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_login_is_found_wherever_people_keep_theirs() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let Some(registry) = Registry::start(&place) else {
        return;
    };
    let name = format!("{}/lab/private:1", registry.address);
    place.images.push(name.clone());
    // Base64 of `alice:s3cret-pass`.
    let stored = format!(
        r#"{{"auths":{{"{}":{{"auth":"YWxpY2U6czNjcmV0LXBhc3M="}}}}}}"#,
        registry.address
    );
    fs::create_dir(place.path("docker")).unwrap();
    let config = place.path("docker/config.json");
    fs::write(&config, &stored).unwrap();
    // Pushed as the docker command does it.
    docker(&["tag", BASE, &name]);
    let docker_config = place.path("docker");
    let pushed = Command::new("docker")
        .args(["push", &name])
        .env("DOCKER_CONFIG", &docker_config)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(pushed.status.success(), "{err}");

    let forget = || {
        docker(&["rmi", &name]);
        assert!(!has(&name));
    };
    let pull = |place: &Place| place.image(&["build", "-i", &name, "-vv"]);
    let mut said = String::new();
    // No login at all.
    fs::remove_file(&config).unwrap();
    forget();
    let ran = pull(&place);
    ran.fails(8, &["no access to image", "docker login"]);
    // Docker's own file.
    fs::write(&config, &stored).unwrap();
    let ran = pull(&place);
    assert!(ran.output.status.success(), "{}", ran.err());
    said.push_str(&ran.err());
    // The cache has it now: without a login and without the registry.
    assert_eq!(place.data().len(), 1);
    fs::remove_file(&config).unwrap();
    forget();
    let ran = pull(&place);
    assert!(ran.err().contains("from the shared cache"), "{}", ran.err());
    fs::remove_dir_all(place.path("cache")).unwrap();
    // A helper program.
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\nread -r key\n[ \"$1 $key\" = 'get {}' ] || exit 1\n\
         echo '{{\"Username\":\"{}\",\"Secret\":\"{}\"}}'\n",
        registry.address, LOGIN.0, LOGIN.1
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&config, r#"{"credsStore":"test"}"#).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    place.env.push(("PATH", path.into()));
    forget();
    let ran = pull(&place);
    assert!(ran.output.status.success(), "{}", ran.err());
    said.push_str(&ran.err());
    fs::remove_dir_all(place.path("cache")).unwrap();
    // Podman's.
    fs::remove_file(&config).unwrap();
    fs::write(place.path("podman-auth.json"), &stored).unwrap();
    forget();
    let ran = pull(&place);
    assert!(ran.output.status.success(), "{}", ran.err());
    said.push_str(&ran.err());
    // Nothing of it was said, not even with every detail on.
    for secret in [LOGIN.1, "YWxpY2U6czNjcmV0LXBhc3M="] {
        assert!(!said.contains(secret), "{said}");
    }
}
