//! A directory of the operating system, held open, for one opener at a time.
//!
//! 1. A process that may write it holds an exclusive lock on the directory itself and on an empty file in it;
//!    the locks go with the process, however that ends. One that only looks holds shared ones. (The file is
//!    for programs that know nothing else, and for file systems that lock no directories.)
//! 2. The path is followed once. Whatever is made, opened, renamed or removed later is so in the directory
//!    that was opened, wherever it is then; nothing at the path that is another's is ever touched.
//! 3. No name in it is followed elsewhere: a symbolic link is refused.
//! 4. Files are made for their owner alone (0600), and so is the directory (0700).
//! 5. A directory that was made is durable: the one above it has been synced.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, Stat, flock};
use rustix::io::Errno;

use crate::format::BootId;
use crate::names::LOCK;
use crate::storage::{Displaced, Displacement, File, Space, Storage, write_zeros};

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
    /// This process has it open: use that store, or close it first.
    AlreadyOpen {
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
            Self::AlreadyOpen { path } => {
                write!(
                    f,
                    "directory {} is already open in this process",
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
            Self::Locked { .. } | Self::AlreadyOpen { .. } => None,
            Self::Refused { source, .. } => std::error::Error::source(source),
        }
    }
}

/// A locked directory, held open.
// The fields are dropped in this order: the locks are given back before this process forgets them.
#[derive(Debug)]
pub struct Directory {
    /// As it was given, for those who read it.
    path: PathBuf,
    /// The same from the root, so that it leads to the same place from every working directory.
    place: PathBuf,
    held: fs::File,
    may_write: bool,
    /// Holds the older lock; a directory that can only be read and never had one has none.
    lock: Option<fs::File>,
    _own: Own,
    /// The process that locked it.
    process: u32,
}

impl Drop for Directory {
    /// A child that was forked has the same locks, and would keep them for as long as it lives: so they are
    /// given back by name, by the process that took them.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            for locked in [Some(&self.held), self.lock.as_ref()].into_iter().flatten() {
                #[expect(clippy::disallowed_methods, reason = "blocking point B25: never waits")]
                let _given_back = flock(locked, FlockOperation::Unlock);
            }
        }
    }
}

