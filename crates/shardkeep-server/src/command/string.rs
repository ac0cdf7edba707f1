//! Strings: reading them, and reading and changing parts of them.

use shardkeep_resp::Reply;

use super::options::{self, TimeKind};
use super::{Args, error};
use crate::keyspace::record::STRING_BYTES_MAX;
use crate::keyspace::{Keyspace, Place};

/// GET key
pub(super) fn get(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(1)) {
        Some(record) => reply.bulk(record.value()),
        None => reply.null(),
    }
}

/// GETDEL key
pub(super) fn getdel(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let found = match keyspace.place(hash, args.get(1)) {
        Place::Taken(taken) => {
            reply.bulk(taken.remove().value());
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
pub(super) fn getex(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
            reply.bulk(taken.value());
            if expiry.is_some_and(|moment| moment <= now) {
                taken.remove();
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
pub(super) fn strlen(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let record = keyspace.get(hash, args.get(1));
    reply.integer(record.map_or(0, |record| record.value().len()) as i64);
}

/// GETRANGE key start end, and SUBSTR: both ends included, counted from the end if negative.
pub(super) fn getrange(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
pub(super) fn append(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
pub(super) fn setrange(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
                if end > len {
                    taken.resize_value(end);
                }
                taken.value_mut()[offset..end].copy_from_slice(bytes);
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
