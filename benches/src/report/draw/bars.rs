//! Bars that lie, each with its name before it and its figure behind it.
//!
//! A figure of several panels is several of these side by side; panels of one scale get the same
//! `largest`.

use super::{Style, label, path, stroke, strong_width, text_width};
use crate::report::markup::{Element, Px};

const WIDTH: f64 = 360.0;
const FONT_PX: f64 = 12.0;
/// From one bar to the next.
const PITCH: f64 = 20.0;
const THICK: f64 = 13.0;
const TOP: f64 = 4.0;
/// Half the height of the ends of a range.
const CAP: f64 = 3.0;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) style: Style,
    pub(crate) value: f64,
    /// The first part of the value, drawn full; the rest is drawn pale.
    pub(crate) part: Option<f64>,
    /// Smallest and largest of the rounds.
    pub(crate) range: Option<(f64, f64)>,
    /// Something else than the others, as the legend says.
    pub(crate) hatched: bool,
    /// The value as written behind the bar.
    pub(crate) figure: String,
    /// What is said when somebody points at it.
    pub(crate) tip: String,
}

/// Bars that are compared with each other.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
    /// The value at the right edge.
    pub(crate) largest: f64,
    /// What somebody is told who cannot see it.
    pub(crate) spoken: String,
}

impl Bar {
    /// How far it reaches, with its range.
    pub(crate) fn reach(&self) -> f64 {
        self.range
            .map_or(self.value, |(_, max)| max.max(self.value))
    }
}

impl Panel {
    /// Draws the bars in their order.
    pub(crate) fn svg(&self) -> Element {
        let widest = |text: fn(&Bar) -> &str| {
            let widths = self.bars.iter().map(|bar| {
                if bar.style.strong {
                    strong_width(text(bar), FONT_PX)
                } else {
                    text_width(text(bar), FONT_PX)
                }
            });
            widths.fold(0.0, f64::max)
        };
        let left = (widest(|bar| &bar.name) + 10.0).min(WIDTH / 2.0);
        let right = (WIDTH - widest(|bar| &bar.figure) - 12.0).max(left + 1.0);
        let height = TOP * 2.0 + PITCH * self.bars.len().max(1) as f64;
        let mut svg = Element::of("svg", "bars")
            .set("viewBox", format!("0 0 {WIDTH} {height}"))
            .set("font-size", FONT_PX)
            .set("role", "img")
            .set("aria-label", &self.spoken);
        for (row, bar) in self.bars.iter().enumerate() {
            let middle = TOP + PITCH * (row as f64 + 0.5);
            svg = svg.all(self.bar(bar, (left, right), middle));
        }
        svg.push(stroke(
            "axis",
            (left, TOP / 2.0),
            (left, height - TOP / 2.0),
        ))
    }

    fn at(&self, value: f64, (left, right): (f64, f64)) -> f64 {
        let share = value / self.largest;
        if share.is_finite() {
            left + (right - left) * share.clamp(0.0, 1.0)
        } else {
            left
        }
    }

    fn bar(&self, bar: &Bar, ends: (f64, f64), middle: f64) -> Vec<Element> {
        let top = middle - THICK / 2.0;
        let piece = |class: String, from: f64, to: f64| {
            Element::of("rect", class)
                .set("x", Px(from))
                .set("y", Px(top))
                .set("width", Px((to - from).max(0.0)))
                .set("height", Px(THICK))
        };
        let colour = bar.style.class();
        let end = self.at(bar.value, ends);
        let full = bar.part.map_or(end, |part| self.at(part, ends).min(end));
        let mut group = Element::of("g", "pt")
            .push(Element::new("title").text(&bar.tip))
            .push(piece(format!("{colour} bar"), ends.0, full));
        if bar.part.is_some() {
            group = group.push(piece(format!("{colour} bar pale"), full, end));
        }
        if bar.hatched {
            group = group.push(piece("hatch".to_owned(), ends.0, end));
        }
        let mut after = end;
        if let Some((min, max)) = bar.range {
            let (low, high) = (self.at(min, ends), self.at(max, ends));
            let d = path(&[(low, middle), (high, middle)])
                + &path(&[(low, middle - CAP), (low, middle + CAP)])
                + &path(&[(high, middle - CAP), (high, middle + CAP)]);
            group = group.push(Element::of("path", "bar-range").set("d", d));
            after = after.max(high);
        }
        let baseline = middle + FONT_PX * 0.35;
        let class = if bar.style.strong {
            "name strong"
        } else {
            "name"
        };
        vec![
            group,
            label(class, (ends.0 - 6.0, baseline), "end", &bar.name),
            label(class, (after + 6.0, baseline), "start", &bar.figure),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::Marker;

    fn panel(values: &[f64], largest: f64) -> Panel {
        let bars = values.iter().map(|&value| Bar {
            name: "a & b".to_owned(),
            style: Style {
                colour: 99,
                marker: Marker::Circle,
                dash: "",
                strong: true,
            },
            value,
            part: Some(value / 2.0),
            range: Some((value * 0.9, value * 1.1)),
            hatched: true,
            figure: "1".to_owned(),
            tip: "<tip>".to_owned(),
        });
        Panel {
            title: "t".to_owned(),
            bars: bars.collect(),
            largest,
            spoken: "bars".to_owned(),
        }
    }

    #[test]
    fn any_values_can_be_drawn() {
        let values = [0.0, 1.0, -5.0, f64::NAN, f64::INFINITY, 1e300];
        for largest in [0.0, 1.0, f64::NAN, f64::INFINITY] {
            let svg = panel(&values, largest).svg().to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(!svg.contains("=\"-"), "nothing left of the drawing: {svg}");
        }
        assert!(panel(&[], 1.0).svg().to_string().ends_with("</svg>"));
    }

    #[test]
    fn a_bar_as_long_as_the_scale_ends_where_the_figures_begin() {
        let one = panel(&[2.0], 2.0);
        assert_eq!(one.at(2.0, (100.0, 300.0)), 300.0);
        assert_eq!(one.at(1.0, (100.0, 300.0)), 200.0);
        assert_eq!(one.bars[0].reach(), 2.2);
    }

    #[test]
    fn names_and_tips_are_text() {
        let svg = panel(&[1.0], 1.0).svg().to_string();
        assert!(
            svg.contains("a &amp; b") && svg.contains("&lt;tip&gt;"),
            "{svg}"
        );
        assert!(svg.contains("s11"), "a colour there is: {svg}");
    }
}
