//! The private map of one shard of a typed store, and what is done on it.
//!
//! Only the holder of the shard ever touches it. Knows no threads, no mail and no deadlines; reads
//! the wall clock only where an entry has an expiry.
//!
//! 1. An expired entry is never shown: it reads as absent, and writing over it returns nothing.
//! 2. What can be refused is refused before anything is changed.

use std::borrow::Borrow;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;

use shardkeep_core::{Effects, NoTransaction, Refused, State, Tended};

use crate::clock::Clock;
use crate::codec::{DecodeError, EncodeError};
use crate::durable::{Kept, LogJournal, Saved, Slice};
use crate::effect::Effect;
use crate::flight::Flights;
use crate::ledger::Ledger;
use crate::mail::Mailed;
use crate::prefetch::prefetch;
use crate::reply::{Expires, Inserted, Insertion, When};
use crate::router::Router;
use crate::table::{Cursor, Entry as TableEntry, Slot, Spot, Table, UnixMillis, Walked};
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

#[repr(C)]
pub(crate) struct ShardState<K, V> {
    table: Table<Entry<K, V>>,
    router: Router,
    clock: Arc<dyn Clock>,
    /// What must be known of every change; `None` where nothing must.
    ledger: Option<Box<Ledger<K, V>>>,
    pub(crate) flights: Flights<K, V>,
}

