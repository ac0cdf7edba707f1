//! What a comparison of maps has shown: a line of the table, and of the JSON.

use serde::Serialize;

use super::engines::EngineName;
use super::point::Axis;
use crate::distribution::Curve;
use crate::figures::{LatencyNs, Spread};
use crate::table::{Table, millions, optional};

/// What people use where they need a shared map.
pub(super) const USUAL: [EngineName; 3] =
    [EngineName::Striped, EngineName::Dashmap, EngineName::Papaya];

/// One line of the table, with every round.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    #[serde(skip)]
    pub(super) name: EngineName,
    pub(super) engine: String,
    pub(super) threads: usize,
    pub(super) batch: usize,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) read_percent: u8,
    pub(super) distribution: &'static str,
    pub(super) shards: Option<usize>,
    pub(super) window_us: Option<u64>,
    pub(super) workload: &'static str,
    pub(super) axis: Axis,
    pub(super) atomic: Option<bool>,
    pub(super) ops_per_s: f64,
    pub(super) ops_per_s_min: f64,
    pub(super) ops_per_s_max: f64,
    pub(super) rounds_ops_per_s: Vec<f64>,
    #[serde(flatten)]
    pub(super) latency: LatencyNs,
    pub(super) percentile_curve_ns: Curve,
    pub(super) wrong: u64,
}

impl Outcome {
    pub(super) fn is_one_of(&self, names: &[EngineName]) -> bool {
        names.contains(&self.name)
    }

    /// How this engine compares with another, round by round: what the machine did to one round it
    /// did to both, so this is steadier than the ratio of two medians.
    pub(super) fn against(&self, other: &Self) -> Spread {
        let rounds = self.rounds_ops_per_s.iter().zip(&other.rounds_ops_per_s);
        Spread::of(rounds.map(|(ours, theirs)| ours / theirs))
    }

    /// A name that no other line of a run has.
    pub(super) fn file_name(&self) -> String {
        let mut name = format!(
            "{}_{}_{}_keys-{}_value-{}_reads-{}_{}_threads-{}_batch-{}",
            self.axis.label(),
            self.engine,
            self.workload,
            self.keys,
            self.value_bytes,
            self.read_percent,
            self.distribution,
            self.threads,
            self.batch,
        );
        for (what, value) in [
            ("shards", self.shards.map(|count| count as u64)),
            ("window", self.window_us),
        ] {
            if let Some(value) = value {
                name.push_str(&format!("_{what}-{value}"));
            }
        }
        name
    }
}

/// Whether the rounds of two lines cover a common range: then they are not different.
pub(super) fn overlap(one: &Outcome, other: &Outcome) -> bool {
    one.ops_per_s_min <= other.ops_per_s_max && other.ops_per_s_min <= one.ops_per_s_max
}

/// The outcome with the highest median among the engines named, if any of them was measured.
pub(super) fn best_of<'o>(outcomes: &'o [Outcome], names: &[EngineName]) -> Option<&'o Outcome> {
    outcomes
        .iter()
        .filter(|outcome| outcome.is_one_of(names))
        .max_by(|one, other| one.ops_per_s.total_cmp(&other.ops_per_s))
}

/// The lines of one point beside each other, and which of them are not different.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let ranking = ranking(outcomes);
    let dashmap = best_of(outcomes, &[EngineName::Dashmap]);
    let usual = best_of(outcomes, &USUAL);
    let atomic = outcomes.iter().any(|outcome| outcome.atomic.is_some());
    let window = outcomes.iter().any(|outcome| outcome.window_us.is_some());
    let mut headings = vec!["engine", "shards"];
    headings.extend(window.then_some("window us"));
    headings.extend(atomic.then_some("atomic"));
    headings.extend([
        "rank",
        "Mop/s",
        "min",
        "max",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "wrong",
        "x dashmap",
        "x best",
    ]);
    let mut table = Table::new(headings);
    for (index, outcome) in outcomes.iter().enumerate() {
        let micros = |nanos: u64| format!("{:.2}", nanos as f64 / 1_000.0);
        let ratio =
            |other: Option<&Outcome>| optional(other.map(|other| outcome.against(other).median), 2);
        let rank = ranking.iter().position(|&ranked| ranked == index);
        let mut cells = vec![outcome.engine.clone(), shards(outcome.shards)];
        cells.extend(window.then(|| {
            outcome
                .window_us
                .map_or_else(|| "-".to_owned(), |micros| micros.to_string())
        }));
        cells.extend(atomic.then(|| yes_or_no(outcome.atomic)));
        cells.extend([
            rank.map_or_else(String::new, |rank| (rank + 1).to_string()),
            millions(outcome.ops_per_s),
            millions(outcome.ops_per_s_min),
            millions(outcome.ops_per_s_max),
            micros(outcome.latency.p50_ns),
            micros(outcome.latency.p99_ns),
            micros(outcome.latency.p999_ns),
            micros(outcome.latency.max_ns),
            outcome.wrong.to_string(),
            ratio(dashmap),
            ratio(usual),
        ]);
        table.row(cells);
    }
    let mut text = table.text();
    text.push_str(&remarks(outcomes, &ranking));
    text
}

