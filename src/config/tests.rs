//! The two files over each other, and what is refused of them.

use super::*;

fn read(site: &str, user: &str) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        folder.path().join("site.toml"),
        folder.path().join("user.toml"),
    ];
    std::fs::write(&paths[0], site).unwrap();
    std::fs::write(&paths[1], user).unwrap();
    Config::read(&paths[0], Some(&paths[1]))
}

#[test]
fn a_users_profile_of_the_same_login_takes_what_it_leaves_out_from_the_sites() {
    let site = "[clusters.lab]\nlogin = 'al@host'\nmasters = false\nreach = ['port']\n";
    let user = |login: &str| format!("[clusters.lab]\nlogin = '{login}'\nreach = ['exec']\n");
    let config = read(site, &user("al@host")).unwrap();
    let lab = config.profile("lab").unwrap();
    assert_eq!(lab.masters, Some(false));
    assert_eq!(lab.reach.as_deref(), Some(&["exec".to_owned()][..]));
    assert_eq!(config.logins_without_masters(), ["al@host"]);
    // Another login is another cluster.
    let config = read(site, &user("bob@elsewhere")).unwrap();
    assert_eq!(config.profile("lab").unwrap().masters, None);
}

#[test]
fn the_users_file_beats_the_sites_key_by_key() {
    let config = read(
        "node_dir = '/scratch'\n[submit]\nqueue = 'gpu'\nimage = 'a'\n",
        "[submit]\nimage = 'b'\n[clusters.lab]\nlogin = 'al@host'\n",
    )
    .unwrap();
    assert_eq!(config.node_dir(), Path::new("/scratch"));
    let submit = config.submit();
    assert_eq!(
        (submit.queue.as_deref(), submit.image.as_deref()),
        (Some("gpu"), Some("b"))
    );
    assert_eq!(config.profile_of_login("al@host").unwrap().0, "lab");
    assert!(config.warnings.is_empty());
}

#[test]
fn masters_are_made_unless_a_profile_says_otherwise() {
    let site = "[clusters.a]\nlogin = 'al@a'\n[clusters.b]\nlogin = 'al@b'\nmasters = false\n\
                [clusters.c]\nlogin = 'al@c'\nmasters = false\n";
    let user = "[clusters.c]\nlogin = 'al@c'\nmasters = true\n";
    let config = read(site, user).unwrap();
    assert_eq!(config.logins_without_masters(), ["al@b"]);
    assert!(read("[clusters.a]\nlogin = 'a'\nmasters = 'no'\n", "").is_err());
}

#[test]
fn the_cache_is_off_until_somebody_switches_it_on() {
    let of = |site: &str, user: &str| {
        let config = read(site, user).unwrap();
        (config.cache().map(Path::to_owned), config.cache_size())
    };
    assert_eq!(of("", ""), (None, 100 << 30));
    let site = "cache = '/scratch/cache'\ncache_size = '2T'\n";
    assert_eq!(of(site, ""), (Some("/scratch/cache".into()), 2 << 40));
    assert_eq!(of(site, "cache = ''\ncache_size = '1G'"), (None, 1 << 30));
    let below_home = of("cache = '~/a b'", "").0.unwrap();
    assert!(below_home.is_absolute() && below_home.ends_with("a b"));
    assert!(read("cache = 'relative'", "").is_err());
    assert!(read("cache_size = '7'", "").is_err());
}

#[test]
fn no_user_lifts_the_sites_word_on_picking() {
    let refuses = |site: &str, user: &str| read(site, user).unwrap().refuses_picked_gpus();
    assert!(!refuses("", ""));
    assert!(!refuses("gpu_pick = 'idle'", ""));
    assert!(refuses("gpu_pick = 'refuse'", "gpu_pick = 'idle'"));
    assert!(refuses("", "gpu_pick = 'refuse'"));
    let error = read("gpu_pick = 'often'\n", "").unwrap_err().to_string();
    assert!(
        error.contains("site.toml:1: gpu_pick: ") && error.contains("refuse"),
        "{error}"
    );
}

