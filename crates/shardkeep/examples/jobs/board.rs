//! All jobs: kept in a durable store, with the queue and the counters beside it.
//!
//! 1. A job is accepted when it is in the store, durably; only then it gets into the queue.
//! 2. Each change of a job's state is one step of the store, and who runs is noted in the same step: so
//!    a cancellation finds a job before, during or after an attempt, and never between.
//! 3. At the start, every job that is not finished gets into the queue.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use shardkeep::{CloseReport, Durable, Error, Store, SystemClock, Update};
use shardkeep_core::restart::Backoff;
use shardkeep_core::{CancelToken, Deadline};

use crate::job::{Job, Outcome, State};
use crate::queue::{Depth, Id, Queue};

/// How long a finished job can be asked for.
const FINISHED_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How long a job that failed is put off.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(50),
    max: Duration::from_secs(5),
};

/// What was counted since the start.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    /// Time that workers were at jobs, in microseconds.
    pub(crate) busy_us: AtomicU64,
    pub(crate) attempts: AtomicU64,
}

pub(crate) struct Board {
    store: Store<Id, Job>,
    queue: Queue,
    running: Mutex<HashMap<Id, Running>>,
    next: AtomicU64,
    workers: usize,
    pub(crate) counts: Counts,
}

struct Running {
    token: CancelToken,
    /// Its submitter wants it to stop.
    cancelled: bool,
}

/// A job in a worker's hands.
pub(crate) struct Begun {
    pub(crate) id: Id,
    pub(crate) task: String,
    pub(crate) attempt: u32,
    pub(crate) token: CancelToken,
}

/// Why a job was not accepted.
pub(crate) enum NotAccepted {
    /// All places are taken; worth trying again after so long.
    Full(Duration),
    /// The store does not take it, or does not know.
    Store(Error),
}

/// What became of a cancellation.
pub(crate) enum Cancellation {
    /// It will not run.
    Cancelled,
    /// It runs, and was told to stop.
    Asked,
    /// It is over already.
    Over,
    Unknown,
}

impl Board {
    /// Opens the store and queues what was left.
    pub(crate) fn open(
        dir: &Path,
        places: usize,
        workers: usize,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let store = Store::builder()
            .name("jobs-store")
            .durable(dir, Durable::new())
            .open()?;
        let (mut left, mut last) = (Vec::new(), 0);
        for entry in store.iter() {
            let (id, job): (Id, Job) = entry?;
            last = last.max(id);
            if !job.is_final() {
                left.push(id);
            }
        }
        left.sort_unstable();
        // Numbers are not used again, not even those of jobs that are forgotten by now.
        let by_time = shardkeep::Clock::now(&SystemClock).get() * 1_000;
        Ok(Self {
            store,
            queue: Queue::new(places, &left),
            running: Mutex::new(HashMap::new()),
            next: AtomicU64::new(by_time.max(last + 1)),
            workers,
            counts: Counts::default(),
        })
    }

    /// Accepts a job: when this returns its number, it will run.
    pub(crate) fn submit(&self, task: String) -> Result<Id, NotAccepted> {
        if !self.queue.enter() {
            self.counts.refused.fetch_add(1, Relaxed);
            return Err(NotAccepted::Full(self.room_in()));
        }
        let id = self.next.fetch_add(1, Relaxed);
        if let Err(error) = self.store.insert(id, Job::new(task)) {
            self.queue.leave();
            self.counts.refused.fetch_add(1, Relaxed);
            return Err(NotAccepted::Store(error));
        }
        self.counts.accepted.fetch_add(1, Relaxed);
        self.queue.put(id, Instant::now());
        Ok(id)
    }

    /// When there will be room, by how long jobs have taken so far: whole seconds, 1 to 60.
    fn room_in(&self) -> Duration {
        let attempts = self.counts.attempts.load(Relaxed).max(1);
        let mean = self.counts.busy_us.load(Relaxed) / attempts;
        let ahead = (self.queue.depth().waiting / self.workers.max(1)) as u64;
        Duration::from_secs((mean * ahead / 1_000_000).clamp(1, 60))
    }

