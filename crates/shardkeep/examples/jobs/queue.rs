//! The jobs that wait: bounded, by the time from which they may run.
//!
//! 1. A job that is not finished has a place, whether it waits or runs; there are so many places. So
//!    whoever puts a job back never finds the queue full.
//! 2. Whoever takes a job while others wait wakes one more worker: none sleeps beside a job that is due.
//! 3. Once it is closed nothing is taken any more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A job's number.
pub(crate) type Id = u64;

pub(crate) struct Queue {
    places: usize,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    waiting: BinaryHeap<Reverse<(Instant, Id)>>,
    taken: usize,
    closed: bool,
}

/// How full it is.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    /// Jobs that wait, for a worker or for their next attempt.
    pub(crate) waiting: usize,
    /// Places that are taken, those of running jobs too.
    pub(crate) taken: usize,
    pub(crate) places: usize,
}

impl Queue {
    /// With so many places, and these jobs from before. Where they are too many, nobody is let in until
    /// they are fewer.
    pub(crate) fn new(places: usize, from_before: &[Id]) -> Self {
        let now = Instant::now();
        Self {
            places,
            inner: Mutex::new(Inner {
                waiting: from_before.iter().map(|&id| Reverse((now, id))).collect(),
                taken: from_before.len(),
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(&self) -> bool {
        let mut inner = self.inner.lock();
        let enters = !inner.closed && inner.taken < self.places;
        inner.taken += usize::from(enters);
        enters
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        self.inner.lock().taken -= 1;
    }

    /// Puts a job that has a place where it may be taken from `due` on.
    pub(crate) fn put(&self, id: Id, due: Instant) {
        self.inner.lock().waiting.push(Reverse((due, id)));
        self.changed.notify_one();
    }

    /// The job that may run first. Blocks until one is due or the queue is closed: then there is none.
    pub(crate) fn take(&self) -> Option<Id> {
        let mut inner = self.inner.lock();
        loop {
            if inner.closed {
                return None;
            }
            match inner.waiting.peek() {
                None => self.changed.wait(&mut inner),
                Some(&Reverse((due, id))) if due <= Instant::now() => {
                    inner.waiting.pop();
                    if !inner.waiting.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(id);
                }
                Some(&Reverse((due, _))) => {
                    // Ends by the time, by a job that is due earlier, or by the end.
                    self.changed.wait_until(&mut inner, due);
                }
            }
        }
    }

    /// Lets the workers go.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn depth(&self) -> Depth {
        let inner = self.inner.lock();
        Depth {
            waiting: inner.waiting.len(),
            taken: inner.taken,
            places: self.places,
        }
    }
}
