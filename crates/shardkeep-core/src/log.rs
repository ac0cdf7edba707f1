//! The log is lent too: the journal on a desk of its own, and the queue of what is to be written.
//!
//! Whoever needs a sync borrows the journal, appends the queue in order (its own batch is already in
//! it), syncs, and puts it back; whoever finds the desk empty has its batch in the queue already. Where
//! writes are acknowledged before they are synced, the sync runs aside (see `syncer`), and nobody has the
//! journal meanwhile.
//!
//! 1. A place in the queue is taken *before* the first write of a batch is applied, so a batch never
//!    waits for room with a shard in hand. A large record takes the room of several.
//! 2. A batch enters the queue while its shard is held, and the queue is appended in order: so the
//!    log never turns round two batches of one shard.
//! 3. No lost batch. Who queues one sets the flag, *then* tries to borrow, or makes sure that the
//!    committer is awake; who holds the journal clears the flag, *then* empties the queue, and after
//!    putting the journal back looks at the flag again. (The argument is that of the desk.)
//! 4. `synced` of a shard only rises, and only by a proof of the journal.
//! 5. A journal that failed, or whose holder panicked, is failed for good.
//! 6. Once it stands, the condition changes in the hands of the journal's holder alone. Who has waited
//!    for a place looks at it again before it has one.
//! 7. What is queued after the log has failed, or was closed, is discarded: who queues sets the flag,
//!    *then* looks at the condition; who changes it does that, *then* empties the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crossbeam_utils::CachePadded;

use crate::aside::Aside;
use crate::awaiting::Awaiting;
use crate::clock;
use crate::config::{Durability, SyncMode};
use crate::deadline::Call;
use crate::desk::Desk;
use crate::door::{Door, Turned};
use crate::doorbell::Doorbell;
use crate::duty::Duty;
use crate::error::Refused;
use crate::fault::{Fault, is_planted};
use crate::holding::{Holding, Shelf};
use crate::journal::{Effects, Journal, Room};
use crate::limits;
use crate::log_stats::LogCounters;
use crate::pressure::Pressure;
use crate::process;
use crate::progress::Progress;
use crate::sync::channel::Queue;
use crate::sync::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Mutex, Waiter, Wake};
use crate::watch::Pulse;

/// What the log tells whoever opened the keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogEvent {
    /// It failed for good: writes are refused until the store is opened again.
    Failed(String),
    /// There is no space: writes are refused until there is.
    NoSpace(String),
    /// There is space again.
    Resumed,
    /// Something that somebody may want to know, although the log is sound.
    Warning(String),
}

type Tell = Box<dyn Fn(LogEvent) + Send + Sync>;

/// How the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Condition {
    /// The journal is not there yet: the state is being recovered.
    Recovering = 0,
    Open = 1,
    NoSpace = 2,
    Failed = 3,
    /// The journal was put away: the keep is closed.
    Closed = 4,
    /// Without space but for what is kept for changes that remove something.
    Scarce = 5,
}

impl Condition {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Recovering,
            1 => Self::Open,
            2 => Self::NoSpace,
            3 => Self::Failed,
            5 => Self::Scarce,
            _ => Self::Closed,
        }
    }

    /// Whether ordinary writes wait for space.
    pub(crate) fn is_short(self) -> bool {
        matches!(self, Self::NoSpace | Self::Scarce)
    }
}

/// What a place in the queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Any change.
    Write,
    /// A change that does nothing but remove: it goes on where there is no space for others.
    Remove,
    /// One that removes everything, in a few bytes: it goes on in the last room that is kept, too, since
    /// nothing makes more.
    Clear,
    /// A cut, which changes nothing: the snapshot that begins with it may make space.
    Cut,
}

impl Intent {
    /// Whether it waits for a walk that is behind: its change may hand over old states, in any number.
    fn feeds_walks(self) -> bool {
        match self {
            Self::Write | Self::Remove => true,
            Self::Clear | Self::Cut => false,
        }
    }
}

