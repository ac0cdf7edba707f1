//! Room kept for a full disk: a file of real blocks that is removed when the disk refuses.
//!
//! What frees room needs room: what waits in the buffer is to be written, a removal is a record, and a
//! snapshot begins with files of its own. The reserve is what all of these live on.
//!
//! Not part of the store: its bytes mean nothing, no manifest lists it, and whether a crash leaves it, a
//! part of it or nothing decides nothing but what the next opening takes.
//!
//! 1. It is given up once, whole, and only against an error that says that there is no space.
//! 2. It is taken again only where that leaves a quarter of it free: what has just resumed does not stop at
//!    the next write. At an opening it is taken where it fits at all, and one of no size of its own as large as
//!    half of what is free: a disk that is nearly full is not full.
//! 3. That it is there or not never fails the log.

use std::fmt;
use std::io;

use crate::error::{DiskError, Operation};
use crate::limits::{
    RESERVE_BYTES_DEFAULT, RESERVE_BYTES_MIN, RESERVE_PART_FOR_SNAPSHOT, RESERVE_PART_OF_DISK,
    RESERVE_PART_TO_SPARE,
};
use crate::log::Log;
use crate::manifest;
use crate::names::RESERVE;
use crate::open_error::OpenError;
use crate::storage::{File, Space, Storage, is_out_of_space};

/// How much room is kept for a full disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// None: without space nothing is written, whatever it is.
    #[default]
    None,
    /// [`RESERVE_BYTES_DEFAULT`], but a sixteenth of the file system, and half of what is free at the opening, at
    /// most.
    Fitting,
    /// These bytes.
    Bytes(u64),
}

impl Reserve {
    /// Bytes to keep where there is `space`; 0 where none can be kept.
    fn bytes(self, space: Option<Space>) -> u64 {
        let total = space.map_or(u64::MAX, |space| space.total);
        let wanted = match self {
            Self::None => return 0,
            Self::Fitting => {
                let share = (total / RESERVE_PART_OF_DISK).max(RESERVE_BYTES_MIN);
                share.min(RESERVE_BYTES_DEFAULT)
            }
            Self::Bytes(bytes) => bytes,
        };
        wanted.min(space.map_or(u64::MAX, |space| space.largest_file))
    }
}

/// Room for records behind those that were written.
#[derive(Clone, Debug)]
pub enum Room {
    /// The reserve is whole, or none is kept.
    Ample,
    /// The reserve was given up, and cannot be taken again: what is left is for what makes room.
    Scarce(Shortage),
    /// As `Scarce`, and what is left is for the beginning of a snapshot alone.
    None(Shortage),
}

/// Why the reserve cannot be taken again.
#[derive(Clone, Debug)]
pub struct Shortage {
    /// Bytes of the reserve.
    pub reserve: u64,
    /// Bytes that must be free, for it and some to spare.
    pub needed: u64,
    /// Bytes that are free; `None` where the system does not say.
    pub free: Option<u64>,
    /// What the disk said.
    pub error: Option<DiskError>,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reserve, needed, ..
        } = self;
        write!(
            f,
            "the reserve of {reserve} bytes is not there, and is taken when {needed} bytes are free"
        )?;
        if let Some(free) = self.free {
            write!(f, "; {free} are")?;
        }
        match &self.error {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}

/// One of `parts` parts of a reserve; one that is larger than the default has no larger parts.
fn part(reserve: u64, parts: u64) -> u64 {
    reserve.min(RESERVE_BYTES_DEFAULT) / parts
}

/// What the log knows of its reserve.
#[derive(Debug)]
pub(crate) struct Kept {
    wanted: Reserve,
    /// As it was computed last.
    bytes: u64,
    is_whole: bool,
}

impl Kept {
    pub(crate) fn new(wanted: Reserve) -> Self {
        Self {
            wanted,
            bytes: 0,
            is_whole: false,
        }
    }
}

