//! Several keys at once: all their shards in hand, one closure, all writes or none.
//!
//! Shards are borrowed in ascending order, so that two transactions never wait for each other in a
//! circle.
//!
//! 1. The closure only reads the maps; its writes are kept apart and applied after it has returned
//!    `Ok`. So an `Err` or a panic applies none of them.
//! 2. What can be refused is refused before the first write is applied.
//! 3. Whatever a transaction discards (keys, values that were replaced, writes that were replaced or
//!    came to nothing) is dropped after all its shards are back.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use shardkeep_core::{Call, Error, Loans, Refused, Reservation, fail_point};

use crate::discard::Bag;
use crate::reply::Put;
use crate::state::{Removed, ShardState};
use crate::store::{Inner, Keeping, Store};
use crate::{Key, Value, closure, limits};

/// A transaction touched a key that it had not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyNotNamed;

impl fmt::Display for KeyNotNamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the transaction touched a key that it had not named")
    }
}

impl std::error::Error for KeyNotNamed {}

/// Why a transaction has no result. Nothing was applied, unless the error is *lost*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionError<E> {
    /// Its closure returned this error.
    Aborted(E),
    /// Its closure touched a key that was not named, whatever it returned.
    KeyNotNamed,
    /// The store refused or lost the call.
    Store(Error),
}

impl<E: fmt::Display> fmt::Display for TransactionError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(_) => write!(f, "the transaction was aborted by its closure"),
            Self::KeyNotNamed => KeyNotNamed.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for TransactionError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Aborted(error) => Some(error),
            Self::KeyNotNamed => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl<E> From<Error> for TransactionError<E> {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl<E> From<Refused> for TransactionError<E> {
    fn from(refused: Refused) -> Self {
        Self::Store(refused.into())
    }
}

/// What the closure wants to become of a key.
enum Write<V> {
    Insert(V, Option<Duration>),
    Remove,
}

struct Named<K, V> {
    hash: u64,
    shard: usize,
    /// Taken when it goes into the map.
    key: Option<K>,
    write: Option<Write<V>>,
}

/// What a write of a transaction took out of the map.
enum Replaced<K, V> {
    Put(Put<V>),
    Removed(Option<Removed<K, V>>),
}

/// What the closure of [`Store::transaction`] works with.
pub struct Transaction<'s, K: Key, V: Value> {
    inner: &'s Inner<K, V>,
    /// Dropped before what follows: fields are in their order.
    loans: Loans<ShardState<K, V>>,
    /// By hash.
    named: Bag<Named<K, V>>,
    /// Writes that were not accepted, or replaced by another.
    discarded: Bag<Write<V>>,
    touched_another: bool,
}

