//! Lines over two axes, named at their right ends.

use super::scale::{Scale, Tick};
use super::{Style, label, path, spread, stroke, strong_width, text_width};
use crate::report::markup::Element;

/// Most series of one drawing: as many as there are colours.
pub(crate) const SERIES_MAX: usize = super::COLOURS;

/// A size to draw for: nothing is scaled much on its screen, so text stays legible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    width: f64,
    height: f64,
    font_px: f64,
}

/// For half of a desktop window, and for tablets.
pub(crate) const WIDE: Frame = Frame {
    width: 580.0,
    height: 350.0,
    font_px: 12.5,
};
/// For phones.
pub(crate) const NARROW: Frame = Frame {
    width: 350.0,
    height: 330.0,
    font_px: 11.5,
};

/// Above the drawing: the unit of the vertical axis.
const TOP: f64 = 30.0;
/// Below: ticks and the title of the horizontal axis.
const BOTTOM: f64 = 44.0;
/// From the end of the axis to the labels of the lines: leaders run there.
const LEADER: f64 = 14.0;
/// Half the width of the ends of a range.
const CAP: f64 = 2.5;
const MARKER: f64 = 3.4;
const LINE_HEIGHT: f64 = 1.2;

/// How a point is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Only a corner of the line.
    None,
    Full,
    Hollow,
    Crossed,
}

/// A measured value.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Smallest and largest of the rounds.
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) mark: Mark,
    /// What is said when somebody points at it.
    pub(crate) tip: String,
}

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    Straight,
    /// Level until the next point.
    Steps,
    /// A level to compare with, not a series of its own.
    Reference,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) style: Style,
    pub(crate) joined: Joined,
    pub(crate) points: Vec<Point>,
}

/// A drawing, not yet of any size.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) x_title: String,
    pub(crate) y_title: String,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    pub(crate) series: Vec<Series>,
    /// What somebody is told who cannot see it.
    pub(crate) spoken: String,
}

