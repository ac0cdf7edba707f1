//! The store: a handle, and what all handles of one store share.
//!
//! 1. No call is let in on a thread that is inside of a closure holding a shard.

use std::cell::LazyCell;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shardkeep_core::{
    Call, CancelToken, CloseReport, Deadline, Error, Keep, LogStats, Refused, Reservation,
    ShardStats,
};

use crate::builder::Builder;
use crate::clock::Clock;
use crate::durable::{self, Automatic, Compression, SnapshotError, SnapshotReport};
use crate::reply::{Expires, Insert, Insertion, NewTtl};
use crate::router::Router;
use crate::state::ShardState;
use crate::table::UnixMillis;
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
    /// Takes snapshots when the log has grown enough.
    pub(crate) automatic: Mutex<Option<Automatic>>,
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
/// closes it (waiting for its threads 10 s at most). Each handle carries how long its calls may wait
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
/// # Errors
/// Every call can be *refused* (certainly not applied) or *lost* (may have been applied, or not); see
/// [`Error`]. The methods below only say what is special about theirs.
///
/// # Panics
/// The `Hash`, `Eq`, `Clone` and `Drop` of keys and values run while a shard is held. One that
/// panics there while the map is being changed loses that shard: its entries are gone, works on it
/// are refused or lost, and it begins again empty. Closures panic harmlessly, see each.
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
        Self {
            timeout,
            ..self.clone()
        }
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
        Self {
            cancel: Some(token),
            ..self.clone()
        }
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
    /// then is reported, and closed when it comes back.
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
        if let Some(automatic) = &mut *self.inner.automatic.lock() {
            automatic.ask_to_stop();
        }
        self.inner.keep.close(Deadline::after(timeout))
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
        self.inner.snapshot(&|| false)
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

    /// Lets a call in, unless it comes from inside of a closure or is revoked.
    #[inline]
    pub(crate) fn admit(&self) -> Result<(), Refused> {
        if closure::is_running() {
            return Err(Refused::Reentrant);
        }
        match &self.cancel {
            Some(token) if token.is_cancelled() => Err(Refused::Cancelled),
            Some(_) | None => Ok(()),
        }
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
            Err(Refused::LogFull { .. }) => keep.reserve(call),
            reserved => reserved,
        }
    }
}

impl<K: Key, V: Value> Inner<K, V> {
    /// Takes a snapshot, unless it is cancelled before it is whole.
    pub(crate) fn snapshot(
        &self,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<SnapshotReport, SnapshotError> {
        durable::snapshot(&self.keep, self.compression, is_cancelled)
    }

    /// The moment `ttl` from now.
    pub(crate) fn after(&self, ttl: Duration) -> UnixMillis {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        UnixMillis::new(self.clock.now().get().saturating_add(ttl))
    }

    pub(crate) fn insertion(&self, key: K, value: V, how: Insert) -> Insertion<K, V> {
        let expires = match how.ttl {
            NewTtl::Never => Expires::At(None),
            NewTtl::After(ttl) => Expires::At(Some(self.after(ttl))),
            NewTtl::Keep => Expires::Keep,
        };
        Insertion {
            key,
            value,
            expires,
            when: how.when,
        }
    }
}
