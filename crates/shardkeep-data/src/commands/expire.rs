//! When keys expire: setting it, telling it, taking it away.

use shardkeep::table::UnixMillis;
use shardkeep_resp::Reply;

use super::key_specs as keys;
use super::options::{self, TimeKind, TimeUnit};
use super::spec::{CommandSpec as Spec, READS_FAST, WRITES_FAST};
use super::tips;
use super::{Args, error};
use crate::keyspace::{Keyspace, Place};

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_key("expire", -3, WRITES_FAST, expire, keys::CHANGE)
        .about("1.0.0", "O(1)", "Lets a key expire in some seconds"),
    Spec::on_key("pexpire", -3, WRITES_FAST, pexpire, keys::CHANGE)
        .about("2.6.0", "O(1)", "Lets a key expire in some milliseconds"),
    Spec::on_key("expireat", -3, WRITES_FAST, expireat, keys::CHANGE)
        .about("1.2.0", "O(1)", "Lets a key expire at a time in seconds"),
    Spec::on_key("pexpireat", -3, WRITES_FAST, pexpireat, keys::CHANGE).logged()
        .about("2.6.0", "O(1)", "Lets a key expire at a time in milliseconds"),
    Spec::on_key("ttl", 2, READS_FAST, ttl, keys::READ).tips(tips::VARIES)
        .about("1.0.0", "O(1)", "Tells in how many seconds a key expires"),
    Spec::on_key("pttl", 2, READS_FAST, pttl, keys::READ).tips(tips::VARIES)
        .about("2.6.0", "O(1)", "Tells in how many milliseconds a key expires"),
    Spec::on_key("expiretime", 2, READS_FAST, expiretime, keys::READ)
        .about("7.0.0", "O(1)", "Tells when a key expires, in seconds"),
    Spec::on_key("pexpiretime", 2, READS_FAST, pexpiretime, keys::READ)
        .about("7.0.0", "O(1)", "Tells when a key expires, in milliseconds"),
    Spec::on_key("persist", 2, WRITES_FAST, persist, keys::CHANGE).logged()
        .about("2.2.0", "O(1)", "Takes the expiry from a key"),
];

/// EXPIRE key seconds [NX | XX | GT | LT]
fn expire(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::EX, "expire"), reply);
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
fn pexpire(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::PX, "pexpire"), reply);
}

/// EXPIREAT key unix-seconds [NX | XX | GT | LT]
fn expireat(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::EXAT, "expireat"), reply);
}

/// PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]
fn pexpireat(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::PXAT, "pexpireat"), reply);
}

/// On what a new expiry depends: all that is set must hold.
#[derive(Clone, Copy, Default)]
struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    /// Whether `moment` may take the place of `current` (milliseconds; `None` is never).
    fn allow(self, moment: i64, current: Option<i64>) -> bool {
        match current {
            Some(current) => {
                !self.if_none
                    && (!self.if_later || moment > current)
                    && (!self.if_earlier || moment < current)
            }
            None => !self.if_some && !self.if_later,
        }
    }
}

fn conditions(args: Args<'_>, reply: &mut Reply<'_>) -> Option<Conditions> {
    let mut conditions = Conditions::default();
    for option in args.iter_from(3) {
        if options::is(option, "nx") {
            conditions.if_none = true;
        } else if options::is(option, "xx") {
            conditions.if_some = true;
        } else if options::is(option, "gt") {
            conditions.if_later = true;
        } else if options::is(option, "lt") {
            conditions.if_earlier = true;
        } else {
            error::unsupported_option(option, reply);
            return None;
        }
    }
    let Conditions {
        if_none,
        if_some,
        if_later,
        if_earlier,
    } = conditions;
    if if_none && (if_some || if_later || if_earlier) {
        reply.error("ERR NX and XX, GT or LT options at the same time are not compatible");
        return None;
    }
    if if_later && if_earlier {
        reply.error("ERR GT and LT options at the same time are not compatible");
        return None;
    }
    Some(conditions)
}

