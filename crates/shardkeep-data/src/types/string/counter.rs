//! Strings that are numbers.

use shardkeep_resp::{Reply, parse_i64};

use super::extended::Extended;
use crate::commands::key_specs as keys;
use crate::commands::spec::{CommandSpec as Spec, GROWS_FAST};
use crate::commands::{Args, error, options};
use crate::keyspace::{Keyspace, Place};

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_key("incr", 2, GROWS_FAST, incr, keys::READ_CHANGE)
        .about("1.0.0", "O(1)", "Adds one to a number"),
    Spec::on_key("decr", 2, GROWS_FAST, decr, keys::READ_CHANGE)
        .about("1.0.0", "O(1)", "Takes one from a number"),
    Spec::on_key("incrby", 3, GROWS_FAST, incrby, keys::READ_CHANGE)
        .about("1.0.0", "O(1)", "Adds to a number"),
    Spec::on_key("decrby", 3, GROWS_FAST, decrby, keys::READ_CHANGE)
        .about("1.0.0", "O(1)", "Takes from a number"),
    Spec::on_key("incrbyfloat", 3, GROWS_FAST, incrbyfloat, keys::READ_CHANGE)
        .about("2.6.0", "O(1)", "Adds to a number with a fraction"),
];

/// INCR key
fn incr(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    add(keyspace, hash, args.get(1), 1, reply);
}

/// DECR key
fn decr(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    add(keyspace, hash, args.get(1), -1, reply);
}

/// INCRBY key number
fn incrby(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    if let Some(number) = options::integer(args.get(2), reply) {
        add(keyspace, hash, args.get(1), number, reply);
    }
}

/// DECRBY key number
fn decrby(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(number) = options::integer(args.get(2), reply) else {
        return;
    };
    match number.checked_neg() {
        Some(number) => add(keyspace, hash, args.get(1), number, reply),
        None => reply.error("ERR decrement would overflow"),
    }
}

fn add(keyspace: &mut Keyspace, hash: u64, key: &[u8], number: i64, reply: &mut Reply<'_>) {
    let mut digits = itoa::Buffer::new();
    match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            match parse_i64(taken.value()).map(|old| old.checked_add(number)) {
                Some(Some(sum)) => {
                    taken.set_value(digits.format(sum).as_bytes());
                    reply.integer(sum);
                }
                Some(None) => reply.error("ERR increment or decrement would overflow"),
                None => reply.error(error::NOT_AN_INTEGER),
            }
        }
        Place::Free(free) => {
            free.insert(key, digits.format(number).as_bytes(), None);
            reply.integer(number);
        }
    }
}

/// INCRBYFLOAT key number
fn incrbyfloat(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, number) = (args.get(1), Extended::parse(args.get(2)));
    let mut text = Vec::new();
    match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            if add_extended(Extended::parse(taken.value()), number, &mut text, reply) {
                taken.set_value(&text);
                reply.bulk(&text);
            }
        }
        Place::Free(free) => {
            if add_extended(Some(Extended::ZERO), number, &mut text, reply) {
                free.insert(key, &text, None);
                reply.bulk(&text);
            }
        }
    }
}

/// Writes the sum to `text`; otherwise answers the error, and is false.
fn add_extended(
    old: Option<Extended>,
    number: Option<Extended>,
    text: &mut Vec<u8>,
    reply: &mut Reply<'_>,
) -> bool {
    let (Some(old), Some(number)) = (old, number) else {
        reply.error("ERR value is not a valid float");
        return false;
    };
    let sum = old.plus(number);
    if !sum.is_finite() {
        reply.error("ERR increment would produce NaN or Infinity");
        return false;
    }
    sum.format(text);
    true
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::check;

    const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
    const OVERFLOW: &str = "-ERR increment or decrement would overflow\r\n";
    const NOT_A_FLOAT: &str = "-ERR value is not a valid float\r\n";

    #[test]
    fn a_counter_begins_at_nothing_and_keeps_its_expiry() {
        check(&[
            ("INCR k", ":1\r\n"),
            ("EXPIRE k 10", ":1\r\n"),
            ("INCRBY k 41", ":42\r\n"),
            ("DECR k", ":41\r\n"),
            ("DECRBY k -1", ":42\r\n"),
            ("GET k", "$2\r\n42\r\n"),
            ("TTL k", ":10\r\n"),
            ("DECR j", ":-1\r\n"),
        ]);
    }

    #[test]
    fn a_counter_stays_as_it_is_rather_than_overflow() {
        check(&[
            ("SET k 9223372036854775807", "+OK\r\n"),
            ("INCR k", OVERFLOW),
            ("SET k -9223372036854775808", "+OK\r\n"),
            ("DECR k", OVERFLOW),
            (
                "DECRBY k -9223372036854775808",
                "-ERR decrement would overflow\r\n",
            ),
            ("GET k", "$20\r\n-9223372036854775808\r\n"),
            ("INCRBY k 9223372036854775808", NOT_AN_INTEGER),
        ]);
    }

    #[test]
    fn what_is_not_spelled_as_an_integer_is_none() {
        for value in ["''", "a", "1.0", "01", "+1", "\\x201", "1\\x00"] {
            check(&[
                (&format!("SET k {value}"), "+OK\r\n"),
                ("INCR k", NOT_AN_INTEGER),
            ]);
        }
    }

    #[test]
    fn fractions_are_added_with_64_bits_and_written_without_exponent() {
        check(&[
            ("INCRBYFLOAT k 10.5", "$4\r\n10.5\r\n"),
            ("INCRBYFLOAT k 0.1", "$4\r\n10.6\r\n"),
            ("INCRBYFLOAT k -10.6", "$1\r\n0\r\n"),
            ("INCRBYFLOAT k 5.0e3", "$4\r\n5000\r\n"),
            ("SET k 3.0e3", "+OK\r\n"),
            ("INCRBYFLOAT k 200", "$4\r\n3200\r\n"),
            ("INCR k", ":3201\r\n"),
        ]);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let infinite = "-ERR increment would produce NaN or Infinity\r\n";
        check(&[
            ("SET k v", "+OK\r\n"),
            ("INCRBYFLOAT k 1", NOT_A_FLOAT),
            ("INCRBYFLOAT j nan", NOT_A_FLOAT),
            ("INCRBYFLOAT j \\x201", NOT_A_FLOAT),
            ("INCRBYFLOAT j 1e5000", NOT_A_FLOAT),
            ("INCRBYFLOAT j inf", infinite),
            ("EXISTS j", ":0\r\n"),
            ("SET k inf", "+OK\r\n"),
            ("INCRBYFLOAT k -inf", infinite),
            ("GET k", "$3\r\ninf\r\n"),
        ]);
    }
}
