//! Waking a poll at a moment given in nanoseconds.
//!
//! mio's own timeout counts in milliseconds, as epoll does. A timer of the kernel that is polled
//! beside the sockets has no such steps, and costs one system call when the moment changes.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

const NS_PER_S: u64 = 1_000_000_000;

/// A timer among the sockets of a poll; its event means nothing, it only ends the wait.
pub(super) struct Alarm {
    timer: OwnedFd,
    set_to: Option<u64>,
}

impl Alarm {
    /// The poll will see `token` when the time has come.
    pub(super) fn new(registry: &Registry, token: Token) -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("make a timer")?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self {
            timer,
            set_to: None,
        })
    }

    /// Sets it to moment `at`, which is later than `now`, both in nanoseconds of the same scale.
    pub(super) fn set(&mut self, at: u64, now: u64) -> Result<()> {
        if self.set_to == Some(at) {
            return Ok(());
        }
        // Zero would switch the timer off.
        let wait = at.saturating_sub(now).max(1);
        let moment = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: (wait / NS_PER_S) as i64,
                tv_nsec: (wait % NS_PER_S) as i64,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &moment)
            .map_err(io::Error::from)
            .context("set a timer")?;
        self.set_to = Some(at);
        Ok(())
    }

    /// Its event has come: it is set to nothing now.
    pub(super) fn rang(&mut self) {
        self.set_to = None;
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn every_moment_it_is_set_to_ends_a_wait_also_the_same_again() {
        let mut poll = Poll::new().unwrap();
        let mut alarm = Alarm::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for at in [100_000, 300_000, 300_000, 301_000] {
            alarm.set(at, 0).unwrap();
            poll.poll(&mut events, None).unwrap();
            let tokens: Vec<Token> = events.iter().map(mio::event::Event::token).collect();
            assert_eq!(tokens, [Token(7)]);
            alarm.rang();
        }
    }
}
