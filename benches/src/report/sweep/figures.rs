//! A sweep as a figure: lines over its axis, or bars for each of its values.

use super::{Line, Measured, Sweep};
use crate::report::draw::bars::{Bar, Panel};
use crate::report::draw::lines::{Joined, Mark, Plot, Point, Series};
use crate::report::draw::scale::Scale;
use crate::report::figure::{Data, Drawing, Figure};
use crate::report::names::{self, Role};
use crate::report::number::{rate_unit, significant, trimmed};
use crate::report::verdict::{self, RATE, Range};

/// What a sweep asks, and how its axis looks.
pub(in crate::report) struct Question {
    /// As in the results.
    pub(in crate::report) axis: &'static str,
    /// The question; the subtitle is added by the place.
    pub(in crate::report) title: &'static str,
    pub(in crate::report) x_title: &'static str,
    pub(in crate::report) spacing: Spacing,
    /// A value on the axis.
    pub(in crate::report) tick: fn(f64) -> String,
    /// A value in a sentence: "at 2 threads".
    pub(in crate::report) phrase: fn(f64) -> String,
}

/// How far apart values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Spacing {
    /// From zero, as they are.
    Linear,
    /// By their logarithm.
    Logarithmic,
    /// Equally; the axis says so.
    Equal,
}

impl<R: Measured> Sweep<'_, R> {
    /// The lines over any figure of the rows; a row without it leaves the point out.
    pub(in crate::report) fn series(
        &self,
        question: &Question,
        unit: &str,
        figure: impl Fn(&R) -> Option<Range>,
        written: impl Fn(f64) -> String,
    ) -> Vec<Series> {
        let values = self.values();
        let drawn = self.lines.iter().map(|line| {
            let points = line.points.iter().filter_map(|&(value, row)| {
                let Range { median, min, max } = figure(row)?;
                let spread = if min < max {
                    format!(" ({} to {})", written(min), written(max))
                } else {
                    String::new()
                };
                Some(Point {
                    x: position(question.spacing, &values, value),
                    y: median,
                    range: (min < max).then_some((min, max)),
                    mark: Mark::Full,
                    tip: format!(
                        "{}, {}: {}{spread}{unit}",
                        line.label,
                        (question.phrase)(value),
                        written(median),
                    ),
                })
            });
            Series {
                name: line.label.clone(),
                style: names::style(line.name, line.variant),
                joined: Joined::Straight,
                points: points.collect(),
            }
        });
        drawn.filter(|series| !series.points.is_empty()).collect()
    }

    /// The horizontal axis.
    pub(in crate::report) fn scale(&self, question: &Question) -> Scale {
        let values = self.values();
        match question.spacing {
            Spacing::Linear => Scale::from_zero(values, 5, question.tick),
            Spacing::Logarithmic => Scale::at_values(values, question.tick),
            Spacing::Equal => {
                let names: Vec<String> = values.into_iter().map(question.tick).collect();
                Scale::names(&names)
            }
        }
    }

    /// Operations per second along the axis: lines with their ranges, and who is ahead where.
    /// `more` lines are drawn beside them, in operations per second.
    pub(in crate::report) fn throughput(
        &mut self,
        question: &Question,
        subtitle: String,
        more: impl FnOnce(f64) -> Vec<Series>,
    ) -> Figure {
        let notes: Vec<String> = self.shorten().into_iter().collect();
        let largest = self
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(_, row)| row.rate().max))
            .fold(0.0, f64::max);
        let (divisor, unit) = rate_unit(largest);
        let scaled = |row: &R| {
            let Range { median, min, max } = row.rate();
            Some(Range {
                median: median / divisor,
                min: min / divisor,
                max: max / divisor,
            })
        };
        let mut series = self.series(question, &format!(" {unit}"), scaled, significant);
        series.extend(more(divisor));
        let reached = series
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| point.range.map_or(point.y, |range| range.1));
        let y = Scale::from_zero(reached, 5, trimmed);
        let verdict = self.ours().map_or_else(Vec::new, |ours| {
            verdict::sentences(ours, RATE, &self.standings(question.phrase))
        });
        Figure {
            title: question.title.to_owned(),
            drawing: Drawing::Lines(Plot {
                x_title: question.x_title.to_owned(),
                y_title: unit.to_owned(),
                x: self.scale(question),
                y,
                series,
                spoken: format!("{} Numbers below.", question.title),
            }),
            subtitle,
            notes,
            verdict,
            data: self.numbers(question, unit, scaled, significant),
        }
    }

    /// The same as a table: a row for each line, a column for each value.
    pub(in crate::report) fn numbers(
        &self,
        question: &Question,
        unit: &str,
        figure: impl Fn(&R) -> Option<Range>,
        written: impl Fn(f64) -> String,
    ) -> Data {
        let values = self.values();
        let first = if unit.is_empty() {
            question.x_title.to_owned()
        } else {
            format!("{unit} by {}", question.x_title)
        };
        let headings = std::iter::once(first).chain(values.iter().map(|&at| (question.tick)(at)));
        let mut data = Data::new(headings);
        for line in &self.lines {
            let cells = values.iter().map(|value| {
                let point = line.points.iter().find(|point| point.0 == *value);
                point
                    .and_then(|point| figure(point.1))
                    .map_or_else(|| "-".to_owned(), |range| spelled(range, &written))
            });
            let label = std::iter::once(line.label.clone());
            data.row(names::role(line.name) == Role::Ours, label.chain(cells));
        }
        data
    }

    /// A panel for each value, a bar for each line, longest first; `title` names a value.
    pub(in crate::report) fn panels(
        &self,
        shared_scale: bool,
        title: impl Fn(f64) -> String,
        bar: impl Fn(&Line<'_, R>, &R) -> Option<Bar>,
    ) -> Vec<Panel> {
        let mut panels: Vec<Panel> = self
            .values()
            .into_iter()
            .map(|value| {
                let bars = self.lines.iter().filter_map(|line| {
                    let point = line.points.iter().find(|point| point.0 == value)?;
                    bar(line, point.1)
                });
                panel(title(value), bars.collect())
            })
            .collect();
        if shared_scale {
            share_scale(&mut panels);
        }
        panels
    }
}

/// A panel with a scale of its own, the longest bar first.
pub(in crate::report) fn panel(title: String, mut bars: Vec<Bar>) -> Panel {
    bars.sort_by(|one, other| other.value.total_cmp(&one.value));
    let largest = bars.iter().map(Bar::reach).fold(0.0, f64::max);
    let spoken = format!("Bars: {title}. Numbers below.");
    Panel {
        title,
        bars,
        largest,
        spoken,
    }
}

/// Gives all panels the scale of the largest.
pub(in crate::report) fn share_scale(panels: &mut [Panel]) {
    let largest = panels.iter().map(|panel| panel.largest).fold(0.0, f64::max);
    for panel in panels {
        panel.largest = largest;
    }
}

/// "13.7 (13.1 to 13.9)".
pub(in crate::report) fn spelled(range: Range, written: impl Fn(f64) -> String) -> String {
    let median = written(range.median);
    if range.min < range.max {
        format!(
            "{median} ({} to {})",
            written(range.min),
            written(range.max)
        )
    } else {
        median
    }
}

fn position(spacing: Spacing, values: &[f64], value: f64) -> f64 {
    match spacing {
        Spacing::Linear | Spacing::Logarithmic => value,
        Spacing::Equal => values.partition_point(|other| *other < value) as f64,
    }
}
