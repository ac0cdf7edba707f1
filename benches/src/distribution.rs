//! A whole latency distribution: as points for a plot, and as HdrHistogram's text.
//!
//! 1. Points get denser towards the tail: a fixed number for each halving of what is left.
//! 2. The last point is the largest sample, at quantile 1.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Points for each halving of the distance to the maximum: enough for a smooth line, and some
/// fifty points for a million samples.
const POINTS_PER_HALVING: u32 = 2;
/// The same in the text format; its plotters expect this many.
const LINES_PER_HALVING: u32 = 5;
/// Nanoseconds of a microsecond, the unit of the text format.
const NS_PER_US: f64 = 1_000.0;

/// Points of a latency distribution: quantile (0 to 1), nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Curve(Vec<(f64, u64)>);

impl Curve {
    /// The distribution of `histogram`; no points if it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let points = histogram.iter_quantiles(POINTS_PER_HALVING);
        Self(
            points
                .map(|point| (point.quantile(), point.value_iterated_to()))
                .collect(),
        )
    }
}

/// The text that HdrHistogram's plotters read, in microseconds.
pub(crate) fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut seen = 0;
    for point in histogram.iter_quantiles(LINES_PER_HALVING) {
        seen += point.count_since_last_iteration();
        let value = point.value_iterated_to() as f64 / NS_PER_US;
        let quantile = point.quantile_iterated_to();
        // Writing into a String cannot fail.
        let _written = write!(text, "{value:>12.3} {quantile:>14.12} {seen:>10}");
        if quantile < 1.0 {
            let _written = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _written = writeln!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n\
         #[Max     = {:>12.3}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.mean() / NS_PER_US,
        histogram.stdev() / NS_PER_US,
        histogram.max() as f64 / NS_PER_US,
        histogram.len(),
        histogram.buckets(),
        histogram.distinct_values() / usize::from(histogram.buckets()).max(1),
    );
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::figures::{latency_histogram, record};

    fn microseconds(range: std::ops::RangeInclusive<u64>) -> Histogram<u64> {
        let mut histogram = latency_histogram().unwrap();
        for micros in range {
            record(&mut histogram, Duration::from_micros(micros), 1);
        }
        histogram
    }

    #[test]
    fn a_curve_rises_to_the_largest_sample() {
        let curve = Curve::of(&microseconds(1..=10_000)).0;
        assert!(curve.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1));
        let (quantile, nanos) = *curve.last().unwrap();
        assert_eq!(quantile, 1.0);
        assert!(nanos.abs_diff(10_000_000) <= 10_000, "{nanos}");
        let (_, median) = *curve.iter().find(|point| point.0 >= 0.5).unwrap();
        assert!(median.abs_diff(5_000_000) <= 5_000, "{median}");
        assert!(Curve::of(&latency_histogram().unwrap()).0.is_empty());
    }

    #[test]
    fn the_text_has_four_columns_and_names_the_maximum() {
        let text = hgrm(&microseconds(1..=1_000));
        let mut lines = text.lines();
        assert_eq!(lines.next().unwrap().split_whitespace().count(), 4);
        assert_eq!(lines.next(), Some(""));
        let half = text.lines().find(|line| line.contains(" 0.500000000000 "));
        let cells: Vec<&str> = half.unwrap().split_whitespace().collect();
        assert!(
            (cells[0].parse::<f64>().unwrap() - 500.0).abs() <= 1.0,
            "{cells:?}"
        );
        assert_eq!(cells[3], "2.00");
        assert!(text.contains("Total count    =         1000"), "{text}");
    }
}
