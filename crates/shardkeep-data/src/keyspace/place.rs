//! The place of one key: a value to read, change or remove, or room for one.
//!
//! Not a look-up: [`super::Keyspace::place`] makes them.
//!
//! 1. Every change of a record passes here between two entries in the accounts.
//! 2. A free place that holds a record whose time has come gets rid of it, used or not, where what is done may
//!    change entries.

use shardkeep::effect;
use shardkeep::shard::Change;
use shardkeep::table::{OccupiedSlot, UnixMillis, VacantSlot};

use super::record::Record;
use super::{Accounts, whole};

/// What is in the place of a key.
pub enum Place<'k, R: Fn(&Record) -> u64> {
    /// A value whose time has not come.
    Taken(Taken<'k>),
    /// Nothing.
    Free(Free<'k, R>),
}

/// A value in its place.
pub struct Taken<'k> {
    slot: OccupiedSlot<'k, Record>,
    hash: u64,
    accounts: &'k mut Accounts,
}

impl<'k> Taken<'k> {
    #[inline]
    pub(super) fn new(
        slot: OccupiedSlot<'k, Record>,
        hash: u64,
        accounts: &'k mut Accounts,
    ) -> Self {
        Self {
            slot,
            hash,
            accounts,
        }
    }

    /// The entry.
    #[inline]
    pub fn record(&self) -> &Record {
        self.slot.get()
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.slot.get().value()
    }

    /// Writes `bytes`, of which there is one at least, over the value from `offset` on; a value that is too short for that is filled up
    /// with zeroes first.
    ///
    /// # Panics
    ///
    /// If the value gets longer than [`super::record::STRING_BYTES_MAX`].
    pub fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        debug_assert!(!bytes.is_empty(), "a change of nothing has no effect");
        let end = offset + bytes.len();
        let overwrite = |record: &mut Record| {
            if end > record.value().len() {
                record.resize_value(end);
            }
            record.value_mut()[offset..end].copy_from_slice(bytes);
        };
        self.change(Change::Relative, overwrite, |record, (into, database)| {
            let mut digits = itoa::Buffer::new();
            let offset = digits.format(offset).as_bytes();
            effect::command(into, database, &[b"SETRANGE", record.key(), offset, bytes]);
        });
    }

    /// When it expires; `None` is never.
    #[inline]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.slot.get().expires_at()
    }

    /// Replaces value and expiry.
    ///
    /// # Panics
    ///
    /// If the value is longer than [`super::record::STRING_BYTES_MAX`].
    #[inline]
    pub fn set(&mut self, value: &[u8], expires_at: Option<UnixMillis>) {
        if expires_at.is_none()
            && self
                .accounts
                .set_alike((self.hash, self.slot.get_mut()), value)
        {
            return;
        }
        self.change_whole(|record| record.set(value, expires_at));
        self.slot.note_expiry(expires_at);
    }

    /// Replaces the value and keeps the expiry.
    ///
    /// # Panics
    ///
    /// If the value is longer than [`super::record::STRING_BYTES_MAX`].
    #[inline]
    pub fn set_value(&mut self, value: &[u8]) {
        self.change_whole(|record| record.set_value(value));
    }

    /// Replaces the expiry and keeps the value. One that stays as it is is no change.
    #[inline]
    pub fn set_expires_at(&mut self, expires_at: Option<UnixMillis>) {
        if self.expires_at() == expires_at {
            return;
        }
        let set = |record: &mut Record| record.set_expires_at(expires_at);
        self.change(Change::Relative, set, |record, (into, database)| {
            effect::expiry(into, database, record.key(), expires_at);
        });
        self.slot.note_expiry(expires_at);
    }

    /// Adds bytes at the end of the value.
    ///
    /// # Panics
    ///
    /// If the value gets longer than [`super::record::STRING_BYTES_MAX`].
    pub fn append(&mut self, bytes: &[u8]) {
        let append = |record: &mut Record| record.append(bytes);
        self.change(Change::Relative, append, |record, (into, database)| {
            effect::command(into, database, &[b"APPEND", record.key(), bytes]);
        });
    }

    /// Puts another entry with the same key in its place.
    pub(super) fn replace(&mut self, mut record: Record) {
        self.accounts.put(self.hash, &mut record);
        let old = self.slot.replace(record);
        self.accounts.replaced(old);
    }

    /// Takes the entry out, and frees it, here or when the shard is back.
    #[inline]
    pub fn discard(self) {
        let Self {
            slot,
            hash,
            accounts,
        } = self;
        let mut record = slot.remove();
        accounts.removed(hash, &mut record);
        accounts.shelf.put(record);
    }

    /// Takes the entry out, for somebody who needs it.
    #[inline]
    pub fn remove(self) -> Record {
        let Self {
            slot,
            hash,
            accounts,
        } = self;
        let mut record = slot.remove();
        accounts.removed(hash, &mut record);
        record
    }

    /// Replaces the value as a whole; what is left of the old one is put aside.
    #[inline]
    fn change_whole(&mut self, change: impl FnOnce(&mut Record) -> Option<Record>) {
        if let Some(old) = self.change(Change::Whole, change, whole) {
            self.accounts.shelf.put(old);
        }
    }

    #[inline]
    fn change<T>(
        &mut self,
        how: Change,
        change: impl FnOnce(&mut Record) -> T,
        effect: impl FnOnce(&Record, (&mut Vec<u8>, u32)),
    ) -> T {
        let record = self.slot.get_mut();
        self.accounts
            .change((self.hash, record), how, change, effect)
    }
}

