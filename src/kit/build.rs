//! Build script: makes init and embeds the kit.
//!
//! For Linux with glibc it compiles `src/kit/init` with one call of rustc, static, and takes
//! `target/kit/kit.tar.gz` (made by `recipe.sh`) when it is there. Both lie in OUT_DIR
//! afterwards, empty where there is nothing to embed, with the hash of their content. It knows
//! nothing of how they are used.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let embeds =
        variable("CARGO_CFG_TARGET_OS")? == "linux" && variable("CARGO_CFG_TARGET_ENV")? == "gnu";

    let init = out.join("qdebug-init");
    let sources = root.join("src/kit/init/src");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=src/kit/build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    if embeds {
        compile(&sources.join("main.rs"), &init)?;
    } else {
        fs::write(&init, "")?;
    }

    let archive = root.join("target/kit/kit.tar.gz");
    let bytes = if embeds { read(&archive)? } else { None };
    let bytes = bytes.unwrap_or_default();
    fs::write(out.join("kit.tar.gz"), &bytes)?;

    // The same sum as `Kit::new` makes for an archive found at run time.
    let init = fs::read(&init)?;
    let mut sum = Sha256::new();
    sum.update(Sha256::digest(&bytes));
    sum.update(Sha256::digest(&init));
    let hash: String = sum.finalize().iter().map(|b| format!("{b:02x}")).collect();
    println!("cargo::rustc-env=QDEBUG_KIT_HASH={hash}");
    Ok(())
}

/// The archive, and the right things to watch: cargo takes a watched file that is missing as
/// changed at every build, so until it appears its nearest folder is watched instead. That folder
/// is made here, since cargo itself writes into `target` all the time.
fn read(archive: &Path) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    if archive.is_file() {
        println!("cargo::rerun-if-changed={}", archive.display());
        return Ok(Some(fs::read(archive)?));
    }
    let folder = archive.parent().ok_or("the archive has no folder")?;
    // A source tree that cannot be written has no kit to come.
    if fs::create_dir_all(folder).is_ok() {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    Ok(None)
}

#[allow(clippy::disallowed_methods)] // A build script cannot see the one place.
fn compile(main: &Path, init: &Path) -> Result<(), Box<dyn Error>> {
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .args(["--crate-name", "qdebug_init", "--crate-type", "bin"])
        .args(["--edition", "2024", "--cap-lints", "allow"])
        .args(["--target", &variable("TARGET")?])
        .args(["-C", "target-feature=+crt-static"])
        .args(["-C", "opt-level=z", "-C", "panic=abort"])
        .args(["-C", "strip=symbols"])
        // Or the kit's hash would differ with the folder of the checkout.
        .arg("--remap-path-prefix")
        .arg(format!("{}=init", sources(main)))
        .arg("-o")
        .args([init, main]);
    // A cross build names its linker here.
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("{rustc:?} failed: {status}").into());
    }
    Ok(())
}

/// The folder of a source file, for a word of the command line.
fn sources(main: &Path) -> std::path::Display<'_> {
    main.parent().unwrap_or(main).display()
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
