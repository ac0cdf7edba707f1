//! Programs that are the tests' driver and, started again by themselves, the server: so one build has both.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::planting;

/// Is the server when told to serve; else runs `run`, and says why it failed, under this program's `name`.
pub fn main(name: &str, run: impl FnOnce() -> io::Result<()>) -> ExitCode {
    if env::args().nth(1).is_some_and(|command| command == "serve") {
        if let Err(error) = planting::from_environment() {
            drop(writeln!(io::stderr(), "{name}: {error}"));
            return ExitCode::FAILURE;
        }
        return shardkeep_server::cli::main();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}
