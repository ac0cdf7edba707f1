//! What becomes of the effects of works: a journal to keep them, and the buffer they are gathered in.
//!
//! No thread and no channel: who holds the journal, and when, is the business of `log`.
//!
//! 1. Only the end of a sync of the journal builds a proof, and releasing whoever waits takes one.
//! 2. An effect stands in the buffer as a whole or not at all: what a change that did not end has
//!    left there is cut off.

use std::fmt;
use std::sync::Arc;

use crate::fault::{Fault, is_planted};
use crate::unsynced::Unsynced;

/// Where effects are kept, so that they outlive the process. Held by one thread at a time.
///
/// A panic in any of its methods counts as [`JournalError::Failed`].
pub trait Journal: Send + 'static {
    /// Proof that everything written before is durable. Nothing but [`Journal::sync`] and
    /// [`Journal::end_sync`] makes one.
    type Synced;

    /// A sync that runs while the journal is in other hands.
    type Detached: DetachedSync;

    /// Takes one record, to be written by the next [`Journal::write`]. Does not block.
    fn append(&mut self, record: &[u8]);

    /// Takes a cut ([`Keep::cut`](crate::Keep::cut)), to be written by the next [`Journal::write`]: the records
    /// appended before it are of changes made before that moment, those behind it of later ones. Does not block.
    fn append_cut(&mut self);

    /// Hands everything appended to the operating system. Blocks on the file system.
    ///
    /// # Errors
    /// See [`JournalError`].
    fn write(&mut self) -> Result<(), JournalError>;

    /// As [`Journal::write`], where a sync is to follow: more than `bytes` are written and made durable in
    /// steps, the first of that size. After each, `step` is called with its bytes, so that others see the sync
    /// coming; it says how many the next one has. Blocks on the disk.
    ///
    /// # Errors
    /// See [`JournalError`].
    fn write_in_steps(
        &mut self,
        bytes: usize,
        step: &mut dyn FnMut(usize) -> usize,
    ) -> Result<(), JournalError> {
        let _ = (bytes, step);
        self.write()
    }

    /// Makes everything written durable. Blocks on the disk.
    ///
    /// # Errors
    /// Any error is final: what was written may be lost, although a later sync would succeed.
    fn sync(&mut self) -> Result<Self::Synced, JournalError>;

    /// Looks whether what was written is still where it was written, and would be found there. Asked every
    /// [`LOG_LOOK_INTERVAL`](crate::limits::LOG_LOOK_INTERVAL), and at the end. Cheap; does not block.
    ///
    /// # Errors
    /// It is not: any error is final.
    fn look(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    /// Begins a sync of everything written so far. Until it has ended nothing else is synced. Does not
    /// block.
    ///
    /// # Errors
    /// As for [`Journal::sync`].
    fn begin_sync(&mut self) -> Result<Self::Detached, JournalError>;

    /// Takes in what the sync that was begun last came to. Does not block.
    ///
    /// # Errors
    /// As for [`Journal::sync`].
    fn end_sync(
        &mut self,
        end: <Self::Detached as DetachedSync>::End,
    ) -> Result<Self::Synced, JournalError>;

    /// How much room there is for more. Asked after each write that succeeded and, where there was too
    /// little, again and again. May block on the file system.
    fn room(&mut self) -> Room {
        Room::Ample
    }

    /// Bytes for which room is kept whatever becomes of the disk: the queue never holds more places than
    /// these bytes stand for. Asked once, when the journal is put in its place.
    fn bytes_kept_free(&self) -> u64 {
        u64::MAX
    }

    /// Has `progress` called from now on whenever one of several syncs of a call, or of a duty, has
    /// succeeded: a caller that waits for a sync sees the disk get on. Called once, when the journal is put in
    /// its place. By default nothing is called.
    fn on_progress(&mut self, progress: Arc<dyn Fn() + Send + Sync>) {
        drop(progress);
    }

    /// Notes behind the records how far they are written and synced, when none has followed for a while.
    /// Nothing depends on it but what the next start can tell of damage. By default does nothing. Blocks
    /// on the file system.
    ///
    /// # Errors
    /// The journal failed; a lack of space is none.
    fn mark(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Room for records behind those that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// For all that may come.
    Ample,
    /// What was written took room that is kept for a full disk; what is left of it is for changes that
    /// remove something. The text says why.
    Scarce(String),
    /// Not even for those.
    None(String),
}

/// A sync that was begun with the journal in hand, and does not need it to run.
pub trait DetachedSync: Send + 'static {
    /// What it came to.
    type End: Send + 'static;

    /// Makes durable what was written before it was begun. Blocks on the disk.
    fn run(self) -> Self::End;
}

