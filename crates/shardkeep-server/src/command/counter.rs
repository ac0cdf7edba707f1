//! Strings that are numbers.

use shardkeep_resp::{Reply, parse_i64};

use super::extended::Extended;
use super::{Args, error, options};
use crate::keyspace::{Keyspace, Place};

/// INCR key
pub(super) fn incr(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    add(keyspace, hash, args.get(1), 1, reply);
}

/// DECR key
pub(super) fn decr(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    add(keyspace, hash, args.get(1), -1, reply);
}

/// INCRBY key number
pub(super) fn incrby(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    if let Some(number) = options::integer(args.get(2), reply) {
        add(keyspace, hash, args.get(1), number, reply);
    }
}

/// DECRBY key number
pub(super) fn decrby(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
pub(super) fn incrbyfloat(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) {
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
