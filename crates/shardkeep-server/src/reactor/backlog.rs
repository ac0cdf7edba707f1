//! How long a connection's bytes have waited in the kernel, and how many may wait there.
//!
//! The kernel does not say when bytes arrived, but it says how many are there. What was there when somebody
//! looked has waited since then at least, and a queue that is looked at with every full read of it is known
//! well enough. Where too much waits too long, the kernel is told to take less: TCP then tells the client.
//!
//! 1. An age is never longer than the true one: whoever is refused for it has waited that long.
//! 2. At most [`MARKS_MAX`] marks are kept, in ascending order of place and time; while nothing waits, none.
//! 3. Knows no socket and reads no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Marks kept of one connection. More of a queue than that is known by the oldest of what is behind them,
/// as younger than it is.
const MARKS_MAX: usize = 64;

/// Bytes of requests that the kernel keeps for a connection whose bytes have waited too long: two reads, so
/// that it never waits for TCP while it is served. Not less: on a loopback device a window much smaller than
/// the largest there was is only used by the sender's timer.
pub(crate) const SHORT_QUEUE_BYTES: usize = 2 * crate::limits::READ_BYTES;

/// Bytes are to wait for this part of the deadline at most: the rest is for the round they are served in, and
/// for the client's own queue.
const DEADLINE_PARTS: u32 = 4;

#[derive(Clone, Copy)]
struct Mark {
    /// Bytes of the connection up to here ...
    place: u64,
    /// ... had arrived by then.
    by: Instant,
}

#[derive(Default)]
pub(crate) struct Backlog {
    read: u64,
    marks: VecDeque<Mark>,
    is_short: bool,
}

impl Backlog {
    /// So many bytes were read just now. Says by when the last of them had arrived, `now` if nobody knows.
    #[inline]
    pub(crate) fn read(&mut self, bytes: usize, now: Instant) -> Instant {
        self.read += bytes as u64;
        if self.marks.is_empty() {
            return now;
        }
        self.arrived_by().unwrap_or(now)
    }

    #[cold]
    fn arrived_by(&mut self) -> Option<Instant> {
        while self
            .marks
            .front()
            .is_some_and(|mark| mark.place < self.read)
        {
            self.marks.pop_front();
        }
        self.marks.front().map(|mark| mark.by)
    }

    /// So many bytes were waiting behind those read.
    pub(crate) fn note_waiting(&mut self, bytes: u64, now: Instant) {
        let place = self.read + bytes;
        let is_new = self.marks.back().is_none_or(|last| last.place < place);
        if is_new && self.marks.len() < MARKS_MAX {
            self.marks.push_back(Mark { place, by: now });
        }
    }

    /// Whether the kernel is to keep fewer bytes from now on: some have waited for `age` where they had
    /// `deadline`. Said once.
    pub(crate) fn grows_too_old(&mut self, age: Duration, deadline: Duration) -> bool {
        let is_old = age > deadline / DEADLINE_PARTS;
        !self.is_short && std::mem::replace(&mut self.is_short, is_old) != is_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bytes_that_were_seen_waiting_have_waited_since_then() {
        let start = clock::now();
        let at = |ms: u32| start + ms * MS;
        let mut backlog = Backlog::default();
        assert_eq!(backlog.read(100, at(0)), at(0));
        backlog.note_waiting(150, at(0));
        // The first hundred of those, and then the rest with some that nobody has seen waiting.
        assert_eq!(backlog.read(100, at(10)), at(0));
        backlog.note_waiting(90, at(10));
        assert_eq!(backlog.read(60, at(20)), at(10));
        assert_eq!(backlog.read(80, at(30)), at(30));
        assert!(backlog.marks.is_empty());
    }

    #[test]
    fn an_age_is_never_longer_than_the_true_one() {
        // Bytes arrive and are read in pieces that have nothing to do with each other.
        let start = clock::now();
        let mut arrivals: VecDeque<(u64, Instant)> = VecDeque::new();
        let (mut arrived, mut read, mut step) = (0_u64, 0_u64, 7_u64);
        let mut backlog = Backlog::default();
        for round in 0..5_000_u32 {
            let now = start + round * MS;
            step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            arrived += step >> 54;
            arrivals.push_back((arrived, now));
            let bytes = (arrived - read).min(step >> 33 & 0x3ff);
            if bytes == 0 {
                continue;
            }
            read += bytes;
            let by = backlog.read(bytes as usize, now);
            while arrivals.front().is_some_and(|&(place, _)| place < read) {
                arrivals.pop_front();
            }
            let (_, truth) = arrivals[0];
            assert!(by >= truth, "round {round}");
            backlog.note_waiting(arrived - read, now);
            assert!(backlog.marks.len() <= MARKS_MAX);
        }
    }

    #[test]
    fn the_kernel_is_told_once_that_bytes_wait_too_long() {
        let mut backlog = Backlog::default();
        assert!(!backlog.grows_too_old(25 * MS, 100 * MS));
        assert!(backlog.grows_too_old(26 * MS, 100 * MS));
        assert!(!backlog.grows_too_old(99 * MS, 100 * MS));
    }
}
