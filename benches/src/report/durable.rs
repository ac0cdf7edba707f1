//! What `durable` shows: what was asked and what it came to, a table and a figure of each part.

use super::draw::bars::{Bar, Panel};
use super::figure::{Data, Drawing, Figure};
use super::input::{DurableLine, DurableRow, Spread};
use super::names::{self, Role};
use super::number::{grouped, rate, significant, time};
use super::part::{Part, PointTable};
use super::sweep::panel;
use super::verdict::Sentence;

/// The parts in their order: the name, the figure's question, and what it draws.
const PARTS: [(&str, &str, Drawn); 5] = [
    (
        "embedded",
        "How many writes of a library are on the disk in a second?",
        Drawn::Rate,
    ),
    (
        "wire",
        "How many writes does a server acknowledge under the same promise?",
        Drawn::Rate,
    ),
    (
        "window",
        "What does a write window buy where a sync comes before the answer?",
        Drawn::Rate,
    ),
    (
        "snapshot",
        "How long does the slowest in a hundred take while snapshots are taken?",
        Drawn::P99,
    ),
    (
        "recovery",
        "How long from the start of a server to its first answer?",
        Drawn::Seconds,
    ),
];

/// Which figure of a line is drawn.
#[derive(Clone, Copy, Debug)]
enum Drawn {
    Rate,
    P99,
    Seconds,
}

/// What rows of `durable` show.
pub(super) fn part(rows: &[DurableRow]) -> Part {
    let mut part = Part::default();
    let lines: Vec<&DurableLine> = rows
        .iter()
        .filter_map(|row| match row {
            DurableRow::Line(line) => Some(&**line),
            DurableRow::Disk(_) | DurableRow::Bar(_) => None,
        })
        .collect();
    part.warn(lines.iter().map(|line| (line.who.as_str(), line.wrong)));
    part.tally = tally(rows);
    part.tables.extend(asked(rows));
    for (name, question, drawn) in PARTS {
        let of_part: Vec<&DurableLine> = lines
            .iter()
            .copied()
            .filter(|line| line.part == name)
            .collect();
        let data = table(&of_part);
        if !of_part.is_empty() {
            part.tables.push(PointTable {
                title: name.to_owned(),
                data: data.clone(),
            });
        }
        part.add(name, figure(question, drawn, &of_part, data, disk(rows)));
    }
    part
}

/// The disk, in words.
fn disk(rows: &[DurableRow]) -> String {
    let found = rows.iter().find_map(|row| match row {
        DurableRow::Disk(disk) => Some(format!(
            "{}, an append and sync takes {}",
            disk.file_system,
            time(disk.sync_us.median * 1e3)
        )),
        DurableRow::Line(_) | DurableRow::Bar(_) => None,
    });
    found.unwrap_or_default()
}

/// How many of the asked ratios were reached, and which were not.
fn tally(rows: &[DurableRow]) -> Vec<Sentence> {
    let mut missed = Vec::new();
    let mut reached = 0;
    for row in rows {
        let DurableRow::Bar(bar) = row else { continue };
        match (bar.asked, bar.reached) {
            (Some(_), Some(true)) => reached += 1,
            (Some(asked), _) => missed.push((
                format!("{}, {}", bar.of, bar.figure.replace('_', " ")),
                format!(
                    "{}x of {}, asked {}x",
                    significant(bar.ratio.median),
                    bar.against,
                    significant(asked)
                ),
            )),
            (None, _) => {}
        }
    }
    let mut sentences = Vec::new();
    if !missed.is_empty() {
        sentences.push(Sentence {
            class: "loses",
            text: format!("{} of what was asked was not reached", missed.len()),
            places: missed,
        });
    }
    if reached > 0 {
        let text = format!("{reached} of what was asked was reached");
        sentences.push(Sentence::plain("leads", text));
    }
    sentences
}

fn asked(rows: &[DurableRow]) -> Option<PointTable> {
    let mut data = Data::new(["of", "figure", "against", "ratio", "asked", "reached"]);
    for row in rows {
        let DurableRow::Bar(bar) = row else { continue };
        data.row(
            false,
            [
                bar.of.clone(),
                bar.figure.replace('_', " "),
                bar.against.clone(),
                spelled(Some(bar.ratio), significant),
                bar.asked.map_or_else(|| "-".to_owned(), significant),
                match bar.reached {
                    None => "-",
                    Some(true) => "yes",
                    Some(false) => "no",
                }
                .to_owned(),
            ],
        );
    }
    (!data.rows.is_empty()).then(|| PointTable {
        title: "What was asked, and what it came to".to_owned(),
        data,
    })
}

