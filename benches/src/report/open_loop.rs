//! Latency against the offered rate: what happens to those who do not wait for others.
//!
//! 1. A point that did not reach its rate is marked, and is compared with nobody.

use super::draw::lines::{Mark, Plot, Series};
use super::draw::scale::Scale;
use super::figure::{Data, Drawing, Figure};
use super::input::{Mode, Saturated, ServerRow};
use super::names::{self, Role};
use super::number::{rate, round_time, short, time};
use super::servers::{parts_without, settings};
use super::sweep::{Question, Spacing, Sweep, sweeps};
use super::verdict::{self, Range, Sentence, Standing, Wording};

const RATE: Question = Question {
    axis: "rate",
    title: "",
    x_title: "offered operations per second",
    spacing: Spacing::Linear,
    tick: short,
    phrase: |value| format!("at {} op/s offered", short(value)),
};

/// For percentiles of a name.
const PERCENTILE: Wording = Wording {
    loses: "is longer",
    ahead: "shorter by 1.10x or more",
    leads: "is the shortest",
    level: "is within 1.10x of the shortest",
};

/// The percentiles that are shown: the question, and which of a row's latencies.
const SHOWN: [(&str, &str, usize); 3] = [
    (
        "How long does a reply usually take as the rate rises? (p50)",
        "p50",
        0,
    ),
    (
        "How long does the slowest in a hundred take? (p99)",
        "p99",
        1,
    ),
    (
        "How long does the slowest in a thousand take? (p99.9)",
        "p99.9",
        2,
    ),
];

/// A figure for each percentile; none without rates.
pub(super) fn figures(rows: &[ServerRow]) -> Vec<Figure> {
    let open: Vec<&ServerRow> = rows.iter().filter(|row| row.mode != Mode::Closed).collect();
    let sweeps = sweeps(
        &open,
        "rate",
        |row| row.rate,
        |row| parts_without(row, "rate"),
        |row| settings(row, "rate"),
    );
    sweeps.into_iter().flat_map(of_sweep).collect()
}

