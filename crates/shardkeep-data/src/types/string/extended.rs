//! Floating point with 64 significant bits, as INCRBYFLOAT needs it.
//!
//! Redis computes in C's `long double`, which on x86 has 64 bits of precision where `f64` has 53;
//! the difference shows (10.5 + 0.1 is written 10.6). Not a general number type: reading, adding
//! and writing, each rounded to nearest, ties to even, exactly as that hardware and C library do.
//! Works in memory in proportion to the text, which is bounded by [`TEXT_BYTES_MAX`].
//!
//! 1. A finite number other than zero is `mantissa * 2^exponent`, with the top bit of `mantissa`
//!    set, unless `exponent` is [`EXPONENT_MIN`].
//! 2. `exponent` is between [`EXPONENT_MIN`] and [`EXPONENT_MAX`].

use super::bignum::Natural;

/// Longest text that is read as a number (bytes); Redis' limit.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// Of the smallest numbers there are: 2^-16445.
const EXPONENT_MIN: i32 = -16_445;

/// Of the largest numbers there are: 2^16384 is beyond.
const EXPONENT_MAX: i32 = 16_384 - 64;

/// Digits after the point that are written, at most.
const FRACTION_DIGITS: usize = 17;

/// A power of ten beyond which every number of up to [`TEXT_BYTES_MAX`] digits is infinite, or
/// nothing at all.
const DECIMAL_EXPONENT_MAX: i64 = 11_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    Finite {
        mantissa: u64,
        exponent: i32,
    },
    Infinite,
    /// The difference of infinities.
    Undefined,
}

/// A number with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extended {
    negative: bool,
    magnitude: Magnitude,
}

impl Extended {
    pub(super) const ZERO: Self = Self {
        negative: false,
        magnitude: Magnitude::Zero,
    };

    pub(super) fn is_finite(self) -> bool {
        match self.magnitude {
            Magnitude::Zero | Magnitude::Finite { .. } => true,
            Magnitude::Infinite | Magnitude::Undefined => false,
        }
    }

    /// Reads what C's `strtold` reads, except NaN, leading blanks, and what is too large or too
    /// small to be a number: decimal or hexadecimal, with or without exponent, or an infinity.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let magnitude =
            if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
                Magnitude::Infinite
            } else {
                match rest {
                    [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits)?,
                    digits => parse_decimal(digits)?,
                }
            };
        Some(Self {
            negative,
            magnitude,
        })
    }

    /// The sum, rounded once.
    pub(super) fn plus(self, other: Self) -> Self {
        let (one, two) = match (self.magnitude, other.magnitude) {
            (Magnitude::Zero, Magnitude::Zero) => {
                return Self {
                    negative: self.negative && other.negative,
                    magnitude: Magnitude::Zero,
                };
            }
            (Magnitude::Undefined, _) | (_, Magnitude::Zero) => return self,
            (_, Magnitude::Undefined) | (Magnitude::Zero, _) => return other,
            (Magnitude::Infinite, Magnitude::Infinite) if self.negative != other.negative => {
                return Self {
                    negative: false,
                    magnitude: Magnitude::Undefined,
                };
            }
            (Magnitude::Infinite, _) => return self,
            (_, Magnitude::Infinite) => return other,
            (
                Magnitude::Finite { mantissa, exponent },
                Magnitude::Finite {
                    mantissa: other_mantissa,
                    exponent: other_exponent,
                },
            ) => (
                (self.negative, mantissa, exponent),
                (other.negative, other_mantissa, other_exponent),
            ),
        };
        let (large, small) = if (one.2, one.1) >= (two.2, two.1) {
            (one, two)
        } else {
            (two, one)
        };
        // 62 bits below the larger mantissa, and two above the sum's: of what lies deeper it only
        // matters whether there is anything.
        let distance = large.2.abs_diff(small.2);
        let high = u128::from(large.1) << SPARE_BITS;
        let low = shift_right_sticky(u128::from(small.1) << SPARE_BITS, distance);
        let sum = if large.0 == small.0 {
            high + low
        } else {
            high - low
        };
        Self {
            // A difference of nothing is positive.
            negative: large.0 && sum != 0,
            magnitude: round(sum, large.2 - SPARE_BITS as i32, false),
        }
    }

    /// Appends the number in plain decimal, with up to 17 digits after the point and no zeroes at
    /// the end; zero without a sign. Must be finite.
    pub(super) fn format(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.magnitude {
            Magnitude::Finite { mantissa, exponent } if exponent >= 0 => {
                let mut whole = Natural::from(mantissa);
                whole.shift_left(exponent.unsigned_abs());
                whole.format(out);
            }
            Magnitude::Finite { mantissa, exponent } => {
                format_fraction(mantissa, exponent.unsigned_abs(), out);
            }
            Magnitude::Zero | Magnitude::Infinite | Magnitude::Undefined => {
                debug_assert!(self.is_finite());
                out.push(b'0');
            }
        }
        if &out[start..] == b"-0" {
            out.remove(start);
        }
    }
}

