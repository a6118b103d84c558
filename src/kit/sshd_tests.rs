//! Tests of `sshd.rs`.

use super::*;
use proptest::prelude::*;

fn config(server: Server, env: &[(&str, &str)]) -> ServerConfig {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ServerConfig {
        server,
        port: 2222,
        listen: None,
        user: "alice".into(),
        env: env.iter().map(owned).collect(),
    }
}

/// sshd's own way to split a line, told from its manual and source.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| [' ', '\t'].contains(c)).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return words;
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', _) => match chars.peek() {
                    Some('\'' | '"' | '\\') => word.extend(chars.next()),
                    Some(' ') if quote.is_none() => word.extend(chars.next()),
                    _ => word.push(c),
                },
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.push(c),
            }
        }
        assert_eq!(quote, None, "open quote in {line}");
        words.push(word);
    }
}

fn set(text: &str) -> Vec<String> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("SetEnv "));
    let words = split(lines.next().unwrap_or_default());
    assert_eq!(lines.next(), None);
    words
}

#[test]
fn the_whole_text() {
    let (text, dropped) = config(Server::Kit, &[("A", "1"), ("B", "two words")]).render();
    assert!(dropped.is_empty());
    let (head, rest) = text.split_once("AuthenticationMethods").unwrap();
    assert_eq!(
        head,
        "Port 2222\nHostKey /.qdebug-session/host_key\n\
         AuthorizedKeysFile /.qdebug-session/authorized_keys\nAllowUsers alice\n"
    );
    let end = "PerSourcePenalties no\nSetEnv \"A=1\" \"B=two words\"\n";
    assert!(rest.ends_with(end), "{rest}");
}

#[test]
fn values_come_through_exactly() {
    let values = [
        "",
        " ",
        "a b",
        "\"",
        "'",
        "\\",
        "\\\"",
        "a\\",
        "$HOME",
        "`x`",
        "#x",
        "a #b",
        "a=b",
        "\ttab\t",
        "ü 漢",
        "\r",
        "\\ ",
        "it's \"so\"",
        "%h",
        ";",
        "end ",
    ];
    for value in values {
        let (text, dropped) = config(Server::Kit, &[("X", value)]).render();
        assert_eq!(set(&text), [format!("X={value}")]);
        assert!(dropped.is_empty());
    }
}

proptest! {
    #[test]
    fn no_value_breaks_out(value in "\\PC*", other in "[\\\\\"' #$a\t]*") {
        let (text, _) = config(Server::Kit, &[("A", &value), ("B", &other)]).render();
        prop_assert_eq!(set(&text), [format!("A={value}"), format!("B={other}")]);
    }
}

#[test]
fn what_cannot_be_said_is_told() {
    let env = [
        ("", "x"),
        ("1A", "x"),
        ("A B", "x"),
        ("BASH_FUNC_x%%", "() { :; }"),
        ("HOME", "/root"),
        ("NEW", "a\nForceCommand x"),
        ("OK", "x"),
        ("SSH_AUTH_SOCK", "x"),
        ("X=Y", "x"),
    ];
    let (text, dropped) = config(Server::Kit, &env).render();
    assert_eq!(set(&text), ["OK=x"]);
    assert_eq!(dropped.len(), env.len() - 1);
    assert!(!text.contains("ForceCommand"));
}

#[test]
fn too_much_is_left_out() {
    let huge = "x".repeat(MAX_ENVIRONMENT);
    let (text, dropped) = config(Server::Kit, &[("A", "1"), ("B", &huge), ("C", "3")]).render();
    assert_eq!(set(&text), ["A=1", "C=3"]);
    assert_eq!(dropped, ["B"]);
}

#[test]
fn an_older_sshd_gets_only_what_it_understands() {
    let env = [("A", "a\\b c"), ("B", "\""), ("C", "#")];
    let image = |major, minor| config(Server::Image(Version(major, minor)), &env).render();
    let (text, dropped) = image(10, 0);
    assert!(text.contains("PerSourcePenalties no") && text.contains("UsePAM no"));
    assert!(dropped.is_empty());
    let (text, dropped) = image(9, 2);
    assert!(!text.contains("PerSourcePenalties") && dropped.is_empty());
    let (text, dropped) = image(8, 4);
    assert!(text.ends_with("SetEnv \"A=a\\b c\"\n"), "{text}");
    assert_eq!(dropped, ["B", "C"]);
    let (text, dropped) = image(7, 6);
    assert!(!text.contains("SetEnv"));
    assert_eq!(dropped, ["A", "B", "C"]);
}

#[test]
fn versions_are_read() {
    let read = Version::parse;
    assert_eq!(
        read("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL"),
        Some(Version(9, 2))
    );
    assert_eq!(read("SSH-2.0-OpenSSH_10.0"), Some(Version(10, 0)));
    assert!(Version(10, 0) > Version(9, 8));
    for text in ["", "dropbear", "OpenSSH_", "OpenSSH_x.1", "OpenSSH_9.x"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn a_strange_user_or_address_cannot_add_a_pattern() {
    let mut config = config(Server::Kit, &[]);
    config.user = "*".into();
    config.listen = Some(IpAddr::from([127, 0, 0, 1]));
    let (text, _) = config.render();
    assert!(!text.contains("AllowUsers") && !text.contains("SetEnv"));
    assert!(text.starts_with("Port 2222\nListenAddress 127.0.0.1\n"));
}

#[test]
fn paths_and_commands() {
    assert_eq!(
        profile("/a b:$x", "/home/it's"),
        "PATH='/a b:$x'\nexport PATH\nif [ -n \"${SSH_TTY-}\" ] && [ \"$PWD\" = \"$HOME\" ]; \
         then\n    cd '/home/it'\\''s' || :\nfi\n"
    );
    assert_eq!(
        argv(Server::Kit, paths::LEASE).join(" "),
        "/.qdebug/init --lease /.qdebug-session/lease -- \
         /.qdebug/sbin/sshd -D -e -f /.qdebug-session/sshd_config"
    );
    assert_eq!(
        argv(Server::Image(Version(9, 2)), paths::LEASE)[4],
        "/usr/sbin/sshd"
    );
}
