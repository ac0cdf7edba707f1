//! The questions: one sequence per thread, made before the clock starts, the same for every engine.
//!
//! 1. Keys lie in `0..keys`, and `keys` fits into 32 bits.
//! 2. A value follows from its key, so a reader can tell a wrong one.
//! 3. [`digest`] is what "reading a value" means for every engine: all its bytes are copied out
//!    once (by the engine itself, then it is [`digest_taken`]), and the result depends on the first
//!    and the last of them.

use std::hint::black_box;

use crate::random::Random;

/// Bytes of every value.
pub(crate) const VALUE_BYTES: usize = 64;
/// Bytes of one word of a value.
const WORD_BYTES: usize = size_of::<u64>();
/// Words of a value.
const VALUE_WORDS: usize = VALUE_BYTES / WORD_BYTES;
const _: () = assert!(VALUE_BYTES.is_multiple_of(WORD_BYTES) && VALUE_WORDS >= 2);

/// Operations prepared per thread; a round that needs more starts again from the first.
/// 16 MiB: read in order, so the caches see it once, and long enough that two million keys are
/// asked before one is asked again for the same reason.
pub(crate) const SEQUENCE_OPS: usize = 1 << 21;

/// Largest number of keys ([`Op`] keeps its flag above them, [`digest`] its sentinel).
pub(crate) const KEYS_MAX: u64 = u32::MAX as u64;

/// What a batch notes for a key that was not found; no value digests to it.
pub(crate) const ABSENT: u64 = u64::MAX;
const _: () = assert!(KEYS_MAX * 2 + (VALUE_WORDS as u64) < ABSENT);

/// The value of a key.
pub(crate) type Value = [u8; VALUE_BYTES];

/// One operation: a key, and whether it is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op(u64);

impl Op {
    const WRITE: u64 = 1 << 63;

    /// Reads `key`.
    pub(crate) const fn read(key: u64) -> Self {
        Self(key)
    }

    /// Writes the value of `key`.
    pub(crate) const fn write(key: u64) -> Self {
        Self(key | Self::WRITE)
    }

    /// The key.
    #[inline]
    pub(crate) const fn key(self) -> u64 {
        self.0 & !Self::WRITE
    }

    /// Whether the key is written.
    #[inline]
    pub(crate) const fn is_write(self) -> bool {
        self.0 & Self::WRITE != 0
    }
}

/// The operations of one thread: uniform keys, `read_percent` of them read.
pub(crate) fn sequence(seed: u64, thread: usize, keys: u64, read_percent: u8) -> Vec<Op> {
    let mut random = Random::stream(seed, thread as u64);
    (0..SEQUENCE_OPS)
        .map(|_| {
            let key = random.below(keys);
            if random.below(100) < u64::from(read_percent) {
                Op::read(key)
            } else {
                Op::write(key)
            }
        })
        .collect()
}

/// The value that belongs to `key`.
#[inline]
pub(crate) fn value_of(key: u64) -> Value {
    let mut value = [0; VALUE_BYTES];
    for (index, word) in value.chunks_exact_mut(WORD_BYTES).enumerate() {
        word.copy_from_slice(&key.wrapping_add(index as u64).to_le_bytes());
    }
    value
}

/// Reads a value where it lies: copies it out and mixes its ends.
#[inline]
pub(crate) fn digest(value: &Value) -> u64 {
    ends(&black_box(*value))
}

/// Reads a value that the engine has copied out already: mixes its ends.
#[inline]
pub(crate) fn digest_taken(copy: &Value) -> u64 {
    ends(black_box(copy))
}

#[inline]
fn ends(copy: &Value) -> u64 {
    let mut first = [0; WORD_BYTES];
    let mut last = [0; WORD_BYTES];
    first.copy_from_slice(&copy[..WORD_BYTES]);
    last.copy_from_slice(&copy[VALUE_BYTES - WORD_BYTES..]);
    u64::from_le_bytes(first).wrapping_add(u64::from_le_bytes(last))
}

/// What [`digest`] gives for the right value of `key`.
#[inline]
pub(crate) const fn digest_of(key: u64) -> u64 {
    key * 2 + (VALUE_WORDS as u64 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_the_right_value_from_another() {
        for key in [0, 1, 999_999, KEYS_MAX] {
            assert_eq!(digest(&value_of(key)), digest_of(key));
            assert_eq!(digest_taken(&value_of(key)), digest_of(key));
            assert_ne!(digest(&value_of(key + 1)), digest_of(key));
        }
    }

    #[test]
    fn the_flag_of_a_write_does_not_touch_the_key() {
        assert_eq!((Op::write(7).key(), Op::write(7).is_write()), (7, true));
        assert_eq!((Op::read(7).key(), Op::read(7).is_write()), (7, false));
    }

    #[test]
    fn a_sequence_is_repeatable_and_mixed_as_asked() {
        let ops = sequence(5, 0, 1_000, 95);
        assert_eq!(ops, sequence(5, 0, 1_000, 95));
        assert_ne!(ops, sequence(5, 1, 1_000, 95));
        let writes = ops.iter().filter(|op| op.is_write()).count() as f64 / ops.len() as f64;
        assert!((writes - 0.05).abs() < 0.002, "{writes}");
        assert!(ops.iter().all(|op| op.key() < 1_000));
    }
}
