//! The seam to the disk: one directory, its files, and nothing else that this crate ever asks for.
//!
//! Not a file system: names have no slashes, files are read and written at offsets.
//!
//! 1. What `sync_data` has covered survives a power cut; what it has not may survive in any part.
//! 2. A name created, renamed or removed does so too only once `sync_directory` has covered it.
//! 3. Calls may be interrupted and writes may be short; the functions here take care of both.
//! 4. Names are those of the directory that was opened, wherever it is moved; `look` says that it was.

use std::fmt;
use std::io;

use crate::format::BootId;

/// A directory of files.
pub trait Storage: Send + Sync {
    /// One of its files.
    type File: File;

    /// The names in it, in any order.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file for reading and writing.
    ///
    /// # Errors
    /// The name is taken (`AlreadyExists`), or as the operating system says.
    fn create_new(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading, and for writing where the directory may be written.
    ///
    /// # Errors
    /// There is none (`NotFound`), or as the operating system says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in one step; a file that had it is gone.
    ///
    /// # Errors
    /// As the operating system says; then nothing has changed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Those who have it open may go on reading.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable. Blocks for the disk.
    ///
    /// # Errors
    /// As the operating system says; then nobody knows which names are.
    fn sync_directory(&self) -> io::Result<()>;

    /// The present boot of the system, where that is known: within one boot nothing that was written can
    /// be missing, synced or not, however a process ended.
    fn boot(&self) -> Option<BootId> {
        None
    }

    /// Looks whether the directory is where it was opened and still locked, and whether `name` leads to
    /// `file` and nothing else does. Returns how many bytes `file` has. Cheap: no content is read, and
    /// nothing is waited for.
    ///
    /// # Errors
    /// What is not as it was left: somebody else was at work in the directory, or above it.
    fn look(&self, name: &str, file: &Self::File) -> Result<u64, Displaced>;

    /// How much space there is; `None` where that is not known.
    fn space(&self) -> Option<Space> {
        None
    }
}

/// Space on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// That this process may still use.
    pub free: u64,
    /// In all.
    pub total: u64,
    /// Of the largest file that this process may write.
    pub largest_file: u64,
}

/// Something is not where it was left, or not as it was left. What is written from then on may be found
/// nowhere, or in several places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// The name of a file, or the directory and its path.
    pub what: String,
    /// How it was found.
    pub how: Displacement,
}

/// How something was found that is not where or as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Displacement {
    /// The path of the directory leads to another one, or to none.
    Moved,
    /// The name of the file leads to another one, or to none.
    Renamed,
    /// The file, which is written, has more names than one: somebody else may write it too.
    Shared {
        /// How many names there are.
        names: u64,
    },
    /// The file is not as long as it was left.
    Length {
        /// Bytes that it has.
        bytes: u64,
        /// Bytes that it was left with.
        left: u64,
    },
    /// The operating system does not say how things stand.
    Unknown {
        /// What it says instead.
        why: String,
    },
}

impl Displacement {
    pub(crate) fn of(self, what: impl Into<String>) -> Displaced {
        let (what, how) = (what.into(), self);
        Displaced { what, how }
    }
}

impl fmt::Display for Displacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => write!(f, "moved, removed or replaced since it was opened"),
            Self::Renamed => write!(f, "renamed, removed or replaced since it was opened"),
            Self::Shared { names } => write!(
                f,
                "it has {names} names, and a file that is written must have one: make copies, not hard \
                 links"
            ),
            Self::Length { bytes, left } => write!(
                f,
                "it has {bytes} bytes and was left with {left}: something else has cut or written it"
            ),
            Self::Unknown { why } => write!(f, "whether it is still there is not known: {why}"),
        }
    }
}

impl std::error::Error for Displacement {}

impl fmt::Display for Displaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.how)
    }
}

impl std::error::Error for Displaced {}

/// A file of a [`Storage`].
pub trait File: Send + Sync {
    /// Reads some bytes at `offset`, at least one unless the file ends there.
    ///
    /// # Errors
    /// As the operating system says; `Interrupted` is tried again.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset`, at least one.
    ///
    /// # Errors
    /// As the operating system says; `Interrupted` is tried again.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// As the operating system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Takes space on the disk for the first `bytes` bytes, which the file then has at least; what it holds
    /// stays. Blocks for the disk where the system has no call for it.
    ///
    /// # Errors
    /// As the operating system says; then some of the space may be taken.
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        write_zeros(self, bytes)
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has none.
    ///
    /// # Errors
    /// As for [`File::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes content and length durable. Blocks for the disk.
    ///
    /// # Errors
    /// As the operating system says; then nobody knows what is durable, and asking again does not help.
    fn sync_data(&self) -> io::Result<()>;
}

/// What zeros are taken from.
pub(crate) static ZEROS: [u8; 16 * 1_024] = [0; 16 * 1_024];

/// A write that went wrong, and how far it came.
#[derive(Debug)]
pub(crate) struct Unwritten {
    /// Bytes that were written.
    pub(crate) written: usize,
    /// Why not more.
    pub(crate) error: io::Error,
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all_at<F: File + ?Sized>(
    file: &F,
    bytes: &[u8],
    offset: u64,
) -> Result<(), Unwritten> {
    let mut written = 0;
    while written < bytes.len() {
        let error = match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
            Ok(more) => {
                written += more;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err(Unwritten { written, error });
    }
    Ok(())
}

/// Lengthens `file` to `bytes` bytes with zeros that are written.
pub(crate) fn write_zeros<F: File + ?Sized>(file: &F, bytes: u64) -> io::Result<()> {
    let mut at = file.len()?;
    while at < bytes {
        let piece = ZEROS.len().min((bytes - at) as usize);
        write_all_at(file, &ZEROS[..piece], at).map_err(|unwritten| unwritten.error)?;
        at += piece as u64;
    }
    Ok(())
}

/// Reads until `bytes` is full or the file ends, and says how many there were.
pub(crate) fn read_full_at(file: &impl File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Fills `bytes`; a file that ends before is an error.
pub(crate) fn read_exact_at(file: &impl File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    match read_full_at(file, bytes, offset)? {
        read if read == bytes.len() => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter while it was read",
        )),
    }
}

/// Whether `error` means that there is no space, or nothing else that the caller must make room for.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether `error` passes when another file of this process goes.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Whether `error`, met when a file was to be created, leaves things as they were: no space, too many
/// open files, no memory in the kernel, or a device that failed before anything depended on it.
pub(crate) fn is_retryable_create(error: &io::Error) -> bool {
    is_no_space(error)
        || matches!(error.kind(), io::ErrorKind::OutOfMemory)
        || error
            .raw_os_error()
            .is_some_and(|code| RETRYABLE_CREATE.contains(&code))
}

/// EIO, ENFILE, EMFILE.
#[cfg(unix)]
const RETRYABLE_CREATE: [i32; 3] = [
    rustix::io::Errno::IO.raw_os_error(),
    rustix::io::Errno::NFILE.raw_os_error(),
    rustix::io::Errno::MFILE.raw_os_error(),
];
#[cfg(not(unix))]
const RETRYABLE_CREATE: [i32; 0] = [];