/// Bits below a mantissa while adding.
const SPARE_BITS: u32 = 62;

/// Shifts right; if anything but zeroes falls out, the last bit is set.
fn shift_right_sticky(number: u128, bits: u32) -> u128 {
    match number.checked_shr(bits) {
        Some(shifted) if shifted << bits == number => shifted,
        Some(shifted) => shifted | 1,
        None => u128::from(number != 0),
    }
}

/// Rounds `number * 2^exponent`, a bit more than that if `sticky`, to 64 bits.
fn round(number: u128, exponent: i32, sticky: bool) -> Magnitude {
    if number == 0 {
        return Magnitude::Zero;
    }
    let surplus = 64 - number.leading_zeros() as i32;
    let drop = surplus.max(EXPONENT_MIN - exponent);
    let (mut mantissa, mut exponent) = (number, exponent);
    if drop > 0 {
        // Two bits more stay for the decision: the first that falls, and whether others do.
        let kept = if drop > 2 {
            shift_right_sticky(number, drop.unsigned_abs() - 2)
        } else {
            number << (2 - drop)
        } | u128::from(sticky);
        let rounds_up = kept & 0b11 == 0b11 || kept & 0b111 == 0b110;
        mantissa = (kept >> 2) + u128::from(rounds_up);
        exponent += drop;
    } else {
        debug_assert!(!sticky, "nothing is known below the last bit");
        let up = drop.unsigned_abs();
        mantissa <<= up;
        exponent -= up as i32;
    }
    if mantissa >> 64 != 0 {
        mantissa >>= 1;
        exponent += 1;
    }
    match u64::try_from(mantissa) {
        Ok(0) => Magnitude::Zero,
        Ok(mantissa) if exponent <= EXPONENT_MAX => Magnitude::Finite { mantissa, exponent },
        Ok(_) | Err(_) => Magnitude::Infinite,
    }
}

/// Digits around one point, then perhaps an exponent after `mark`: digits without the point, how
/// many of them were behind it, and the exponent.
fn split(text: &[u8], mark: u8, is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, i64, i64)> {
    let end = text
        .iter()
        .position(|byte| byte.eq_ignore_ascii_case(&mark))
        .unwrap_or(text.len());
    let (number, exponent) = text.split_at(end);
    let point = number.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&number[..point], &number[point + 1..]),
        None => (number, &[][..]),
    };
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.iter().all(is_digit) {
        return None;
    }
    let exponent = match exponent {
        [] => 0,
        [_, sign @ (b'-' | b'+'), digits @ ..] => parse_exponent(digits, *sign == b'-')?,
        [_, digits @ ..] => parse_exponent(digits, false)?,
    };
    Some((digits, fraction.len() as i64, exponent))
}

fn parse_exponent(digits: &[u8], negative: bool) -> Option<i64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits.iter().fold(0_i64, |exponent, digit| {
        exponent
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    // Far beyond every limit, and far from overflow.
    let exponent = exponent.min(1 << 32);
    Some(if negative { -exponent } else { exponent })
}

fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, fraction, exponent) = split(text, b'e', u8::is_ascii_digit)?;
    let Some(first) = digits.iter().position(|&digit| digit != b'0') else {
        return Some(Magnitude::Zero);
    };
    let digits = &digits[first..];
    let exponent = exponent - fraction;
    if exponent.abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let ten_to = Natural::power_of_ten(exponent.unsigned_abs() as u32);
    let mut number = Natural::parse(digits);
    let magnitude = if exponent >= 0 {
        number.multiply(&ten_to);
        let (top, shift, sticky) = number.top_bits();
        round(top, shift, sticky)
    } else {
        let (quotient, shift, sticky) = number.divide(&ten_to);
        round(quotient, shift, sticky)
    };
    keep_number(magnitude)
}

/// C's library reports what is too large, and what is so small that nothing is left.
fn keep_number(magnitude: Magnitude) -> Option<Magnitude> {
    match magnitude {
        Magnitude::Finite { .. } => Some(magnitude),
        Magnitude::Zero | Magnitude::Infinite | Magnitude::Undefined => None,
    }
}

fn parse_hexadecimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, fraction, exponent) = split(text, b'p', u8::is_ascii_hexdigit)?;
    let Some(first) = digits.iter().position(|&digit| digit != b'0') else {
        return Some(Magnitude::Zero);
    };
    let mut exponent = exponent - 4 * fraction;
    let (mut number, mut sticky) = (0_u128, false);
    for &digit in &digits[first..] {
        let value = (digit as char).to_digit(16)?;
        if number >> 124 == 0 {
            number = number << 4 | u128::from(value);
        } else {
            sticky |= value != 0;
            exponent += 4;
        }
    }
    // As above: so that it fits, and stays beyond every limit.
    let exponent = exponent.clamp(-(1 << 20), 1 << 20) as i32;
    keep_number(round(number, exponent, sticky))
}

