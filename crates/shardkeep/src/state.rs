//! The private map of one shard of a typed store, and what is done on it.
//!
//! Only the holder of the shard ever touches it. Knows no threads, no mail and no deadlines; reads
//! the wall clock only where an entry has an expiry.
//!
//! 1. An expired entry is never shown: it reads as absent, and writing over it returns nothing.
//! 2. `Budget::used` is the sum of the weights of all entries in the table, expired ones included.
//! 3. What can be refused is refused before anything is changed.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use shardkeep_core::{NoJournal, NoTransaction, Refused, State, Tended};

use crate::clock::Clock;
use crate::flight::Flights;
use crate::mail::Mailed;
use crate::prefetch::prefetch;
use crate::reply::{Expires, Inserted, Insertion, When};
use crate::router::Router;
use crate::table::{Cursor, Entry as TableEntry, Slot, Table, UnixMillis};
use crate::{Key, Value};

/// One entry of a typed store.
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) expires: Option<UnixMillis>,
}

impl<K, V> TableEntry for Entry<K, V> {
    #[inline]
    fn expires_at(&self) -> Option<UnixMillis> {
        self.expires
    }
}

/// Says how much an entry counts against the maximum weight.
pub(crate) type Weigher<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// The share of the maximum weight that one shard may hold.
pub(crate) struct Budget<K, V> {
    pub(crate) weigher: Weigher<K, V>,
    pub(crate) allowed: u64,
    used: u64,
}

impl<K, V> Budget<K, V> {
    pub(crate) fn new(weigher: Weigher<K, V>, allowed: u64) -> Self {
        Self {
            weigher,
            allowed,
            used: 0,
        }
    }

    fn weigh(&self, entry: &Entry<K, V>) -> u64 {
        (self.weigher)(&entry.key, &entry.value)
    }
}

/// The name under which a full budget refuses.
const MAX_WEIGHT: &str = "the shard's share of max_weight";

#[repr(C)]
pub(crate) struct ShardState<K, V> {
    table: Table<Entry<K, V>>,
    router: Router,
    clock: Arc<dyn Clock>,
    budget: Option<Budget<K, V>>,
    pub(crate) flights: Flights<K, V>,
}

impl<K: Key, V: Value> ShardState<K, V> {
    pub(crate) fn new(
        table: Table<Entry<K, V>>,
        router: Router,
        clock: Arc<dyn Clock>,
        budget: Option<Budget<K, V>>,
    ) -> Self {
        Self {
            table,
            router,
            clock,
            budget,
            flights: Flights::default(),
        }
    }

    #[inline(always)]
    fn is_live(&self, expires: Option<UnixMillis>) -> bool {
        match expires {
            None => true,
            Some(at) => self.is_ahead(at),
        }
    }

    #[cold]
    #[inline(never)]
    fn is_ahead(&self, at: UnixMillis) -> bool {
        at > self.clock.now()
    }

