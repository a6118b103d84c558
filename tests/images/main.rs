//! `qdebug image` on a real Docker: recipes, logins, layers, and the shared cache with all that can
//! become of it. Skipped, and said so, where there is no engine or no image.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)] // A test.

mod cache;
mod login;
mod place;
mod recipes;
#[path = "../support/mod.rs"]
mod support;