/// Room for a value.
pub struct Free<'k, R: Fn(&Record) -> u64> {
    /// `None` once it has been used.
    room: Option<Room<'k, R>>,
    hash: u64,
    accounts: &'k mut Accounts,
}

enum Room<'k, R> {
    Vacant(VacantSlot<'k, Record, R>),
    /// Taken by a record whose time has come.
    Over(OccupiedSlot<'k, Record>),
}

impl<'k, R: Fn(&Record) -> u64> Free<'k, R> {
    #[inline]
    pub(super) fn vacant(
        slot: VacantSlot<'k, Record, R>,
        hash: u64,
        accounts: &'k mut Accounts,
    ) -> Self {
        Self {
            room: Some(Room::Vacant(slot)),
            hash,
            accounts,
        }
    }

    #[inline]
    pub(super) fn over(
        slot: OccupiedSlot<'k, Record>,
        hash: u64,
        accounts: &'k mut Accounts,
    ) -> Self {
        Self {
            room: Some(Room::Over(slot)),
            hash,
            accounts,
        }
    }

    /// Puts an entry here; `key` must be the one that was looked for.
    ///
    /// # Panics
    ///
    /// If key or value is longer than [`super::record::STRING_BYTES_MAX`].
    #[inline]
    pub fn insert(self, key: &[u8], value: &[u8], expires_at: Option<UnixMillis>) {
        self.put(Record::new(key, value, expires_at));
    }

    #[inline]
    pub(super) fn put(mut self, mut record: Record) {
        self.accounts.put(self.hash, &mut record);
        match self.room.take() {
            Some(Room::Vacant(slot)) => {
                slot.insert(record);
            }
            Some(Room::Over(mut slot)) => {
                // Its effect says all that is left of what was there.
                let old = slot.replace(record);
                self.accounts.replaced(old);
                self.accounts.counters.expired += 1;
            }
            None => unreachable!("a free place is used once"),
        }
    }
}

impl<R: Fn(&Record) -> u64> Drop for Free<'_, R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(Room::Over(slot)) = self.room.take()
            && self.accounts.may_expire()
        {
            self.accounts.expired(self.hash, slot.remove());
        }
    }
}