impl<K: Key, V: Value> Transaction<'_, K, V> {
    /// The value of a key, as this transaction has left it so far.
    ///
    /// # Errors
    /// The key was not named; the transaction will not be applied, whatever its closure returns.
    pub fn get<Q>(&mut self, key: &Q) -> Result<Option<&V>, KeyNotNamed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let at = self.position(key)?;
        let Named {
            hash, shard, write, ..
        } = &self.named[at];
        match write {
            Some(Write::Insert(value, _)) => Ok(Some(value)),
            Some(Write::Remove) => Ok(None),
            None => {
                let entry = self.loans.state(*shard).find(*hash, key);
                Ok(entry.map(|entry| &entry.value))
            }
        }
    }

    /// Inserts or overwrites, without expiry, when the transaction is applied.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn insert<Q>(&mut self, key: &Q, value: V) -> Result<(), KeyNotNamed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.write(key, Write::Insert(value, None))
    }

    /// Inserts or overwrites when the transaction is applied; the entry expires `ttl` after that.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn insert_with_ttl<Q>(
        &mut self,
        key: &Q,
        value: V,
        ttl: Duration,
    ) -> Result<(), KeyNotNamed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.write(key, Write::Insert(value, Some(ttl)))
    }

    /// Removes a key when the transaction is applied.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn remove<Q>(&mut self, key: &Q) -> Result<(), KeyNotNamed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.write(key, Write::Remove)
    }

    fn write<Q>(&mut self, key: &Q, write: Write<V>) -> Result<(), KeyNotNamed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.position(key) {
            Ok(at) => {
                let before = self.named[at].write.replace(write);
                self.discarded.extend(before);
                Ok(())
            }
            Err(error) => {
                self.discarded.push(write);
                Err(error)
            }
        }
    }

    fn position<Q>(&mut self, key: &Q) -> Result<usize, KeyNotNamed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.router.hash(key);
        let start = self.named.partition_point(|named| named.hash < hash);
        let same_hash = self.named[start..]
            .iter()
            .take_while(|named| named.hash == hash);
        let is_it = |named: &Named<K, V>| named.key.as_ref().is_some_and(|it| it.borrow() == key);
        match { same_hash }.position(is_it) {
            Some(at) => Ok(start + at),
            None => {
                self.touched_another = true;
                Err(KeyNotNamed)
            }
        }
    }

    /// Puts the shards back; returns the batches that what was read depends on: shard and number.
    fn needs(mut self) -> Vec<(usize, u64)> {
        let keys = self.named.iter().map(|named| (named.shard, named.hash));
        needs_of(&mut self.loans, keys)
    }

    /// Applies the writes, all or none; returns what the transaction depends on now.
    fn apply(
        self,
        reserved: &mut Reservation<'_, ShardState<K, V>>,
    ) -> Result<Vec<(usize, u64)>, Refused> {
        if self.named.iter().all(|named| named.write.is_none()) {
            return Ok(self.needs());
        }
        let is_held = self.inner.keeping == Keeping::Synced;
        let keys = self.named.iter().filter(|_| is_held);
        let keys: Vec<_> = keys.map(|named| (named.shard, named.hash)).collect();
        let Self {
            loans,
            mut named,
            discarded: _discarded,
            ..
        } = self;
        let mut replaced = Bag::new();
        // Declared last, and so the first to go, whatever ends this.
        let mut loans = loans;
        let is_written = |named: &&Named<K, V>| named.write.is_some();
        for shard in shards_of(named.iter().filter(is_written)) {
            let here = named.iter().filter(is_written);
            let here = here.filter(|named| named.shard == shard);
            loans.state(shard).fits(here.filter_map(|named| {
                let value = match &named.write {
                    Some(Write::Insert(value, _)) => Some(value),
                    Some(Write::Remove) | None => None,
                };
                Some((named.hash, named.key.as_ref()?, value))
            }))?;
        }
        reserved.deposit_all(&mut loans);
        // What has nothing to drop need not be kept.
        let mut keep_replaced = |replaced_now| {
            if std::mem::needs_drop::<(K, V)>() {
                replaced.push(replaced_now);
            }
        };
        let name = &self.inner.keep.config().name;
        let mut applied_at = None;
        loans.change(|loans| {
            let writes = named.iter_mut().filter(|named| named.write.is_some());
            for (at, named) in writes.enumerate() {
                fail_point::hit_at("transaction.next", || format!("{name}#{at}."));
                let state = loans.state(named.shard);
                match (named.write.take(), &mut named.key) {
                    (Some(Write::Insert(value, ttl)), key) => {
                        // One moment for all of them.
                        let expires = ttl.map(|ttl| {
                            let now = *applied_at.get_or_insert_with(|| state.now());
                            now.later(ttl)
                        });
                        let put = state.put_fitting(named.hash, key, value, expires);
                        keep_replaced(Replaced::Put(put));
                    }
                    (Some(Write::Remove), Some(key)) => {
                        let removed = state.remove(named.hash, key);
                        keep_replaced(Replaced::Removed(removed));
                    }
                    (Some(Write::Remove), None) | (None, _) => {}
                }
            }
            fail_point::hit_at("transaction.applied", || name);
        });
        let needs = needs_of(&mut loans, keys.into_iter());
        Ok(needs)
    }
}

