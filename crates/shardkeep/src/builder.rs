//! Settings of a store, and opening it.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use shardkeep_core::{Config, Event, Handover, Keep, OpenError, Overload};

use crate::clock::{Clock, SystemClock};
use crate::ledger::{Budget, Ledger, Weigher};
use crate::router::Router;
use crate::state::ShardState;
use crate::store::{Inner, Keeping, Store};
use crate::table::Table;
use crate::{Key, Value, limits};

/// Settings of a [`Store`]. Whatever is not set suits the machine.
///
/// ```
/// use std::time::Duration;
/// use shardkeep::{Overload, Store};
///
/// let store = Store::<String, Vec<u8>>::builder()
///     .name("sessions")
///     .shards(16)
///     .deadline(Duration::from_millis(200))
///     .overload(Overload::Reject)
///     .max_weight(64 << 20, |key, value| (key.len() + value.len()) as u64)
///     .open()?;
/// # drop(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "settings do nothing before the store is opened"]
pub struct Builder<K, V> {
    config: Config,
    owners: Option<usize>,
    timeout: Duration,
    max_weight: Option<(u64, Weigher<K, V>)>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    events: Box<dyn Fn(Event) + Send + Sync>,
    segment_entries: Option<usize>,
}

impl<K: Key, V: Value> Builder<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::default(),
            owners: None,
            timeout: limits::DEADLINE_DEFAULT,
            max_weight: None,
            hasher: RandomState::new(),
            clock: Arc::new(SystemClock),
            events: Box::new(|_| {}),
            segment_entries: None,
        }
    }

    /// How many shards: a power of two, 1 to 65,536; 32 for each core by default. Few favour
    /// batches, many favour single operations.
    pub fn shards(mut self, shards: usize) -> Self {
        self.config.shards = shards;
        self
    }

    /// How many owner threads: 1 to the number of shards, at most 1,024; one for each core by
    /// default.
    pub fn owners(mut self, owners: usize) -> Self {
        self.owners = Some(owners);
        self
    }

    /// How a shard and its work come together; [`Handover::Lend`] by default.
    pub fn handover(mut self, handover: Handover) -> Self {
        self.config.handover = handover;
        self
    }

    /// Places in each shard's mailbox, in works: 1 to 1,048,576; 1,024 by default.
    pub fn mailbox_works(mut self, works: usize) -> Self {
        self.config.mailbox_works = works;
        self
    }

    /// What a full mailbox does to the caller; by default it waits until its deadline.
    pub fn overload(mut self, overload: Overload) -> Self {
        self.config.overload = overload;
        self
    }

    /// How long a call may wait; [`limits::DEADLINE_DEFAULT`] by default. A handle can change it for
    /// itself: [`Store::with_deadline`].
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Refuses inserts that would make the store heavier than `max` (in whatever unit `weigher`
    /// counts).
    ///
    /// Strict, and kept without looking at other shards: each of the `S` shards may hold `max / S`.
    /// So a store whose keys spread badly refuses before `max` is reached in all, but never after.
    /// Making an entry lighter is always allowed. Expired entries count until they are removed.
    ///
    /// `weigher` must always give the same entry the same weight; it is called while the shard is
    /// held, and one that panics can lose the shard.
    pub fn max_weight(
        mut self,
        max: u64,
        weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.max_weight = Some((max, Arc::new(weigher)));
        self
    }

    /// How long writes may be gathered before they are applied in one go, in [`Handover::Mail`]; by
    /// default not at all.
    pub fn write_window(mut self, window: Duration) -> Self {
        self.config.write_window = window;
        self
    }

    /// Names the threads: `NAME-owner-0` and so on; `shardkeep` by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The hash function with its seeds; random by default, and it should stay so where others
    /// choose the keys.
    pub fn hasher(mut self, hasher: RandomState) -> Self {
        self.hasher = hasher;
        self
    }

    /// Fixes the seed of the hash function, for tests that must be repeatable.
    pub fn hasher_seed(self, seed: u64) -> Self {
        self.hasher(RandomState::with_seeds(
            seed,
            !seed,
            seed.rotate_left(32),
            1,
        ))
    }

    /// The clock by which entries expire; the system's by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Is told what goes wrong inside of the store (a shard lost to a panic), on the thread that
    /// notices. Must not block; a panic in it ends there.
    pub fn on_event(mut self, events: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = Box::new(events);
        self
    }

    /// Segments of another size, in entries: for tests that force splits.
    #[doc(hidden)]
    pub fn segment_entries(mut self, entries: usize) -> Self {
        self.segment_entries = Some(entries);
        self
    }

    /// Opens the store and starts its owner threads.
    ///
    /// # Errors
    /// A setting outside of its limits, by name, or a thread that could not be started.
    pub fn open(self) -> Result<Store<K, V>, OpenError> {
        let mut config = self.config;
        // A smaller store needs fewer owners, unless they were asked for.
        config.owners = self
            .owners
            .unwrap_or_else(|| config.owners.min(config.shards).max(1));
        config.check()?;
        let shards = config.shards as u64;
        let share = match self.max_weight {
            Some((max, _)) if max < shards => {
                return Err(OpenError::Setting {
                    name: "max_weight",
                    value: max,
                    allowed: "at least 1 for each shard",
                });
            }
            Some((max, weigher)) => Some((max / shards, weigher)),
            None => None,
        };
        let router = Router::new(config.shards, self.hasher);
        let segment_entries = self.segment_entries;
        let (shard_router, shard_clock) = (router.clone(), Arc::clone(&self.clock));
        let make = move |_| {
            let budget = share
                .as_ref()
                .map(|(allowed, weigher)| Budget::new(Arc::clone(weigher), *allowed));
            let ledger = Ledger::new(budget, None);
            let table = new_table(shard_router.bits(), segment_entries);
            ShardState::new(
                table,
                shard_router.clone(),
                Arc::clone(&shard_clock),
                ledger,
            )
        };
        let inner = Inner {
            keep: Keep::open(config, make, self.events)?,
            router,
            clock: self.clock,
            segment_entries,
            keeping: Keeping::Nothing,
        };
        Ok(Store {
            inner: Arc::new(inner),
            timeout: self.timeout,
            cancel: None,
        })
    }
}

pub(crate) fn new_table<E: crate::table::Entry>(
    shard_bits: u32,
    segment_entries: Option<usize>,
) -> Table<E> {
    match segment_entries {
        Some(entries) => Table::with_segment_entries_max(shard_bits, entries),
        None => Table::new(shard_bits),
    }
}
