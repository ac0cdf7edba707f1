//! What is to be run, in which order, how long it will take, and whether it fits into memory.
//!
//! Measures nothing; memory and times come in as arguments, so that every decision can be tested.
//!
//! 1. Rounds alternate over all entrants of a stage. Where not all their maps fit into memory at
//!    once, each is loaded anew in each round, and the table says so.
//! 2. A stage of which not even one map fits is skipped, by name.

use std::time::Duration;

use super::entrant::Entrant;
use super::point::{Axis, Point};
use super::workload::{Op, SEQUENCE_OPS, Style};

/// How long each entrant is asked in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) warm_up: Duration,
    pub(super) window: Duration,
}

/// One point, and who is asked it.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) axis: Axis,
    pub(super) point: Point,
    pub(super) entrants: Vec<Entrant>,
    pub(super) rounds: u32,
    /// Rounds where memory is too small for all maps at once and each is loaded anew in each.
    pub(super) rounds_anew: u32,
}

/// All that is to be run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) pace: Pace,
    pub(super) stages: Vec<Stage>,
}

/// How the maps of a stage come to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// The stage before has left them.
    Ready,
    /// All are loaded, then asked in turn.
    Together,
    /// Each is loaded, asked and dropped, in each of so many rounds.
    Anew { rounds: u32 },
    /// Not at all, for this reason.
    Skipped(String),
}

/// Bytes of a key.
const KEY_BYTES: u64 = 8;
/// Bytes a hash table keeps for each place beside key and value.
const TAG_BYTES: u64 = 1;
/// A hash table is full when 7 of 8 places are taken, then it doubles.
const TABLE_FULL: u64 = 7;
const TABLE_PLACES: u64 = 8;
/// Of the memory available, hundredths that are used; the rest is for the system.
const MEMORY_PERCENT: u64 = 90;
/// Inserts of one thread in a second, at most: what a growing map is given room for.
const INSERTS_PER_S: u64 = 2_000_000;
const MIB: u64 = 1 << 20;

/// Loading one key into a map, roughly: the slowest engine, including the growth of its tables and
/// dropping the map afterwards.
const LOAD_PER_KEY: Duration = Duration::from_nanos(400);
/// The same for each byte of its value.
const LOAD_PER_KIB: Duration = Duration::from_nanos(1_700);
/// Adding up one key's amount after a round, roughly.
const SUM_PER_KEY: Duration = Duration::from_nanos(100);
/// Drawing one operation, roughly.
const DRAW_PER_OP: Duration = Duration::from_nanos(20);
/// Starting and joining the threads of a round, roughly.
const ROUND_OVERHEAD: Duration = Duration::from_millis(2);

impl Stage {
    /// How this stage's maps come to be there, with those of `before` in memory if it is given.
    pub(super) fn loading(&self, before: Option<&Self>, available: u64, pace: Pace) -> Loading {
        if before.is_some_and(|before| self.shares_maps(before)) {
            return Loading::Ready;
        }
        let threads = self.point.threads as u64;
        let sequences = threads * (SEQUENCE_OPS * size_of::<Op>()) as u64;
        let usable = (available / 100 * MEMORY_PERCENT).saturating_sub(sequences);
        let map = self.map_bytes(pace);
        // A table that doubles is there twice for a while, once in half its size.
        let growing = map / 2;
        if map + growing > usable {
            return Loading::Skipped(format!(
                "{} ({}): one map needs about {} MiB, {} MiB are available",
                self.point,
                self.axis.label(),
                (map + growing) / MIB,
                usable / MIB,
            ));
        }
        // What has been inserted must not be there in the next round.
        if self.point.workload.style() == Style::Latest {
            return Loading::Anew {
                rounds: self.rounds,
            };
        }
        if self.entrants.len() as u64 * map + growing > usable {
            return Loading::Anew {
                rounds: self.rounds_anew,
            };
        }
        Loading::Together
    }

    /// Whether the maps of another stage can be asked this one's questions.
    fn shares_maps(&self, other: &Self) -> bool {
        let inserts = |stage: &Self| stage.point.workload.style() == Style::Latest;
        let map = |stage: &Self| (stage.point.keys, stage.point.value_bytes);
        map(self) == map(other)
            && self.entrants == other.entrants
            && !inserts(self)
            && !inserts(other)
    }

    /// Bytes of one loaded map, for the engines that double their tables.
    fn map_bytes(&self, pace: Pace) -> u64 {
        let seconds = (pace.warm_up + pace.window).as_secs() + 1;
        let inserts = match self.point.workload.style() {
            Style::Mix | Style::Change | Style::Transfer => 0,
            Style::Latest => self.point.threads as u64 * seconds * INSERTS_PER_S,
        };
        let keys = self.point.keys + inserts;
        let places = (keys * TABLE_PLACES)
            .div_ceil(TABLE_FULL)
            .next_power_of_two();
        places * (KEY_BYTES + self.point.value_bytes as u64 + TAG_BYTES)
    }

    /// Loading one map, roughly.
    pub(super) fn load_time(&self) -> Duration {
        let kibibytes = self.point.value_bytes as f64 / 1_024.0;
        let per_key = LOAD_PER_KEY + LOAD_PER_KIB.mul_f64(kibibytes);
        per_key.mul_f64(self.point.keys as f64)
    }

