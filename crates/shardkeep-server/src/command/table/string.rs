//! The entries of the string commands.

use super::super::string;
use super::super::{Categories, CommandSpec, Flags, Group, KeySpec};

const WRITES: Flags = Flags::WRITE.and(Flags::DENYOOM);

const fn one_key(flags: &'static [&'static str]) -> KeySpec {
    KeySpec {
        note: "",
        flags,
        begin: 1,
        last: 0,
        step: 1,
    }
}

const READ: &[KeySpec] = &[one_key(&["RO", "access"])];
const SET: &[KeySpec] = &[KeySpec {
    note: "RW and ACCESS due to the optional `GET` argument",
    ..one_key(&["RW", "access", "update", "variable_flags"])
}];

const fn string(spec: CommandSpec) -> CommandSpec {
    spec.in_group(Group::String)
        .in_categories(Categories::STRING)
}

pub(super) const SPECS: [CommandSpec; 2] = [
    string(CommandSpec::on_key(
        "get",
        2,
        Flags::READONLY.and(Flags::FAST),
        string::get,
        READ,
    ))
    .about("1.0.0", "O(1)", "Gives the value of a key"),
    string(CommandSpec::on_key("set", -3, WRITES, string::set, SET)).about(
        "1.0.0",
        "O(1)",
        "Gives a key a value",
    ),
];
