//! A disk in memory, behind the log's seam.
//!
//! 1. It remembers, if asked, what it held before every operation that changes something: any of them
//!    can be the last before a crash.
//! 2. Nobody may ask for far more bytes than a file has: who does takes memory on somebody's word.
//! 3. An error that was ordered comes once, at its operation, or from there on until it is called off.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shardkeep_log::{BootId, Displaced, Displacement, File, Space, Storage};

use super::state::{SECTOR_BYTES, State};

/// Largest read that may go beyond the end of a file, in bytes: a header or a head.
const EAGER_READ_BYTES_MAX: usize = 64;

/// An operation that changes the disk, or reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A file was made.
    Create,
    /// Bytes were written.
    Write,
    /// The length was set.
    Resize,
    /// Space was taken.
    Allocate,
    /// Content was synced.
    Sync,
    /// A name was changed.
    Rename,
    /// A name was removed.
    Remove,
    /// Names were synced.
    SyncDirectory,
    /// Bytes were read. Not counted among the others.
    Read,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No space, for writes that make a file longer, and for new files.
    NoSpace,
    /// Files may not grow, for writes that make one longer.
    TooLarge,
    /// No space either, but only a sync says so.
    NoSpaceAtSync,
    /// No file descriptor, for new files.
    NoFiles,
    /// A write takes some of its bytes only.
    ShortWrite,
    /// Interrupted.
    Interrupted,
    /// The device fails. A sync that fails is forgotten: what it should have written counts as written.
    Device,
}

impl Trouble {
    fn error(self) -> io::Error {
        match self {
            Self::NoSpace | Self::NoSpaceAtSync => io::ErrorKind::StorageFull.into(),
            Self::TooLarge => io::ErrorKind::FileTooLarge.into(),
            Self::NoFiles => io::Error::from_raw_os_error(24),
            Self::Interrupted | Self::ShortWrite => io::ErrorKind::Interrupted.into(),
            Self::Device => io::Error::from_raw_os_error(5),
        }
    }

    fn concerns(self, call: Call) -> bool {
        match self {
            Self::NoSpace => matches!(call, Call::Create | Call::Write | Call::Allocate),
            Self::TooLarge => matches!(call, Call::Write | Call::Allocate),
            Self::NoSpaceAtSync => matches!(call, Call::Sync),
            Self::NoFiles => matches!(call, Call::Create),
            Self::ShortWrite => matches!(call, Call::Write),
            Self::Interrupted => matches!(call, Call::Write | Call::Read),
            Self::Device => true,
        }
    }
}

/// When something goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// What.
    pub trouble: Trouble,
    /// At which operation, counted from 0; for reads, at which read.
    pub at: u64,
    /// For how many operations it goes on.
    pub during: u64,
    /// Whether reads are meant, and not what changes the disk.
    pub of_reads: bool,
}

/// What the disk held before an operation.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The operation.
    pub call: Call,
    /// What the disk held.
    pub state: State,
    /// What was noted last: see [`Disk::note`].
    pub note: u64,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Operations that changed something, and reads.
    counts: [u64; 2],
    moments: Option<Vec<Moment>>,
    note: u64,
    order: Option<Order>,
    /// Bytes that it holds at most.
    capacity: Option<u64>,
    /// Somebody has put another directory in the place of this one.
    is_replaced: bool,
    complaint: Option<String>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
}

impl Disk {
    /// A disk that holds `state`.
    #[must_use]
    pub fn new(state: State) -> Self {
        let disk = Self::default();
        disk.inner().state = state;
        disk
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what it holds before every operation from now on.
    pub fn remember(&self) {
        self.inner().moments = Some(Vec::new());
    }

    /// What it remembers; it goes on remembering.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        let mut inner = self.inner();
        inner
            .moments
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Lets every moment from now on carry this number.
    pub fn note(&self, note: u64) {
        self.inner().note = note;
    }

    /// Lets something go wrong, or nothing any more.
    pub fn order(&self, order: Option<Order>) {
        self.inner().order = order;
    }

    /// Lets it hold so many bytes at most, whole sectors and one for each name; less than it holds already is
    /// no space at all.
    pub fn limit(&self, capacity: u64) {
        self.inner().capacity = Some(capacity);
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.inner().free()
    }

    /// Lets somebody else put another directory in the place of this one, or put this one back.
    pub fn replace_directory(&self, is_replaced: bool) {
        self.inner().is_replaced = is_replaced;
    }

    /// Lets somebody else change what it holds.
    pub fn tamper(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.inner().state);
    }

    /// Operations so far that changed something.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.inner().counts[0]
    }

    /// Reads so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.inner().counts[1]
    }

    /// What it holds.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// What somebody did that nobody may.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.inner().complaint.clone()
    }
}

impl Inner {
    fn free(&self) -> u64 {
        let capacity = self.capacity.unwrap_or(u64::MAX);
        capacity.saturating_sub(self.state.used())
    }

    /// Of `bytes` that go to `offset` of a file, those for which there is space.
    fn fitting(&self, inode: u64, bytes: usize, offset: usize) -> usize {
        let (Some(inode), Some(_)) = (self.state.inodes.get(&inode), self.capacity) else {
            return bytes;
        };
        let sector = SECTOR_BYTES as u64;
        let end = inode.len().next_multiple_of(sector) + self.free() / sector * sector;
        bytes.min(
            usize::try_from(end)
                .unwrap_or(usize::MAX)
                .saturating_sub(offset),
        )
    }

