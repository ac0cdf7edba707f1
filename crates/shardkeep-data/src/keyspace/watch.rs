//! Keys that connections watch: which of them hear of a change.
//!
//! A connection registers a flag for a key; the first change of that key sets the flag, and the connection's
//! transaction is not run. Knows no connections: a flag that nothing holds any more is forgotten.
//!
//! 1. Every change of an entry that a command could see sets the flags of its key, in the hold of the shard in
//!    which it is made. What only removes an entry whose time had come before it was watched is none.
//! 2. A flag whose shard is lost, or replaced, is set: see the drop.
//! 3. What is forgotten is swept when half of the registrations may be such: they are no more than twice the
//!    living ones, and [`SWEEP_MIN`]. Where none is left a change costs one comparison.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use shardkeep::table::{Table, UnixMillis};

use super::record::Record;
use super::{Keyspace, Place, is_over};

/// Set when a key that its connection watches has changed.
///
/// Relaxed accesses suffice: it is set by holders of the key's shard, and read by one of them.
#[derive(Debug, Default)]
pub struct WatchFlag(AtomicBool);

impl WatchFlag {
    /// Whether a watched key has changed.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Registrations below which nothing is swept.
const SWEEP_MIN: usize = 64;

/// Changes of keys that nothing watches, after which it is looked whether anything is watched at all.
const SWEEP_MISSES: u32 = 1_024;

struct Watcher {
    database: u32,
    key: Box<[u8]>,
    flag: Weak<WatchFlag>,
    /// There was an entry when it was registered, and its time had not come.
    was_present: bool,
}

impl Watcher {
    fn watches(&self, database: u32, key: &[u8]) -> bool {
        self.database == database && *self.key == *key
    }

    fn set(&self) {
        if let Some(flag) = self.flag.upgrade() {
            flag.set();
        }
    }
}

/// The registrations of one shard, by the hash of their key.
#[derive(Default)]
pub(super) struct Watches {
    by_hash: HashMap<u64, Vec<Watcher>>,
    count: usize,
    /// How many there may be before the next sweep.
    sweep_above: usize,
    /// Changes of keys that nothing watches, since the last sweep.
    misses: u32,
}

impl Watches {
    fn add(&mut self, hash: u64, watcher: Watcher) {
        if self.count >= self.sweep_above.max(SWEEP_MIN) {
            self.sweep();
        }
        self.by_hash.entry(hash).or_default().push(watcher);
        self.count += 1;
    }

    fn sweep(&mut self) {
        self.by_hash.retain(|_, watchers| {
            watchers.retain(|watcher| watcher.flag.strong_count() > 0);
            !watchers.is_empty()
        });
        self.count = self.by_hash.values().map(Vec::len).sum();
        self.sweep_above = 2 * self.count;
        self.misses = 0;
    }

    /// The entry of a key has changed: its registrations have done their part. Whether others are left.
    pub(super) fn changed(&mut self, database: u32, hash: u64, key: &[u8]) -> bool {
        let Some(watchers) = self.by_hash.get_mut(&hash) else {
            self.misses += 1;
            if self.misses >= SWEEP_MISSES {
                self.sweep();
            }
            return self.count > 0;
        };
        let before = watchers.len();
        watchers.retain(|watcher| {
            let concerned = watcher.watches(database, key);
            if concerned {
                watcher.set();
            }
            !concerned
        });
        self.count -= before - watchers.len();
        if watchers.is_empty() {
            self.by_hash.remove(&hash);
        }
        self.count > 0
    }

    /// An entry whose time had come is gone: a change for those that saw it before that.
    pub(super) fn expired(&mut self, database: u32, hash: u64, key: &[u8]) {
        for watcher in self.by_hash.get(&hash).into_iter().flatten() {
            if watcher.was_present && watcher.watches(database, key) {
                watcher.set();
            }
        }
    }

    /// All entries of `table`, which are those of a database, are about to go, or to be another's.
    pub(super) fn leaving(&mut self, database: u32, table: &Table<Record>, now: UnixMillis) {
        for (&hash, watchers) in &self.by_hash {
            for watcher in watchers.iter().filter(|one| one.database == database) {
                let found = table.find(hash, |record| record.key() == &*watcher.key);
                let is_change =
                    found.is_some_and(|record| !is_over(record, now) || watcher.was_present);
                if is_change {
                    watcher.set();
                }
            }
        }
    }

    /// All entries of `table` are about to come into a database.
    pub(super) fn coming(&mut self, database: u32, table: &Table<Record>, now: UnixMillis) {
        for (&hash, watchers) in &self.by_hash {
            for watcher in watchers.iter().filter(|one| one.database == database) {
                let found = table.find(hash, |record| record.key() == &*watcher.key);
                if found.is_some_and(|record| !is_over(record, now)) {
                    watcher.set();
                }
            }
        }
    }
}

impl Drop for Watches {
    /// The shard is lost, and what takes its place knows nothing of what was watched.
    fn drop(&mut self) {
        for watcher in self.by_hash.values().flatten() {
            watcher.set();
        }
    }
}

impl Keyspace {
    /// Has `flag` set by the next change of this key in the selected database. A change that is made while
    /// effects are replayed sets none.
    pub fn watch(&mut self, hash: u64, key: &[u8], flag: &Arc<WatchFlag>) {
        let was_present = matches!(self.place(hash, key), Place::Taken(_));
        let watcher = Watcher {
            database: self.selected(),
            key: key.into(),
            flag: Arc::downgrade(flag),
            was_present,
        };
        let watches = self.accounts.watches.get_or_insert_default();
        watches.add(hash, watcher);
    }

