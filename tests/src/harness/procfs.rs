//! What the kernel knows of a process. Linux only: `/proc`.

use std::fs;
use std::io;

/// Resident bytes of process `pid`.
///
/// # Errors
/// The process has ended.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    Ok(field(pid, "VmRSS:")? * 1_024)
}

/// Threads of process `pid`.
///
/// # Errors
/// The process has ended.
pub fn threads(pid: u32) -> io::Result<u64> {
    field(pid, "Threads:")
}

/// Open descriptors of process `pid`.
///
/// # Errors
/// The process has ended.
pub fn open_files(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Whether process `pid` has a handler for the signal of this number.
///
/// # Errors
/// The process has ended.
pub fn handles(pid: u32, signal: i32) -> io::Result<bool> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path)?;
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok())
        .map(|mask| mask >> (signal - 1) & 1 == 1)
        .ok_or_else(|| io::Error::other(format!("no SigCgt: in {path}")))
}

fn field(pid: u32, name: &str) -> io::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path)?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no {name} in {path}")))
}
