//! Logins that failed: how long the answer to one, and to those that follow, is held back, and what is told
//! of them.
//!
//! The answer to a wrong password is late by a time that doubles with each of its address, over all of its
//! connections, up to `--login-delay`. A right one from an address that has failed within the last minute is
//! as late as a wrong one would be: otherwise silence would tell at once that a guess was wrong. A client
//! behind the same address as one that guesses waits with it, at most so long; an address without failures
//! is never late with a right one. Nothing here waits: the connection is kept back by its reactor.
//!
//! 1. At most [`ADDRESSES_MAX`] addresses are remembered, each for [`FORGOTTEN_AFTER`] after its last failure.
//! 2. At most one line in [`LINE_EVERY`] tells of failures, however many there are.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::bounds::{LOGIN_DELAY_DEFAULT, LOGIN_DELAY_MAX};

/// How late the answer to the first wrong password of an address is.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// An address that has failed and not for so long again begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Addresses that are remembered: 64 KiB. Beyond that the one whose last failure is oldest is forgotten.
const ADDRESSES_MAX: usize = 1_024;

/// Time between two lines at least.
const LINE_EVERY: Duration = Duration::from_secs(10);

const _: () = assert!(DELAY_MIN.as_nanos() <= LOGIN_DELAY_DEFAULT.as_nanos());
const _: () = assert!(LOGIN_DELAY_MAX.as_nanos() <= FORGOTTEN_AFTER.as_nanos());

pub(crate) struct Logins(Mutex<Failures>);

struct Failures {
    delay_max: Duration,
    /// By network address; that of all unix sockets is `None`.
    of: HashMap<Option<IpAddr>, Failed>,
    /// Since the last line.
    untold: u64,
    /// Address of the client that failed last.
    last: String,
    told_at: Option<Instant>,
}

struct Failed {
    times: u32,
    last_at: Instant,
}

impl Logins {
    /// No failures yet; none is answered later than `delay_max`.
    pub(crate) fn new(delay_max: Duration) -> Self {
        Self(Mutex::new(Failures::new(delay_max)))
    }

    /// The client at `address` has given a wrong password; says how late that is to be answered.
    pub(crate) fn fail(&self, address: &str, now: Instant) -> Duration {
        self.0.lock().fail(address, now)
    }

    /// The client at `address` has given the right password; says how late that is to be answered.
    pub(crate) fn pass(&self, address: &str, now: Instant) -> Duration {
        self.0.lock().pass(address, now)
    }

    /// What is to be told now, if anything.
    pub(crate) fn line(&self, now: Instant) -> Option<String> {
        self.0.lock().line(now)
    }
}

impl Failures {
    fn new(delay_max: Duration) -> Self {
        Self {
            delay_max,
            of: HashMap::new(),
            untold: 0,
            last: String::new(),
            told_at: None,
        }
    }

    fn fail(&mut self, address: &str, now: Instant) -> Duration {
        self.untold += 1;
        address.clone_into(&mut self.last);
        let network = network(address);
        if self.of.len() >= ADDRESSES_MAX && !self.of.contains_key(&network) {
            self.make_room(now);
        }
        let failed = self.of.entry(network).or_insert(Failed {
            times: 0,
            last_at: now,
        });
        if failed.is_forgotten(now) {
            failed.times = 0;
        }
        failed.times = failed.times.saturating_add(1);
        failed.last_at = now;
        delay(failed.times).min(self.delay_max)
    }

    /// As late as a further failure would be, which this is not.
    fn pass(&self, address: &str, now: Instant) -> Duration {
        let failed = self.of.get(&network(address));
        let failed = failed.filter(|failed| !failed.is_forgotten(now));
        failed.map_or(Duration::ZERO, |failed| {
            delay(failed.times.saturating_add(1)).min(self.delay_max)
        })
    }

    fn make_room(&mut self, now: Instant) {
        self.of.retain(|_, failed| !failed.is_forgotten(now));
        let oldest = self.of.iter().min_by_key(|(_, failed)| failed.last_at);
        if self.of.len() >= ADDRESSES_MAX
            && let Some(oldest) = oldest.map(|(network, _)| *network)
        {
            self.of.remove(&oldest);
        }
    }

    fn line(&mut self, now: Instant) -> Option<String> {
        let is_early = self
            .told_at
            .is_some_and(|at| now.saturating_duration_since(at) < LINE_EVERY);
        if self.untold == 0 || is_early {
            return None;
        }
        self.told_at = Some(now);
        let (count, last) = (std::mem::take(&mut self.untold), &self.last);
        Some(format!(
            "warning: {count} failed logins, the last one from {last}"
        ))
    }
}

impl Failed {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_at) >= FORGOTTEN_AFTER
    }
}