    /// Counts an operation, and says whether it fails, and how.
    fn begin(&mut self, call: Call) -> Result<Option<Trouble>, io::Error> {
        let of_reads = call == Call::Read;
        if let Some(moments) = self.moments.as_mut().filter(|_| !of_reads) {
            moments.push(Moment {
                call,
                state: self.state.clone(),
                note: self.note,
            });
        }
        let count = &mut self.counts[usize::from(of_reads)];
        let number = *count;
        *count += 1;
        let order = self.order.filter(|order| {
            let is_time = order.at <= number && number - order.at < order.during;
            order.of_reads == of_reads && is_time && order.trouble.concerns(call)
        });
        match order.map(|order| order.trouble) {
            Some(trouble @ (Trouble::ShortWrite | Trouble::NoSpace | Trouble::TooLarge))
                if call == Call::Write =>
            {
                Ok(Some(trouble))
            }
            Some(trouble @ (Trouble::Device | Trouble::NoSpaceAtSync))
                if matches!(call, Call::Sync | Call::Write) =>
            {
                Ok(Some(trouble))
            }
            Some(trouble) => Err(trouble.error()),
            None => Ok(None),
        }
    }
}

impl Storage for Disk {
    type File = DiskFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().state.names().map(str::to_owned).collect())
    }

    fn create_new(&self, name: &str) -> io::Result<DiskFile> {
        let mut inner = self.inner();
        inner.begin(Call::Create)?;
        if inner.state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if inner.free() < SECTOR_BYTES as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = inner.state.link(name);
        drop(inner);
        let disk = self.clone();
        Ok(DiskFile { disk, inode })
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        let inode = self.inner().state.names.get(name).copied();
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        let disk = self.clone();
        Ok(DiskFile { disk, inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.begin(Call::Rename)?;
        match inner.state.rename(from, to) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.begin(Call::Remove)?;
        match inner.state.unlink(name) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.begin(Call::SyncDirectory)?;
        inner.state.sync_names();
        Ok(())
    }

    fn space(&self) -> Option<Space> {
        let inner = self.inner();
        let total = inner.capacity?;
        Some(Space {
            free: inner.free(),
            total,
            largest_file: u64::MAX,
        })
    }

    fn boot(&self) -> Option<BootId> {
        Some(self.inner().state.boot())
    }

    fn look(&self, name: &str, file: &DiskFile) -> Result<u64, Displaced> {
        let inner = self.inner();
        let displaced = |what: &str, how| {
            let what = what.to_owned();
            Err(Displaced { what, how })
        };
        if inner.is_replaced {
            return displaced("the disk", Displacement::Moved);
        }
        let state = &inner.state;
        let inode = state.inodes.get(&file.inode);
        match inode.filter(|_| state.names.get(name) == Some(&file.inode)) {
            None => displaced(name, Displacement::Renamed),
            Some(inode) => match state.links(file.inode) {
                1 => Ok(inode.live.len() as u64),
                names => displaced(name, Displacement::Shared { names }),
            },
        }
    }
}

/// A file of a [`Disk`].
#[derive(Debug)]
pub struct DiskFile {
    disk: Disk,
    inode: u64,
}

impl File for DiskFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        inner.begin(Call::Read)?;
        let Inner {
            state, complaint, ..
        } = &mut *inner;
        let Some(inode) = state.inodes.get(&self.inode) else {
            complaint.get_or_insert_with(|| "a file was read that has been removed".to_owned());
            return Err(io::ErrorKind::NotFound.into());
        };
        let rest = inode.live.get(offset as usize..).unwrap_or_default();
        if bytes.len() > rest.len().max(EAGER_READ_BYTES_MAX) {
            let text = format!("{} bytes were asked of {}", bytes.len(), rest.len());
            complaint.get_or_insert(text);
        }
        let read = bytes.len().min(rest.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        let trouble = inner.begin(Call::Write)?;
        let fitting = inner.fitting(self.inode, bytes.len(), offset as usize);
        let Some(inode) = inner.state.inodes.get_mut(&self.inode) else {
            return Ok(bytes.len());
        };
        let offset = offset as usize;
        let room = inode.live.len().saturating_sub(offset);
        let (taken, error) = match trouble {
            None if fitting == 0 && !bytes.is_empty() => (0, Some(Trouble::NoSpace.error())),
            None => (fitting, None),
            Some(Trouble::NoSpace | Trouble::TooLarge) if bytes.len() <= room => {
                (bytes.len(), None)
            }
            // A disk that is nearly full takes some more.
            Some(Trouble::NoSpace) if bytes.len() > SLACK_BYTES + room => {
                (room + SLACK_BYTES, None)
            }
            Some(Trouble::ShortWrite) => (bytes.len().div_ceil(2), None),
            Some(trouble) => (0, Some(trouble.error())),
        };
        inode.write(&bytes[..taken], offset);
        match error {
            None => Ok(taken),
            Some(error) => Err(error),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.begin(Call::Resize)?;
        if let Some(inode) = inner.state.inodes.get_mut(&self.inode) {
            inode.taken = inode.taken.min(bytes);
            inode.set_len(bytes as usize);
        }
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.begin(Call::Allocate)?;
        let free = inner.free();
        let Some(inode) = inner.state.inodes.get_mut(&self.inode) else {
            return Ok(());
        };
        if bytes > inode.len() + free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.taken = inode.taken.max(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.inner();
        let inode = inner.state.inodes.get(&self.inode);
        Ok(inode.map_or(0, |inode| inode.len()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let trouble = inner.begin(Call::Sync)?;
        let Some(inode) = inner.state.inodes.get_mut(&self.inode) else {
            return Ok(());
        };
        match trouble {
            None => {
                inode.sync();
                Ok(())
            }
            Some(trouble) => {
                inode.forget();
                Err(trouble.error())
            }
        }
    }
}

/// Bytes that a full disk still takes, before it says so.
const SLACK_BYTES: usize = 37;
