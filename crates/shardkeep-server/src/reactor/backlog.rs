//! How long a connection's bytes have waited in the kernel, and how many may wait there.
//!
//! The kernel does not say when bytes arrived, but it says how many are there. What was there when somebody
//! looked has waited since then at least, and a queue that is looked at with every full read of it is known
//! well enough. Where too much waits too long, the kernel's buffer is made smaller: TCP then slows the client. A
//! client that has caught up since then is given back what it had.
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
/// that it never waits for TCP while it is served.
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

/// What the kernel is to keep of a connection's bytes from now on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// No more than [`SHORT_QUEUE_BYTES`]: some have waited too long.
    Short,
    /// As much as it sees fit: the client has caught up. What was noted by [`Backlog::shortened`].
    Wide { before: usize },
}

/// A queue that was made short.
struct Short {
    /// Size of the buffer before that.
    before: usize,
    /// Since when something waits behind every read.
    busy_since: Option<Instant>,
    /// Since when the client has kept up: its queue was seen empty, and never busy for too long.
    keeps_up_since: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Backlog {
    read: u64,
    marks: VecDeque<Mark>,
    short: Option<Box<Short>>,
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

    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Whether the kernel is to keep fewer bytes from now on: some have waited for `age` where they had
    /// `deadline`. Or as many as before, since the queue has become empty again and again for a whole
    /// deadline: that of a client which sends more than is served never does. So many were `waiting` behind
    /// those read. Each is said once.
    pub(crate) fn advise(
        &mut self,
        waiting: u64,
        age: Duration,
        deadline: Duration,
        now: Instant,
    ) -> Option<Advice> {
        let too_long = deadline / DEADLINE_PARTS;
        let Some(short) = &mut self.short else {
            return (age > too_long).then_some(Advice::Short);
        };
        if waiting > 0 {
            let since = *short.busy_since.get_or_insert(now);
            if now.saturating_duration_since(since) > too_long {
                short.keeps_up_since = None;
            }
            return None;
        }
        short.busy_since = None;
        let since = *short.keeps_up_since.get_or_insert(now);
        let has_caught_up = now.saturating_duration_since(since) >= deadline;
        let caught_up = self.short.take_if(|_| has_caught_up)?;
        Some(Advice::Wide {
            before: caught_up.before,
        })
    }

    /// The queue was made short; its buffer had this size before.
    pub(crate) fn shortened(&mut self, before: usize) {
        self.short = Some(Box::new(Short {
            before,
            busy_since: None,
            keeps_up_since: None,
        }));
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
        let start = clock::now();
        let mut backlog = Backlog::default();
        let mut advise = |age| {
            let advice = backlog.advise(1_000, age, 100 * MS, start);
            if advice == Some(Advice::Short) {
                backlog.shortened(7);
            }
            advice
        };
        assert_eq!(advise(25 * MS), None);
        assert_eq!(advise(26 * MS), Some(Advice::Short));
        assert_eq!(advise(99 * MS), None);
    }

    /// The advice at each look, one every 10 ms, at a queue that was made short: by whether something waits.
    /// The deadline is 100 ms.
    fn advised(waits: impl IntoIterator<Item = bool>) -> Vec<Option<Advice>> {
        let start = clock::now();
        let mut backlog = Backlog::default();
        backlog.shortened(7);
        let mut at = start;
        let mut look = |waits| {
            at += 10 * MS;
            backlog.advise(u64::from(waits), Duration::ZERO, 100 * MS, at)
        };
        waits
            .into_iter()
            .map_while(|waits| {
                let advice = look(waits);
                (waits || advice.is_none() || advice == Some(Advice::Wide { before: 7 }))
                    .then_some(advice)
            })
            .collect()
    }

    #[test]
    fn a_client_that_has_kept_up_for_a_deadline_is_given_back_what_it_had() {
        let advice = advised([false; 11]);
        assert_eq!(advice[10], Some(Advice::Wide { before: 7 }));
        assert!(advice[..10].iter().all(Option::is_none));
    }

    #[test]
    fn one_that_sends_pipelines_and_waits_for_them_keeps_up() {
        // Two reads of each have something behind them, the third has not.
        let advice = advised((0..14).map(|at| at % 3 != 2));
        assert_eq!(advice[..13], [const { None }; 13]);
        assert_eq!(
            advised((0..15).map(|at| at % 3 != 2))[14],
            Some(Advice::Wide { before: 7 })
        );
    }

    #[test]
    fn one_that_sends_more_than_is_served_does_not_keep_up_by_an_empty_read_now_and_then() {
        // Something waits behind each of five reads, 40 ms: more than a quarter of the deadline.
        let advice = advised((0..600).map(|at| at % 6 != 5));
        assert!(advice.iter().all(Option::is_none));
    }
}
