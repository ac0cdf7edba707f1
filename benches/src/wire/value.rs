//! The value of a key follows from the key, so any reply can be checked.

use crate::random::scatter;

/// Letters taken from one draw of 64 bits, 4 bits each.
const LETTERS_PER_DRAW: usize = 16;
/// Keys have 31 bits: above them stands which draw of the value it is.
const DRAW_SHIFT: u32 = 32;

/// The letters of the value of `key`; from 16 letters on no other key has the same.
fn letters(key: u64, length: usize) -> impl Iterator<Item = u8> {
    let mut bits = 0;
    (0..length).map(move |index| {
        if index % LETTERS_PER_DRAW == 0 {
            let draw = (index / LETTERS_PER_DRAW) as u64;
            bits = scatter(key | draw << DRAW_SHIFT);
        }
        let letter = b'a' + (bits & 15) as u8;
        bits >>= 4;
        letter
    })
}

/// Appends the value of `key`.
pub(crate) fn push_value(bytes: &mut Vec<u8>, key: u64, length: usize) {
    bytes.extend(letters(key, length));
}

/// Whether `value` is the whole value of `key`.
pub(super) fn is_value_of(value: &[u8], key: u64) -> bool {
    value.iter().copied().eq(letters(key, value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_value(&mut bytes, key, length);
        bytes
    }

    #[test]
    fn values_are_letters_of_the_asked_length_and_differ() {
        for length in [0, 1, 16, 64, 1_000] {
            let one = value(999_999, length);
            assert_eq!(one.len(), length);
            assert!(one.iter().all(u8::is_ascii_lowercase));
            assert!(is_value_of(&one, 999_999));
            assert_eq!(is_value_of(&one, 1), length == 0, "{length}");
        }
        assert_ne!(value(1, 64), value(2, 64));
    }
}
