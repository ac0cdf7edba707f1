//! From values to pixels, with ticks at round values.
//!
//! 1. A position is finite and between the two ends, for any value.
//! 2. Ticks rise and lie on the scale.

use super::super::number::{percent, trimmed};

/// Decades below which a logarithmic scale also has ticks at 2 and 5.
const DECADES_FEW: f64 = 2.2;
/// Most ticks of a logarithmic scale before decades are left out.
const DECADE_TICKS_MAX: usize = 8;

/// A value with its label on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

/// An axis without its place: which values, and how far apart.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    logarithmic: bool,
    from: f64,
    to: f64,
    ticks: Vec<Tick>,
}

impl Scale {
    /// From zero to the next tick beyond the largest value.
    pub(crate) fn from_zero(
        values: impl IntoIterator<Item = f64>,
        ticks: usize,
        label: impl Fn(f64) -> String,
    ) -> Self {
        let largest = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max);
        let ticks = linear_ticks(largest, ticks);
        Self {
            logarithmic: false,
            from: 0.0,
            to: ticks.last().copied().unwrap_or(1.0),
            ticks: labelled(&ticks, label),
        }
    }

    /// Logarithmic, from and to the next 1, 2 or 5 times a power of ten around the values.
    pub(crate) fn logarithmic(
        values: impl IntoIterator<Item = f64>,
        label: impl Fn(f64) -> String,
    ) -> Self {
        let (low, high) = positive_range(values).unwrap_or((1.0, 10.0));
        let (low, mut high) = (step_down(low), step_up(high));
        if high <= low {
            high = low * 10.0;
        }
        let ticks = log_ticks(low, high);
        Self {
            logarithmic: true,
            from: low,
            to: high,
            ticks: labelled(&ticks, label),
        }
    }

    /// Logarithmic with ticks at given values and nowhere else, a little wider than they are.
    pub(crate) fn at_values(
        values: impl IntoIterator<Item = f64>,
        label: impl Fn(f64) -> String,
    ) -> Self {
        let mut ticks: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite() && *value > 0.0)
            .collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let low = ticks.first().copied().unwrap_or(1.0);
        let high = ticks.last().copied().unwrap_or(1.0);
        // A twentieth of the width on both sides; one value alone stands in the middle.
        let margin = if high > low {
            (high / low).powf(0.05)
        } else {
            2.0
        };
        Self {
            logarithmic: true,
            from: low / margin,
            to: high * margin,
            ticks: labelled(&ticks, label),
        }
    }

    /// Logarithmic between two positive ends, with given ticks.
    pub(crate) fn between(from: f64, to: f64, ticks: Vec<Tick>) -> Self {
        let from = if from.is_finite() && from > 0.0 {
            from
        } else {
            1.0
        };
        let to = if to.is_finite() && to > from {
            to
        } else {
            from * 10.0
        };
        Self {
            logarithmic: true,
            from,
            to,
            ticks: ticks
                .into_iter()
                .filter(|tick| (from..=to).contains(&tick.at))
                .collect(),
        }
    }

    /// Names at equal distances: the first at 0, the second at 1.
    pub(crate) fn names(names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(index, name)| Tick {
            at: index as f64,
            label: name.clone(),
        });
        Self {
            logarithmic: false,
            from: -0.25,
            to: names.len().max(1) as f64 - 0.75,
            ticks: ticks.collect(),
        }
    }

    pub(crate) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    /// Where a value lies on the way from `start` to `end`; values beyond the ends lie at the ends.
    pub(crate) fn place(&self, value: f64, (start, end): (f64, f64)) -> f64 {
        let share = if self.logarithmic {
            (value.max(f64::MIN_POSITIVE) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        let share = if share.is_nan() { 0.0 } else { share };
        start + (end - start) * share.clamp(0.0, 1.0)
    }
}

fn labelled(ticks: &[f64], label: impl Fn(f64) -> String) -> Vec<Tick> {
    ticks
        .iter()
        .map(|&at| Tick {
            at,
            label: label(at),
        })
        .collect()
}

/// About `count` round steps from 0 to the first one that is not below `largest`.
fn linear_ticks(largest: f64, count: usize) -> Vec<f64> {
    if !(largest.is_finite() && largest > 0.0) {
        return vec![0.0, 1.0];
    }
    let rough = largest / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power);
    let steps = (largest / step * (1.0 - 1e-9)).ceil().max(1.0) as usize;
    (0..=steps).map(|index| index as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let factors: &[f64] = if decades <= DECADES_FEW {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let every = ((last - first).max(0) as usize)
        .div_ceil(DECADE_TICKS_MAX)
        .max(1);
    (first..=last)
        .step_by(every)
        .flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
        .filter(|tick| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(tick))
        .collect()
}

fn positive_range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}

/// The largest 1, 2 or 5 times a power of ten that is not above `value`.
fn step_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step <= value * (1.0 + 1e-9))
        .unwrap_or(power)
}

