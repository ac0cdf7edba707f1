//! Get or load: the loader of a key runs once at a time, on the caller that found the key absent.
//!
//! 1. The loader runs outside of any shard: it may take its time, and may call the store.
//! 2. Whoever leads ends the flight, whatever happens to it; followers that got no value try again,
//!    and one of them leads then.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;

use shardkeep_core::Error;

use crate::discard::Bag;
use crate::flight::{Lead, Part};
use crate::hand;
use crate::reply::Put;
use crate::store::Store;
use crate::{Key, Value};

/// Why [`Store::get_or_try_insert_with`] has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError<E> {
    /// The loader failed; nothing was inserted.
    Loader(E),
    /// The store refused or lost the call.
    Store(Error),
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(_) => write!(f, "the loader failed"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Loader(error) => Some(error),
            Self::Store(error) => error.source(),
        }
    }
}

impl<E> From<Error> for LoadError<E> {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// What a caller found.
enum Found<V: Clone> {
    Value(V),
    Part(Part<V>),
}

impl<K: Key, V: Value> Store<K, V> {
    /// The value of a key, or what `load` returns, which is then inserted without expiry.
    ///
    /// As [`Store::get_or_try_insert_with`], with a loader that cannot fail.
    ///
    /// ```
    /// let store = shardkeep::Store::open()?;
    /// assert_eq!(store.get_or_insert_with(&"answer", || 42)?, 42);
    /// assert_eq!(store.get_or_insert_with(&"answer", || unreachable!())?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub fn get_or_insert_with<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> Result<V, Error>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.get_or_try_insert_with(key, || Ok::<V, Infallible>(load())) {
            Ok(value) => Ok(value),
            Err(LoadError::Store(error)) => Err(error),
            Err(LoadError::Loader(never)) => match never {},
        }
    }

    /// The value of a key, or what `load` returns, which is then inserted without expiry.
    ///
    /// However many callers ask for an absent key at once, one of them runs its loader, on its own
    /// thread and with no shard in hand; the others wait for it, each until its own deadline. If the
    /// loader fails or panics, one of those waiting runs its own. The deadline limits waiting, not
    /// the loader; inserting what it returned gets a deadline of its own. A value that somebody else
    /// inserted meanwhile stays, and is what is returned.
    ///
    /// ```
    /// use shardkeep::{LoadError, Store};
    ///
    /// let store = Store::<&str, u16>::open()?;
    /// let failed = store.get_or_try_insert_with(&"port", || "x".parse());
    /// assert!(matches!(failed, Err(LoadError::Loader(_))));
    /// assert_eq!(store.get_or_try_insert_with(&"port", || "6379".parse())?, 6379);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the loader failed with. *Refused*: as [`Store::insert`]; [`Refused::Reentrant`] where a
    /// loader asks for the very key that it is loading; and [`Refused::OverLimit`] beyond
    /// [`FLIGHTS_MAX`] loads at once in a shard.
    ///
    /// [`Refused::Reentrant`]: crate::Refused::Reentrant
    /// [`Refused::OverLimit`]: crate::Refused::OverLimit
    /// [`FLIGHTS_MAX`]: crate::limits::FLIGHTS_MAX
    pub fn get_or_try_insert_with<Q, E>(
        &self,
        key: &Q,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        let call = self.call();
        let (hash, shard) = self.place(key);
        loop {
            let keep = &self.inner.keep;
            let (mut owned, mut ended) = (Some(key.to_owned()), Bag::new());
            let (found, needs) = hand::with(
                keep,
                shard,
                || call.clone(),
                |mut hand| {
                    let (value, needs) =
                        hand.look(|state| (state.get(hash, key), state.needs(hash)));
                    let found = match value {
                        Some(value) => Ok(Found::Value(value)),
                        None => hand
                            .change(|state| {
                                let flights = &mut state.flights;
                                flights.join(shard, hash, &mut owned, &mut ended)
                            })
                            .map(Found::Part),
                    };
                    (found, needs)
                },
            )?;
            drop((owned, ended));
            let found = found.map_err(Error::from)?;
            keep.wait_synced(shard, needs, &call).map_err(Error::from)?;
            match found {
                Found::Value(value) => return Ok(value),
                Found::Part(Part::Lead(lead)) => {
                    let value = load().map_err(LoadError::Loader)?;
                    return Ok(self.land(hash, shard, key.to_owned(), value, lead)?);
                }
                Found::Part(Part::Follow(ticket)) => {
                    if let Some(value) = ticket.wait(&call, || keep.depth(shard))? {
                        return Ok(value);
                    }
                }
            }
        }
    }

    /// Inserts what was loaded, unless somebody was faster, and tells the followers.
    fn land(&self, hash: u64, shard: usize, key: K, value: V, lead: Lead<V>) -> Result<V, Error> {
        let (mut key, mut present) = (Some(key), None);
        let put = self.change_kept(hash, shard, |hand| {
            present = hand.look(|state| state.get(hash, key.as_ref()?));
            if present.is_some() {
                return Put::New;
            }
            let stored = value.clone();
            hand.change(|state| state.put(hash, &mut key, stored, None))
        })?;
        drop(put.into_old()?);
        let landed = present.unwrap_or(value);
        lead.land(&landed);
        Ok(landed)
    }
}
