//! Latencies by percentile: each nine takes the same room, so that the tail is seen.

use super::draw::lines::{Joined, Mark, Plot, Point, SERIES_MAX, Series};
use super::draw::scale::{Scale, percentiles};
use super::figure::{Data, Drawing, Figure};
use super::input::Curve;
use super::names::{self, Role};
use super::number::{percent, round_time, time, trimmed};
use super::verdict::{self, TIME};

/// The percentiles that are marked on a line.
const MARKED: [f64; 7] = [0.5, 0.9, 0.99, 0.999, 0.999_9, 0.999_99, 0.999_999];

/// What one name took.
#[derive(Debug)]
pub(super) struct Latencies<'r> {
    pub(super) name: &'r str,
    pub(super) label: String,
    pub(super) variant: usize,
    pub(super) curve: &'r Curve,
    /// p50, p99, p99.9 and the largest, in nanoseconds.
    pub(super) figures: [Option<f64>; 4],
}

/// The columns of [`Latencies::figures`].
const FIGURES: [&str; 4] = ["p50", "p99", "p99.9", "max"];

/// A figure of all that have a curve; `None` if nobody has.
pub(super) fn figure(title: &str, subtitle: String, all: &[Latencies<'_>]) -> Option<Figure> {
    let mut drawn: Vec<&Latencies<'_>> = all.iter().filter(|one| one.curve.len() > 1).collect();
    if drawn.is_empty() {
        return None;
    }
    drawn.sort_by_key(|one| names::role(one.name) != Role::Ours);
    let mut notes = vec![
        "To the right of 99 %: the one call in a hundred. A line that rises late is calm; where it \
         rises is how rarely it hurts, how far it rises is how much."
            .to_owned(),
    ];
    if drawn.len() > SERIES_MAX {
        let left_out: Vec<String> = drawn
            .drain(SERIES_MAX..)
            .map(|one| one.label.clone())
            .collect();
        notes.push(format!("Not drawn: {}.", verdict::listed(&left_out)));
    }
    let series: Vec<Series> = drawn.iter().map(|one| line(one)).collect();
    let points = || series.iter().flat_map(|series| &series.points);
    let x = percentiles(points().map(|point| point.x).fold(1.0, f64::max));
    let y = Scale::logarithmic(points().map(|point| point.y), round_time);
    let mut data = Data::new(["name"].into_iter().chain(FIGURES));
    for one in &drawn {
        let cells = one
            .figures
            .map(|figure| figure.map_or_else(|| "-".to_owned(), time));
        let ours = names::role(one.name) == Role::Ours;
        data.row(ours, std::iter::once(one.label.clone()).chain(cells));
    }
    Some(Figure {
        title: title.to_owned(),
        subtitle,
        drawing: Drawing::Lines(Plot {
            x_title: "share of calls that are no longer".to_owned(),
            y_title: "latency".to_owned(),
            x,
            y,
            series,
            spoken: format!("{title} Numbers below."),
        }),
        notes,
        verdict: verdict(&drawn),
        data,
    })
}

fn line(one: &Latencies<'_>) -> Series {
    let mut marks = MARKED.into_iter().peekable();
    let mut points: Vec<Point> = Vec::new();
    for &(quantile, nanos) in one.curve {
        let last = quantile >= 1.0;
        let x = if last {
            // The largest sample stands as far beyond the last percentile as half of what is left.
            points.last().map_or(1.0, |point| point.x) * 2.0
        } else {
            1.0 / (1.0 - quantile)
        };
        let mut mark = Mark::None;
        while marks.next_if(|marked| *marked <= quantile).is_some() {
            mark = Mark::Full;
        }
        let share = if last {
            "the longest".to_owned()
        } else {
            percent(trimmed(quantile * 100.0))
        };
        points.push(Point {
            x,
            y: nanos,
            range: None,
            mark: if last { Mark::Full } else { mark },
            tip: format!("{}, {share}: {}", one.label, time(nanos)),
        });
        if last {
            break;
        }
    }
    Series {
        name: one.label.clone(),
        style: names::style(one.name, one.variant),
        joined: Joined::Straight,
        points,
    }
}

/// Where another is quicker than ours; the largest is chance too often to be judged.
fn verdict(drawn: &[&Latencies<'_>]) -> Vec<verdict::Sentence> {
    let Some(ours) = drawn.iter().find(|one| names::role(one.name) == Role::Ours) else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for (index, percentile) in FIGURES.into_iter().enumerate().take(3) {
        let Some(figure) = ours.figures[index] else {
            continue;
        };
        let others = drawn
            .iter()
            .filter(|one| names::role(one.name) == Role::Rival)
            .filter_map(|one| Some((one.label.as_str(), one.figures[index]?)));
        let standing = verdict::cheaper(figure, others);
        places.extend(standing.map(|standing| (format!("at {percentile}"), standing)));
    }
    verdict::sentences(&ours.label, TIME, &places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies<'r>(name: &'r str, curve: &'r Curve) -> Latencies<'r> {
        Latencies {
            name,
            label: name.to_owned(),
            variant: 0,
            curve,
            figures: [Some(100.0), Some(1_000.0), None, None],
        }
    }

    #[test]
    fn each_nine_takes_the_same_room_and_the_longest_is_drawn() {
        let curve = vec![
            (0.0, 10.0),
            (0.5, 20.0),
            (0.9, 30.0),
            (0.99, 40.0),
            (1.0, 90.0),
        ];
        let drawn = line(&latencies("a", &curve));
        let found: Vec<(f64, f64)> = drawn
            .points
            .iter()
            .map(|point| (point.x.round(), point.y))
            .collect();
        let expected = [
            (1.0, 10.0),
            (2.0, 20.0),
            (10.0, 30.0),
            (100.0, 40.0),
            (200.0, 90.0),
        ];
        assert_eq!(found, expected);
        assert!(drawn.points[4].tip.contains("the longest: 90.0\u{a0}ns"));
    }

    #[test]
    fn curves_of_nothing_or_of_equal_samples_can_be_drawn() {
        let (none, one) = (Vec::new(), vec![(1.0, 5.0)]);
        let equal = vec![(1.0, 5.0), (1.0, 5.0)];
        let zero = vec![(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)];
        assert!(figure("?", String::new(), &[latencies("a", &none)]).is_none());
        assert!(figure("?", String::new(), &[latencies("a", &one)]).is_none());
        for curve in [&equal, &zero] {
            let drawn = figure("?", String::new(), &[latencies("a", curve)]).unwrap();
            let html = drawn.element().to_string();
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
    }
}
