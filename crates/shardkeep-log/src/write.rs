//! How records get from the buffer into segments.
//!
//! 1. A record that was written in part is cut off again before anything else happens to the log.
//! 2. Where there is no space everything is as it was: what is not written stays in the buffer.
//! 3. What was written ahead is not looked at again before it is used up; a file becomes longer only where
//!    it is as long as it was left.
//! 4. A new segment: the old one synced; the new one with its header, synced; its name, synced; the
//!    manifest. Only then it gets records. Not while a detached sync is under way: then the old one grows.
//! 5. Steps inside of a record are synced for the disk's sake alone: they move neither `written` nor `synced`.

use std::sync::Arc;

use crate::error::{DiskError, LogFailed, Operation, WriteError};
use crate::fault::{Fault, is_planted};
use crate::format::{FILE_HEADER_BYTES, FileHeader, FileKind, Head, Lsn, StoreId, VERSION};
use crate::limits::{AHEAD_WRITE_PART, SEGMENTS_MAX};
use crate::log::{Active, Log, Part};
use crate::manifest;
use crate::names::{segment_name, segment_temporary_name};
use crate::storage::{Storage, Unwritten, ZEROS, is_no_space, is_retryable_create, write_all_at};

/// How a large write goes on.
struct Steps<'s> {
    /// Bytes of the next step.
    bytes: usize,
    step: &'s mut dyn FnMut(usize) -> usize,
}

impl Steps<'_> {
    /// A step of `bytes` has ended.
    fn end(&mut self, bytes: usize) {
        self.bytes = (self.step)(bytes).max(1);
    }
}

/// Some whole records at the front of the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    bytes: usize,
    records: u64,
}

impl<S: Storage> Log<S> {
    /// Writes what was appended, in one piece where it fits into the segment. It then survives a crash of
    /// the process, but is synced only as far as new segments were begun. Blocks for the disk at times.
    ///
    /// # Errors
    /// `NoSpace`: some records may have been written, the others are kept and come first the next time.
    /// `Failed`: see [`Log::sync`].
    pub fn write(&mut self) -> Result<(), WriteError> {
        self.write_runs(None)
    }

    /// As [`Log::write`], for a caller that syncs next: more than `bytes` are written and made durable in
    /// steps, the first of that size, so that it can be seen how the disk gets on. After each, `step` is called
    /// with its bytes, and says how many the next one has; after a new segment was begun, with 0.
    ///
    /// # Errors
    /// As for [`Log::write`].
    pub fn write_in_steps(
        &mut self,
        bytes: usize,
        step: &mut dyn FnMut(usize) -> usize,
    ) -> Result<(), WriteError> {
        // A second sync of the file could take an error away from the one that runs.
        match self.detached {
            None => self.write_runs(Some(Steps { bytes, step })),
            Some(_) => self.write_runs(None),
        }
    }

    fn write_runs(&mut self, mut steps: Option<Steps<'_>>) -> Result<(), WriteError> {
        self.alive()?;
        let mut done = 0;
        let result = loop {
            if done == self.buffer.len() {
                break Ok(());
            }
            let run = self.fitting(done);
            let put = match run.bytes {
                0 => self.rotate().map(|()| {
                    if let Some(steps) = &mut steps {
                        steps.end(0);
                    }
                }),
                _ => self
                    .put(done, run, steps.as_mut())
                    .map_err(|(whole, error)| {
                        done += whole;
                        error
                    }),
            };
            match put {
                Ok(()) => done += run.bytes,
                // What was written of the run is counted, and what was not comes again.
                Err(WriteError::NoSpace(error)) if self.gives_up_reserve(&error.error) => {}
                Err(error) => break Err(error),
            }
        };
        self.forget_written(done);
        result
    }

    /// The records from `done` on that belong into the active segment.
    fn fitting(&self, done: usize) -> Run {
        let left = (self.buffer.len() - done) as u64;
        let room = self.options.segment_bytes.saturating_sub(self.active.end);
        if left <= room || self.segments.len() >= SEGMENTS_MAX || self.must_go_on() {
            return Run {
                bytes: left as usize,
                records: self.appended().get() - self.written.get(),
            };
        }
        // A segment takes at least one record, however large.
        let run = self.run(done, room);
        if run.bytes == 0 && self.active_is_empty() {
            let bytes = Head::own_total_bytes(&self.buffer[done..]);
            return self.run(done, bytes);
        }
        run
    }

    /// Whether the active segment must not end now: that takes a sync, and one is under way.
    fn must_go_on(&self) -> bool {
        self.detached.is_some() && !is_planted(Fault::RotatedDuringSync)
    }