fn delay(times: u32) -> Duration {
    let doubled = 1_u32.checked_shl(times.saturating_sub(1));
    let delay = doubled.and_then(|times| DELAY_MIN.checked_mul(times));
    delay.unwrap_or(Duration::MAX)
}

/// What counts as one address: of IPv6 the network of 64 bits that one peer has to itself.
fn network(address: &str) -> Option<IpAddr> {
    let ip = address.parse::<SocketAddr>().ok()?.ip();
    Some(match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        ip @ IpAddr::V4(_) => ip,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_failure_of_an_address_is_answered_later_up_to_a_bound() {
        let (logins, now) = (Logins::new(LOGIN_DELAY_DEFAULT), clock::now());
        let delays = [100, 200, 400, 800, 1_600, 2_000, 2_000];
        for (port, delay) in delays.into_iter().enumerate() {
            let address = format!("10.0.0.1:{}", 1_000 + port);
            assert_eq!(logins.fail(&address, now), delay * MS, "{address}");
        }
        for _ in 0..100 {
            assert_eq!(logins.fail("10.0.0.1:1", now), LOGIN_DELAY_DEFAULT);
        }
        assert_eq!(logins.fail("10.0.0.2:1", now), DELAY_MIN);
        let later = now + FORGOTTEN_AFTER;
        assert_eq!(logins.fail("10.0.0.1:1", later), DELAY_MIN);
    }

    #[test]
    fn a_right_password_is_as_late_as_a_wrong_one_would_be_and_counts_as_none() {
        let (logins, now) = (Logins::new(LOGIN_DELAY_DEFAULT), clock::now());
        assert_eq!(logins.pass("10.0.0.1:1", now), Duration::ZERO);
        assert_eq!(logins.fail("10.0.0.1:1", now), DELAY_MIN);
        for _ in 0..10 {
            let late = logins.pass("10.0.0.1:2", now);
            assert_eq!(late, logins.pass("10.0.0.1:3", now));
            assert_eq!(late, logins.fail("10.0.0.1:4", now));
        }
        assert_eq!(logins.pass("10.0.0.1:1", now), LOGIN_DELAY_DEFAULT);
        assert_eq!(logins.pass("10.0.0.2:1", now), Duration::ZERO);
        let later = now + FORGOTTEN_AFTER;
        assert_eq!(logins.pass("10.0.0.1:1", later - MS), LOGIN_DELAY_DEFAULT);
        assert_eq!(logins.pass("10.0.0.1:1", later), Duration::ZERO);
    }

    #[test]
    fn without_a_delay_every_login_is_answered_at_once() {
        let (logins, now) = (Logins::new(Duration::ZERO), clock::now());
        for _ in 0..10 {
            assert_eq!(logins.fail("10.0.0.1:1", now), Duration::ZERO);
            assert_eq!(logins.pass("10.0.0.1:1", now), Duration::ZERO);
        }
    }

    #[test]
    fn one_peer_is_one_address() {
        let same = [
            ["10.0.0.1:1", "[::ffff:10.0.0.1]:2"],
            ["[2001:db8::1]:1", "[2001:db8::2]:1"],
            ["/run/s.sock:0", "/run/s.sock:0"],
        ];
        for [one, other] in same {
            assert_eq!(network(one), network(other));
        }
        assert_ne!(network("[2001:db8::1]:1"), network("[2001:db8:0:1::1]:1"));
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let (mut failures, now) = (Failures::new(LOGIN_DELAY_DEFAULT), clock::now());
        for n in 0..3 * ADDRESSES_MAX as u32 {
            let ip = IpAddr::V4(n.into());
            failures.fail(&SocketAddr::new(ip, 1).to_string(), now + n * MS);
            assert!(failures.of.len() <= ADDRESSES_MAX);
        }
        let newest = 3 * ADDRESSES_MAX as u32 - 1;
        assert!(failures.of.contains_key(&Some(IpAddr::V4(newest.into()))));
    }

    #[test]
    fn many_failures_are_few_lines() {
        let (logins, now) = (Logins::new(LOGIN_DELAY_DEFAULT), clock::now());
        assert_eq!(logins.line(now), None);
        logins.fail("10.0.0.1:1", now);
        let line = logins.line(now).unwrap();
        assert_eq!(
            line,
            "warning: 1 failed logins, the last one from 10.0.0.1:1"
        );
        for port in 0..500 {
            logins.fail(&format!("10.0.0.1:{port}"), now);
        }
        assert_eq!(logins.line(now + LINE_EVERY - MS), None);
        let line = logins.line(now + LINE_EVERY).unwrap();
        assert!(line.contains(" 500 ") && line.ends_with(":499"), "{line}");
        assert_eq!(logins.line(now + 3 * LINE_EVERY), None);
    }
}
