//! The databases of a keyspace: the selected one lies in place, the others rest beside it.
//!
//! Commands work on the selected database and need no number; the engine selects the database of each first,
//! which costs one comparison where it is selected already.
//!
//! 1. The place of the selected database among those that rest is empty.
//! 2. A database that rests has entries: one that is left empty is dropped, and made again when it is
//!    selected. So a keyspace whose other databases were never used holds nothing for them.
//! 3. `keys`, `expires` and `bytes` are the sums over those that rest.

use shardkeep::effect;
use shardkeep::table::{Table, UnixMillis};

use super::Keyspace;
use super::record::Record;

/// Databases of a store unless told otherwise: what Redis has.
pub const DATABASES_DEFAULT: u32 = 16;

/// Databases of a store at most: each that is in use takes a table in every shard, and figures of its own.
pub const DATABASES_MAX: u32 = 1_024;

const _: () = assert!(DATABASES_DEFAULT <= DATABASES_MAX);

/// How many entries a database has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries, those included whose time has come while nothing looked.
    pub keys: usize,
    /// Entries with an expiry.
    pub expires: usize,
}

/// A database that is not selected.
struct Resting {
    table: Table<Record>,
    memory: usize,
    expires: usize,
    at_cut: u32,
}

impl Resting {
    fn bytes(&self) -> usize {
        self.table.memory_bytes() + self.memory
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        is_due(&self.table, now)
    }
}

fn is_due(table: &Table<Record>, now: UnixMillis) -> bool {
    table.next_expiry().is_some_and(|at| at <= now)
}

/// The databases that are not selected.
pub(super) struct Databases {
    count: u32,
    /// Where the search for a database with expired entries goes on.
    turn: u32,
    /// By number; empty until another database than the first is selected.
    resting: Box<[Option<Box<Resting>>]>,
    keys: usize,
    expires: usize,
    bytes: usize,
    /// Those whose counts may have changed since they were last asked for, without the selected one.
    changed: Vec<u32>,
}

impl Databases {
    pub(super) fn new(count: u32) -> Self {
        Self {
            count,
            turn: 0,
            resting: Box::default(),
            keys: 0,
            expires: 0,
            bytes: 0,
            changed: Vec::new(),
        }
    }

    /// Bytes of those that rest.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries with an expiry in those that rest.
    #[inline]
    pub(super) fn expires(&self) -> usize {
        self.expires
    }

    fn counts(&self, database: u32) -> Counts {
        let resting = self.resting.get(database as usize);
        resting
            .and_then(Option::as_deref)
            .map_or_else(Counts::default, |resting| Counts {
                keys: resting.table.len(),
                expires: resting.expires,
            })
    }

    /// Lays a database to rest.
    fn put(&mut self, database: u32, resting: Resting) {
        if self.resting.is_empty() {
            self.resting = (0..self.count).map(|_| None).collect();
        }
        self.note_changed(database);
        if !resting.table.is_empty() {
            self.keys += resting.table.len();
            self.expires += resting.expires;
            self.bytes += resting.bytes();
            self.resting[database as usize] = Some(Box::new(resting));
        }
    }

    /// Takes a database that rests, if it has entries.
    fn take(&mut self, database: u32) -> Option<Resting> {
        let resting = *self.resting.get_mut(database as usize)?.take()?;
        self.keys -= resting.table.len();
        self.expires -= resting.expires;
        self.bytes -= resting.bytes();
        Some(resting)
    }

    fn note_changed(&mut self, database: u32) {
        if !self.changed.contains(&database) {
            self.changed.push(database);
        }
    }
}

/// The number at the last cut of a table that was made later: no walk misses any of its entries.
pub(super) const AFTER_CUT: u32 = u32::MAX;

const _: () = assert!(DATABASES_MAX < AFTER_CUT);

impl Keyspace {
    /// As many databases as are given, instead of one.
    ///
    /// # Panics
    ///
    /// If there are none, or more than [`DATABASES_MAX`].
    #[must_use]
    pub fn with_databases(mut self, count: u32) -> Self {
        assert!(
            (1..=DATABASES_MAX).contains(&count),
            "{count} databases: 1 to {DATABASES_MAX} are possible"
        );
        self.databases = Databases::new(count);
        self
    }

    /// How many databases there are.
    #[inline]
    pub fn databases(&self) -> u32 {
        self.databases.count
    }

    /// The database that commands work on.
    #[inline]
    pub fn selected(&self) -> u32 {
        self.accounts.database
    }

    /// Lets commands work on this database from now on.
    ///
    /// # Panics
    ///
    /// If there is no such database.
    #[inline]
    pub fn select(&mut self, database: u32) {
        if database != self.accounts.database {
            self.swap_in(database);
        }
    }

    #[cold]
    fn swap_in(&mut self, database: u32) {
        let left = self.selected();
        let resting = self.exchange(database);
        self.databases.put(left, resting);
        self.accounts.database = database;
    }

