//! Walking through a table that goes on changing, and picking an entry at random.
//!
//! 1. A cursor is a position in prefix order, not in memory; it stands where a segment begins or
//!    began, and since segments only split, every later segment begins at or after it, or ends
//!    before.
//! 2. An entry's prefix never changes, so what stays is met exactly once.

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

impl<E: Entry> Table<E> {
    /// Visits all entries of the segment the cursor stands in (expired ones included), and
    /// returns where to go on; `None` at the end.
    ///
    /// Over a whole scan, an entry that is in the table all the time is visited exactly once,
    /// whatever happens in between; one that comes or goes meanwhile at most once while it stays.
    pub fn scan(&self, cursor: Cursor, visit: impl FnMut(&E)) -> Option<Cursor> {
        let index = cursor.0 >> (DIRECTORY_DEPTH_MAX - self.directory.depth());
        let id = self.directory.segment_at(index as usize);
        self.segments[id].iter().for_each(visit);

        let positions = 1 << (DIRECTORY_DEPTH_MAX - self.notes[id].depth);
        let next = (cursor.0 & !(positions - 1)) + positions;
        Cursor::from_position(next)
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
