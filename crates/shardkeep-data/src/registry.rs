//! The registry: which commands there are, a line for each type and each part of the rest.

use crate::commands::spec::{Categories, CommandSpec, Group};
use crate::commands::{self, server};
use crate::types::string;

/// Commands that stand together under a heading.
pub(crate) struct Part {
    /// That of each, unless its entry names another.
    pub(crate) group: Group,
    /// Those of each, beside those that its entry names.
    pub(crate) categories: Categories,
    pub(crate) commands: &'static [&'static [CommandSpec]],
}

const fn part(
    group: Group,
    categories: Categories,
    commands: &'static [&'static [CommandSpec]],
) -> Part {
    Part {
        group,
        categories,
        commands,
    }
}

/// All commands; subcommands follow their container.
pub(crate) const PARTS: &[Part] = &[
    part(Group::String, Categories::STRING, string::COMMANDS),
    part(Group::Generic, Categories::KEYSPACE, commands::ON_KEYS),
    part(Group::Server, Categories::NONE, server::COMMANDS),
];
