//! Walks: a snapshot gathers the entries of a shard as they stood at one moment, while they change.
//!
//! ```text
//! cut     every entry counts as missing in the walk
//! slice   takes some of the missing, in any order            | each sets the bit of the entry, so
//! change  of a missing entry hands over its old state first  | that it is in the walk once
//! end     no entry is missing
//! ```
//!
//! Knows neither the log nor the other shards: who begins a walk makes the cut in all of them at once.
//!
//! 1. While no walk is under way the bits of all entries are alike. A cut changes what they mean, and
//!    touches no entry.
//! 2. An entry that is born gets the bits of one that the walk has.
//! 3. A walk that is void goes on in silence to its end, before its bit means anything again.
//! 4. What is handed over waits in a buffer that is counted; the holder never waits for it.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::fault::{Fault, is_planted};
use super::{Image, Pressure};

use crate::codec::EncodeError;
use crate::table::{Entry, Table, WalkCursor, Walked};

/// The bit of the walk that a snapshot is. A second walk, for what a replica is sent, has the other.
const SNAPSHOT: u8 = 1;

/// Entries of a table that a walk gets when all of them are removed at once: some milliseconds with the shard in hand.
const FLUSH_ENTRIES_MAX: usize = 16_384;

/// What a change does to the entry that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces or removes it as a whole: its effect says all that is left of it.
    Whole,
    /// Makes something else of it: its effect depends on what it was.
    Relative,
}

/// What a walk is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The state at its cut, by itself.
    Exact,
    /// The state at its cut together with the log behind it. What a change replaces or removes as a whole
    /// need not be in it: the effect behind the cut decides.
    WithLog,
}

/// How much of a state is saved with its shard in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Entries.
    pub entries: usize,
    /// Bytes of effects; a single entry may have more.
    pub bytes: usize,
}

impl Slice {
    /// Whether so much fills it.
    #[must_use]
    pub const fn is_filled_by(self, entries: u64, bytes: usize) -> bool {
        entries >= self.entries as u64 || bytes >= self.bytes
    }

    /// Twice as much.
    #[must_use]
    pub const fn doubled(self) -> Self {
        Self {
            entries: self.entries.saturating_mul(2),
            bytes: self.bytes.saturating_mul(2),
        }
    }
}

/// A place in the walk through a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkPoint {
    /// Number of the table, of a state that has several.
    pub table: usize,
    /// The place in it.
    pub at: WalkCursor,
}

impl WalkPoint {
    /// Before the first entry.
    pub const START: Self = Self::before(0);

    /// Before the first entry of a table.
    #[must_use]
    pub const fn before(table: usize) -> Self {
        let at = WalkCursor::START;
        Self { table, at }
    }
}

/// What one slice came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Entries appended.
    pub entries: u64,
    /// Where to go on.
    pub next: Option<WalkPoint>,
    /// Entries have moved under the walk, which meets some of them again: the next slice is to be larger, so
    /// that the walk ends whatever happens in between.
    pub restarted: bool,
}

impl Saved {
    /// A state without entries to save.
    pub const NOTHING: Self = Self {
        entries: 0,
        next: None,
        restarted: false,
    };
}

/// A walk under way in this shard.
struct Walk {
    moment: Moment,
    /// Goes on for the sake of the bits alone.
    is_void: bool,
    /// Old states of entries that have changed.
    handed: Image,
    handed_entries: u64,
    pressure: Arc<Pressure>,
}

/// The walks of one shard: what an entry's bits mean, and the walk that is under way.
#[derive(Default)]
pub struct Walks {
    /// The bits of an entry that no walk misses.
    had: u8,
    walk: Option<Box<Walk>>,
}

impl Walks {
    /// The bits of an entry that is born now.
    #[inline]
    #[must_use]
    pub const fn had(&self) -> u8 {
        self.had
    }