    /// Puts the entries of another database in the place of those that are selected, and gives these.
    fn exchange(&mut self, database: u32) -> Resting {
        assert!(
            database < self.databases.count,
            "there is no database {database}"
        );
        let taken = self.databases.take(database);
        let mut entries = taken.unwrap_or_else(|| Resting {
            table: Table::new(self.shard_bits),
            memory: 0,
            expires: 0,
            at_cut: AFTER_CUT,
        });
        std::mem::swap(&mut self.table, &mut entries.table);
        self.accounts.swap(
            &mut entries.memory,
            &mut entries.expires,
            &mut entries.at_cut,
        );
        entries
    }

    /// Gives two databases each other's entries; selects the first.
    ///
    /// # Panics
    ///
    /// If there is no such database.
    pub fn swap(&mut self, one: u32, other: u32) {
        self.select(one);
        if one != other {
            self.watches_swap(one, other);
            self.accounts.swapped(one, other);
            let entries = self.exchange(other);
            self.databases.put(other, entries);
        }
    }

    /// Removes everything from all databases. Takes as long as freeing the entries takes.
    pub fn clear_all(&mut self) {
        for database in 0..self.databases.count {
            if let Some(mut resting) = self.databases.take(database) {
                if let Some(watches) = &mut self.accounts.watches {
                    watches.leaving(database, &resting.table, self.now);
                }
                self.accounts.clears(&mut resting.table, resting.at_cut);
                (self.accounts.shelf).put_table(resting.table, resting.memory);
                self.databases.note_changed(database);
            }
        }
        self.clear_selected();
        self.accounts.cleared(effect::FLUSHALL);
    }

    /// The table that had this number at the cut of the walk under way, and is still there; without a walk the one
    /// that has it now.
    pub(super) fn table_of(&mut self, number: u32, is_walk: bool) -> Option<&mut Table<Record>> {
        let here = match is_walk {
            true => self.accounts.at_cut,
            false => self.selected(),
        };
        if here == number {
            return Some(&mut self.table);
        }
        let mut resting = self.databases.resting.iter_mut().enumerate();
        resting.find_map(|(now, resting)| {
            let resting = resting.as_deref_mut()?;
            let found = if is_walk { resting.at_cut } else { now as u32 };
            (found == number).then_some(&mut resting.table)
        })
    }

    /// Each table notes its number, for the walk that begins here.
    pub(super) fn note_cut(&mut self) {
        self.accounts.at_cut = self.selected();
        for (number, resting) in self.databases.resting.iter_mut().enumerate() {
            if let Some(resting) = resting {
                resting.at_cut = number as u32;
            }
        }
    }

    /// How many entries a database has.
    #[inline]
    pub fn counts(&self, database: u32) -> Counts {
        if database != self.selected() {
            return self.databases.counts(database);
        }
        Counts {
            keys: self.len(),
            expires: self.expires(),
        }
    }

    /// How many entries there are in all databases.
    #[inline]
    pub fn counts_of_all(&self) -> Counts {
        Counts {
            keys: self.len() + self.databases.keys,
            expires: self.expires() + self.databases.expires,
        }
    }

    /// Whether [`Keyspace::take_changed`] may name a database.
    #[inline]
    pub fn has_changed(&self) -> bool {
        !self.databases.changed.is_empty()
    }

    /// The databases whose counts may have changed since this was last asked, beside the selected one.
    pub fn take_changed(&mut self) -> Vec<u32> {
        let mut changed = std::mem::take(&mut self.databases.changed);
        let selected = self.selected();
        changed.retain(|&database| database != selected);
        changed
    }

    /// Selects the database in turn of those in which entries may have expired, if there is one; whether
    /// there is another.
    pub(super) fn select_due(&mut self) -> bool {
        if self.databases.expires == 0 {
            return false;
        }
        let Databases { count, turn, .. } = self.databases;
        let mut due = (turn..count)
            .chain(0..turn)
            .filter(|&database| self.is_due(database));
        let (found, more) = (due.next(), due.next().is_some());
        if let Some(database) = found {
            self.select(database);
            self.databases.turn = database + 1;
        }
        more
    }

