//! What a window for gathering writes buys, and what it costs.

use super::{MapRow, swept, window};
use crate::report::draw::lines::Plot;
use crate::report::draw::scale::Scale;
use crate::report::figure::{Drawing, Figure};
use crate::report::names::{self, Role};
use crate::report::number::{round_time, time, times};
use crate::report::sweep::{Line, Measured as _, Question, Spacing, Sweep};
use crate::report::verdict::{Range, Sentence};

const WINDOW: Question = Question {
    axis: "window",
    title: "What does a write window buy?",
    x_title: "window for gathering writes (not to scale)",
    spacing: Spacing::Equal,
    tick: window,
    phrase: |micros| format!("with a window of {}", window(micros)),
};

/// What a window does to throughput, and to latency.
pub(super) fn figures(rows: &[&MapRow]) -> Vec<Figure> {
    let gathers = |row: &MapRow| {
        let named = names::role(&row.engine) == Role::Sibling;
        row.window_us
            .filter(|_| named && row.axis() != Some("shards"))
    };
    let mut figures = Vec::new();
    for mut sweep in swept(rows, "window", |row| {
        gathers(row).map(|micros| micros as f64)
    }) {
        let subtitle = sweep.place.join(", ");
        let mut buys = sweep.throughput(&WINDOW, subtitle.clone(), |_| Vec::new());
        buys.verdict = sweep.lines.iter().filter_map(bought).collect();
        figures.push(buys);
        figures.extend(window_costs(&sweep, subtitle));
    }
    figures
}

/// What the best window gains over none, in one sentence.
fn bought(line: &Line<'_, MapRow>) -> Option<Sentence> {
    let &(none, first) = line.points.first()?;
    let &(best, row) = line
        .points
        .iter()
        .max_by(|one, other| one.1.ops_per_s.total_cmp(&other.1.ops_per_s))?;
    let (gained, without) = (row.rate(), first.rate());
    if best == none || !gained.is_ahead_of(without) {
        return Some(Sentence::plain(
            "level",
            format!(
                "{}: no window does clearly more operations than a window of {}",
                line.label,
                window(none)
            ),
        ));
    }
    let longer = match (row.p99_ns, first.p99_ns) {
        (Some(with), Some(without)) if without > 0.0 => {
            format!(", for {} the p99", times(with / without))
        }
        _ => String::new(),
    };
    Some(Sentence::plain(
        "leads",
        format!(
            "{}: a window of {} does {} the operations of {}{longer}",
            line.label,
            window(best),
            times(gained.ratio_to(without)?),
            window(none),
        ),
    ))
}

fn window_costs(sweep: &Sweep<'_, MapRow>, subtitle: String) -> Option<Figure> {
    const TITLE: &str = "And what does it cost in latency?";
    let exact = |value: f64| Range {
        median: value,
        min: value,
        max: value,
    };
    let mut series = Vec::new();
    for (percentile, dash, figure) in [
        ("p50", "", (|row| row.p50_ns) as fn(&MapRow) -> Option<f64>),
        ("p99", "6 3", |row| row.p99_ns),
    ] {
        let lines = sweep.series(&WINDOW, "", |row| figure(row).map(exact), time);
        series.extend(lines.into_iter().map(|mut line| {
            line.name = format!("{} {percentile}", line.name);
            line.style.dash = dash;
            for point in &mut line.points {
                point.tip = format!("{percentile} of {}", point.tip);
            }
            line
        }));
    }
    if series.is_empty() {
        return None;
    }
    let values = series.iter().flat_map(|line| &line.points);
    let y = Scale::logarithmic(values.map(|point| point.y), round_time);
    Some(Figure {
        title: TITLE.to_owned(),
        subtitle,
        drawing: Drawing::Lines(Plot {
            x_title: WINDOW.x_title.to_owned(),
            y_title: "latency".to_owned(),
            x: sweep.scale(&WINDOW),
            y,
            series,
            spoken: format!("{TITLE} Numbers below."),
        }),
        notes: Vec::new(),
        verdict: Vec::new(),
        data: sweep.numbers(&WINDOW, "p99", |row| row.p99_ns.map(exact), time),
    })
}
