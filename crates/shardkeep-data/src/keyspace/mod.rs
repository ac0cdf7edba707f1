//! What the server keeps in a shard: its entries and the accounts about them.
//!
//! Only the holder of the shard touches it. No clock (the time comes in), no threads, no commands.
//! Values are strings: the kind of a record has room for others. Commands work on the selected
//! database ([`Keyspace::select`]); the others rest beside it.
//!
//! 1. An entry whose time has come is never shown; a command that may change entries removes and counts it.
//! 2. `accounts.memory` is the sum of `allocated_bytes` over all entries of the selected database, and
//!    `accounts.expires` the number of those with an expiry: every change of an entry goes through [`Keyspace`],
//!    [`Taken`] or [`Free`], which keep them.
//! 3. The hash that comes with a key is [`hash_key`] of it, with this keyspace's hasher.
//! 4. Where effects are kept ([`Keyspace::keeping`]), every change leaves one, and a walk that misses the
//!    entry gets what it was.

mod aside;
mod classes;
mod databases;
mod large;
mod place;
pub mod record;
mod sink;
mod tagged;
#[cfg(test)]
mod tests;
mod watch;

use core::fmt;
use core::hash::{BuildHasher, Hasher};

use shardkeep::effect;
use shardkeep::shard::Change;
use shardkeep::shard::fault::{Fault, is_planted};
use shardkeep::table::{PartCursor, Slot, Table, UnixMillis};

use aside::Shelf;
pub use aside::{Aside, Weight};
use databases::Databases;
pub use databases::{Counts, DATABASES_DEFAULT, DATABASES_MAX};
pub use place::{Free, Place, Taken};
use record::Record;
use sink::ChangeSink;
pub use watch::WatchFlag;
use watch::Watches;

/// What the store of a server holds, as it is noted in its directory: a program that says something else is
/// refused there, and so is a server in the directory of such a program.
pub const CONTENT: &str = "the keys and strings of a server";

/// How many expired entries [`Keyspace::random`] picks before it gives up.
pub const RANDOM_TRIES_MAX: u32 = 100;

/// The hash of a key: its shard and its place in there follow from it.
///
/// ```
/// use shardkeep_data::keyspace::hash_key;
///
/// let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
/// assert_eq!(hash_key(&hasher, b"key"), hash_key(&hasher, b"key"));
/// ```
#[inline]
pub fn hash_key(hasher: &ahash::RandomState, key: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(key);
    state.finish()
}

/// What happened in a keyspace since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries removed because their time had come.
    pub expired: u64,
}

/// What is counted: memory and expiries of the selected database, the rest of all of them.
#[derive(Default)]
struct Accounts {
    memory: usize,
    expires: usize,
    counters: Counters,
    /// Changes since the keyspace was made, restored ones not counted.
    changes: u64,
    /// What becomes of every change; `None` where nothing does.
    sink: Option<Box<ChangeSink>>,
    /// Number of the selected database.
    database: u32,
    /// The number that it had at the cut of the walk under way.
    at_cut: u32,
    /// What is to be freed when the shard is back.
    shelf: Shelf,
    /// Keys that connections watch; `None` where none is.
    watches: Option<Box<Watches>>,
}

impl Accounts {
    #[inline]
    fn enter(&mut self, record: &Record) {
        self.memory += record.allocated_bytes();
        self.expires += usize::from(record.expires_at().is_some());
    }

    #[inline]
    fn leave(&mut self, record: &Record) {
        self.memory -= record.allocated_bytes();
        self.expires -= usize::from(record.expires_at().is_some());
    }

    /// Makes something else of an entry that is there; `effect` writes down what.
    #[inline]
    fn change<T>(
        &mut self,
        (hash, record): (u64, &mut Record),
        how: Change,
        change: impl FnOnce(&mut Record) -> T,
        effect: impl FnOnce(&Record, (&mut Vec<u8>, u32)),
    ) -> T {
        let number = self.number();
        if let Some(sink) = &mut self.sink {
            sink.before(record, how, number);
        }
        self.leave(record);
        let changed = change(record);
        self.enter(record);
        self.changed(hash, record);
        if let Some(sink) = &mut self.sink {
            effect(record, (sink.effect(hash), self.database));
        }
        changed
    }

