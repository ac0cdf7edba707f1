//! Errors of the disk at every operation.

use shardkeep_log::{Compression, SnapshotError};
use shardkeep_tests::disk::{Disk, Order, Story, Trouble, Verdict, suffer};

/// Stories for each kind of trouble.
const STORIES: u64 = 3;

/// Operations for which trouble goes on: passing, and lasting longer than any story.
const DURING: [u64; 2] = [1, 1_000_000];

fn suffer_at_each_operation(trouble: Trouble) {
    for seed in 0..STORIES {
        let operations = suffer(seed, None).unwrap();
        for at in 0..operations {
            for during in DURING {
                let order = Order {
                    trouble,
                    at,
                    during,
                    of_reads: false,
                };
                // What lasts for ever and passes at once, an endless loop makes of it.
                if during > 1 && matches!(trouble, Trouble::Interrupted | Trouble::ShortWrite) {
                    continue;
                }
                if let Err(text) = suffer(seed, Some(order)) {
                    panic!("story {seed}, {order:?}: {text}");
                }
            }
        }
    }
}

#[test]
fn a_write_that_is_short_leaves_no_gap_and_no_duplicate() {
    suffer_at_each_operation(Trouble::ShortWrite);
}

#[test]
fn an_interrupted_call_is_made_again() {
    suffer_at_each_operation(Trouble::Interrupted);
}

#[test]
fn a_full_disk_loses_nothing_and_passes() {
    suffer_at_each_operation(Trouble::NoSpace);
}

#[test]
fn a_file_that_may_not_grow_loses_nothing_and_passes() {
    suffer_at_each_operation(Trouble::TooLarge);
}

#[test]
fn a_sync_that_finds_no_space_has_failed_for_good() {
    suffer_at_each_operation(Trouble::NoSpaceAtSync);
}

#[test]
fn no_more_files_loses_nothing_and_passes() {
    suffer_at_each_operation(Trouble::NoFiles);
}

#[test]
fn a_device_that_fails_once_has_failed_for_good() {
    suffer_at_each_operation(Trouble::Device);
}

/// A store as a crash leaves it, with a snapshot and more than one segment.
fn stored() -> (Story, Disk) {
    for seed in 0.. {
        let (mut story, disk) = (Story::new(seed), Disk::default());
        let mut log = story.open(&disk).unwrap();
        story.fill(&mut log, 1_000).unwrap();
        story.snapshot(&mut log).unwrap();
        story.fill(&mut log, 1_000).unwrap();
        if log.segments() > 1 {
            return (story, disk);
        }
    }
    unreachable!("some story has small segments")
}

#[test]
fn a_read_that_fails_is_never_taken_for_the_end() {
    let (story, disk) = stored();
    let state = disk.state();
    let whole = Disk::new(state.clone());
    drop(story.clone().open(&whole).unwrap());
    assert!(whole.reads() > 5);
    for at in 0..whole.reads() {
        for trouble in [Trouble::Device, Trouble::Interrupted] {
            let disk = Disk::new(state.clone());
            let order = Order {
                trouble,
                at,
                during: 1,
                of_reads: true,
            };
            disk.order(Some(order));
            let opened = story.clone().open(&disk).map(drop);
            match trouble {
                Trouble::Device => {
                    assert!(
                        matches!(opened, Err(Verdict::Refused(_))),
                        "{order:?}: {opened:?}"
                    );
                    disk.order(None);
                    drop(story.clone().open(&disk).unwrap());
                }
                _ => assert_eq!(opened, Ok(()), "{order:?}"),
            }
        }
    }
}

#[test]
fn a_recovery_that_fails_can_be_tried_again() {
    let (story, disk) = stored();
    let state = disk.state();
    let whole = Disk::new(state.clone());
    drop(story.clone().open(&whole).unwrap());
    assert!(whole.operations() > 2);
    for trouble in [Trouble::Device, Trouble::NoSpace, Trouble::ShortWrite] {
        for at in 0..whole.operations() {
            let disk = Disk::new(state.clone());
            disk.order(Some(Order {
                trouble,
                at,
                during: 1,
                of_reads: false,
            }));
            let mut first = story.clone();
            if let Err(Verdict::Wrong(text)) = first.open(&disk) {
                panic!("{trouble:?} at {at}: {text}");
            }
            disk.order(None);
            drop(story.clone().open(&disk).unwrap());
        }
    }
}

#[test]
fn a_snapshot_that_has_met_a_full_disk_is_never_completed_and_the_log_goes_on() {
    let (mut story, disk) = stored();
    let mut log = story.open(&disk).unwrap();
    let mut writer = log.snapshot(Compression::None).unwrap();
    writer.frame(&[1; 700]).unwrap();
    disk.order(Some(Order {
        trouble: Trouble::NoSpace,
        at: disk.operations(),
        during: 1_000_000,
        of_reads: false,
    }));
    let refused = writer.frame(&[2; 700]);
    assert!(
        matches!(refused, Err(SnapshotError::NoSpace(_))),
        "{refused:?}"
    );
    disk.order(None);
    // There is space again, but half a frame stands where the next would.
    assert!(writer.frame(&[3; 1]).is_err());
    assert!(writer.finish(0, log.appended()).is_err());
    let state = disk.state();
    assert!(
        !state.names().any(|name| name.ends_with(".tmp")),
        "it is removed"
    );
    story.fill(&mut log, 1_000).unwrap();
    story.snapshot(&mut log).unwrap();
    drop(log);
    drop(story.open(&disk).unwrap());
}
