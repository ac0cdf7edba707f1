//! Drawing of figures as SVG: scales and ticks, lines with labels at their ends, bars.
//!
//! Pure functions from values to elements. Knows no results, no engines and no files.
//!
//! 1. Every coordinate is finite and inside the drawing, whatever the values: none, zero, one, equal.
//! 2. A colour is a class (`s0` to `s11`), so that the style sheet chooses it for light and dark.

use super::markup::{Element, Px};

pub(crate) mod bars;
pub(crate) mod lines;
pub(crate) mod scale;

/// Colours the style sheet has.
pub(crate) const COLOURS: usize = 12;

/// About how wide a text will be, in the widest of the usual fonts: which one the reader has is not
/// known.
pub(crate) fn text_width(text: &str, font_px: f64) -> f64 {
    let ems = text.chars().map(|character| match character {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | ' ' | '.' | ',' | ':' | '-' | '(' | ')' => 0.40,
        'm' | 'w' | 'M' | 'W' | '%' => 0.97,
        'A'..='Z' => 0.72,
        _ => 0.63,
    });
    ems.sum::<f64>() * font_px
}

/// The same in strong letters.
pub(crate) fn strong_width(text: &str, font_px: f64) -> f64 {
    text_width(text, font_px) * 1.12
}

/// Text inside a drawing. `anchor` is `start`, `middle` or `end`.
pub(crate) fn label(
    class: &'static str,
    (x, y): (f64, f64),
    anchor: &'static str,
    text: &str,
) -> Element {
    Element::of("text", class)
        .set("x", Px(x))
        .set("y", Px(y))
        .set("text-anchor", anchor)
        .text(text)
}

/// A straight line.
pub(crate) fn stroke(class: &'static str, from: (f64, f64), to: (f64, f64)) -> Element {
    Element::of("line", class)
        .set("x1", Px(from.0))
        .set("y1", Px(from.1))
        .set("x2", Px(to.0))
        .set("y2", Px(to.1))
}

/// A path from its points.
pub(crate) fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        text.push(if index == 0 { 'M' } else { 'L' });
        text.push_str(&format!("{} {}", Px(x), Px(y)));
    }
    text
}

/// The shape that stands for a series where lines cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Left,
    Right,
    Pentagon,
    Hexagon,
    Star,
    Plus,
    Bar,
}

/// How a series looks, the same all over the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Which of the [`COLOURS`].
    pub(crate) colour: usize,
    pub(crate) marker: Marker,
    /// Dashes and gaps; empty for a solid line.
    pub(crate) dash: &'static str,
    /// Drawn stronger, and above the others.
    pub(crate) strong: bool,
}

impl Style {
    /// The class of its colour.
    pub(crate) fn class(self) -> String {
        format!("s{}", self.colour.min(COLOURS - 1))
    }

    /// Its marker with a radius, around a point; `extra` is one more class.
    pub(crate) fn marker_at(self, (x, y): (f64, f64), radius: f64, extra: &str) -> Element {
        let class = format!("{} mark{extra}", self.class());
        if self.marker == Marker::Circle {
            return Element::of("circle", class)
                .set("cx", Px(x))
                .set("cy", Px(y))
                .set("r", Px(radius));
        }
        let points: Vec<(f64, f64)> = self
            .marker
            .outline()
            .into_iter()
            .map(|(dx, dy)| (x + dx * radius, y + dy * radius))
            .collect();
        Element::of("path", class).set("d", path(&points) + "Z")
    }
}