    /// Begins to fetch the entry that probably has this hash.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) {
        if let Some(entry) = self.table.find(hash, |_| true) {
            prefetch(entry);
        }
    }

    /// The live entry of a key.
    #[inline(always)]
    pub(crate) fn find<Q>(&self, hash: u64, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let entry = self.table.find(hash, |entry| entry.key.borrow() == key)?;
        self.is_live(entry.expires).then_some(entry)
    }

    /// The value of a key, cloned.
    #[inline]
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.find(hash, key).map(|entry| entry.value.clone())
    }

    /// Whether a key is there.
    #[inline]
    pub(crate) fn contains<Q>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.find(hash, key).is_some()
    }

    /// Inserts or overwrites; returns the old value.
    #[inline]
    pub(crate) fn put(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Result<Option<V>, Refused> {
        if self.budget.is_some() {
            self.charge(hash, &key, &value)?;
        }
        let router = &self.router;
        let found = self.table.entry(
            hash,
            |entry| entry.key == key,
            |entry| router.hash(&entry.key),
        );
        let (old, old_expires) = match found {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let old_expires = std::mem::replace(&mut entry.expires, expires);
                let old = std::mem::replace(&mut entry.value, value);
                slot.note_expiry(expires);
                (old, old_expires)
            }
            Slot::Vacant(slot) => {
                slot.insert(Entry {
                    key,
                    value,
                    expires,
                });
                return Ok(None);
            }
        };
        Ok(self.is_live(old_expires).then_some(old))
    }

    /// Inserts what [`ShardState::fits`] has let in together with what else is written.
    pub(crate) fn put_fitting(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Option<V> {
        let allowed = self.budget.as_mut().map(|budget| {
            // In the middle of a transaction the sum may be above what it ends at.
            std::mem::replace(&mut budget.allowed, u64::MAX)
        });
        let old = self.put(hash, key, value, expires);
        if let (Some(budget), Some(allowed)) = (&mut self.budget, allowed) {
            budget.allowed = allowed;
        }
        old.ok().flatten()
    }

    /// Takes the difference that a new value makes from the budget, or refuses.
    #[cold]
    fn charge(&mut self, hash: u64, key: &K, value: &V) -> Result<(), Refused> {
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        let new = (budget.weigher)(key, value);
        let old = self
            .table
            .find(hash, |entry| entry.key == *key)
            .map_or(0, |entry| budget.weigh(entry));
        let needed = budget.used.saturating_sub(old).saturating_add(new);
        if needed > budget.allowed && new > old {
            return Err(over_weight(budget.allowed, needed));
        }
        budget.used = needed;
        Ok(())
    }

    /// Inserts under a condition.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        insertion: Insertion<K, V>,
    ) -> Result<Inserted<V>, Refused> {
        let Insertion {
            key,
            value,
            expires,
            when,
        } = insertion;
        let (present, expires) = match (when, expires) {
            (When::Always, Expires::At(at)) => {
                return self.put(hash, key, value, at).map(Inserted::Stored);
            }
            (_, expires) => {
                let found = self.find(hash, &key);
                let kept = found.and_then(|entry| entry.expires);
                let at = match expires {
                    Expires::At(at) => at,
                    Expires::Keep => kept,
                };
                (found.is_some(), at)
            }
        };
        let holds = match when {
            When::Always => true,
            When::IfAbsent => !present,
            When::IfPresent => present,
        };
        if !holds {
            return Ok(Inserted::Kept);
        }
        self.put(hash, key, value, expires).map(Inserted::Stored)
    }

    /// Removes an entry; an expired one is removed too, but not returned.
    #[inline]
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let entry = self.table.remove(hash, |entry| entry.key.borrow() == key)?;
        if let Some(budget) = &mut self.budget {
            budget.used = budget.used.saturating_sub(budget.weigh(&entry));
        }
        self.is_live(entry.expires).then_some(entry)
    }

    /// Gives a live entry another expiry; says what it had before.
    pub(crate) fn set_expiry<Q>(
        &mut self,
        hash: u64,
        key: &Q,
        expires: Option<UnixMillis>,
    ) -> Option<Option<UnixMillis>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.contains(hash, key) {
            return None;
        }
        let entry = self
            .table
            .find_mut(hash, |entry| entry.key.borrow() == key)?;
        let before = std::mem::replace(&mut entry.expires, expires);
        self.table.note_expiry(hash, expires);
        Some(before)
    }

    /// Entries, expired ones that nobody has removed yet included.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sum of the weights; 0 without a weigher.
    pub(crate) fn weight(&self) -> u64 {
        self.budget.as_ref().map_or(0, |budget| budget.used)
    }

    /// Bytes of the table itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Whether so many writes fit together: pairs of (what stands there now, what it becomes).
    pub(crate) fn fits<'a>(
        &self,
        writes: impl Iterator<Item = (u64, &'a K, Option<&'a V>)>,
    ) -> Result<(), Refused> {
        let Some(budget) = &self.budget else {
            return Ok(());
        };
        let mut needed = budget.used;
        for (hash, key, value) in writes {
            let old = self.table.find(hash, |entry| entry.key == *key);
            needed = needed.saturating_sub(old.map_or(0, |entry| budget.weigh(entry)));
            needed = needed.saturating_add(value.map_or(0, |value| (budget.weigher)(key, value)));
        }
        if needed > budget.allowed && needed > budget.used {
            return Err(over_weight(budget.allowed, needed));
        }
        Ok(())
    }

    /// Exchanges the table for an empty one; the old one is to be dropped where it holds nobody up.
    pub(crate) fn swap_table(&mut self, empty: &mut Table<Entry<K, V>>) {
        debug_assert!(empty.is_empty());
        if let Some(budget) = &mut self.budget {
            budget.used = 0;
        }
        std::mem::swap(&mut self.table, empty);
    }

    /// Clones the live entries of one segment; returns where to go on.
    pub(crate) fn scan(&self, cursor: Cursor, into: &mut Vec<(K, V)>) -> Option<Cursor> {
        self.table.scan(cursor, |entry| {
            if self.is_live(entry.expires) {
                into.push((entry.key.clone(), entry.value.clone()));
            }
        })
    }
}

fn over_weight(allowed: u64, needed: u64) -> Refused {
    Refused::OverLimit {
        limit: MAX_WEIGHT,
        allowed,
        needed,
    }
}

impl<K, V> State for ShardState<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    type Work = Mailed<K, V>;
    type Transaction = NoTransaction;
    type Journal = NoJournal;

    #[inline]
    fn wants_tending(&self) -> bool {
        self.table.next_expiry().is_some()
    }

    fn tend(&mut self) -> Tended {
        let now = self.clock.now();
        let budget = &mut self.budget;
        let slice = self.table.expire_slice(now, |entry| {
            if let Some(budget) = budget {
                budget.used = budget.used.saturating_sub(budget.weigh(&entry));
            }
        });
        if slice.more_due {
            Tended::More
        } else {
            Tended::Done
        }
    }
}
