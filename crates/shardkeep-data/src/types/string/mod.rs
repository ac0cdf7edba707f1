//! Strings: bytes, which may be numbers.

mod bignum;
mod counter;
mod extended;
mod many;
mod set;
mod text;

use crate::commands::spec::CommandSpec;

pub(crate) use set::key_flags;

/// The commands on strings.
pub(crate) const COMMANDS: &[&[CommandSpec]] = &[
    text::COMMANDS,
    set::COMMANDS,
    counter::COMMANDS,
    many::COMMANDS,
];
