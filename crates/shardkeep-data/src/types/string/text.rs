//! Strings: reading them, and reading and changing parts of them.

use shardkeep_resp::Reply;

use crate::commands::key_specs as keys;
use crate::commands::options::{self, TimeKind};
use crate::commands::spec::{
    CommandSpec as Spec, GROWS, GROWS_FAST, READS, READS_FAST, WRITES_FAST,
};
use crate::commands::{Args, error};
use crate::keyspace::record::{Record, STRING_BYTES_MAX};
use crate::keyspace::{Keyspace, Place};

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_key("get", 2, READS_FAST, get, keys::READ).about("1.0.0", "O(1)", "Gives the value of a key"),
    Spec::on_key("getdel", 2, WRITES_FAST, getdel, keys::READ_REMOVE).removing()
        .about("6.2.0", "O(1)", "Answers the value of a key and removes it"),
    Spec::on_key("getex", -2, WRITES_FAST, getex, keys::GETEX)
        .about("6.2.0", "O(1)", "Answers the value of a key and changes its expiry"),
    Spec::on_key("append", 3, GROWS_FAST, append, keys::ADD).heavy().logged()
        .about("2.0.0", "O(1) amortized", "Adds bytes at the end of a value"),
    Spec::on_key("strlen", 2, READS_FAST, strlen, keys::INSPECT)
        .about("2.2.0", "O(1)", "Tells the length of a value"),
    Spec::on_key("getrange", 4, READS, getrange, keys::READ).heavy()
        .about("2.4.0", "O(N), N bytes answered", "Gives a part of a value"),
    Spec::on_key("substr", 4, READS, getrange, keys::READ).heavy()
        .about("1.0.0", "O(N), N bytes answered", "Gives a part of a value; the old name of GETRANGE"),
    Spec::on_key("setrange", 4, GROWS, setrange, keys::CHANGE).heavy().logged()
        .about("2.2.0", "O(N), N bytes written", "Overwrites a part of a value"),
];

/// A value of this size (bytes) and more is answered without a copy: from here on the copy costs more than
/// one part more in the write to the socket.
const SHARED_BYTES_MIN: usize = 64 * 1024;

/// Answers the value of an entry.
#[inline]
pub(super) fn answer(record: &Record, reply: &mut Reply<'_>) {
    let value = record.value();
    if value.len() >= SHARED_BYTES_MIN {
        return answer_large(record, reply);
    }
    reply.bulk(value);
}

#[cold]
fn answer_large(record: &Record, reply: &mut Reply<'_>) {
    match record.large() {
        Some(large) => reply.shared(large.share()),
        None => reply.bulk(record.value()),
    }
}

/// GET key
fn get(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(1)) {
        Some(record) => answer(record, reply),
        None => reply.null(),
    }
}

/// GETDEL key
fn getdel(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let found = match keyspace.place(hash, args.get(1)) {
        Place::Taken(taken) => {
            answer(taken.record(), reply);
            taken.discard();
            true
        }
        Place::Free(_) => {
            reply.null();
            false
        }
    };
    keyspace.count_read(found);
}

/// What GETEX does to the expiry.
#[derive(Clone, Copy)]
enum Lifetime<'a> {
    Keep,
    Persist,
    Until(TimeKind, &'a [u8]),
}

/// GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]
fn getex(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(lifetime) = getex_options(args) else {
        reply.error(error::SYNTAX);
        return;
    };
    let now = keyspace.now();
    let found = match keyspace.place(hash, args.get(1)) {
        Place::Taken(mut taken) => {
            let expiry = match lifetime {
                Lifetime::Keep => taken.expires_at(),
                Lifetime::Persist => None,
                Lifetime::Until(kind, number) => {
                    match options::expiry(number, kind, now, "getex", reply) {
                        Some(moment) => Some(moment),
                        None => return,
                    }
                }
            };
            answer(taken.record(), reply);
            if expiry.is_some_and(|moment| moment <= now) {
                taken.discard();
            } else {
                taken.set_expires_at(expiry);
            }
            true
        }
        Place::Free(_) => {
            reply.null();
            false
        }
    };
    keyspace.count_read(found);
}

fn getex_options(args: Args<'_>) -> Option<Lifetime<'_>> {
    let mut lifetime = Lifetime::Keep;
    let mut rest = args.iter_from(2);
    while let Some(option) = rest.next() {
        let is_persist = options::is(option, "persist");
        lifetime = match lifetime {
            Lifetime::Keep | Lifetime::Persist if is_persist => Lifetime::Persist,
            Lifetime::Keep => Lifetime::Until(options::time_kind(option)?, rest.next()?),
            Lifetime::Until(earlier, _) if options::time_kind(option) == Some(earlier) => {
                Lifetime::Until(earlier, rest.next()?)
            }
            Lifetime::Persist | Lifetime::Until(..) => return None,
        };
    }
    Some(lifetime)
}

/// STRLEN key
fn strlen(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let record = keyspace.get(hash, args.get(1));
    reply.integer(record.map_or(0, |record| record.value().len()) as i64);
}

/// GETRANGE key start end, and SUBSTR: both ends included, counted from the end if negative.
fn getrange(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(start) = options::integer(args.get(2), reply) else {
        return;
    };
    let Some(end) = options::integer(args.get(3), reply) else {
        return;
    };
    match keyspace.get(hash, args.get(1)) {
        Some(record) => reply.bulk(part(record.value(), start, end)),
        None => reply.bulk(b""),
    }
}

fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    // A string's length is far below the limits of an i64, so neither sum overflows.
    let len = value.len() as i64;
    let from_start = |index: i64| {
        if index < 0 {
            (len + index).max(0)
        } else {
            index
        }
    };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end {
        return b"";
    }
    &value[start as usize..=end as usize]
}

