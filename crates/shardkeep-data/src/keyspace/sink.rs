//! What a keyspace that outlives its process does with every change: an effect for the log, and what a walk
//! misses of it.
//!
//! Every change of an entry passes through the accounts, and they pass it on to here; so no command can
//! forget it. Knows no log and no batches but by the buffer it writes into.
//!
//! 1. An effect is as small as what changed, and depends on its key's own state alone.
//! 2. A change is made only while there is a place in the log for its effect. A reader has none: it treats an
//!    entry whose time has come as absent, and removes nothing.
//! 3. What is replayed leaves no effect and expires nothing.

use std::sync::Arc;

use shardkeep::codec::{DecodeError, EncodeError};
use shardkeep::effect;
use shardkeep::engine::Effects;
use shardkeep::shard::fault::{Fault, is_planted};
use shardkeep::shard::{Change, Image, Moment, Pressure, Saved, Slice, WalkPoint, Walks};
use shardkeep::table::UnixMillis;

use super::record::{Record, STRING_BYTES_MAX};
use super::{Keyspace, Table, hash_key};

/// The effects of one keyspace on their way to the log, and the walks through it.
pub(super) struct ChangeSink {
    effects: Effects,
    walks: Walks,
    /// A clear concerns all shards, and is written down by one of them.
    says_clear: bool,
    /// What is done now may change entries.
    has_place: bool,
}

/// What adds a record to an image. Never fails: the type is that of states whose entries may have no form.
fn save(database: u32) -> impl FnMut(&Record, &mut Image) -> Result<(), EncodeError> {
    move |record, into| {
        if record.is_large() {
            // Shared, so that no shard is in hand for as long as a large value takes.
            let (bytes, record) = (record.value().len(), record.clone());
            into.later(bytes, move |into| append(&record, into, database));
        } else {
            append(record, into.bytes(), database);
        }
        Ok(())
    }
}

/// Appends a record as an effect.
#[inline]
pub(super) fn append(record: &Record, into: &mut Vec<u8>, database: u32) {
    let expires = record.expires_at();
    effect::set(into, database, record.key(), record.value(), expires);
}

impl ChangeSink {
    /// A record that is there is about to change, or was just taken out, of a table that had the number `at_cut`.
    #[inline]
    pub(super) fn before(&mut self, record: &mut Record, change: Change, at_cut: u32) {
        debug_assert!(self.has_place, "a change without a place in the log");
        self.walks.before(record, change, save(at_cut));
    }

    /// A record is about to be put in.
    #[inline]
    pub(super) fn born(&self, record: &mut Record) {
        if !is_planted(Fault::BornMissing) {
            record.set_walk_bits(self.walks.had());
        }
    }

    /// Where the effect of a change of the key with this hash is written.
    #[inline]
    pub(super) fn effect(&mut self, hash: u64) -> &mut Vec<u8> {
        debug_assert!(self.has_place, "a change without a place in the log");
        self.effects.of_key(hash)
    }

    /// Whether what is done now may change entries.
    #[inline]
    pub(super) fn has_place(&self) -> bool {
        self.has_place
    }

    /// All records of a table are about to go.
    pub(super) fn clears(&mut self, table: &mut Table<Record>, at_cut: u32) {
        debug_assert!(self.has_place, "a change without a place in the log");
        self.walks.before_clear(table, save(at_cut));
    }

    /// Something was done to all keys, together with those of all other shards: one shard writes it down.
    pub(super) fn on_all(&mut self, database: u32, words: &[&[u8]]) {
        debug_assert!(self.has_place, "a change without a place in the log");
        let into = self.effects.of_clear();
        if self.says_clear {
            effect::command(into, database, words);
        }
    }
}

impl Keyspace {
    /// Keeps the effects of every change from now on. Of all keyspaces of a store one alone
    /// `says_clear`.
    #[must_use]
    pub fn keeping(mut self, effects: Effects, says_clear: bool) -> Self {
        self.accounts.sink = Some(Box::new(ChangeSink {
            effects,
            walks: Walks::default(),
            says_clear,
            has_place: false,
        }));
        self
    }

