//! Making room: doubling a segment, cleaning it of the traces of removed entries, or splitting it.
//!
//! The slow path of an insert, taken when a segment has no free place left.
//!
//! 1. At most one segment is rebuilt or split per insert.
//! 2. A segment is split at most at its usual size; if its hashes cannot be parted (they are all
//!    equal, or the directory is as deep as it may be) it doubles, and is tried again when it is
//!    full once more.
//! 3. All hashes are known before the first entry moves.

use hashbrown::HashTable;

use super::expiry::{NEVER, due_millis};
use super::likely::Likely;
use super::{Entry, SegmentNotes, Table};

/// Entries a segment holds before it splits: 7/8 of 4,096 places, the most hashbrown fills.
///
/// Measured with 1,000,000 records (keys of 14 bytes, values of 64, outside the table) in 64
/// shards, on a virtual machine: random look-ups, median ns of 60 rounds; and the longest insert
/// while growing from empty, after taking of 7 identical runs the least for each insert.
///
/// | entries | hit | miss | longest insert |
/// |---|---|---|---|
/// | one table | 376 | 42 | 67 ms |
/// | 896 | 376 | 56 | 39 us |
/// | 1,792 | 356 | 51 | 72 us |
/// | **3,584** | 357 | 50 | 154 us |
/// | 7,168 | 352 | 50 | 316 us |
/// | 14,336 | 340 | 48 | 644 us |
///
/// More entries gain next to nothing, and the pause grows with them; this is the largest segment
/// whose split stays below 200 us (189 us while growing to 10,000,000 records). Table memory is
/// the same for all: 10.8 to 19.7 bytes per 8-byte entry while a table doubles, 14.8 on average.
pub const SEGMENT_ENTRIES_MAX: usize = 3_584;

const _: () =
    assert!(full_capacity((SEGMENT_ENTRIES_MAX + 1).next_power_of_two()) == SEGMENT_ENTRIES_MAX);

/// Most entries a table with this many places takes (hashbrown's load factor).
const fn full_capacity(places: usize) -> usize {
    if places < 8 {
        places - 1
    } else {
        places / 8 * 7
    }
}

impl<E: Entry> Table<E> {
    /// Makes room for an entry with this hash, whose segment `id` has none. The same segment owns
    /// the hash afterwards.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&mut self, hash: u64, id: usize, rehash: &impl Fn(&E) -> u64) {
        let entries = self.segments[id].len();
        let capacity = full_capacity(self.segments[id].num_buckets());
        let crowded = entries * 4 >= capacity * 3;
        if !crowded {
            // Removed entries have left their marks; doubling would only waste memory.
            self.rebuild(hash, id, capacity, rehash);
            return;
        }
        if capacity >= self.segment_entries_max && self.split(hash, id, rehash) {
            return;
        }
        self.rebuild(hash, id, capacity + 1, rehash);
    }

    /// Tells the directory where segment `id`, which owns `hash`, lies now.
    fn aim(&mut self, hash: u64, id: usize) {
        let likely = Likely::of(&self.segments[id]);
        self.directory.aim(hash, self.notes[id].depth, likely);
    }

    /// The hashes of a segment, in the order in which it gives its entries out.
    ///
    /// Most of the time goes into waiting for entries that keep their key elsewhere, in memory
    /// that is cold. Looking at each expiry first lets many of these waits overlap, which the
    /// long computation of a hash would prevent.
    fn hashes_of(&mut self, id: usize, rehash: &impl Fn(&E) -> u64) -> Vec<u64> {
        let entries = self.segments[id].iter();
        let earliest = entries
            .map(|entry| due_millis(entry.expires_at()))
            .min()
            .unwrap_or(NEVER);
        self.due[id] = self.due_after_rest(id, earliest);
        self.segments[id].iter().map(rehash).collect()
    }

    /// Moves the segment that owns `hash` into a table with room for `capacity`.
    fn rebuild(&mut self, hash: u64, id: usize, capacity: usize, rehash: &impl Fn(&E) -> u64) {
        let hashes = self.hashes_of(id, rehash);
        let old = self.replace_segment(id, HashTable::with_capacity(capacity));
        for (entry, hash) in old.into_iter().zip(hashes) {
            self.segments[id].insert_unique(hash, entry, rehash);
        }
        self.aim(hash, id);
    }

    /// Splits a segment by the first bit that tells its entries, the one with `hash` to come
    /// included, apart. False if there is none: then nothing has changed.
    fn split(&mut self, hash: u64, id: usize, rehash: &impl Fn(&E) -> u64) -> bool {
        let depth = self.notes[id].depth;
        let parting_bits = self.directory.parting_bits(depth);
        if parting_bits == 0 {
            return false;
        }
        let hashes = self.hashes_of(id, rehash);
        let differing = hashes.iter().fold(0, |bits, other| bits | (hash ^ other));
        if differing & parting_bits == 0 {
            return false;
        }
        while differing & self.directory.parting_bit(self.notes[id].depth) == 0 {
            self.part(hash, id, HashTable::new(), NEVER);
        }

        let bit = self.directory.parting_bit(self.notes[id].depth);
        let stays = |other: u64| (hash ^ other) & bit == 0;
        let staying = hashes.iter().filter(|&&other| stays(other)).count();
        let mut leaving = HashTable::with_capacity(self.room_for(hashes.len() - staying));
        let stay = HashTable::with_capacity(self.room_for(staying + 1));
        let old = self.replace_segment(id, stay);
        for (entry, other) in old.into_iter().zip(hashes) {
            let half = if stays(other) {
                &mut self.segments[id]
            } else {
                &mut leaving
            };
            half.insert_unique(other, entry, rehash);
        }
        self.part(hash, id, leaving, self.due[id]);
        self.aim(hash, id);
        true
    }

    /// Gives the half of segment `id` that does not own `hash` to a new segment.
    fn part(&mut self, hash: u64, id: usize, segment: HashTable<E>, due: u64) {
        let depth = self.notes[id].depth;
        let likely = Likely::of(&segment);
        self.directory
            .part(hash, depth, self.segments.len(), likely);
        self.notes[id].depth = depth + 1;
        self.notes.push(SegmentNotes { ..self.notes[id] });
        self.due.push(due);
        self.segment_bytes += segment.allocation_size();
        self.segments.push(segment);
    }

    /// Capacity for a half that starts with `entries`: a little more, since one that is nearly
    /// full would have to double straight after the split.
    fn room_for(&self, entries: usize) -> usize {
        (entries + entries / 8).min(self.segment_entries_max.max(entries))
    }
}
