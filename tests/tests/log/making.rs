//! A store written at once (as an import does it), and crashes at every operation of that.
//!
//! The store gets its name only behind the last of these operations; what counts is that everything is
//! durable then, and that what is left by a crash before is never taken for less than it claims to be.

use std::sync::Arc;

use shardkeep_log::{Compression, FrameBuffer, OpenError, Options, Recovery};
use shardkeep_tests::disk::{Disk, STORE};
use shardkeep_tests::random::Random;

const FRAMES: usize = 40;

fn frame(index: usize) -> Vec<u8> {
    vec![index as u8; 1 + index * 37]
}

/// The steps of a new store, up to where it would get its name.
fn make(disk: &Disk) {
    let options = Options {
        create: Some(STORE),
        ahead_bytes: 0,
        ..Options::new()
    };
    let recovery = Recovery::open(Arc::new(disk.clone()), options).unwrap();
    let (mut log, _) = recovery.into_log().unwrap();
    let mut writer = log.snapshot(Compression::None).unwrap();
    for index in 0..FRAMES {
        writer.frame(&frame(index)).unwrap();
    }
    let finished = writer.finish(FRAMES as u64, log.appended()).unwrap();
    let synced = log.sync().unwrap();
    log.adopt(finished, synced).unwrap();
    log.close().unwrap();
}

/// The frames that a store holds which must be there.
fn frames(disk: &Disk) -> Result<usize, OpenError> {
    let mut recovery = Recovery::open(Arc::new(disk.clone()), Options::new())?;
    let mut count = 0;
    if let Some(snapshot) = recovery.snapshot() {
        let mut buffer = FrameBuffer::default();
        for index in 0..snapshot.frames() {
            assert_eq!(snapshot.read_frame(index, &mut buffer)?, frame(index));
        }
        count = snapshot.frames();
    }
    assert_eq!(recovery.next_record()?, None);
    recovery.into_log()?;
    Ok(count)
}

#[test]
fn a_store_that_may_get_its_name_is_whole_whatever_a_crash_takes() {
    let disk = Disk::default();
    make(&disk);
    for seed in 0..200 {
        let left = Disk::new(disk.state().crash(&mut Random::new(seed)));
        assert_eq!(frames(&left).unwrap(), FRAMES, "seed {seed}");
    }
}

#[test]
fn a_crash_while_a_store_is_made_leaves_nothing_or_the_whole_or_a_refusal() {
    let disk = Disk::default();
    disk.remember();
    make(&disk);
    let moments = disk.moments();
    assert!(moments.len() > FRAMES, "{} operations", moments.len());
    for (at, moment) in moments.iter().enumerate() {
        for seed in 0..20 {
            let left = Disk::new(moment.state.crash(&mut Random::new(seed)));
            if let Ok(count) = frames(&left) {
                let is_right = count == 0 || count == FRAMES;
                assert!(is_right, "{count} frames after {at}, seed {seed}");
            }
        }
    }
}
