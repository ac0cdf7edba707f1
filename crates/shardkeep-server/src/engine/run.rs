//! One command on one shard in hand.

use shardkeep::engine::fail_point;
use shardkeep_resp::Protocol;

use super::ShardState;
use crate::clock;
use crate::limits;
use crate::output::Output;
use shardkeep_data::commands::{Action, Args, CommandSpec, Hour, ShardSet};
use shardkeep_data::keyspace::Keyspace;

/// One command that touches one shard.
pub(crate) struct Item<'a> {
    pub(crate) spec: &'static CommandSpec,
    pub(crate) hash: u64,
    /// The database it works on.
    pub(crate) database: u32,
    pub(crate) args: Args<'a>,
    pub(crate) protocol: Protocol,
    /// Number of the connection that sent it.
    pub(crate) client: u64,
}

impl Item<'_> {
    /// The first argument: what fail points are named by.
    pub(crate) fn key(&self) -> &[u8] {
        self.args.iter_from(1).next().unwrap_or_default()
    }

    /// Whether its time is worth two looks at the clock.
    #[inline]
    fn is_heavy(&self) -> bool {
        let args = self.args.len();
        self.spec.is_heavy
            || args > limits::TIMED_ARGS
            || args > 2 && self.args.get(2).len() > limits::TIMED_VALUE_BYTES
    }
}

/// Runs it; the reply is appended to `out`.
#[inline]
pub(crate) fn run_item(state: &mut ShardState, item: &Item<'_>, out: &mut Output) {
    if state.times_all || item.is_heavy() {
        run_timed(state, item, out);
    } else {
        run_plain(state, item, out);
    }
}

#[cold]
fn run_timed(state: &mut ShardState, item: &Item<'_>, out: &mut Output) {
    let began = clock::now();
    run_plain(state, item, out);
    let took = clock::now().saturating_duration_since(began);
    if took >= limits::TIME_GOES_ON {
        // For the commands behind it, whose times to live begin when they run.
        state.keyspace.set_now(clock::unix_millis());
    }
    state
        .gauges
        .slow
        .note(took, item.spec.name, item.args, item.client);
}

#[inline]
fn run_plain(state: &mut ShardState, item: &Item<'_>, out: &mut Output) {
    fail_point::hit_at("shard.before_apply", || item.key());
    state.keyspace.select(item.database);
    let mut reply = out.reply(item.protocol);
    match &item.spec.action {
        Action::Shard(run) => run(&mut state.keyspace, item.hash, item.args, &mut reply),
        Action::Shards(run) => run(&mut OneShard { state }, item.args, &mut reply),
        Action::Connection(_) | Action::Container => {
            unreachable!("connection commands do not travel to shards")
        }
    }
    fail_point::hit_at("shard.after_apply", || item.key());
}

/// A command over several keys that happen to lie in one shard.
struct OneShard<'s> {
    state: &'s mut ShardState,
}

impl ShardSet for OneShard<'_> {
    fn of(&mut self, key: &[u8]) -> (u64, &mut Keyspace) {
        fail_point::hit_at("shards.next", || key);
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

    /// Those that may go on for long are over ranges of shards, also of one, and do not come here.
    fn clock(&self) -> Box<dyn Fn() -> Hour> {
        Box::new(|| Hour::Early)
    }
}
