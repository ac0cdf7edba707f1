//! What every engine stores: bytes in place, not behind a pointer, that follow from their key.
//!
//! 1. The first word is the key, shifted, and below it an *amount*, for workloads that change what
//!    they find; every other word is the key. So a reader can tell a wrong value, and a sum over all
//!    keys tells a lost change.
//! 2. A digest is what "reading a value" means for every engine: all its bytes are copied out once
//!    (by the engine itself, then it is [`Value::digest_taken`]), and the result depends on the
//!    first and the last of them.
//! 3. An amount never reaches the key above it: it begins in the middle of its range.

use std::hint::black_box;

/// Bytes of one word of a value.
const WORD_BYTES: usize = size_of::<u64>();
/// Sizes for which the engines are compiled, in bytes.
pub(crate) const VALUE_BYTES_ALL: [usize; 4] = [16, 64, 256, 4_096];
/// Bytes of a value where nothing else is said.
pub(crate) const VALUE_BYTES: usize = 64;

/// Bits of the amount: no key is changed so often in one run that it overflows.
const AMOUNT_BITS: u32 = 35;
/// The amount of a value just written.
const AMOUNT_BEGIN: u64 = 1 << (AMOUNT_BITS - 1);
/// Largest number of keys loaded. As many again may be inserted, and the upper half of all words is
/// left to [`ABSENT`].
pub(crate) const KEYS_MAX: u64 = 1 << (u64::BITS - AMOUNT_BITS - 2);

/// What a batch notes for a key that was not found; no value digests to it.
pub(crate) const ABSENT: u64 = u64::MAX;
const _: () = assert!(digest_of(2 * KEYS_MAX) < ABSENT / 2 + 2 * AMOUNT_BEGIN);

/// The value of a key: so many bytes.
pub(crate) trait Value: Copy + Send + Sync + 'static {
    /// The value that belongs to `key`.
    fn of(key: u64) -> Self;

    /// Reads a value where it lies: copies it out and mixes its ends.
    fn digest(&self) -> u64;

    /// Reads a value that the engine has copied out already: mixes its ends.
    fn digest_taken(&self) -> u64;

    /// The first word: the key above, the amount below.
    fn first(&self) -> u64;

    /// Adds to the amount (`u64::MAX` takes one off); returns the first word as it was.
    fn add(&mut self, amount: u64) -> u64;
}

impl<const N: usize> Value for [u8; N] {
    #[inline]
    fn of(key: u64) -> Self {
        const { assert!(N.is_multiple_of(WORD_BYTES) && N >= 2 * WORD_BYTES) };
        let mut value = [0; N];
        for word in value.chunks_exact_mut(WORD_BYTES) {
            word.copy_from_slice(&key.to_le_bytes());
        }
        value[..WORD_BYTES].copy_from_slice(&first_of(key).to_le_bytes());
        value
    }

    #[inline]
    fn digest(&self) -> u64 {
        ends(&black_box(*self))
    }

    #[inline]
    fn digest_taken(&self) -> u64 {
        ends(black_box(self))
    }

    #[inline]
    fn first(&self) -> u64 {
        let mut first = [0; WORD_BYTES];
        first.copy_from_slice(&self[..WORD_BYTES]);
        u64::from_le_bytes(first)
    }

    #[inline]
    fn add(&mut self, amount: u64) -> u64 {
        let before = self.first();
        self[..WORD_BYTES].copy_from_slice(&before.wrapping_add(amount).to_le_bytes());
        before
    }
}

#[inline]
fn ends<const N: usize>(copy: &[u8; N]) -> u64 {
    let mut last = [0; WORD_BYTES];
    last.copy_from_slice(&copy[N - WORD_BYTES..]);
    copy.first().wrapping_add(u64::from_le_bytes(last))
}

/// Takes one off the amount of `giver` and adds it to that of `taker`; returns the sum of both first
/// words, which no transfer between the two changes.
#[inline]
pub(crate) fn transfer<V: Value>(giver: &mut V, taker: &mut V) -> u64 {
    giver.add(u64::MAX).wrapping_add(taker.add(1))
}

/// The first word of the value of `key` as it is written.
#[inline]
const fn first_of(key: u64) -> u64 {
    (key << AMOUNT_BITS).wrapping_add(AMOUNT_BEGIN)
}

/// The digest of the value of `key` as it is written.
#[inline]
pub(crate) const fn digest_of(key: u64) -> u64 {
    first_of(key).wrapping_add(key)
}

/// Whether a digest is that of a value of `key`, whatever its amount.
#[inline]
pub(crate) const fn is_digest_of(digest: u64, key: u64) -> bool {
    is_near(digest, digest_of(key), AMOUNT_BEGIN)
}

/// Whether a first word is that of `key`, whatever its amount.
#[inline]
pub(crate) const fn is_first_of(first: u64, key: u64) -> bool {
    is_near(first, first_of(key), AMOUNT_BEGIN)
}

/// Whether a sum of two first words is that of these two keys, whatever their amounts.
#[inline]
pub(crate) const fn is_sum_of(sum: u64, one: u64, other: u64) -> bool {
    is_near(sum, sum_of(one, other), 2 * AMOUNT_BEGIN)
}

/// The sum of the first words of two keys as they are written.
#[inline]
pub(crate) const fn sum_of(one: u64, other: u64) -> u64 {
    first_of(one).wrapping_add(first_of(other))
}

#[inline]
const fn is_near(found: u64, written: u64, allowed: u64) -> bool {
    found.wrapping_sub(written).cast_signed().unsigned_abs() < allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>() {
        for key in [0, 1, 999_999, 2 * KEYS_MAX - 2] {
            let mut value = <[u8; N]>::of(key);
            assert_eq!(value.digest(), digest_of(key));
            assert_eq!(value.digest_taken(), digest_of(key));
            for amount in [1, u64::MAX, u64::MAX, u64::MAX] {
                let before = value.first();
                assert_eq!(value.add(amount), before);
                assert_eq!(value.first(), before.wrapping_add(amount));
                assert!(is_digest_of(value.digest(), key) && is_first_of(before, key));
                assert!(!is_digest_of(value.digest(), key + 1) && !is_first_of(before, key + 1));
            }
            assert_eq!(
                value.digest().wrapping_sub(digest_of(key)),
                2_u64.wrapping_neg()
            );
        }
    }

    #[test]
    fn a_value_of_every_size_tells_its_key_whatever_its_amount() {
        check::<16>();
        check::<64>();
        check::<256>();
        check::<4_096>();
    }

    #[test]
    fn nothing_digests_to_what_stands_for_an_absent_key() {
        for key in [0, KEYS_MAX, 2 * KEYS_MAX - 1] {
            assert!(!is_digest_of(ABSENT, key), "{key}");
        }
    }

    #[test]
    fn a_transfer_keeps_the_sum_and_moves_one() {
        let (mut one, mut other) = (<[u8; 16]>::of(3), <[u8; 16]>::of(9));
        assert_eq!(transfer(&mut one, &mut other), sum_of(3, 9));
        assert_eq!(transfer(&mut one, &mut other), sum_of(3, 9));
        assert!(is_sum_of(sum_of(3, 9), 9, 3) && !is_sum_of(sum_of(3, 9), 3, 8));
        assert_eq!(one.first(), first_of(3) - 2);
        assert_eq!(other.first(), first_of(9) + 2);
    }
}
