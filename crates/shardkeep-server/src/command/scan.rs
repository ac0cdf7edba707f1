//! Walking over all keys: SCAN a slice at a time, KEYS at once.
//!
//! A cursor is the number of a shard in its low [`CURSOR_SHARD_BITS`] bits, and above it the
//! position in that shard's table; 0 is the start and the end.

use shardkeep::table::Cursor;
use shardkeep_resp::Reply;

use super::glob::{Case, Glob};
use super::{Args, CURSOR_SHARD_BITS, ShardSet, error, key, options};
use crate::keyspace::record::Record;

/// How many keys one SCAN looks at, at least, unless it is told (Redis' default).
const COUNT_DEFAULT: i64 = 10;

/// How many slices (segments of a table) one SCAN visits at most, whatever it finds: a store
/// that has shrunk consists of empty ones, some 100 ns each. Reaches over a small store of any
/// usual number of shards in one call.
const SLICES_MAX: usize = 1_024;

struct Wanted<'a> {
    count: i64,
    glob: Option<Glob<'a>>,
    kind: Option<&'a [u8]>,
}

impl Wanted<'_> {
    fn wants(&self, record: &Record) -> bool {
        self.kind.is_none_or(|kind| options::is(kind, key::STRING))
            && self.glob.is_none_or(|glob| glob.matches(record.key()))
    }
}

/// SCAN cursor [MATCH pattern] [COUNT number] [TYPE type]
pub(super) fn scan(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some((start, position)) = cursor(args.get(1), shards.shards_total()) else {
        reply.error("ERR invalid cursor");
        return;
    };
    let Some(wanted) = wanted(args, reply) else {
        return;
    };
    let mut found = Found::new(reply);
    let next = walk(shards, start, position, wanted.count, |record| {
        if wanted.wants(record) {
            found.add(record.key());
        }
    });
    let (keys, encoded) = found.done();
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(keys);
    reply.raw(&encoded);
}

/// The shard and the position a cursor stands for.
fn cursor(arg: &[u8], shards_total: usize) -> Option<(usize, Cursor)> {
    let cursor = options::cursor(arg)?;
    let shard = super::shard_of_cursor(cursor);
    let position = u32::try_from(cursor >> CURSOR_SHARD_BITS).ok()?;
    let position = Cursor::from_position(position)?;
    (shard < shards_total).then_some((shard, position))
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
                wanted.glob = Some(Glob::new(pattern, Case::Matters));
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

/// Visits entries from there on until it has met `count` of them, and says where to go on.
fn walk(
    shards: &mut dyn ShardSet,
    start: usize,
    mut position: Cursor,
    count: i64,
    mut visit: impl FnMut(&Record),
) -> u64 {
    let (mut met, mut slices) = (0_i64, 0);
    for number in start..=shards.last() {
        let keyspace = shards.shard(number);
        loop {
            if met >= count || slices >= SLICES_MAX {
                return u64::from(position.position()) << CURSOR_SHARD_BITS | number as u64;
            }
            slices += 1;
            let next = keyspace.scan(position, |record| {
                met += 1;
                visit(record);
            });
            match next {
                Some(next) => position = next,
                None => break,
            }
        }
        position = Cursor::START;
    }
    0
}

/// KEYS pattern
pub(super) fn keys(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let glob = Glob::new(args.get(1), Case::Matters);
    let mut found = Found::new(reply);
    for number in shards.first()..=shards.last() {
        for record in shards.shard(number).iter() {
            if glob.matches(record.key()) {
                found.add(record.key());
            }
        }
    }
    let (keys, encoded) = found.done();
    reply.array(keys);
    reply.raw(&encoded);
}

/// Keys found, encoded already: a reply begins with their number.
struct Found {
    keys: usize,
    encoded: Vec<u8>,
    protocol: shardkeep_resp::Protocol,
}

impl Found {
    fn new(reply: &Reply<'_>) -> Self {
        Self {
            keys: 0,
            encoded: Vec::new(),
            protocol: reply.protocol(),
        }
    }

    fn add(&mut self, key: &[u8]) {
        self.keys += 1;
        Reply::new(&mut self.encoded, self.protocol).bulk(key);
    }

    fn done(self) -> (usize, Vec<u8>) {
        (self.keys, self.encoded)
    }
}
