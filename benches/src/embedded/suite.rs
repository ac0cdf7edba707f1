//! `embedded --suite` and `--quick`: the whole program of comparisons, and its core.
//!
//! 1. Each axis changes one thing of the base point, so a difference has one cause.
//! 2. Points that need the same maps stand together, so that those are loaded once.

use anyhow::Result;

use super::engines::EngineName;
use super::entrant::{Entrant, Mention, entrants};
use super::plan::{Pace, Plan, Stage};
use super::point::{Axis, Point};
use super::workload::Workload;
use crate::keys::Distribution;

/// All that take part unless the command line says otherwise.
pub(super) const ENGINES: [EngineName; 10] = [
    EngineName::Mutex,
    EngineName::Rwlock,
    EngineName::Striped,
    EngineName::StripedTuned,
    EngineName::StripedGrouped,
    EngineName::Dashmap,
    EngineName::Papaya,
    EngineName::OwnersLend,
    EngineName::OwnersMail,
    EngineName::SingleOwner,
];

// The other values of each axis; the base point has the one that is missing.
const BATCHES: [usize; 3] = [16, 64, 512];
const READ_PERCENTS: [u8; 3] = [100, 50, 0];
const DISTRIBUTIONS: [Distribution; 2] = [Distribution::Zipf, Distribution::HotKey];
const THREADS: [usize; 4] = [1, 4, 8, 16];
const KEYS: [u64; 2] = [1_000, 10_000_000];
const VALUE_BYTES: [usize; 3] = [16, 256, 4_096];
/// In an order that loads the maps again as rarely as possible: D changes their keys.
const WORKLOADS: [Workload; 7] = [
    Workload::YcsbA,
    Workload::YcsbB,
    Workload::YcsbC,
    Workload::YcsbF,
    Workload::Counter,
    Workload::Transfer,
    Workload::YcsbD,
];
/// Shard counts of our own.
const SHARDS: [usize; 6] = [8, 16, 32, 64, 128, 256];
/// Windows in which writes are gathered, in microseconds.
const WINDOWS_US: [u64; 4] = [50, 100, 500, 1_000];
/// Of those, the ones that the short program shows beside none.
const WINDOWS_QUICK_US: [u64; 2] = [50, 1_000];
/// The batch that the short program shows beside single operations.
const BATCH_QUICK: usize = 512;

/// The base point is compared with most often, so it gets so many times the rounds of the others.
const BASE_ROUNDS: u32 = 3;
/// Rounds where each map has to be loaded anew in each: loading then takes longer than measuring.
const ROUNDS_ANEW_MAX: u32 = 3;

/// The engines of our own that are divided.
const DIVIDED: [EngineName; 2] = [EngineName::OwnersLend, EngineName::OwnersMail];
/// The engines that gather writes.
const GATHERING: [EngineName; 2] = [EngineName::OwnersMail, EngineName::SingleOwner];

/// The whole program for these engines.
///
/// # Errors
/// Two mentions have the same name.
pub(super) fn suite(mentions: &[Mention], rounds: u32, pace: Pace) -> Result<Plan> {
    let base = Point::BASE;
    let everybody = entrants(mentions, &[0], &[0])?;
    let all = |axis: Axis, point: Point| stage(axis, point, everybody.clone(), rounds);
    let mut stages = vec![Stage {
        rounds: rounds.saturating_mul(BASE_ROUNDS),
        ..all(Axis::Base, base)
    }];
    stages.extend(BATCHES.map(|batch| all(Axis::Batch, Point { batch, ..base })));
    stages.extend(READ_PERCENTS.map(|read_percent| {
        let point = Point {
            read_percent,
            ..base
        };
        all(Axis::ReadPercent, point)
    }));
    stages.extend(DISTRIBUTIONS.map(|distribution| {
        let point = Point {
            distribution,
            ..base
        };
        all(Axis::Distribution, point)
    }));
    stages.extend(THREADS.map(|threads| all(Axis::Threads, Point { threads, ..base })));
    stages.extend(WORKLOADS.map(|workload| all(Axis::Workload, Point::of(workload))));
    stages.extend(KEYS.map(|keys| all(Axis::Keys, Point { keys, ..base })));
    stages.extend(VALUE_BYTES.map(|value_bytes| {
        let point = Point {
            value_bytes,
            ..base
        };
        all(Axis::ValueBytes, point)
    }));
    let shards = entrants(&of(mentions, &DIVIDED), &SHARDS, &[0])?;
    stages.push(stage(Axis::Shards, base, shards, rounds));
    let windows = entrants(&of(mentions, &GATHERING), &[0], &WINDOWS_US)?;
    stages.push(stage(Axis::Window, base, windows, rounds));
    stages.retain(|stage| !stage.entrants.is_empty());
    Ok(Plan { pace, stages })
}

/// The base point with single operations and with batches, and two windows.
///
/// # Errors
/// Two mentions have the same name.
pub(super) fn quick(mentions: &[Mention], rounds: u32, pace: Pace) -> Result<Plan> {
    let mail = of(mentions, &[EngineName::OwnersMail]);
    let mut everybody = entrants(mentions, &[0], &[0])?;
    everybody.extend(entrants(&mail, &[0], &WINDOWS_QUICK_US)?);
    let batches = Point {
        batch: BATCH_QUICK,
        ..Point::BASE
    };
    Ok(Plan {
        pace,
        stages: vec![
            stage(Axis::Base, Point::BASE, everybody.clone(), rounds),
            stage(Axis::Batch, batches, everybody, rounds),
        ],
    })
}

