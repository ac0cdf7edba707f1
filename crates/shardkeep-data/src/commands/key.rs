//! Keys, whatever their values: removing, counting, renaming, copying.

use shardkeep_resp::Reply;

use super::key_specs as keys;
use super::spec::{CommandSpec as Spec, GROWS, READS_FAST, WRITES, WRITES_FAST};
use super::tips;
use super::{Args, ShardSet, error, options};
use crate::keyspace::{Keyspace, Place};

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_keys("del", -2, WRITES, del, keys::REMOVE_ALL).logged().removing().tips(tips::SPLIT_SUM)
        .about("1.0.0", "O(N), N keys", "Removes keys"),
    Spec::on_keys("unlink", -2, WRITES_FAST, del, keys::REMOVE_ALL).removing().tips(tips::SPLIT_SUM)
        .about("4.0.0", "O(N), N keys", "Removes keys; here the same as DEL"),
    Spec::on_keys("exists", -2, READS_FAST, exists, keys::INSPECT_ALL).tips(tips::SPLIT_SUM)
        .about("1.0.0", "O(N), N keys", "Counts which of the keys are there"),
    Spec::on_keys("touch", -2, READS_FAST, exists, keys::INSPECT_ALL).tips(tips::SPLIT_SUM)
        .about("3.2.1", "O(N), N keys", "Counts which of the keys are there"),
    Spec::on_key("type", 2, READS_FAST, type_of, keys::INSPECT)
        .about("1.0.0", "O(1)", "Tells what kind of value a key has"),
    Spec::on_keys("rename", 3, WRITES, rename, keys::RENAME)
        .about("1.0.0", "O(N), N bytes of the value", "Gives a value another key"),
    Spec::on_keys("renamenx", 3, WRITES_FAST, renamenx, keys::RENAMENX)
        .about("1.0.0", "O(N), N bytes of the value", "Gives a value another key unless that has one"),
    Spec::on_keys("copy", -3, GROWS, copy, keys::COPY)
        .about("6.2.0", "O(N), N bytes of the value", "Gives a value to another key as well"),
    Spec::on_key("move", 3, WRITES_FAST, move_to, keys::READ_CHANGE)
        .about("1.0.0", "O(1)", "Moves a key to another database"),
];

/// What TYPE and SCAN call a string, the only kind of value so far.
pub(super) const STRING: &str = "string";

/// DEL key [key ...] and UNLINK
fn del(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    count(shards, args, reply, |keyspace, hash, key| {
        keyspace.remove(hash, key)
    });
}

/// EXISTS key [key ...] and TOUCH: a key that is named twice counts twice.
fn exists(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    count(shards, args, reply, |keyspace, hash, key| {
        keyspace.get(hash, key).is_some()
    });
}

/// Answers for how many of the keys `does` is true.
fn count(
    shards: &mut dyn ShardSet,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    does: impl Fn(&mut Keyspace, u64, &[u8]) -> bool,
) {
    let mut count = 0;
    for key in args.iter_from(1) {
        let (hash, keyspace) = shards.of(key);
        count += i64::from(does(keyspace, hash, key));
    }
    reply.integer(count);
}

/// TYPE key
fn type_of(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    match keyspace.get(hash, args.get(1)) {
        Some(_) => reply.simple(STRING),
        None => reply.simple("none"),
    }
}

/// RENAME key newkey
fn rename(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    match move_entry(shards, args, Target::Any) {
        Moved::NoSuchKey => reply.error(error::NO_SUCH_KEY),
        Moved::Done | Moved::SameKey | Moved::TargetTaken => reply.ok(),
    }
}

