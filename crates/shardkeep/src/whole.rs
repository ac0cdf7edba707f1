//! The store as a whole: counting, clearing, walking through it.
//!
//! 1. A clear holds all shards at once: it is one moment. Counting and walking are not.
//! 2. A walk holds one shard at a time, for one segment.

use shardkeep_core::{Error, Refused};

use crate::builder::new_table;
use crate::store::Store;
use crate::table::{Cursor, Table};
use crate::{Key, Value, discard, hand};

impl<K: Key, V: Value> Store<K, V> {
    /// How many entries there are: the sum over the shards, looked at one after the other, not at
    /// one moment. Expired entries count until they are removed, which may take some seconds.
    ///
    /// # Errors
    /// See [`Store`].
    pub fn len(&self) -> Result<usize, Error> {
        self.sum(|state| state.len())
    }

    /// Whether there are no entries; as [`Store::len`].
    ///
    /// # Errors
    /// See [`Store`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// The sum of the weights of all entries, as the weigher of the store counts them; 0 without
    /// one. Not at one moment; as [`Store::len`].
    ///
    /// # Errors
    /// See [`Store`].
    pub fn weight(&self) -> Result<u64, Error> {
        Ok(self.sum(|state| state.weight() as usize)? as u64)
    }

    /// Bytes allocated for the tables: keys and values as far as they lie in them, free places and
    /// directories; not what keys and values own elsewhere. As [`Store::len`].
    ///
    /// # Errors
    /// See [`Store`].
    pub fn memory_bytes(&self) -> Result<usize, Error> {
        self.sum(|state| state.memory_bytes())
    }

    fn sum(
        &self,
        count: impl Fn(&crate::state::ShardState<K, V>) -> usize,
    ) -> Result<usize, Error> {
        self.admit()?;
        let call = self.call();
        let mut sum = 0;
        for shard in 0..self.inner.keep.shards() {
            let (counted, needs) = hand::with(
                &self.inner.keep,
                shard,
                || call.clone(),
                |hand| hand.look(|state| (count(state), state.needs_newest())),
            )?;
            self.inner.keep.wait_synced(shard, needs, &call)?;
            sum += counted;
        }
        Ok(sum)
    }

    /// Removes all entries, at one moment: all shards are in hand. They are dropped after the shards
    /// are back, on this thread.
    ///
    /// Blocks until all shards are in hand, or the deadline passes, or the call is cancelled.
    ///
    /// ```
    /// let store = shardkeep::Store::open()?;
    /// store.insert(1, "one")?;
    /// store.clear()?;
    /// assert!(store.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Store`].
    pub fn clear(&self) -> Result<(), Error> {
        self.admit()?;
        let shards: Vec<usize> = (0..self.inner.keep.shards()).collect();
        let fresh = || new_table(self.inner.router.bits(), self.inner.segment_entries);
        let mut empty: Vec<_> = shards.iter().map(|_| fresh()).collect();
        let (keep, call) = (&self.inner.keep, self.call());
        let mut reserved = keep.reserve_clear(&call)?;
        let mut loans = keep.acquire(&shards, call.clone())?;
        reserved.deposit_all(&mut loans);
        let mut needs = vec![0; shards.len()];
        loans.change(|loans| {
            for ((&shard, table), needs) in shards.iter().zip(&mut empty).zip(&mut needs) {
                let state = loans.state(shard);
                state.swap_table(shard, table);
                *needs = state.needs_newest();
            }
        });
        // First the shards go back, then the old entries are dropped.
        drop(loans);
        if std::mem::needs_drop::<(K, V)>() {
            discard::all(empty.iter_mut().flat_map(Table::take));
        }
        drop(empty);
        for (&shard, needs) in shards.iter().zip(needs) {
            keep.wait_synced(shard, needs, &call)?;
        }
        Ok(())
    }

    /// Walks through all entries, cloning them segment by segment (a few thousand at a time).
    ///
    /// Nobody is held up for longer than cloning one segment takes, and no more than that is kept in
    /// memory. An entry that is there during the whole walk is returned exactly once, one that comes
    /// or goes meanwhile at most once while it stays; the order means nothing. The walk does not
    /// end with the store's deadline: that limits each segment.
    ///
    /// ```
    /// let store = shardkeep::Store::open()?;
    /// store.insert_many((0..10).map(|key| (key, key * key)));
    /// let mut squares = store.iter().collect::<Result<Vec<(i32, i32)>, _>>()?;
    /// squares.sort();
    /// assert_eq!(squares[3], (3, 9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Entries<'_, K, V> {
        Entries {
            store: self,
            at: Some((0, Cursor::START)),
            segment: Vec::new(),
        }
    }
}

/// A walk through a store; see [`Store::iter`].
///
/// After an error the walk can go on: the segment that could not be read is tried again.
#[must_use = "iterators do nothing before they are asked"]
pub struct Entries<'s, K: Key, V: Value> {
    store: &'s Store<K, V>,
    /// The next segment; `None` at the end.
    at: Option<(usize, Cursor)>,
    /// What is left of the last one.
    segment: Vec<(K, V)>,
}

impl<K: Key, V: Value> Entries<'_, K, V> {
    /// Reads the segment that the walk stands at, and goes on to the next.
    fn read_segment(&mut self, shard: usize, cursor: Cursor) -> Result<(), Error> {
        let store = self.store;
        store.admit()?;
        // A `clone` that panics leaves nothing of the segment behind, so that it can be read again.
        let mut segment = std::mem::take(&mut self.segment);
        let keep = &store.inner.keep;
        let call = store.call();
        let (next, needs) = hand::with(
            keep,
            shard,
            || call.clone(),
            |hand| hand.look(|state| (state.scan(cursor, &mut segment), state.needs_newest())),
        )?;
        keep.wait_synced(shard, needs, &call)?;
        self.segment = segment;
        self.at = match next {
            Some(cursor) => Some((shard, cursor)),
            None if shard + 1 < keep.shards() => Some((shard + 1, Cursor::START)),
            None => None,
        };
        Ok(())
    }
}

impl<K: Key, V: Value> Iterator for Entries<'_, K, V> {
    type Item = Result<(K, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.segment.pop() {
                return Some(Ok(entry));
            }
            let (shard, cursor) = self.at?;
            if let Err(error) = self.read_segment(shard, cursor) {
                if let Error::Refused(Refused::Closed | Refused::OtherProcess) = error {
                    // It will not open again.
                    self.at = None;
                }
                return Some(Err(error));
            }
        }
    }
}
