//! What a keyspace that outlives its process keeps of every change: an effect for the log.
//!
//! Every change of an entry passes through the accounts, and they pass it on to here; so no command can
//! forget it. Knows no log and no batches but by the buffer it writes into.
//!
//! 1. An effect is absolute: the whole entry, or that it is gone.
//! 2. A change is made only while there is a place in the log for its effect, except for the removal of
//!    an entry whose time has come: without a place it leaves no effect, because whoever replays the
//!    entry finds its time to have come as well.
//! 3. What is restored leaves no effect.

use std::ops::ControlFlow;

use shardkeep::codec::DecodeError;
use shardkeep::durable::{Saved, Slice};
use shardkeep::effect::Effect;
use shardkeep::engine::Effects;
use shardkeep::table::Spot;

use super::record::{Record, STRING_BYTES_MAX};
use super::{Keyspace, Table, hash_key};

/// The effects of one keyspace on their way to the log.
pub(super) struct Kept {
    effects: Effects,
    /// A clear concerns all shards, and is written down by one of them.
    says_clear: bool,
    /// What is done now may change entries.
    has_place: bool,
}

impl Kept {
    pub(super) fn wrote(&mut self, hash: u64, record: &Record) {
        debug_assert!(self.has_place, "a change without a place in the log");
        Effect::Set {
            key: record.key(),
            value: record.value(),
            expires: record.expires_at(),
        }
        .encode(self.effects.of_key(hash));
    }

    pub(super) fn removed(&mut self, hash: u64, key: &[u8]) {
        debug_assert!(self.has_place, "a change without a place in the log");
        Effect::Delete { key }.encode(self.effects.of_key(hash));
    }

    /// The time of an entry has come, and it was removed.
    pub(super) fn expired(&mut self, hash: u64, key: &[u8]) {
        if self.has_place {
            self.removed(hash, key);
        }
    }

    pub(super) fn cleared(&mut self) {
        debug_assert!(self.has_place, "a change without a place in the log");
        let record = self.effects.of_clear();
        if self.says_clear {
            Effect::Clear.encode(record);
        }
    }
}

impl Keyspace {
    /// Keeps the effects of every change from now on. Of all keyspaces of a store one alone
    /// `says_clear`.
    #[must_use]
    pub fn keeping(mut self, effects: Effects, says_clear: bool) -> Self {
        self.accounts.kept = Some(Box::new(Kept {
            effects,
            says_clear,
            has_place: false,
        }));
        self
    }

    /// Whether effects are kept.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.accounts.kept.is_some()
    }

    /// The effects, where they are kept.
    #[inline]
    pub fn effects(&self) -> Option<&Effects> {
        Some(&self.accounts.kept.as_ref()?.effects)
    }

    /// The effects, where they are kept.
    #[inline]
    pub fn effects_mut(&mut self) -> Option<&mut Effects> {
        Some(&mut self.accounts.kept.as_mut()?.effects)
    }

    /// What is done next has a place in the log for its effects, or changes nothing.
    pub fn begin_command(&mut self, has_place: bool) {
        if let Some(kept) = &mut self.accounts.kept {
            kept.has_place = has_place;
        }
    }

    /// What was done since [`Keyspace::begin_command`] is whole.
    pub fn end_command(&mut self) {
        if let Some(kept) = &mut self.accounts.kept
            && std::mem::take(&mut kept.has_place)
        {
            kept.effects.mark_whole();
        }
    }

    /// Makes an effect happen again. Expires nothing, and leaves no effect.
    ///
    /// # Errors
    /// A key or a value longer than any that there can be.
    pub fn restore(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError> {
        let kept = self.accounts.kept.take();
        let changes = self.accounts.changes;
        let restored = self.restore_unkept(effect);
        self.accounts.changes = changes;
        self.accounts.kept = kept;
        // Nothing waits for the shard.
        drop(self.take_aside());
        restored
    }

    fn restore_unkept(&mut self, effect: &Effect<'_>) -> Result<(), DecodeError> {
        match *effect {
            Effect::Set {
                key,
                value,
                expires,
            } => {
                fits(key)?;
                fits(value)?;
                let hash = hash_key(&self.hasher, key);
                self.set(hash, key, value, expires);
            }
            Effect::Delete { key } => {
                let hash = hash_key(&self.hasher, key);
                self.remove(hash, key);
            }
            Effect::Clear => self.clear(),
        }
        Ok(())
    }

    /// Appends entries from `spot` on, expired ones included, as effects, until the slice is full.
    pub fn save(&self, spot: Spot, slice: Slice, into: &mut Vec<u8>) -> Saved {
        let table: &Table<Record> = &self.table;
        let (mut entries, before) = (0, into.len());
        let visit = |record: &Record| {
            entries += 1;
            Effect::Set {
                key: record.key(),
                value: record.value(),
                expires: record.expires_at(),
            }
            .encode(into);
            if slice.is_filled_by(entries, into.len() - before) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let walked = table.walk(spot, Record::prefetch, visit);
        Saved { entries, walked }
    }
}

fn fits(string: &[u8]) -> Result<(), DecodeError> {
    if string.len() <= STRING_BYTES_MAX {
        return Ok(());
    }
    Err(DecodeError(format!(
        "a string of {} bytes, of which {STRING_BYTES_MAX} are possible",
        string.len()
    )))
}