    /// An entry is another than before.
    #[inline]
    fn changed(&mut self, hash: u64, record: &Record) {
        self.changes += 1;
        if self.watches.is_some() {
            self.tell_watches(hash, record.key());
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_watches(&mut self, hash: u64, key: &[u8]) {
        let database = self.database;
        self.watches
            .take_if(|watches| !watches.changed(database, hash, key));
    }

    /// Replaces a value by one as long, which changes neither memory nor expiry; whether it could.
    #[inline]
    fn set_alike(&mut self, (hash, record): (u64, &mut Record), value: &[u8]) -> bool {
        let number = self.number();
        if let Some(sink) = &mut self.sink {
            // Where it could not, it is replaced in another way right after.
            sink.before(record, Change::Whole, number);
        }
        if !record.set_alike(value) {
            return false;
        }
        self.changed(hash, record);
        if let Some(sink) = &mut self.sink {
            whole(record, (sink.effect(hash), self.database));
        }
        true
    }

    /// An entry is about to be put in where none is, or none whose time has not come.
    #[inline]
    fn put(&mut self, hash: u64, record: &mut Record) {
        self.enter(record);
        self.changed(hash, record);
        if let Some(sink) = &mut self.sink {
            sink.born(record);
            whole(record, (sink.effect(hash), self.database));
        }
    }

    /// An entry was taken out, and another comes into its place.
    #[inline]
    fn replaced(&mut self, mut old: Record) {
        self.leave(&old);
        let number = self.number();
        if let Some(sink) = &mut self.sink {
            sink.before(&mut old, Change::Whole, number);
        }
        self.shelf.put(old);
    }

    /// An entry was taken out.
    #[inline]
    fn removed(&mut self, hash: u64, record: &mut Record) {
        self.changed(hash, record);
        self.taken_out(hash, record);
    }

    #[inline]
    fn taken_out(&mut self, hash: u64, record: &mut Record) {
        self.leave(record);
        let number = self.number();
        if let Some(sink) = &mut self.sink {
            sink.before(record, Change::Whole, number);
            effect::del(sink.effect(hash), self.database, record.key());
        }
    }

    /// All entries of a table are about to go.
    fn clears(&mut self, table: &mut Table<Record>, at_cut: u32) {
        self.changes += table.len() as u64;
        if let Some(sink) = &mut self.sink {
            sink.clears(table, at_cut);
        }
    }

    /// All entries of the selected database, or of all, are gone, here and in all other shards.
    fn cleared(&mut self, verb: &[u8]) {
        if let Some(sink) = &mut self.sink {
            sink.on_all(self.database, &[verb]);
        }
    }

    /// Two databases have each other's entries, here and in all other shards.
    fn swapped(&mut self, one: u32, other: u32) {
        if let Some(sink) = &mut self.sink {
            let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
            let (one, other) = (first.format(one), second.format(other));
            sink.on_all(0, &[effect::SWAPDB, one.as_bytes(), other.as_bytes()]);
        }
    }

    /// Another table takes the place of the selected one, with what is known of it.
    fn swap(&mut self, memory: &mut usize, expires: &mut usize, at_cut: &mut u32) {
        std::mem::swap(&mut self.memory, memory);
        std::mem::swap(&mut self.expires, expires);
        std::mem::swap(&mut self.at_cut, at_cut);
    }

    /// An entry was taken out because its time had come.
    #[inline]
    fn expired(&mut self, hash: u64, mut record: Record) {
        self.counters.expired += 1;
        match is_planted(Fault::ExpiryUnlogged) || is_planted(Fault::SilentExpiry) {
            true => self.leave(&record),
            false => {
                self.changes += 1;
                self.taken_out(hash, &mut record);
            }
        }
        if let Some(watches) = &mut self.watches {
            watches.expired(self.database, hash, record.key());
        }
        self.shelf.put(record);
    }

    /// Whether an entry whose time has come may be taken out: not by a reader whose effects nobody would
    /// keep.
    #[inline]
    fn may_expire(&self) -> bool {
        let has_place = self.sink.as_ref().is_none_or(|sink| sink.has_place());
        has_place || is_planted(Fault::SilentExpiry)
    }

    /// The number under which a walk has the entries of the selected database.
    #[inline]
    fn number(&self) -> u32 {
        match is_planted(Fault::NumberOfNow) {
            true => self.database,
            false => self.at_cut,
        }
    }
}

/// Writes down a record as a whole.
#[inline]
fn whole(record: &Record, (into, database): (&mut Vec<u8>, u32)) {
    sink::append(record, into, database);
}

/// The entries of one shard.
///
/// # Examples
///
/// ```
/// use shardkeep::table::UnixMillis;
/// use shardkeep_data::keyspace::{Keyspace, Place, hash_key};
///
/// let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
/// let hash = hash_key(&hasher, b"desk");
/// let mut keyspace = Keyspace::new(0, hasher);
/// keyspace.set_now(UnixMillis::new(1_000));
/// keyspace.set(hash, b"desk", b"oak", Some(UnixMillis::new(2_000)));
/// assert_eq!(keyspace.get(hash, b"desk").map(|record| record.value()), Some(&b"oak"[..]));
///
/// keyspace.set_now(UnixMillis::new(2_000));
/// assert!(keyspace.get(hash, b"desk").is_none());
/// assert_eq!(keyspace.counters().expired, 1);
/// ```
#[repr(C)]
pub struct Keyspace {
    table: Table<Record>,
    hasher: ahash::RandomState,
    shard_bits: u32,
    now: UnixMillis,
    accounts: Accounts,
    /// How often [`Keyspace::draw`] was asked; makes the next number another one.
    draws: u64,
    databases: Databases,
}

#[inline]
fn is_over(record: &Record, now: UnixMillis) -> bool {
    record.expires_at().is_some_and(|at| at <= now)
}

impl Keyspace {
    /// An empty keyspace with one database, in a store of 2^`shard_bits` shards. Its time is 1970 until
    /// [`Keyspace::set_now`].
    ///
    /// # Panics
    ///
    /// If `shard_bits` is more than [`shardkeep::table::SHARD_BITS_MAX`].
    pub fn new(shard_bits: u32, hasher: ahash::RandomState) -> Self {
        Self {
            table: Table::new(shard_bits),
            hasher,
            shard_bits,
            now: UnixMillis::new(0),
            accounts: Accounts::default(),
            draws: 0,
            databases: Databases::new(1),
        }
    }

    /// Asks the memory for the place in the table of a key with this hash. Reads nothing.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// Asks the memory for what a command with this hash will look at. Commands that run together on
    /// one shard are all touched first, so that their cache misses overlap.
    #[inline]
    pub fn touch(&self, hash: u64) {
        let found = self.table.find(hash, |record| {
            record.prefetch();
            false
        });
        debug_assert!(
            found.is_none(),
            "the closure takes no record for the one it looks for"
        );
    }

    /// Sets the wall-clock time that holds until the next call; never back.
    #[inline]
    pub fn set_now(&mut self, now: UnixMillis) {
        // Another thread, whose round began earlier, must not show again what has expired.
        self.now = self.now.max(now);
    }

    /// The wall-clock time that was set last.
    #[inline]
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// The entry of a key, counted as a hit or a miss.
    #[inline]
    pub fn get(&mut self, hash: u64, key: &[u8]) -> Option<&Record> {
        let Self {
            table,
            hasher,
            now,
            accounts,
            ..
        } = self;
        let same_key = |record: &Record| record.key() == key;
        match table.entry(hash, same_key, |record| hash_key(hasher, record.key())) {
            Slot::Occupied(slot) if !is_over(slot.get(), *now) => {
                accounts.counters.hits += 1;
                Some(slot.into_mut())
            }
            Slot::Occupied(slot) => {
                if accounts.may_expire() {
                    accounts.expired(hash, slot.remove());
                }
                accounts.counters.misses += 1;
                None
            }
            Slot::Vacant(_) => {
                accounts.counters.misses += 1;
                None
            }
        }
    }

    /// The place of a key, taken or free, found once and then used; not counted.
    #[inline]
    pub fn place<'k>(
        &'k mut self,
        hash: u64,
        key: &[u8],
    ) -> Place<'k, impl Fn(&Record) -> u64 + use<'k>> {
        let Self {
            table,
            hasher,
            now,
            accounts,
            ..
        } = self;
        let hasher = &*hasher;
        let same_key = |record: &Record| record.key() == key;
        match table.entry(hash, same_key, |record: &Record| {
            hash_key(hasher, record.key())
        }) {
            Slot::Occupied(slot) if !is_over(slot.get(), *now) => {
                Place::Taken(Taken::new(slot, hash, accounts))
            }
            Slot::Occupied(slot) => Place::Free(Free::over(slot, hash, accounts)),
            Slot::Vacant(slot) => Place::Free(Free::vacant(slot, hash, accounts)),
        }
    }

    /// Counts a read of a key that was made through [`Keyspace::place`].
    #[inline]
    pub fn count_read(&mut self, hit: bool) {
        self.accounts.counters.hits += u64::from(hit);
        self.accounts.counters.misses += u64::from(!hit);
    }

    /// Whether there is a value for the key; not counted.
    #[inline]
    pub fn contains(&mut self, hash: u64, key: &[u8]) -> bool {
        matches!(self.place(hash, key), Place::Taken(_))
    }

    /// Gives the key this value and expiry, whatever it had before. No allocation where the value
    /// it had was about as large and the expiry is not what is new.
    ///
    /// # Panics
    ///
    /// If key or value is longer than [`record::STRING_BYTES_MAX`].
    #[inline]
    pub fn set(&mut self, hash: u64, key: &[u8], value: &[u8], expires_at: Option<UnixMillis>) {
        match self.place(hash, key) {
            Place::Taken(mut taken) => taken.set(value, expires_at),
            Place::Free(free) => free.insert(key, value, expires_at),
        }
    }

    /// Puts an entry in, in the place of the one with the same key if there is one. `hash` is that
    /// of its key.
    pub fn put(&mut self, hash: u64, record: Record) {
        match self.place(hash, record.key()) {
            Place::Taken(mut taken) => taken.replace(record),
            Place::Free(free) => free.put(record),
        }
    }

    /// Removes the key; whether there was a value to remove.
    #[inline]
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        match self.place(hash, key) {
            Place::Taken(taken) => {
                taken.discard();
                true
            }
            Place::Free(_) => false,
        }
    }