/// A batch of one shard, or of the shards of a transaction.
pub(crate) struct Entry {
    pub(crate) record: Vec<u8>,
    pub(crate) marks: Marks,
    pub(crate) places: usize,
}

/// Which batches an entry holds: shard and number.
pub(crate) enum Marks {
    One(usize, u64),
    Many(Vec<(usize, u64)>),
    /// None: it is a cut, between what was done before and after a moment.
    Cut,
}

/// The numbers of one shard's batches.
#[derive(Default)]
struct Numbers {
    /// The last that was queued. Written by the shard's holder alone.
    queued: AtomicU64,
    /// The last that is durable.
    synced: AtomicU64,
}

/// How far a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Write,
    Sync,
}

pub(crate) struct Log<J: Journal> {
    pub(crate) desk: Desk<Shelf<J>>,
    pub(crate) queue: Queue<Entry>,
    /// Buffers of entries that were appended, to be used again.
    pub(crate) spare: Queue<Vec<u8>>,
    door: Door,
    /// Of the walk that is under way.
    pub(crate) pressure: Arc<Pressure>,
    condition: AtomicU8,
    why: Mutex<String>,
    numbers: Box<[CachePadded<Numbers>]>,
    pub(crate) awaiting: Awaiting,
    /// Wakes the committer.
    pub(crate) doorbell: Doorbell,
    /// The committer's.
    pub(crate) pulse: Pulse,
    /// Ends the window in which the committer gathers.
    pub(crate) gathering: Waiter,
    pub(crate) durability: Durability,
    /// Places that may be taken: [`limits::LOG_PLACES`], or as many as the journal keeps room for.
    places_max: AtomicUsize,
    /// The journal keeps room for a full disk.
    keeps_room: AtomicBool,
    pub(crate) counters: LogCounters,
    /// The committer has found the desk empty: whoever puts the journal back rings.
    pub(crate) is_wanted: AtomicBool,
    /// Syncs that run while the journal is in other hands.
    pub(crate) aside: Aside<J>,
    /// Callers that wait until everything queued is durable, whatever the mode.
    pub(crate) syncs_wanted: AtomicUsize,
    pub(crate) progress: Arc<Progress>,
    /// Something was written and is not durable. Written by the journal's holder.
    behind: AtomicBool,
    /// Something was written or synced that the journal's mark does not tell of. Written by its holder.
    unmarked: AtomicBool,
    /// It is time to look whether the journal's files are where they were: its next holder does so.
    look_is_due: AtomicBool,
    pub(crate) duties: Queue<Box<dyn Duty<J>>>,
    closing: AtomicBool,
    /// The process that opened it: no other writes it.
    home: u32,
    tell: Tell,
}

impl<J: Journal> Log<J> {
    pub(crate) fn new(
        shards: usize,
        durability: Durability,
        pressure: Arc<Pressure>,
        tell: Tell,
    ) -> Self {
        let numbers = (0..shards).map(|_| CachePadded::new(Numbers::default()));
        let durability = Durability {
            window: durability.window.min(limits::WINDOW_MAX),
            ..durability
        };
        Self {
            desk: Desk::empty(),
            queue: Queue::bounded(limits::LOG_PLACES),
            spare: Queue::bounded(limits::LOG_SPARE_BUFFERS),
            door: Door::new(),
            pressure,
            condition: AtomicU8::new(Condition::Recovering as u8),
            why: Mutex::new(String::new()),
            numbers: numbers.collect(),
            awaiting: Awaiting::new(),
            doorbell: Doorbell::new(),
            pulse: Pulse::default(),
            gathering: Waiter::new(),
            durability,
            places_max: AtomicUsize::new(limits::LOG_PLACES),
            keeps_room: AtomicBool::new(false),
            counters: LogCounters::default(),
            is_wanted: AtomicBool::new(false),
            aside: Aside::new(),
            syncs_wanted: AtomicUsize::new(0),
            progress: Arc::new(Progress::new()),
            behind: AtomicBool::new(false),
            unmarked: AtomicBool::new(false),
            look_is_due: AtomicBool::new(false),
            duties: Queue::bounded(limits::LOG_DUTIES_MAX),
            closing: AtomicBool::new(false),
            home: process::generation(),
            tell,
        }
    }