/// The smallest 1, 2 or 5 times a power of ten that is not below `value`.
fn step_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= value * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Percentiles as an axis of 1/(1-q): each nine takes the same room.
pub(crate) fn percentiles(largest: f64) -> Scale {
    let mut ticks = vec![
        Tick {
            at: 1.0,
            label: percent(0),
        },
        Tick {
            at: 2.0,
            label: percent(50),
        },
    ];
    for nines in 1..=9 {
        let at = 10_f64.powi(nines);
        ticks.push(Tick {
            at,
            label: percent(nines_of(at)),
        });
    }
    Scale::between(1.0, largest.max(10.0), ticks)
}

/// 100 becomes 99, 1,000 becomes 99.9.
fn nines_of(at: f64) -> String {
    let percent = 100.0 - 100.0 / at;
    if at <= 1e5 {
        trimmed(percent)
    } else {
        format!("{percent:.7}").trim_end_matches('0').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: f64) -> String {
        trimmed(value)
    }

    fn labels(scale: &Scale) -> Vec<&str> {
        scale
            .ticks()
            .iter()
            .map(|tick| tick.label.as_str())
            .collect()
    }

    #[test]
    fn linear_ticks_are_round_and_reach_the_largest_value() {
        let cases: [(f64, &[f64]); 7] = [
            (13.7, &[0.0, 5.0, 10.0, 15.0]),
            (20.0, &[0.0, 5.0, 10.0, 15.0, 20.0]),
            (0.3, &[0.0, 0.1, 0.2, 0.3]),
            (1.0, &[0.0, 0.25, 0.5, 0.75, 1.0]),
            (0.0, &[0.0, 1.0]),
            (f64::NAN, &[0.0, 1.0]),
            (f64::INFINITY, &[0.0, 1.0]),
        ];
        for (largest, expected) in cases {
            let found = linear_ticks(largest, 4);
            assert_eq!(found.len(), expected.len(), "{largest}: {found:?}");
            for (one, other) in found.iter().zip(expected) {
                assert!((one - other).abs() < 1e-9, "{largest}: {found:?}");
            }
        }
    }

    #[test]
    fn logarithmic_ticks_are_decades_or_their_parts() {
        let scale = Scale::logarithmic([150.0, 90_000_000.0], plain);
        assert_eq!(
            labels(&scale),
            [
                "100",
                "1000",
                "10000",
                "100000",
                "1000000",
                "10000000",
                "100000000"
            ]
        );
        let scale = Scale::logarithmic([12.0, 90.0], plain);
        assert_eq!(labels(&scale), ["10", "20", "50", "100"]);
        assert_eq!(
            labels(&Scale::logarithmic([], plain)),
            ["1", "2", "5", "10"]
        );
        assert_eq!(
            labels(&Scale::logarithmic([0.0, 10.0], plain)).first(),
            Some(&"10")
        );
        assert!(Scale::logarithmic([1e-300, 1e300], plain).ticks().len() <= DECADE_TICKS_MAX + 1);
    }

    #[test]
    fn values_map_in_order_between_the_ends() {
        let pixels = (300.0, 100.0);
        let scale = Scale::from_zero([10.0], 5, plain);
        assert_eq!(scale.place(0.0, pixels), 300.0);
        assert_eq!(scale.place(5.0, pixels), 200.0);
        assert_eq!(scale.place(10.0, pixels), 100.0);
        let scale = Scale::logarithmic([1.0, 100.0], plain);
        assert_eq!(scale.place(10.0, pixels), 200.0);
        let scale = Scale::names(&["a".to_owned(), "b".to_owned()]);
        assert!(scale.place(0.0, pixels) > scale.place(1.0, pixels));
        let scale = Scale::at_values([1.0, 16.0, 4.0, 4.0], plain);
        assert_eq!(labels(&scale), ["1", "4", "16"]);
        assert!((scale.place(4.0, pixels) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn no_value_leaves_the_drawing() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e308];
        let scales = [
            Scale::from_zero(odd, 5, plain),
            Scale::from_zero([], 5, plain),
            Scale::logarithmic(odd, plain),
            Scale::logarithmic([7.0], plain),
            Scale::at_values(odd, plain),
            Scale::at_values([3.0], plain),
            Scale::between(f64::NAN, 0.0, Vec::new()),
            Scale::names(&[]),
            percentiles(f64::NAN),
        ];
        for scale in &scales {
            for value in odd {
                let place = scale.place(value, (10.0, 20.0));
                assert!((10.0..=20.0).contains(&place), "{scale:?} {value} {place}");
            }
        }
    }

    #[test]
    fn percentiles_have_a_tick_for_each_nine() {
        assert_eq!(
            labels(&percentiles(1e6)),
            [
                "0\u{a0}%",
                "50\u{a0}%",
                "90\u{a0}%",
                "99\u{a0}%",
                "99.9\u{a0}%",
                "99.99\u{a0}%",
                "99.999\u{a0}%",
                "99.9999\u{a0}%"
            ]
        );
        assert_eq!(
            labels(&percentiles(1.0)),
            ["0\u{a0}%", "50\u{a0}%", "90\u{a0}%"]
        );
    }
}
