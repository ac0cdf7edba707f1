//! Segments made of whatever the fuzzer likes, with checksums that fit.
//!
//! What opens must open again with the same numbers, take another record, and satisfy `check`. What does not
//! open must not satisfy `check`, and `repair` must make a store of it or say why not.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use shardkeep_log::format::{FileHeader, FileKind, Head, is_record};
use shardkeep_log::names::{MANIFEST, segment_name};
use shardkeep_log::{Lsn, Options, Recovery, StoreId, check, repair};
use shardkeep_tests::disk::{Disk, State};

const STORE: StoreId = StoreId::new([5; 16]);

/// Segments of one store: more would only be slower.
const SEGMENTS_MAX: usize = 6;

/// Bytes to take things from.
struct Source<'d>(&'d [u8]);

impl<'d> Source<'d> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn some(&mut self, bytes: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.some(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }
}

fn header(kind: FileKind, lsn: Lsn) -> Vec<u8> {
    FileHeader::new(kind, STORE, lsn).encode()
}

/// A store as the bytes say.
fn store(source: &mut Source<'_>) -> State {
    let (mut state, mut firsts) = (State::default(), vec![1_u64]);
    let (mut next, mut segment) = (1_u64, header(FileKind::Segment, Lsn::new(1)));
    let synced = u64::from(source.byte().unwrap_or(0)) % 4;
    while let Some(choice) = source.byte() {
        let length = usize::from(source.byte().unwrap_or(0));
        let payload = source.some(length);
        let mut head = Head::record(
            Lsn::new(next),
            Lsn::new(next - 1),
            payload.len() as u32,
            crc32c::crc32c(payload),
        );
        match choice % 16 {
            // As it should be.
            0..=5 => next += 1,
            6 => {
                head.extra = source.number() as u32;
                next += 1;
            }
            7 => head.number = source.number() >> 6,
            8 => head.length = source.number() as u32 % (1 << 30),
            // A mark among others; parts, cuts, and what was abandoned.
            9 => {
                head.kind = source.byte().unwrap_or(0) % 32;
                next += u64::from(is_record(head.kind));
            }
            10 => head.payload_checksum ^= 1,
            11 => head.number = head.number.wrapping_add(length as u64) & (u64::MAX >> 6),
            12 => {
                segment.extend(payload);
                continue;
            }
            13 => {
                segment.resize(segment.len() + length, 0);
                continue;
            }
            14 if firsts.len() < SEGMENTS_MAX => {
                state.put(&segment_name(Lsn::new(firsts[firsts.len() - 1])), segment);
                next = next
                    .wrapping_add(length as u64 / 200)
                    .max(firsts[firsts.len() - 1] + 1);
                firsts.push(next);
                segment = header(FileKind::Segment, Lsn::new(next));
                continue;
            }
            _ => {
                let length = segment.len().saturating_sub(length);
                segment.truncate(length);
                continue;
            }
        }
        segment.extend(head.encode(STORE.records_seed()));
        segment.extend(payload);
    }
    state.put(&segment_name(Lsn::new(firsts[firsts.len() - 1])), segment);
    let mut manifest = header(FileKind::Manifest, Lsn::new(synced));
    manifest.extend(0_u32.to_le_bytes());
    manifest.extend((firsts.len() as u32).to_le_bytes());
    manifest.extend(firsts.iter().flat_map(|first| first.to_le_bytes()));
    manifest.extend(crc32c::crc32c(&manifest).to_le_bytes());
    state.put(MANIFEST, manifest);
    state
}

/// Reads everything and opens the log; returns its newest number.
fn open(disk: &Disk, append: bool) -> Option<u64> {
    // Zeros ahead would cost more than all the rest.
    let options = Options {
        ahead_bytes: 0,
        ..Options::new()
    };
    let mut recovery = Recovery::open(disk.clone().into(), options).ok()?;
    let mut last = 0;
    loop {
        match recovery.next_record() {
            Ok(Some(record)) => {
                assert!(record.lsn.get() > last);
                last = record.lsn.get();
            }
            Ok(None) => break,
            Err(_) => return None,
        }
    }
    let (mut log, _) = recovery.into_log().expect("it was read to its end");
    assert!(log.appended().get() >= last);
    last = log.appended().get();
    if append {
        log.append(b"one more").expect("there is room");
        log.write().expect("there is space");
        log.sync().expect("the disk is sound");
    }
    Some(last)
}

/// The newest number of a log that ends with record `last`, once what is unfinished there is abandoned.
fn end(last: Lsn, unfinished: Option<Lsn>) -> u64 {
    last.get() + u64::from(unfinished.is_some())
}

fuzz_target!(|data: &[u8]| {
    let state = store(&mut Source(data));
    let disk = Disk::new(state.clone());
    let report = check(&Arc::new(disk.clone())).expect("names can be read");
    drop(report.to_string());
    assert_eq!(disk.operations(), 0);
    match open(&disk, true) {
        Some(last) => {
            let found = report
                .verdict
                .ok()
                .map(|found| end(found, report.unfinished));
            assert_eq!(found, Some(last));
            assert_eq!(open(&disk, false), Some(last + 1));
        }
        None => {
            assert!(report.verdict.is_err());
            let disk = Disk::new(state);
            if let Ok(repaired) = repair(&Arc::new(disk.clone())) {
                let found = end(repaired.last, repaired.unfinished);
                assert_eq!(open(&disk, true), Some(found));
            }
        }
    }
    assert_eq!(disk.complaint(), None);
});
