//! The smaller parts of the page: growth, memory, idle connections.

use super::draw::bars::Bar;
use super::draw::lines::{Joined, Mark, Plot, Point, SERIES_MAX, Series};
use super::draw::scale::Scale;
use super::figure::{Data, Drawing, Figure};
use super::input::{ConnectionsRow, GrowthRow, MemoryRow};
use super::names::{self, Role};
use super::number::{grouped, rate, round_time, short, significant, time};
use super::part::{Part, PointTable};
use super::sweep::panel;
use super::verdict::{self, Sentence, TIME, Wording};

const KIB: f64 = 1_024.0;

const MEMORY: Wording = Wording {
    loses: "takes more memory",
    ahead: "smaller by 1.10x or more",
    leads: "takes the least memory",
    level: "is within 1.10x of the smallest",
};

/// What rows of `growth` show.
pub(super) fn growth(rows: &[GrowthRow]) -> Part {
    let mut data = Data::new([
        "engine",
        "shards",
        "Minsert/s",
        "p50",
        "p99",
        "p99.9",
        "p99.99",
        "longest",
        "at insert",
    ]);
    for row in rows {
        let latency = |nanos: Option<f64>| nanos.map_or_else(|| "-".to_owned(), time);
        data.row(
            names::role(&row.engine) == Role::Ours,
            [
                row.engine.clone(),
                row.shards.map_or_else(|| "-".to_owned(), grouped),
                significant(row.inserts_per_s / 1e6),
                latency(row.p50_ns),
                latency(row.p99_ns),
                latency(row.p999_ns),
                latency(row.p9999_ns),
                time(row.longest_ns),
                grouped(row.longest_at),
            ],
        );
    }
    let mut part = Part::default();
    part.add("the longest pause against growth", pauses(rows, &data));
    part.add("inserts per second", inserts(rows, &data));
    let title = rows.first().map_or_else(String::new, growth_place);
    part.tables.push(PointTable { title, data });
    part
}

fn growth_place(row: &GrowthRow) -> String {
    format!(
        "from empty to {} keys, one thread, of each insert the shortest of {} runs",
        grouped(row.keys),
        grouped(row.runs),
    )
}

/// The longest pause so far against the number of keys.
fn pauses(rows: &[GrowthRow], data: &Data) -> Vec<Figure> {
    const TITLE: &str = "How long may one insert stop its caller while the map grows?";
    let drawn: Vec<&GrowthRow> = rows
        .iter()
        .filter(|row| !row.longest_so_far.is_empty())
        .take(SERIES_MAX)
        .collect();
    let Some(first) = drawn.first() else {
        return Vec::new();
    };
    let series: Vec<Series> = drawn
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let same = |other: &&&GrowthRow| other.engine == row.engine;
            stairs(row, drawn[..index].iter().filter(same).count())
        })
        .collect();
    let points = || series.iter().flat_map(|series| &series.points);
    vec![Figure {
        title: TITLE.to_owned(),
        subtitle: growth_place(first),
        drawing: Drawing::Lines(Plot {
            x_title: "keys inserted".to_owned(),
            y_title: "longest insert so far".to_owned(),
            x: Scale::logarithmic(points().map(|point| point.x), short),
            y: Scale::logarithmic(points().map(|point| point.y), round_time),
            series,
            spoken: format!("{TITLE} Numbers below."),
        }),
        notes: vec![
            "Each step up is an insert that took longer than all before it. What the machine did \
             by chance has fallen out; what the map always does has stayed."
                .to_owned(),
        ],
        verdict: longest(rows),
        data: data.clone(),
    }]
}

/// How fast the map fills, growth included.
fn inserts(rows: &[GrowthRow], data: &Data) -> Vec<Figure> {
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    let bars = rows.iter().map(|row| {
        let figure = format!("{} Minsert/s", significant(row.inserts_per_s / 1e6));
        Bar {
            name: row.engine.clone(),
            style: names::style(&row.engine, 0),
            value: row.inserts_per_s,
            part: None,
            range: None,
            hatched: false,
            tip: format!("{}: {figure}", row.engine),
            figure,
        }
    });
    vec![Figure {
        title: "How fast does it fill?".to_owned(),
        subtitle: format!(
            "from empty to {} keys, one thread, median of {} runs",
            grouped(first.keys),
            grouped(first.runs)
        ),
        drawing: Drawing::Bars(vec![panel(String::new(), bars.collect())]),
        notes: vec!["Inserts per second, growth included.".to_owned()],
        verdict: filling(rows),
        data: data.clone(),
    }]
}

/// How ours fills, judged by the time an insert takes, since the runs left no ranges.
fn filling(rows: &[GrowthRow]) -> Vec<Sentence> {
    let costs = rows
        .iter()
        .filter(|row| row.inserts_per_s > 0.0)
        .map(|row| (row.engine.as_str(), 1.0 / row.inserts_per_s));
    cheaper(costs, TIME, |ours| format!("An insert of {ours}"))
}

fn stairs(row: &GrowthRow, variant: usize) -> Series {
    let last = row.longest_so_far.len() - 1;
    let mut points: Vec<Point> = row
        .longest_so_far
        .iter()
        .enumerate()
        .map(|(index, &(inserts, nanos))| Point {
            x: inserts,
            y: nanos,
            range: None,
            mark: if index == last {
                Mark::Full
            } else {
                Mark::None
            },
            tip: format!(
                "{}: {} at insert {}",
                row.engine,
                time(nanos),
                grouped(inserts as i64)
            ),
        })
        .collect();
    // The last level holds until the end.
    let end = points.last().cloned().map(|point| Point {
        x: (row.keys as f64).max(point.x),
        mark: Mark::None,
        ..point
    });
    points.extend(end);
    Series {
        name: row.engine.clone(),
        style: names::style(&row.engine, variant),
        joined: Joined::Steps,
        points,
    }
}

