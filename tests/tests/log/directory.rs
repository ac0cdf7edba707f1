//! The log in a directory of the operating system, with threads beside it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use shardkeep_log::limits::RESERVE_BYTES_MIN;
use shardkeep_log::names::RESERVE;
use shardkeep_log::{
    Compression, Directory, DirectoryError, FrameBuffer, Log, Lsn, OpenError, Options, Recovery,
    Replay, Reserve, Storage as _, StoreId, Warning, check,
};
use shardkeep_tests::harness::Scratch;

fn options() -> Options {
    Options {
        create: Some(StoreId::new([9; 16])),
        segment_bytes: 16 * 1_024,
        ..Options::new()
    }
}

fn recover(path: &Path) -> Recovery<Directory> {
    let directory = Directory::create(path).unwrap();
    Recovery::open(Arc::new(directory), options()).unwrap()
}

fn open(path: &Path) -> (Log<Directory>, Vec<Warning>) {
    recover(path).into_log().unwrap()
}

fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 20)
}

fn append(log: &mut Log<Directory>, records: u64) {
    for _ in 0..records {
        let number = log.appended().get() + 1;
        log.append(&payload(number)).unwrap();
    }
    log.write().unwrap();
    log.sync().unwrap();
}

fn read(recovery: &mut Recovery<Directory>) -> u64 {
    let mut last = recovery
        .snapshot()
        .map_or(0, |snapshot| snapshot.lsn().get());
    while let Some(record) = recovery.next_record().unwrap() {
        last += 1;
        assert_eq!(
            (record.lsn.get(), record.payload),
            (last, &payload(last)[..])
        );
    }
    last
}

#[test]
fn a_reserve_takes_real_blocks_of_the_disk_and_is_taken_as_it_was_left() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let bytes = RESERVE_BYTES_MIN;
    let options = Options {
        reserve: Reserve::Bytes(bytes),
        ..options()
    };
    let place = path.join(RESERVE);
    let takes = || {
        let file = fs::metadata(&place).unwrap();
        (file.len(), file.blocks() * 512 >= bytes)
    };
    for is_copied in [false, true] {
        if is_copied {
            // As long, and full of holes.
            fs::remove_file(&place).unwrap();
            fs::File::create(&place).unwrap().set_len(bytes).unwrap();
            assert_eq!(takes(), (bytes, false));
        }
        let directory = Arc::new(Directory::create(&path).unwrap());
        let space = directory.space().unwrap();
        assert!(0 < space.free && space.free <= space.total, "{space:?}");
        let recovery = Recovery::open(directory, options.clone()).unwrap();
        let (log, _) = recovery.into_log().unwrap();
        assert!(!log.is_reserve_spent());
        assert_eq!(takes(), (bytes, true));
    }
    let report = check(&Arc::new(Directory::inspect(&path).unwrap())).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn records_come_back_in_order_after_closing_and_after_dropping() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let mut records = 0;
    for closes in [true, false, true] {
        let mut recovery = recover(&path);
        assert_eq!(read(&mut recovery), records);
        let progress = recovery.progress();
        assert_eq!(progress.done, progress.total);
        let (mut log, warnings) = recovery.into_log().unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        append(&mut log, 500);
        records += 500;
        if closes {
            assert!(log.close().unwrap().covers(Lsn::new(records)));
        }
    }
    assert_eq!(read(&mut recover(&path)), records);
}

#[test]
fn a_second_one_is_refused_and_the_first_goes_on() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut log, _) = open(&path);
    for second in [
        Directory::create(&path),
        Directory::open(&path),
        Directory::inspect(&path),
    ] {
        let error = second.unwrap_err();
        assert!(
            matches!(error, DirectoryError::AlreadyOpen { .. }),
            "{error}"
        );
        let expected = format!(
            "directory {} is already open in this process",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
    append(&mut log, 1);
    drop(log);
    // Those who look do not disturb each other, but whoever writes.
    let looks = [
        Directory::inspect(&path).unwrap(),
        Directory::inspect(&path).unwrap(),
    ];
    assert!(matches!(
        Directory::open(&path),
        Err(DirectoryError::AlreadyOpen { .. })
    ));
    drop(looks);
    drop(Directory::open(&path).unwrap());
}

#[test]
fn everything_is_for_its_owner_alone() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut log, _) = open(&path);
    append(&mut log, 2_000);
    let finished = log
        .snapshot(Compression::Lz4)
        .unwrap()
        .finish(0, log.appended())
        .unwrap();
    log.adopt(finished, log.synced()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn what_is_not_there_and_not_to_be_made_is_said_so() {
    let scratch = Scratch::new().unwrap();
    let missing = scratch.path().join("missing");
    let error = Directory::open(&missing).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    let deep = Directory::create(missing.join("deeper"))
        .unwrap_err()
        .to_string();
    assert!(deep.starts_with("creating"), "{deep}");
    let file = scratch.file("file", "").unwrap();
    assert!(Directory::create(&file).is_err());
    let empty = Arc::new(Directory::create(scratch.path().join("empty")).unwrap());
    let opened = Recovery::open(Arc::clone(&empty), Options::new()).map(drop);
    assert!(matches!(opened, Err(OpenError::NotFound)), "{opened:?}");
    assert!(matches!(
        check(&empty).unwrap().verdict,
        Err(OpenError::NotFound)
    ));
}

#[test]
fn a_torn_tail_is_cut_off_with_a_warning_that_names_file_and_offset() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut log, _) = open(&path);
    append(&mut log, 3);
    log.close().unwrap();
    drop(log);
    let segment = path.join("log-00000000000000000001.skl");
    let mut content = fs::read(&segment).unwrap();
    let end = content.len();
    content.extend([0xab; 17]);
    content.extend([0; 100]);
    fs::write(&segment, content).unwrap();
    let (log, warnings) = open(&path);
    assert_eq!(log.appended(), Lsn::new(3));
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert_eq!(
        warning.to_string(),
        format!(
            "log-00000000000000000001.skl ended with 17 bytes of a write that a crash has cut short, \
             in which 0 whole records are left; they were cut off at offset {end}, where record 4 begins, \
             and are kept as log-00000000000000000001.skl.torn-1"
        )
    );
    drop(log);
    assert_eq!(fs::metadata(&segment).unwrap().len(), end as u64);
    assert!(open(&path).1.is_empty());
}

