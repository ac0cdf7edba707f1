//! Each fault that can be planted in the log must be noticed: a proof is worth what it would notice.
//!
//! Only builds with debug assertions can plant one.

use std::ops::ControlFlow;

use shardkeep_log::fault::{Fault, plant};
use shardkeep_tests::disk::{
    Left, Order, Plan, Stored, Syncs, Trouble, Verdict, explore, explore_first, suffer,
};

use crate::displaced::displacements_show;

/// Stories within which a fault must show.
const STORIES: u64 = 40;

/// Plants the fault in this thread's logs as long as it lives.
struct Planted;

impl Planted {
    fn new(fault: Fault) -> Self {
        plant(Some(fault));
        Self
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        plant(None);
    }
}

/// What the crashes of some stories show.
fn crashes_show(fault: Fault) -> Option<String> {
    let _planted = Planted::new(fault);
    (0..STORIES).find_map(|seed| explore(seed).err().map(|failure| failure.to_string()))
}

/// What the crashes of some first lives show.
fn first_crashes_show(fault: Fault) -> Option<String> {
    let _planted = Planted::new(fault);
    (0..STORIES).find_map(|seed| explore_first(seed).err().map(|failure| failure.to_string()))
}

/// What a failing device at each operation of some stories shows.
fn troubles_show(fault: Fault) -> Option<String> {
    let shown = (0..STORIES).try_for_each(|seed| {
        let operations = suffer(seed, None).unwrap();
        let _planted = Planted::new(fault);
        (0..operations).try_for_each(|at| {
            let order = Order {
                trouble: Trouble::Device,
                at,
                during: 1,
                of_reads: false,
            };
            match suffer(seed, Some(order)) {
                Ok(_) => ControlFlow::Continue(()),
                Err(text) => ControlFlow::Break(format!("story {seed}, {order:?}: {text}")),
            }
        })
    });
    shown.break_value()
}

/// What damage to a small log shows: `change` makes the `n`th damage of a file.
fn damage_shows(fault: Fault, change: fn(&mut Vec<u8>, usize)) -> Option<String> {
    let stored = Stored::new(Plan {
        before_snapshot: 0,
        after_snapshot: 4_096,
        segment_bytes: 8_192,
        left: Left::Closed,
    });
    let (stored, name) = (stored.unwrap(), "log-00000000000000000001.skl");
    let (story, whole) = (stored.story().unwrap(), stored.state.content(name).unwrap());
    let _planted = Planted::new(fault);
    (0..whole.len()).find_map(|number| {
        let mut content = whole.to_vec();
        change(&mut content, number);
        match stored.open_with(&story, name, content) {
            Err(Verdict::Wrong(text)) => Some(format!("damage {number}: {text}")),
            Ok(_) | Err(Verdict::Refused(_)) => None,
        }
    })
}

/// What the turned bytes of a log show, on this thread.
fn turned_bits_show(stored: &Stored) -> Option<String> {
    let (story, name) = (stored.story().unwrap(), "log-00000000000000000001.skl");
    let whole = stored.state.content(name).unwrap();
    (0..whole.len()).find_map(|number| {
        let mut content = whole.to_vec();
        content[number] ^= 4;
        match stored.open_with(&story, name, content) {
            Err(Verdict::Wrong(text)) => Some(format!("byte {number}: {text}")),
            Ok(_) | Err(Verdict::Refused(_)) => None,
        }
    })
}

fn check(fault: Fault, shown: Option<String>) {
    match shown {
        Some(text) => println!("{fault:?} is noticed: {text}"),
        None => panic!("{fault:?} is not noticed"),
    }
}

#[test]
fn what_is_never_synced_is_noticed() {
    for fault in [
        Fault::SyncSkipped,
        Fault::NewFileSyncSkipped,
        Fault::DirectorySyncSkipped,
        Fault::CutNotSynced,
        Fault::LaterCoveredToo,
    ] {
        check(fault, crashes_show(fault));
    }
}

#[test]
fn an_acknowledgement_after_a_failed_sync_is_noticed() {
    for fault in [
        Fault::FailedSyncIgnored,
        Fault::FailureForgotten,
        Fault::RotatedDuringSync,
        Fault::TailNotWrittenAgain,
    ] {
        check(fault, troubles_show(fault));
    }
}

#[test]
fn a_record_that_is_dropped_or_not_verified_is_noticed() {
    for fault in [
        Fault::LastRecordDroppedAtRotation,
        Fault::ChecksumIgnored,
        Fault::SnapshotTooEarly,
    ] {
        check(fault, first_crashes_show(fault));
    }
}

#[test]
fn a_large_record_that_is_applied_in_part_or_left_without_its_mark_is_noticed() {
    for fault in [Fault::PartAppliedAlone, Fault::AbandonedLeftOut] {
        check(fault, crashes_show(fault));
    }
}

#[test]
fn a_replay_that_begins_a_record_late_or_early_behind_a_snapshot_is_noticed() {
    for fault in [Fault::ReplayBegunLate, Fault::ReplayBegunEarly] {
        check(fault, first_crashes_show(fault));
    }
}

#[test]
fn damage_that_is_cut_off_or_not_verified_is_noticed() {
    let turn = |content: &mut Vec<u8>, number: usize| content[number] ^= 4;
    for fault in [Fault::DamageCutAsTail, Fault::ChecksumIgnored] {
        check(fault, damage_shows(fault, turn));
    }
}

#[test]
fn a_mark_that_is_not_true_and_a_boot_that_is_noted_early_are_noticed() {
    for fault in [Fault::MarkClaimsWritten, Fault::BootNotedEarly] {
        check(fault, crashes_show(fault));
    }
}

#[test]
fn damage_taken_for_a_power_cut_that_never_was_is_noticed() {
    let fault = Fault::BootForgotten;
    let stored = Stored::new(Plan {
        before_snapshot: 0,
        after_snapshot: 4_096,
        segment_bytes: 8_192,
        left: Left::AtRest(Syncs::Never),
    });
    let _planted = Planted::new(fault);
    check(fault, turned_bits_show(&stored.unwrap()));
}

#[test]
fn a_displacement_that_is_not_looked_at_is_noticed() {
    let fault = Fault::DisplacementIgnored;
    let _planted = Planted::new(fault);
    check(fault, displacements_show());
}

#[test]
fn memory_taken_on_the_word_of_a_record_is_noticed() {
    let fault = Fault::DeclaredLengthAllocated;
    check(fault, damage_shows(fault, Vec::truncate));
}
