//! The part of the page about servers in a closed loop: the results of `wire`.

use super::draw::bars::{Bar, Panel};
use super::figure::{Data, Drawing, Figure};
use super::input::{Mode, ServerRow};
use super::latency::{self, Latencies};
use super::names::{self, Role};
use super::number::{grouped, rate, short, significant, time};
use super::open_loop;
use super::part::{Part, PointTable};
use super::sweep::{Measured, Question, Spacing, Sweep, panel, share_scale, spelled, sweeps};
use super::tally::{common, places, tally};
use super::verdict::{self, RATE, Range, Standing, Wording};

/// Nanoseconds of a microsecond: the results of `wire` are in the one, the page counts in the other.
const NS_PER_US: f64 = 1_000.0;

const DISTRIBUTIONS: [&str; 3] = ["uniform", "zipf", "hot-key"];

/// For processor time.
const PROCESSOR: Wording = Wording {
    loses: "takes more processor time",
    ahead: "thriftier by 1.10x or more",
    leads: "takes the least processor time",
    level: "is within 1.10x of the thriftiest",
};

impl Measured for ServerRow {
    fn name(&self) -> &str {
        &self.server
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
}

impl ServerRow {
    /// p50, p99, p99.9 and the longest, in nanoseconds.
    pub(super) fn latencies_ns(&self) -> [Option<f64>; 4] {
        [self.p50_us, self.p99_us, self.p999_us, self.max_us]
            .map(|latency| latency.map(|micros| micros * NS_PER_US))
    }
}

const PIPELINE: Question = Question {
    axis: "pipeline",
    title: "What do pipelines gain?",
    x_title: "requests sent together",
    spacing: Spacing::Logarithmic,
    tick: short,
    phrase: |value| format!("with pipeline {value}"),
};

const CONNECTIONS: Question = Question {
    axis: "connections",
    title: "How many connections can it bear?",
    x_title: "connections",
    spacing: Spacing::Logarithmic,
    tick: short,
    phrase: |value| match value {
        1.0 => "with 1 connection".to_owned(),
        _ => format!("with {} connections", grouped(value as i64)),
    },
};

/// Everything that rows of one file show.
pub(super) fn part(rows: &[ServerRow]) -> Part {
    let rows = &comparable(rows);
    let closed: Vec<&ServerRow> = rows.iter().filter(|row| row.mode == Mode::Closed).collect();
    // What was measured to compare dialects does not stand beside the others.
    let plain: Vec<&ServerRow> = closed
        .iter()
        .copied()
        .filter(|row| row.axis() != Some("protocol"))
        .collect();
    let base: Vec<&ServerRow> = plain
        .iter()
        .copied()
        .filter(|row| matches!(row.axis(), None | Some("base" | "point")))
        .collect();
    let mut part = Part {
        tally: tally(&plain, parts),
        tables: tables(&base),
        ..Part::default()
    };
    part.warn(rows.iter().map(|row| (row.server.as_str(), row.errors)));
    part.add("operations per second", operations(&base));
    part.add("processor time", processor(&base));
    part.add(
        "the pipeline sweep",
        along(&plain, &PIPELINE, |row| row.pipeline as f64),
    );
    part.add(
        "the connections sweep",
        along(&plain, &CONNECTIONS, |row| row.connections as f64),
    );
    part.add(
        "operations by distribution",
        named(
            &plain,
            "distribution",
            &DISTRIBUTIONS,
            "What do popular keys do to it?",
            |row| Some(row.distribution.as_str()),
        ),
    );
    part.add(
        "operations by protocol",
        named(
            &closed,
            "protocol",
            &["resp2", "resp3"],
            "What does RESP3 cost?",
            |row| {
                row.protocol
                    .as_deref()
                    .filter(|name| name.starts_with("resp"))
            },
        ),
    );
    part.add("latency by percentile", percentiles(&base));
    part.add("latency against offered rate", open_loop::figures(rows));
    part
}

/// The rows, with those of a server that only echoes at the places of the others: it answers reads
/// alone, and the notes say so.
fn comparable(rows: &[ServerRow]) -> Vec<ServerRow> {
    let echoes = |row: &ServerRow| names::role(&row.server) == Role::Floor;
    let asked = rows
        .iter()
        .find(|row| !echoes(row))
        .and_then(|row| row.reads_per_write);
    let mut rows = rows.to_vec();
    for row in rows.iter_mut().filter(|row| echoes(row)) {
        row.reads_per_write = asked.or(row.reads_per_write);
    }
    rows
}

/// All coordinates of a row but one, in words.
pub(super) fn parts_without(row: &ServerRow, axis: &str) -> Vec<String> {
    let parts = [
        (
            "connections",
            match row.connections {
                1 => "1 connection".to_owned(),
                many => format!("{} connections", grouped(many)),
            },
        ),
        ("pipeline", format!("pipeline {}", row.pipeline)),
        (
            "mode",
            match row.mode {
                Mode::Closed => "closed loop",
                Mode::OpenConstant => "open loop, constant arrivals",
                Mode::OpenPoisson => "open loop, Poisson arrivals",
            }
            .to_owned(),
        ),
        ("distribution", row.distribution.clone()),
        ("keys", format!("{} keys", grouped(row.keys))),
        (
            "value-bytes",
            format!("{}-byte values", grouped(row.value_bytes)),
        ),
        (
            "reads",
            row.reads_per_write
                .map_or_else(String::new, |reads| format!("{reads} reads per write")),
        ),
    ];
    parts
        .into_iter()
        .filter(|(name, text)| *name != axis && !text.is_empty())
        .map(|(_, text)| text)
        .collect()
}

fn parts(row: &ServerRow) -> Vec<String> {
    parts_without(row, "")
}

/// What tells rows of one server apart, beside the axis.
pub(super) fn settings(row: &ServerRow, axis: &str) -> Vec<String> {
    match &row.protocol {
        Some(protocol) if axis != "protocol" => vec![protocol.clone()],
        Some(_) | None => vec![String::new()],
    }
}

fn swept<'r>(
    rows: &[&'r ServerRow],
    axis: &str,
    x: impl Fn(&ServerRow) -> Option<f64>,
) -> Vec<Sweep<'r, ServerRow>> {
    sweeps(
        rows,
        axis,
        x,
        |row| parts_without(row, axis),
        |row| settings(row, axis),
    )
}

