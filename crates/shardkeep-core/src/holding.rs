//! The journal in somebody's hands: appending the queue, writing, syncing, releasing.
//!
//! 1. Who waits is released by a proof of the journal alone.
//! 2. Without space nothing is forgotten: what was appended is written first when there is space.
//! 3. A panic while the journal is held fails the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;

use crate::clock;
use crate::journal::{Journal, JournalError};
use crate::limits;
use crate::log::{Condition, Duty, Entry, Extent, Log, Marks};

/// The journal with what belongs to it: whoever holds this holds the log.
pub(crate) struct Shelf<J> {
    journal: J,
    /// Appended, and not known to be written.
    unwritten_places: usize,
    unwritten: bool,
    unsynced: Newest,
}

/// The newest batch of each shard that was appended and is not known to be durable.
struct Newest {
    /// 0 for none.
    of_shard: Box<[u64]>,
    /// The shards that have one.
    shards: Vec<usize>,
}

impl Newest {
    fn note(&mut self, shard: usize, number: u64) {
        let newest = &mut self.of_shard[shard];
        debug_assert!(*newest < number, "batches of a shard are appended in order");
        if *newest == 0 {
            self.shards.push(shard);
        }
        *newest = number;
    }

    fn drain(&mut self) -> impl Iterator<Item = (usize, u64)> {
        let of_shard = &mut self.of_shard;
        self.shards
            .drain(..)
            .map(|shard| (shard, std::mem::take(&mut of_shard[shard])))
    }
}

/// The journal in somebody's hands. Dropping it puts it back and looks whether more was queued.
pub(crate) struct Holding<'l, J: Journal> {
    log: &'l Log<J>,
    shelf: Option<Box<Shelf<J>>>,
}

impl<J: Journal> Shelf<J> {
    pub(crate) fn new(journal: J, shards: usize) -> Self {
        Self {
            journal,
            unwritten_places: 0,
            unwritten: false,
            unsynced: Newest {
                of_shard: vec![0; shards].into(),
                shards: Vec::new(),
            },
        }
    }

    fn take_in(&mut self, entry: &Entry) {
        self.journal.append(&entry.record);
        self.unwritten = true;
        self.unwritten_places += entry.places;
        match &entry.marks {
            Marks::One(shard, number) => self.unsynced.note(*shard, *number),
            Marks::Many(marks) => {
                for &(shard, number) in marks {
                    self.unsynced.note(shard, number);
                }
            }
        }
    }
}

impl<'l, J: Journal> Holding<'l, J> {
    pub(crate) fn new(log: &'l Log<J>, shelf: Box<Shelf<J>>) -> Self {
        Self {
            log,
            shelf: Some(shelf),
        }
    }

    fn shelf(&mut self) -> &mut Shelf<J> {
        match &mut self.shelf {
            Some(shelf) => shelf,
            None => unreachable!("the journal is there until it is put back"),
        }
    }

    /// Appends the queue, writes it, syncs it if asked, and releases whoever waited for that. Says
    /// whether it came that far.
    pub(crate) fn commit(&mut self, extent: Extent) -> bool {
        let log = self.log;
        if log.condition() == Condition::Failed {
            return false;
        }
        log.desk.clear_mail();
        let done = catch_unwind(AssertUnwindSafe(|| self.commit_queue(extent)));
        match done.unwrap_or_else(|_| Err(JournalError::Failed("the log panicked".to_owned()))) {
            Ok(()) => log.has_space(),
            Err(JournalError::NoSpace(why)) => {
                log.has_no_space(why);
                return false;
            }
            Err(JournalError::Failed(why)) => {
                log.fail(why);
                return false;
            }
        }
        true
    }

    fn commit_queue(&mut self, extent: Extent) -> Result<(), JournalError> {
        self.append_queue();
        self.write()?;
        match extent {
            Extent::Write => Ok(()),
            Extent::Sync => self.sync(),
        }
    }

    fn append_queue(&mut self) {
        let log = self.log;
        let shelf = self.shelf();
        // As many as can be in the queue at once: what comes later rides on the next commit.
        for _ in 0..limits::LOG_PLACES {
            let Some(entry) = log.queue.try_recv() else {
                return;
            };
            shelf.take_in(&entry);
            log.counters.appended(entry.record.len());
            let mut buffer = entry.record;
            if buffer.capacity() <= limits::LOG_SPARE_BYTES_MAX {
                buffer.clear();
                // Where enough are spare already, this one is freed.
                drop(log.spare.try_send(buffer));
            }
        }
        // The bound was reached: whoever puts the journal back must look again.
        log.desk.set_mail();
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let log = self.log;
        let shelf = self.shelf();
        if !shelf.unwritten {
            return Ok(());
        }
        shelf.journal.write()?;
        shelf.unwritten = false;
        let places = std::mem::take(&mut shelf.unwritten_places);
        log.counters.writes.add(1);
        log.give_places(places);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let log = self.log;
        let shelf = self.shelf();
        if shelf.unsynced.shards.is_empty() {
            return Ok(());
        }
        let began = clock::now();
        let proof = shelf.journal.sync()?;
        log.counters
            .synced(clock::now().saturating_duration_since(began));
        log.release(&proof, shelf.unsynced.drain());
        Ok(())
    }

    /// Runs what somebody wants done with the journal in hand.
    pub(crate) fn carry_out(&mut self, duty: Duty<J>) {
        let log = self.log;
        let journal = &mut self.shelf().journal;
        if catch_unwind(AssertUnwindSafe(|| duty(journal))).is_err() {
            log.fail("a panic while the log was held".to_owned());
        }
    }
}

impl<J: Journal> Drop for Holding<'_, J> {
    fn drop(&mut self) {
        let Some(shelf) = self.shelf.take() else {
            return;
        };
        self.log.desk.put(shelf);
        if self.log.condition() == Condition::Failed {
            self.log.discard_queue();
        }
        if self.log.desk.has_mail() || self.log.is_wanted.swap(false, SeqCst) {
            self.log.doorbell.ring();
        }
    }
}
