//! The entries of the commands on keys, whatever their values, and on the whole store.

use super::super::{
    Categories, CommandSpec, ConnectionCommand, Flags, Group, RouteKind, expire, key, object, scan,
    store,
};
use super::key_specs;

const READS: Flags = Flags::READONLY;
const WRITES: Flags = Flags::WRITE;
const GROWS: Flags = WRITES.and(Flags::DENYOOM);
const SUMMED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const VARIES: &[&str] = &["nondeterministic_output"];

const fn entry(spec: CommandSpec) -> CommandSpec {
    spec.in_categories(Categories::KEYSPACE)
}

const fn dangerous(spec: CommandSpec) -> CommandSpec {
    spec.in_categories(Categories::KEYSPACE.and(Categories::DANGEROUS))
}

pub(super) const SPECS: [CommandSpec; 31] = [
    entry(CommandSpec::on_keys(
        "del",
        -2,
        WRITES,
        key::del,
        key_specs::REMOVE_ALL,
    ))
    .logged()
    .removing()
    .tips(SUMMED)
    .about("1.0.0", "O(N), N keys", "Removes keys"),
    entry(CommandSpec::on_keys(
        "unlink",
        -2,
        WRITES.and(Flags::FAST),
        key::del,
        key_specs::REMOVE_ALL,
    ))
    .removing()
    .tips(SUMMED)
    .about(
        "4.0.0",
        "O(N), N keys",
        "Removes keys; here the same as DEL",
    ),
    entry(CommandSpec::on_keys(
        "exists",
        -2,
        READS.and(Flags::FAST),
        key::exists,
        key_specs::INSPECT_ALL,
    ))
    .tips(SUMMED)
    .about(
        "1.0.0",
        "O(N), N keys",
        "Counts which of the keys are there",
    ),
    entry(CommandSpec::on_keys(
        "touch",
        -2,
        READS.and(Flags::FAST),
        key::exists,
        key_specs::INSPECT_ALL,
    ))
    .tips(SUMMED)
    .about(
        "3.2.1",
        "O(N), N keys",
        "Counts which of the keys are there",
    ),
    entry(CommandSpec::on_key(
        "type",
        2,
        READS.and(Flags::FAST),
        key::type_of,
        key_specs::INSPECT,
    ))
    .about("1.0.0", "O(1)", "Tells what kind of value a key has"),
    entry(CommandSpec::on_keys(
        "rename",
        3,
        WRITES,
        key::rename,
        key_specs::RENAME,
    ))
    .about(
        "1.0.0",
        "O(N), N bytes of the value",
        "Gives a value another key",
    ),
    entry(CommandSpec::on_keys(
        "renamenx",
        3,
        WRITES.and(Flags::FAST),
        key::renamenx,
        key_specs::RENAMENX,
    ))
    .about(
        "1.0.0",
        "O(N), N bytes of the value",
        "Gives a value another key unless that has one",
    ),
    entry(CommandSpec::on_keys(
        "copy",
        -3,
        GROWS,
        key::copy,
        key_specs::COPY,
    ))
    .about(
        "6.2.0",
        "O(N), N bytes of the value",
        "Gives a value to another key as well",
    ),
    entry(CommandSpec::on_store(
        "randomkey",
        1,
        READS,
        store::randomkey,
        RouteKind::WholeStore,
    ))
    .tips(&["request_policy:all_shards", "nondeterministic_output"])
    .about("1.0.0", "O(1)", "Gives some key"),
    entry(CommandSpec::on_store(
        "dbsize",
        1,
        READS.and(Flags::FAST),
        store::dbsize,
        RouteKind::WholeStore,
    ))
    .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
    .about("1.0.0", "O(1)", "Counts the keys"),
    entry(CommandSpec::on_store(
        "scan",
        -2,
        READS,
        scan::scan,
        RouteKind::Cursor,
    ))
    .tips(&["nondeterministic_output", "request_policy:special"])
    .about(
        "2.8.0",
        "O(1) per call, O(N) for all N keys",
        "Gives the keys, some at a time",
    ),
    dangerous(CommandSpec::on_store(
        "keys",
        2,
        READS,
        scan::keys,
        RouteKind::WholeStore,
    ))
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
    .about(
        "1.0.0",
        "O(N), N keys in the store",
        "Gives all keys that match a pattern",
    ),
    dangerous(CommandSpec::on_store(
        "flushall",
        -1,
        WRITES,
        store::flushall,
        RouteKind::WholeStore,
    ))
    .removing()
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .about(
        "1.0.0",
        "O(N), N keys in the store",
        "Removes all keys of all databases",
    ),
    dangerous(CommandSpec::on_store(
        "flushdb",
        -1,
        WRITES,
        store::flushdb,
        RouteKind::WholeStore,
    ))
    .removing()
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .about(
        "1.0.0",
        "O(N), N keys in the database",
        "Removes all keys of the database",
    ),
    dangerous(CommandSpec::on_store(
        "swapdb",
        3,
        WRITES.and(Flags::FAST),
        store::swapdb,
        RouteKind::WholeStore,
    ))
    .in_group(Group::Server)
    .about(
        "4.0.0",
        "O(N), N shards",
        "Gives two databases each other's keys",
    ),
    entry(CommandSpec::on_key(
        "move",
        3,
        WRITES.and(Flags::FAST),
        key::move_to,
        key_specs::READ_CHANGE,
    ))
    .about("1.0.0", "O(1)", "Moves a key to another database"),
    CommandSpec::container("object", Group::Generic).about(
        "2.2.3",
        "that of the subcommand",
        "Groups what is known about values",
    ),
    entry(CommandSpec::on_key(
        "object|encoding",
        3,
        READS,
        object::encoding,
        key_specs::INSPECT_SECOND,
    ))
    .tips(VARIES)
    .about("2.2.3", "O(1)", "Tells how Redis would store a value"),
    entry(CommandSpec::on_key(
        "object|freq",
        3,
        READS,
        object::freq,
        key_specs::INSPECT_SECOND,
    ))
    .tips(VARIES)
    .about("4.0.0", "O(1)", "Tells how often a key is used; not kept"),
    entry(CommandSpec::connection(
        "object|help",
        2,
        Flags::LOADING.and(Flags::STALE),
        ConnectionCommand::Command,
    ))
    .about("6.2.0", "O(1)", "Explains the subcommands"),
    entry(CommandSpec::on_key(
        "object|idletime",
        3,
        READS,
        object::idletime,
        key_specs::INSPECT_SECOND,
    ))
    .tips(VARIES)
    .about(
        "2.2.3",
        "O(1)",
        "Tells since when a key was not used; not kept",
    ),
    entry(CommandSpec::on_key(
        "object|refcount",
        3,
        READS,
        object::refcount,
        key_specs::INSPECT_SECOND,
    ))
    .tips(VARIES)
    .about("2.2.3", "O(1)", "Tells how often a value is referred to"),
    entry(CommandSpec::on_key(
        "expire",
        -3,
        WRITES.and(Flags::FAST),
        expire::expire,
        key_specs::CHANGE,
    ))
    .about("1.0.0", "O(1)", "Lets a key expire in some seconds"),
    entry(CommandSpec::on_key(
        "pexpire",
        -3,
        WRITES.and(Flags::FAST),
        expire::pexpire,
        key_specs::CHANGE,
    ))
    .about("2.6.0", "O(1)", "Lets a key expire in some milliseconds"),
    entry(CommandSpec::on_key(
        "expireat",
        -3,
        WRITES.and(Flags::FAST),
        expire::expireat,
        key_specs::CHANGE,
    ))
    .about("1.2.0", "O(1)", "Lets a key expire at a time in seconds"),
    entry(CommandSpec::on_key(
        "pexpireat",
        -3,
        WRITES.and(Flags::FAST),
        expire::pexpireat,
        key_specs::CHANGE,
    ))
    .logged()
    .about(
        "2.6.0",
        "O(1)",
        "Lets a key expire at a time in milliseconds",
    ),
    entry(CommandSpec::on_key(
        "ttl",
        2,
        READS.and(Flags::FAST),
        expire::ttl,
        key_specs::READ,
    ))
    .tips(VARIES)
    .about("1.0.0", "O(1)", "Tells in how many seconds a key expires"),
    entry(CommandSpec::on_key(
        "pttl",
        2,
        READS.and(Flags::FAST),
        expire::pttl,
        key_specs::READ,
    ))
    .tips(VARIES)
    .about(
        "2.6.0",
        "O(1)",
        "Tells in how many milliseconds a key expires",
    ),
    entry(CommandSpec::on_key(
        "expiretime",
        2,
        READS.and(Flags::FAST),
        expire::expiretime,
        key_specs::READ,
    ))
    .about("7.0.0", "O(1)", "Tells when a key expires, in seconds"),
    entry(CommandSpec::on_key(
        "pexpiretime",
        2,
        READS.and(Flags::FAST),
        expire::pexpiretime,
        key_specs::READ,
    ))
    .about("7.0.0", "O(1)", "Tells when a key expires, in milliseconds"),
    entry(CommandSpec::on_key(
        "persist",
        2,
        WRITES.and(Flags::FAST),
        expire::persist,
        key_specs::CHANGE,
    ))
    .logged()
    .about("2.2.0", "O(1)", "Takes the expiry from a key"),
];
