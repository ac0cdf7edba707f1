//! From the name of a command to its number.
//!
//! A hash table made when this is compiled, of any number of names.
//!
//! 1. Names are lower case letters, `_` and `-`, and no two are the same: checked when this is compiled. Names
//!    with a `|`, those of subcommands, are not in it.
//! 2. A name of 2 to [`PLAIN_BYTES_MAX`] letters is found by comparing two words and its length. The others, of
//!    which there are few, are compared one after another when none of those is meant.

/// Longest name that two words hold (bytes).
const PLAIN_BYTES_MAX: usize = 16;

/// No number of a name.
const NONE: u16 = u16::MAX;

/// Sets the bit that makes ASCII letters lower case in each byte.
const LOWER_CASE: u64 = 0x2020_2020_2020_2020;

/// Places for that many names: enough that most of them lie where they are looked for first.
pub(super) const fn places(names: usize) -> usize {
    (names * 4).next_power_of_two()
}

/// A name in lower case, in two words: its first and its last bytes, which together are all of one of up to
/// [`PLAIN_BYTES_MAX`] bytes. Only letters become other letters by this, so with the length it is exact for one
/// of letters.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PackedName {
    head: u64,
    tail: u64,
    len: usize,
}

impl PackedName {
    const NONE: Self = Self {
        head: 0,
        tail: 0,
        len: 0,
    };

    /// `None` for a name of fewer than two bytes.
    #[inline]
    const fn new(name: &[u8]) -> Option<Self> {
        let (head, tail) = if let (Some(head), Some(tail)) =
            (name.first_chunk::<8>(), name.last_chunk::<8>())
        {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (
                u32::from_le_bytes(*head) as u64,
                u32::from_le_bytes(*tail) as u64,
            )
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<2>(), name.last_chunk::<2>()) {
            (
                u16::from_le_bytes(*head) as u64,
                u16::from_le_bytes(*tail) as u64,
            )
        } else {
            return None;
        };
        Some(Self {
            head: head | LOWER_CASE,
            tail: tail | LOWER_CASE,
            len: name.len(),
        })
    }

    #[inline]
    const fn place(self, places: usize) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(29) ^ self.len as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - places.trailing_zeros())) as usize
    }

    #[inline]
    const fn is(self, other: Self) -> bool {
        self.head == other.head && self.tail == other.tail && self.len == other.len
    }
}

/// The numbers of `NAMES` names, found in `PLACES` places.
pub(super) struct Index<const NAMES: usize, const PLACES: usize> {
    packed: [PackedName; NAMES],
    places: [u16; PLACES],
    names: [&'static str; NAMES],
    /// The numbers of those that two words do not hold exactly.
    others: [u16; NAMES],
    others_count: usize,
}

impl<const NAMES: usize, const PLACES: usize> Index<NAMES, PLACES> {
    /// An index of these names.
    pub(super) const fn new(names: [&'static str; NAMES]) -> Self {
        assert!(PLACES == places(NAMES) && NAMES < NONE as usize);
        let mut index = Self {
            packed: [PackedName::NONE; NAMES],
            places: [NONE; PLACES],
            names,
            others: [NONE; NAMES],
            others_count: 0,
        };
        let mut at = 0;
        while at < NAMES {
            if !has_bar(names[at].as_bytes()) {
                index.insert(at);
            }
            at += 1;
        }
        index
    }

    const fn insert(&mut self, at: usize) {
        let name = self.names[at].as_bytes();
        if !is_plain(name) {
            self.others[self.others_count] = at as u16;
            self.others_count += 1;
            return;
        }
        let Some(packed) = PackedName::new(name) else {
            panic!("a name has at least 2 letters");
        };
        let mut place = packed.place(PLACES);
        while self.places[place] != NONE {
            let other = self.packed[self.places[place] as usize];
            assert!(!packed.is(other), "names differ");
            place = (place + 1) % PLACES;
        }
        self.packed[at] = packed;
        self.places[place] = at as u16;
    }

    /// The number of this name, in any case of letters.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<u16> {
        let packed = PackedName::new(name)?;
        let mut place = packed.place(PLACES);
        loop {
            let at = self.places[place];
            if at == NONE {
                return self.find_other(name);
            }
            if self.packed[usize::from(at)].is(packed) {
                return Some(at);
            }
            place = (place + 1) % PLACES;
        }
    }

    #[cold]
    fn find_other(&self, name: &[u8]) -> Option<u16> {
        let others = self.others[..self.others_count].iter().copied();
        let is_named = |at: &u16| {
            self.names[usize::from(*at)]
                .as_bytes()
                .eq_ignore_ascii_case(name)
        };
        others.into_iter().find(is_named)
    }
}

const fn has_bar(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if name[at] == b'|' {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether two words hold it exactly.
const fn is_plain(name: &[u8]) -> bool {
    let mut has_letters_alone = true;
    let mut at = 0;
    while at < name.len() {
        let is_letter = name[at].is_ascii_lowercase();
        assert!(
            is_letter || name[at] == b'_' || name[at] == b'-',
            "a name is lower case letters, `_` and `-`"
        );
        has_letters_alone = has_letters_alone && is_letter;
        at += 1;
    }
    has_letters_alone && name.len() <= PLAIN_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_are_found_in_any_case_and_nothing_else_is() {
        const NAMES: [&str; 9] = [
            "get",
            "object|encoding",
            "georadiusbymember",
            "georadiusbymember_ro",
            "georadiusbxmember_ro",
            "eval_ro",
            "restore-asking",
            "zrevrangebyscore",
            "zz",
        ];
        static INDEX: Index<9, { places(9) }> = Index::new(NAMES);
        for (at, name) in NAMES.iter().enumerate() {
            let found = (!name.contains('|')).then_some(at as u16);
            assert_eq!(INDEX.find(name.as_bytes()), found, "{name}");
            assert_eq!(INDEX.find(name.to_uppercase().as_bytes()), found, "{name}");
        }
        // What differs in a bit that letters do not have, or between the first and the last bytes.
        for wrong in [
            "eval\x7fro",
            "restore\rasking",
            "georadiusbzmember_ro",
            "georadiusbymember_r",
            "g",
            "",
        ] {
            assert_eq!(INDEX.find(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn there_may_be_more_names_than_a_byte_counts() {
        fn name(number: usize) -> &'static str {
            let letter = |at: u32| char::from(b'a' + (number / 26_usize.pow(at) % 26) as u8);
            [letter(2), letter(1), letter(0)]
                .iter()
                .collect::<String>()
                .leak()
        }
        let names: [&'static str; 1_000] = std::array::from_fn(name);
        let index: Index<1_000, { places(1_000) }> = Index::new(names);
        for (at, name) in names.iter().enumerate() {
            assert_eq!(index.find(name.as_bytes()), Some(at as u16));
        }
        assert_eq!(index.find(b"zzz"), None);
    }
}
