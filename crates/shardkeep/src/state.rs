//! The private map of one shard of a typed store, and what is done on it.
//!
//! Only the holder of the shard ever touches it. Knows no threads, no mail and no deadlines; reads
//! the wall clock only where an entry has an expiry.
//!
//! 1. An expired entry is never shown: it reads as absent, and writing over it returns nothing.
//! 2. What can be refused is refused before anything is changed.
//! 3. Nothing is dropped here that was in the map or was meant for it: the caller gets it, and drops it
//!    when the shard is back.

use std::borrow::Borrow;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use shardkeep_core::{Discard, Effects, NoTransaction, Refused, Remaining, State, Tended};

use crate::clock::Clock;
use crate::codec::{DecodeError, EncodeError};
use crate::durable::{LogJournal, Persist};
use crate::effect::{self, Effect};
use crate::flight::Flights;
use crate::ledger::Ledger;
use crate::mail::Mailed;
use crate::prefetch::prefetch;
use crate::reply::{Insert, Insertion, NewTtl, Put, Reply, When};
use crate::router::Router;
use crate::shard::{Change, Image, Moment, Pressure, Saved, Slice, WalkPoint, Walks};
use crate::stamp::Stamp;
use crate::table::{Cursor, Entry as TableEntry, Slot, Table, UnixMillis};
use crate::{Key, Value, discard};

/// Why a key must be there.
const KEY_IS_TAKEN_ONCE: &str = "a key is taken by the one write that it was brought for";

/// One entry of a typed store.
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    stamp: Stamp,
}

impl<K, V> Entry<K, V> {
    /// When it expires, if it does.
    #[inline(always)]
    pub(crate) fn expires(&self) -> Option<UnixMillis> {
        self.stamp.expires()
    }
}

impl<K, V> TableEntry for Entry<K, V> {
    #[inline]
    fn expires_at(&self) -> Option<UnixMillis> {
        self.stamp.expires()
    }

    #[inline]
    fn walk_bits(&self) -> u8 {
        self.stamp.walk_bits()
    }

    #[inline]
    fn set_walk_bits(&mut self, bits: u8) {
        self.stamp.set_walk_bits(bits);
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
    /// Removed by sweeps, and not yet handed over.
    swept: Vec<Entry<K, V>>,
}

/// An entry that was taken out of the map.
pub(crate) struct Removed<K, V> {
    entry: Entry<K, V>,
    is_live: bool,
}

impl<K, V> Removed<K, V> {
    /// Its value, unless it had expired.
    #[inline]
    pub(crate) fn into_value(self) -> Option<V> {
        self.is_live.then_some(self.entry.value)
    }

    /// As a change that left nothing in its place; the key goes into `key`.
    pub(crate) fn into_put(self, key: &mut Option<K>) -> Put<V> {
        *key = Some(self.entry.key);
        match self.is_live {
            true => Put::Over(self.entry.value),
            false => Put::OverExpired(self.entry.value),
        }
    }

    /// Its value, unless it had expired; and what nobody gets.
    pub(crate) fn into_parts(self) -> (Option<V>, (K, Option<V>)) {
        let Entry { key, value, .. } = self.entry;
        match self.is_live {
            true => (Some(value), (key, None)),
            false => (None, (key, Some(value))),
        }
    }
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
            swept: Vec::new(),
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

