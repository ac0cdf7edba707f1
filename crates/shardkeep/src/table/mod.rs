//! The table of one shard: extendible hashing over small hash tables.
//!
//! A directory of segments, chosen by hash prefix; each segment is a hashbrown table of a few
//! thousand entries and splits in two when it is full. No insert ever rehashes more than one
//! segment, so the longest pause does not depend on how many entries the table holds.
//!
//! No threads, no channels, no clock, no atomics; it never hashes a key itself: the hash comes in.
//! It does not hide expired entries either: whoever looks one up decides.
//!
//! 1. The bits of a hash are used once: 63 to 57 tag (hashbrown), then shard, then directory,
//!    the low bits place an entry inside its segment.
//! 2. A segment of depth `d` owns all hashes with one `d`-bit prefix; segments never overlap and
//!    together cover everything.
//! 3. Segments split and never merge, except that `clear` starts over; so a cursor at a segment's
//!    end stays at a segment's end.
//! 4. A segment's due time is no later than it has to be: see [`Table::next_expiry`].
//! 5. Entries move only where a segment's table is replaced, and then its layout gets another number.
//! 6. Every hash a split needs is computed before anything moves: a panicking `rehash` changes
//!    nothing.

mod directory;
mod expiry;
mod likely;
mod memory;
mod scan;
mod slot;
mod split;
#[cfg(test)]
mod tests;

use core::fmt;

use hashbrown::HashTable;

use directory::Directory;
pub use directory::{DIRECTORY_DEPTH_MAX, SHARD_BITS_MAX};
use expiry::NEVER;
pub use expiry::{EXPIRY_PAUSE_PER_ENTRY_MILLIS, Entry, ExpireSlice, UnixMillis};
pub use scan::{Cursor, PartCursor, WalkCursor, Walked};
pub use slot::{OccupiedSlot, Slot, VacantSlot};
pub use split::SEGMENT_ENTRIES_MAX;

/// A hash table that grows without long pauses, whose entries may expire.
///
/// Entries carry their own key; the caller brings the 64-bit hash, and with every operation that
/// may have to move entries a function that computes it again. All 64 bits must be well mixed
/// (ahash is); a bad hash costs speed, never correctness.
///
/// # Examples
///
/// ```
/// use shardkeep::table::{Entry, Table, UnixMillis};
///
/// struct Word(&'static str);
/// impl Entry for Word {
///     fn expires_at(&self) -> Option<UnixMillis> {
///         None
///     }
/// }
/// fn hash(word: &str) -> u64 {
///     let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
///     word.bytes().fold(7, mix)
/// }
///
/// let mut table = Table::new(0);
/// table.insert_unique(hash("desk"), Word("desk"), |word| hash(word.0));
/// assert!(table.find(hash("desk"), |word| word.0 == "desk").is_some());
/// assert!(table.remove(hash("desk"), |word| word.0 == "desk").is_some());
/// assert!(table.is_empty());
/// ```
///
/// Laid out by hand: a look-up reads the first 56 bytes, so that they can share a cache line with
/// what stands before the table.
#[repr(C)]
pub struct Table<E> {
    segments: Vec<HashTable<E>>,
    directory: Directory,
    /// What the look-up does not need to know of a segment, by the same index.
    notes: Vec<SegmentNotes>,
    /// When a segment is next worth a look for expired entries, by the same index; `NEVER` if
    /// nothing in it expires. Apart from the notes so that finding a due one reads little memory.
    due: Vec<u64>,
    /// No later than the smallest of `due`.
    earliest_due: u64,
    /// Where the search for a due segment goes on, so that none is starved.
    expiry_turn: usize,
    entries: usize,
    /// Bytes allocated by all segments together.
    segment_bytes: usize,
    /// [`SEGMENT_ENTRIES_MAX`], except in tests.
    segment_entries_max: usize,
}

struct SegmentNotes {
    /// Length of the prefix all its hashes share below the shard bits.
    depth: u32,
    /// Not to be searched for expired entries before (Unix milliseconds).
    rests_until: u64,
    /// Which arrangement of its entries this is: another one whenever entries have moved.
    layout: u64,
}

impl<E: Entry> Table<E> {
    /// An empty table in a store of 2^`shard_bits` shards: the directory leaves those bits of the
    /// hash alone. Takes a few hundred bytes until the first insert.
    ///
    /// # Panics
    ///
    /// If `shard_bits` is more than [`SHARD_BITS_MAX`].
    pub fn new(shard_bits: u32) -> Self {
        Self::with_segment_entries_max(shard_bits, SEGMENT_ENTRIES_MAX)
    }