fn stage(axis: Axis, point: Point, entrants: Vec<Entrant>, rounds: u32) -> Stage {
    Stage {
        axis,
        point,
        entrants,
        rounds,
        rounds_anew: rounds.min(ROUNDS_ANEW_MAX),
    }
}

/// The mentions of some engines.
fn of(mentions: &[Mention], engines: &[EngineName]) -> Vec<Mention> {
    let named = mentions
        .iter()
        .filter(|mention| engines.contains(&mention.engine));
    named.cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::embedded::{QUICK_PACE, ROUNDS, SUITE_PACE};

    const GIB: u64 = 1 << 30;

    fn everybody() -> Vec<Mention> {
        ENGINES.map(Mention::from).into()
    }

    #[test]
    fn every_stage_but_the_base_changes_one_thing() {
        let plan = suite(&everybody(), ROUNDS, SUITE_PACE).unwrap();
        let (base, others) = plan.stages.split_first().unwrap();
        assert_eq!((base.axis, base.point), (Axis::Base, Point::BASE));
        for Stage {
            axis,
            point,
            entrants,
            ..
        } in others
        {
            let restored = match axis {
                Axis::Base | Axis::Point => panic!("a second {}", axis.label()),
                Axis::Batch => Point { batch: 1, ..*point },
                Axis::ReadPercent => Point {
                    read_percent: 95,
                    ..*point
                },
                Axis::Distribution => Point {
                    distribution: Distribution::Uniform,
                    ..*point
                },
                Axis::Threads => Point {
                    threads: 2,
                    ..*point
                },
                Axis::Workload => {
                    assert_eq!(*point, Point::of(point.workload));
                    Point::BASE
                }
                Axis::Keys => Point {
                    keys: 1_000_000,
                    ..*point
                },
                Axis::ValueBytes => Point {
                    value_bytes: 64,
                    ..*point
                },
                Axis::Shards | Axis::Window => *point,
            };
            assert_eq!(restored, Point::BASE, "{point}");
            point.check().unwrap();
            let all = entrants.len() == ENGINES.len();
            assert!(all || matches!(axis, Axis::Shards | Axis::Window));
        }
    }

    #[test]
    fn the_axes_have_the_values_that_the_help_names() {
        let plan = suite(&everybody(), ROUNDS, SUITE_PACE).unwrap();
        let count = |axis| {
            plan.stages
                .iter()
                .filter(|stage| stage.axis == axis)
                .count()
        };
        for (axis, stages) in [
            (Axis::Base, 1),
            (Axis::Batch, 3),
            (Axis::ReadPercent, 3),
            (Axis::Distribution, 2),
            (Axis::Threads, 4),
            (Axis::Workload, 7),
            (Axis::Keys, 2),
            (Axis::ValueBytes, 3),
            (Axis::Shards, 1),
            (Axis::Window, 1),
        ] {
            assert_eq!(count(axis), stages, "{}", axis.label());
        }
        let last = |axis| plan.stages.iter().find(|stage| stage.axis == axis).unwrap();
        assert_eq!(
            last(Axis::Shards).entrants.len(),
            DIVIDED.len() * SHARDS.len()
        );
        assert_eq!(
            last(Axis::Window).entrants.len(),
            GATHERING.len() * WINDOWS_US.len()
        );
    }

    #[test]
    fn the_suite_takes_about_twenty_minutes_at_most_and_the_short_one_two() {
        let suite = suite(&everybody(), ROUNDS, SUITE_PACE).unwrap();
        let time = suite.time(24 * GIB);
        assert!(time < Duration::from_secs(20 * 60), "{time:?}");
        assert!(
            time > Duration::from_secs(10 * 60),
            "nothing is left out: {time:?}"
        );
        let quick = quick(&everybody(), ROUNDS, QUICK_PACE).unwrap();
        assert!(quick.time(8 * GIB) < Duration::from_secs(100));
    }

    #[test]
    fn the_short_program_asks_everybody_single_operations_and_large_batches() {
        let plan = quick(&everybody(), ROUNDS, QUICK_PACE).unwrap();
        let points: Vec<Point> = plan.stages.iter().map(|stage| stage.point).collect();
        assert_eq!(
            points,
            [
                Point::BASE,
                Point {
                    batch: 512,
                    ..Point::BASE
                }
            ]
        );
        for stage in &plan.stages {
            for engine in ENGINES {
                assert!(
                    stage
                        .entrants
                        .iter()
                        .any(|entrant| entrant.engine == engine)
                );
            }
            let windows: Vec<_> = stage
                .entrants
                .iter()
                .filter_map(Entrant::window_us)
                .collect();
            assert_eq!(windows, [0, 0, 50, 1_000]);
        }
    }

    #[test]
    fn a_suite_of_some_engines_leaves_out_what_means_nothing_to_them() {
        let mentions = [Mention::from(EngineName::Dashmap)];
        let plan = suite(&mentions, ROUNDS, SUITE_PACE).unwrap();
        assert!(plan.stages.iter().all(|stage| stage.entrants.len() == 1));
        assert!(!plan.stages.iter().any(|stage| stage.axis == Axis::Window));
    }
}
