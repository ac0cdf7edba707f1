//! Walking over all keys: SCAN a few at a time, KEYS at once.
//!
//! A cursor is the number of a shard in its low [`CURSOR_SHARD_BITS`] bits, and above it the number
//! of a place in that shard's table; 0 is the start and the end.

use shardkeep::table::PartCursor;
use shardkeep_resp::Reply;

use super::glob::{Case, Glob, Pace, TooLate};
use super::spec::RouteKind::{Cursor, WholeStore};
use super::spec::{CommandSpec as Spec, READS};
use super::tips;
use super::{Args, CURSOR_SHARD_BITS, REPLY_BYTES_MAX, ShardSet, error, key, options};
use crate::keyspace::record::Record;

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_store("scan", -2, READS, scan, Cursor).tips(tips::VARIES_SPECIAL)
        .about("2.8.0", "O(1) per call, O(N) for all N keys", "Gives the keys, some at a time"),
    Spec::on_store("keys", 2, READS, keys, WholeStore).dangerous().tips(tips::EVERYWHERE_ORDER_VARIES)
        .about("1.0.0", "O(N), N keys in the store", "Gives all keys that match a pattern"),
];

/// How many keys one SCAN looks at, at least, unless it is told (Redis' default).
const COUNT_DEFAULT: i64 = 10;

/// How many parts of tables one SCAN visits at most, whatever it finds: a store that has shrunk
/// consists of empty ones, some 20 to 100 ns each. Reaches over a small store of any usual number
/// of shards in one call.
const PARTS_MAX: usize = 4_096;

/// Steps of the [`Pace`] for visiting a key, mostly to fetch it from memory.
const VISIT_STEPS: usize = 64;

struct Wanted<'a> {
    count: i64,
    glob: Option<Glob>,
    kind: Option<&'a [u8]>,
}

impl Wanted<'_> {
    fn wants(&self, record: &Record, pace: &mut Pace) -> Result<bool, TooLate> {
        pace.spend(VISIT_STEPS)?;
        if !self.kind.is_none_or(|kind| options::is(kind, key::STRING)) {
            return Ok(false);
        }
        match &self.glob {
            Some(glob) => glob.matches(record.key(), pace),
            None => Ok(true),
        }
    }
}

/// Answers a command whose time was over before all keys were compared with its pattern.
#[cold]
fn too_late(compared: usize, reply: &mut Reply<'_>) {
    reply.error(&format!(
        "THROTTLED match compared={compared} the deadline came before all keys were compared with the \
         pattern, nothing was changed; SCAN goes in steps"
    ));
}

/// SCAN cursor [MATCH pattern] [COUNT number] [TYPE type]
fn scan(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some((start, place)) = cursor(args.get(1), shards.shards_total()) else {
        reply.error("ERR invalid cursor");
        return;
    };
    let Some(wanted) = wanted(args, reply) else {
        return;
    };
    let mut found = Found::new(reply);
    let mut pace = Pace::new(shards.clock());
    let next = walk(shards, start, place, &wanted, &mut pace, &mut found);
    let Ok(next) = next else {
        return too_late(found.compared, reply);
    };
    let (keys, encoded) = found.done();
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(keys);
    reply.raw(&encoded);
}

/// The shard and the place a cursor stands for.
fn cursor(arg: &[u8], shards_total: usize) -> Option<(usize, PartCursor)> {
    let cursor = options::cursor(arg)?;
    let shard = super::shard_of_cursor(cursor);
    let place = PartCursor::from_number(cursor >> CURSOR_SHARD_BITS)?;
    (shard < shards_total).then_some((shard, place))
}

fn wanted<'a>(args: Args<'a>, reply: &mut Reply<'_>) -> Option<Wanted<'a>> {
    let mut wanted = Wanted {
        count: COUNT_DEFAULT,
        glob: None,
        kind: None,
    };
    let mut rest = args.iter_from(2);
    while let Some(option) = rest.next() {
        let known = ["count", "match", "type"];
        let known = known.into_iter().find(|name| options::is(option, name));
        match (known, rest.next()) {
            (Some("count"), Some(count)) => {
                wanted.count = options::integer(count, reply)?;
                if wanted.count < 1 {
                    reply.error(error::SYNTAX);
                    return None;
                }
            }
            (Some("match"), Some(pattern)) => {
                wanted.glob = Some(parsed(pattern, reply)?);
            }
            (Some("type"), Some(kind)) => wanted.kind = Some(kind),
            (Some(_) | None, Some(_) | None) => {
                reply.error(error::SYNTAX);
                return None;
            }
        }
    }
    Some(wanted)
}