    /// Whether there is something for [`Keyspace::take_aside`].
    #[inline]
    pub fn has_aside(&self) -> bool {
        !self.accounts.shelf.is_empty()
    }

    /// What has left the keyspace and takes long to free: to be dropped when the shard is back.
    pub fn take_aside(&mut self) -> Option<Box<Aside>> {
        self.accounts.shelf.take()
    }

    /// Removes everything from the selected database. The entries are put aside, where they are many.
    pub fn clear(&mut self) {
        self.clear_selected();
        self.accounts.cleared(effect::FLUSHDB);
    }

    fn clear_selected(&mut self) {
        let Accounts {
            at_cut, database, ..
        } = self.accounts;
        if let Some(watches) = &mut self.accounts.watches {
            watches.leaving(database, &self.table, self.now);
        }
        self.accounts.clears(&mut self.table, at_cut);
        self.accounts.at_cut = databases::AFTER_CUT;
        let table = std::mem::replace(&mut self.table, Table::new(self.shard_bits));
        (self.accounts.shelf).put_table(table, self.accounts.memory);
        self.accounts.memory = 0;
        self.accounts.expires = 0;
    }

    /// Visits the keys of one part of the keyspace, and returns where to go on: see
    /// [`Table::scan_part`] for what a whole walk promises. Skips entries whose time has come.
    pub fn scan(&self, cursor: PartCursor, mut visit: impl FnMut(&Record)) -> Option<PartCursor> {
        self.table.scan_part(cursor, |record| {
            if !is_over(record, self.now) {
                visit(record);
            }
        })
    }