    fn is_due(&self, database: u32) -> bool {
        if database == self.selected() {
            return is_due(&self.table, self.now);
        }
        let resting = self.databases.resting.get(database as usize);
        resting
            .and_then(Option::as_deref)
            .is_some_and(|resting| resting.is_due(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash_key;
    use super::*;

    fn hasher() -> ahash::RandomState {
        ahash::RandomState::with_seeds(1, 2, 3, 4)
    }

    fn keyspace() -> Keyspace {
        Keyspace::new(0, hasher()).with_databases(DATABASES_DEFAULT)
    }

    fn set(keyspace: &mut Keyspace, database: u32, key: &str, expires_at: Option<u64>) {
        keyspace.select(database);
        let hash = hash_key(&hasher(), key.as_bytes());
        keyspace.set(hash, key.as_bytes(), b"v", expires_at.map(UnixMillis::new));
    }

    fn has(keyspace: &mut Keyspace, database: u32, key: &str) -> bool {
        keyspace.select(database);
        keyspace.contains(hash_key(&hasher(), key.as_bytes()), key.as_bytes())
    }

    fn keys(keyspace: &Keyspace) -> Vec<usize> {
        let counts = (0..4).map(|database| keyspace.counts(database).keys);
        counts.collect()
    }

    #[test]
    fn a_key_lies_in_the_database_in_which_it_was_set() {
        let mut keyspace = keyspace();
        set(&mut keyspace, 0, "a", None);
        set(&mut keyspace, 3, "a", None);
        set(&mut keyspace, 3, "b", Some(5));
        assert_eq!(keys(&keyspace), [1, 0, 0, 2]);
        assert!(has(&mut keyspace, 0, "a") && !has(&mut keyspace, 0, "b"));
        assert!(!has(&mut keyspace, 1, "a") && has(&mut keyspace, 3, "b"));
        let all = keyspace.counts_of_all();
        assert_eq!((all.keys, all.expires), (3, 1));
        assert_eq!(keyspace.counts(3).expires, 1);
    }

    #[test]
    fn databases_that_nothing_uses_take_no_memory() {
        let mut used = keyspace();
        let fresh = Keyspace::new(0, hasher()).memory_bytes();
        assert_eq!(used.memory_bytes(), fresh);
        for database in (0..DATABASES_DEFAULT).rev() {
            used.select(database);
        }
        assert_eq!(used.memory_bytes(), fresh);
        assert!(used.databases.resting.iter().all(Option::is_none));
    }

    #[test]
    fn memory_is_that_of_all_databases() {
        let mut keyspace = keyspace();
        for database in 0..4 {
            set(&mut keyspace, database, "a", None);
        }
        let full = keyspace.memory_bytes();
        for database in 0..4 {
            keyspace.select(database);
            assert_eq!(keyspace.memory_bytes(), full);
        }
        keyspace.clear();
        assert_eq!(keys(&keyspace), [1, 1, 1, 0]);
        assert!(keyspace.memory_bytes() < full);
        keyspace.clear_all();
        assert_eq!(keys(&keyspace), [0; 4]);
        assert_eq!(keyspace.memory_bytes(), self::keyspace().memory_bytes());
        assert_eq!(keyspace.changes(), 8);
    }

    #[test]
    fn swapped_databases_have_each_others_entries() {
        for selected in 0..4 {
            let mut keyspace = keyspace();
            set(&mut keyspace, 0, "a", None);
            set(&mut keyspace, 1, "b", Some(5));
            set(&mut keyspace, 1, "c", None);
            keyspace.select(selected);
            keyspace.swap(0, 1);
            assert_eq!(keys(&keyspace), [2, 1, 0, 0]);
            assert!(has(&mut keyspace, 1, "a") && has(&mut keyspace, 0, "b"));
            keyspace.swap(1, 2);
            assert_eq!(keys(&keyspace), [2, 0, 1, 0]);
            keyspace.swap(2, 2);
            assert_eq!(keys(&keyspace), [2, 0, 1, 0]);
            assert_eq!(keyspace.counts_of_all().expires, 1);
        }
    }

    #[test]
    fn databases_whose_counts_have_changed_are_named_once() {
        let mut keyspace = keyspace();
        assert_eq!(keyspace.take_changed(), [0; 0]);
        set(&mut keyspace, 2, "a", None);
        set(&mut keyspace, 1, "a", None);
        set(&mut keyspace, 2, "b", None);
        assert_eq!(keyspace.take_changed(), [0, 1]);
        assert_eq!(keyspace.take_changed(), [0; 0]);
        keyspace.clear_all();
        assert_eq!(keyspace.take_changed(), [1]);
    }

    #[test]
    fn what_expires_is_removed_from_every_database() {
        let mut keyspace = keyspace();
        for database in 0..4 {
            for key in 0..100 {
                let expires_at = (key % 2 == 0).then_some(1_000);
                set(&mut keyspace, database, &format!("key:{key}"), expires_at);
            }
        }
        keyspace.select(9);
        assert!(keyspace.wants_tending());
        keyspace.tend();
        assert_eq!(keyspace.counts_of_all().keys, 400);
        keyspace.set_now(UnixMillis::new(1_000));
        let calls = (1..).find(|_| !keyspace.tend());
        assert_eq!(calls, Some(4));
        assert_eq!(keys(&keyspace), [50; 4]);
        assert_eq!(keyspace.counters().expired, 200);
        assert!(!keyspace.wants_tending());
    }
}