impl<S: Storage> Log<S> {
    /// Bytes that are kept for a full disk, or were before the disk was full; 0 for none.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve.bytes
    }

    /// Whether the reserve was given up, and not taken again.
    #[must_use]
    pub fn is_reserve_spent(&self) -> bool {
        self.reserve.bytes > 0 && !self.reserve.is_whole
    }

    /// How much room there is for more. Where the reserve was given up it is taken again, if there is space
    /// for it. Blocks for the disk then.
    pub fn room(&mut self) -> Room {
        if !self.is_reserve_spent() {
            return Room::Ample;
        }
        // A file that was read until now may go, and make room.
        let swept = self.sweep();
        let space = self.storage.space();
        let reserve = self.reserve.bytes;
        let needed = reserve.saturating_add(part(reserve, RESERVE_PART_TO_SPARE));
        let free = space.map(|space| space.free);
        let mut shortage = Shortage {
            reserve,
            needed,
            free,
            error: None,
        };
        if let Err(failed) = swept {
            // The next write or look hears that from the log.
            shortage.error = Some(failed.cause);
            return Room::None(shortage);
        }
        if free.is_none_or(|free| free >= needed) {
            match self.take_reserve(reserve) {
                Ok(()) => return Room::Ample,
                Err(error) => shortage.error = Some(error),
            }
        }
        match free.is_some_and(|free| free < part(reserve, RESERVE_PART_FOR_SNAPSHOT)) {
            true => Room::None(shortage),
            false => Room::Scarce(shortage),
        }
    }

    /// Sees to the reserve of a store that has just been opened, where it was `given_up` for that or not.
    ///
    /// # Errors
    /// One of this size can never be kept here.
    pub(crate) fn open_reserve(&mut self, given_up: bool) -> Result<(), OpenError> {
        let space = self.storage.space();
        let bytes = self.reserve.wanted.bytes(space);
        if space.is_some_and(|space| space.total < bytes) {
            return Err(OpenError::Setting {
                name: "disk_reserve",
                value: bytes,
                allowed: "what the file system can hold",
            });
        }
        self.reserve.bytes = bytes;
        self.reserve.is_whole = bytes > 0 && self.is_there(bytes);
        if self.reserve.is_whole {
            return Ok(());
        }
        self.remove_reserve();
        match bytes > 0 && !given_up {
            true => self.take_first(self.storage.space().map(|space| space.free)),
            false => drop(self.room()),
        }
        Ok(())
    }

    /// Takes the reserve for the first time since the opening, where `free` bytes are.
    fn take_first(&mut self, free: Option<u64>) {
        if let (Reserve::Fitting, Some(free)) = (self.reserve.wanted, free) {
            self.reserve.bytes = self.reserve.bytes.min(free / 2).max(RESERVE_BYTES_MIN);
        }
        let bytes = self.reserve.bytes;
        let fits = free.is_none_or(|free| free >= bytes);
        if !fits || self.take_reserve(bytes).is_err() {
            drop(self.room());
        }
    }

    /// Removes what is there of another size, or no longer wanted.
    fn remove_reserve(&self) {
        if self.storage.open(RESERVE).is_ok() {
            // What stays is replaced by the next that is taken.
            drop(self.storage.remove(RESERVE));
        }
    }

    /// Whether the reserve of another process is there, with all its blocks.
    fn is_there(&self, bytes: u64) -> bool {
        let Ok(file) = self.storage.open(RESERVE) else {
            return false;
        };
        let length = file.len().unwrap_or(0);
        // What was copied may be full of holes.
        length >= bytes
            && (length == bytes || file.set_len(bytes).is_ok())
            && file.allocate(bytes).is_ok()
    }

    fn take_reserve(&mut self, bytes: u64) -> Result<(), DiskError> {
        let file = manifest::create(&*self.storage, RESERVE)?;
        if let Err(error) = file.allocate(bytes) {
            drop(file);
            drop(self.storage.remove(RESERVE));
            return Err(DiskError::new(Operation::Allocate, RESERVE, error));
        }
        self.reserve.is_whole = true;
        Ok(())
    }

    /// Gives the reserve up, where it is there and may help against `error`; says whether it was. What met
    /// the error is then to be tried again.
    pub(crate) fn gives_up_reserve(&mut self, error: &io::Error) -> bool {
        if !self.reserve.is_whole || !is_out_of_space(error) {
            return false;
        }
        let removed = self.storage.remove(RESERVE);
        self.reserve.is_whole = removed
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
        removed.is_ok()
    }
}

/// Gives up the reserve of a store that is to be opened or repaired on a disk too full for that; says whether
/// there was one.
pub(crate) fn make_room_to_open<S: Storage>(storage: &S) -> bool {
    let is_full = |space: Space| space.free < RESERVE_BYTES_MIN;
    storage.space().is_some_and(is_full) && storage.remove(RESERVE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_reserve_fits_the_file_system_and_the_largest_file() {
        let space = |total, largest_file| {
            Some(Space {
                free: 0,
                total,
                largest_file,
            })
        };
        let cases = [
            (Reserve::None, space(1 << 40, u64::MAX), 0),
            (Reserve::Fitting, None, RESERVE_BYTES_DEFAULT),
            (
                Reserve::Fitting,
                space(1 << 40, u64::MAX),
                RESERVE_BYTES_DEFAULT,
            ),
            (Reserve::Fitting, space(48 * MIB, u64::MAX), 3 * MIB),
            (Reserve::Fitting, space(MIB, u64::MAX), RESERVE_BYTES_MIN),
            (Reserve::Fitting, space(1 << 40, 2 * MIB), 2 * MIB),
            (Reserve::Bytes(5 * MIB), space(16 * MIB, u64::MAX), 5 * MIB),
            (Reserve::Bytes(5 * MIB), space(1 << 40, 0), 0),
        ];
        for (wanted, space, bytes) in cases {
            assert_eq!(wanted.bytes(space), bytes, "{wanted:?} of {space:?}");
        }
    }
}