/// RENAMENX key newkey
fn renamenx(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    match move_entry(shards, args, Target::Free) {
        Moved::NoSuchKey => reply.error(error::NO_SUCH_KEY),
        Moved::SameKey | Moved::TargetTaken => reply.integer(0),
        Moved::Done => reply.integer(1),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Any,
    Free,
}

enum Moved {
    Done,
    NoSuchKey,
    SameKey,
    TargetTaken,
}

/// Moves the entry of the first key to the second, expiry and all.
fn move_entry(shards: &mut dyn ShardSet, args: Args<'_>, target: Target) -> Moved {
    let (from, to) = (args.get(1), args.get(2));
    let (from_hash, keyspace) = shards.of(from);
    if !keyspace.contains(from_hash, from) {
        return Moved::NoSuchKey;
    }
    if from == to {
        return Moved::SameKey;
    }
    let (to_hash, keyspace) = shards.of(to);
    if target == Target::Free && keyspace.contains(to_hash, to) {
        return Moved::TargetTaken;
    }
    let (from_hash, keyspace) = shards.of(from);
    let old = match keyspace.place(from_hash, from) {
        Place::Taken(taken) => taken.remove(),
        Place::Free(_) => return Moved::NoSuchKey,
    };
    let (to_hash, keyspace) = shards.of(to);
    keyspace.put(to_hash, old.with_key(to));
    Moved::Done
}

/// MOVE key db: to another database, unless the key is there already.
fn move_to(keyspace: &mut Keyspace, hash: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, here) = (args.get(1), keyspace.selected());
    let there = match options::database(args.get(2), keyspace.databases()) {
        Ok(there) if there != here => there,
        Ok(_) => return reply.error(error::SAME_OBJECTS),
        Err(error) => return reply.error(error.error()),
    };
    if !keyspace.contains(hash, key) {
        return reply.integer(0);
    }
    keyspace.select(there);
    if keyspace.contains(hash, key) {
        return reply.integer(0);
    }
    keyspace.select(here);
    let record = match keyspace.place(hash, key) {
        Place::Taken(taken) => taken.remove(),
        Place::Free(_) => return reply.integer(0),
    };
    keyspace.select(there);
    keyspace.put(hash, record);
    reply.integer(1);
}

/// What COPY is to do beside copying.
struct CopyOptions {
    replaces: bool,
    /// The database to copy to.
    database: u32,
}

/// COPY source destination [DB number] [REPLACE]
fn copy(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let (from, to) = (args.get(1), args.get(2));
    let (hash, keyspace) = shards.of(from);
    let here = keyspace.selected();
    let Some(options) = copy_options(args, (here, keyspace.databases()), reply) else {
        return;
    };
    if from == to && options.database == here {
        reply.error(error::SAME_OBJECTS);
        return;
    }
    let copied = keyspace.get(hash, from).map(|record| record.with_key(to));
    let (hash, keyspace) = shards.of(to);
    keyspace.select(options.database);
    let done = match copied {
        Some(copied) if options.replaces || !keyspace.contains(hash, to) => {
            keyspace.put(hash, copied);
            true
        }
        Some(_) | None => false,
    };
    reply.integer(i64::from(done));
}