    /// All entries whose time has not come, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.table
            .iter()
            .filter(|record| !is_over(record, self.now))
    }

    /// Some entry, each about equally likely. What was picked although its time has come is
    /// removed where it may be; `None` after [`RANDOM_TRIES_MAX`] of those, or if there are no entries.
    pub fn random(&mut self) -> Option<&Record> {
        for _ in 0..RANDOM_TRIES_MAX {
            let seed = self.draw();
            let over = match self.table.random(seed) {
                Some(record) if is_over(record, self.now) => record.key().to_vec(),
                Some(_) => return self.table.random(seed),
                None => return None,
            };
            self.remove(hash_key(&self.hasher, &over), &over);
        }
        None
    }

    /// A number that nobody expects, another one each time.
    pub fn draw(&mut self) -> u64 {
        self.draws += 1;
        self.hasher.hash_one(self.draws)
    }

    /// How many entries the selected database has, those included whose time has come while nobody looked.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the selected database has no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many entries of the selected database have an expiry.
    #[inline]
    pub fn expires(&self) -> usize {
        self.accounts.expires
    }

    /// Bytes allocated for entries and tables, the allocator's overhead on entries included. Costs
    /// a few additions.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.accounts.memory + self.databases.bytes()
    }

    /// Hits, misses and expirations so far.
    #[inline]
    pub fn counters(&self) -> Counters {
        self.accounts.counters
    }

    /// Changes of entries since the keyspace was made; those restored are not counted.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.accounts.changes
    }

    /// Whether [`Keyspace::tend`] may some day have something to do.
    #[inline]
    pub fn wants_tending(&self) -> bool {
        self.accounts.expires > 0 || self.databases.expires() > 0
    }

    /// Removes what has expired from one slice of one database, and selects that; whether there is more to
    /// do now. Takes time in proportion to one segment of a table.
    pub fn tend(&mut self) -> bool {
        let more_databases = self.select_due();
        let (accounts, hasher) = (&mut self.accounts, &self.hasher);
        let slice = self.table.expire_slice(self.now, |record| {
            // Only a keyspace whose effects are kept, or whose keys are watched, asks for the hash.
            let hash = match (&accounts.sink, &accounts.watches) {
                (None, None) => 0,
                (_, _) => hash_key(hasher, record.key()),
            };
            accounts.expired(hash, record);
        });
        slice.more_due || more_databases
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace")
            .field("table", &self.table)
            .field("expires", &self.accounts.expires)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
