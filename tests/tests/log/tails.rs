//! Where a torn tail ends and damage begins.

use shardkeep_log::format::{FILE_HEADER_BYTES, HEAD_BYTES, Head};
use shardkeep_log::{Lsn, OpenError, Options, Recovery, StoreId, Warning};
use shardkeep_tests::disk::{Disk, State};

const STORE: StoreId = StoreId::new([3; 16]);
const SEGMENT: &str = "log-00000000000000000001.skl";

/// Bytes of each payload.
const PAYLOAD_BYTES: usize = 100;

/// A store of one segment: `batches` of records, each written and synced, and how it was left.
fn store(batches: &[usize], close: bool) -> State {
    let disk = Disk::default();
    let options = Options {
        create: Some(STORE),
        ahead_bytes: 0,
        ..Options::new()
    };
    let recovery = Recovery::open(disk.clone().into(), options).unwrap();
    let (mut log, _) = recovery.into_log().unwrap();
    for batch in batches {
        for _ in 0..*batch {
            log.append(&[7; PAYLOAD_BYTES]).unwrap();
        }
        log.write().unwrap();
        log.sync().unwrap();
    }
    if close {
        log.close().unwrap();
    }
    disk.state()
}

/// Where record `number` begins.
fn offset(number: usize) -> usize {
    FILE_HEADER_BYTES + (number - 1) * (HEAD_BYTES + PAYLOAD_BYTES)
}

/// Opens a store whose segment was changed; says how many records there are, and of what it warned.
fn open(mut state: State, change: impl Fn(&mut Vec<u8>)) -> Result<(u64, Vec<Warning>), OpenError> {
    let mut content = state.content(SEGMENT).unwrap().to_vec();
    change(&mut content);
    state.put(SEGMENT, content);
    let recovery = Recovery::open(Disk::new(state).into(), Options::new())?;
    let (log, warnings) = recovery.into_log()?;
    Ok((log.appended().get(), warnings))
}

#[test]
fn a_record_that_cannot_be_read_is_damage_when_anything_says_that_it_was_synced() {
    // Batches, whether the log was closed, the record that is turned; how many are left, if any.
    let cases: [(&[usize], bool, usize, Option<u64>); 12] = [
        (&[4], false, 1, Some(0)),
        (&[4], false, 2, Some(1)),
        (&[4], false, 4, Some(3)),
        (&[4], true, 2, None),
        (&[4], true, 4, None),
        (&[2, 2], false, 1, None),
        (&[2, 2], false, 2, None),
        (&[2, 2], false, 3, Some(2)),
        (&[2, 2], false, 4, Some(3)),
        (&[2, 2], true, 3, None),
        (&[1, 1, 1], false, 2, None),
        (&[1, 1, 1], false, 3, Some(2)),
    ];
    for (batches, close, turned, left) in cases {
        let state = store(batches, close);
        for at in [0, 9, HEAD_BYTES - 1, HEAD_BYTES + PAYLOAD_BYTES / 2] {
            let opened = open(state.clone(), |content| content[offset(turned) + at] ^= 1);
            match (&opened, left) {
                (Ok((records, warnings)), Some(left)) => {
                    assert_eq!(
                        (*records, warnings.len()),
                        (left, 1),
                        "{batches:?} {turned}"
                    );
                }
                (
                    Err(OpenError::Damaged {
                        file, offset: at, ..
                    }),
                    None,
                ) => {
                    assert_eq!((&file[..], *at), (SEGMENT, offset(turned) as u64));
                }
                _ => panic!("{batches:?} {close} {turned}+{at}: {opened:?}"),
            }
        }
    }
}

#[test]
fn a_hole_of_lost_sectors_before_whole_records_is_a_torn_tail() {
    let opened = open(store(&[3, 20], false), |content| {
        content[offset(5)..offset(12)].fill(0);
    });
    let (records, warnings) = opened.unwrap();
    assert_eq!((records, warnings.len()), (4, 1));
}

#[test]
fn zeros_behind_the_last_record_are_not_worth_a_warning() {
    for close in [false, true] {
        let opened = open(store(&[3], close), |content| content.resize(100_000, 0));
        let (records, warnings) = opened.unwrap();
        assert_eq!((records, warnings.len()), (3, 0));
    }
}

#[test]
fn no_payload_can_pass_for_a_record_behind() {
    // What a client who knows the format, but not the store, would write: heads that say that all was synced.
    let stranger = StoreId::new([4; 16]);
    let mut forged = Vec::new();
    for number in 4..200_000 {
        let head = Head::record(Lsn::new(number), Lsn::new(number - 1), 0, 0);
        forged.extend(head.encode(stranger.records_seed()));
    }
    let opened = open(store(&[2, 1], false), |content| {
        content[offset(3)] ^= 1;
        content.extend(&forged);
    });
    let (records, warnings) = opened.unwrap();
    assert_eq!((records, warnings.len()), (2, 1));
    // The store itself can: that is how damage is told.
    let head = Head::record(Lsn::new(4), Lsn::new(3), 0, 0).encode(STORE.records_seed());
    let opened = open(store(&[2, 1], false), |content| {
        content[offset(3)] ^= 1;
        content.extend(&forged);
        content.extend(head);
    });
    assert!(
        matches!(opened, Err(OpenError::Damaged { .. })),
        "{opened:?}"
    );
}

#[test]
fn a_length_beyond_the_file_takes_no_memory() {
    let opened = open(store(&[2], false), |content| {
        let head = Head::record(Lsn::new(3), Lsn::new(2), 500 << 20, 0);
        content.extend(head.encode(STORE.records_seed()));
    });
    let (records, warnings) = opened.unwrap();
    assert_eq!((records, warnings.len()), (2, 1));
}