/// The options of a COPY in database `here` of the number that there are; `None` if they are wrong, which is answered.
fn copy_options(
    args: Args<'_>,
    (here, databases): (u32, u32),
    reply: &mut Reply<'_>,
) -> Option<CopyOptions> {
    let mut options = CopyOptions {
        replaces: false,
        database: here,
    };
    let mut rest = args.iter_from(3);
    while let Some(option) = rest.next() {
        if options::is(option, "replace") {
            options.replaces = true;
            continue;
        }
        let database = match rest.next() {
            Some(database) if options::is(option, "db") => options::database(database, databases),
            Some(_) | None => {
                reply.error(error::SYNTAX);
                return None;
            }
        };
        match database {
            Ok(database) => options.database = database,
            Err(error) => {
                reply.error(error.error());
                return None;
            }
        }
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, Store, check};

    #[test]
    fn keys_are_removed_and_counted_each_time_they_are_named() {
        check(&[
            ("MSET a 1 b 2 c 3 d 4", "+OK\r\n"),
            ("EXISTS a a nobody", ":2\r\n"),
            ("TOUCH a b nobody", ":2\r\n"),
            ("DEL a a nobody b", ":2\r\n"),
            ("UNLINK c", ":1\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("TYPE d", "+string\r\n"),
            ("TYPE a", "+none\r\n"),
        ]);
    }

    #[test]
    fn rename_moves_value_and_expiry() {
        check(&[
            ("SET a 1 EX 10", "+OK\r\n"),
            ("SET b 2", "+OK\r\n"),
            ("RENAME a b", "+OK\r\n"),
            ("GET b", "$1\r\n1\r\n"),
            ("TTL b", ":10\r\n"),
            ("RENAME a b", "-ERR no such key\r\n"),
            ("RENAME a a", "-ERR no such key\r\n"),
            ("RENAME b b", "+OK\r\n"),
            ("DBSIZE", ":1\r\n"),
        ]);
    }

    #[test]
    fn renamenx_moves_only_to_a_free_key() {
        check(&[
            ("MSET a 1 b 2", "+OK\r\n"),
            ("RENAMENX a b", ":0\r\n"),
            ("RENAMENX a a", ":0\r\n"),
            ("RENAMENX a c", ":1\r\n"),
            ("MGET a b c", "*3\r\n$-1\r\n$1\r\n2\r\n$1\r\n1\r\n"),
            ("RENAMENX a d", "-ERR no such key\r\n"),
        ]);
    }

    #[test]
    fn copy_gives_value_and_expiry_to_another_key_as_well() {
        check(&[
            ("SET a 1 EX 10", "+OK\r\n"),
            ("COPY a b", ":1\r\n"),
            ("TTL b", ":10\r\n"),
            ("SET a 2", "+OK\r\n"),
            ("COPY a b DB 0", ":0\r\n"),
            ("COPY a b REPLACE", ":1\r\n"),
            ("GET b", "$1\r\n2\r\n"),
            ("TTL b", ":-1\r\n"),
            ("COPY nobody b replace", ":0\r\n"),
        ]);
    }

    #[test]
    fn copy_goes_to_another_database_where_one_is_named() {
        check(&[
            ("SET a 1 EX 10", "+OK\r\n"),
            ("COPY a a DB 5", ":1\r\n"),
            ("COPY a a DB 5", ":0\r\n"),
            ("COPY a b DB 5", ":1\r\n"),
            ("DBSIZE", ":1\r\n"),
            (
                "COPY a a DB 5 DB 0",
                "-ERR source and destination objects are the same\r\n",
            ),
            ("SELECT 5", "+OK\r\n"),
            ("TTL a", ":10\r\n"),
            ("SET a 2", "+OK\r\n"),
            ("COPY a a REPLACE DB 0", ":1\r\n"),
            (
                "COPY a a",
                "-ERR source and destination objects are the same\r\n",
            ),
            ("SELECT 0", "+OK\r\n"),
            ("GET a", "$1\r\n2\r\n"),
            ("TTL a", ":-1\r\n"),
            ("COPY a c", ":1\r\n"),
        ]);
    }

    #[test]
    fn a_moved_key_lies_in_the_other_database_alone() {
        check(&[
            ("SET a 1 EX 10", "+OK\r\n"),
            ("MOVE a 5", ":1\r\n"),
            ("MOVE a 5", ":0\r\n"),
            ("EXISTS a", ":0\r\n"),
            ("SET a 2", "+OK\r\n"),
            ("MOVE a 5", ":0\r\n"),
            ("GET a", "$1\r\n2\r\n"),
            ("SELECT 5", "+OK\r\n"),
            ("GET a", "$1\r\n1\r\n"),
            ("TTL a", ":10\r\n"),
            (
                "MOVE nobody 5",
                "-ERR source and destination objects are the same\r\n",
            ),
            ("MOVE a 16", "-ERR DB index is out of range\r\n"),
            (
                "MOVE a x",
                "-ERR value is not an integer or out of range\r\n",
            ),
            (
                "MOVE a 99999999999",
                "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n",
            ),
        ]);
    }

    #[test]
    fn what_has_expired_in_the_other_database_is_in_nobodys_way() {
        let mut store = Store::new();
        store.check(&[
            ("SET a 1", "+OK\r\n"),
            ("SELECT 5", "+OK\r\n"),
            ("SET a 2 PX 5", "+OK\r\n"),
            ("SELECT 0", "+OK\r\n"),
        ]);
        store.set_now(NOW + 5);
        store.check(&[("MOVE a 5", ":1\r\n"), ("EXISTS a", ":0\r\n")]);
    }

    #[test]
    fn copy_refuses_what_it_cannot_do() {
        check(&[
            (
                "COPY a a",
                "-ERR source and destination objects are the same\r\n",
            ),
            ("COPY a b DB 16", "-ERR DB index is out of range\r\n"),
            (
                "COPY a b DB x",
                "-ERR value is not an integer or out of range\r\n",
            ),
            (
                "COPY a b DB 9999999999",
                "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n",
            ),
            ("COPY a b DB", "-ERR syntax error\r\n"),
            ("COPY a b TO", "-ERR syntax error\r\n"),
        ]);
    }
}
