//! `embedded --bars`: the points by which this project judges its map, and how it stands.
//!
//! 1. The competitors come as they are by default; of ours the default and the counts of
//!    [`SHARDS`] run, and a figure says which of them it is about.
//! 2. What is asked is a constant here, printed beside what was reached: nothing is hidden by
//!    choosing the comparison afterwards.

use std::iter::once;

use super::engines::EngineName;
use super::entrant::Entrant;
use super::outcome::{self, Outcome, USUAL, best_of};
use super::plan::{Pace, Plan, Stage};
use super::point::{Axis, Point};
use crate::table::Table;

/// Keys of most points: a table of some 100 MB, far beyond any cache.
const KEYS: u64 = Point::BASE.keys;
/// Keys of the point that fits into a cache.
const KEYS_FEW: u64 = 1_000;
/// Batch sizes asked at [`KEYS`].
const BATCHES: [usize; 3] = [1, 64, 512];
/// Shard counts of ours, beside the default.
const SHARDS: [usize; 5] = [8, 16, 32, 64, 128];

/// Whom ours is compared with, as they are by default.
const OTHERS: [EngineName; 6] = [
    EngineName::Mutex,
    EngineName::Striped,
    EngineName::StripedTuned,
    EngineName::StripedGrouped,
    EngineName::Dashmap,
    EngineName::Papaya,
];
/// Locks whose single operations ours should reach.
const LOCKS: [EngineName; 4] = [
    EngineName::Mutex,
    EngineName::Striped,
    EngineName::StripedTuned,
    EngineName::Dashmap,
];

/// Which of our shard counts a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Default,
    Best,
}

/// A figure that is asked for.
struct Asked {
    keys: u64,
    batch: usize,
    ours: Ours,
    against: &'static [EngineName],
    whom: &'static str,
    at_least: f64,
}

const GROUPED: &[EngineName] = &[EngineName::StripedGrouped];

const ASKED: [Asked; 10] = [
    asked(
        KEYS,
        1,
        Ours::Default,
        &[EngineName::Dashmap],
        "dashmap",
        0.9,
    ),
    asked(KEYS, 1, Ours::Default, &LOCKS, "the best lock", 1.0),
    asked(KEYS, 1, Ours::Best, &LOCKS, "the best lock", 1.0),
    asked(KEYS, 512, Ours::Default, &USUAL, "the usual maps", 1.6),
    asked(KEYS, 512, Ours::Best, &USUAL, "the usual maps", 2.0),
    asked(KEYS, 512, Ours::Best, GROUPED, "grouped locks", 1.0),
    asked(KEYS, 64, Ours::Default, &USUAL, "the usual maps", 1.0),
    asked(KEYS, 64, Ours::Best, &USUAL, "the usual maps", 1.2),
    asked(KEYS, 64, Ours::Best, GROUPED, "grouped locks", 1.0),
    asked(
        KEYS_FEW,
        1,
        Ours::Default,
        &[EngineName::Dashmap],
        "dashmap",
        1.2,
    ),
];

const fn asked(
    keys: u64,
    batch: usize,
    ours: Ours,
    against: &'static [EngineName],
    whom: &'static str,
    at_least: f64,
) -> Asked {
    Asked {
        keys,
        batch,
        ours,
        against,
        whom,
        at_least,
    }
}

/// An answer to what was asked.
#[derive(Debug)]
struct Reached {
    keys: u64,
    batch: usize,
    shards: Option<usize>,
    default_shards: bool,
    against: &'static str,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
    at_least: f64,
}

/// The points, and who is compared at them.
pub(super) fn plan(rounds: u32, pace: Pace) -> Plan {
    let many = BATCHES.map(|batch| (KEYS, batch));
    let points = many.into_iter().chain(once((KEYS_FEW, 1)));
    let stage = |(keys, batch)| Stage {
        axis: Axis::Point,
        point: Point {
            keys,
            batch,
            ..Point::BASE
        },
        entrants: entrants().collect(),
        rounds,
        rounds_anew: rounds,
    };
    Plan {
        pace,
        stages: points.map(stage).collect(),
    }
}

/// All that run: the others, ours by default, then ours with each count.
fn entrants() -> impl Iterator<Item = Entrant> {
    let ours = once(0).chain(SHARDS);
    let ours = ours.map(|count| Entrant::with_shards(EngineName::OwnersLend, count));
    OTHERS.into_iter().map(Entrant::plain).chain(ours)
}

