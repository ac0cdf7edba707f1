//! Each axis of the suite on one small table: engines down, the values of the axis across.
//!
//! Medians only; what is and is not different stands in the table of each point.

use super::outcome::{Outcome, shards};
use super::point::Axis;
use crate::table::{Table, millions};

/// The axes that are shown, and whether the base point has a value on them.
const AXES: [(Axis, bool); 9] = [
    (Axis::Batch, true),
    (Axis::ReadPercent, true),
    (Axis::Distribution, true),
    (Axis::Threads, true),
    (Axis::Workload, true),
    (Axis::Keys, true),
    (Axis::ValueBytes, true),
    // The default is one of the counts, which the axis has too.
    (Axis::Shards, false),
    (Axis::Window, true),
];

/// All axes that were measured.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let tables = AXES.iter().filter_map(|&axis| table(outcomes, axis));
    let tables: Vec<String> = tables.collect();
    format!(
        "million operations per second, medians\n\n{}",
        tables.join("\n")
    )
}

fn table(outcomes: &[Outcome], (axis, with_base): (Axis, bool)) -> Option<String> {
    let of_axis = |outcome: &&Outcome| outcome.axis == axis;
    let measured: Vec<&Outcome> = outcomes.iter().filter(of_axis).collect();
    let mut engines: Vec<&str> = Vec::new();
    for outcome in &measured {
        if !engines.contains(&outcome.engine.as_str()) {
            engines.push(&outcome.engine);
        }
    }
    if engines.is_empty() {
        return None;
    }
    let takes_part = |outcome: &&Outcome| {
        of_axis(outcome)
            || (with_base && outcome.axis == Axis::Base && engines.contains(&&*outcome.engine))
    };
    let shown: Vec<&Outcome> = outcomes.iter().filter(takes_part).collect();
    let mut values: Vec<String> = Vec::new();
    for outcome in &shown {
        let value = value(outcome, axis);
        if !values.contains(&value) {
            values.push(value);
        }
    }
    // Numbers by size; names stay in the order in which they were asked.
    values.sort_by_key(|value| value.parse::<u64>().unwrap_or(0));
    let mut table =
        Table::new(std::iter::once(axis.label()).chain(values.iter().map(String::as_str)));
    for engine in engines {
        let rate = |wanted: &String| {
            let found = shown
                .iter()
                .find(|outcome| outcome.engine == engine && value(outcome, axis) == *wanted);
            found.map_or_else(|| "-".to_owned(), |outcome| millions(outcome.ops_per_s))
        };
        table.row(std::iter::once(engine.to_owned()).chain(values.iter().map(rate)));
    }
    Some(table.text())
}

/// Where on an axis a line lies.
fn value(outcome: &Outcome, axis: Axis) -> String {
    match axis {
        Axis::Base | Axis::Point => axis.label().to_owned(),
        Axis::Batch => outcome.batch.to_string(),
        Axis::ReadPercent => outcome.read_percent.to_string(),
        Axis::Distribution => outcome.distribution.to_owned(),
        Axis::Threads => outcome.threads.to_string(),
        Axis::Workload => outcome.workload.to_owned(),
        Axis::Keys => outcome.keys.to_string(),
        Axis::ValueBytes => outcome.value_bytes.to_string(),
        Axis::Shards => shards(outcome.shards),
        Axis::Window => shards(outcome.window_us.map(|micros| micros as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::engines::EngineName;
    use super::super::outcome::tests::outcome;
    use super::*;

    fn line(axis: Axis, name: EngineName, threads: usize, rate: f64) -> Outcome {
        Outcome {
            axis,
            threads,
            ..outcome(name, None, (1_000, 1), &[rate])
        }
    }

    #[test]
    fn an_axis_shows_its_values_by_size_and_the_base_among_them() {
        let (mutex, papaya) = (EngineName::Mutex, EngineName::Papaya);
        let outcomes = [
            line(Axis::Base, mutex, 2, 2e6),
            line(Axis::Base, papaya, 2, 3e6),
            line(Axis::Threads, mutex, 16, 1e6),
            line(Axis::Threads, papaya, 16, 9e6),
            line(Axis::Threads, mutex, 1, 4e6),
        ];
        let expected = "million operations per second, medians\n\n\
                        threads     1     2    16\n\
                        mutex    4.00  2.00  1.00\n\
                        papaya      -  3.00  9.00\n";
        assert_eq!(text(&outcomes), expected);
    }

    #[test]
    fn who_has_no_value_on_an_axis_is_not_on_it() {
        let mail = |axis, micros| Outcome {
            window_us: Some(micros),
            ..line(axis, EngineName::OwnersMail, 2, 1e6)
        };
        let outcomes = [
            line(Axis::Base, EngineName::Mutex, 2, 2e6),
            mail(Axis::Base, 0),
            mail(Axis::Window, 50),
        ];
        let text = text(&outcomes);
        assert!(
            text.ends_with("window          0    50\nowners-mail  1.00  1.00\n"),
            "{text}"
        );
    }
}
