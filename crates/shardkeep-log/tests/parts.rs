//! Records of any length and cuts, in any order, over any number of openings: what is read is what was appended.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::{env, fs, process};

use shardkeep_log::{Compression, Directory, Log, Lsn, Options, Recovery, StoreId};

/// Stories that are told, each with another seed.
const STORIES: u64 = 8;

/// Openings of each.
const OPENINGS: usize = 4;

/// Largest record in bytes.
const BYTES_MAX: u64 = 2_000;

/// A generator of Marsaglia's: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Numbers and payloads.
type Records = Vec<(Lsn, Vec<u8>)>;

fn open(path: &Path, options: &Options) -> (Records, Option<Lsn>, Log<Directory>) {
    let directory = Arc::new(Directory::create(path).unwrap());
    let mut recovery = Recovery::open(directory, options.clone()).unwrap();
    let snapshot = recovery.snapshot().map(|snapshot| snapshot.lsn());
    let mut found = Records::new();
    while let Some(record) = recovery.next_record().unwrap() {
        found.push((record.lsn, record.payload.to_vec()));
    }
    let (log, warnings) = recovery.into_log().unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    (found, snapshot, log)
}

/// Appends a record or a cut, and notes it.
fn append(log: &mut Log<Directory>, chance: &mut Chance, part_bytes: usize, records: &mut Records) {
    let before = log.appended().get();
    if chance.below(6) == 0 {
        let cut = log.append_cut().unwrap();
        assert_eq!((cut.get(), log.last_cut()), (before + 1, Some(cut)));
        return;
    }
    let bytes = chance.below(BYTES_MAX) as usize;
    let payload: Vec<u8> = (0..bytes).map(|_| chance.below(256) as u8).collect();
    let (one, other) = payload.split_at(chance.below(bytes as u64 + 1) as usize);
    let lsn = log.append_pieces(&[one, &[], other]).unwrap();
    let parts = bytes.div_ceil(part_bytes).max(1) as u64;
    assert_eq!(lsn.get(), before + parts, "{bytes} bytes");
    records.push((lsn, payload));
}

fn tell(seed: u64, path: &Path) {
    let mut chance = Chance(seed + 1);
    let options = Options {
        create: Some(StoreId::new([6; 16])),
        segment_bytes: 512 + chance.below(2_000),
        part_bytes: 1 + chance.below(500) as usize,
        ahead_bytes: chance.below(2) * 4_096,
        ..Options::new()
    };
    let mut records = Records::new();
    for _ in 0..OPENINGS {
        let (found, snapshot, mut log) = open(path, &options);
        records.retain(|(lsn, _)| Some(*lsn) > snapshot);
        assert_eq!(found, records, "seed {seed}");
        for _ in 0..chance.below(12) {
            append(&mut log, &mut chance, options.part_bytes, &mut records);
            if chance.below(3) == 0 {
                log.write().unwrap();
                let mut replay = log.replay(log.written()).unwrap();
                let mut replayed = Records::new();
                while let Some(record) = replay.next_record().unwrap() {
                    replayed.push((record.lsn, record.payload.to_vec()));
                }
                records.retain(|(lsn, _)| Some(*lsn) > log.newest_snapshot());
                assert_eq!(replayed, records, "seed {seed}");
            }
        }
        log.write().unwrap();
        log.sync().unwrap();
        let at = match records.is_empty() {
            false => records[chance.below(records.len() as u64) as usize].0,
            true => log.appended(),
        };
        if chance.below(2) == 0 {
            let writer = log.snapshot_at(at, Compression::None).unwrap();
            let finished = writer.finish(0, at).unwrap();
            log.adopt(finished, log.synced()).unwrap();
        }
        if chance.below(2) == 0 {
            log.close().unwrap();
        }
    }
}

#[test]
fn what_is_read_is_what_was_appended_whatever_the_parts_the_segments_and_the_snapshots() {
    for seed in 0..STORIES {
        let path = env::temp_dir().join(format!("shardkeep-log-parts-{}-{seed}", process::id()));
        tell(seed, &path);
        fs::remove_dir_all(&path).unwrap();
    }
}
