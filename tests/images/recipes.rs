//! Recipes and layers: built once, and failures that say why.

use std::fs;

use crate::place::{BASE, Place, docker, run};

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
