//! When keys expire: setting it, telling it, taking it away.

use shardkeep::table::UnixMillis;
use shardkeep_resp::Reply;

use super::options::{self, TimeKind, TimeUnit};
use super::{Args, error};
use crate::keyspace::{Keyspace, Place};

/// EXPIRE key seconds [NX | XX | GT | LT]
pub(super) fn expire(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::EX, "expire"), reply);
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub(super) fn pexpire(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::PX, "pexpire"), reply);
}

/// EXPIREAT key unix-seconds [NX | XX | GT | LT]
pub(super) fn expireat(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    set_expiry(keyspace, hash, args, (TimeKind::EXAT, "expireat"), reply);
}

/// PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]
pub(super) fn pexpireat(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
        taken.remove();
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
pub(super) fn ttl(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let now = signed(keyspace.now());
    tell(keyspace, hash, args, (TimeUnit::Seconds, now), reply);
}

/// PTTL key
pub(super) fn pttl(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let now = signed(keyspace.now());
    tell(keyspace, hash, args, (TimeUnit::Millis, now), reply);
}

/// EXPIRETIME key
pub(super) fn expiretime(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) {
    tell(keyspace, hash, args, (TimeUnit::Seconds, 0), reply);
}

/// PEXPIRETIME key
pub(super) fn pexpiretime(
    keyspace: &mut Keyspace,
    hash: u64,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) {
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
pub(super) fn persist(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
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
