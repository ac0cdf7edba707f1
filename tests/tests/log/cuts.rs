//! Cuts, and snapshots of what stood at an older record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shardkeep_log::{Compression, Log, Lsn, Options, Recovery, StoreId};
use shardkeep_tests::disk::Disk;

const STORE: StoreId = StoreId::new([8; 16]);

/// Bytes of each payload: four of them in a segment.
const PAYLOAD_BYTES: usize = 80;

/// Records of a store; every fifth is a cut.
const RECORDS: u64 = 25;

fn open(disk: &Disk) -> (Vec<u64>, Log<Disk>) {
    let options = Options {
        create: Some(STORE),
        segment_bytes: 512,
        ahead_bytes: 0,
        ..Options::new()
    };
    let mut recovery = Recovery::open(disk.clone().into(), options).unwrap();
    let mut found = Vec::new();
    while let Some(record) = recovery.next_record().unwrap() {
        assert_eq!(record.payload, [record.lsn.get() as u8; PAYLOAD_BYTES]);
        found.push(record.lsn.get());
    }
    let (log, warnings) = recovery.into_log().unwrap();
    assert!(warnings.is_empty());
    (found, log)
}

fn is_cut(lsn: u64) -> bool {
    lsn.is_multiple_of(5)
}

fn records(from: u64) -> Vec<u64> {
    (from..=RECORDS).filter(|lsn| !is_cut(*lsn)).collect()
}

fn filled(disk: &Disk) -> Log<Disk> {
    let (_, mut log) = open(disk);
    for lsn in 1..=RECORDS {
        let appended = match is_cut(lsn) {
            true => log.append_cut().unwrap(),
            false => log.append(&[lsn as u8; PAYLOAD_BYTES]).unwrap(),
        };
        assert_eq!(appended.get(), lsn);
    }
    log.write().unwrap();
    log.sync().unwrap();
    log
}

#[test]
fn a_cut_is_no_record_and_its_number_is_never_given_again() {
    let disk = Disk::default();
    let (_, log) = open(&disk);
    assert_eq!(log.last_cut(), None);
    drop(log);
    assert_eq!(filled(&disk).last_cut(), Some(Lsn::new(25)));
    let (found, mut log) = open(&disk);
    assert_eq!(found, records(1));
    assert_eq!(log.last_cut(), Some(Lsn::new(25)));
    assert_eq!(log.append_cut().unwrap(), Lsn::new(26));
    // What is only appended has no number that anything was promised.
    drop(log);
    let (found, mut log) = open(&disk);
    assert_eq!((found, log.last_cut()), (records(1), Some(Lsn::new(25))));
    assert_eq!(log.append_cut().unwrap(), Lsn::new(26));
    log.close().unwrap();
    assert_eq!(open(&disk).1.last_cut(), Some(Lsn::new(26)));
}

#[test]
fn behind_a_snapshot_of_any_record_comes_all_that_was_appended_behind_it() {
    for lsn in 0..=RECORDS {
        let disk = Disk::default();
        let mut log = filled(&disk);
        let before = log.segments();
        let mut writer = log.snapshot_at(Lsn::new(lsn), Compression::None).unwrap();
        writer.frame(b"what stood there").unwrap();
        let finished = writer.finish(1, Lsn::new(lsn)).unwrap();
        log.adopt(finished, log.synced()).unwrap();
        // Only what lies before it as a whole is removed.
        let left = disk.state();
        let left: Vec<u64> = left
            .names()
            .filter_map(|name| {
                name.strip_prefix("log-")?
                    .strip_suffix(".skl")?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(left.len(), log.segments());
        assert!(
            left[0] <= lsn + 1 && log.segments() <= before,
            "{lsn}: {left:?}"
        );
        assert!(
            left.get(1).is_none_or(|second| *second > lsn + 1),
            "{lsn}: {left:?}"
        );
        drop(log);
        let (found, mut log) = open(&disk);
        assert_eq!(found, records(lsn + 1), "behind {lsn}");
        assert_eq!(log.newest_snapshot(), Some(Lsn::new(lsn)));
        let mut replay = log.replay(log.written()).unwrap();
        let mut replayed = Vec::new();
        while let Some(record) = replay.next_record().unwrap() {
            replayed.push(record.lsn.get());
        }
        assert_eq!(replayed, found);
        drop(replay);
        // The next one is of the same record or a later one, and there may be one at once.
        for next in [lsn.checked_sub(1), Some(RECORDS + 1)]
            .into_iter()
            .flatten()
        {
            let at = Lsn::new(next);
            let begun = catch_unwind(AssertUnwindSafe(|| log.snapshot_at(at, Compression::None)));
            assert!(begun.is_err(), "{next} behind {lsn}");
        }
        drop(log.snapshot_at(Lsn::new(lsn), Compression::None).unwrap());
    }
}