/// Why a journal did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// There is no space (or no descriptor) now. What was appended is kept, and goes first when the
    /// journal is asked again.
    NoSpace(String),
    /// It failed for good: nothing that was not synced before is certain.
    Failed(String),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace(why) => write!(f, "no space for the log: {why}"),
            Self::Failed(why) => write!(f, "the log failed: {why}"),
        }
    }
}

impl std::error::Error for JournalError {}

/// The journal of states that keep nothing: it has no values.
#[derive(Clone, Copy, Debug)]
pub enum NoJournal {}

impl Journal for NoJournal {
    type Synced = Self;
    type Detached = Self;

    fn append(&mut self, _: &[u8]) {
        match *self {}
    }

    fn append_cut(&mut self) {
        match *self {}
    }

    fn write(&mut self) -> Result<(), JournalError> {
        match *self {}
    }

    fn sync(&mut self) -> Result<Self, JournalError> {
        match *self {}
    }

    fn begin_sync(&mut self) -> Result<Self, JournalError> {
        match *self {}
    }

    fn end_sync(&mut self, end: Self) -> Result<Self, JournalError> {
        match end {}
    }
}

impl DetachedSync for NoJournal {
    type End = Self;

    fn run(self) -> Self {
        match self {}
    }
}

/// The effects of what is being done on one shard, gathered until the shard is put back; and which
/// keys have effects that are not durable yet.
#[derive(Debug, Default)]
pub struct Effects {
    record: Vec<u8>,
    whole: usize,
    dirty: bool,
    /// Bytes of the turns that have ended, in a transaction; of those that are merged, while it is queued.
    turned: usize,
    /// The number that the batch being gathered will get.
    number: u64,
    unsynced: Option<Unsynced>,
}

impl Effects {
    /// No effects yet. `tracks_keys` where replies must not show what is not durable
    /// ([`SyncMode::Always`](crate::SyncMode::Always)).
    #[must_use]
    pub fn new(tracks_keys: bool) -> Self {
        Self {
            unsynced: tracks_keys.then(Unsynced::default),
            ..Self::default()
        }
    }