    /// Whether a walk is under way, void or not.
    #[inline]
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.walk.is_some()
    }

    /// Whether a walk is under way, and not void.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| !walk.is_void)
    }

    /// Makes the cut of a walk, which counts what is handed over in `pressure`. One that is under way becomes void
    /// instead: its bit cannot mean two things.
    pub fn cut(&mut self, moment: Moment, pressure: Arc<Pressure>) {
        if self.is_under_way() {
            return self.void();
        }
        self.had ^= SNAPSHOT;
        self.walk = Some(Box::new(Walk {
            moment,
            is_void: false,
            handed: Image::default(),
            handed_entries: 0,
            pressure,
        }));
    }

    /// The walk comes to nothing: what was handed over is dropped, and it goes on in silence.
    pub fn void(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.void();
        }
        if is_planted(Fault::VoidBitReused) {
            self.walk = None;
        }
    }

    /// The walk has met every entry.
    pub fn end(&mut self) {
        self.void();
        self.walk = None;
    }

    /// An entry that is there is about to change, or was just taken out: the walk that misses it gets what it
    /// was. `save` appends it as an effect.
    #[inline]
    pub fn before<E: Entry>(
        &mut self,
        entry: &mut E,
        change: Change,
        save: impl FnOnce(&E, &mut Image) -> Result<(), EncodeError>,
    ) {
        if self.walk.is_some() && entry.walk_bits() != self.had && !is_planted(Fault::NotHandedOver)
        {
            self.hand_over(entry, change, save);
        }
    }

    #[cold]
    fn hand_over<E: Entry>(
        &mut self,
        entry: &mut E,
        change: Change,
        save: impl FnOnce(&E, &mut Image) -> Result<(), EncodeError>,
    ) {
        entry.set_walk_bits(self.had);
        let Some(walk) = &mut self.walk else {
            return;
        };
        let is_told_by_log = change == Change::Whole || is_planted(Fault::RelativeAsWhole);
        if walk.is_void || walk.moment == Moment::WithLog && is_told_by_log {
            return;
        }
        let before = walk.handed.weight();
        // One entry may be larger than the bound, which it then exceeds alone.
        let is_full = walk.pressure.bytes() > walk.pressure.bound();
        if is_full || save(entry, &mut walk.handed).is_err() {
            return walk.void();
        }
        // Beyond the bound by one entry, which is written next.
        let _is_within = walk.pressure.add(walk.handed.weight() - before);
        walk.handed_entries += 1;
    }

    /// All entries are about to be removed at once: the walk that misses some of them gets them. A table that takes too
    /// long for that makes it void, and it begins again.
    pub fn before_clear<E: Entry>(
        &mut self,
        table: &mut Table<E>,
        mut save: impl FnMut(&E, &mut Image) -> Result<(), EncodeError>,
    ) {
        let needs_all = |walk: &Walk| walk.moment == Moment::Exact;
        if !self.walk.as_deref().is_some_and(needs_all) || is_planted(Fault::FlushForgotten) {
            return;
        }
        if table.len() > FLUSH_ENTRIES_MAX {
            return self.void();
        }
        let mut at = Some(WalkCursor::START);
        while let Some(from) = at {
            at = table
                .walk(
                    from,
                    |_| {},
                    |entry| {
                        self.before(entry, Change::Whole, &mut save);
                        ControlFlow::Continue(())
                    },
                )
                .next;
        }
    }

    /// Appends what was handed over, and then missing entries of `table` from `from` on, until the slice is
    /// full; says where to go on. Without a walk under way it appends all entries and changes nothing.
    ///
    /// # Errors
    /// An entry has no form as bytes, or its codec panicked; the walk is to be voided.
    pub fn slice<E: Entry>(
        &mut self,
        table: &mut Table<E>,
        from: WalkPoint,
        slice: Slice,
        into: &mut Image,
        touch: impl Fn(&E),
        mut save: impl FnMut(&E, &mut Image) -> Result<(), EncodeError>,
    ) -> Result<Saved, EncodeError> {
        let had = self.walk.is_some().then_some(self.had);
        let is_void = self.walk.as_ref().is_some_and(|walk| walk.is_void);
        let (mut entries, mut met, before) = (self.take_handed(into), 0, into.weight());
        let mut failed = None;
        let visit = |entry: &mut E| {
            met += 1;
            if had == Some(entry.walk_bits()) {
                // Nothing to do for it, but a slice is a bounded time.
            } else if is_void {
                entry.set_walk_bits(had.unwrap_or_default());
            } else if let Err(error) = save(entry, into) {
                failed = Some(error);
                return ControlFlow::Break(());
            } else {
                entries += 1;
                if let Some(had) = had {
                    entry.set_walk_bits(had);
                }
            }
            match slice.is_filled_by(met, into.weight() - before) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        // A codec that panics breaks the walk, not the shard: no entry is changed while it runs.
        let walked = catch_unwind(AssertUnwindSafe(|| table.walk(from.at, touch, visit)));
        match (walked, failed) {
            (Ok(Walked { next, restarted }), None) => Ok(Saved {
                entries,
                next: next.map(|at| WalkPoint { at, ..from }),
                restarted,
            }),
            (Ok(_), Some(error)) => Err(error),
            (Err(_), _) => Err(EncodeError("its codec panicked".to_owned())),
        }
    }

    /// Moves what was handed over behind `into`; says how many entries it is.
    pub fn take_handed(&mut self, into: &mut Image) -> u64 {
        let Some(walk) = &mut self.walk else {
            return 0;
        };
        walk.pressure.take(walk.handed.weight());
        walk.handed.move_to(into);
        std::mem::take(&mut walk.handed_entries)
    }
}

impl Walk {
    fn void(&mut self) {
        self.is_void = true;
        self.pressure.take(self.handed.weight());
        self.handed = Image::default();
        self.handed_entries = 0;
    }
}

impl Drop for Walk {
    /// A shard that is lost gives back what its walk has counted.
    fn drop(&mut self) {
        self.pressure.take(self.handed.weight());
    }
}
