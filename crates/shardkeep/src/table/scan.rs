//! Walking through a table that goes on changing, and picking an entry at random.
//!
//! 1. A cursor is a position in prefix order, not in memory; it stands where a segment begins or
//!    began, and since segments only split, every later segment begins at or after it, or ends
//!    before.
//! 2. An entry's prefix never changes, so a walk segment by segment meets what stays exactly once.
//! 3. A walk may stop inside of a segment. It goes on there while the segment's layout is what it was,
//!    for then no entry has moved; else it begins the segment again. So what stays is met, and more
//!    than once only where entries have moved.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::{ControlFlow, Range};

use super::directory::DIRECTORY_DEPTH_MAX;
use super::{Entry, Table};

/// Draws after which [`Table::random`] stops hoping for a taken place and searches for one. With
/// places at least 7/16 taken, one draw in 30 million fails this often.
const RANDOM_DRAWS_MAX: u32 = 30;

/// Where a scan stands: the next hash prefix to visit.
///
/// It stays good while the table changes, and is meaningless in a store of other shard bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u32);

impl Cursor {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// How many positions there are; `position` is below.
    pub const POSITIONS: u32 = 1 << DIRECTORY_DEPTH_MAX;

    /// The cursor with this number, `None` if there is none ([`Cursor::POSITIONS`] or more).
    pub const fn from_position(position: u32) -> Option<Self> {
        if position < Self::POSITIONS {
            Some(Self(position))
        } else {
            None
        }
    }

    /// The number of this cursor, 0 only for [`Cursor::START`].
    pub const fn position(self) -> u32 {
        self.0
    }
}

/// Buckets whose entries are fetched from memory together.
const BUCKETS_AHEAD: usize = 16;

/// Parts of one segment, at most, between which a [`PartCursor`] can stand.
const PARTS: u32 = 1 << PART_BITS;
const PART_BITS: u32 = 8;

/// Buckets of a part, at least: some ten entries, what SCAN looks at by default.
const PART_BUCKETS_MIN: usize = 16;

/// How much of a layout's number a [`PartCursor`] keeps, so that the cursors of SCAN stay below 2^53,
/// beyond which some clients' numbers lose digits. A walk that rests while one segment gets a new
/// layout exactly 8,192 times (some seven million entries come and go there) takes it for the old one.
const LAYOUT_BITS: u32 = 13;

/// A number for the first layout of a table that no other table has, as far as chance goes: a walk
/// that began in another table in this one's place finds out.
pub(super) fn first_layout() -> u64 {
    RandomState::new().hash_one(0)
}

/// Where a walk in slices stands: before one bucket of a segment of a certain layout.
///
/// Meant to be kept for as long as the walk takes; [`PartCursor`] is the one that fits into a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkCursor {
    cursor: Cursor,
    layout: u64,
    bucket: usize,
}

impl WalkCursor {
    /// Before the first entry.
    pub const START: Self = Self::before(Cursor::START);

    /// Before the segment at `cursor`.
    const fn before(cursor: Cursor) -> Self {
        Self {
            cursor,
            layout: 0,
            bucket: 0,
        }
    }
}

/// What a slice of a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Where to go on; `None` at the end.
    pub next: Option<WalkCursor>,
    /// Entries had moved since the last slice, and the segment was begun again.
    pub restarted: bool,
}

/// Where a walk in parts stands, as a number: position, part of a segment, and the low bits of its
/// layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartCursor {
    cursor: Cursor,
    part: u32,
    layout: u64,
}

impl PartCursor {
    /// Before the first entry.
    pub const START: Self = Self::before(Cursor::START);

    const fn before(cursor: Cursor) -> Self {
        Self {
            cursor,
            part: 0,
            layout: 0,
        }
    }

    /// The cursor with this number; `None` if there is none.
    pub const fn from_number(number: u64) -> Option<Self> {
        let position = number & (Cursor::POSITIONS as u64 - 1);
        let part = number >> DIRECTORY_DEPTH_MAX & (PARTS as u64 - 1);
        let layout = number >> (DIRECTORY_DEPTH_MAX + PART_BITS);
        if layout >> LAYOUT_BITS != 0 {
            return None;
        }
        match Cursor::from_position(position as u32) {
            Some(cursor) => Some(Self {
                cursor,
                part: part as u32,
                layout,
            }),
            None => None,
        }
    }

    /// The number of this cursor, 0 only for [`PartCursor::START`].
    pub const fn number(self) -> u64 {
        self.cursor.0 as u64
            | (self.part as u64) << DIRECTORY_DEPTH_MAX
            | self.layout << (DIRECTORY_DEPTH_MAX + PART_BITS)
    }
}