/// "13.7 (13.1 to 13.9)", or a dash.
fn spelled(spread: Option<Spread>, written: impl Fn(f64) -> String) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |spread| {
            format!(
                "{} ({} to {})",
                written(spread.median),
                written(spread.min),
                written(spread.max)
            )
        },
    )
}

fn table(lines: &[&DurableLine]) -> Data {
    let mut data = Data::new([
        "who",
        "what",
        "clients",
        "pipeline",
        "window \u{b5}s",
        "kop/s",
        "p50",
        "p99",
        "p99.9",
        "CPU \u{b5}s",
        "MB",
        "seconds",
        "wrong",
    ]);
    for line in lines {
        let latency = |micros: Option<f64>| {
            micros.map_or_else(|| "-".to_owned(), |micros| time(micros * 1e3))
        };
        let percentiles = line.latency.as_ref();
        data.row(
            names::role(&line.who) == Role::Ours,
            [
                line.who.clone(),
                line.what.clone(),
                grouped(line.clients),
                grouped(line.pipeline),
                line.window_us.map_or_else(|| "-".to_owned(), grouped),
                spelled(line.ops_per_s, |ops| significant(ops / 1e3)),
                latency(percentiles.map(|latency| latency.p50_us)),
                latency(percentiles.map(|latency| latency.p99_us)),
                latency(percentiles.map(|latency| latency.p999_us)),
                spelled(line.cpu_us_per_op, significant),
                spelled(line.memory_mb, significant),
                spelled(line.seconds, significant),
                grouped(line.wrong),
            ],
        );
    }
    data
}

fn figure(
    question: &str,
    drawn: Drawn,
    lines: &[&DurableLine],
    data: Data,
    disk: String,
) -> Vec<Figure> {
    let mut panels: Vec<(String, Vec<Bar>)> = Vec::new();
    for line in lines {
        let title = place(line);
        let index = panels
            .iter()
            .position(|(other, _)| *other == title)
            .unwrap_or_else(|| {
                panels.push((title, Vec::new()));
                panels.len() - 1
            });
        let bars = &mut panels[index].1;
        let variant = bars.len();
        bars.extend(bar(line, drawn, variant));
    }
    panels.retain(|(_, bars)| !bars.is_empty());
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        title: question.to_owned(),
        subtitle: disk,
        drawing: Drawing::Bars(
            panels
                .into_iter()
                .map(|(title, bars)| ordered(panel(title, bars), drawn))
                .collect(),
        ),
        notes: vec!["Each panel has a scale of its own.".to_owned()],
        verdict: Vec::new(),
        data,
    }]
}

/// The best bar first.
fn ordered(mut panel: Panel, drawn: Drawn) -> Panel {
    match drawn {
        Drawn::Rate => {}
        Drawn::P99 | Drawn::Seconds => panel.bars.reverse(),
    }
    panel
}

/// What stands in one panel.
fn place(line: &DurableLine) -> String {
    let clients = |of: &str| format!("{} {of}", grouped(line.clients));
    match line.part.as_str() {
        "embedded" => clients("threads"),
        "window" => clients("connections"),
        "snapshot" => line.who.clone(),
        "recovery" => format!("from a {}", line.what),
        _ => format!(
            "{}, {}, pipeline {}",
            line.what,
            clients("connections"),
            grouped(line.pipeline)
        ),
    }
}

fn bar(line: &DurableLine, drawn: Drawn, variant: usize) -> Option<Bar> {
    let (value, range, figure) = match drawn {
        Drawn::Rate => {
            let ops = line.ops_per_s?;
            (ops.median, Some((ops.min, ops.max)), rate(ops.median))
        }
        Drawn::Seconds => {
            let seconds = line.seconds?;
            let range = Some((seconds.min, seconds.max));
            (seconds.median, range, time(seconds.median * 1e9))
        }
        Drawn::P99 => {
            let micros = line.latency.as_ref()?.p99_us;
            (micros, None, time(micros * 1e3))
        }
    };
    let (name, variant) = match (line.part.as_str(), line.window_us) {
        ("snapshot", _) => (line.what.clone(), variant),
        (_, Some(window)) => (format!("{window} \u{b5}s"), variant),
        (_, None) => (line.who.clone(), 0),
    };
    Some(Bar {
        tip: format!("{name}: {figure}"),
        name,
        style: names::style(&line.who, variant),
        value,
        part: None,
        range,
        hatched: false,
        figure,
    })
}
