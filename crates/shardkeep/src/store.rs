//! The store: single operations on one key.
//!
//! An idle shard is borrowed, used and put back on the caller's own thread; what finds its shard
//! away is mailed to it, and the caller waits for the reply.
//!
//! 1. A call hashes its key once.
//! 2. On an idle shard a plain get or insert allocates nothing, reads no clock (unless the entry has
//!    an expiry) and executes no atomic read-modify-write but the two swaps of the desk.
//! 3. No call is let in on a thread that is inside of a closure holding a shard.
//! 4. A loan is looked at where it was made, never moved: a move through memory would make each
//!    operation wait for the cache misses of the one before (a load that spans two stores still on
//!    their way cannot be served from them), five times slower on a large map.

use std::borrow::Borrow;
use std::cell::LazyCell;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shardkeep_core::{
    Borrowed, Call, CancelToken, CloseReport, Deadline, Error, Keep, LogStats, Refused,
    Reservation, ShardStats, Ticket,
};

use crate::builder::Builder;
use crate::clock::Clock;
use crate::durable::{self, Automatic, Compression, SnapshotError, SnapshotReport};
use crate::hand::{self, Hand};
use crate::mail::{Load, Mailed, Op, Step};
use crate::reply::{Expires, Insert, Inserted, Insertion, NewTtl, Reply, When};
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

    /// The value of a key, cloned while the shard is held. A panic in `clone` harms nobody.
    ///
    /// # Errors
    /// See [`Store`].
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let keep = &self.inner.keep;
        if self.inner.keeping == Keeping::Synced {
            return self.look_synced(hash, shard, |state| state.get(hash, key));
        }
        if let Ok(value) = keep.look_idle(shard, |state| state.get(hash, key)) {
            return Ok(value);
        }
        match &keep.borrow(shard) {
            Borrowed::Loan(loan) => Ok(loan.look(|state| state.get(hash, key))),
            Borrowed::Away => self
                .mail(shard, hash, Op::Get(key.to_owned()))?
                .into_value(),
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    /// As [`Store::get`], but never sleeps.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands.
    #[inline]
    pub fn try_get<Q>(&self, key: &Q) -> Result<Option<V>, Refused>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.try_look(key, |state, hash| state.get(hash, key))
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// See [`Store`].
    #[inline]
    pub fn contains<Q>(&self, key: &Q) -> Result<bool, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let keep = &self.inner.keep;
        if self.inner.keeping == Keeping::Synced {
            return self.look_synced(hash, shard, |state| state.contains(hash, key));
        }
        if let Ok(contains) = keep.look_idle(shard, |state| state.contains(hash, key)) {
            return Ok(contains);
        }
        match &keep.borrow(shard) {
            Borrowed::Loan(loan) => Ok(loan.look(|state| state.contains(hash, key))),
            Borrowed::Away => {
                let op = Op::Contains(key.to_owned());
                self.mail(shard, hash, op)?.into_flag()
            }
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    /// As [`Store::contains`], but never sleeps.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands.
    #[inline]
    pub fn try_contains<Q>(&self, key: &Q) -> Result<bool, Refused>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.try_look(key, |state, hash| state.contains(hash, key))
    }

    /// Inserts or overwrites; the entry does not expire. Returns the old value.
    ///
    /// # Errors
    /// [`Refused::OverLimit`] where the shard's share of the maximum weight is used up; see
    /// [`Store`] for the others.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, Error> {
        self.put(key, value, None)
    }

    /// Inserts or overwrites; the entry expires `ttl` from now (wall clock, to the millisecond).
    /// Returns the old value.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) -> Result<Option<V>, Error> {
        self.put(key, value, Some(self.inner.after(ttl)))
    }

    #[inline]
    fn put(&self, key: K, value: V, expires: Option<UnixMillis>) -> Result<Option<V>, Error> {
        self.admit()?;
        let (hash, shard) = self.place(&key);
        if self.inner.keeping != Keeping::Nothing {
            return self.change_kept(hash, shard, |hand| {
                hand.change(|state| state.put(hash, key, value, expires))
            });
        }
        let mut entry = Some((key, value));
        let put = |state: &mut ShardState<K, V>| match entry.take() {
            Some((key, value)) => state.put(hash, key, value, expires),
            None => unreachable!("it is called once"),
        };
        let keep = &self.inner.keep;
        if let Ok(old) = keep.change_idle(shard, put) {
            return Ok(old?);
        }
        let Some((key, value)) = entry else {
            unreachable!("what was not called has taken nothing")
        };
        self.put_slowly(shard, hash, key, value, expires)
    }

    #[cold]
    #[inline(never)]
    fn put_slowly(
        &self,
        shard: usize,
        hash: u64,
        key: K,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Result<Option<V>, Error> {
        match &mut self.inner.keep.borrow(shard) {
            Borrowed::Loan(loan) => Ok(loan.change(|state| state.put(hash, key, value, expires))?),
            Borrowed::Away => {
                let insertion = Insertion {
                    key,
                    value,
                    expires: Expires::At(expires),
                    when: When::Always,
                };
                let op = Op::Insert(Some(insertion));
                self.mail(shard, hash, op)?.into_value()
            }
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    /// As [`Store::insert`], but never waits for the shard, or for room in the log.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands, and as [`Store::insert`].
    #[inline]
    pub fn try_insert(&self, key: K, value: V) -> Result<Option<V>, Error> {
        let (hash, shard) = self.place(&key);
        self.try_change(hash, shard, |hand| {
            hand.change(|state| state.put(hash, key, value, None))
        })
    }

    /// Inserts as `how` says: with an expiry, under a condition.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn insert_with(&self, key: K, value: V, how: Insert) -> Result<Inserted<V>, Error> {
        self.admit()?;
        let (hash, shard) = self.place(&key);
        let insertion = self.inner.insertion(key, value, how);
        if self.inner.keeping != Keeping::Nothing {
            return self.change_kept(hash, shard, |hand| {
                hand.change(|state| state.insert(hash, insertion))
            });
        }
        match &mut self.inner.keep.borrow(shard) {
            Borrowed::Loan(loan) => Ok(loan.change(|state| state.insert(hash, insertion))?),
            Borrowed::Away => {
                let op = Op::Insert(Some(insertion));
                self.mail(shard, hash, op)?.into_inserted()
            }
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    /// Inserts only where the key is absent, without expiry; says whether it did.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn insert_if_absent(&self, key: K, value: V) -> Result<bool, Error> {
        let inserted = self.insert_with(key, value, Insert::new().if_absent())?;
        Ok(matches!(inserted, Inserted::Stored(_)))
    }

    /// Overwrites only where the key is there, without expiry; returns the old value, and `None`
    /// where nothing was done.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn insert_if_present(&self, key: K, value: V) -> Result<Option<V>, Error> {
        match self.insert_with(key, value, Insert::new().if_present())? {
            Inserted::Stored(old) => Ok(old),
            Inserted::Kept => Ok(None),
        }
    }

    /// Removes a key and returns its value.
    ///
    /// # Errors
    /// See [`Store`].
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let keep = &self.inner.keep;
        if self.inner.keeping != Keeping::Nothing {
            return self.change_kept(hash, shard, |hand| {
                let removed = hand.change(|state| state.remove(hash, key));
                Ok(removed.map(|entry| entry.value))
            });
        }
        if let Ok(removed) = keep.change_idle(shard, |state| state.remove(hash, key)) {
            return Ok(removed.map(|entry| entry.value));
        }
        match &mut keep.borrow(shard) {
            Borrowed::Loan(loan) => {
                let removed = loan.change(|state| state.remove(hash, key));
                Ok(removed.map(|entry| entry.value))
            }
            Borrowed::Away => {
                let op = Op::Remove(key.to_owned());
                self.mail(shard, hash, op)?.into_value()
            }
            Borrowed::Closed => Err(Refused::Closed.into()),
        }
    }

    /// As [`Store::remove`], but never waits for the shard, or for room in the log.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands.
    #[inline]
    pub fn try_remove<Q>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (hash, shard) = self.place(key);
        let removed = self.try_change(hash, shard, |hand| {
            Ok(hand.change(|state| state.remove(hash, key)))
        })?;
        Ok(removed.map(|entry| entry.value))
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
    /// Blocks for the disk, until the deadline.
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
            deadline: Deadline::after(self.timeout),
            cancel: self.cancel.clone(),
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
    pub(crate) fn change_kept<R>(
        &self,
        hash: u64,
        shard: usize,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> Result<R, Refused>,
    ) -> Result<R, Error> {
        let call = self.call_when_needed();
        let keep = &self.inner.keep;
        let mut reserved = self.reserve(&call)?;
        let (result, needs) = hand::with(
            keep,
            shard,
            || call.clone(),
            |mut hand| {
                hand.deposit(&mut reserved);
                (change(&mut hand), hand.look(|state| state.needs(hash)))
            },
        )?;
        let result = result?;
        if !keep.is_synced(shard, needs) {
            keep.wait_synced(shard, needs, &call)?;
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
    pub(crate) fn try_change<R>(
        &self,
        hash: u64,
        shard: usize,
        change: impl FnOnce(&mut Hand<'_, '_, K, V>) -> Result<R, Refused>,
    ) -> Result<R, Error> {
        self.admit()?;
        let keep = &self.inner.keep;
        let mut reserved = keep.try_reserve(1, None)?;
        let (result, needs) = hand::try_with(keep, shard, |mut hand| {
            hand.deposit(&mut reserved);
            (change(&mut hand), hand.look(|state| state.needs(hash)))
        })?;
        let result = result?;
        if needs > 0 {
            keep.wait_synced(shard, needs, &self.call())?;
        }
        Ok(result)
    }

    /// Mails one operation and waits for its reply.
    #[cold]
    #[inline(never)]
    fn mail(&self, shard: usize, hash: u64, op: Op<K, V>) -> Result<Reply<V>, Error> {
        let call = self.call();
        let ticket = Ticket::new(shard);
        let step = Step {
            hash,
            op,
            reply: None,
        };
        let work = Mailed {
            load: Load::One(step),
            ticket: Arc::clone(&ticket),
            deadline: call.deadline,
        };
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
