//! Several keys at once: all their shards in hand, one closure, all writes or none.
//!
//! Shards are borrowed in ascending order, so that two transactions never wait for each other in a
//! circle.
//!
//! 1. The closure only reads the maps; its writes are kept apart and applied after it has returned
//!    `Ok`. So an `Err` or a panic applies none of them.
//! 2. What can be refused is refused before the first write is applied.
//! 3. Values that were replaced are dropped after the shards are back.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use shardkeep_core::{Call, Error, Loans, Refused, Reservation, fail_point};

use crate::state::ShardState;
use crate::store::{Inner, Keeping, Store};
use crate::table::UnixMillis;
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
    Insert(V, Option<UnixMillis>),
    Remove,
}

struct Named<K, V> {
    hash: u64,
    shard: usize,
    key: K,
    write: Option<Write<V>>,
}

/// What the closure of [`Store::transaction`] works with.
pub struct Transaction<'s, K: Key, V: Value> {
    inner: &'s Inner<K, V>,
    loans: Loans<ShardState<K, V>>,
    /// By hash.
    named: Vec<Named<K, V>>,
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

    /// Inserts or overwrites when the transaction is applied; the entry expires `ttl` from now.
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
        let expires = self.inner.after(ttl);
        self.write(key, Write::Insert(value, Some(expires)))
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
        let at = self.position(key)?;
        self.named[at].write = Some(write);
        Ok(())
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
        match { same_hash }.position(|named| named.key.borrow() == key) {
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
            mut loans, named, ..
        } = self;
        let writes: Vec<_> = named
            .into_iter()
            .filter(|named| named.write.is_some())
            .collect();
        for shard in shards_of(&writes) {
            let here = writes.iter().filter(|named| named.shard == shard);
            loans.state(shard).fits(here.map(|named| {
                let value = match &named.write {
                    Some(Write::Insert(value, _)) => Some(value),
                    Some(Write::Remove) | None => None,
                };
                (named.hash, &named.key, value)
            }))?;
        }
        reserved.deposit_all(&mut loans);
        // What has nothing to drop need not be kept.
        let mut replaced = Vec::new();
        let mut keep_replaced = |key, value| {
            if std::mem::needs_drop::<(K, V)>() {
                replaced.push((key, value));
            }
        };
        let name = &self.inner.keep.config().name;
        loans.change(|loans| {
            for (at, named) in writes.into_iter().enumerate() {
                fail_point::hit_at("transaction.next", || format!("{name}#{at}."));
                let state = loans.state(named.shard);
                match named.write {
                    Some(Write::Insert(value, expires)) => {
                        let old = state.put_fitting(named.hash, named.key, value, expires);
                        keep_replaced(None, old);
                    }
                    Some(Write::Remove) => {
                        let removed = state.remove(named.hash, &named.key);
                        keep_replaced(Some(named.key), removed.map(|entry| entry.value));
                    }
                    None => {}
                }
            }
            fail_point::hit_at("transaction.applied", || name);
        });
        let needs = needs_of(&mut loans, keys.into_iter());
        drop(loans);
        drop(replaced);
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
        let loans = keep.acquire_with(&shards_of(&named), || call.clone())?;
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
        let loans = keep.try_acquire(&shards_of(&named))?;
        self.run_transaction(named, loans, reserved, &self.call(), run)
    }

    fn name(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Named<K, V>>, Refused> {
        let mut named: Vec<Named<K, V>> = Vec::new();
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
                key,
                write: None,
            });
        }
        // A key named twice is found at its first place; the other stays without a write.
        named.sort_by_key(|named| named.hash);
        Ok(named)
    }

    fn run_transaction<R, E>(
        &self,
        named: Vec<Named<K, V>>,
        loans: Loans<ShardState<K, V>>,
        mut reserved: Reservation<'_, ShardState<K, V>>,
        call: &Call,
        run: impl FnOnce(&mut Transaction<'_, K, V>) -> Result<R, E>,
    ) -> Result<R, TransactionError<E>> {
        let mut transaction = Transaction {
            inner: &self.inner,
            loans,
            named,
            touched_another: false,
        };
        let result = closure::run(|| run(&mut transaction));
        if transaction.touched_another {
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
fn shards_of<K, V>(named: &[Named<K, V>]) -> Vec<usize> {
    let mut shards: Vec<usize> = named.iter().map(|named| named.shard).collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}
