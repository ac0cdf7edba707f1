//! Giving a key a value: SET with all its options, and the older commands for some of them.

use shardkeep_resp::Reply;

use super::text::answer;

use crate::commands::key_specs as keys;
use crate::commands::options::{self, TimeKind};
use crate::commands::spec::{CommandSpec as Spec, GROWS, GROWS_FAST};
use crate::commands::{Args, KeyFlags, error};
use crate::keyspace::{Keyspace, Place};

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_key("set", -3, GROWS, set, keys::SET).logged()
        .about("1.0.0", "O(1)", "Gives a key a value, perhaps an expiry, perhaps on a condition"),
    Spec::on_key("getset", 3, GROWS_FAST, getset, keys::READ_CHANGE)
        .about("1.0.0", "O(1)", "Gives a key a value and answers the old one"),
    Spec::on_key("setnx", 3, GROWS_FAST, setnx, keys::CREATE)
        .about("1.0.0", "O(1)", "Gives a key a value unless it has one"),
    Spec::on_key("setex", 4, GROWS, setex, keys::REPLACE)
        .about("2.0.0", "O(1)", "Gives a key a value for some seconds"),
    Spec::on_key("psetex", 4, GROWS, psetex, keys::REPLACE)
        .about("2.6.0", "O(1)", "Gives a key a value for some milliseconds"),
];

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
fn set(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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

/// How a SET uses its key: it reads it only where GET is among the options.
pub(crate) fn key_flags(args: Args<'_>) -> KeyFlags {
    match args.iter_from(3).any(|option| options::is(option, "get")) {
        true => &["RW", "access", "update"],
        false => &["OW", "update"],
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
                answer(taken.record(), reply);
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
fn setnx(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
fn setex(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_until(keyspace, hash, args, (TimeKind::EX, "setex"), reply);
}

/// PSETEX key milliseconds value
fn psetex(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
fn getset(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, value) = (args.get(1), args.get(2));
    let found = match keyspace.place(hash, key) {
        Place::Taken(mut taken) => {
            answer(taken.record(), reply);
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

#[cfg(test)]
mod tests {
    use crate::commands::testing::{NOW, Store, check};

    const INVALID: &str = "-ERR invalid expire time in 'set' command\r\n";
    const SYNTAX: &str = "-ERR syntax error\r\n";

    #[test]
    fn set_gives_a_key_a_value_and_takes_its_expiry() {
        check(&[
            ("SET k v", "+OK\r\n"),
            ("GET k", "$1\r\nv\r\n"),
            ("SET k w EX 10", "+OK\r\n"),
            ("TTL k", ":10\r\n"),
            ("SET k x", "+OK\r\n"),
            ("TTL k", ":-1\r\n"),
        ]);
    }

    #[test]
    fn set_may_depend_on_what_is_there() {
        check(&[
            ("SET k v XX", "$-1\r\n"),
            ("SET k v nx", "+OK\r\n"),
            ("SET k w NX", "$-1\r\n"),
            ("SET k w xx", "+OK\r\n"),
            ("GET k", "$1\r\nw\r\n"),
            ("SET k v NX XX", SYNTAX),
        ]);
    }

    #[test]
    fn set_with_get_answers_the_old_value_whether_it_sets_or_not() {
        check(&[
            ("SET k v GET", "$-1\r\n"),
            ("SET k w GET", "$1\r\nv\r\n"),
            ("SET k x NX GET", "$1\r\nw\r\n"),
            ("SET j x XX GET", "$-1\r\n"),
            ("MGET k j", "*2\r\n$1\r\nw\r\n$-1\r\n"),
        ]);
    }

    #[test]
    fn set_takes_an_expiry_in_four_ways_or_keeps_the_old_one() {
        check(&[
            ("SET k v PX 1500", "+OK\r\n"),
            ("PTTL k", ":1500\r\n"),
            ("SET k v EXAT 1700000100", "+OK\r\n"),
            ("TTL k", ":100\r\n"),
            ("SET k v PXAT 1700000000300", "+OK\r\n"),
            ("SET k w KEEPTTL", "+OK\r\n"),
            ("PTTL k", ":300\r\n"),
            ("GET k", "$1\r\nw\r\n"),
        ]);
    }

    #[test]
    fn set_refuses_an_expiry_that_is_no_time_and_changes_nothing() {
        check(&[
            ("SET k v EX 0", INVALID),
            ("SET k v PX -1", INVALID),
            ("SET k v EX 9223372036854775807", INVALID),
            ("SET k v PX 9223372036854775807", INVALID),
            (
                "SET k v EX soon",
                "-ERR value is not an integer or out of range\r\n",
            ),
            ("SET k v EX", SYNTAX),
            ("SET k v EX 1 PX 1", SYNTAX),
            ("SET k v EX 1 KEEPTTL", SYNTAX),
            ("SET k v KEEPTTL EX 1", SYNTAX),
            ("SET k v PERSIST", SYNTAX),
            ("SET k v soon", SYNTAX),
            ("EXISTS k", ":0\r\n"),
            ("SET k v EX 1 EX 2", "+OK\r\n"),
            ("TTL k", ":2\r\n"),
        ]);
    }

    #[test]
    fn a_value_is_gone_when_its_time_has_come() {
        let mut store = Store::new();
        store.check(&[("SET k v PX 100", "+OK\r\n")]);
        store.set_now(NOW + 99);
        store.check(&[("GET k", "$1\r\nv\r\n")]);
        store.set_now(NOW + 100);
        store.check(&[
            ("DBSIZE", ":1\r\n"),
            ("GET k", "$-1\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
        store.check(&[("SET k v PX 100", "+OK\r\n")]);
        store.set_now(NOW + 200);
        store.check(&[("SET k w XX", "$-1\r\n"), ("SET k w NX GET", "$-1\r\n")]);
        store.check(&[("GET k", "$1\r\nw\r\n")]);
    }

    #[test]
    fn the_older_commands_do_a_part_of_it() {
        check(&[
            ("SETNX k v", ":1\r\n"),
            ("SETNX k w", ":0\r\n"),
            ("SETEX k 5 w", "+OK\r\n"),
            ("TTL k", ":5\r\n"),
            ("PSETEX k 700 x", "+OK\r\n"),
            ("PTTL k", ":700\r\n"),
            ("GETSET k y", "$1\r\nx\r\n"),
            ("TTL k", ":-1\r\n"),
            ("GETSET j y", "$-1\r\n"),
            (
                "SETEX k 0 v",
                "-ERR invalid expire time in 'setex' command\r\n",
            ),
            (
                "PSETEX k -1 v",
                "-ERR invalid expire time in 'psetex' command\r\n",
            ),
        ]);
    }
}