/// What was asked beside what was reached.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let mut table = Table::new([
        "keys", "batch", "shards", "against", "ratio", "min", "max", "asked", "reached",
    ]);
    for reached in ASKED.iter().filter_map(|asked| reached(outcomes, asked)) {
        let digits = |ratio: f64| format!("{ratio:.2}");
        let which = if reached.default_shards {
            "default"
        } else {
            "best"
        };
        table.row([
            reached.keys.to_string(),
            reached.batch.to_string(),
            format!("{} ({which})", outcome::shards(reached.shards)),
            reached.against.to_owned(),
            digits(reached.ratio),
            digits(reached.ratio_min),
            digits(reached.ratio_max),
            digits(reached.at_least),
            if reached.ratio >= reached.at_least {
                "yes".to_owned()
            } else {
                "no".to_owned()
            },
        ]);
    }
    format!(
        "owners-lend against the others: ratio of operations per second within each round, \
         median with extremes\n\n{}",
        table.text()
    )
}

/// How ours stands, where both sides were measured.
fn reached(outcomes: &[Outcome], asked: &Asked) -> Option<Reached> {
    let at_point = |outcome: &&Outcome| outcome.keys == asked.keys && outcome.batch == asked.batch;
    let mut ours = outcomes
        .iter()
        .filter(at_point)
        .filter(|outcome| outcome.is_one_of(&[EngineName::OwnersLend]));
    let ours = match asked.ours {
        // The default runs before the counts.
        Ours::Default => ours.next()?,
        Ours::Best => ours.max_by(|one, other| one.ops_per_s.total_cmp(&other.ops_per_s))?,
    };
    let from = outcomes.iter().position(|outcome| at_point(&outcome))?;
    let count = outcomes[from..].iter().take_while(at_point).count();
    let other = best_of(&outcomes[from..from + count], asked.against)?;
    let ratio = ours.against(other);
    Some(Reached {
        keys: asked.keys,
        batch: asked.batch,
        shards: ours.shards,
        default_shards: asked.ours == Ours::Default,
        against: asked.whom,
        ratio: ratio.median,
        ratio_min: ratio.min,
        ratio_max: ratio.max,
        at_least: asked.at_least,
    })
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::*;

    #[test]
    fn the_default_is_the_first_of_ours_and_the_best_the_fastest() {
        let point = (KEYS, 512);
        let outcomes = [
            outcome(EngineName::OwnersLend, Some(1), (KEYS, 1), &[9.0]),
            outcome(EngineName::Dashmap, None, point, &[1.0]),
            outcome(EngineName::Papaya, None, point, &[2.0]),
            outcome(EngineName::OwnersLend, Some(64), point, &[3.0]),
            outcome(EngineName::OwnersLend, Some(16), point, &[5.0]),
            outcome(EngineName::Papaya, None, (KEYS_FEW, 1), &[9.0]),
        ];
        for (ours, shards, ratio) in [(Ours::Default, 64, 1.5), (Ours::Best, 16, 2.5)] {
            let found = reached(&outcomes, &asked(KEYS, 512, ours, &USUAL, "", 0.0)).unwrap();
            assert_eq!((found.shards, found.ratio), (Some(shards), ratio));
        }
        let missing = asked(KEYS, 64, Ours::Best, &USUAL, "", 0.0);
        assert!(reached(&outcomes, &missing).is_none());
    }

    #[test]
    fn the_default_runs_before_every_count() {
        let ours: Vec<_> = entrants()
            .filter(|entrant| entrant.engine == EngineName::OwnersLend)
            .map(|entrant| entrant.settings.shards.map_or(0, usize::from))
            .collect();
        assert_eq!(ours, [0, 8, 16, 32, 64, 128]);
    }

    #[test]
    fn every_point_that_is_asked_about_is_measured() {
        let pace = crate::embedded::POINT_PACE;
        let plan = plan(1, pace);
        for asked in &ASKED {
            let measured = |stage: &Stage| {
                let Point { keys, batch, .. } = stage.point;
                let has = |name: &EngineName| {
                    let entrants = stage.entrants.iter();
                    entrants.filter(|entrant| entrant.engine == *name).count() > 0
                };
                (keys, batch) == (asked.keys, asked.batch) && asked.against.iter().all(has)
            };
            assert!(plan.stages.iter().any(measured), "{}", asked.whom);
        }
    }
}