impl Directory {
    /// Opens `path` for reading and writing, and makes it if nothing is there; what is above it must be.
    ///
    /// # Errors
    /// It is open already, in another process or in this one, or the operating system refuses.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        match open_directory(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return Self::write(path, opened.map_err(refused("opening", path))?),
        }
        let held = Above::of(path)
            .and_then(|(above, name)| above.make(&name))
            .map_err(refused("creating", path))?;
        Self::write(path, held)
    }

    /// Opens `path`, which must be there, for reading and writing.
    ///
    /// # Errors
    /// It is open already, in another process or in this one, or the operating system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        let held = open_directory(path).map_err(refused("opening", path))?;
        Self::write(path, held)
    }

    /// Opens `path` for reading only; the disk is not written at all.
    ///
    /// # Errors
    /// It is open for writing, in another process or in this one, or the operating system refuses.
    pub fn inspect(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        let held = open_directory(path).map_err(refused("opening", path))?;
        let how = FlockOperation::NonBlockingLockShared;
        take_directory(&held, how, path)?;
        let lock = match open_at(&held, LOCK, OFlags::RDONLY) {
            Ok(lock) => {
                take(&lock, how, &held, path)?;
                Some(lock)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(refused("opening", &path.join(LOCK))(error)),
        };
        Self::hold(path, held, lock, false)
    }

    /// Locks `held`, which was found at `path`, for writing.
    pub(crate) fn write(path: &Path, held: fs::File) -> Result<Self, DirectoryError> {
        let how = FlockOperation::NonBlockingLockExclusive;
        take_directory(&held, how, path)?;
        let lock = open_at(&held, LOCK, OFlags::RDWR | OFlags::CREATE);
        let lock = lock.map_err(refused("opening", &path.join(LOCK)))?;
        take(&lock, how, &held, path)?;
        Self::hold(path, held, Some(lock), true)
    }

    fn hold(
        path: &Path,
        held: fs::File,
        lock: Option<fs::File>,
        may_write: bool,
    ) -> Result<Self, DirectoryError> {
        Ok(Self {
            path: path.to_owned(),
            place: std::path::absolute(path).map_err(refused("opening", path))?,
            _own: Own::note(&held).map_err(refused("opening", path))?,
            process: std::process::id(),
            held,
            may_write,
            lock,
        })
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether the path still leads here.
    pub(crate) fn look_at_path(&self) -> Result<(), Displaced> {
        compare(&self.held, rustix::fs::stat(&self.place))
            .map(drop)
            .map_err(|other| match other {
                Other::Another => Displacement::Moved,
                Other::Unknown(why) => Displacement::Unknown { why },
            })
            .map_err(|how| how.of(format!("directory {}", self.path.display())))
    }

    /// Looks whether `name` leads to `file`.
    fn look_at(&self, name: &str, file: &fs::File) -> Result<Stat, Displaced> {
        let found = rustix::fs::statat(&self.held, name, AtFlags::SYMLINK_NOFOLLOW);
        compare(file, found)
            .map_err(|other| match other {
                Other::Another => Displacement::Renamed,
                Other::Unknown(why) => Displacement::Unknown { why },
            })
            .map_err(|how| how.of(name))
    }

    fn names(&self) -> io::Result<Vec<std::ffi::CString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.held)? {
            let entry = entry?;
            if ![c".", c".."].contains(&entry.file_name()) {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    }
}

/// The directory above a store's, held open, to make and to name directories in it.
#[derive(Debug)]
pub(crate) struct Above(fs::File);

impl Above {
    /// What is above `path`, and the last name of that.
    pub(crate) fn of(path: &Path) -> io::Result<(Self, std::ffi::OsString)> {
        let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
        let above = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            Some(_) | None => Path::new("."),
        };
        Ok((Self(open_directory(above)?), name.to_owned()))
    }

    /// Makes a directory, durable, or opens one that somebody has made just now.
    fn make(&self, name: &OsStr) -> io::Result<fs::File> {
        match self.make_new(name) {
            Ok(held) => {
                self.sync()?;
                Ok(held)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(name),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory that must not be there.
    pub(crate) fn make_new(&self, name: &OsStr) -> io::Result<fs::File> {
        rustix::fs::mkdirat(&self.0, name, Mode::RWXU)?;
        self.open(name)
    }

    fn open(&self, name: &OsStr) -> io::Result<fs::File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = retry(|| rustix::fs::openat(&self.0, name, flags, Mode::empty()))?;
        Ok(held.into())
    }

    /// Removes a directory without anything in it.
    pub(crate) fn remove_empty(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Gives a directory another name in here. Nothing but an empty directory may have that.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes `directory` and all that is in it, if `name` leads to it.
    pub(crate) fn remove(&self, name: &OsStr, directory: &Directory) -> io::Result<()> {
        let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !is_same(&rustix::fs::fstat(&directory.held)?, &found) {
            return Err(io::ErrorKind::NotFound.into());
        }
        for name in directory.names()? {
            rustix::fs::unlinkat(&directory.held, name, AtFlags::empty())?;
        }
        self.remove_empty(name)
    }

    /// Makes the names in it durable. Blocks for the disk.
    #[expect(clippy::disallowed_methods, reason = "blocking point B24: the disk")]
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// The directories that this process has open, by device and inode, with the number of the process: what a
/// child has inherited it has not opened.
static OWN: Mutex<Vec<(u64, u64, u32)>> = Mutex::new(Vec::new());

/// That this process has a directory open.
#[derive(Debug)]
struct Own((u64, u64, u32));

impl Own {
    fn of(held: &fs::File) -> io::Result<(u64, u64, u32)> {
        let metadata = held.metadata()?;
        Ok((metadata.dev(), metadata.ino(), std::process::id()))
    }

    fn note(held: &fs::File) -> io::Result<Self> {
        let own = Self::of(held)?;
        OWN.lock().push(own);
        Ok(Self(own))
    }

    fn is_noted(held: &fs::File) -> bool {
        Self::of(held).is_ok_and(|own| OWN.lock().contains(&own))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut own = OWN.lock();
        if let Some(at) = own.iter().position(|own| *own == self.0) {
            own.swap_remove(at);
        }
    }
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Refused { what, path, source }
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    rustix::io::retry_on_intr(call)
}

fn open_directory(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = retry(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?;
    Ok(held.into())
}

/// Opens `name` in `directory`, and nothing that it may lead to.
fn open_at(directory: &fs::File, name: &str, flags: OFlags) -> io::Result<fs::File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match retry(|| rustix::fs::openat(directory, name, flags, mode)) {
        Ok(file) => Ok(file.into()),
        Err(Errno::LOOP) => Err(io::Error::other(
            "it is a symbolic link, and a store has none",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Locks a directory, where the file system locks directories; elsewhere the file in it has to do.
fn take_directory(held: &fs::File, how: FlockOperation, path: &Path) -> Result<(), DirectoryError> {
    match take(held, how, held, path) {
        Err(DirectoryError::Refused { source, .. }) if locks_no_directories(&source) => Ok(()),
        taken => taken,
    }
}

/// NFS wants a file that may be written, which no directory is; others say that they do not do it.
fn locks_no_directories(error: &io::Error) -> bool {
    const SAYS: [Errno; 4] = [Errno::BADF, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|error| SAYS.contains(&error))
}

/// Locks `file`, which is the directory `held` or in it.
#[expect(clippy::disallowed_methods, reason = "blocking point B25: never waits")]
fn take(
    file: &fs::File,
    how: FlockOperation,
    held: &fs::File,
    path: &Path,
) -> Result<(), DirectoryError> {
    match retry(|| flock(file, how)) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let path = path.to_owned();
            Err(match Own::is_noted(held) {
                true => DirectoryError::AlreadyOpen { path },
                false => DirectoryError::Locked { path },
            })
        }
        Err(error) => Err(refused("locking", path)(error.into())),
    }
}

/// What is not what is held.
enum Other {
    Another,
    Unknown(String),
}

/// What is held, if that is what was found under its name.
fn compare(held: &fs::File, found: rustix::io::Result<Stat>) -> Result<Stat, Other> {
    let unknown = |error: Errno| Other::Unknown(io::Error::from(error).to_string());
    let held = rustix::fs::fstat(held).map_err(unknown)?;
    match found {
        Ok(found) if is_same(&held, &found) => Ok(held),
        Ok(_) => Err(Other::Another),
        // Where the way there is barred, nothing can be told but that it was not removed.
        Err(error) if is_barred(error) && held.st_nlink > 0 => Ok(held),
        Err(error) if is_absent(error) || is_barred(error) => Err(Other::Another),
        Err(error) => Err(unknown(error)),
    }
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn is_absent(error: Errno) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].contains(&error)
}

/// Whether it is this process that may not look, or cannot just now.
fn is_barred(error: Errno) -> bool {
    const BARRED: [Errno; 5] = [
        Errno::ACCESS,
        Errno::PERM,
        Errno::NOMEM,
        Errno::INTR,
        Errno::NAMETOOLONG,
    ];
    BARRED.contains(&error)
}

impl Storage for Directory {
    type File = DirectoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.names()?.into_iter();
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn create_new(&self, name: &str) -> io::Result<DirectoryFile> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        open_at(&self.held, name, flags).map(DirectoryFile)
    }

    fn open(&self, name: &str) -> io::Result<DirectoryFile> {
        let flags = if self.may_write {
            OFlags::RDWR
        } else {
            OFlags::RDONLY
        };
        open_at(&self.held, name, flags).map(DirectoryFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.held, from, &self.held, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.held, name, AtFlags::empty())?)
    }

    fn space(&self) -> Option<Space> {
        let of = rustix::fs::fstatvfs(&self.held).ok()?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        // A file system without bounds says that it has no blocks.
        (of.f_blocks > 0).then(|| Space {
            // For root too: of what is kept back it cannot have all (ext4 keeps clusters for itself), and what
            // it can have is to spare.
            free: of.f_bavail.saturating_mul(of.f_frsize),
            total: of.f_blocks.saturating_mul(of.f_frsize),
            largest_file: limit.current.unwrap_or(u64::MAX),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "blocking point B26: the disk")]
    fn sync_directory(&self) -> io::Result<()> {
        self.held.sync_all()
    }

    fn look(&self, name: &str, file: &DirectoryFile) -> Result<u64, Displaced> {
        self.look_at_path()?;
        if let Some(lock) = &self.lock {
            self.look_at(LOCK, lock)?;
        }
        let stat = self.look_at(name, &file.0)?;
        if stat.st_nlink > 1 {
            let names = file.0.metadata().map_or(0, |metadata| metadata.nlink());
            return Err(Displacement::Shared { names }.of(name));
        }
        Ok(stat.st_size.unsigned_abs())
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

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                // Not on this file system.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => break,
                allocated => return Ok(allocated?),
            }
        }
        write_zeros(self, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[expect(clippy::disallowed_methods, reason = "blocking point B27: the disk")]
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
