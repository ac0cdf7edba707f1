//! Several strings at once. Each command is atomic: it has all its shards in hand.

use shardkeep_resp::Reply;

use super::text::answer;

use crate::commands::key_specs as keys;
use crate::commands::spec::{CommandSpec as Spec, GROWS, READS_FAST};
use crate::commands::tips;
use crate::commands::{Args, REPLY_BYTES_MAX, ShardSet, error};

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    Spec::on_keys("mget", -2, READS_FAST, mget, keys::READ_ALL).tips(tips::SPLIT)
        .about("1.0.0", "O(N), N keys", "Gives the values of keys, all of one moment"),
    Spec::on_keys("mset", -3, GROWS, mset, keys::REPLACE_PAIRS).tips(tips::SPLIT_ALL)
        .about("1.0.1", "O(N), N keys", "Gives keys values, all at once"),
    Spec::on_keys("msetnx", -3, GROWS, msetnx, keys::CREATE_PAIRS).tips(tips::SPLIT_MIN)
        .about("1.0.1", "O(N), N keys", "Gives keys values, unless one of them has one"),
];

/// MGET key [key ...]
fn mget(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    let start = reply.written();
    let size = reply.size();
    reply.array(args.len() - 1);
    for key in args.iter_from(1) {
        let (hash, keyspace) = shards.of(key);
        match keyspace.get(hash, key) {
            Some(record) => answer(record, reply),
            None => reply.null(),
        }
        if reply.size() - size > REPLY_BYTES_MAX {
            reply.take_back(start);
            return reply.error(error::REPLY_LIMIT);
        }
    }
}

/// MSET key value [key value ...]
fn mset(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    if is_paired(args, "mset", reply) {
        set_all(shards, args);
        reply.ok();
    }
}

/// MSETNX key value [key value ...]: all of them, or none if one of the keys is there.
fn msetnx(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    if !is_paired(args, "msetnx", reply) {
        return;
    }
    let mut keys = args.iter_from(1).step_by(2);
    let is_one_there = keys.any(|key| {
        let (hash, keyspace) = shards.of(key);
        keyspace.contains(hash, key)
    });
    if !is_one_there {
        set_all(shards, args);
    }
    reply.integer(i64::from(!is_one_there));
}

fn is_paired(args: Args<'_>, command: &str, reply: &mut Reply<'_>) -> bool {
    let is_paired = args.len() % 2 == 1;
    if !is_paired {
        error::wrong_arity(command, reply);
    }
    is_paired
}

fn set_all(shards: &mut dyn ShardSet, args: Args<'_>) {
    let keys = args.iter_from(1).step_by(2);
    let values = args.iter_from(2).step_by(2);
    for (key, value) in keys.zip(values) {
        let (hash, keyspace) = shards.of(key);
        keyspace.set(hash, key, value, None);
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::check;

    #[test]
    fn mget_answers_each_key_in_order() {
        check(&[
            ("MSET a 1 b 2 c 3", "+OK\r\n"),
            (
                "MGET c nobody a a",
                "*4\r\n$1\r\n3\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n",
            ),
        ]);
    }

    #[test]
    fn of_two_values_for_one_key_the_last_one_stays() {
        check(&[("MSET a 1 a 2", "+OK\r\n"), ("GET a", "$1\r\n2\r\n")]);
    }

    #[test]
    fn msetnx_sets_all_or_nothing() {
        check(&[
            ("MSETNX a 1 b 2", ":1\r\n"),
            ("MSETNX c 3 b 4", ":0\r\n"),
            ("MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
        ]);
    }

    #[test]
    fn a_key_without_a_value_is_refused() {
        check(&[
            (
                "MSET a 1 b",
                "-ERR wrong number of arguments for 'mset' command\r\n",
            ),
            (
                "MSETNX a 1 b",
                "-ERR wrong number of arguments for 'msetnx' command\r\n",
            ),
            ("DBSIZE", ":0\r\n"),
        ]);
    }
}
