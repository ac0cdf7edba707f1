//! The server as the tests run it, so that a clean `cargo test --workspace` builds what it runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardkeep_server::cli::main()
}
