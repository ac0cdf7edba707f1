//! The entries of the string commands.

use super::super::{Categories, CommandSpec, Flags, Group, counter, many, set, string};
use super::key_specs;

const READS: Flags = Flags::READONLY;
const WRITES: Flags = Flags::WRITE;
const GROWS: Flags = WRITES.and(Flags::DENYOOM);

const fn entry(spec: CommandSpec) -> CommandSpec {
    spec.in_group(Group::String)
        .in_categories(Categories::STRING)
}

pub(super) const SPECS: [CommandSpec; 21] = [
    entry(CommandSpec::on_key(
        "get",
        2,
        READS.and(Flags::FAST),
        string::get,
        key_specs::READ,
    ))
    .about("1.0.0", "O(1)", "Gives the value of a key"),
    entry(CommandSpec::on_key(
        "set",
        -3,
        GROWS,
        set::set,
        key_specs::SET,
    ))
    .logged()
    .about(
        "1.0.0",
        "O(1)",
        "Gives a key a value, perhaps an expiry, perhaps on a condition",
    ),
    entry(CommandSpec::on_key(
        "getset",
        3,
        GROWS.and(Flags::FAST),
        set::getset,
        key_specs::READ_CHANGE,
    ))
    .about(
        "1.0.0",
        "O(1)",
        "Gives a key a value and answers the old one",
    ),
    entry(CommandSpec::on_key(
        "getdel",
        2,
        WRITES.and(Flags::FAST),
        string::getdel,
        key_specs::READ_REMOVE,
    ))
    .removing()
    .about("6.2.0", "O(1)", "Answers the value of a key and removes it"),
    entry(CommandSpec::on_key(
        "getex",
        -2,
        WRITES.and(Flags::FAST),
        string::getex,
        key_specs::GETEX,
    ))
    .about(
        "6.2.0",
        "O(1)",
        "Answers the value of a key and changes its expiry",
    ),
    entry(CommandSpec::on_key(
        "setnx",
        3,
        GROWS.and(Flags::FAST),
        set::setnx,
        key_specs::CREATE,
    ))
    .about("1.0.0", "O(1)", "Gives a key a value unless it has one"),
    entry(CommandSpec::on_key(
        "setex",
        4,
        GROWS,
        set::setex,
        key_specs::REPLACE,
    ))
    .about("2.0.0", "O(1)", "Gives a key a value for some seconds"),
    entry(CommandSpec::on_key(
        "psetex",
        4,
        GROWS,
        set::psetex,
        key_specs::REPLACE,
    ))
    .about("2.6.0", "O(1)", "Gives a key a value for some milliseconds"),
    entry(
        CommandSpec::on_key(
            "append",
            3,
            GROWS.and(Flags::FAST),
            string::append,
            key_specs::ADD,
        )
        .heavy()
        .logged(),
    )
    .about(
        "2.0.0",
        "O(1) amortized",
        "Adds bytes at the end of a value",
    ),
    entry(CommandSpec::on_key(
        "strlen",
        2,
        READS.and(Flags::FAST),
        string::strlen,
        key_specs::INSPECT,
    ))
    .about("2.2.0", "O(1)", "Tells the length of a value"),
    entry(CommandSpec::on_key("getrange", 4, READS, string::getrange, key_specs::READ).heavy())
        .about("2.4.0", "O(N), N bytes answered", "Gives a part of a value"),
    entry(CommandSpec::on_key("substr", 4, READS, string::getrange, key_specs::READ).heavy())
        .about(
            "1.0.0",
            "O(N), N bytes answered",
            "Gives a part of a value; the old name of GETRANGE",
        ),
    entry(
        CommandSpec::on_key("setrange", 4, GROWS, string::setrange, key_specs::CHANGE)
            .heavy()
            .logged(),
    )
    .about(
        "2.2.0",
        "O(N), N bytes written",
        "Overwrites a part of a value",
    ),
    entry(CommandSpec::on_key(
        "incr",
        2,
        GROWS.and(Flags::FAST),
        counter::incr,
        key_specs::READ_CHANGE,
    ))
    .about("1.0.0", "O(1)", "Adds one to a number"),
    entry(CommandSpec::on_key(
        "decr",
        2,
        GROWS.and(Flags::FAST),
        counter::decr,
        key_specs::READ_CHANGE,
    ))
    .about("1.0.0", "O(1)", "Takes one from a number"),
    entry(CommandSpec::on_key(
        "incrby",
        3,
        GROWS.and(Flags::FAST),
        counter::incrby,
        key_specs::READ_CHANGE,
    ))
    .about("1.0.0", "O(1)", "Adds to a number"),
    entry(CommandSpec::on_key(
        "decrby",
        3,
        GROWS.and(Flags::FAST),
        counter::decrby,
        key_specs::READ_CHANGE,
    ))
    .about("1.0.0", "O(1)", "Takes from a number"),
    entry(CommandSpec::on_key(
        "incrbyfloat",
        3,
        GROWS.and(Flags::FAST),
        counter::incrbyfloat,
        key_specs::READ_CHANGE,
    ))
    .about("2.6.0", "O(1)", "Adds to a number with a fraction"),
    entry(CommandSpec::on_keys(
        "mget",
        -2,
        READS.and(Flags::FAST),
        many::mget,
        key_specs::READ_ALL,
    ))
    .tips(&["request_policy:multi_shard"])
    .about(
        "1.0.0",
        "O(N), N keys",
        "Gives the values of keys, all of one moment",
    ),
    entry(CommandSpec::on_keys(
        "mset",
        -3,
        GROWS,
        many::mset,
        key_specs::REPLACE_PAIRS,
    ))
    .tips(&[
        "request_policy:multi_shard",
        "response_policy:all_succeeded",
    ])
    .about("1.0.1", "O(N), N keys", "Gives keys values, all at once"),
    entry(CommandSpec::on_keys(
        "msetnx",
        -3,
        GROWS,
        many::msetnx,
        key_specs::CREATE_PAIRS,
    ))
    .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
    .about(
        "1.0.1",
        "O(N), N keys",
        "Gives keys values, unless one of them has one",
    ),
];
