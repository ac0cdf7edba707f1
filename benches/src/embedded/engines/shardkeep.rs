//! This project's store, in the three ways in which shards and work can meet.
//!
//! `owners-lend` borrows idle shards (the default), `owners-mail` sends every operation to the
//! shard's owner, `single-owner` is the same with one owner and one shard.
//!
//! 1. A read is `Store::read`, whose closure copies the value where it lies, as the other engines
//!    copy it inside of their guard. (`Store::get` would return a copy: the same bytes moved twice.)
//!    Where operations are mailed it is `Store::get`: a closure does not travel, it would be lent
//!    the shard.
//! 2. A batch is one pipeline, kept and used again. It answers writes too (with the old value, as
//!    its interface has it), which loops over locks do not; nothing is subtracted for that.
//! 3. A change is `Store::update` and a transfer `Store::transaction`, both closures that run on the
//!    calling thread and put a new value in place of the old one.
//! 4. A call that fails ends the run: a refused operation is cheap and would look fast.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use shardkeep::{Handover, KeyNotNamed, Pipeline, Reply, Store, Update};

use super::{Engine, Handle, Settings, hasher};
use crate::embedded::value::{ABSENT, Value, transfer};
use crate::embedded::workload::Op;

/// Longest wait of one call: far beyond what even a crowded machine does to a thread, so that only
/// a call that hangs ends a run.
const CALL_MAX: Duration = Duration::from_secs(30);

/// A store, and how many shards it was given.
#[derive(Debug)]
pub(super) struct Shardkeep<V: Value> {
    store: Store<u64, V>,
    handover: Handover,
    shards: usize,
}

impl<V: Value> Shardkeep<V> {
    /// Lends idle shards.
    pub(super) fn lend(settings: Settings) -> anyhow::Result<Self> {
        Self::open(Handover::Lend, settings, None)
    }

    /// Mails everything; writes are gathered for the window of the settings.
    pub(super) fn mail(settings: Settings) -> anyhow::Result<Self> {
        Self::open(Handover::Mail, settings, None)
    }

    /// Mails everything to one thread that owns one map.
    pub(super) fn single(settings: Settings) -> anyhow::Result<Self> {
        let shards = Some(NonZeroUsize::MIN);
        Self::open(Handover::Mail, Settings { shards, ..settings }, Some(1))
    }

    fn open(handover: Handover, settings: Settings, owners: Option<usize>) -> anyhow::Result<Self> {
        let mut builder = Store::builder()
            .handover(handover)
            .hasher(hasher())
            .deadline(CALL_MAX)
            .write_window(settings.write_window);
        if let Some(shards) = settings.shards {
            builder = builder.shards(shards.get());
        }
        if let Some(owners) = owners {
            builder = builder.owners(owners);
        }
        let store = builder.open()?;
        let shards = store.stats().len();
        Ok(Self {
            store,
            handover,
            shards,
        })
    }
}

impl<V: Value> Engine for Shardkeep<V> {
    const TRANSFERS_ATOMICALLY: bool = true;
    type Handle<'a> = Caller<'a, V>;

    fn handle(&self) -> Caller<'_, V> {
        Caller {
            store: &self.store,
            handover: self.handover,
            pipeline: self.store.pipeline(),
        }
    }

    fn shards(&self) -> Option<usize> {
        Some(self.shards)
    }
}

/// One thread's access: the store, and a pipeline to use again and again.
pub(super) struct Caller<'a, V: Value> {
    store: &'a Store<u64, V>,
    handover: Handover,
    pipeline: Pipeline<u64, V>,
}

impl<V: Value> Handle for Caller<'_, V> {
    type Value = V;

    #[inline(always)]
    fn get(&mut self, key: u64) -> Option<u64> {
        let found = match self.handover {
            Handover::Lend => self.store.read(&key, V::digest),
            Handover::Mail => match self.store.get(&key) {
                Ok(copy) => Ok(copy.as_ref().map(V::digest_taken)),
                Err(error) => Err(error),
            },
        };
        match found {
            Ok(found) => found,
            Err(error) => failed(&error),
        }
    }

    #[inline(always)]
    fn set(&mut self, key: u64, value: &V) {
        if let Err(error) = self.store.insert(key, *value) {
            failed(&error)
        }
    }

    #[inline]
    fn add(&mut self, key: u64, amount: u64) -> Option<u64> {
        let mut before = None;
        let changed = self.store.update(&key, |value| match value {
            Some(value) => {
                let mut copy = *value;
                before = Some(copy.add(amount));
                Update::Put(copy)
            }
            None => Update::Keep,
        });
        match changed {
            Ok(_replaced) => before,
            Err(error) => failed(&error),
        }
    }

    #[inline]
    fn transfer(&mut self, from: u64, to: u64) -> Option<u64> {
        let moved = self.store.transaction([from, to], |accounts| {
            let giver = accounts.get(&from)?.copied();
            let taker = accounts.get(&to)?.copied();
            let (Some(mut giver), Some(mut taker)) = (giver, taker) else {
                return Ok::<_, KeyNotNamed>(None);
            };
            let sum = transfer(&mut giver, &mut taker);
            accounts.insert(&from, giver)?;
            accounts.insert(&to, taker)?;
            Ok(Some(sum))
        });
        match moved {
            Ok(sum) => sum,
            Err(error) => failed(&error),
        }
    }

    fn batch(&mut self, ops: &[Op], digests: &mut [u64]) {
        for op in ops {
            if op.is_write() {
                self.pipeline.insert(op.key(), V::of(op.key()));
            } else {
                self.pipeline.get(op.key());
            }
        }
        for (reply, digest) in self.pipeline.run().iter().zip(digests) {
            *digest = match reply {
                Reply::Value(Some(value)) => value.digest_taken(),
                Reply::Failed(error) => failed(error),
                _ => ABSENT,
            };
        }
    }
}

#[cold]
fn failed(error: &dyn fmt::Display) -> ! {
    panic!("the store failed under load: {error}")
}
