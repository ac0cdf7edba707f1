//! What is made of raw measurements: medians with their spread, percentiles under their labels.
//!
//! 1. Every percentile of one line comes from one histogram.
//! 2. A label says what the number is: `p99.9` is the 0.999 quantile, `max` the largest sample.

use std::time::Duration;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency a histogram keeps apart; longer ones count as this. A closed loop gives up
/// on a silent server before that.
pub(crate) const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Significant decimal digits of a latency: errors stay below 0.1 %.
const LATENCY_DIGITS: u8 = 3;

/// An empty latency histogram, 1 ns to [`LATENCY_NS_MAX`].
///
/// # Errors
/// Never in practice: the bounds are constants that `hdrhistogram` accepts.
pub(crate) fn latency_histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        .map_err(|error| anyhow!("latency histogram: {error}"))
}

/// Records `count` samples of one latency.
#[inline]
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration, count: u64) {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
    histogram.saturating_record_n(nanos.max(1), count);
}

/// Median, smallest and largest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The middle value; the mean of the two middle ones of an even number.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Spread {
    /// Zeroes for no values at all.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self {
                median: 0.0,
                min: 0.0,
                max: 0.0,
            };
        };
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Self { median, min, max }
    }
}

/// Percentiles of one histogram, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct LatencyNs {
    /// Samples in the histogram.
    pub(crate) samples: u64,
    /// Half of the samples are no longer than this.
    pub(crate) p50_ns: u64,
    /// 0.90 quantile.
    pub(crate) p90_ns: u64,
    /// 0.99 quantile.
    pub(crate) p99_ns: u64,
    /// 0.999 quantile.
    pub(crate) p999_ns: u64,
    /// 0.9999 quantile.
    pub(crate) p9999_ns: u64,
    /// The longest sample.
    pub(crate) max_ns: u64,
}

impl LatencyNs {
    /// Reads the percentiles of `histogram`.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            samples: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            p9999_ns: histogram.value_at_quantile(0.9999),
            max_ns: histogram.max(),
        }
    }
}

/// The same percentiles in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct LatencyUs {
    /// Samples in the histogram.
    pub(crate) samples: u64,
    /// Half of the samples are no longer than this.
    pub(crate) p50_us: f64,
    /// 0.90 quantile.
    pub(crate) p90_us: f64,
    /// 0.99 quantile.
    pub(crate) p99_us: f64,
    /// 0.999 quantile.
    pub(crate) p999_us: f64,
    /// 0.9999 quantile.
    pub(crate) p9999_us: f64,
    /// The longest sample.
    pub(crate) max_us: f64,
}

impl From<LatencyNs> for LatencyUs {
    fn from(nanos: LatencyNs) -> Self {
        let micros = |value: u64| value as f64 / 1_000.0;
        Self {
            samples: nanos.samples,
            p50_us: micros(nanos.p50_ns),
            p90_us: micros(nanos.p90_ns),
            p99_us: micros(nanos.p99_ns),
            p999_us: micros(nanos.p999_ns),
            p9999_us: micros(nanos.p9999_ns),
            max_us: micros(nanos.max_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_takes_the_middle_not_the_mean() {
        let cases: [(&[f64], f64, f64, f64); 4] = [
            (&[], 0.0, 0.0, 0.0),
            (&[5.0], 5.0, 5.0, 5.0),
            (&[9.0, 1.0, 2.0], 2.0, 1.0, 9.0),
            (&[4.0, 1.0, 2.0, 100.0], 3.0, 1.0, 100.0),
        ];
        for (values, median, min, max) in cases {
            assert_eq!(
                Spread::of(values.iter().copied()),
                Spread { median, min, max }
            );
        }
    }

    #[test]
    fn known_samples_give_known_percentiles_under_the_right_labels() {
        let mut histogram = latency_histogram().unwrap();
        // 10,000 samples: the n-th is n microseconds.
        for micros in 1..=10_000 {
            record(&mut histogram, Duration::from_micros(micros), 1);
        }
        let figures = LatencyUs::from(LatencyNs::of(&histogram));
        assert_eq!(figures.samples, 10_000);
        let cases = [
            (figures.p50_us, 5_000.0),
            (figures.p90_us, 9_000.0),
            (figures.p99_us, 9_900.0),
            (figures.p999_us, 9_990.0),
            (figures.p9999_us, 9_999.0),
            (figures.max_us, 10_000.0),
        ];
        for (found, expected) in cases {
            assert!(
                (found - expected).abs() <= expected / 1_000.0,
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn json_has_one_field_per_percentile_with_its_unit() {
        let mut histogram = latency_histogram().unwrap();
        record(&mut histogram, Duration::from_nanos(1_500), 3);
        let json = serde_json::to_value(LatencyUs::from(LatencyNs::of(&histogram))).unwrap();
        assert_eq!(json["samples"], 3);
        for field in [
            "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us",
        ] {
            assert_eq!(json[field].as_f64().unwrap().round(), 2.0, "{field}");
        }
    }

    #[test]
    fn a_latency_beyond_the_bound_counts_as_the_bound() {
        let mut histogram = latency_histogram().unwrap();
        record(&mut histogram, Duration::from_secs(3_600), 1);
        assert!(histogram.max() >= LATENCY_NS_MAX);
    }
}