    /// The present, by the clock of the store.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// When an entry expires that is written now, and is to live for `ttl`.
    #[cold]
    #[inline(never)]
    pub(crate) fn after(&self, ttl: Duration) -> UnixMillis {
        self.now().later(ttl)
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
        self.is_live(entry.expires()).then_some(entry)
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

    /// Inserts or overwrites. The key is taken where it was absent.
    #[inline]
    pub(crate) fn put(
        &mut self,
        hash: u64,
        key: &mut Option<K>,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Put<V> {
        if self.ledger.is_some() {
            return self.put_noted(hash, key, value, expires);
        }
        self.place(hash, key, value, Stamp::new(expires, 0))
    }

    /// As [`ShardState::put`], where every change must be known.
    #[inline(never)]
    fn put_noted(
        &mut self,
        hash: u64,
        key: &mut Option<K>,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Put<V> {
        if let Err(refused) = self.admit(hash, key.as_ref(), &value) {
            return Put::Refused(Box::new((value, refused)));
        }
        let walk_bits = self.hand_over(hash, key.as_ref());
        let put = self.place(hash, key, value, Stamp::new(expires, walk_bits));
        if let Some(ledger) = &mut self.ledger {
            ledger.wrote(hash, expires);
        }
        put
    }

    /// An entry is about to be replaced as a whole: a walk that misses it gets what it was. Gives the walk bits
    /// of what takes its place.
    fn hand_over(&mut self, hash: u64, key: Option<&K>) -> u8 {
        let (Some(ledger), Some(key)) = (&mut self.ledger, key) else {
            return 0;
        };
        if ledger.walks().is_some_and(|walks| walks.is_under_way())
            && let Some(entry) = self.table.find_mut(hash, |entry| entry.key == *key)
        {
            ledger.before(entry, Change::Whole);
        }
        ledger.walks().map_or(0, |walks| walks.had())
    }

    /// Puts an entry in its place.
    #[inline(always)]
    fn place(&mut self, hash: u64, key: &mut Option<K>, value: V, stamp: Stamp) -> Put<V> {
        let Some(wanted) = &*key else {
            unreachable!("{KEY_IS_TAKEN_ONCE}")
        };
        let router = &self.router;
        let found = self.table.entry(
            hash,
            |entry| entry.key == *wanted,
            |entry| router.hash(&entry.key),
        );
        let (old, old_stamp) = match found {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let old_stamp = std::mem::replace(&mut entry.stamp, stamp);
                let old = std::mem::replace(&mut entry.value, value);
                slot.note_expiry(stamp.expires());
                (old, old_stamp)
            }
            Slot::Vacant(slot) => {
                let Some(key) = key.take() else {
                    unreachable!("{KEY_IS_TAKEN_ONCE}")
                };
                slot.insert(Entry { key, value, stamp });
                return Put::New;
            }
        };
        if self.is_live(old_stamp.expires()) {
            Put::Over(old)
        } else {
            Put::OverExpired(old)
        }
    }

    /// What must be seen to before an entry is written: its weight, and its form as bytes.
    fn admit(&mut self, hash: u64, key: Option<&K>, value: &V) -> Result<(), Refused> {
        let (Some(ledger), Some(key)) = (&mut self.ledger, key) else {
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
        key: &mut Option<K>,
        value: V,
        expires: Option<UnixMillis>,
    ) -> Put<V> {
        // In the middle of a transaction the sum may be above what it ends at.
        let allowed = self.ledger.as_mut().and_then(|ledger| ledger.lift_limit());
        let put = self.put(hash, key, value, expires);
        if let (Some(ledger), Some(allowed)) = (&mut self.ledger, allowed) {
            ledger.limit(allowed);
        }
        put
    }

    /// Inserts under a condition.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        key: &mut Option<K>,
        value: V,
        how: Insert,
    ) -> Put<V> {
        let (present, expires) = match (how.when, how.ttl) {
            (When::Always, NewTtl::Never) => return self.put(hash, key, value, None),
            (When::Always, NewTtl::After(ttl)) => {
                let at = Some(self.after(ttl));
                return self.put(hash, key, value, at);
            }
            (_, ttl) => {
                let found = key.as_ref().and_then(|key| self.find(hash, key));
                let at = match ttl {
                    NewTtl::Never => None,
                    NewTtl::After(ttl) => Some(self.after(ttl)),
                    NewTtl::Keep => found.and_then(Entry::expires),
                };
                (found.is_some(), at)
            }
        };
        let holds = match how.when {
            When::Always => true,
            When::IfAbsent => !present,
            When::IfPresent => present,
        };
        if !holds {
            return Put::Kept(value);
        }
        self.put(hash, key, value, expires)
    }

    /// Carries an insertion out; what does not go into the map stays in it. Says what became of it.
    #[inline]
    pub(crate) fn run_insertion(&mut self, hash: u64, insertion: &mut Insertion<K, V>) -> Reply<V> {
        let Some(value) = insertion.value.take() else {
            return Reply::Kept;
        };
        match self.insert(hash, &mut insertion.key, value, insertion.how) {
            Put::New => Reply::Value(None),
            Put::Over(old) => Reply::Value(Some(old)),
            Put::OverExpired(old) => {
                insertion.value = Some(old);
                Reply::Value(None)
            }
            Put::Kept(value) => {
                insertion.value = Some(value);
                Reply::Kept
            }
            Put::Refused(refused) => {
                let (value, why) = *refused;
                insertion.value = Some(value);
                Reply::Failed(why.into())
            }
        }
    }

    /// Removes an entry, also an expired one.
    #[inline]
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<Removed<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut entry = self.table.remove(hash, |entry| entry.key.borrow() == key)?;
        if let Some(ledger) = &mut self.ledger {
            ledger.removed(hash, &mut entry);
        }
        let is_live = self.is_live(entry.expires());
        Some(Removed { entry, is_live })
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
        let before = entry.expires();
        if let Some(ledger) = &mut self.ledger {
            ledger.expiry(hash, entry, expires)?;
        }
        entry.stamp.set_expires(expires);
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
            ledger.cleared(shard, &mut self.table);
        }
        std::mem::swap(&mut self.table, empty);
    }