/// The rectangle between the axes.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plot {
    /// Draws it; series beyond [`SERIES_MAX`] are the caller's to leave out.
    pub(crate) fn svg(&self, frame: Frame) -> Element {
        let area = self.area(frame);
        let mut order: Vec<&Series> = self.series.iter().collect();
        order.sort_by_key(|series| series.style.strong);
        Element::of("svg", "plot")
            .set("viewBox", format!("0 0 {} {}", frame.width, frame.height))
            .set("font-size", frame.font_px)
            .set("role", "img")
            .set("aria-label", &self.spoken)
            .all(self.axes(frame, area))
            .all(order.iter().flat_map(|series| self.ranges(series, area)))
            .all(order.iter().map(|series| self.line(series, area)))
            .all(order.iter().flat_map(|series| self.marks(series, area)))
            .all(self.names(frame, area))
    }

    fn area(&self, frame: Frame) -> Area {
        let ticks = self.y.ticks().iter();
        let ticks = ticks
            .map(|tick| text_width(&tick.label, frame.font_px))
            .fold(0.0, f64::max);
        let names = self.series.iter().map(|series| {
            if series.style.strong {
                strong_width(&series.name, frame.font_px)
            } else {
                text_width(&series.name, frame.font_px)
            }
        });
        let names = names.fold(0.0, f64::max);
        let left = ticks + 10.0;
        // A long name may not take more than half of the drawing.
        let right = frame.width - (names + LEADER + 14.0).min(frame.width / 2.0);
        Area {
            left,
            right: right.max(left + 1.0),
            top: TOP,
            bottom: frame.height - BOTTOM,
        }
    }

    fn at(&self, area: Area, x: f64, y: f64) -> (f64, f64) {
        (
            self.x.place(x, (area.left, area.right)),
            self.y.place(y, (area.bottom, area.top)),
        )
    }

    fn axes(&self, frame: Frame, area: Area) -> Vec<Element> {
        let mut parts = Vec::new();
        for Tick { at, label: text } in self.y.ticks() {
            let (_, y) = self.at(area, 0.0, *at);
            parts.push(stroke("grid", (area.left, y), (area.right, y)));
            let baseline = y + frame.font_px * 0.35;
            parts.push(label("tick", (area.left - 6.0, baseline), "end", text));
        }
        let mut free_from = f64::MIN;
        for Tick { at, label: text } in self.x.ticks() {
            let (x, _) = self.at(area, *at, 0.0);
            parts.push(stroke("grid", (x, area.top), (x, area.bottom)));
            parts.push(stroke("axis", (x, area.bottom), (x, area.bottom + 4.0)));
            let half = text_width(text, frame.font_px) / 2.0;
            // A label that would touch the one before is left out; its tick stays.
            if x - half > free_from {
                let baseline = area.bottom + 6.0 + frame.font_px;
                parts.push(label("tick", (x, baseline), "middle", text));
                free_from = x + half + 4.0;
            }
        }
        let (left, right) = ((area.left, area.bottom), (area.right, area.bottom));
        parts.push(stroke("axis", left, right));
        // Below the middle of the axis, but not beyond the drawing.
        let half = strong_width(&self.x_title, frame.font_px) / 2.0;
        let middle = f64::midpoint(area.left, area.right)
            .min(frame.width - half)
            .max(half);
        let below = (middle, frame.height - 6.0);
        parts.push(label("title", below, "middle", &self.x_title));
        let above = (2.0, frame.font_px + 2.0);
        parts.push(label("title", above, "start", &self.y_title));
        parts
    }

    fn ranges(&self, series: &Series, area: Area) -> Vec<Element> {
        let mut parts = Vec::new();
        for point in &series.points {
            let Some((min, max)) = point.range else {
                continue;
            };
            let (x, low) = self.at(area, point.x, min);
            let (_, high) = self.at(area, point.x, max);
            let d = path(&[(x, low), (x, high)])
                + &path(&[(x - CAP, low), (x + CAP, low)])
                + &path(&[(x - CAP, high), (x + CAP, high)]);
            let class = format!("{} range", series.style.class());
            parts.push(Element::of("path", class).set("d", d));
        }
        parts
    }

    fn line(&self, series: &Series, area: Area) -> Element {
        let mut corners = Vec::new();
        for point in &series.points {
            let (x, y) = self.at(area, point.x, point.y);
            if let (Joined::Steps, Some(&(_, before))) = (series.joined, corners.last()) {
                corners.push((x, before));
            }
            corners.push((x, y));
        }
        let kind = match series.joined {
            Joined::Reference => " reference",
            Joined::Straight | Joined::Steps if series.style.strong => " strong",
            Joined::Straight | Joined::Steps => "",
        };
        let class = format!("{} series{kind}", series.style.class());
        let line = Element::of("path", class).set("d", path(&corners));
        if series.style.dash.is_empty() {
            line
        } else {
            line.set("stroke-dasharray", series.style.dash)
        }
    }

    fn marks(&self, series: &Series, area: Area) -> Vec<Element> {
        let radius = if series.style.strong {
            MARKER + 0.8
        } else {
            MARKER
        };
        let mut parts = Vec::new();
        for point in &series.points {
            let at = self.at(area, point.x, point.y);
            let (class, cross) = match point.mark {
                Mark::None => continue,
                Mark::Full => ("", false),
                Mark::Hollow => (" hollow", false),
                Mark::Crossed => (" hollow", true),
            };
            let mut group = Element::of("g", "pt")
                .push(Element::new("title").text(&point.tip))
                .push(series.style.marker_at(at, radius, class));
            if cross {
                let arm = radius + 2.5;
                let d = path(&[(at.0 - arm, at.1 - arm), (at.0 + arm, at.1 + arm)])
                    + &path(&[(at.0 - arm, at.1 + arm), (at.0 + arm, at.1 - arm)]);
                let class = format!("{} cross", series.style.class());
                group = group.push(Element::of("path", class).set("d", d));
            }
            parts.push(group);
        }
        parts
    }

    /// The names of the series, each at the end of its line.
    fn names(&self, frame: Frame, area: Area) -> Vec<Element> {
        let ended: Vec<(&Series, (f64, f64))> = self
            .series
            .iter()
            .filter_map(|series| {
                let last = series.points.last()?;
                Some((series, self.at(area, last.x, last.y)))
            })
            .collect();
        let wanted: Vec<f64> = ended.iter().map(|(_, end)| end.1).collect();
        let gap = frame.font_px * LINE_HEIGHT;
        let low = frame.font_px * 2.0;
        // Where they fit, they stay above the ticks of the horizontal axis.
        let places = spread(&wanted, gap, low, area.bottom);
        let mut parts = Vec::new();
        for ((series, end), y) in ended.into_iter().zip(places) {
            let begin = (end.0 + MARKER, end.1);
            let to = (area.right + LEADER - 6.0, y);
            let class = format!("{} leader", series.style.class());
            // Level to the edge first, so that leaders of early ends do not look like lines.
            let bend = (area.right.max(begin.0), end.1);
            parts.push(Element::of("path", class).set("d", path(&[begin, bend, to])));
            let marker = (area.right + LEADER, y);
            parts.push(series.style.marker_at(marker, MARKER, ""));
            let class = if series.style.strong {
                "name strong"
            } else {
                "name"
            };
            let text = (marker.0 + 8.0, y + frame.font_px * 0.35);
            parts.push(label(class, text, "start", &series.name));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::Marker;
    use crate::report::number::trimmed;

    fn series(name: &str, values: &[(f64, f64)]) -> Series {
        let points = values.iter().map(|&(x, y)| Point {
            x,
            y,
            range: Some((y * 0.9, y * 1.1)),
            mark: Mark::Full,
            tip: format!("{name} at <{}>", trimmed(x)),
        });
        Series {
            name: name.to_owned(),
            style: Style {
                colour: 3,
                marker: Marker::Star,
                dash: "",
                strong: false,
            },
            joined: Joined::Straight,
            points: points.collect(),
        }
    }

    fn plot(series: Vec<Series>, logarithmic: bool) -> Plot {
        let values: Vec<(f64, f64)> = series
            .iter()
            .flat_map(|series| series.points.iter().map(|point| (point.x, point.y)))
            .collect();
        let (x, y) = (values.iter().map(|at| at.0), values.iter().map(|at| at.1));
        Plot {
            x_title: "x".to_owned(),
            y_title: "y".to_owned(),
            x: Scale::at_values(x, trimmed),
            y: if logarithmic {
                Scale::logarithmic(y, trimmed)
            } else {
                Scale::from_zero(y, 5, trimmed)
            },
            series,
            spoken: "a plot".to_owned(),
        }
    }

    fn check(svg: &str) {
        for odd in ["NaN", "inf"] {
            assert!(!svg.contains(odd), "{svg}");
        }
    }

    #[test]
    fn any_values_can_be_drawn() {
        let cases: [&[(f64, f64)]; 6] = [
            &[],
            &[(1.0, 5.0)],
            &[(0.0, 0.0), (0.0, 0.0)],
            &[(1.0, f64::NAN), (f64::INFINITY, 2.0)],
            &[(1.0, -3.0), (2.0, 1e300)],
            &[(1.0, 7.0), (2.0, 7.0), (4.0, 7.0)],
        ];
        for values in cases {
            for logarithmic in [false, true] {
                for frame in [WIDE, NARROW] {
                    let one = plot(vec![series("a", values)], logarithmic);
                    check(&one.svg(frame).to_string());
                }
            }
        }
        check(&plot(Vec::new(), true).svg(NARROW).to_string());
    }

    #[test]
    fn every_series_is_named_and_every_point_speaks() {
        let values = [(1.0, 5.0), (2.0, 6.0)];
        let two = plot(
            vec![series("one", &values), series("<two>", &values)],
            false,
        );
        let svg = two.svg(WIDE).to_string();
        for text in [
            ">one<",
            ">&lt;two&gt;<",
            "one at &lt;1&gt;",
            "&lt;two&gt; at &lt;2&gt;",
        ] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
    }

    #[test]
    fn steps_stay_level_until_the_next_point() {
        let mut stairs = series("a", &[(1.0, 0.0), (10.0, 10.0)]);
        stairs.joined = Joined::Steps;
        let one = plot(vec![stairs], false);
        let area = one.area(WIDE);
        let from = one.at(area, 1.0, 0.0);
        let to = one.at(area, 10.0, 10.0);
        let line = one.line(&one.series[0], area).to_string();
        let expected = path(&[from, (to.0, from.1), to]);
        assert!(line.contains(&expected), "{line} has no {expected}");
    }
}
