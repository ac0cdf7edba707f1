//! The store: a handle, and what all handles of one store share.
//!
//! 1. No call is let in on a thread that is inside of a closure holding a shard.

use std::cell::LazyCell;
use std::fmt;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shardkeep_core::limits::DROP_DEADLINE;
use shardkeep_core::process;
use shardkeep_core::{
    Call, CancelToken, CloseReport, Deadline, Error, Keep, LogStats, Refused, Reservation,
    ShardStats, clock,
};

use crate::builder::Builder;
use crate::clock::Clock;
use crate::durable::{
    self, Automatic, BackupError, Compression, NewStoreReport, SnapshotError, SnapshotReport,
};
use crate::router::Router;
use crate::state::ShardState;
use crate::{Key, Value, closure};

/// What all handles of one store share.
pub(crate) struct Inner<K: Key, V: Value> {
    pub(crate) keep: Keep<ShardState<K, V>>,
    pub(crate) router: Router,
    pub(crate) clock: Arc<dyn Clock>,
    /// Segments of other than the usual size, in entries.
    pub(crate) segment_entries: Option<usize>,
    pub(crate) keeping: Keeping,
    pub(crate) compression: Compression,
    /// Takes snapshots when the log has grown enough. Reaches the shards by a keep that it does not own:
    /// nothing in the background holds what counts as a handle.
    pub(crate) automatic: Option<Automatic>,
}

impl<K: Key, V: Value> Inner<K, V> {
    /// Closes the store: the shards, the log, and whatever is under way beside them, all by one deadline.
    fn close(&self, deadline: Deadline) -> CloseReport {
        // In a child that was forked it is the parent's, and its locks may be held for ever.
        let automatic = self.automatic.as_ref();
        let automatic = automatic.filter(|_| !self.keep.is_elsewhere());
        if let Some(automatic) = automatic {
            automatic.ask_to_stop();
        }
        let mut report = self.keep.close(deadline);
        // It may wait for a shard that this very thread has in hand.
        let deadline = match self.keep.is_own_thread() {
            true => Deadline::from(clock::now()),
            false => deadline,
        };
        let has_ended = automatic.is_none_or(|automatic| automatic.end_by(deadline));
        report.owners_left += usize::from(!has_ended);
        report
    }
}

impl<K: Key, V: Value> Drop for Inner<K, V> {
    /// The last handle has gone.
    fn drop(&mut self) {
        self.close(Deadline::after(DROP_DEADLINE));
        self.keep.let_go();
    }
}

/// What of the store outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    Nothing,
    /// There is a log; replies do not wait for it.
    Log,
    /// No reply shows what is not durable.
    Synced,
}

/// A key-value store inside of this process.
///
/// A handle: cloning it is one atomic increment, all clones are one store, and the last one to go
/// closes it, as [`Store::close`] does with 10 s: whatever runs beside it, a snapshot or the rebuilding of
/// a shard, ends too, and the directory is free when the drop returns. Each handle carries how long its calls may wait
/// ([`Store::with_deadline`], 1 s by default) and what revokes them ([`Store::with_cancel`]).
///
/// The deadline bounds the wait for a shard and for a place in the log. Where replies wait for a sync
/// ([`SyncMode::Always`](crate::SyncMode::Always)), what was done waits for it as long as the log comes
/// forward, and is *lost* once the deadline has passed and no write and no sync has ended for as long
/// again.
///
/// # What blocks, and until when
/// A call on an idle shard does not block. One that finds its shard in other hands spins for less
/// than a microsecond, then mails itself to the shard and sleeps until whoever holds the shard has
/// served it, or the deadline passes, or the call is cancelled. The `try_` calls do not sleep.
///
/// # The process it belongs to
/// A store belongs to the process that opened it. In a child made by `fork` every call is refused
/// ([`Refused::OtherProcess`]), and dropping a handle returns at once; neither touches files, threads or
/// locks. The child may open a store of its own in another directory, where it may start threads at all: the
/// C library promises that only to the child of a process with one thread. A process that forks from inside of a closure
/// that holds a shard gets no result of that call in the child. (A child that executes another program, as
/// [`std::process::Command`] makes it, has nothing to do with the store at all.)
///
/// # Errors
/// Every call can be *refused* (certainly not applied) or *lost* (may have been applied, or not); see
/// [`Error`]. The methods below only say what is special about theirs.
///
/// # Panics
/// A panic in the `Hash` or `Eq` of a key, or in a weigher or codec, while the map is being changed
/// loses that shard: its entries are gone (of a durable store they come back), works on it are refused
/// or lost, and it begins again. A panic in a `Clone` that only reads harms its caller alone
/// (with [`Handover::Mail`](crate::Handover), where the owner clones, that shard is lost too). Closures
/// panic harmlessly, see each; what a `Drop` does, see below.
///
/// # What runs while a shard is held
/// The `Hash`, `Eq` and `Clone` of keys and values, the closures of `read`, `update` and `transaction`
/// with whatever they drop themselves, the weigher of [`Builder::max_weight`], and the `encode` of a
/// [`Codec`](crate::Codec). Until one of these returns nobody else gets at that shard, so they should
/// be short. A closure that calls a store is refused; one of the others that calls its own store would
/// wait for itself, until its deadline.
///
/// Loaders, the `decode` of a codec, and the `Drop` of keys and values run with no shard held: they may
/// call the store, and block nobody but themselves. A call drops what it discards (a value that was not
/// stored, a key that was there already, what it cleared, what a transaction wrote in vain) before it
/// returns, when all its shards are back; a panic there is that caller's, and the call has had its
/// effect. What no call discards (entries that expire unasked, works whose callers had given up, the
/// map of a lost shard) is dropped by a thread of the store, `NAME-drops`, which is started when it is
/// first needed. A panic there ends there, is counted ([`ShardStats::drops_panicked`]) and told
/// ([`Event::DropPanicked`](crate::Event::DropPanicked)). While a `Drop` blocks that thread, expired
/// entries stay in memory from [`DISCARDS_MAX`](crate::engine::limits::DISCARDS_MAX) sweeps on, unseen,
/// and the thread that serves the work of a caller that had given up drops it itself; a close waits for the
/// thread as for the owners.
///
/// ```
/// use shardkeep::Store;
///
/// let store = Store::open()?;
/// store.insert("desk".to_owned(), 1)?;
/// assert_eq!(store.get("desk")?, Some(1));
/// assert_eq!(store.remove("desk")?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store<K: Key, V: Value> {
    pub(crate) inner: Arc<Inner<K, V>>,
    pub(crate) timeout: Duration,
    pub(crate) cancel: Option<CancelToken>,
}