fn set_expiry(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    (kind, command): (TimeKind, &str),
    reply: &mut Reply<'_>,
) {
    let Some(conditions) = conditions(args, reply) else {
        return;
    };
    let Some(number) = options::integer(args.get(2), reply) else {
        return;
    };
    let now = keyspace.now();
    let Some(moment) = kind.moment(number, now) else {
        error::invalid_expire_time(command, reply);
        return;
    };
    let Place::Taken(mut taken) = keyspace.place(hash, args.get(1)) else {
        reply.integer(0);
        return;
    };
    let current = taken.expires_at().map(signed);
    if !conditions.allow(moment, current) {
        reply.integer(0);
        return;
    }
    if moment <= signed(now) {
        taken.discard();
    } else {
        taken.set_expires_at(Some(UnixMillis::new(moment.unsigned_abs())));
    }
    reply.integer(1);
}

/// Expiries are made from `i64`, and stay far below its limit.
fn signed(moment: UnixMillis) -> i64 {
    moment.get().cast_signed()
}

/// TTL key
fn ttl(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let now = signed(keyspace.now());
    tell(keyspace, hash, args, (TimeUnit::Seconds, now), reply);
}

/// PTTL key
fn pttl(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let now = signed(keyspace.now());
    tell(keyspace, hash, args, (TimeUnit::Millis, now), reply);
}

/// EXPIRETIME key
fn expiretime(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    tell(keyspace, hash, args, (TimeUnit::Seconds, 0), reply);
}

/// PEXPIRETIME key
fn pexpiretime(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    tell(keyspace, hash, args, (TimeUnit::Millis, 0), reply);
}

/// Answers how long after `since` a key expires; -1 for never, -2 if it is not there.
fn tell(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    (unit, since): (TimeUnit, i64),
    reply: &mut Reply<'_>,
) {
    let left = match keyspace.get(hash, args.get(1)) {
        None => -2,
        Some(record) => match record.expires_at() {
            None => -1,
            Some(at) => {
                let millis = signed(at) - since;
                match unit {
                    TimeUnit::Millis => millis,
                    // The nearest second; without overflow at the far end of time.
                    TimeUnit::Seconds => millis / 1_000 + i64::from(millis % 1_000 >= 500),
                }
            }
        },
    };
    reply.integer(left);
}

