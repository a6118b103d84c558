//! Logins to a registry, wherever people keep theirs.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{BASE, Place, docker, has};
use crate::support;

/// The registry's user, and the password with its bcrypt hash.
const LOGIN: (&str, &str) = ("alice", "s3cret-pass");
const HTPASSWD: &str = "alice:$2b$05$abcdefghijklmnopqrstuuV7fpPozvyqJfnY19y0802WTlXUm6Rjy\n";

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
