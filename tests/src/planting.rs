//! What is planted in a server under test: by its environment, and while it runs.
//!
//! Fail points are in builds with debug assertions alone (`cargo test`, or `--profile faults`).
//!
//! 1. What was planted while the server runs is said on standard error, so that nobody need guess when.

use std::env;
use std::io;
#[cfg(debug_assertions)]
use std::io::Write as _;

/// What begins the line by which a server says that something was planted.
pub(crate) const SAID: &str = "planted: ";

/// The variable that names what is planted from the start; with it, each line of standard input plants
/// something more.
pub const FAIL_POINTS: &str = "FAIL_POINTS";

/// Plants what the environment asks for, and goes on with standard input.
///
/// # Errors
/// What was not understood, or there is no thread.
#[cfg(debug_assertions)]
pub fn from_environment() -> io::Result<()> {
    use std::thread;

    use shardkeep::engine::fail_point::plant_all;

    let Ok(plans) = env::var(FAIL_POINTS) else {
        return Ok(());
    };
    plant_all(&plans).map_err(|part| io::Error::other(format!("no fail point: {part:?}")))?;
    // Ends with the process.
    let _detached = thread::Builder::new()
        .name("planting".to_owned())
        .spawn(|| {
            for line in io::stdin().lines().map_while(Result::ok) {
                let said = match plant_all(&line) {
                    Ok(()) => format!("{SAID}{line}\n"),
                    Err(part) => format!("no fail point: {part:?}\n"),
                };
                // In one piece: the server says things meanwhile.
                drop(io::stderr().write_all(said.as_bytes()));
            }
        })?;
    Ok(())
}

/// Says that this build has no fail points, where some are asked for.
///
/// # Errors
/// Some are asked for.
#[cfg(not(debug_assertions))]
pub fn from_environment() -> io::Result<()> {
    match env::var(FAIL_POINTS) {
        Ok(plans) if !plans.is_empty() => Err(io::Error::other(
            "no fail points in this build: use --profile faults",
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}
