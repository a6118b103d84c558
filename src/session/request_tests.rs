//! Tests of `request.rs`.

use super::*;

#[test]
fn mounts_are_read_as_docker_writes_them() {
    let mount: Mount = "/data/sets:/mnt/a b:ro".parse().unwrap();
    assert_eq!(mount.target(), std::path::Path::new("/mnt/a b"));
    assert!(mount.is_read_only());
    assert_eq!(mount.to_string(), "/data/sets:/mnt/a b:ro");
    let both = Mount::parse_list("/a:/b;/c:/d;").unwrap();
    assert_eq!(both.len(), 2);
}

#[test]
fn odd_mounts_are_refused() {
    for bad in [
        "",
        "/a",
        "a:b",
        "/a:b",
        "/a:/b:rx",
        "/a:/b:ro:z",
        "/a\n:/b",
        "/a/../b:/c",
    ] {
        assert!(bad.parse::<Mount>().is_err(), "{bad:?}");
    }
    assert!(serde_json::from_str::<Mount>(r#"{"source":"/a","target":"b"}"#).is_err());
}

#[test]
fn variable_names_are_names() {
    assert!("_A1".parse::<EnvName>().is_ok());
    for bad in ["", "1A", "A-B", "A=B", "A\n", "Ä"] {
        assert!(bad.parse::<EnvName>().is_err(), "{bad:?}");
    }
}
