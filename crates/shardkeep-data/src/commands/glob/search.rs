//! Looking for one segment of a pattern: items that each take one byte, so that the leftmost match leaves
//! the most for those behind it.
//!
//! 1. A search takes `O(n)` steps for a literal; otherwise `O(n * m / 64)` for `m` items, and `O(n)` where
//!    they differ early, as they mostly do.
//! 2. Between two looks at the clock lies no more than a bounded number of steps.

use memchr::{memchr, memmem};

use super::pace::{Pace, TooLate};
use super::set::ByteSet;

/// Bytes in which a literal is looked for at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Comparisons that are accounted for at a time.
const STRIDE: usize = 4 * 1024;

/// Items up to which every place is tried: building tables would not pay.
const TRIED_ITEMS_MAX: usize = 8;

/// Comparisons for each place after which tables are built: names that are much like the segment
/// everywhere would otherwise take its length times theirs.
const TRIES_EACH: usize = 8;

/// What takes one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Any,
    Byte(u8),
    /// One of the set of this number.
    Set(u32),
}

/// Whether an item takes this byte.
#[inline]
fn takes(item: Item, sets: &[ByteSet], byte: u8) -> bool {
    match item {
        Item::Any => true,
        Item::Byte(only) => only == byte,
        Item::Set(number) => sets[number as usize].contains(byte),
    }
}

/// Whether these bytes are a match of these items, of which there are as many.
pub(super) fn fits(items: &[Item], sets: &[ByteSet], bytes: &[u8]) -> bool {
    debug_assert_eq!(items.len(), bytes.len());
    let mut both = items.iter().zip(bytes);
    both.all(|(item, byte)| takes(*item, sets, *byte))
}

/// Where a literal begins, leftmost.
pub(super) fn find_literal(
    name: &[u8],
    literal: &[u8],
    pace: &mut Pace,
) -> Result<Option<usize>, TooLate> {
    let step = CHUNK_BYTES.max(literal.len());
    let mut from = 0;
    while name.len().saturating_sub(from) >= literal.len() {
        let end = name.len().min(from + step + literal.len() - 1);
        pace.spend(end - from)?;
        if let Some(at) = memmem::find(&name[from..end], literal) {
            return Ok(Some(from + at));
        }
        from += step;
    }
    Ok(None)
}

/// Where a match of the items begins, leftmost.
pub(super) fn find_items(
    name: &[u8],
    items: &[Item],
    sets: &[ByteSet],
    pace: &mut Pace,
) -> Result<Option<usize>, TooLate> {
    let Some(places) = (name.len() + 1).checked_sub(items.len()) else {
        return Ok(None);
    };
    let (mut at, mut compared, mut told) = (0, 0, 0);
    while at < places {
        if let Item::Byte(first) = items[0] {
            let end = places.min(at + STRIDE);
            compared += 1;
            match memchr(first, &name[at..end]) {
                Some(behind) => at += behind,
                None => {
                    pace.spend(end - at)?;
                    at = end;
                    continue;
                }
            }
        }
        let bytes = &name[at..at + items.len()];
        let mut both = items.iter().zip(bytes);
        let taken = both.position(|(item, byte)| !takes(*item, sets, *byte));
        let Some(taken) = taken else {
            return Ok(Some(at));
        };
        compared += taken + 1;
        at += 1;
        if compared - told >= STRIDE {
            pace.spend(compared - told)?;
            told = compared;
            if items.len() > TRIED_ITEMS_MAX && compared > TRIES_EACH * at {
                let found = find_by_tables(&name[at..], items, sets, pace)?;
                return Ok(found.map(|found| at + found));
            }
        }
    }
    Ok(None)
}

/// As [`find_items`]: all places at once, a bit for each item ("shift-and"). Bit `i` of the state is set
/// where the bytes up to here are a match of the items up to `i`.
fn find_by_tables(
    name: &[u8],
    items: &[Item],
    sets: &[ByteSet],
    pace: &mut Pace,
) -> Result<Option<usize>, TooLate> {
    const BITS: usize = u64::BITS as usize;
    let words = items.len().div_ceil(BITS);
    let mut taking = vec![0_u64; words * 256];
    for (at, item) in items.iter().enumerate() {
        let (word, bit) = (at / BITS, 1 << (at % BITS));
        match *item {
            Item::Byte(only) => taking[usize::from(only) * words + word] |= bit,
            Item::Any | Item::Set(_) => {
                pace.spend(256)?;
                for byte in 0..=u8::MAX {
                    if takes(*item, sets, byte) {
                        taking[usize::from(byte) * words + word] |= bit;
                    }
                }
            }
        }
    }
    let mut state = vec![0_u64; words];
    let last = 1 << ((items.len() - 1) % BITS);
    for (at, byte) in name.iter().enumerate() {
        pace.spend(words)?;
        let row = &taking[usize::from(*byte) * words..][..words];
        let mut carry = 1;
        for (word, taking) in state.iter_mut().zip(row) {
            let next = *word >> (BITS - 1);
            *word = (*word << 1 | carry) & taking;
            carry = next;
        }
        if state[words - 1] & last != 0 {
            return Ok(Some(at + 1 - items.len()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every place is tried.
    fn naive(name: &[u8], items: &[Item], sets: &[ByteSet]) -> Option<usize> {
        let mut windows = name.windows(items.len());
        windows.position(|bytes| fits(items, sets, bytes))
    }

    fn any_item() -> impl Strategy<Value = Item> {
        prop_oneof![
            6 => Just(Item::Byte(b'a')),
            1 => Just(Item::Byte(b'b')),
            2 => Just(Item::Any),
            2 => Just(Item::Set(0)),
        ]
    }

    proptest! {
        #[test]
        fn tables_find_what_trying_every_place_finds(
            name in proptest::collection::vec(prop_oneof![8 => Just(b'a'), 1 => Just(b'b'), 1 => Just(b'c')], 0..400),
            items in proptest::collection::vec(any_item(), 1..140),
        ) {
            let sets = [super::super::set::class(b"ac]", super::super::Case::Matters).0];
            let expected = naive(&name, &items, &sets);
            let mut pace = Pace::free();
            prop_assert_eq!(find_by_tables(&name, &items, &sets, &mut pace), Ok(expected));
            prop_assert_eq!(find_items(&name, &items, &sets, &mut pace), Ok(expected));
        }
    }

    #[test]
    fn a_literal_is_found_wherever_it_lies() {
        let mut pace = Pace::free();
        for length in [1, 2, 100, CHUNK_BYTES - 1, CHUNK_BYTES + 7] {
            let literal = vec![b'x'; length];
            for at in [
                0,
                1,
                CHUNK_BYTES - 1,
                CHUNK_BYTES,
                3 * CHUNK_BYTES - length / 2,
            ] {
                let mut name = vec![b'.'; at];
                assert_eq!(find_literal(&name, &literal, &mut pace), Ok(None));
                name.extend_from_slice(&literal);
                assert_eq!(
                    find_literal(&name, &literal, &mut pace),
                    Ok(Some(at)),
                    "{length} at {at}"
                );
                name.extend_from_slice(b"..");
                assert_eq!(find_literal(&name, &literal, &mut pace), Ok(Some(at)));
            }
        }
    }
}
