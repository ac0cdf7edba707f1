//! All records from one to another, over the borders of segments, in order.
//!
//! Here it is decided whether a log that cannot be read on has a torn tail or is damaged:
//!
//! 1. All segments but the last were synced before their successor was begun: whatever is wrong in them
//!    is damage.
//! 2. In the last one, record `n` cannot be read. If the manifest, a snapshot, or the head of any record
//!    behind says that `n` was synced, that is damage. Otherwise `n` was never proven to be synced, hence
//!    never acknowledged, and neither was what is behind it: a crash may leave later sectors and lose
//!    earlier ones. That is a torn tail.

use std::ops::Range;
use std::sync::Arc;

use crate::fault::{Fault, is_planted};
use crate::format::{Head, Lsn, StoreId};
use crate::open_error::{Damage, OpenError};
use crate::segment::{Cursor, Step};
use crate::storage::Storage;

/// A torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Where the last whole record ends.
    pub(crate) offset: u64,
    /// Bytes behind it, up to the last that is not zero.
    pub(crate) bytes: u64,
}

/// Where to stop in a log that goes on being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// The last record to be read.
    pub(crate) to: Lsn,
    /// Bytes of the last segment that hold records; what is behind them may change.
    pub(crate) last_segment_bytes: u64,
}

/// A place in a log.
pub(crate) struct Walk<S: Storage> {
    storage: Arc<S>,
    store: StoreId,
    /// The first records of the segments that are left, the one being read first.
    segments: std::collections::VecDeque<Lsn>,
    cursor: Option<Cursor<S::File>>,
    next: Lsn,
    /// `None`: to the end.
    bound: Option<Bound>,
    /// The newest record proven to be synced by what was read, and by others.
    synced: Lsn,
    /// Bytes of segments that were left behind.
    passed_bytes: u64,
    tail: Option<Tail>,
}

impl<S: Storage> Walk<S> {
    /// Before record `from`, or a few earlier ones of its segment. `synced` is known to be synced.
    pub(crate) fn new(
        storage: Arc<S>,
        store: StoreId,
        segments: &[Lsn],
        from: Lsn,
        bound: Option<Bound>,
        synced: Lsn,
    ) -> Self {
        let first = segments
            .iter()
            .rposition(|first| *first <= from)
            .unwrap_or(0);
        let segments: std::collections::VecDeque<_> = segments[first..].iter().copied().collect();
        Self {
            storage,
            store,
            next: segments.front().copied().unwrap_or(from),
            segments,
            cursor: None,
            bound,
            synced,
            passed_bytes: 0,
            tail: None,
        }
    }

    /// The number of the record that comes next.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The newest record proven to be synced.
    pub(crate) fn synced(&self) -> Lsn {
        self.synced
    }

    pub(crate) fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        let of_this = self.cursor.as_ref().map_or(0, |cursor| match self.tail {
            Some(_) => cursor.file_bytes(),
            None => cursor.at(),
        });
        self.passed_bytes + of_this
    }

    /// The segments not yet left behind.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Lsn> {
        self.segments.iter().copied()
    }

    /// The next record, and where `payload` finds it; `None` at the end, again and again.
    pub(crate) fn step(&mut self) -> Result<Option<(Head, Range<usize>)>, OpenError> {
        loop {
            if self.tail.is_some() || self.bound.is_some_and(|bound| self.next > bound.to) {
                return Ok(None);
            }
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                None => {
                    let Some(first) = self.segments.front() else {
                        return self.end(None).map(|()| None);
                    };
                    let is_last = self.segments.len() == 1;
                    let limit = self.bound.filter(|_| is_last);
                    let limit = limit.map_or(u64::MAX, |bound| bound.last_segment_bytes);
                    let cursor = Cursor::open(&*self.storage, self.store, *first, limit)?;
                    self.cursor.insert(cursor)
                }
            };
            match cursor.step(self.next)? {
                Step::Record(head, payload) => {
                    self.next = self.next.next();
                    self.synced = self.synced.max(head.synced());
                    return Ok(Some((head, payload)));
                }
                Step::End if self.segments.len() > 1 => self.pass()?,
                Step::End => return self.end(None).map(|()| None),
                Step::Invalid(damage) => return self.end(Some(damage)).map(|()| None),
            }
        }
    }

    /// The payload of the record that `step` has returned last.
    pub(crate) fn payload(&self, part: Range<usize>) -> &[u8] {
        self.cursor
            .as_ref()
            .map_or(&[], |cursor| cursor.bytes(part))
    }

    /// Goes on in the next segment.
    fn pass(&mut self) -> Result<(), OpenError> {
        let Some(cursor) = self.cursor.take() else {
            return Ok(());
        };
        self.passed_bytes += cursor.file_bytes();
        self.segments.pop_front();
        match self.segments.front() {
            Some(first) if *first == self.next => Ok(()),
            Some(first) => {
                let (from, to) = (self.next, first.previous());
                let damage = Damage::Gap { from, to };
                Err(OpenError::damaged(&cursor.name, cursor.at(), damage))
            }
            None => Ok(()),
        }
    }

    /// Decides what it means that the log goes no further.
    fn end(&mut self, damage: Option<Damage>) -> Result<(), OpenError> {
        let last = self.next.previous();
        let Some(cursor) = &mut self.cursor else {
            // A store whose first segment was never made.
            return match self.synced {
                Lsn::ZERO => Ok(()),
                needed => {
                    let damage = Damage::EndsEarly { last, needed };
                    Err(OpenError::damaged(crate::names::MANIFEST, 0, damage))
                }
            };
        };
        let early = |needed| Damage::EndsEarly { last, needed };
        let (damage, survey) = match damage {
            None if self.synced < self.next => return Ok(()),
            None => {
                let damage = early(self.synced);
                return Err(OpenError::damaged(&cursor.name, cursor.at(), damage));
            }
            Some(damage) if self.segments.len() > 1 || matches!(damage, Damage::Kind { .. }) => {
                return Err(OpenError::damaged(&cursor.name, cursor.at(), damage));
            }
            Some(damage) => (damage, cursor.survey(self.next)?),
        };
        if let Some((offset, kind)) = survey.unknown {
            return Err(OpenError::damaged(
                &cursor.name,
                offset,
                Damage::Kind { kind },
            ));
        }
        let synced = self.synced.max(survey.synced);
        if synced >= self.next && !is_planted(Fault::DamageCutAsTail) {
            let lsn = self.next;
            let damage = match damage {
                _ if survey.bytes == 0 => early(synced),
                Damage::Record { .. } => Damage::SyncedRecord { lsn, synced },
                other => other,
            };
            return Err(OpenError::damaged(&cursor.name, cursor.at(), damage));
        }
        self.tail = Some(Tail {
            offset: cursor.at(),
            bytes: survey.bytes,
        });
        Ok(())
    }
}
