//! The maps of one comparison, loaded, and asked in turn.
//!
//! 1. Rounds alternate over all candidates, so that a machine that gets slower gets slower for all.
//! 2. All candidates are asked the same sequences.
//! 3. After a round that changes amounts all of them are added up: what was lost, or came from
//!    nowhere, counts as wrong.

use anyhow::Result;
use hdrhistogram::Histogram;

use super::course::Course;
use super::engines::{self, Settings};
use super::entrant::Entrant;
use super::measure::{Round, Subject, Task};
use super::outcome::Outcome;
use super::plan::{Loading, Pace, Stage};
use super::point::Point;
use super::workload::{Op, SEQUENCE_OPS, Style, Workload, sequences};
use crate::distribution::Curve;
use crate::environment::Common;
use crate::figures::{LatencyNs, Spread, latency_histogram};

/// An engine, with what it has shown so far at the present point.
struct Candidate {
    entrant: Entrant,
    map: Option<Box<dyn Subject>>,
    shards: Option<usize>,
    transfers_atomically: bool,
    rates: Vec<f64>,
    latencies: Histogram<u64>,
    wrong: u64,
    /// What was added to the amounts of this map since it was loaded, if that is known.
    drift: Option<u64>,
}

/// All candidates, and the questions.
pub(super) struct Field {
    candidates: Vec<Candidate>,
    asked: Option<(Point, Vec<Vec<Op>>)>,
}

impl Field {
    /// The entrants of a stage, with no maps yet.
    ///
    /// # Errors
    /// Never in practice: the bounds of a histogram are constants.
    pub(super) fn new(stage: &Stage) -> Result<Self> {
        let candidates = stage.entrants.iter().cloned().map(Candidate::new);
        Ok(Self {
            candidates: candidates.collect::<Result<_>>()?,
            asked: None,
        })
    }

    /// Runs all rounds of a stage whose maps come as `loading` says.
    ///
    /// # Errors
    /// An engine cannot be divided as asked, or did not start; a thread did not start, or panicked;
    /// a distribution cannot be written.
    pub(super) fn run(
        &mut self,
        stage: &Stage,
        loading: &Loading,
        pace: Pace,
        course: &mut Course,
        common: &Common,
    ) -> Result<Vec<Outcome>> {
        let (rounds, anew) = match loading {
            Loading::Ready => (stage.rounds, false),
            Loading::Together => {
                for candidate in &mut self.candidates {
                    candidate.load(stage, course)?;
                }
                (stage.rounds, false)
            }
            Loading::Anew { rounds } => (*rounds, true),
            Loading::Skipped(_) => return Ok(Vec::new()),
        };
        let point = stage.point;
        course.say(&format!("{point}: draw"));
        let sequences = self.draw(common.seed, point);
        course.done(stage.draw_time());
        let task = Task {
            style: point.workload.style(),
            keys: point.keys,
            sequences: &sequences,
            batch: point.batch,
            warm_up: pace.warm_up,
            window: pace.window,
        };
        for round in 1..=rounds {
            course.say(&format!("{point}: round {round} of {rounds}"));
            for candidate in &mut self.candidates {
                if anew {
                    candidate.load(stage, course)?;
                }
                candidate.round(task)?;
                if anew {
                    candidate.map = None;
                }
                course.done(stage.round_time(pace));
            }
        }
        self.asked = Some((point, sequences));
        let outcomes = self.candidates.iter_mut();
        outcomes
            .map(|candidate| candidate.outcome(stage, common))
            .collect()
    }

    /// The sequences of a point: those of the point before, where they are the same.
    fn draw(&mut self, seed: u64, point: Point) -> Vec<Vec<Op>> {
        match self.asked.take() {
            Some((before, sequences)) if before.asks_like(&point) => sequences,
            Some(_) | None => sequences(seed, &point, SEQUENCE_OPS),
        }
    }
}

impl Candidate {
    fn new(entrant: Entrant) -> Result<Self> {
        Ok(Self {
            entrant,
            map: None,
            shards: None,
            transfers_atomically: false,
            rates: Vec::new(),
            latencies: latency_histogram()?,
            wrong: 0,
            drift: None,
        })
    }

