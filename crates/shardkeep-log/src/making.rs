//! A directory that is made beside the place where it will stand, and gets there by one rename.
//!
//! 1. What is at the place is never touched, unless it is an empty directory, which goes.
//! 2. Both the directory and the one above it are held open: what others put in their places meanwhile is
//!    neither renamed nor removed.
//! 3. Dropped before it has got its name, it is removed with all that is in it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::directory::{Above, Directory, DirectoryError};

/// A directory without its name.
pub struct NewDirectory {
    above: Above,
    /// What it is called until then.
    name: OsString,
    directory: Arc<Directory>,
    is_named: bool,
}

impl NewDirectory {
    /// Makes `path`, which must not be there; what is above it must be. Blocks for the disk.
    ///
    /// # Errors
    /// It is there (`Refused`, and the kind of its source is `AlreadyExists`), or the operating system
    /// refuses.
    pub fn make(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        let refused = |source| DirectoryError::Refused {
            what: "creating",
            path: path.to_owned(),
            source,
        };
        let (above, name) = Above::of(path).map_err(refused)?;
        let held = above.make_new(&name).map_err(refused)?;
        // What cannot be locked is not left behind.
        let directory = Directory::write(path, held)
            .map(Arc::new)
            .inspect_err(|_| drop(above.remove_empty(&name)))?;
        Ok(Self {
            above,
            name,
            directory,
            is_named: false,
        })
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Renames it, in the directory in which it is. Not durable before [`NewDirectory::sync_name`].
    ///
    /// # Errors
    /// Something else than an empty directory has that name; somebody has moved what was made; or as the
    /// operating system says. It has not got the name.
    pub fn rename(&mut self, name: &OsStr) -> io::Result<()> {
        self.directory.look_at_path().map_err(io::Error::other)?;
        self.above.rename(&self.name, name)?;
        self.is_named = true;
        Ok(())
    }

    /// Makes its name durable. Blocks for the disk.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn sync_name(&self) -> io::Result<()> {
        self.above.sync()
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.is_named {
            // What cannot be removed stays under a name that says what it is.
            drop(self.above.remove(&self.name, &self.directory));
        }
    }
}

impl fmt::Debug for NewDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NewDirectory").field(&self.name).finish()
    }
}
