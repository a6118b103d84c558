//! The `qdebug` command.

fn main() -> std::process::ExitCode {
    qdebug::cli::run()
}
