//! The place of one entry, found once and then used.

use super::{Entry, Table, UnixMillis};

/// What [`Table::entry`] found.
///
/// # Examples
///
/// ```
/// use shardkeep::table::{Entry, Slot, Table, UnixMillis};
///
/// struct Count { id: u64, times: u64 }
/// impl Entry for Count {
///     fn expires_at(&self) -> Option<UnixMillis> {
///         None
///     }
/// }
/// let hash = |id: u64| id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
///
/// let mut table = Table::new(0);
/// for id in [4, 7, 4] {
///     match table.entry(hash(id), |count: &Count| count.id == id, |count| hash(count.id)) {
///         Slot::Occupied(mut slot) => slot.get_mut().times += 1,
///         Slot::Vacant(slot) => {
///             slot.insert(Count { id, times: 1 });
///         }
///     }
/// }
/// assert_eq!(table.find(hash(4), |count| count.id == 4).map(|count| count.times), Some(2));
/// ```
pub enum Slot<'t, E, R> {
    /// The entry is there.
    Occupied(OccupiedSlot<'t, E>),
    /// There is no such entry.
    Vacant(VacantSlot<'t, E, R>),
}

/// An entry in its place.
pub struct OccupiedSlot<'t, E> {
    table: &'t mut Table<E>,
    segment: usize,
    bucket: usize,
}

/// Where an entry would be.
pub struct VacantSlot<'t, E, R> {
    table: &'t mut Table<E>,
    hash: u64,
    rehash: R,
}

const FOUND: &str = "the table was borrowed since the entry was found";

impl<'t, E: Entry> OccupiedSlot<'t, E> {
    #[inline]
    pub(super) fn new(table: &'t mut Table<E>, segment: usize, bucket: usize) -> Self {
        Self {
            table,
            segment,
            bucket,
        }
    }

    /// The entry.
    #[inline]
    pub fn get(&self) -> &E {
        match self.table.segments[self.segment].get_bucket(self.bucket) {
            Some(entry) => entry,
            None => unreachable!("{FOUND}"),
        }
    }

    /// The entry, to be changed. Its key must stay the same; tell a changed expiry with
    /// [`OccupiedSlot::note_expiry`].
    #[inline]
    pub fn get_mut(&mut self) -> &mut E {
        match self.table.segments[self.segment].get_bucket_mut(self.bucket) {
            Some(entry) => entry,
            None => unreachable!("{FOUND}"),
        }
    }

    /// The entry, for as long as the table is borrowed; as [`OccupiedSlot::get_mut`].
    #[inline]
    pub fn into_mut(self) -> &'t mut E {
        match self.table.segments[self.segment].get_bucket_mut(self.bucket) {
            Some(entry) => entry,
            None => unreachable!("{FOUND}"),
        }
    }

    /// Tells the table that the entry now expires at `expires_at`.
    #[inline]
    pub fn note_expiry(&mut self, expires_at: Option<UnixMillis>) {
        if let Some(expires_at) = expires_at {
            self.table.note_segment_expiry(self.segment, expires_at);
        }
    }

    /// Puts another entry with the same key in the place of this one, and gives back the old one.
    #[inline]
    pub fn replace(&mut self, entry: E) -> E {
        self.note_expiry(entry.expires_at());
        core::mem::replace(self.get_mut(), entry)
    }

    /// Takes the entry out of the table.
    #[inline]
    pub fn remove(self) -> E {
        let Self {
            table,
            segment,
            bucket,
        } = self;
        let entry = match table.segments[segment].get_bucket_entry(bucket) {
            Ok(occupied) => occupied.remove().0,
            Err(_) => unreachable!("{FOUND}"),
        };
        table.entries -= 1;
        if table.segments[segment].is_empty() {
            table.release_if_large(segment);
        }
        entry
    }
}

impl<'t, E: Entry, R: Fn(&E) -> u64> VacantSlot<'t, E, R> {
    #[inline]
    pub(super) fn new(table: &'t mut Table<E>, hash: u64, rehash: R) -> Self {
        Self {
            table,
            hash,
            rehash,
        }
    }

    /// Inserts the entry, which must have the key that was looked for. As
    /// [`Table::insert_unique`], it may double or split one segment.
    #[inline]
    pub fn insert(self, entry: E) -> &'t mut E {
        self.table.insert_unique(self.hash, entry, self.rehash)
    }
}
