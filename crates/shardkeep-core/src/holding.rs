//! The journal in somebody's hands: appending the queue, writing, syncing, releasing.
//!
//! 1. Who waits is released by a proof of the journal alone, of a sync begun after what it waits for was
//!    written.
//! 2. Without space nothing is forgotten: what was appended is written first when there is space, and
//!    what was written before is synced meanwhile.
//! 3. A failed sync, whatever its reason, and a panic while the journal is held fail the log.
//! 4. While a sync runs aside none is carried out in hand: the first to be told of an error may be the
//!    only one.
//! 5. Places come back when what took them is written, or certainly never will be.
//! 6. Where it is time to look whether the files are still where they were, that is done before anything
//!    else by any holder of the journal: no caller is released by what is found nowhere.
//! 7. What is queued is committed in steps (see `progress`), each noted as progress when it has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::clock;
use crate::duty::Duty;
use crate::error::Refused;
use crate::fail_point;
use crate::fault::{Fault, is_planted};
use crate::journal::{Journal, JournalError, Room};
use crate::limits;
use crate::log::{Condition, Entry, Extent, Log, Marks};
use crate::progress::Pace;

/// The journal with what belongs to it: whoever holds this holds the log.
pub(crate) struct Shelf<J> {
    journal: J,
    /// The places of what was appended and is not written.
    unwritten_places: usize,
    /// Something was appended and is not written.
    unwritten: bool,
    /// Batches among it.
    unwritten_batches: u64,
    appended: Newest,
    written: Newest,
    /// What a sync covers that runs aside.
    covered: Newest,
    /// A sync was begun and has not been ended.
    has_aside: bool,
    pace: Pace,
}

/// The newest batch of each shard that was appended and is not written, or written and not durable.
struct Newest {
    /// 0 for none.
    of_shard: Box<[u64]>,
    /// The shards that have one.
    shards: Vec<usize>,
    /// A cut is among it.
    cut: bool,
}

impl Newest {
    fn new(shards: usize) -> Self {
        Self {
            of_shard: vec![0; shards].into(),
            shards: Vec::new(),
            cut: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.shards.is_empty() && !self.cut
    }

    fn note(&mut self, shard: usize, number: u64) {
        let newest = &mut self.of_shard[shard];
        debug_assert!(*newest < number, "batches of a shard are appended in order");
        if *newest == 0 {
            self.shards.push(shard);
        }
        *newest = number;
    }

    fn drain(&mut self) -> impl Iterator<Item = (usize, u64)> {
        self.cut = false;
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
            unwritten_batches: 0,
            appended: Newest::new(shards),
            written: Newest::new(shards),
            covered: Newest::new(shards),
            has_aside: false,
            pace: Pace::new(),
        }
    }

    fn take_in(&mut self, entry: &Entry) {
        self.unwritten = true;
        self.unwritten_places += entry.places;
        match &entry.marks {
            Marks::One(shard, number) => {
                self.append(&entry.record);
                self.appended.note(*shard, *number);
            }
            Marks::Many(marks) => {
                self.append(&entry.record);
                for &(shard, number) in marks {
                    self.appended.note(shard, number);
                }
            }
            Marks::Cut => {
                self.journal.append_cut();
                self.appended.cut = true;
            }
        }
    }

    fn append(&mut self, record: &[u8]) {
        self.unwritten_batches += 1;
        self.journal.append(record);
    }

    /// What was appended is written; says how many places that took.
    fn all_written(&mut self) -> usize {
        self.unwritten = false;
        self.written.cut |= self.appended.cut;
        for (shard, number) in self.appended.drain() {
            self.written.note(shard, number);
        }
        std::mem::take(&mut self.unwritten_places)
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
        if !is_planted(Fault::LogFlagClearedLate) {
            log.desk.clear_mail();
        }
        let done = catch_unwind(AssertUnwindSafe(|| self.commit_queue(extent)));
        match done.unwrap_or_else(|_| Err(JournalError::Failed("the log panicked".to_owned()))) {
            Ok(()) => return true,
            Err(JournalError::NoSpace(why)) => {
                log.has_no_space(why, false);
            }
            Err(JournalError::Failed(why)) => {
                self.fail(why);
            }
        }
        false
    }

    /// Nothing will be written any more.
    pub(crate) fn fail(&mut self, why: String) {
        let places = std::mem::take(&mut self.shelf().unwritten_places);
        self.log.fail(why, places);
    }

