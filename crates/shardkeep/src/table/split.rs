//! Making room: doubling a segment, cleaning it of the traces of removed entries, or splitting it.
//!
//! The slow path of an insert, taken when a segment has no free place left.
//!
//! 1. At most one segment is rebuilt or split per insert.
//! 2. A segment is split at most at its usual size; if its hashes cannot be parted (they are all
//!    equal, or the directory is as deep as it may be) it grows, and is not tried again before it
//!    has doubled.
//! 3. All hashes are known before the first entry moves.

use hashbrown::HashTable;

use super::expiry::NEVER;
use super::{Entry, SegmentNotes, Table};

/// Entries a segment holds before it splits: 7/8 of 4,096 places, the most hashbrown fills.
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
            self.rebuild(id, capacity, rehash);
            return;
        }
        if capacity >= self.notes[id].split_at && self.split(hash, id, rehash) {
            return;
        }
        self.rebuild(id, capacity + 1, rehash);
    }

    /// Moves a segment into a table with room for `capacity`.
    fn rebuild(&mut self, id: usize, capacity: usize, rehash: &impl Fn(&E) -> u64) {
        let hashes: Vec<u64> = self.segments[id].iter().map(rehash).collect();
        let old = self.replace_segment(id, HashTable::with_capacity(capacity));
        for (entry, hash) in old.into_iter().zip(hashes) {
            self.segments[id].insert_unique(hash, entry, rehash);
        }
    }

    /// Splits a segment by the first bit that tells its entries, the one with `hash` to come
    /// included, apart. False if there is none: nothing has changed then, except that it is not
    /// tried again soon.
    fn split(&mut self, hash: u64, id: usize, rehash: &impl Fn(&E) -> u64) -> bool {
        let depth = self.notes[id].depth;
        let parting_bits = self.directory.parting_bits(depth);
        if parting_bits == 0 {
            self.notes[id].split_at = usize::MAX;
            return false;
        }
        let hashes: Vec<u64> = self.segments[id].iter().map(rehash).collect();
        let differing = hashes.iter().fold(0, |bits, other| bits | (hash ^ other));
        if differing & parting_bits == 0 {
            self.notes[id].split_at = hashes.len().saturating_mul(2);
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
        true
    }

    /// Gives the half of segment `id` that does not own `hash` to a new segment.
    fn part(&mut self, hash: u64, id: usize, segment: HashTable<E>, due: u64) {
        let depth = self.notes[id].depth;
        self.directory.part(hash, depth, self.segments.len());
        self.notes[id].depth = depth + 1;
        self.notes[id].split_at = self.segment_entries_max;
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
