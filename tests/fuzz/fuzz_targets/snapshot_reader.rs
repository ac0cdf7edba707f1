//! Snapshots made of whatever the fuzzer likes, with checksums that fit.
//!
//! What can be read is what was put in; whatever else is there is refused. Nothing takes memory on the word
//! of a length.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use shardkeep_log::format::{
    FRAME_FOOTER, FRAME_LZ4, FRAME_PLAIN, FileHeader, FileKind, Footer, Head,
};
use shardkeep_log::names::{MANIFEST, segment_name, snapshot_name};
use shardkeep_log::{FrameBuffer, Lsn, Options, Recovery, StoreId, check, repair};
use shardkeep_tests::disk::{Disk, State};

const STORE: StoreId = StoreId::new([5; 16]);
const LSN: Lsn = Lsn::new(3);

/// Most bytes that a snapshot of some bytes may decompress to: those of LZ4 and the lists around them.
const RATIO_MAX: usize = 256;

fn header(kind: FileKind, lsn: Lsn) -> Vec<u8> {
    FileHeader::new(kind, STORE, lsn).encode()
}

/// A snapshot as the bytes say, and the frames that must come out if it is read; `None`: a block that nobody
/// has compressed, which may say anything.
fn snapshot(mut data: &[u8]) -> (Vec<u8>, Vec<Option<Vec<u8>>>) {
    let seed = STORE.frames_seed(LSN);
    let (mut file, mut frames) = (header(FileKind::Snapshot, LSN), Vec::new());
    let mut is_ended = false;
    while let Some(([choice, length], rest)) = data.split_first_chunk::<2>() {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        let compressed = lz4_flex::block::compress(payload);
        let mut head = Head {
            kind: FRAME_PLAIN,
            length: payload.len() as u32,
            extra: payload.len() as u32,
            number: frames.len() as u64,
            payload_checksum: 0,
        };
        let mut stored = payload.to_vec();
        match choice % 12 {
            0..=2 => {}
            3..=4 if compressed.len() < payload.len() => {
                (head.kind, head.length) = (FRAME_LZ4, compressed.len() as u32);
                stored = compressed;
            }
            5 => {
                head.kind = FRAME_LZ4;
                head.extra = u32::from_le_bytes([*choice, *length, choice ^ length, 0]);
            }
            6 => head.kind = choice >> 6,
            7 => head.number = head.number.wrapping_add(u64::from(*length)),
            8 => head.length = u32::from(*length) << (choice >> 4),
            9 => head.extra = u32::MAX - u32::from(*choice),
            10 => {
                head.kind = FRAME_FOOTER;
                let footer = Footer {
                    frames: frames.len() as u64,
                    entries: 0,
                    needs: LSN,
                };
                stored = footer.encode().to_vec();
                (head.length, head.extra) = (stored.len() as u32, stored.len() as u32);
            }
            _ => {
                file.extend(payload);
                continue;
            }
        }
        is_ended |= head.kind == FRAME_FOOTER;
        head.payload_checksum = crc32c::crc32c(&stored);
        file.extend(head.encode(seed));
        file.extend(stored);
        if !is_ended {
            let is_known = head.kind == FRAME_PLAIN || matches!(choice % 12, 3..=4);
            frames.push(is_known.then(|| payload.to_vec()));
        }
    }
    (file, frames)
}

fn store(snapshot: Vec<u8>) -> State {
    let mut state = State::default();
    state.put(&snapshot_name(LSN), snapshot);
    state.put(
        &segment_name(LSN.next()),
        header(FileKind::Segment, LSN.next()),
    );
    let mut manifest = header(FileKind::Manifest, LSN);
    manifest.extend(1_u32.to_le_bytes());
    manifest.extend(1_u32.to_le_bytes());
    manifest.extend(LSN.get().to_le_bytes());
    manifest.extend(LSN.next().get().to_le_bytes());
    manifest.extend(crc32c::crc32c(&manifest).to_le_bytes());
    state.put(MANIFEST, manifest);
    state
}

/// The frames, if all of them can be read.
fn read(disk: &Disk, bytes: usize) -> Option<Vec<Vec<u8>>> {
    let recovery = Recovery::open(disk.clone().into(), Options::new()).ok()?;
    let snapshot = recovery.snapshot().expect("the manifest says so");
    let (mut frames, mut buffer) = (Vec::new(), FrameBuffer::default());
    for index in 0..snapshot.frames() {
        let frame = snapshot.read_frame(index, &mut buffer).ok()?;
        assert!(frame.len() <= bytes * RATIO_MAX);
        frames.push(frame.to_vec());
    }
    // The log may end before what the snapshot needs.
    recovery.into_log().ok()?;
    Some(frames)
}

fuzz_target!(|data: &[u8]| {
    let (file, expected) = snapshot(data);
    let bytes = file.len();
    let state = store(file);
    let disk = Disk::new(state.clone());
    let report = check(&Arc::new(disk.clone())).expect("names can be read");
    drop(report.to_string());
    match read(&disk, bytes) {
        Some(frames) => {
            assert!(report.is_sound());
            assert_eq!(frames.len(), expected.len());
            for (frame, expected) in frames.iter().zip(&expected) {
                assert!(expected.as_ref().is_none_or(|expected| frame == expected));
            }
        }
        None => {
            assert!(!report.is_sound());
            // There is nothing to begin with instead.
            let disk = Disk::new(state);
            assert!(repair(&Arc::new(disk.clone())).is_err());
            assert_eq!(disk.operations(), 0);
        }
    }
    assert_eq!(disk.complaint(), None);
});
