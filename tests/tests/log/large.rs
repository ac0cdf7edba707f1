//! Records larger than a part, and what a crash leaves of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shardkeep_log::format::{
    ABANDONED, CUT, FILE_HEADER_BYTES, FIRST_PART, HEAD_BYTES, Head, LAST_PART, MIDDLE_PART, RECORD,
};
use shardkeep_log::{
    Compression, Damage, Log, Lsn, OpenError, Options, Recovery, StoreId, Warning, WriteError,
    check,
};
use shardkeep_tests::disk::{Disk, Order, State, Trouble};
use shardkeep_tests::random::Random;

const STORE: StoreId = StoreId::new([9; 16]);
const SEGMENT: &str = "log-00000000000000000001.skl";

/// Bytes of a part.
const PART_BYTES: usize = 100;

fn options() -> Options {
    Options {
        create: Some(STORE),
        part_bytes: PART_BYTES,
        ahead_bytes: 0,
        ..Options::new()
    }
}

/// Record `number` of `bytes` bytes.
fn payload(number: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| number as u8 ^ at as u8).collect()
}

/// What a store holds, its log, and of what it warned.
type Opened = (Vec<(u64, Vec<u8>)>, Log<Disk>, Vec<Warning>);

fn open_with(disk: &Disk, options: Options) -> Result<Opened, OpenError> {
    let mut recovery = Recovery::open(disk.clone().into(), options)?;
    let mut records = Vec::new();
    while let Some(record) = recovery.next_record()? {
        records.push((record.lsn.get(), record.payload.to_vec()));
    }
    let (log, warnings) = recovery.into_log()?;
    assert_eq!(disk.complaint(), None);
    Ok((records, log, warnings))
}

fn open(disk: &Disk) -> Opened {
    open_with(disk, options()).unwrap()
}

fn commit(log: &mut Log<Disk>) {
    log.write().unwrap();
    log.sync().unwrap();
}

