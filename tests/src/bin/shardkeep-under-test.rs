//! The server as the tests run it, so that a clean `cargo test --workspace` builds what it runs.
//!
//! With the name of a fault in [`shardkeep_tests::harness::PLANTED`] it is a server that gets that wrong.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(debug_assertions)]
    if let Ok(name) = std::env::var(shardkeep_tests::harness::PLANTED) {
        use shardkeep_server::fault;
        let fault = fault::ALL.into_iter().find(|it| format!("{it:?}") == name);
        match fault {
            Some(fault) => fault::plant(fault),
            None => return ExitCode::FAILURE,
        }
    }
    shardkeep_server::cli::main()
}