    /// Puts the journal in its place: from now on writes are admitted.
    ///
    /// # Panics
    /// When it was put there before.
    pub(crate) fn install(&self, mut journal: J) {
        assert!(
            self.condition() == Condition::Recovering,
            "a log has one journal"
        );
        let progress = Arc::clone(&self.progress);
        journal.on_progress(Arc::new(move || progress.note(clock::now())));
        let kept = journal.bytes_kept_free();
        self.keeps_room.store(kept < u64::MAX, SeqCst);
        let kept = kept / limits::LOG_PLACE_BYTES as u64;
        let places = usize::try_from(kept).unwrap_or(usize::MAX);
        self.places_max.store(
            places.clamp(limits::LOG_PLACES_MIN, limits::LOG_PLACES),
            SeqCst,
        );
        let room = journal.room();
        self.desk
            .put(Box::new(Shelf::new(journal, self.numbers.len())));
        match room {
            Room::Ample => self.condition.store(Condition::Open as u8, SeqCst),
            Room::Scarce(why) => self.has_no_space(why, true),
            Room::None(why) => self.has_no_space(why, false),
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        Condition::of(self.condition.load(SeqCst))
    }

    /// Why it stands as it does, where that is not as it should.
    pub(crate) fn why(&self) -> String {
        self.why.lock().clone()
    }

    /// Why it has failed, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        (self.condition() == Condition::Failed).then(|| self.why())
    }

    pub(crate) fn admits(&self, intent: Intent) -> Result<(), Refused> {
        match self.condition() {
            Condition::Open => Ok(()),
            Condition::Recovering => Err(Refused::Recovering),
            Condition::Scarce if intent != Intent::Write => Ok(()),
            Condition::NoSpace if intent == Intent::Clear && self.keeps_room.load(SeqCst) => Ok(()),
            Condition::NoSpace if intent == Intent::Cut => Ok(()),
            Condition::NoSpace | Condition::Scarce => Err(Refused::LogHasNoSpace),
            Condition::Failed => Err(Refused::LogFailed),
            Condition::Closed => Err(Refused::Closed),
        }
    }

    /// Takes a place, waiting for it until the call ends.
    #[inline]
    pub(crate) fn take_place(&self, intent: Intent, call: &Call) -> Result<(), Refused> {
        match self.has_taken(1, intent) {
            true => Ok(()),
            false => self.wait_for_place(intent, call),
        }
    }

    /// Takes places, all or none, where nothing stands against it.
    #[inline]
    fn has_taken(&self, places: usize, intent: Intent) -> bool {
        if self.is_held_up(intent) || !self.door.try_take(places, self.places_max()) {
            return false;
        }
        // Not before: they may have come back from a log that failed.
        let is_open = self.condition.load(SeqCst) == Condition::Open as u8;
        if !is_open {
            self.door.give(places);
        }
        is_open
    }

    #[cold]
    #[inline(never)]
    fn wait_for_place(&self, intent: Intent, call: &Call) -> Result<(), Refused> {
        self.admits(intent)?;
        let is_shut = || self.admits(intent).is_err();
        if self.is_held_up(intent) {
            let passed = self.pressure.wait(call, is_shut);
            passed.map_err(|turned| self.turned(turned, intent, Self::refuse_for_walk))?;
        }
        match self.door.take(1, self.places_max(), call, is_shut) {
            // It may have been waited for, and much can have happened meanwhile.
            Ok(()) if is_planted(Fault::PlaceTakenAfterFailure) => Ok(()),
            Ok(()) => self.admits(intent).inspect_err(|_| self.door.give(1)),
            Err(turned) => Err(self.turned(turned, intent, Self::refuse_for_queue)),
        }
    }

    /// Whether a walk is behind, and `intent` waits for it.
    #[inline]
    fn is_held_up(&self, intent: Intent) -> bool {
        self.pressure.is_high() && intent.feeds_walks()
    }

