//! The laboratory: what owning costs and gains against locking, measured in one run.
//!
//! Measures and prints; it decides nothing and flatters nobody. Every command says in its help
//! what its figures mean.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod clock;
mod connections;
mod distribution;
mod durable;
mod embedded;
mod environment;
mod figures;
mod growth;
mod keys;
mod memory;
mod overload;
mod progress;
mod random;
mod report;
mod server;
mod table;
mod threads;
mod wire;

/// Compare maps, and servers, in the same run, on this machine.
///
/// Run it built with --release on a quiet machine; figures of two runs on a shared machine are
/// not comparable, figures of one run are: rounds alternate over what is compared.
#[derive(Debug, Parser)]
#[command(name = "shardkeep-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Embedded(embedded::Embedded),
    Wire(wire::Wire),
    Durable(durable::Durable),
    Overload(overload::Overload),
    Growth(growth::Growth),
    Memory(memory::Memory),
    Connections(connections::Connections),
    Report(report::Report),
    Echo(server::echo::Echo),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Embedded(command) => command.run(),
        Command::Wire(command) => command.run(),
        Command::Durable(command) => command.run(),
        Command::Overload(command) => command.run(),
        Command::Growth(command) => command.run(),
        Command::Memory(command) => command.run(),
        Command::Connections(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Echo(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shardkeep-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
