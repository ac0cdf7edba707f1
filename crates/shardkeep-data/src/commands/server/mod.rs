//! The entries of the commands that concern the connection or the server: what they do is the server's.

mod connection;
mod operate;
mod transaction;

use super::spec::CommandSpec;

/// These commands.
pub(crate) const COMMANDS: &[&[CommandSpec]] = &[
    connection::COMMANDS,
    operate::COMMANDS,
    transaction::COMMANDS,
];