    pub(crate) fn get(&self, id: Id) -> Result<Option<Job>, Error> {
        self.store.get(&id)
    }

    /// Cancels a job, or asks the one who runs it to stop.
    pub(crate) fn cancel(&self, id: Id) -> Result<Cancellation, Error> {
        let mut became = Cancellation::Unknown;
        self.store.update(&id, |job| {
            let Some(job) = job else { return Update::Keep };
            if job.is_final() {
                became = Cancellation::Over;
                return Update::Keep;
            }
            if let Some(running) = self.running.lock().get_mut(&id) {
                running.cancelled = true;
                running.token.cancel();
                became = Cancellation::Asked;
                return Update::Keep;
            }
            became = Cancellation::Cancelled;
            Update::PutWithTtl(job.cancelled(), FINISHED_KEPT)
        })?;
        if matches!(became, Cancellation::Cancelled) {
            self.counts.cancelled.fetch_add(1, Relaxed);
        }
        Ok(became)
    }

    /// Waits for a job and begins it; `None` when the queue is closed. Its token is cancelled with `life`.
    pub(crate) fn begin(&self, life: &CancelToken) -> Result<Option<Begun>, Error> {
        while let Some(id) = self.queue.take() {
            let (mut begun, token) = (None, life.child());
            self.store.update(&id, |job| {
                begun = job.and_then(Job::begun);
                match &begun {
                    None => Update::Keep,
                    Some(job) if job.is_final() => Update::PutWithTtl(job.clone(), FINISHED_KEPT),
                    Some(job) => {
                        let (token, cancelled) = (token.clone(), false);
                        let running = Running { token, cancelled };
                        self.running.lock().insert(id, running);
                        Update::Put(job.clone())
                    }
                }
            })?;
            match begun {
                Some(job) if !job.is_final() => {
                    self.counts.attempts.fetch_add(1, Relaxed);
                    return Ok(Some(Begun {
                        id,
                        task: job.task,
                        attempt: job.attempts,
                        token,
                    }));
                }
                Some(_) | None => {
                    let parked = u64::from(begun.is_some());
                    self.counts.parked.fetch_add(parked, Relaxed);
                    self.queue.leave();
                }
            }
        }
        Ok(None)
    }

    /// Notes how an attempt ended, and queues the job again where it is to be tried again.
    pub(crate) fn end(&self, id: Id, outcome: Outcome, took: Duration) -> Result<(), Error> {
        let mut ended = None;
        self.store.update(&id, |job| {
            let running = self.running.lock().remove(&id);
            let cancelled = running.is_some_and(|running| running.cancelled);
            ended = job.map(|job| job.ended(outcome, cancelled));
            match &ended {
                None => Update::Keep,
                Some(job) if job.is_final() => Update::PutWithTtl(job.clone(), FINISHED_KEPT),
                Some(job) => Update::Put(job.clone()),
            }
        })?;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts.busy_us.fetch_add(took, Relaxed);
        let counted = match ended.as_ref().map(|job| &job.state) {
            Some(State::Done(_)) => &self.counts.done,
            Some(State::Parked(_)) => &self.counts.parked,
            Some(State::Cancelled) => &self.counts.cancelled,
            Some(State::Queued | State::Running) | None => &self.counts.retried,
        };
        counted.fetch_add(1, Relaxed);
        match ended.filter(|job| !job.is_final()) {
            Some(job) => {
                let delay = RETRY.delay(job.attempts.saturating_sub(1), id);
                self.queue.put(id, Deadline::after(delay).instant());
            }
            None => self.queue.leave(),
        }
        Ok(())
    }

    pub(crate) fn depth(&self) -> Depth {
        self.queue.depth()
    }

    /// Lets the workers go when they have ended what they are at.
    pub(crate) fn close_queue(&self) {
        self.queue.close();
    }

    /// Ends the store. Jobs that are left are in it.
    pub(crate) fn close(&self, within: Duration) -> CloseReport {
        self.store.close(within)
    }
}
