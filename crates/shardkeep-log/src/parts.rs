//! A payload that lies in several places, and how it is cut into the parts of a large record.
//!
//! Copies nothing.

use crate::format::{FIRST_PART, LAST_PART, MIDDLE_PART};

/// A range of the bytes of some pieces that follow upon each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'p> {
    pieces: &'p [&'p [u8]],
    from: usize,
    to: usize,
}

impl<'p> Pieces<'p> {
    /// All bytes of `pieces`.
    pub(crate) fn new(pieces: &'p [&'p [u8]]) -> Self {
        let to = pieces.iter().map(|piece| piece.len()).sum();
        Self {
            pieces,
            from: 0,
            to,
        }
    }

    /// How many bytes there are.
    pub(crate) const fn bytes(self) -> usize {
        self.to - self.from
    }

    /// Calls `each` with the bytes, piece by piece in order.
    pub(crate) fn fold<T>(self, initial: T, mut each: impl FnMut(T, &'p [u8]) -> T) -> T {
        let (mut value, mut begin) = (initial, 0);
        for piece in self.pieces {
            let end = begin + piece.len();
            let (from, to) = (self.from.max(begin), self.to.min(end));
            if from < to {
                value = each(value, &piece[from - begin..to - begin]);
            }
            begin = end;
        }
        value
    }

    /// The parts of a record larger than `bytes`, of that size but for the last, each with its kind.
    pub(crate) fn parts(self, bytes: usize) -> impl Iterator<Item = (u8, Self)> {
        let (begin, end) = (self.from, self.to);
        (begin..end).step_by(bytes).map(move |from| {
            let to = end.min(from.saturating_add(bytes));
            let kind = match (from == begin, to == end) {
                (true, _) => FIRST_PART,
                (false, true) => LAST_PART,
                (false, false) => MIDDLE_PART,
            };
            (kind, Self { from, to, ..self })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_bytes_in_order_wherever_they_are_cut() {
        let whole: Vec<u8> = (0..40).collect();
        for at in 0..=40 {
            let (one, other) = whole.split_at(at);
            let places = [one, &[], other];
            let pieces = Pieces::new(&places);
            for bytes in 1..40 {
                let parts: Vec<(u8, Vec<u8>)> = pieces
                    .parts(bytes)
                    .map(|(kind, part)| {
                        let mut copied = Vec::new();
                        part.fold((), |(), piece| copied.extend_from_slice(piece));
                        assert_eq!(copied.len(), part.bytes());
                        (kind, copied)
                    })
                    .collect();
                let (first, last) = (&parts[0], &parts[parts.len() - 1]);
                assert_eq!((first.0, last.0), (FIRST_PART, LAST_PART));
                let between = &parts[1..parts.len() - 1];
                assert!(between.iter().all(|(kind, _)| *kind == MIDDLE_PART));
                let short = parts.iter().filter(|(_, part)| part.len() < bytes).count();
                assert!(short <= usize::from(last.1.len() < bytes));
                let all: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).collect();
                assert_eq!(all, whole);
            }
        }
    }
}
