//! Directories of the version before, as it has written them.

use shardkeep_log::format::{FILE_HEADER_BYTES_BEFORE, VERSION, VERSION_BEFORE};
use shardkeep_log::{FrameBuffer, Log, OpenError, Options, Recovery, check, repair};
use shardkeep_tests::disk::{Disk, Order, State, Trouble};
use shardkeep_tests::random::Random;

/// The worked example of that version: two records, each synced, then a snapshot with one frame.
const EXAMPLE: &str = "\
log-00000000000000000001.skl
0000  53 4b 4c 4f 47 53 47 0a  01 00 00 00 30 31 32 33   SKLOGSG.....0123
0010  34 35 36 37 38 39 61 62  63 64 65 66 01 00 00 00   456789abcdef....
0020  00 00 00 00 ad 47 fa 38  07 00 00 00 01 00 00 00   .....G.8........
0030  01 00 00 00 00 00 00 00  b6 91 e9 e5 1a 5e 1f 12   .............^..
0040  53 45 54 20 6b 20 76 05  00 00 00 01 00 00 00 02   SET.k.v.........
0050  00 00 00 00 00 00 00 da  a7 89 79 01 b2 cf c1 44   ..........y....D
0060  45 4c 20 6b                                        EL.k

manifest
0000  53 4b 4d 41 4e 49 46 0a  01 00 00 00 30 31 32 33   SKMANIF.....0123
0010  34 35 36 37 38 39 61 62  63 64 65 66 02 00 00 00   456789abcdef....
0020  00 00 00 00 91 04 54 f7  01 00 00 00 01 00 00 00   ......T.........
0030  02 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00   ................
0040  70 e2 0d d2                                        p...

snapshot-00000000000000000002.sks
0000  53 4b 53 4e 41 50 53 0a  01 00 00 00 30 31 32 33   SKSNAPS.....0123
0010  34 35 36 37 38 39 61 62  63 64 65 66 02 00 00 00   456789abcdef....
0020  00 00 00 00 19 37 73 c7  03 00 00 00 03 00 00 00   .....7s.........
0030  00 00 00 00 00 00 00 00  47 f2 5f ed 19 16 c1 62   ........G._....b
0040  6e 3d 31 18 00 00 80 18  00 00 00 01 00 00 00 00   n=1.............
0050  00 00 00 d0 d9 c0 5e 72  d5 74 29 01 00 00 00 00   ......^r.t).....
0060  00 00 00 01 00 00 00 00  00 00 00 02 00 00 00 00   ................
0070  00 00 00                                           ...
";

const SEGMENT: &str = "log-00000000000000000001.skl";
const NEXT_SEGMENT: &str = "log-00000000000000000003.skl";
const SNAPSHOT: &str = "snapshot-00000000000000000002.sks";

/// The files of a dump: a name, then lines of an offset, 16 bytes, and the same as text.
fn files(dump: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for line in dump.lines().filter(|line| !line.is_empty()) {
        match line.split_once("  ") {
            Some((_, rest)) => {
                let hex = rest[..49].split_whitespace();
                let bytes = hex.map(|byte| u8::from_str_radix(byte, 16).unwrap());
                files.last_mut().unwrap().1.extend(bytes);
            }
            None => files.push((line.to_owned(), Vec::new())),
        }
    }
    files
}

/// The example; with the snapshot or without it and what the manifest says of it.
fn example(with_snapshot: bool) -> State {
    let mut state = State::default();
    for (name, content) in files(EXAMPLE) {
        state.put(&name, content);
    }
    if !with_snapshot {
        let mut manifest = state.content("manifest").unwrap().to_vec();
        manifest[40..44].fill(0);
        manifest.drain(48..56);
        let end = manifest.len() - 4;
        let checksum = crc32c::crc32c(&manifest[..end]);
        manifest[end..].copy_from_slice(&checksum.to_le_bytes());
        state.put("manifest", manifest);
        state.take(SNAPSHOT);
    }
    state
}