    fn load(&mut self, stage: &Stage, course: &mut Course) -> Result<()> {
        course.say(&format!("{}: load {}", stage.point, self.entrant.label));
        let settings = Settings {
            value_bytes: stage.point.value_bytes,
            ..self.entrant.settings
        };
        let map = engines::open(self.entrant.engine, settings)?;
        map.load(stage.point.keys);
        self.shards = map.shards();
        self.transfers_atomically = map.transfers_atomically();
        self.drift = None;
        self.map = Some(map);
        course.done(stage.load_time());
        Ok(())
    }

    fn round(&mut self, task: Task<'_>) -> Result<()> {
        let Some(map) = &self.map else {
            anyhow::bail!("{} is asked without a map", self.entrant.label);
        };
        let before = self.drift.take();
        let Round {
            ops_per_s,
            wrong,
            latencies,
            ..
        } = match task.style {
            Style::Mix | Style::Latest => map.round(task)?,
            Style::Change | Style::Transfer => {
                let before = before.unwrap_or_else(|| map.drift(task.keys));
                let round = map.round(task)?;
                let after = map.drift(task.keys);
                let lost = before.wrapping_add(round.added).wrapping_sub(after);
                self.wrong += lost.cast_signed().unsigned_abs();
                self.drift = Some(after);
                round
            }
        };
        self.rates.push(ops_per_s);
        self.latencies += latencies;
        self.wrong += wrong;
        Ok(())
    }

    /// Takes what the candidate has shown and leaves it ready for the next point.
    fn outcome(&mut self, stage: &Stage, common: &Common) -> Result<Outcome> {
        let point = stage.point;
        let rates = std::mem::take(&mut self.rates);
        let latencies = std::mem::replace(&mut self.latencies, latency_histogram()?);
        let spread = Spread::of(rates.iter().copied());
        let outcome = Outcome {
            name: self.entrant.engine,
            engine: self.entrant.label.clone(),
            threads: point.threads,
            batch: point.batch,
            keys: point.keys,
            value_bytes: point.value_bytes,
            read_percent: point.read_percent,
            distribution: point.distribution_label(),
            shards: self.shards,
            window_us: self.entrant.window_us(),
            workload: point.workload.label(),
            axis: stage.axis,
            atomic: self.is_atomic(point.workload),
            ops_per_s: spread.median,
            ops_per_s_min: spread.min,
            ops_per_s_max: spread.max,
            rounds_ops_per_s: rates,
            latency: LatencyNs::of(&latencies),
            percentile_curve_ns: Curve::of(&latencies),
            wrong: std::mem::take(&mut self.wrong),
        };
        common.save_distribution(&outcome.file_name(), &latencies)?;
        Ok(outcome)
    }

