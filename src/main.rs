//! The qdebug command.
fn main() {}
