//! Who has work, or holds something, and makes no progress.
//!
//! Each watched thread counts: odd while it works, even while it rests. Whoever looks, looks from
//! outside; a thread pays one relaxed store into a line of its own when it begins and when it rests.
//!
//! 1. A [`Pulse`] is written by one thread.
//! 2. What is reported as stalled has not moved for the bound at least, by looks that came in time: a
//!    process that was stopped as a whole (a debugger, SIGSTOP) has stalled nobody.
//! 3. A report is taken back by the first look that finds it moving, or at rest.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::sync::Mutex;

/// Longest without progress before it is reported.
pub const STALL_BOUND_DEFAULT: Duration = Duration::from_secs(1);

/// Looks within one bound: a stall is noticed at most a quarter of the bound late.
pub const LOOKS_PER_BOUND: u32 = 4;

/// No shard.
const NONE: usize = usize::MAX;

/// The progress of one thread, as it tells it.
#[derive(Clone, Default)]
pub struct Pulse(Arc<CachePadded<Beats>>);

struct Beats {
    count: AtomicU64,
    shard: AtomicUsize,
}

impl Default for Beats {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            shard: AtomicUsize::new(NONE),
        }
    }
}

impl Pulse {
    /// It goes on: has work, or has done a piece of it.
    #[inline]
    pub fn work(&self) {
        let count = self.0.count.load(Relaxed);
        // From rest to the next odd number, from work to the odd number after it.
        self.0.count.store((count + 1) | 1, Relaxed);
    }

    /// It begins to work at `shard`, which a report will name.
    #[inline]
    pub fn work_at(&self, shard: usize) {
        self.0.shard.store(shard, Relaxed);
    }

    /// It has nothing to do, and waits for something that wakes it.
    #[inline]
    pub fn rest(&self) {
        let count = self.0.count.load(Relaxed);
        self.0.count.store((count | 1) + 1, Relaxed);
        self.0.shard.store(NONE, Relaxed);
    }

    /// What one sees of it.
    #[must_use]
    pub fn sight(&self) -> Sight {
        let count = self.0.count.load(Relaxed);
        let shard = self.0.shard.load(Relaxed);
        Sight {
            busy: count % 2 == 1,
            count,
            shard: (shard != NONE).then_some(shard),
        }
    }
}

/// What a look sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// It works, or is held.
    pub busy: bool,
    /// Changes with each progress.
    pub count: u64,
    /// The shard it works at.
    pub shard: Option<usize>,
}

/// Something that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The thread, or what is held.
    pub name: String,
    /// The shard it works at.
    pub shard: Option<usize>,
    /// How long it has not moved, so far.
    pub lasts: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(shard) = self.shard {
            write!(f, " at shard {shard}")?;
        }
        write!(
            f,
            " has made no progress for {:.1} s",
            self.lasts.as_secs_f64()
        )
    }
}

/// What a look found that was not so before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// It has stalled.
    Stalled(Stall),
    /// It moves again, or rests; `lasts` says how long it did not.
    Moving(Stall),
}

impl fmt::Display for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled(stall) => stall.fmt(f),
            Self::Moving(Stall { name, lasts, .. }) => {
                write!(f, "{name} moves again after {:.1} s", lasts.as_secs_f64())
            }
        }
    }
}

type Probe = Box<dyn Fn() -> Sight + Send + Sync>;

/// Looks at what is watched. Has no thread of its own: somebody calls [`Watch::look`], some times
/// ([`LOOKS_PER_BOUND`]) within each bound.
///
/// ```
/// use std::time::{Duration, Instant};
/// use shardkeep_core::watch::{Pulse, Watch};
///
/// let (watch, pulse) = (Watch::new(Duration::from_secs(1)), Pulse::default());
/// watch.add("worker", { let pulse = pulse.clone(); move || pulse.sight() });
/// pulse.work();
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let begin = Instant::now();
/// for quarter in 0..=4 {
///     watch.look(begin + quarter * Duration::from_millis(250));
/// }
/// assert_eq!(watch.stalls()[0].name, "worker");
/// pulse.rest();
/// watch.look(begin + Duration::from_millis(1_250));
/// assert!(watch.stalls().is_empty());
/// ```
pub struct Watch {
    bound: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    watched: Vec<Watched>,
    looked_at: Option<Instant>,
    stalls: u64,
}

struct Watched {
    name: String,
    probe: Probe,
    last: Sight,
    /// Time without progress, counted by looks.
    still: Duration,
    reported: bool,
}

