//! All records from one to another, over the borders of segments, in order.
//!
//! Here it is decided whether a log that cannot be read on has a torn tail or is damaged:
//!
//! 1. All segments but the last were synced before their successor was begun: whatever is wrong in them
//!    is damage.
//! 2. In the last one, record `n` cannot be read. If the manifest, a snapshot, a mark, or the head of any
//!    record behind says that `n` was synced, that is damage.
//! 3. If the system has not been started anew since, nothing that was written can be missing: it is damage
//!    too where a whole head stands behind the place.
//! 4. Otherwise `n` was never proven to be synced, and neither was what is behind it: a crash may leave
//!    later sectors and lose earlier ones. That is a torn tail.

use std::ops::Range;
use std::sync::Arc;

use crate::error::DiskError;
use crate::fault::{Fault, is_planted};
use crate::format::{HEAD_BYTES, Head, Lsn, StoreId};
use crate::open_error::{Damage, OpenError};
use crate::segment::{Cursor, Step};
use crate::storage::Storage;

/// A torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Where the last whole record ends.
    pub(crate) offset: u64,
    /// Bytes behind it and the mark, if there is one, up to the last that is not zero; 0 for none.
    pub(crate) bytes: u64,
}

/// What is known of a log beside what stands in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// The newest record that the manifest or a snapshot knows to be synced.
    pub(crate) synced: Lsn,
    /// All that may be torn was written in the present boot of the system.
    pub(crate) in_this_boot: bool,
}

/// How a log ends, in the part that was read.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With its file.
    File,
    /// With a mark.
    Mark,
    /// With something that is no record.
    Invalid(Damage),
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
    /// What is known, by what was read and by others.
    known: Known,
    /// Bytes of segments that were left behind.
    passed_bytes: u64,
    tail: Option<Tail>,
}

impl<S: Storage> Walk<S> {
    /// Before record `from`, or a few earlier ones of its segment.
    pub(crate) fn new(
        storage: Arc<S>,
        store: StoreId,
        segments: &[Lsn],
        from: Lsn,
        bound: Option<Bound>,
        known: Known,
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
            known,
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
        self.known.synced
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
                        return self.end(End::File).map(|()| None);
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
                    self.known.synced = self.known.synced.max(head.synced());
                    return Ok(Some((head, payload)));
                }
                Step::Mark(head) => {
                    self.known.synced = self.known.synced.max(head.synced());
                    return self.end(End::Mark).map(|()| None);
                }
                Step::End if self.segments.len() > 1 => self.pass()?,
                Step::End => return self.end(End::File).map(|()| None),
                Step::Invalid(damage) => return self.end(End::Invalid(damage)).map(|()| None),
            }
        }
    }

    /// The file that is being read, or was read last.
    pub(crate) fn file(&self) -> Option<(&str, &S::File)> {
        let cursor = self.cursor.as_ref();
        cursor.map(|cursor| (&cursor.name[..], cursor.file()))
    }

    /// What it means that the record that `step` has returned last should not be there.
    pub(crate) fn damaged_before(&self, head: &Head, damage: Damage) -> OpenError {
        match &self.cursor {
            Some(cursor) => {
                let at = cursor.at() - head.total_bytes();
                OpenError::damaged(&cursor.name, at, damage)
            }
            None => OpenError::damaged(crate::names::MANIFEST, 0, damage),
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
    fn end(&mut self, end: End) -> Result<(), OpenError> {
        let (last, next) = (self.next.previous(), self.next);
        let early = |needed| Damage::EndsEarly { last, needed };
        let Some(cursor) = &mut self.cursor else {
            // A store whose first segment was never made.
            return match self.known.synced {
                Lsn::ZERO => Ok(()),
                needed => Err(OpenError::damaged(crate::names::MANIFEST, 0, early(needed))),
            };
        };
        let (name, at) = (&cursor.name, cursor.at());
        let damaged = |damage| Err(OpenError::damaged(name, at, damage));
        let survey = match end {
            End::File if self.known.synced >= next => return damaged(early(self.known.synced)),
            End::File => return Ok(()),
            End::Invalid(damage @ Damage::Kind { .. }) => return damaged(damage),
            End::Invalid(damage) if self.segments.len() > 1 => return damaged(damage),
            End::Mark if self.segments.len() > 1 => return damaged(Damage::Record { lsn: next }),
            End::Mark | End::Invalid(_) => cursor.survey(next)?,
        };
        let (name, at) = (&cursor.name, cursor.at());
        let damaged = |damage| Err(OpenError::damaged(name, at, damage));
        if let Some((offset, kind)) = survey.unknown {
            let damage = Damage::Kind { kind };
            return Err(OpenError::damaged(name, offset, damage));
        }
        let damage = match end {
            End::Invalid(damage) => damage,
            End::File | End::Mark => Damage::Record { lsn: next },
        };
        let synced = self.known.synced.max(survey.synced);
        if synced >= next && !is_planted(Fault::DamageCutAsTail) {
            return damaged(match damage {
                _ if survey.bytes == 0 => early(synced),
                Damage::Record { .. } => Damage::SyncedRecord { lsn: next, synced },
                other => other,
            });
        }
        let in_this_boot = self.known.in_this_boot && !is_planted(Fault::BootForgotten);
        if in_this_boot && survey.has_heads {
            return damaged(Damage::SameBoot {
                lsn: next,
                last: survey.last,
            });
        }
        let of_mark = match end {
            End::Mark => HEAD_BYTES as u64,
            End::File | End::Invalid(_) => 0,
        };
        self.tail = Some(Tail {
            offset: at,
            bytes: match survey.bytes > of_mark {
                true => survey.bytes,
                false => 0,
            },
        });
        Ok(())
    }

    /// How many whole records stand in the tail.
    pub(crate) fn records_in_tail(&mut self) -> Result<u64, DiskError> {
        match (self.tail, &mut self.cursor) {
            (Some(tail), Some(cursor)) => cursor.whole_records(self.next, tail.bytes),
            _ => Ok(0),
        }
    }
}