/// Writes `mantissa / 2^exponent`.
fn format_fraction(mantissa: u64, exponent: u32, out: &mut Vec<u8>) {
    // Below 2^121, so it is exact, and nothing is left of it beyond that exponent.
    let scaled = u128::from(mantissa) * 10_u128.pow(FRACTION_DIGITS as u32);
    let rounded = match exponent {
        0 => scaled,
        1..=121 => {
            let (whole, half) = (scaled >> exponent, 1 << (exponent - 1));
            let rest = scaled - (whole << exponent);
            whole + u128::from(rest > half || (rest == half && whole & 1 == 1))
        }
        122.. => 0,
    };
    let digits = format!("{rounded:0width$}", width = FRACTION_DIGITS + 1);
    let (integer, fraction) = digits.split_at(digits.len() - FRACTION_DIGITS);
    out.extend_from_slice(integer.as_bytes());
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Extended> {
        Extended::parse(text.as_bytes())
    }

    fn written(number: Extended) -> String {
        let mut out = Vec::new();
        number.format(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_a_long_double_is() {
        let table = [
            ("0", "0"),
            ("-0", "0"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("3.14", "3.14"),
            ("1e3", "1000"),
            ("-1.5E-3", "-0.0015"),
            ("0.1", "0.1"),
            ("1e-17", "0.00000000000000001"),
            ("6e-18", "0.00000000000000001"),
            ("4e-18", "0"),
            ("-4e-18", "0"),
            ("123456789.123456789", "123456789.12345678899873747"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551617", "18446744073709551616"),
            ("1e20", "100000000000000000000"),
            ("0x1.8p1", "3"),
            ("0XFFFFFFFFFFFFFFFF8p0", "295147905179352825856"),
            ("3.6e-4951", "0"),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).map(written).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_largest_number_is_read_and_the_next_one_is_not() {
        let largest = read("1.18973149535723176502e4932").unwrap();
        assert_eq!(written(largest).len(), 4_933);
        assert!(largest.is_finite() && !largest.plus(largest).is_finite());
        assert_eq!(read("1.2e4932"), None);
        assert_eq!(read("1e99999999999999999999"), None);
        assert_eq!(read("1e-4952"), None);
        assert_eq!(read("0e99999999999999999999"), Some(Extended::ZERO));
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        let table = [
            "", "-", ".", "e1", "1e", "1e+", "1.2.3", "--1", " 1", "1 ", "1\0", "nan", "0x",
            "0x.p1", "0x1p", "1p1", "in", "infinit", "1_000",
        ];
        for text in table {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Extended::parse(&[b'1'; TEXT_BYTES_MAX + 1]), None);
    }

    #[test]
    fn infinities_add_up_unless_they_contradict() {
        let (up, down) = (read("inf").unwrap(), read("-Infinity").unwrap());
        let one = read("1").unwrap();
        for sum in [up.plus(up), up.plus(down), up.plus(one), one.plus(down)] {
            assert!(!sum.is_finite());
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        // 2^64 is even, its neighbours are 2 apart.
        let base = read("18446744073709551616").unwrap();
        for (summand, sum) in [
            ("1", "18446744073709551616"),
            ("1.0000001", "18446744073709551618"),
            ("3", "18446744073709551620"),
            ("-0.5", "18446744073709551616"),
            ("-0.50001", "18446744073709551615"),
        ] {
            assert_eq!(written(base.plus(read(summand).unwrap())), sum, "{summand}");
        }
    }

    proptest! {
        #[test]
        fn integers_add_up_exactly(one: i64, two: i64) {
            let sum = i128::from(one) + i128::from(two);
            prop_assume!(sum.unsigned_abs() < 1 << 64);
            let added = read(&one.to_string()).unwrap().plus(read(&two.to_string()).unwrap());
            prop_assert_eq!(written(added), sum.to_string());
        }

        #[test]
        fn every_double_is_read_exactly(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite() && number.abs() > 1e-300);
            let read_back = read(&format!("{number:e}")).unwrap();
            // The shortest spelling of a double says a little more or less than the double: it is
            // within half of its last bit.
            let opposite = read(&format!("{:.800}", -number)).unwrap();
            let rest = read_back.plus(opposite);
            let size = written(rest).parse::<f64>().unwrap().abs();
            prop_assert!(size <= number.abs() * f64::EPSILON / 2.0);
        }

        #[test]
        fn the_sum_does_not_depend_on_the_order(one in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,2})?", two in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,2})?") {
            let (one, two) = (read(&one).unwrap(), read(&two).unwrap());
            prop_assert_eq!(one.plus(two), two.plus(one));
        }
    }
}
