//! Directories for the time of a run, and what lies below them.
//!
//! 1. A directory goes when its value does, also when a measurement fails.
//! 2. What a killed run has left goes at the beginning of the next one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock;
use crate::figures::Spread;

/// How the directories are called, before the id of the process.
const PREFIX: &str = "shardkeep-bench-durable-";
/// Appends and syncs that say how fast the disk is.
const SYNCS: usize = 200;
/// Bytes of each: about a record with a value of 64 bytes.
const SYNC_BYTES: usize = 100;

/// A directory of this run.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the directory in `parent`, and removes those of runs that are no more.
    ///
    /// # Errors
    /// `parent` cannot be read or written.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        for entry in fs::read_dir(parent).with_context(|| parent.display().to_string())? {
            let path = entry?.path();
            if path.file_name().is_some_and(is_left_over) {
                fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    /// An empty directory in it.
    ///
    /// # Errors
    /// It exists, or cannot be made.
    pub(super) fn directory(&self, name: &str) -> Result<Part> {
        let path = self.path.join(name);
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Part { path })
    }

    /// The file system, and how long it takes to append a little and sync it: the price of every promise.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(super) fn disk(&self) -> Result<Disk> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mut file = File::create(self.path.join("syncs"))?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let begun = clock::now();
            file.write_all(&[b'x'; SYNC_BYTES])?;
            file.sync_data()?;
            times.push(micros(clock::now() - begun));
        }
        Ok(Disk {
            file_system: file_system(&mounts, &self.path.canonicalize()?),
            sync_us: Spread::of(times),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is no reason to lose what was measured.
        let _removed = fs::remove_dir_all(&self.path);
    }
}

/// A directory of one engine or server, which goes when it is done with it.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
}

impl Part {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.path);
    }
}

/// Where everything is kept.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) file_system: String,
    pub(super) sync_us: Spread,
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Whether the run that made it has ended.
fn is_left_over(name: &OsStr) -> bool {
    let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    id.and_then(|id| id.parse::<u32>().ok())
        .is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists())
}

/// Kind and device of the deepest mount above `path`.
fn file_system(mounts: &str, path: &Path) -> String {
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
        path.starts_with(place)
            .then(|| (place.len(), format!("{kind} on {device}")))
    });
    above
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".to_owned(), |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_names_the_file_system() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpx xfs rw 0 0\n";
        let of = |path| file_system(mounts, Path::new(path));
        assert_eq!(of("/tmp/x"), "tmpfs on tmpfs");
        assert_eq!(of("/tmpx/y"), "xfs on /dev/b");
        assert_eq!(of("/home"), "ext4 on /dev/a");
        assert_eq!(file_system("", Path::new("/")), "unknown");
    }

    #[test]
    fn directories_go_with_their_values_and_those_of_the_dead_with_the_next_run() {
        let parent = std::env::temp_dir().join(format!("scratch-test-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let dead = parent.join(format!("{PREFIX}{}", u32::MAX));
        fs::create_dir(&dead).unwrap();
        let scratch = Scratch::new(&parent).unwrap();
        assert!(!dead.exists());
        let part = scratch.directory("a").unwrap();
        assert!(part.path().exists() && scratch.directory("a").is_err());
        assert!(scratch.disk().unwrap().sync_us.min > 0.0);
        drop(part);
        assert!(scratch.directory("a").is_ok());
        drop(scratch);
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
        fs::remove_dir(&parent).unwrap();
    }
}
