//! Order in which kinds of records may follow upon each other: the parts of a large record stand together.
//!
//! Not a reader: it sees kinds and numbers, no bytes.
//!
//! 1. A first part is followed by middle ones, then by the last one or by the mark that it was abandoned.
//! 2. Nothing else stands between them.

use crate::format::{ABANDONED, CUT, FIRST_PART, LAST_PART, Lsn, MIDDLE_PART, RECORD};

/// Where in a sequence of records a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// At the beginning of a segment, with records before it that are not known.
    Unknown,
    /// Not in a large record.
    Whole,
    /// Behind parts of a large record that goes on.
    Within {
        /// Its first part; `None` where that is in a segment that was not read.
        first: Option<Lsn>,
    },
}

impl Sequence {
    /// What the reader knows before the first record of a segment, where nothing before it was read.
    pub(crate) fn at_segment(first: Lsn) -> Self {
        match first.previous() {
            Lsn::ZERO => Self::Whole,
            _ => Self::Unknown,
        }
    }

    /// Goes on behind record `lsn` of this kind; `None` where such a one cannot stand there.
    #[must_use]
    pub(crate) fn behind(self, kind: u8, lsn: Lsn) -> Option<Self> {
        let ends = Self::ends(kind);
        match (self, kind) {
            (Self::Unknown | Self::Whole, RECORD | CUT) => Some(Self::Whole),
            (Self::Unknown | Self::Whole, FIRST_PART) => Some(Self::Within { first: Some(lsn) }),
            (Self::Unknown, MIDDLE_PART) => Some(Self::Within { first: None }),
            (Self::Within { .. }, MIDDLE_PART) => Some(self),
            (Self::Unknown | Self::Within { .. }, _) if ends => Some(Self::Whole),
            _ => None,
        }
    }

    /// Whether a large record goes on.
    pub(crate) const fn is_within(self) -> bool {
        matches!(self, Self::Within { .. })
    }

    /// The first part of the large record that goes on, if it is known.
    pub(crate) const fn first_part(self) -> Option<Lsn> {
        match self {
            Self::Within { first } => first,
            Self::Unknown | Self::Whole => None,
        }
    }

    /// Whether a record of this kind ends a large one.
    const fn ends(kind: u8) -> bool {
        matches!(kind, LAST_PART | ABANDONED)
    }

    /// Whether a record of this kind goes on with a large one or ends it.
    pub(crate) const fn continues(kind: u8) -> bool {
        kind == MIDDLE_PART || Self::ends(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [u8; 6] = [RECORD, CUT, FIRST_PART, MIDDLE_PART, LAST_PART, ABANDONED];

    /// Where a reader stands behind `kinds`, the first of them record 1.
    fn behind(from: Sequence, kinds: &[u8]) -> Option<Sequence> {
        let mut numbers = 1..;
        kinds.iter().try_fold(from, |sequence, kind| {
            sequence.behind(*kind, Lsn::new(numbers.next()?))
        })
    }

    #[test]
    fn parts_stand_together_and_nothing_between_them() {
        use Sequence::{Unknown, Whole, Within};
        let within = |first| Some(Within { first });
        let cases: [(Sequence, &[u8], Option<Sequence>); 16] = [
            (Whole, &[], Some(Whole)),
            (Whole, &[RECORD, CUT, RECORD], Some(Whole)),
            (Whole, &[RECORD, FIRST_PART], within(Some(Lsn::new(2)))),
            (
                Whole,
                &[FIRST_PART, MIDDLE_PART, MIDDLE_PART],
                within(Some(Lsn::new(1))),
            ),
            (
                Whole,
                &[FIRST_PART, LAST_PART, FIRST_PART, MIDDLE_PART, LAST_PART],
                Some(Whole),
            ),
            (Whole, &[FIRST_PART, ABANDONED, RECORD], Some(Whole)),
            (Whole, &[MIDDLE_PART], None),
            (Whole, &[LAST_PART], None),
            (Whole, &[ABANDONED], None),
            (Whole, &[FIRST_PART, RECORD], None),
            (Whole, &[FIRST_PART, CUT], None),
            (Whole, &[FIRST_PART, FIRST_PART], None),
            (Unknown, &[MIDDLE_PART], within(None)),
            (Unknown, &[LAST_PART, RECORD], Some(Whole)),
            (Unknown, &[MIDDLE_PART, RECORD], None),
            (Unknown, &[RECORD, LAST_PART], None),
        ];
        for (from, kinds, expected) in cases {
            assert_eq!(behind(from, kinds), expected, "{from:?} {kinds:?}");
        }
    }

    #[test]
    fn what_is_refused_is_refused_with_more_known_too() {
        for kind in KINDS {
            let lsn = Lsn::new(1);
            let known = [Sequence::Whole, Sequence::Within { first: None }];
            let fits = known.iter().any(|from| from.behind(kind, lsn).is_some());
            assert_eq!(
                fits,
                Sequence::Unknown.behind(kind, lsn).is_some(),
                "{kind}"
            );
        }
    }
}