    fn is_atomic(&self, workload: Workload) -> Option<bool> {
        match workload {
            // Whatever an engine is, it changes one key atomically.
            Workload::Counter => Some(true),
            Workload::Transfer => Some(self.transfers_atomically),
            Workload::ReadsAndWrites
            | Workload::YcsbA
            | Workload::YcsbB
            | Workload::YcsbC
            | Workload::YcsbD
            | Workload::YcsbF => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entrant::{Mention, entrants};
    use super::super::outcome::overlap;
    use super::super::point::Axis;
    use super::*;
    use crate::embedded::engines::EngineName;

    fn common() -> Common {
        Common {
            seed: 1,
            json: None,
            hgrm: None,
        }
    }

    fn run(stage: &Stage, loading: &Loading, window: Duration) -> Vec<Outcome> {
        let pace = Pace {
            warm_up: Duration::from_millis(1),
            window,
        };
        let mut course = Course::silent();
        let mut field = Field::new(stage).unwrap();
        let common = common();
        field
            .run(stage, loading, pace, &mut course, &common)
            .unwrap()
    }

    fn stage(point: Point, engines: &[EngineName], rounds: u32) -> Stage {
        let mentions: Vec<Mention> = engines.iter().copied().map(Mention::from).collect();
        Stage {
            axis: Axis::Point,
            point,
            entrants: entrants(&mentions, &[0], &[0]).unwrap(),
            rounds,
            rounds_anew: rounds,
        }
    }

    /// So many rounds of each that the ranges of two equal things miss each other in one of
    /// C(24, 12) / 2 runs: 1.35 million.
    const ROUNDS: u32 = 12;

    #[test]
    fn one_engine_under_two_names_differs_by_less_than_the_printed_spread() {
        let point = Point {
            keys: 1_000,
            ..Point::BASE
        };
        let twice = stage(point, &[EngineName::Dashmap, EngineName::Dashmap], ROUNDS);
        let outcomes = run(&twice, &Loading::Together, Duration::from_millis(5));
        let [one, other] = outcomes.as_slice() else {
            panic!("two entrants, two lines");
        };
        assert_eq!((&*one.engine, &*other.engine), ("dashmap", "dashmap-2"));
        assert!(overlap(one, other), "{one:?}\n{other:?}");
    }

    #[test]
    fn maps_loaded_anew_show_as_many_rounds_and_the_same_fields() {
        let point = Point {
            keys: 1_000,
            ..Point::of(Workload::YcsbD)
        };
        let asked = stage(point, &[EngineName::Papaya, EngineName::OwnersLend], 2);
        let anew = Loading::Anew { rounds: 2 };
        for outcome in run(&asked, &anew, Duration::from_millis(1)) {
            assert_eq!(outcome.rounds_ops_per_s.len(), 2);
            assert_eq!((outcome.wrong, outcome.distribution), (0, "latest"));
        }
    }

    #[test]
    fn who_cannot_transfer_atomically_says_so() {
        let point = Point {
            keys: 1_000,
            ..Point::of(Workload::Transfer)
        };
        let names = [
            (EngineName::Mutex, true),
            (EngineName::Rwlock, true),
            (EngineName::Striped, true),
            (EngineName::StripedTuned, true),
            (EngineName::StripedGrouped, true),
            (EngineName::Dashmap, false),
            (EngineName::Papaya, false),
            (EngineName::OwnersLend, true),
            (EngineName::OwnersMail, true),
            (EngineName::SingleOwner, true),
        ];
        let asked = stage(point, &names.map(|(name, _)| name), 2);
        let outcomes = run(&asked, &Loading::Together, Duration::from_millis(1));
        for ((name, atomic), outcome) in names.iter().zip(outcomes) {
            assert_eq!(outcome.atomic, Some(*atomic), "{}", name.label());
            assert_eq!(outcome.wrong, 0, "{}", name.label());
        }
    }

    /// A map that forgets every change.
    struct Forgetful(Box<dyn Subject>);

    impl Subject for Forgetful {
        fn shards(&self) -> Option<usize> {
            None
        }
        fn transfers_atomically(&self) -> bool {
            true
        }
        fn load(&self, keys: u64) {
            self.0.load(keys);
        }
        fn drift(&self, _keys: u64) -> u64 {
            0
        }
        fn round(&self, task: Task<'_>) -> Result<Round> {
            self.0.round(task)
        }
        fn grow(&self, shortest: &mut [u32]) {
            self.0.grow(shortest);
        }
    }

    #[test]
    fn lost_changes_count_as_wrong() {
        let point = Point {
            keys: 1_000,
            ..Point::of(Workload::Counter)
        };
        let map = engines::open(EngineName::Mutex, Settings::default()).unwrap();
        map.load(point.keys);
        let mut candidate = Candidate::new(Entrant::plain(EngineName::Mutex)).unwrap();
        candidate.map = Some(Box::new(Forgetful(map)));
        let sequences = sequences(1, &point, 1_024);
        let task = Task {
            style: Style::Change,
            keys: point.keys,
            sequences: &sequences,
            batch: 1,
            warm_up: Duration::ZERO,
            window: Duration::from_micros(100),
        };
        candidate.round(task).unwrap();
        // Two threads, runs of 64 operations.
        let wrong = candidate.wrong;
        assert!(wrong >= 2 * 64 && wrong.is_multiple_of(64), "{wrong}");
    }
}
