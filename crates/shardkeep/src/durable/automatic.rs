//! Snapshots that nobody asks for: taken when they are due, see [`Schedule`].
//!
//! 1. One thread, asleep but for one look a second; it ends when it is asked to, at the latest after the
//!    step of a snapshot that is under way.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use shardkeep_core::{Deadline, clock};

use super::disk::Disk;
use super::error::SnapshotError;
use super::schedule::Schedule;
use super::snapshot::SnapshotReport;
use crate::limits;

/// The thread that looks after the log's growth.
pub struct Automatic {
    /// Dropped to end the thread.
    stop: Mutex<Option<Sender<()>>>,
    /// Disconnects when the thread has nothing more to do.
    ended: Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Asked between the steps of a snapshot.
pub(crate) struct Stop<'r>(&'r Receiver<()>);

impl Stop<'_> {
    pub(crate) fn is_asked(&self) -> bool {
        self.0.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected)
    }
}

impl Automatic {
    /// Starts the thread. `grown` counts the bytes of the log; whenever it is `threshold` beyond what it
    /// was at the last snapshot, or `disk` is short of space, `take` takes one. One that was not taken is tried again, later and later;
    /// `tell` hears of the first, and of the first that is taken again.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(
        name: &str,
        grown: Arc<AtomicU64>,
        disk: Disk,
        threshold: u64,
        mut take: impl FnMut(&dyn Fn() -> bool) -> Result<SnapshotReport, SnapshotError>
        + Send
        + 'static,
        tell: impl Fn(String) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let (end, ended) = bounded(0);
        let thread = thread::Builder::new()
            .name(format!("{name}-snapshots"))
            .spawn(move || {
                let _end: Sender<()> = end;
                let mut schedule = Schedule::new(threshold, grown.load(Ordering::Relaxed));
                // Ends when the other end is dropped; else one look, and again.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "blocking point B28: the next look"
                )]
                while stopped.recv_timeout(limits::SNAPSHOT_LOOK_INTERVAL)
                    == Err(RecvTimeoutError::Timeout)
                {
                    let now = grown.load(Ordering::Relaxed);
                    if !schedule.is_due(now, disk.is_short(), clock::now()) {
                        continue;
                    }
                    let stop = Stop(&stopped);
                    match take(&|| stop.is_asked()) {
                        Ok(_) => {
                            if schedule.taken(now, disk.is_short(), clock::now()) {
                                tell("a snapshot was taken again".to_owned());
                            }
                        }
                        Err(_) if stop.is_asked() => return,
                        Err(error) => {
                            if schedule.failed(clock::now()) {
                                tell(format!(
                                    "no snapshot was taken, which is tried again: {error}"
                                ));
                            }
                        }
                    }
                }
            })?;
        Ok(Self {
            stop: Mutex::new(Some(stop)),
            ended,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Has the thread end after the step it is at. Does not wait for it.
    pub fn ask_to_stop(&self) {
        drop(self.stop.lock().take());
    }

    /// Ends the thread, and waits for it, by `deadline`; says whether it has ended.
    pub fn end_by(&self, deadline: Deadline) -> bool {
        self.ask_to_stop();
        let own = |thread: &JoinHandle<()>| thread.thread().id() == thread::current().id();
        if self.thread.lock().as_ref().is_some_and(own) {
            // It is the one that closes its store, in what it tells: it ends right after.
            return true;
        }
        // Ends with the thread, or by the deadline: then the disk does not answer, and the thread is left.
        #[expect(
            clippy::disallowed_methods,
            reason = "blocking point B29: the thread ends, or the deadline"
        )]
        let ended = self.ended.recv_deadline(deadline.instant());
        if ended != Err(RecvTimeoutError::Disconnected) {
            return false;
        }
        if let Some(thread) = self.thread.lock().take() {
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B30: it has ended"
            )]
            drop(thread.join());
        }
        true
    }
}

impl fmt::Debug for Automatic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Automatic").finish_non_exhaustive()
    }
}
