//! Commands on shards that outlive the process: what their replies depend on.
//!
//! 1. A reply that shows state needs the newest batch of the log that changed what it shows: of its
//!    keys where it names some, else of the whole shard.

use std::ops::RangeInclusive;
use std::sync::Arc;

use shardkeep::codec::{DecodeError, EncodeError};
use shardkeep::durable::Persist;
use shardkeep::effect::Effect;
use shardkeep::engine::fail_point;
use shardkeep::shard::{Image, Moment, Pressure, Saved, Slice, WalkPoint, Walks};

use super::run::{Item, run_item, step_needed};
use super::{Routes, ServerKeep, ShardState};
use crate::output::Output;
use shardkeep_data::commands::{Args, CommandSpec, Flags, RouteKind, replay};
use shardkeep_data::keyspace::Keyspace;

/// What becomes of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Nothing: the store lives in memory.
    Nothing,
    /// They are logged; replies do not wait for it.
    Log,
    /// They are logged, and no reply shows what is not durable.
    Synced,
}

/// The batches of the log that must be durable before a reply may leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Needs {
    /// None.
    #[default]
    Nothing,
    /// Of one shard, up to this number.
    One(usize, u64),
    /// Of several shards.
    Many(Box<[(usize, u64)]>),
}

impl Needs {
    /// Those of one shard; number 0 is none.
    #[inline]
    pub(crate) fn of(shard: usize, number: u64) -> Self {
        if number == 0 {
            Self::Nothing
        } else {
            Self::One(shard, number)
        }
    }

    /// Those of several.
    pub(crate) fn of_many(all: Vec<(usize, u64)>) -> Self {
        if all.is_empty() {
            Self::Nothing
        } else {
            Self::Many(all.into())
        }
    }

    /// A shard of which something is needed that is not durable; `None` when all is.
    pub(crate) fn unmet(&self, keep: &ServerKeep) -> Option<usize> {
        let is_unmet = |&(shard, number): &(usize, u64)| !keep.is_synced(shard, number);
        match self {
            Self::Nothing => None,
            Self::One(shard, number) => Some((*shard, *number))
                .filter(is_unmet)
                .map(|(shard, _)| shard),
            Self::Many(all) => all.iter().copied().find(is_unmet).map(|(shard, _)| shard),
        }
    }
}

/// Runs one command on a shard whose effects are kept; the reply is appended to `out`. Gives the number
/// of the batch that the reply needs, 0 for none.
pub(crate) fn run_kept(state: &mut ShardState, item: &Item<'_>, out: &mut Output) -> u64 {
    let writes = item.spec.flags.contains(Flags::WRITE);
    state.keyspace.begin_command(writes);
    run_item(state, item, out);
    state.keyspace.end_command();
    match item.spec.route {
        RouteKind::None => step_needed(state, item),
        _ => needed(&state.keyspace, &state.routes, item),
    }
}

fn needed(keyspace: &Keyspace, routes: &Routes, item: &Item<'_>) -> u64 {
    let Some(effects) = keyspace.effects() else {
        return 0;
    };
    match item.spec.route {
        RouteKind::FirstKey => effects.needs(item.hash),
        RouteKind::AllKeys => {
            let keys = item.spec.keys.of(item.args);
            let needs = keys.map(|key| effects.needs(routes.hash(key)));
            needs.max().unwrap_or(0)
        }
        RouteKind::WholeStore | RouteKind::Cursor => effects.needs_newest(),
        RouteKind::None => 0,
    }
}

/// What the reply to a command over several shards needs. `number` finds the batch that a shard needs
/// for the key with a hash, or (`None`) for all its keys.
pub(super) fn needed_of_all(
    spec: &CommandSpec,
    args: Args<'_>,
    routes: &Routes,
    shards: RangeInclusive<usize>,
    mut number: impl FnMut(Option<u64>, usize) -> u64,
) -> Vec<(usize, u64)> {
    let mut all: Vec<(usize, u64)> = match spec.route {
        RouteKind::FirstKey | RouteKind::AllKeys => {
            let hashes = spec.keys.of(args).map(|key| routes.hash(key));
            hashes
                .map(|hash| (routes.shard(hash), number(Some(hash), routes.shard(hash))))
                .collect()
        }
        RouteKind::WholeStore | RouteKind::Cursor => {
            shards.map(|shard| (shard, number(None, shard))).collect()
        }
        RouteKind::None => Vec::new(),
    };
    all.retain(|&(_, number)| number > 0);
    all
}

impl Persist for ShardState {
    fn replay(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError> {
        if let Some(key) = effect.key {
            fail_point::hit_at("restore", || key);
        }
        replay(&mut self.keyspace, effect)
    }

    fn cut(&mut self, moment: Moment, pressure: &Arc<Pressure>) {
        self.keyspace.cut(moment, Arc::clone(pressure));
    }

    fn walks(&mut self) -> Option<&mut Walks> {
        self.keyspace.walks()
    }

    fn slice(
        &mut self,
        from: WalkPoint,
        slice: Slice,
        into: &mut Image,
    ) -> Result<Saved, EncodeError> {
        self.keyspace.slice(from, slice, into)
    }
}