/// PERSIST key
fn persist(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let done = match keyspace.place(hash, args.get(1)) {
        Place::Taken(mut taken) => {
            let done = taken.expires_at().is_some();
            taken.set_expires_at(None);
            done
        }
        Place::Free(_) => false,
    };
    reply.integer(i64::from(done));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, Store, check};

    #[test]
    fn an_expiry_is_set_told_and_taken_away() {
        check(&[
            ("SET k v", "+OK\r\n"),
            ("TTL k", ":-1\r\n"),
            ("EXPIRETIME k", ":-1\r\n"),
            ("EXPIRE k 100", ":1\r\n"),
            ("TTL k", ":100\r\n"),
            ("PTTL k", ":100000\r\n"),
            ("EXPIRETIME k", ":1700000100\r\n"),
            ("PEXPIRETIME k", ":1700000100000\r\n"),
            ("PEXPIRE k 1499", ":1\r\n"),
            ("TTL k", ":1\r\n"),
            ("EXPIREAT k 1700000007", ":1\r\n"),
            ("PTTL k", ":7000\r\n"),
            ("PEXPIREAT k 1700000001500", ":1\r\n"),
            ("TTL k", ":2\r\n"),
            ("PERSIST k", ":1\r\n"),
            ("PERSIST k", ":0\r\n"),
            ("TTL k", ":-1\r\n"),
        ]);
    }

    #[test]
    fn a_key_that_is_not_there_has_no_expiry() {
        check(&[
            ("EXPIRE k 1", ":0\r\n"),
            ("TTL k", ":-2\r\n"),
            ("PEXPIRETIME k", ":-2\r\n"),
            ("PERSIST k", ":0\r\n"),
        ]);
    }

    #[test]
    fn an_expiry_in_the_past_removes_the_key() {
        check(&[
            ("MSET a 1 b 2", "+OK\r\n"),
            ("EXPIRE a 0", ":1\r\n"),
            ("PEXPIREAT b -5", ":1\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
    }

    #[test]
    fn an_expiry_may_depend_on_the_old_one() {
        check(&[
            ("SET k v", "+OK\r\n"),
            ("EXPIRE k 10 XX", ":0\r\n"),
            ("EXPIRE k 10 GT", ":0\r\n"),
            ("EXPIRE k 10 LT", ":1\r\n"),
            ("EXPIRE k 20 NX", ":0\r\n"),
            ("EXPIRE k 10 GT", ":0\r\n"),
            ("EXPIRE k 20 xx gt", ":1\r\n"),
            ("EXPIRE k 30 LT", ":0\r\n"),
            ("TTL k", ":20\r\n"),
            (
                "EXPIRE k 1 NX GT",
                "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n",
            ),
            (
                "EXPIRE k 1 LT GT",
                "-ERR GT and LT options at the same time are not compatible\r\n",
            ),
            ("EXPIRE k 1 soon", "-ERR Unsupported option soon\r\n"),
        ]);
    }

    #[test]
    fn an_expiry_beyond_all_time_is_refused() {
        let invalid = |name: &str| format!("-ERR invalid expire time in '{name}' command\r\n");
        check(&[
            ("EXPIRE k 9223372036854775807", &invalid("expire")),
            ("EXPIRE k -9223372036854775808", &invalid("expire")),
            ("PEXPIRE k 9223372036854775807", &invalid("pexpire")),
            ("EXPIREAT k 9223372036854776", &invalid("expireat")),
            ("PEXPIREAT k 9223372036854775807", ":0\r\n"),
            (
                "EXPIRE k 1.5",
                "-ERR value is not an integer or out of range\r\n",
            ),
        ]);
    }

    #[test]
    fn the_farthest_expiry_is_told_without_overflow() {
        check(&[
            ("SET k v PXAT 9223372036854775807", "+OK\r\n"),
            ("PEXPIRETIME k", ":9223372036854775807\r\n"),
            ("EXPIRETIME k", ":9223372036854776\r\n"),
        ]);
    }

    #[test]
    fn nobody_sees_a_key_whose_time_has_come() {
        let lines = [
            ("EXISTS k", ":0\r\n"),
            ("TYPE k", "+none\r\n"),
            ("TTL k", ":-2\r\n"),
            ("INCR k", ":1\r\n"),
            ("APPEND k v", ":1\r\n"),
            ("GETEX k PERSIST", "$-1\r\n"),
            ("SETNX k v", ":1\r\n"),
            ("KEYS *", "*0\r\n"),
            ("SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
            ("RANDOMKEY", "$-1\r\n"),
            ("RENAME k j", "-ERR no such key\r\n"),
            ("RENAMENX j k", ":1\r\n"),
            ("COPY j k", ":1\r\n"),
            ("DEL k", ":0\r\n"),
            ("MSETNX k v", ":1\r\n"),
            ("SETRANGE k 0 v", ":1\r\n"),
            ("EXPIRE k 10", ":0\r\n"),
            ("OBJECT ENCODING k", "$-1\r\n"),
        ];
        for line in lines {
            let mut store = Store::new();
            store.check(&[("SET k 42 PX 5", "+OK\r\n"), ("SET j 1 PX 50", "+OK\r\n")]);
            store.set_now(NOW + if line.0.contains('j') { 5 } else { 50 });
            store.check(&[line]);
        }
    }
}
