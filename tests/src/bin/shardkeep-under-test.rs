//! The server as the tests run it, so that a clean `cargo test --workspace` builds what it runs.
//!
//! In builds with debug assertions `FAIL_POINTS` plants failures in it, as
//! `reactor.tick=panic*2,reactor.round=stall:1500`, and so does then each line of its standard input; the
//! name of a fault in [`shardkeep_tests::harness::PLANTED`] makes it a server that gets that wrong.

use std::process::ExitCode;

/// That of the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    shardkeep_server::heap::use_jemalloc();
    if let Err(error) = shardkeep_tests::planting::from_environment() {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    #[cfg(debug_assertions)]
    if plant().is_none() {
        return ExitCode::from(2);
    }
    shardkeep_server::cli::main()
}

/// What the environment asks for; `None` where there is no such thing.
#[cfg(debug_assertions)]
fn plant() -> Option<()> {
    use shardkeep_server::fault;

    if let Ok(name) = std::env::var(shardkeep_tests::harness::PLANTED) {
        fault::plant(
            fault::ALL
                .into_iter()
                .find(|it| format!("{it:?}") == name)?,
        );
    }
    Some(())
}
