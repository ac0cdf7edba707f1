//! What the allocator of the process holds, and how it gives memory back to the system.
//!
//! Which one it is, the binary decides (`#[global_allocator]`), and says so by [`use_jemalloc`]. A program
//! with another allocator says nothing; then only the kernel's figures are told, and nothing is purged.
//!
//! 1. Without [`use_jemalloc`] nothing here asks jemalloc for anything: it may be linked and not be used.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tikv_jemalloc_ctl::{
    Access, AsName, Result, arenas, background_thread, epoch, max_background_threads, stats,
    version,
};

use crate::say::say;

/// How long jemalloc keeps pages that are free, in milliseconds; they go back little by little meanwhile.
/// Ten times shorter than its default: what a FLUSHALL has freed is gone after a second, and values that
/// come and go at full speed still find their pages.
const DIRTY_DECAY_MS: isize = 1_000;

/// Bytes that are sure to be "oversize" for jemalloc (8 MiB and more), which keeps these apart.
const OVERSIZE_BYTES: usize = 16 * 1024 * 1024;

/// Threads that give free pages back, so that no thread that serves does it. One is enough for all arenas:
/// it hands whole runs of pages to the kernel.
const PURGING_THREADS: usize = 1;

/// Whether jemalloc is the allocator of this process.
static USES_JEMALLOC: AtomicBool = AtomicBool::new(false);

/// What the allocator holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Given out and not freed, with what it was rounded up by.
    pub(crate) allocated: u64,
    /// Pages with something allocated in them.
    pub(crate) active: u64,
    /// Pages that are in memory, by the allocator's account.
    pub(crate) resident: u64,
    /// Addresses that are kept without memory behind them.
    pub(crate) retained: u64,
}

/// Says that jemalloc is the allocator of this process, and makes it give free pages back soon and in the
/// background. To be called once, at the start of `main`, before there are other threads.
pub fn use_jemalloc() {
    USES_JEMALLOC.store(true, Relaxed);
    if let Err(error) = configure() {
        say(&format!(
            "warning: the allocator keeps its defaults, freed memory goes back later: {error}"
        ));
    }
}

fn configure() -> Result<()> {
    // For the arenas to come, and for the one that there is.
    b"arenas.dirty_decay_ms\0".name().write(DIRTY_DECAY_MS)?;
    b"arena.0.dirty_decay_ms\0".name().write(DIRTY_DECAY_MS)?;
    give_back_oversize_at_once()?;
    max_background_threads::write(PURGING_THREADS)?;
    background_thread::write(true)
}

/// Large values and buffers come seldom, and are much: their pages go back as they are freed. Their arena is
/// the last one, and begins with the first of them.
fn give_back_oversize_at_once() -> Result<()> {
    drop(black_box(Vec::<u8>::with_capacity(OVERSIZE_BYTES)));
    let last = arenas::narenas::read()?.saturating_sub(1);
    let decay = format!("arena.{last}.dirty_decay_ms\0");
    decay.name().write(0_isize)
}

/// The allocator as Redis names it.
pub(crate) fn name() -> String {
    match USES_JEMALLOC.load(Relaxed).then(version::read) {
        Some(Ok(text)) => {
            let number = text.split('-').next().unwrap_or(text);
            format!("jemalloc-{number}")
        }
        Some(Err(_)) => "jemalloc".to_owned(),
        None => "libc".to_owned(),
    }
}

/// What it holds now, if it tells.
pub(crate) fn look() -> Option<Holding> {
    USES_JEMALLOC.load(Relaxed).then(holding)?.ok()
}

fn holding() -> Result<Holding> {
    epoch::advance()?;
    Ok(Holding {
        allocated: stats::allocated::read()? as u64,
        active: stats::active::read()? as u64,
        resident: stats::resident::read()? as u64,
        retained: stats::retained::read()? as u64,
    })
}

/// Gives all free pages back to the system, at once. Blocks for the kernel: some 100 ms for a GiB.
/// `false` if the allocator refuses; without jemalloc there is nothing to do.
pub(crate) fn purge() -> bool {
    !USES_JEMALLOC.load(Relaxed) || purge_arenas().is_ok()
}

fn purge_arenas() -> Result<()> {
    for arena in 0..arenas::narenas::read()? {
        let decay = format!("arena.{arena}.dirty_decay_ms\0");
        // Not every number is an arena yet. Those that are give all back as soon as they may keep nothing.
        if let Ok(before) = Access::<isize>::update(decay.name(), 0) {
            decay.name().write(before)?;
        }
    }
    Ok(())
}
