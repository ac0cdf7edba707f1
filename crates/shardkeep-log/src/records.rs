//! Records as they were appended, out of those that stand in the log: a large one in one piece, cuts and what
//! was abandoned passed over.
//!
//! 1. Nothing of a large record is returned before its last part has been read.
//! 2. What is out of sequence is damage, whether it is in the snapshot or not.
//! 3. Memory beside the window is one large record, and grows with what was read.

use crate::fault::{Fault, is_planted};
use crate::format::{CUT, FIRST_PART, Head, LAST_PART, Lsn, MIDDLE_PART, RECORD};
use crate::limits::BUFFER_KEPT_BYTES;
use crate::open_error::{Damage, OpenError};
use crate::recovery::Record;
use crate::sequence::Sequence;
use crate::storage::Storage;
use crate::walk::Walk;

/// The numbers of a large record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Large {
    /// Of its first part.
    pub(crate) first: Lsn,
    /// Of its last part, or of the mark that it was abandoned.
    pub(crate) last: Lsn,
}

/// The records behind a snapshot, or all.
pub(crate) struct Records<S: Storage> {
    pub(crate) walk: Walk<S>,
    /// Records up to this one are in the snapshot.
    covered: Lsn,
    sequence: Sequence,
    /// The parts of a large record.
    assembled: Vec<u8>,
    /// The newest cut that was read.
    last_cut: Option<Lsn>,
    /// The large records behind the snapshot that were read.
    large: Vec<Large>,
}

impl<S: Storage> Records<S> {
    /// Those behind `covered`, by a walk that begins there or before.
    pub(crate) fn new(walk: Walk<S>, covered: Lsn) -> Self {
        let sequence = match walk.next_lsn() > covered {
            true => Sequence::Whole,
            false => Sequence::at_segment(walk.next_lsn()),
        };
        Self {
            walk,
            covered,
            sequence,
            assembled: Vec::new(),
            last_cut: None,
            large: Vec::new(),
        }
    }

    /// The next one, in order; `None` at the end, again and again.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, OpenError> {
        if !self.sequence.is_within() && !self.assembled.is_empty() {
            self.assembled.clear();
            self.assembled.shrink_to(BUFFER_KEPT_BYTES);
        }
        loop {
            let Some((head, payload)) = self.walk.step()? else {
                return Ok(None);
            };
            let lsn = Lsn::new(head.number);
            self.follow(&head, lsn)?;
            if self.is_covered(lsn) {
                continue;
            }
            match head.kind {
                RECORD => {
                    let payload = self.walk.payload(payload);
                    return Ok(Some(Record { lsn, payload }));
                }
                FIRST_PART | MIDDLE_PART | LAST_PART => {
                    if is_planted(Fault::PartAppliedAlone) {
                        let payload = self.walk.payload(payload);
                        return Ok(Some(Record { lsn, payload }));
                    }
                    let part = self.walk.payload(payload);
                    self.assembled.reserve_exact(part.len());
                    self.assembled.extend_from_slice(part);
                    if head.kind == LAST_PART {
                        let payload = &self.assembled[..];
                        return Ok(Some(Record { lsn, payload }));
                    }
                }
                // A cut, or the end of what was abandoned.
                _ => self.assembled.clear(),
            }
        }
    }

    /// Refuses a record that is out of sequence, and notes what is worth knowing of it.
    fn follow(&mut self, head: &Head, lsn: Lsn) -> Result<(), OpenError> {
        let before = self.sequence;
        let behind = before.behind(head.kind, lsn);
        // A snapshot that begins between two parts would take the second for a record.
        let fits = behind.filter(|behind| lsn != self.covered || !behind.is_within());
        self.sequence = fits.ok_or_else(|| {
            let kind = head.kind;
            (self.walk).damaged_before(head, Damage::OutOfSequence { lsn, kind })
        })?;
        if head.kind == CUT {
            self.last_cut = Some(lsn);
        }
        if let (Sequence::Within { first: Some(first) }, Sequence::Whole) = (before, self.sequence)
            && lsn > self.covered
        {
            self.large.push(Large { first, last: lsn });
        }
        Ok(())
    }

    /// Whether the snapshot holds record `lsn`.
    fn is_covered(&self, lsn: Lsn) -> bool {
        let covered = match self.covered {
            Lsn::ZERO => Lsn::ZERO,
            covered if is_planted(Fault::ReplayBegunLate) => covered.next(),
            covered if is_planted(Fault::ReplayBegunEarly) => covered.previous(),
            covered => covered,
        };
        lsn <= covered
    }

    /// The first part of the large record in which the log ends, when all has been read.
    pub(crate) fn unfinished(&self) -> Option<Lsn> {
        self.sequence.first_part()
    }

    /// The newest cut that was read.
    pub(crate) fn last_cut(&self) -> Option<Lsn> {
        self.last_cut
    }

    /// The large records behind the snapshot that were read.
    pub(crate) fn take_large(&mut self) -> Vec<Large> {
        std::mem::take(&mut self.large)
    }
}
