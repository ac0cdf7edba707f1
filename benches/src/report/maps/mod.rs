//! The part of the page about maps in one process: the results of `embedded`.

use super::draw::bars::Bar;
use super::figure::{Drawing, Figure};
use super::input::MapRow;
use super::names;
use super::number::{grouped, percent, rate, round_time, short};
use super::part::Part;
use super::sweep::{Measured, Question, Spacing, Sweep, spelled, sweeps};
use super::tally::tally;
use super::verdict::{self, RATE, Range, Sentence, Standing};

pub(super) mod points;
mod shards;
mod windows;
mod workloads;

/// What most points ask for.
const READS_AND_WRITES: &str = "reads-and-writes";
/// Distributions from even to uneven; others come after them.
const DISTRIBUTIONS: [&str; 3] = ["uniform", "zipf", "hot-key"];

impl Measured for MapRow {
    fn name(&self) -> &str {
        &self.engine
    }

    fn axis(&self) -> Option<&str> {
        self.axis.as_deref()
    }

    fn rate(&self) -> Range {
        Range {
            median: self.ops_per_s,
            min: self.ops_per_s_min,
            max: self.ops_per_s_max,
        }
    }

    fn did_the_same(&self) -> bool {
        self.atomic != Some(false)
    }
}

/// Everything that rows of one file show.
pub(super) fn part(rows: &[MapRow]) -> Part {
    let all: Vec<&MapRow> = rows.iter().collect();
    // What was measured to compare settings of ours does not stand beside the others.
    let plain: Vec<&MapRow> = all
        .iter()
        .copied()
        .filter(|row| !matches!(row.axis(), Some("shards" | "window")))
        .collect();
    let mut part = Part {
        tally: tally(&plain, parts),
        tables: points::tables(&plain),
        ..Part::default()
    };
    part.warn(rows.iter().map(|row| (row.engine.as_str(), row.wrong)));
    for (question, what, value) in &QUESTIONS {
        part.add(what, along(&plain, question, *value));
    }
    part.add("throughput by distribution", distributions(&plain));
    part.add("throughput by shards", shards::figures(&all));
    part.add("latency by percentile", points::percentiles(&plain));
    part.add("the write window", windows::figures(&all));
    part.add("counter and transfer", workloads::figures(&plain, false));
    part.add("YCSB", workloads::figures(&plain, true));
    part
}

/// Where a row lies on an axis.
type Coordinate = fn(&MapRow) -> f64;

/// The axes that are plain numbers: the question, what to call the figure if it is missing, and
/// where a row lies.
const QUESTIONS: [(Question, &str, Coordinate); 5] = [
    (
        Question {
            axis: "threads",
            title: "How does throughput grow with threads?",
            x_title: "threads",
            spacing: Spacing::Logarithmic,
            tick: short,
            phrase: |value| match value {
                1.0 => "at 1 thread".to_owned(),
                _ => format!("at {value} threads"),
            },
        },
        "throughput against threads",
        |row| row.threads as f64,
    ),
    (
        Question {
            axis: "batch",
            title: "What do batches gain?",
            x_title: "operations in one call",
            spacing: Spacing::Logarithmic,
            tick: short,
            phrase: |value| match value {
                1.0 => "with single operations".to_owned(),
                _ => format!("in batches of {value}"),
            },
        },
        "throughput by batch size",
        |row| row.batch as f64,
    ),
    (
        Question {
            axis: "read-percent",
            title: "What do writes cost?",
            x_title: "share of reads (not to scale)",
            spacing: Spacing::Equal,
            tick: |value| percent(value),
            phrase: |value| format!("at {} reads", percent(value)),
        },
        "throughput by read share",
        |row| row.read_percent as f64,
    ),
    (
        Question {
            axis: "value-bytes",
            title: "What do larger values cost?",
            x_title: "bytes of a value",
            spacing: Spacing::Logarithmic,
            tick: |value| grouped(value as i64),
            phrase: |value| format!("with {}-byte values", grouped(value as i64)),
        },
        "throughput by value size",
        |row| row.value_bytes as f64,
    ),
    (
        Question {
            axis: "keys",
            title: "What does a larger map cost?",
            x_title: "keys in the map",
            spacing: Spacing::Logarithmic,
            tick: short,
            phrase: |value| format!("with {} keys", grouped(value as i64)),
        },
        "throughput by keys",
        |row| row.keys as f64,
    ),
];

fn window(micros: f64) -> String {
    if micros > 0.0 {
        round_time(micros * 1e3)
    } else {
        "none".to_owned()
    }
}

