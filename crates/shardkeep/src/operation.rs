//! What operations on one key are made of: the shard in hand on this thread, or a work in its mail.
//!
//! 1. A reply that must not show what is not durable waits for it after the shard was put back.
//! 2. What a change returns carries what it discards: it is dropped when the shard is back.

use std::cell::LazyCell;
use std::hash::Hash;
use std::sync::Arc;

use shardkeep_core::{Call, Error, Refused, Reservation, Ticket};

use crate::hand::{self, Hand};
use crate::mail::{Load, Mailed, Op, Step};
use crate::reply::{Changed, Reply};
use crate::state::ShardState;
use crate::store::Store;
use crate::{Key, Value};

impl<K: Key, V: Value> Store<K, V> {
    /// Looks at the shard of a key on this thread. What is not durable yet is waited for, where
    /// replies must not show it.
    pub(crate) fn look_synced<R>(
        &self,
        hash: u64,
        shard: usize,
        look: impl FnOnce(&ShardState<K, V>) -> R,
    ) -> Result<R, Error> {
        let call = self.call_when_needed();
        let keep = &self.inner.keep;
        let (result, needs) = hand::with(
            keep,
            shard,
            || call.clone(),
            |hand| hand.look(|state| (look(state), state.needs(hash))),
        )?;
        if !keep.is_synced(shard, needs) {
            keep.wait_synced(shard, needs, &call)?;
        }
        Ok(result)
    }

    /// Changes the shard of a key on this thread, with a place in the log's queue where there is a
    /// log, and waits until that is durable, where replies must.
    pub(crate) fn change_kept<R: Changed>(
        &self,
        hash: u64,
        shard: usize,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> R,
    ) -> Result<R, Error> {
        let call = self.call_when_needed();
        let reserved = self.reserve(&call)?;
        self.change_placed(hash, shard, reserved, &call, change)
    }

    /// As [`Store::change_kept`], for a change that does nothing but remove: it goes on without space for
    /// others.
    pub(crate) fn remove_kept<R: Changed>(
        &self,
        hash: u64,
        shard: usize,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> R,
    ) -> Result<R, Error> {
        let call = self.call_when_needed();
        let reserved = self.reserve_removal(&call)?;
        self.change_placed(hash, shard, reserved, &call, change)
    }

    #[inline]
    fn change_placed<R: Changed>(
        &self,
        hash: u64,
        shard: usize,
        mut reserved: Reservation<'_, ShardState<K, V>>,
        call: &LazyCell<Call, impl FnOnce() -> Call>,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> R,
    ) -> Result<R, Error> {
        let keep = &self.inner.keep;
        let (result, needs) = hand::with(
            keep,
            shard,
            || (*call).clone(),
            |mut hand| {
                hand.deposit(&mut reserved);
                (change(&mut hand), hand.look(|state| state.needs(hash)))
            },
        )?;
        if result.shows() && !keep.is_synced(shard, needs) {
            keep.wait_synced(shard, needs, call)?;
        }
        Ok(result)
    }

    /// As [`Store::look_synced`], if nobody else has the shard, and all of it is durable.
    #[inline]
    pub(crate) fn try_look<Q: Hash + ?Sized, R>(
        &self,
        key: &Q,
        look: impl FnOnce(&ShardState<K, V>, u64) -> R,
    ) -> Result<R, Refused> {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let keep = &self.inner.keep;
        let (result, needs) = hand::try_with(keep, shard, |hand| {
            hand.look(|state| (look(state, hash), state.needs(hash)))
        })?;
        if !keep.is_synced(shard, needs) {
            return Err(Refused::Busy { shard });
        }
        Ok(result)
    }

    /// As [`Store::change_kept`], if nobody else has the shard, and there is room in the log.
    pub(crate) fn try_change<R: Changed>(
        &self,
        hash: u64,
        shard: usize,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> R,
    ) -> Result<R, Error> {
        self.admit()?;
        let reserved = self.inner.keep.try_reserve(1, None)?;
        self.try_change_placed(hash, shard, reserved, change)
    }

    /// As [`Store::try_change`], for a change that does nothing but remove.
    pub(crate) fn try_remove_kept<R: Changed>(
        &self,
        hash: u64,
        shard: usize,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> R,
    ) -> Result<R, Error> {
        self.admit()?;
        let reserved = self.inner.keep.try_reserve_removals(1, None)?;
        self.try_change_placed(hash, shard, reserved, change)
    }

    #[inline]
    fn try_change_placed<R: Changed>(
        &self,
        hash: u64,
        shard: usize,
        mut reserved: Reservation<'_, ShardState<K, V>>,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> R,
    ) -> Result<R, Error> {
        let keep = &self.inner.keep;
        let (result, needs) = hand::try_with(keep, shard, |mut hand| {
            hand.deposit(&mut reserved);
            (change(&mut hand), hand.look(|state| state.needs(hash)))
        })?;
        if result.shows() && needs > 0 {
            keep.wait_synced(shard, needs, &self.call())?;
        }
        Ok(result)
    }

    /// Mails one operation and waits for its reply.
    #[cold]
    #[inline(never)]
    pub(crate) fn mail(&self, shard: usize, hash: u64, op: Op<K, V>) -> Result<Reply<V>, Error> {
        let call = self.call();
        let ticket = Ticket::new(shard);
        let step = Step {
            hash,
            op,
            reply: None,
            left: None,
        };
        let work = Box::new(Mailed {
            load: Load::One(step),
            ticket: Arc::clone(&ticket),
            deadline: call.deadline,
        });
        let keep = &self.inner.keep;
        keep.post(shard, work, &call)
            .map_err(|(_, refused)| refused)?;
        match ticket.wait(&call, || keep.depth(shard))? {
            Load::One(Step {
                reply: Some(reply), ..
            }) => Ok(reply),
            Load::One(Step { reply: None, .. }) | Load::Many(_) => {
                unreachable!("a work that is done has its reply")
            }
        }
    }
}
