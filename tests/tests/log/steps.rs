//! A record larger than a step: written and synced piece by piece, and one record all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shardkeep_log::{Compression, Log, Options, Recovery, StoreId, WriteError};
use shardkeep_tests::disk::{Call, Disk, Order, Trouble};

const STORE: StoreId = StoreId::new([4; 16]);

/// Bytes of a step.
const STEP_BYTES: usize = 100_000;

/// Steps of the large record.
const STEPS: usize = 3;

fn create(disk: &Disk) -> Log<Disk> {
    let options = Options {
        create: Some(STORE),
        ahead_bytes: 0,
        ..Options::new()
    };
    let recovery = Recovery::open(disk.clone().into(), options).unwrap();
    recovery.into_log().unwrap().0
}

fn records(disk: Disk) -> u64 {
    let recovery = Recovery::open(disk.into(), Options::new()).unwrap();
    recovery.into_log().unwrap().0.appended().get()
}

/// Appends a small record, which is synced, and one of [`STEPS`] steps.
fn append(log: &mut Log<Disk>) {
    log.append(&[1; 100]).unwrap();
    log.write().unwrap();
    log.sync().unwrap();
    log.append(&vec![2; STEPS * STEP_BYTES - 1_000]).unwrap();
}

#[test]
fn a_large_record_is_synced_between_its_steps_and_each_is_told() {
    let disk = Disk::default();
    let mut log = create(&disk);
    append(&mut log);
    disk.remember();
    let mut steps = 0;
    log.write_in_steps(STEP_BYTES, &mut |bytes| {
        steps += 1;
        bytes
    })
    .unwrap();
    assert_eq!((steps, log.synced().lsn().get()), (STEPS - 1, 1));
    log.sync().unwrap();
    let calls: Vec<_> = disk.moments().iter().map(|moment| moment.call).collect();
    assert_eq!(calls, [Call::Write, Call::Sync].repeat(STEPS));
    drop(log);
    assert_eq!(records(disk), 2);
}

#[test]
fn what_fits_into_a_step_is_one_write() {
    let disk = Disk::default();
    let mut log = create(&disk);
    for _ in 0..100 {
        log.append(&[7; 900]).unwrap();
    }
    disk.remember();
    log.write_in_steps(STEP_BYTES, &mut |_| panic!("a step"))
        .unwrap();
    assert_eq!(disk.moments().len(), 1);
}

#[test]
fn the_next_step_is_as_large_as_is_said_after_the_last() {
    let mut log = create(&Disk::default());
    append(&mut log);
    let mut steps = vec![];
    log.write_in_steps(STEP_BYTES, &mut |bytes| {
        steps.push(bytes);
        bytes / 2
    })
    .unwrap();
    assert_eq!(steps[..3], [100_000, 50_000, 25_000]);
}

#[test]
fn a_crash_between_two_steps_leaves_no_part_of_the_record() {
    let disk = Disk::default();
    let mut log = create(&disk);
    append(&mut log);
    disk.remember();
    log.write_in_steps(STEP_BYTES, &mut |bytes| bytes).unwrap();
    for moment in disk.moments() {
        assert_eq!(
            records(Disk::new(moment.state)),
            1,
            "before {:?}",
            moment.call
        );
    }
}

#[test]
fn a_step_without_space_is_taken_back_and_one_that_cannot_be_synced_fails_the_log() {
    for (trouble, fails) in [(Trouble::NoSpace, false), (Trouble::NoSpaceAtSync, true)] {
        let disk = Disk::default();
        let mut log = create(&disk);
        append(&mut log);
        let begun = disk.operations();
        disk.order(Some(Order {
            trouble,
            // The second write, or the first sync.
            at: begun + 1,
            during: 1_000_000,
            of_reads: false,
        }));
        let refused = log.write_in_steps(STEP_BYTES, &mut |bytes| bytes);
        disk.order(None);
        match refused {
            Err(WriteError::NoSpace(_)) if !fails => {
                log.write_in_steps(STEP_BYTES, &mut |bytes| bytes).unwrap();
                log.sync().unwrap();
                assert_eq!(records(disk), 2);
            }
            Err(WriteError::Failed(_)) if fails => {
                assert!(log.sync().is_err());
                assert_eq!(records(disk), 1);
            }
            other => panic!("{trouble:?}: {other:?}"),
        }
    }
}

/// Counts what `log` tells of its progress.
fn count(log: &mut Log<Disk>) -> Arc<AtomicUsize> {
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    log.on_progress(Arc::new(move || {
        counter.fetch_add(1, SeqCst);
    }));
    counted
}

fn syncs(disk: &Disk) -> usize {
    let moments = disk.moments();
    let is_sync = |call| matches!(call, Call::Sync | Call::SyncDirectory);
    moments.iter().filter(|at| is_sync(at.call)).count()
}

#[test]
fn each_sync_at_a_segments_end_of_an_adopted_snapshot_and_of_closing_is_told() {
    let disk = Disk::default();
    let mut log = create(&disk);
    append(&mut log);
    let told = count(&mut log);
    log.write().unwrap();
    disk.remember();
    log.end_segment().unwrap();
    assert_eq!((told.swap(0, SeqCst), syncs(&disk)), (5, 5));

    let snapshot = log.snapshot(Compression::None).unwrap();
    let snapshot = snapshot.finish(0, log.appended()).unwrap();
    disk.remember();
    let synced = log.synced();
    log.adopt(snapshot, synced).map_err(drop).unwrap();
    assert_eq!((told.swap(0, SeqCst), syncs(&disk)), (3, 3));

    log.append(&[3; 100]).unwrap();
    disk.remember();
    log.close().unwrap();
    assert_eq!((told.load(SeqCst), syncs(&disk)), (3, 3));
}

#[test]
fn a_sync_that_fails_is_not_told() {
    let mut seen = vec![];
    for later in 0..30 {
        let disk = Disk::default();
        let mut log = create(&disk);
        append(&mut log);
        log.write().unwrap();
        let told = count(&mut log);
        disk.remember();
        disk.order(Some(Order {
            trouble: Trouble::NoSpaceAtSync,
            at: disk.operations() + later,
            during: 1_000_000,
            of_reads: false,
        }));
        if log.end_segment().is_ok() {
            break;
        }
        seen.push(told.load(SeqCst));
    }
    seen.dedup();
    // Of the five the first, the second and the fourth are of files: those before it were told, it was not.
    assert_eq!(seen, [0, 1, 3]);
}
