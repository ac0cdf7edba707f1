//! A database as a whole: its size, some key, everything gone, its entries given to another.

use shardkeep_resp::Reply;

use super::spec::RouteKind::WholeStore;
use super::spec::{CommandSpec as Spec, Group, READS, READS_FAST, WRITES, WRITES_FAST};
use super::tips;
use super::{Args, NoDatabase, ShardSet, error, options};
use crate::keyspace::Keyspace;

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_store("randomkey", 1, READS, randomkey, WholeStore).tips(tips::EVERYWHERE_VARIES)
        .about("1.0.0", "O(1)", "Gives some key"),
    Spec::on_store("dbsize", 1, READS_FAST, dbsize, WholeStore).tips(tips::EVERYWHERE_SUM)
        .about("1.0.0", "O(1)", "Counts the keys"),
    Spec::on_store("flushall", -1, WRITES, flushall, WholeStore).dangerous().removing().tips(tips::EVERYWHERE_ALL)
        .about("1.0.0", "O(N), N keys in the store", "Removes all keys of all databases"),
    Spec::on_store("flushdb", -1, WRITES, flushdb, WholeStore).dangerous().removing().tips(tips::EVERYWHERE_ALL)
        .about("1.0.0", "O(N), N keys in the database", "Removes all keys of the database"),
    Spec::on_store("swapdb", 3, WRITES_FAST, swapdb, WholeStore).dangerous().in_group(Group::Server)
        .about("4.0.0", "O(N), N shards", "Gives two databases each other's keys"),
];

/// DBSIZE
fn dbsize(shards: &mut dyn ShardSet, _args: Args<'_>, reply: &mut Reply<'_>) {
    reply.integer(entries(shards) as i64);
}

fn entries(shards: &mut dyn ShardSet) -> usize {
    (shards.first()..=shards.last())
        .map(|number| shards.shard(number).len())
        .sum()
}

/// FLUSHALL [ASYNC | SYNC]: empty before the reply, and freed off the shards in either case.
fn flushall(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    flush(shards, args, reply, Keyspace::clear_all);
}

/// FLUSHDB [ASYNC | SYNC], as FLUSHALL.
fn flushdb(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    flush(shards, args, reply, Keyspace::clear);
}

fn flush(
    shards: &mut dyn ShardSet,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    clear: impl Fn(&mut Keyspace),
) {
    let is_mode = |mode: &[u8]| options::is(mode, "async") || options::is(mode, "sync");
    if args.len() > 2 || !args.iter_from(1).all(is_mode) {
        reply.error(error::SYNTAX);
        return;
    }
    for number in shards.first()..=shards.last() {
        clear(shards.shard(number));
    }
    reply.ok();
}

/// SWAPDB index1 index2
fn swapdb(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let first = shards.first();
    let databases = shards.shard(first).databases();
    let [one, other] = [1, 2].map(|at| options::database(args.get(at), databases));
    let error = match (one, other) {
        (Err(NoDatabase::NotAnInteger | NoDatabase::NotACInt), _) => "ERR invalid first DB index",
        (_, Err(NoDatabase::NotAnInteger | NoDatabase::NotACInt)) => "ERR invalid second DB index",
        (Err(NoDatabase::OutOfRange), _) | (_, Err(NoDatabase::OutOfRange)) => {
            error::DB_OUT_OF_RANGE
        }
        (Ok(one), Ok(other)) => {
            for number in first..=shards.last() {
                shards.shard(number).swap(one, other);
            }
            return reply.ok();
        }
    };
    reply.error(error);
}