    /// Why somebody has no place that was `turned` away.
    fn turned(&self, turned: Turned, intent: Intent, too_late: fn(&Self) -> Refused) -> Refused {
        match turned {
            Turned::Cancelled => Refused::Cancelled,
            Turned::Shut => (self.admits(intent).err()).unwrap_or_else(|| too_late(self)),
            Turned::TooLate => too_late(self),
        }
    }

    fn refuse_for_queue(&self) -> Refused {
        self.counters.refused.add(1);
        self.full()
    }

    fn refuse_for_walk(&self) -> Refused {
        self.counters.walk_refused.add(1);
        self.pressure.refusal()
    }

    /// Takes places, all or none, without waiting. Without them `wake`, if there is one, is woken when
    /// there may be some, or the log admits nothing any more.
    #[inline]
    pub(crate) fn try_take_places(
        &self,
        places: usize,
        intent: Intent,
        wake: Option<&Arc<dyn Wake>>,
    ) -> Result<(), Refused> {
        match self.has_taken(places, intent) {
            true => Ok(()),
            false => self.register_for_places(places, intent, wake),
        }
    }

    #[cold]
    #[inline(never)]
    fn register_for_places(
        &self,
        places: usize,
        intent: Intent,
        wake: Option<&Arc<dyn Wake>>,
    ) -> Result<(), Refused> {
        self.admits(intent)?;
        let bound = self.places_max();
        if places > bound {
            return Err(Refused::OverLimit {
                limit: "places of the log's queue",
                allowed: bound as u64,
                needed: places as u64,
            });
        }
        if self.is_held_up(intent) && !self.pressure.pass_or_register(wake) {
            // Registered, then looked, as below.
            self.admits(intent)?;
            return Err(self.pressure.refusal());
        }
        let taken = match wake {
            Some(wake) => self.door.take_or_register(places, bound, wake),
            None => self.door.try_take(places, bound),
        };
        if taken {
            return Ok(());
        }
        // Registered, then looked: who changes the condition wakes whoever is registered.
        self.admits(intent)?;
        Err(self.full())
    }

    fn full(&self) -> Refused {
        Refused::LogFull {
            places: self.door.taken(),
        }
    }

    pub(crate) fn give_places(&self, places: usize) {
        self.door.give(places);
    }

    /// Shards whose batches it keeps.
    pub(crate) fn shards(&self) -> usize {
        self.numbers.len()
    }

    /// Places of the queue that may be taken.
    pub(crate) fn places_max(&self) -> usize {
        self.places_max.load(Relaxed)
    }

    /// Places of the queue that are taken.
    pub(crate) fn places_taken(&self) -> usize {
        self.door.taken()
    }

    /// The number that the next batch of `shard` gets. Asked by its holder.
    pub(crate) fn next_number(&self, shard: usize) -> u64 {
        self.numbers[shard].queued.load(Relaxed) + 1
    }

    /// The last batch of `shard` that is durable.
    #[inline]
    pub(crate) fn synced(&self, shard: usize) -> u64 {
        self.numbers[shard].synced.load(SeqCst)
    }

    /// The last batch of `shard` that was queued.
    pub(crate) fn queued(&self, shard: usize) -> u64 {
        self.numbers[shard].queued.load(SeqCst)
    }

    /// Batches that were queued and are not durable.
    pub(crate) fn unsynced(&self) -> u64 {
        let behind = |shard| self.queued(shard) - self.synced(shard).min(self.queued(shard));
        (0..self.numbers.len()).map(behind).sum()
    }

    /// Queues what was gathered on `shard`, in the place taken for it. Called by the shard's holder.
    pub(crate) fn queue_batch(&self, shard: usize, effects: &mut Effects) {
        let (record, marks) = self.take_batch(shard, effects);
        self.enqueue(record, marks);
    }

    pub(crate) fn take_batch(&self, shard: usize, effects: &mut Effects) -> (Vec<u8>, Marks) {
        let record = effects.take(self.spare_buffer());
        (record, Marks::One(shard, self.take_number(shard)))
    }