/// The same without a record.
fn without_records() -> State {
    let mut state = example(false);
    let segment = state.content(SEGMENT).unwrap();
    state.put(SEGMENT, segment[..FILE_HEADER_BYTES_BEFORE].to_vec());
    let mut manifest = state.content("manifest").unwrap().to_vec();
    manifest[28] = 0;
    for end in [36, manifest.len() - 4] {
        let checksum = crc32c::crc32c(&manifest[..end]);
        manifest[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
    }
    state.put("manifest", manifest);
    state
}

fn options() -> Options {
    Options {
        content: Some("commands".to_owned()),
        ..Options::new()
    }
}

/// What a store holds, and its log.
fn open(disk: &Disk) -> Result<(Vec<String>, Log<Disk>), OpenError> {
    let mut recovery = Recovery::open(disk.clone().into(), options())?;
    let mut held = Vec::new();
    if let Some(snapshot) = recovery.snapshot() {
        let frame = snapshot
            .read_frame(0, &mut FrameBuffer::default())?
            .to_vec();
        held.push(String::from_utf8(frame).unwrap());
    }
    while let Some(record) = recovery.next_record()? {
        held.push(String::from_utf8(record.payload.to_vec()).unwrap());
    }
    let (log, warnings) = recovery.into_log()?;
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(disk.complaint(), None);
    Ok((held, log))
}

fn version(state: &State, name: &str) -> u32 {
    u32::from(state.content(name).unwrap()[8])
}

#[test]
fn a_directory_of_the_version_before_is_read_and_goes_on_in_this_one() {
    for (with_snapshot, expected) in [(true, &["n=1"][..]), (false, &["SET k v", "DEL k"])] {
        let disk = Disk::new(example(with_snapshot));
        let report = check(&disk.clone().into()).unwrap();
        assert!(report.is_sound(), "{report}");
        assert_eq!(disk.operations(), 0);
        let (held, mut log) = open(&disk).unwrap();
        assert_eq!(held, expected);
        log.append(b"SET n 2").unwrap();
        log.write().unwrap();
        log.sync().unwrap();
        log.mark().unwrap();
        drop(log);
        let state = disk.state();
        assert_eq!(version(&state, "manifest"), VERSION);
        assert_eq!(version(&state, SEGMENT), VERSION_BEFORE);
        assert_eq!(version(&state, NEXT_SEGMENT), VERSION);
        let (held, log) = open(&Disk::new(state.booted_anew())).unwrap();
        assert_eq!(held, [expected, &["SET n 2"]].concat());
        assert_eq!(log.segments(), 2);
    }
}

#[test]
fn a_segment_of_the_version_before_that_holds_no_record_is_replaced() {
    let disk = Disk::new(without_records());
    let (held, mut log) = open(&disk).unwrap();
    assert!(held.is_empty());
    assert_eq!(version(&disk.state(), SEGMENT), VERSION);
    log.append(b"SET n 2").unwrap();
    log.write().unwrap();
    drop(log);
    let (held, log) = open(&disk).unwrap();
    assert_eq!((held, log.segments()), (vec!["SET n 2".to_owned()], 1));
}

#[test]
fn no_crash_of_the_first_opening_costs_anything() {
    for (before, expected) in [
        (example(true), &["n=1"][..]),
        (example(false), &["SET k v", "DEL k"]),
        (without_records(), &[]),
    ] {
        let disk = Disk::new(before);
        disk.remember();
        drop(open(&disk).unwrap());
        let moments = disk.moments();
        assert!(moments.len() > 5, "{} operations", moments.len());
        for (at, moment) in moments.iter().enumerate() {
            for seed in 0..20 {
                let image = match seed {
                    0 => moment.state.clone(),
                    seed => moment.state.crash(&mut Random::new(seed)),
                };
                let (held, _) = open(&Disk::new(image)).unwrap();
                assert_eq!(held, expected, "before operation {at}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_full_disk_does_not_keep_a_directory_of_the_version_before_from_being_opened() {
    for state in [example(true), example(false), without_records()] {
        let disk = Disk::new(state.clone());
        disk.order(Some(Order {
            trouble: Trouble::NoSpace,
            at: 0,
            during: u64::MAX,
            of_reads: false,
        }));
        let (held, mut log) = open(&disk).unwrap();
        disk.order(None);
        log.append(b"SET n 2").unwrap();
        // Of a kind that the version before did not have, in a segment of it.
        let cut = log.append_cut().unwrap();
        log.write().unwrap();
        log.mark().unwrap();
        log.sync().unwrap();
        drop(log);
        let mut expected = held;
        expected.push("SET n 2".to_owned());
        let (held, log) = open(&Disk::new(disk.state().booted_anew())).unwrap();
        assert_eq!((held, log.last_cut()), (expected, Some(cut)));
    }
}

#[test]
fn every_bit_of_a_directory_of_the_version_before_counts() {
    let whole = example(false);
    for name in ["manifest", SEGMENT] {
        let content = whole.content(name).unwrap();
        for bit in 0..content.len() * 8 {
            let mut turned = content.to_vec();
            turned[bit / 8] ^= 1 << (bit % 8);
            let mut state = whole.clone();
            state.put(name, turned);
            let disk = Disk::new(state);
            assert!(open(&disk).is_err(), "{name}, bit {bit}");
            assert_eq!(disk.operations(), 0);
        }
    }
}

#[test]
fn a_repair_of_a_directory_of_the_version_before_leaves_one_that_opens() {
    let mut state = example(false);
    let mut content = state.content(SEGMENT).unwrap().to_vec();
    let end = content.len() - 1;
    content[end] ^= 1;
    state.put(SEGMENT, content);
    let disk = Disk::new(state);
    let repaired = repair(&disk.clone().into()).unwrap();
    assert_eq!(repaired.last.get(), 1);
    assert_eq!(open(&disk).unwrap().0, ["SET k v"]);
}

#[test]
fn what_a_store_holds_is_noted_when_nothing_is_and_compared_when_something_is() {
    let disk = Disk::new(example(true));
    drop(open(&disk).unwrap());
    let other = |accepts_other_content| Options {
        content: Some("numbers".to_owned()),
        accepts_other_content,
        ..Options::new()
    };
    let before = disk.operations();
    let refused = Recovery::open(disk.clone().into(), other(false)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the store holds commands, and was opened as one that holds numbers"
    );
    assert_eq!(disk.operations(), before);
    assert!(
        check(&disk.clone().into()).unwrap().is_sound(),
        "tools do not ask"
    );
    let accepted = Recovery::open(disk.clone().into(), other(true)).unwrap();
    drop(accepted.into_log().unwrap());
    let refused = open(&disk).unwrap_err();
    assert!(
        matches!(refused, OpenError::OtherContent { .. }),
        "{refused}"
    );
}
