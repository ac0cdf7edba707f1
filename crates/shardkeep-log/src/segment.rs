//! A segment read from front to back.
//!
//! Not a judge: what does not fit is named, and whoever reads decides whether it is a torn tail.
//!
//! 1. Memory is one window, and more only for a record that the file is long enough to hold.
//! 2. No record is returned before both its checksums and its number have been verified.

use std::ops::Range;

use crate::error::{DiskError, Operation};
use crate::fault::{Fault, is_planted};
use crate::format::{
    ABANDONED, BASE_BYTES, CUT, FIRST_PART, FileHeader, FileKind, HEAD_BYTES, Head, HeaderFault,
    LAST_PART, Lsn, MARK, MIDDLE_PART, RECORD, StoreId, VERSION, find_record_head, is_record,
};
use crate::limits::WINDOW_BYTES;
use crate::open_error::{Damage, OpenError};
use crate::storage::{File, Storage, read_exact_at, read_full_at};

/// Opens file `name` and verifies its header, which should say this; returns how many bytes it has, and its
/// version.
pub(crate) fn open_file<S: Storage>(
    storage: &S,
    name: &str,
    kind: FileKind,
    store: StoreId,
    lsn: Lsn,
) -> Result<(S::File, HeaderRead), OpenError> {
    let file = match storage.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = name.to_owned();
            return Err(OpenError::Missing { file });
        }
        Err(error) => return Err(DiskError::new(Operation::Open, name, error).into()),
    };
    let (header, bytes) = read_header(&file, name, kind)?;
    if header.store != store {
        return Err(OpenError::Foreign {
            file: name.to_owned(),
            found: header.store,
            expected: store,
        });
    }
    if header.lsn != lsn {
        let says = header.lsn;
        return Err(OpenError::damaged(name, 28, Damage::Misnamed { says }));
    }
    let read = HeaderRead {
        bytes,
        version: header.version,
    };
    Ok((file, read))
}

/// What matters of a header that says what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderRead {
    /// How many bytes it has: where the first record or frame begins.
    pub(crate) bytes: u64,
    /// In which version the file was written.
    pub(crate) version: u32,
}

/// The header of `file`, and its bytes.
pub(crate) fn read_header(
    file: &impl File,
    name: &str,
    kind: FileKind,
) -> Result<(FileHeader, u64), OpenError> {
    let refused = |fault| header_error(name, fault);
    let unreadable = |error| DiskError::new(Operation::Read, name, error);
    let mut bytes = vec![0; BASE_BYTES];
    let read = read_full_at(file, &mut bytes, 0).map_err(unreadable)?;
    let length = FileHeader::length(kind, &bytes[..read]).map_err(refused)?;
    // Believed: a checksum has covered it, and it is bounded.
    if length > read {
        bytes.resize(length, 0);
        let more = read_full_at(file, &mut bytes[read..], read as u64).map_err(unreadable)?;
        bytes.truncate(read + more);
    }
    let (header, length) = FileHeader::decode(kind, &bytes).map_err(refused)?;
    Ok((header, length as u64))
}

/// What it means that the header of file `name` cannot be read.
pub(crate) fn header_error(name: &str, fault: HeaderFault) -> OpenError {
    let file = name.to_owned();
    match fault {
        HeaderFault::Version(version) => OpenError::UnknownVersion { file, version },
        HeaderFault::Field(field) => OpenError::UnknownField { file, field },
        HeaderFault::Short | HeaderFault::Magic | HeaderFault::Checksum | HeaderFault::Fields => {
            OpenError::damaged(name, 0, Damage::Header)
        }
    }
}

/// What stands at one place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record of any kind, its payload in this part of the window.
    Record(Head, Range<usize>),
    /// The mark behind the last record.
    Mark(Head),
    /// The end of the file.
    End,
    /// Not the record that should be here.
    Invalid(Damage),
}

/// A place in a segment, and a window on what is there.
pub(crate) struct Cursor<F> {
    pub(crate) name: String,
    file: F,
    file_bytes: u64,
    version: u32,
    begins: u64,
    seed: u32,
    at: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    window_at: u64,
    /// Bytes of the window that hold what was read.
    filled: usize,
}