impl<K: Key, V: Value> Store<K, V> {
    /// Runs a closure with all shards of `keys` in hand: what it reads is one moment, and what it
    /// writes becomes visible at one moment, or not at all.
    ///
    /// It runs on this thread and needs neither `Send` nor `'static`. Its writes are applied when it
    /// returns `Ok`; after an `Err` or a panic none is. Meanwhile nobody else gets at those shards,
    /// so it should be short; calling any store from inside of it is
    /// [`Refused::Reentrant`](crate::Refused::Reentrant).
    ///
    /// Blocks until all shards are in hand, or the deadline passes, or the call is cancelled.
    ///
    /// ```
    /// use shardkeep::{KeyNotNamed, Store};
    ///
    /// let store = Store::open()?;
    /// store.insert_many([("alice", 70), ("bob", 30)]);
    /// store.transaction(["alice", "bob"], |tx| {
    ///     let (alice, bob) = (tx.get(&"alice")?.copied(), tx.get(&"bob")?.copied());
    ///     tx.insert(&"alice", alice.unwrap_or(0) - 20)?;
    ///     tx.insert(&"bob", bob.unwrap_or(0) + 20)?;
    ///     Ok::<(), KeyNotNamed>(())
    /// })?;
    /// assert_eq!((store.get(&"alice")?, store.get(&"bob")?), (Some(50), Some(50)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the closure returned; that it touched a key not named; [`Refused::OverLimit`] beyond
    /// [`limits::TRANSACTION_KEYS_MAX`] keys or where the writes do not fit into the maximum weight.
    pub fn transaction<R, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        run: impl FnOnce(&mut Transaction<'_, K, V>) -> Result<R, E>,
    ) -> Result<R, TransactionError<E>> {
        self.admit()?;
        let named = self.name(keys)?;
        let (keep, call) = (&self.inner.keep, self.call_when_needed());
        let reserved = self.reserve(&call)?;
        let loans = keep.acquire_with(&shards_of(named.iter()), || call.clone())?;
        self.run_transaction(named, loans, reserved, &call, run)
    }

    /// As [`Store::transaction`], but never waits for a shard, or for room in the log.
    ///
    /// # Errors
    /// [`Refused::Busy`] where one of the shards is in other hands, and as [`Store::transaction`].
    pub fn try_transaction<R, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        run: impl FnOnce(&mut Transaction<'_, K, V>) -> Result<R, E>,
    ) -> Result<R, TransactionError<E>> {
        self.admit()?;
        let named = self.name(keys)?;
        let keep = &self.inner.keep;
        let reserved = keep.try_reserve(1, None)?;
        let loans = keep.try_acquire(&shards_of(named.iter()))?;
        self.run_transaction(named, loans, reserved, &self.call(), run)
    }

    fn name(&self, keys: impl IntoIterator<Item = K>) -> Result<Bag<Named<K, V>>, Refused> {
        let mut named: Bag<Named<K, V>> = Bag::new();
        for key in keys {
            if named.len() == limits::TRANSACTION_KEYS_MAX {
                return Err(Refused::OverLimit {
                    limit: "keys of a transaction",
                    allowed: limits::TRANSACTION_KEYS_MAX as u64,
                    needed: named.len() as u64 + 1,
                });
            }
            let (hash, shard) = self.place(&key);
            named.push(Named {
                hash,
                shard,
                key: Some(key),
                write: None,
            });
        }
        // A key named twice is found at its first place; the other stays without a write.
        named.sort_by_key(|named| named.hash);
        Ok(named)
    }

    fn run_transaction<R, E>(
        &self,
        named: Bag<Named<K, V>>,
        loans: Loans<ShardState<K, V>>,
        mut reserved: Reservation<'_, ShardState<K, V>>,
        call: &Call,
        run: impl FnOnce(&mut Transaction<'_, K, V>) -> Result<R, E>,
    ) -> Result<R, TransactionError<E>> {
        let mut transaction = Transaction {
            inner: &self.inner,
            loans,
            named,
            discarded: Bag::new(),
            touched_another: false,
        };
        let result = closure::run(|| run(&mut transaction));
        if transaction.touched_another {
            // Before the result, which may carry values too.
            drop(transaction);
            return Err(TransactionError::KeyNotNamed);
        }
        // What the closure has seen is shown by its error, too. Either way the shards are back before
        // anything is waited for.
        let needs = match result {
            Ok(_) => transaction.apply(&mut reserved)?,
            Err(_) => transaction.needs(),
        };
        for (shard, number) in needs {
            self.inner
                .keep
                .wait_synced(shard, number, call)
                .map_err(Error::from)?;
        }
        result.map_err(TransactionError::Aborted)
    }
}

/// The batches that these keys depend on: shard and number.
fn needs_of<K: Key, V: Value>(
    loans: &mut Loans<ShardState<K, V>>,
    keys: impl Iterator<Item = (usize, u64)>,
) -> Vec<(usize, u64)> {
    keys.map(|(shard, hash)| (shard, loans.state(shard).needs(hash)))
        .filter(|(_, number)| *number > 0)
        .collect()
}

/// Their shards, ascending, each once.
fn shards_of<'n, K: 'n, V: 'n>(named: impl Iterator<Item = &'n Named<K, V>>) -> Vec<usize> {
    let mut shards: Vec<usize> = named.map(|named| named.shard).collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}
