//! Settings of a store, and opening it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ahash::RandomState;
use shardkeep_core::{
    CancelToken, Config, Event, Handover, JournalDesk, Keep, LogEvent, OpenError, Overload,
    SyncMode,
};

use crate::clock::{Clock, Steady, SystemClock};
use crate::codec::{Codec, Encode, Plain};
use crate::durable::{
    self, Automatic, Compression, Directory, Disk, Durable, LogJournal, RecoverError,
    RecoveryProgress, Route,
};
use crate::ledger::{Budget, Codecs, Kept, Ledger, Weigher};
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
    kept: Option<KeptAt<K, V>>,
}

/// Where and how a store is kept.
struct KeptAt<K, V> {
    directory: PathBuf,
    durable: Durable,
    codecs: Arc<Codecs<K, V>>,
    progress: Box<dyn FnMut(RecoveryProgress) + Send>,
    cancel: CancelToken,
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
            kept: None,
        }
    }

    /// Keeps the store in `directory`, which is made if it is not there: what was acknowledged outlives
    /// the process, as [`Durable`] says. Opening reads what is there, and takes its time.
    ///
    /// ```
    /// use shardkeep::{Durable, Store};
    ///
    /// # let dir = std::env::temp_dir().join(format!("shardkeep-doc-durable-{}", std::process::id()));
    /// let open = || Store::builder().durable(&dir, Durable::new()).open();
    /// let store = open()?;
    /// store.insert("desk".to_owned(), 1_u64)?;
    /// drop(store);
    /// assert_eq!(open()?.get("desk")?, Some(1));
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durable(self, directory: impl Into<PathBuf>, durable: Durable) -> Self
    where
        K: Encode,
        V: Encode,
    {
        self.durable_with(directory, durable, Plain, Plain)
    }

    /// As [`Builder::durable`], with codecs of one's own for keys and values. What they call themselves
    /// ([`Codec::form`]) is noted in the store, and another one is refused.
    pub fn durable_with(
        mut self,
        directory: impl Into<PathBuf>,
        durable: Durable,
        key: impl Codec<K>,
        value: impl Codec<V>,
    ) -> Self {
        self.config.durability = Some(durable.durability.clone());
        let content = format!("keys {}, values {}", key.form(), value.form());
        let durable = durable.content(content);
        self.kept = Some(KeptAt {
            directory: directory.into(),
            durable,
            codecs: Arc::new(Codecs {
                key: Box::new(key),
                value: Box::new(value),
            }),
            progress: Box::new(|_| {}),
            cancel: CancelToken::new(),
        });
        self
    }

    /// Is told how far the opening of a durable store is. Set after [`Builder::durable`].
    pub fn on_recovery(mut self, progress: impl FnMut(RecoveryProgress) + Send + 'static) -> Self {
        if let Some(kept) = &mut self.kept {
            kept.progress = Box::new(progress);
        }
        self
    }

    /// Gives the opening of a durable store up when `token` is cancelled: it ends soon after with
    /// [`RecoverError::Cancelled`], and nothing of the store was changed. Set after [`Builder::durable`].
    pub fn cancel_recovery(mut self, token: CancelToken) -> Self {
        if let Some(kept) = &mut self.kept {
            kept.cancel = token;
        }
        self
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
    /// default not at all, and 1 s at most.
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

    /// The clock by which entries expire; the system's by default. Where it goes back, expiry time stands
    /// still until it has caught up: as long as the store is open, an entry that was gone does not come back.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(Steady::new(clock));
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
        let keeping = match &self.kept {
            None => Keeping::Nothing,
            Some(kept) => match kept.durable.durability.sync {
                SyncMode::Always => Keeping::Synced,
                SyncMode::Interval(_) | SyncMode::Never => Keeping::Log,
            },
        };
        let codecs = self.kept.as_ref().map(|kept| Arc::clone(&kept.codecs));
        let make = move |_| {
            let budget = share
                .as_ref()
                .map(|(allowed, weigher)| Budget::new(Arc::clone(weigher), *allowed));
            let kept = codecs
                .as_ref()
                .map(|codecs| Kept::new(Arc::clone(codecs), keeping == Keeping::Synced));
            let table = new_table(shard_router.bits(), segment_entries);
            ShardState::new(
                table,
                shard_router.clone(),
                Arc::clone(&shard_clock),
                Ledger::new(budget, kept),
            )
        };
        let compression = self
            .kept
            .as_ref()
            .map_or(Compression::None, |kept| kept.durable.compression);
        let events: Arc<dyn Fn(Event) + Send + Sync> = self.events.into();
        let keep = match self.kept {
            None => Keep::open(config, make, move |event| events(event)).map(|keep| (keep, None)),
            Some(kept) => open_kept(config, make, kept, &router, events),
        };
        let (keep, watch) = keep?;
        let automatic = watch.map(|watch| watch.start(&keep, compression));
        let inner = Inner {
            automatic: automatic.transpose()?,
            keep,
            router,
            clock: self.clock,
            segment_entries,
            keeping,
            compression,
        };
        Ok(Store {
            inner: Arc::new(inner),
            timeout: self.timeout,
            cancel: None,
        })
    }
}

