//! When entries expire, and how they are removed a slice at a time.
//!
//! Not a timer wheel: a segment only knows when it is next worth a look. Knows no clock: the time
//! comes in. Reading an expired entry is prevented by whoever looks it up, not here; this only
//! gives memory back.
//!
//! 1. A segment with an entry that expires has a due time, at the latest the entry's own time or
//!    the end of the segment's rest, whichever is later.
//! 2. A slice looks at one segment.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use super::Table;

/// Due time of a segment in which nothing expires.
pub(super) const NEVER: u64 = u64::MAX;

/// How long a segment rests after a look, per entry that stays (milliseconds).
///
/// A look at an entry costs some 50 ns (its memory is cold), so a steady trickle of expiring keys
/// takes at most 1/20,000 of a core per segment, 2 % of one at a million entries. A full segment
/// is looked at every few seconds, a small one nearly at once.
pub const EXPIRY_PAUSE_PER_ENTRY_MILLIS: u64 = 1;

/// A moment of wall-clock time in milliseconds since 1970, never 0.
///
/// `Option<UnixMillis>` is as small as the number alone.
///
/// ```
/// use shardkeep::table::UnixMillis;
///
/// assert_eq!(UnixMillis::new(1_700_000_000_000).get(), 1_700_000_000_000);
/// assert_eq!(size_of::<Option<UnixMillis>>(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(NonZeroU64);

impl UnixMillis {
    /// The moment `millis` milliseconds after 1970 began; 0 is taken as 1, which is past as well.
    #[inline]
    pub const fn new(millis: u64) -> Self {
        match NonZeroU64::new(millis) {
            Some(millis) => Self(millis),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// The moment `by` after this one, in whole milliseconds, rounded up: a time that is not nothing is
    /// not taken for nothing. The last moment there is if that lies beyond it, so that no time is too long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use shardkeep::table::UnixMillis;
    ///
    /// let now = UnixMillis::new(1_000);
    /// assert_eq!(now.later(Duration::from_millis(5)).get(), 1_005);
    /// assert_eq!(now.later(Duration::from_nanos(1)).get(), 1_001);
    /// assert_eq!(now.later(Duration::MAX).get(), u64::MAX);
    /// ```
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        let parts = u64::from(by.subsec_nanos().div_ceil(1_000_000));
        let millis = by.as_secs().saturating_mul(1_000).saturating_add(parts);
        Self::new(self.get().saturating_add(millis))
    }

    /// Milliseconds since 1970 began.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a table must know of its entries.
pub trait Entry {
    /// When the entry expires: from this moment on it must be as if it were not there. `None` is
    /// never.
    fn expires_at(&self) -> Option<UnixMillis>;

    /// What walks have left in the entry: one bit for each that may be under way, two in all (see
    /// [`Walks`](crate::shard::Walks)). An entry without room for them is in no walk.
    #[inline]
    fn walk_bits(&self) -> u8 {
        0
    }

    /// Leaves other bits in the entry.
    #[inline]
    fn set_walk_bits(&mut self, bits: u8) {
        debug_assert_eq!(bits, 0, "bits without room for them");
    }
}

/// What one call of [`Table::expire_slice`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpireSlice {
    /// How many entries it removed.
    pub removed: usize,
    /// Whether another segment is due already.
    pub more_due: bool,
}

#[inline]
pub(super) fn due_millis(expires_at: Option<UnixMillis>) -> u64 {
    expires_at.map_or(NEVER, UnixMillis::get)
}

impl<E: Entry> Table<E> {
    /// Tells the table that the entry with this hash now expires at `expires_at`. Needed after an
    /// expiry was changed through a reference into the table; inserting tells it by itself.
    #[inline]
    pub fn note_expiry(&mut self, hash: u64, expires_at: Option<UnixMillis>) {
        if let Some(expires_at) = expires_at {
            self.note_segment_expiry(self.directory.segment_of(hash), expires_at);
        }
    }

    #[inline]
    pub(super) fn note_segment_expiry(&mut self, id: usize, expires_at: UnixMillis) {
        if expires_at.get() < self.due[id] {
            let due = self.due_after_rest(id, expires_at.get());
            self.due[id] = self.due[id].min(due);
            self.earliest_due = self.earliest_due.min(due);
        }
    }

    /// When [`Table::expire_slice`] next has something to look at; `None` if no entry expires.
    ///
    /// Never later than the earliest expiry, except that a segment rests after each look, for
    /// [`EXPIRY_PAUSE_PER_ENTRY_MILLIS`] per entry. May be too early: what expired may have been
    /// removed or given more time.
    #[inline]
    pub fn next_expiry(&self) -> Option<UnixMillis> {
        (self.earliest_due != NEVER).then(|| UnixMillis::new(self.earliest_due))
    }

    /// Looks through one segment that is due, removes the entries that have expired by `now` and
    /// gives each to `gone`.
    ///
    /// Takes time in proportion to one segment (reading the expiry of each entry), plus one
    /// number per segment; none at all if nothing is due.
    pub fn expire_slice(&mut self, now: UnixMillis, mut gone: impl FnMut(E)) -> ExpireSlice {
        let now = now.get();
        if self.earliest_due > now {
            return ExpireSlice {
                removed: 0,
                more_due: false,
            };
        }
        let Some(id) = self.due_segment(now) else {
            self.earliest_due = self.due.iter().copied().min().unwrap_or(NEVER);
            return ExpireSlice {
                removed: 0,
                more_due: false,
            };
        };
        self.expiry_turn = id + 1;

        let mut earliest_left = NEVER;
        let mut removed = 0;
        let expired = self.segments[id].extract_if(|entry| {
            let due = due_millis(entry.expires_at());
            if due > now {
                earliest_left = earliest_left.min(due);
            }
            due <= now
        });
        for entry in expired {
            self.entries -= 1;
            removed += 1;
            gone(entry);
        }

        let rest = (self.segments[id].len() as u64).saturating_mul(EXPIRY_PAUSE_PER_ENTRY_MILLIS);
        self.notes[id].rests_until = now.saturating_add(rest);
        self.due[id] = self.due_after_rest(id, earliest_left);
        if self.segments[id].is_empty() {
            self.release_if_large(id);
        }
        self.earliest_due = self.due.iter().copied().min().unwrap_or(NEVER);
        ExpireSlice {
            removed,
            more_due: self.earliest_due <= now,
        }
    }

    /// When segment `id` is due if its first entry expires at `earliest`.
    #[inline]
    pub(super) fn due_after_rest(&self, id: usize, earliest: u64) -> u64 {
        if earliest == NEVER {
            NEVER
        } else {
            earliest.max(self.notes[id].rests_until)
        }
    }

    /// The next segment in turn that is due.
    fn due_segment(&self, now: u64) -> Option<usize> {
        let turn = self.expiry_turn.min(self.due.len());
        let (before, from) = self.due.split_at(turn);
        let is_due = |due: &u64| *due <= now;
        match from.iter().position(is_due) {
            Some(at) => Some(turn + at),
            None => before.iter().position(is_due),
        }
    }
}
