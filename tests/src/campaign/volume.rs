//! A small file system of its own, whose power can be cut.
//!
//! 1. Its image lies in memory, so that nothing is left of it, however the campaign ends.
//! 2. After a cut what was not synced is gone, and nothing can be read or written until it is mounted again.
//! 3. Whoever asks the system for its boot hears of another one after each cut.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::harness::Scratch;

use super::bench::run;

/// What happens to the journal of the file system when the power goes: `EXT4_GOING_FLAGS_*`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// All is written before.
    Everything = 0,
    /// The journal is written before, the data is not.
    JournalKept = 1,
    /// Nothing is.
    Nothing = 2,
}

/// Where the system names its boot; in the campaign's own namespace it can be another file.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// `EXT4_IOC_SHUTDOWN`, which has no safe call in Rust.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', int(sys.argv[2])))";

/// An ext4 file system, mounted.
#[derive(Debug)]
pub(super) struct Volume {
    scratch: Scratch,
    boots: Cell<u64>,
}

impl Volume {
    /// An empty one of so many MiB.
    pub(super) fn new(mib: u64) -> io::Result<Self> {
        let volume = Self {
            scratch: Scratch::new()?,
            boots: Cell::new(0),
        };
        run(&[
            "mount",
            "-t",
            "tmpfs",
            "campaign",
            &text(volume.scratch.path()),
        ])?;
        let image = volume.image();
        fs::File::create(&image)?.set_len(mib << 20)?;
        run(&["mkfs.ext4", "-q", "-m", "0", &text(&image)])?;
        fs::create_dir(volume.path())?;
        volume.mount()?;
        volume.boot()?;
        run(&["mount", "--bind", &text(&volume.boot_id()), BOOT_ID])?;
        Ok(volume)
    }

    fn boot_id(&self) -> PathBuf {
        self.scratch.path().join("boot-id")
    }

    /// Begins another boot.
    fn boot(&self) -> io::Result<()> {
        let number = self.boots.get() + 1;
        self.boots.set(number);
        fs::write(
            self.boot_id(),
            format!("00000000-0000-4000-8000-{number:012x}\n"),
        )
    }

    fn image(&self) -> PathBuf {
        self.scratch.path().join("image")
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.scratch.path().join("mounted")
    }

    fn mount(&self) -> io::Result<()> {
        let (image, path) = (self.image(), self.path());
        run(&["mount", "-o", "loop", &text(&image), &text(&path)])
    }

    /// Cuts the power.
    pub(super) fn cut(&self, cut: Cut) -> io::Result<()> {
        let flags = (cut as u32).to_string();
        run(&["python3", "-c", SHUTDOWN, &text(&self.path()), &flags])
    }

    /// Mounts it anew, as after a start of the machine. Nobody may have a file of it open.
    pub(super) fn remount(&self) -> io::Result<()> {
        run(&["umount", &text(&self.path())])?;
        self.boot()?;
        self.mount()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // All fail when it was never mounted; what is still open goes with the campaign.
        drop(run(&["umount", "-l", BOOT_ID]));
        drop(run(&["umount", "-l", &text(&self.path())]));
        drop(run(&["umount", "-l", &text(self.scratch.path())]));
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