impl<K: Key, V: Value> ShardState<K, V> {
    pub(crate) fn new(
        table: Table<Entry<K, V>>,
        router: Router,
        clock: Arc<dyn Clock>,
        ledger: Option<Ledger<K, V>>,
    ) -> Self {
        Self {
            table,
            router,
            clock,
            ledger: ledger.map(Box::new),
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
        self.table.prefetch(hash);
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
        if self.ledger.is_some() {
            self.admit(hash, &key, &value)?;
        }
        let old = self.place(hash, key, value, expires);
        if let Some(ledger) = &mut self.ledger {
            ledger.wrote(hash, expires);
        }
        Ok(old)
    }

    /// Puts an entry in its place.
    #[inline(always)]
    fn place(&mut self, hash: u64, key: K, value: V, expires: Option<UnixMillis>) -> Option<V> {
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
                return None;
            }
        };
        self.is_live(old_expires).then_some(old)
    }

    /// What must be seen to before an entry is written: its weight, and its form as bytes.
    #[cold]
    fn admit(&mut self, hash: u64, key: &K, value: &V) -> Result<(), Refused> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        ledger.encode(key, value)?;
        let old = self.table.find(hash, |entry| entry.key == *key);
        ledger.charge(old.map(|entry| (&entry.key, &entry.value)), key, value)
    }

    /// Inserts what [`ShardState::fits`] has let in together with what else is written.
    pub(crate) fn put_fitting(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Option<V> {
        // In the middle of a transaction the sum may be above what it ends at.
        let allowed = self.ledger.as_mut().and_then(|ledger| ledger.lift_limit());
        let old = self.put(hash, key, value, expires);
        if let (Some(ledger), Some(allowed)) = (&mut self.ledger, allowed) {
            ledger.limit(allowed);
        }
        old.ok().flatten()
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
        if let Some(ledger) = &mut self.ledger {
            ledger.removed(hash, &entry.key, &entry.value);
        }
        self.is_live(entry.expires).then_some(entry)
    }

    /// Gives a live entry another expiry; says what it had before.
    pub(crate) fn set_expiry<Q>(
        &mut self,
        hash: u64,
        key: &Q,
        expires: Option<UnixMillis>,
    ) -> Result<Option<Option<UnixMillis>>, Refused>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.contains(hash, key) {
            return Ok(None);
        }
        let found = self.table.find_mut(hash, |entry| entry.key.borrow() == key);
        let Some(entry) = found else {
            return Ok(None);
        };
        if let Some(ledger) = &mut self.ledger {
            ledger.encode(&entry.key, &entry.value)?;
            ledger.wrote(hash, expires);
        }
        let before = std::mem::replace(&mut entry.expires, expires);
        self.table.note_expiry(hash, expires);
        Ok(Some(before))
    }

    /// The number of the batch that a reply about a key depends on; 0 for none.
    #[inline]
    pub(crate) fn needs(&self, hash: u64) -> u64 {
        let effects = self
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.look_at_effects());
        effects.map_or(0, |effects| effects.needs(hash))
    }

    /// The number of the batch that a reply about the whole shard depends on; 0 for none.
    pub(crate) fn needs_newest(&self) -> u64 {
        let effects = self
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.look_at_effects());
        effects.map_or(0, Effects::needs_newest)
    }

    /// Entries, expired ones that nobody has removed yet included.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sum of the weights; 0 without a weigher.
    pub(crate) fn weight(&self) -> u64 {
        self.ledger.as_ref().map_or(0, |ledger| ledger.weight())
    }

    /// Bytes of the table itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Whether so many writes fit together, and have a form as bytes: pairs of (what stands there now,
    /// what it becomes).
    pub(crate) fn fits<'a>(
        &mut self,
        writes: impl Iterator<Item = (u64, &'a K, Option<&'a V>)>,
    ) -> Result<(), Refused> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        let table = &self.table;
        ledger.admit_all(writes, |hash, key| {
            let entry = table.find(hash, |entry| entry.key == *key)?;
            Some((&entry.key, &entry.value))
        })
    }

    /// Exchanges the table for an empty one; the old one is to be dropped where it holds nobody up.
    pub(crate) fn swap_table(&mut self, shard: usize, empty: &mut Table<Entry<K, V>>) {
        debug_assert!(empty.is_empty());
        if let Some(ledger) = &mut self.ledger {
            ledger.cleared(shard);
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

impl<K: Key, V: Value> ShardState<K, V> {
    /// Puts an entry in its place that was read from the log.
    fn restore_entry(&mut self, key: K, value: V, expires: Option<UnixMillis>) {
        let hash = self.router.hash(&key);
        if let Some(ledger) = &mut self.ledger {
            let old = self.table.find(hash, |entry| entry.key == key);
            let old = old.map(|entry| (&entry.key, &entry.value));
            ledger.restored(old, Some((&key, &value)));
        }
        drop(self.place(hash, key, value, expires));
    }

    fn restore_removal(&mut self, key: &K) {
        let hash = self.router.hash(key);
        let removed = self.table.remove(hash, |entry| entry.key == *key);
        if let (Some(ledger), Some(entry)) = (&mut self.ledger, removed) {
            ledger.restored(Some((&entry.key, &entry.value)), None);
        }
    }

    fn restore_clear(&mut self) {
        let mut cursor = Some(Cursor::START);
        let mut keys = Vec::new();
        while let Some(at) = cursor {
            cursor = self.table.scan(at, |entry| keys.push(entry.key.clone()));
        }
        for key in &keys {
            self.restore_removal(key);
        }
    }
}

impl<K: Key, V: Value> Kept for ShardState<K, V> {
    fn restore(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError> {
        let Some(codecs) = self.ledger.as_ref().and_then(|ledger| ledger.codecs()) else {
            return Ok(());
        };
        match *effect {
            Effect::Set {
                key,
                value,
                expires,
            } => {
                let (key, value) = (codecs.key.decode(key)?, codecs.value.decode(value)?);
                self.restore_entry(key, value, expires);
            }
            Effect::Delete { key } => {
                let key = codecs.key.decode(key)?;
                self.restore_removal(&key);
            }
            Effect::Clear => self.restore_clear(),
        }
        Ok(())
    }

    fn save(&self, spot: Spot, slice: Slice, into: &mut Vec<u8>) -> Result<Saved, EncodeError> {
        let Some(codecs) = self.ledger.as_ref().and_then(|ledger| ledger.codecs()) else {
            let walked = Walked {
                next: None,
                restarted: false,
            };
            return Ok(Saved { entries: 0, walked });
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let (mut entries, mut failed) = (0, None);
        let before = into.len();
        let visit = |entry: &Entry<K, V>| {
            entries += 1;
            key.clear();
            value.clear();
            let encoded = codecs.key.encode(&entry.key, &mut key);
            let encoded = encoded.and_then(|()| codecs.value.encode(&entry.value, &mut value));
            if let Err(error) = encoded {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            Effect::Set {
                key: &key,
                value: &value,
                expires: entry.expires,
            }
            .encode(into);
            if slice.is_filled_by(entries, into.len() - before) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let walked = self.table.walk(spot, prefetch, visit);
        match failed {
            None => Ok(Saved { entries, walked }),
            Some(error) => Err(error),
        }
    }
}

impl<K, V> State for ShardState<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    type Work = Mailed<K, V>;
    type Transaction = NoTransaction;
    type Journal = LogJournal;

    #[inline]
    fn effects(&mut self) -> Option<&mut Effects> {
        self.ledger.as_mut()?.effects()
    }

    #[inline]
    fn wants_tending(&self) -> bool {
        self.table.next_expiry().is_some()
    }

    fn tend(&mut self) -> Tended {
        let now = self.clock.now();
        let (ledger, router) = (&mut self.ledger, &self.router);
        let slice = self.table.expire_slice(now, |entry| {
            if let Some(ledger) = ledger {
                ledger.removed(router.hash(&entry.key), &entry.key, &entry.value);
            }
        });
        if slice.more_due {
            Tended::More
        } else {
            Tended::Done
        }
    }
}