impl Watch {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        Self {
            bound,
            seen: Mutex::new(Seen {
                watched: Vec::new(),
                looked_at: None,
                stalls: 0,
            }),
        }
    }

    /// How often somebody should look.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.bound / LOOKS_PER_BOUND
    }

    /// Watches one more. `probe` is called with each look; it must not block.
    pub fn add(&self, name: impl Into<String>, probe: impl Fn() -> Sight + Send + Sync + 'static) {
        let last = probe();
        self.seen.lock().watched.push(Watched {
            name: name.into(),
            probe: Box::new(probe),
            last,
            still: Duration::ZERO,
            reported: false,
        });
    }

    /// Looks at all, and says what has changed.
    pub fn look(&self, now: Instant) -> Vec<WatchEvent> {
        let mut seen = self.seen.lock();
        let passed = match seen.looked_at.replace(now) {
            Some(before) => now.saturating_duration_since(before),
            None => Duration::ZERO,
        };
        // Whoever looks late has not run itself, and knows nothing about the others.
        let passed = passed.min(self.interval() * 2);
        let mut events = Vec::new();
        for watched in &mut seen.watched {
            events.extend(watched.look(passed, self.bound));
        }
        let stalled = |event: &&WatchEvent| matches!(event, WatchEvent::Stalled(_));
        seen.stalls += events.iter().filter(stalled).count() as u64;
        events
    }

    /// What was stalled at the last look.
    #[must_use]
    pub fn stalls(&self) -> Vec<Stall> {
        let seen = self.seen.lock();
        let reported = seen.watched.iter().filter(|watched| watched.reported);
        reported.map(Watched::stall).collect()
    }

    /// Stalls that were reported in all.
    #[must_use]
    pub fn stalls_total(&self) -> u64 {
        self.seen.lock().stalls
    }
}

impl Watched {
    fn look(&mut self, passed: Duration, bound: Duration) -> Option<WatchEvent> {
        let sight = (self.probe)();
        let moved = !sight.busy || sight.count != self.last.count;
        if moved {
            let event = self.reported.then(|| WatchEvent::Moving(self.stall()));
            (self.last, self.still, self.reported) = (sight, Duration::ZERO, false);
            return event;
        }
        self.last = sight;
        self.still += passed;
        if self.reported || self.still < bound {
            return None;
        }
        self.reported = true;
        Some(WatchEvent::Stalled(self.stall()))
    }

    fn stall(&self) -> Stall {
        Stall {
            name: self.name.clone(),
            shard: self.last.shard,
            lasts: self.still,
        }
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;
    use crate::clock;

    const QUARTER: Duration = Duration::from_millis(250);

    /// A watch over one pulse, and a clock that goes by looks.
    struct Scene {
        watch: Watch,
        pulse: Pulse,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let (watch, pulse) = (Watch::new(Duration::from_secs(1)), Pulse::default());
            let probe = pulse.clone();
            watch.add("worker", move || probe.sight());
            let now = clock::now();
            watch.look(now);
            Self { watch, pulse, now }
        }

        fn look_after(&mut self, passed: Duration) -> Vec<String> {
            self.now += passed;
            let events = self.watch.look(self.now);
            events.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn a_thread_at_rest_never_stalls() {
        let mut scene = Scene::new();
        for _ in 0..100 {
            assert!(scene.look_after(QUARTER).is_empty());
        }
    }

    #[test]
    fn a_thread_that_goes_on_never_stalls() {
        let mut scene = Scene::new();
        for _ in 0..100 {
            scene.pulse.work();
            assert!(scene.look_after(QUARTER).is_empty());
        }
    }

    #[test]
    fn a_stall_is_reported_once_with_its_shard_and_taken_back() {
        let mut scene = Scene::new();
        scene.pulse.work();
        scene.pulse.work_at(7);
        let mut told = Vec::new();
        for _ in 0..12 {
            told.extend(scene.look_after(QUARTER));
        }
        assert_eq!(told, ["worker at shard 7 has made no progress for 1.0 s"]);
        assert_eq!(scene.watch.stalls().len(), 1);
        scene.pulse.work();
        assert_eq!(
            scene.look_after(QUARTER),
            ["worker moves again after 2.8 s"]
        );
        assert!(scene.watch.stalls().is_empty());
        assert_eq!(scene.watch.stalls_total(), 1);
    }

    #[test]
    fn a_process_that_was_stopped_as_a_whole_has_stalled_nobody() {
        let mut scene = Scene::new();
        scene.pulse.work();
        assert!(scene.look_after(QUARTER).is_empty());
        assert!(scene.look_after(Duration::from_secs(60)).is_empty());
        scene.pulse.work();
        assert!(scene.look_after(QUARTER).is_empty());
    }

    #[test]
    fn a_pulse_counts_odd_at_work_and_even_at_rest() {
        let pulse = Pulse::default();
        let mut last = pulse.sight().count;
        for busy in [true, true, false, false, true, false] {
            match busy {
                true => pulse.work(),
                false => pulse.rest(),
            }
            let sight = pulse.sight();
            assert_eq!(sight.busy, busy);
            assert!(sight.count > last);
            last = sight.count;
        }
    }
}
