//! Plain operations on one key: get, contains, insert, remove.
//!
//! An idle shard is borrowed, used and put back on the caller's own thread; what finds its shard
//! away is mailed to it, and the caller waits for the reply.
//!
//! 1. A call hashes its key once.
//! 2. On an idle shard a plain get or insert allocates nothing, reads no clock (unless the entry has
//!    an expiry) and executes no atomic read-modify-write but the two swaps of the desk.
//! 3. A loan is looked at where it was made, never moved: a move through memory would make each
//!    operation wait for the cache misses of the one before (a load that spans two stores still on
//!    their way cannot be served from them), five times slower on a large map.

use std::borrow::Borrow;
use std::hash::Hash;
use std::time::Duration;

use shardkeep_core::{Borrowed, Error, Refused};

use crate::mail::Op;
use crate::reply::{Insert, Inserted, Insertion};
use crate::state::{Removed, ShardState};
use crate::store::{Keeping, Store};
use crate::{Key, Value};

impl<K: Key, V: Value> Store<K, V> {
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
        self.put(key, value)
    }

    /// Inserts or overwrites; the entry expires `ttl` after it was inserted (wall clock, to the
    /// millisecond), however long the call had to wait for its shard. Returns the old value.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) -> Result<Option<V>, Error> {
        match self.insert_with(key, value, Insert::new().ttl(ttl))? {
            Inserted::Stored(old) => Ok(old),
            Inserted::Kept => Ok(None),
        }
    }

    #[inline]
    fn put(&self, key: K, value: V) -> Result<Option<V>, Error> {
        self.admit()?;
        let (hash, shard) = self.place(&key);
        // What does not go into the map stays here, until the shard is back.
        let mut key = Some(key);
        if self.inner.keeping != Keeping::Nothing {
            let put = self.change_kept(hash, shard, |hand| {
                hand.change(|state| state.put(hash, &mut key, value, None))
            })?;
            return put.into_old();
        }
        let mut value = Some(value);
        let put = |state: &mut ShardState<K, V>| match value.take() {
            Some(value) => state.put(hash, &mut key, value, None),
            None => unreachable!("it is called once"),
        };
        let keep = &self.inner.keep;
        if let Ok(put) = keep.change_idle(shard, put) {
            return put.into_old();
        }
        let Some(value) = value else {
            unreachable!("what was not called has taken nothing")
        };
        self.put_slowly(shard, hash, key, value)
    }

    #[cold]
    #[inline(never)]
    fn put_slowly(
        &self,
        shard: usize,
        hash: u64,
        mut key: Option<K>,
        value: V,
    ) -> Result<Option<V>, Error> {
        let keep = &self.inner.keep;
        let put = match &mut keep.borrow(shard) {
            Borrowed::Loan(loan) => loan.change(|state| state.put(hash, &mut key, value, None)),
            Borrowed::Away => {
                let op = Op::Insert(Insertion {
                    key,
                    value: Some(value),
                    how: Insert::new(),
                });
                return self.mail(shard, hash, op)?.into_value();
            }
            Borrowed::Closed => return Err(Refused::Closed.into()),
        };
        put.into_old()
    }

    /// As [`Store::insert`], but never waits for the shard, or for room in the log.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands, and as [`Store::insert`].
    #[inline]
    pub fn try_insert(&self, key: K, value: V) -> Result<Option<V>, Error> {
        let (hash, shard) = self.place(&key);
        let mut key = Some(key);
        let put = self.try_change(hash, shard, |hand| {
            hand.change(|state| state.put(hash, &mut key, value, None))
        })?;
        put.into_old()
    }

    /// Inserts as `how` says: with an expiry, under a condition.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn insert_with(&self, key: K, value: V, how: Insert) -> Result<Inserted<V>, Error> {
        self.admit()?;
        let (hash, shard) = self.place(&key);
        // What does not go into the map stays here, until the shard is back.
        let mut key = Some(key);
        if self.inner.keeping != Keeping::Nothing {
            let put = self.change_kept(hash, shard, |hand| {
                hand.change(|state| state.insert(hash, &mut key, value, how))
            })?;
            return put.into_inserted();
        }
        let mut value = Some(value);
        let put = |state: &mut ShardState<K, V>| match value.take() {
            Some(value) => state.insert(hash, &mut key, value, how),
            None => unreachable!("it is called once"),
        };
        let keep = &self.inner.keep;
        if let Ok(put) = keep.change_idle(shard, put) {
            return put.into_inserted();
        }
        let Some(value) = value else {
            unreachable!("what was not called has taken nothing")
        };
        self.insert_slowly(shard, hash, key, value, how)
    }

    #[cold]
    #[inline(never)]
    fn insert_slowly(
        &self,
        shard: usize,
        hash: u64,
        mut key: Option<K>,
        value: V,
        how: Insert,
    ) -> Result<Inserted<V>, Error> {
        let put = match &mut self.inner.keep.borrow(shard) {
            Borrowed::Loan(loan) => loan.change(|state| state.insert(hash, &mut key, value, how)),
            Borrowed::Away => {
                let op = Op::Insert(Insertion {
                    key,
                    value: Some(value),
                    how,
                });
                return self.mail(shard, hash, op)?.into_inserted();
            }
            Borrowed::Closed => return Err(Refused::Closed.into()),
        };
        put.into_inserted()
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
            let removed = self.remove_kept(hash, shard, |hand| {
                Ok::<_, Refused>(hand.change(|state| state.remove(hash, key)))
            })??;
            return Ok(removed.and_then(Removed::into_value));
        }
        if let Ok(removed) = keep.change_idle(shard, |state| state.remove(hash, key)) {
            return Ok(removed.and_then(Removed::into_value));
        }
        let removed = match &mut keep.borrow(shard) {
            Borrowed::Loan(loan) => loan.change(|state| state.remove(hash, key)),
            Borrowed::Away => {
                let op = Op::Remove(key.to_owned());
                return self.mail(shard, hash, op)?.into_value();
            }
            Borrowed::Closed => return Err(Refused::Closed.into()),
        };
        Ok(removed.and_then(Removed::into_value))
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
        let removed = self.try_remove_kept(hash, shard, |hand| {
            Ok::<_, Refused>(hand.change(|state| state.remove(hash, key)))
        })??;
        Ok(removed.and_then(Removed::into_value))
    }
}
