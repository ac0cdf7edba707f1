//! How long the channel's `try_recv` spins while a sender stands between claiming its cell and
//! filling it.
//!
//! A mailbox is a bounded crossbeam channel. A sender first claims a cell (moves the tail on), then
//! fills it. A receiver that comes in between sees a channel that is not empty and a cell that is
//! not filled; `try_recv` then spins until it is, and never yields. Between claim and fill lie a few
//! nanoseconds, unless the scheduler takes the sender's core away just there: then the receiver, who
//! holds a shard, spins until the sender runs again.
//!
//! So the receiver's own processor time is what is measured, call by call: being preempted itself
//! costs it none, spinning does. Each measurement adds about the time of one reading of that clock.
//!
//! `cargo run --release -p shardkeep-core --example try_recv_spin [seconds]`

#![expect(clippy::disallowed_methods, reason = "an example may wait")]
#![expect(clippy::print_stdout, reason = "a program that reports figures")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::time::{ClockId, clock_gettime};
use shardkeep_core::{Deadline, clock, limits};

/// A work as long as no work is: filling a cell with it takes microseconds.
const LONG_WORDS: usize = 4_096;

/// Processor time of this thread, in nanoseconds.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Counts of durations by powers of two, and the longest.
struct Histogram {
    counts: [u64; 64],
    longest: u64,
    calls: u64,
}

impl Histogram {
    fn add(&mut self, ns: u64) {
        self.counts[64 - ns.max(1).leading_zeros() as usize - 1] += 1;
        self.longest = self.longest.max(ns);
        self.calls += 1;
    }

    /// Calls that took at least `ns` (a power of two).
    fn at_least(&self, ns: u64) -> u64 {
        self.counts[ns.trailing_zeros() as usize..].iter().sum()
    }
}

fn send<const WORDS: usize>(works: &Sender<[u64; WORDS]>, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        if works.try_send([1; WORDS]).is_err() {
            std::thread::yield_now();
        }
    }
}

fn receive<const WORDS: usize>(works: &Receiver<[u64; WORDS]>, until: Deadline) -> Histogram {
    let mut histogram = Histogram {
        counts: [0; 64],
        longest: 0,
        calls: 0,
    };
    while !until.has_passed(clock::now()) {
        let before = cpu_ns();
        let received = works.try_recv();
        let took = cpu_ns() - before;
        histogram.add(took);
        if received.is_err() {
            std::thread::yield_now();
        }
    }
    histogram
}

fn measure<const WORDS: usize>(senders: usize, seconds: u64) {
    let (sender, receiver) = bounded::<[u64; WORDS]>(limits::MAILBOX_WORKS_DEFAULT);
    let stop = AtomicBool::new(false);
    let histogram = std::thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| send(&sender, &stop));
        }
        let until = Deadline::after(Duration::from_secs(seconds));
        let histogram = receive(&receiver, until);
        stop.store(true, Relaxed);
        histogram
    });
    print!("{:>8} {senders:>8} {:>12}", 8 * WORDS, histogram.calls);
    for exponent in [12, 14, 16, 18, 20, 22] {
        print!(" {:>9}", histogram.at_least(1 << exponent));
    }
    println!(" {:>12.1}", histogram.longest as f64 / 1_000.0);
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; calls of try_recv by the receiver's own processor time");
    println!(
        "{:>8} {:>8} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>12}",
        "bytes",
        "senders",
        "calls",
        ">= 4 us",
        ">= 16 us",
        ">= 66 us",
        ">= 262 us",
        ">= 1 ms",
        ">= 4 ms",
        "longest us"
    );
    let seconds = seconds.unwrap_or(10);
    for senders in [0, 1, cores, 4 * cores, 32 * cores] {
        measure::<8>(senders, seconds);
    }
    // Filling takes a thousand times as long, so that the scheduler does strike there.
    for senders in [0, 1, cores, 4 * cores] {
        measure::<LONG_WORDS>(senders, seconds);
    }
}