/// What the figures alone do not say.
fn remarks(outcomes: &[Outcome], ranking: &[usize]) -> String {
    let mut text = String::new();
    let equal: Vec<String> = ranking
        .windows(2)
        .map(|pair| (&outcomes[pair[0]], &outcomes[pair[1]]))
        .filter(|(one, other)| overlap(one, other))
        .map(|(one, other)| format!("{} and {}", name(one, outcomes), name(other, outcomes)))
        .collect();
    if !equal.is_empty() {
        text.push_str("not different, since their ranges overlap: ");
        text.push_str(&equal.join("; "));
        text.push('\n');
    }
    let torn: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.atomic == Some(false))
        .map(|outcome| outcome.engine.as_str())
        .collect();
    if !torn.is_empty() {
        text.push_str("not atomic, others see the moment between the two changes: ");
        text.push_str(&torn.join(", "));
        text.push('\n');
    }
    text
}

/// The lines by their medians, the fastest first.
fn ranking(outcomes: &[Outcome]) -> Vec<usize> {
    let mut ranking: Vec<usize> = (0..outcomes.len()).collect();
    ranking.sort_by(|&one, &other| {
        let rate = |index: usize| outcomes[index].ops_per_s;
        rate(other).total_cmp(&rate(one))
    });
    ranking
}

/// What a line is called among others: the engine, and what tells it from another of that name.
fn name(outcome: &Outcome, among: &[Outcome]) -> String {
    let namesakes = || among.iter().filter(|other| other.engine == outcome.engine);
    let mut name = outcome.engine.clone();
    if namesakes().any(|other| other.shards != outcome.shards) {
        name.push_str(&format!(" {}", shards(outcome.shards)));
    }
    if let Some(micros) = outcome.window_us
        && namesakes().any(|other| other.window_us != outcome.window_us)
    {
        name.push_str(&format!(" {micros} us"));
    }
    name
}

