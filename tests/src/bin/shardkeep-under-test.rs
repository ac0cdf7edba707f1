//! The server as the tests run it, so that a clean `cargo test --workspace` builds what it runs.
//!
//! In builds with debug assertions `FAIL_POINTS` plants failures in it, as
//! `reactor.tick=panic*2,reactor.round=stall:1500`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(debug_assertions)]
    if let Ok(plans) = std::env::var("FAIL_POINTS")
        && shardkeep::engine::fail_point::plant_all(&plans).is_err()
    {
        return ExitCode::from(2);
    }
    shardkeep_server::cli::main()
}