/// All coordinates of a row but one, in words.
fn parts_without(row: &MapRow, axis: &str) -> Vec<String> {
    let mixed = row.workload == READS_AND_WRITES;
    let parts = [
        ("workload", (!mixed).then(|| row.workload.clone())),
        ("threads", Some(counted(row.threads, "thread"))),
        (
            "batch",
            Some(match row.batch {
                1 => "single operations".to_owned(),
                batch => format!("batches of {batch}"),
            }),
        ),
        ("keys", Some(format!("{} keys", grouped(row.keys)))),
        (
            "value-bytes",
            Some(format!("{}-byte values", grouped(row.value_bytes))),
        ),
        (
            "read-percent",
            mixed.then(|| format!("{} reads", percent(row.read_percent))),
        ),
        ("distribution", Some(row.distribution.clone())),
    ];
    parts
        .into_iter()
        .filter(|(name, _)| *name != axis)
        .filter_map(|(_, text)| text)
        .collect()
}

fn parts(row: &MapRow) -> Vec<String> {
    parts_without(row, "")
}

fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(count))
}

/// What tells rows of one engine apart, beside the axis.
fn settings(row: &MapRow, axis: &str) -> Vec<String> {
    let shards = row.shards.filter(|_| axis != "shards");
    let micros = row.window_us.filter(|_| axis != "window");
    vec![
        shards.map_or_else(String::new, |shards| counted(shards, "shard")),
        micros.map_or_else(String::new, |micros| match micros {
            0 => "0 µs".to_owned(),
            _ => window(micros as f64),
        }),
    ]
}

fn mixed<'r>(rows: &[&'r MapRow]) -> Vec<&'r MapRow> {
    rows.iter()
        .copied()
        .filter(|row| row.workload == READS_AND_WRITES)
        .collect()
}

/// The sweeps along one axis of reads and writes.
fn swept<'r>(
    rows: &[&'r MapRow],
    axis: &str,
    x: impl Fn(&MapRow) -> Option<f64>,
) -> Vec<Sweep<'r, MapRow>> {
    sweeps(
        &mixed(rows),
        axis,
        x,
        |row| parts_without(row, axis),
        |row| settings(row, axis),
    )
}

fn along(rows: &[&MapRow], question: &Question, value: fn(&MapRow) -> f64) -> Vec<Figure> {
    swept(rows, question.axis, |row| Some(value(row)))
        .into_iter()
        .map(|mut sweep| {
            let subtitle = sweep.place.join(", ");
            sweep.throughput(question, subtitle, |_| Vec::new())
        })
        .collect()
}

/// A bar of operations per second.
fn rate_bar(label: &str, variant: usize, row: &MapRow) -> Bar {
    let range = row.rate();
    let exact = row.did_the_same();
    let name = if exact {
        label.to_owned()
    } else {
        format!("{label}, not atomic")
    };
    Bar {
        style: names::style(&row.engine, variant),
        value: range.median,
        part: None,
        range: (range.min < range.max).then_some((range.min, range.max)),
        hatched: !exact,
        figure: rate(range.median),
        tip: format!("{name}: {}", spelled(range, rate)),
        name,
    }
}

fn distributions(rows: &[&MapRow]) -> Vec<Figure> {
    let mut names: Vec<String> = DISTRIBUTIONS.map(str::to_owned).to_vec();
    for row in rows {
        if !names.contains(&row.distribution) {
            names.push(row.distribution.clone());
        }
    }
    let index = |row: &MapRow| {
        let place = names.iter().position(|name| *name == row.distribution)?;
        Some(place as f64)
    };
    let name = |value: f64| names.get(value as usize).cloned().unwrap_or_default();
    let question = Question {
        axis: "distribution",
        title: "What do popular keys do to it?",
        x_title: "distribution",
        spacing: Spacing::Equal,
        tick: |_| String::new(),
        phrase: |_| String::new(),
    };
    swept(rows, "distribution", index)
        .into_iter()
        .map(|sweep| {
            let standings = sweep.standings(|value| format!("with {} keys", name(value)));
            let panels = sweep.panels(true, name, |line, row| {
                Some(rate_bar(&line.label, line.variant, row))
            });
            let mut data = sweep.numbers(&question, "op/s", |row| Some(row.rate()), rate);
            data.headings = std::iter::once("op/s by distribution".to_owned())
                .chain(sweep.values().into_iter().map(name))
                .collect();
            Figure {
                title: question.title.to_owned(),
                subtitle: sweep.place.join(", "),
                drawing: Drawing::Bars(panels),
                notes: vec![
                    "zipf: of a million keys the first gets one request in 15. hot-key: nine \
                     requests in ten go to one key."
                        .to_owned(),
                ],
                verdict: sentences(&sweep, &standings),
                data,
            }
        })
        .collect()
}

fn sentences(sweep: &Sweep<'_, MapRow>, standings: &[(String, Standing)]) -> Vec<Sentence> {
    sweep
        .ours()
        .map_or_else(Vec::new, |ours| verdict::sentences(ours, RATE, standings))
}
