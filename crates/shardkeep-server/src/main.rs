//! The binary `shardkeep`. Everything is in the library, so that others can make the same program.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardkeep_server::cli::main()
}
