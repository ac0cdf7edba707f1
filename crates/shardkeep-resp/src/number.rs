//! Numbers as Redis reads and writes them.
//!
//! Not a general number parser: one value has exactly one accepted spelling, so that a string that
//! counts as an integer can be stored as one and printed back unchanged.

use std::io::Write;

/// Reads a decimal integer with the strictness of Redis: no sign but one `-`, no leading zeros, no
/// `-0`, no blanks, no overflow.
///
/// ```
/// use shardkeep_resp::parse_i64;
/// assert_eq!(parse_i64(b"-42"), Some(-42));
/// for not_a_number in ["", "+1", "01", "-0", " 1", "1 ", "9223372036854775808"] {
///     assert_eq!(parse_i64(not_a_number.as_bytes()), None);
/// }
/// ```
#[inline]
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let mut magnitude: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Significant digits of a double on the wire: enough to read the same double back.
const F64_DIGITS: usize = 17;

/// Appends `value` as C's `%.17g` writes it (which Redis 7.0 uses), infinities as `inf` and `-inf`,
/// any NaN as `nan`.
///
/// ```
/// let mut out = Vec::new();
/// shardkeep_resp::format_f64(0.1, &mut out);
/// assert_eq!(out, b"0.10000000000000001");
/// ```
pub fn format_f64(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let text = match (value.is_nan(), value.is_sign_negative()) {
            (true, _) => "nan",
            (false, true) => "-inf",
            (false, false) => "inf",
        };
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut scratch = [0; 40];
    let text = scientific(value, &mut scratch);
    // `-d.dddddddddddddddde-ddd`: always a point (17 digits) and an exponent.
    let (text, sign) = match text {
        [b'-', rest @ ..] => (rest, &b"-"[..]),
        rest => (rest, &b""[..]),
    };
    let split = text
        .iter()
        .position(|&byte| byte == b'e')
        .unwrap_or(text.len());
    let exponent = text.get(split + 1..).and_then(parse_i64).unwrap_or(0);
    let mut digits = [b'0'; F64_DIGITS];
    let significant = text[..split].iter().filter(|byte| byte.is_ascii_digit());
    digits
        .iter_mut()
        .zip(significant)
        .for_each(|(place, &digit)| *place = digit);
    let kept = digits
        .iter()
        .rposition(|&digit| digit != b'0')
        .map_or(1, |last| last + 1);
    out.extend_from_slice(sign);
    place_point(&digits[..kept], exponent, out);
}

/// Writes `value` with all its significant digits in scientific form; infallible, as `scratch` is
/// longer than the longest double.
fn scientific(value: f64, scratch: &mut [u8; 40]) -> &[u8] {
    let room = scratch.len();
    let mut rest = &mut scratch[..];
    let written = match write!(rest, "{value:.precision$e}", precision = F64_DIGITS - 1) {
        Ok(()) => room - rest.len(),
        Err(_) => 0,
    };
    &scratch[..written]
}

/// Writes `digits` (the first is worth `10^exponent`) in C's `%g` form.
fn place_point(digits: &[u8], exponent: i64, out: &mut Vec<u8>) {
    if !(-4..F64_DIGITS as i64).contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        let shown = digits.len().min(whole);
        out.extend_from_slice(&digits[..shown]);
        out.resize(out.len() + whole - shown, b'0');
        if digits.len() > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn formatted(value: f64) -> String {
        let mut out = Vec::new();
        format_f64(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_written_as_c_writes_them() {
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (3.1, "3.1000000000000001"),
            (-2.5, "-2.5"),
            (100.0, "100"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in table {
            assert_eq!(formatted(value), text);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_read() {
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
        assert_eq!(parse_i64(b"99999999999999999999"), None);
        assert_eq!(parse_i64(b"-"), None);
        assert_eq!(parse_i64(b"-01"), None);
        assert_eq!(parse_i64(b"00"), None);
        assert_eq!(parse_i64(b"1\0"), None);
    }

    proptest! {
        #[test]
        fn exactly_the_canonical_spelling_is_a_number(text in "[-+ 0-9]{0,22}") {
            let canonical = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
        }

        #[test]
        fn every_integer_is_read_back(number: i64) {
            prop_assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn every_finite_double_is_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(formatted(value).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
