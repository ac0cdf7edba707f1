//! A thousand keeps, one after the other: what they leave behind in the process is nothing.
//!
//! A test binary of its own, because it counts the threads of the process.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "handover/pot.rs"]
#[expect(dead_code, reason = "shared with the other tests of the hand-over")]
mod pot;

use std::fs;
use std::sync::Arc;

use pot::{BOTH, Several, add, call, config, later, open};
use shardkeep_core::Outcome;

const CYCLES: usize = 1_000;

/// Threads and open descriptors of this process.
fn counts() -> (usize, usize) {
    let threads = fs::read_dir("/proc/self/task").expect("threads").count();
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").count();
    (threads, descriptors)
}

/// One keep, with work under way when it ends; `how` says how it ends.
fn cycle(how: usize) {
    let keep = Arc::new(open(config(BOTH[how % 2])));
    let mut outcomes = vec![];
    let mut tickets = vec![];
    let posts = if how % 4 < 2 { 0 } else { 20 };
    for n in 0..posts {
        let (work, outcome) = add(1);
        assert!(keep.post(n % 4, work, &call()).is_ok());
        outcomes.push(outcome);
        let sent = Several::new(&[n % 3, 3], |loans| loans.state(3).sum += 1);
        let ticket = Arc::clone(&sent.ticket);
        if keep.send_transaction(sent, None).is_ok() {
            tickets.push(ticket);
        }
    }
    let survivor = Arc::clone(&keep);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Meets the end at some point or other.
            for n in 0..posts {
                let (work, outcome) = add(1);
                drop(survivor.post(n % 4, work, &call()));
                drop(survivor.acquire(&[n % 3, 3], call()));
                drop(outcome);
            }
        });
        if how.is_multiple_of(3) {
            drop(keep);
        } else {
            let report = keep.close(later());
            assert!(report.is_clean(), "{report:?}");
        }
    });
    for outcome in outcomes {
        assert_eq!(outcome.try_recv(), Ok(Outcome::Done), "it was admitted");
    }
    for ticket in tickets {
        assert_eq!(ticket.take(), Some(Ok(())), "it was admitted");
    }
}

#[test]
fn a_thousand_keeps_leave_no_thread_and_no_descriptor_behind() {
    let before = counts();
    for how in 0..CYCLES {
        cycle(how);
    }
    // A joined thread is gone for its process a moment before it is gone from /proc.
    let patience = later();
    while counts() != before && !patience.has_passed(shardkeep_core::clock::now()) {
        std::thread::yield_now();
    }
    assert_eq!(counts(), before);
}