/// A number of parts, or a dash for a map that is not divided or does not tell.
pub(super) fn shards(count: Option<usize>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn yes_or_no(answer: Option<bool>) -> String {
    match answer {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
    .to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;
    use crate::figures::{latency_histogram, record};

    pub(crate) fn outcome(
        name: EngineName,
        shards: Option<usize>,
        (keys, batch): (u64, usize),
        rounds: &[f64],
    ) -> Outcome {
        let spread = Spread::of(rounds.iter().copied());
        Outcome {
            name,
            engine: name.label().to_owned(),
            threads: 2,
            batch,
            keys,
            value_bytes: 64,
            read_percent: 95,
            distribution: "uniform",
            shards,
            window_us: None,
            workload: "reads-and-writes",
            axis: Axis::Point,
            atomic: None,
            ops_per_s: spread.median,
            ops_per_s_min: spread.min,
            ops_per_s_max: spread.max,
            rounds_ops_per_s: rounds.to_vec(),
            latency: LatencyNs::of(&latency_histogram().unwrap()),
            percentile_curve_ns: Curve::default(),
            wrong: 0,
        }
    }

    const POINT: (u64, usize) = (1_000, 1);

    /// The cells of a table's line by their headings; no cell is empty.
    fn cell(text: &str, engine: &str, heading: &str) -> String {
        let columns = |line: &str| -> Vec<String> {
            let apart = line.split("  ").map(str::trim);
            let filled = apart.filter(|cell| !cell.is_empty());
            filled.map(str::to_owned).collect()
        };
        let headings = columns(text.lines().next().unwrap());
        let at = headings.iter().position(|found| found == heading).unwrap();
        let line = text.lines().find(|line| line.starts_with(engine)).unwrap();
        columns(line)[at].clone()
    }

    #[test]
    fn a_ratio_compares_what_ran_side_by_side() {
        // The machine was twice as fast in the last round.
        let slow = outcome(EngineName::Dashmap, None, POINT, &[10.0, 10.0, 20.0]);
        let fast = outcome(EngineName::OwnersLend, None, POINT, &[15.0, 11.0, 30.0]);
        let ratio = fast.against(&slow);
        assert_eq!((ratio.median, ratio.min, ratio.max), (1.5, 1.1, 1.5));
    }

    #[test]
    fn the_table_compares_with_dashmap_and_with_the_best() {
        let outcomes = [
            outcome(EngineName::Dashmap, None, POINT, &[1e6]),
            outcome(EngineName::Papaya, None, POINT, &[2e6]),
            outcome(EngineName::OwnersLend, Some(64), POINT, &[3e6]),
        ];
        let text = text(&outcomes);
        for (engine, ratio, best, rank) in [
            ("dashmap", "1.00", "0.50", "3"),
            ("papaya", "2.00", "1.00", "2"),
            ("owners-lend", "3.00", "1.50", "1"),
        ] {
            assert_eq!(cell(&text, engine, "x dashmap"), ratio);
            assert_eq!(cell(&text, engine, "x best"), best);
            assert_eq!(cell(&text, engine, "rank"), rank);
        }
        assert!(!text.contains("not different"), "{text}");
    }

    #[test]
    fn known_latencies_stand_in_the_table_under_the_right_labels() {
        let mut latencies: Histogram<u64> = latency_histogram().unwrap();
        // 10,000 samples: the n-th is n microseconds.
        for micros in 1..=10_000 {
            record(&mut latencies, Duration::from_micros(micros), 1);
        }
        let known = Outcome {
            latency: LatencyNs::of(&latencies),
            ..outcome(EngineName::Mutex, None, POINT, &[1e6, 4e6, 2e6])
        };
        let text = text(&[known]);
        for (heading, expected) in [
            ("Mop/s", 2.0),
            ("min", 1.0),
            ("max", 4.0),
            ("p50 us", 5_000.0),
            ("p99 us", 9_900.0),
            ("p99.9 us", 9_990.0),
            ("max us", 10_000.0),
        ] {
            let found: f64 = cell(&text, "mutex", heading).parse().unwrap();
            let error = (found - expected).abs();
            assert!(error <= expected / 1_000.0, "{heading}: {found}\n{text}");
        }
    }

    #[test]
    fn neighbours_whose_ranges_overlap_are_called_not_different() {
        let outcomes = [
            outcome(EngineName::Mutex, None, POINT, &[1.0, 2.0, 3.0]),
            outcome(EngineName::Dashmap, None, POINT, &[7.0, 8.0, 9.0]),
            outcome(EngineName::OwnersLend, Some(16), POINT, &[8.5, 8.6, 8.7]),
            outcome(EngineName::OwnersLend, Some(64), POINT, &[3.0, 4.0, 5.0]),
        ];
        let text = text(&outcomes);
        let expected = "not different, since their ranges overlap: \
                        owners-lend 16 and dashmap; owners-lend 64 and mutex\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn who_is_not_atomic_is_marked_and_named() {
        let said = |name, atomic| Outcome {
            atomic: Some(atomic),
            ..outcome(name, None, POINT, &[1.0])
        };
        let text = text(&[
            said(EngineName::Mutex, true),
            said(EngineName::Dashmap, false),
        ]);
        assert_eq!(cell(&text, "mutex", "atomic"), "yes");
        assert_eq!(cell(&text, "dashmap", "atomic"), "NO");
        let expected = "not atomic, others see the moment between the two changes: dashmap\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_line_of_json_has_the_fields_that_reports_read() {
        let line = Outcome {
            window_us: Some(50),
            ..outcome(EngineName::OwnersMail, Some(64), POINT, &[1.0, 2.0])
        };
        let json = serde_json::to_value(&line).unwrap();
        for (field, expected) in [
            ("engine", "owners-mail".into()),
            ("axis", "point".into()),
            ("workload", "reads-and-writes".into()),
            ("distribution", "uniform".into()),
            ("window_us", 50.into()),
            ("shards", 64.into()),
            ("value_bytes", 64.into()),
            ("ops_per_s", 1.5.into()),
            ("atomic", serde_json::Value::Null),
            ("percentile_curve_ns", serde_json::Value::Array(Vec::new())),
            ("p9999_ns", 0.into()),
        ] {
            assert_eq!(json[field], expected, "{field}");
        }
        assert!(json.get("name").is_none());
    }

    #[test]
    fn lines_that_differ_in_anything_have_files_of_different_names() {
        let line = || outcome(EngineName::OwnersMail, Some(64), POINT, &[1.0]);
        let window = Outcome {
            window_us: Some(50),
            ..line()
        };
        let engine = Outcome {
            engine: "again".to_owned(),
            ..line()
        };
        let shards = Outcome {
            shards: Some(8),
            ..line()
        };
        let mut names = [line(), window, engine, shards].map(|line| line.file_name());
        assert!(names.iter().all(|name| !name.contains('/')));
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