    /// A table with segments of another size, for tests that force splits and for measurements.
    pub(crate) fn with_segment_entries_max(shard_bits: u32, segment_entries_max: usize) -> Self {
        Self {
            directory: Directory::new(shard_bits),
            segments: vec![HashTable::new()],
            notes: vec![SegmentNotes {
                depth: 0,
                rests_until: 0,
                layout: scan::first_layout(),
            }],
            due: vec![NEVER],
            earliest_due: NEVER,
            expiry_turn: 0,
            entries: 0,
            segment_bytes: 0,
            segment_entries_max,
        }
    }

    /// How many entries there are, expired ones that nobody has removed yet included.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there are no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Begins to fetch what a look-up of `hash` will read, and waits for nothing. Look-ups do it
    /// themselves; before several of them it lets their cache misses overlap.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.directory.asked_segment_of::<E>(hash);
    }

    /// The entry with this hash for which `eq` is true.
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(&E) -> bool) -> Option<&E> {
        self.segments[self.directory.asked_segment_of::<E>(hash)].find(hash, eq)
    }

    /// The entry with this hash for which `eq` is true, to be changed in place.
    ///
    /// Its key must stay the same; a changed expiry must be told with [`Table::note_expiry`].
    #[inline]
    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(&E) -> bool) -> Option<&mut E> {
        self.segments[self.directory.asked_segment_of::<E>(hash)].find_mut(hash, eq)
    }

    /// Inserts an entry that is not in the table yet (not checked: a second one with the same key
    /// would be found or not, as it happens). `rehash` must give `hash` for the entry itself.
    ///
    /// May double or split one segment, which moves at most about [`SEGMENT_ENTRIES_MAX`] entries.
    #[inline]
    pub fn insert_unique(&mut self, hash: u64, entry: E, rehash: impl Fn(&E) -> u64) -> &mut E {
        let id = self.directory.segment_of(hash);
        if self.segments[id].len() == self.segments[id].capacity() {
            self.make_room(hash, id, &rehash);
        }
        if let Some(expires_at) = entry.expires_at() {
            self.note_segment_expiry(id, expires_at);
        }
        self.entries += 1;
        self.segments[id]
            .insert_unique(hash, entry, rehash)
            .into_mut()
    }

    /// Looks for an entry and gives its place, taken or free: find-or-insert with one search.
    #[inline]
    pub fn entry<R: Fn(&E) -> u64>(
        &mut self,
        hash: u64,
        eq: impl FnMut(&E) -> bool,
        rehash: R,
    ) -> Slot<'_, E, R> {
        let id = self.directory.asked_segment_of::<E>(hash);
        match self.segments[id].find_bucket_index(hash, eq) {
            Some(bucket) => Slot::Occupied(OccupiedSlot::new(self, id, bucket)),
            None => Slot::Vacant(VacantSlot::new(self, hash, rehash)),
        }
    }

    /// Takes the entry with this hash for which `eq` is true out of the table.
    ///
    /// A large segment that becomes empty gives its memory back.
    #[inline]
    pub fn remove(&mut self, hash: u64, eq: impl FnMut(&E) -> bool) -> Option<E> {
        let id = self.directory.asked_segment_of::<E>(hash);
        let (entry, _) = self.segments[id].find_entry(hash, eq).ok()?.remove();
        self.entries -= 1;
        if self.segments[id].is_empty() {
            self.release_if_large(id);
        }
        Some(entry)
    }

    /// Drops all entries and goes back to one empty segment.
    ///
    /// Takes as long as dropping the entries takes; to do that elsewhere, put a new table in this
    /// one's place and send this one away.
    pub fn clear(&mut self) {
        let shard_bits = self.directory.shard_bits();
        *self = Self::with_segment_entries_max(shard_bits, self.segment_entries_max);
    }

    /// Takes all entries out; what stays is only fit to be dropped.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = E> + use<E> {
        self.entries = 0;
        std::mem::take(&mut self.segments).into_iter().flatten()
    }

    /// All entries, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.segments.iter().flatten()
    }
}

impl<E> fmt::Debug for Table<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("entries", &self.entries)
            .field("segments", &self.segments.len())
            .field("directory_depth", &self.directory.depth())
            .finish_non_exhaustive()
    }
}