    fn commit_queue(&mut self, extent: Extent) -> Result<(), JournalError> {
        // As many as can be in the queue at once: what comes later rides on the next commit.
        let mut left = limits::LOG_PLACES;
        loop {
            fail_point::hit("log.append");
            self.look_if_due()?;
            let step = self.shelf().pace.bytes();
            let (bytes, more) = self.append_queue(&mut left, step);
            fail_point::hit("log.appended");
            if is_planted(Fault::LogFlagClearedLate) {
                self.log.desk.clear_mail();
            }
            let written = self.write(extent);
            if let Err(JournalError::Failed(_)) = written {
                return written;
            }
            match extent {
                // Where there was no space: what was written before.
                Extent::Sync => self.sync(bytes)?,
                Extent::Write => self.note_behind(),
            }
            if written.is_err() {
                // Kept by the journal too, as what was appended before.
                self.append_queue(&mut left, usize::MAX);
                return written;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Looks whether the files are where they were, where the time for it has come, and does nothing else.
    /// Says whether they are.
    pub(crate) fn look(&mut self) -> bool {
        if self.log.condition() == Condition::Failed {
            return false;
        }
        let looked = catch_unwind(AssertUnwindSafe(|| self.look_if_due()));
        match looked.unwrap_or_else(|_| Err(JournalError::Failed("the log panicked".to_owned()))) {
            Ok(()) => true,
            Err(JournalError::Failed(why) | JournalError::NoSpace(why)) => {
                self.fail(why);
                false
            }
        }
    }

    fn look_if_due(&mut self) -> Result<(), JournalError> {
        if !self.log.wants_look() {
            return Ok(());
        }
        self.log.begin_look();
        self.shelf().journal.look()
    }

    /// Appends the next batches, `left` of them at most, and none beyond `bytes` in all. Says how many bytes
    /// these have, and whether others may be behind them in this commit.
    fn append_queue(&mut self, left: &mut usize, bytes: usize) -> (usize, bool) {
        let log = self.log;
        let shelf = self.shelf();
        let mut appended = 0;
        while *left > 0 {
            if appended >= bytes {
                return (appended, true);
            }
            let Some(entry) = log.queue.try_recv() else {
                return (appended, false);
            };
            *left -= 1;
            appended += entry.record.len();
            shelf.take_in(&entry);
            if entry.record.len() >= limits::LOG_STEP_BYTES {
                // Copying it takes its time, too.
                log.progress.note(clock::now());
            }
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
        (appended, false)
    }

    fn write(&mut self, extent: Extent) -> Result<(), JournalError> {
        let log = self.log;
        let shelf = self.shelf();
        let mut places = 0;
        if shelf.unwritten {
            match extent {
                Extent::Sync => {
                    let pace = &mut shelf.pace;
                    let mut ended: Option<Instant> = None;
                    let first = pace.bytes();
                    // What there was no space for is written from its beginning, again and again: the steps of that lead
                    // nowhere until one attempt succeeds.
                    let is_again = log.condition().is_short();
                    let step = &mut |bytes| {
                        let now = clock::now();
                        if !is_again {
                            log.progress.note(now);
                        }
                        // How long the first one took is not known: for a usual commit no clock is read.
                        if let Some(began) = ended.replace(now) {
                            pace.note(bytes, now.saturating_duration_since(began));
                        }
                        pace.bytes()
                    };
                    shelf.journal.write_in_steps(first, step)?;
                }
                Extent::Write => shelf.journal.write()?,
            }
            places = shelf.all_written();
            log.counters
                .written(std::mem::take(&mut shelf.unwritten_batches));
            log.note_unmarked();
        } else if !log.condition().is_short() {
            return Ok(());
        }
        // Before anybody is released: whoever is may write again.
        self.note_room();
        log.give_places(places);
        Ok(())
    }

    /// Reads off the journal what may be written behind what was.
    fn note_room(&mut self) {
        let log = self.log;
        match self.shelf().journal.room() {
            Room::Ample => log.has_space(),
            Room::Scarce(why) => log.has_no_space(why, true),
            Room::None(why) => log.has_no_space(why, false),
        }
    }

    fn note_behind(&mut self) {
        let shelf = self.shelf();
        let is_behind = shelf.has_aside || !shelf.written.is_empty();
        self.log.note_behind(is_behind);
    }

    /// Begins a sync of what is written, to run aside, unless one is under way or nothing is to be synced.
    /// Says whether it did.
    pub(crate) fn begin_sync(&mut self) -> bool {
        let log = self.log;
        let shelf = self.shelf();
        if log.condition() == Condition::Failed || shelf.has_aside || shelf.written.is_empty() {
            return false;
        }
        let begun = catch_unwind(AssertUnwindSafe(|| shelf.journal.begin_sync()));
        match begun.unwrap_or_else(|_| Err(JournalError::Failed("the log panicked".to_owned()))) {
            Ok(sync) => {
                debug_assert!(shelf.covered.is_empty());
                std::mem::swap(&mut shelf.written, &mut shelf.covered);
                shelf.has_aside = true;
                log.aside.begin(sync);
                true
            }
            Err(error) => {
                self.fail(format!("the sync failed: {error}"));
                false
            }
        }
    }

    /// Takes in what a sync came to that ran aside, if there was one, and releases whoever waited for that.
    pub(crate) fn end_sync(&mut self) {
        let log = self.log;
        let Some(ran) = log.aside.take_end() else {
            return;
        };
        self.shelf().has_aside = false;
        if !self.look() {
            return;
        }
        let shelf = self.shelf();
        log.counters.synced(ran.took);
        let proof = match ran.end {
            Some(end) => catch_unwind(AssertUnwindSafe(|| shelf.journal.end_sync(end)))
                .unwrap_or_else(|_| Err(JournalError::Failed("the log panicked".to_owned()))),
            None => Err(JournalError::Failed("a panic".to_owned())),
        };
        match proof {
            Ok(proof) => {
                log.progress.note(clock::now());
                if is_planted(Fault::LaterReleasedToo) {
                    log.raise(shelf.written.of_shard.iter().copied().enumerate());
                }
                log.release(&proof, shelf.covered.drain());
                log.note_unmarked();
                self.note_behind();
            }
            Err(error) => self.fail(format!("the sync failed: {error}")),
        }
    }

    /// Syncs what was written: `bytes` of it in this step.
    fn sync(&mut self, bytes: usize) -> Result<(), JournalError> {
        let log = self.log;
        let shelf = self.shelf();
        debug_assert!(!shelf.has_aside, "one sync at a time");
        if shelf.written.is_empty() {
            return Ok(());
        }
        let began = clock::now();
        // What is synced now was written just before.
        log.progress.note(began);
        if is_planted(Fault::ReleasedBeforeSync) {
            log.raise(shelf.written.of_shard.iter().copied().enumerate());
        }
        fail_point::hit("log.sync");
        // Even where there was no space: what was written may be lost.
        let proof = (shelf.journal.sync())
            .map_err(|error| JournalError::Failed(format!("the sync failed: {error}")));
        if is_planted(Fault::FailedSyncAcknowledged) && proof.is_err() {
            log.raise(shelf.written.drain());
            return Ok(());
        }
        let proof = proof?;
        fail_point::hit("log.synced");
        let ended = clock::now();
        log.progress.note(ended);
        let took = ended.saturating_duration_since(began);
        shelf.pace.note(bytes, took);
        log.counters.synced(took);
        log.note_behind(false);
        log.note_unmarked();
        log.release(&proof, shelf.written.drain());
        fail_point::hit("log.released");
        Ok(())
    }

    /// Lets the journal note how far it is written and synced, for the next start to compare with what it
    /// finds.
    pub(crate) fn mark(&mut self) {
        let log = self.log;
        if log.condition() == Condition::Failed {
            return;
        }
        log.note_marked();
        let journal = &mut self.shelf().journal;
        let marked = catch_unwind(AssertUnwindSafe(|| journal.mark()));
        // What a journal does that has panicked is not known.
        match marked.unwrap_or_else(|_| Err(JournalError::Failed("the log panicked".to_owned()))) {
            Ok(()) | Err(JournalError::NoSpace(_)) => {}
            Err(JournalError::Failed(why)) => self.fail(why),
        }
    }

    /// Runs what somebody wants done with the journal in hand, unless the log has failed.
    pub(crate) fn carry_out(&mut self, mut duty: Box<dyn Duty<J>>) {
        if self.log.condition() == Condition::Failed {
            return duty.settle(Some(Refused::LogFailed));
        }
        let carried = catch_unwind(AssertUnwindSafe(|| {
            let shelf = self.shelf();
            duty.run(&mut shelf.journal);
            // It may have taken the room that is kept. What waits to be written tells more.
            if !shelf.unwritten {
                self.note_room();
            }
        }));
        if carried.is_err() {
            self.fail("a panic while the log was held".to_owned());
        }
        duty.settle(None);
    }

    /// Puts the journal away for good.
    pub(crate) fn put_away(mut self) {
        let Some(mut shelf) = self.shelf.take() else {
            return;
        };
        self.log.close();
        self.log
            .give_places(std::mem::take(&mut shelf.unwritten_places));
        // A journal that has panicked may do so again.
        drop(catch_unwind(AssertUnwindSafe(|| drop(shelf))));
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
        let has_mail = self.log.desk.has_mail() && !is_planted(Fault::LogNoSecondLook);
        if has_mail || self.log.is_wanted.swap(false, SeqCst) {
            self.log.doorbell.ring();
        }
    }
}