/// The pattern, parsed; otherwise the error is answered.
fn parsed(pattern: &[u8], reply: &mut Reply<'_>) -> Option<Glob> {
    Glob::parse(pattern, Case::Matters)
        .map_err(|error| reply.error(&error.to_string()))
        .ok()
}

/// Visits entries from there on until it has met as many as are wanted, or others wait for the shards, and
/// says where to go on.
fn walk(
    shards: &mut dyn ShardSet,
    start: usize,
    mut place: PartCursor,
    wanted: &Wanted<'_>,
    pace: &mut Pace,
    found: &mut Found,
) -> Result<u64, TooLate> {
    let (mut met, mut parts) = (0_i64, 0);
    for number in start..=shards.last() {
        let keyspace = shards.shard(number);
        loop {
            if met >= wanted.count || parts >= PARTS_MAX || pace.slice_is_over() {
                return Ok(place.number() << CURSOR_SHARD_BITS | number as u64);
            }
            parts += 1;
            let mut compared = Ok(());
            let next = keyspace.scan(place, |record| {
                met += 1;
                if compared.is_ok() {
                    compared = found.compare(record.key(), |_| wanted.wants(record, pace));
                }
            });
            compared?;
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        place = PartCursor::START;
    }
    Ok(0)
}

/// KEYS pattern
fn keys(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(glob) = parsed(args.get(1), reply) else {
        return;
    };
    let mut found = Found::new(reply);
    let mut pace = Pace::new(shards.clock());
    for number in shards.first()..=shards.last() {
        for record in shards.shard(number).iter() {
            let compared = found.compare(record.key(), |key| {
                pace.spend(VISIT_STEPS)?;
                glob.matches(key, &mut pace)
            });
            if compared.is_err() {
                return too_late(found.compared, reply);
            }
        }
        if found.encoded.len() > REPLY_BYTES_MAX {
            return reply.error(error::REPLY_LIMIT);
        }
    }
    let (keys, encoded) = found.done();
    reply.array(keys);
    reply.raw(&encoded);
}

/// Keys found, encoded already: a reply begins with their number.
struct Found {
    /// Keys that were looked at.
    compared: usize,
    keys: usize,
    encoded: Vec<u8>,
    protocol: shardkeep_resp::Protocol,
}

impl Found {
    fn new(reply: &Reply<'_>) -> Self {
        Self {
            compared: 0,
            keys: 0,
            encoded: Vec::new(),
            protocol: reply.protocol(),
        }
    }

    /// Adds a key if it is wanted.
    #[inline]
    fn compare(
        &mut self,
        key: &[u8],
        wants: impl FnOnce(&[u8]) -> Result<bool, TooLate>,
    ) -> Result<(), TooLate> {
        self.compared += 1;
        if wants(key)? {
            self.keys += 1;
            Reply::new(&mut self.encoded, self.protocol).bulk(key);
        }
        Ok(())
    }

    fn done(self) -> (usize, Vec<u8>) {
        (self.keys, self.encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hour;
    use super::super::glob::PATTERN_BYTES_MAX;
    use super::super::testing::{Store, check};
    use std::collections::HashMap;

    /// How often each key is met on a whole walk.
    fn walk(
        store: &mut Store,
        options: &str,
        between: impl Fn(&mut Store),
    ) -> HashMap<String, u32> {
        let mut met = HashMap::new();
        let mut cursor = String::from("0");
        loop {
            let reply = store.line(&format!("SCAN {cursor} {options}"));
            let mut lines = reply.split("\r\n");
            cursor = lines.nth(2).unwrap().to_string();
            for key in lines.skip(1).skip(1).step_by(2) {
                *met.entry(key.to_string()).or_default() += 1;
            }
            if cursor == "0" {
                return met;
            }
            between(store);
        }
    }

    #[test]
    fn a_small_store_comes_back_in_one_call() {
        let mut store = Store::new();
        store.check(&[("MSET a 1 b 2 c 3", "+OK\r\n")]);
        assert!(store.line("SCAN 0").starts_with("*2\r\n$1\r\n0\r\n*3\r\n"));
    }

    fn filled(keys: u32) -> Store {
        let mut store = Store::new();
        for number in 0..keys {
            store.check(&[(&format!("SET key:{number} v"), "+OK\r\n")]);
        }
        store
    }

    #[test]
    fn a_walk_meets_every_key_whatever_is_added_meanwhile() {
        let mut store = filled(30_000);
        let met = walk(&mut store, "COUNT 1000", |store| {
            let next = store.line("DBSIZE");
            for number in 0..2_000 {
                let line = format!("SET {}:{number} v", &next[1..next.len() - 2]);
                store.check(&[(&line, "+OK\r\n")]);
            }
        });
        for number in 0..30_000 {
            assert!(met.contains_key(&format!("key:{number}")));
        }
    }

    #[test]
    fn a_quiet_store_gives_about_as_many_keys_as_asked_for_and_each_once() {
        let mut store = filled(30_000);
        for (options, most) in [("", 32), ("COUNT 100", 132)] {
            let at_once = store
                .line(&format!("SCAN 0 {options}"))
                .matches("key:")
                .count();
            assert!(at_once <= most, "{at_once} keys for {options:?}");
        }
        let met = walk(&mut store, "COUNT 100", |_| ());
        assert_eq!(met.len(), 30_000);
        assert!(met.values().all(|&times| times == 1));
    }

    #[test]
    fn a_walk_may_ask_for_a_pattern_and_a_type() {
        let mut store = Store::new();
        store.check(&[("MSET a1 1 a2 2 b1 3", "+OK\r\n")]);
        assert_eq!(walk(&mut store, "MATCH a* COUNT 1", |_| ()).len(), 2);
        assert_eq!(walk(&mut store, "type STRING match ?1", |_| ()).len(), 2);
        assert_eq!(walk(&mut store, "TYPE hash", |_| ()).len(), 0);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for cursor in [
            "x",
            "1x",
            "-",
            "4",
            "9007199254740992",
            "18446744073709551616",
            "-1",
        ] {
            check(&[(&format!("SCAN {cursor}"), "-ERR invalid cursor\r\n")]);
        }
        for cursor in ["0", "3", "65536", "''", "+2"] {
            check(&[(
                &format!("SCAN {cursor} COUNT 100"),
                "*2\r\n$1\r\n0\r\n*0\r\n",
            )]);
        }
    }

    #[test]
    fn what_is_no_option_is_refused() {
        check(&[
            ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
            ("SCAN 0 COUNT", "-ERR syntax error\r\n"),
            (
                "SCAN 0 COUNT x",
                "-ERR value is not an integer or out of range\r\n",
            ),
            ("SCAN 0 AFTER 1", "-ERR syntax error\r\n"),
        ]);
    }

    #[test]
    fn keys_gives_all_that_match() {
        check(&[
            ("MSET one 1 two 2 \\x00\\xff 3", "+OK\r\n"),
            ("KEYS o*", "*1\r\n$3\r\none\r\n"),
            ("KEYS ??", "*1\r\n$2\r\n\\x00\\xff\r\n"),
            ("KEYS nobody", "*0\r\n"),
        ]);
        let mut store = Store::new();
        store.check(&[("MSET one 1 two 2", "+OK\r\n")]);
        assert!(store.line("KEYS *").starts_with("*2\r\n"));
    }

    /// A store with one key more than takes a look at the clock.
    fn much() -> Store {
        let mut store = Store::new();
        let long = "a".repeat(100_000);
        let mset = format!("MSET {long}1 v {long}2 v {long}3 v {long}4 v {long}5 v b v");
        store.check(&[(&mset, "+OK\r\n")]);
        store
    }

    #[test]
    fn what_is_not_compared_by_the_deadline_is_refused() {
        let mut store = much();
        store.shards.hour = Hour::Late;
        for line in ["KEYS *a[bc]*", "KEYS *ab*", "SCAN 0 MATCH *a?b* COUNT 100"] {
            let reply = store.line(line);
            assert!(reply.starts_with("-THROTTLED match compared="), "{reply}");
        }
        let reply = store.line("KEYS b*");
        assert_eq!(reply, "*1\r\n$1\r\nb\r\n");
    }

    #[test]
    fn a_scan_goes_on_another_time_when_others_have_waited_for_long() {
        let mut store = much();
        store.shards.hour = Hour::SliceOver;
        assert!(
            !store
                .line("SCAN 0 COUNT 100 MATCH *x?*")
                .starts_with("*2\r\n$1\r\n0\r\n")
        );
        let met = walk(&mut store, "COUNT 100 MATCH *[1-9]", |_| {});
        assert_eq!((met.len(), met.values().max()), (5, Some(&1)));
        // A snapshot of the whole is not to be had in parts.
        assert!(store.line("KEYS *[1-9]").starts_with("*5\r\n"));
    }

    #[test]
    fn a_pattern_that_is_too_long_is_refused() {
        let pattern = "a".repeat(PATTERN_BYTES_MAX + 1);
        let error = "-ERR the pattern has 1048577 bytes, and 1048576 is the limit\r\n";
        check(&[
            (&format!("KEYS {pattern}"), error),
            (&format!("SCAN 0 MATCH {pattern}"), error),
            (&format!("COMMAND LIST FILTERBY PATTERN {pattern}"), error),
        ]);
    }
}
