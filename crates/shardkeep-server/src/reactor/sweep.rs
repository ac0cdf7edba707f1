//! Whose time is up: silent clients, those that do not log in, unfinished requests, replies nobody reads, goodbyes.

use std::time::Duration;

use super::Reactor;
use super::connection::{Connection, Life};
use super::progress::Unread;
use crate::limits;

/// What the sweep has found.
enum Verdict {
    /// Nothing runs out for it.
    Calm,
    /// Something may run out: look again.
    Watch,
    /// Its time is up.
    Close,
    /// The server ends, and it does not read.
    GiveUp,
}

impl Reactor {
    /// Makes sure that a sweep comes soon.
    pub(crate) fn sweep_soon(&mut self) {
        let at = self.now + limits::SWEEP_INTERVAL;
        self.sweep_at = Some(self.sweep_at.map_or(at, |before| before.min(at)));
    }

    /// Looks at everybody, if it is time to.
    pub(crate) fn sweep(&mut self) {
        self.expire_trips();
        self.look_for_places();
        if self.sweep_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.sweep_at = None;
        let mut watch = false;
        for token in 0..self.connections.len() {
            self.let_go(token);
            let Some(connection) = &mut self.connections[token] else {
                continue;
            };
            connection.look_at_peer(self.now);
            let Some(connection) = &self.connections[token] else {
                continue;
            };
            match self.verdict(connection) {
                Verdict::Calm => {}
                Verdict::Watch => watch = true,
                Verdict::Close => {
                    self.stats.timed_out.add(1);
                    let was_login = connection.login_since.is_some();
                    self.stats.login_timeouts.add(u64::from(was_login));
                    self.close(token);
                }
                Verdict::GiveUp => {
                    self.stats.given_up.add(1);
                    self.close(token);
                }
            }
        }
        if self.drain_until.is_some() {
            self.say_goodbye();
            watch = true;
        }
        if watch {
            self.sweep_soon();
        }
    }

    /// Sends what was held back after a login, if it is time to; while draining it is.
    fn let_go(&mut self, token: usize) {
        let is_draining = self.drain_until.is_some();
        if let Some(connection) = &mut self.connections[token]
            && connection
                .held_back
                .take_if(|held_back| held_back.until <= self.now || is_draining)
                .is_some()
        {
            self.flush(token);
        }
        self.look_at_stranger(token);
    }

    fn verdict(&self, connection: &Connection) -> Verdict {
        let past = |since: std::time::Instant, allowed: Duration| {
            self.now.saturating_duration_since(since) >= allowed
        };
        if let Life::Lingering(until) = connection.life {
            return if self.now >= until {
                Verdict::Close
            } else {
                Verdict::Watch
            };
        }
        if self.is_given_up(connection) {
            return Verdict::GiveUp;
        }
        let runtime = &self.context.runtime;
        let output = connection
            .unread
            .as_ref()
            .map(|unread| unread.progress.is_over(self.now, runtime.output_timeout()));
        let frame = connection
            .frame
            .as_ref()
            .filter(|_| connection.life.is_open())
            .map(|frame| frame.is_over(self.now, runtime.frame_timeout()));
        // A client whose requests wait for us is not the one that keeps us waiting.
        let idle = runtime
            .idle_timeout()
            .filter(|_| connection.may_decode() && connection.held.is_empty())
            .map(|allowed| past(connection.active_at, allowed));
        let login = connection
            .login_since
            .zip(runtime.login_timeout())
            .map(|(since, allowed)| past(since, allowed));
        // A login may be given less time meanwhile.
        let is_watched = connection.held_back.is_some() || connection.login_since.is_some();
        let mut verdict = match is_watched {
            true => Verdict::Watch,
            false => Verdict::Calm,
        };
        for is_over in [output, frame, idle, login].into_iter().flatten() {
            if is_over {
                return Verdict::Close;
            }
            verdict = Verdict::Watch;
        }
        if connection.life == Life::Finishing {
            Verdict::Watch
        } else {
            verdict
        }
    }

    /// While draining: whether it has taken nothing of what it has to read for [`limits::GIVE_UP_AFTER`].
    fn is_given_up(&self, connection: &Connection) -> bool {
        let Some(began) = self.refusing_since else {
            return false;
        };
        let Some(unread) = connection.unread.as_ref() else {
            return false;
        };
        let waits_since = unread.progress.moved_at().max(began);
        connection.owes_reading()
            && self.now.saturating_duration_since(waits_since) >= limits::GIVE_UP_AFTER
    }

    /// While draining: whoever has nothing under way any more is told goodbye.
    /// Whoever goes on sending is not waited for.
    fn say_goodbye(&mut self) {
        let late = self
            .refusing_since
            .is_some_and(|since| since + limits::GOODBYE_AFTER <= self.now);
        for token in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[token] else {
                continue;
            };
            let quiet = !connection.readable && !connection.more;
            let done = (quiet || late) && connection.stalled.is_none();
            if connection.life.is_open() && done {
                connection.life = Life::Finishing;
            }
            if connection.owes_reading() {
                let now = self.now;
                connection
                    .unread
                    .get_or_insert_with(|| Box::new(Unread::new(now)));
            }
            if connection.life == Life::Finishing {
                self.finish(token);
            }
        }
    }
}
