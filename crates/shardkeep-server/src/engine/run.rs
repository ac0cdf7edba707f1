//! One command on one shard in hand.

use shardkeep_resp::{Protocol, Reply};

use super::ShardState;
use crate::command::{Action, Args, CommandSpec, ShardSet};
use crate::keyspace::Keyspace;

/// One command that touches one shard.
pub(crate) struct Item<'a> {
    pub(crate) spec: &'static CommandSpec,
    pub(crate) hash: u64,
    pub(crate) args: Args<'a>,
    pub(crate) protocol: Protocol,
}

/// Runs it; the reply is appended to `out`.
#[inline]
pub(crate) fn run_item(state: &mut ShardState, item: &Item<'_>, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, item.protocol);
    match &item.spec.action {
        Action::Shard(run) => run(&mut state.keyspace, item.hash, item.args, &mut reply),
        Action::Shards(run) => run(&mut OneShard { state }, item.args, &mut reply),
        Action::Connection(_) | Action::Container => {
            unreachable!("connection commands do not travel to shards")
        }
    }
}

/// A command over several keys that happen to lie in one shard.
struct OneShard<'s> {
    state: &'s mut ShardState,
}

impl ShardSet for OneShard<'_> {
    fn of(&mut self, key: &[u8]) -> (u64, &mut Keyspace) {
        let hash = self.state.routes.hash(key);
        (hash, &mut self.state.keyspace)
    }

    fn first(&self) -> usize {
        self.state.shard
    }

    fn last(&self) -> usize {
        self.state.shard
    }

    fn shard(&mut self, number: usize) -> &mut Keyspace {
        assert_eq!(number, self.state.shard, "a shard that is not in hand");
        &mut self.state.keyspace
    }

    fn shards_total(&self) -> usize {
        self.state.routes.shards()
    }
}