    /// Clones the live entries of one segment; returns where to go on.
    pub(crate) fn scan(&self, cursor: Cursor, into: &mut Vec<(K, V)>) -> Option<Cursor> {
        self.table.scan(cursor, |entry| {
            if self.is_live(entry.expires()) {
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
        let mut key = Some(key);
        // Nobody's operation discards it now; a `Drop` that panics keeps no record from being replayed.
        discard::quietly(self.place(hash, &mut key, value, Stamp::new(expires, 0)));
        discard::quietly(key);
    }

    fn restore_removal(&mut self, key: &K) {
        let hash = self.router.hash(key);
        let removed = self.table.remove(hash, |entry| entry.key == *key);
        if let (Some(ledger), Some(entry)) = (&mut self.ledger, &removed) {
            ledger.restored(Some((&entry.key, &entry.value)), None);
        }
        discard::quietly(removed);
    }

    fn restore_clear(&mut self) {
        let mut cursor = Some(Cursor::START);
        let mut keys = Vec::new();
        while let Some(at) = cursor {
            cursor = self.table.scan(at, |entry| keys.push(entry.key.clone()));
        }
        for key in keys {
            self.restore_removal(&key);
            discard::quietly(key);
        }
    }
}

impl<K: Key, V: Value> ShardState<K, V> {
    /// Gives an entry the expiry that is read from the log.
    fn restore_expiry(&mut self, key: &K, expires: Option<UnixMillis>) {
        let hash = self.router.hash(key);
        if let Some(entry) = self.table.find_mut(hash, |entry| entry.key == *key) {
            entry.stamp.set_expires(expires);
            self.table.note_expiry(hash, expires);
        }
    }
}

impl<K: Key, V: Value> Persist for ShardState<K, V> {
    fn replay(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError> {
        let codecs = self.ledger.as_ref().and_then(|ledger| ledger.codecs());
        let Some(codecs) = codecs else {
            return Ok(());
        };
        let Some(key) = effect.key else {
            if effect.verb != effect::FLUSHALL {
                return Err(effect.unknown());
            }
            self.restore_clear();
            return Ok(());
        };
        let key = codecs.key.decode(key)?;
        if let Some((value, expires)) = effect.as_set() {
            let value = codecs.value.decode(value)?;
            self.restore_entry(key, value, expires);
            return Ok(());
        }
        match effect.as_expiry() {
            Some(expires) => self.restore_expiry(&key, expires),
            None if effect.verb == effect::DEL && effect.is_empty() => self.restore_removal(&key),
            None => return Err(effect.unknown()),
        }
        discard::quietly(key);
        Ok(())
    }

    fn cut(&mut self, moment: Moment, pressure: &Arc<Pressure>) {
        if let Some(walks) = self.walks() {
            walks.cut(moment, Arc::clone(pressure));
        }
    }

    fn walks(&mut self) -> Option<&mut Walks> {
        self.ledger.as_mut()?.walks()
    }

    fn slice(
        &mut self,
        from: WalkPoint,
        slice: Slice,
        into: &mut Image,
    ) -> Result<Saved, EncodeError> {
        match &mut self.ledger {
            Some(ledger) => ledger.slice(&mut self.table, from, slice, into),
            None => Ok(Saved::NOTHING),
        }
    }
}

impl<K, V> State for ShardState<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    type Work = Box<Mailed<K, V>>;
    type Transaction = NoTransaction;
    type Journal = LogJournal;

    const DISCARDS: bool = std::mem::needs_drop::<(K, V)>();

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
        let (ledger, router, swept) = (&mut self.ledger, &self.router, &mut self.swept);
        let slice = self.table.expire_slice(now, |mut entry| {
            if let Some(ledger) = ledger {
                ledger.removed(router.hash(&entry.key), &mut entry);
            }
            if Self::DISCARDS {
                swept.push(entry);
            }
        });
        if slice.more_due {
            Tended::More
        } else {
            Tended::Done
        }
    }

    fn discarded(&mut self) -> Option<Box<dyn Discard>> {
        let swept = std::mem::take(&mut self.swept);
        (!swept.is_empty()).then(|| Box::new(swept) as Box<dyn Discard>)
    }

    fn abandoned(&mut self) -> Option<Box<dyn Discard>> {
        let swept = std::mem::take(&mut self.swept);
        Some(Box::new(Remaining(self.table.take().chain(swept))))
    }
}

impl<K, V> Drop for ShardState<K, V> {
    /// A map that is dropped with its shard, on whichever thread: each entry has its own chance.
    fn drop(&mut self) {
        if std::mem::needs_drop::<(K, V)>() {
            let entries = self.table.take().chain(std::mem::take(&mut self.swept));
            drop(catch_unwind(AssertUnwindSafe(|| discard::all(entries))));
        }
    }
}