/// APPEND key value
fn append(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, bytes) = (args.get(1), args.get(2));
    match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            let len = taken.value().len() + bytes.len();
            if len > STRING_BYTES_MAX {
                reply.error(error::STRING_TOO_LONG);
                return;
            }
            taken.append(bytes);
            reply.integer(len as i64);
        }
        Place::Free(free) => {
            free.insert(key, bytes, None);
            reply.integer(bytes.len() as i64);
        }
    }
}

/// SETRANGE key offset value: zeroes fill the gap, if there is one.
fn setrange(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, bytes) = (args.get(1), args.get(3));
    let Some(offset) = options::integer(args.get(2), reply) else {
        return;
    };
    let Ok(offset) = usize::try_from(offset) else {
        reply.error("ERR offset is out of range");
        return;
    };
    let end = offset.saturating_add(bytes.len());
    match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            let len = taken.value().len();
            if bytes.is_empty() {
                reply.integer(len as i64);
            } else if end > STRING_BYTES_MAX {
                reply.error(error::STRING_TOO_LONG);
            } else {
                taken.overwrite(offset, bytes);
                reply.integer(len.max(end) as i64);
            }
        }
        Place::Free(free) => {
            if bytes.is_empty() {
                reply.integer(0);
            } else if end > STRING_BYTES_MAX {
                reply.error(error::STRING_TOO_LONG);
            } else {
                let mut value = vec![0; end];
                value[offset..].copy_from_slice(bytes);
                free.insert(key, &value, None);
                reply.integer(end as i64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::check;

    #[test]
    fn getdel_answers_the_value_and_removes_it() {
        check(&[
            ("SET k v", "+OK\r\n"),
            ("GETDEL k", "$1\r\nv\r\n"),
            ("GETDEL k", "$-1\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
    }

    #[test]
    fn getex_answers_the_value_and_changes_its_expiry() {
        check(&[
            ("SET k v", "+OK\r\n"),
            ("GETEX k EX 10", "$1\r\nv\r\n"),
            ("GETEX k", "$1\r\nv\r\n"),
            ("TTL k", ":10\r\n"),
            ("GETEX k PERSIST", "$1\r\nv\r\n"),
            ("TTL k", ":-1\r\n"),
            ("GETEX k EX 1 PERSIST", "-ERR syntax error\r\n"),
            ("GETEX k KEEPTTL", "-ERR syntax error\r\n"),
            (
                "GETEX k EX 0",
                "-ERR invalid expire time in 'getex' command\r\n",
            ),
            ("GETEX nobody EX 0", "$-1\r\n"),
            ("GETEX k PXAT 1", "$1\r\nv\r\n"),
            ("EXISTS k", ":0\r\n"),
        ]);
    }

    #[test]
    fn getrange_counts_from_either_end_and_stays_within() {
        check(&[
            ("SET k abcde", "+OK\r\n"),
            ("GETRANGE k 1 3", "$3\r\nbcd\r\n"),
            ("GETRANGE k -3 -2", "$2\r\ncd\r\n"),
            ("SUBSTR k 0 -1", "$5\r\nabcde\r\n"),
            ("GETRANGE k 3 1", "$0\r\n\r\n"),
            ("GETRANGE k -1 -3", "$0\r\n\r\n"),
            ("GETRANGE k -100 1", "$2\r\nab\r\n"),
            ("GETRANGE k 5 9", "$0\r\n\r\n"),
            (
                "GETRANGE k -9223372036854775808 9223372036854775807",
                "$5\r\nabcde\r\n",
            ),
            ("GETRANGE nobody 0 1", "$0\r\n\r\n"),
            (
                "GETRANGE k a 1",
                "-ERR value is not an integer or out of range\r\n",
            ),
        ]);
    }

    #[test]
    fn append_makes_a_value_longer_and_keeps_its_expiry() {
        check(&[
            ("APPEND k ab", ":2\r\n"),
            ("EXPIRE k 10", ":1\r\n"),
            ("APPEND k cd", ":4\r\n"),
            ("GET k", "$4\r\nabcd\r\n"),
            ("STRLEN k", ":4\r\n"),
            ("TTL k", ":10\r\n"),
            ("STRLEN nobody", ":0\r\n"),
        ]);
    }

    #[test]
    fn setrange_overwrites_and_fills_gaps_with_zeroes() {
        check(&[
            ("SETRANGE k 2 ab", ":4\r\n"),
            ("GET k", "$4\r\n\\x00\\x00ab\r\n"),
            ("SETRANGE k 0 xy", ":4\r\n"),
            ("SETRANGE k 3 cd", ":5\r\n"),
            ("GET k", "$5\r\nxyacd\r\n"),
            ("SETRANGE k 9 ''", ":5\r\n"),
            ("SETRANGE nobody 9 ''", ":0\r\n"),
            ("EXISTS nobody", ":0\r\n"),
        ]);
    }

    #[test]
    fn no_string_gets_longer_than_512_mib() {
        const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
        check(&[
            ("SETRANGE k 536870912 x", TOO_LONG),
            ("SETRANGE k 9223372036854775807 x", TOO_LONG),
            ("SETRANGE k -1 x", "-ERR offset is out of range\r\n"),
            ("SET k v", "+OK\r\n"),
            ("SETRANGE k 536870912 x", TOO_LONG),
            ("GET k", "$1\r\nv\r\n"),
        ]);
    }
}