/// RANDOMKEY: a shard by its share of the entries, then an entry of it.
fn randomkey(shards: &mut dyn ShardSet, _args: Args<'_>, reply: &mut Reply<'_>) {
    let first = shards.first();
    // A shard may turn out to hold only what has expired; each round then removes some of it.
    for _ in 0..ROUNDS_MAX {
        let entries = entries(shards) as u64;
        if entries == 0 {
            break;
        }
        let mut pick = shards.shard(first).draw() % entries;
        for number in first..=shards.last() {
            let keyspace = shards.shard(number);
            let here = keyspace.len() as u64;
            if pick < here {
                if let Some(record) = keyspace.random() {
                    reply.bulk(record.key());
                    return;
                }
                break;
            }
            pick -= here;
        }
    }
    reply.null();
}

/// How often RANDOMKEY picks a shard before it gives up. Each round that fails has removed up to
/// [`crate::keyspace::RANDOM_TRIES_MAX`] expired entries.
const ROUNDS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, Store, check};

    #[test]
    fn the_store_is_counted_and_emptied_as_a_whole() {
        for flush in ["FLUSHALL", "flushdb", "FLUSHALL async", "FLUSHDB SYNC"] {
            check(&[
                ("MSET a 1 b 2 c 3 d 4 e 5", "+OK\r\n"),
                ("DBSIZE", ":5\r\n"),
                ("FLUSHALL NOW", "-ERR syntax error\r\n"),
                ("FLUSHALL SYNC ASYNC", "-ERR syntax error\r\n"),
                ("DBSIZE", ":5\r\n"),
                (flush, "+OK\r\n"),
                ("DBSIZE", ":0\r\n"),
                ("RANDOMKEY", "$-1\r\n"),
                ("EXISTS a b c d e", ":0\r\n"),
            ]);
        }
    }

    #[test]
    fn what_concerns_a_whole_database_concerns_that_alone() {
        check(&[
            ("MSET a 1 b 2", "+OK\r\n"),
            ("SELECT 3", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("RANDOMKEY", "$-1\r\n"),
            ("SET c 3", "+OK\r\n"),
            ("KEYS *", "*1\r\n$1\r\nc\r\n"),
            ("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n"),
            ("RANDOMKEY", "$1\r\nc\r\n"),
            ("FLUSHDB", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("SET c 3", "+OK\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("DBSIZE", ":2\r\n"),
            ("FLUSHALL", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("SELECT 3", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
    }

    #[test]
    fn swapped_databases_have_each_others_keys() {
        check(&[
            ("MSET a 1 b 2 c 3 d 4", "+OK\r\n"),
            ("SWAPDB 0 15", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("SET e 5", "+OK\r\n"),
            ("SELECT 15", "+OK\r\n"),
            ("DBSIZE", ":4\r\n"),
            ("SWAPDB 0 15", "+OK\r\n"),
            ("GET e", "$1\r\n5\r\n"),
            ("SWAPDB 15 15", "+OK\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("SWAPDB x y", "-ERR invalid first DB index\r\n"),
            ("SWAPDB 99999999999 0", "-ERR invalid first DB index\r\n"),
            ("SWAPDB 16 y", "-ERR invalid second DB index\r\n"),
            ("SWAPDB 0 16", "-ERR DB index is out of range\r\n"),
            ("SWAPDB -1 0", "-ERR DB index is out of range\r\n"),
        ]);
    }

    #[test]
    fn every_key_is_the_random_one_some_time() {
        let mut store = Store::new();
        store.check(&[("MSET a 1 b 2 c 3 d 4 e 5", "+OK\r\n")]);
        let mut picked = std::collections::HashSet::new();
        for _ in 0..500 {
            picked.insert(store.line("RANDOMKEY"));
        }
        assert_eq!(picked.len(), 5, "{picked:?}");
    }

    #[test]
    fn what_has_expired_is_not_the_random_key() {
        let mut store = Store::new();
        for number in 0..1_000 {
            store.check(&[(&format!("SET {number} v PX 5"), "+OK\r\n")]);
        }
        store.check(&[("SET k v", "+OK\r\n")]);
        store.set_now(NOW + 5);
        store.check(&[("RANDOMKEY", "$1\r\nk\r\n"); 20]);
    }
}