    /// Where the effect of a change of the key with `hash` is appended.
    #[inline]
    pub fn of_key(&mut self, hash: u64) -> &mut Vec<u8> {
        self.dirty = true;
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.note(hash, self.number);
        }
        &mut self.record
    }

    /// Where the effect of a clear is appended: every key of the shard may have changed. A transaction that clears
    /// all shards writes that down in one of them. What was gathered before stays where it is: a clear need not
    /// concern all of it.
    pub fn of_clear(&mut self) -> &mut Vec<u8> {
        self.dirty = true;
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.note_all(self.number);
        }
        &mut self.record
    }

    /// The number of the batch that a reply about the key with `hash` depends on; 0 for none.
    #[must_use]
    #[inline]
    pub fn needs(&self, hash: u64) -> u64 {
        self.unsynced
            .as_ref()
            .map_or(0, |unsynced| unsynced.needs(hash))
    }

    /// The number of the batch that a reply about the whole shard depends on; 0 for none.
    #[must_use]
    pub fn needs_newest(&self) -> u64 {
        self.unsynced.as_ref().map_or(0, Unsynced::newest)
    }

    /// Whether batch `number` is known to be durable.
    #[must_use]
    pub fn is_durable(&self, number: u64) -> bool {
        (self.unsynced.as_ref()).is_none_or(|unsynced| unsynced.is_durable(number))
    }

    /// From here on the batch `number` is gathered; everything up to `synced` is durable.
    pub(crate) fn begin(&mut self, number: u64, synced: u64) {
        self.number = number;
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.forget(synced);
        }
    }

    /// What stands there belongs to changes that have ended. Done at the end of each
    /// [`Loan::change`](crate::Loan::change); whoever makes several changes in one says it between them.
    pub fn mark_whole(&mut self) {
        self.whole = self.record.len();
    }

    /// Drops what a change that did not end has left.
    pub(crate) fn cut_back(&mut self) {
        if is_planted(Fault::BrokenChangeKept) {
            return;
        }
        self.record.truncate(self.whole);
        self.dirty = self.whole > 0;
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Takes the record out, leaving `empty` in its place.
    pub(crate) fn take(&mut self, empty: Vec<u8>) -> Vec<u8> {
        debug_assert!(empty.is_empty());
        self.dirty = false;
        self.whole = 0;
        self.turned = 0;
        std::mem::replace(&mut self.record, empty)
    }

    /// Forgets what stands there: it will not be kept, or is kept elsewhere.
    pub(crate) fn abandon(&mut self) {
        self.record.clear();
        self.dirty = false;
        self.whole = 0;
        self.turned = 0;
    }

    /// Another shard of the transaction has its turn: says how many bytes were gathered in this one's.
    pub(crate) fn end_turn(&mut self) -> usize {
        let before = std::mem::replace(&mut self.turned, self.record.len());
        debug_assert!(before <= self.turned, "effects of a transaction only grow");
        self.turned.saturating_sub(before)
    }

    /// The turns are about to be merged, the first one first.
    pub(crate) fn begin_again(&mut self) {
        self.turned = 0;
    }

    /// The next turn, of this many bytes.
    pub(crate) fn next_turn(&mut self, bytes: usize) -> &[u8] {
        let begins = self.turned;
        self.turned = self.record.len().min(begins + bytes);
        &self.record[begins..self.turned]
    }

    /// Whatever is asked from now on depends on everything up to `number`: for a state that was made
    /// again from a log.
    pub(crate) fn needs_all_until(&mut self, number: u64) {
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.note_all(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broken_change_left_is_cut_off_and_what_came_before_stays() {
        let mut effects = Effects::new(false);
        effects.begin(1, 0);
        effects.of_key(7).extend_from_slice(b"whole");
        effects.mark_whole();
        effects.of_key(8).extend_from_slice(b"half");
        effects.cut_back();
        assert!(effects.is_dirty());
        assert_eq!(effects.take(Vec::new()), b"whole");
        effects.of_key(8).extend_from_slice(b"half");
        effects.cut_back();
        assert!(!effects.is_dirty());
    }

    #[test]
    fn a_clear_that_broke_takes_nothing_with_it() {
        let mut effects = Effects::new(false);
        effects.begin(1, 0);
        effects.of_key(7).extend_from_slice(b"whole");
        effects.mark_whole();
        effects.of_key(8).extend_from_slice(b"half");
        effects.of_clear().extend_from_slice(b"clear");
        effects.cut_back();
        assert!(effects.is_dirty());
        assert_eq!(effects.take(Vec::new()), b"whole");
    }

    #[test]
    fn a_reply_needs_the_batch_of_its_own_key_alone() {
        let mut effects = Effects::new(true);
        effects.begin(1, 0);
        effects.of_key(7).push(b'a');
        effects.begin(2, 0);
        effects.of_key(8).push(b'b');
        assert_eq!(
            (effects.needs(7), effects.needs(8), effects.needs(9)),
            (1, 2, 0)
        );
        assert_eq!(effects.needs_newest(), 2);
        effects.begin(3, 1);
        assert_eq!((effects.needs(7), effects.needs(8)), (0, 2));
    }

    #[test]
    fn a_clear_concerns_every_key_and_leaves_what_was_gathered_before() {
        let mut effects = Effects::new(true);
        effects.begin(4, 3);
        effects.of_key(7).extend_from_slice(b"before, ");
        effects.of_clear().extend_from_slice(b"clear");
        assert_eq!(effects.needs(1234), 4);
        assert_eq!(effects.take(Vec::new()), b"before, clear");
    }
}
