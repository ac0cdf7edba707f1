//! Giving a key a value: SET with all its options, and the older commands for some of them.

use shardkeep_resp::Reply;

use super::options::{self, TimeKind};
use super::{Args, error};
use crate::keyspace::{Keyspace, Place};

/// What SET may depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

/// What SET does to the expiry.
#[derive(Clone, Copy)]
enum Lifetime<'a> {
    Forever,
    Keep,
    Until(TimeKind, &'a [u8]),
}

struct SetOptions<'a> {
    condition: Condition,
    lifetime: Lifetime<'a>,
    get: bool,
}

/// SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]
pub(super) fn set(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    if args.len() == 3 {
        keyspace.set(hash, args.get(1), args.get(2), None);
        reply.ok();
        return;
    }
    match set_options(args) {
        Some(options) => set_with(keyspace, hash, args, &options, reply),
        None => reply.error(error::SYNTAX),
    }
}

fn set_options(args: Args<'_>) -> Option<SetOptions<'_>> {
    let mut options = SetOptions {
        condition: Condition::Always,
        lifetime: Lifetime::Forever,
        get: false,
    };
    let mut rest = args.iter_from(3);
    while let Some(option) = rest.next() {
        if options::is(option, "nx") && options.condition != Condition::IfPresent {
            options.condition = Condition::IfAbsent;
        } else if options::is(option, "xx") && options.condition != Condition::IfAbsent {
            options.condition = Condition::IfPresent;
        } else if options::is(option, "get") {
            options.get = true;
        } else if options::is(option, "keepttl") {
            match options.lifetime {
                Lifetime::Forever | Lifetime::Keep => options.lifetime = Lifetime::Keep,
                Lifetime::Until(..) => return None,
            }
        } else {
            let kind = options::time_kind(option)?;
            match options.lifetime {
                Lifetime::Forever => {}
                Lifetime::Until(earlier, _) if earlier == kind => {}
                Lifetime::Until(..) | Lifetime::Keep => return None,
            }
            options.lifetime = Lifetime::Until(kind, rest.next()?);
        }
    }
    Some(options)
}

fn set_with(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    options: &SetOptions<'_>,
    reply: &mut Reply<'_>,
) {
    let (key, value) = (args.get(1), args.get(2));
    let expires_at = match options.lifetime {
        Lifetime::Forever | Lifetime::Keep => None,
        Lifetime::Until(kind, number) => {
            match options::expiry(number, kind, keyspace.now(), "set", reply) {
                Some(expires_at) => Some(expires_at),
                None => return,
            }
        }
    };
    let found = match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            if options.get {
                reply.bulk(taken.value());
            }
            let goes_ahead = options.condition != Condition::IfAbsent;
            if goes_ahead {
                match options.lifetime {
                    Lifetime::Keep => taken.set_value(value),
                    Lifetime::Forever | Lifetime::Until(..) => taken.set(value, expires_at),
                }
            }
            answer_set(goes_ahead, options.get, reply);
            true
        }
        Place::Free(free) => {
            if options.get {
                reply.null();
            }
            let goes_ahead = options.condition != Condition::IfPresent;
            if goes_ahead {
                free.insert(key, value, expires_at);
            }
            answer_set(goes_ahead, options.get, reply);
            false
        }
    };
    if options.get {
        keyspace.count_read(found);
    }
}

/// The reply of a SET, unless the old value is its reply.
fn answer_set(done: bool, answered: bool, reply: &mut Reply<'_>) {
    if answered {
    } else if done {
        reply.ok();
    } else {
        reply.null();
    }
}

/// SETNX key value
pub(super) fn setnx(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let key = args.get(1);
    let done = match keyspace.place(hash, key) {
        Place::Taken(_) => false,
        Place::Free(free) => {
            free.insert(key, args.get(2), None);
            true
        }
    };
    reply.integer(i64::from(done));
}

/// SETEX key seconds value
pub(super) fn setex(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_until(keyspace, hash, args, (TimeKind::EX, "setex"), reply);
}

/// PSETEX key milliseconds value
pub(super) fn psetex(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_until(keyspace, hash, args, (TimeKind::PX, "psetex"), reply);
}

fn set_until(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    (kind, command): (TimeKind, &str),
    reply: &mut Reply<'_>,
) {
    let now = keyspace.now();
    if let Some(expires_at) = options::expiry(args.get(2), kind, now, command, reply) {
        keyspace.set(hash, args.get(1), args.get(3), Some(expires_at));
        reply.ok();
    }
}

/// GETSET key value
pub(super) fn getset(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, value) = (args.get(1), args.get(2));
    let found = match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            reply.bulk(taken.value());
            taken.set(value, None);
            true
        }
        Place::Free(free) => {
            free.insert(key, value, None);
            reply.null();
            false
        }
    };
    keyspace.count_read(found);
}