/// What is needed to take snapshots when the log has grown.
struct Watch {
    grown: Arc<AtomicU64>,
    disk: Disk,
    threshold: u64,
    events: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Watch {
    fn start<K: Key, V: Value>(
        self,
        keep: &Keep<ShardState<K, V>>,
        compression: Compression,
    ) -> Result<Automatic, OpenError> {
        let Self {
            grown,
            disk,
            threshold,
            events,
        } = self;
        let name = keep.config().name.clone();
        let keep = keep.unowned();
        let take = move |is_cancelled: &dyn Fn() -> bool| {
            durable::snapshot(&keep, compression, is_cancelled)
        };
        let tell = move |what| events(Event::Log(LogEvent::Warning(what)));
        Automatic::start(&name, grown, disk, threshold, take, tell)
            .map_err(|source| OpenError::Thread { name, source })
    }
}

/// A keep, and what looks after its log, if anything does.
type Opened<K, V> = (Keep<ShardState<K, V>>, Option<Watch>);

/// Opens the keep of a durable store and reads what is there into it.
fn open_kept<K: Key, V: Value>(
    config: Config,
    make: impl Fn(usize) -> ShardState<K, V> + Clone + Send + Sync + 'static,
    kept: KeptAt<K, V>,
    router: &Router,
    events: Arc<dyn Fn(Event) + Send + Sync>,
) -> Result<Opened<K, V>, OpenError> {
    let failed = |error: RecoverError| OpenError::Recovery(Box::new(error));
    let opened = match kept.durable.create {
        true => Directory::create(&kept.directory),
        false => Directory::open(&kept.directory),
    };
    let directory = opened.map_err(|error| failed(error.into()))?;
    let (codecs, by_hash) = (Arc::clone(&kept.codecs), router.clone());
    let route: Arc<Route> = Arc::new(move |key: &[u8]| {
        let key = codecs.key.decode(key)?;
        Ok(by_hash.shard(by_hash.hash(&key)))
    });
    let (make_again, by_route) = (make.clone(), Arc::clone(&route));
    let remake = move |shard: usize, journal: &JournalDesk<LogJournal>| {
        match durable::remake(shard, make_again(shard), journal, &*by_route) {
            Ok(state) => state,
            // The owner catches it, tells, and tries again.
            Err(error) => panic!("shard {shard} could not be made again: {error}"),
        }
    };
    let mut progress = kept.progress;
    let tell = Arc::clone(&events);
    let keep = Keep::open_kept(config, make, remake, move |event| tell(event))?;
    let durable = &kept.durable;
    let recovered = durable::recover(
        &keep,
        directory,
        durable,
        &*route,
        &kept.cancel,
        &mut *progress,
    )
    .map_err(failed)?;
    for warning in recovered.warnings {
        events(Event::Log(LogEvent::Warning(warning)));
    }
    let watch = match kept.durable.snapshot_bytes {
        0 => None,
        threshold => Some(Watch {
            grown: recovered.grown,
            disk: recovered.disk,
            threshold,
            events,
        }),
    };
    Ok((keep, watch))
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
