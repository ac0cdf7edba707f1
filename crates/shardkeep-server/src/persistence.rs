//! A store that outlives its process, as the threads of the server know it: how far its recovery is, and
//! when snapshots were taken.
//!
//! Does nothing itself: the keeper's thread recovers and saves.
//!
//! 1. One snapshot is under way at most, and whoever asks for another is told so.
//! 2. A store that is ready stays so.
//! 3. Whoever waits for a snapshot that was begun hears of its end, also when the keeper ends first.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use shardkeep::durable::{Compression, Disk, RecoveryProgress, SnapshotReport};
use shardkeep::engine::CancelToken;

use std::sync::{Arc, OnceLock};

use crate::clock;
use crate::engine::ReplyPort;

/// Requests that may wait for the keeper: one snapshot, and the end.
const REQUESTS_MAX: usize = 2;

/// What the keeper's thread is asked.
pub(crate) enum Request {
    /// A snapshot, which has been noted as begun; who waits for its end is told through the port.
    Save(Option<Arc<ReplyPort>>),
    /// The end.
    Stop,
}

/// What became of a request for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It begins now.
    Begun,
    /// One is under way; another follows.
    Scheduled,
    /// One is under way.
    Busy,
    /// The keeper takes no more of them.
    Ended,
}

/// What is known of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Saves {
    /// Since when one is under way.
    pub(crate) since: Option<Instant>,
    /// Another is to follow it.
    scheduled: bool,
    /// The keeper takes no more requests.
    ended: bool,
    /// When the last good one ended (Unix seconds); when the server started if there was none yet.
    pub(crate) last_seconds: u64,
    pub(crate) last_is_good: bool,
    /// Why it was not taken.
    pub(crate) last_error: Option<String>,
    pub(crate) last_took: Option<Duration>,
    pub(crate) count: u64,
    /// That were not taken, for whatever reason but the end of the server.
    pub(crate) failures: u64,
    /// Changes of entries that were made before the newest one began.
    pub(crate) changes: u64,
    /// The newest one.
    pub(crate) last_report: Option<SnapshotReport>,
}

pub(crate) struct Persistence {
    ready: AtomicBool,
    /// When the recovery began (Unix seconds).
    pub(crate) loading_since: u64,
    loaded: AtomicU64,
    to_load: AtomicU64,
    saves: Mutex<Saves>,
    requests: Sender<Request>,
    /// Cancelled when the keeper should end; handed down to the recovery.
    stopping: CancelToken,
    /// A client wants a snapshot at the end.
    pub(crate) save_at_end: AtomicBool,
    pub(crate) compression: Compression,
    /// Once it is recovered.
    disk: OnceLock<Disk>,
}

impl Persistence {
    /// That of a store whose recovery begins now, and the keeper's end of its requests.
    pub(crate) fn new(compression: Compression) -> (Self, Receiver<Request>) {
        let (requests, receiver) = bounded(REQUESTS_MAX);
        let now = clock::unix_micros() / 1_000_000;
        let persistence = Self {
            ready: AtomicBool::new(false),
            loading_since: now,
            loaded: AtomicU64::new(0),
            to_load: AtomicU64::new(0),
            saves: Mutex::new(Saves {
                since: None,
                scheduled: false,
                ended: false,
                last_seconds: now,
                last_is_good: true,
                last_error: None,
                last_took: None,
                count: 0,
                failures: 0,
                changes: 0,
                last_report: None,
            }),
            requests,
            stopping: CancelToken::new(),
            save_at_end: AtomicBool::new(false),
            compression,
            disk: OnceLock::new(),
        };
        (persistence, receiver)
    }

