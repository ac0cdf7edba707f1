//! Namespaces of its own for a whole campaign.
//!
//! 1. Processes: the campaign is the first one, and all others end with it.
//! 2. Mounts: gone with the last process, and their loop devices with them.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Says to the second start that it is one.
const INSIDE: &str = "CAMPAIGN_IS_CONTAINED";

/// What must be there, and the package of Debian that has it.
const TOOLS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("python3", "python3"),
    ("prlimit", "util-linux"),
    ("strace", "strace"),
    ("faketime", "faketime"),
];

/// Exit code of a campaign that a signal ended.
const INTERRUPTED: i32 = 130;

/// Starts this program again in namespaces of its own, and returns only there.
///
/// # Errors
/// A tool is missing, or the kernel refuses: it takes root.
pub fn contain() -> io::Result<()> {
    if env::var_os(INSIDE).is_some() {
        // The first process of a namespace is not ended by a signal that it does not handle.
        for signal in [SIGINT, SIGTERM] {
            let always = Arc::new(AtomicBool::new(true));
            register_conditional_shutdown(signal, INTERRUPTED, always)?;
        }
        return Ok(());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| env::split_paths(&path).any(|dir| dir.join(tool).exists());
    if let Some((tool, package)) = TOOLS.iter().find(|(tool, _)| !is_there(tool)) {
        return Err(io::Error::other(format!(
            "{tool} is missing (package {package})"
        )));
    }
    let error = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error)
}
