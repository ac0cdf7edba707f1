//! Several strings at once. Each command is atomic: it has all its shards in hand.

use shardkeep_resp::Reply;

use super::{Args, ShardSet, error};

/// MGET key [key ...]
pub(super) fn mget(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.array(args.len() - 1);
    for key in args.iter_from(1) {
        let (hash, keyspace) = shards.of(key);
        match keyspace.get(hash, key) {
            Some(record) => reply.bulk(record.value()),
            None => reply.null(),
        }
    }
}

/// MSET key value [key value ...]
pub(super) fn mset(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
    if is_paired(args, "mset", reply) {
        set_all(shards, args);
        reply.ok();
    }
}

/// MSETNX key value [key value ...]: all of them, or none if one of the keys is there.
pub(super) fn msetnx(shards: &mut dyn ShardSet, args: Args<'_>, reply: &mut Reply<'_>) {
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
