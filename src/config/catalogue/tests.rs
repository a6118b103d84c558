//! The catalogue: what is built in, what files change, and what is refused.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::Config;
use super::*;

fn load(site: &str, user: &str) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        folder.path().join("site.toml"),
        folder.path().join("user.toml"),
    ];
    std::fs::write(&paths[0], site).unwrap();
    std::fs::write(&paths[1], user).unwrap();
    Config::read(&paths[0], Some(&paths[1]))
}

fn example(name: &str) -> Config {
    let path = PathBuf::from(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR")));
    assert!(path.is_file(), "{name}");
    let config = Config::read(&path, None).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    config
}

#[test]
fn built_in_patterns_match_what_nvml_says_and_no_neighbour() {
    let names = [
        ("P100", "Tesla P100-PCIE-12GB"),
        ("V100", "Tesla V100-SXM2-32GB"),
        ("V100", "Tesla V100S-PCIE-32GB"),
        ("GTX1080", "NVIDIA GeForce GTX 1080"),
        ("GTX1080TI", "NVIDIA GeForce GTX 1080 Ti"),
        ("T4", "Tesla T4"),
        ("A40", "NVIDIA A40"),
        ("L40S", "NVIDIA L40S"),
        ("A100", "NVIDIA A100-SXM4-80GB"),
        ("H100", "NVIDIA H100 80GB HBM3"),
        ("H200", "NVIDIA H200"),
    ];
    let others = [
        "NVIDIA A10",
        "NVIDIA L40",
        "Quadro T400",
        "NVIDIA GeForce GTX 1080 with Max-Q Design",
        "NVIDIA RTX A4000",
    ];
    let catalogue = Catalogue::built_in();
    for kind in catalogue.types() {
        let pattern = regex(kind.pattern.as_deref().unwrap()).unwrap();
        for (of, name) in names {
            assert_eq!(pattern.is_match(name), of == kind.name, "{kind}: {name}");
        }
        assert!(others.iter().all(|name| !pattern.is_match(name)), "{kind}");
    }
}

#[test]
fn short_names_are_those_of_old() {
    let catalogue = Catalogue::built_in();
    for (short, name) in [
        ("P", "P100"),
        ("V", "V100"),
        ("G", "GTX1080"),
        ("gt", "GTX1080TI"),
    ] {
        assert_eq!(catalogue.find(short).unwrap().name, name);
    }
    assert_eq!(catalogue.find("v100").unwrap().name, "V100");
    assert!(catalogue.find("V10").is_none() && catalogue.find("").is_none());
}

#[test]
fn files_change_types_key_by_key_and_add_some() {
    let config = load(
        "[gpus.V100]\ncpus = 16\nqueue = 'gpu'\nopenpbs = 'ngpus={count}:gpu_type=tesla'\n",
        "[gpus.v100]\nqueue = 'mine'\n[gpus.MI50]\naliases = ['V', 'M']\nmemory = '28G'\n",
    )
    .unwrap();
    let catalogue = config.catalogue();
    let v100 = catalogue.find("V100").unwrap();
    assert_eq!((v100.cpus, v100.queue.as_deref()), (Some(16), Some("mine")));
    let words = v100.words(Dialect::OpenPbs);
    assert!(words.is_configured && !v100.words(Dialect::Slurm).is_configured);
    assert_eq!(words.with_count(2).unwrap(), "ngpus=2:gpu_type=tesla");
    // The user's short name is taken from the built-in type.
    let mi50 = catalogue.find("V").unwrap();
    assert_eq!(
        (mi50.name.as_str(), mi50.memory_bytes),
        ("MI50", Some(28 << 30))
    );
    assert_eq!(mi50.words(Dialect::Slurm).text, "gpu:MI50:{count}");
    assert!(v100.aliases.is_empty());
}

#[test]
fn words_without_a_count_ask_for_one() {
    let config = load("[gpus.V100]\ntorque = 'V100'\n", "").unwrap();
    let words = config.catalogue().find("V").unwrap().words(Dialect::Torque);
    assert_eq!(words.with_count(1).as_deref(), Some("V100"));
    assert_eq!(words.with_count(2), None);
}

#[test]
fn a_schedulers_words_are_recognised() {
    let config = load("[gpus.V100]\nslurm = 'gpu:volta:{count}'\n", "").unwrap();
    for (word, name) in [
        ("volta", "V100"),
        ("a100", "A100"),
        ("nvidia_a100-sxm4-80gb", "A100"),
        ("gtx_1080_ti", "GTX1080TI"),
        ("tesla_p100", "P100"),
    ] {
        let found = config.catalogue().of_word(word);
        assert_eq!(found.map(|kind| kind.name.as_str()), Some(name), "{word}");
    }
    for word in ["gpu", "mi50", "", "count", "bigmem"] {
        assert!(config.catalogue().of_word(word).is_none(), "{word}");
    }
}

#[test]
fn what_is_wrong_is_told_with_file_line_key_and_cure() {
    for (keys, says) in [
        ("cpus = 0", "1 or more"),
        ("cpus = '8'", "the text \"8\"; write a whole number"),
        ("memory = 28", "the number 28; write a text in quotes"),
        ("memory = '28'", "28G"),
        ("pattern = '('", "regular expression"),
        ("pattern = ''", "empty"),
        ("slurm = 'gpu:{n}'", "{count}"),
        ("torque = ' '", "write what"),
        ("openpbs = \"a\\nb\"", "write what"),
        ("aliases = ['a b']", "no GPU type"),
        ("aliases = ['none']", "no GPU"),
    ] {
        let error = load(&format!("[gpus.V100]\n{keys}\n"), "")
            .unwrap_err()
            .to_string();
        let key = keys.split(' ').next().unwrap();
        let place = format!("site.toml:2: gpus.V100.{key}: ");
        assert!(
            error.contains(&place) && error.contains(says),
            "{keys}: {error}"
        );
    }
    for text in ["[gpus.'a b']\ncpus = 1\n", "[gpus.none]\ncpus = 1\n"] {
        assert!(
            load(text, "")
                .unwrap_err()
                .to_string()
                .contains("site.toml:"),
            "{text}"
        );
    }
    let clash = "[gpus.A]\naliases = ['X']\n[gpus.B]\naliases = ['x']\n";
    let error = load(clash, "").unwrap_err().to_string();
    assert!(
        error.contains("site.toml:4: gpus.B.aliases: x is a name of A"),
        "{error}"
    );
    let warned = load("[gpus.V100]\nmemry = '1G'\n", "").unwrap().warnings;
    assert!(
        warned[0]
            .to_string()
            .ends_with("gpus.V100.memry; did you mean memory?")
    );
}

#[test]
fn the_example_site_files_are_complete() {
    for (name, dialect, v100) in [
        (
            "site-openpbs.toml",
            Dialect::OpenPbs,
            "ngpus=2:gpu_model=V100",
        ),
        ("site-torque.toml", Dialect::Torque, "gpus=2:V100"),
    ] {
        let config = example(name);
        let kind = |short: &str| config.catalogue().find(short).unwrap();
        let limits = |short: &str| (kind(short).cpus, kind(short).memory_bytes);
        assert_eq!(limits("P"), (Some(8), Some(28 << 30)), "{name}");
        assert_eq!(limits("V"), (Some(16), None), "{name}");
        for short in ["G", "GT"] {
            assert_eq!(limits(short), (Some(5), Some(28 << 30)), "{name}");
        }
        assert_eq!(kind("V").words(dialect).with_count(2).unwrap(), v100);
        assert!(kind("V").words(dialect).is_configured && kind("V").queue.is_some());
        assert!(config.scheduler().is_some() && config.home().is_none());
    }
}

#[test]
fn a_file_that_is_not_there_is_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Config::read(&folder.path().join("none"), None).is_ok());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(?s).{0,80}|\\[gpus\\.[a-zA-Z' ]{0,4}\\]\n([a-z]{1,8} = ('[^'\n]{0,8}'|[0-9]{1,3}|\\['[A-Z]{0,2}'\\])\n){0,4}") {
        let _ = load(&text, "");
    }

    #[test]
    fn no_word_makes_it_panic(word in ".{0,30}") {
        let catalogue = Catalogue::built_in();
        let _ = (catalogue.find(&word), catalogue.of_word(&word));
    }
}