impl Marker {
    /// Corners around the origin; radii differ so that areas look alike.
    fn outline(self) -> Vec<(f64, f64)> {
        const QUARTER: f64 = std::f64::consts::FRAC_PI_2;
        let ring = |corners: u32, radii: &[f64], turn: f64| {
            (0..corners)
                .map(|corner| {
                    let radius = radii[corner as usize % radii.len()];
                    let angle =
                        turn + f64::from(corner) * std::f64::consts::TAU / f64::from(corners);
                    (radius * angle.cos(), radius * angle.sin())
                })
                .collect::<Vec<_>>()
        };
        let (thin, long) = (0.38, 1.15);
        match self {
            Self::Circle => ring(16, &[1.0], 0.0),
            Self::Square => ring(4, &[1.25], QUARTER / 2.0),
            Self::Diamond => ring(4, &[1.35], 0.0),
            Self::Up => ring(3, &[1.4], -QUARTER),
            Self::Down => ring(3, &[1.4], QUARTER),
            Self::Left => ring(3, &[1.4], 2.0 * QUARTER),
            Self::Right => ring(3, &[1.4], 0.0),
            Self::Pentagon => ring(5, &[1.2], -QUARTER),
            Self::Hexagon => ring(6, &[1.15], 0.0),
            Self::Star => ring(10, &[1.5, 0.65], -QUARTER),
            Self::Plus => vec![
                (-thin, -long),
                (thin, -long),
                (thin, -thin),
                (long, -thin),
                (long, thin),
                (thin, thin),
                (thin, long),
                (-thin, long),
                (-thin, thin),
                (-long, thin),
                (-long, -thin),
                (-thin, -thin),
            ],
            Self::Bar => vec![(-long, -thin), (long, -thin), (long, thin), (-long, thin)],
        }
    }
}

/// Places labels one `gap` apart as near as possible to where they are wanted, between `low` and
/// `high` where they fit; returns the places in the order of `wanted`.
pub(crate) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    struct Block {
        first: usize,
        count: usize,
        /// Where its first label would like to be, on average.
        start: f64,
    }
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));
    let room = (high - low - gap * (wanted.len().max(1) - 1) as f64).max(0.0);
    let mut blocks: Vec<Block> = Vec::new();
    for (rank, &index) in order.iter().enumerate() {
        let mut block = Block {
            first: rank,
            count: 1,
            start: wanted[index],
        };
        // Blocks that touch become one, at the mean of what their members want.
        while let Some(above) =
            blocks.pop_if(|above| above.start + above.count as f64 * gap > block.start)
        {
            let count = above.count + block.count;
            let shifted = block.start - above.count as f64 * gap;
            let sum = above.start * above.count as f64 + shifted * block.count as f64;
            block = Block {
                first: above.first,
                count,
                start: sum / count as f64,
            };
        }
        blocks.push(block);
    }
    let mut places = vec![low; wanted.len()];
    for block in blocks {
        for member in 0..block.count {
            let rank = block.first + member;
            // Bounds leave room for those before and after.
            let first = low + rank as f64 * gap;
            let place = block.start + member as f64 * gap;
            places[order[rank]] = place.clamp(first, first + room);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_order_their_distance_and_the_bounds() {
        let cases: [&[f64]; 6] = [
            &[],
            &[50.0],
            &[50.0, 50.0, 50.0],
            &[0.0, 1.0, 2.0, 99.0],
            &[100.0, 99.0, 98.0, 3.0],
            &[-500.0, 900.0, 10.0],
        ];
        for wanted in cases {
            let places = spread(wanted, 12.0, 0.0, 100.0);
            let mut pairs: Vec<(f64, f64)> = wanted.iter().copied().zip(places).collect();
            pairs.sort_by(|one, other| one.1.total_cmp(&other.1));
            for pair in pairs.windows(2) {
                assert!(pair[1].1 - pair[0].1 >= 12.0 - 1e-9, "{pairs:?}");
                assert!(pair[0].0 <= pair[1].0, "{pairs:?}");
            }
            for (_, place) in &pairs {
                assert!((-1e-9..=100.0 + 1e-9).contains(place), "{pairs:?}");
            }
        }
    }

    #[test]
    fn labels_far_apart_stay_where_they_are_wanted() {
        assert_eq!(spread(&[80.0, 20.0], 12.0, 0.0, 100.0), [80.0, 20.0]);
        // More labels than fit: still one gap apart, beginning at the top.
        assert_eq!(spread(&[5.0, 5.0, 5.0], 12.0, 0.0, 20.0), [0.0, 12.0, 24.0]);
    }

    #[test]
    fn markers_stay_near_their_point() {
        use Marker::*;
        for marker in [
            Circle, Square, Diamond, Up, Down, Left, Right, Pentagon, Hexagon, Star, Plus, Bar,
        ] {
            for (x, y) in marker.outline() {
                assert!(x.hypot(y) <= 1.6, "{marker:?}");
            }
        }
    }
}
