//! What the configuration asks of the machine: variables and files.
//!
//! The seam that lets tests give both as data. Decides nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Permission of everybody to read a file.
const MODE_OTHERS_READ: u32 = 0o004;

/// A file's beginning.
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    /// Whether every user of the machine may read it.
    pub(crate) world_readable: bool,
}

/// Variables and files, of this machine or of a test.
pub(crate) trait Outside {
    /// Every variable of the environment whose name begins with `prefix`; what is not Unicode is
    /// replaced by marks that no setting allows.
    fn variables(&self, prefix: &str) -> Vec<(String, String)>;

    /// At most `bytes_max` bytes and one more, which tells that the file is longer. Blocks as the
    /// file system does.
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Contents>;
}

/// The real one.
pub(crate) struct Machine;

impl Outside for Machine {
    fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect()
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Contents> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).map_or(u64::MAX, |max| max.saturating_add(1));
        #[expect(clippy::disallowed_methods, reason = "blocking point B46: the file")]
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Contents {
            bytes,
            world_readable: metadata.is_file() && metadata.mode() & MODE_OTHERS_READ != 0,
        })
    }
}