#[test]
fn a_large_record_is_there_whole_or_not_at_all_wherever_the_log_ends() {
    let disk = Disk::default();
    let (_, mut log, _) = open(&disk);
    let small = payload(1, 30);
    let large = payload(5, 3 * PART_BYTES + 50);
    assert_eq!(log.append(&small).unwrap().get(), 1);
    assert_eq!(log.append(&large).unwrap().get(), 5, "of its last part");
    // Nothing was synced: the log may end anywhere.
    log.write().unwrap();
    drop(log);
    let state = disk.state().booted_anew();
    let whole = state.content(SEGMENT).unwrap().to_vec();
    let begin = FILE_HEADER_BYTES + HEAD_BYTES + small.len();
    let full = (1..=3).map(|parts| begin + parts * (HEAD_BYTES + PART_BYTES));
    let ends: Vec<usize> = [begin]
        .into_iter()
        .chain(full)
        .chain([whole.len()])
        .collect();
    for length in FILE_HEADER_BYTES..=whole.len() {
        let mut state = state.clone();
        state.put(SEGMENT, whole[..length].to_vec());
        let disk = Disk::new(state);
        let records = ends.iter().filter(|end| **end <= length).count() as u64;
        let expected: Vec<(u64, Vec<u8>)> = [(1, small.clone()), (5, large.clone())]
            .into_iter()
            .filter(|(lsn, _)| *lsn <= records)
            .collect();
        let is_unfinished = (2..5).contains(&records);
        let report = check(&Arc::new(disk.clone())).unwrap();
        assert_eq!(
            report.unfinished,
            is_unfinished.then(|| Lsn::new(2)),
            "{length} bytes"
        );
        assert_eq!(report.verdict.unwrap().get(), records);

        let (found, mut log, warnings) = open(&disk);
        assert_eq!(found, expected, "{length} bytes");
        let told = warnings.iter().find_map(|warning| match warning {
            Warning::Unfinished { first, last } => Some((first.get(), last.get())),
            _ => None,
        });
        assert_eq!(told, is_unfinished.then_some((2, records)));
        // The mark that it was abandoned stands there before anything follows.
        assert_eq!(log.appended().get(), records + u64::from(is_unfinished));
        assert_eq!(log.synced().lsn(), log.appended());
        let next = payload(77, 130);
        let lsn = log.append(&next).unwrap().get();
        commit(&mut log);
        drop(log);
        let (found, _, warnings) = open(&Disk::new(disk.state().booted_anew()));
        assert_eq!(
            found,
            [expected, vec![(lsn, next)]].concat(),
            "{length} bytes"
        );
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn a_large_record_lies_in_as_many_segments_as_it_takes_and_goes_with_the_last_of_them() {
    let disk = Disk::default();
    let options = Options {
        segment_bytes: 512,
        ..options()
    };
    let (_, mut log, _) = open_with(&disk, options.clone()).unwrap();
    log.append(b"before").unwrap();
    let large = payload(3, 20 * PART_BYTES);
    let last = log.append(&large).unwrap();
    log.append(b"behind").unwrap();
    commit(&mut log);
    let segments = log.segments();
    assert!(segments > 5, "{segments} segments");
    let (found, mut log, _) = open_with(&disk, options.clone()).unwrap();
    assert_eq!(found[1], (last.get(), large));
    assert_eq!(found.len(), 3);
    // No snapshot begins between two parts, whether the log has written them or read them.
    for between in 2..last.get() {
        let at = Lsn::new(between);
        let begun = catch_unwind(AssertUnwindSafe(|| log.snapshot_at(at, Compression::None)));
        assert!(begun.is_err(), "a snapshot at {between}");
    }
    let writer = log.snapshot_at(last, Compression::None).unwrap();
    let finished = writer.finish(0, last).unwrap();
    log.adopt(finished, log.synced()).unwrap();
    assert!(log.segments() <= 2);
    let (found, log, _) = open_with(&disk, options).unwrap();
    assert_eq!(found, [(last.get() + 1, b"behind".to_vec())]);
    assert_eq!(log.newest_snapshot(), Some(last));
}

#[test]
fn where_there_is_no_space_for_the_mark_it_is_written_before_all_that_comes() {
    let disk = Disk::default();
    let (_, mut log, _) = open(&disk);
    log.append(b"before").unwrap();
    log.append(&payload(2, 250)).unwrap();
    log.write().unwrap();
    drop(log);
    let mut state = disk.state().booted_anew();
    let content = state.content(SEGMENT).unwrap().to_vec();
    let without_last = content.len() - HEAD_BYTES - 50;
    state.put(SEGMENT, content[..without_last].to_vec());
    let disk = Disk::new(state);
    disk.order(Some(Order {
        trouble: Trouble::NoSpace,
        at: 0,
        during: u64::MAX,
        of_reads: false,
    }));
    let (found, mut log, warnings) = open(&disk);
    assert_eq!((found.len(), warnings.len()), (1, 1));
    assert_eq!(
        warnings[0].to_string(),
        "the log ended with records 2 to 3, parts of a larger one that a crash has cut short; they are passed over"
    );
    assert_eq!((log.appended().get(), log.synced().lsn().get()), (4, 3));
    assert_eq!(log.append(b"behind").unwrap().get(), 5);
    assert!(matches!(log.write(), Err(WriteError::NoSpace(_))));
    disk.order(None);
    commit(&mut log);
    drop(log);
    let (found, _, warnings) = open(&disk);
    assert_eq!(found, [(1, b"before".to_vec()), (5, b"behind".to_vec())]);
    assert!(warnings.is_empty());
}

#[test]
fn no_crash_of_the_opening_that_abandons_a_record_costs_anything_or_brings_it_back() {
    let before = of_kinds(&[RECORD, FIRST_PART, MIDDLE_PART], None).booted_anew();
    let expected = (1, payload_of(RECORD).to_vec());
    let disk = Disk::new(before);
    disk.remember();
    drop(open(&disk));
    let moments = disk.moments();
    let mut was_there = [0, 0];
    for moment in &moments {
        for seed in 0..20 {
            let image = match seed {
                0 => moment.state.clone(),
                seed => moment.state.crash(&mut Random::new(seed)),
            };
            let disk = Disk::new(image);
            let (found, mut log, warnings) = open(&disk);
            assert_eq!(
                found,
                std::slice::from_ref(&expected),
                "before {:?}",
                moment.call
            );
            assert_eq!(log.appended().get(), 4, "before {:?}", moment.call);
            was_there[usize::from(warnings.is_empty())] += 1;
            log.append(b"behind").unwrap();
            commit(&mut log);
            drop(log);
            let (found, _, warnings) = open(&Disk::new(disk.state().booted_anew()));
            assert_eq!(found, [expected.clone(), (5, b"behind".to_vec())]);
            assert!(warnings.is_empty());
        }
    }
    assert!(was_there[0] > 0 && was_there[1] > 0, "{was_there:?}");
}

/// A store whose records are of these kinds, each of the bytes that its kind may have.
fn of_kinds(kinds: &[u8], snapshot: Option<u64>) -> State {
    let disk = Disk::default();
    let (_, mut log, _) = open(&disk);
    let mut bytes = FILE_HEADER_BYTES;
    for kind in kinds {
        let payload = payload_of(*kind);
        log.append(payload).unwrap();
        bytes += HEAD_BYTES + payload.len();
    }
    log.write().unwrap();
    log.sync().unwrap();
    if let Some(lsn) = snapshot {
        let writer = log.snapshot_at(Lsn::new(lsn), Compression::None).unwrap();
        let finished = writer.finish(0, Lsn::new(lsn)).unwrap();
        log.adopt(finished, log.synced()).unwrap();
    }
    drop(log);
    let mut state = disk.state();
    let mut content = state.content(SEGMENT).unwrap()[..FILE_HEADER_BYTES].to_vec();
    for (lsn, kind) in (1..).map(Lsn::new).zip(kinds) {
        let payload = payload_of(*kind);
        let checksum = crc32c::crc32c(payload);
        let head = Head {
            kind: *kind,
            ..Head::record(lsn, lsn.previous(), payload.len() as u32, checksum)
        };
        content.extend(head.encode(STORE.records_seed()));
        content.extend(payload);
    }
    assert_eq!(content.len(), bytes);
    state.put(SEGMENT, content);
    state
}

fn payload_of(kind: u8) -> &'static [u8] {
    match kind {
        CUT | ABANDONED => b"",
        _ => b"some bytes",
    }
}

/// Where record `number` of such a store begins.
fn offset(kinds: &[u8], number: u64) -> u64 {
    let before = &kinds[..number as usize - 1];
    let bytes = before
        .iter()
        .map(|kind| HEAD_BYTES + payload_of(*kind).len());
    (FILE_HEADER_BYTES + bytes.sum::<usize>()) as u64
}

#[test]
fn parts_that_do_not_follow_upon_each_other_are_damage_by_their_place() {
    let cases: [(&[u8], u64); 11] = [
        (&[MIDDLE_PART, LAST_PART], 1),
        (&[LAST_PART], 1),
        (&[ABANDONED, RECORD], 1),
        (&[RECORD, MIDDLE_PART], 2),
        (&[FIRST_PART, RECORD, LAST_PART], 2),
        (&[FIRST_PART, MIDDLE_PART, RECORD], 3),
        (&[FIRST_PART, CUT, LAST_PART], 2),
        (&[FIRST_PART, FIRST_PART], 2),
        (&[FIRST_PART, LAST_PART, LAST_PART], 3),
        (&[FIRST_PART, ABANDONED, ABANDONED], 3),
        (&[FIRST_PART, MIDDLE_PART, ABANDONED, MIDDLE_PART], 4),
    ];
    for (kinds, wrong) in cases {
        let disk = Disk::new(of_kinds(kinds, None));
        let before = disk.operations();
        let report = check(&Arc::new(disk.clone())).unwrap();
        assert!(!report.is_sound(), "{kinds:?}");
        let shown = report.to_string();
        assert!(shown.contains("does not follow upon"), "{kinds:?}: {shown}");
        let refused = open_with(&disk, options()).map(drop).unwrap_err();
        let OpenError::Damaged {
            file,
            offset: at,
            damage,
        } = refused
        else {
            panic!("{kinds:?}: {refused}");
        };
        let (lsn, kind) = (Lsn::new(wrong), kinds[wrong as usize - 1]);
        assert_eq!(
            (&file[..], at),
            (SEGMENT, offset(kinds, wrong)),
            "{kinds:?}"
        );
        assert_eq!(damage, Damage::OutOfSequence { lsn, kind }, "{kinds:?}");
        assert_eq!(disk.operations(), before);
        // A repair gives up what does not fit, and what is left of a large record before it.
        let repaired = shardkeep_log::repair(&Arc::new(disk.clone())).unwrap();
        assert_eq!(repaired.last.get(), wrong - 1);
        open(&disk);
    }
}

#[test]
fn parts_with_an_end_are_one_record_and_what_was_abandoned_is_none() {
    let kinds = [
        RECORD,
        FIRST_PART,
        ABANDONED,
        CUT,
        FIRST_PART,
        MIDDLE_PART,
        MIDDLE_PART,
        LAST_PART,
        FIRST_PART,
        MIDDLE_PART,
        ABANDONED,
        RECORD,
    ];
    let (found, log, _) = open(&Disk::new(of_kinds(&kinds, None)));
    let part = payload_of(FIRST_PART).to_vec();
    assert_eq!(found, [(1, part.clone()), (8, part.repeat(4)), (12, part)]);
    assert_eq!(log.last_cut().unwrap().get(), 4);
}

#[test]
fn a_snapshot_that_begins_between_two_parts_is_refused() {
    let kinds = [RECORD, FIRST_PART, MIDDLE_PART, LAST_PART, RECORD];
    for lsn in 1..=5 {
        let disk = Disk::new(of_kinds(&kinds, Some(lsn)));
        let opened = open_with(&disk, options()).map(|(found, _, _)| found.len());
        match lsn {
            2 | 3 => {
                let text = opened.unwrap_err().to_string();
                let expected = format!("{SEGMENT} is damaged at offset {}", offset(&kinds, lsn));
                assert!(text.starts_with(&expected), "{text}");
            }
            lsn => assert_eq!(opened.unwrap(), [2, 0, 0, 1, 0][lsn as usize - 1], "{lsn}"),
        }
    }
}

/// What a plain reading of kinds finds behind record `covered`, and the first part of a large record in which they
/// end; or the first that does not fit.
type Read = Result<(Vec<(u64, Vec<u8>)>, Option<u64>), u64>;

fn read(kinds: &[u8], covered: u64) -> Read {
    let (mut found, mut parts) = (Vec::new(), None::<(u64, Vec<u8>)>);
    for (lsn, kind) in (1..).zip(kinds) {
        parts = match (*kind, parts) {
            (RECORD, None) => {
                found.push((lsn, payload_of(RECORD).to_vec()));
                None
            }
            (CUT, None) | (ABANDONED, Some(_)) => None,
            (FIRST_PART, None) => Some((lsn, payload_of(FIRST_PART).to_vec())),
            (MIDDLE_PART, Some((first, bytes))) => {
                Some((first, [&bytes, payload_of(MIDDLE_PART)].concat()))
            }
            (LAST_PART, Some((_, bytes))) => {
                found.push((lsn, [&bytes, payload_of(LAST_PART)].concat()));
                None
            }
            _ => return Err(lsn),
        };
        if lsn == covered && parts.is_some() {
            return Err(lsn);
        }
    }
    found.retain(|(lsn, _)| *lsn > covered);
    Ok((found, parts.map(|(first, _)| first)))
}

#[test]
fn any_sequence_of_kinds_is_read_as_a_plain_reading_of_it_says() {
    const KINDS: [u8; 6] = [RECORD, CUT, FIRST_PART, MIDDLE_PART, LAST_PART, ABANDONED];
    let mut chance = Random::new(21);
    let (mut sound, mut refused, mut unfinished) = (0, 0, 0);
    for _ in 0..4_000 {
        let mut kinds = Vec::new();
        for _ in 0..chance.between(1, 12) {
            kinds.push(chance.one(&KINDS));
            // Most of them fit, or there would be nothing to read behind the first that does not.
            while chance.percent(95) && read(&kinds, 0).is_err() {
                kinds.pop();
                kinds.push(chance.one(&KINDS));
            }
        }
        let snapshot = chance
            .percent(40)
            .then(|| chance.between(1, kinds.len()) as u64);
        let state = of_kinds(&kinds, snapshot);
        let disk = Disk::new(state.clone());
        let report = check(&Arc::new(disk.clone())).unwrap();
        let opened = open_with(&disk, options());
        match read(&kinds, snapshot.unwrap_or(0)) {
            Ok((found, first)) => {
                sound += 1;
                unfinished += u32::from(first.is_some());
                assert_eq!(
                    report.unfinished.map(Lsn::get),
                    first,
                    "{kinds:?} {snapshot:?}"
                );
                let (records, log, _) = opened.unwrap();
                assert_eq!(records, found, "{kinds:?} {snapshot:?}");
                let marks = u64::from(first.is_some());
                assert_eq!(log.appended().get(), kinds.len() as u64 + marks);
                drop(log);
                assert_eq!(open(&disk).0, found, "{kinds:?} {snapshot:?}");
            }
            Err(wrong) => {
                refused += 1;
                assert!(!report.is_sound());
                let text = opened.map(drop).unwrap_err().to_string();
                let expected = format!("{SEGMENT} is damaged at offset {}", offset(&kinds, wrong));
                assert!(
                    text.starts_with(&expected),
                    "{kinds:?} {snapshot:?}: {text}"
                );
                let disk = Disk::new(state);
                if snapshot.is_none() {
                    shardkeep_log::repair(&Arc::new(disk.clone())).unwrap();
                    let left = read(&kinds[..wrong as usize - 1], 0).unwrap();
                    assert_eq!(open(&disk).0, left.0, "{kinds:?}");
                }
            }
        }
    }
    println!("{sound} sound, {unfinished} of them unfinished, {refused} refused");
    assert!(sound > 1_000 && unfinished > 300 && refused > 300);
}