fn longest(rows: &[GrowthRow]) -> Vec<Sentence> {
    let costs = rows.iter().map(|row| (row.engine.as_str(), row.longest_ns));
    cheaper(costs, TIME, |ours| format!("The longest insert of {ours}"))
}

/// What rows of `memory` show.
pub(super) fn memory(rows: &[MemoryRow]) -> Part {
    let mut data = Data::new([
        "server",
        "version",
        "empty MB",
        "loaded MB",
        "bytes per key",
        "of them key and value",
    ]);
    let mut bars = Vec::new();
    for row in rows {
        let payload = row.key_bytes + row.value_bytes;
        let megabytes = |bytes: u64| significant(bytes as f64 / 1e6);
        data.row(
            names::role(&row.server) == Role::Ours,
            [
                row.server.clone(),
                row.version.clone(),
                megabytes(row.empty_bytes),
                megabytes(row.loaded_bytes),
                significant(row.bytes_per_key),
                grouped(payload),
            ],
        );
        bars.push(Bar {
            name: row.server.clone(),
            style: names::style(&row.server, 0),
            value: row.bytes_per_key,
            part: Some(payload as f64),
            range: None,
            hatched: false,
            figure: format!("{} bytes", significant(row.bytes_per_key)),
            tip: format!(
                "{}: {} bytes for each key, {payload} of them key and value",
                row.server,
                significant(row.bytes_per_key),
            ),
        });
    }
    let costs = rows
        .iter()
        .map(|row| (row.server.as_str(), row.bytes_per_key));
    let subtitle = rows.first().map_or_else(String::new, |row| {
        format!(
            "{} keys of {} bytes, values of {} bytes, resident memory",
            grouped(row.keys),
            row.key_bytes,
            row.value_bytes
        )
    });
    let mut part = Part::default();
    part.figures.push(Figure {
        title: "How much memory does a key take?".to_owned(),
        subtitle,
        drawing: Drawing::Bars(vec![least_first(bars)]),
        notes: vec!["Full colour: the bytes of key and value. Pale: all beside them.".to_owned()],
        verdict: cheaper(costs, MEMORY, str::to_owned),
        data,
    });
    part
}

/// What rows of `connections` show.
pub(super) fn connections(rows: &[ConnectionsRow]) -> Part {
    let mut data = Data::new([
        "server",
        "version",
        "idle",
        "opened",
        "alive at the end",
        "KiB each",
        "active",
        "kop/s",
        "p50",
        "p99",
        "p99.9",
        "wrong",
    ]);
    let mut bars = Vec::new();
    for row in rows {
        let latency = |micros: Option<f64>| {
            micros.map_or_else(|| "-".to_owned(), |micros| time(micros * 1e3))
        };
        let each = significant(row.bytes_per_connection / KIB);
        data.row(
            names::role(&row.server) == Role::Ours,
            [
                row.server.clone(),
                row.version.clone(),
                grouped(row.idle),
                grouped(row.opened),
                grouped(row.alive),
                each.clone(),
                grouped(row.active),
                significant(row.ops_per_s / 1e3),
                latency(row.p50_us),
                latency(row.p99_us),
                latency(row.p999_us),
                grouped(row.errors),
            ],
        );
        bars.push(Bar {
            name: row.server.clone(),
            style: names::style(&row.server, 0),
            value: row.bytes_per_connection,
            part: None,
            range: None,
            hatched: false,
            figure: format!("{each} KiB"),
            tip: format!(
                "{}: {each} KiB each; {} of {} alive at the end; {} on the active ones",
                row.server,
                grouped(row.alive),
                grouped(row.idle),
                rate(row.ops_per_s),
            ),
        });
    }
    let costs = rows
        .iter()
        .map(|row| (row.server.as_str(), row.bytes_per_connection));
    let subtitle = rows.first().map_or_else(String::new, |row| {
        format!(
            "{} idle connections beside {} that work",
            grouped(row.idle),
            grouped(row.active)
        )
    });
    let mut part = Part::default();
    part.warn(rows.iter().map(|row| (row.server.as_str(), row.errors)));
    part.figures.push(Figure {
        title: "What does an idle connection cost?".to_owned(),
        subtitle,
        drawing: Drawing::Bars(vec![least_first(bars)]),
        notes: vec![
            "Resident memory of the server for each idle connection; the kernel's buffers are not \
             in it."
                .to_owned(),
        ],
        verdict: cheaper(costs, MEMORY, str::to_owned),
        data,
    });
    part
}

/// One panel without a title; less is better, so the shortest bar comes first.
fn least_first(bars: Vec<Bar>) -> super::draw::bars::Panel {
    let mut panel = panel(String::new(), bars);
    panel.bars.reverse();
    panel
}

/// How ours stands in one place; `subject` says what of it.
fn cheaper<'r>(
    costs: impl Iterator<Item = (&'r str, f64)> + Clone,
    wording: Wording,
    subject: impl FnOnce(&str) -> String,
) -> Vec<Sentence> {
    let of = |role: Role| {
        costs
            .clone()
            .filter(move |(name, _)| names::role(name) == role)
    };
    of(Role::Ours).next().map_or_else(Vec::new, |(ours, cost)| {
        let standing = verdict::cheaper(cost, of(Role::Rival));
        let places: Vec<_> = standing
            .map(|standing| (String::new(), standing))
            .into_iter()
            .collect();
        verdict::sentences(&subject(ours), wording, &places)
    })
}
