//! Numbers, sizes and durations as people write them, and back.
//!
//! Pure text to value. Knows no setting and no bound; `None` means "not of this form" or "does not
//! fit", and the caller knows what would have been.
//!
//! 1. What `show_*` writes, `parse_*` reads back as the same value.

use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Units of size in bytes, as Redis reads them: `k`, `m` and `g` are decimal, those with a `b`
/// binary.
const SIZE_UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", KIB),
    ("kib", KIB),
    ("m", 1_000_000),
    ("mb", MIB),
    ("mib", MIB),
    ("g", 1_000_000_000),
    ("gb", GIB),
    ("gib", GIB),
];

/// Units of time in microseconds; a plain number is seconds.
const TIME_UNITS: [(&str, u64); 6] = [
    ("", 1_000_000),
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
];

/// An unsigned decimal number, digits only.
pub(super) fn parse_count(text: &str) -> Option<usize> {
    parse_digits(text)?.try_into().ok()
}

/// A size in bytes: `1048576`, `512mb`, `2gb`.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    parse_with_unit(text, &SIZE_UNITS)
}

/// A duration: `500ms`, `1s`, `2m`, or plain seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse_with_unit(text, &TIME_UNITS).map(Duration::from_micros)
}

/// A size in the largest unit that leaves no fraction.
pub(super) fn show_bytes(bytes: u64) -> String {
    for (unit, size) in [("gb", GIB), ("mb", MIB), ("kb", KIB)] {
        if bytes != 0 && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

/// A duration in the largest unit that leaves no fraction; below a microsecond is cut off.
pub(crate) fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    for (unit, size) in TIME_UNITS.iter().rev() {
        let size = u128::from(*size);
        if micros != 0 && !unit.is_empty() && micros.is_multiple_of(size) {
            return format!("{}{unit}", micros / size);
        }
    }
    "0s".to_owned()
}

fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, size) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    parse_digits(number)?.checked_mul(*size)
}

/// `str::parse` would also take a plus sign.
fn parse_digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_unit_that_redis_knows() {
        let cases = [
            ("0", Some(0)),
            ("1048576", Some(1_048_576)),
            ("1b", Some(1)),
            ("1k", Some(1_000)),
            ("1kb", Some(1_024)),
            ("512mb", Some(512 << 20)),
            ("512MB", Some(512 << 20)),
            ("2gb", Some(2 << 30)),
            ("2GiB", Some(2 << 30)),
            ("17179869183gb", Some(17_179_869_183 << 30)),
            ("17179869184gb", None),
            ("18446744073709551616", None),
            ("", None),
            ("mb", None),
            ("-1", None),
            ("+1", None),
            ("1.5gb", None),
            ("1 gb", None),
            ("1tb", None),
            ("1s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_a_number_with_a_unit_or_seconds() {
        let cases = [
            ("0", Some(0)),
            ("3", Some(3_000_000)),
            ("100us", Some(100)),
            ("500ms", Some(500_000)),
            ("1s", Some(1_000_000)),
            ("2m", Some(120_000_000)),
            ("1h", Some(3_600_000_000)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1d", None),
            ("forever", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(Duration::from_micros);
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for micros in [
            0,
            1,
            999,
            1_000,
            1_500,
            1_000_000,
            90_000_000,
            7_200_000_000,
        ] {
            let duration = Duration::from_micros(micros);
            let text = show_duration(duration);
            assert_eq!(parse_duration(&text), Some(duration), "{text}");
        }
        for bytes in [0, 1, 1_000, 1_024, 1_025, 3 << 20, 5 << 30, u64::MAX] {
            let text = show_bytes(bytes);
            assert_eq!(parse_bytes(&text), Some(bytes), "{text}");
        }
    }
}
