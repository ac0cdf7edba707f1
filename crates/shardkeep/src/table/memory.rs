//! What the table itself takes, and giving it back.

use hashbrown::HashTable;

use super::{Entry, SegmentNotes, Table};

/// Capacity above which a segment that has become empty gives its memory back. Below, keeping it
/// saves the allocator a visit whenever a single key comes and goes.
const EMPTY_CAPACITY_KEPT_MAX: usize = 28;

impl<E: Entry> Table<E> {
    /// Bytes the table has allocated for its directory and segments, free places included; not
    /// what its entries own elsewhere, nor what the allocator adds. Costs a few additions.
    pub fn memory_bytes(&self) -> usize {
        self.directory.bytes()
            + self.segments.capacity() * size_of::<HashTable<E>>()
            + self.notes.capacity() * size_of::<SegmentNotes>()
            + self.due.capacity() * size_of::<u64>()
            + self.segment_bytes
    }

    /// Frees the memory of an empty segment, unless it is small.
    #[inline]
    pub(super) fn release_if_large(&mut self, id: usize) {
        debug_assert!(self.segments[id].is_empty());
        if self.segments[id].capacity() > EMPTY_CAPACITY_KEPT_MAX {
            self.replace_segment(id, HashTable::new());
        }
    }

    /// Puts another table in the place of a segment's, and keeps the account. Whoever stands inside the
    /// old one finds out by the layout.
    pub(super) fn replace_segment(&mut self, id: usize, segment: HashTable<E>) -> HashTable<E> {
        self.notes[id].layout = self.notes[id].layout.wrapping_add(1);
        self.segment_bytes += segment.allocation_size();
        self.segment_bytes -= self.segments[id].allocation_size();
        core::mem::replace(&mut self.segments[id], segment)
    }
}