    /// The whole records within the `room` bytes of the buffer from `done` on.
    fn run(&self, done: usize, room: u64) -> Run {
        let mut run = Run::default();
        while done + run.bytes < self.buffer.len() {
            let next = Head::own_total_bytes(&self.buffer[done + run.bytes..]);
            if run.bytes as u64 + next > room {
                break;
            }
            run.bytes += next as usize;
            run.records += 1;
        }
        run
    }

    /// Writes `run`, or says how many bytes of whole records were written nevertheless.
    fn put(
        &mut self,
        done: usize,
        run: Run,
        steps: Option<&mut Steps<'_>>,
    ) -> Result<(), (usize, WriteError)> {
        if self.active.end + run.bytes as u64 >= self.active.sized {
            self.look_at_length()
                .map_err(|failed| (0, WriteError::Failed(failed)))?;
        }
        let mut bytes = &self.buffer[done..done + run.bytes];
        if is_planted(Fault::LastRecordDroppedAtRotation) && done + run.bytes < self.buffer.len() {
            bytes = &bytes[..self.run(done, run.bytes as u64 - 1).bytes];
        }
        let put = match steps {
            Some(steps) if bytes.len() > steps.bytes => self.put_in_steps(bytes, steps),
            Some(_) | None => Ok(write_all_at(&*self.active.file, bytes, self.active.end)),
        };
        let put = match put {
            Ok(put) => put,
            Err(unsynced) => return Err((0, self.fail(unsynced).into())),
        };
        let Err(unwritten) = put else {
            self.wrote(run);
            return self
                .write_ahead(run)
                .map_err(|failed| (run.bytes, failed.into()));
        };
        let whole = self.run(done, unwritten.written as u64);
        self.wrote(whole);
        // Some of the record behind may be there, whatever was said.
        self.active.sized = u64::MAX;
        let error = DiskError::new(Operation::Write, &self.active.name, unwritten.error);
        let error = match self.cut() {
            Ok(()) if is_no_space(&error.error) => WriteError::NoSpace(error),
            Ok(()) => self.fail(error).into(),
            Err(failed) => failed.into(),
        };
        Err((whole.bytes, error))
    }

    /// Writes `bytes`, and syncs the file behind each step but the last.
    fn put_in_steps(
        &self,
        bytes: &[u8],
        steps: &mut Steps<'_>,
    ) -> Result<Result<(), Unwritten>, DiskError> {
        let Active {
            name, file, end, ..
        } = &self.active;
        let mut written = 0;
        loop {
            let rest = &bytes[written..];
            let piece = &rest[..rest.len().min(steps.bytes)];
            if let Err(unwritten) = write_all_at(&**file, piece, end + written as u64) {
                let written = written + unwritten.written;
                return Ok(Err(Unwritten {
                    written,
                    ..unwritten
                }));
            }
            written += piece.len();
            if written == bytes.len() {
                return Ok(Ok(()));
            }
            manifest::sync(&**file, name)?;
            steps.end(piece.len());
        }
    }

    fn wrote(&mut self, run: Run) {
        self.active.end += run.bytes as u64;
        self.active.sized = self.active.sized.max(self.active.end);
        self.written = Lsn::new(self.written.get() + run.records);
    }

    /// Writes zeros behind the records when the file has just grown, by a small write. That there is no
    /// space for them does not matter.
    fn write_ahead(&mut self, run: Run) -> Result<(), LogFailed> {
        let Active { end, sized, .. } = self.active;
        let ahead = self.options.ahead_bytes;
        let until = end.saturating_add(ahead).min(self.options.segment_bytes);
        if sized > end || run.bytes as u64 > ahead / AHEAD_WRITE_PART {
            return Ok(());
        }
        let mut at = end;
        while at < until {
            let piece = ZEROS.len().min((until - at) as usize);
            if let Err(unwritten) = write_all_at(&*self.active.file, &ZEROS[..piece], at) {
                self.active.sized = u64::MAX;
                self.cut()?;
                if is_no_space(&unwritten.error) {
                    return Ok(());
                }
                let name = &self.active.name;
                let error = DiskError::new(Operation::Write, name, unwritten.error);
                return Err(self.fail(error));
            }
            at += piece as u64;
            self.active.sized = at;
        }
        Ok(())
    }

    /// Ends the segment that holds the newest records, if it holds any, so that a snapshot begun now replaces
    /// it whole. While a detached sync is under way it goes on. Blocks for the disk.
    ///
    /// # Errors
    /// As for [`Log::write`]; then the segment goes on.
    pub fn end_segment(&mut self) -> Result<(), WriteError> {
        self.alive()?;
        let goes_on =
            self.active_is_empty() || self.segments.len() >= SEGMENTS_MAX || self.must_go_on();
        if goes_on {
            return Ok(());
        }
        loop {
            match self.rotate() {
                Err(WriteError::NoSpace(error)) if self.gives_up_reserve(&error.error) => {}
                ended => return ended,
            }
        }
    }