#[test]
fn the_order_of_ways_is_the_users_before_the_sites() {
    let of = |site: &str, user: &str| read(site, user).map(|c| c.reach().map(<[_]>::to_vec));
    assert_eq!(of("", "").unwrap(), None);
    let site = "reach = ['port', 'jump']\n";
    assert_eq!(of(site, "").unwrap().unwrap(), ["port", "jump"]);
    assert_eq!(of(site, "reach = ['exec']").unwrap().unwrap(), ["exec"]);
    let config = read(site, "[clusters.x]\nlogin = 'a'\nreach = ['nested']\n").unwrap();
    let profile = config.profile("x").unwrap();
    assert_eq!(profile.reach.as_deref(), Some(&["nested".to_owned()][..]));
    let line = config.origin(&["clusters", "x", "reach"]).to_string();
    assert!(line.ends_with("user.toml:3"), "{line}");
    for (text, cure) in [
        ("reach = ['jumps']", "did you mean jump?"),
        ("reach = ['direct']", "known are jump, nested, port, exec"),
        (
            "reach = ['port', 'jump', 'port']",
            "port stands there twice",
        ),
        ("reach = []", "at least one"),
        ("[clusters.x]\nlogin = 'a'\nreach = ['no']", "is no way"),
    ] {
        for (site, user) in [(text, ""), ("", text)] {
            let told = of(site, user).unwrap_err().to_string();
            assert!(told.contains("reach: ") && told.contains(cure), "{told}");
        }
    }
}

#[test]
fn only_the_site_opens_a_node_to_its_network() {
    let of = |site: &str, user: &str| read(site, user).map(|config| config.publish());
    assert_eq!(of("", "").unwrap(), Publish::Loopback);
    assert_eq!(of("publish = 'login'", "").unwrap(), Publish::Login);
    let closed = of("publish = 'login'", "publish = 'loopback'").unwrap();
    assert_eq!(closed, Publish::Loopback);
    let told = of("", "# mine\npublish = 'login'\n")
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("user.toml:2: publish: only the site"),
        "{told}"
    );
    let told = of("publish = '0.0.0.0/0'", "").unwrap_err().to_string();
    assert!(told.contains("site.toml:1: publish: never all"), "{told}");
}

#[test]
fn files_that_are_not_there_are_empty() {
    let config = Config::read(Path::new("/no/such"), Some(Path::new("/no/such"))).unwrap();
    assert_eq!(config.node_dir(), Path::new("/var/tmp"));
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_known() {
    let config = read(
        "",
        "[submit]\nwaltime = '4h'\n[clusters.x]\nlogin='a'\nfoo=1\n",
    )
    .unwrap();
    let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(
        told[0].contains(":2: ") && told[0].ends_with("submit.waltime; did you mean walltime?"),
        "{told:?}"
    );
    assert!(
        told[1].contains(":5: there is no key clusters.x.foo"),
        "{told:?}"
    );
}

#[test]
fn an_error_names_file_line_and_key() {
    assert_eq!(read("engine = 'podman'\n", "").unwrap().engine(), "podman");
    let error = read("", "engine = 'lxc'\n").unwrap_err().to_string();
    assert!(error.contains("user.toml:1: engine: "), "{error}");
    let error = read("", "home = '/x'\nnode_dir = 5\n").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("user.toml:2: node_dir: "), "{text}");
    assert!(read("", "node_dir = 'relative'\n").is_err());
    assert!(read("", "[clusters.x]\nlogin = '-oProxyCommand=sh'\n").is_err());
    for odd in ["~/x", "scratch", "/a\\nb"] {
        let text = format!("[clusters.x]\nlogin = 'a'\nscratch = \"{odd}\"\n");
        let error = read("", &text).unwrap_err().to_string();
        assert!(error.contains(":3: clusters.x.scratch: "), "{error}");
    }
}
