//! What is known about a value beside the value.
//!
//! Encodings are told as Redis would have chosen for the same bytes; nothing is stored that way.

use shardkeep_resp::{Reply, parse_i64};

use super::key_specs as keys;
use super::spec::{ANYTIME, CommandSpec as Spec, ConnectionCommand, Group, READS};
use super::tips;
use super::{Args, options};
use crate::keyspace::Keyspace;

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::container("object", Group::Generic)
        .about("2.2.3", "that of the subcommand", "Groups what is known about values"),
    Spec::on_key("object|encoding", 3, READS, encoding, keys::INSPECT_SECOND).tips(tips::VARIES)
        .about("2.2.3", "O(1)", "Tells how Redis would store a value"),
    Spec::on_key("object|freq", 3, READS, freq, keys::INSPECT_SECOND).tips(tips::VARIES)
        .about("4.0.0", "O(1)", "Tells how often a key is used; not kept"),
    Spec::connection("object|help", 2, ANYTIME, ConnectionCommand::Command)
        .about("6.2.0", "O(1)", "Explains the subcommands"),
    Spec::on_key("object|idletime", 3, READS, idletime, keys::INSPECT_SECOND).tips(tips::VARIES)
        .about("2.2.3", "O(1)", "Tells since when a key was not used; not kept"),
    Spec::on_key("object|refcount", 3, READS, refcount, keys::INSPECT_SECOND).tips(tips::VARIES)
        .about("2.2.3", "O(1)", "Tells how often a value is referred to"),
];

/// Redis keeps strings up to this length (bytes) together with their header.
const EMBEDDED_BYTES_MAX: usize = 44;

/// Redis shares the integers below this one among all values.
const SHARED_INTEGERS: i64 = 10_000;

/// What Redis answers for how often a shared value is used.
const SHARED_REFERENCES: i64 = i32::MAX as i64;

/// OBJECT ENCODING key
fn encoding(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(2)) {
        Some(record) if parse_i64(record.value()).is_some() => reply.bulk(b"int"),
        Some(record) if record.value().len() <= EMBEDDED_BYTES_MAX => reply.bulk(b"embstr"),
        Some(_) => reply.bulk(b"raw"),
        None => reply.null(),
    }
}

/// OBJECT REFCOUNT key
fn refcount(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(2)) {
        Some(record) => {
            let number = parse_i64(record.value());
            let is_shared = number.is_some_and(|number| (0..SHARED_INTEGERS).contains(&number));
            reply.integer(if is_shared { SHARED_REFERENCES } else { 1 });
        }
        None => reply.null(),
    }
}

/// OBJECT IDLETIME key: 0, as access times are not kept.
fn idletime(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(2)) {
        Some(_) => reply.integer(0),
        None => reply.null(),
    }
}

/// MEMORY USAGE key \[SAMPLES count\]: of the entry itself, without its place in the table.
pub(super) fn usage(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let samples = match args.len() {
        3 => Some(0),
        5 if options::is(args.get(3), "samples") => {
            parse_i64(args.get(4)).filter(|samples| *samples >= 0)
        }
        _ => None,
    };
    if samples.is_none() {
        return reply.error("ERR syntax error");
    }
    match keyspace.get(hash, args.get(2)) {
        Some(record) => {
            reply.integer(i64::try_from(record.allocated_bytes()).unwrap_or(i64::MAX));
        }
        None => reply.null(),
    }
}

/// OBJECT FREQ key: refused, as access frequencies are not kept.
fn freq(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(2)) {
        Some(_) => reply.error(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take \
             some time to adjust.",
        ),
        None => reply.null(),
    }
}

/// OBJECT HELP
pub(super) fn help(reply: &mut Reply<'_>) {
    let lines = [
        "OBJECT <subcommand> <key>, where the subcommand is one of",
        "ENCODING",
        "    How Redis would store such a value: int, embstr or raw.",
        "FREQ",
        "    How often the key is used; not kept.",
        "IDLETIME",
        "    Seconds since the key was last used; not kept, always 0.",
        "REFCOUNT",
        "    How many references Redis would hold to such a value.",
        "HELP",
        "    This text.",
    ];
    super::introspect::help_lines(&lines, reply);
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;

    #[test]
    fn an_encoding_is_told_as_redis_would_have_chosen_it() {
        let (short, long) = ("x".repeat(44), "x".repeat(45));
        check(&[
            (&format!("MSET a 12 b {short} c {long}"), "+OK\r\n"),
            ("OBJECT ENCODING a", "$3\r\nint\r\n"),
            ("OBJECT encoding b", "$6\r\nembstr\r\n"),
            ("object ENCODING c", "$3\r\nraw\r\n"),
            ("OBJECT ENCODING nobody", "$-1\r\n"),
            ("OBJECT REFCOUNT a", ":2147483647\r\n"),
            ("OBJECT REFCOUNT b", ":1\r\n"),
            ("OBJECT IDLETIME a", ":0\r\n"),
        ]);
    }

    #[test]
    fn frequencies_are_not_kept() {
        check(&[
            ("SET k v", "+OK\r\n"),
            (
                "OBJECT FREQ k",
                "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                 Please note that when switching between policies at runtime LRU and LFU data \
                 will take some time to adjust.\r\n",
            ),
        ]);
    }

    #[test]
    fn a_subcommand_is_checked_like_a_command() {
        check(&[
            (
                "OBJECT",
                "-ERR wrong number of arguments for 'object' command\r\n",
            ),
            (
                "OBJECT ENCODING",
                "-ERR wrong number of arguments for 'object|encoding' command\r\n",
            ),
            (
                "OBJECT Color k",
                "-ERR unknown subcommand 'Color'. Try OBJECT HELP.\r\n",
            ),
        ]);
    }
}