impl<K: Key, V: Value> Clone for Store<K, V> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            timeout: self.timeout,
            cancel: self.cancel.clone(),
        }
    }
}

impl<K: Key, V: Value> Drop for Store<K, V> {
    fn drop(&mut self) {
        if self.inner.keep.is_elsewhere() {
            // A child has a copy of the memory and nothing else of the store: it stays where it is, so
            // that not even the last handle does anything.
            std::mem::forget(Arc::clone(&self.inner));
        }
    }
}

impl<K: Key, V: Value> fmt::Debug for Store<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.inner.keep.config().name)
            .field("shards", &self.inner.keep.shards())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<K: Key, V: Value> Store<K, V> {
    /// Opens a store with the default settings.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn open() -> Result<Self, shardkeep_core::OpenError> {
        Self::builder().open()
    }

    /// Settings, to begin with the defaults.
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }

    /// The same store with another limit to how long a call of this handle waits, beginning anew
    /// with each call. Cheap, but not free (an atomic increment): make one and keep it.
    ///
    /// ```
    /// # let store = shardkeep::Store::<u32, u32>::open()?;
    /// let patient = store.with_deadline(std::time::Duration::from_secs(30));
    /// patient.insert(1, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_deadline(&self, timeout: Duration) -> Self {
        let mut store = self.clone();
        store.timeout = timeout;
        store
    }

    /// The same store, whose calls through this handle `token` revokes: those that wait and have not
    /// begun, and all later ones.
    ///
    /// ```
    /// use shardkeep::{CancelToken, Error, Refused, Store};
    ///
    /// let store = Store::open()?;
    /// let token = CancelToken::new();
    /// let revocable = store.with_cancel(token.clone());
    /// revocable.insert(1, 1)?;
    /// token.cancel();
    /// assert_eq!(revocable.get(&1), Err(Error::Refused(Refused::Cancelled)));
    /// assert_eq!(store.get(&1)?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_cancel(&self, token: CancelToken) -> Self {
        let mut store = self.clone();
        store.cancel = Some(token);
        store
    }

    /// What each shard has seen, without borrowing any.
    ///
    /// ```
    /// # let store = shardkeep::Store::open()?;
    /// store.insert(1, 1)?;
    /// let borrowed: u64 = store.stats().iter().map(|shard| shard.borrowed).sum();
    /// assert_eq!(borrowed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Vec<ShardStats> {
        self.inner.keep.stats()
    }

    /// Closes the store for all its handles: admits nothing new, finishes what was mailed, ends and
    /// joins its threads. Blocks until that is done or `timeout` has passed; what closures still hold
    /// then is reported, and closed when it comes back. In a child that was forked it closes nothing: it
    /// reports all shards away.
    ///
    /// The entries go when the last handle does. Must not be called from inside of a closure that
    /// holds a shard: it would wait for that shard until `timeout`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use shardkeep::{Error, Refused, Store};
    ///
    /// let store = Store::<u8, u8>::open()?;
    /// assert!(store.close(Duration::from_secs(5)).is_clean());
    /// assert_eq!(store.get(&1), Err(Error::Refused(Refused::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self, timeout: Duration) -> CloseReport {
        self.inner.close(Deadline::after(timeout))
    }

    /// Waits until everything that was written so far is durable, whatever the
    /// [`SyncMode`](crate::SyncMode). Done at once where there is no log.
    ///
    /// Blocks for the disk, until the deadline has passed and no sync has ended for as long again.
    ///
    /// # Errors
    /// *Lost*: some of it may not survive.
    pub fn sync(&self) -> Result<(), Error> {
        self.admit()?;
        Ok(self.inner.keep.sync(&self.call())?)
    }

    /// Writes a snapshot of a durable store, and removes the log that it makes superfluous; so that the
    /// next opening is quick. The store goes on meanwhile: one segment at a time is held and copied.
    ///
    /// Blocks for the disk, for as long as it takes.
    ///
    /// ```
    /// use shardkeep::{Durable, Store};
    ///
    /// # let dir = std::env::temp_dir().join(format!("shardkeep-doc-snapshot-{}", std::process::id()));
    /// let store = Store::builder().durable(&dir, Durable::new()).open()?;
    /// store.insert("desk".to_owned(), 1_u64)?;
    /// assert_eq!(store.snapshot()?.entries, 1);
    /// # drop(store);
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`SnapshotError`]; the log stays as it was.
    pub fn snapshot(&self) -> Result<SnapshotReport, SnapshotError> {
        self.admit().map_err(Error::from)?;
        let keep = &self.inner.keep;
        durable::snapshot(keep, self.inner.compression, &|| false)
    }

    /// Writes a backup: a new store at `place` (free, or an empty directory) with what this one, which must be durable,
    /// holds at one moment; it goes on meanwhile. What changes hands over what it was, so writers may wait where the
    /// disk of the backup is slower than they are. Blocks for that disk, for as long as it takes.
    ///
    /// ```
    /// use shardkeep::{Durable, Store};
    ///
    /// # let dir = std::env::temp_dir().join(format!("shardkeep-doc-backup-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// let store = Store::builder().durable(dir.join("store"), Durable::new()).open()?;
    /// store.insert("desk".to_owned(), 1_u64)?;
    /// store.backup(dir.join("backup"))?;
    /// store.clear()?;
    ///
    /// let durable = Durable::new().must_exist();
    /// let then = Store::<String, u64>::builder().durable(dir.join("backup"), durable).open()?;
    /// assert_eq!(then.get("desk")?, Some(1));
    /// # drop((store, then));
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`BackupError`]; then nothing is at the place.
    pub fn backup(&self, place: impl AsRef<Path>) -> Result<NewStoreReport, BackupError> {
        self.admit().map_err(Error::from)?;
        durable::backup(&self.inner.keep, place.as_ref())
    }

    /// What the log has seen; `None` of a store that is not durable.
    #[must_use]
    pub fn log_stats(&self) -> Option<LogStats> {
        self.inner.keep.log_stats()
    }

    /// Hash and shard of a key.
    #[inline]
    pub(crate) fn place<Q: Hash + ?Sized>(&self, key: &Q) -> (u64, usize) {
        let hash = self.inner.router.hash(key);
        (hash, self.inner.router.shard(hash))
    }

    /// Lets a call in, unless it comes from inside of a closure, from another process, or is revoked.
    #[inline]
    pub(crate) fn admit(&self) -> Result<(), Refused> {
        if !closure::is_free() {
            self.admit_slowly()?;
        }
        match &self.cancel {
            Some(token) if token.is_cancelled() => Err(Refused::Cancelled),
            Some(_) | None => Ok(()),
        }
    }

    /// The first call of a thread, one from inside of a closure, or one in a child that was forked.
    #[cold]
    #[inline(never)]
    fn admit_slowly(&self) -> Result<(), Refused> {
        if self.inner.keep.is_elsewhere() {
            return Err(Refused::OtherProcess);
        }
        if closure::is_running() {
            return Err(Refused::Reentrant);
        }
        process::settle();
        Ok(())
    }

    /// When a call that begins now must end.
    pub(crate) fn call(&self) -> Call {
        Call {
            cancel: self.cancel.clone(),
            ..Call::within(self.timeout)
        }
    }

    /// As [`Store::call`], read off the clock when it is first asked for. Reading the clock waits for
    /// every load before it, so calls that wait for nothing do not.
    pub(crate) fn call_when_needed(&self) -> LazyCell<Call, impl FnOnce() -> Call> {
        LazyCell::new(|| self.call())
    }

    /// Reserves a place in the log's queue, where there is a log.
    pub(crate) fn reserve(
        &self,
        call: &LazyCell<Call, impl FnOnce() -> Call>,
    ) -> Result<Reservation<'_, ShardState<K, V>>, Refused> {
        let keep = &self.inner.keep;
        match keep.try_reserve(1, None) {
            Err(Refused::LogFull { .. } | Refused::WalkBehind { .. }) => keep.reserve(call),
            reserved => reserved,
        }
    }

    /// As [`Store::reserve`], for a change that does nothing but remove.
    pub(crate) fn reserve_removal(
        &self,
        call: &LazyCell<Call, impl FnOnce() -> Call>,
    ) -> Result<Reservation<'_, ShardState<K, V>>, Refused> {
        let keep = &self.inner.keep;
        match keep.try_reserve_removals(1, None) {
            Err(Refused::LogFull { .. } | Refused::WalkBehind { .. }) => keep.reserve_removal(call),
            reserved => reserved,
        }
    }
}
