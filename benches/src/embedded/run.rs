//! Carrying out a plan: says how long it takes, loads, asks, prints, and keeps every line.
//!
//! 1. Memory is looked at again before each loading: what was thought at the beginning may not be so.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::course::Course;
use super::field::Field;
use super::outcome::{self, Outcome};
use super::plan::{Loading, Pace, Plan, Stage};
use crate::clock;
use crate::environment::{Common, available_bytes, describe};
use crate::table::show;

/// What a plan has brought.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) outcomes: Vec<Outcome>,
    /// Stages for which there was no memory, by name.
    pub(super) skipped: Vec<String>,
}

/// Runs all stages and prints a table for each.
///
/// # Errors
/// An engine that cannot be set as asked, or did not start; a thread that did not start, or
/// panicked; standard output is closed; a distribution cannot be written.
pub(super) fn run(plan: &Plan, common: &Common) -> Result<Results> {
    let time = plan.time(available_bytes());
    show(&announcement(plan, time))?;
    let begun = clock::now();
    let results = carry_out(plan, common, &mut Course::new(time))?;
    show(&format!("took {}", roughly(clock::now() - begun)))?;
    Ok(results)
}

fn carry_out(plan: &Plan, common: &Common, course: &mut Course) -> Result<Results> {
    let mut results = Results::default();
    let mut loaded: Option<(&Stage, Field)> = None;
    for stage in &plan.stages {
        let before = loaded.as_ref().map(|(before, _)| *before);
        let loading = match stage.loading(before, u64::MAX, plan.pace) {
            Loading::Ready => Loading::Ready,
            Loading::Together | Loading::Anew { .. } | Loading::Skipped(_) => {
                // The old maps go before memory is looked at.
                loaded = None;
                stage.loading(None, available_bytes(), plan.pace)
            }
        };
        let mut field = match loaded.take() {
            Some((_, field)) => field,
            None => Field::new(stage)?,
        };
        let outcomes = field.run(stage, &loading, plan.pace, course, common)?;
        match &loading {
            Loading::Skipped(reason) => {
                course.show(&format!("skipped: {reason}\n"))?;
                results.skipped.push(reason.clone());
            }
            Loading::Anew { .. } => {}
            Loading::Ready | Loading::Together => loaded = Some((stage, field)),
        }
        if !outcomes.is_empty() {
            course.show(&table(stage, &loading, plan.pace, &outcomes))?;
        }
        results.outcomes.extend(outcomes);
    }
    Ok(results)
}

fn announcement(plan: &Plan, time: Duration) -> String {
    format!(
        "{}\n{} points, {} lines; takes about {}\n",
        describe(),
        plan.stages.len(),
        plan.lines(),
        roughly(time),
    )
}

fn table(stage: &Stage, loading: &Loading, pace: Pace, outcomes: &[Outcome]) -> String {
    let rounds = match loading {
        Loading::Anew { rounds } => *rounds,
        Loading::Ready | Loading::Together | Loading::Skipped(_) => stage.rounds,
    };
    let mut head = format!(
        "{} ({}), {rounds} rounds of {} ms",
        stage.point,
        stage.axis.label(),
        pace.window.as_millis(),
    );
    if let Loading::Anew { .. } = loading {
        // Writing into a String cannot fail.
        let _written = write!(head, ", each map loaded anew in each round");
    }
    format!("{head}\n\n{}", outcome::text(outcomes))
}

/// A time as people say it.
fn roughly(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 99.5 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::engines::EngineName;
    use super::super::entrant::Entrant;
    use super::super::outcome::tests::outcome;
    use super::super::point::{Axis, Point};
    use super::*;

    fn stage(point: Point) -> Stage {
        Stage {
            axis: Axis::Point,
            point,
            entrants: vec![Entrant::plain(EngineName::Mutex)],
            rounds: 1,
            rounds_anew: 1,
        }
    }

    const PACE: Pace = Pace {
        warm_up: Duration::ZERO,
        window: Duration::from_millis(1),
    };

    #[test]
    fn a_table_names_its_point_its_pace_and_how_the_maps_came_to_be_there() {
        let stage = stage(Point::BASE);
        let outcomes = [outcome(EngineName::Mutex, None, (1_000_000, 1), &[1e6])];
        let head = |loading| table(&stage, &loading, PACE, &outcomes);
        let expected = "1000000 keys, 64-byte values, 95 % reads, uniform, 2 threads, batch 1 \
                        (point), 1 rounds of 1 ms\n";
        assert!(head(Loading::Ready).starts_with(expected));
        let anew = head(Loading::Anew { rounds: 3 });
        assert!(anew.contains("3 rounds of 1 ms, each map loaded anew in each round\n"));
    }

    #[test]
    fn what_no_memory_can_hold_is_skipped_by_name_and_the_rest_is_run() {
        let keys = super::super::value::KEYS_MAX;
        let huge = Point {
            keys,
            value_bytes: 4_096,
            ..Point::BASE
        };
        let small = Point {
            keys: 10,
            ..Point::BASE
        };
        let plan = Plan {
            pace: PACE,
            stages: vec![
                stage(huge),
                stage(small),
                stage(Point { batch: 16, ..small }),
            ],
        };
        let common = Common {
            seed: 1,
            json: None,
            hgrm: None,
        };
        let results = carry_out(&plan, &common, &mut Course::silent()).unwrap();
        assert_eq!(results.outcomes.len(), 2);
        let [skipped] = results.skipped.as_slice() else {
            panic!("one point is too large");
        };
        assert!(
            skipped.contains("134217728 keys, 4096-byte values"),
            "{skipped}"
        );
    }

    #[test]
    fn a_time_is_told_in_a_unit_that_suits_it() {
        for (millis, expected) in [(400, "0 s"), (59_600, "60 s"), (725_000, "12 min")] {
            assert_eq!(roughly(Duration::from_millis(millis)), expected);
        }
    }
}
