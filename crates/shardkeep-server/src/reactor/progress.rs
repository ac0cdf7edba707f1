//! How a peer gets on with what it keeps the server waiting with: the rest of a request that it sends, or
//! replies that it reads.
//!
//! Reads no clock and knows no socket.
//!
//! 1. Its time is up when nothing has moved for the time allowed, or when all of it has moved more slowly than
//!    [`PEER_BYTES_PER_SECOND_MIN`] with the time allowed on top.

use std::time::{Duration, Instant};

use crate::limits::PEER_BYTES_PER_SECOND_MIN;

/// Bytes that move, one way or the other.
pub(crate) struct Progress {
    since: Instant,
    moved_at: Instant,
    bytes: u64,
}

impl Progress {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            moved_at: now,
            bytes: 0,
        }
    }

    /// So many bytes have moved by now. Fewer than before are those of another request, which begins now.
    pub(crate) fn reach(&mut self, bytes: u64, now: Instant) {
        if bytes < self.bytes {
            *self = Self::new(now);
        }
        if bytes > self.bytes {
            (self.bytes, self.moved_at) = (bytes, now);
        }
    }

    /// Nothing was waited for until now.
    pub(crate) fn pause(&mut self, now: Instant) {
        (self.since, self.moved_at) = (now, now);
    }

    /// Since when nothing has moved.
    pub(crate) fn moved_at(&self) -> Instant {
        self.moved_at
    }

    pub(crate) fn is_over(&self, now: Instant, allowed: Duration) -> bool {
        let for_bytes = Duration::from_secs(self.bytes / PEER_BYTES_PER_SECOND_MIN);
        let in_all = allowed.saturating_add(for_bytes);
        now.saturating_duration_since(self.moved_at) >= allowed
            || now.saturating_duration_since(self.since) >= in_all
    }
}

/// Replies that wait for their reader.
pub(crate) struct Unread {
    pub(crate) progress: Progress,
    /// Bytes given to the kernel since it was last asked.
    given: u64,
    /// What it had then that the peer had not taken, once it was asked.
    untaken: Option<u64>,
    taken: u64,
}

impl Unread {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            progress: Progress::new(now),
            given: 0,
            untaken: None,
            taken: 0,
        }
    }

    /// So many bytes were given to the kernel.
    pub(crate) fn give(&mut self, bytes: usize) {
        self.given += bytes as u64;
    }

    /// The kernel has so many that the peer has not taken. What it takes more of them makes room for, so a buffer
    /// of the kernel that is never seen to have room may be emptied all the same.
    pub(crate) fn look(&mut self, untaken: u64, now: Instant) {
        let before = self.untaken.replace(untaken);
        let given = std::mem::take(&mut self.given);
        if let Some(before) = before {
            self.taken += (before + given).saturating_sub(untaken);
            self.progress.reach(self.taken, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);
    const ALLOWED: Duration = Duration::from_secs(30);
    const RATE: u64 = PEER_BYTES_PER_SECOND_MIN;

    /// When the time of a peer is up that moves `bytes` every `seconds`; `None` if not within two hours.
    fn over(bytes: u64, seconds: u32) -> Option<u32> {
        let start = clock::now();
        let mut progress = Progress::new(start);
        (1..=7_200).find(|&second| {
            let now = start + second * SECOND;
            if second % seconds == 0 {
                progress.reach(u64::from(second / seconds) * bytes, now);
            }
            progress.is_over(now, ALLOWED)
        })
    }

    #[test]
    fn what_never_pauses_and_keeps_to_the_least_rate_has_all_the_time_it_needs() {
        assert_eq!(over(RATE, 1), None);
        assert_eq!(over(29 * RATE, 29), None);
        assert_eq!(over(1 << 30, 29), None);
    }

    #[test]
    fn a_byte_now_and_then_wins_no_time() {
        for seconds in [1, 10, 29, 60] {
            assert_eq!(over(1, seconds), Some(30));
        }
        // Half of the rate is given twice the time.
        assert_eq!(over(RATE / 2, 1), Some(59));
    }

    #[test]
    fn what_came_fast_and_stops_has_no_more_time_than_any_other() {
        let start = clock::now();
        let mut progress = Progress::new(start);
        progress.reach(1 << 30, start + SECOND);
        assert!(!progress.is_over(start + 30 * SECOND, ALLOWED));
        assert!(progress.is_over(start + 31 * SECOND, ALLOWED));
    }

    #[test]
    fn the_time_in_which_nothing_was_waited_for_does_not_count() {
        let start = clock::now();
        let mut progress = Progress::new(start);
        progress.pause(start + 100 * SECOND);
        assert!(!progress.is_over(start + 129 * SECOND, ALLOWED));
        assert!(progress.is_over(start + 130 * SECOND, ALLOWED));
    }

    #[test]
    fn the_time_for_one_request_is_not_spent_by_another() {
        let start = clock::now();
        let mut progress = Progress::new(start);
        progress.reach(500, start + 29 * SECOND);
        progress.reach(1, start + 30 * SECOND);
        assert!(!progress.is_over(start + 59 * SECOND, ALLOWED));
        assert!(progress.is_over(start + 60 * SECOND, ALLOWED));
    }

    #[test]
    fn a_time_without_end_never_ends() {
        let start = clock::now();
        let mut progress = Progress::new(start);
        progress.reach(u64::MAX, start);
        assert!(!progress.is_over(start + 7_200 * SECOND, Duration::MAX));
    }

    #[test]
    fn a_peer_takes_bytes_also_where_the_kernel_has_no_room_for_more() {
        let start = clock::now();
        let mut unread = Unread::new(start);
        unread.look(1_000, start);
        assert_eq!(unread.progress.moved_at(), start);
        // Some of what the kernel had, then nothing, then as much as it was given.
        unread.look(900, start + SECOND);
        assert_eq!(unread.progress.moved_at(), start + SECOND);
        unread.look(900, start + 2 * SECOND);
        assert_eq!(unread.progress.moved_at(), start + SECOND);
        unread.give(500);
        unread.look(900, start + 3 * SECOND);
        assert_eq!(unread.progress.moved_at(), start + 3 * SECOND);
        // What the kernel was given alone, the peer has not taken.
        unread.give(500);
        unread.look(1_400, start + 4 * SECOND);
        assert_eq!(unread.progress.moved_at(), start + 3 * SECOND);
    }
}
