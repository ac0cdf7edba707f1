//! Single operations with a closure or an expiry: they run on the caller's thread, shard in hand.
//!
//! 1. A user's closure only looks; what it decided is done after it has returned. So a closure that
//!    panics harms nobody but its caller.

use std::borrow::Borrow;
use std::hash::Hash;
use std::time::Duration;

use shardkeep_core::{Error, Refused};

use crate::hand::{self, Hand};
use crate::reply::{Put, Ttl, Update};
use crate::state::ShardState;
use crate::store::{Keeping, Store};
use crate::table::UnixMillis;
use crate::{Key, Value, closure};

impl<K: Key, V: Value> Store<K, V> {
    /// Reads a value where it lies, without cloning it; `None` where the key is absent.
    ///
    /// `read` runs on this thread, with the shard in hand: until it returns nobody else gets at that
    /// shard, so it should be short. Calling any store from inside of it is
    /// [`Refused::Reentrant`]. It needs neither `Send` nor `'static`; if it panics, nothing has
    /// happened.
    ///
    /// ```
    /// let store = shardkeep::Store::open()?;
    /// store.insert(7, "a long story".to_owned())?;
    /// assert_eq!(store.read(&7, |story| story.len())?, Some(12));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Store`].
    #[inline]
    pub fn read<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Result<Option<R>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        // What it holds is dropped when the shard is back, also where it does not run.
        let mut read = Some(read);
        if self.inner.keeping == Keeping::Synced {
            return self.look_synced(hash, shard, |state| read_in(state, hash, key, &mut read));
        }
        let keep = &self.inner.keep;
        let look = |state: &ShardState<K, V>| read_in(state, hash, key, &mut read);
        match keep.look_idle(shard, look) {
            Ok(found) => Ok(found),
            Err(look) => self.look_slowly(shard, look),
        }
    }

    /// The shard was not to be had in passing.
    #[cold]
    #[inline(never)]
    fn look_slowly<R>(
        &self,
        shard: usize,
        look: impl FnOnce(&ShardState<K, V>) -> R,
    ) -> Result<R, Error> {
        hand::with(
            &self.inner.keep,
            shard,
            || self.call(),
            |hand| hand.look(look),
        )
    }

    /// As [`Store::read`], but never sleeps.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands.
    #[inline]
    pub fn try_read<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Result<Option<R>, Refused>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut read = Some(read);
        self.try_look(key, |state, hash| read_in(state, hash, key, &mut read))
    }

    /// Looks at the value of a key and decides in one step what becomes of it. Returns the value
    /// that was replaced or removed.
    ///
    /// `decide` runs as in [`Store::read`]: on this thread, with the shard in hand, and what it
    /// returns is done afterwards; if it panics, nothing has happened.
    ///
    /// ```
    /// use shardkeep::{Store, Update};
    ///
    /// let store = Store::open()?;
    /// for _ in 0..3 {
    ///     store.update(&"visits", |count| Update::Put(count.map_or(1, |count| count + 1)))?;
    /// }
    /// assert_eq!(store.get(&"visits")?, Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn update<Q>(
        &self,
        key: &Q,
        decide: impl FnOnce(Option<&V>) -> Update<V>,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let mut owned = None;
        let updated = self.change_kept(hash, shard, |hand| {
            self.update_in_hand(hand, (hash, key, &mut owned), decide)
        })?;
        updated.into_old()
    }

    /// As [`Store::update`], but never waits for the shard, or for room in the log.
    ///
    /// # Errors
    /// [`Refused::Busy`] where the shard is in other hands, and as [`Store::insert`].
    pub fn try_update<Q>(
        &self,
        key: &Q,
        decide: impl FnOnce(Option<&V>) -> Update<V>,
    ) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let (hash, shard) = self.place(key);
        let mut owned = None;
        let updated = self.try_change(hash, shard, |hand| {
            self.update_in_hand(hand, (hash, key, &mut owned), decide)
        })?;
        updated.into_old()
    }

    fn update_in_hand<Q>(
        &self,
        hand: &mut Hand<'_, '_, K, V>,
        (hash, key, owned): (u64, &Q, &mut Option<K>),
        decide: impl FnOnce(Option<&V>) -> Update<V>,
    ) -> Put<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let (update, expires) = hand.look(|state| {
            let entry = state.find(hash, key);
            let update = closure::run(|| decide(entry.map(|entry| &entry.value)));
            (update, entry.and_then(|entry| entry.expires()))
        });
        let (value, expires) = match update {
            Update::Keep => return Put::New,
            Update::Remove => {
                let removed = hand.change(|state| state.remove(hash, key));
                return removed.map_or(Put::New, |removed| removed.into_put(owned));
            }
            Update::Put(value) => (value, expires),
            Update::PutWithTtl(value, ttl) => (value, Some(hand.look(|state| state.after(ttl)))),
        };
        *owned = Some(key.to_owned());
        hand.change(|state| state.put(hash, owned, value, expires))
    }

    /// How long a key has to live; `None` where it is absent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use shardkeep::{Store, Ttl};
    ///
    /// let store = Store::open()?;
    /// store.insert("session", 1)?;
    /// assert_eq!(store.ttl(&"session")?, Some(Ttl::Forever));
    /// assert!(store.expire(&"session", Duration::from_secs(60))?);
    /// assert!(matches!(store.ttl(&"session")?, Some(Ttl::Left(_))));
    /// assert!(store.persist(&"session")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Store`].
    pub fn ttl<Q>(&self, key: &Q) -> Result<Option<Ttl>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let expires = self.look_synced(hash, shard, |state| {
            state.find(hash, key).map(|entry| entry.expires())
        })?;
        Ok(expires.map(|expires| match expires {
            None => Ttl::Forever,
            Some(at) => {
                let left = at.get().saturating_sub(self.inner.clock.now().get());
                Ttl::Left(Duration::from_millis(left))
            }
        }))
    }

    /// Lets a key expire `ttl` from when its shard is in hand; says whether it was there.
    ///
    /// # Errors
    /// See [`Store`].
    pub fn expire<Q>(&self, key: &Q, ttl: Duration) -> Result<bool, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let before = self.set_expiry(key, Some(ttl))?;
        Ok(before.is_some())
    }

    /// Takes the expiry of a key away; says whether it had one.
    ///
    /// # Errors
    /// See [`Store`].
    pub fn persist<Q>(&self, key: &Q) -> Result<bool, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let before = self.set_expiry(key, None)?;
        Ok(before.flatten().is_some())
    }

    fn set_expiry<Q>(
        &self,
        key: &Q,
        ttl: Option<Duration>,
    ) -> Result<Option<Option<UnixMillis>>, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.admit()?;
        let (hash, shard) = self.place(key);
        let before = self.change_kept(hash, shard, |hand| {
            hand.change(|state| {
                let expires = ttl.map(|ttl| state.after(ttl));
                state.set_expiry(hash, key, expires)
            })
        })?;
        Ok(before?)
    }
}

#[inline]
fn read_in<K, V, Q, R>(
    state: &ShardState<K, V>,
    hash: u64,
    key: &Q,
    read: &mut Option<impl FnOnce(&V) -> R>,
) -> Option<R>
where
    K: Key + Borrow<Q>,
    V: Value,
    Q: Hash + Eq + ?Sized,
{
    let entry = state.find(hash, key)?;
    let read = read.take()?;
    Some(closure::run(|| read(&entry.value)))
}
