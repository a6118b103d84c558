//! The node half on a real Docker: ready, entered, ended in every way, and nothing left.
//!
//! The node half runs in a process of its own, as the job script would run it; for that this test
//! program starts itself. Skipped, and said so, where there is no engine, no kit or no image, and for
//! whoever is not root: the node half is started as another user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)] // A test.

mod cdi;
mod ends;
mod entered;
mod gpus;
#[path = "../support/mod.rs"]
mod support;
mod trial;

use std::path::{Path, PathBuf};

use qdebug::engine::Choice;
use qdebug::node::{self, Explanation, Options};

use crate::trial::{CACHE, NODE_DIR, SESSION};

/// Not a test: what the other tests start as the node half.
#[test]
fn as_the_node_half() {
    let Some(session) = std::env::var_os(SESSION) else {
        return;
    };
    let options = Options {
        node_dir: std::env::var_os(NODE_DIR).map(PathBuf::from),
        may_pick_gpus: true,
        engine: Choice::Docker,
        pass_env: Vec::new(),
        publish: node::Publish::Loopback,
        cache: std::env::var_os(CACHE).map(|folder| node::CacheOptions {
            folder: folder.into(),
            limit: 10 << 30,
        }),
        explain: |_| Explanation {
            hint: Some("a hint".into()),
            code: Some(7),
        },
    };
    let run = node::run(Path::new(&session), &options);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Err(error) = runtime.block_on(run) {
        eprintln!("{}", error.sentence());
    }
    runtime.shutdown_background();
}
