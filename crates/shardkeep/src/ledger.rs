//! What is kept of every change of a shard: the weight of its entries, and the effects for the log.
//!
//! Only stores that were asked to have one; the others skip it with one look.
//!
//! 1. `used` is the sum of the weights of all entries in the table, expired ones included.
//! 2. An entry is encoded before it is put in its place: what cannot be kept is refused, not changed.
//! 3. A change and its effect happen in one hold of the shard.

use std::sync::Arc;

use shardkeep_core::{Effects, Refused};

use crate::codec::{Codec, EncodeError};
use crate::effect;
use crate::prefetch::prefetch;
use crate::shard::{Change, Image, Saved, Slice, WalkPoint, Walks};
use crate::state::Entry;
use crate::table::{Table, UnixMillis};

/// Says how much an entry counts against the maximum weight.
pub(crate) type Weigher<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// The share of the maximum weight that one shard may hold.
pub(crate) struct Budget<K, V> {
    weigher: Weigher<K, V>,
    allowed: u64,
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
}

/// The name under which a full budget refuses.
const MAX_WEIGHT: &str = "the shard's share of max_weight";

/// How keys and values become bytes.
pub(crate) struct Codecs<K, V> {
    pub(crate) key: Box<dyn Codec<K>>,
    pub(crate) value: Box<dyn Codec<V>>,
}

impl<K: 'static, V: 'static> Codecs<K, V> {
    /// What appends an entry as an effect.
    fn saver(&self) -> impl FnMut(&Entry<K, V>, &mut Image) -> Result<(), EncodeError> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        move |entry, into| {
            key.clear();
            value.clear();
            self.key.encode(&entry.key, &mut key)?;
            self.value.encode(&entry.value, &mut value)?;
            effect::set(into.bytes(), DATABASE, &key, &value, entry.expires());
            Ok(())
        }
    }
}

/// The database of a store that has one.
const DATABASE: u32 = 0;