#[test]
fn a_log_may_change_hands_from_thread_to_thread() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut log, _) = open(&path);
    append(&mut log, 1);
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            append(&mut log, 1);
            log.synced()
        });
        other.join().unwrap()
    });
    assert!(other.covers(Lsn::new(2)) && !other.covers(Lsn::new(3)));
}

fn rebuild(mut replay: Replay<Directory>) -> u64 {
    let mut last = 0;
    if let Some(snapshot) = replay.snapshot() {
        let mut buffer = FrameBuffer::default();
        for index in 0..snapshot.frames() {
            let frame = snapshot.read_frame(index, &mut buffer).unwrap();
            assert_eq!(frame, payload(index as u64));
        }
        last = snapshot.lsn().get();
    }
    while let Some(record) = replay.next_record().unwrap() {
        last += 1;
        assert_eq!(
            (record.lsn.get(), record.payload),
            (last, &payload(last)[..])
        );
    }
    last
}

#[test]
fn snapshots_are_written_and_the_log_is_read_by_others_while_it_is_written() {
    const ROUNDS: usize = 20;
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut log, _) = open(&path);
    std::thread::scope(|scope| {
        for round in 0..ROUNDS {
            append(&mut log, 200);
            let compression = [Compression::None, Compression::Lz4][round % 2];
            let mut writer = log.snapshot(compression).unwrap();
            let needs = log.appended();
            let snapshot = scope.spawn(move || {
                for number in 0..100 {
                    writer.frame(&payload(number)).unwrap();
                }
                writer.finish(100, needs).unwrap()
            });
            let to = log.written();
            let replay = log.replay(to).unwrap();
            let reader = scope.spawn(move || rebuild(replay));
            append(&mut log, 200);
            let synced = log.synced();
            log.adopt(snapshot.join().unwrap(), synced).unwrap();
            append(&mut log, 50);
            assert_eq!(reader.join().unwrap(), to.get());
        }
    });
    let beyond = log.replay(log.appended().next()).map(drop);
    assert!(
        matches!(beyond, Err(OpenError::OutOfRange { .. })),
        "{beyond:?}"
    );
    log.close().unwrap();
    drop(log);
    let names: Vec<_> = fs::read_dir(&path).unwrap().collect();
    assert!(names.len() < 12, "what nobody needs is gone: {names:?}");
    let directory = Arc::new(Directory::inspect(&path).unwrap());
    assert!(check(&directory).unwrap().is_sound());
    drop(directory);
    let recovery = recover(&path);
    let snapshot = recovery.snapshot().unwrap();
    assert_eq!((snapshot.frames(), snapshot.entries()), (100, 100));
    // Frames are read by as many threads as there are.
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let mut buffer = FrameBuffer::default();
                for index in (thread..snapshot.frames()).step_by(2) {
                    let frame = snapshot.read_frame(index, &mut buffer).unwrap();
                    assert_eq!(frame, payload(index as u64));
                }
            });
        }
    });
}

#[test]
fn a_record_larger_than_a_segment_has_one_of_its_own() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("store");
    let (mut log, _) = open(&path);
    let large = vec![7; 3 << 20];
    for payload in [&b"small"[..], &large, b"small"] {
        log.append(payload).unwrap();
    }
    log.write().unwrap();
    log.sync().unwrap();
    assert_eq!((log.segments(), log.buffered_bytes()), (3, 0));
    drop(log);
    let mut recovery = recover(&path);
    for expected in [&b"small"[..], &large, b"small"] {
        let record = recovery.next_record().unwrap().unwrap();
        assert!(record.payload == expected);
    }
    assert_eq!(recovery.next_record().unwrap(), None);
}
