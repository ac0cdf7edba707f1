//! Figures as people read them: three significant digits, a unit that fits, thousands apart.

use std::fmt::Display;

/// Between a figure and its unit, so that they stay on one line.
const GAP: char = '\u{a0}';
/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Three significant digits, never an exponent: 0.0123, 1.23, 12.3, 123, 1,234.
pub(crate) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 => 0,
        _ if size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.09995 => 3,
        _ => 4,
    };
    if digits == 0 {
        return grouped(value.round() as i64);
    }
    format!("{value:.digits$}")
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(value: impl Into<i128>) -> String {
    let value: i128 = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As few characters as an axis needs: 500, 1k, 1.5k, 10M.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", trimmed(scaled))
}

/// At most four digits after the point, and no zeroes at the end.
pub(crate) fn trimmed(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// A duration: 850 ns, 12.3 µs, 4.56 ms.
pub(crate) fn time(nanos: f64) -> String {
    let (scaled, unit) = in_time_unit(nanos);
    format!("{}{GAP}{unit}", significant(scaled))
}

/// A round duration, for an axis: 1 µs, 500 ns.
pub(crate) fn round_time(nanos: f64) -> String {
    let (scaled, unit) = in_time_unit(nanos);
    format!("{}{GAP}{unit}", trimmed(scaled))
}

fn in_time_unit(nanos: f64) -> (f64, &'static str) {
    // What would be rounded to 1,000 of a unit belongs to the next one.
    match nanos.abs() {
        size if size < 999.5 => (nanos, "ns"),
        size if size < 999.5e3 => (nanos / 1e3, "µs"),
        size if size < 999.5e6 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    }
}

/// A share: 95 %.
pub(crate) fn percent(value: impl Display) -> String {
    format!("{value}{GAP}%")
}

/// Operations per second: 13.7 Mop/s, 207 kop/s.
pub(crate) fn rate(ops_per_s: f64) -> String {
    let (divisor, unit) = rate_unit(ops_per_s);
    format!("{}{GAP}{unit}", significant(ops_per_s / divisor))
}

/// The unit for rates up to `largest`, and what to divide them by.
pub(crate) fn rate_unit(largest: f64) -> (f64, &'static str) {
    match largest {
        _ if largest >= 999.5e3 => (1e6, "Mop/s"),
        _ if largest >= 999.5 => (1e3, "kop/s"),
        _ => (1.0, "op/s"),
    }
}

/// How many times as much: 1.42x.
pub(crate) fn times(ratio: f64) -> String {
    let digits = if ratio < 9.995 { 2 } else { 0 };
    if ratio >= 99.5 {
        return format!("{}x", significant(ratio));
    }
    format!("{ratio:.digits$}x")
}

/// A day and minute in UTC, from the seconds since 1970.
pub(crate) fn date(unix_seconds: u64) -> String {
    let (year, month, day) = civil(unix_seconds / DAY_S);
    let minutes = unix_seconds % DAY_S / 60;
    let (hour, minute) = (minutes / 60, minutes % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Year, month and day of a day counted from 1970-01-01. (H. Hinnant, "chrono-compatible low-level
/// date algorithms": years begin in March, so that the leap day comes last.)
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_significant_digits() {
        let cases = [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (0.1234, "0.123"),
            (1.2345, "1.23"),
            (9.999, "10.0"),
            (12.34, "12.3"),
            (99.99, "100"),
            (1_234_567.0, "1,234,567"),
            (f64::NAN, "-"),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn units_fit_the_figure() {
        assert_eq!(time(850.0), "850\u{a0}ns");
        assert_eq!(time(999.7), "1.00\u{a0}µs");
        assert_eq!(time(12_345.0), "12.3\u{a0}µs");
        assert_eq!(time(63_733_759.0), "63.7\u{a0}ms");
        assert_eq!(time(2.5e9), "2.50\u{a0}s");
        assert_eq!(round_time(500.0), "500\u{a0}ns");
        assert_eq!(round_time(1e6), "1\u{a0}ms");
        assert_eq!(rate(13_714_129.9), "13.7\u{a0}Mop/s");
        assert_eq!(rate(206_964.2), "207\u{a0}kop/s");
        assert_eq!(rate(12.0), "12.0\u{a0}op/s");
        assert_eq!(short(1e6), "1M");
        assert_eq!(short(1_500.0), "1.5k");
        assert_eq!(short(16.0), "16");
        assert_eq!(times(1.4159), "1.42x");
        assert_eq!(times(41.7), "42x");
        assert_eq!(times(1_234.0), "1,234x");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(grouped(-1_000), "-1,000");
        assert_eq!(trimmed(2.50), "2.5");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_218_891, "2026-11-20 23:54 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(date(seconds), text);
        }
    }
}