    /// An empty buffer for a record.
    pub(crate) fn spare_buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Gives the next batch of `shard` its number. Called by the shard's holder, which queues it then.
    pub(crate) fn take_number(&self, shard: usize) -> u64 {
        let number = self.next_number(shard);
        self.numbers[shard].queued.store(number, SeqCst);
        number
    }

    pub(crate) fn enqueue(&self, record: Vec<u8>, marks: Marks) {
        let more = record.len() / limits::LOG_PLACE_BYTES;
        if more > 0 {
            self.door.force(more);
        }
        self.counters.queued(record.len());
        self.send(Entry {
            record,
            marks,
            places: 1 + more,
        });
    }

    /// Queues a cut, in the place taken for it. Called by the holder of all shards.
    pub(crate) fn queue_cut(&self) {
        self.send(Entry {
            record: Vec::new(),
            marks: Marks::Cut,
            places: 1,
        });
    }

    fn send(&self, entry: Entry) {
        let sent = self.queue.try_send(entry);
        assert!(sent.is_ok(), "a batch was queued without a place");
        self.desk.set_mail();
        self.limit_gathering();
    }

    /// Makes sure that what was queued is looked at, where the caller does not commit it.
    pub(crate) fn ring_if_queued(&self) {
        if !self.desk.has_mail() || self.is_elsewhere() {
            return;
        }
        match self.condition() {
            Condition::Recovering | Condition::Open | Condition::NoSpace | Condition::Scarce => {
                self.doorbell.ring()
            }
            Condition::Failed | Condition::Closed => self.discard_queue(),
        }
    }

    /// Whether something was queued that nobody has begun to append.
    pub(crate) fn has_queued(&self) -> bool {
        self.desk.has_mail()
    }