    /// Whether the entry of a key that `flag` watches has changed, its time having come included. Where nothing
    /// is known of the flag the shard was lost meanwhile, which counts as a change.
    pub fn has_changed_since_watched(&self, hash: u64, key: &[u8], flag: &Arc<WatchFlag>) -> bool {
        let watchers = self.accounts.watches.iter();
        let mut watchers = watchers
            .flat_map(|watches| watches.by_hash.get(&hash))
            .flatten();
        let watcher = watchers.find(|watcher| {
            watcher.watches(self.selected(), key) && watcher.flag.as_ptr() == Arc::as_ptr(flag)
        });
        let is_over = || {
            let found = self.table.find(hash, |record| record.key() == key);
            found.is_some_and(|record| is_over(record, self.now))
        };
        flag.is_set() || watcher.is_none_or(|watcher| watcher.was_present && is_over())
    }

    /// Sets the flags that concern two databases which are about to have each other's entries.
    pub(super) fn watches_swap(&mut self, one: u32, other: u32) {
        let Some(mut watches) = self.accounts.watches.take() else {
            return;
        };
        let now = self.now;
        for (database, counterpart) in [(one, other), (other, one)] {
            if let Some(table) = self.table_of(database, false) {
                watches.leaving(database, table, now);
                watches.coming(counterpart, table, now);
            }
        }
        self.accounts.watches = Some(watches);
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash_key;
    use super::*;

    fn hasher() -> ahash::RandomState {
        ahash::RandomState::with_seeds(1, 2, 3, 4)
    }

    fn hash(key: &str) -> u64 {
        hash_key(&hasher(), key.as_bytes())
    }

    fn keyspace() -> Keyspace {
        Keyspace::new(0, hasher()).with_databases(4)
    }

    fn watch(keyspace: &mut Keyspace, key: &str) -> Arc<WatchFlag> {
        let flag = Arc::default();
        keyspace.watch(hash(key), key.as_bytes(), &flag);
        flag
    }

    fn set(keyspace: &mut Keyspace, key: &str) {
        keyspace.set(hash(key), key.as_bytes(), b"v", None);
    }

    #[test]
    fn a_change_of_a_key_sets_its_flags_and_no_others() {
        let mut keyspace = keyspace();
        let (first, second) = (watch(&mut keyspace, "a"), watch(&mut keyspace, "a"));
        let other = watch(&mut keyspace, "b");
        keyspace.select(1);
        set(&mut keyspace, "a");
        assert!(!first.is_set());
        keyspace.select(0);
        set(&mut keyspace, "a");
        assert!(first.is_set() && second.is_set() && !other.is_set());
    }

    #[test]
    fn what_is_forgotten_is_swept_and_an_idle_keyspace_watches_nothing() {
        let mut keyspace = keyspace();
        let kept: Vec<_> = (0..10)
            .map(|key| watch(&mut keyspace, &format!("kept {key}")))
            .collect();
        for key in 0..10_000 {
            drop(watch(&mut keyspace, &format!("dropped {key}")));
        }
        let count = keyspace.accounts.watches.as_ref().unwrap().count;
        assert!(count <= 2 * (kept.len() + SWEEP_MIN), "{count}");
        drop(kept);
        for key in 0..=SWEEP_MISSES {
            set(&mut keyspace, &format!("key {key}"));
        }
        assert!(keyspace.accounts.watches.is_none());
    }

    #[test]
    fn a_keyspace_that_is_gone_sets_every_flag_and_one_that_takes_its_place_knows_none() {
        let mut lost = keyspace();
        set(&mut lost, "a");
        let flag = watch(&mut lost, "a");
        let mut remade = keyspace();
        set(&mut remade, "a");
        assert!(remade.has_changed_since_watched(hash("a"), b"a", &flag));
        assert!(!lost.has_changed_since_watched(hash("a"), b"a", &flag));
        drop(lost);
        assert!(flag.is_set());
    }

    #[test]
    fn an_entry_whose_time_comes_has_changed_unless_it_had_come_before() {
        let mut keyspace = keyspace();
        let expires = |at| Some(UnixMillis::new(at));
        keyspace.set(hash("a"), b"a", b"v", expires(10));
        let before = watch(&mut keyspace, "a");
        assert!(!keyspace.has_changed_since_watched(hash("a"), b"a", &before));
        keyspace.set_now(UnixMillis::new(10));
        assert!(keyspace.has_changed_since_watched(hash("a"), b"a", &before));
        keyspace.set(hash("b"), b"b", b"v", expires(20));
        let (a, b) = (watch(&mut keyspace, "a"), watch(&mut keyspace, "b"));
        keyspace.set_now(UnixMillis::new(20));
        while keyspace.tend() {}
        assert!(!a.is_set() && b.is_set());
    }
}