fn along(rows: &[&ServerRow], question: &Question, value: fn(&ServerRow) -> f64) -> Vec<Figure> {
    swept(rows, question.axis, |row| Some(value(row)))
        .into_iter()
        .map(|mut sweep| {
            let subtitle = sweep.place.join(", ");
            sweep.throughput(question, subtitle, |_| Vec::new())
        })
        .collect()
}

/// Rows of each place, in the order of the results.
fn by_place<'r>(rows: &[&'r ServerRow]) -> Vec<(Vec<String>, Vec<&'r ServerRow>)> {
    places(rows, parts)
        .into_iter()
        .map(|place| {
            let here = rows.iter().filter(|row| parts(row) == place);
            let here = here.copied().collect();
            (place, here)
        })
        .collect()
}

fn tables(rows: &[&ServerRow]) -> Vec<PointTable> {
    by_place(rows)
        .into_iter()
        .map(|(place, here)| PointTable {
            title: place.join(", "),
            data: point_table(here),
        })
        .collect()
}

fn point_table(mut rows: Vec<&ServerRow>) -> Data {
    let ours = rows
        .iter()
        .find(|row| names::role(&row.server) == Role::Ours)
        .map(|row| row.rate());
    rows.sort_by(|one, other| other.ops_per_s.total_cmp(&one.ops_per_s));
    let mut data = Data::new([
        "server",
        "kop/s",
        "slowest to fastest round",
        "against shardkeep",
        "p50",
        "p99",
        "p99.9",
        "max",
        "CPU µs/op",
        "user",
        "system",
        "generator µs/op",
        "memory MB",
        "wrong",
    ]);
    let kops = |ops: f64| significant(ops / 1e3);
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), significant);
    for row in rows {
        let [p50, p99, p999, max] = row
            .latencies_ns()
            .map(|latency| latency.map_or_else(|| "-".to_owned(), time));
        data.row(
            names::role(&row.server) == Role::Ours,
            [
                row.server.clone(),
                kops(row.ops_per_s),
                format!("{} to {}", kops(row.ops_per_s_min), kops(row.ops_per_s_max)),
                verdict::against(row.rate(), ours),
                p50,
                p99,
                p999,
                max,
                figure(row.cpu_us_per_op),
                figure(row.user_us_per_op),
                figure(row.sys_us_per_op),
                figure(row.generator_us_per_op),
                figure(row.rss_mb),
                grouped(row.errors),
            ],
        );
    }
    data
}