    /// Whether commands on keys are served.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Release);
    }

    pub(crate) fn set_disk(&self, disk: Disk) {
        // It is recovered once.
        drop(self.disk.set(disk));
    }

    /// The disk under the log, once that is recovered.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.get()
    }

    pub(crate) fn note_progress(&self, progress: RecoveryProgress) {
        self.to_load.store(progress.total, Relaxed);
        self.loaded.store(progress.done, Relaxed);
    }

    /// How far the recovery is.
    pub(crate) fn progress(&self) -> RecoveryProgress {
        RecoveryProgress {
            done: self.loaded.load(Relaxed),
            total: self.to_load.load(Relaxed),
        }
    }

    pub(crate) fn saves(&self) -> Saves {
        self.saves.lock().clone()
    }

    /// Asks for a snapshot; `told` hears of its end if it begins now, and only a `follow`er may be
    /// scheduled behind one that is under way.
    pub(crate) fn ask(&self, told: Option<Arc<ReplyPort>>, follow: bool) -> Asked {
        let mut saves = self.saves.lock();
        if saves.ended {
            return Asked::Ended;
        }
        if saves.since.is_some() {
            saves.scheduled |= follow;
            return if follow {
                Asked::Scheduled
            } else {
                Asked::Busy
            };
        }
        // One snapshot is under way at most, so there is a place; with nobody at the other end the
        // server is on its way out.
        if self.requests.try_send(Request::Save(told)).is_err() {
            return Asked::Ended;
        }
        saves.since = Some(clock::now());
        Asked::Begun
    }

    /// The keeper begins one that nobody asked for; `false` when one is under way.
    pub(crate) fn begin(&self) -> bool {
        let mut saves = self.saves.lock();
        if saves.since.is_some() {
            return false;
        }
        saves.since = Some(clock::now());
        true
    }

    /// A snapshot has ended; says whether another was scheduled behind it, which has then begun.
    pub(crate) fn end(&self, error: Option<&str>) -> bool {
        let now = clock::now();
        let mut saves = self.saves.lock();
        let since = saves.since.take().unwrap_or(now);
        let is_good = error.is_none();
        saves.last_is_good = is_good;
        saves.last_error = error.map(str::to_owned);
        saves.last_took = Some(now.saturating_duration_since(since));
        if is_good {
            saves.count += 1;
            saves.last_seconds = clock::unix_micros() / 1_000_000;
        } else if !self.is_stopping() {
            saves.failures += 1;
        }
        let next = std::mem::take(&mut saves.scheduled);
        if next {
            saves.since = Some(now);
        }
        next
    }

    /// A snapshot was taken that began after so many changes.
    pub(crate) fn note_saved(&self, changes: u64, report: SnapshotReport) {
        let mut saves = self.saves.lock();
        saves.changes = changes;
        saves.last_report = Some(report);
    }

    /// The keeper takes no more of `requests`: gives who waits for one that it has not taken.
    pub(crate) fn take_no_more(&self, requests: &Receiver<Request>) -> Option<Arc<ReplyPort>> {
        let mut saves = self.saves.lock();
        // Requests are sent under the lock, so none comes after this.
        saves.ended = true;
        let told = requests.try_iter().find_map(|request| match request {
            Request::Save(told) => Some(told),
            Request::Stop => None,
        })?;
        saves.since = None;
        told
    }

    /// Has the keeper end after the step it is at.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
        // Full only if it has more to do before it looks: then it sees the flag.
        drop(self.requests.try_send(Request::Stop));
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Cancelled when the keeper should end.
    pub(crate) fn stopping(&self) -> &CancelToken {
        &self.stopping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_snapshot_is_under_way_and_one_may_follow() {
        let (persistence, requests) = Persistence::new(Compression::None);
        assert_eq!(persistence.ask(None, false), Asked::Begun);
        assert!(matches!(requests.try_recv(), Ok(Request::Save(None))));
        assert_eq!(persistence.ask(None, false), Asked::Busy);
        assert!(!persistence.begin());
        assert_eq!(persistence.ask(None, true), Asked::Scheduled);
        assert_eq!(persistence.ask(None, true), Asked::Scheduled);
        assert!(persistence.end(None), "the scheduled one begins");
        assert_eq!(persistence.ask(None, false), Asked::Busy);
        assert!(!persistence.end(Some("full")));
        let saves = persistence.saves();
        assert_eq!(
            (saves.count, saves.last_is_good, saves.since),
            (1, false, None)
        );
        assert_eq!(saves.last_error.as_deref(), Some("full"));
        assert!(persistence.begin());
    }

    #[test]
    fn a_snapshot_that_the_keeper_has_not_taken_at_its_end_is_given_back_and_no_other_begins() {
        let (persistence, requests) = Persistence::new(Compression::None);
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let port = Arc::new(ReplyPort::new(1, waker));
        assert_eq!(
            persistence.ask(Some(Arc::clone(&port)), false),
            Asked::Begun
        );
        persistence.stop();
        let told = persistence.take_no_more(&requests);
        assert!(told.is_some_and(|told| Arc::ptr_eq(&told, &port)));
        assert_eq!(persistence.saves().since, None);
        assert_eq!(persistence.ask(Some(port), false), Asked::Ended);
        assert_eq!(persistence.ask(None, true), Asked::Ended);
        assert!(persistence.take_no_more(&requests).is_none());
    }
}