impl<F: File> Cursor<F> {
    /// Before the first record of the segment that begins with `first`, of which no more than `limit`
    /// bytes are looked at.
    pub(crate) fn open<S: Storage<File = F>>(
        storage: &S,
        store: StoreId,
        first: Lsn,
        limit: u64,
    ) -> Result<Self, OpenError> {
        let name = crate::names::segment_name(first);
        let (file, header) = open_file(storage, &name, FileKind::Segment, store, first)?;
        let file_bytes = file
            .len()
            .map_err(|error| DiskError::new(Operation::Read, &name, error))?;
        Ok(Self {
            name,
            file,
            file_bytes: file_bytes.min(limit),
            version: header.version,
            begins: header.bytes,
            seed: store.records_seed(),
            at: header.bytes,
            window: Vec::new(),
            window_at: header.bytes,
            filled: 0,
        })
    }

    /// Where the next record should begin.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Where the first record begins.
    pub(crate) fn begins(&self) -> u64 {
        self.begins
    }

    /// In which version the segment was begun.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    pub(crate) fn into_file(self) -> F {
        self.file
    }

    pub(crate) fn bytes(&self, part: Range<usize>) -> &[u8] {
        &self.window[part]
    }

    /// Reads what is to be record `lsn`, and stands behind it if it is.
    pub(crate) fn step(&mut self, lsn: Lsn) -> Result<Step, DiskError> {
        let left = self.file_bytes - self.at;
        if left == 0 {
            return Ok(Step::End);
        }
        if left < HEAD_BYTES as u64 {
            return Ok(Step::Invalid(Damage::Record { lsn }));
        }
        let at = self.fill(HEAD_BYTES)?;
        let found = Head::decode(self.seed, &self.window[at..at + HEAD_BYTES]);
        let head = match found {
            Some(head) if self.is_unknown(&head) => {
                return Ok(Step::Invalid(Damage::Kind { kind: head.kind }));
            }
            Some(head) if head.kind == MARK && head.number == lsn.get() => {
                return Ok(Step::Mark(head));
            }
            Some(head) if is_record(head.kind) && head.number == lsn.get() => head,
            Some(_) | None => return Ok(Step::Invalid(Damage::Record { lsn })),
        };
        if head.total_bytes() > left && !is_planted(Fault::DeclaredLengthAllocated) {
            return Ok(Step::Invalid(Damage::Payload { lsn }));
        }
        let length = head.length as usize;
        let at = self.fill(HEAD_BYTES + length)? + HEAD_BYTES;
        let payload = at..at + length;
        if !head.fits(&self.window[payload.clone()]) && !is_planted(Fault::ChecksumIgnored) {
            return Ok(Step::Invalid(Damage::Payload { lsn }));
        }
        self.at += head.total_bytes();
        Ok(Step::Record(head, payload))
    }

    /// Stands before the record that `step` has returned last, again.
    pub(crate) fn step_back(&mut self, head: &Head) {
        self.at -= head.total_bytes();
    }

    /// Whether `head` is of a kind that a segment of this version cannot have, by what this program knows.
    fn is_unknown(&self, head: &Head) -> bool {
        match head.kind {
            RECORD => false,
            MARK => self.version < VERSION || head.length > 0,
            // Where a full disk had no room for a segment of this version, they are in one of the version before.
            FIRST_PART | MIDDLE_PART | LAST_PART => false,
            CUT | ABANDONED => head.length > 0,
            _ => true,
        }
    }

    /// Lets the window hold the next `bytes` bytes, and says where in it they begin.
    fn fill(&mut self, bytes: usize) -> Result<usize, DiskError> {
        let skip = (self.at - self.window_at) as usize;
        debug_assert!(skip <= self.filled, "nobody goes on beyond what was read");
        if skip + bytes <= self.filled {
            return Ok(skip);
        }
        let left = self.file_bytes - self.at;
        let wanted = bytes.max(WINDOW_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX)));
        // A large record's memory is given back when the next window is small again.
        if self.window.len() < wanted || self.window.len() > WINDOW_BYTES.max(wanted) {
            let mut window = vec![0; wanted];
            let kept = (self.filled - skip).min(wanted);
            window[..kept].copy_from_slice(&self.window[skip..skip + kept]);
            self.window = window;
            self.filled = kept;
        } else {
            self.window.copy_within(skip..self.filled, 0);
            self.filled -= skip;
        }
        self.window_at = self.at;
        let read_at = self.at + self.filled as u64;
        read_exact_at(&self.file, &mut self.window[self.filled..wanted], read_at)
            .map_err(|error| DiskError::new(Operation::Read, &self.name, error))?;
        self.filled = wanted;
        Ok(0)
    }

    /// Looks through all that stands from here on, where record `lsn` should have been.
    pub(crate) fn survey(&mut self, lsn: Lsn) -> Result<Survey, DiskError> {
        let mut survey = Survey::default();
        let room = (self.file_bytes - self.at) / HEAD_BYTES as u64;
        let lsns = lsn.get()..=lsn.get().saturating_add(room);
        let begin = self.at;
        while self.file_bytes > self.at {
            let left = self.file_bytes - self.at;
            let window = WINDOW_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
            let from = self.fill(window)?;
            let bytes = &self.window[from..from + window];
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                survey.bytes = self.at - begin + last as u64 + 1;
            }
            let mut from = 0;
            while let Some((at, head)) = find_record_head(self.seed, &bytes[from..], lsns.clone()) {
                let offset = self.at + (from + at) as u64;
                if self.is_unknown(&head) {
                    survey.unknown = Some((offset, head.kind));
                } else {
                    survey.note(&head, offset > begin);
                }
                // Heads do not overlap.
                from += at + HEAD_BYTES;
            }
            // The last bytes may be the start of a head.
            let overlap = if window as u64 == left {
                0
            } else {
                HEAD_BYTES - 1
            };
            self.at += (window - overlap) as u64;
        }
        (self.at, self.window_at, self.filled) = (begin, begin, 0);
        Ok(survey)
    }

    /// How many whole records stand within the next `bytes` bytes, where record `lsn` should have been.
    pub(crate) fn whole_records(&mut self, lsn: Lsn, bytes: u64) -> Result<u64, DiskError> {
        let (begin, mut whole) = (self.at, 0);
        let end = self.file_bytes.min(begin + bytes);
        let lsns = lsn.get()..=lsn.get().saturating_add(bytes / HEAD_BYTES as u64);
        while end - self.at >= HEAD_BYTES as u64 {
            let left = end - self.at;
            let window = WINDOW_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
            let from = self.fill(window)?;
            let found =
                find_record_head(self.seed, &self.window[from..from + window], lsns.clone());
            let Some((at, head)) = found else {
                self.at += (window - (HEAD_BYTES - 1)) as u64;
                continue;
            };
            self.at += at as u64;
            let is_there = is_record(head.kind) && head.total_bytes() <= end - self.at;
            let length = head.length as usize;
            if is_there && {
                let from = self.fill(HEAD_BYTES + length)? + HEAD_BYTES;
                head.fits(&self.window[from..from + length])
            } {
                whole += 1;
                self.at += head.total_bytes();
            } else {
                self.at += HEAD_BYTES as u64;
            }
        }
        (self.at, self.window_at, self.filled) = (begin, begin, 0);
        Ok(whole)
    }
}

/// What stands behind the place where a log cannot be read on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The newest record that anything there proves to have been synced.
    pub(crate) synced: Lsn,
    /// Bytes up to the last that is not zero.
    pub(crate) bytes: u64,
    /// Heads of records behind the place itself.
    pub(crate) records: u64,
    /// Whether any head stands there, of a record or a mark.
    pub(crate) has_heads: bool,
    /// The newest record of which there is anything.
    pub(crate) last: Lsn,
    /// A kind that this version does not know.
    pub(crate) unknown: Option<(u64, u8)>,
}

impl Survey {
    /// Notes a head, at the place itself or behind it.
    fn note(&mut self, head: &Head, is_behind: bool) {
        let number = Lsn::new(head.number);
        let is_mark = head.kind == MARK;
        self.has_heads |= is_behind;
        self.records += u64::from(is_behind && !is_mark);
        self.last = self.last.max(match is_mark {
            true => number.previous(),
            false => number,
        });
        self.synced = self.synced.max(head.synced());
    }
}