/// A bar of operations per second.
fn rate_bar(label: &str, variant: usize, row: &ServerRow) -> Bar {
    let range = row.rate();
    Bar {
        name: label.to_owned(),
        style: names::style(&row.server, variant),
        value: range.median,
        part: None,
        range: (range.min < range.max).then_some((range.min, range.max)),
        hatched: false,
        figure: rate(range.median),
        tip: format!("{label}: {}", spelled(range, rate)),
    }
}

/// How ours stands among rows of one place.
fn stand(place: &[String], rows: &[&ServerRow]) -> Option<(String, Standing)> {
    let ours = rows
        .iter()
        .find(|row| names::role(&row.server) == Role::Ours)?;
    let rivals = rows
        .iter()
        .filter(|row| names::role(&row.server) == Role::Rival)
        .map(|row| (row.name(), row.rate()));
    let standing = verdict::standing(ours.rate(), rivals)?;
    Some((format!("at {}", brief(place)), standing))
}

/// The first two parts of a place: connections and pipeline.
fn brief(place: &[String]) -> String {
    place
        .iter()
        .take(2)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn operations(rows: &[&ServerRow]) -> Vec<Figure> {
    let places = by_place(rows);
    if places.is_empty() {
        return Vec::new();
    }
    let mut data = Data::new(["point and server", "op/s"]);
    for (place, here) in &places {
        for row in here {
            data.row(
                names::role(&row.server) == Role::Ours,
                [
                    format!("{}: {}", brief(place), row.server),
                    spelled(row.rate(), rate),
                ],
            );
        }
    }
    let standings: Vec<(String, Standing)> = places
        .iter()
        .filter_map(|(place, here)| stand(place, here))
        .collect();
    let panels = places.iter().map(|(place, here)| {
        let bars = here.iter().map(|row| rate_bar(&row.server, 0, row));
        panel(brief(place), bars.collect())
    });
    vec![Figure {
        title: "How many operations does each server answer?".to_owned(),
        subtitle: common(places.iter().map(|(place, _)| place.as_slice())).join(", "),
        drawing: Drawing::Bars(panels.collect()),
        notes: vec![
            "Each panel has its own scale. echo parses nothing, stores nothing and answers reads \
             alone: it is the price of TCP here, nobody's rival."
                .to_owned(),
        ],
        verdict: ours(rows)
            .map_or_else(Vec::new, |ours| verdict::sentences(ours, RATE, &standings)),
        data,
    }]
}

fn ours<'r>(rows: &[&'r ServerRow]) -> Option<&'r str> {
    rows.iter()
        .map(|row| row.server.as_str())
        .find(|name| names::role(name) == Role::Ours)
}

