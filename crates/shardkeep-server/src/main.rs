//! The binary `shardkeep`. Everything is in the library, so that others can make the same program; but the
//! allocator is the binary's alone, for a library does not choose for the program that embeds it.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// By measurement: the table under "Memory" in the README of this crate.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    shardkeep_server::heap::use_jemalloc();
    shardkeep_server::cli::main()
}
