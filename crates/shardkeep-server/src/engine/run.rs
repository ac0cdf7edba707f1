//! One command on one shard in hand.

use std::sync::Arc;

use shardkeep::engine::fail_point;
use shardkeep_resp::Protocol;

use super::{ShardState, Surroundings, TransactionStep};
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
    /// What there is to do, where it is a step of a transaction.
    pub(crate) step: Option<&'a Arc<TransactionStep>>,
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
        Action::Connection(_) | Action::Container => run_step(state, item, out),
    }
    fail_point::hit_at("shard.after_apply", || item.key());
}

/// A step of a transaction whose keys all lie in one shard.
#[cold]
fn run_step(state: &mut ShardState, item: &Item<'_>, out: &mut Output) {
    let Some(step) = item.step else {
        unreachable!("of the commands on the connection only steps of transactions come to shards")
    };
    with_surroundings(state, item, |set, with| step.run(set, with, out));
}

/// The batch of the log that the reply of a step needs; 0 for none.
#[cold]
pub(super) fn step_needed(state: &mut ShardState, item: &Item<'_>) -> u64 {
    let Some(step) = item.step else {
        return 0;
    };
    let needed = with_surroundings(state, item, |set, with| step.needed(set, with));
    needed.first().map_or(0, |&(_, number)| number)
}

fn with_surroundings<T>(
    state: &mut ShardState,
    item: &Item<'_>,
    run: impl FnOnce(&mut OneShard<'_>, &Surroundings<'_>) -> T,
) -> T {
    let (gauges, routes, shard) = (Arc::clone(&state.gauges), state.routes.clone(), state.shard);
    let with = Surroundings {
        shards: &[shard],
        routes: &routes,
        slow: &gauges.slow,
        client: item.client,
        protocol: item.protocol,
    };
    run(&mut OneShard { state }, &with)
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
