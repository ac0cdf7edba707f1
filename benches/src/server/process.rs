//! What the kernel knows of a process: processor time, resident memory; and where it may run.
//!
//! Linux only: everything is read from `/proc`.

use std::fs;
use std::ops::Sub;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Fields of `/proc/PID/stat` after the name in parentheses; the first of them is field 3.
const STAT_USER: usize = 14 - 3;
const STAT_SYSTEM: usize = 15 - 3;

/// Processor time of a whole process, in microseconds; the kernel gives it in steps of one tick
/// (10 ms), so a window should last seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CpuTime {
    /// In the program itself.
    pub(crate) user_us: f64,
    /// In the kernel on its behalf.
    pub(crate) system_us: f64,
}

impl CpuTime {
    /// All threads of `pid`, those that have ended included.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let tick_us = 1e6 / rustix::param::clock_ticks_per_second() as f64;
        let (user, system) = ticks(&text).ok_or_else(|| anyhow!("{path}: {text:?}"))?;
        Ok(Self {
            user_us: user as f64 * tick_us,
            system_us: system as f64 * tick_us,
        })
    }

    /// User and system time together.
    pub(crate) fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us - earlier.user_us,
            system_us: self.system_us - earlier.system_us,
        }
    }
}

fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The name may contain anything, also parentheses and spaces.
    let (_name, rest) = stat.rsplit_once(')')?;
    let field = |index: usize| rest.split_whitespace().nth(index)?.parse().ok();
    Some((field(STAT_USER)?, field(STAT_SYSTEM)?))
}

/// Resident bytes of `pid`.
///
/// # Errors
/// The process has ended.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/statm");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .ok_or_else(|| anyhow!("{path}: {text:?}"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Resident bytes of `pid` and what its children have beside it: after a fork, the pages that one of the
/// two has changed. A child that ends meanwhile counts nothing.
///
/// # Errors
/// The process has ended.
pub(crate) fn resident_bytes_of_family(pid: u32) -> Result<u64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let own_of_children = children
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| fs::read_to_string(format!("/proc/{child}/smaps_rollup")).ok())
        .map(|text| private_bytes(&text))
        .sum::<u64>();
    Ok(resident_bytes(pid)? + own_of_children)
}

/// What nobody shares, of a `smaps_rollup`.
fn private_bytes(rollup: &str) -> u64 {
    let of = |line: &str| -> Option<u64> {
        let (name, rest) = line.split_once(':')?;
        let private = matches!(name, "Private_Clean" | "Private_Dirty");
        let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
        private.then_some(kib * 1_024)
    };
    rollup.lines().filter_map(of).sum()
}

/// Raises the limit of open files to at least `needed`, for this process and those it starts.
///
/// # Errors
/// The hard limit is lower.
pub(crate) fn raise_open_files(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        allowed >= needed,
        "{needed} open files needed, the hard limit is {allowed}"
    );
    let raised = limit.maximum.unwrap_or(needed);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        },
    )
    .context("raise the limit of open files")
}

/// Keeps the calling thread, and whatever it starts from now on, on one core.
///
/// # Errors
/// There is no such core.
pub(crate) fn pin_to(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("pin to core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0";
        assert_eq!(ticks(stat), Some((70, 30)));
        assert_eq!(ticks("42 (a) S 1"), None);
    }

    #[test]
    fn only_private_pages_of_a_child_count() {
        let rollup = "00-ff ---p 00 00:00 0 [rollup]\nRss: 90 kB\nShared_Dirty: 50 kB\n\
                      Private_Clean: 8 kB\nPrivate_Dirty:  32 kB\nPrivate_Hugetlb: 1 kB\n";
        assert_eq!(private_bytes(rollup), 40 * 1_024);
        let pid = std::process::id();
        assert!(resident_bytes_of_family(pid).unwrap() > 0);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        assert!(CpuTime::of(pid).unwrap().total_us() >= 0.0);
    }

    #[test]
    fn a_limit_beyond_the_hard_one_is_refused_with_both_numbers() {
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = raise_open_files(u64::MAX).unwrap_err().to_string();
            assert!(error.contains("open files needed"), "{error}");
        }
    }
}