/// Processor time for each operation, user and system.
fn processor(rows: &[&ServerRow]) -> Vec<Figure> {
    let places = by_place(rows);
    let mut data = Data::new(["point and server", "CPU µs/op", "user", "system"]);
    let mut standings = Vec::new();
    let mut panels: Vec<Panel> = Vec::new();
    for (place, here) in &places {
        let mut bars = Vec::new();
        for row in here {
            let Some(total) = row.cpu_us_per_op else {
                continue;
            };
            let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), significant);
            let (user, system) = (figure(row.user_us_per_op), figure(row.sys_us_per_op));
            bars.push(Bar {
                name: row.server.clone(),
                style: names::style(&row.server, 0),
                value: total,
                part: row.user_us_per_op,
                range: None,
                hatched: false,
                figure: format!("{} µs", significant(total)),
                tip: format!(
                    "{}: {} µs for each operation, {user} of it user, {system} system",
                    row.server,
                    significant(total)
                ),
            });
            data.row(
                names::role(&row.server) == Role::Ours,
                [
                    format!("{}: {}", brief(place), row.server),
                    significant(total),
                    user,
                    system,
                ],
            );
        }
        if !bars.is_empty() {
            let total = |role: Role| {
                here.iter()
                    .filter(move |row| names::role(&row.server) == role)
                    .filter_map(|row| Some((row.server.as_str(), row.cpu_us_per_op?)))
            };
            let ours = total(Role::Ours).next();
            let standing = ours.and_then(|(_, ours)| verdict::cheaper(ours, total(Role::Rival)));
            standings.extend(standing.map(|standing| (format!("at {}", brief(place)), standing)));
            let mut panel = panel(brief(place), bars);
            // Less is better: the best first, as everywhere.
            panel.bars.reverse();
            panels.push(panel);
        }
    }
    if panels.is_empty() {
        return Vec::new();
    }
    share_scale(&mut panels);
    vec![Figure {
        title: "How much processor time does an operation take?".to_owned(),
        subtitle: common(places.iter().map(|(place, _)| place.as_slice())).join(", "),
        drawing: Drawing::Bars(panels),
        notes: vec![
            "Microseconds of the server for each operation, from /proc: full colour is user time, \
             pale is system time (mostly the kernel's TCP). Less is better. The steadiest figure \
             on a shared machine."
                .to_owned(),
        ],
        verdict: ours(rows).map_or_else(Vec::new, |ours| {
            verdict::sentences(ours, PROCESSOR, &standings)
        }),
        data,
    }]
}

/// Bars for each of some names: distributions, protocols.
fn named(
    rows: &[&ServerRow],
    axis: &'static str,
    order: &[&str],
    title: &'static str,
    name: impl Fn(&ServerRow) -> Option<&str>,
) -> Vec<Figure> {
    let index = |row: &ServerRow| {
        let found = order.iter().position(|known| Some(*known) == name(row))?;
        Some(found as f64)
    };
    let spoken = |value: f64| {
        let name = order.get(value as usize).copied();
        name.unwrap_or_default().to_owned()
    };
    let question = Question {
        axis,
        title,
        x_title: axis,
        spacing: Spacing::Equal,
        tick: |_| String::new(),
        phrase: |_| String::new(),
    };
    swept(rows, axis, index)
        .into_iter()
        .map(|sweep| {
            let standings = sweep.standings(|value| format!("with {}", spoken(value)));
            let mut data = sweep.numbers(&question, "op/s", |row| Some(row.rate()), rate);
            data.headings = std::iter::once(format!("op/s by {axis}"))
                .chain(sweep.values().into_iter().map(spoken))
                .collect();
            let panels = sweep.panels(true, spoken, |line, row| {
                Some(rate_bar(&line.label, line.variant, row))
            });
            Figure {
                title: title.to_owned(),
                subtitle: sweep.place.join(", "),
                drawing: Drawing::Bars(panels),
                notes: Vec::new(),
                verdict: sweep
                    .ours()
                    .map_or_else(Vec::new, |ours| verdict::sentences(ours, RATE, &standings)),
                data,
            }
        })
        .collect()
}

fn percentiles(rows: &[&ServerRow]) -> Vec<Figure> {
    by_place(rows)
        .into_iter()
        .filter_map(|(place, here)| {
            let all: Vec<Latencies<'_>> = here
                .into_iter()
                .map(|row| Latencies {
                    name: &row.server,
                    label: row.server.clone(),
                    variant: 0,
                    curve: &row.percentile_curve_ns,
                    figures: row.latencies_ns(),
                })
                .collect();
            latency::figure(
                "How long does a reply take, from the usual to the worst?",
                place.join(", "),
                &all,
            )
        })
        .collect()
}
