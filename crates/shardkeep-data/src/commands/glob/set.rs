//! Sets of bytes, and the classes of patterns that name them.

use super::Case;

/// Bits of a word of a set.
const WORD_BITS: usize = u64::BITS as usize;

/// Any of the 256 bytes, each in or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 256 / WORD_BITS]);

impl ByteSet {
    pub(super) const EMPTY: Self = Self([0; 256 / WORD_BITS]);
    pub(super) const ALL: Self = Self([u64::MAX; 256 / WORD_BITS]);

    /// A byte, and the same letter of the other case where that does not matter.
    pub(super) fn of(byte: u8, case: Case) -> Self {
        let mut set = Self::EMPTY;
        set.insert_in(byte, case);
        set
    }

    #[inline]
    pub(super) fn contains(&self, byte: u8) -> bool {
        let byte = usize::from(byte);
        self.0[byte / WORD_BITS] >> (byte % WORD_BITS) & 1 == 1
    }

    /// Its only byte, if it has one alone.
    pub(super) fn only(&self) -> Option<u8> {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        let at = self.0.iter().position(|word| *word != 0)?;
        let bit = self.0[at].trailing_zeros() as usize;
        (count == 1).then_some((at * WORD_BITS + bit) as u8)
    }

    fn insert(&mut self, byte: u8) {
        let byte = usize::from(byte);
        self.0[byte / WORD_BITS] |= 1 << (byte % WORD_BITS);
    }

    fn insert_in(&mut self, byte: u8, case: Case) {
        self.insert(byte);
        if case == Case::Ignored {
            self.insert(byte.to_ascii_lowercase());
            self.insert(byte.to_ascii_uppercase());
        }
    }

    /// All from `from` up to `to`, as numbers without a sign.
    fn insert_between(&mut self, from: u8, to: u8) {
        let (from, to) = (usize::from(from), usize::from(to));
        for (at, word) in self.0.iter_mut().enumerate() {
            let low = at * WORD_BITS;
            let (first, last) = (from.max(low), to.min(low + WORD_BITS - 1));
            if first <= last {
                *word |= u64::MAX >> (WORD_BITS - 1 - (last - first)) << (first - low);
            }
        }
    }

    /// A range of a class. Its ends may come in either order, and are signed, as `char` is in the C of
    /// Redis.
    fn insert_range(&mut self, one: u8, other: u8, case: Case) {
        let (one, other) = (one.cast_signed(), other.cast_signed());
        let (from, to) = (one.min(other), one.max(other));
        match case {
            Case::Matters if from < 0 && to >= 0 => {
                self.insert_between(from.cast_unsigned(), u8::MAX);
                self.insert_between(0, to.cast_unsigned());
            }
            Case::Matters => self.insert_between(from.cast_unsigned(), to.cast_unsigned()),
            Case::Ignored => {
                let range = lower(from)..=lower(to);
                for byte in 0..=u8::MAX {
                    if range.contains(&lower(byte.cast_signed())) {
                        self.insert(byte);
                    }
                }
            }
        }
    }

    fn complement(mut self) -> Self {
        for word in &mut self.0 {
            *word = !*word;
        }
        self
    }
}

/// What C's `tolower` makes of a signed `char`: other bytes than ASCII lose their sign, except the one that
/// it takes for the end of a file.
fn lower(byte: i8) -> i16 {
    match byte {
        -1 => -1,
        byte => i16::from(byte.cast_unsigned().to_ascii_lowercase()),
    }
}

/// The class that begins behind a `[`, and the pattern after it. A class that is never closed ends with the
/// pattern.
pub(super) fn class(pattern: &[u8], case: Case) -> (ByteSet, &[u8]) {
    let (is_negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut set = ByteSet::EMPTY;
    loop {
        rest = match rest {
            [b'\\', literal, after @ ..] => {
                // Redis compares it as it is, even where case is ignored.
                set.insert(*literal);
                after
            }
            [b']', after @ ..] => break rest = after,
            [] => break,
            [from, b'-', to, after @ ..] => {
                set.insert_range(*from, *to, case);
                after
            }
            [literal, after @ ..] => {
                set.insert_in(*literal, case);
                after
            }
        };
    }
    let set = if is_negated { set.complement() } else { set };
    (set, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_bytes_that_were_put_into_it() {
        for (from, to) in [
            (0, 0),
            (0, 255),
            (63, 64),
            (1, 62),
            (60, 200),
            (128, 191),
            (255, 255),
        ] {
            let mut set = ByteSet::EMPTY;
            set.insert_between(from, to);
            for byte in 0..=u8::MAX {
                assert_eq!(
                    set.contains(byte),
                    (from..=to).contains(&byte),
                    "{byte} of {from}-{to}"
                );
                assert_ne!(set.complement().contains(byte), set.contains(byte));
            }
            assert_eq!(set.only(), (from == to).then_some(from));
        }
    }
}
