//! The entries of the commands with which an operator looks closer.

use super::super::ConnectionCommand as Does;
use super::super::spec::{CommandSpec as Spec, Flags, Group, READS};
use super::super::{key_specs as keys, object, tips};

const LOOKS: Flags = Flags::LOADING
    .and(Flags::STALE)
    .and(Flags::NOSCRIPT)
    .and(Flags::ADMIN);

const fn of_server(name: &'static str, arity: i32, does: Does) -> Spec {
    Spec::connection(name, arity, LOOKS, does).tips(tips::VARIES)
}

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::container("slowlog", Group::Server)
        .about("2.2.12", "that of the subcommand", "Groups what concerns slow commands"),
    of_server("slowlog|get", -2, Does::SlowlogGet)
        .about("2.2.12", "O(N), N entries asked for", "Shows the slowest commands of late"),
    of_server("slowlog|help", 2, Does::Command).about("6.2.0", "O(1)", "Explains the subcommands"),
    of_server("slowlog|len", 2, Does::SlowlogLen).about("2.2.12", "O(1)", "Counts the entries"),
    of_server("slowlog|reset", 2, Does::SlowlogReset)
        .about("2.2.12", "O(N), N entries", "Forgets the entries"),
    Spec::container("latency", Group::Server)
        .about("2.8.13", "that of the subcommand", "Groups what concerns latency"),
    of_server("latency|doctor", 2, Does::LatencyEvents)
        .about("2.8.13", "O(1)", "Tells where latency is to be seen"),
    of_server("latency|graph", 3, Does::LatencyEvents)
        .about("2.8.13", "O(1)", "Draws an event, of which there are none"),
    of_server("latency|help", 2, Does::Command).about("2.8.13", "O(1)", "Explains the subcommands"),
    of_server("latency|histogram", -2, Does::LatencyHistogram)
        .about("7.0.0", "O(N), N commands", "Shows how long commands took, from their arrival to their reply"),
    of_server("latency|history", 3, Does::LatencyEvents)
        .about("2.8.13", "O(1)", "Shows an event, of which there are none"),
    of_server("latency|latest", 2, Does::LatencyEvents)
        .about("2.8.13", "O(1)", "Shows the latest events, of which there are none"),
    of_server("latency|reset", -2, Does::LatencyEvents)
        .about("2.8.13", "O(1)", "Forgets events, of which there are none"),
    Spec::container("memory", Group::Server)
        .about("4.0.0", "that of the subcommand", "Groups what concerns memory"),
    of_server("memory|help", 2, Does::Command).about("4.0.0", "O(1)", "Explains the subcommands"),
    of_server("memory|purge", 2, Does::MemoryPurge)
        .about("4.0.0", "O(N), N pages that are free", "Gives free memory back to the system"),
    of_server("memory|stats", 2, Does::MemoryStats)
        .about("4.0.0", "O(N), N shards and connections", "Tells what memory is used for"),
    Spec::on_key("memory|usage", -3, READS, object::usage, keys::INSPECT_SECOND)
        .about("4.0.0", "O(1)", "Tells how much memory a key takes"),
];
