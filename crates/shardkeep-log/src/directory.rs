//! A directory of the operating system, for one process at a time.
//!
//! 1. Who may write it holds an exclusive lock on an empty file in it, and the lock goes with the
//!    process, however that ends. Who only looks holds a shared one.
//! 2. Files are made for their owner alone (0600), and so is the directory (0700).
//! 3. A directory that was made is durable: the one above it has been synced.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::format::BootId;
use crate::names::LOCK;
use crate::storage::{File, Storage};

/// Where Linux names the boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A directory was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Another process has it open: stop that one first.
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refuses.
    Refused {
        /// What was asked.
        what: &'static str,
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => {
                write!(
                    f,
                    "directory {} is in use by another process",
                    path.display()
                )
            }
            Self::Refused { what, path, source } => {
                write!(f, "{what} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for DirectoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Locked { .. } => None,
            Self::Refused { source, .. } => Some(source),
        }
    }
}

/// A locked directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// For syncing names.
    directory: fs::File,
    may_write: bool,
    /// Holds the lock; a directory that can only be read and never had one has none.
    _lock: Option<fs::File>,
}

impl Directory {
    /// Opens `path` for reading and writing, and makes it if nothing is there; what is above it must be.
    ///
    /// # Errors
    /// Another process has it open, or the operating system refuses.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                let above = match path.parent() {
                    Some(above) if !above.as_os_str().is_empty() => above,
                    Some(_) | None => Path::new("."),
                };
                #[expect(clippy::disallowed_methods, reason = "blocking point B24: the disk")]
                fs::File::open(above)
                    .and_then(|above| above.sync_all())
                    .map_err(refused("syncing", above))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused("creating", path)(error)),
        }
        Self::open(path)
    }

    /// Opens `path`, which must be there, for reading and writing.
    ///
    /// # Errors
    /// Another process has it open, or the operating system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let directory = open_directory(path)?;
        let lock_path = path.join(LOCK);
        let lock = options
            .open(&lock_path)
            .map_err(refused("opening", &lock_path))?;
        take(&lock, FlockOperation::NonBlockingLockExclusive, path)?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            may_write: true,
            _lock: Some(lock),
        })
    }

    /// Opens `path` for reading only; the disk is not written at all.
    ///
    /// # Errors
    /// Another process has it open for writing, or the operating system refuses.
    pub fn inspect(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        let directory = open_directory(path)?;
        let lock_path = path.join(LOCK);
        let lock = match fs::File::open(&lock_path) {
            Ok(lock) => {
                take(&lock, FlockOperation::NonBlockingLockShared, path)?;
                Some(lock)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(refused("opening", &lock_path)(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            directory,
            may_write: false,
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Refused { what, path, source }
}

fn open_directory(path: &Path) -> Result<fs::File, DirectoryError> {
    let directory = fs::File::open(path).map_err(refused("opening", path))?;
    match directory.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(directory),
        Ok(_) => Err(refused("opening", path)(
            io::ErrorKind::NotADirectory.into(),
        )),
        Err(error) => Err(refused("opening", path)(error)),
    }
}

#[expect(clippy::disallowed_methods, reason = "blocking point B25: never waits")]
fn take(lock: &fs::File, how: FlockOperation, path: &Path) -> Result<(), DirectoryError> {
    loop {
        match flock(lock, how) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let path = path.to_owned();
                return Err(DirectoryError::Locked { path });
            }
            Err(error) => return Err(refused("locking", path)(error.into())),
        }
    }
}

impl Storage for Directory {
    type File = DirectoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?;
        let names = names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn create_new(&self, name: &str) -> io::Result<DirectoryFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(self.path.join(name)).map(DirectoryFile)
    }

    fn open(&self, name: &str) -> io::Result<DirectoryFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.may_write);
        options.open(self.path.join(name)).map(DirectoryFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    #[expect(clippy::disallowed_methods, reason = "blocking point B26: the disk")]
    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    /// As Linux names it; unknown elsewhere, and where that cannot be read.
    fn boot(&self) -> Option<BootId> {
        BootId::parse(&fs::read_to_string(BOOT_ID).ok()?)
    }
}

/// A file of a [`Directory`].
#[derive(Debug)]
pub struct DirectoryFile(fs::File);

impl File for DirectoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[expect(clippy::disallowed_methods, reason = "blocking point B27: the disk")]
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