    /// One round of one entrant, roughly.
    pub(super) fn round_time(&self, pace: Pace) -> Duration {
        let sum = match self.point.workload.style() {
            Style::Mix | Style::Latest => Duration::ZERO,
            Style::Change | Style::Transfer => SUM_PER_KEY.mul_f64(self.point.keys as f64),
        };
        pace.warm_up + pace.window + ROUND_OVERHEAD + sum
    }

    /// Drawing the sequences, roughly.
    pub(super) fn draw_time(&self) -> Duration {
        DRAW_PER_OP.mul_f64((self.point.threads * SEQUENCE_OPS) as f64)
    }

    /// All of it, roughly.
    fn time(&self, loading: &Loading, pace: Pace) -> Duration {
        let entrants = self.entrants.len() as u32;
        let (load, round) = (self.load_time(), self.round_time(pace));
        let turns = |rounds: u32| entrants * rounds;
        self.draw_time()
            + match loading {
                Loading::Ready => round * turns(self.rounds),
                Loading::Together => load * entrants + round * turns(self.rounds),
                Loading::Anew { rounds } => (load + round) * turns(*rounds),
                Loading::Skipped(_) => return Duration::ZERO,
            }
    }
}

impl Plan {
    /// How long it will take, roughly, with so many bytes of memory available.
    pub(super) fn time(&self, available: u64) -> Duration {
        let mut before = None;
        let mut time = Duration::ZERO;
        for stage in &self.stages {
            let loading = stage.loading(before, available, self.pace);
            time += stage.time(&loading, self.pace);
            before = match loading {
                Loading::Ready | Loading::Together => Some(stage),
                Loading::Anew { .. } | Loading::Skipped(_) => None,
            };
        }
        time
    }

    /// Lines of all tables together.
    pub(super) fn lines(&self) -> usize {
        self.stages.iter().map(|stage| stage.entrants.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::engines::EngineName;
    use super::super::workload::Workload;
    use super::*;

    const GIB: u64 = 1 << 30;
    const PACE: Pace = Pace {
        warm_up: Duration::from_millis(50),
        window: Duration::from_millis(400),
    };

    fn stage(point: Point) -> Stage {
        let entrants = [EngineName::Mutex, EngineName::Dashmap].map(Entrant::plain);
        Stage {
            axis: Axis::Point,
            point,
            entrants: entrants.into(),
            rounds: 5,
            rounds_anew: 3,
        }
    }

    fn big() -> Stage {
        // 2^21 places of 4,105 bytes: 8 GiB, 12 while growing.
        stage(Point {
            value_bytes: 4_096,
            ..Point::BASE
        })
    }

    #[test]
    fn what_does_not_fit_together_is_loaded_anew_and_what_never_fits_is_skipped_by_name() {
        for (gib, expected) in [
            (64, Loading::Together),
            (16, Loading::Anew { rounds: 3 }),
            (
                8,
                Loading::Skipped(
                    "1000000 keys, 4096-byte values, 95 % reads, uniform, 2 threads, batch 1 \
                     (point): one map needs about 12315 MiB, 7340 MiB are available"
                        .to_owned(),
                ),
            ),
        ] {
            assert_eq!(big().loading(None, gib * GIB, PACE), expected, "{gib} GiB");
        }
    }

    #[test]
    fn maps_are_used_again_where_only_the_questions_change() {
        let base = stage(Point::BASE);
        for (next, expected) in [
            (
                Point {
                    batch: 512,
                    ..Point::BASE
                },
                Loading::Ready,
            ),
            (
                Point {
                    threads: 4,
                    ..Point::BASE
                },
                Loading::Ready,
            ),
            (Point::of(Workload::Counter), Loading::Ready),
            (
                Point {
                    keys: 1_000,
                    ..Point::BASE
                },
                Loading::Together,
            ),
            (Point::of(Workload::YcsbD), Loading::Anew { rounds: 5 }),
        ] {
            let found = stage(next).loading(Some(&base), 8 * GIB, PACE);
            assert_eq!(found, expected, "{next}");
        }
        let fewer = Stage {
            entrants: vec![Entrant::plain(EngineName::Mutex)],
            ..stage(Point::BASE)
        };
        assert_eq!(fewer.loading(Some(&base), 8 * GIB, PACE), Loading::Together);
    }

    #[test]
    fn a_plan_takes_its_rounds_and_its_loading() {
        let plan = |stages: Vec<Stage>| Plan { pace: PACE, stages };
        let one = plan(vec![stage(Point::BASE)]).time(8 * GIB);
        // 2 entrants, 5 rounds of 0.452 s; a map a second at most.
        assert!(one > Duration::from_millis(4_520) && one < Duration::from_millis(6_520));
        let two = plan(vec![stage(Point::BASE), stage(Point::BASE)]).time(8 * GIB);
        assert!(two < 2 * one, "loaded once: {two:?}");
        assert_eq!(plan(vec![big()]).time(8 * GIB), Duration::ZERO);
    }
}