    /// Whether effects are kept.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.accounts.sink.is_some()
    }

    /// The effects, where they are kept.
    #[inline]
    pub fn effects(&self) -> Option<&Effects> {
        Some(&self.accounts.sink.as_ref()?.effects)
    }

    /// The effects, where they are kept.
    #[inline]
    pub fn effects_mut(&mut self) -> Option<&mut Effects> {
        Some(&mut self.accounts.sink.as_mut()?.effects)
    }

    /// What is done next has a place in the log for its effects, or changes nothing.
    pub fn begin_command(&mut self, has_place: bool) {
        if let Some(sink) = &mut self.accounts.sink {
            sink.has_place = has_place;
        }
    }

    /// What was done since [`Keyspace::begin_command`] is whole.
    pub fn end_command(&mut self) {
        if let Some(sink) = &mut self.accounts.sink
            && std::mem::take(&mut sink.has_place)
        {
            sink.effects.mark_whole();
        }
    }

    /// Makes the cut of a walk, as [`Walks::cut`] does.
    pub fn cut(&mut self, moment: Moment, pressure: Arc<Pressure>) {
        if self.walks().is_some_and(|walks| !walks.is_under_way()) {
            self.note_cut();
        }
        if let Some(walks) = self.walks() {
            walks.cut(moment, pressure);
        }
    }

    /// What walks through this keyspace are under way, where its effects are kept.
    pub fn walks(&mut self) -> Option<&mut Walks> {
        Some(&mut self.accounts.sink.as_mut()?.walks)
    }

    /// Replays: what `replay` changes leaves no effect, is no change that is counted, and expires nothing.
    pub(crate) fn replaying<T>(&mut self, replay: impl FnOnce(&mut Self) -> T) -> T {
        let (sink, changes) = (self.accounts.sink.take(), self.accounts.changes);
        let now = std::mem::replace(&mut self.now, UnixMillis::new(0));
        let replayed = replay(self);
        self.now = now;
        self.accounts.changes = changes;
        self.accounts.sink = sink;
        // Nothing waits for the shard.
        drop(self.take_aside());
        replayed
    }

    /// The hash of a key.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        hash_key(&self.hasher, key)
    }

    /// Gives a key the value that is read from the log.
    ///
    /// # Errors
    /// A key or a value longer than any that there can be.
    pub(crate) fn replay_set(
        &mut self,
        key: &[u8],
        value: &[u8],
        expires: Option<UnixMillis>,
    ) -> Result<(), DecodeError> {
        fits(key)?;
        fits(value)?;
        let hash = self.hash(key);
        self.set(hash, key, value, expires);
        Ok(())
    }

    /// One slice of a walk: what was handed over, and missing entries from `from` on, expired ones included, as
    /// effects.
    ///
    /// # Errors
    /// None that a record could cause.
    pub fn slice(
        &mut self,
        from: WalkPoint,
        slice: Slice,
        into: &mut Image,
    ) -> Result<Saved, EncodeError> {
        let Some(mut sink) = self.accounts.sink.take() else {
            return Ok(Saved::NOTHING);
        };
        let is_walk = sink.walks.is_under_way();
        let numbers = from.table as u32..self.databases();
        let mut there = numbers.filter(|number| self.table_of(*number, is_walk).is_some());
        let (number, next) = (there.next(), there.next());
        let from = match number {
            Some(number) if number as usize == from.table => from,
            Some(number) => WalkPoint::before(number as usize),
            None => from,
        };
        let saved = match number.and_then(|number| Some((number, self.table_of(number, is_walk)?)))
        {
            Some((number, table)) => {
                let (walks, touch) = (&mut sink.walks, Record::prefetch);
                walks.slice(table, from, slice, into, touch, save(number))
            }
            None => Ok(Saved {
                entries: sink.walks.take_handed(into),
                ..Saved::NOTHING
            }),
        };
        self.accounts.sink = Some(sink);
        saved.map(|saved| Saved {
            next: saved
                .next
                .or(next.map(|next| WalkPoint::before(next as usize))),
            ..saved
        })
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