    /// Begins a new segment.
    fn rotate(&mut self) -> Result<(), WriteError> {
        self.look()?;
        self.cut()?;
        self.sync_active()?;
        (self.progress)();
        let first = self.written.next();
        let begun = begin_segment(&*self.storage, self.store, first, &*self.progress);
        let active = begun.map_err(|begun| match begun {
            NotBegun::NoSpace(error) => WriteError::NoSpace(error),
            NotBegun::Failed(error) => self.fail(error).into(),
        })?;
        let part = Part::Segment(first);
        let mut manifest = self.manifest();
        manifest.segments.push(first);
        if let Err(error) = self.replace_manifest(&manifest) {
            if matches!(error, WriteError::NoSpace(_)) {
                // No manifest knows it. If it stays, it is replaced by the next attempt.
                drop(self.storage.remove(&part.name()));
            }
            return Err(error);
        }
        self.segments.push(Arc::new(part));
        self.active = active;
        Ok(self.sweep()?)
    }
}

impl<S: Storage> Log<S> {
    /// Goes on in a segment of this version, where the last one is of an earlier one. Where there is no
    /// space the next segment is the first.
    pub(crate) fn raise(&mut self) -> Result<(), LogFailed> {
        if self.active.version >= VERSION || self.segments.len() >= SEGMENTS_MAX {
            return Ok(());
        }
        if !self.active_is_empty() {
            return match self.rotate() {
                Ok(()) | Err(WriteError::NoSpace(_)) => Ok(()),
                Err(WriteError::Failed(failed)) => Err(failed),
            };
        }
        match renew_segment(&*self.storage, self.store, self.written.next()) {
            Ok(active) => self.active = active,
            Err(NotBegun::NoSpace(_)) => {}
            Err(NotBegun::Failed(error)) => return Err(self.fail(error)),
        }
        Ok(())
    }
}

/// Why there is no new segment.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// All is as it was, and trying again may help.
    NoSpace(DiskError),
    /// The disk has failed.
    Failed(DiskError),
}

/// Makes a segment without records, durable in content and name, which no manifest lists.
/// Calls `progress` after each sync.
pub(crate) fn begin_segment<S: Storage>(
    storage: &S,
    store: StoreId,
    first: Lsn,
    progress: &dyn Fn(),
) -> Result<Active<S::File>, NotBegun> {
    let name = segment_name(first);
    let file = manifest::create(storage, &name).map_err(not_created)?;
    write_header(storage, &file, &name, store, first)?;
    progress();
    manifest::sync_directory(storage, &name).map_err(NotBegun::Failed)?;
    progress();
    Ok(Active::without_records(name, file))
}

/// Makes a segment without records anew, in one step: one of an earlier version that the manifest lists.
fn renew_segment<S: Storage>(
    storage: &S,
    store: StoreId,
    first: Lsn,
) -> Result<Active<S::File>, NotBegun> {
    let (name, temporary) = (segment_name(first), segment_temporary_name(first));
    let file = manifest::create(storage, &temporary).map_err(not_created)?;
    write_header(storage, &file, &temporary, store, first)?;
    storage
        .rename(&temporary, &name)
        .map_err(|error| NotBegun::Failed(DiskError::new(Operation::Rename, &temporary, error)))?;
    manifest::sync_directory(storage, &name).map_err(NotBegun::Failed)?;
    Ok(Active::without_records(name, file))
}

fn not_created(error: DiskError) -> NotBegun {
    match is_retryable_create(&error.error) {
        true => NotBegun::NoSpace(error),
        false => NotBegun::Failed(error),
    }
}

impl<F> Active<F> {
    fn without_records(name: String, file: F) -> Self {
        const BEGINS: u64 = FILE_HEADER_BYTES as u64;
        Self {
            name,
            file: Arc::new(file),
            version: VERSION,
            begins: BEGINS,
            end: BEGINS,
            sized: BEGINS,
        }
    }
}

/// Writes the header of a new segment, durable but for its name.
fn write_header<S: Storage>(
    storage: &S,
    file: &S::File,
    name: &str,
    store: StoreId,
    first: Lsn,
) -> Result<(), NotBegun> {
    let header = FileHeader::new(FileKind::Segment, store, first);
    if let Err(unwritten) = write_all_at(file, &header.encode(), 0) {
        // If it stays, it is replaced by the next attempt.
        drop(storage.remove(name));
        let is_space = is_no_space(&unwritten.error);
        let error = DiskError::new(Operation::Write, name, unwritten.error);
        return Err(if is_space {
            NotBegun::NoSpace(error)
        } else {
            NotBegun::Failed(error)
        });
    }
    manifest::sync_new(file, name).map_err(NotBegun::Failed)
}