impl<E: Entry> Table<E> {
    /// Visits entries from `spot` on (expired ones included) until `visit` breaks or the segment ends.
    /// `touch` sees each entry a little before `visit` does, and may begin to fetch what belongs to it.
    ///
    /// Over a whole walk, an entry that is in the table all the time is visited, once unless its segment
    /// is [`Walked::restarted`]. Who walks in slices of some size enlarges them then, so that the walk
    /// ends whatever happens in between.
    pub fn walk(
        &mut self,
        spot: WalkCursor,
        touch: impl Fn(&E),
        mut visit: impl FnMut(&mut E) -> ControlFlow<()>,
    ) -> Walked {
        let id = self.segment_of_cursor(spot.cursor);
        let (segment, layout) = (&mut self.segments[id], self.notes[id].layout);
        let restarted = spot.bucket > 0 && spot.layout != layout;
        let mut bucket = if restarted { 0 } else { spot.bucket };
        while bucket < segment.num_buckets() {
            let window = bucket..(bucket + BUCKETS_AHEAD).min(segment.num_buckets());
            (window.clone())
                .filter_map(|at| segment.get_bucket(at))
                .for_each(&touch);
            for at in window.clone() {
                let Some(entry) = segment.get_bucket_mut(at) else {
                    continue;
                };
                if visit(entry).is_break() && at + 1 < segment.num_buckets() {
                    let next = Some(WalkCursor {
                        cursor: spot.cursor,
                        layout,
                        bucket: at + 1,
                    });
                    return Walked { next, restarted };
                }
            }
            bucket = window.end;
        }
        let next = self.cursor_behind(spot.cursor, id).map(WalkCursor::before);
        Walked { next, restarted }
    }

    /// Visits the entries of one part of a segment (expired ones included), and returns where to go on;
    /// `None` at the end. Where entries have moved since, it visits all of the segment: so every call
    /// gets on, and the walk ends whatever happens in between.
    ///
    /// Over a whole walk, an entry that is in the table all the time is visited, once unless entries of
    /// its segment move.
    pub fn scan_part(&self, from: PartCursor, mut visit: impl FnMut(&E)) -> Option<PartCursor> {
        let id = self.segment_of_cursor(from.cursor);
        let segment = &self.segments[id];
        let layout = self.notes[id].layout & ((1 << LAYOUT_BITS) - 1);
        let buckets = segment.num_buckets();
        let width = PART_BUCKETS_MIN.max(buckets / PARTS as usize);
        let visited: Range<usize> = if from.part == 0 || from.layout == layout {
            let start = (from.part as usize * width).min(buckets);
            start..(start + width).min(buckets)
        } else {
            0..buckets
        };
        visited
            .clone()
            .filter_map(|at| segment.get_bucket(at))
            .for_each(&mut visit);
        if visited.end < buckets {
            return Some(PartCursor {
                cursor: from.cursor,
                part: from.part + 1,
                layout,
            });
        }
        self.cursor_behind(from.cursor, id).map(PartCursor::before)
    }

    /// The segment that `cursor` stands in.
    fn segment_of_cursor(&self, cursor: Cursor) -> usize {
        let index = cursor.0 >> (DIRECTORY_DEPTH_MAX - self.directory.depth());
        self.directory.segment_at(index as usize)
    }

    /// Behind segment `id`, in which `cursor` stands.
    fn cursor_behind(&self, cursor: Cursor, id: usize) -> Option<Cursor> {
        let positions = 1 << (DIRECTORY_DEPTH_MAX - self.notes[id].depth);
        Cursor::from_position((cursor.0 & !(positions - 1)) + positions)
    }

    /// Visits all entries of the segment the cursor stands in (expired ones included), and
    /// returns where to go on; `None` at the end.
    ///
    /// Over a whole scan, an entry that is in the table all the time is visited exactly once,
    /// whatever happens in between; one that comes or goes meanwhile at most once while it stays.
    pub fn scan(&self, cursor: Cursor, visit: impl FnMut(&E)) -> Option<Cursor> {
        let id = self.segment_of_cursor(cursor);
        self.segments[id].iter().for_each(visit);
        self.cursor_behind(cursor, id)
    }

    /// An entry picked by `seed` (any number; a new one for each pick), each about equally likely
    /// while the hashes are well spread. `None` if the table is empty.
    ///
    /// A few probes as a rule; where nearly everything was removed, a search through the table.
    pub fn random(&self, seed: u64) -> Option<&E> {
        if self.is_empty() {
            return None;
        }
        let mut state = seed;
        for _ in 0..RANDOM_DRAWS_MAX {
            let draw = next_draw(&mut state);
            let segment = &self.segments[self.directory.segment_of(draw)];
            let bucket = next_draw(&mut state) as usize & (segment.num_buckets() - 1);
            if let Some(entry) = segment.get_bucket(bucket) {
                return Some(entry);
            }
        }
        let start = next_draw(&mut state) as usize % self.segments.len();
        let (before, from) = self.segments.split_at(start);
        let segment = from
            .iter()
            .chain(before)
            .find(|segment| !segment.is_empty())?;
        segment
            .iter()
            .nth(next_draw(&mut state) as usize % segment.len())
    }
}

/// SplitMix64, a well-known step with full period.
fn next_draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut draw = *state;
    draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    draw ^ (draw >> 31)
}