    /// Whether this is a child that was forked while a call of this thread was under way.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.home != process::generation()
    }

    /// Borrows the journal, if it lies on its desk, and this is its process.
    pub(crate) fn borrow(&self) -> Option<Holding<'_, J>> {
        if self.is_elsewhere() {
            return None;
        }
        let shelf = self.desk.borrow()?;
        Some(Holding::new(self, shelf))
    }

    /// As [`Log::borrow`], for the committer: if the desk is empty, it is rung when that changes.
    pub(crate) fn borrow_or_ask(&self) -> Option<Holding<'_, J>> {
        self.borrow().or_else(|| {
            self.is_wanted
                .store(!is_planted(Fault::JournalNotAskedFor), SeqCst);
            self.borrow()
        })
    }

    /// Whether somebody waits until everything queued is durable.
    pub(crate) fn wants_sync(&self) -> bool {
        self.syncs_wanted.load(SeqCst) > 0
    }

    /// Whether something was written and is not durable.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(SeqCst)
    }

    /// Has the next commit look first whether the journal's files are where they were.
    pub(crate) fn ask_for_look(&self) {
        self.look_is_due.store(true, SeqCst);
    }

    /// Whether that was asked and has not been done.
    pub(crate) fn wants_look(&self) -> bool {
        self.look_is_due.load(Relaxed)
    }

    /// It is being done. Called by the journal's holder.
    pub(crate) fn begin_look(&self) {
        self.look_is_due.store(false, SeqCst);
    }

    /// Something was written and is not durable, or nothing is. The committer, which syncs at
    /// intervals, hears of it, whoever has written.
    pub(crate) fn note_behind(&self, is_behind: bool) {
        let was_behind = self.behind.swap(is_behind, SeqCst);
        if is_behind && !was_behind && matches!(self.durability.sync, SyncMode::Interval(_)) {
            self.doorbell.ring();
        }
    }

    /// Something was written or synced. The committer hears of the first since the last mark.
    pub(crate) fn note_unmarked(&self) {
        // Written by the journal's holder alone, so what it reads is what it wrote.
        if !self.unmarked.load(Relaxed) {
            self.unmarked.store(true, SeqCst);
            self.doorbell.ring();
        }
    }

    /// A mark tells of all that was written and synced. Said by the journal's holder.
    pub(crate) fn note_marked(&self) {
        self.unmarked.store(false, SeqCst);
    }

    /// Whether a mark is to be written once the log rests.
    pub(crate) fn is_unmarked(&self) -> bool {
        self.unmarked.load(SeqCst)
    }

    /// Raises `synced`, which takes a proof, and wakes whoever waited for that.
    pub(crate) fn release(&self, _: &J::Synced, durable: impl Iterator<Item = (usize, u64)>) {
        if is_planted(Fault::WokenBeforeRaised) {
            self.awaiting.wake_where(|_| true);
            for (shard, number) in durable {
                self.numbers[shard].synced.fetch_max(number, SeqCst);
            }
            return;
        }
        self.raise(durable);
    }

    /// For those who have a proof (and for planted faults).
    pub(crate) fn raise(&self, durable: impl Iterator<Item = (usize, u64)>) {
        for (shard, number) in durable {
            self.numbers[shard].synced.fetch_max(number, SeqCst);
        }
        let is_synced = |(shard, number): (usize, u64)| self.synced(shard) >= number;
        self.awaiting.wake_where(|what| what.is_none_or(is_synced));
    }

    /// Makes the committer see to something that is wanted now: it gathers no longer.
    pub(crate) fn hurry(&self) {
        self.doorbell.ring();
        if !self.durability.window.is_zero() {
            self.gathering.wake();
        }
    }

    /// Ends the window in which the committer gathers, where too much has gathered already.
    fn limit_gathering(&self) {
        if !self.durability.window.is_zero() && self.door.taken() >= self.places_max() / 2 {
            self.gathering.wake();
        }
    }

    /// Takes what was queued when the log had failed, or was closed: it will not be written.
    pub(crate) fn discard_queue(&self) {
        self.desk.clear_mail();
        while let Some(entry) = self.queue.try_recv() {
            self.give_places(entry.places);
        }
    }

    /// The keep is closed: the committer finishes, and puts the journal away.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, SeqCst);
        self.gathering.wake();
        self.doorbell.ring();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(SeqCst)
    }

    /// The journal is put away. Called by its last holder.
    pub(crate) fn close(&self) {
        // Not over a failure: that is worth more to whoever asks.
        if self.condition() != Condition::Failed {
            self.condition.store(Condition::Closed as u8, SeqCst);
        }
        self.turn_away();
        self.discard_queue();
        self.refuse_duties();
    }

    /// Wakes everybody who waits for what will not come.
    fn turn_away(&self) {
        self.awaiting.wake_where(|_| true);
        if !is_planted(Fault::WaitersLeftAtTheDoor) {
            self.wake_placeless();
        }
    }

    /// Has the threads that wait for a place look at the condition again.
    fn wake_placeless(&self) {
        self.door.wake_all();
        self.pressure.wake_all();
    }

    /// Nothing will be acknowledged any more; what was appended needs its `places` no longer. Called by
    /// the journal's holder, or where there is none.
    pub(crate) fn fail(&self, why: String, places: usize) {
        self.why.lock().clone_from(&why);
        self.note_behind(false);
        if self.condition.swap(Condition::Failed as u8, SeqCst) != Condition::Failed as u8 {
            (self.tell)(LogEvent::Failed(why));
        }
        self.give_places(places);
        self.turn_away();
    }

    /// There is none, but perhaps for changes that remove something. Called by the journal's holder.
    pub(crate) fn has_no_space(&self, why: String, for_removals: bool) {
        let condition = match for_removals {
            true => Condition::Scarce,
            false => Condition::NoSpace,
        };
        self.why.lock().clone_from(&why);
        let before = Condition::of(self.condition.swap(condition as u8, SeqCst));
        if before == condition {
            return;
        }
        if !before.is_short() {
            (self.tell)(LogEvent::NoSpace(why));
        }
        self.wake_placeless();
        // Any thread may have found out; the committer tries again.
        self.doorbell.ring();
    }

    pub(crate) fn has_space(&self) {
        if self.condition().is_short() {
            self.condition.store(Condition::Open as u8, SeqCst);
            self.why.lock().clear();
            (self.tell)(LogEvent::Resumed);
        }
    }
}
