//! Decompression of LZF, the compression that Redis applies to strings.
//!
//! A control byte below 32 announces one literal byte more than it says; any other one repeats bytes
//! that were already produced: its high three bits and, if all are set, another byte give the length
//! less two, its low five bits and one more byte the distance less one.
//!
//! 1. Never more than the announced bytes are produced.
//! 2. Bytes that are not exactly one sound string of that length are an error.

/// Most bytes that one compressed byte can stand for: three make 264 at most.
const RATIO_MAX: u64 = 88;

/// Compressed bytes that one byte can take: as a literal run of its own.
const EXPANSION_MAX: u64 = 2;

/// Bytes that cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsound;

/// Whether `packed` bytes can stand for `plain`.
pub(super) fn is_plausible(packed: u64, plain: u64) -> bool {
    plain <= packed.saturating_mul(RATIO_MAX) && packed <= plain.saturating_mul(EXPANSION_MAX)
}

/// Appends to the empty `plain` what `packed` stands for, which has to be `bytes` long.
pub(super) fn decompress(
    mut packed: &[u8],
    bytes: usize,
    plain: &mut Vec<u8>,
) -> Result<(), Unsound> {
    debug_assert!(plain.is_empty());
    while let Some((&control, rest)) = packed.split_first() {
        packed = rest;
        if control < 32 {
            let run = take(&mut packed, usize::from(control) + 1)?;
            room(plain, run.len(), bytes)?;
            plain.extend_from_slice(run);
        } else {
            let mut length = usize::from(control >> 5) + 2;
            if length == 9 {
                length += usize::from(take(&mut packed, 1)?[0]);
            }
            let low = take(&mut packed, 1)?[0];
            let distance = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
            room(plain, length, bytes)?;
            repeat(plain, distance, length)?;
        }
    }
    if plain.len() == bytes {
        Ok(())
    } else {
        Err(Unsound)
    }
}

fn take<'p>(packed: &mut &'p [u8], bytes: usize) -> Result<&'p [u8], Unsound> {
    let (taken, rest) = packed.split_at_checked(bytes).ok_or(Unsound)?;
    *packed = rest;
    Ok(taken)
}

fn room(plain: &[u8], more: usize, bytes: usize) -> Result<(), Unsound> {
    if more <= bytes - plain.len() {
        Ok(())
    } else {
        Err(Unsound)
    }
}

/// Appends `length` bytes, each the one `distance` before it; they may overlap.
fn repeat(plain: &mut Vec<u8>, distance: usize, length: usize) -> Result<(), Unsound> {
    let from = plain.len().checked_sub(distance).ok_or(Unsound)?;
    let end = plain.len() + length;
    while plain.len() < end {
        // What is there is a whole number of periods, so it can be repeated as it is.
        let piece = (plain.len() - from).min(end - plain.len());
        plain.extend_from_within(from..from + piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(packed: &[u8], bytes: usize) -> Result<Vec<u8>, Unsound> {
        let mut plain = Vec::new();
        decompress(packed, bytes, &mut plain).map(|()| plain)
    }

    /// Decompresses byte by byte, as the format's words say.
    fn twin(packed: &[u8]) -> Option<Vec<u8>> {
        let mut plain: Vec<u8> = Vec::new();
        let mut bytes = packed.iter().copied();
        while let Some(control) = bytes.next() {
            if control < 32 {
                for _ in 0..=control {
                    plain.push(bytes.next()?);
                }
                continue;
            }
            let mut length = usize::from(control / 32) + 2;
            if control >= 7 * 32 {
                length += usize::from(bytes.next()?);
            }
            let distance = usize::from(control % 32) * 256 + usize::from(bytes.next()?) + 1;
            for _ in 0..length {
                let at = plain.len().checked_sub(distance)?;
                plain.push(plain[at]);
            }
        }
        Some(plain)
    }

    #[test]
    fn literals_and_repetitions_give_the_string() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"", b""),
            (b"\x02abc", b"abc"),
            (b"\x00a\x20\x00", b"aaaa"),
            (b"\x01ab\x40\x01", b"abababab"[..6].as_ref()),
            (b"\x02abc\x20\x02\x00d", b"abcabcd"),
            (b"\x00a\xe0\x03\x00", b"aaaaaaaaaaaaa"),
        ];
        for (packed, expected) in cases {
            let found = plain(packed, expected.len());
            assert_eq!(found.as_deref(), Ok(expected), "{}", packed.escape_ascii());
        }
    }

    #[test]
    fn the_longest_repetition_is_264_bytes_and_the_largest_distance_8192() {
        assert_eq!(plain(b"\x00a\xe0\xff\x00", 265), Ok(vec![b'a'; 265]));
        let mut packed: Vec<u8> = Vec::new();
        let text: Vec<u8> = (0..8_192_u32)
            .map(|number| (number * 7 / 5) as u8)
            .collect();
        for run in text.chunks(32) {
            packed.push(run.len() as u8 - 1);
            packed.extend_from_slice(run);
        }
        packed.extend_from_slice(b"\xff\x00\xff");
        let expected = [&text[..], &text[..9]].concat();
        assert_eq!(plain(&packed, expected.len()), Ok(expected));
        packed.splice(8_192 / 32 * 33.., *b"\x20\x00\x3f\xff");
        assert!(plain(&packed, 8_192 + 6).is_ok());
    }

    #[test]
    fn what_is_not_exactly_one_string_is_refused() {
        let cases: [(&[u8], usize); 9] = [
            (b"", 1),
            (b"\x02ab", 3),
            (b"\x02abc", 2),
            (b"\x02abc", 4),
            (b"\x20\x00", 3),
            (b"\x00a\x20\x01", 4),
            (b"\x00a\x20", 4),
            (b"\x00a\xe0", 13),
            (b"\x00a\xe0\xff\x00", 264),
        ];
        for (packed, bytes) in cases {
            assert_eq!(
                plain(packed, bytes),
                Err(Unsound),
                "{}",
                packed.escape_ascii()
            );
        }
    }

    #[test]
    fn a_length_is_plausible_as_far_as_the_format_reaches() {
        let cases = [
            (0, 0, true),
            (3, 264, true),
            (3, 265, false),
            (2, 1, true),
            (3, 1, false),
        ];
        for (packed, plain, expected) in cases {
            assert_eq!(
                is_plausible(packed, plain),
                expected,
                "{packed} for {plain}"
            );
        }
        assert!(!is_plausible(u64::MAX, 1) && !is_plausible(1, u64::MAX));
    }

    proptest! {
        #[test]
        fn any_bytes_give_what_the_twin_gives(packed in prop::collection::vec(0_u8..80, 0..60)) {
            match twin(&packed) {
                Some(expected) => {
                    let bytes = expected.len();
                    prop_assert!(is_plausible(packed.len() as u64, bytes as u64));
                    prop_assert_eq!(plain(&packed, bytes), Ok(expected));
                    prop_assert_eq!(plain(&packed, bytes + 1), Err(Unsound));
                    if bytes > 0 {
                        prop_assert_eq!(plain(&packed, bytes - 1), Err(Unsound));
                    }
                }
                None => prop_assert_eq!(plain(&packed, 1 << 20), Err(Unsound)),
            }
        }
    }
}