/// Effects on their way to the log.
pub(crate) struct Kept<K, V> {
    codecs: Arc<Codecs<K, V>>,
    effects: Effects,
    walks: Walks,
    /// The entry that is about to be written, as bytes.
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<K: 'static, V: 'static> Kept<K, V> {
    pub(crate) fn new(codecs: Arc<Codecs<K, V>>, tracks_keys: bool) -> Self {
        Self {
            codecs,
            effects: Effects::new(tracks_keys),
            walks: Walks::default(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    fn encode_key(&mut self, key: &K) -> Result<(), Refused> {
        self.key.clear();
        let encoded = self.codecs.key.encode(key, &mut self.key);
        encoded.map_err(|_| Refused::Unencodable)
    }

    fn encode(&mut self, key: &K, value: &V) -> Result<(), Refused> {
        self.encode_key(key)?;
        self.value.clear();
        let encoded = self.codecs.value.encode(value, &mut self.value);
        encoded.map_err(|_| Refused::Unencodable)
    }
}

pub(crate) struct Ledger<K, V> {
    budget: Option<Budget<K, V>>,
    kept: Option<Kept<K, V>>,
}

impl<K: 'static, V: 'static> Ledger<K, V> {
    /// `None` where nothing is to be kept.
    pub(crate) fn new(budget: Option<Budget<K, V>>, kept: Option<Kept<K, V>>) -> Option<Self> {
        (budget.is_some() || kept.is_some()).then_some(Self { budget, kept })
    }

    pub(crate) fn effects(&mut self) -> Option<&mut Effects> {
        Some(&mut self.kept.as_mut()?.effects)
    }

    /// The effects, to look at.
    pub(crate) fn look_at_effects(&self) -> Option<&Effects> {
        Some(&self.kept.as_ref()?.effects)
    }

    pub(crate) fn codecs(&self) -> Option<&Arc<Codecs<K, V>>> {
        Some(&self.kept.as_ref()?.codecs)
    }

    /// Sum of the weights; 0 where nothing is weighed.
    pub(crate) fn weight(&self) -> u64 {
        self.budget.as_ref().map_or(0, |budget| budget.used)
    }

    /// Gives the entry that is about to be written its form as bytes.
    pub(crate) fn encode(&mut self, key: &K, value: &V) -> Result<(), Refused> {
        match &mut self.kept {
            Some(kept) => kept.encode(key, value),
            None => Ok(()),
        }
    }

    /// Takes the difference that a new value makes from the budget, or refuses.
    pub(crate) fn charge(
        &mut self,
        old: Option<(&K, &V)>,
        key: &K,
        value: &V,
    ) -> Result<(), Refused> {
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        let new = (budget.weigher)(key, value);
        let old = old.map_or(0, |(key, value)| (budget.weigher)(key, value));
        let needed = budget.used.saturating_sub(old).saturating_add(new);
        if needed > budget.allowed && new > old {
            return Err(over_weight(budget.allowed, needed));
        }
        budget.used = needed;
        Ok(())
    }

    /// The entry that was encoded last is in its place.
    pub(crate) fn wrote(&mut self, hash: u64, expires: Option<UnixMillis>) {
        if let Some(Kept {
            effects,
            key,
            value,
            ..
        }) = &mut self.kept
        {
            effect::set(effects.of_key(hash), DATABASE, key, value, expires);
        }
    }

    /// An entry that is there is about to change: a walk that misses it gets what it was.
    pub(crate) fn before(&mut self, entry: &mut Entry<K, V>, change: Change) {
        if let Some(Kept { codecs, walks, .. }) = &mut self.kept {
            walks.before(entry, change, codecs.saver());
        }
    }

    /// An entry that is there is about to get another expiry.
    pub(crate) fn expiry(
        &mut self,
        hash: u64,
        entry: &mut Entry<K, V>,
        expires: Option<UnixMillis>,
    ) -> Result<(), Refused> {
        let Some(kept) = &mut self.kept else {
            return Ok(());
        };
        kept.encode_key(&entry.key)?;
        kept.walks
            .before(entry, Change::Relative, kept.codecs.saver());
        effect::expiry(kept.effects.of_key(hash), DATABASE, &kept.key, expires);
        Ok(())
    }

    /// An entry is gone.
    pub(crate) fn removed(&mut self, hash: u64, entry: &mut Entry<K, V>) {
        if let Some(budget) = &mut self.budget {
            let weight = (budget.weigher)(&entry.key, &entry.value);
            budget.used = budget.used.saturating_sub(weight);
        }
        if let Some(kept) = &mut self.kept {
            kept.walks.before(entry, Change::Whole, kept.codecs.saver());
            // What stood in the table has been encoded before.
            let encoded = kept.encode_key(&entry.key);
            debug_assert!(encoded.is_ok(), "a codec that changed its mind");
            effect::del(kept.effects.of_key(hash), DATABASE, &kept.key);
        }
    }

    /// All entries are about to go, together with those of all other shards; the first shard says so.
    pub(crate) fn cleared(&mut self, shard: usize, table: &mut Table<Entry<K, V>>) {
        if let Some(budget) = &mut self.budget {
            budget.used = 0;
        }
        if let Some(kept) = &mut self.kept {
            kept.walks.before_clear(table, kept.codecs.saver());
            let record = kept.effects.of_clear();
            if shard == 0 {
                effect::command(record, DATABASE, &[effect::FLUSHALL]);
            }
        }
    }

    /// What is known of walks, where there can be one.
    pub(crate) fn walks(&mut self) -> Option<&mut Walks> {
        Some(&mut self.kept.as_mut()?.walks)
    }

    /// One slice of a walk.
    pub(crate) fn slice(
        &mut self,
        table: &mut Table<Entry<K, V>>,
        from: WalkPoint,
        slice: Slice,
        into: &mut Image,
    ) -> Result<Saved, EncodeError> {
        let Some(Kept { walks, codecs, .. }) = &mut self.kept else {
            return Ok(Saved::NOTHING);
        };
        walks.slice(table, from, slice, into, prefetch, codecs.saver())
    }

    /// Lets everything in, until [`Ledger::limit`]; returns what was allowed.
    pub(crate) fn lift_limit(&mut self) -> Option<u64> {
        let budget = self.budget.as_mut()?;
        Some(std::mem::replace(&mut budget.allowed, u64::MAX))
    }

    pub(crate) fn limit(&mut self, allowed: u64) {
        if let Some(budget) = &mut self.budget {
            budget.allowed = allowed;
        }
    }

    /// Whether so many writes fit together; `now` finds what stands in their places.
    pub(crate) fn admit_all<'a, 't>(
        &mut self,
        writes: impl Iterator<Item = (u64, &'a K, Option<&'a V>)>,
        now: impl Fn(u64, &K) -> Option<(&'t K, &'t V)>,
    ) -> Result<(), Refused>
    where
        K: 'a + 't,
        V: 'a + 't,
    {
        let mut needed = self.weight();
        for (hash, key, value) in writes {
            if let (Some(kept), Some(value)) = (&mut self.kept, value) {
                kept.encode(key, value)?;
            }
            if let Some(budget) = &self.budget {
                let old = now(hash, key).map_or(0, |(key, value)| (budget.weigher)(key, value));
                let new = value.map_or(0, |value| (budget.weigher)(key, value));
                needed = needed.saturating_sub(old).saturating_add(new);
            }
        }
        match &self.budget {
            Some(budget) if needed > budget.allowed && needed > budget.used => {
                Err(over_weight(budget.allowed, needed))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An entry was restored from a log: it counts, and needs no effect.
    pub(crate) fn restored(&mut self, old: Option<(&K, &V)>, new: Option<(&K, &V)>) {
        if let Some(budget) = &mut self.budget {
            let weigh = |entry: Option<(&K, &V)>| entry.map_or(0, |(k, v)| (budget.weigher)(k, v));
            let (old, new) = (weigh(old), weigh(new));
            budget.used = budget.used.saturating_sub(old).saturating_add(new);
        }
    }
}

fn over_weight(allowed: u64, needed: u64) -> Refused {
    Refused::OverLimit {
        limit: MAX_WEIGHT,
        allowed,
        needed,
    }
}
