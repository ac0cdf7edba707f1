//! Where a torn tail ends and damage begins.

use shardkeep_log::format::{FILE_HEADER_BYTES, HEAD_BYTES, Head};
use shardkeep_log::{Lsn, OpenError, Options, Recovery, StoreId, Warning, check};
use shardkeep_tests::disk::{Disk, Order, State, Trouble};

const STORE: StoreId = StoreId::new([3; 16]);
const SEGMENT: &str = "log-00000000000000000001.skl";

/// Bytes of each payload.
const PAYLOAD_BYTES: usize = 100;

/// How a store is left, and found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Closed, by a process that ends.
    Closed,
    /// Behind the last batch, by a process that is killed.
    Killed,
    /// After a rest behind the last batch, by a process that is killed.
    KilledAtRest,
    /// Behind the last batch, by a power cut that loses nothing.
    Cut,
    /// After a rest behind the last batch, by a power cut that loses nothing.
    CutAtRest,
}

/// A store of one segment: `batches` of records, each written and synced, and how it was left.
fn store(batches: &[usize], left: Left) -> State {
    store_with(batches, left, true)
}

/// As [`store`], with batches that are synced or not.
fn store_with(batches: &[usize], left: Left, sync: bool) -> State {
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
        if sync {
            log.sync().unwrap();
        }
    }
    match left {
        Left::Closed => drop(log.close().unwrap()),
        Left::KilledAtRest | Left::CutAtRest => log.mark().unwrap(),
        Left::Killed | Left::Cut => {}
    }
    match left {
        Left::Closed | Left::Killed | Left::KilledAtRest => disk.state(),
        Left::Cut | Left::CutAtRest => disk.state().booted_anew(),
    }
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
fn a_record_that_cannot_be_read_is_damage_when_anything_says_that_it_was_synced_or_cannot_be_missing()
 {
    use Left::{Closed, Cut, CutAtRest, Killed, KilledAtRest};
    /// Batches, how the log was left, the record that is turned; how many are left, if any, and how many
    /// whole ones are laid aside.
    type Case = (&'static [usize], Left, usize, Option<(u64, u64)>);
    let cases: [Case; 22] = [
        (&[4], Cut, 1, Some((0, 3))),
        (&[4], Cut, 2, Some((1, 2))),
        (&[4], Cut, 4, Some((3, 0))),
        (&[4], CutAtRest, 1, None),
        (&[4], CutAtRest, 4, None),
        (&[4], Killed, 1, None),
        (&[4], Killed, 3, None),
        (&[4], Killed, 4, Some((3, 0))),
        (&[4], KilledAtRest, 1, None),
        (&[4], KilledAtRest, 4, None),
        (&[4], Closed, 2, None),
        (&[4], Closed, 4, None),
        (&[2, 2], Cut, 1, None),
        (&[2, 2], Cut, 2, None),
        (&[2, 2], Cut, 3, Some((2, 1))),
        (&[2, 2], Cut, 4, Some((3, 0))),
        (&[2, 2], CutAtRest, 3, None),
        (&[2, 2], Killed, 3, None),
        (&[2, 2], Closed, 3, None),
        (&[1, 1, 1], Cut, 2, None),
        (&[1, 1, 1], Cut, 3, Some((2, 0))),
        (&[1, 1, 1], KilledAtRest, 3, None),
    ];
    for (batches, left, turned, kept) in cases {
        let state = store(batches, left);
        for at in [0, 9, HEAD_BYTES - 1, HEAD_BYTES + PAYLOAD_BYTES / 2] {
            let opened = open(state.clone(), |content| content[offset(turned) + at] ^= 1);
            match (&opened, kept) {
                (Ok((records, warnings)), Some((left, aside))) => {
                    let [Warning::TornTail { records: whole, .. }] = &warnings[..] else {
                        panic!("{batches:?} {turned}: {warnings:?}");
                    };
                    assert_eq!((*records, *whole), (left, aside), "{batches:?} {turned}");
                }
                (
                    Err(OpenError::Damaged {
                        file, offset: at, ..
                    }),
                    None,
                ) => {
                    assert_eq!((&file[..], *at), (SEGMENT, offset(turned) as u64));
                }
                _ => panic!("{batches:?} {left:?} {turned}+{at}: {opened:?}"),
            }
        }
    }
}

#[test]
fn of_a_log_at_rest_no_record_goes_missing_even_if_none_was_ever_synced() {
    let state = store_with(&[3, 2], Left::KilledAtRest, false);
    for turned in 1..=5 {
        let opened = open(state.clone(), |content| content[offset(turned) + 9] ^= 1);
        let text = opened.unwrap_err().to_string();
        let expected = format!(
            "{SEGMENT} is damaged at offset {}: record {turned} cannot be read, and up to 5 all was \
             written since the system was started",
            offset(turned)
        );
        assert!(text.starts_with(&expected), "{text}");
    }
    // After another boot nothing says that the last record had been synced.
    let opened = open(state.booted_anew(), |content| content[offset(5) + 9] ^= 1);
    assert_eq!(opened.unwrap().0, 4);
}

#[test]
fn a_mark_is_no_record_and_costs_none_whatever_becomes_of_it() {
    for left in [Left::KilledAtRest, Left::CutAtRest] {
        let state = store(&[2, 1], left);
        let bytes = state.content(SEGMENT).unwrap().len();
        assert_eq!(bytes, offset(4) + HEAD_BYTES);
        let opened = open(state.clone(), |_| {}).unwrap();
        assert_eq!((opened.0, opened.1.len()), (3, 0));
        for bit in offset(4) * 8..bytes * 8 {
            let turned = open(state.clone(), |content| content[bit / 8] ^= 1 << (bit % 8));
            assert_eq!(turned.unwrap().0, 3, "bit {bit}");
        }
        for length in offset(4)..bytes {
            let cut = open(state.clone(), |content| content.truncate(length));
            assert_eq!(cut.unwrap().0, 3, "{length} bytes");
        }
        for garbage in [vec![0; 5_000], vec![0x5a; 5_000]] {
            let longer = open(state.clone(), |content| content.extend(&garbage)).unwrap();
            assert_eq!(longer.0, 3);
            assert_eq!(longer.1.len(), usize::from(garbage[0] != 0));
        }
    }
}

#[test]
fn a_mark_is_written_once_for_each_rest_and_never_before_a_record() {
    let disk = Disk::default();
    let options = Options {
        create: Some(STORE),
        ..Options::new()
    };
    let recovery = Recovery::open(disk.clone().into(), options).unwrap();
    let (mut log, _) = recovery.into_log().unwrap();
    let marked = |log: &mut shardkeep_log::Log<Disk>| {
        let before = disk.operations();
        log.mark().unwrap();
        disk.operations() - before
    };
    assert_eq!(marked(&mut log), 0, "there is nothing to be said");
    for _ in 0..3 {
        log.append(&[7; PAYLOAD_BYTES]).unwrap();
        log.write().unwrap();
        assert_eq!((marked(&mut log), marked(&mut log)), (1, 0));
        log.sync().unwrap();
        assert_eq!((marked(&mut log), marked(&mut log)), (1, 0));
    }
    log.close().unwrap();
    assert_eq!(disk.state().content(SEGMENT).unwrap().len(), offset(4));
}

#[test]
fn a_log_that_was_opened_and_never_written_since_is_as_well_proven_as_one_at_rest() {
    let disk = Disk::new(store(&[2, 1], Left::Killed));
    let (log, _) = Recovery::open(disk.clone().into(), Options::new())
        .unwrap()
        .into_log()
        .unwrap();
    drop(log);
    let opened = open(disk.state().booted_anew(), |content| {
        content[offset(3)] ^= 1
    });
    assert!(
        matches!(opened, Err(OpenError::Damaged { .. })),
        "{opened:?}"
    );
}

#[test]
fn a_hole_of_lost_sectors_before_whole_records_is_a_torn_tail_after_another_boot_alone() {
    let hole = |content: &mut Vec<u8>| content[offset(5)..offset(12)].fill(0);
    let (records, warnings) = open(store(&[3, 20], Left::Cut), hole).unwrap();
    assert_eq!((records, warnings.len()), (4, 1));
    let refused = open(store(&[3, 20], Left::Killed), hole);
    assert!(
        matches!(refused, Err(OpenError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_torn_tail_is_laid_aside_whole_as_often_as_there_is_one() {
    let mut state = store(&[3, 20], Left::Cut);
    for number in 1..3 {
        let mut content = state.content(SEGMENT).unwrap().to_vec();
        content[offset(5)..offset(12)].fill(0);
        let tail = content[offset(5)..].to_vec();
        state.put(SEGMENT, content);
        let disk = Disk::new(state.clone().booted_anew());
        let report = check(&disk.clone().into()).unwrap();
        assert_eq!(report.torn_bytes, tail.len() as u64);
        let recovery = Recovery::open(disk.clone().into(), Options::new()).unwrap();
        let (log, warnings) = recovery.into_log().unwrap();
        drop(log);
        let aside = format!("{SEGMENT}.torn-{number}");
        assert_eq!(
            warnings[0].to_string(),
            format!(
                "{SEGMENT} ended with {} bytes of a write that a crash has cut short, in which 12 whole \
                 records are left; they were cut off at offset {}, where record 5 begins, and are kept as \
                 {aside}",
                tail.len(),
                offset(5)
            )
        );
        assert_eq!(disk.state().content(&aside), Some(&tail[..]));
        // The same once more, with what is there already.
        let again = disk.state();
        state.put(&aside, tail);
        assert_eq!(again.names().count(), state.names().count());
    }
}

#[test]
fn a_full_disk_keeps_no_torn_tail_without_a_record_and_refuses_to_lose_one_with() {
    for (hole, is_refused) in [(offset(4)..offset(5), true), (offset(5)..offset(6), false)] {
        let mut state = store(&[3, 2], Left::Cut);
        let mut content = state.content(SEGMENT).unwrap().to_vec();
        content[hole.start + 1..hole.end].fill(0xff);
        state.put(SEGMENT, content);
        let disk = Disk::new(state);
        disk.order(Some(Order {
            trouble: Trouble::NoSpace,
            at: 0,
            during: u64::MAX,
            of_reads: false,
        }));
        let recovery = Recovery::open(disk.clone().into(), Options::new()).unwrap();
        match recovery.into_log() {
            Err(OpenError::Disk(error)) => assert!(is_refused, "{error}"),
            Ok((log, warnings)) => {
                assert!(!is_refused);
                assert_eq!((log.appended().get(), warnings.len()), (4, 1));
                assert!(warnings[0].to_string().ends_with("no space to keep them"));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn zeros_behind_the_last_record_are_not_worth_a_warning() {
    for left in [Left::Closed, Left::Killed, Left::KilledAtRest, Left::Cut] {
        let opened = open(store(&[3], left), |content| content.resize(100_000, 0));
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
    let opened = open(store(&[2, 1], Left::Cut), |content| {
        content[offset(3)] ^= 1;
        content.extend(&forged);
    });
    let (records, warnings) = opened.unwrap();
    assert_eq!((records, warnings.len()), (2, 1));
    // The store itself can: that is how damage is told.
    let head = Head::record(Lsn::new(4), Lsn::new(3), 0, 0).encode(STORE.records_seed());
    let opened = open(store(&[2, 1], Left::Cut), |content| {
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
    let opened = open(store(&[2], Left::Cut), |content| {
        let head = Head::record(Lsn::new(3), Lsn::new(2), 500 << 20, 0);
        content.extend(head.encode(STORE.records_seed()));
    });
    let (records, warnings) = opened.unwrap();
    assert_eq!((records, warnings.len()), (2, 1));
}