fn of_sweep(mut sweep: Sweep<'_, ServerRow>) -> Vec<Figure> {
    let left_out = sweep.shorten();
    let all: Vec<(usize, Vec<Series>)> = SHOWN
        .iter()
        .enumerate()
        .map(|(index, shown)| (index, lines(&sweep, shown.2)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    // One scale for all percentiles, so that they can be compared.
    let latencies: Vec<f64> = all
        .iter()
        .flat_map(|(_, lines)| lines.iter().flat_map(|line| &line.points))
        .map(|point| point.y)
        .collect();
    let capacity = capacity(&sweep);
    all.into_iter()
        .map(|(index, series)| {
            let (title, percentile, latency) = SHOWN[index];
            let mut verdict = verdict_at(&sweep, latency, percentile);
            if index == 0 {
                verdict.extend(capacity.clone());
            }
            Figure {
                title: title.to_owned(),
                subtitle: sweep.place.join(", "),
                drawing: Drawing::Lines(Plot {
                    x_title: RATE.x_title.to_owned(),
                    y_title: format!("{percentile} from the intended start"),
                    x: sweep.scale(&RATE),
                    y: Scale::logarithmic(latencies.iter().copied(), round_time),
                    series,
                    spoken: format!("{title} Numbers below."),
                }),
                notes: std::iter::once(
                    "Hollow: the server did not keep this rate. Hollow and crossed: the generator \
                     did not, and the point says nothing about the server."
                        .to_owned(),
                )
                .chain(left_out.clone())
                .collect(),
                verdict,
                data: numbers(&sweep),
            }
        })
        .collect()
}

fn lines(sweep: &Sweep<'_, ServerRow>, latency: usize) -> Vec<Series> {
    let exact = |value: f64| Range {
        median: value,
        min: value,
        max: value,
    };
    let figure = |row: &ServerRow| row.latencies_ns()[latency].map(exact);
    let mut series = sweep.series(&RATE, "", figure, time);
    for line in &mut series {
        let rows = sweep.lines.iter().find(|other| other.label == line.name);
        for point in &mut line.points {
            let row = rows.and_then(|rows| rows.points.iter().find(|other| other.0 == point.x));
            if let Some((_, row)) = row {
                let (mark, why) = match row.saturated {
                    None => continue,
                    Some(Saturated::Server) => (Mark::Hollow, "the server did not keep it"),
                    Some(Saturated::Generator) => (Mark::Crossed, "the generator did not keep it"),
                };
                point.mark = mark;
                point.tip = format!("{} ({why}: {})", point.tip, rate(row.ops_per_s));
            }
        }
    }
    series
}

fn numbers(sweep: &Sweep<'_, ServerRow>) -> Data {
    let mut data = Data::new([
        "server",
        "offered",
        "done",
        "p50",
        "p99",
        "p99.9",
        "max",
        "rate kept",
    ]);
    for line in &sweep.lines {
        for (offered, row) in &line.points {
            let [p50, p99, p999, max] = row
                .latencies_ns()
                .map(|latency| latency.map_or_else(|| "-".to_owned(), time));
            let kept = match row.saturated {
                None => "yes",
                Some(Saturated::Server) => "no: server",
                Some(Saturated::Generator) => "no: generator",
            };
            data.row(
                names::role(line.name) == Role::Ours,
                [
                    line.label.clone(),
                    rate(*offered),
                    rate(row.ops_per_s),
                    p50,
                    p99,
                    p999,
                    max,
                    kept.to_owned(),
                ],
            );
        }
    }
    data
}

/// Where others are quicker, among those that kept the rate.
fn verdict_at(sweep: &Sweep<'_, ServerRow>, latency: usize, percentile: &str) -> Vec<Sentence> {
    let kept = |role: Role, value: f64| {
        sweep
            .lines
            .iter()
            .filter(move |line| names::role(line.name) == role)
            .filter_map(move |line| {
                let (_, row) = line.points.iter().find(|point| point.0 == value)?;
                let nanos = row.latencies_ns()[latency].filter(|_| row.saturated.is_none())?;
                Some((line.label.as_str(), nanos))
            })
    };
    let places: Vec<(String, Standing)> = sweep
        .values()
        .into_iter()
        .filter_map(|value| {
            let (_, ours) = kept(Role::Ours, value).next()?;
            let standing = verdict::cheaper(ours, kept(Role::Rival, value))?;
            Some(((RATE.phrase)(value), standing))
        })
        .collect();
    sweep.ours().map_or_else(Vec::new, |ours| {
        verdict::sentences(&format!("{percentile} of {ours}"), PERCENTILE, &places)
    })
}

/// The highest rate that each server kept.
fn capacity(sweep: &Sweep<'_, ServerRow>) -> Option<Sentence> {
    let mut kept: Vec<(&str, &str, f64)> = sweep
        .lines
        .iter()
        .filter_map(|line| {
            let highest = line
                .points
                .iter()
                .filter(|(_, row)| row.saturated.is_none())
                .map(|(_, row)| row.rate.unwrap_or_default())
                .reduce(f64::max)?;
            Some((line.name, line.label.as_str(), highest))
        })
        .collect();
    kept.sort_by(|one, other| other.2.total_cmp(&one.2));
    let best = |role: Role| {
        kept.iter()
            .filter(|one| names::role(one.0) == role)
            .map(|one| one.2)
            .reduce(f64::max)
    };
    let (ours, rivals) = (best(Role::Ours)?, best(Role::Rival).unwrap_or(0.0));
    let class = if ours < rivals {
        "loses"
    } else if ours > rivals {
        "leads"
    } else {
        "level"
    };
    let each: Vec<String> = kept
        .iter()
        .map(|(_, label, highest)| format!("{label} {}", rate(*highest)))
        .collect();
    Some(Sentence::plain(
        class,
        format!(
            "The highest offered rate that was kept: {}",
            each.join(", ")
        ),
    ))
}
